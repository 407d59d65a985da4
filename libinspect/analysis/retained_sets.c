/* retained_sets.c - reachability without the members of eight sets at once.
 *
 * Each object has one bit for each set, its lane: set if the object is reached over objects that
 * are no members. Bits are propagated from the roots until nothing changes; an object is visited
 * again when it gets further bits, so at most eight times, usually once. As in mark.c a sweep
 * visits objects in the order of ids, and a queue takes what lies behind it.
 *
 * If one object that is no member dominates all members, all that it does not dominate is reached
 * without them, and all references from there into its subtree lead to itself: the lane starts
 * with it and does not leave the subtree.
 *
 * Sets that hold little and would be a lane about most of the heap are tried by retained_probe.c
 * first.
 *
 * Where the members hold most of the heap little is reached, and where they hold little the lane is
 * mostly about a small subtree: so what is reached is summed, and subtracted from the whole. */
#include "analysis/retained_sets.h"

#include <stdlib.h>
#include <string.h>

#include "analysis/holding.h"
#include "analysis/retained_probe.h"
#include "base/large.h"

enum {
  LANES = 8,
  EIGHT = 8,
  CHECK_EVERY = 1 << 16,
  LOOK_AHEAD = 16,
  LEAST_QUEUE = 1 << 10, /* places; as in mark.c        */
  OBJECTS_PER_PLACE = 512,
};

struct lane {
  struct retained_set *set;
  uint32_t from, to; /* preorder numbers that it is about */
};

struct spreading {
  const struct graph *graph;
  const struct dominators *dominators;
  const struct holding *holding;
  const struct work *work;
  struct lane lanes[LANES];
  unsigned count;
  uint8_t partial; /* lanes that are about one subtree                      */
  struct reach {
    uint8_t bits;   /* those of its sets, too */
    uint8_t member; /* the sets that it is in */
  } * reach;        /* of each object         */
  struct bitset pending;
  uint32_t swept;   /* the sweep comes to what is pending from here on        */
  bool has_pending; /* there may be some behind the sweep                     */
  uint32_t *queue;  /* a ring of objects pending behind it                    */
  uint32_t limit, head, tail;
  uint64_t steps;
};

static uint8_t lanes_around(const struct spreading *it, object_id object, uint8_t lanes) {
  uint32_t place = it->dominators->enter[object];
  uint8_t inside = 0;
  for (; lanes; lanes &= (uint8_t)(lanes - 1)) {
    const struct lane *lane = &it->lanes[__builtin_ctz(lanes)];
    if (place >= lane->from && place <= lane->to) inside |= lanes & (uint8_t)-lanes;
  }
  return inside;
}

static inline bool takes_part(const struct spreading *it, object_id object) {
  const struct bitset *live = it->dominators->live;
  return (!live || bitset_has(live, object)) && mask_enters(it->dominators->mask, object);
}

/* Gives an object the bits that it does not have yet, of the lanes that are about it. */
static inline void give(struct spreading *it, object_id object, uint8_t bits) {
  uint8_t more = bits & (uint8_t)~it->reach[object].bits;
  if (!more || !takes_part(it, object)) return;
  if (more & it->partial)
    more = (uint8_t)((more & ~it->partial) | lanes_around(it, object, more & it->partial));
  it->reach[object].bits |= more;
  if (!more || !bitset_insert(&it->pending, object) || object >= it->swept) return;
  if (it->tail - it->head < it->limit)
    it->queue[it->tail++ & (it->limit - 1)] = object;
  else
    it->has_pending = true;
}

/* Passes the bits of an object on, but those of sets that it is a member of. */
static struct inspect_error *visit(struct spreading *it, object_id object) {
  const struct holding *holding = it->holding;
  uint8_t bits = it->reach[object].bits & (uint8_t)~it->reach[object].member;
  bitset_remove(&it->pending, object);
  if (++it->steps % CHECK_EVERY == 0 &&
      work_stops(it->work, "retained sizes", it->steps, it->graph->object_count))
    return error_interrupted();
  /* In a sweep the row that comes next in memory is often the one to be visited next. */
  const object_id *row = it->graph->target;
  reference_id last = it->graph->reference_count - 1;
  struct held held = held_begin(holding, object);
  for (object_id target; held_next(holding, &held, &target);) {
    reference_id ahead = held.at + LOOK_AHEAD;
    __builtin_prefetch(&it->reach[row[ahead < last ? ahead : last]], 1);
    give(it, target, bits);
  }
  return NULL;
}

