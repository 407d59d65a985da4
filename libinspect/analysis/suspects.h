/* suspects.h - where in a cause's chain the leak begins. See causes.h. */
#ifndef ANALYSIS_SUSPECTS_H
#define ANALYSIS_SUSPECTS_H

#include "analysis/causes.h"
#include "base/vector.h"

struct suspects {
  const struct graph *graph;
  const struct dominators *dominators;
  const struct bitset *survivors;                 /* or NULL                                   */
  struct suspects_places VECTOR(uint32_t) places; /* preorder numbers of a cause's members     */
  unsigned scans;                                 /* how often they were counted: then sorted  */
};

void suspects_free(struct suspects *suspects);

/* Fills in suspect and only_holder_of of a cause. False: out of memory. */
bool suspects_find(struct suspects *suspects, struct cause *cause, const object_id *members);

#endif
