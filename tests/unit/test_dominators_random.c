/* test_dominators_random.c - dominators of small random heaps, with all rules of weak tables,
 * several roots and masks, against the definition: v is dominated by u if it is not reached without
 * u. The model in turn is checked against the iterative fixpoint over sets of dominators. */
#include "random_heap.h"

#include "analysis/census.h"
#include "analysis/collect.h"
#include "analysis/dominators.h"
#include "analysis/retained_sets.h"

/* Sets that hold more than their members do one by one. */
static size_t held_together;

struct model {
  bool edge[HEAP_OBJECTS][HEAP_OBJECTS];
  bool takes_part[HEAP_OBJECTS], reached[HEAP_OBJECTS], is_root[HEAP_OBJECTS];
  bool dominates[HEAP_OBJECTS][HEAP_OBJECTS]; /* [outer][inner] */
};

static void add_entry_edges(const struct random_heap *heap, struct model *model,
                            const struct heap_entry *entry, const bool *left) {
  bool weak_keys = heap_weak_keys(heap, entry->table);
  bool weak_values = heap_weak_values(heap, entry->table), both = weak_keys && weak_values;
  bool object_key = entry->key != NONE && !heap_is_string(heap, entry->key);
  if (entry->key != NONE && heap_may_follow(heap, REFERENCE_KEY, entry->key_id)) {
    bool holds = !weak_keys || !object_key;
    if (both && entry->value != NONE && !heap_is_string(heap, entry->value) && !left[entry->value])
      holds = false;
    if (holds) model->edge[entry->table][entry->key] = true;
  }
  if (entry->value == NONE || !heap_may_follow(heap, entry->value_kind, entry->value_id)) return;
  if (weak_keys && !weak_values && object_key) {
    if (left[entry->table]) model->edge[entry->key][entry->value] = true;
  } else if (!weak_values || heap_is_string(heap, entry->value)) {
    model->edge[entry->table][entry->value] = true;
  }
}

static void reach(const struct random_heap *heap, const struct model *model, object_id without,
                  bool *reached) {
  memset(reached, 0, HEAP_OBJECTS * sizeof *reached);
  for (object_id i = 0; i < heap->count; i++)
    reached[i] = model->is_root[i] && model->takes_part[i] && i != without;
  for (bool changed = true; changed;) {
    changed = false;
    for (object_id from = 0; from < heap->count; from++) {
      for (object_id to = 0; reached[from] && to < heap->count; to++) {
        if (reached[to] || !model->edge[from][to] || !model->takes_part[to] || to == without)
          continue;
        reached[to] = changed = true;
      }
    }
  }
}

/* `left` says which tables and values are there to stay. */
static void model_fill(const struct random_heap *heap, struct model *model, const bool *left) {
  for (size_t i = 0; i < heap->reference_count; i++) {
    const struct heap_reference *reference = &heap->references[i];
    if (heap_may_follow(heap, reference->kind, reference->id)) /* strong in any table */
      model->edge[reference->from][reference->to] = true;
  }
  for (size_t i = 0; i < heap->entry_count; i++)
    add_entry_edges(heap, model, &heap->entries[i], left);
  for (size_t i = 0; i < heap->root_count; i++)
    if (heap_is_root(heap->roots[i].kind)) model->is_root[heap->roots[i].object] = true;
  for (object_id i = 0; i < heap->count; i++)
    if (heap->flags[i] & OBJECT_FIXED) model->is_root[i] = true;
  reach(heap, model, NONE, model->reached);
  for (object_id outer = 0; outer < heap->count; outer++) {
    bool still[HEAP_OBJECTS];
    reach(heap, model, outer, still);
    for (object_id inner = 0; inner < heap->count; inner++)
      model->dominates[outer][inner] = model->reached[inner] && !still[inner];
  }
}

