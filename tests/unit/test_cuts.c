/* test_cuts.c - references judged by the dominator tree against collections without them: on
 * random heaps, and on ephemerons by hand that the tree alone would get wrong. */
#include "random_heap.h"

#include "analysis/cuts.h"

/* How often each effect was met: a test that judges nothing tests nothing. */
static size_t met[CUT_IS_UNSURE + 1];

struct subject {
  const struct graph *graph;
  struct collection collection;
  struct dominators dominators;
  struct cut *cuts;
  size_t count;
};

static void open_subject(struct subject *it, const struct graph *graph) {
  *it = (struct subject){.graph = graph};
  assert_null(collect(graph, NULL, NULL, &it->collection));
  assert_null(dominators_compute(graph, &it->collection.live, NULL, NULL, &it->dominators));
  it->cuts = calloc(graph->reference_count + 1, sizeof *it->cuts);
  assert_non_null(it->cuts);
  for (uint32_t from = 0; from < graph->object_count; from++)
    for (reference_id at = graph_first(graph, from); at < graph_first(graph, (uint64_t)from + 1);
         at++)
      if (bitset_has(&it->collection.live, from)) it->cuts[it->count++].reference = at;
  assert_null(cuts_judge(graph, &it->collection, &it->dominators, it->cuts, it->count, NULL));
}

static void close_subject(struct subject *it) {
  free(it->cuts);
  dominators_free(&it->dominators);
  collection_free(&it->collection);
}

/* All live objects but strings. */
static size_t list_live(const struct subject *it, object_id *objects) {
  size_t count = 0;
  for (object_id i = 0; i < it->graph->object_count; i++)
    if (bitset_has(&it->collection.live, i) && it->graph->type[i] != OBJECT_STRING)
      objects[count++] = i;
  return count;
}

static void check_cut(const struct subject *it, const struct cut *cut) {
  object_id objects[HEAP_OBJECTS];
  size_t count = list_live(it, objects), freed, expected = 0;
  struct graph_mask mask = {.kinds = ALL_KINDS, .cut = &cut->reference, .cut_count = 1};
  struct collection without;
  assert_null(collect(it->graph, &mask, NULL, &without));
  for (size_t i = 0; i < count; i++)
    expected += !bitset_has(&without.live, objects[i]);
  collection_free(&without);
  assert_null(cuts_count_freed(it->graph, &it->dominators, cut, objects, count, NULL, &freed));
  assert_int_equal(freed, expected);
  met[cut->effect]++;
}

static void test_random_heaps(void **state) {
  (void)state;
  memset(met, 0, sizeof met);
  for (uint64_t seed = 1; seed <= 3000; seed++) {
    struct random_heap heap;
    struct subject it;
    heap_create(&heap, seed);
    open_subject(&it, heap.graph);
    for (size_t i = 0; i < it.count; i++)
      check_cut(&it, &it.cuts[i]);
    close_subject(&it);
    heap_free(&heap);
  }
  assert_true(met[CUT_SPARES] > 1000 && met[CUT_FREES] > 1000 && met[CUT_IS_UNSURE] > 1000);
}

static struct graph_builder *start_by_hand(uint32_t count, object_id ephemeron) {
  struct graph_builder *builder = graph_builder_create();
  assert_non_null(builder);
  for (object_id i = 0; i < count; i++)
    assert_true(
        graph_builder_object(builder, OBJECT_TABLE, i == ephemeron ? OBJECT_WEAK_KEYS : 0, 1));
  assert_true(graph_builder_root(builder, ROOT_REGISTRY, 0));
  return builder;
}

static void refer(struct graph_builder *builder, object_id from, enum reference_kind kind,
                  object_id to) {
  assert_true(graph_builder_reference(builder, from, kind, to, NULL, 1));
}

static const struct cut *cut_of(const struct subject *it, object_id from, object_id to) {
  for (size_t i = 0; i < it->count; i++)
    if (it->graph->target[it->cuts[i].reference] == to &&
        graph_owner(it->graph, it->cuts[i].reference) == from)
      return &it->cuts[i];
  return NULL;
}

/* 0 holds 1 and the key 3; 1 holds the ephemeron table 2, the value 4 of which holds the table,
 * too. In the dominator tree 4 and 2 hang on the key; in truth they go with 1. */
static void test_table_held_by_its_value(void **state) {
  (void)state;
  struct graph_builder *builder = start_by_hand(5, 2);
  refer(builder, 0, REFERENCE_INDEX, 1);
  refer(builder, 0, REFERENCE_INDEX, 3);
  refer(builder, 1, REFERENCE_INDEX, 2);
  refer(builder, 2, REFERENCE_KEY, 3);
  refer(builder, 2, REFERENCE_KEYED, 4);
  refer(builder, 4, REFERENCE_INDEX, 2);
  struct graph *graph = graph_builder_finish(builder);
  struct subject it;
  open_subject(&it, graph);
  assert_int_equal(cut_of(&it, 0, 1)->effect, CUT_IS_UNSURE);
  for (size_t i = 0; i < it.count; i++)
    check_cut(&it, &it.cuts[i]);
  close_subject(&it);
  graph_builder_free_graph(graph);
}

/* 0 holds the ephemeron table 1 and 2; 2 holds the key 3, whose value is 4, which 5 holds, too:
 * what does not depend on how the table is held is decided without a collection. */
static void test_tracker(void **state) {
  (void)state;
  struct graph_builder *builder = start_by_hand(6, 1);
  refer(builder, 0, REFERENCE_INDEX, 1);
  refer(builder, 0, REFERENCE_INDEX, 2);
  refer(builder, 0, REFERENCE_INDEX, 5);
  refer(builder, 2, REFERENCE_INDEX, 3);
  refer(builder, 1, REFERENCE_KEY, 3);
  refer(builder, 1, REFERENCE_KEYED, 4);
  refer(builder, 5, REFERENCE_INDEX, 4);
  struct graph *graph = graph_builder_finish(builder);
  struct subject it;
  open_subject(&it, graph);
  assert_int_equal(cut_of(&it, 0, 2)->effect, CUT_FREES);
  assert_int_equal(cut_of(&it, 2, 3)->effect, CUT_FREES);
  assert_int_equal(cut_of(&it, 5, 4)->effect, CUT_SPARES);
  assert_int_equal(cut_of(&it, 0, 1)->effect, CUT_IS_UNSURE);
  for (size_t i = 0; i < it.count; i++)
    check_cut(&it, &it.cuts[i]);
  close_subject(&it);
  graph_builder_free_graph(graph);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_random_heaps),
      cmocka_unit_test(test_table_held_by_its_value),
      cmocka_unit_test(test_tracker),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
