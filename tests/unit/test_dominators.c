/* test_dominators.c - the dominator tree: hand-written graphs, larger random graphs against the
 * algorithm of Cooper, Harvey and Kennedy, and shapes that break recursion or turn climbing
 * quadratic. Small random heaps with weak tables and masks: test_dominators_random.c. */
#include "random_heap.h"

#include <stdlib.h>

#include "analysis/dominators.h"

static struct graph_builder *begin(uint32_t tables) {
  struct graph_builder *builder = graph_builder_create();
  assert_non_null(builder);
  for (uint32_t i = 0; i < tables; i++)
    assert_true(graph_builder_object(builder, OBJECT_TABLE, 0, i + 1));
  return builder;
}

static void refer(struct graph_builder *builder, object_id from, object_id to) {
  assert_true(graph_builder_reference(builder, from, REFERENCE_INDEX, to, NULL, 1));
}

static void refer_as(struct graph_builder *builder, object_id from, enum reference_kind kind,
                     object_id to) {
  assert_true(graph_builder_reference(builder, from, kind, to, NULL, 1));
}

static struct graph *finish(struct graph_builder *builder, object_id root) {
  assert_true(graph_builder_root(builder, ROOT_REGISTRY, root));
  struct graph *graph = graph_builder_finish(builder);
  assert_non_null(graph);
  return graph;
}

static void expect_parents(const struct graph *graph, const object_id *parents,
                           const uint64_t *retained) {
  struct dominators dominators;
  assert_null(dominators_compute(graph, NULL, NULL, NULL, &dominators));
  for (object_id i = 0; i < graph->object_count; i++) {
    assert_int_equal(dominators.parent[i], parents[i]);
    assert_int_equal(dominators.retained[i], retained[i]);
  }
  dominators_free(&dominators);
}

/* 0 -> 1, 2 -> 3 -> 4; 5 is not reached. */
static void test_diamond(void **state) {
  (void)state;
  struct graph_builder *builder = begin(6);
  refer(builder, 0, 1);
  refer(builder, 0, 2);
  refer(builder, 1, 3);
  refer(builder, 2, 3);
  refer(builder, 3, 4);
  refer(builder, 5, 3);
  struct graph *graph = finish(builder, 0);
  expect_parents(graph, (object_id[]){NONE, 0, 0, 0, 3, NONE}, (uint64_t[]){15, 2, 3, 4 + 5, 5, 0});
  struct dominators dominators;
  assert_null(dominators_compute(graph, NULL, NULL, NULL, &dominators));
  assert_true(dominators_dominates(&dominators, 3, 4));
  assert_true(dominators_dominates(&dominators, 4, 4));
  assert_false(dominators_dominates(&dominators, 1, 4));
  assert_false(dominators_dominates(&dominators, 5, 5));
  assert_int_equal(dominators_common(&dominators, (object_id[]){4, 3}, 2), 3);
  assert_int_equal(dominators_common(&dominators, (object_id[]){4, 1}, 2), 0);
  assert_int_equal(dominators_common(&dominators, (object_id[]){4, 5}, 2), NO_OBJECT);
  assert_int_equal(dominators_common(&dominators, NULL, 0), NO_OBJECT);
  object_id set[] = {4, 2, 3, 4, 5};
  assert_int_equal(dominators_retained_by_set(&dominators, set, 5), 4 + 5 + 3);
  assert_int_equal(dominators_retained_by_set(&dominators, NULL, 0), 0);
  dominators_free(&dominators);
  graph_builder_free_graph(graph);
}

static void test_several_roots(void **state) {
  (void)state;
  struct graph_builder *builder = begin(5);
  refer(builder, 0, 2);
  refer(builder, 1, 2);
  refer(builder, 2, 3);
  assert_true(graph_builder_root(builder, ROOT_MAIN_THREAD, 1));
  assert_true(graph_builder_root(builder, ROOT_GLOBALS, 3)); /* no root of its own */
  assert_true(graph_builder_root(builder, ROOT_LOADED, 4));
  struct graph *graph = finish(builder, 0);
  expect_parents(graph, (object_id[]){NONE, NONE, NONE, 2, NONE}, (uint64_t[]){1, 2, 3 + 4, 4, 0});
  graph_builder_free_graph(graph);
}