/* dom(v) = {v} + the intersection of dom(p) over predecessors p, from above to the fixpoint. */
static void check_fixpoint(const struct random_heap *heap, const struct model *model) {
  uint64_t dom[HEAP_OBJECTS];
  for (object_id i = 0; i < heap->count; i++)
    dom[i] = model->reached[i] ? UINT64_MAX : 0;
  for (bool changed = true; changed;) {
    changed = false;
    for (object_id v = 0; v < heap->count; v++) {
      if (!model->reached[v]) continue;
      uint64_t meet = model->is_root[v] ? 0 : UINT64_MAX;
      for (object_id p = 0; p < heap->count; p++)
        if (model->reached[p] && model->edge[p][v]) meet &= dom[p];
      meet |= UINT64_C(1) << v;
      changed |= meet != dom[v];
      dom[v] = meet;
    }
  }
  for (object_id v = 0; v < heap->count; v++)
    for (object_id u = 0; model->reached[v] && u < heap->count; u++)
      assert_int_equal(dom[v] >> u & 1, model->dominates[u][v]);
}

static size_t count_dominators(const struct random_heap *heap, const struct model *model,
                               object_id of) {
  size_t count = 0;
  for (object_id i = 0; i < heap->count; i++)
    count += model->dominates[i][of];
  return count;
}

/* The deepest object other than `except` that dominates all of the set. */
static object_id model_common(const struct random_heap *heap, const struct model *model,
                              const object_id *objects, size_t count, object_id except) {
  object_id best = NONE;
  size_t best_depth = 0;
  for (object_id i = 0; i < heap->count; i++) {
    bool all = count > 0 && i != except;
    for (size_t j = 0; j < count; j++)
      all = all && model->dominates[i][objects[j]];
    size_t depth = all ? count_dominators(heap, model, i) : 0;
    if (depth > best_depth) {
      best_depth = depth;
      best = i;
    }
  }
  return best;
}

static void compare_objects(const struct random_heap *heap, const struct model *model,
                            const struct dominators *dominators) {
  for (object_id v = 0; v < heap->count; v++) {
    uint64_t retained = 0;
    for (object_id w = 0; w < heap->count; w++) {
      if (model->dominates[v][w]) retained += heap->bytes[w];
      assert_int_equal(dominators_dominates(dominators, v, w), model->dominates[v][w]);
    }
    assert_int_equal(dominators->retained[v], retained);
    assert_int_equal(dominators->enter[v] != 0, model->reached[v]);
    assert_int_equal(dominators->parent[v], model_common(heap, model, &v, 1, v));
  }
}

static void compare_sets(struct random_heap *heap, const struct model *model,
                         const struct dominators *dominators) {
  for (int round = 0; round < 3; round++) {
    object_id set[4];
    size_t count = heap_random(heap, 5);
    for (size_t i = 0; i < count; i++)
      set[i] = heap_any(heap);
    uint64_t retained = 0;
    for (object_id w = 0; w < heap->count; w++) {
      bool covered = false;
      for (size_t i = 0; i < count; i++)
        covered |= model->dominates[set[i]][w];
      if (covered) retained += heap->bytes[w];
    }
    assert_int_equal(dominators_retained_by_set(dominators, set, count), retained);
    assert_int_equal(dominators_common(dominators, set, count),
                     model_common(heap, model, set, count, NONE));
  }
}

/* Retained bytes of sets, more than are worked out at once: of all that is not reached without the
 * members. */
static void compare_exact_sets(struct random_heap *heap, const struct model *model,
                               const struct dominators *dominators) {
  enum { SETS = 10, MEMBERS = 5 };
  struct retained_set sets[SETS];
  object_id members[SETS][MEMBERS];
  size_t count = heap_random(heap, SETS + 1);
  for (size_t i = 0; i < count; i++) {
    sets[i] = (struct retained_set){.objects = members[i], .count = heap_random(heap, MEMBERS + 1)};
    for (size_t j = 0; j < sets[i].count; j++)
      members[i][j] = heap_any(heap);
  }
  assert_null(retained_sets_compute(heap->graph, dominators, sets, count, NULL));
  for (size_t i = 0; i < count; i++) {
    struct model without = *model;
    bool still[HEAP_OBJECTS];
    uint64_t retained = 0;
    for (size_t j = 0; j < sets[i].count; j++)
      without.takes_part[members[i][j]] = false;
    reach(heap, &without, NONE, still);
    for (object_id w = 0; w < heap->count; w++)
      if (model->reached[w] && !still[w]) retained += heap->bytes[w];
    assert_int_equal(sets[i].retained, retained);
    uint64_t dominated = dominators_retained_by_set(dominators, members[i], sets[i].count);
    assert_true(dominated <= retained);
    held_together += dominated < retained;
  }
}

