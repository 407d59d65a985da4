/* semi_nca.h - immediate dominators of the inner objects, by number.
 *
 * Inner objects that are reached are numbered 1 .. count in depth-first preorder; 0 is a virtual
 * root above all roots. An immediate dominator has a smaller number than what it dominates, so
 * loops over numbers, up or down, replace walks over the tree. */
#ifndef ANALYSIS_SEMI_NCA_H
#define ANALYSIS_SEMI_NCA_H

#include "analysis/inner_graph.h"

/* Two numbers that are used together lie together. */
struct number_pair {
  uint32_t up;    /* ancestor, then jump pointer */
  uint32_t label; /* label, then depth           */
};

/* All arrays have room for one number per inner object and two more. */
struct semi_nca {
  uint32_t count;
  object_id *vertex;         /* by number: the object; that of the virtual root is NO_OBJECT */
  uint32_t *dominator;       /* by number: the immediate dominator                           */
  struct number_pair *pairs; /* by number: jump pointer and depth                            */
  uint32_t *spare[2];        /* for whoever comes next                                       */
};

/* The edges of the inner graph are used up: afterwards nodes[].a is the number, 0 if the node is
 * not reached. Always semi_nca_free afterwards. */
MUST_CHECK struct inspect_error *semi_nca_compute(struct inner_graph *inner,
                                                  const struct holding *holding,
                                                  const struct work *work, struct semi_nca *result);
void semi_nca_free(struct semi_nca *tree);

#endif
