/* estimate.c - how much memory a heap will take, before it is read.
 *
 * Each VM counts its bytes. How many objects and references these are is extrapolated from the
 * youngest objects, along its list of all: a sample, which may be unlike the rest. So the estimate
 * is used to warn, and nothing is allocated by it. */
#include "graph/estimate.h"

#include "lua/visit.h"

enum {
  SAMPLE = 1 << 16,               /* objects ...                       */
  SAMPLE_OF_REFERENCES = 1 << 22, /* ... and references, whichever ends first */
  SMALLEST_OBJECT = 24,
  SMALLEST_REFERENCE = 8,
};

/* Bytes in use that a VM can have, whatever it says. */
static uint64_t bytes_of(const struct heap *heap, size_t index) {
  uint64_t bytes = heap->vms[index].vm.heap_bytes;
  uint64_t most = heap->map.granule_count << heap->map.shift;
  return bytes < most ? bytes : most;
}

void heap_bound(const struct heap *heap, struct heap_estimate *result) {
  *result = (struct heap_estimate){0};
  for (size_t i = 0; i < heap->vm_count; i++) {
    result->objects += bytes_of(heap, i) / SMALLEST_OBJECT;
    result->references += bytes_of(heap, i) / SMALLEST_REFERENCE;
  }
}

static void count(struct visitor *visitor, enum reference_kind kind, uint64_t address, uint8_t tag,
                  uint64_t detail, bool in_hash, bool trusted) {
  (void)kind, (void)address, (void)tag, (void)detail, (void)in_hash, (void)trusted;
  ++*(uint64_t *)visitor->sink;
}

/* Adds what one VM has. */
static void estimate_vm(struct heap *heap, size_t index, struct heap_estimate *result) {
  struct vm vm = heap->vms[index].vm; /* a copy, for its caches */
  uint64_t objects = 0, references = 0, bytes = 0, all = bytes_of(heap, index);
  uint64_t address = vm_list(&vm, global_State_allgc);
  while (address && objects < SAMPLE && references < SAMPLE_OF_REFERENCES && bytes < all) {
    struct visit visit = {0};
    struct visitor visitor = {.vm = &vm, .visit = &visit, .address = address, .sink = &references};
    if (!visit_object(&visitor, TAG_ANY, false, count)) break;
    objects++;
    bytes += visit.bytes;
    address = visit.next;
  }
  if (bytes < objects * SMALLEST_OBJECT) bytes = objects * SMALLEST_OBJECT;
  double scale = bytes ? (double)all / (double)bytes : 0;
  result->objects += (uint64_t)((double)objects * scale);
  result->references += (uint64_t)((double)references * scale);
}

void heap_estimate(struct heap *heap, struct heap_estimate *result) {
  *result = (struct heap_estimate){heap->graph.object_count, heap->graph.reference_count};
  for (size_t i = 0; !result->objects && i < heap->vm_count; i++)
    estimate_vm(heap, i, result);
}

uint64_t heap_memory(const struct heap *heap, const struct heap_estimate *estimate) {
  enum { PER_OBJECT = 16, PER_REFERENCE = 5, BITS_PER_BYTE = 8 };
  uint64_t bits = 2 * (heap->map.granule_count / BITS_PER_BYTE); /* marks, ranks and others */
  return estimate->objects * PER_OBJECT + estimate->references * PER_REFERENCE + bits;
}
