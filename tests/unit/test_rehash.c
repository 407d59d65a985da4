/* test_rehash.c - sizes of tables against a naive model of ltable.c, on random sets of keys. */
#include "mock_lua.h"

#include "lua/rehash.h"

enum { LOG2 = 7, KEYS = 1 << LOG2 };

/* The largest power of two that enough of the keys up to it would fill. */
static uint64_t model_array(const struct layout *layout, const int64_t *keys, size_t count) {
  bool is_55 = strcmp(layout->lua, "5.5") == 0;
  uint64_t best = 0;
  for (uint64_t size = 1; size <= UINT64_C(1) << 31; size *= 2) {
    uint64_t inside = 0, last = 0;
    for (size_t i = 0; i < count; i++) {
      if (keys[i] < 1 || (uint64_t)keys[i] > size) continue;
      inside++;
      last += (uint64_t)keys[i] > size / 2;
    }
    if (last && (is_55 ? size <= 3 * inside : inside > size / 2)) best = size;
  }
  return best;
}

static uint64_t random_state = 1;

static uint64_t random_below(uint64_t below) {
  random_state ^= random_state << 13;
  random_state ^= random_state >> 7;
  random_state ^= random_state << 17;
  return (random_state >> 16) % below;
}

static bool is_there(const int64_t *keys, size_t count, int64_t key) {
  for (size_t i = 0; i < count; i++)
    if (keys[i] == key) return true;
  return false;
}

static void check(const struct layout *layout) {
  struct mock_lua *lua = mock_open(layout);
  uint64_t object = mock_table(lua), nodes = mock_hash(lua, object, LOG2);
  int64_t keys[KEYS];
  size_t integers = 0, others = 0, wanted = (size_t)random_below(KEYS);
  uint64_t range = UINT64_C(1) << (1 + random_below(40));
  struct lua_value value = {TAG_TRUE, 0};
  for (size_t i = 0; i < wanted; i++) {
    int64_t key = (int64_t)random_below(range) - (int64_t)random_below(3);
    struct lua_value integer = {TAG_INTEGER, (uint64_t)key}, other = {TAG_FLOAT, i + 1};
    if (random_below(4) == 0) {
      mock_node(lua, nodes, i, other, value);
      others++;
    } else if (!is_there(keys, integers, key)) {
      mock_node(lua, nodes, i, integer, value);
      keys[integers++] = key;
    }
  }
  struct lua_table table;
  struct table_use use;
  assert_null(table_load(&lua->vm, object, &table));
  table_measure(&lua->vm, &table, &use);
  uint64_t array = model_array(layout, keys, integers), rest = others;
  for (size_t i = 0; i < integers; i++)
    rest += keys[i] < 1 || (uint64_t)keys[i] > array;
  uint64_t best = rest ? 1 : 0;
  while (best < rest)
    best *= 2;
  assert_int_equal(use.hash_nodes, KEYS);
  assert_int_equal(use.hash_used, integers + others);
  assert_int_equal(use.array_slots + use.array_used, 0);
  assert_int_equal(use.best_array, array);
  assert_int_equal(use.best_nodes, best);
  assert_int_equal(use.bytes, table_hash_bytes(layout, KEYS));
  mock_close(lua);
}

static void test_random_keys(void **state) {
  (void)state;
  const struct layout *layout;
  for (size_t i = 0; (layout = layout_canned(i)); i++)
    for (int round = 0; round < 300; round++)
      check(layout);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_random_keys)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
