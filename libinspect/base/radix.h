/* radix.h - sorting millions of records by numbers: no comparisons, time linear in their count.
 *
 * Records are sorted by (high, middle, low), all as unsigned numbers, stably. Digits that are equal
 * in all records cost nothing. */
#ifndef BASE_RADIX_H
#define BASE_RADIX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/work.h"

struct radix_item {
  uint64_t high, middle;
  uint32_t low;
  uint32_t value; /* not looked at */
};

/* False: out of memory, the order is as before. */
bool radix_sort(struct radix_item *items, size_t count);

/* The same for work that may be stopped: INTERRUPTED, or NO_MEMORY. Records that were being sorted
 * when it was stopped are good for nothing. */
MUST_CHECK struct inspect_error *radix_sort_watched(struct radix_item *items, size_t count,
                                                    const struct work *work, const char *phase);

#endif
