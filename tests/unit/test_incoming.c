/* test_incoming.c - references to an object: all of them, against the rows one by one; and what
 * each does to its target, against what a collection leaves. */
#include "random_heap.h"

#include "analysis/collect.h"
#include "analysis/incoming.h"
#include "base/vector.h"

struct taken VECTOR(struct one {
  object_id from;
  reference_id reference;
});

static bool take(void *context, object_id from, reference_id reference) {
  struct taken *taken = context;
  struct one one = {from, reference};
  return vector_push(taken, one);
}

static void check_targets(const struct graph *graph, const struct bitset *targets) {
  struct taken taken = {0};
  size_t next = 0;
  assert_null(incoming_find(graph, targets, NULL, take, &taken));
  for (object_id from = 0; from < graph->object_count; from++) {
    for (reference_id i = graph_first(graph, from); i < graph_first(graph, from + 1); i++) {
      if (!bitset_has(targets, graph->target[i])) continue;
      assert_true(next < taken.count);
      assert_int_equal(taken.items[next].from, from);
      assert_int_equal(taken.items[next++].reference, i);
    }
  }
  assert_int_equal(next, taken.count);
  vector_free(&taken);
}

static void test_all_are_found(void **state) {
  (void)state;
  for (uint64_t seed = 1; seed <= 200; seed++) {
    struct random_heap heap;
    struct bitset targets;
    heap_create(&heap, seed);
    assert_true(bitset_init(&targets, heap.count));
    for (object_id object = 0; object < heap.count; object++) {
      bitset_add(&targets, object);
      check_targets(heap.graph, &targets);
      if (seed % 2) bitset_remove(&targets, object); /* one by one, or more and more */
    }
    bitset_free(&targets);
    heap_free(&heap);
  }
}

static bool refuse(void *context, object_id from, reference_id reference) {
  (void)context, (void)from, (void)reference;
  return false;
}

static bool stop(void *context, const char *phase, double share) {
  (void)context, (void)phase, (void)share;
  return true;
}

static void test_out_of_memory_and_interrupted(void **state) {
  (void)state;
  struct random_heap heap;
  struct bitset targets;
  heap_create(&heap, 7);
  assert_true(bitset_init(&targets, heap.count));
  for (object_id object = 0; object < heap.count; object++)
    bitset_add(&targets, object);
  struct inspect_error *error = incoming_find(heap.graph, &targets, NULL, refuse, NULL);
  assert_int_equal(error->code, INSPECT_ERROR_NO_MEMORY);
  inspect_error_free(error);
  struct work work = {.report = stop};
  error = incoming_find(heap.graph, &targets, &work, refuse, NULL);
  assert_int_equal(error->code, INSPECT_ERROR_INTERRUPTED);
  inspect_error_free(error);
  bitset_free(&targets);
  heap_free(&heap);
}

/* ---- Strength ---------------------------------------------------------------------------------
 */

enum { ROOT, TABLE, KEY, VALUE, OBJECTS };

/* registry -> table of some mode with one entry; `held` holds the key from elsewhere. */
static struct graph *entry_graph(uint8_t mode, enum object_type key, enum object_type value,
                                 bool held) {
  struct graph_builder *builder = graph_builder_create();
  assert_true(graph_builder_object(builder, OBJECT_TABLE, 0, 56) &&
              graph_builder_object(builder, OBJECT_TABLE, mode, 56) &&
              graph_builder_object(builder, key, 0, 56) &&
              graph_builder_object(builder, value, 0, 56));
  assert_true(graph_builder_reference(builder, ROOT, REFERENCE_FIELD, TABLE, "table", 0));
  if (held) assert_true(graph_builder_reference(builder, ROOT, REFERENCE_INDEX, KEY, NULL, 1));
  assert_true(graph_builder_reference(builder, TABLE, REFERENCE_KEY, KEY, NULL, 0));
  enum reference_kind kind = key == OBJECT_STRING ? REFERENCE_FIELD : REFERENCE_KEYED;
  assert_true(graph_builder_reference(builder, TABLE, kind, VALUE, "value", 0));
  assert_true(graph_builder_root(builder, ROOT_REGISTRY, ROOT));
  struct graph *graph = graph_builder_finish(builder);
  assert_non_null(graph);
  return graph;
}

