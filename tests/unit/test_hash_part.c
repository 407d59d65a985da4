/* Chains and main positions of tables: a model that inserts as Lua does, damage, and votes. */
#include "lua/hash_part.h"

#include "mock_vm.h"

enum { TABLE = MOCK_START + 0x4000, STRINGS = MOCK_START + 0x1000, NODES = MOCK_START + 0x8000 };

static struct mock_vm mock;
static struct violations violations;
static struct hash_chains chains;

/* ---- A model of ltable.c: keys are put in as luaH_newkey does ----------------------------------
 */

struct model {
  unsigned log2, count;
  unsigned free; /* lastfree */
  enum integer_hash integers;
};

static uint64_t node_at(unsigned index) {
  return NODES + (uint64_t)index * mock.vm.layout->size[SIZE_Node];
}

static uint64_t get(uint64_t address, enum layout_field field) {
  return load_field(mock.vm.layout, mock.bytes + (address - MOCK_START), field);
}

static int64_t get_next(unsigned index) {
  return load_signed(mock.vm.layout, mock.bytes + (node_at(index) - MOCK_START), Node_next);
}

static void set_node(unsigned index, enum layout_field field, uint64_t value) {
  mock_set(&mock, node_at(index), field, value);
}

static void write_table(const struct model *model) {
  const struct layout *layout = mock.vm.layout;
  mock_set(&mock, TABLE, GCObject_tt, TAG_TABLE);
  mock_set(&mock, TABLE, Table_lsizenode, model->log2);
  mock_set(&mock, TABLE, Table_node, NODES);
  uint64_t free = node_at(model->free);
  if (layout_has(layout, Table_lastfree))
    mock_set(&mock, TABLE, Table_lastfree, free);
  else
    mock_put(&mock, NODES - layout->pointer_size, free, layout->pointer_size);
}

static struct model start(unsigned log2, enum integer_hash integers) {
  struct model model = {.log2 = log2, .count = 1u << log2, .integers = integers};
  memset(mock.bytes + (NODES - MOCK_START), 0, MOCK_BYTES - (NODES - MOCK_START));
  model.free = model.count;
  write_table(&model);
  return model;
}

static unsigned place_of(const struct model *model, int64_t key) {
  uint64_t bits = (uint64_t)key;
  return (unsigned)(model->integers == INTEGER_HASH_POWER ? bits & (model->count - 1)
                                                          : bits % ((model->count - 1) | 1));
}

static bool is_empty(unsigned index) { return (get(node_at(index), Node_tt_) & 15) == 0; }

static void put(unsigned index, int64_t key) {
  mock_put(&mock, node_at(index) + mock.vm.layout->place[Node_key_val].offset, (uint64_t)key, 8);
  set_node(index, Node_key_tt, TAG_INTEGER);
  set_node(index, Node_tt_, TAG_TRUE);
}

static int64_t key_at(unsigned index) {
  int64_t key;
  memcpy(&key,
         mock.bytes + (node_at(index) - MOCK_START) + mock.vm.layout->place[Node_key_val].offset,
         8);
  return key;
}

/* False if there is no room. */
static bool insert(struct model *model, int64_t key) {
  unsigned place = place_of(model, key);
  if (!is_empty(place)) {
    do {
      if (!model->free) return false;
      model->free--;
    } while (get(node_at(model->free), Node_key_tt) != TAG_NIL);
    unsigned other = place_of(model, key_at(place)), free = model->free;
    int64_t next = get_next(place);
    if (other != place) { /* the one that is there moves */
      while ((unsigned)((int64_t)other + get_next(other)) != place)
        other = (unsigned)((int64_t)other + get_next(other));
      set_node(other, Node_next, (uint64_t)((int64_t)free - other));
      put(free, key_at(place));
      if (next) set_node(free, Node_next, (uint64_t)(next + place - free));
      set_node(place, Node_next, 0);
    } else {
      if (next) set_node(free, Node_next, (uint64_t)(next + place - free));
      set_node(place, Node_next, (uint64_t)((int64_t)free - place));
      place = free;
    }
  }
  put(place, key);
  write_table(model);
  return true;
}

/* ---- Checking ----------------------------------------------------------------------------------
 */

