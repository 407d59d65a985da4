/* rehash.h - how full a table is, and how big Lua would make it for what is in it.
 *
 * A table only changes its size when a new key finds no free node: one that has lost its entries
 * keeps its memory. The size that Lua would choose follows from the number of entries and from the
 * integer keys between powers of two (ltable.c: numusearray, numusehash, computesizes,
 * luaH_resize). It is computed for the entries that are there, without the one more key whose
 * coming makes Lua rehash: the size of a table made anew with the same entries. */
#ifndef LUA_REHASH_H
#define LUA_REHASH_H

#include "lua/lua54.h"

struct table_use {
  uint64_t array_slots, array_used; /* capacity, and values that are not nil */
  uint64_t hash_nodes, hash_used;
  uint64_t best_array, best_nodes; /* what Lua would choose                 */
  uint64_t bytes, best_bytes;      /* of array and hash part                */
};

/* Of a loaded table. Linear in its capacity. */
void table_measure(const struct vm *vm, const struct lua_table *table, struct table_use *use);

/* Bytes that the table would give back; 0 if it fits. */
static inline uint64_t table_waste(const struct table_use *use) {
  return use->bytes > use->best_bytes ? use->bytes - use->best_bytes : 0;
}

#endif
