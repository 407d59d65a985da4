/* test_references.c - the list of free references in a registry, whole and broken, in all layouts.
 */
#include "mock_lua.h"

#include "lua/references.h"

enum { LOG2 = 5 };

struct mock_registry {
  struct mock_lua *lua;
  uint64_t table, nodes;
  uint64_t used;
  struct references found;
};

static void put(struct mock_registry *registry, int64_t key, uint8_t tag, uint64_t value) {
  struct lua_value name = {TAG_INTEGER, (uint64_t)key}, content = {tag, value};
  assert_true(registry->used < 1 << LOG2);
  mock_node(registry->lua, registry->nodes, registry->used++, name, content);
}

/* A registry with what Lua itself puts there. */
static void start(struct mock_registry *registry, const struct layout *layout) {
  *registry = (struct mock_registry){.lua = mock_open(layout)};
  registry->table = mock_table(registry->lua);
  registry->nodes = mock_hash(registry->lua, registry->table, LOG2);
  put(registry, layout->main_thread_index, TAG_TRUE, 0);
  put(registry, layout->globals_index, TAG_TRUE, 0);
}

static void load(struct mock_registry *registry) {
  struct lua_table table;
  assert_null(table_load(&registry->lua->vm, registry->table, &table));
  assert_true(references_load(&registry->lua->vm, &table, &registry->found));
}

static void stop(struct mock_registry *registry) {
  references_free(&registry->found);
  mock_close(registry->lua);
}

static void for_each_layout(void (*test)(struct mock_registry *registry,
                                         const struct layout *layout)) {
  const struct layout *layout;
  for (size_t i = 0; (layout = layout_canned(i)); i++) {
    struct mock_registry registry;
    start(&registry, layout);
    test(&registry, layout);
    stop(&registry);
  }
}

static void check_none(struct mock_registry *registry, const struct layout *layout) {
  load(registry);
  assert_int_equal(registry->found.free, 0);
  assert_false(registry->found.is_broken);
  assert_false(references_holds(&registry->found, layout->globals_index));
  assert_false(references_holds(&registry->found, layout->main_thread_index));
  assert_false(references_holds(&registry->found, registry->found.first));
  assert_false(references_holds(&registry->found, -1));
  assert_false(references_holds(&registry->found, INT64_MAX));
  int64_t head = strcmp(layout->lua, "5.5") == 0         ? 1
                 : layout_has(layout, lua_State_tbclist) ? 3
                                                         : 0;
  assert_int_equal(registry->found.head, head);
  assert_int_equal(registry->found.first, head == 0 ? 3 : 4);
}

/* 5 and 7 are free, 4 and 6 are held; 6 holds a number that looks like a link. */
static void check_list(struct mock_registry *registry, const struct layout *layout) {
  load(registry);
  int64_t head = registry->found.head;
  references_free(&registry->found);
  (void)layout;
  put(registry, head, TAG_INTEGER, 7);
  put(registry, 7, TAG_INTEGER, 5);
  if (head) put(registry, 5, TAG_INTEGER, 0); /* until 5.4.2 the last one is nil */
  put(registry, 4, TAG_TRUE, 0);
  put(registry, 6, TAG_INTEGER, 4);
  load(registry);
  assert_int_equal(registry->found.free, 2);
  assert_false(registry->found.is_broken);
  for (int64_t key = registry->found.first; key <= 7; key++)
    assert_int_equal(references_holds(&registry->found, key), key != 5 && key != 7);
  assert_false(references_holds(&registry->found, 8));
}

static void check_cycle(struct mock_registry *registry, const struct layout *layout) {
  (void)layout;
  load(registry);
  int64_t head = registry->found.head;
  references_free(&registry->found);
  put(registry, head, TAG_INTEGER, 4);
  put(registry, 4, TAG_INTEGER, 5);
  put(registry, 5, TAG_INTEGER, 4);
  load(registry);
  assert_true(registry->found.is_broken);
  assert_int_equal(registry->found.free, 2);
}

/* The list leads to what is no reference, or nowhere. */
static void check_strays(struct mock_registry *registry, const struct layout *layout) {
  load(registry);
  int64_t head = registry->found.head;
  references_free(&registry->found);
  put(registry, head, TAG_INTEGER, 4);
  put(registry, 4, TAG_INTEGER, layout->globals_index);
  put(registry, INT64_C(1) << 40, TAG_INTEGER, 4); /* a key of the program's own */
  put(registry, -7, TAG_INTEGER, 4);
  put(registry, 6, TAG_INTEGER, UINT64_MAX);
  load(registry);
  assert_true(registry->found.is_broken);
  assert_int_equal(registry->found.free, 1);
  assert_true(registry->found.most < 1 << 20);
  assert_false(references_holds(&registry->found, INT64_C(1) << 40));
  assert_true(references_holds(&registry->found, 6));
}

static void test_none(void **state) {
  (void)state;
  for_each_layout(check_none);
}

static void test_list(void **state) {
  (void)state;
  for_each_layout(check_list);
}

static void test_cycle(void **state) {
  (void)state;
  for_each_layout(check_cycle);
}

static void test_strays(void **state) {
  (void)state;
  for_each_layout(check_strays);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_none), cmocka_unit_test(test_list),
                                     cmocka_unit_test(test_cycle), cmocka_unit_test(test_strays)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
