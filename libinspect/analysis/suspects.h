/* suspects.h - where in a cause's chain the leak begins. See causes.h. */
#ifndef ANALYSIS_SUSPECTS_H
#define ANALYSIS_SUSPECTS_H

#include "analysis/causes.h"
#include "base/radix.h"

struct suspects {
  const struct graph *graph;
  const struct dominators *dominators;
  const struct bitset *survivors;                        /* or NULL */
  struct suspects_order VECTOR(struct radix_item) order; /* members by preorder number: low */
};

void suspects_free(struct suspects *suspects);

/* Fills in suspect, only_holder_of and retained_bytes of a cause. False: out of memory. */
bool suspects_find(struct suspects *suspects, struct cause *cause, const object_id *members);

#endif
