/* trackers_order.c - the order of a tracker's entries: by creation time, description, address.
 *
 * A million entries are sorted by numbers (base/radix.h): the creation time, eight bytes of the
 * description, the place. What is equal in the first two but has different descriptions is sorted
 * again by the eight bytes that follow, and so on; only what agrees in MOST_BYTES is compared. */
#include <math.h>

#include "base/large.h"
#include "base/radix.h"
#include "command/trackers.h"

enum { KEY_BYTES = 8, MOST_BYTES = 64, TEXTS_AHEAD = 16, WORK_STEPS = 1 << 14 };
static const char PHASE[] = "sorting entries";

static uint32_t place_of(const struct trackers *trackers, const struct tracked *tracked) {
  return tracked->object == NO_OBJECT ? UINT32_MAX : trackers->heap->granule[tracked->object];
}

/* By text; equal ones that are not there and empty ones. */
static int compare_texts(const struct trackers *trackers, const struct tracked *a,
                         const struct tracked *b) {
  if (a->text == b->text) return 0;
  struct tracked_text x = tracked_description(trackers, a), y = tracked_description(trackers, b);
  size_t shorter = x.size < y.size ? x.size : y.size;
  int order = shorter ? memcmp(x.bytes, y.bytes, shorter) : 0;
  return order ? order : (x.size > y.size) - (x.size < y.size);
}

/* Older first, then by description, then by address. */
int trackers_compare(const struct trackers *trackers, const struct tracked *a,
                     const struct tracked *b) {
  if (a->tracker != b->tracker) return a->tracker < b->tracker ? -1 : 1;
  bool a_known = !isnan(a->created), b_known = !isnan(b->created);
  if (a_known != b_known) return a_known ? -1 : 1;
  if (a_known && (a->created < b->created || a->created > b->created))
    return a->created < b->created ? -1 : 1;
  int order = compare_texts(trackers, a, b);
  if (order) return order;
  uint32_t x = place_of(trackers, a), y = place_of(trackers, b);
  return (x > y) - (x < y);
}

/* Numbers in the order of creation times: unknown ones last, and -0 as 0. */
static uint64_t creation_key(double created) {
  uint64_t bits;
  if (isnan(created)) return UINT64_MAX;
  if (!(created < 0 || created > 0)) created = 0;
  memcpy(&bits, &created, sizeof bits);
  return bits >> 63 ? ~bits : bits | UINT64_C(1) << 63;
}

/* Bytes of a description from `from` on, as a number in their order. */
static uint64_t description_key(struct tracked_text text, uint32_t from) {
  uint64_t key = 0;
  for (uint32_t i = from; i < from + KEY_BYTES; i++)
    key = key << 8 | (i < text.size ? (unsigned char)text.bytes[i] : 0);
  return key;
}

/* A sort that can be stopped: from then on all are equal. */
struct sorting {
  const struct trackers *trackers;
  const struct work *work;
  uint64_t steps;
  bool stopped;
};

static bool stops(struct sorting *sorting, size_t done, size_t total) {
  if (work_stops(sorting->work, PHASE, done, total)) sorting->stopped = true;
  return sorting->stopped;
}

static int by_creation(const void *left, const void *right, void *context) {
  const struct radix_item *a = left, *b = right;
  struct sorting *sorting = context;
  if ((++sorting->steps % WORK_STEPS == 0 && stops(sorting, 0, 0)) || sorting->stopped) return 0;
  const struct tracked *entries = sorting->trackers->entries.items;
  return trackers_compare(sorting->trackers, &entries[a->value], &entries[b->value]);
}

/* Sorts the records, all of one creation time and equal up to byte `from` of the description, and
 * so on. The recursion is MOST_BYTES / KEY_BYTES deep at most. */
static struct inspect_error *sort_equals(struct sorting *sorting, struct radix_item *items,
                                         size_t count, uint32_t from);

/* The records, sorted by creation time and description up to byte `from`: what is equal so far is
 * sorted by the rest. One string object has one description. */
static struct inspect_error *sort_rest(struct sorting *sorting, struct radix_item *items,
                                       size_t count, uint32_t from) {
  const struct tracked *entries = sorting->trackers->entries.items;
  for (size_t first = 0, end; first < count; first = end) {
    const struct tracked *one = &entries[items[first].value];
    bool differ = false;
    for (end = first + 1; end < count && items[end].high == items[first].high &&
                          items[end].middle == items[first].middle;
         end++)
      differ |= entries[items[end].value].text != one->text;
    if (differ) TRY(sort_equals(sorting, items + first, end - first, from));
  }
  return NULL;
}

static struct inspect_error *sort_equals(struct sorting *sorting, struct radix_item *items,
                                         size_t count, uint32_t from) {
  if (from >= MOST_BYTES) {
    qsort_r(items, count, sizeof *items, by_creation, sorting);
    return sorting->stopped ? error_interrupted() : NULL;
  }
  const struct tracked *entries = sorting->trackers->entries.items;
  bool has_more = false; /* or all end here, and sizes decide */
  for (size_t i = 0; i < count; i++) {
    if (++sorting->steps % WORK_STEPS == 0 && stops(sorting, 0, 0)) return error_interrupted();
    struct tracked_text text = tracked_description(sorting->trackers, &entries[items[i].value]);
    has_more |= text.size > from;
    items[i].middle = description_key(text, from);
  }
  if (!has_more) from = MOST_BYTES;
  TRY(radix_sort_watched(items, count, sorting->work, PHASE));
  return sort_rest(sorting, items, count, from + KEY_BYTES);
}

/* Puts the entries first .. end - 1, of one tracker, in order. */
static struct inspect_error *sort_part(struct sorting *sorting, struct radix_item *items,
                                       size_t first, size_t end) {
  const struct tracked *entries = sorting->trackers->entries.items;
  size_t hint = 0;
  for (size_t i = first; i < end; i++) {
    if (i % WORK_STEPS == 0 && stops(sorting, i, sorting->trackers->entries.count))
      return error_interrupted();
    if (i + TEXTS_AHEAD < end)
      tracked_prefetch(sorting->trackers, &entries[i + TEXTS_AHEAD], &hint);
    struct tracked_text text = tracked_description(sorting->trackers, &entries[i]);
    items[i - first] = (struct radix_item){.high = creation_key(entries[i].created),
                                           .middle = description_key(text, 0),
                                           .low = place_of(sorting->trackers, &entries[i]),
                                           .value = (uint32_t)i};
  }
  TRY(radix_sort_watched(items, end - first, sorting->work, PHASE));
  TRY(sort_rest(sorting, items, end - first, KEY_BYTES));
  for (size_t i = first; i < end; i++)
    sorting->trackers->order[i] = items[i - first].value;
  return NULL;
}

struct inspect_error *trackers_sort(const struct work *work, struct trackers *trackers) {
  const struct tracked *entries = trackers->entries.items;
  size_t count = trackers->entries.count;
  struct sorting sorting = {.trackers = trackers, .work = work};
  if (count >= UINT32_MAX) return error_no_memory();
  struct radix_item *items = large_alloc(count + 1, sizeof *items);
  trackers->order = malloc((count + 1) * sizeof *trackers->order);
  struct inspect_error *error = items && trackers->order ? NULL : error_no_memory();
  for (size_t first = 0, end; !error && first < count; first = end) {
    for (end = first + 1; end < count && entries[end].tracker == entries[first].tracker;)
      end++;
    error = sort_part(&sorting, items, first, end);
  }
  free(items);
  return error;
}
