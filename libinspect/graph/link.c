/* link.c - from granule numbers to object ids.
 *
 * A granule's rank among the marked ones numbers the objects by address; by_rank turns that into
 * the order of discovery, in which neighbours in the graph are neighbours in memory. References
 * that lead to no object (stale stack slots, dead objects' leftovers) are dropped on the way.
 *
 * Each conversion is three dependent reads of tables larger than the caches. They are done for a
 * batch at a time, in rounds that each ask for what the next one reads: so the misses overlap. The
 * last round compares the type of the target with what the reference says (see walk.c). Blocks of
 * rows are converted on all processors at once; no two touch the same references. */
#include "graph/link.h"

#include "base/large.h"
#include "base/parallel.h"

enum { BATCH = 256, MOST_PARTS = 16, AT_ONCE = 1 << 16 };
static const char LINKING[] = "linking objects";

struct linking {
  struct heap *heap;
  struct discovery *found;
  const struct work *work;
  size_t block_count, next; /* next: block that no part has taken; shared */
  bool is_stopped;          /* shared */
  bool has_dropped[MOST_PARTS], is_suspicious[MOST_PARTS];
};

static bool stops(struct linking *linking, size_t part, const char *phase, size_t block) {
  if (!part && work_stops(linking->work, phase, block, linking->block_count))
    __atomic_store_n(&linking->is_stopped, true, __ATOMIC_RELAXED);
  return __atomic_load_n(&linking->is_stopped, __ATOMIC_RELAXED);
}

/* ---- By address ------------------------------------------------------------------------------ */

/* Fills in by_rank for the objects begin .. end - 1. */
static inline __attribute__((always_inline)) void number_block_inline(const struct address_map *map,
                                                                      const uint32_t *granules,
                                                                      size_t begin, size_t end,
                                                                      object_id *by_rank) {
  uint32_t ranks[BATCH];
  for (size_t i = begin; i < end; i += BATCH) {
    size_t count = end - i < BATCH ? end - i : BATCH;
    for (size_t j = 0; j < count; j++)
      address_map_prefetch(map, granules[i + j]);
    for (size_t j = 0; j < count; j++) {
      ranks[j] = address_map_rank(map, granules[i + j]);
      __builtin_prefetch(&by_rank[ranks[j]], 1);
    }
    for (size_t j = 0; j < count; j++)
      by_rank[ranks[j]] = (object_id)(i + j);
  }
}

/* ---- References ------------------------------------------------------------------------------ */

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

/* Compares the types of what references lead to with what they say; leaves their kinds alone. */
static inline bool check_types(struct discovery *found, size_t begin, size_t end, uint64_t first,
                               size_t count) {
  const uint32_t *targets = found->targets.items + first;
  const uint8_t *types = found->types.items;
  uint8_t *kinds = found->kinds.items + first;
  bool is_fine = true;
  for (size_t i = 0; i < count; i++) {
    uint8_t type = kinds[i] >> KIND_BITS;
    kinds[i] &= (1 << KIND_BITS) - 1;
    if (targets[i] == NO_OBJECT || __builtin_expect(types[targets[i]] == type, 1)) continue;
    is_fine &= may_differ(found, begin, end, first + i, kinds[i]);
  }
  return is_fine;
}

/* Turns `count` granules at `targets` into ids; NO_OBJECT where no object is. Returns whether there
 * was one everywhere. */
static inline __attribute__((always_inline)) bool convert_batch(const struct address_map *map,
                                                                const object_id *by_rank,
                                                                const uint8_t *types,
                                                                uint32_t *targets, size_t count) {
  uint32_t ranks[BATCH]; /* of the object; NO_GRANULE: there is none */
  bool is_whole = true;
  for (size_t i = 0; i < count; i++)
    address_map_prefetch(map, targets[i]);
  for (size_t i = 0; i < count; i++) {
    bool is_object = address_map_is_marked(map, targets[i]);
    ranks[i] = is_object ? address_map_rank(map, targets[i]) : NO_GRANULE;
    if (is_object) __builtin_prefetch(&by_rank[ranks[i]]);
  }
  for (size_t i = 0; i < count; i++) {
    targets[i] = ranks[i] == NO_GRANULE ? NO_OBJECT : by_rank[ranks[i]];
    is_whole &= targets[i] != NO_OBJECT;
    __builtin_prefetch(&types[targets[i]]);
  }
  return is_whole;
}

/* Where the references of a block end. */
static uint64_t block_end(const struct discovery *found, size_t block) {
  return block + 1 < found->block_first.count ? found->block_first.items[block + 1]
                                              : found->targets.count;
}

static inline __attribute__((always_inline)) void convert_block_inline(struct linking *linking,
                                                                       size_t part, size_t block) {
  struct discovery *found = linking->found;
  const struct heap *heap = linking->heap;
  size_t objects = found->granules.count, begin = block * ROW_BLOCK;
  size_t end = objects - begin > ROW_BLOCK ? begin + ROW_BLOCK : objects;
  uint64_t last = block_end(found, block);
  for (uint64_t i = found->block_first.items[block]; i < last; i += BATCH) {
    if (i % AT_ONCE < BATCH && stops(linking, part, LINKING, block)) return;
    size_t count = last - i < BATCH ? (size_t)(last - i) : BATCH;
    if (!convert_batch(&heap->map, heap->by_rank, found->types.items, found->targets.items + i,
                       count))
      linking->has_dropped[part] = true;
    if (!found->is_careful && !check_types(found, begin, end, i, count))
      linking->is_suspicious[part] = true;
  }
}

