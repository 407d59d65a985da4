/* selection.h - the first few of very many items, in order.
 *
 *   struct selection best;
 *   selection_init(&best, sizeof(struct row), limit, by_bytes, context);
 *   while (...) selection_offer(&best, &row);      keeps a copy if it is among the first `limit`
 *   selection_sort(&best, work);                   best.items[0 .. best.count) are in order
 *   selection_free(&best);
 *
 * Memory is bounded by `limit`, time by offered * log(limit). The order must be total for the
 * answer not to depend on the order of the offers. */
#ifndef BASE_SELECTION_H
#define BASE_SELECTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/work.h"

/* Negative: `a` comes first. */
typedef int selection_compare(const void *a, const void *b, void *context);

struct selection {
  void *items;
  size_t item_size, count, capacity;
  uint64_t limit, offered;
  selection_compare *compare;
  void *context;
  bool is_heap; /* the last in order is items[0] */
};

void selection_init(struct selection *selection, size_t item_size, uint64_t limit,
                    selection_compare *compare, void *context);

/* False: out of memory; the item is not kept. */
bool selection_offer(struct selection *selection, const void *item);

/* Sorts what was kept; nothing can be offered afterwards. `work` may be NULL; if it stops, all
 * items are there still, in no order. */
void selection_sort(struct selection *selection, const struct work *work);

/* How many were offered and not kept. */
static inline uint64_t selection_left_out(const struct selection *selection) {
  return selection->offered - selection->count;
}

void selection_free(struct selection *selection);

#endif
