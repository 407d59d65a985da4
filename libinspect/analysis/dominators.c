/* dominators.c - the dominator tree, its numbering, retained sizes.
 *
 * Objects lie in three layers (layers.h). The dominators of inner objects come from semi_nca.c.
 * Twigs and leaves need none of that: one with a single holder is dominated by it, the others are
 * attached (attach.c).
 *
 * What an object retains is summed from the leaves upwards, preorder intervals are handed out
 * downwards: leaves and twigs in loops over objects, inner objects in loops over their numbers,
 * which grow from dominator to dominated. Until its interval is known, leave[] of an object counts
 * the leaves and twigs below; while others are placed in its interval, leave[] is the last place
 * taken. In a loop over objects each thread takes care of a range of dominators, and reads all. */
#include "analysis/dominators.h"

#include <stdlib.h>
#include <string.h>

#include "analysis/attach.h"
#include "base/large.h"
#include "base/parallel.h"
#include "base/radix.h"

enum { LOOK_AHEAD = 16, AT_ONCE = 1 << 14 };

struct building {
  struct holding holding;
  struct layers layers;
  struct inner_graph inner;
  struct semi_nca tree;
  struct dominators *result;
  const struct work *work;
  size_t parts;
  uint32_t next; /* place for the next object that nothing dominates */
};

/* The dominators that are a thread's. */
struct share {
  object_id begin, end;
  bool has_roots; /* also of what nothing dominates */
};

static struct share share_of(const struct building *building, size_t part) {
  uint64_t count = building->result->object_count;
  return (struct share){.begin = (object_id)(count * part / building->parts),
                        .end = (object_id)(count * (part + 1) / building->parts),
                        .has_roots = part == 0};
}

static inline bool is_in(const struct share *share, object_id dominator) {
  return (dominator >= share->begin && dominator < share->end) ||
         (dominator == HELD_BY_ROOTS && share->has_roots);
}

static inline object_id parent_of(const struct building *building, object_id object) {
  return __atomic_load_n(&building->result->parent[object], __ATOMIC_RELAXED);
}

/* The dominator of an object that comes some places later, if it is in the share. */
static inline object_id parent_ahead(const struct building *building, const struct share *share,
                                     object_id object) {
  const struct dominators *result = building->result;
  if (result->object_count - object <= LOOK_AHEAD) return NO_OBJECT;
  object_id parent = parent_of(building, object + LOOK_AHEAD);
  return parent >= share->begin && parent < share->end ? parent : NO_OBJECT;
}

/* Steps of what remains to be done once the tree is there. */
static struct inspect_error *report(const struct building *building, uint64_t step) {
  enum { STEPS = 5 };
  return work_stops(building->work, "retained bytes", step, STEPS) ? error_interrupted() : NULL;
}

/* ---- Sums -------------------------------------------------------------------------------------
 */

static void sum_leaves(void *context, size_t part) {
  struct building *building = context;
  const struct dominators *result = building->result;
  const struct graph *graph = building->holding.graph;
  const struct bitset *leaves = &building->layers.leaves;
  struct share share = share_of(building, part);
  for (uint64_t word = 0; word < leaves->size / 64 + 1; word++)
    for (uint64_t bits = leaves->words[word]; bits; bits &= bits - 1) {
      object_id leaf = (object_id)(word * 64 + (unsigned)__builtin_ctzll(bits));
      object_id parent = parent_of(building, leaf), ahead = parent_ahead(building, &share, leaf);
      if (ahead != NO_OBJECT) {
        __builtin_prefetch(&result->retained[ahead], 1);
        __builtin_prefetch(&result->leave[ahead], 1);
      }
      if (parent == HELD_BY_ROOTS || !is_in(&share, parent)) continue;
      result->retained[parent] += graph_bytes(graph, leaf);
      result->leave[parent]++;
    }
}

