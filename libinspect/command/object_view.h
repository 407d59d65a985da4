/* object_view.h - what every answer about one object begins and ends with. */
#ifndef COMMAND_OBJECT_VIEW_H
#define COMMAND_OBJECT_VIEW_H

#include "command/listing.h"

/* "Npc, table, 3 entries"; "_G, table, 40 entries" for the tables that the VM knows. Escaped, in
 * the arena; NULL: out of memory. */
const char *object_words(struct command_context *context, object_id object);

/* What an object is that no collection leaves: "garbage", or "unknown" if a reference was lost that
 * may have led to it. */
const char *unreached_word(const struct inspect_session *session, object_id object);

/* Page: the object's address, what it is, its class, its fate ("alive", "garbage: no root reaches
 * it", ...), on one line. The session must be collected. */
void object_to_page(struct command_context *context, object_id object);

/* Data: vm, address, type, class, description, bytes, retained_bytes (null unless the session has
 * dominators), live. */
void object_to_data(struct command_context *context, struct data *data, object_id object);

/* Retained bytes as a cell: null if the session has no dominators, or nothing live holds it. */
struct cell object_retained(const struct inspect_session *session, object_id object);

/* Page: "bytes         316 B, 1.2 KB retained". */
void object_bytes_to_page(struct command_context *context, object_id object);

/* The best path to an object, in the arena; NULL if nothing that a collection follows leads there.
 */
MUST_CHECK struct inspect_error *object_path(struct command_context *context, object_id object,
                                             const char **path);

/* A line that begins with a name in the first column, its values in the second. */
struct line *page_named(struct command_context *context, const char *name);

#endif
