/* cuts.c - references judged by the dominator tree.
 *
 * The tree is that of a graph D in which the value of an ephemeron entry hangs on its key alone.
 * Without u -> v, marking reaches exactly what D reaches without it if every ephemeron table is
 * reached over strong references that do not pass through v: then its entries hang on their keys
 * alone, indeed. So a breadth-first search notes one such path to each table whose entries matter,
 * and only a v that lies on one of these paths is unsure.
 *
 * In D, v goes with u -> v if v is no root and every other reference to it comes from what v
 * dominates (Tarjan's bridges of a flow graph): one pass over the targets of all references for all
 * cuts.
 *
 * The second collection leaves what the first does unless finalizers are pending or an entry with
 * weak value is dropped whose key is an object (collect.c): the entries that could be are looked
 * at. */
#include "analysis/cuts.h"

#include <stdlib.h>

#include "analysis/mark.h"
#include "base/large.h"

enum { CHECK_EVERY = 1 << 16, LOOK_AHEAD = 16, FILTER_BITS = 1 << 12, MOST_VISITS = 1 << 20 };

static const uint8_t WEAK = OBJECT_WEAK_KEYS | OBJECT_WEAK_VALUES;

struct judging {
  const struct graph *graph;
  const struct collection *collection;
  const struct dominators *dominators;
  const struct work *work;
  struct cut *cuts;
  size_t count;
};

static object_id cut_object(const struct judging *judging, size_t cut) {
  return judging->graph->target[judging->cuts[cut].reference];
}

static void set_all(struct judging *judging, enum cut_effect effect) {
  for (size_t i = 0; i < judging->count; i++)
    judging->cuts[i].effect = effect;
}

/* ---- What the second collection leaves --------------------------------------------------------
 */

static bool has_pending_root(const struct graph *graph) {
  for (size_t i = 0; i < graph->root_count; i++)
    if (graph->roots[i].kind == ROOT_PENDING) return true;
  return false;
}

/* The cuts that drop an entry of this table with weak values, the key of which is an object. False:
 * it has one that is dropped already. */
static bool judge_weak_table(struct judging *judging, object_id table) {
  const struct graph *graph = judging->graph;
  reference_id end = graph_first(graph, (uint64_t)table + 1);
  for (reference_id key = graph_first(graph, table); key < end; key++) {
    if (graph->kind[key] != REFERENCE_KEY || is_string(graph, graph->target[key])) continue;
    object_id value = entry_value(graph, end, key);
    if (value == NO_OBJECT || is_string(graph, value)) continue;
    if (!bitset_has(&judging->collection->live, value)) return false;
    for (size_t i = 0; i < judging->count; i++) {
      object_id object = cut_object(judging, i);
      if (dominators_dominates(judging->dominators, object, value) &&
          !dominators_dominates(judging->dominators, object, table))
        judging->cuts[i].effect = CUT_IS_UNSURE;
    }
  }
  return true;
}

static void judge_weak_values(struct judging *judging) {
  const struct graph *graph = judging->graph;
  bool is_sure = !has_pending_root(graph);
  for (uint32_t table = next_with_flags(graph, 0, OBJECT_WEAK_VALUES);
       is_sure && table < graph->object_count;
       table = next_with_flags(graph, table + 1, OBJECT_WEAK_VALUES))
    if ((graph->flags[table] & WEAK) == OBJECT_WEAK_VALUES &&
        collection_leaves(judging->collection, table))
      is_sure = judge_weak_table(judging, table);
  if (!is_sure) set_all(judging, CUT_IS_UNSURE);
}

/* ---- Ephemeron tables --------------------------------------------------------------------------
 */

/* A breadth-first search over strong references for ephemeron tables. */
struct tables {
  const struct judging *judging;
  struct bitset wanted;
  size_t left; /* of them, not found yet */
  struct bitset seen;
  object_id *parent;
  struct object_list queue;
};

/* Whether a value of the table hangs on a key. */
static bool has_entry(const struct judging *judging, object_id table) {
  const struct graph *graph = judging->graph;
  reference_id first = graph_first(graph, table), end = graph_first(graph, (uint64_t)table + 1);
  for (reference_id value = first; value < end; value++) {
    if (!graph_is_ephemeron_value(graph->flags[table], graph->kind[value])) continue;
    object_id key = entry_key(graph, first, value);
    if (key != NO_OBJECT && !is_string(graph, key) && !is_string(graph, graph->target[value]) &&
        bitset_has(&judging->collection->live, key))
      return true;
  }
  return false;
}

