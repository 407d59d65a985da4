/* test_lua54.c - loading of each kind of object, from sound memory and from hostile memory. */
#include "mock_lua.h"

static const char *const NAMES[] = {"5.4.0", "5.4.1", "5.4.2", "5.4.3", "5.5.0", "5.5.1"};

/* Runs a check with every canned layout. */
static void with_all_layouts(void (*check)(struct mock_lua *mock)) {
  for (size_t i = 0; i < sizeof NAMES / sizeof *NAMES; i++)
    for (unsigned pointer_size = 4; pointer_size <= 8; pointer_size += 4) {
      struct mock_lua *mock = mock_open(mock_layout(NAMES[i], pointer_size));
      check(mock);
      mock_close(mock);
    }
}

static struct lua_value integer(int64_t number) {
  return (struct lua_value){.tag = TAG_INTEGER, .bits = (uint64_t)number};
}

static struct lua_value object(uint8_t tag, uint64_t address) {
  return (struct lua_value){.tag = (uint8_t)(tag | TAG_COLLECTABLE), .bits = address};
}

/* ---- Array parts -------------------------------------------------------------------------------
 */

static uint64_t size_of_array(struct mock_lua *mock, uint64_t limit, bool is_hint) {
  bool in_marked = mock->vm.layout->array_form == ARRAY_ALIMIT_MARKED;
  uint64_t table = mock_table(mock);
  mock_field(mock, table, Table_array, mock_take(mock, 4096));
  mock_field(mock, table, Table_alimit, limit);
  mock_field(mock, table, in_marked ? GCObject_marked : Table_flags,
             (in_marked ? 8 : 0) | (is_hint ? 0x80 : 0));
  struct lua_table loaded;
  assert_null(table_load(&mock->vm, table, &loaded));
  assert_null(loaded.fault);
  return loaded.array_size;
}

/* With its bit set, alimit is a hint, and the size the power of two at or above it. */
static void test_alimit(void **state) {
  (void)state;
  static const char *const BOTH[] = {"5.4.0", "5.4.3"};
  for (unsigned i = 0; i < 2; i++) {
    struct mock_lua *mock = mock_open(mock_layout(BOTH[i], 8));
    assert_int_equal(size_of_array(mock, 5, false), 5);
    assert_int_equal(size_of_array(mock, 5, true), 8);
    assert_int_equal(size_of_array(mock, 8, true), 8);
    assert_int_equal(size_of_array(mock, 9, true), 16);
    assert_int_equal(size_of_array(mock, 1, true), 1);
    assert_int_equal(size_of_array(mock, 2, true), 2);
    assert_int_equal(size_of_array(mock, 0, false), 0);
    mock_close(mock);
  }
}

static void check_array_values(struct mock_lua *mock) {
  const struct layout *layout = mock->vm.layout;
  bool is_split = layout->array_form == ARRAY_SPLIT;
  uint64_t table = mock_table(mock), leaf = mock_table(mock);
  uint64_t block = mock_take(mock, 256), array = is_split ? block + 3 * 8 : block;
  mock_field(mock, table, Table_array, array);
  mock_field(mock, table, Table_alimit, 3);
  struct lua_value values[] = {integer(-7), object(TAG_TABLE, leaf), integer(9)};
  for (unsigned i = 0; i < 3; i++) {
    if (is_split) {
      mock_put(mock, array - 8 * (i + 1), values[i].bits, 8);
      mock_put(mock, array + 4 + i, values[i].tag, 1);
    } else {
      mock_value(mock, array + i * layout->size[SIZE_TValue], values[i].tag, values[i].bits);
    }
  }
  struct lua_table loaded;
  struct lua_value found;
  assert_null(table_load(&mock->vm, table, &loaded));
  assert_int_equal(loaded.array_size, 3);
  assert_true(table_find_integer(&mock->vm, &loaded, 1, &found));
  assert_int_equal(value_integer(&mock->vm, found), -7);
  assert_false(table_find_integer(&mock->vm, &loaded, 4, &found));
  assert_int_equal(loaded.bytes, layout->size[SIZE_Table] +
                                     (is_split ? 3 * 9 + 4 : 3 * layout->size[SIZE_TValue]));
  struct visit visit = {0};
  assert_true(mock_visit(mock, table, TAG_TABLE, &visit));
  assert_int_equal(visit.references.count, 1);
  assert_true(visit.references.items[0].address == leaf);
  assert_int_equal(visit.references.items[0].detail, 2);
  vector_free(&visit.references);
}