static struct inspect_error *sweep(struct spreading *it) {
  it->has_pending = false;
  for (uint32_t word = 0; word < it->pending.size / 64 + 1; word++)
    while (it->pending.words[word]) {
      object_id object = word * 64 + (uint32_t)__builtin_ctzll(it->pending.words[word]);
      it->swept = object;
      TRY(visit(it, object));
    }
  it->swept = UINT32_MAX;
  return NULL;
}

static inline void look_ahead(const struct spreading *it) {
  const struct graph *graph = it->graph;
  uint32_t left = it->tail - it->head, mask = it->limit - 1;
  if (left > 2 * LOOK_AHEAD) {
    object_id object = it->queue[(it->head + 2 * LOOK_AHEAD) & mask];
    __builtin_prefetch(&graph->first[object]);
    __builtin_prefetch(&graph->flags[object]);
    __builtin_prefetch(&it->reach[object]);
  }
  if (left > LOOK_AHEAD)
    __builtin_prefetch(
        &graph->target[graph_first(graph, it->queue[(it->head + LOOK_AHEAD) & mask])]);
}

static struct inspect_error *spread(struct spreading *it) {
  do {
    TRY(sweep(it));
    while (it->head != it->tail) {
      look_ahead(it);
      object_id object = it->queue[it->head++ & (it->limit - 1)];
      if (bitset_has(&it->pending, object)) TRY(visit(it, object));
    }
  } while (it->has_pending);
  return NULL;
}

static void give_roots(struct spreading *it, uint8_t bits) {
  const struct graph *graph = it->graph;
  for (size_t i = 0; i < graph->root_count; i++)
    if (root_keeps(graph->roots[i].kind) && graph->roots[i].object < graph->object_count)
      give(it, graph->roots[i].object, bits);
  for (uint32_t object = next_with_flags(graph, 0, OBJECT_FIXED); object < graph->object_count;
       object = next_with_flags(graph, object + 1, OBJECT_FIXED))
    give(it, object, bits);
}

static void add_members(struct spreading *it, const struct retained_set *set, uint8_t lane) {
  for (size_t i = 0; i < set->count; i++) {
    if (set->count - i > LOOK_AHEAD)
      __builtin_prefetch(&it->reach[set->objects[i + LOOK_AHEAD]], 1);
    struct reach *reach = &it->reach[set->objects[i]];
    reach->member |= lane;
    reach->bits |= lane;
  }
}

/* Leaves in `retained` the bytes of all that a lane is about. */
static void start(struct spreading *it) {
  const struct dominators *dominators = it->dominators;
  uint8_t whole = 0;
  for (unsigned i = 0; i < it->count; i++)
    add_members(it, it->lanes[i].set, (uint8_t)(1 << i));
  for (unsigned i = 0; i < it->count; i++) {
    struct lane *lane = &it->lanes[i];
    object_id common = dominators_common(dominators, lane->set->objects, lane->set->count);
    if (common == NO_OBJECT) {
      whole |= (uint8_t)(1 << i);
      *lane = (struct lane){.set = lane->set, .from = 1, .to = UINT32_MAX};
      lane->set->retained = dominators->bytes;
      continue;
    }
    it->partial |= (uint8_t)(1 << i);
    lane->from = dominators->enter[common];
    lane->to = dominators->leave[common];
    lane->set->retained = dominators->retained[common];
    give(it, common, (uint8_t)(1 << i)); /* nothing if it is a member: then all goes */
  }
  give_roots(it, whole);
}

