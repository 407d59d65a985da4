/* suspects.c - the suspect of a cause, by the dominator tree.
 *
 * An object dominates all members if it dominates the deepest common dominator of them, so the
 * objects of the chain are tried from the end on: O(1) each. (The dominator tree draws the edge to
 * an ephemeron's value from the key, so the common dominator itself need not be on the chain.) If
 * none is one, the members below each object of the chain are counted by bisection in their sorted
 * preorder numbers. Survivors count only if nothing that holds them does. The start of the chain is
 * never a suspect: no reference leads to it. */
#include "analysis/suspects.h"

void suspects_free(struct suspects *suspects) { vector_free(&suspects->order); }

static bool sort_members(struct suspects *suspects, const object_id *members, size_t count) {
  suspects->order.count = 0;
  if (!vector_reserve(&suspects->order, count)) return false;
  for (size_t i = 0; i < count; i++)
    suspects->order.items[i] = (struct radix_item){.low = suspects->dominators->enter[members[i]]};
  suspects->order.count = count;
  return radix_sort(suspects->order.items, count);
}

/* How many members have a preorder number up to `limit`. */
static size_t count_up_to(const struct suspects *suspects, uint32_t limit) {
  size_t low = 0, high = suspects->order.count;
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    if (suspects->order.items[middle].low <= limit)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

static size_t count_dominated(const struct suspects *suspects, object_id object) {
  const struct dominators *dominators = suspects->dominators;
  if (!dominators->enter[object]) return 0;
  return count_up_to(suspects, dominators->leave[object]) -
         count_up_to(suspects, dominators->enter[object] - 1);
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
static size_t find_most(const struct suspects *suspects, const struct cause *cause) {
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
static size_t find_first_member(const struct suspects *suspects, const struct cause *cause) {
  size_t last = cause->chain.count - 1;
  if (cause->chain.count < 2) return 0;
  return count_dominated(suspects, cause->chain.items[last].object) == cause->count ? last : 0;
}

bool suspects_find(struct suspects *suspects, struct cause *cause, const object_id *members) {
  cause->retained_bytes = dominators_retained_by_set(suspects->dominators, members, cause->count);
  if (cause->retained_bytes == UINT64_MAX || !sort_members(suspects, members, cause->count))
    return false;
  size_t position = find_common(suspects, cause, members);
  if (!position) position = find_most(suspects, cause);
  if (!position) position = find_first_member(suspects, cause);
  if (!position) return true;
  object_id object = cause->chain.items[position].object;
  bool is_folded = suspects->graph->type[object] == OBJECT_UPVALUE;
  cause->only_holder_of = count_dominated(suspects, object);
  cause->suspect = is_folded ? position + 1 : position;
  return true;
}