/* A root below another root is held by both. */
static void test_nested_root(void **state) {
  (void)state;
  struct graph_builder *builder = begin(3);
  refer(builder, 0, 1);
  refer(builder, 1, 2);
  assert_true(graph_builder_root(builder, ROOT_MAIN_THREAD, 0));
  struct graph *graph = finish(builder, 1);
  expect_parents(graph, (object_id[]){NONE, NONE, 1}, (uint64_t[]){1, 5, 3});
  graph_builder_free_graph(graph);
}

/* Ephemeron entry: key 2 -> value 3, though 1 is the table; a string key holds nothing. */
static void test_weak_tables(void **state) {
  (void)state;
  struct graph_builder *builder = begin(1);
  assert_true(graph_builder_object(builder, OBJECT_TABLE, OBJECT_WEAK_KEYS, 2));
  assert_true(graph_builder_object(builder, OBJECT_USERDATA, 0, 3));
  assert_true(graph_builder_object(builder, OBJECT_TABLE, 0, 4));
  assert_true(graph_builder_object(builder, OBJECT_STRING, 0, 5));
  assert_true(graph_builder_object(builder, OBJECT_TABLE, 0, 6));
  assert_true(graph_builder_object(builder, OBJECT_TABLE, OBJECT_WEAK_VALUES, 7));
  assert_true(graph_builder_object(builder, OBJECT_STRING, 0, 8));
  refer(builder, 0, 1);
  refer(builder, 0, 2);
  refer(builder, 0, 6);
  refer_as(builder, 1, REFERENCE_KEY, 2);
  refer_as(builder, 1, REFERENCE_KEYED, 3);
  refer_as(builder, 1, REFERENCE_KEY, 4);
  refer_as(builder, 1, REFERENCE_FIELD, 5);
  refer_as(builder, 6, REFERENCE_INDEX, 3); /* weak: 3 is still held by its key alone */
  refer_as(builder, 6, REFERENCE_INDEX, 7);
  struct graph *graph = finish(builder, 0);
  expect_parents(graph, (object_id[]){NONE, 0, 0, 2, 1, 1, 0, 6},
                 (uint64_t[]){36, 2 + 5 + 6, 3 + 4, 4, 5, 6, 7 + 8, 8});
  graph_builder_free_graph(graph);
}

/* A key of two ephemeron tables: on the way back from its second value, 5, its first one, 4, must
 * not be met again. */
static void test_key_of_two_tables(void **state) {
  (void)state;
  struct graph_builder *builder = begin(7);
  assert_true(graph_builder_object(builder, OBJECT_TABLE, OBJECT_WEAK_KEYS, 8));
  assert_true(graph_builder_object(builder, OBJECT_TABLE, OBJECT_WEAK_KEYS, 9));
  for (object_id table = 7; table <= 8; table++) {
    refer(builder, 0, table);
    refer_as(builder, table, REFERENCE_KEY, 2);
    refer_as(builder, table, REFERENCE_KEYED, table == 8 ? 4 : 5);
  }
  refer(builder, 0, 1);
  refer(builder, 1, 4);
  refer(builder, 1, 3);
  refer(builder, 3, 2);
  refer(builder, 4, 6);
  refer(builder, 5, 6);
  struct graph *graph = finish(builder, 0);
  expect_parents(graph, (object_id[]){NONE, 0, 3, 1, 1, 2, 1, 0, 0},
                 (uint64_t[]){45, 2 + 3 + 4 + 5 + 6 + 7, 3 + 6, 4 + 3 + 6, 5, 6, 7, 8, 9});
  graph_builder_free_graph(graph);
}

static void test_big_objects(void **state) {
  (void)state;
  struct graph_builder *builder = begin(1);
  assert_true(graph_builder_object(builder, OBJECT_TABLE, 0, UINT64_C(5) << 32));
  refer(builder, 0, 1);
  struct graph *graph = finish(builder, 0);
  expect_parents(graph, (object_id[]){NONE, 0},
                 (uint64_t[]){(UINT64_C(5) << 32) + 1, UINT64_C(5) << 32});
  graph_builder_free_graph(graph);
}

