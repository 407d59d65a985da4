/* link.c - from granule numbers to object ids.
 *
 * A granule's rank among the marked ones numbers the objects by address; by_rank turns that into
 * the order of discovery, in which neighbours in the graph are neighbours in memory. References
 * that lead to no object (stale stack slots, dead objects' leftovers) are dropped on the way.
 *
 * Each conversion is three dependent reads of tables larger than the caches. They are done for a
 * batch at a time, in three rounds that each ask for what the next one reads: so the misses
 * overlap. Invariant: references are written at or before the place they were read from. */
#include "graph/link.h"

#include "base/large.h"

enum { BATCH = 256 };

struct batch {
  uint32_t rank[BATCH]; /* of the object; NO_GRANULE: there is none */
};

/* Turns `count` granules at `targets` into ids; NO_OBJECT where no object is. Returns whether there
 * was one everywhere. */
static inline bool convert_batch(const struct address_map *map, const object_id *by_rank,
                                 uint32_t *targets, size_t count, struct batch *batch) {
  for (size_t i = 0; i < count; i++) {
    __builtin_prefetch(&map->marks[targets[i] >> 6]);
    __builtin_prefetch(&map->ranks[targets[i] >> 9]);
  }
  for (size_t i = 0; i < count; i++) {
    bool is_object = address_map_is_marked(map, targets[i]);
    batch->rank[i] = is_object ? address_map_rank(map, targets[i]) : NO_GRANULE;
    if (is_object) __builtin_prefetch(&by_rank[batch->rank[i]]);
  }
  bool is_whole = true;
  for (size_t i = 0; i < count; i++) {
    targets[i] = batch->rank[i] == NO_GRANULE ? NO_OBJECT : by_rank[batch->rank[i]];
    is_whole &= targets[i] != NO_OBJECT;
  }
  return is_whole;
}

static bool convert_plain(const struct address_map *map, const object_id *by_rank,
                          uint32_t *targets, size_t count) {
  struct batch batch;
  bool is_whole = true;
  for (size_t i = 0; i < count; i += BATCH)
    is_whole &=
        convert_batch(map, by_rank, targets + i, count - i < BATCH ? count - i : BATCH, &batch);
  return is_whole;
}

#if defined __x86_64__
/* The same with the processor's own population count. */
__attribute__((target("popcnt"))) static bool convert_popcnt(const struct address_map *map,
                                                             const object_id *by_rank,
                                                             uint32_t *targets, size_t count) {
  struct batch batch;
  bool is_whole = true;
  for (size_t i = 0; i < count; i += BATCH)
    is_whole &=
        convert_batch(map, by_rank, targets + i, count - i < BATCH ? count - i : BATCH, &batch);
  return is_whole;
}
#endif

static bool convert(const struct address_map *map, const object_id *by_rank, uint32_t *targets,
                    size_t count) {
#if defined __x86_64__
  if (__builtin_cpu_supports("popcnt")) return convert_popcnt(map, by_rank, targets, count);
#endif
  return convert_plain(map, by_rank, targets, count);
}

static struct inspect_error *number_objects(struct heap *heap, const struct discovery *found) {
  const uint32_t *granules = found->granules.items;
  size_t count = found->granules.count;
  TRY(address_map_seal(&heap->map));
  heap->by_rank = large_alloc(count + 1, sizeof *heap->by_rank);
  uint32_t *ranks = malloc((count < BATCH ? count + 1 : BATCH) * sizeof *ranks);
  if (!heap->by_rank || !ranks) {
    free(ranks);
    return error_no_memory();
  }
  for (size_t i = 0; i < count; i += BATCH) {
    size_t batch = count - i < BATCH ? count - i : BATCH;
    for (size_t j = 0; j < batch; j++)
      __builtin_prefetch(&heap->map.marks[granules[i + j] >> 6]);
    for (size_t j = 0; j < batch; j++) {
      ranks[j] = address_map_rank(&heap->map, granules[i + j]);
      __builtin_prefetch(&heap->by_rank[ranks[j]], 1);
    }
    for (size_t j = 0; j < batch; j++)
      heap->by_rank[ranks[j]] = (object_id)(i + j);
  }
  free(ranks);
  return NULL;
}

