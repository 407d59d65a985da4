/* leaks_groups.c - one cause in many VMs is told once.
 *
 * A process with thousands of VMs runs one program in most of them, and it leaks in one way: the
 * causes of several VMs that have one fingerprint are a group. Groups come worst first by what they
 * retain in all VMs, and so do the causes of a group, so that the first is the example and the
 * others, as the entries of all, lie behind it. */
#include <math.h>

#include "command/leaks.h"

static int by_fingerprint(const void *left, const void *right) {
  const struct leak_cause *a = left, *b = right;
  if (a->cause->fingerprint != b->cause->fingerprint)
    return a->cause->fingerprint < b->cause->fingerprint ? -1 : 1;
  return a->vm < b->vm ? -1 : a->vm > b->vm;
}

static int worst_first(const void *left, const void *right) {
  const struct leak_cause *a = left, *b = right;
  if (a->group_bytes != b->group_bytes) return a->group_bytes > b->group_bytes ? -1 : 1;
  if (a->group_count != b->group_count) return a->group_count > b->group_count ? -1 : 1;
  if (a->cause->fingerprint != b->cause->fingerprint)
    return a->cause->fingerprint < b->cause->fingerprint ? -1 : 1;
  if (a->cause->retained_bytes != b->cause->retained_bytes)
    return a->cause->retained_bytes > b->cause->retained_bytes ? -1 : 1;
  if (a->cause->count != b->cause->count) return a->cause->count > b->cause->count ? -1 : 1;
  return a->vm < b->vm ? -1 : a->vm > b->vm;
}

/* The first cause behind those that have the fingerprint of the one at `first`. */
static size_t end_of(const struct leaks *leaks, size_t first) {
  size_t end = first + 1;
  while (end < leaks->causes.count && leaks->causes.items[end].cause->fingerprint ==
                                          leaks->causes.items[first].cause->fingerprint)
    end++;
  return end;
}

bool leaks_order_causes(struct leaks *leaks) {
  struct leak_cause *causes = leaks->causes.items;
  size_t count = leaks->causes.count;
  if (!count) return true;
  qsort(causes, count, sizeof *causes, by_fingerprint);
  for (size_t first = 0, end; first < count; first = end) {
    uint64_t bytes = 0, members = 0;
    end = end_of(leaks, first);
    for (size_t i = first; i < end; i++) {
      bytes += causes[i].cause->retained_bytes;
      members += causes[i].cause->count;
    }
    for (size_t i = first; i < end; i++) {
      causes[i].group_bytes = bytes;
      causes[i].group_count = members;
    }
  }
  qsort(causes, count, sizeof *causes, worst_first);
  for (size_t first = 0, end; first < count; first = end) {
    struct leak_group group = {.first = first};
    end = end_of(leaks, first);
    group.vms = end - first;
    if (!vector_push(&leaks->groups, group)) return false;
    for (size_t i = first; i < end; i++)
      causes[i].group = leaks->groups.count - 1;
  }
  return true;
}

static double least(double a, double b) { return isnan(a) || b < a ? b : a; }

static double greatest(double a, double b) { return isnan(a) || b > a ? b : a; }

void leaks_sum_groups(struct leaks *leaks) {
  for (size_t number = 0; number < leaks->groups.count; number++) {
    struct leak_group *group = &leaks->groups.items[number];
    const struct leak_cause *causes = &leaks->causes.items[group->first];
    group->all = causes[0];
    group->cause = *causes[0].cause;
    for (size_t i = 1; i < group->vms; i++) {
      group->all.youngest = least(group->all.youngest, causes[i].youngest);
      group->all.oldest = greatest(group->all.oldest, causes[i].oldest);
      group->all.retired += causes[i].retired;
      group->all.can_retire |= causes[i].can_retire;
      group->all.entry_count += causes[i].entry_count;
      group->cause.count += causes[i].cause->count;
      group->cause.retained_bytes += causes[i].cause->retained_bytes;
      group->cause.only_holder_of += causes[i].cause->only_holder_of;
    }
  }
}