/* A list of a million tables, doubly linked: each holds the rest. */
static void test_deep_list(void **state) {
  (void)state;
  enum { LENGTH = 1000000 };
  struct graph_builder *builder = begin(LENGTH);
  for (object_id i = 0; i + 1 < LENGTH; i++) {
    refer(builder, i, i + 1);
    refer(builder, i + 1, i);
  }
  struct graph *graph = finish(builder, 0);
  struct dominators dominators;
  assert_null(dominators_compute(graph, NULL, NULL, NULL, &dominators));
  for (object_id i = 1; i < LENGTH; i++)
    if (dominators.parent[i] != i - 1) fail_msg("parent of %u is %u", i, dominators.parent[i]);
  assert_int_equal(dominators.retained[0], (uint64_t)LENGTH * (LENGTH + 1) / 2);
  assert_int_equal(dominators.enter[LENGTH - 1], LENGTH);
  dominators_free(&dominators);
  graph_builder_free_graph(graph);
}

/* 200,000 tables and as many strings, each held by the head of a list and by the last of its
 * 200,000 elements: to climb from the last to the head step by step would take hours. */
static void test_deep_list_with_shared_tail(void **state) {
  (void)state;
  enum { LENGTH = 200000 };
  struct graph_builder *builder = begin(2 * LENGTH + 2);
  for (object_id i = 0; i < LENGTH; i++)
    assert_true(graph_builder_object(builder, OBJECT_STRING, 0, 1));
  for (object_id i = 0; i + 1 < LENGTH; i++)
    refer(builder, i, i + 1);
  object_id shared = LENGTH, strings = 2 * LENGTH + 2, leaf = 2 * LENGTH;
  for (object_id i = 0; i < LENGTH; i++) {
    refer(builder, LENGTH - 1, shared + i);
    refer(builder, shared + i, leaf);
    refer(builder, LENGTH - 1, strings + i);
  }
  for (object_id i = 0; i < LENGTH; i++) {
    refer(builder, 0, shared + i);
    refer(builder, 0, strings + i);
  }
  struct graph *graph = finish(builder, 0);
  struct dominators dominators;
  assert_null(dominators_compute(graph, NULL, NULL, NULL, &dominators));
  for (object_id i = 0; i < LENGTH; i++) {
    assert_int_equal(dominators.parent[shared + i], 0);
    assert_int_equal(dominators.parent[strings + i], 0);
  }
  assert_int_equal(dominators.parent[leaf], 0);
  dominators_free(&dominators);
  graph_builder_free_graph(graph);
}

/* ---- Larger graphs ----------------------------------------------------------------------------
 */

/* Cooper, Harvey and Kennedy, "A simple, fast dominance algorithm": finger by finger, to a
 * fixpoint, over a reverse postorder; `order` lists objects, root first. */
struct iterative {
  uint32_t count;
  uint32_t *rank, *order, *idom;
};

static uint32_t intersect(const struct iterative *it, uint32_t a, uint32_t b) {
  while (a != b) {
    while (it->rank[a] > it->rank[b])
      a = it->idom[a];
    while (it->rank[b] > it->rank[a])
      b = it->idom[b];
  }
  return a;
}

static void order_from(const struct graph *graph, object_id root, struct iterative *it) {
  uint32_t n = graph->object_count, depth = 1, left = n;
  object_id *stack = calloc(n + 1, sizeof *stack);
  reference_id *at = calloc(n + 1, sizeof *at);
  bool *seen = calloc(n, sizeof *seen);
  assert_true(stack && at && seen);
  stack[0] = root;
  at[0] = graph_first(graph, root);
  seen[root] = true;
  while (depth) {
    object_id object = stack[depth - 1];
    if (at[depth - 1] == graph_first(graph, (uint64_t)object + 1)) {
      it->order[--left] = object;
      depth--;
    } else {
      object_id target = graph->target[at[depth - 1]++];
      if (seen[target]) continue;
      seen[target] = true;
      stack[depth] = target;
      at[depth++] = graph_first(graph, target);
    }
  }
  it->count = n - left;
  memmove(it->order, it->order + left, it->count * sizeof *it->order);
  free(stack);
  free(at);
  free(seen);
}

