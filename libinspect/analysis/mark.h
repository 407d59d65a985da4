/* mark.h - what is reachable: the marking under the computed full collection.
 *
 * Objects are marked in sweeps over the rows of the graph, and over a small queue what lies behind
 * a sweep; ephemerons are converged by an index from keys to the values that wait for them, so that
 * the whole takes time linear in references whatever the shape of the graph and of the ephemeron
 * tables. Marking more roots after a run and running again is what a collection does to resurrect.
 * The rules of weak tables are in graph.h; a string as key of an ephemeron counts as reached and is
 * marked with its table, as Lua does. */
#ifndef ANALYSIS_MARK_H
#define ANALYSIS_MARK_H

#include "base/bitset.h"
#include "base/vector.h"
#include "base/work.h"
#include "graph/graph.h"

struct object_list VECTOR(object_id);

struct waiting_value {
  object_id value;
  uint32_t next; /* position + 1 of the next value that waits for the same key; 0: none */
};

struct marking {
  const struct graph *graph;
  const struct graph_mask *mask;
  const struct work *work;
  struct bitset *marked;         /* the caller's                                          */
  const struct bitset *before;   /* what a collection before this one found in use: entries with
                                    weak values that are not in it are gone; NULL: none before */
  struct bitset pending;         /* marked, to be visited by a sweep                      */
  bool has_pending;              /* there may be some behind the sweep                    */
  uint32_t swept;                /* the sweep comes to what is pending from here on       */
  uint32_t *queue;               /* a ring of other objects that are to be visited        */
  uint32_t limit, head, tail;    /* its size, a power of two; first object, first place   */
  reference_id masked_from;      /* rows with references in masked_from .. masked_to are  */
  reference_id masked_to;        /* the only ones in which the mask forbids something     */
  struct object_list weak;       /* weak tables of any mode, in order of visit            */
  struct object_list ephemerons; /* those whose entries have still to be looked at        */
  uint32_t *waits;               /* by key: position + 1 of its first waiting value, or 0;
                                    NULL until there is one                               */
  struct waiting_values VECTOR(struct waiting_value) values;
};

/* Marks into `marked`, an empty set over the graph's objects. Always marking_free afterwards. */
MUST_CHECK struct inspect_error *marking_init(struct marking *marking, const struct graph *graph,
                                              const struct graph_mask *mask,
                                              const struct work *work, struct bitset *marked);
void marking_free(struct marking *marking);

/* Starts over with another empty set, after a collection that found `before` in use. */
void marking_restart(struct marking *marking, struct bitset *marked, const struct bitset *before);

/* Has an object visited that was not marked until now. */
static inline void marking_push(struct marking *marking, object_id object) {
  if (object < marking->swept) {
    if (marking->tail - marking->head < marking->limit) {
      marking->queue[marking->tail++ & (marking->limit - 1)] = object;
      return;
    }
    marking->has_pending = true;
  }
  bitset_add(&marking->pending, object);
}

/* Marks one object unless the mask avoids it; what it refers to is marked by the next run. */
static inline void marking_add(struct marking *marking, object_id object) {
  if (mask_enters(marking->mask, object) && bitset_insert(marking->marked, object))
    marking_push(marking, object);
}

/* Marks the target of a reference if the mask lets it be followed. */
static inline void marking_follow(struct marking *marking, reference_id reference) {
  const struct graph *graph = marking->graph;
  if (mask_follows(marking->mask, graph->kind[reference], reference))
    marking_add(marking, graph->target[reference]);
}

/* Marks the roots (ROOT_GLOBALS and ROOT_LOADED are none) and OBJECT_FIXED objects. */
void marking_add_roots(struct marking *marking, bool with_pending);

/* Marks all that is reachable from what is marked, ephemerons converged. */
MUST_CHECK struct inspect_error *marking_run(struct marking *marking);

/* The first object from `object` on that has one of the flags; object_count if there is none. */
uint32_t next_with_flags(const struct graph *graph, uint32_t object, uint8_t flags);

static inline bool root_keeps(enum root_kind kind) {
  return kind != ROOT_GLOBALS && kind != ROOT_LOADED;
}

/* Whether the reference is the value of a table entry. */
static inline bool is_entry_value(uint8_t kind) {
  return kind == REFERENCE_FIELD || kind == REFERENCE_KEYED || kind == REFERENCE_INDEX;
}

/* The key object of an entry, given its value and the start of the row; NO_OBJECT if the key is a
 * number or the like. */
static inline object_id entry_key(const struct graph *graph, reference_id first,
                                  reference_id value) {
  bool has_key = value > first && graph->kind[value] != REFERENCE_INDEX &&
                 graph->kind[value - 1] == REFERENCE_KEY;
  return has_key ? graph->target[value - 1] : NO_OBJECT;
}

/* The value object of an entry, given its key and the end of the row; NO_OBJECT if the value is no
 * object. */
static inline object_id entry_value(const struct graph *graph, reference_id end, reference_id key) {
  bool has_value = key + 1 < end && (graph->kind[key + 1] == REFERENCE_FIELD ||
                                     graph->kind[key + 1] == REFERENCE_KEYED);
  return has_value ? graph->target[key + 1] : NO_OBJECT;
}

static inline bool is_string(const struct graph *graph, object_id object) {
  return graph->type[object] == OBJECT_STRING;
}

/* Whether the entry with this key loses its value if `marked` is all that is in use when the values
 * of weak tables are cleared. */
static inline bool entry_is_dropped(const struct graph *graph, const struct bitset *marked,
                                    reference_id end, reference_id key) {
  object_id value = entry_value(graph, end, key);
  return value != NO_OBJECT && !is_string(graph, value) && !bitset_has(marked, value);
}

#endif
