/* value_line.h - a Lua value on one line, in Lua's syntax where it has one. */
#ifndef COMMAND_VALUE_LINE_H
#define COMMAND_VALUE_LINE_H

#include "command/session.h"

enum { DESCRIBED_OBJECTS = 256 };

/* Who writes values: what was said of the last objects is kept, since the same tables occur from
 * frame to frame, and counting the entries of a large one takes time. */
struct value_lines {
  struct inspect_session *session;
  struct arena *arena;
  struct {
    object_id object;
    const char *words; /* NULL: not yet */
  } described[DESCRIBED_OBJECTS];
};

/* `nil`, `42`, `1.5`, `"text"`, `<table, 3 entries, 0x55d0c0ffee>`: escaped, in the arena; a long
 * string is cut. NULL when memory is out. */
const char *value_line(struct value_lines *lines, struct heap_vm *owner, struct lua_value value);

/* "nil", "number", "table", "cfunction", ...: the word of JSON. Static. */
const char *value_type_name(struct lua_value value);

#endif
