/* collect.h - the computed full collection: what collectgarbage("collect") would leave.
 *
 * Stop-the-world marking over the graph, ignoring all colours, in the order of Lua 5.4's atomic
 * phase (lgc.c), which decides what weak tables and finalizers do:
 *   1. mark from the roots (ROOT_GLOBALS and ROOT_LOADED are no roots), then ephemerons to a
 * fixpoint
 *   2. clear values of weak-value tables: string values are marked instead of cleared
 *   3. objects with a finalizer that are not marked are resurrected: marked with all they reach,
 *      ephemerons to a fixpoint again
 *   4. clear keys of weak-key tables: string keys of entries that are left are marked
 *   5. clear values again, only of weak-value tables first reached in step 3
 * OBJECT_FIXED objects are always left: they count as roots. Objects of ROOT_PENDING and what they
 * reach count as marked in all steps. OBJECT_PENDING and OBJECT_DEAD objects are never resurrected.
 *
 * The mask applies to all of this: objects avoided are never marked, not as roots, strings or
 * resurrected objects either. A KEY that may not be followed does not hide the value of its entry.
 */
#ifndef ANALYSIS_COLLECT_H
#define ANALYSIS_COLLECT_H

#include "base/work.h"
#include "graph/graph.h"

/* Disjoint sets over objects; their union is what the collection leaves. */
struct collection {
  struct bitset live;      /* reachable: what the next collection would leave again              */
  struct bitset finalizer; /* left only because a finalizer has still to run: step 3, or held only
                              by ROOT_PENDING objects; gone with the collection after            */
};

/* On error `*result` is empty. Free with collection_free. */
MUST_CHECK struct inspect_error *collect(const struct graph *graph, const struct graph_mask *mask,
                                         const struct work *work, struct collection *result);

void collection_free(struct collection *collection);

static inline bool collection_leaves(const struct collection *collection, object_id object) {
  return bitset_has(&collection->live, object) || bitset_has(&collection->finalizer, object);
}

#endif
