/* survivor_tree.h - the part of a chains search that leads to survivors, with patterns.
 *
 * The best chains form a forest. Its part above the survivors is usually small, so its nodes are
 * numbered by the rank of the object in a bit set. A million survivors cost a million steps: the
 * pattern of an object is made from its parent's.
 *
 * The holder of an object is the survivor nearest on its chain, where the key of an ephemeron entry
 * counts as lying between table and value. */
#ifndef ANALYSIS_SURVIVOR_TREE_H
#define ANALYSIS_SURVIVOR_TREE_H

#include "analysis/chains.h"
#include "analysis/patterns.h"

struct survivor_tree {
  const struct graph *graph;
  const struct chains *chains;
  const struct chains_options *options;
  struct bitset objects; /* what is in the tree                                */
  uint32_t *before;      /* objects in the tree before those of each word      */
  struct survivor_node {
    uint32_t token;   /* of the reference from the parent                      */
    uint32_t pattern; /* of the chain                                          */
    union {
      uint32_t depth;        /* references of the chain                        */
      uint32_t elements_end; /* until then: position in the row behind the elements of a table's
                                array, NO_NUMBER: not asked for                */
    };
    object_id holder; /* NO_OBJECT: held directly                              */
    object_id top;    /* the last of the holders (of a survivor); see survivor_tree_top */
  } * nodes;
  uint32_t count;
  struct patterns patterns;
};

/* The arguments must outlive the tree. On error the tree is empty. */
MUST_CHECK struct inspect_error *
survivor_tree_init(struct survivor_tree *tree, const struct graph *graph,
                   const struct chains *chains, const struct chains_options *options,
                   const object_id *survivors, size_t count, const struct work *work);
void survivor_tree_free(struct survivor_tree *tree);

/* The node of an object in the tree. */
static inline struct survivor_node *survivor_tree_node(const struct survivor_tree *tree,
                                                       object_id object) {
  uint64_t below = (UINT64_C(1) << (object & 63)) - 1;
  uint64_t word = tree->objects.words[object >> 6] & below;
  return &tree->nodes[tree->before[object >> 6] + (uint32_t)__builtin_popcountll(word)];
}

/* The survivor that is held directly and holds, over any number of others, this one (or is it). */
object_id survivor_tree_top(struct survivor_tree *tree, object_id survivor);

#endif
