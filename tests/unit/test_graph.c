/* test_graph.c - the graph: rows, sizes, owners, masks, the builder and its labels, tokens. */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "graph/graph.h"

static struct graph_builder *builder;

static void begin(uint32_t tables) {
  builder = graph_builder_create();
  assert_non_null(builder);
  for (uint32_t i = 0; i < tables; i++)
    assert_true(graph_builder_object(builder, OBJECT_TABLE, 0, 10 * (i + 1)));
}

static void refer(object_id from, enum reference_kind kind, object_id to, const char *label,
                  int64_t integer) {
  assert_true(graph_builder_reference(builder, from, kind, to, label, integer));
}

static struct graph *finish(void) {
  struct graph *graph = graph_builder_finish(builder);
  assert_non_null(graph);
  return graph;
}

static void test_rows(void **state) {
  (void)state;
  begin(4);
  refer(2, REFERENCE_INDEX, 0, NULL, 1);
  refer(0, REFERENCE_INDEX, 1, NULL, 1);
  refer(2, REFERENCE_METATABLE, 3, NULL, 0);
  refer(0, REFERENCE_INDEX, 2, NULL, 2);
  assert_true(graph_builder_root(builder, ROOT_REGISTRY, 3));
  struct graph *graph = finish();
  assert_int_equal(graph->object_count, 4);
  assert_int_equal(graph->reference_count, 4);
  static const uint64_t first[] = {0, 2, 2, 4, 4};
  for (uint32_t i = 0; i <= 4; i++)
    assert_int_equal(graph_first(graph, i), first[i]);
  static const object_id target[] = {1, 2, 0, 3}, owner[] = {0, 0, 2, 2};
  for (uint32_t i = 0; i < 4; i++) {
    assert_int_equal(graph->target[i], target[i]);
    assert_int_equal(graph_owner(graph, i), owner[i]);
  }
  assert_int_equal(graph->kind[3], REFERENCE_METATABLE);
  assert_int_equal(graph_owner(graph, 4), NO_OBJECT);
  assert_int_equal(graph->root_count, 1);
  assert_int_equal(graph->roots[0].object, 3);
  assert_int_equal(graph->labels.address(graph->labels.context, 2), 48);
  graph_builder_free_graph(graph);
}

/* Row starts past the first block of 65536 objects. */
static void test_blocks(void **state) {
  (void)state;
  enum { COUNT = 200000 };
  begin(COUNT);
  for (object_id i = 0; i < COUNT; i += 3)
    refer(i, REFERENCE_INDEX, COUNT - 1 - i, NULL, 1);
  struct graph *graph = finish();
  for (object_id i = 0; i < COUNT; i++) {
    assert_int_equal(graph_first(graph, i), ((uint64_t)i + 2) / 3);
    if (i % 3) continue;
    assert_int_equal(graph_owner(graph, i / 3), i);
    assert_int_equal(graph->target[graph_first(graph, i)], COUNT - 1 - i);
  }
  assert_int_equal(graph->first[65536], 0);
  graph_builder_free_graph(graph);
}

static void test_bytes(void **state) {
  (void)state;
  begin(1);
  static const uint64_t sizes[] = {BIG_OBJECT - 1, BIG_OBJECT, UINT64_C(1) << 40, 0};
  for (size_t i = 0; i < 4; i++)
    assert_true(graph_builder_object(builder, OBJECT_STRING, 0, sizes[i]));
  struct graph *graph = finish();
  assert_int_equal(graph_bytes(graph, 0), 10);
  for (object_id i = 0; i < 4; i++)
    assert_int_equal(graph_bytes(graph, i + 1), sizes[i]);
  assert_int_equal(graph->big_count, 2);
  graph_builder_free_graph(graph);
}

static void test_builder_refuses(void **state) {
  (void)state;
  begin(2);
  assert_false(graph_builder_name(builder, 2, "none"));
  refer(0, REFERENCE_INDEX, 2, NULL, 1);
  assert_null(graph_builder_finish(builder));
  begin(2);
  refer(2, REFERENCE_INDEX, 0, NULL, 1);
  assert_null(graph_builder_finish(builder));
  begin(2);
  assert_true(graph_builder_root(builder, ROOT_REGISTRY, 2));
  assert_null(graph_builder_finish(builder));
  begin(0);
  graph_builder_free_graph(finish());
  graph_builder_free_graph(NULL);
}

