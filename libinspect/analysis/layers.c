/* layers.c - a pass over the objects tells those that hold nothing; a pass over the references
 * tells twigs from inner objects, and notes the holders of leaves on the way.
 *
 * Each thread takes a range of objects. What a target is, a bit set says that stays in the caches;
 * its holder is fetched some references ahead. A holder is noted with one comparison if it is the
 * first or there are several, so that the names of fields, which everything refers to, cost little;
 * in what order holders are noted makes no difference. */
#include "analysis/layers.h"

#include <stdlib.h>
#include <string.h>

#include "base/large.h"
#include "base/parallel.h"

enum { LOOK_AHEAD = 16, WORDS_AT_ONCE = 1 << 8 };

struct division {
  struct layers *layers;
  const struct bitset *live;
  const struct work *work;
  size_t parts;
  bool is_stopped; /* shared */
};

static void range_of(const struct division *division, size_t part, uint64_t *begin, uint64_t *end) {
  uint64_t words = division->layers->inner.size / 64 + 1;
  *begin = words * part / division->parts;
  *end = words * (part + 1) / division->parts;
}

/* Objects of a word that may take part. */
static uint64_t allowed(const struct division *division, uint64_t word) {
  const struct holding *holding = division->layers->holding;
  uint64_t count = holding->graph->object_count, first = word * 64, bits = UINT64_MAX;
  if (count - first < 64) bits = (UINT64_C(1) << (count - first)) - 1;
  if (division->live) bits &= division->live->words[word];
  if (holding->mask && holding->mask->avoid) bits &= ~holding->mask->avoid->words[word];
  return bits;
}

static bool stops(struct division *division, size_t part, uint64_t done, uint64_t total) {
  if (part == 0 && work_stops(division->work, "dominators", done, 4 * total))
    __atomic_store_n(&division->is_stopped, true, __ATOMIC_RELAXED);
  return __atomic_load_n(&division->is_stopped, __ATOMIC_RELAXED);
}

/* Tells leaves from objects that may hold something, the inner ones for now. What may not is a leaf
 * even if it is not reached: then nothing turns up that holds it. */
static void find_leaves(void *context, size_t part) {
  struct division *division = context;
  struct layers *layers = division->layers;
  const struct holding *holding = layers->holding;
  const struct graph *graph = holding->graph;
  uint64_t begin, end;
  range_of(division, part, &begin, &end);
  for (uint64_t word = begin; word < end; word++) {
    if (word % WORDS_AT_ONCE == 0 && stops(division, part, word - begin, 4 * (end - begin))) return;
    uint64_t all = allowed(division, word), holds = 0;
    uint64_t first = word * 64, length = graph->object_count - first;
    if (length > 64) length = 64;
    for (uint64_t i = 0; i < length; i++)
      holds |= (uint64_t)(graph_first(graph, first + i) < graph_first(graph, first + i + 1)) << i;
    if (holding->values) holds |= holding->keys.words[word];
    layers->leaves.words[word] = all & ~holds;
    layers->inner.words[word] = all & holds & holding->left->words[word];
    memset(layers->holder + first, 0xff, (size_t)length * sizeof *layers->holder);
  }
}

/* Looks at what an object holds; whether that is leaves only. */
static inline bool hold_leaves(struct layers *layers, object_id object) {
  const struct holding *holding = layers->holding;
  const object_id *target = holding->graph->target;
  reference_id last = holding->graph->reference_count - 1;
  bool is_twig = true;
  struct held held = held_begin(holding, object);
  for (object_id leaf; held_next(holding, &held, &leaf);) {
    reference_id ahead = held.at + LOOK_AHEAD;
    __builtin_prefetch(&layers->holder[target[ahead < last ? ahead : last]]);
    if (bitset_has(&layers->leaves, leaf))
      layers_hold(layers, leaf, object);
    else if (bitset_has(&layers->inner, leaf))
      is_twig = false;
  }
  return is_twig;
}

/* Finds twigs, and notes who holds leaves. The inner objects stay as they are meanwhile. */
static void find_twigs(void *context, size_t part) {
  struct division *division = context;
  struct layers *layers = division->layers;
  uint64_t begin, end;
  range_of(division, part, &begin, &end);
  for (uint64_t word = begin; word < end; word++) {
    if (word % WORDS_AT_ONCE == 0 && stops(division, part, word - begin, end - begin)) return;
    uint64_t twigs = 0;
    for (uint64_t bits = layers->inner.words[word]; bits; bits &= bits - 1) {
      object_id object = (object_id)(word * 64 + (unsigned)__builtin_ctzll(bits));
      if (hold_leaves(layers, object)) twigs |= bits & -bits;
    }
    layers->twigs.words[word] = twigs;
  }
}

