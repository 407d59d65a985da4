/* listing.h - what the lists of all commands have in common: numbers, limits, and what to try next.
 */
#ifndef COMMAND_LISTING_H
#define COMMAND_LISTING_H

#include "base/selection.h"
#include "command/chain_view.h"

/* How many of `count` entries a page shows: --limit, else `usual`. Data have all of them unless
 * there is a --limit (listing_data_limit). */
size_t listing_limit(const struct command_context *context, size_t count, size_t usual);
size_t listing_data_limit(const struct command_context *context, size_t count);

/* Forgets the last list: @1 will be the next object added. */
void listing_begin(struct command_context *context);

/* Makes the object the next entry of the list, and returns its number as a cell: what @N means. */
struct cell listing_number(struct command_context *context, object_id object);

/* The column that names the VM of each row, if the answer is about several VMs; else nothing. */
void listing_vm_column(const struct command_context *context, struct table *table);
void listing_vm_cell(const struct command_context *context, struct table *table, size_t vm);
void listing_vm_of(const struct command_context *context, struct table *table, object_id object);
void listing_no_vm(const struct command_context *context, struct table *table);

/* ---- Values ---------------------------------------------------------------------------------- */

/* A value as a cell of its own type: a number, text; else in words (value_line.h), of an object
 * what describe_object says. */
struct cell listing_value(struct command_context *context, struct heap_vm *owner,
                          struct lua_value value);

/* The path of an entry of the table at the path `table`: _G.npcs, registry[3]. In arena memory. */
const char *listing_key_path(struct command_context *context, struct vm *vm, const char *table,
                             struct lua_value key);

/* ---- The biggest of many --------------------------------------------------------------------- */

struct sized_object {
  uint64_t size;
  object_id object;
};

/* A selection of sized objects: the biggest first, of equal ones by address. After biggest_offer
 * selection_sort, biggest_object, and selection_free. False: out of memory. */
void biggest_init(struct selection *biggest, const struct heap *heap, uint64_t limit);
bool biggest_offer(struct selection *biggest, uint64_t size, object_id object);
object_id biggest_object(const struct selection *biggest, size_t index);

/* The best chain to each of the objects as a path in arena memory, NULL where there is none. When
 * interrupted, or where a search was, paths are missing and context->partial is set. */
MUST_CHECK struct inspect_error *listing_paths(struct command_context *context,
                                               const struct selection *biggest, const char **paths);

/* Such a path in a column of a table: cut so that others have room, unless --wide is given. */
struct cell listing_path(struct command_context *context, const char *path);

/* ---- The end of a list ----------------------------------------------------------------------- */

/* "12 more groups: --limit 37", muted; nothing if all were shown. */
void listing_more(struct command_context *context, size_t shown, size_t count, const char *one,
                  const char *many);

/* The last line: "next", and commands to type, each with listing_try. */
struct line *listing_next(struct command_context *context);
void listing_try(struct command_context *context, struct line *line, const char *format, ...)
    PRINTF_LIKE(3, 4);

#endif
