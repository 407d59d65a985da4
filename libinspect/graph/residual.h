/* residual.h - what the bytes are by which the books do not balance. */
#ifndef GRAPH_RESIDUAL_H
#define GRAPH_RESIDUAL_H

#include "graph/walk.h"

/* Fills in residual_state and residual_text of heap->vms[index], after the last walk was settled.
 * Bytes that were in flight and not found make the graph incomplete. */
MUST_CHECK struct inspect_error *residual_explain(struct heap *heap, size_t index,
                                                  struct discovery *found);

/* Whether so many bytes can be those of the compiler's buffers. */
bool compiler_fits(int64_t bytes);

#endif
