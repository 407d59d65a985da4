/* dwarf.h - layouts from debug info. */
#ifndef LAYOUT_DWARF_H
#define LAYOUT_DWARF_H

#include "base/arena.h"
#include "layout/layout.h"
#include "source/debug_info.h"

/* The function in whose compilation unit Lua's structures are looked for first. A program without
 * it holds no Lua. */
#define LUA_FUNCTION "lua_newstate"

/* Makes a layout from the debug info of a program with Lua in it. The layout lives in the arena and
 * passes layout_check; its name is the program's base name. The errors say what is not described.
 */
MUST_CHECK struct inspect_error *
layout_from_debug_info(struct debug_info *info, struct arena *arena, const struct layout **result);

#endif