static uint64_t check(enum integer_hash integers) {
  struct lua_table table;
  violations_free(&violations);
  violations_init(&violations);
  assert_null(table_load(&mock.vm, TABLE, &table));
  assert_null(table.fault);
  assert_true(hash_part_check(&mock.vm, &table, integers, &chains, &violations));
  return violations.total;
}

static unsigned random_below(uint32_t *seed, unsigned limit) {
  *seed = *seed * 1664525 + 1013904223;
  return (*seed >> 8) % limit;
}

/* Fills, removes and fills again, as programs do; chains then run through each other. */
static void fill_at_random(struct model *model, uint32_t *seed) {
  for (unsigned i = 0; i < 4 * model->count; i++) {
    unsigned victim = random_below(seed, model->count);
    if (i % 3 == 0 && !is_empty(victim))
      set_node(victim, Node_tt_, TAG_NIL);
    else if (!insert(model, (int64_t)random_below(seed, 1000) - 100 + ((int64_t)i << 33)))
      break;
  }
}

static void test_random_tables_are_healthy(void **state) {
  (void)state;
  static const char *const NAMES[] = {"5.4.0", "5.4.3 .. 5.4.9", "5.5.0"};
  uint32_t seed = 1;
  for (unsigned i = 0; i < 600; i++) {
    enum integer_hash integers = i % 2 ? INTEGER_HASH_POWER : INTEGER_HASH_MODULO;
    mock_open(&mock, mock_layout(NAMES[i % 3], i % 5 ? 8 : 4));
    struct model model = start(i % 8, integers);
    fill_at_random(&model, &seed);
    if (check(integers)) fail_msg("%s", violations.list.items[0].text);
    assert_int_equal(check(INTEGER_HASH_UNKNOWN), 0);
    mock_close(&mock);
  }
}

static void test_other_keys(void **state) {
  (void)state;
  static const struct {
    uint8_t tag;
    uint64_t bits;
    unsigned place; /* in 8 nodes */
  } KEYS[] = {
      {TAG_FALSE, 0, 0},
      {TAG_TRUE, 0, 1},
      {TAG_LIGHT_USERDATA, 0x100000003, 3},
      {TAG_LIGHT_FUNCTION, 0x12345678, 0x12345678 % 7},
      {TAG_TABLE | TAG_COLLECTABLE, TABLE, TABLE % 7},
      {TAG_FLOAT, 0x3FF8000000000000, (0x60000000 + 1) % 7}, /* 1.5 = 0.75 * 2^1    */
      {TAG_FLOAT, 0xBFF8000000000000, (0x60000000 - 2) % 7}, /* -1.5: ~(1 - 0x6...) */
      {TAG_FLOAT, 0x7FF0000000000000, 0},                    /* infinity            */
      {TAG_SHORT_STRING | TAG_COLLECTABLE, STRINGS, 0x1235 & 7},
      {TAG_LONG_STRING | TAG_COLLECTABLE, STRINGS + 64, 0x4326 & 7},
  };
  for (unsigned i = 0; i < sizeof KEYS / sizeof *KEYS; i++) {
    mock_open(&mock, mock_layout("5.4.3 .. 5.4.9", 8));
    mock_set(&mock, STRINGS, GCObject_tt, TAG_SHORT_STRING);
    mock_set(&mock, STRINGS, TString_hash, 0x1235);
    mock_set(&mock, STRINGS + 64, GCObject_tt, TAG_LONG_STRING);
    mock_set(&mock, STRINGS + 64, TString_hash, 0x4326);
    mock_set(&mock, STRINGS + 64, TString_extra, 1);
    for (unsigned place = 0; place < 8; place++) {
      start(3, INTEGER_HASH_MODULO);
      put(place, (int64_t)KEYS[i].bits);
      set_node(place, Node_key_tt, KEYS[i].tag);
      uint64_t found = check(INTEGER_HASH_MODULO);
      assert_int_equal(found, place == KEYS[i].place ? 0 : 1);
      if (found) assert_int_equal(violations.counts[VIOLATION_NODE_PLACE], 1);
    }
    mock_close(&mock);
  }
}