static void list_tables(struct tables *tables) {
  const struct graph *graph = tables->judging->graph;
  for (uint32_t table = next_with_flags(graph, 0, OBJECT_WEAK_KEYS); table < graph->object_count;
       table = next_with_flags(graph, table + 1, OBJECT_WEAK_KEYS)) {
    if ((graph->flags[table] & WEAK) != OBJECT_WEAK_KEYS) continue;
    if (!bitset_has(&tables->judging->collection->live, table)) continue;
    if (!has_entry(tables->judging, table)) continue;
    bitset_add(&tables->wanted, table);
    tables->left++;
  }
}

static bool see(struct tables *tables, object_id object, object_id parent) {
  if (object >= tables->seen.size || !bitset_insert(&tables->seen, object)) return true;
  tables->parent[object] = parent;
  tables->left -= bitset_has(&tables->wanted, object);
  return vector_push(&tables->queue, object);
}

static bool see_roots(struct tables *tables) {
  const struct graph *graph = tables->judging->graph;
  bool fits = true;
  for (size_t i = 0; fits && i < graph->root_count; i++)
    if (root_keeps(graph->roots[i].kind)) fits = see(tables, graph->roots[i].object, NO_OBJECT);
  for (uint32_t object = next_with_flags(graph, 0, OBJECT_FIXED);
       fits && object < graph->object_count;
       object = next_with_flags(graph, object + 1, OBJECT_FIXED))
    fits = see(tables, object, NO_OBJECT);
  return fits;
}

static struct inspect_error *search_tables(struct tables *tables) {
  const struct graph *graph = tables->judging->graph;
  if (!see_roots(tables)) return error_no_memory();
  for (size_t i = 0; tables->left && i < tables->queue.count && i < MOST_VISITS; i++) {
    object_id object = tables->queue.items[i];
    if (i % CHECK_EVERY == 0 && work_stops(tables->judging->work, "cut checks", 0, 0))
      return error_interrupted();
    reference_id end = graph_first(graph, (uint64_t)object + 1);
    for (reference_id at = graph_first(graph, object); at < end; at++)
      if (graph_is_strong(graph->flags[object], graph->kind[at]) &&
          !is_string(graph, graph->target[at]) && !see(tables, graph->target[at], object))
        return error_no_memory();
  }
  return NULL;
}

/* The cuts of objects on the paths found. */
static void judge_paths(struct judging *judging, struct tables *tables) {
  struct bitset *on_path = &tables->wanted;
  for (uint64_t word = 0; word < on_path->size / 64 + 1; word++)
    for (uint64_t bits = on_path->words[word]; bits; bits &= bits - 1) {
      object_id object = (object_id)(word * 64 + (unsigned)__builtin_ctzll(bits));
      for (object = tables->parent[object]; object != NO_OBJECT && bitset_insert(on_path, object);
           object = tables->parent[object])
        ;
    }
  for (size_t i = 0; i < judging->count; i++)
    if (bitset_has(on_path, cut_object(judging, i))) judging->cuts[i].effect = CUT_IS_UNSURE;
}

static struct inspect_error *judge_ephemerons(struct judging *judging) {
  const struct graph *graph = judging->graph;
  struct tables tables = {.judging = judging};
  struct inspect_error *error = NULL;
  if (!bitset_init(&tables.wanted, graph->object_count)) return error_no_memory();
  list_tables(&tables);
  if (tables.left) {
    tables.parent = large_alloc((size_t)graph->object_count + 1, sizeof *tables.parent);
    if (!tables.parent || !bitset_init(&tables.seen, graph->object_count))
      error = error_no_memory();
    if (!error) error = search_tables(&tables);
    if (!error && tables.left) set_all(judging, CUT_IS_UNSURE);
    if (!error && !tables.left) judge_paths(judging, &tables);
  }
  bitset_free(&tables.wanted);
  bitset_free(&tables.seen);
  vector_free(&tables.queue);
  free(tables.parent);
  return error;
}

/* ---- Other references to the object -------------------------------------------------------------
 */

static bool is_root(const struct graph *graph, object_id object) {
  if (graph->flags[object] & OBJECT_FIXED) return true;
  for (size_t i = 0; i < graph->root_count; i++)
    if (graph->roots[i].object == object && root_keeps(graph->roots[i].kind)) return true;
  return false;
}

