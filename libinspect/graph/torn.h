/* torn.h - parts of objects that a core caught out of their place, found again.
 *
 * While a table is resized, its old parts hang on local variables of a C function only (ltable.c:
 * luaH_resize); while a stack is moved, so does its new place (ldo.c: luaD_reallocstack). Such
 * variables are in registers or on the native stack: see lua/native.h. Nothing is taken from there
 * that does not prove itself: an array in no object, sound from end to end, whose size the books
 * miss or whose contents are those of its double. */
#ifndef GRAPH_TORN_H
#define GRAPH_TORN_H

#include "graph/walk.h"
#include "lua/native.h"

/* Looks for what the last walk, of heap->vms[index], shows to be missing, or what is held by native
 * threads in another place, and sets vm.torn. `*found`: there was something, so the walk must be
 * done again. */
MUST_CHECK struct inspect_error *torn_find(struct heap *heap, size_t index,
                                           struct discovery *discovery, bool *found);

/* Fills found->words, once: words of the native threads that could be addresses of blocks; each
 * once, the likeliest first. */
MUST_CHECK struct inspect_error *torn_words(struct heap *heap, struct discovery *found);

/* A table among the words of which a part is lost: the hash part has another size than its block,
 * so the header was being written; or the array part has been given back. 0: none. */
uint64_t torn_lost(struct heap *heap, size_t index, const struct discovery *found);

/* Whether the place lies in a part of a table or in a stack. */
bool torn_is_in_part(struct heap *heap, size_t index, const struct discovery *found,
                     uint64_t place);

#endif
