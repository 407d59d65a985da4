/* strays.h - objects that are on no list of the VM: dropped, or kept as a list is damaged. */
#ifndef GRAPH_STRAYS_H
#define GRAPH_STRAYS_H

#include "graph/walk.h"

/* After a careful walk of heap->vms[index] whose balance is not 0. Ids change; what refers to
 * dropped objects becomes a problem. A damaged list becomes a fault. */
MUST_CHECK struct inspect_error *strays_drop(struct heap *heap, size_t index,
                                             struct discovery *found);

#endif