static void test_array_values(void **state) {
  (void)state;
  with_all_layouts(check_array_values);
}

/* An array that leaves memory is a fault; what else the table has is read. */
static void check_array_outside(struct mock_lua *mock) {
  uint64_t table = mock_table(mock), nodes = mock_hash(mock, table, 1);
  mock_node(mock, nodes, 1, integer(5), integer(6));
  const uint64_t PLACES[] = {0, 1, MOCK_BASE + MOCK_SIZE - 8, UINT32_MAX - 8, 0x1234};
  for (unsigned i = 0; i < sizeof PLACES / sizeof *PLACES; i++) {
    struct lua_table loaded;
    struct lua_value value;
    mock_field(mock, table, Table_array, PLACES[i]);
    mock_field(mock, table, Table_alimit, i % 2 ? UINT32_MAX : 100);
    assert_null(table_load(&mock->vm, table, &loaded));
    assert_non_null(loaded.fault);
    assert_int_equal(loaded.array_size, 0);
    assert_true(table_find_integer(&mock->vm, &loaded, 5, &value));
  }
}

static void test_array_outside(void **state) {
  (void)state;
  with_all_layouts(check_array_outside);
}

/* ---- Hash parts --------------------------------------------------------------------------------
 */

static void check_dummy_node(struct mock_lua *mock) {
  uint64_t table = mock_table(mock);
  mock_field(mock, table, Table_node, 0x5555); /* the static node: not in the dump */
  struct lua_table loaded;
  assert_null(table_load(&mock->vm, table, &loaded));
  assert_null(loaded.fault);
  assert_int_equal(loaded.node_count, 0);
  assert_int_equal(loaded.bytes, mock->vm.layout->size[SIZE_Table]);
}

static void test_dummy_node(void **state) {
  (void)state;
  with_all_layouts(check_dummy_node);
}

static void check_hash_outside(struct mock_lua *mock) {
  uint64_t table = mock_table(mock);
  struct lua_table loaded;
  const unsigned LOGS[] = {12, 30, 31, 63, 64, 255};
  for (unsigned i = 0; i < sizeof LOGS / sizeof *LOGS; i++) {
    mock_hash(mock, table, 0);
    mock_field(mock, table, Table_lsizenode, LOGS[i]);
    assert_null(table_load(&mock->vm, table, &loaded));
    assert_non_null(loaded.fault);
    assert_int_equal(loaded.node_count, 0);
  }
}

static void test_hash_outside(void **state) {
  (void)state;
  with_all_layouts(check_hash_outside);
}

/* A key reference comes right before the reference of its value. */
static void check_entries(struct mock_lua *mock) {
  uint64_t table = mock_table(mock), nodes = mock_hash(mock, table, 2);
  uint64_t name = mock_string(mock, "name"), leaf = mock_table(mock);
  mock_node(mock, nodes, 0, object(TAG_SHORT_STRING, name), object(TAG_TABLE, leaf));
  mock_node(mock, nodes, 1, object(TAG_TABLE, leaf), integer(1));
  mock_node(mock, nodes, 2, integer(3), object(TAG_TABLE, leaf));
  mock_node(mock, nodes, 3, object(11, 0x666), (struct lua_value){.tag = 0x10}); /* dead key */
  struct visit visit = {0};
  assert_true(mock_visit(mock, table, TAG_TABLE, &visit));
  const uint8_t KINDS[] = {REFERENCE_KEY, REFERENCE_FIELD, REFERENCE_KEY, REFERENCE_INDEX};
  assert_int_equal(visit.references.count, 4);
  for (unsigned i = 0; i < 4; i++)
    assert_int_equal(visit.references.items[i].kind, KINDS[i]);
  assert_int_equal(visit.absurd, 0);
  struct lua_table loaded;
  struct lua_value value;
  assert_null(table_load(&mock->vm, table, &loaded));
  assert_true(table_find(&mock->vm, &loaded, "name", 4, &value));
  assert_true(value.bits == leaf);
  assert_false(table_find(&mock->vm, &loaded, "nam", 3, &value));
  vector_free(&visit.references);
}

static void test_entries(void **state) {
  (void)state;
  with_all_layouts(check_entries);
}