static void hold_root(struct layers *layers, object_id object) {
  if (object < layers->inner.size &&
      (bitset_has(&layers->leaves, object) || bitset_has(&layers->twigs, object)))
    layers_hold(layers, object, HELD_BY_ROOTS);
}

static void hold_roots(struct layers *layers) {
  const struct graph *graph = layers->holding->graph;
  for (size_t i = 0; i < graph->root_count; i++)
    if (root_keeps(graph->roots[i].kind)) hold_root(layers, graph->roots[i].object);
  for (uint32_t object = next_with_flags(graph, 0, OBJECT_FIXED); object < graph->object_count;
       object = next_with_flags(graph, object + 1, OBJECT_FIXED))
    hold_root(layers, object);
}

struct inspect_error *layers_init(struct layers *layers, const struct holding *holding,
                                  const struct bitset *live, const struct work *work) {
  uint32_t count = holding->graph->object_count;
  *layers = (struct layers){.holding = holding};
  if (count > HELD_BY_SEVERAL)
    return error_create(INSPECT_ERROR_UNSUPPORTED, NULL, "too many objects for dominators");
  layers->holder = large_alloc((size_t)count + 2, sizeof *layers->holder);
  if (!layers->holder || !bitset_init(&layers->leaves, count) ||
      !bitset_init(&layers->twigs, count) || !bitset_init(&layers->inner, count))
    return error_no_memory();
  struct division division = {
      .layers = layers, .live = live, .work = work, .parts = work_threads(work)};
  parallel_run(division.parts, find_leaves, &division);
  if (division.is_stopped) return error_interrupted();
  parallel_run(division.parts, find_twigs, &division);
  if (division.is_stopped) return error_interrupted();
  for (uint64_t i = 0; i < layers->inner.size / 64 + 1; i++)
    layers->inner.words[i] &= ~layers->twigs.words[i];
  hold_roots(layers);
  return NULL;
}

/* ---- What is reached ------------------------------------------------------------------------- */

static bool has(const struct layers *layers, object_id object) {
  return bitset_has(&layers->inner, object) || bitset_has(&layers->twigs, object) ||
         bitset_has(&layers->leaves, object);
}

static bool reach(const struct layers *layers, object_id object, struct bitset *reached,
                  struct object_list *found) {
  if (object >= reached->size || !has(layers, object) || !bitset_insert(reached, object))
    return true;
  return vector_push(found, object);
}

static bool reach_roots(const struct layers *layers, struct bitset *reached,
                        struct object_list *found) {
  const struct graph *graph = layers->holding->graph;
  bool fits = true;
  for (size_t i = 0; fits && i < graph->root_count; i++)
    if (root_keeps(graph->roots[i].kind))
      fits = reach(layers, graph->roots[i].object, reached, found);
  for (uint32_t object = next_with_flags(graph, 0, OBJECT_FIXED);
       fits && object < graph->object_count;
       object = next_with_flags(graph, object + 1, OBJECT_FIXED))
    fits = reach(layers, object, reached, found);
  return fits;
}

struct inspect_error *layers_reach(const struct layers *layers, const struct work *work,
                                   struct bitset *reached) {
  enum { CHECK_EVERY = 1 << 14 };
  struct object_list found = {0};
  uint64_t steps = 0;
  bool fits = reach_roots(layers, reached, &found), goes_on = true;
  while (fits && goes_on && found.count) {
    struct held held = held_begin(layers->holding, found.items[--found.count]);
    for (object_id target; fits && held_next(layers->holding, &held, &target);)
      fits = reach(layers, target, reached, &found);
    if (++steps % CHECK_EVERY == 0) goes_on = !work_stops(work, "dominators", 0, 0);
  }
  vector_free(&found);
  return !fits ? error_no_memory() : goes_on ? NULL : error_interrupted();
}

void layers_free(struct layers *layers) {
  bitset_free(&layers->leaves);
  bitset_free(&layers->twigs);
  bitset_free(&layers->inner);
  free(layers->holder);
  *layers = (struct layers){0};
}
