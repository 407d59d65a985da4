/* place.h - what a path leads to, be it an object or a value that is none: a number, a boolean, a
 * light userdata, a plain C function. */
#ifndef COMMAND_PLACE_H
#define COMMAND_PLACE_H

#include "command/session.h"

struct value_place {
  struct heap_vm *owner;
  struct lua_value value;
  object_id object; /* that the value is; NO_OBJECT for other values */
};

struct value_places VECTOR(struct value_place);

/* What the path names in each of the selected VMs, at most once; an error if it names nothing in
 * any of them. The session is built. The result is the caller's, to be freed also after an error.
 */
MUST_CHECK struct inspect_error *resolve_values(struct inspect_session *session,
                                                const struct command_options *options,
                                                const struct path *path,
                                                struct value_places *result);

#endif
