/* extra_space.h - finding LUA_EXTRASPACE from books that do not balance. */
#ifndef GRAPH_EXTRA_SPACE_H
#define GRAPH_EXTRA_SPACE_H

#include "graph/walk.h"

/* After walk_vm of heap->vms[index]: the layout that it should have been walked with, if a
 * LUA_EXTRASPACE other than the layout's explains the residual; else NULL. Lives as long as the
 * heap. */
const struct layout *extra_space_adapt(struct heap *heap, size_t index,
                                       const struct discovery *found);

#endif
