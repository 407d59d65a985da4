/* walk.h - discovery of one VM's objects: the first of the two passes over a heap. */
#ifndef GRAPH_WALK_H
#define GRAPH_WALK_H

#include "graph/heap.h"

/* What discovery fills, all VMs one after the other. References are granules until heap_build
 * converts them to ids. */
struct discovery {
  struct VECTOR(uint32_t) granules; /* of each object, in order of discovery: also the queue    */
  struct VECTOR(uint8_t) types;     /* before the visit: the expected tag                       */
  struct VECTOR(uint8_t) flags;
  struct VECTOR(uint32_t) bytes;
  struct VECTOR(uint64_t) firsts;   /* first reference of each object                           */
  struct VECTOR(uint32_t) targets;
  struct VECTOR(uint8_t) kinds;
  struct VECTOR(struct graph_big) bigs;
  bool incomplete;
};

/* Discovers the objects of heap->vms[index] from its lists, roots and their references. */
MUST_CHECK struct inspect_error *walk_vm(struct heap *heap, size_t index,
                                         struct discovery *discovery, const struct work *work);

/* Takes back what walk_vm found, so that another layout can be tried. */
void walk_undo(struct heap *heap, size_t index, struct discovery *discovery);

void discovery_free(struct discovery *discovery);

#endif