/* Retained bytes of groups: of everything that some member of the group dominates. */
static void compare_groups(struct random_heap *heap, const struct model *model,
                           const struct dominators *dominators) {
  enum { GROUPS = 4 };
  uint32_t group[HEAP_OBJECTS];
  struct census census;
  for (object_id i = 0; i < heap->count; i++)
    group[i] = heap_chance(heap, 20) ? NO_GROUP : heap_random(heap, GROUPS);
  assert_null(census_take(heap->graph, group, GROUPS, dominators, NULL, &census));
  uint64_t all_count = 0, all_bytes = 0;
  for (uint32_t g = 0; g < GROUPS; g++) {
    uint64_t count = 0, bytes = 0, retained = 0;
    for (object_id i = 0; i < heap->count; i++) {
      bool held = false;
      for (object_id member = 0; member < heap->count; member++)
        held |= group[member] == g && model->dominates[member][i];
      if (held) retained += heap->bytes[i];
      if (group[i] != g) continue;
      count++;
      bytes += heap->bytes[i];
    }
    const struct census_group *found = &census.groups[g];
    assert_int_equal(found->count, count);
    assert_int_equal(found->bytes, bytes);
    assert_int_equal(found->retained, retained);
    assert_true(count ? group[found->example] == g : found->example == NO_OBJECT);
    all_count += count;
    all_bytes += bytes;
  }
  assert_int_equal(census.count, all_count);
  assert_int_equal(census.bytes, all_bytes);
  census_free(&census);
}

/* With the live set of a collection, without a mask. */
static void check_live(struct random_heap *heap) {
  struct model model;
  memset(&model, 0, sizeof model);
  struct collection collection;
  struct dominators dominators;
  assert_null(collect(heap->graph, NULL, NULL, &collection));
  assert_null(dominators_compute(heap->graph, &collection.live, NULL, NULL, &dominators));
  for (object_id i = 0; i < heap->count; i++)
    model.takes_part[i] = bitset_has(&collection.live, i);
  const struct graph_mask *mask = heap->mask;
  heap->mask = NULL;
  model_fill(heap, &model, model.takes_part);
  check_fixpoint(heap, &model);
  compare_objects(heap, &model, &dominators);
  compare_sets(heap, &model, &dominators);
  compare_exact_sets(heap, &model, &dominators);
  compare_groups(heap, &model, &dominators);
  heap->mask = mask;
  dominators_free(&dominators);
  collection_free(&collection);
}

/* Everything reachable under the mask, and half of the time within a random limit, which to the
 * model is one more thing to avoid. */
static void check_masked(struct random_heap *heap) {
  static const struct graph_mask no_restriction = {.kinds = ALL_KINDS};
  struct random_heap within = *heap;
  struct graph_mask mask = heap->mask ? *heap->mask : no_restriction;
  struct bitset live, avoid;
  assert_true(bitset_init(&live, heap->count) && bitset_init(&avoid, heap->count));
  mask.avoid = &avoid;
  within.mask = &mask;
  bool limited = heap_chance(heap, 50), left[HEAP_OBJECTS] = {0};
  struct model model;
  memset(&model, 0, sizeof model);
  for (object_id i = 0; i < heap->count; i++) {
    bool in = !limited || heap_chance(heap, 85);
    model.takes_part[i] = in && !heap_avoids(heap, i);
    if (in) bitset_add(&live, i);
    if (!model.takes_part[i]) bitset_add(&avoid, i);
  }
  heap_mark_roots(&within, left, true);
  heap_close(&within, left);
  model_fill(&within, &model, left);
  struct dominators dominators;
  const struct graph_mask *given = limited && !heap->mask ? &no_restriction : heap->mask;
  assert_null(dominators_compute(heap->graph, limited ? &live : NULL, given, NULL, &dominators));
  compare_objects(&within, &model, &dominators);
  compare_sets(heap, &model, &dominators);
  compare_exact_sets(&within, &model, &dominators);
  dominators_free(&dominators);
  bitset_free(&avoid);
  bitset_free(&live);
}

