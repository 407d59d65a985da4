/* doubt.h - what cannot be decided because references were lost.
 *
 * A reference that was lost may have led to any object of its VM that the collection does not leave
 * (and that its place may hold): these are in doubt, with all that they refer to. Who has lost it
 * must be left himself, or be in doubt: what a dead object referred to keeps nothing. So damage to
 * garbage, or to what refers to nothing, leaves all verdicts as they are. Of two objects that
 * nothing else refers to nobody can say which of them a lost reference led to: both are in doubt.
 */
#ifndef ANALYSIS_DOUBT_H
#define ANALYSIS_DOUBT_H

#include "analysis/collect.h"

/* `result` receives the objects that may be live although they are not in collection->live; nothing
 * if the graph is complete. Free it with bitset_free. */
MUST_CHECK struct inspect_error *doubt(const struct graph *graph,
                                       const struct collection *collection, struct bitset *result);

#endif
