/* test_function.c - closures, upvalues, prototypes and userdata: loaded from sound memory of every
 * layout, and refused where a count or a pointer leads out of it. */
#include "lua/function.h"

#include "mock_lua.h"

static const char *const NAMES[] = {"5.4.0", "5.4.1", "5.4.2", "5.4.3", "5.5.0", "5.5.1"};

enum { OUTSIDE = 0x1000 };

static void with_all_layouts(void (*check)(struct mock_lua *mock)) {
  for (size_t i = 0; i < sizeof NAMES / sizeof *NAMES; i++)
    for (unsigned pointer_size = 4; pointer_size <= 8; pointer_size += 4) {
      struct mock_lua *mock = mock_open(mock_layout(NAMES[i], pointer_size));
      check(mock);
      mock_close(mock);
    }
}

/* A closed upvalue that holds an integer. */
static uint64_t closed(struct mock_lua *mock, uint64_t number) {
  const struct layout *layout = mock->vm.layout;
  uint64_t upvalue = mock_object(mock, TAG_UPVALUE, layout->size[SIZE_UpVal]);
  uint64_t place = upvalue + layout->place[UpVal_value].offset;
  mock_field(mock, upvalue, UpVal_v, place);
  mock_value(mock, place, TAG_INTEGER, number);
  return upvalue;
}

static void check_lua_function(struct mock_lua *mock) {
  const struct layout *layout = mock->vm.layout;
  uint64_t first = layout->place[LClosure_upvals].offset, pointer = layout->pointer_size;
  uint64_t function = mock_object(mock, TAG_LUA_FUNCTION, first + 2 * pointer);
  struct lua_function loaded;
  struct lua_value value;
  mock_field(mock, function, LClosure_nupvalues, 2);
  mock_field(mock, function, LClosure_p, MOCK_BASE + 0x777);
  mock_pointer(mock, function + first, closed(mock, 11));
  mock_pointer(mock, function + first + pointer, OUTSIDE);
  assert_null(function_load(&mock->vm, function, &loaded));
  assert_true(loaded.is_lua);
  assert_int_equal(loaded.upvalue_count, 2);
  assert_int_equal(loaded.prototype, MOCK_BASE + 0x777);
  assert_true(function_upvalue(&mock->vm, &loaded, 0, &value));
  assert_int_equal(value.tag, TAG_INTEGER);
  assert_int_equal(value_integer(&mock->vm, value), 11);
  assert_false(function_upvalue(&mock->vm, &loaded, 1, &value)); /* not in the dump */
  assert_false(function_upvalue(&mock->vm, &loaded, 2, &value));
  assert_false(function_upvalue(&mock->vm, &loaded, UINT64_MAX, &value));
}

static void check_c_function(struct mock_lua *mock) {
  const struct layout *layout = mock->vm.layout;
  uint64_t first = layout->place[CClosure_upvalue].offset, size = layout->size[SIZE_TValue];
  uint64_t function = mock_object(mock, TAG_C_FUNCTION, first + 2 * size);
  struct lua_function loaded;
  struct lua_value value;
  mock_field(mock, function, CClosure_nupvalues, 2);
  mock_field(mock, function, CClosure_f, 0x1234);
  mock_value(mock, function + first, TAG_INTEGER, 7);
  mock_value(mock, function + first + size, TAG_TRUE, 0);
  assert_null(function_load(&mock->vm, function, &loaded));
  assert_false(loaded.is_lua);
  assert_int_equal(loaded.code, 0x1234);
  assert_true(function_upvalue(&mock->vm, &loaded, 0, &value));
  assert_int_equal(value_integer(&mock->vm, value), 7);
  assert_true(function_upvalue(&mock->vm, &loaded, 1, &value));
  assert_int_equal(value.tag, TAG_TRUE);
  assert_false(function_upvalue(&mock->vm, &loaded, 2, &value));
}

static void test_functions(void **state) {
  (void)state;
  with_all_layouts(check_lua_function);
  with_all_layouts(check_c_function);
}

static void check_upvalues(struct mock_lua *mock) {
  const struct layout *layout = mock->vm.layout;
  struct lua_upvalue loaded;
  uint64_t upvalue = closed(mock, 5), slot = mock_take(mock, layout->size[SIZE_TValue]);
  assert_null(upvalue_load(&mock->vm, upvalue, &loaded));
  assert_false(loaded.is_open);
  assert_int_equal(value_integer(&mock->vm, loaded.value), 5);
  mock_value(mock, slot, TAG_INTEGER, 6);
  mock_field(mock, upvalue, UpVal_v, slot);
  assert_null(upvalue_load(&mock->vm, upvalue, &loaded));
  assert_true(loaded.is_open);
  assert_int_equal(value_integer(&mock->vm, loaded.value), 6);
  /* an offset, while its stack is being moved: where the stack is now must be known */
  mock_field(mock, upvalue, UpVal_v, 2 * (uint64_t)layout->size[SIZE_TValue]);
  assert_non_null(upvalue_load(&mock->vm, upvalue, &loaded));
  mock->vm.torn.thread = MOCK_BASE;
  mock->vm.torn.stack = slot - 2 * (uint64_t)layout->size[SIZE_TValue];
  assert_null(upvalue_load(&mock->vm, upvalue, &loaded));
  assert_int_equal(value_integer(&mock->vm, loaded.value), 6);
  mock_field(mock, upvalue, UpVal_v, MOCK_BASE + MOCK_SIZE - 1);
  assert_non_null(upvalue_load(&mock->vm, upvalue, &loaded));
  assert_non_null(upvalue_load(&mock->vm, mock_table(mock), &loaded));
  assert_non_null(upvalue_load(&mock->vm, OUTSIDE, &loaded));
}

