/* print.h - what `print` says of one value besides the value itself.
 *
 *   print.c          the command: which values, what holds them, tables and strings
 *   print_parts.c    functions, prototypes, upvalues, userdata
 *   print_thread.c   threads: their calls with locals */
#ifndef COMMAND_PRINT_H
#define COMMAND_PRINT_H

#include "command/object_view.h"
#include "command/place.h"
#include "command/value_tree.h"

struct printing {
  struct command_context *context;
  struct value_tree tree;
  const struct value_place *place;
  struct data *data; /* of the value */
  uint64_t depth;    /* for values that are part of it; 0: they are only named */
};

/* Shows a value that is part of the printed one: on the page as `before` (our words or escaped) and
 * the value, in the data as an object with key `key` (NULL: in an array). */
MUST_CHECK struct inspect_error *print_value(struct printing *printing, struct lua_value value,
                                             unsigned indent, const char *before, struct data *data,
                                             const char *key);

/* A name for the page, "[3]" if there is none. In the arena; never NULL. */
const char *print_name(struct printing *printing, const char *name, size_t size, uint64_t number);

/* Adds what belongs to an object of its type; nothing for tables and strings. */
MUST_CHECK struct inspect_error *print_parts(struct printing *printing);
MUST_CHECK struct inspect_error *print_thread(struct printing *printing);

#endif
