/* mark.c - marking in sweeps, with a queue for what lies behind.
 *
 * Ids follow the order of discovery (graph/walk.c), so most references lead forward. A sweep over
 * the ids visits every marked object it comes to, and what it marks ahead is visited when it gets
 * there: rows are read from memory in order, and the marks of ten million objects fit the cache.
 * What is marked behind the sweep goes into a queue, emptied breadth first after the sweep. Rows
 * are met in any order there, so each is prefetched in two stages while its object is still some
 * places behind the head: first where the row starts, then the row. What does not fit the queue
 * stays pending for another sweep; the queue is so long that a sweep always has enough to visit
 * to be paid for, in whatever order ids come.
 *
 * Ephemerons. A visit of a weak-keyed table marks what does not depend on a key and puts the table
 * aside. When nothing is left to visit the entries of all tables put aside are looked at, once: the
 * value of a marked key is marked, any other is chained to its key. From then on a visit of an
 * object releases the values chained to it. Invariant: an entry that was looked at and whose key is
 * marked but not yet visited has its value marked, or in the chain of that key. */
#include "analysis/mark.h"

#include <stdlib.h>
#include <string.h>

enum {
  ROW_START_AHEAD = 24,
  ROW_AHEAD = 12,
  TARGETS_PER_LINE = 16,
  CHECK_EVERY = 1 << 16,   /* visits between two looks at the cancel flag */
  LEAST_QUEUE = 1 << 10,   /* places                                      */
  OBJECTS_PER_PLACE = 512, /* 8 words of a sweep for each place           */
};

static const uint8_t WEAK = OBJECT_WEAK_KEYS | OBJECT_WEAK_VALUES;

struct inspect_error *marking_init(struct marking *marking, const struct graph *graph,
                                   const struct graph_mask *mask, const struct work *work,
                                   struct bitset *marked) {
  *marking = (struct marking){.graph = graph, .mask = mask, .work = work, .marked = marked};
  marking->swept = graph->object_count;
  marking->masked_from = NO_REFERENCE;
  if (mask) {
    bool cuts_only = !mask->avoid && (mask->kinds & ALL_KINDS) == ALL_KINDS;
    marking->masked_from = !cuts_only ? 0 : mask->cut_count ? mask->cut[0] : NO_REFERENCE;
    marking->masked_to = !cuts_only        ? NO_REFERENCE
                         : mask->cut_count ? mask->cut[mask->cut_count - 1]
                                           : 0;
  }
  marking->limit = LEAST_QUEUE;
  while (marking->limit < graph->object_count / OBJECTS_PER_PLACE)
    marking->limit *= 2;
  marking->queue = malloc(marking->limit * sizeof *marking->queue);
  return marking->queue && bitset_init(&marking->pending, graph->object_count) ? NULL
                                                                               : error_no_memory();
}

void marking_free(struct marking *marking) {
  free(marking->waits);
  free(marking->queue);
  bitset_free(&marking->pending);
  vector_free(&marking->weak);
  vector_free(&marking->ephemerons);
  vector_free(&marking->values);
  *marking = (struct marking){0};
}

void marking_restart(struct marking *marking, struct bitset *marked, const struct bitset *before) {
  free(marking->waits);
  marking->waits = NULL;
  marking->marked = marked;
  marking->before = before;
  marking->weak.count = marking->ephemerons.count = marking->values.count = 0;
}

uint32_t next_with_flags(const struct graph *graph, uint32_t object, uint8_t flags) {
  uint64_t every = UINT64_C(0x0101010101010101) * flags, eight;
  while (object < graph->object_count) {
    if (graph->object_count - object >= 8) {
      memcpy(&eight, graph->flags + object, 8);
      if (!(eight & every)) {
        object += 8;
        continue;
      }
    }
    if (graph->flags[object] & flags) return object;
    object++;
  }
  return graph->object_count;
}

void marking_add_roots(struct marking *marking, bool with_pending) {
  const struct graph *graph = marking->graph;
  for (size_t i = 0; i < graph->root_count; i++) {
    const struct graph_root *root = &graph->roots[i];
    if (root->object >= graph->object_count || !root_keeps(root->kind)) continue;
    if (with_pending || root->kind != ROOT_PENDING) marking_add(marking, root->object);
  }
  for (uint32_t object = next_with_flags(graph, 0, OBJECT_FIXED); object < graph->object_count;
       object = next_with_flags(graph, object + 1, OBJECT_FIXED))
    marking_add(marking, object);
}

/* What a weak table holds whatever happens to its entries. */
static struct inspect_error *visit_weak(struct marking *marking, object_id table, uint8_t flags) {
  const struct graph *graph = marking->graph;
  reference_id first = graph_first(graph, table), end = graph_first(graph, (uint64_t)table + 1);
  bool has_object_keys = false;
  for (reference_id reference = first; reference < end; reference++) {
    uint8_t kind = graph->kind[reference];
    if (graph_is_strong(flags, kind)) {
      bool is_key = kind == REFERENCE_KEY && marking->before;
      if (!is_key || !entry_is_dropped(graph, marking->before, end, reference))
        marking_follow(marking, reference);
    } else if (graph_is_ephemeron_value(flags, kind)) {
      object_id key = entry_key(graph, first, reference);
      if (key == NO_OBJECT || is_string(graph, key))
        marking_follow(marking, reference);
      else
        has_object_keys = true;
    } else if (kind == REFERENCE_KEY && !(flags & OBJECT_WEAK_VALUES) &&
               is_string(graph, graph->target[reference])) {
      marking_follow(marking, reference);
    }
  }
  if (!vector_push(&marking->weak, table)) return error_no_memory();
  if (has_object_keys && !vector_push(&marking->ephemerons, table)) return error_no_memory();
  return NULL;
}

