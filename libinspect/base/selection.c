/* selection.c - a bounded heap whose root is the last of the items kept: what comes after it is
 * turned away by one comparison. Until the limit is reached items are merely appended. */
#include "base/selection.h"

#include <stdlib.h>
#include <string.h>

enum { MOST_ITEM_BYTES = 64 };

void selection_init(struct selection *selection, size_t item_size, uint64_t limit,
                    selection_compare *compare, void *context) {
  *selection = (struct selection){
      .item_size = item_size, .limit = limit, .compare = compare, .context = context};
}

static char *item_at(const struct selection *selection, size_t index) {
  return (char *)selection->items + index * selection->item_size;
}

static bool is_before(const struct selection *selection, size_t a, size_t b) {
  return selection->compare(item_at(selection, a), item_at(selection, b), selection->context) < 0;
}

static void swap(struct selection *selection, size_t a, size_t b) {
  char kept[MOST_ITEM_BYTES];
  for (size_t at = 0; at < selection->item_size; at += MOST_ITEM_BYTES) {
    size_t left = selection->item_size - at, size = left < MOST_ITEM_BYTES ? left : MOST_ITEM_BYTES;
    memcpy(kept, item_at(selection, a) + at, size);
    memcpy(item_at(selection, a) + at, item_at(selection, b) + at, size);
    memcpy(item_at(selection, b) + at, kept, size);
  }
}

static void sift_down(struct selection *selection, size_t root) {
  for (;;) {
    size_t child = 2 * root + 1;
    if (child >= selection->count) return;
    if (child + 1 < selection->count && is_before(selection, child, child + 1)) child++;
    if (!is_before(selection, root, child)) return;
    swap(selection, root, child);
    root = child;
  }
}

static bool append(struct selection *selection, const void *item) {
  enum { FIRST = 64 };
  if (selection->count == selection->capacity) {
    size_t capacity = selection->capacity ? selection->capacity * 2 : FIRST;
    if (capacity > SIZE_MAX / selection->item_size) return false;
    void *items = realloc(selection->items, capacity * selection->item_size);
    if (!items) return false;
    selection->items = items;
    selection->capacity = capacity;
  }
  memcpy(item_at(selection, selection->count++), item, selection->item_size);
  return true;
}

bool selection_offer(struct selection *selection, const void *item) {
  selection->offered++;
  if (selection->count < selection->limit) return append(selection, item);
  if (!selection->count) return true;
  if (!selection->is_heap)
    for (size_t i = selection->count / 2; i-- > 0;)
      sift_down(selection, i);
  selection->is_heap = true;
  if (selection->compare(item, selection->items, selection->context) >= 0) return true;
  memcpy(selection->items, item, selection->item_size);
  sift_down(selection, 0);
  return true;
}

void selection_sort(struct selection *selection) {
  if (selection->count)
    qsort_r(selection->items, selection->count, selection->item_size, selection->compare,
            selection->context);
}

void selection_free(struct selection *selection) {
  free(selection->items);
  selection->items = NULL;
  selection->count = selection->capacity = 0;
}
