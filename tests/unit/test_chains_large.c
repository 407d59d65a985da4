/* test_chains_large.c - chains in graphs that punish what is not linear: a long list, and hundreds
 * of thousands of tables that share a metatable. */
#include "chain_graph.h"

static bool stop(void *context, const char *phase, double share) {
  (void)context;
  assert_string_equal(phase, "chains");
  assert_true(share <= 1);
  return true;
}

/* A list of 100,000 tables that share a metatable. */
static void test_long_list(void **state) {
  (void)state;
  struct graph_builder *builder = graph_builder_create();
  uint32_t count = 100000;
  for (uint32_t i = 0; i <= count; i++) {
    assert_true(graph_builder_object(builder, OBJECT_TABLE, 0, 1));
    if (!i) continue;
    assert_true(graph_builder_reference(builder, i - 1, REFERENCE_FIELD, i, "next", 0));
    assert_true(graph_builder_reference(builder, i, REFERENCE_METATABLE, 0, NULL, 0));
    assert_true(graph_builder_reference(builder, i, REFERENCE_FIELD, i - 1, "prev", 0));
  }
  assert_true(graph_builder_root(builder, ROOT_GLOBALS, 0));
  struct graph *graph = graph_builder_finish(builder);
  struct chains chains;
  struct chain chain, best[3];
  assert_null(chains_search(graph, NULL, NULL, &chains));
  assert_true(chains_get(graph, &chains, NULL, count, &chain));
  assert_int_equal(chain.count, count + 1);
  vector_free(&chain);
  chains_free(&chains);
  size_t found;
  bool capped;
  assert_null(chains_best(graph, NULL, count, 3, NULL, best, &found, &capped));
  assert_int_equal(found, 1);
  assert_int_equal(best[0].count, count + 1);
  assert_false(capped);
  vector_free(&best[0]);
  struct work work = {.report = stop};
  struct inspect_error *error = chains_search(graph, NULL, &work, &chains);
  assert_non_null(error);
  assert_int_equal(error->code, INSPECT_ERROR_INTERRUPTED);
  assert_null(chains.parent);
  inspect_error_free(error);
  error = chains_best(graph, NULL, count, 3, &work, best, &found, NULL);
  assert_non_null(error);
  assert_int_equal(found, 0);
  inspect_error_free(error);
  graph_builder_free_graph(graph);
}

/* 300,000 tables that share a metatable: neither reads all labels nor runs for long, and the k best
 * chains are found though there are more candidates than are kept in order. */
static void test_shared_metatable(void **state) {
  (void)state;
  struct graph_builder *builder = graph_builder_create();
  uint32_t count = 300000;
  for (uint32_t i = 0; i < count + 3; i++)
    assert_true(graph_builder_object(builder, OBJECT_TABLE, 0, 1));
  assert_true(graph_builder_reference(builder, 0, REFERENCE_FIELD, 1, "list", 0));
  for (uint32_t i = 3; i < count + 3; i++) {
    assert_true(graph_builder_reference(builder, 1, REFERENCE_INDEX, i, NULL, i - 2));
    assert_true(graph_builder_reference(builder, i, REFERENCE_METATABLE, 2, NULL, 0));
  }
  assert_true(graph_builder_root(builder, ROOT_GLOBALS, 0));
  struct graph *graph = graph_builder_finish(builder);
  hand_count_labels(graph);
  struct chains chains;
  assert_null(chains_search(graph, NULL, NULL, &chains));
  assert_int_equal(chains.parent[2], 3);
  assert_int_equal(hand_labels_read, 0);
  chains_free(&chains);
  struct chain best[4];
  size_t found;
  bool capped;
  assert_null(chains_best(graph, NULL, 2, 4, NULL, best, &found, &capped));
  assert_int_equal(found, 4);
  for (size_t i = 0; i < found; i++) {
    assert_int_equal(best[i].count, 4);
    for (size_t j = 0; j < i; j++)
      assert_int_not_equal(best[i].items[2].object, best[j].items[2].object);
  }
  for (size_t i = 0; i < found; i++)
    vector_free(&best[i]);
  assert_true(capped); /* 300,000 holders, of which 2^18 are looked at */
  graph_builder_free_graph(graph);
}

/* Two chains of equal length in graphs whose sets just fill their words, and with one bit more do
 * not (an address sanitizer sees what goes beyond). */
static void test_full_words(void **state) {
  (void)state;
  for (uint32_t count = 60; count <= 132; count++) {
    struct graph_builder *builder = graph_builder_create();
    for (uint32_t i = 0; i < count; i++)
      assert_true(graph_builder_object(builder, OBJECT_TABLE, 0, 1));
    for (uint32_t i = 1; i <= 2; i++) {
      assert_true(graph_builder_reference(builder, 0, REFERENCE_FIELD, i, i == 1 ? "a" : "b", 0));
      assert_true(graph_builder_reference(builder, i, REFERENCE_FIELD, count - 1, "x", 0));
    }
    assert_true(graph_builder_root(builder, ROOT_GLOBALS, 0));
    struct graph *graph = graph_builder_finish(builder);
    struct chain best[3];
    size_t found;
    assert_null(chains_best(graph, NULL, count - 1, 3, NULL, best, &found, NULL));
    assert_int_equal(found, 2);
    assert_int_equal(best[0].items[1].object, 1);
    assert_int_equal(best[1].items[1].object, 2);
    for (size_t i = 0; i < found; i++)
      vector_free(&best[i]);
    graph_builder_free_graph(graph);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_long_list),
      cmocka_unit_test(test_shared_metatable),
      cmocka_unit_test(test_full_words),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
