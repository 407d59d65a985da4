/* suspects.c - the suspect of a cause, by the dominator tree.
 *
 * An object dominates all members if it dominates the deepest common dominator of them, so the
 * objects of the chain are tried from the end on: O(1) each. (The dominator tree draws the edge to
 * an ephemeron's value from the key, so the common dominator itself need not be on the chain.) If
 * none is one, the members below each object of the chain are counted: in a pass over their
 * preorder numbers, and if the chain is long by bisection, once these are sorted. Survivors count
 * only if nothing that holds them does. The start of the chain is never a suspect: no reference
 * leads to it. */
#include "analysis/suspects.h"

#include <stdlib.h>

enum { MOST_SCANS = 16, LOOK_AHEAD = 16 };

void suspects_free(struct suspects *suspects) { vector_free(&suspects->places); }

static bool list_places(struct suspects *suspects, const object_id *members, size_t count) {
  const uint32_t *enter = suspects->dominators->enter;
  suspects->places.count = 0;
  suspects->scans = 0;
  if (!vector_reserve(&suspects->places, count)) return false;
  for (size_t i = 0; i < count; i++) {
    if (i + LOOK_AHEAD < count) __builtin_prefetch(&enter[members[i + LOOK_AHEAD]]);
    suspects->places.items[i] = enter[members[i]];
  }
  suspects->places.count = count;
  return true;
}

static int by_number(const void *left, const void *right) {
  uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
  return (a > b) - (a < b);
}

/* How many members have a preorder number up to `limit`, once they are sorted. */
static size_t count_up_to(const struct suspects *suspects, uint32_t limit) {
  size_t low = 0, high = suspects->places.count;
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    if (suspects->places.items[middle] <= limit)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

static size_t count_dominated(struct suspects *suspects, object_id object) {
  uint32_t enter = suspects->dominators->enter[object], size;
  size_t count = suspects->places.count, found = 0;
  if (!enter) return 0;
  size = suspects->dominators->leave[object] - enter;
  if (suspects->scans < MOST_SCANS) {
    suspects->scans++;
    for (size_t i = 0; i < count; i++)
      found += suspects->places.items[i] - enter <= size;
    return found;
  }
  if (suspects->scans++ == MOST_SCANS)
    qsort(suspects->places.items, count, sizeof *suspects->places.items, by_number);
  return count_up_to(suspects, enter + size) - count_up_to(suspects, enter - 1);
}

/* A thread that is a root by itself: no reference to it keeps it alive. */
static bool is_root_thread(const struct graph *graph, object_id object) {
  if (graph->type[object] != OBJECT_THREAD) return false;
  for (size_t i = 0; i < graph->root_count; i++)
    if (graph->roots[i].object == object && graph->roots[i].kind <= ROOT_RUNNING_THREAD)
      return true;
  return false;
}

static bool is_candidate(const struct suspects *suspects, object_id object) {
  return (!suspects->survivors || !bitset_has(suspects->survivors, object)) &&
         !is_root_thread(suspects->graph, object);
}

/* The position of the last object before the end that dominates all members, 0: none. */
static size_t find_common(const struct suspects *suspects, const struct cause *cause,
                          const object_id *members) {
  object_id common = dominators_common(suspects->dominators, members, cause->count);
  if (common == NO_OBJECT) return 0;
  for (size_t i = cause->chain.count - 1; i-- > 1;) {
    object_id object = cause->chain.items[i].object;
    if (is_candidate(suspects, object) &&
        dominators_dominates(suspects->dominators, object, common))
      return i;
  }
  return 0;
}

/* The position of the one that dominates most, the last one of several. */
static size_t find_most(struct suspects *suspects, const struct cause *cause) {
  size_t best = 0, most = 0;
  for (size_t i = 1; i + 1 < cause->chain.count; i++) {
    object_id object = cause->chain.items[i].object;
    if (!is_candidate(suspects, object)) continue;
    size_t count = count_dominated(suspects, object);
    if (count && count >= most) {
      best = i;
      most = count;
    }
  }
  return best;
}

/* The end of the chain, if no other member stays without it: a cause that hangs directly on a start
 * (`_G.forgotten`) and has no holder in between. */
static size_t find_first_member(struct suspects *suspects, const struct cause *cause) {
  size_t last = cause->chain.count - 1;
  if (cause->chain.count < 2) return 0;
  return count_dominated(suspects, cause->chain.items[last].object) == cause->count ? last : 0;
}

bool suspects_find(struct suspects *suspects, struct cause *cause, const object_id *members) {
  if (!list_places(suspects, members, cause->count)) return false;
  size_t position = find_common(suspects, cause, members);
  if (!position) position = find_most(suspects, cause);
  if (!position) position = find_first_member(suspects, cause);
  if (!position) return true;
  object_id object = cause->chain.items[position].object;
  bool is_folded =
      suspects->graph->type[object] == OBJECT_UPVALUE && position + 1 < cause->chain.count;
  cause->only_holder_of = count_dominated(suspects, object);
  cause->suspect = is_folded ? position + 1 : position;
  return true;
}