/* Tags that Lua does not have are counted and lead nowhere. */
static void check_absurd_values(struct mock_lua *mock) {
  uint64_t table = mock_table(mock), nodes = mock_hash(mock, table, 1), leaf = mock_table(mock);
  mock_node(mock, nodes, 0, integer(1), (struct lua_value){.tag = 0x7F, .bits = leaf});
  mock_node(mock, nodes, 1, (struct lua_value){.tag = 0x0E, .bits = 1}, object(TAG_TABLE, leaf));
  struct visit visit = {0};
  assert_true(mock_visit(mock, table, TAG_TABLE, &visit));
  assert_int_equal(visit.absurd, 2);
  assert_int_equal(visit.references.count, 1);
  vector_free(&visit.references);
}

static void test_absurd_values(void **state) {
  (void)state;
  with_all_layouts(check_absurd_values);
}

/* What was found elsewhere is read in the place of what the header says; the size stays. */
static void test_torn_table(void **state) {
  (void)state;
  struct mock_lua *mock = mock_open(mock_layout("5.4.3", 8));
  uint64_t table = mock_table(mock), other = mock_table(mock);
  uint64_t nodes = mock_hash(mock, other, 1), array = mock_take(mock, 64);
  mock_node(mock, nodes, 0, integer(50), integer(51));
  mock_value(mock, array + 16, TAG_INTEGER, 22);
  mock->vm.torn = (struct torn){.table = table,
                                .nodes = mock_bytes(mock, nodes),
                                .node_count = 1,
                                .array = array,
                                .array_size = 2};
  struct lua_table loaded;
  struct lua_value value;
  assert_null(table_load(&mock->vm, table, &loaded));
  assert_true(table_find_integer(&mock->vm, &loaded, 50, &value));
  assert_true(table_find_integer(&mock->vm, &loaded, 2, &value));
  assert_int_equal(value_integer(&mock->vm, value), 22);
  assert_int_equal(loaded.bytes, mock->vm.layout->size[SIZE_Table]);
  mock->vm.torn.array = 0x666; /* gone: what is there is read */
  assert_null(table_load(&mock->vm, table, &loaded));
  assert_int_equal(loaded.array_size, 0);
  mock_close(mock);
}

/* ---- Strings -----------------------------------------------------------------------------------
 */

static void check_string(struct mock_lua *mock, uint64_t string, const char *text,
                         uint64_t counted) {
  size_t size = 0;
  const char *bytes = string_bytes(&mock->vm, string, &size);
  assert_non_null(bytes);
  assert_int_equal(size, strlen(text));
  assert_memory_equal(bytes, text, size);
  struct visit visit = {0};
  assert_true(mock_visit(mock, string, TAG_ANY_STRING, &visit));
  assert_null(visit.fault);
  assert_int_equal(visit.bytes, counted);
}

static void check_short_string(struct mock_lua *mock) {
  uint64_t string = mock_string(mock, "text");
  check_string(mock, string, "text", mock->vm.layout->place[TString_contents].offset + 5u);
  assert_true(string_equals(&mock->vm, string, "text", 4));
  assert_false(string_equals(&mock->vm, string, "texts", 5));
}

static void test_short_string(void **state) {
  (void)state;
  with_all_layouts(check_short_string);
}

static void test_long_strings(void **state) {
  (void)state;
  struct mock_lua *mock = mock_open(mock_layout("5.4.3", 8));
  uint64_t string = mock_object(mock, TAG_LONG_STRING, 64);
  mock_field(mock, string, TString_lnglen, 3);
  memcpy(mock_bytes(mock, string + 24), "abc", 4);
  check_string(mock, string, "abc", 24 + 4);
  mock_close(mock);

  mock = mock_open(mock_layout("5.5.0", 8));
  uint64_t text = mock_take(mock, 16);
  memcpy(mock_bytes(mock, text), "abc", 4);
  const int KINDS[] = {-1, -2, -3}; /* regular, fixed, with a function that frees it */
  const uint64_t BYTES[] = {32 + 4, 32, 48};
  for (unsigned i = 0; i < 3; i++) {
    string = mock_object(mock, TAG_LONG_STRING, 64);
    mock_field(mock, string, TString_lnglen, 3);
    mock_field(mock, string, TString_shrlen, (uint8_t)KINDS[i]);
    memcpy(mock_bytes(mock, string + 32), "abc", 4);
    mock_pointer(mock, string + 24, KINDS[i] == -1 ? 0x666 : text);
    check_string(mock, string, "abc", BYTES[i]);
  }
  /* bytes outside of the dump (a file that was mapped) are no fault of the object */
  mock_pointer(mock, string + 24, 0x666000);
  size_t size;
  struct visit visit = {0};
  assert_null(string_bytes(&mock->vm, string, &size));
  assert_true(mock_visit(mock, string, TAG_LONG_STRING, &visit));
  assert_null(visit.fault);
  assert_int_equal(visit.bytes, 48);
  mock_close(mock);
}

