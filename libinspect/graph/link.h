/* link.h - from what was discovered to the rows of the graph: the second pass over a heap. */
#ifndef GRAPH_LINK_H
#define GRAPH_LINK_H

#include "graph/walk.h"

/* Numbers the objects (heap->by_rank) and lays out the references of the graph (first, block_first,
 * counts). The references are converted in place: found->targets and found->kinds hold as many as
 * graph.reference_count afterwards. */
MUST_CHECK struct inspect_error *link_objects(struct heap *heap, struct discovery *found,
                                              const struct work *work);

#endif