/* Who holds the target of the reference (no string) in D; NO_OBJECT: nobody. */
static object_id holder_by(const struct judging *judging, reference_id reference) {
  const struct graph *graph = judging->graph;
  object_id from = graph_owner(graph, reference);
  uint8_t flags = graph->flags[from], kind = graph->kind[reference];
  if (!bitset_has(&judging->collection->live, from)) return NO_OBJECT;
  if (graph_is_strong(flags, kind)) return from;
  if (!graph_is_ephemeron_value(flags, kind)) return NO_OBJECT;
  object_id key = entry_key(graph, graph_first(graph, from), reference);
  return key == NO_OBJECT || is_string(graph, key) ? from : key;
}

static void judge_reference(struct judging *judging, reference_id reference) {
  const struct dominators *dominators = judging->dominators;
  object_id target = judging->graph->target[reference];
  for (size_t i = 0; i < judging->count; i++) {
    struct cut *cut = &judging->cuts[i];
    if (cut->effect != CUT_FREES || cut->reference == reference || cut_object(judging, i) != target)
      continue;
    object_id holder = holder_by(judging, reference);
    if (holder != NO_OBJECT && dominators->enter[holder] &&
        !dominators_dominates(dominators, target, holder))
      cut->effect = CUT_SPARES;
  }
}

static struct inspect_error *judge_references(struct judging *judging) {
  const struct graph *graph = judging->graph;
  uint64_t filter[FILTER_BITS / 64] = {0};
  for (size_t i = 0; i < judging->count; i++) {
    uint32_t bit = cut_object(judging, i) % FILTER_BITS;
    filter[bit / 64] |= UINT64_C(1) << (bit % 64);
  }
  for (reference_id start = 0; start < graph->reference_count; start += CHECK_EVERY) {
    reference_id end = start + CHECK_EVERY;
    if (end > graph->reference_count) end = graph->reference_count;
    if (work_stops(judging->work, "cut checks", start, graph->reference_count))
      return error_interrupted();
    for (reference_id i = start; i < end; i++) {
      uint32_t bit = graph->target[i] % FILTER_BITS;
      if (filter[bit / 64] >> (bit % 64) & 1) judge_reference(judging, i);
    }
  }
  return NULL;
}

/* ---- Interface
 * ----------------------------------------------------------------------------------- */

struct inspect_error *cuts_judge(const struct graph *graph, const struct collection *collection,
                                 const struct dominators *dominators, struct cut *cuts,
                                 size_t count, const struct work *work) {
  struct judging judging = {.graph = graph,
                            .collection = collection,
                            .dominators = dominators,
                            .work = work,
                            .cuts = cuts,
                            .count = count};
  set_all(&judging, CUT_IS_UNSURE);
  if (!dominators || !count) return NULL;
  for (size_t i = 0; i < count; i++) {
    object_id object = cut_object(&judging, i);
    if (is_string(graph, object) || !dominators->enter[object]) continue;
    cuts[i].effect = is_root(graph, object) ? CUT_SPARES : CUT_FREES;
  }
  TRY(judge_references(&judging));
  TRY(judge_ephemerons(&judging));
  judge_weak_values(&judging);
  return NULL;
}

static struct inspect_error *collect_without(const struct graph *graph, const struct cut *cut,
                                             const object_id *objects, size_t count,
                                             const struct work *work, size_t *freed) {
  const struct graph_mask mask = {.kinds = ALL_KINDS, .cut = &cut->reference, .cut_count = 1};
  struct collection collection;
  TRY(collect(graph, &mask, work, &collection));
  for (size_t i = 0; i < count; i++)
    *freed += !bitset_has(&collection.live, objects[i]);
  collection_free(&collection);
  return NULL;
}

struct inspect_error *cuts_count_freed(const struct graph *graph,
                                       const struct dominators *dominators, const struct cut *cut,
                                       const object_id *objects, size_t count,
                                       const struct work *work, size_t *freed) {
  *freed = 0;
  if (cut->effect == CUT_SPARES) return NULL;
  if (cut->effect == CUT_IS_UNSURE) return collect_without(graph, cut, objects, count, work, freed);
  object_id outer = graph->target[cut->reference];
  for (size_t i = 0; i < count; i++) {
    if (i + LOOK_AHEAD < count) __builtin_prefetch(&dominators->enter[objects[i + LOOK_AHEAD]]);
    *freed += dominators_dominates(dominators, outer, objects[i]);
  }
  return NULL;
}
