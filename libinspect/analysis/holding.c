/* holding.c - which references hold: rules of weak tables, and an index from ephemeron keys to
 * their values.
 *
 * The index is a bit set of the keys, ranked by popcount, and rows of values: no array over all
 * objects. An entry counts only if its table is reachable. The caller's `live` says that, unless a
 * mask may have cut the table off: then what is reachable is marked here. */
#include "analysis/holding.h"

#include <stdlib.h>

#include "base/large.h"

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

/* Calls `use` for every entry of every reachable ephemeron table. */
static void for_entries(struct holding *holding,
                        void (*use)(struct holding *, object_id key, object_id value)) {
  const struct graph *graph = holding->graph;
  for (uint32_t table = next_with_flags(graph, 0, OBJECT_WEAK_KEYS); table < graph->object_count;
       table = next_with_flags(graph, table + 1, OBJECT_WEAK_KEYS)) {
    if ((graph->flags[table] & OBJECT_WEAK_VALUES) || !bitset_has(holding->left, table)) continue;
    reference_id reference = graph_first(graph, table);
    for (object_id key; next_entry(holding, table, &reference, &key); reference++)
      use(holding, key, graph->target[reference]);
  }
}

static void mark_key(struct holding *holding, object_id key, object_id value) {
  (void)value;
  bitset_add(&holding->keys, key);
}

static void count_value(struct holding *holding, object_id key, object_id value) {
  (void)value;
  holding->first[holding_key_rank(holding, key)]++;
}

static void place_value(struct holding *holding, object_id key, object_id value) {
  holding->values[--holding->first[holding_key_rank(holding, key)]] = value;
}

static struct inspect_error *index_ephemerons(struct holding *holding) {
  uint32_t count = holding->graph->object_count;
  holding->ranks = calloc(((size_t)count >> 6) + 1, sizeof *holding->ranks);
  if (!bitset_init(&holding->keys, count) || !holding->ranks) return error_no_memory();
  for_entries(holding, mark_key);
  uint32_t key_count = 0;
  for (uint64_t i = 0; i < holding->keys.size / 64 + 1; i++) {
    holding->ranks[i] = key_count;
    key_count += (uint32_t)__builtin_popcountll(holding->keys.words[i]);
  }
  if (!key_count) return NULL;
  holding->first = calloc((size_t)key_count + 1, sizeof *holding->first);
  if (!holding->first) return error_no_memory();
  for_entries(holding, count_value);
  uint64_t total = 0;
  for (uint32_t i = 0; i < key_count; i++) {
    total += holding->first[i];
    holding->first[i] = (uint32_t)total; /* where its values end: placing counts it down */
  }
  if (total > UINT32_MAX) return error_no_memory();
  holding->first[key_count] = (uint32_t)total;
  holding->values = malloc((size_t)total * sizeof *holding->values);
  if (!holding->values) return error_no_memory();
  for_entries(holding, place_value);
  return NULL;
}

/* Who takes part, and who of them may hold something. */
static void divide(struct holding *holding, const struct bitset *live) {
  const struct graph *graph = holding->graph;
  for (uint32_t object = 0; object < graph->object_count; object++) {
    if (live && !bitset_has(live, object)) continue;
    if (!mask_enters(holding->mask, object)) continue;
    bool has_row = graph_first(graph, object) < graph_first(graph, (uint64_t)object + 1);
    bool is_key = holding->values && bitset_has(&holding->keys, object);
    bitset_add(has_row || is_key ? &holding->inner : &holding->leaves, object);
  }
}

/* Tells twigs from inner objects; until then the latter are all that may hold something. */
static void find_twigs(struct holding *holding) {
  for (uint64_t word = 0; word < holding->inner.size / 64 + 1; word++)
    for (uint64_t bits = holding->inner.words[word]; bits; bits &= bits - 1) {
      object_id object = (object_id)(word * 64 + (unsigned)__builtin_ctzll(bits)), target;
      struct held held = held_begin(holding, object);
      bool is_inner = false;
      while (!is_inner && held_next(holding, &held, &target))
        is_inner = bitset_has(&holding->inner, target) || bitset_has(&holding->twigs, target);
      if (!is_inner) bitset_add(&holding->twigs, object);
    }
  for (uint64_t word = 0; word < holding->inner.size / 64 + 1; word++)
    holding->inner.words[word] &= ~holding->twigs.words[word];
}

/* Lists the edges between inner objects. There is room for all references; what is not used is
 * never touched. */
static struct inspect_error *list_rows(struct holding *holding) {
  const struct graph *graph = holding->graph;
  uint32_t objects = graph->object_count,
           keys = holding->values ? holding_key_rank(holding, objects) : 0;
  uint64_t room = graph->reference_count + (keys ? holding->first[keys] : 0), count = 0;
  if (room < SIZE_MAX) holding->edge = large_alloc((size_t)room + 1, sizeof *holding->edge);
  holding->row = large_alloc((size_t)objects + 2, sizeof *holding->row);
  if (!holding->row || !holding->edge) return error_no_memory();
  for (object_id object = 0, target; object < objects; object++) {
    holding->row[object] = (uint32_t)count;
    if (!bitset_has(&holding->inner, object)) continue;
    struct held held = held_begin(holding, object);
    while (held_next(holding, &held, &target))
      if (bitset_has(&holding->inner, target)) holding->edge[count++] = target;
    if (count > UINT32_MAX - 1)
      return error_create(INSPECT_ERROR_UNSUPPORTED, NULL, "too many references for dominators");
  }
  holding->row[objects] = (uint32_t)count;
  return NULL;
}

struct inspect_error *holding_init_rules(struct holding *holding, const struct graph *graph,
                                         const struct bitset *live, const struct graph_mask *mask,
                                         const struct work *work) {
  *holding = (struct holding){.graph = graph, .mask = mask, .left = live};
  if (next_with_flags(graph, 0, OBJECT_WEAK_KEYS) == graph->object_count) return NULL;
  if (mask || !live) {
    TRY(mark_reached(holding, live, mask, work));
    holding->left = &holding->reached;
  }
  return index_ephemerons(holding);
}

struct inspect_error *holding_init(struct holding *holding, const struct graph *graph,
                                   const struct bitset *live, const struct graph_mask *mask,
                                   const struct work *work) {
  TRY(holding_init_rules(holding, graph, live, mask, work));
  if (!bitset_init(&holding->inner, graph->object_count) ||
      !bitset_init(&holding->twigs, graph->object_count) ||
      !bitset_init(&holding->leaves, graph->object_count))
    return error_no_memory();
  divide(holding, live);
  find_twigs(holding);
  return list_rows(holding);
}

void holding_free_edges(struct holding *holding) {
  free(holding->row);
  free(holding->edge);
  holding->row = holding->edge = NULL;
}

void holding_free(struct holding *holding) {
  bitset_free(&holding->inner);
  bitset_free(&holding->twigs);
  bitset_free(&holding->leaves);
  holding_free_edges(holding);
  bitset_free(&holding->reached);
  bitset_free(&holding->keys);
  free(holding->ranks);
  free(holding->first);
  free(holding->values);
  *holding = (struct holding){0};
}