static void sum_twigs(void *context, size_t part) {
  struct building *building = context;
  const struct dominators *result = building->result;
  const struct graph *graph = building->holding.graph;
  const struct bitset *twigs = &building->layers.twigs;
  struct share share = share_of(building, part);
  for (uint64_t word = 0; word < twigs->size / 64 + 1; word++)
    for (uint64_t bits = twigs->words[word]; bits; bits &= bits - 1) {
      object_id twig = (object_id)(word * 64 + (unsigned)__builtin_ctzll(bits));
      object_id parent = parent_of(building, twig), ahead = parent_ahead(building, &share, twig);
      if (ahead != NO_OBJECT) {
        __builtin_prefetch(&result->retained[ahead], 1);
        __builtin_prefetch(&result->leave[ahead], 1);
      }
      if (parent == HELD_BY_ROOTS || !is_in(&share, parent)) continue;
      result->retained[parent] += result->retained[twig] + graph_bytes(graph, twig);
      result->leave[parent] += result->leave[twig] + 1;
    }
}

/* ---- Inner objects ----------------------------------------------------------------------------
 */

/* Sums up to the roots, and finds the place of each number; what lies below it that is no inner
 * object comes last in its interval. */
static struct inspect_error *number_inner(struct building *building) {
  const struct semi_nca *tree = &building->tree;
  const struct dominators *result = building->result;
  uint32_t *size = tree->spare[0], *next = tree->spare[1];
  uint64_t *bytes = (uint64_t *)(void *)tree->pairs;
  size[0] = 0;
  bytes[0] = 0;
  for (uint32_t i = 1; i <= tree->count; i++) {
    if (i + LOOK_AHEAD <= tree->count) {
      object_id ahead = tree->vertex[i + LOOK_AHEAD];
      __builtin_prefetch(&result->leave[ahead]);
      __builtin_prefetch(&result->retained[ahead]);
      __builtin_prefetch(&building->holding.graph->bytes[ahead]);
    }
    if (i % AT_ONCE == 0) TRY(report(building, 2));
    object_id object = tree->vertex[i];
    size[i] = result->leave[object] + 1;
    bytes[i] = result->retained[object] + graph_bytes(building->holding.graph, object);
  }
  for (uint32_t i = tree->count; i; i--) {
    if (i % AT_ONCE == 0) TRY(report(building, 2));
    size[tree->dominator[i]] += size[i];
    bytes[tree->dominator[i]] += bytes[i];
  }
  next[0] = 1; /* the virtual root takes no place */
  for (uint32_t i = 1; i <= tree->count; i++) {
    if (i % AT_ONCE == 0) TRY(report(building, 2));
    uint32_t *above = &next[tree->dominator[i]], place = *above;
    *above += size[i];
    next[i] = place + 1;
    size[i] = place;
  }
  building->next = next[0];
  building->result->bytes = bytes[0];
  return NULL;
}

static struct inspect_error *store_inner(struct building *building) {
  const struct semi_nca *tree = &building->tree;
  const struct dominators *result = building->result;
  const uint32_t *place = tree->spare[0], *next = tree->spare[1];
  const uint64_t *bytes = (const uint64_t *)(const void *)tree->pairs;
  for (uint32_t i = 1; i <= tree->count; i++) {
    if (i % AT_ONCE == 0) TRY(report(building, 3));
    if (i + LOOK_AHEAD <= tree->count) {
      object_id ahead = tree->vertex[i + LOOK_AHEAD];
      __builtin_prefetch(&result->enter[ahead], 1);
      __builtin_prefetch(&result->leave[ahead], 1);
      __builtin_prefetch(&result->retained[ahead], 1);
      __builtin_prefetch(&result->parent[ahead], 1);
    }
    object_id object = tree->vertex[i];
    result->enter[object] = place[i];
    result->leave[object] = next[i] - 1;
    result->retained[object] = bytes[i];
    result->parent[object] = tree->vertex[tree->dominator[i]];
  }
  return NULL;
}

