/* refs.h - the references from and to an object, as found and as shown.
 *
 *   refs.c        finds them, and is the command
 *   refs_view.c   page and data */
#ifndef COMMAND_REFS_H
#define COMMAND_REFS_H

#include "analysis/incoming.h"
#include "base/selection.h"
#include "command/object_view.h"

/* One reference. An upvalue object between a function or thread and the value is passed over: the
 * function refers to the value. */
struct found_reference {
  reference_id reference; /* of the owner, to the other or to the upvalue before it           */
  object_id owner, other; /* who refers, and to what                                          */
  uint8_t rank;           /* the order of groups: lower ones first                            */
};

struct found_references {
  struct command_context *context;
  struct inspect_session *session;
  object_id object;
  bool wants_in, wants_out;
  struct selection in, out;    /* of struct found_reference                                  */
  uint64_t in_live, in_strong; /* incoming ones that come from live objects, and hold       */
  uint64_t string_keys;        /* outgoing ones that are only names of fields                  */
};

/* Whether an outgoing reference is the name of a field: a page does not list those. */
bool refs_is_name(const struct graph *graph, const struct found_reference *found);

void refs_to_page(struct command_context *context, const struct found_references *found);
/* `found` must live until the document is rendered: there may be millions of rows. */
void refs_to_data(struct command_context *context, struct data *data,
                  struct found_references *found);

#endif
