/* collect.h - the computed full collection: what collectgarbage("collect") would leave, and what of
 * that the same call would leave once more.
 *
 * Stop-the-world marking over the graph, ignoring all colours, in the order of Lua 5.4's atomic
 * phase (lgc.c), which decides what weak tables and finalizers do:
 *   1. mark from the roots (ROOT_GLOBALS and ROOT_LOADED are no roots), then ephemerons to a
 *      fixpoint
 *   2. clear values of weak-value tables: string values are marked instead of cleared
 *   3. objects with a finalizer that are not marked are resurrected: marked with all they reach,
 *      ephemerons to a fixpoint again
 *   4. clear keys of weak-key tables: string keys of entries that are left are marked
 *   5. clear values again, only of weak-value tables first reached in step 3
 * OBJECT_FIXED objects are always left: they count as roots. Objects of ROOT_PENDING and what they
 * reach count as marked in all steps. OBJECT_PENDING and OBJECT_DEAD objects are never resurrected.
 *
 * The second collection differs from the first in three ways: the finalizers that were due have
 * been called (and, as far as anybody can tell, did nothing), so that neither ROOT_PENDING nor step
 * 3 holds their objects again; and the keys of a table with weak values, which the first collection
 * marks even if it then clears their entries, are held only if it did not.
 *
 * The mask applies to all of this: objects avoided are never marked, not as roots, strings or
 * resurrected objects either. A KEY that may not be followed does not hide the value of its entry.
 */
#ifndef ANALYSIS_COLLECT_H
#define ANALYSIS_COLLECT_H

#include "base/work.h"
#include "graph/graph.h"

/* Disjoint sets over objects; their union is what the collection leaves.
 *
 * `live` is what the next collection would leave again. Strings in weak entries that the first one
 * drops may be in it, too: they refer to nothing, and Lua drops no entry for its string.
 *
 * `finalizer` is gone with the next collection: left only because a finalizer had still to run, or
 * as key of an entry with weak value that was dropped. */
struct collection {
  struct bitset live, finalizer;
};

/* On error `*result` is empty. Free with collection_free. */
MUST_CHECK struct inspect_error *collect(const struct graph *graph, const struct graph_mask *mask,
                                         const struct work *work, struct collection *result);

void collection_free(struct collection *collection);

static inline bool collection_leaves(const struct collection *collection, object_id object) {
  return bitset_has(&collection->live, object) || bitset_has(&collection->finalizer, object);
}

#endif
