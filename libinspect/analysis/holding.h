/* holding.h - the edges that dominators are computed over: which reference holds its target.
 *
 *   strong references, and in tables of any weak mode those to strings, which Lua never clears (but
 *   not a string key of an entry that is dropped because its value is)
 *   key -> value for each entry of an ephemeron table whose key is an object other than a string;
 *   not table -> value
 *
 * Edges of an object are enumerated in the order of its row, then the values it is an ephemeron key
 * of. */
#ifndef ANALYSIS_HOLDING_H
#define ANALYSIS_HOLDING_H

#include "analysis/mark.h"
#include "base/bitset.h"
#include "base/work.h"
#include "graph/graph.h"

struct holding {
  const struct graph *graph;
  const struct graph_mask *mask;
  const struct bitset *left; /* what is reachable, or more if nothing depends on it             */
  struct bitset reached;     /* owns it if it had to be computed                                 */
  /* Ephemerons: the values of the i-th key (by id) are values[first[i] .. first[i + 1]). */
  struct bitset keys;
  uint32_t *ranks; /* how many keys lie before each 64 objects */
  uint32_t *first;
  object_id *values;
};

/* `live` as for dominators_compute; what is reachable within a mask, or with no limit (NULL), is
 * marked. Always holding_free afterwards. */
MUST_CHECK struct inspect_error *holding_init(struct holding *holding, const struct graph *graph,
                                              const struct bitset *live,
                                              const struct graph_mask *mask,
                                              const struct work *work);
void holding_free(struct holding *holding);

/* Whether a reference of `object` holds: the mask, and the rules of weak tables. */
bool holding_holds(const struct holding *holding, object_id object, reference_id reference);

static inline uint32_t holding_key_rank(const struct holding *holding, object_id key) {
  uint64_t below = holding->keys.words[key >> 6] & ((UINT64_C(1) << (key & 63)) - 1);
  return holding->ranks[key >> 6] + (uint32_t)__builtin_popcountll(below);
}

/* A place among the edges of an object. */
struct held {
  object_id object;
  bool plain;  /* every reference of the row holds                                              */
  bool is_key; /* of an ephemeron; its values follow the row, once they have been looked up     */
  reference_id row, at, end;
  uint32_t value, value_end;
};

static inline struct held held_begin(const struct holding *holding, object_id object) {
  const struct graph *graph = holding->graph;
  struct held held = {.object = object};
  held.row = held.at = graph_first(graph, object);
  held.end = graph_first(graph, (uint64_t)object + 1);
  held.plain = !holding->mask && !(graph->flags[object] & (OBJECT_WEAK_KEYS | OBJECT_WEAK_VALUES));
  held.is_key = holding->values && bitset_has(&holding->keys, object);
  return held;
}

static inline void held_look_up_values(const struct holding *holding, struct held *held) {
  uint32_t rank = holding_key_rank(holding, held->object);
  held->value = holding->first[rank];
  held->value_end = holding->first[rank + 1];
  held->is_key = false;
}

/* The next object held; false if there is none. It need not take part. */
static inline bool held_next(const struct holding *holding, struct held *held, object_id *target) {
  const struct graph *graph = holding->graph;
  while (held->at < held->end) {
    reference_id reference = held->at++;
    if (!held->plain && !holding_holds(holding, held->object, reference)) continue;
    *target = graph->target[reference];
    return true;
  }
  if (held->is_key) held_look_up_values(holding, held);
  if (held->value == held->value_end) return false;
  *target = holding->values[held->value++];
  return true;
}

#endif