static void test_damage(void **state) {
  (void)state;
  mock_open(&mock, mock_layout("5.5.0", 8));
  struct model model = start(4, INTEGER_HASH_MODULO);
  for (int64_t key = 0; key < 10; key++)
    assert_true(insert(&model, key * 15)); /* all belong to node 0 */
  assert_int_equal(check(INTEGER_HASH_MODULO), 0);

  unsigned second = (unsigned)get_next(0);
  set_node(second, Node_next, 100); /* leads out: what follows is lost, too */
  check(INTEGER_HASH_MODULO);
  assert_int_equal(violations.counts[VIOLATION_NODE_NEXT], 1);
  assert_int_equal(violations.counts[VIOLATION_NODE_PLACE], 8);
  set_node(second, Node_next, (uint64_t)-100);
  check(INTEGER_HASH_MODULO);
  assert_int_equal(violations.counts[VIOLATION_NODE_NEXT], 1);

  set_node(second, Node_next, (uint64_t) - (int64_t)second); /* a ring */
  check(INTEGER_HASH_MODULO);
  assert_true(violations.counts[VIOLATION_NODE_NEXT] >= 1);

  model = start(4, INTEGER_HASH_MODULO); /* two nodes lead to a third */
  set_node(1, Node_next, 2);
  set_node(2, Node_next, 1);
  assert_int_equal(check(INTEGER_HASH_MODULO), 1);
  assert_int_equal(violations.counts[VIOLATION_NODE_NEXT], 1);

  model = start(4, INTEGER_HASH_MODULO);
  assert_true(insert(&model, 3));
  set_node(3, Node_key_tt, 11); /* a dead key with a value */
  check(INTEGER_HASH_MODULO);
  assert_int_equal(violations.counts[VIOLATION_NODE_KEY], 1);
  set_node(3, Node_key_tt, TAG_UPVALUE | TAG_COLLECTABLE);
  check(INTEGER_HASH_MODULO);
  assert_int_equal(violations.counts[VIOLATION_NODE_KEY], 1);

  model = start(4, INTEGER_HASH_MODULO);
  model.free = 14; /* node 15 is behind it, and free */
  write_table(&model);
  check(INTEGER_HASH_MODULO);
  assert_int_equal(violations.counts[VIOLATION_NODE_FREE], 1);
  model.free = 17;
  write_table(&model);
  check(INTEGER_HASH_MODULO);
  assert_int_equal(violations.counts[VIOLATION_NODE_FREE], 1);
  mock_close(&mock);
}

/* Offsets at random: whatever they are, the check ends and stays inside. */
static void test_garbage(void **state) {
  (void)state;
  uint32_t seed = 7;
  for (unsigned i = 0; i < 300; i++) {
    mock_open(&mock, mock_layout(i % 2 ? "5.5.0" : "5.4.3 .. 5.4.9", 8));
    struct model model = start(i % 8, INTEGER_HASH_MODULO);
    fill_at_random(&model, &seed);
    for (unsigned node = 0; node < model.count; node++)
      if (random_below(&seed, 4) == 0)
        set_node(node, Node_next, random_below(&seed, 2 * model.count) - (uint64_t)model.count);
    check(INTEGER_HASH_MODULO);
    mock_close(&mock);
  }
}

static void test_votes(void **state) {
  (void)state;
  uint32_t seed = 3;
  for (unsigned i = 0; i < 20; i++) {
    mock_open(&mock, mock_layout("5.4.3 .. 5.4.9", 8));
    struct model model = start(6, i % 2 ? INTEGER_HASH_POWER : INTEGER_HASH_MODULO);
    fill_at_random(&model, &seed);
    struct lua_table table;
    struct integer_votes votes = {0};
    assert_null(table_load(&mock.vm, TABLE, &table));
    assert_true(hash_part_vote(&mock.vm, &table, &chains, &votes));
    assert_true(votes.power + votes.modulo > 5);
    assert_int_equal(i % 2 ? votes.modulo : votes.power, 0);
    mock_close(&mock);
  }
}

static int clean_up(void **state) {
  (void)state;
  violations_free(&violations);
  hash_chains_free(&chains);
  return 0;
}

int main(void) {
  violations_init(&violations);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_random_tables_are_healthy),
      cmocka_unit_test(test_other_keys),
      cmocka_unit_test(test_damage),
      cmocka_unit_test(test_garbage),
      cmocka_unit_test(test_votes),
  };
  return cmocka_run_group_tests(tests, NULL, clean_up);
}
