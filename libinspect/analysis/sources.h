/* sources.h - the transposed graph: the references that lead to each object.
 *
 * Only references that a chain may use are in it (see tiers.h): from settled objects to settled
 * objects, strings left out but for the one asked about. 4 bytes per reference (5 in graphs of more
 * than 2^32) and 8 per object. */
#ifndef ANALYSIS_SOURCES_H
#define ANALYSIS_SOURCES_H

#include "analysis/tiers.h"

struct sources {
  uint64_t *first; /* the sources of object v are at first[v] .. first[v + 1] - 1          */
  uint32_t *low;   /* lower 32 bits of the reference                                       */
  uint8_t *high;   /* the others, NULL if there are none                                   */
  unsigned tiers;  /* bit (1 << tier): a reference needs it                                  */
};

/* `chains` has settled everything but strings. On error it is empty. */
MUST_CHECK struct inspect_error *sources_init(struct sources *sources, const struct tiers *tiers,
                                              const struct chains *chains, object_id object,
                                              const struct work *work);
void sources_free(struct sources *sources);

static inline reference_id sources_at(const struct sources *sources, uint64_t position) {
  uint64_t high = sources->high ? sources->high[position] : 0;
  return high << 32 | sources->low[position];
}

/* The tier that a reference of `from` needs, where the value of an ephemeron entry needs that of
 * its key as well. TIER_COUNT: it is never followed. */
uint8_t sources_tier(const struct tiers *tiers, const struct chains *chains, object_id from,
                     reference_id reference);

#endif
