/* resize.h - the old parts of a table that was being resized. */
#ifndef GRAPH_RESIZE_H
#define GRAPH_RESIZE_H

#include "graph/torn.h"

/* Looks for them among what the words lead to, after a walk that missed as many bytes, and sets
 * vm.torn. `*found`: the walk must be done again. */
MUST_CHECK struct inspect_error *resize_find(struct heap *heap, size_t index,
                                             const struct discovery *discovery, bool *found);

#endif
