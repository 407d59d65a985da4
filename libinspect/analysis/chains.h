/* chains.h - reference chains: why is this object still here?
 *
 * chains_search gives every target one best chain. Preference is by tier, then by length, then by
 * label (last reference first, label_order.h), then by position in the row of the last common
 * holder; so that two runs of one program agree:
 *
 *   tier 0  from _G or a loaded module, over fields, indexes, metatables, environments, user values
 *   tier 1  also over upvalues
 *   tier 2  also from the registry itself, basic-type metatables and pending finalizers, and over
 * keys (a table that holds the object as a key), constants, prototypes tier 3  also over coroutine
 * stacks and their open upvalues tier 4  also from the main and the running thread and over their
 * own stacks; stale stack slots tier 5  also through other survivors
 *
 * An object is settled at the lowest tier that reaches it and keeps that chain: what is reached
 * from it in a later tier continues that chain even if a shorter one of the later tier leads there.
 * Weak references are never followed. The value of an ephemeron entry is reached over its table
 * once both table and key are settled (string keys are), one step further than the later of the
 * two; if the key is a survivor, in tier 5. Objects in `barred` (trackers) are never entered. */
#ifndef ANALYSIS_CHAINS_H
#define ANALYSIS_CHAINS_H

#include "base/bitset.h"
#include "base/vector.h"
#include "base/work.h"
#include "graph/graph.h"

struct chains_options {
  const struct graph_mask *mask;
  const object_id *from; /* start here instead of at the roots (tier 0 then), or NULL          */
  size_t from_count;
  const struct bitset *barred;    /* never entered: trackers; or NULL                          */
  const struct bitset *survivors; /* entered early, but left (followed onward) only in tier 5;
                                     or NULL                                                   */
  const struct bitset *targets;   /* only chains to these are wanted: the search may stop when all
                                     are settled, strings are settled only if in here, and what is
                                     on no chain to a target (or to the key of an ephemeron entry
                                     on one) has any of its best chains; NULL: all are wanted    */
};

/* The arrays say nothing of objects that are not settled. */
struct chains {
  uint32_t object_count;
  object_id *parent; /* previous object on the best chain; NO_OBJECT: a start                     */
  uint32_t *via;     /* of a start: its position in graph->roots (or in `from`); else the reference
                        from the parent, as position in the parent's row                         */
  struct bitset settled;
  uint8_t *tier; /* where settled                                                             */
};

/* The reference over which a settled object is reached, NO_REFERENCE for a start. */
static inline reference_id chains_reference(const struct graph *graph, const struct chains *chains,
                                            object_id object) {
  object_id parent = chains->parent[object];
  return parent == NO_OBJECT ? NO_REFERENCE : graph_first(graph, parent) + chains->via[object];
}

/* On error `*result` is empty. Free with chains_free. `options` may be NULL. */
MUST_CHECK struct inspect_error *chains_search(const struct graph *graph,
                                               const struct chains_options *options,
                                               const struct work *work, struct chains *result);
void chains_free(struct chains *chains);

/* One step of a chain: `object` is reached over `reference` (NO_REFERENCE for the start). */
struct chain_step {
  object_id object;
  reference_id reference;
};

struct chain {
  struct chain_step *items; /* root first, the object itself last */
  size_t count, capacity;
  uint32_t root; /* position in graph->roots or in `from` */
};

/* The chain of a settled object, false when out of memory or not settled. `chain` is overwritten;
 * vector_free it. */
bool chains_get(const struct graph *graph, const struct chains *chains,
                const struct chains_options *options, object_id object, struct chain *chain);

/* The k best simple chains to one object: first the one that chains_get gives, then the others by
 * (tier, length, label from the last reference on, address). Two chains over different references
 * of one holder are two. A chain does not run through an object that could start it as well (not
 * over registry[2] to _G), and uses an ephemeron entry only if the key's best chain does not need
 * the part of this one that follows. `options->targets` is ignored.
 *
 * Work is bounded: past some 250,000 unfinished chains those of one tier and length come in any
 * (but always the same) order, past some 2 million the search ends. *capped then says that there
 * may be more than the *count chains found. `result` has room for k chains; free each with
 * vector_free. `capped` may be NULL. An object that nothing reaches has 0 chains. When interrupted,
 * the chains found until then are in `result`; on other errors *count is 0. */
MUST_CHECK struct inspect_error *chains_best(const struct graph *graph,
                                             const struct chains_options *options, object_id object,
                                             size_t k, const struct work *work,
                                             struct chain *result, size_t *count, bool *capped);

#endif
