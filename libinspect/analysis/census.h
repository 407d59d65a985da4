/* census.h - objects counted by group: how many, how many bytes, how many bytes they retain.
 *
 * Groups are numbers given by the caller, one for each object. The retained bytes of a group are
 * those of the dominator subtrees of its members, nested ones counted once: what would be freed if
 * one member after the other were gone, without what only several of them hold together. Retained
 * bytes of different groups overlap and must not be added up; counts and bytes may.
 *
 * Linear: one pass over the objects, and one over the dominator tree in preorder, in which a member
 * is nested in another of its group if it lies in the interval of the last one counted. */
#ifndef ANALYSIS_CENSUS_H
#define ANALYSIS_CENSUS_H

#include "analysis/dominators.h"

#define NO_GROUP UINT32_MAX /* the object is not counted */

struct census_group {
  uint64_t count, bytes;
  uint64_t retained; /* 0 without dominators, and for members that are not alive       */
  object_id example; /* the member that retains most, or is biggest if none is alive; of
                        several the first by address                                   */
};

struct census {
  struct census_group *groups; /* by number                                              */
  uint32_t group_count;
  uint64_t count, bytes; /* of all groups                                                */
};

/* `group` has an entry for each object, below `group_count` or NO_GROUP; `dominators` may be NULL.
 * On error the result is empty. */
MUST_CHECK struct inspect_error *census_take(const struct graph *graph, const uint32_t *group,
                                             uint32_t group_count,
                                             const struct dominators *dominators,
                                             const struct work *work, struct census *result);

void census_free(struct census *census);

#endif
