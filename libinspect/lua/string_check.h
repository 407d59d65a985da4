/* string_check.h - the hash of strings, and what every string must satisfy by itself.
 *
 * Source: lstring.c of each release (luaS_hash, luaS_hashlongstr). */
#ifndef LUA_STRING_CHECK_H
#define LUA_STRING_CHECK_H

#include "lua/lua54.h"
#include "lua/violations.h"

/* The seed of the VM's hashes; false if the global state cannot be read. */
bool string_seed(struct vm *vm, uint32_t *seed);

/* The hash that the VM gives these bytes as a short or a long string. */
uint32_t string_hash(const struct layout *layout, const char *bytes, size_t size, uint32_t seed,
                     bool is_long);

/* Checks the hash (of a long string only if it was ever computed) and the terminating zero. A
 * string whose bytes are not in the dump passes. */
void string_check(struct vm *vm, uint64_t address, uint32_t seed, struct violations *violations);

#endif