/* ---- Places of twigs and leaves ---------------------------------------------------------------
 */

/* Hands out the next `size` places below a dominator, to what retains `bytes`. */
static inline uint32_t take(struct building *building, object_id object, object_id parent,
                            uint32_t size, uint64_t bytes) {
  const struct dominators *result = building->result;
  uint32_t place;
  if (parent == HELD_BY_ROOTS) {
    place = building->next;
    building->next += size;
    building->result->bytes += bytes;
    __atomic_store_n(&result->parent[object], NO_OBJECT, __ATOMIC_RELAXED);
  } else {
    place = result->leave[parent] + 1;
    result->leave[parent] += size;
  }
  return place;
}

static void number_twigs(void *context, size_t part) {
  struct building *building = context;
  const struct dominators *result = building->result;
  const struct bitset *twigs = &building->layers.twigs;
  struct share share = share_of(building, part);
  for (uint64_t word = 0; word < twigs->size / 64 + 1; word++)
    for (uint64_t bits = twigs->words[word]; bits; bits &= bits - 1) {
      object_id twig = (object_id)(word * 64 + (unsigned)__builtin_ctzll(bits));
      object_id parent = parent_of(building, twig), ahead = parent_ahead(building, &share, twig);
      if (ahead != NO_OBJECT) __builtin_prefetch(&result->leave[ahead], 1);
      if (!is_in(&share, parent)) continue;
      result->retained[twig] += graph_bytes(building->holding.graph, twig);
      uint32_t size = result->leave[twig] + 1;
      result->enter[twig] = result->leave[twig] =
          take(building, twig, parent, size, result->retained[twig]);
    }
}

static void number_leaves(void *context, size_t part) {
  struct building *building = context;
  const struct dominators *result = building->result;
  const struct bitset *leaves = &building->layers.leaves;
  struct share share = share_of(building, part);
  for (uint64_t word = 0; word < leaves->size / 64 + 1; word++)
    for (uint64_t bits = leaves->words[word]; bits; bits &= bits - 1) {
      object_id leaf = (object_id)(word * 64 + (unsigned)__builtin_ctzll(bits));
      object_id parent = parent_of(building, leaf), ahead = parent_ahead(building, &share, leaf);
      if (ahead != NO_OBJECT) __builtin_prefetch(&result->leave[ahead], 1);
      if (!is_in(&share, parent)) continue;
      uint64_t bytes = graph_bytes(building->holding.graph, leaf);
      result->retained[leaf] = bytes;
      result->enter[leaf] = result->leave[leaf] = take(building, leaf, parent, 1, bytes);
    }
}

/* ---- The whole --------------------------------------------------------------------------------
 */

static struct inspect_error *build_tree(struct building *building, const struct bitset *live) {
  const struct work *work = building->work;
  TRY(layers_init(&building->layers, &building->holding, live, work));
  TRY(inner_graph_init(&building->inner, &building->layers, work));
  return semi_nca_compute(&building->inner, &building->holding, work, &building->tree);
}

static void free_tree(struct building *building) {
  semi_nca_free(&building->tree);
  inner_graph_free(&building->inner);
  layers_free(&building->layers);
}

/* Whether there are objects that hold something and are not held themselves: a collection leaves
 * those whose finalizers it will call. */
static bool has_unreached(const struct building *building) {
  const struct layers *layers = &building->layers;
  if (building->tree.count < building->inner.count) return true;
  for (uint64_t word = 0; word < layers->twigs.size / 64 + 1; word++)
    for (uint64_t bits = layers->twigs.words[word]; bits; bits &= bits - 1)
      if (layers->holder[word * 64 + (unsigned)__builtin_ctzll(bits)] == HELD_BY_NONE) return true;
  return false;
}

