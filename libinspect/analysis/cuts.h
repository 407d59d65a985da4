/* cuts.h - what would be collected without a reference, for several references one by one.
 *
 * The answer is that of the full collection (collect.h) with the reference cut, but had from the
 * dominator tree where that is the same: without the reference u -> v either v stays, and then
 * everything does, or exactly what v dominates goes. The tree does not know
 *   that the value of an ephemeron entry goes with its table, too
 *   what a second collection leaves, if it leaves less than the first
 * so a reference of which such a thing may depend is judged by a collection of its own. */
#ifndef ANALYSIS_CUTS_H
#define ANALYSIS_CUTS_H

#include "analysis/collect.h"
#include "analysis/dominators.h"

enum cut_effect {
  CUT_SPARES,    /* the object that the reference leads to stays: nothing is freed */
  CUT_FREES,     /* what it dominates is freed                                      */
  CUT_IS_UNSURE, /* only a collection can tell                                      */
};

struct cut {
  reference_id reference;
  enum cut_effect effect;
};

/* Fills in the effects. `collection` and `dominators` are those of the whole graph without a mask;
 * the latter may be NULL: then all are unsure. */
MUST_CHECK struct inspect_error *cuts_judge(const struct graph *graph,
                                            const struct collection *collection,
                                            const struct dominators *dominators, struct cut *cuts,
                                            size_t count, const struct work *work);

/* How many of the objects, which are in `collection.live` and no strings, are no longer reachable
 * without the reference of a cut that was judged (freed, or due for their finalizer). */
MUST_CHECK struct inspect_error *cuts_count_freed(const struct graph *graph,
                                                  const struct dominators *dominators,
                                                  const struct cut *cut, const object_id *objects,
                                                  size_t count, const struct work *work,
                                                  size_t *freed);

#endif
