/* attach.h - the dominators of leaves and twigs that have several holders.
 *
 * Such an object is dominated by the nearest common ancestor of its holders, and that is the
 * nearest common ancestor of the first and the last of them in a preorder of the dominator tree.
 * So the two extremes are noted for each. A twig as holder counts as its own dominator does: it
 * dominates nothing that has another holder. */
#ifndef ANALYSIS_ATTACH_H
#define ANALYSIS_ATTACH_H

#include "analysis/semi_nca.h"

/* Replaces HELD_BY_SEVERAL in layers->holder by the dominator (HELD_BY_ROOTS: no single object).
 * `least` and `most` have an element, 0, for each object, and so afterwards. Uses up the pairs and
 * the spare arrays of the tree, and nodes[].b. */
MUST_CHECK struct inspect_error *attach(struct layers *layers, struct inner_graph *inner,
                                        struct semi_nca *tree, uint32_t *least, uint32_t *most,
                                        const struct work *work);

#endif
