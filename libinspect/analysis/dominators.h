/* dominators.h - who keeps what alive: dominator tree and retained sizes.
 *
 * u dominates v if every path of strong references from the roots to v passes through u. The
 * retained bytes of v are those of all objects it dominates: what would be freed if v were gone.
 * Roots are as in collect.h: not ROOT_GLOBALS and ROOT_LOADED, but OBJECT_FIXED objects, which
 * nothing frees.
 *
 * Weak references are no edges, except those to strings, which Lua never clears from a weak table.
 * The value of an ephemeron entry needs its table and its key; the edge is drawn from the key alone
 * (tables used as ephemerons usually live for ever, so the value goes when the key does).
 * Consequence: the retained bytes of an ephemeron table do not contain the values that would go
 * with it. A string key is no holder: its value's edge starts at the table.
 *
 * Semi-NCA (Georgiadis) without recursion, linear in practice; only objects in `live` take part. */
#ifndef ANALYSIS_DOMINATORS_H
#define ANALYSIS_DOMINATORS_H

#include "base/bitset.h"
#include "base/work.h"
#include "graph/graph.h"

struct dominators {
  uint32_t object_count;
  object_id *parent;  /* immediate dominator; NO_OBJECT: held by several roots, or not reached */
  uint64_t *retained; /* bytes, 0 if not reached                                               */
  uint32_t *enter;    /* preorder number in the dominator tree, from 1; 0: not reached         */
  uint32_t *leave;    /* largest preorder number in the subtree                                */
  uint64_t bytes;     /* of all objects that are reached                                       */
  const struct bitset *live;     /* as given, not owned                                        */
  const struct graph_mask *mask; /* the same                                                   */
};

/* `live` (NULL: everything reachable) limits the objects; it is the `live` of a collection, or at
 * least holds no unreachable ephemeron table. `mask` as everywhere. On error `*result` is empty. */
MUST_CHECK struct inspect_error *dominators_compute(const struct graph *graph,
                                                    const struct bitset *live,
                                                    const struct graph_mask *mask,
                                                    const struct work *work,
                                                    struct dominators *result);

void dominators_free(struct dominators *dominators);

/* Whether every path to `inner` passes through `outer` (an object dominates itself). O(1). */
static inline bool dominators_dominates(const struct dominators *dominators, object_id outer,
                                        object_id inner) {
  return dominators->enter[inner] && dominators->enter[outer] &&
         dominators->enter[outer] <= dominators->enter[inner] &&
         dominators->enter[inner] <= dominators->leave[outer];
}

/* The deepest object that dominates all of `objects` (possibly one of them), NO_OBJECT if there is
 * none: held by several roots, one of them not reached, or an empty set. */
object_id dominators_common(const struct dominators *dominators, const object_id *objects,
                            size_t count);

/* Bytes of all that some of `objects` dominates, overlaps counted once. What only several of them
 * together hold is not included: it takes more time (retained_sets.h). Returns UINT64_MAX when out
 * of memory. */
uint64_t dominators_retained_by_set(const struct dominators *dominators, const object_id *objects,
                                    size_t count);

#endif
