/* retained_sets.h - what several objects hold together: exact retained sizes of sets.
 *
 * The retained bytes of a set are those of all objects that are not reached without the members:
 * what any member dominates, and what is held by several members but by nothing else (a string
 * that two of them share), which no tree of single dominators knows. The references are those of
 * dominators.h. */
#ifndef ANALYSIS_RETAINED_SETS_H
#define ANALYSIS_RETAINED_SETS_H

#include "analysis/dominators.h"

struct retained_set {
  const object_id *objects; /* which may be listed twice; those not reached hold nothing */
  size_t count;
  uint64_t retained; /* bytes */
};

/* Fills in `retained` of all sets, which may overlap: time as for a marking for each eight of them,
 * less for sets that one object dominates. What `dominators` was computed from must still be there.
 */
MUST_CHECK struct inspect_error *retained_sets_compute(const struct graph *graph,
                                                       const struct dominators *dominators,
                                                       struct retained_set *sets, size_t count,
                                                       const struct work *work);

#endif
