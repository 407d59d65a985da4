/* radix.c - least significant digit first, digits of 8 bits: one pass over the records counts all
 * digits, then one pass for each digit that is not the same in all records moves them. */
#include "base/radix.h"

#include <stdlib.h>
#include <string.h>

#include "base/large.h"

enum { DIGITS = 20, VALUES = 256, FEW = 48, AT_ONCE = 1 << 18 };

static inline unsigned digit_of(const struct radix_item *item, unsigned digit) {
  if (digit < 4) return item->low >> (8 * digit) & 0xff;
  if (digit < 12) return (unsigned)(item->middle >> (8 * (digit - 4)) & 0xff);
  return (unsigned)(item->high >> (8 * (digit - 12)) & 0xff);
}

static bool is_less(const struct radix_item *a, const struct radix_item *b) {
  if (a->high != b->high) return a->high < b->high;
  if (a->middle != b->middle) return a->middle < b->middle;
  return a->low < b->low;
}

static void sort_few(struct radix_item *items, size_t count) {
  for (size_t i = 1; i < count; i++) {
    struct radix_item item = items[i];
    size_t at = i;
    for (; at && is_less(&item, &items[at - 1]); at--)
      items[at] = items[at - 1];
    items[at] = item;
  }
}

struct watch {
  const struct work *work;
  const char *phase;
  uint64_t total; /* records over all passes */
  bool is_stopped;
};

/* Whether it is to stop before record `i` of a pass; `before` records were moved in earlier ones.
 */
static inline bool stops_at(struct watch *watch, uint64_t before, size_t i) {
  if (i % AT_ONCE == 0 && work_stops(watch->work, watch->phase, before + i, watch->total))
    watch->is_stopped = true;
  return watch->is_stopped;
}

static void count_digits(const struct radix_item *items, size_t count, size_t (*counts)[VALUES],
                         struct watch *watch) {
  for (size_t i = 0; i < count && !stops_at(watch, 0, i); i++)
    for (unsigned digit = 0; digit < DIGITS; digit++)
      counts[digit][digit_of(&items[i], digit)]++;
}

static void move_by(const struct radix_item *from, struct radix_item *to, size_t count,
                    unsigned digit, size_t *places, struct watch *watch) {
  size_t next = 0;
  for (unsigned value = 0; value < VALUES; value++) {
    size_t here = places[value];
    places[value] = next;
    next += here;
  }
  uint64_t before = (uint64_t)(digit + 1) * count;
  for (size_t i = 0; i < count && !stops_at(watch, before, i); i++)
    to[places[digit_of(&from[i], digit)]++] = from[i];
}

/* False: out of memory. */
static bool sort(struct radix_item *items, size_t count, struct watch *watch) {
  if (count <= FEW) {
    sort_few(items, count);
    return true;
  }
  watch->total = (uint64_t)(DIGITS + 1) * count;
  size_t(*counts)[VALUES] = calloc(DIGITS, sizeof *counts);
  struct radix_item *spare = large_alloc(count, sizeof *items);
  if (counts && spare) {
    struct radix_item *from = items, *to = spare;
    count_digits(items, count, counts, watch);
    for (unsigned digit = 0; digit < DIGITS && !watch->is_stopped; digit++) {
      if (counts[digit][digit_of(&items[0], digit)] == count) continue;
      move_by(from, to, count, digit, counts[digit], watch);
      struct radix_item *done = from;
      from = to;
      to = done;
    }
    if (from != items) memcpy(items, from, count * sizeof *items);
  }
  bool is_sorted = counts && spare;
  free(counts);
  free(spare);
  return is_sorted;
}

bool radix_sort(struct radix_item *items, size_t count) {
  struct watch watch = {0};
  return sort(items, count, &watch);
}

struct inspect_error *radix_sort_watched(struct radix_item *items, size_t count,
                                         const struct work *work, const char *phase) {
  struct watch watch = {.work = work, .phase = phase};
  if (!sort(items, count, &watch)) return error_no_memory();
  return watch.is_stopped ? error_interrupted() : NULL;
}