static void test_random_heaps(void **state) {
  (void)state;
  for (uint64_t seed = 1; seed <= 3000; seed++) {
    struct random_heap heap;
    heap_create(&heap, seed);
    check_live(&heap);
    check_masked(&heap);
    heap_free(&heap);
  }
  assert_true(held_together > 100);
}

/* ---- More objects than a word of a set has bits ------------------------------------------------
 */

enum { MANY = 1000, MANY_SETS = 11, MANY_MEMBERS = 40 };

struct many {
  object_id from[3 * MANY], to[3 * MANY];
  size_t count;
};

/* Every object is reached, mostly over a chain against the order of ids. */
static struct graph *make_many(struct random_heap *dice, struct many *many) {
  struct graph_builder *builder = graph_builder_create();
  assert_non_null(builder);
  *many = (struct many){0};
  for (object_id i = 0; i < MANY; i++)
    assert_true(graph_builder_object(builder, OBJECT_TABLE, 0, 1 + i));
  for (object_id i = 0; i < MANY; i++) {
    for (int j = 0; j < 3; j++) {
      if (j ? !heap_chance(dice, 30) : !i) continue;
      many->from[many->count] = i;
      many->to[many->count++] = j ? heap_random(dice, MANY) : i - 1;
    }
  }
  for (size_t i = 0; i < many->count; i++)
    assert_true(
        graph_builder_reference(builder, many->from[i], REFERENCE_INDEX, many->to[i], NULL, 1));
  assert_true(graph_builder_root(builder, ROOT_REGISTRY, MANY - 1));
  return graph_builder_finish(builder);
}

static uint64_t many_without(const struct many *many, const struct retained_set *set) {
  bool out[MANY] = {false}, still[MANY] = {false};
  uint64_t bytes = 0;
  for (size_t i = 0; i < set->count; i++)
    out[set->objects[i]] = true;
  still[MANY - 1] = !out[MANY - 1];
  for (bool changed = true; changed;) {
    changed = false;
    for (size_t i = many->count; i-- > 0;) {
      object_id from = many->from[i], to = many->to[i];
      if (still[from] && !still[to] && !out[to]) still[to] = changed = true;
    }
  }
  for (object_id i = 0; i < MANY; i++)
    if (!still[i]) bytes += 1 + i;
  return bytes;
}

static void test_sets_of_many(void **state) {
  (void)state;
  for (uint64_t seed = 1; seed <= 30; seed++) {
    struct random_heap dice = {.random = seed * UINT64_C(0x9e3779b97f4a7c15)};
    struct many many;
    struct graph *graph = make_many(&dice, &many);
    struct dominators dominators;
    struct retained_set sets[MANY_SETS];
    object_id members[MANY_SETS][MANY_MEMBERS];
    assert_null(dominators_compute(graph, NULL, NULL, NULL, &dominators));
    for (size_t i = 0; i < MANY_SETS; i++) {
      sets[i] =
          (struct retained_set){.objects = members[i], .count = heap_random(&dice, MANY_MEMBERS)};
      for (size_t j = 0; j < sets[i].count; j++)
        members[i][j] = heap_random(&dice, MANY);
    }
    assert_null(retained_sets_compute(graph, &dominators, sets, MANY_SETS, NULL));
    for (size_t i = 0; i < MANY_SETS; i++)
      assert_int_equal(sets[i].retained, many_without(&many, &sets[i]));
    dominators_free(&dominators);
    graph_builder_free_graph(graph);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_random_heaps),
      cmocka_unit_test(test_sets_of_many),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
