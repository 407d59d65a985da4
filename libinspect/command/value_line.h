/* value_line.h - a Lua value on one line, in Lua's syntax where it has one. */
#ifndef COMMAND_VALUE_LINE_H
#define COMMAND_VALUE_LINE_H

#include "base/number_map.h"
#include "command/session.h"

enum { VALUE_LINE_BYTES = 60 }; /* of a string */

/* Who writes values: what was said of an object is kept, since the same tables occur again and
 * again, and counting the entries of a large one takes time. Starts with session and arena. */
struct value_lines {
  struct inspect_session *session;
  struct arena *arena;
  struct number_map described; /* object -> position in `words` */
  struct VECTOR(const char *) words;
};

/* `nil`, `42`, `1.5`, `"text"`, `<table, 3 entries, 0x55d0c0ffee>`: escaped, in the arena; a long
 * string is cut, and its length said behind it. NULL when memory is out. */
const char *value_line(struct value_lines *lines, struct heap_vm *owner, struct lua_value value);

/* The first `shown` of `size` bytes as a string in quotes; `...` behind them if they are not all.
 */
const char *value_quote(struct arena *arena, const char *bytes, size_t shown, size_t size);

void value_lines_free(struct value_lines *lines);

/* "nil", "number", "table", "cfunction", ...: the word of JSON. Static. */
const char *value_type_name(struct lua_value value);

#endif
