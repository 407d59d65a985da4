/* block.h - what an allocator like glibc's says about a block.
 *
 * malloc keeps the size of a block, with three flags, in the word before it. No other allocator is
 * known to put a number there that fits by chance, so a fit is evidence; that there is none is not.
 */
#ifndef LUA_BLOCK_H
#define LUA_BLOCK_H

#include "lua/vm.h"

/* Whether a block that was asked for with so many bytes begins at `address`. */
bool block_fits(struct vm *vm, uint64_t address, uint64_t bytes);

/* Whether the block at `address` has been given back: the next one says so, or it is in a list of
 * small free blocks. False does not prove the contrary. */
bool block_is_given_back(struct vm *vm, uint64_t address);

/* Whether it has the key of blocks that were given back: so it is, or is about to be (malloc.c:
 * tcache_put writes the key first, and random ones may look like the tag of a value). */
bool block_has_key(struct vm *vm, uint64_t address);

/* Whether the VM's own blocks show that its allocator keeps sizes: what does not fit is no block
 * then. */
bool block_sizes_are_kept(struct vm *vm);

#endif