static void check_string_lengths(struct mock_lua *mock) {
  const uint64_t LENGTHS[] = {MOCK_SIZE, UINT32_MAX, UINT64_MAX / 2, UINT64_MAX - 30, UINT64_MAX};
  for (unsigned i = 0; i < sizeof LENGTHS / sizeof *LENGTHS; i++) {
    uint64_t string = mock_object(mock, TAG_LONG_STRING, 64);
    mock_field(mock, string, TString_lnglen, LENGTHS[i]);
    mock_field(mock, string, TString_shrlen, 0xFF);
    size_t size;
    struct visit visit = {0};
    assert_null(string_bytes(&mock->vm, string, &size));
    assert_true(mock_visit(mock, string, TAG_LONG_STRING, &visit));
    assert_non_null(visit.fault);
    assert_int_equal(visit.bytes, 0);
  }
}

static void test_string_lengths(void **state) {
  (void)state;
  with_all_layouts(check_string_lengths);
}

/* ---- Userdata, functions, prototypes -----------------------------------------------------------
 */

static void check_userdata(struct mock_lua *mock) {
  const struct layout *layout = mock->vm.layout;
  uint64_t value_size = layout->size[SIZE_TValue], meta = mock_table(mock);
  uint64_t head = layout->userdata_header + 2 * value_size;
  uint64_t userdata = mock_object(mock, TAG_USERDATA, head + 100);
  mock_field(mock, userdata, Udata_nuvalue, 2);
  mock_field(mock, userdata, Udata_len, 100);
  mock_field(mock, userdata, Udata_metatable, meta);
  mock_value(mock, userdata + layout->userdata_header + value_size, TAG_TABLE | TAG_COLLECTABLE,
             meta);
  struct visit visit = {0};
  assert_true(mock_visit(mock, userdata, TAG_USERDATA, &visit));
  assert_null(visit.fault);
  assert_int_equal(visit.bytes, head + 100);
  assert_int_equal(visit.references.count, 2);
  assert_int_equal(visit.references.items[1].kind, REFERENCE_USER_VALUE);
  assert_int_equal(visit.references.items[1].detail, 2);
  const uint64_t LENGTHS[] = {MOCK_SIZE, UINT32_MAX, UINT64_MAX - 8, UINT64_MAX};
  for (unsigned i = 0; i < sizeof LENGTHS / sizeof *LENGTHS; i++) {
    mock_field(mock, userdata, Udata_len, LENGTHS[i]);
    assert_true(mock_visit(mock, userdata, TAG_USERDATA, &visit));
    assert_non_null(visit.fault);
    assert_true(visit.flags & OBJECT_DAMAGED);
    assert_int_equal(visit.references.count, 2);
  }
  mock_field(mock, userdata, Udata_nuvalue, UINT16_MAX);
  assert_true(mock_visit(mock, userdata, TAG_USERDATA, &visit));
  assert_non_null(visit.fault);
  assert_int_equal(visit.references.count, 1);
  vector_free(&visit.references);
}

static void test_userdata(void **state) {
  (void)state;
  with_all_layouts(check_userdata);
}

/* A function at the end of memory whose upvalues would lie beyond it. */
static void check_function_at_the_end(struct mock_lua *mock) {
  const uint8_t TAGS[] = {TAG_LUA_FUNCTION, TAG_C_FUNCTION};
  for (unsigned i = 0; i < 2; i++) {
    uint64_t address = MOCK_BASE + MOCK_SIZE - 64;
    mock_field(mock, address, GCObject_tt, TAGS[i]);
    mock_field(mock, address, LClosure_nupvalues, 255);
    struct visit visit = {0};
    assert_true(mock_visit(mock, address, TAGS[i], &visit));
    assert_non_null(visit.fault);
    vector_free(&visit.references);
  }
}

static void test_function_at_the_end(void **state) {
  (void)state;
  with_all_layouts(check_function_at_the_end);
}