static bool allocate(struct spreading *it) {
  size_t objects = it->graph->object_count;
  it->limit = LEAST_QUEUE;
  while (it->limit < objects / OBJECTS_PER_PLACE)
    it->limit *= 2;
  it->queue = malloc(it->limit * sizeof *it->queue);
  it->reach = large_zeroed(objects + EIGHT, sizeof *it->reach);
  return bitset_init(&it->pending, objects) && it->queue && it->reach;
}

static bool is_anything(const struct reach *reach) {
  uint64_t words[EIGHT * sizeof *reach / 8];
  memcpy(words, reach, sizeof words);
  return words[0] | words[1];
}

/* Subtracts what is reached. */
static void subtract(struct spreading *it) {
  const struct graph *graph = it->graph;
  for (uint64_t first = 0; first < graph->object_count; first += EIGHT) {
    if (!is_anything(&it->reach[first])) continue;
    for (uint64_t i = first; i < first + EIGHT && i < graph->object_count; i++) {
      uint8_t reached = it->reach[i].bits & (uint8_t)~it->reach[i].member;
      if (!reached) continue;
      uint64_t bytes = graph_bytes(graph, (object_id)i);
      for (; reached; reached &= (uint8_t)(reached - 1))
        it->lanes[__builtin_ctz(reached)].set->retained -= bytes;
    }
  }
}

/* Up to LANES sets. */
static struct inspect_error *compute(const struct holding *holding,
                                     const struct dominators *dominators,
                                     struct retained_set **sets, size_t count,
                                     const struct work *work) {
  struct spreading it = {.graph = holding->graph,
                         .dominators = dominators,
                         .holding = holding,
                         .work = work,
                         .count = (unsigned)count};
  struct inspect_error *error = allocate(&it) ? NULL : error_no_memory();
  for (size_t i = 0; i < count; i++)
    it.lanes[i].set = sets[i];
  if (!error) start(&it);
  if (!error) error = spread(&it);
  if (!error) subtract(&it);
  free(it.queue);
  free(it.reach);
  bitset_free(&it.pending);
  return error;
}

/* Whether a lane would be about much of the heap. */
static bool is_wide(const struct dominators *dominators, const struct retained_set *set) {
  enum { SHARE = 8 };
  object_id common = dominators_common(dominators, set->objects, set->count);
  return common == NO_OBJECT ||
         dominators->leave[common] - dominators->enter[common] > dominators->object_count / SHARE;
}

/* Tries to do without lanes; the sets that are left come first in `left`. */
static struct inspect_error *probe_all(const struct holding *holding,
                                       const struct dominators *dominators,
                                       struct retained_set *sets, size_t count,
                                       const struct work *work, struct retained_set **left,
                                       size_t *left_count) {
  enum { PASSES = 6 }; /* over all references: each a tenth of a lane's price */
  struct retained_probe probe = {.holding = holding,
                                 .dominators = dominators,
                                 .work = work,
                                 .budget = holding->graph->reference_count * PASSES};
  for (size_t i = 0; i < count; i++) {
    bool is_decided = false;
    if (is_wide(dominators, &sets[i])) TRY(retained_probe(&probe, &sets[i], &is_decided));
    if (!is_decided) left[(*left_count)++] = &sets[i];
  }
  return NULL;
}

struct inspect_error *retained_sets_compute(const struct graph *graph,
                                            const struct dominators *dominators,
                                            struct retained_set *sets, size_t count,
                                            const struct work *work) {
  for (size_t i = 0; i < count; i++)
    sets[i].retained = 0;
  if (!count) return NULL;
  struct holding holding;
  struct retained_set **left = malloc(count * sizeof(struct retained_set *));
  size_t left_count = 0;
  struct inspect_error *error =
      holding_init(&holding, graph, dominators->live, dominators->mask, work);
  if (!error && !left) error = error_no_memory();
  if (!error) error = probe_all(&holding, dominators, sets, count, work, left, &left_count);
  for (size_t first = 0; !error && first < left_count; first += LANES)
    error = compute(&holding, dominators, left + first,
                    left_count - first < LANES ? left_count - first : LANES, work);
  holding_free(&holding);
  free(left);
  return error;
}