static void test_mask(void **state) {
  (void)state;
  static const reference_id cut[] = {2, 5, 9};
  struct bitset avoid;
  assert_true(bitset_init(&avoid, 10));
  bitset_add(&avoid, 4);
  struct graph_mask mask = {&avoid, ALL_KINDS & ~(UINT32_C(1) << REFERENCE_KEY), cut, 3};
  for (reference_id i = 0; i < 12; i++) {
    bool is_cut = i == 2 || i == 5 || i == 9;
    assert_int_equal(mask_is_cut(&mask, i), is_cut);
    assert_int_equal(mask_follows(&mask, REFERENCE_INDEX, i), !is_cut);
    assert_false(mask_follows(&mask, REFERENCE_KEY, i));
    assert_true(mask_follows(NULL, REFERENCE_KEY, i));
  }
  assert_false(mask_enters(&mask, 4));
  assert_true(mask_enters(&mask, 5));
  assert_true(mask_enters(NULL, 4));
  bitset_free(&avoid);
}

static void test_names(void **state) {
  (void)state;
  for (unsigned i = 0; i < OBJECT_TYPE_COUNT; i++)
    assert_string_not_equal(object_type_name((enum object_type)i), "object");
  assert_string_equal(object_type_name(OBJECT_C_FUNCTION), "cfunction");
  assert_string_equal(object_type_name((enum object_type)99), "object");
  assert_string_equal(reference_kind_name(REFERENCE_KEYED), "index");
  assert_string_equal(reference_kind_name(REFERENCE_MAYBE_STACK), "stack");
  assert_string_equal(reference_kind_name(REFERENCE_DEBUG), "other");
  assert_string_equal(reference_kind_name((enum reference_kind)99), "other");
}

/* Object 0 is a table, 1 a string "name", 2 a Lua function, 3 a C function, 4 a string without
 * text. */
static void begin_mixed(void) {
  begin(1);
  assert_true(graph_builder_object(builder, OBJECT_STRING, 0, 1));
  assert_true(graph_builder_object(builder, OBJECT_LUA_FUNCTION, 0, 1));
  assert_true(graph_builder_object(builder, OBJECT_C_FUNCTION, 0, 1));
  assert_true(graph_builder_object(builder, OBJECT_STRING, 0, 1));
  assert_true(graph_builder_name(builder, 1, "name"));
  assert_true(graph_builder_name(builder, 2, "room.lua:41"));
}

static void test_label_source(void **state) {
  (void)state;
  begin_mixed();
  refer(0, REFERENCE_KEY, 1, NULL, 0);
  refer(0, REFERENCE_FIELD, 2, NULL, 0);
  refer(0, REFERENCE_KEY, 3, NULL, 0);
  refer(0, REFERENCE_KEYED, 2, NULL, 0);
  refer(0, REFERENCE_INDEX, 3, NULL, -7);
  refer(0, REFERENCE_METATABLE, 0, NULL, 0);
  struct graph *graph = finish();
  struct arena arena;
  arena_init(&arena);
  const struct graph_label_source *labels = &graph->labels;
  assert_string_equal(labels->function_name(labels->context, 2, &arena), "room.lua:41");
  assert_null(labels->function_name(labels->context, 3, &arena));
  assert_null(labels->function_name(labels->context, 1, &arena));
  size_t size = 0;
  assert_string_equal(labels->string(labels->context, 1, &size), "name");
  assert_int_equal(size, 4);
  assert_null(labels->string(labels->context, 4, &size));
  assert_null(labels->string(labels->context, 2, &size));
  struct graph_label label;
  labels->label(labels->context, 0, 1, &arena, &label);
  assert_int_equal(label.kind, REFERENCE_FIELD);
  assert_int_equal(label.form, LABEL_TEXT);
  assert_string_equal(label.text, "name");
  labels->label(labels->context, 0, 3, &arena, &label);
  assert_int_equal(label.form, LABEL_OBJECT);
  assert_int_equal(label.object, 3);
  labels->label(labels->context, 0, 4, &arena, &label);
  assert_int_equal(label.form, LABEL_INTEGER);
  assert_int_equal(label.integer, -7);
  labels->label(labels->context, 0, 5, &arena, &label);
  assert_int_equal(label.form, LABEL_NONE);
  arena_free(&arena);
  graph_builder_free_graph(graph);
}

static void expect_token(const struct graph *graph, object_id from, reference_id reference,
                         const char *expected) {
  struct text text = {0};
  assert_true(text_add_string(&text, "_G"));
  assert_true(graph_token(graph, from, reference, &text));
  assert_int_equal(text.count, strlen(expected) + 2);
  assert_memory_equal(text.items + 2, expected, strlen(expected));
  vector_free(&text);
}

