/* trackers_text.c - what of a tracker's entry is read again when it is shown: there may be
 * millions, and few are shown. */
#include "command/trackers_parts.h"

static const double CLOCK_TICK = 0.02; /* how far the kernel's account of CPU time may lag        */
static const double EPOCH_MIN = 1e9, DAY = 86400;

/* A number that can only be a moment: seconds since 1970, from 2001 to a day after `now`. */
static bool is_epoch(double number, double now) {
  return number >= EPOCH_MIN && number <= now + DAY;
}

double tracked_age(const struct trackers *trackers, const struct tracked *tracked) {
  double now = trackers->now, cpu = trackers->cpu_time, created = tracked->created;
  if (is_epoch(created, now)) return created < now ? now - created : 0;
  if (created >= 0 && cpu >= 0 && created <= cpu + CLOCK_TICK) return fmax(cpu - created, 0);
  return NAN;
}

static const struct tracker *tracker_of(const struct trackers *trackers,
                                        const struct tracked *tracked) {
  return &trackers->list.items[tracked->tracker];
}

static const struct tracked_extra *extra_of(const struct trackers *trackers,
                                            const struct tracked *tracked) {
  const struct tracker *tracker = tracker_of(trackers, tracked);
  if (!tracker_has_extras(tracker)) return NULL;
  size_t position = (size_t)(tracked - trackers->entries.items);
  return &trackers->extras.items[tracker->first_extra + position - tracker->first];
}

static struct tracked_text text_at(const struct trackers *trackers, const struct tracked *tracked,
                                   uint32_t granule) {
  struct tracked_text text = {0};
  struct heap *heap = trackers->heap;
  if (granule != NO_GRANULE)
    text.bytes = string_bytes(&heap->vms[tracker_of(trackers, tracked)->vm].vm,
                              address_map_address(&heap->map, granule), &text.size);
  return text;
}

struct tracked_text tracked_description(const struct trackers *trackers,
                                        const struct tracked *tracked) {
  return text_at(trackers, tracked, tracked->text);
}

void tracked_prefetch(const struct trackers *trackers, const struct tracked *tracked,
                      size_t *hint) {
  uint64_t address, available;
  if (tracked->text != NO_GRANULE)
    __builtin_prefetch(
        address_map_bytes(&trackers->heap->map, tracked->text, hint, &address, &available));
}

void tracked_reader_init(struct tracked_reader *reader, const struct trackers *trackers) {
  reader->trackers = trackers;
  reader->number = SIZE_MAX;
}

struct tracked_text tracked_reader_text(struct tracked_reader *reader,
                                        const struct tracked *tracked) {
  struct tracked_text text = {0};
  const struct heap *heap = reader->trackers->heap;
  size_t number = tracker_of(reader->trackers, tracked)->vm;
  if (tracked->text == NO_GRANULE) return text;
  if (number != reader->number) reader->vm = heap->vms[number].vm;
  reader->number = number;
  text.bytes =
      string_bytes(&reader->vm, address_map_address(&heap->map, tracked->text), &text.size);
  return text;
}

struct tracked_text tracked_trace(const struct trackers *trackers, const struct tracked *tracked) {
  const struct tracked_extra *extra = extra_of(trackers, tracked);
  return text_at(trackers, tracked, extra ? extra->trace : NO_GRANULE);
}

double tracked_retired(const struct trackers *trackers, const struct tracked *tracked) {
  const struct tracked_extra *extra = extra_of(trackers, tracked);
  return extra ? extra->retired : NAN;
}
