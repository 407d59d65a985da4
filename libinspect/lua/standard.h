/* standard.h - what the standard library of each version puts where, so that what a program added
 * can be told apart.
 *
 * From the luaL_Reg arrays of Lua 5.4.0 to 5.5.1, functions for compatibility included. */
#ifndef LUA_STANDARD_H
#define LUA_STANDARD_H

#include <stdbool.h>
#include <stddef.h>

enum standard_kind {
  STANDARD_NOT,      /* not of the standard library                             */
  STANDARD_FUNCTION, /* a C function                                            */
  STANDARD_VALUE,    /* a number, a string, a table: anything else              */
};

/* `table` is "_G" or a library, "string"; `lua` is "5.4" or "5.5". The names of the libraries
 * themselves are values of _G. */
enum standard_kind standard_kind(const char *lua, const char *table, const char *name, size_t size);

/* The libraries by position, NULL past the last. Static. */
const char *standard_library(size_t index);

#endif