static void test_tokens(void **state) {
  (void)state;
  static const struct {
    enum reference_kind kind;
    object_id to;
    const char *label;
    int64_t integer;
    const char *token;
  } cases[] = {
      {REFERENCE_FIELD, 0, "owner", 0, ".owner"},
      {REFERENCE_FIELD, 0, "end", 0, "[\"end\"]"},
      {REFERENCE_FIELD, 0, "any text", 0, "[\"any text\"]"},
      {REFERENCE_FIELD, 0, "", 0, "[\"\"]"},
      {REFERENCE_FIELD, 0, "a\"\n\x1b[2J\xff", 0, "[\"a\\\"\\n\\u{001B}[2J\\xFF\"]"},
      {REFERENCE_FIELD, 0, NULL, 0, "[?]"},
      {REFERENCE_KEY, 1, NULL, 0, ":key"},
      {REFERENCE_FIELD, 0, NULL, 0, ".name"},
      {REFERENCE_KEY, 3, NULL, 0, ":key"},
      {REFERENCE_KEYED, 0, NULL, 0, "[cfunction]"},
      {REFERENCE_KEY, 0, NULL, 0, ":key"},
      {REFERENCE_KEYED, 0, NULL, 0, "[table]"},
      {REFERENCE_KEYED, 0, NULL, 0, "[?]"},
      {REFERENCE_INDEX, 0, NULL, 42, "[*]"},
      {REFERENCE_INDEX, 0, NULL, 0, "[*]"},
      {REFERENCE_METATABLE, 0, NULL, 0, ":metatable"},
      {REFERENCE_UPVALUE, 0, "rooms", 2, ":upvalue(rooms)"},
      {REFERENCE_UPVALUE, 0, NULL, 2, ":upvalue(2)"},
      {REFERENCE_UPVALUE, 0, "", 0, ":upvalue"},
      {REFERENCE_UPVALUE_VALUE, 0, "rooms", 0, ""},
      {REFERENCE_ENVIRONMENT, 0, NULL, 0, ":env"},
      {REFERENCE_STACK, 0, "self", 3, ":local(self)"},
      {REFERENCE_STACK, 0, NULL, 3, ":stack"},
      {REFERENCE_STACK, 0, "(for state)", 0, ":local(\"(for state)\")"},
      {REFERENCE_MAYBE_STACK, 0, NULL, 3, ":stack"},
      {REFERENCE_OPEN_UPVALUE, 0, NULL, 3, ":upvalue"},
      {REFERENCE_OPEN_UPVALUE, 0, "i", 3, ":upvalue(i)"},
      {REFERENCE_USER_VALUE, 0, NULL, 2, ":uservalue(2)"},
      {REFERENCE_USER_VALUE, 0, NULL, 0, ":uservalue(1)"},
      {REFERENCE_CONSTANT, 0, NULL, 0, ":constant"},
      {REFERENCE_PROTOTYPE, 0, NULL, 0, ":prototype"},
      {REFERENCE_DEBUG, 0, NULL, 0, ":debug"},
  };
  enum { COUNT = sizeof cases / sizeof cases[0] };
  begin_mixed();
  for (size_t i = 0; i < COUNT; i++)
    refer(0, cases[i].kind, cases[i].to, cases[i].label, cases[i].integer);
  struct graph *graph = finish();
  for (size_t i = 0; i < COUNT; i++)
    expect_token(graph, 0, i, cases[i].token);
  graph_builder_free_graph(graph);
}

static void give_label(void *context, object_id from, reference_id reference, struct arena *arena,
                       struct graph_label *label) {
  (void)from;
  (void)reference;
  (void)arena;
  *label = *(const struct graph_label *)context;
}

/* Forms that graphs written by hand do not have. */
static void test_tokens_of_other_forms(void **state) {
  (void)state;
  begin(1);
  refer(0, REFERENCE_INDEX, 0, NULL, 1);
  struct graph *graph = finish();
  void *context = graph->labels.context;
  struct graph_label label = {.form = LABEL_BOOLEAN, .integer = 1};
  graph->labels.label = give_label;
  graph->labels.context = &label;
  expect_token(graph, 0, 0, "[true]");
  label.integer = 0;
  expect_token(graph, 0, 0, "[false]");
  label.form = LABEL_POINTER;
  expect_token(graph, 0, 0, "[pointer]");
  label.form = LABEL_NUMBER;
  expect_token(graph, 0, 0, "[*]");
  graph->labels.label = NULL;
  expect_token(graph, 0, 0, "[*]");
  graph->labels.context = context;
  graph_builder_free_graph(graph);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_rows),
      cmocka_unit_test(test_blocks),
      cmocka_unit_test(test_bytes),
      cmocka_unit_test(test_builder_refuses),
      cmocka_unit_test(test_mask),
      cmocka_unit_test(test_names),
      cmocka_unit_test(test_label_source),
      cmocka_unit_test(test_tokens),
      cmocka_unit_test(test_tokens_of_other_forms),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
