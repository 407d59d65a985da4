/* layers.h - the objects that dominators are computed over, in three layers.
 *
 *   leaves  hold nothing (strings, above all)
 *   twigs   hold nothing but leaves
 *   inner   objects, the others
 *
 * So leaves are held by twigs and inner objects, twigs by inner objects, inner objects by inner
 * objects. Most leaves and twigs have a single holder, which is their dominator then. */
#ifndef ANALYSIS_LAYERS_H
#define ANALYSIS_LAYERS_H

#include "analysis/holding.h"

#define HELD_BY_NONE    NO_OBJECT
#define HELD_BY_ROOTS   (NO_OBJECT - 1) /* by nothing else */
#define HELD_BY_SEVERAL (NO_OBJECT - 2)

struct layers {
  const struct holding *holding;
  struct bitset leaves, twigs, inner;
  /* Of leaves and twigs: the only holder, or one of the above. There is room for two more. Of
   * twigs this is known after layers_hold_twig was called for all that inner objects hold. */
  object_id *holder;
};

/* `live` (or NULL) limits the objects. All are taken for reached: if some that hold something are
 * not, it has to be done again within what layers_reach finds. Always layers_free afterwards. */
MUST_CHECK struct inspect_error *layers_init(struct layers *layers, const struct holding *holding,
                                             const struct bitset *live, const struct work *work);
void layers_free(struct layers *layers);

/* The objects that are reached from the roots, into an empty set over all objects. */
MUST_CHECK struct inspect_error *layers_reach(const struct layers *layers, const struct work *work,
                                              struct bitset *reached);

/* Notes a holder. Several threads may do so at once. */
static inline void layers_hold(struct layers *layers, object_id object, object_id holder) {
  object_id *place = &layers->holder[object];
  object_id before = __atomic_load_n(place, __ATOMIC_RELAXED);
  if (before == HELD_BY_SEVERAL || before == holder) return;
  if (before == HELD_BY_NONE && __atomic_compare_exchange_n(place, &before, holder, false,
                                                            __ATOMIC_RELAXED, __ATOMIC_RELAXED))
    return;
  if (before != holder) __atomic_store_n(place, HELD_BY_SEVERAL, __ATOMIC_RELAXED);
}

#endif