static void check_entry(uint8_t mode, enum object_type key, enum object_type value) {
  struct collection collection;
  struct graph *graph = entry_graph(mode, key, value, false);
  assert_null(collect(graph, NULL, NULL, &collection));
  reference_id first = graph_first(graph, TABLE);
  enum reference_strength of_key = reference_strength(graph, TABLE, first);
  enum reference_strength of_value = reference_strength(graph, TABLE, first + 1);
  /* the string key of a table weak both ways goes with its entry: it depends on the value */
  bool is_open = key == OBJECT_STRING && mode == (OBJECT_WEAK_KEYS | OBJECT_WEAK_VALUES);
  if (!is_open) assert_int_equal(collection_leaves(&collection, KEY), of_key == STRENGTH_STRONG);
  /* an entry with a string as value may go with its key; the string itself is then garbage */
  bool goes_with_key = mode & OBJECT_WEAK_KEYS && key != OBJECT_STRING;
  if (!goes_with_key || of_value != STRENGTH_STRONG)
    assert_int_equal(collection_leaves(&collection, VALUE), of_value == STRENGTH_STRONG);
  collection_free(&collection);
  graph_builder_free_graph(graph);
  graph = entry_graph(mode, key, value, true);
  assert_null(collect(graph, NULL, NULL, &collection));
  assert_int_equal(collection_leaves(&collection, VALUE), of_value != STRENGTH_WEAK);
  collection_free(&collection);
  graph_builder_free_graph(graph);
}

static void test_strength_is_what_a_collection_makes_of_it(void **state) {
  (void)state;
  for (unsigned mode = 0; mode < 4; mode++)
    for (unsigned i = 0; i < 4; i++)
      check_entry((uint8_t)mode, i & 1 ? OBJECT_STRING : OBJECT_TABLE,
                  i & 2 ? OBJECT_STRING : OBJECT_TABLE);
  assert_int_equal(OBJECT_WEAK_KEYS | OBJECT_WEAK_VALUES, 3);
}

static void test_other_kinds(void **state) {
  (void)state;
  struct graph_builder *builder = graph_builder_create();
  assert_true(graph_builder_object(builder, OBJECT_TABLE, 3, 56) &&
              graph_builder_object(builder, OBJECT_TABLE, 0, 56) &&
              graph_builder_object(builder, OBJECT_STRING, 0, 56));
  assert_true(graph_builder_reference(builder, 0, REFERENCE_METATABLE, 1, NULL, 0) &&
              graph_builder_reference(builder, 0, REFERENCE_INDEX, 1, NULL, 1) &&
              graph_builder_reference(builder, 0, REFERENCE_INDEX, 2, NULL, 2) &&
              graph_builder_reference(builder, 0, REFERENCE_LEFTOVER, 2, NULL, 0) &&
              graph_builder_reference(builder, 1, REFERENCE_INDEX, 0, NULL, 1));
  struct graph *graph = graph_builder_finish(builder);
  assert_non_null(graph);
  const enum reference_strength expected[] = {STRENGTH_STRONG, STRENGTH_WEAK, STRENGTH_STRONG,
                                              STRENGTH_WEAK};
  for (reference_id i = 0; i < 4; i++)
    assert_int_equal(reference_strength(graph, 0, i), expected[i]);
  assert_int_equal(reference_strength(graph, 1, 4), STRENGTH_STRONG);
  graph_builder_free_graph(graph);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_all_are_found),
      cmocka_unit_test(test_out_of_memory_and_interrupted),
      cmocka_unit_test(test_strength_is_what_a_collection_makes_of_it),
      cmocka_unit_test(test_other_kinds),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