static void check_prototype_sizes(struct mock_lua *mock) {
  static const enum layout_field SIZES[] = {Proto_sizek, Proto_sizep, Proto_sizeupvalues,
                                            Proto_sizelocvars};
  for (unsigned i = 0; i < 4; i++) {
    uint64_t prototype = mock_object(mock, TAG_PROTOTYPE, mock->vm.layout->size[SIZE_Proto]);
    mock_field(mock, prototype, SIZES[i], INT32_MAX);
    mock_field(mock, prototype, Proto_k, MOCK_BASE + 64);
    mock_field(mock, prototype, Proto_p, MOCK_BASE + 64);
    mock_field(mock, prototype, Proto_upvalues, MOCK_BASE + 64);
    mock_field(mock, prototype, Proto_locvars, MOCK_BASE + 64);
    struct visit visit = {0};
    assert_true(mock_visit(mock, prototype, TAG_PROTOTYPE, &visit));
    assert_non_null(visit.fault);
    assert_int_equal(visit.references.count, 0);
    vector_free(&visit.references);
  }
}

static void test_prototype_sizes(void **state) {
  (void)state;
  with_all_layouts(check_prototype_sizes);
}

/* Constants refer to strings: anything else was there before the array grew. */
static void check_constants(struct mock_lua *mock) {
  uint64_t size = mock->vm.layout->size[SIZE_TValue];
  uint64_t prototype = mock_object(mock, TAG_PROTOTYPE, mock->vm.layout->size[SIZE_Proto]);
  uint64_t constants = mock_take(mock, 4 * size), name = mock_string(mock, "name");
  const struct lua_value VALUES[] = {integer(1), object(TAG_SHORT_STRING, name),
                                     object(TAG_TABLE, mock_table(mock)),
                                     object(TAG_THREAD, mock_table(mock))};
  for (unsigned i = 0; i < 4; i++)
    mock_value(mock, constants + i * size, VALUES[i].tag, VALUES[i].bits);
  mock_field(mock, prototype, Proto_sizek, 4);
  mock_field(mock, prototype, Proto_k, constants);
  struct visit visit = {0};
  assert_true(mock_visit(mock, prototype, TAG_PROTOTYPE, &visit));
  assert_int_equal(visit.references.count, 1);
  assert_true(visit.references.items[0].address == name);
  assert_int_equal(visit.references.items[0].detail, 2);
  assert_int_equal(visit.absurd, 2);
  vector_free(&visit.references);
}

static void test_constants(void **state) {
  (void)state;
  with_all_layouts(check_constants);
}

/* A pointer of a prototype, or a node's key if a native thread may be at work, to an object of
 * another kind is no reference. */
static void check_leftovers(struct mock_lua *mock) {
  struct vm *vm = &mock->vm;
  uint64_t table = mock_table(mock), name = mock_string(mock, "name");
  assert_true(lua54_is_leftover(vm, OBJECT_PROTOTYPE, REFERENCE_DEBUG, table, TAG_ANY_STRING));
  assert_true(lua54_is_leftover(vm, OBJECT_PROTOTYPE, REFERENCE_PROTOTYPE, name, TAG_PROTOTYPE));
  assert_false(lua54_is_leftover(vm, OBJECT_TABLE, REFERENCE_KEY, table, TAG_SHORT_STRING));
  vm->may_be_torn = true;
  assert_true(lua54_is_leftover(vm, OBJECT_TABLE, REFERENCE_KEY, table, TAG_SHORT_STRING));
  assert_false(lua54_is_leftover(vm, OBJECT_PROTOTYPE, REFERENCE_DEBUG, name, TAG_ANY_STRING));
  assert_false(lua54_is_leftover(vm, OBJECT_TABLE, REFERENCE_KEY, table, TAG_TABLE));
  assert_false(lua54_is_leftover(vm, OBJECT_TABLE, REFERENCE_FIELD, table, TAG_SHORT_STRING));
  assert_false(lua54_is_leftover(vm, OBJECT_TABLE, REFERENCE_KEY, 0, TAG_SHORT_STRING));
}

static void test_leftovers(void **state) {
  (void)state;
  with_all_layouts(check_leftovers);
}

/* ---- Upvalues ----------------------------------------------------------------------------------
 */

