/* holding.c - which references hold: rules of weak tables, and an index from ephemeron keys to
 * their values.
 *
 * The index is a bit set of the keys, ranked by popcount, and rows of values: no array over all
 * objects. An entry counts only if its table is reachable. The caller's `live` says that, unless a
 * mask may have cut the table off: then what is reachable is marked here. */
#include "analysis/holding.h"

#include <stdlib.h>

#include "base/large.h"

struct entry {
  object_id key, value;
};

struct entries VECTOR(struct entry);

static const uint8_t BOTH = OBJECT_WEAK_KEYS | OBJECT_WEAK_VALUES;

bool holding_holds(const struct holding *holding, object_id object, reference_id reference) {
  const struct graph *graph = holding->graph;
  uint8_t flags = graph->flags[object], kind = graph->kind[reference];
  if (!mask_follows(holding->mask, kind, reference)) return false;
  if (graph_is_strong(flags, kind)) return true;
  if (graph_is_ephemeron_value(flags, kind)) {
    object_id key = entry_key(graph, graph_first(graph, object), reference);
    return key == NO_OBJECT || is_string(graph, key);
  }
  if (!is_string(graph, graph->target[reference]) || kind == REFERENCE_LEFTOVER) return false;
  if (kind != REFERENCE_KEY || (flags & BOTH) != BOTH) return true;
  object_id value = entry_value(graph, graph_first(graph, (uint64_t)object + 1), reference);
  return value == NO_OBJECT || is_string(graph, value) || !holding->left ||
         bitset_has(holding->left, value);
}

static struct inspect_error *mark_reached(struct holding *holding, const struct bitset *live,
                                          const struct graph_mask *mask, const struct work *work) {
  const struct graph *graph = holding->graph;
  struct graph_mask within = mask ? *mask : (struct graph_mask){.kinds = ALL_KINDS};
  struct bitset avoid = {0};
  if (!bitset_init(&holding->reached, graph->object_count)) return error_no_memory();
  if (live) {
    if (!bitset_init(&avoid, graph->object_count)) return error_no_memory();
    for (uint64_t i = 0; i < avoid.size / 64 + 1; i++)
      avoid.words[i] = ~live->words[i] | (within.avoid ? within.avoid->words[i] : 0);
    within.avoid = &avoid;
  }
  struct marking marking;
  struct inspect_error *error =
      marking_init(&marking, graph, live || mask ? &within : NULL, work, &holding->reached);
  if (!error) {
    marking_add_roots(&marking, true);
    error = marking_run(&marking);
  }
  marking_free(&marking);
  bitset_free(&avoid);
  return error;
}

/* Finds the next entry of an ephemeron table from *reference on whose key holds its value. */
static bool next_entry(const struct holding *holding, object_id table, reference_id *reference,
                       object_id *key) {
  const struct graph *graph = holding->graph;
  reference_id first = graph_first(graph, table), end = graph_first(graph, (uint64_t)table + 1);
  for (; *reference < end; ++*reference) {
    uint8_t kind = graph->kind[*reference];
    if (!graph_is_ephemeron_value(graph->flags[table], kind)) continue;
    if (!mask_follows(holding->mask, kind, *reference)) continue;
    *key = entry_key(graph, first, *reference);
    if (*key != NO_OBJECT && !is_string(graph, *key)) return true;
  }
  return false;
}

/* Whether the index is to be given up: asked of every entry; there are three passes over them. */
static bool stops(const struct work *work, uint64_t pass, uint64_t entry, uint64_t total) {
  enum { AT_ONCE = 1 << 16, PASSES = 3 };
  return entry % AT_ONCE == 0 &&
         work_stops(work, "weak tables", pass * total + entry, PASSES * total);
}

