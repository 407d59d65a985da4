/* settle.h - which of the problems that a walk met are faults.
 *
 * A core may catch a VM between any two instructions: an object that is linked but not filled in, a
 * value of which one half is stored, an object on its way from one list to another. None of these
 * loses anything, and all can be told from damage, because every object of Lua 5.4 and 5.5 is on a
 * list: what no list leads to is no object, however well it looks. */
#ifndef GRAPH_SETTLE_H
#define GRAPH_SETTLE_H

#include "graph/walk.h"

/* Settles the problems of the last walk, of heap->vms[index]: drops what is no object, and turns
 * the problems into notes or into faults, which make the graph incomplete. */
MUST_CHECK struct inspect_error *settle(struct heap *heap, size_t index, struct discovery *found);

/* Whether a chunk is being compiled: a stack holds a function whose upvalues are not there yet
 * (lparser.c: luaY_parser). */
bool compiles(struct heap *heap, size_t index, const struct discovery *found);

/* Bytes of an object, as the last walk counted them. */
uint64_t discovered_bytes(const struct discovery *found, object_id object);

/* The object that was made last, if it may not be filled in yet: nothing refers to it. NO_OBJECT:
 * none such. */
object_id newest_object(struct heap *heap, size_t index, const struct discovery *found);

#endif
