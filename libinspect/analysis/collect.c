/* collect.c - the computed full collection: marking, then the order in which Lua clears weak tables
 * and resurrects (lgc.c, atomic). The steps are numbered in collect.h.
 *
 * Only what gets marked matters here. Clearing an entry marks nothing but the strings that Lua
 * meets on the way, and strings refer to nothing; so clearing never changes what else is reached,
 * and step 4 for a table reached in step 1 can be done with step 2. What is left of an entry then:
 *   weak values          the value, if it is a string
 *   weak keys            the key, if it is a string (marked with its table, see mark.h)
 *   both, steps 2 and 4  the value, if a string; the key, if a string and the value is left
 *   both, steps 4 and 5  the key, if a string; the value, if a string and the key is left
 *
 * The second collection is computed only if it could leave less: if there are pending finalizers,
 * or if a dropped entry has an object as key. Otherwise it leaves what steps 1 and 2 marked:
 * nothing that they used has gone with the first. */
#include "analysis/collect.h"

#include <stdlib.h>
#include <string.h>

#include "analysis/mark.h"

static bool is_left(const struct marking *marking, object_id object) {
  return object == NO_OBJECT || is_string(marking->graph, object) ||
         bitset_has(marking->marked, object);
}

/* Steps 2 and 4 for a table reached in step 1. */
static void clear_values_first(struct marking *marking, object_id table) {
  const struct graph *graph = marking->graph;
  bool both = graph->flags[table] & OBJECT_WEAK_KEYS;
  reference_id end = graph_first(graph, (uint64_t)table + 1);
  for (reference_id i = graph_first(graph, table); i < end; i++) {
    if (!is_string(graph, graph->target[i])) continue;
    if (is_entry_value(graph->kind[i]))
      marking_follow(marking, i);
    else if (graph->kind[i] == REFERENCE_KEY && both &&
             is_left(marking, entry_value(graph, end, i)))
      marking_follow(marking, i);
  }
}

/* Steps 4 and 5 for a table reached in step 3: keys go before values, and even before the keys of
 * empty entries are forgotten. */
static void clear_keys_first(struct marking *marking, object_id table) {
  const struct graph *graph = marking->graph;
  bool both = graph->flags[table] & OBJECT_WEAK_KEYS;
  reference_id first = graph_first(graph, table), end = graph_first(graph, (uint64_t)table + 1);
  for (reference_id i = first; i < end; i++) {
    if (!is_string(graph, graph->target[i])) continue;
    if ((graph->kind[i] == REFERENCE_KEY && both) || graph->kind[i] == REFERENCE_LEFTOVER)
      marking_follow(marking, i);
    else if (is_entry_value(graph->kind[i]) &&
             (!both || is_left(marking, entry_key(graph, first, i))))
      marking_follow(marking, i);
  }
}

/* Clears the weak-value tables from position `from` on in the order of visit. */
static void clear(struct marking *marking, size_t from,
                  void (*clear_table)(struct marking *, object_id)) {
  for (size_t i = from; i < marking->weak.count; i++) {
    object_id table = marking->weak.items[i];
    if (marking->graph->flags[table] & OBJECT_WEAK_VALUES) clear_table(marking, table);
  }
}

/* Step 3. Who waits on the list of due finalizers already is a root, if the collector says so. What
 * the collection before did not find in use has had its finalizer called. */
static void resurrect(struct marking *marking) {
  const struct graph *graph = marking->graph;
  for (uint32_t object = next_with_flags(graph, 0, OBJECT_HAS_FINALIZER);
       object < graph->object_count;
       object = next_with_flags(graph, object + 1, OBJECT_HAS_FINALIZER))
    if (!(graph->flags[object] & (OBJECT_DEAD | OBJECT_PENDING)) &&
        (!marking->before || bitset_has(marking->before, object)))
      marking_add(marking, object);
}

static bool has_pending_roots(const struct graph *graph) {
  for (size_t i = 0; i < graph->root_count; i++)
    if (graph->roots[i].kind == ROOT_PENDING) return true;
  return false;
}

