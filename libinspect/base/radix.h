/* radix.h - sorting millions of records by numbers: no comparisons, time linear in their count.
 *
 * Records are sorted by (high, middle, low), all as unsigned numbers, stably. Digits that are equal
 * in all records cost nothing. */
#ifndef BASE_RADIX_H
#define BASE_RADIX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct radix_item {
  uint64_t high, middle;
  uint32_t low;
  uint32_t value; /* not looked at */
};

/* False: out of memory, the order is as before. */
bool radix_sort(struct radix_item *items, size_t count);

#endif
