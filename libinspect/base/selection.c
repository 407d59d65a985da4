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

/* ---- Sorting ----------------------------------------------------------------------------------
 *
 * A merge sort over runs, which are sorted one by one: so it can stop between them, and while it
 * merges: the items are then where they were before that pass. */

enum { RUN = 1 << 13 };

static void sort_run(struct selection *selection, size_t first, size_t count) {
  qsort_r(item_at(selection, first), count, selection->item_size, selection->compare,
          selection->context);
}

/* Merges items [first, middle) and [middle, end) into `result`, from `first` on; false if `work`
 * stopped it. */
static bool merge(const struct selection *selection, char *result, size_t first, size_t middle,
                  size_t end, const struct work *work) {
  size_t a = first, b = middle, size = selection->item_size;
  for (size_t at = first; at < end; at++) {
    if (at % RUN == 0 && work_stops(work, "sorting", at, selection->count)) return false;
    bool takes_b = a == middle || (b < end && is_before(selection, b, a));
    memcpy(result + at * size, item_at(selection, takes_b ? b++ : a++), size);
  }
  return true;
}

/* One pass over runs of `width`; false if `work` stopped it. */
static bool merge_runs(const struct selection *selection, char *result, size_t width,
                       const struct work *work) {
  size_t count = selection->count;
  for (size_t first = 0, end; first < count; first = end) {
    size_t middle = count - first < width ? count : first + width;
    end = count - middle < width ? count : middle + width;
    if (!merge(selection, result, first, middle, end, work)) return false;
  }
  return true;
}

void selection_sort(struct selection *selection, const struct work *work) {
  size_t count = selection->count;
  char *other = count > RUN ? malloc(count * selection->item_size) : NULL;
  if (!other) {
    if (count) sort_run(selection, 0, count);
    return;
  }
  for (size_t first = 0; first < count; first += RUN) {
    if (work_stops(work, "sorting", first, count)) {
      free(other);
      return;
    }
    sort_run(selection, first, count - first < RUN ? count - first : RUN);
  }
  for (size_t width = RUN; width < count && merge_runs(selection, other, width, work); width *= 2) {
    char *merged = other;
    other = selection->items;
    selection->items = merged;
    selection->capacity = count;
  }
  free(other);
}

void selection_free(struct selection *selection) {
  free(selection->items);
  selection->items = NULL;
  selection->count = selection->capacity = 0;
}