/* Whether a weak-value table among the first `count` held a key, other than a string, for an entry
 * that is dropped. */
static bool drops_keys(const struct marking *marking, size_t count, const struct bitset *live) {
  const struct graph *graph = marking->graph;
  for (size_t i = 0; i < count; i++) {
    object_id table = marking->weak.items[i];
    uint8_t mode = graph->flags[table] & (OBJECT_WEAK_KEYS | OBJECT_WEAK_VALUES);
    reference_id end = graph_first(graph, (uint64_t)table + 1);
    if (mode != OBJECT_WEAK_VALUES) continue;
    for (reference_id key = graph_first(graph, table); key < end; key++)
      if (graph->kind[key] == REFERENCE_KEY && !is_string(graph, graph->target[key]) &&
          entry_is_dropped(graph, live, end, key))
        return true;
  }
  return false;
}

static void copy(struct bitset *to, const struct bitset *from) {
  memcpy(to->words, from->words, (size_t)(from->size / 64 + 1) * 8);
}

static void intersect(struct bitset *set, const struct bitset *other) {
  for (uint64_t i = 0; i < set->size / 64 + 1; i++)
    set->words[i] &= other->words[i];
}

static void subtract(struct bitset *from, const struct bitset *other) {
  for (uint64_t i = 0; i < from->size / 64 + 1; i++)
    from->words[i] &= ~other->words[i];
}

/* Steps 3 to 5, after `reached` weak tables were reached in step 1. */
static struct inspect_error *mark_resurrected(struct marking *marking, size_t reached) {
  resurrect(marking);
  TRY(marking_run(marking));
  clear(marking, reached, clear_keys_first);
  return NULL;
}

/* The first collection; `live` is what steps 1 and 2 mark. */
static struct inspect_error *collect_first(struct marking *marking, struct bitset *live,
                                           bool *leaves_less) {
  marking_add_roots(marking, true);
  TRY(marking_run(marking));
  size_t reached = marking->weak.count;
  clear(marking, 0, clear_values_first);
  copy(live, marking->marked);
  *leaves_less = has_pending_roots(marking->graph) || drops_keys(marking, reached, live);
  return mark_resurrected(marking, reached);
}

/* The second one, after one that found `live` in use and left `left`; replaces `live`. What it
 * marks beyond `left` are strings of weak entries that the first one dropped. */
static struct inspect_error *collect_second(struct marking *marking, const struct bitset *left,
                                            struct bitset *live) {
  struct bitset again;
  if (!bitset_init(&again, marking->graph->object_count)) return error_no_memory();
  marking_restart(marking, &again, live);
  marking_add_roots(marking, false);
  struct inspect_error *error = marking_run(marking);
  size_t reached = marking->weak.count;
  if (!error) {
    clear(marking, 0, clear_values_first);
    error = mark_resurrected(marking, reached);
  }
  intersect(&again, left);
  if (!error) copy(live, &again);
  bitset_free(&again);
  return error;
}

static struct inspect_error *fill(struct marking *marking, struct collection *result) {
  bool leaves_less;
  TRY(collect_first(marking, &result->live, &leaves_less));
  if (leaves_less) TRY(collect_second(marking, &result->finalizer, &result->live));
  subtract(&result->finalizer, &result->live);
  return NULL;
}

struct inspect_error *collect(const struct graph *graph, const struct graph_mask *mask,
                              const struct work *work, struct collection *result) {
  *result = (struct collection){0};
  struct inspect_error *error = NULL;
  if (!bitset_init(&result->live, graph->object_count) ||
      !bitset_init(&result->finalizer, graph->object_count))
    error = error_no_memory();
  if (!error) {
    struct marking marking;
    error = marking_init(&marking, graph, mask, work, &result->finalizer);
    if (!error) error = fill(&marking, result);
    marking_free(&marking);
  }
  if (error) collection_free(result);
  return error;
}

void collection_free(struct collection *collection) {
  bitset_free(&collection->live);
  bitset_free(&collection->finalizer);
}
