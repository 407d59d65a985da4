/* leaks_link.c - which cause each entry of a tracker belongs to, and what a cause's entries are.
 *
 * What analyses know of survivors is numbered by their rank among those of their VM. Threads give
 * entries their causes; then one goes through all, as they lie in memory, and sums them up. */
#include <math.h>

#include "base/parallel.h"
#include "command/leaks.h"

/* Positions of a VM's causes in the sorted list, so that entries can name theirs. */
static size_t *positions_of_causes(const struct leaks *leaks, size_t *first_of_vm) {
  size_t *positions = calloc(leaks->causes.count + 1, sizeof *positions), total = 0;
  for (size_t vm = 0; vm < leaks->vm_count; vm++) {
    first_of_vm[vm] = total;
    total += leaks->by_vm[vm].count;
  }
  for (size_t i = 0; positions && i < leaks->causes.count; i++)
    positions[first_of_vm[leaks->causes.items[i].vm] + leaks->causes.items[i].number] = i;
  return positions;
}

static void note_entry(struct leaks *leaks, size_t entry, size_t cause) {
  struct tracked *tracked = &leaks->trackers.entries.items[entry];
  struct leak_cause *mine = &leaks->causes.items[cause];
  double age = tracked_age(&leaks->trackers, tracked);
  if (!isnan(age)) {
    if (!(age >= mine->youngest)) mine->youngest = age;
    if (!(age <= mine->oldest)) mine->oldest = age;
  }
  mine->retired += tracked->is_retired;
  mine->can_retire |= leaks->trackers.list.items[tracked->tracker].kind == TRACKER_LEAKWATCH;
  mine->entry_count++;
  const struct chain *chain = &mine->cause->chain;
  if (!chain->count || chain->items[chain->count - 1].object != tracked->object) return;
  if (mine->described == SIZE_MAX ||
      trackers_compare(&leaks->trackers, tracked, leaks_entry(leaks, mine->described)) < 0)
    mine->described = entry;
}

/* Gives each cause, whose entries are counted, the list of them. */
static bool list_entries(struct leaks *leaks) {
  size_t placed = 0;
  leaks->by_cause = calloc(leaks->shown.count + 1, sizeof *leaks->by_cause);
  if (!leaks->by_cause) return false;
  for (size_t i = 0; i < leaks->causes.count; i++) {
    struct leak_cause *cause = &leaks->causes.items[i];
    cause->entries = leaks->by_cause + placed;
    placed += cause->entry_count;
    cause->entry_count = 0;
  }
  enum { AHEAD = 16 };
  for (size_t i = 0; i < leaks->shown.count; i++) {
    if (i + AHEAD < leaks->shown.count)
      __builtin_prefetch(&leaks_entry(leaks, leaks->shown.items[i + AHEAD])->cause);
    uint32_t number = leaks_entry(leaks, leaks->shown.items[i])->cause;
    if (number == UINT32_MAX) continue;
    struct leak_cause *cause = &leaks->causes.items[number];
    leaks->by_cause[(size_t)(cause->entries - leaks->by_cause) + cause->entry_count++] =
        leaks->shown.items[i];
  }
  return true;
}

/* Where the survivors of each VM begin: they are sorted by id. */
static size_t *first_survivors(const struct leaks *leaks, const struct heap *heap) {
  size_t *first = calloc(heap->vm_count + 1, sizeof *first), next = 0;
  for (size_t vm = 0; first && vm < heap->vm_count; vm++) {
    while (next < leaks->survivors.count && leaks->survivors.items[next] < heap->vms[vm].first)
      next++;
    first[vm] = next;
  }
  return first;
}

/* Survivors before those of each word of the set. */
static uint32_t *rank_survivors(const struct leaks *leaks) {
  const struct bitset *set = &leaks->survivor_set;
  size_t words = (size_t)(set->size / 64 + 1);
  uint32_t *before = malloc(words * sizeof *before), count = 0;
  for (size_t i = 0; before && i < words; i++) {
    before[i] = count;
    count += (uint32_t)__builtin_popcountll(set->words[i]);
  }
  return before;
}