static struct inspect_error *wait_for(struct marking *marking, object_id key, object_id value) {
  if (!marking->waits) {
    marking->waits = calloc((size_t)marking->graph->object_count + 1, sizeof *marking->waits);
    if (!marking->waits) return error_no_memory();
  }
  struct waiting_value waiting = {.value = value, .next = marking->waits[key]};
  if (marking->values.count == UINT32_MAX || !vector_push(&marking->values, waiting))
    return error_no_memory();
  marking->waits[key] = (uint32_t)marking->values.count;
  return NULL;
}

static struct inspect_error *look_at_entries(struct marking *marking, object_id table) {
  const struct graph *graph = marking->graph;
  reference_id first = graph_first(graph, table), end = graph_first(graph, (uint64_t)table + 1);
  for (reference_id reference = first; reference < end; reference++) {
    uint8_t kind = graph->kind[reference];
    if (!graph_is_ephemeron_value(graph->flags[table], kind)) continue;
    object_id key = entry_key(graph, first, reference), value = graph->target[reference];
    if (key == NO_OBJECT || bitset_has(marking->marked, value)) continue;
    if (!mask_follows(marking->mask, kind, reference)) continue;
    if (bitset_has(marking->marked, key))
      marking_add(marking, value);
    else if (!is_string(graph, key))
      TRY(wait_for(marking, key, value));
  }
  return NULL;
}

static void release(struct marking *marking, object_id key) {
  for (uint32_t i = marking->waits[key]; i; i = marking->values.items[i - 1].next)
    marking_add(marking, marking->values.items[i - 1].value);
}

static inline void look_ahead(const struct marking *marking) {
  const struct graph *graph = marking->graph;
  uint32_t left = marking->tail - marking->head, mask = marking->limit - 1;
  if (left > ROW_START_AHEAD) {
    object_id object = marking->queue[(marking->head + ROW_START_AHEAD) & mask];
    __builtin_prefetch(&graph->first[object]);
    __builtin_prefetch(&graph->flags[object]);
  }
  if (left > ROW_AHEAD && graph->reference_count) {
    object_id object = marking->queue[(marking->head + ROW_AHEAD) & mask];
    const object_id *row = graph->target + graph_first(graph, object);
    __builtin_prefetch(row);
    __builtin_prefetch(row + TARGETS_PER_LINE);
  }
}

static inline void visit_strong(struct marking *marking, reference_id first, reference_id end) {
  const object_id *target = marking->graph->target;
  if (first <= marking->masked_to && end > marking->masked_from) {
    for (reference_id i = first; i < end; i++)
      marking_follow(marking, i);
    return;
  }
  for (reference_id i = first; i < end; i++)
    if (bitset_insert(marking->marked, target[i])) marking_push(marking, target[i]);
}

static inline struct inspect_error *visit(struct marking *marking, object_id object) {
  const struct graph *graph = marking->graph;
  uint8_t flags = graph->flags[object];
  if (marking->waits && marking->waits[object]) release(marking, object);
  if (flags & WEAK) return visit_weak(marking, object, flags);
  visit_strong(marking, graph_first(graph, object), graph_first(graph, (uint64_t)object + 1));
  return NULL;
}

static struct inspect_error *report(const struct marking *marking, uint64_t done) {
  uint32_t total = marking->graph->object_count;
  return work_stops(marking->work, "marking", done, total) ? error_interrupted() : NULL;
}

/* Visits all that is pending, but what becomes so behind the sweep. */
static struct inspect_error *sweep(struct marking *marking) {
  enum { WORDS_AT_ONCE = CHECK_EVERY / 64 };
  uint32_t count = marking->graph->object_count;
  uint64_t *words = marking->pending.words;
  marking->has_pending = false;
  for (uint32_t word = 0; (uint64_t)word * 64 < count; word++) {
    if (word % WORDS_AT_ONCE == 0) TRY(report(marking, (uint64_t)word * 64));
    while (words[word]) {
      object_id object = word * 64 + (uint32_t)__builtin_ctzll(words[word]);
      words[word] &= words[word] - 1;
      marking->swept = object + 1;
      TRY(visit(marking, object));
    }
  }
  marking->swept = count;
  return NULL;
}

static struct inspect_error *empty_queue(struct marking *marking) {
  while (marking->head != marking->tail) {
    if (marking->head % CHECK_EVERY == 0) TRY(report(marking, 0));
    look_ahead(marking);
    TRY(visit(marking, marking->queue[marking->head++ & (marking->limit - 1)]));
  }
  return NULL;
}

static struct inspect_error *visit_all(struct marking *marking) {
  do {
    if (marking->has_pending) TRY(sweep(marking));
    TRY(empty_queue(marking));
  } while (marking->has_pending);
  return NULL;
}

struct inspect_error *marking_run(struct marking *marking) {
  for (;;) {
    TRY(visit_all(marking));
    if (!marking->ephemerons.count) return NULL;
    while (marking->ephemerons.count)
      TRY(look_at_entries(marking, marking->ephemerons.items[--marking->ephemerons.count]));
  }
}
