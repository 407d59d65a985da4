/* estimate.h - how much memory a heap will take, before it is read. */
#ifndef GRAPH_ESTIMATE_H
#define GRAPH_ESTIMATE_H

#include "graph/heap.h"

struct heap_estimate {
  uint64_t objects, references;
};

/* What there is, about; exactly, once heap_build is done. */
void heap_estimate(struct heap *heap, struct heap_estimate *result);

/* As many as there can be, without looking at any. */
void heap_bound(const struct heap *heap, struct heap_estimate *result);

/* Bytes that heap_build needs at the most for so many, and that it leaves. */
uint64_t heap_memory(const struct heap *heap, const struct heap_estimate *estimate);

#endif