struct linking {
  const struct heap *heap;
  struct leaks *leaks;
  size_t *first_of_vm;    /* position of a VM's first cause among all     */
  size_t *positions;      /* of these in the sorted list                  */
  size_t *first_survivor; /* of a VM                                      */
  uint32_t *before;       /* survivors before those of a word of the set  */
  size_t parts;
};

/* Entry number `index` of those that are shown, in the order in which they lie in memory if all
 * are. */
static size_t shown_entry(const struct leaks *leaks, size_t index) {
  bool has_filter = leaks->shown.count < leaks->trackers.entries.count;
  return has_filter ? leaks->shown.items[index] : index;
}

/* Which survivor it is, of those of its VM. */
static size_t survivor_of(const struct linking *linking, size_t vm, object_id object) {
  const struct bitset *set = &linking->leaks->survivor_set;
  uint64_t word = set->words[object >> 6] & ((UINT64_C(1) << (object & 63)) - 1);
  return linking->before[object >> 6] + (size_t)__builtin_popcountll(word) -
         linking->first_survivor[vm];
}

/* One thread's share: gives entries their causes. */
static void link_part(void *context, size_t part) {
  const struct linking *linking = context;
  struct leaks *leaks = linking->leaks;
  size_t count = leaks->shown.count, end = count * (part + 1) / linking->parts;
  for (size_t i = count * part / linking->parts; i < end; i++) {
    struct tracked *tracked = &leaks->trackers.entries.items[shown_entry(leaks, i)];
    if (tracked->verdict != VERDICT_LEAKED) continue;
    size_t vm = (size_t)(heap_vm_of(linking->heap, tracked->object) - linking->heap->vms);
    size_t index = survivor_of(linking, vm, tracked->object);
    const struct causes *causes = &leaks->by_vm[vm];
    tracked->held_by = causes->held_by[index];
    uint32_t cause = causes->cause_of[index];
    if (cause != UINT32_MAX)
      tracked->cause = (uint32_t)linking->positions[linking->first_of_vm[vm] + cause];
  }
}

/* Sums entries up, in the order of memory. */
static struct inspect_error *note_entries(struct leaks *leaks, const struct work *work) {
  enum { AT_ONCE = 1 << 14 };
  size_t count = leaks->shown.count;
  for (size_t i = 0; i < count; i++) {
    if (i % AT_ONCE == 0 && work_stops(work, "entries of causes", i, count))
      return error_interrupted();
    size_t entry = shown_entry(leaks, i);
    const struct tracked *tracked = leaks_entry(leaks, entry);
    if (tracked->verdict != VERDICT_LEAKED) continue;
    if (tracked->cause != UINT32_MAX)
      note_entry(leaks, entry, tracked->cause);
    else if (!leaks->unplaced++ || trackers_compare(&leaks->trackers, tracked,
                                                    leaks_entry(leaks, leaks->first_unplaced)) < 0)
      leaks->first_unplaced = entry;
  }
  return NULL;
}

struct inspect_error *leaks_link_entries(struct command_context *context, struct leaks *leaks) {
  enum { WORTH_A_THREAD = 1 << 12 };
  const struct heap *heap = &context->session->heap;
  struct linking linking = {.heap = heap,
                            .leaks = leaks,
                            .first_of_vm = calloc(leaks->vm_count + 1, sizeof(size_t)),
                            .first_survivor = first_survivors(leaks, heap),
                            .before = rank_survivors(leaks),
                            .parts = leaks->shown.count / WORTH_A_THREAD + 1};
  if (linking.first_of_vm) linking.positions = positions_of_causes(leaks, linking.first_of_vm);
  if (linking.parts > work_threads(context->work)) linking.parts = work_threads(context->work);
  bool fits = linking.positions && linking.first_survivor && linking.before;
  struct inspect_error *error = fits ? NULL : error_no_memory();
  if (!error) {
    parallel_run(linking.parts, link_part, &linking);
    error = note_entries(leaks, context->work);
  }
  if (!error && !list_entries(leaks)) error = error_no_memory();
  free(linking.positions);
  free(linking.first_of_vm);
  free(linking.first_survivor);
  free(linking.before);
  return error;
}