/* The tree over what is reached. */
static struct inspect_error *build_reached(struct building *building, const struct bitset *live) {
  TRY(build_tree(building, live));
  if (!has_unreached(building)) return NULL;
  struct bitset reached;
  if (!bitset_init(&reached, building->result->object_count)) return error_no_memory();
  struct inspect_error *error = layers_reach(&building->layers, building->work, &reached);
  free_tree(building);
  if (!error) error = build_tree(building, &reached);
  bitset_free(&reached);
  return error;
}

static struct inspect_error *fill(struct building *building, const struct bitset *live) {
  struct dominators *result = building->result;
  const struct work *work = building->work;
  TRY(build_reached(building, live));
  size_t room = (size_t)result->object_count + 1;
  result->enter = large_cleared(room, sizeof *result->enter);
  result->leave = large_cleared(room, sizeof *result->leave);
  if (!result->enter || !result->leave) return error_no_memory();
  TRY(attach(&building->layers, &building->inner, &building->tree, result->enter, result->leave,
             work));
  inner_graph_free(&building->inner);
  result->parent = building->layers.holder;
  building->layers.holder = NULL;
  building->parts = work_threads(work); /* there may be more by now */
  result->retained = large_cleared(room, sizeof *result->retained);
  if (!result->retained) return error_no_memory();
  parallel_run(building->parts, sum_leaves, building);
  TRY(report(building, 1));
  parallel_run(building->parts, sum_twigs, building);
  TRY(report(building, 2));
  TRY(number_inner(building));
  TRY(store_inner(building));
  parallel_run(building->parts, number_twigs, building);
  TRY(report(building, 4));
  parallel_run(building->parts, number_leaves, building);
  return NULL;
}

struct inspect_error *dominators_compute(const struct graph *graph, const struct bitset *live,
                                         const struct graph_mask *mask, const struct work *work,
                                         struct dominators *result) {
  *result = (struct dominators){.object_count = graph->object_count, .live = live, .mask = mask};
  struct building building = {.result = result, .work = work, .parts = work_threads(work)};
  struct inspect_error *error = holding_init(&building.holding, graph, live, mask, work);
  if (!error) error = fill(&building, live);
  free_tree(&building);
  holding_free(&building.holding);
  if (error) dominators_free(result);
  return error;
}

void dominators_free(struct dominators *dominators) {
  free(dominators->parent);
  free(dominators->retained);
  free(dominators->enter);
  free(dominators->leave);
  *dominators = (struct dominators){0};
}

object_id dominators_common(const struct dominators *dominators, const object_id *objects,
                            size_t count) {
  uint32_t least = UINT32_MAX, most = 0;
  for (size_t i = 0; i < count; i++) {
    uint32_t place = dominators->enter[objects[i]];
    if (!place) return NO_OBJECT;
    if (place < least) least = place;
    if (place > most) most = place;
  }
  object_id common = count ? objects[0] : NO_OBJECT;
  while (common != NO_OBJECT &&
         (dominators->enter[common] > least || dominators->leave[common] < most))
    common = dominators->parent[common];
  return common;
}

uint64_t dominators_retained_by_set(const struct dominators *dominators, const object_id *objects,
                                    size_t count) {
  struct radix_item *sorted = large_alloc(count + 1, sizeof *sorted);
  for (size_t i = 0; sorted && i < count; i++) {
    if (i + LOOK_AHEAD < count) __builtin_prefetch(&dominators->enter[objects[i + LOOK_AHEAD]]);
    sorted[i] = (struct radix_item){.low = dominators->enter[objects[i]], .value = objects[i]};
  }
  if (!sorted || !radix_sort(sorted, count)) {
    free(sorted);
    return UINT64_MAX;
  }
  uint64_t bytes = 0;
  uint32_t covered = 0; /* places up to here are counted */
  for (size_t i = 0; i < count; i++) {
    if (sorted[i].low <= covered) continue;
    object_id object = sorted[i].value;
    bytes += dominators->retained[object];
    covered = dominators->leave[object];
  }
  free(sorted);
  return bytes;
}