static void iterate(const struct graph *graph, object_id root, struct iterative *it) {
  uint32_t n = graph->object_count;
  it->rank = calloc(n, sizeof *it->rank);
  it->order = calloc(n, sizeof *it->order);
  it->idom = malloc(n * sizeof *it->idom);
  assert_true(it->rank && it->order && it->idom);
  memset(it->idom, 0xff, n * sizeof *it->idom);
  order_from(graph, root, it);
  for (uint32_t i = 0; i < it->count; i++)
    it->rank[it->order[i]] = i;
  it->idom[root] = root;
  for (bool changed = true; changed;) {
    changed = false;
    for (uint32_t i = 0; i < it->count; i++) {
      object_id from = it->order[i];
      for (reference_id r = graph_first(graph, from); r < graph_first(graph, from + UINT64_C(1));
           r++) {
        object_id to = graph->target[r];
        uint32_t meet = it->idom[to] == NO_OBJECT ? from : intersect(it, it->idom[to], from);
        if (to == root || meet == it->idom[to]) continue;
        it->idom[to] = meet;
        changed = true;
      }
    }
  }
}

static void test_larger_graphs(void **state) {
  (void)state;
  struct random_heap random = {0};
  for (uint32_t round = 1; round <= 150; round++) {
    random.random = round * UINT64_C(0x9e3779b97f4a7c15);
    uint32_t n = 2 + heap_random(&random, 3000), extra = heap_random(&random, 2 * n);
    uint32_t span = 1 + heap_random(&random, round % 2 ? n : 20); /* far or near neighbours */
    struct graph_builder *builder = begin(n);
    for (object_id i = 1; i < n; i++) /* a tree, deep if span is small */
      refer(builder, i - 1 - heap_random(&random, i < span ? i : span), i);
    for (uint32_t i = 0; i < extra; i++) {
      object_id from = heap_random(&random, n), far = from + heap_random(&random, 2 * span);
      object_id to = far < span ? 0 : far - span;
      refer(builder, from, to < n ? to : n - 1);
    }
    struct graph *graph = finish(builder, 0);
    struct iterative it;
    struct dominators dominators;
    iterate(graph, 0, &it);
    assert_null(dominators_compute(graph, NULL, NULL, NULL, &dominators));
    assert_int_equal(dominators.parent[0], NO_OBJECT);
    for (object_id i = 1; i < n; i++)
      if (dominators.parent[i] != it.idom[i])
        fail_msg("round %u: parent of %u is %u, not %u", round, i, dominators.parent[i],
                 it.idom[i]);
    dominators_free(&dominators);
    graph_builder_free_graph(graph);
    free(it.rank);
    free(it.order);
    free(it.idom);
  }
}

static bool stop_later(void *context, const char *phase, double share) {
  (void)phase;
  (void)share;
  return --*(int *)context == 0;
}

/* Stopped at every point where it asks: nothing is left behind (the sanitizer looks). */
static void test_interrupted(void **state) {
  (void)state;
  struct graph_builder *builder = begin(200000);
  for (object_id i = 1; i < 200000; i++)
    refer(builder, i / 2, i);
  struct graph *graph = finish(builder, 0);
  struct dominators dominators;
  struct inspect_error *error;
  int patience = 1;
  for (;; patience++) {
    int left = patience;
    struct work work = {&left, stop_later};
    error = dominators_compute(graph, NULL, NULL, &work, &dominators);
    if (!error) break;
    assert_int_equal(error->code, INSPECT_ERROR_INTERRUPTED);
    assert_null(dominators.parent);
    inspect_error_free(error);
  }
  assert_in_range(patience, 6, 100);
  dominators_free(&dominators);
  graph_builder_free_graph(graph);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_diamond),           cmocka_unit_test(test_several_roots),
      cmocka_unit_test(test_nested_root),       cmocka_unit_test(test_weak_tables),
      cmocka_unit_test(test_key_of_two_tables), cmocka_unit_test(test_big_objects),
      cmocka_unit_test(test_deep_list),         cmocka_unit_test(test_deep_list_with_shared_tail),
      cmocka_unit_test(test_larger_graphs),     cmocka_unit_test(test_interrupted),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
