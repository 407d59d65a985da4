/* test_doubt.c - what is in doubt when references were lost, on hand-written graphs. */
#include "analysis/doubt.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* 0 registry, table, holds 1; 1 table; 2 table, nobody's, holds 3; 3 string; 4 function, nobody's;
 * 5 ephemeron table that the registry holds, with the entry 2 -> 6; 6 userdata; 7 dead table */
static struct graph *graph_of(void) {
  struct graph_builder *builder = graph_builder_create();
  static const struct {
    enum object_type type;
    uint8_t flags;
  } objects[] = {{OBJECT_TABLE, 0},    {OBJECT_TABLE, 0},        {OBJECT_TABLE, 0},
                 {OBJECT_STRING, 0},   {OBJECT_LUA_FUNCTION, 0}, {OBJECT_TABLE, OBJECT_WEAK_KEYS},
                 {OBJECT_USERDATA, 0}, {OBJECT_TABLE, 0}};
  static const struct {
    object_id from;
    enum reference_kind kind;
    object_id to;
  } references[] = {{0, REFERENCE_INDEX, 1},
                    {0, REFERENCE_INDEX, 5},
                    {2, REFERENCE_INDEX, 3},
                    {5, REFERENCE_KEY, 2},
                    {5, REFERENCE_KEYED, 6}};
  assert_non_null(builder);
  for (size_t i = 0; i < sizeof objects / sizeof *objects; i++)
    assert_true(graph_builder_object(builder, objects[i].type, objects[i].flags, 10));
  for (size_t i = 0; i < sizeof references / sizeof *references; i++)
    assert_true(graph_builder_reference(builder, references[i].from, references[i].kind,
                                        references[i].to, NULL, 1));
  assert_true(graph_builder_root(builder, ROOT_REGISTRY, 0));
  struct graph *graph = graph_builder_finish(builder);
  assert_non_null(graph);
  return graph;
}

/* '?' in doubt, 'L' live, '.' garbage for certain: one letter per object. */
static void expect(const char *expected, struct graph_loss *losses, size_t count) {
  struct graph *graph = graph_of();
  struct collection collection;
  struct bitset doubtful;
  char found[16] = {0};
  graph->incomplete = true;
  graph->losses = losses;
  graph->loss_count = count;
  assert_null(collect(graph, NULL, NULL, &collection));
  assert_null(doubt(graph, &collection, &doubtful));
  for (object_id i = 0; i < graph->object_count; i++) {
    bool is_live = bitset_has(&collection.live, i), is_doubtful = bitset_has(&doubtful, i);
    assert_false(is_live && is_doubtful);
    found[i] = is_live ? 'L' : is_doubtful ? '?' : '.';
  }
  assert_string_equal(found, expected);
  bitset_free(&doubtful);
  collection_free(&collection);
  graph->losses = NULL;
  graph_builder_free_graph(graph);
}

#define EXPECT(expected, ...)                                                                      \
  do {                                                                                             \
    struct graph_loss losses[] = {__VA_ARGS__};                                                    \
    expect(expected, losses, sizeof losses / sizeof *losses);                                      \
  } while (0)
#define LOST(of, which)                                                                            \
  { .object = (of), .first = 0, .end = 8, .types = (which) }

enum { ALL = 0xff, FUNCTIONS = 1 << OBJECT_LUA_FUNCTION, TABLES = 1 << OBJECT_TABLE };

static void test_complete(void **state) {
  (void)state;
  struct graph *graph = graph_of();
  struct collection collection;
  struct bitset doubtful;
  assert_null(collect(graph, NULL, NULL, &collection));
  assert_null(doubt(graph, &collection, &doubtful));
  assert_null(doubtful.words);
  collection_free(&collection);
  graph_builder_free_graph(graph);
}

static void test_whose(void **state) {
  (void)state;
  expect("LL???L??", NULL, 0);
  EXPECT("LL???L??", LOST(NO_OBJECT, ALL));
  EXPECT("LL???L??", LOST(1, ALL));
  EXPECT("LL...L..", LOST(7, ALL)); /* a dead one holds nothing */
  EXPECT("LL...L..", LOST(1, 0));   /* a string refers to nothing */
}

static void test_what(void **state) {
  (void)state;
  EXPECT("LL..?L..", LOST(1, FUNCTIONS));
  EXPECT("LL??.L??", LOST(1, TABLES)); /* with what they refer to, and the ephemeron's value */
}

static void test_chain(void **state) {
  (void)state;
  /* 7 lost references to functions, and may be held by what 1 lost */
  EXPECT("LL???L??", LOST(7, FUNCTIONS), LOST(1, TABLES));
  EXPECT("LL...L..", LOST(7, FUNCTIONS), LOST(4, TABLES));
}

static void test_other_vm(void **state) {
  (void)state;
  EXPECT("LL..?L..", {.object = NO_OBJECT, .first = 4, .end = 6, .types = ALL});
}

static void test_unlisted(void **state) {
  (void)state;
  EXPECT("LL??.L?.", {.object = 2, .is_unlisted = true});
  EXPECT("LL...L..", {.object = 1, .is_unlisted = true});
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_complete), cmocka_unit_test(test_whose),
      cmocka_unit_test(test_what),     cmocka_unit_test(test_chain),
      cmocka_unit_test(test_other_vm), cmocka_unit_test(test_unlisted)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
