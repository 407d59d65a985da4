/* function_names.h - functions that can be reached by name from package.loaded.
 *
 * Lua's tracebacks call a function by the first name under which it is found there, one or two
 * levels deep (lauxlib.c: pushglobalfuncname). The order is that of the hash parts, so the names
 * are the same as the program's own. */
#ifndef LUA_FUNCTION_NAMES_H
#define LUA_FUNCTION_NAMES_H

#include "lua/lua54.h"

struct function_name {
  uint64_t function;  /* the closure, or the code of a C function without upvalues */
  const char *module; /* raw bytes, valid as long as the source                    */
  const char *field;  /* NULL: the module is the function                          */
  size_t module_size, field_size;
  size_t order;
};

struct function_names VECTOR(struct function_name);

/* Finds all names; `loaded` is the address of package.loaded, or 0. False: out of memory. The
 * result is the caller's, also then: vector_free. */
bool function_names_find(struct vm *vm, uint64_t loaded, struct function_names *names);

/* The name of a function value, NULL if it has none. */
const struct function_name *function_name_of(const struct function_names *names,
                                             struct lua_value function);

#endif
