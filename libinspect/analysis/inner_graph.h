/* inner_graph.h - the graph of inner objects alone (layers.h), with numbers of its own.
 *
 * Its nodes are inner objects by rank, so arrays over them are as small as can be. A node is 8
 * bytes: most have one or two targets, which lie in the node itself. */
#ifndef ANALYSIS_INNER_GRAPH_H
#define ANALYSIS_INNER_GRAPH_H

#include "analysis/layers.h"

typedef uint32_t inner_id;

#define NO_INNER UINT32_MAX

struct inner_graph {
  uint32_t count;
  const struct bitset *inner;
  uint32_t *before; /* inner objects before each 64 objects */
  object_id *object;
  struct inner_node {
    uint32_t a,
        b; /* the targets, NO_INNER if there are less; of a long one, edge[a] .. edge[b-1] */
  } * nodes;
  struct bitset is_long;
  inner_id *edge;
};

/* Also notes who holds twigs. Always inner_graph_free afterwards. */
MUST_CHECK struct inspect_error *inner_graph_init(struct inner_graph *inner, struct layers *layers,
                                                  const struct work *work);
void inner_graph_free(struct inner_graph *inner);

/* The node of an inner object. */
static inline inner_id inner_node(const struct inner_graph *inner, object_id object) {
  uint64_t below = inner->inner->words[object >> 6] & ((UINT64_C(1) << (object & 63)) - 1);
  return inner->before[object >> 6] + (uint32_t)__builtin_popcountll(below);
}

#endif