/* ---- With the processor's own population count ----------------------------------------------- */

static void number_block_plain(const struct address_map *map, const uint32_t *granules,
                               size_t begin, size_t end, object_id *by_rank) {
  number_block_inline(map, granules, begin, end, by_rank);
}

static void convert_block_plain(struct linking *linking, size_t part, size_t block) {
  convert_block_inline(linking, part, block);
}

#if defined __x86_64__
__attribute__((target("popcnt"))) static void number_block_popcnt(const struct address_map *map,
                                                                  const uint32_t *granules,
                                                                  size_t begin, size_t end,
                                                                  object_id *by_rank) {
  number_block_inline(map, granules, begin, end, by_rank);
}

__attribute__((target("popcnt"))) static void convert_block_popcnt(struct linking *linking,
                                                                   size_t part, size_t block) {
  convert_block_inline(linking, part, block);
}
#endif

static bool has_popcnt(void) {
#if defined __x86_64__
  return __builtin_cpu_supports("popcnt");
#else
  return false;
#endif
}

static void number_block(struct linking *linking, size_t part, size_t block) {
  (void)part;
  const struct discovery *found = linking->found;
  size_t count = found->granules.count, begin = block * ROW_BLOCK;
  size_t end = count - begin > ROW_BLOCK ? begin + ROW_BLOCK : count;
#if defined __x86_64__
  if (has_popcnt()) {
    number_block_popcnt(&linking->heap->map, found->granules.items, begin, end,
                        linking->heap->by_rank);
    return;
  }
#endif
  number_block_plain(&linking->heap->map, found->granules.items, begin, end,
                     linking->heap->by_rank);
}

static void convert_block(struct linking *linking, size_t part, size_t block) {
#if defined __x86_64__
  if (has_popcnt()) {
    convert_block_popcnt(linking, part, block);
    return;
  }
#endif
  convert_block_plain(linking, part, block);
}

/* ---- The whole ------------------------------------------------------------------------------- */

/* Takes blocks until none is left. */
static void take_blocks(struct linking *linking, size_t part, const char *phase,
                        void (*step)(struct linking *, size_t, size_t)) {
  while (!__atomic_load_n(&linking->is_stopped, __ATOMIC_RELAXED)) {
    size_t block = __atomic_fetch_add(&linking->next, 1, __ATOMIC_RELAXED);
    if (block >= linking->block_count) return;
    step(linking, part, block);
    if (stops(linking, part, phase, block)) return;
  }
}

static void number_part(void *context, size_t part) {
  take_blocks(context, part, "numbering objects", number_block);
}

static void convert_part(void *context, size_t part) {
  take_blocks(context, part, LINKING, convert_block);
}

static struct inspect_error *run(struct linking *linking, void (*part)(void *, size_t)) {
  size_t parts = work_threads(linking->work);
  if (parts > linking->block_count) parts = linking->block_count;
  linking->next = 0;
  if (parts) parallel_run(parts < MOST_PARTS ? parts : MOST_PARTS, part, linking);
  return linking->is_stopped ? error_interrupted() : NULL;
}

/* Moves references up over the dropped ones and lays out the rows anew; returns how many are left.
 * Invariant: references are written at or before the place they were read from. */
static uint64_t close_gaps(struct discovery *found) {
  uint32_t *targets = found->targets.items;
  uint8_t *kinds = found->kinds.items;
  uint64_t kept = 0, row = 0, first = 0, last = 0;
  for (size_t object = 0; object < found->granules.count; object++) {
    if (object % ROW_BLOCK == 0) { /* read before it is written: kept is never ahead */
      first = found->block_first.items[object / ROW_BLOCK];
      last = block_end(found, object / ROW_BLOCK);
    }
    bool is_last = (object + 1) % ROW_BLOCK == 0 || object + 1 == found->granules.count;
    uint64_t end = is_last ? last : first + found->first.items[object + 1];
    discovery_set_row(found, object, kept);
    for (; row < end; row++) {
      if (targets[row] == NO_OBJECT) continue;
      targets[kept] = targets[row];
      kinds[kept++] = kinds[row];
    }
  }
  return kept;
}

struct inspect_error *link_objects(struct heap *heap, struct discovery *found,
                                   const struct work *work) {
  size_t count = found->granules.count;
  struct linking linking = {
      .heap = heap, .found = found, .work = work, .block_count = found->block_first.count};
  TRY(address_map_seal(&heap->map));
  heap->by_rank = large_alloc(count + 1, sizeof *heap->by_rank);
  if (!heap->by_rank) return error_no_memory();
  TRY(run(&linking, number_part));
  TRY(run(&linking, convert_part));
  uint64_t kept = found->targets.count;
  bool has_dropped = false;
  for (size_t i = 0; i < MOST_PARTS; i++) {
    has_dropped |= linking.has_dropped[i];
    found->is_suspicious |= linking.is_suspicious[i];
  }
  if (has_dropped) kept = close_gaps(found);
  discovery_set_row(found, count, kept);
  heap->graph.object_count = (uint32_t)count;
  heap->graph.reference_count = kept;
  return NULL;
}
