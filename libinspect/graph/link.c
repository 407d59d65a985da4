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

enum { BATCH = 256 };

struct batch {
  uint32_t rank[BATCH]; /* of the object; NO_GRANULE: there is none */
};

/* Turns `count` granules at `targets` into ids; NO_OBJECT where no object is. */
static inline void convert_batch(const struct address_map *map, const object_id *by_rank,
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
  for (size_t i = 0; i < count; i++)
    targets[i] = batch->rank[i] == NO_GRANULE ? NO_OBJECT : by_rank[batch->rank[i]];
}

static void convert_plain(const struct address_map *map, const object_id *by_rank,
                          uint32_t *targets, size_t count) {
  struct batch batch;
  for (size_t i = 0; i < count; i += BATCH)
    convert_batch(map, by_rank, targets + i, count - i < BATCH ? count - i : BATCH, &batch);
}

#if defined __x86_64__
/* The same with the processor's own population count. */
__attribute__((target("popcnt"))) static void convert_popcnt(const struct address_map *map,
                                                             const object_id *by_rank,
                                                             uint32_t *targets, size_t count) {
  struct batch batch;
  for (size_t i = 0; i < count; i += BATCH)
    convert_batch(map, by_rank, targets + i, count - i < BATCH ? count - i : BATCH, &batch);
}
#endif

static void convert(const struct address_map *map, const object_id *by_rank, uint32_t *targets,
                    size_t count) {
#if defined __x86_64__
  if (__builtin_cpu_supports("popcnt")) {
    convert_popcnt(map, by_rank, targets, count);
    return;
  }
#endif
  convert_plain(map, by_rank, targets, count);
}

static struct inspect_error *number_objects(struct heap *heap, const struct discovery *found) {
  const uint32_t *granules = found->granules.items;
  size_t count = found->granules.count;
  TRY(address_map_seal(&heap->map));
  heap->by_rank = malloc((count + 1) * sizeof *heap->by_rank);
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

/* Converts the references of 65536 objects (or what is left), then moves them up over the dropped
 * ones while the rows are laid out. */
static struct inspect_error *link_block(struct heap *heap, struct discovery *found, uint64_t block,
                                        uint64_t *kept) {
  struct graph *graph = &heap->graph;
  uint64_t count = found->granules.count, begin = block << 16;
  uint64_t end = count - begin > 1 << 16 ? begin + (1 << 16) : count;
  uint64_t first = begin < count ? found->firsts.items[begin] : found->targets.count;
  uint64_t last = end < count ? found->firsts.items[end] : found->targets.count;
  uint32_t *targets = found->targets.items;
  uint8_t *kinds = found->kinds.items;
  convert(&heap->map, heap->by_rank, targets + first, last - first);
  graph->block_first[block] = *kept;
  for (uint64_t object = begin; object < end; object++) {
    uint64_t offset = *kept - graph->block_first[block];
    if (offset > UINT32_MAX)
      return error_create(INSPECT_ERROR_UNSUPPORTED, NULL, "too many references in one place");
    graph->first[object] = (uint32_t)offset;
    uint64_t row_end = object + 1 < count ? found->firsts.items[object + 1] : last;
    for (uint64_t i = found->firsts.items[object]; i < row_end; i++) {
      if (targets[i] == NO_OBJECT) continue;
      targets[*kept] = targets[i];
      kinds[(*kept)++] = kinds[i];
    }
  }
  return NULL;
}

struct inspect_error *link_objects(struct heap *heap, struct discovery *found,
                                   const struct work *work) {
  struct graph *graph = &heap->graph;
  uint64_t count = found->granules.count, blocks = (count >> 16) + 1, kept = 0;
  TRY(number_objects(heap, found));
  if (work_stops(work, "numbering objects", count, count)) return error_interrupted();
  graph->first = malloc((count + 1) * sizeof *graph->first);
  graph->block_first = malloc(blocks * sizeof *graph->block_first);
  if (!graph->first || !graph->block_first) return error_no_memory();
  for (uint64_t block = 0; block < blocks; block++) {
    TRY(link_block(heap, found, block, &kept));
    if (work_stops(work, "linking objects", block, blocks)) return error_interrupted();
  }
  uint64_t offset = kept - graph->block_first[count >> 16];
  if (offset > UINT32_MAX)
    return error_create(INSPECT_ERROR_UNSUPPORTED, NULL, "too many references in one place");
  graph->first[count] = (uint32_t)offset;
  graph->object_count = (uint32_t)count;
  graph->reference_count = kept;
  return NULL;
}