/* Lists the entries of all reachable ephemeron tables. */
static struct inspect_error *list_entries(const struct holding *holding, const struct work *work,
                                          struct entries *entries) {
  const struct graph *graph = holding->graph;
  for (uint32_t table = next_with_flags(graph, 0, OBJECT_WEAK_KEYS); table < graph->object_count;
       table = next_with_flags(graph, table + 1, OBJECT_WEAK_KEYS)) {
    if ((graph->flags[table] & OBJECT_WEAK_VALUES) || !bitset_has(holding->left, table)) continue;
    reference_id reference = graph_first(graph, table);
    struct entry entry;
    for (; next_entry(holding, table, &reference, &entry.key); reference++) {
      entry.value = graph->target[reference];
      if (!vector_push(entries, entry)) return error_no_memory();
      if (stops(work, 0, entries->count, 0)) return error_interrupted();
    }
  }
  return entries->count < UINT32_MAX ? NULL : error_no_memory();
}

/* Gives every key its rank. */
static bool rank_keys(struct holding *holding, const struct entries *entries, uint32_t *key_count) {
  size_t words = (size_t)(holding->keys.size / 64 + 1);
  holding->ranks = malloc(words * sizeof *holding->ranks);
  if (!holding->ranks) return false;
  for (size_t i = 0; i < entries->count; i++)
    bitset_add(&holding->keys, entries->items[i].key);
  *key_count = 0;
  for (size_t i = 0; i < words; i++) {
    holding->ranks[i] = *key_count;
    *key_count += (uint32_t)__builtin_popcountll(holding->keys.words[i]);
  }
  return true;
}

/* Rows of values, of each key those that come last first. */
static struct inspect_error *place_values(struct holding *holding, const struct work *work,
                                          struct entries *entries, uint32_t key_count) {
  holding->first = large_zeroed((size_t)key_count + 1, sizeof *holding->first);
  holding->values = large_alloc(entries->count + 1, sizeof *holding->values);
  if (!holding->first || !holding->values) return error_no_memory();
  for (size_t i = 0; i < entries->count; i++) {
    struct entry *entry = &entries->items[i];
    if (stops(work, 1, i, entries->count)) return error_interrupted();
    entry->key = holding_key_rank(holding, entry->key);
    holding->first[entry->key]++;
  }
  uint32_t total = 0;
  for (uint32_t i = 0; i <= key_count; i++) {
    total += holding->first[i];
    holding->first[i] = total; /* where its values end: placing counts it down */
  }
  for (size_t i = 0; i < entries->count; i++) {
    if (stops(work, 2, i, entries->count)) return error_interrupted();
    holding->values[--holding->first[entries->items[i].key]] = entries->items[i].value;
  }
  return NULL;
}

static struct inspect_error *index_entries(struct holding *holding, const struct work *work,
                                           struct entries *entries) {
  uint32_t key_count;
  if (!bitset_init(&holding->keys, holding->graph->object_count)) return error_no_memory();
  TRY(list_entries(holding, work, entries));
  if (!rank_keys(holding, entries, &key_count)) return error_no_memory();
  return key_count ? place_values(holding, work, entries, key_count) : NULL;
}

static struct inspect_error *index_ephemerons(struct holding *holding, const struct work *work) {
  const struct graph *graph = holding->graph;
  if (next_with_flags(graph, 0, OBJECT_WEAK_KEYS) == graph->object_count) return NULL;
  struct entries entries = {0};
  struct inspect_error *error = index_entries(holding, work, &entries);
  vector_free(&entries);
  return error;
}

struct inspect_error *holding_init(struct holding *holding, const struct graph *graph,
                                   const struct bitset *live, const struct graph_mask *mask,
                                   const struct work *work) {
  *holding = (struct holding){.graph = graph, .mask = mask, .left = live};
  if (mask || !live) {
    TRY(mark_reached(holding, live, mask, work));
    holding->left = &holding->reached;
  }
  return index_ephemerons(holding, work);
}

void holding_free(struct holding *holding) {
  bitset_free(&holding->reached);
  bitset_free(&holding->keys);
  free(holding->ranks);
  free(holding->first);
  free(holding->values);
  *holding = (struct holding){0};
}