static void test_upvalues(void **state) {
  (void)state;
  with_all_layouts(check_upvalues);
}

static void check_prototypes(struct mock_lua *mock) {
  const struct layout *layout = mock->vm.layout;
  uint64_t address = mock_object(mock, TAG_PROTOTYPE, layout->size[SIZE_Proto]);
  uint64_t constants = mock_take(mock, 2 * (uint64_t)layout->size[SIZE_TValue]);
  struct lua_prototype loaded;
  struct lua_value value;
  mock_field(mock, address, Proto_numparams, 3);
  mock_field(mock, address, Proto_is_vararg, 1);
  mock_field(mock, address, Proto_linedefined, 10);
  mock_field(mock, address, Proto_lastlinedefined, 20);
  mock_field(mock, address, Proto_sizek, 2);
  mock_field(mock, address, Proto_sizecode, 30);
  mock_field(mock, address, Proto_k, constants);
  mock_value(mock, constants + layout->size[SIZE_TValue], TAG_INTEGER, 99);
  assert_null(prototype_load(&mock->vm, address, &loaded));
  assert_int_equal(loaded.parameters, 3);
  assert_true(loaded.is_vararg);
  assert_int_equal(loaded.first_line, 10);
  assert_int_equal(loaded.last_line, 20);
  assert_int_equal(loaded.instructions, 30);
  assert_true(prototype_constant(&mock->vm, &loaded, 1, &value));
  assert_int_equal(value_integer(&mock->vm, value), 99);
  assert_false(prototype_constant(&mock->vm, &loaded, 2, &value));
  /* 5.5: 4 says that it is in fixed memory, and nothing about arguments */
  mock_field(mock, address, Proto_is_vararg, 4);
  mock_field(mock, address, Proto_sizek, UINT32_MAX >> 1);
  assert_null(prototype_load(&mock->vm, address, &loaded));
  assert_false(loaded.is_vararg);
  assert_false(prototype_constant(&mock->vm, &loaded, UINT32_MAX >> 2, &value));
  assert_non_null(prototype_load(&mock->vm, mock_table(mock), &loaded));
}

static void test_prototypes(void **state) {
  (void)state;
  with_all_layouts(check_prototypes);
}

static void check_userdata(struct mock_lua *mock) {
  const struct layout *layout = mock->vm.layout;
  uint64_t size = layout->size[SIZE_TValue];
  uint64_t bare = mock_object(mock, TAG_USERDATA, layout->userdata_bare + 64u);
  struct lua_userdata loaded;
  mock_field(mock, bare, Udata_len, 64);
  mock_field(mock, bare, Udata_metatable, 0x5678);
  assert_null(userdata_load(&mock->vm, bare, &loaded));
  assert_int_equal(loaded.size, 64);
  assert_int_equal(loaded.metatable, 0x5678);
  assert_int_equal(loaded.user_value_count, 0);
  uint64_t full = mock_object(mock, TAG_USERDATA, layout->userdata_header + 2 * size);
  mock_field(mock, full, Udata_nuvalue, 2);
  mock_value(mock, full + layout->userdata_header + size, TAG_INTEGER, 3);
  assert_null(userdata_load(&mock->vm, full, &loaded));
  assert_int_equal(loaded.user_value_count, 2);
  assert_int_equal(value_integer(&mock->vm, userdata_value(&mock->vm, &loaded, 1)), 3);
  mock_field(mock, full, Udata_nuvalue, UINT16_MAX); /* more than there is memory */
  assert_non_null(userdata_load(&mock->vm, full, &loaded));
}

static void test_userdata(void **state) {
  (void)state;
  with_all_layouts(check_userdata);
}

/* Objects that begin where the memory ends. */
static void check_edges(struct mock_lua *mock) {
  uint64_t last = MOCK_BASE + MOCK_SIZE - 4;
  struct lua_function function;
  struct lua_prototype prototype;
  struct lua_userdata userdata;
  struct lua_value value;
  assert_non_null(function_load(&mock->vm, last, &function));
  assert_non_null(prototype_load(&mock->vm, last, &prototype));
  assert_non_null(userdata_load(&mock->vm, last, &userdata));
  assert_false(value_of_object(&mock->vm, last, &value));
  uint64_t table = mock_table(mock);
  assert_true(value_of_object(&mock->vm, table, &value));
  assert_int_equal(value.tag, TAG_TABLE | TAG_COLLECTABLE);
  assert_int_equal(value.bits, table);
  assert_non_null(function_load(&mock->vm, table, &function));
  mock_field(mock, table, GCObject_tt, 0x3f);
  assert_false(value_of_object(&mock->vm, table, &value));
  /* a closure at the very end whose upvalues would lie behind it */
  const struct layout *layout = mock->vm.layout;
  uint64_t first = layout->place[LClosure_upvals].offset;
  uint64_t edge = (MOCK_BASE + MOCK_SIZE - first) & ~UINT64_C(7);
  mock_field(mock, edge, GCObject_tt, TAG_LUA_FUNCTION);
  mock_field(mock, edge, LClosure_nupvalues, 255);
  assert_non_null(function_load(&mock->vm, edge, &function));
}

static void test_edges(void **state) {
  (void)state;
  with_all_layouts(check_edges);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_functions),  cmocka_unit_test(test_upvalues),
      cmocka_unit_test(test_prototypes), cmocka_unit_test(test_userdata),
      cmocka_unit_test(test_edges),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