static void check_upvalue(struct mock_lua *mock) {
  const struct layout *layout = mock->vm.layout;
  uint64_t upvalue = mock_object(mock, TAG_UPVALUE, layout->size[SIZE_UpVal]);
  uint64_t leaf = mock_table(mock), stack = mock_take(mock, 256);
  uint64_t slot = 3 * (uint64_t)layout->size[SIZE_TValue];
  mock_value(mock, stack + slot, TAG_TABLE | TAG_COLLECTABLE, leaf);
  mock_field(mock, upvalue, UpVal_v, stack + slot);
  struct visit visit = {0};
  assert_true(mock_visit(mock, upvalue, TAG_UPVALUE, &visit));
  assert_int_equal(visit.references.count, 1);
  assert_false(visit.is_moving);
  /* an offset into a stack that was being moved: known only when the stack is */
  mock_field(mock, upvalue, UpVal_v, slot);
  assert_true(mock_visit(mock, upvalue, TAG_UPVALUE, &visit));
  assert_true(visit.is_moving);
  assert_non_null(visit.fault);
  mock->vm.torn.thread = leaf;
  mock->vm.torn.stack = stack;
  assert_true(mock_visit(mock, upvalue, TAG_UPVALUE, &visit));
  assert_null(visit.fault);
  assert_int_equal(visit.references.count, 1);
  mock->vm.torn = (struct torn){0};
  mock_field(mock, upvalue, UpVal_v, MOCK_BASE + MOCK_SIZE - 4);
  assert_true(mock_visit(mock, upvalue, TAG_UPVALUE, &visit));
  assert_non_null(visit.fault);
  vector_free(&visit.references);
}

static void test_upvalue(void **state) {
  (void)state;
  with_all_layouts(check_upvalue);
}

/* ---- What is no object -------------------------------------------------------------------------
 */

static void check_no_object(struct mock_lua *mock) {
  struct visit visit = {0};
  for (unsigned tag = 0; tag < 256; tag++) {
    uint64_t address = mock_object(mock, (uint8_t)tag, 8);
    bool is_type =
        tag < 128 && !(tag & TAG_COLLECTABLE) && lua54_type((uint8_t)tag) != OBJECT_TYPE_COUNT;
    mock->used = 64;
    memset(mock->bytes, 0, 4096);
    mock_field(mock, address, GCObject_tt, tag);
    assert_int_equal(mock_visit(mock, address, TAG_ANY, &visit), is_type);
    assert_int_equal(mock_visit(mock, address, TAG_TABLE, &visit), tag == TAG_TABLE);
  }
  assert_false(mock_visit(mock, 0, TAG_ANY, &visit));
  assert_false(mock_visit(mock, MOCK_BASE + MOCK_SIZE - 4, TAG_ANY, &visit));
  assert_false(mock_visit(mock, UINT64_MAX - 7, TAG_ANY, &visit));
  vector_free(&visit.references);
}

static void test_no_object(void **state) {
  (void)state;
  with_all_layouts(check_no_object);
}

/* Random memory, random objects in it: no check fails, nothing is read outside. */
static void check_noise(struct mock_lua *mock) {
  uint64_t seed = 88172645463325252u;
  struct visit visit = {0};
  for (unsigned round = 0; round < 300; round++) {
    for (size_t i = 0; i < MOCK_SIZE / 8; i++) {
      seed ^= seed << 13;
      seed ^= seed >> 7;
      seed ^= seed << 17;
      uint64_t near = MOCK_BASE + (seed >> 20) % (MOCK_SIZE + 256);
      uint64_t word = seed & 1 ? near & ~UINT64_C(7) : seed & 2 ? seed % 300 : seed;
      if (round % 10 == 0) memcpy(mock->bytes + i * 8, &word, 8);
    }
    uint64_t address = MOCK_BASE + (seed >> 30) % (MOCK_SIZE - 64) / 8 * 8;
    for (uint8_t tag = TAG_SHORT_STRING; tag <= TAG_PROTOTYPE; tag++) {
      mock_field(mock, address, GCObject_tt, tag);
      assert_true(mock_visit(mock, address, tag, &visit));
    }
  }
  vector_free(&visit.references);
}

static void test_noise(void **state) {
  (void)state;
  with_all_layouts(check_noise);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_alimit),
      cmocka_unit_test(test_array_values),
      cmocka_unit_test(test_array_outside),
      cmocka_unit_test(test_dummy_node),
      cmocka_unit_test(test_hash_outside),
      cmocka_unit_test(test_entries),
      cmocka_unit_test(test_absurd_values),
      cmocka_unit_test(test_torn_table),
      cmocka_unit_test(test_short_string),
      cmocka_unit_test(test_long_strings),
      cmocka_unit_test(test_string_lengths),
      cmocka_unit_test(test_userdata),
      cmocka_unit_test(test_function_at_the_end),
      cmocka_unit_test(test_prototype_sizes),
      cmocka_unit_test(test_constants),
      cmocka_unit_test(test_leftovers),
      cmocka_unit_test(test_upvalue),
      cmocka_unit_test(test_no_object),
      cmocka_unit_test(test_noise),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
