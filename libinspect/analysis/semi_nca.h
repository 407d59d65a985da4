/* semi_nca.h - immediate dominators of the inner objects (see holding.h), by number.
 *
 * Inner objects that are reached are numbered 1 .. count in depth-first preorder; 0 is a virtual
 * root above all roots. An immediate dominator has a smaller number than what it dominates, so
 * loops over numbers, up or down, replace walks over the tree. */
#ifndef ANALYSIS_SEMI_NCA_H
#define ANALYSIS_SEMI_NCA_H

#include "analysis/holding.h"

/* Two numbers that are used together lie together. */
struct number_pair {
  uint32_t up;    /* ancestor, then jump pointer */
  uint32_t label; /* label, then depth           */
};

/* All arrays have room for one number per object and two more; what they hold changes with the
 * phase, so that memory is used again instead of allocated. */
struct semi_nca {
  uint32_t count;
  uint32_t *number;          /* by object, 0: not reached or no inner object         */
  object_id *vertex;         /* by number; that of the virtual root is NO_OBJECT     */
  uint32_t *dominator;       /* by number: the immediate dominator                   */
  struct number_pair *pairs; /* by number: jump pointer and depth, for semi_nca_climb */
  uint32_t *spare[2];        /* for whoever comes next                               */
};

/* Always semi_nca_free afterwards. */
MUST_CHECK struct inspect_error *semi_nca_compute(const struct holding *holding,
                                                  const struct work *work, struct semi_nca *result);
void semi_nca_free(struct semi_nca *tree);

/* The jump pointer and depth of a new child of `parent`: two equal jumps in a row are joined. */
struct number_pair semi_nca_jump(const struct number_pair *pairs, uint32_t parent);

#endif
