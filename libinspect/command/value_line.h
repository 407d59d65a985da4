/* value_line.h - a Lua value on one line, in Lua's syntax where it has one. */
#ifndef COMMAND_VALUE_LINE_H
#define COMMAND_VALUE_LINE_H

#include "command/session.h"

/* `nil`, `42`, `1.5`, `"text"`, `<table, 3 entries, 0x55d0c0ffee>`: escaped, in the arena; a long
 * string is cut. NULL when memory is out. */
const char *value_line(struct inspect_session *session, struct heap_vm *owner,
                       struct lua_value value, struct arena *arena);

/* "nil", "number", "table", "cfunction", ...: the word of JSON. Static. */
const char *value_type_name(struct lua_value value);

#endif
