/* hash_part.h - the hash part of a table: where a key belongs, and whether it can be found there.
 *
 * Lua looks for a key at its main position, which its hash gives, and from there along `next`
 * offsets. So, in a healthy table, each node has at most one node before it, no chain comes back to
 * itself, every entry is reached from its main position, and every node from the free pointer on is
 * in use or was.
 *
 * Sources: ltable.c of each release (mainposition, l_hashfloat, hashint, luaH_newkey, getfreepos).
 */
#ifndef LUA_HASH_PART_H
#define LUA_HASH_PART_H

#include "base/work.h"
#include "lua/lua54.h"
#include "lua/violations.h"

/* Room for the chains of one table, kept from table to table. Starts zeroed. */
struct hash_chains {
  uint32_t *chain; /* of each node: number of its chain, from 1 */
  uint32_t *order; /* of each node: place in its chain          */
  size_t capacity;
  const struct work *work; /* of hash_part_check, or NULL */
  bool is_stopped;         /* by it: nothing more is checked */
};

void hash_chains_free(struct hash_chains *chains);

/* Checks a loaded table. Integer keys are checked only if it is known where they belong. Time and
 * memory are linear in the nodes. False: out of memory. */
bool hash_part_check(struct vm *vm, const struct lua_table *table, enum integer_hash integers,
                     struct hash_chains *chains, struct violations *violations);

/* How many integer keys can be found in one way only. */
struct integer_votes {
  uint64_t power, modulo;
};

/* Adds the votes of a loaded table. False: out of memory. */
bool hash_part_vote(struct vm *vm, const struct lua_table *table, struct hash_chains *chains,
                    struct integer_votes *votes);

#endif