/* Whether a reference may lead to an object of another type than it says: stale stack slots, the
 * leftovers of collected strings, what a dead object refers to. */
static bool may_differ(const struct discovery *found, size_t begin, size_t end, uint64_t reference,
                       enum reference_kind kind) {
  if (kind == REFERENCE_MAYBE_STACK || kind == REFERENCE_LEFTOVER) return true;
  while (end - begin > 1) {
    size_t middle = begin + (end - begin) / 2;
    if (discovery_row(found, middle) <= reference)
      begin = middle;
    else
      end = middle;
  }
  return (found->flags.items[begin] & OBJECT_DEAD) != 0;
}

/* Compares the types of what the references of the objects begin .. end - 1 lead to with what they
 * say, and leaves their kinds alone. */
static void check_types(struct discovery *found, size_t begin, size_t end, uint64_t first,
                        uint64_t last) {
  const uint32_t *targets = found->targets.items;
  const uint8_t *types = found->types.items;
  uint8_t *kinds = found->kinds.items;
  for (uint64_t i = first; i < last; i++) {
    uint8_t type = kinds[i] >> KIND_BITS;
    kinds[i] &= (1 << KIND_BITS) - 1;
    if (targets[i] == NO_OBJECT || __builtin_expect(types[targets[i]] == type, 1)) continue;
    if (!may_differ(found, begin, end, i, kinds[i])) found->is_suspicious = true;
  }
}

/* Converts the references of one block of objects, then moves them up over the dropped ones, if
 * any were, and lays out the rows anew. `*kept`: references of the blocks before. */
static struct inspect_error *link_block(struct heap *heap, struct discovery *found, size_t block,
                                        uint64_t *kept) {
  size_t count = found->granules.count, begin = block * ROW_BLOCK;
  size_t end = count - begin > ROW_BLOCK ? begin + ROW_BLOCK : count;
  uint64_t first = found->block_first.items[block];
  uint64_t last = end < count ? found->block_first.items[block + 1] : found->targets.count;
  uint32_t *targets = found->targets.items;
  uint8_t *kinds = found->kinds.items;
  bool is_whole = convert(&heap->map, heap->by_rank, targets + first, last - first);
  if (!found->is_careful) check_types(found, begin, end, first, last);
  if (is_whole && *kept == first) {
    *kept = last;
    return NULL;
  }
  uint64_t row = first;
  for (size_t object = begin; object < end; object++) {
    uint64_t row_end = object + 1 < end ? first + found->first.items[object + 1] : last;
    discovery_set_row(found, object, *kept);
    for (; row < row_end; row++) {
      if (targets[row] == NO_OBJECT) continue;
      targets[*kept] = targets[row];
      kinds[(*kept)++] = kinds[row];
    }
  }
  return NULL;
}

struct inspect_error *link_objects(struct heap *heap, struct discovery *found,
                                   const struct work *work) {
  struct graph *graph = &heap->graph;
  size_t count = found->granules.count, blocks = found->block_first.count;
  uint64_t kept = 0;
  TRY(number_objects(heap, found));
  if (work_stops(work, "numbering objects", count, count)) return error_interrupted();
  if (!vector_reserve(&found->first, 1) || !vector_reserve(&found->block_first, 1))
    return error_no_memory();
  for (size_t block = 0; block < blocks; block++) {
    TRY(link_block(heap, found, block, &kept));
    if (work_stops(work, "linking objects", block, blocks)) return error_interrupted();
  }
  discovery_set_row(found, count, kept);
  graph->object_count = (uint32_t)count;
  graph->reference_count = kept;
  return NULL;
}
