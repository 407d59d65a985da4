/* retained_probe.h - what a set that holds little retains, without a look at the whole heap.
 *
 * What the members dominate is retained. What they refer to beyond that is, too, only if nothing
 * else leads to it: so it is enough to come across all of that from the roots, without the members.
 * Usually that does not take long: then what is dominated is all. If it does take long, or if
 * something does not turn up, the probe decides nothing (and retained_sets.c takes its time). */
#ifndef ANALYSIS_RETAINED_PROBE_H
#define ANALYSIS_RETAINED_PROBE_H

#include "analysis/holding.h"
#include "analysis/retained_sets.h"

struct retained_probe {
  const struct holding *holding;
  const struct dominators *dominators;
  const struct work *work;
  uint64_t budget; /* references that may still be looked at */
};

/* Fills in `retained` and sets *is_decided, unless it takes long. */
MUST_CHECK struct inspect_error *retained_probe(struct retained_probe *probe,
                                                struct retained_set *set, bool *is_decided);

#endif
