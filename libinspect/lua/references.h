/* references.h - the references that C code keeps in a table, above all the registry: luaL_ref.
 *
 * luaL_ref puts a value at the next free integer and returns it; luaL_unref puts the integer into a
 * list of free ones, each of which holds the next. Where the list begins differs (lauxlib.c:
 * freelist): at 0 until 5.4.2, at 3 since 5.4.3, at 1 in 5.5. */
#ifndef LUA_REFERENCES_H
#define LUA_REFERENCES_H

#include "base/bitset.h"
#include "lua/lua54.h"

struct references {
  int64_t head;          /* the integer at which the list of free ones begins          */
  int64_t first;         /* the first integer that luaL_ref gives in a registry        */
  uint64_t free;         /* members of the list                                        */
  bool is_broken;        /* the list leads to what is no reference, or back to itself  */
  uint64_t most;         /* the largest integer that may be a reference                */
  struct bitset is_free; /* by integer, up to `most`                                   */
};

/* Walks the list of free references of a registry. False: out of memory. Free with references_free.
 */
bool references_load(const struct vm *vm, const struct lua_table *registry,
                     struct references *result);
void references_free(struct references *references);

/* Whether an integer key of the registry is a reference in use. */
bool references_holds(const struct references *references, int64_t key);

#endif
