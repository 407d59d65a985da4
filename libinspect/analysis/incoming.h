/* incoming.h - who refers to an object: one pass over all references, in the order of the rows.
 *
 * Needs no memory but the set of objects asked about; what is found is handed out at once. */
#ifndef ANALYSIS_INCOMING_H
#define ANALYSIS_INCOMING_H

#include "base/bitset.h"
#include "base/work.h"
#include "graph/graph.h"

/* What a reference does to the object it leads to. */
enum reference_strength {
  STRENGTH_STRONG,    /* holds it                                                            */
  STRENGTH_EPHEMERON, /* value of an entry with a weak key: holds it while the key is held   */
  STRENGTH_WEAK,      /* does not hold it                                                    */
};

/* Strings are no objects to a weak table: as values, and as keys of weak-keyed tables, they are
 * held. */
enum reference_strength reference_strength(const struct graph *graph, object_id from,
                                           reference_id reference);

/* "strong", "ephemeron", "weak": for JSON. */
const char *reference_strength_name(enum reference_strength strength);

/* Calls `take` for each reference to a member of `targets`; it returns false when memory is out. */
MUST_CHECK struct inspect_error *
incoming_find(const struct graph *graph, const struct bitset *targets, const struct work *work,
              bool (*take)(void *context, object_id from, reference_id reference), void *context);

#endif
