/* test_stack.c - threads: stacks that stand still and stacks that are being moved, lists of call
 * infos, lines of instructions, and the program counter of a running function. */
#include "lua/stack.h"

#include "mock_lua.h"

enum { SLOTS = 20, EXTRA = 5 };

/* A thread in mock memory: base level, a C function in slot 1, a Lua function in slot 4. */
struct mock_thread {
  struct mock_lua *mock;
  const struct layout *layout;
  uint64_t address, stack, calls[2], prototype, code;
};

static uint64_t slot(const struct mock_thread *thread, uint64_t number) {
  return thread->stack + number * thread->layout->size[SIZE_TValue];
}

static uint64_t base_call(const struct mock_thread *thread) {
  return thread->address + thread->layout->place[lua_State_base_ci].offset;
}

static void put_call(struct mock_thread *thread, uint64_t call, uint64_t function, uint64_t top,
                     bool is_lua) {
  mock_field(thread->mock, call, CallInfo_func, slot(thread, function));
  mock_field(thread->mock, call, CallInfo_top, slot(thread, top));
  mock_field(thread->mock, call, CallInfo_callstatus, is_lua ? 0 : thread->layout->c_call_bit);
}

static void link_calls(struct mock_thread *thread, uint64_t first, uint64_t second) {
  mock_field(thread->mock, first, CallInfo_next, second);
  mock_field(thread->mock, second, CallInfo_previous, first);
}

static uint64_t put_function(struct mock_thread *thread) {
  struct mock_lua *mock = thread->mock;
  const struct layout *layout = thread->layout;
  uint64_t closure = mock_object(mock, TAG_LUA_FUNCTION, layout->size[SIZE_LClosure]);
  thread->prototype = mock_object(mock, TAG_PROTOTYPE, layout->size[SIZE_Proto]);
  thread->code = mock_take(mock, 40);
  mock_field(mock, closure, LClosure_p, thread->prototype);
  mock_field(mock, thread->prototype, Proto_code, thread->code);
  mock_field(mock, thread->prototype, Proto_sizecode, 10);
  return closure;
}

static struct mock_thread make_thread(const char *name, unsigned pointer_size) {
  struct mock_thread thread = {.layout = mock_layout(name, pointer_size)};
  const struct layout *layout = thread.layout;
  struct mock_lua *mock = thread.mock = mock_open(layout);
  thread.address = mock_object(mock, TAG_THREAD, layout->size[SIZE_lua_State]);
  thread.stack = mock_take(mock, (SLOTS + EXTRA) * (uint64_t)layout->size[SIZE_TValue]);
  for (unsigned i = 0; i < 2; i++)
    thread.calls[i] = mock_take(mock, layout->size[SIZE_CallInfo]);
  mock_field(mock, thread.address, lua_State_l_G, mock->vm.global_state);
  mock_field(mock, thread.address, lua_State_stack, thread.stack);
  mock_field(mock, thread.address, lua_State_stack_last, slot(&thread, SLOTS));
  mock_field(mock, thread.address, lua_State_stacksize, SLOTS + EXTRA);
  mock_field(mock, thread.address, lua_State_top, slot(&thread, 8));
  mock_field(mock, thread.address, lua_State_ci, thread.calls[1]);
  put_call(&thread, base_call(&thread), 0, 1, false);
  put_call(&thread, thread.calls[0], 1, 4, false);
  put_call(&thread, thread.calls[1], 4, 12, true);
  link_calls(&thread, base_call(&thread), thread.calls[0]);
  link_calls(&thread, thread.calls[0], thread.calls[1]);
  mock_value(mock, slot(&thread, 1), TAG_LIGHT_FUNCTION, 0x1000);
  mock_value(mock, slot(&thread, 4), TAG_LUA_FUNCTION | TAG_COLLECTABLE, put_function(&thread));
  return thread;
}

static struct lua_thread load(const struct mock_thread *thread) {
  struct lua_thread loaded;
  assert_null(thread_load(&thread->mock->vm, thread->address, &loaded));
  assert_true(loaded.top <= loaded.maybe_top && loaded.maybe_top <= loaded.slot_count);
  return loaded;
}

static size_t count_calls(const struct mock_thread *thread, const struct lua_thread *loaded) {
  struct lua_calls calls = {0};
  assert_true(thread_calls(&thread->mock->vm, loaded, &calls));
  size_t count = calls.count;
  vector_free(&calls);
  return count;
}

static void with_all_layouts(void (*check)(struct mock_thread *thread)) {
  static const char *const NAMES[] = {"5.4.0", "5.4.1", "5.4.2", "5.4.3", "5.5.0", "5.5.1"};
  for (size_t i = 0; i < sizeof NAMES / sizeof *NAMES; i++)
    for (unsigned pointer_size = 4; pointer_size <= 8; pointer_size += 4) {
      struct mock_thread thread = make_thread(NAMES[i], pointer_size);
      check(&thread);
      mock_close(thread.mock);
    }
}

/* ---- Stacks ------------------------------------------------------------------------------------
 */

static void check_plain(struct mock_thread *thread) {
  struct lua_thread loaded = load(thread);
  assert_true(loaded.initialized);
  assert_false(loaded.is_moving);
  assert_int_equal(loaded.slot_count, SLOTS + EXTRA);
  assert_int_equal(loaded.top, 8);
  assert_int_equal(loaded.maybe_top, 12); /* a Lua function runs: to the end of its frame */
  assert_int_equal(count_calls(thread, &loaded), 2);
  assert_int_equal(thread_stack_bytes(&thread->mock->vm, &loaded),
                   (SLOTS + EXTRA) * thread->layout->size[SIZE_TValue] +
                       2 * thread->layout->size[SIZE_CallInfo]);
  put_call(thread, thread->calls[1], 4, 12, false);
  assert_int_equal(load(thread).maybe_top, 8); /* a C function keeps its top */
  put_call(thread, thread->calls[1], 4, 12, true);
  mock_field(thread->mock, thread->address, lua_State_status, 1);
  assert_int_equal(load(thread).maybe_top, 8); /* suspended */
}

static void test_plain(void **state) {
  (void)state;
  with_all_layouts(check_plain);
}

/* 5.4.5 and later: offsets instead of pointers, all of them or some. */
static void check_offsets(struct mock_thread *thread) {
  struct mock_lua *mock = thread->mock;
  uint64_t size = thread->layout->size[SIZE_TValue];
  mock_field(mock, thread->address, lua_State_top, 8 * size);
  mock_field(mock, thread->calls[1], CallInfo_func, 4 * size);
  mock_field(mock, thread->calls[1], CallInfo_top, 12 * size);
  struct lua_thread loaded = load(thread);
  assert_true(loaded.is_moving);
  assert_null(loaded.fault);
  assert_int_equal(loaded.top, 8);
  assert_int_equal(loaded.maybe_top, 12);
  assert_int_equal(count_calls(thread, &loaded), 2);
  mock_field(mock, base_call(thread), CallInfo_func, 0);
  mock_field(mock, thread->calls[0], CallInfo_func, 1 * size);
  loaded = load(thread);
  assert_true(loaded.is_moving);
  assert_int_equal(count_calls(thread, &loaded), 2);
}

static void test_offsets(void **state) {
  (void)state;
  with_all_layouts(check_offsets);
}

/* Up to 5.4.4: pointers lead into the new array while the thread still has the old one. */
static void check_other_array(struct mock_thread *thread) {
  struct mock_lua *mock = thread->mock;
  uint64_t size = thread->layout->size[SIZE_TValue];
  uint64_t other = mock_take(mock, 2 * (SLOTS + EXTRA) * size);
  mock_field(mock, thread->address, lua_State_top, other + 8 * size);
  mock_field(mock, thread->calls[1], CallInfo_func, other + 4 * size);
  struct lua_thread loaded = load(thread); /* the base level is not corrected yet */
  assert_int_equal(loaded.maybe_top, SLOTS + EXTRA);
  mock_field(mock, base_call(thread), CallInfo_func, other);
  loaded = load(thread);
  assert_true(loaded.is_moving);
  assert_true(loaded.other == other);
  assert_int_equal(loaded.top, 8);
  assert_int_equal(loaded.maybe_top, 12); /* its end still leads into the old array */
  assert_int_equal(count_calls(thread, &loaded), 2);
}

/* Where the other array is not known, all slots may be in use. */
static void check_top_outside(struct mock_thread *thread) {
  mock_field(thread->mock, thread->address, lua_State_top, MOCK_BASE + MOCK_SIZE - 64);
  struct lua_thread loaded = load(thread);
  assert_non_null(loaded.fault);
  assert_int_equal(loaded.top, 0);
  assert_int_equal(loaded.maybe_top, SLOTS + EXTRA);
}

static void test_top_outside(void **state) {
  (void)state;
  with_all_layouts(check_top_outside);
}

/* The contents were found at another place. */
static void check_found_place(struct mock_thread *thread) {
  struct mock_lua *mock = thread->mock;
  uint64_t size = thread->layout->size[SIZE_TValue];
  uint64_t place = mock_take(mock, (SLOTS + EXTRA) * size);
  mock_value(mock, place + 7 * size, TAG_INTEGER, 77);
  mock->vm.torn = (struct torn){.thread = thread->address, .stack = place};
  struct lua_thread loaded = load(thread);
  assert_true(loaded.is_moving);
  assert_int_equal(thread_slot(&mock->vm, &loaded, 7).bits, 77);
}

static void test_other_array(void **state) {
  (void)state;
  with_all_layouts(check_other_array);
  with_all_layouts(check_found_place);
}

/* The limits of two arrays, or of none. */
static void check_limits(struct mock_thread *thread) {
  const uint64_t LIMITS[] = {0, thread->stack - 160, thread->stack + 7, UINT32_MAX & ~15u};
  for (unsigned i = 0; i < sizeof LIMITS / sizeof *LIMITS; i++) {
    mock_field(thread->mock, thread->address, lua_State_stack_last, LIMITS[i]);
    struct lua_thread loaded = load(thread);
    assert_true(loaded.is_moving);
    assert_int_equal(loaded.top, 8);
    assert_int_equal(loaded.slot_count, 13); /* as much as is in use */
  }
  mock_field(thread->mock, thread->address, lua_State_stack, 0x666000);
  struct lua_thread loaded;
  assert_non_null(thread_load(&thread->mock->vm, thread->address, &loaded));
}

static void test_limits(void **state) {
  (void)state;
  with_all_layouts(check_limits);
}

/* Inside lua_newthread: before l_G, before ci, and in memory that held another thread. */
static void check_new_thread(struct mock_thread *thread) {
  struct mock_lua *mock = thread->mock;
  mock->vm.torn.newborn = thread->address;
  assert_false(load(thread).initialized);
  mock->vm.torn.newborn = 0;
  mock_field(mock, thread->address, lua_State_ci, 0);
  assert_false(load(thread).initialized);
  mock_field(mock, thread->address, lua_State_l_G, 0x1234);
  assert_false(load(thread).initialized);
  struct visit visit = {0};
  assert_true(mock_visit(mock, thread->address, TAG_THREAD, &visit));
  assert_null(visit.fault);
  assert_int_equal(visit.references.count, 0);
  mock_field(mock, thread->address, GCObject_tt, TAG_TABLE);
  struct lua_thread loaded;
  assert_non_null(thread_load(&mock->vm, thread->address, &loaded));
}

static void test_new_thread(void **state) {
  (void)state;
  with_all_layouts(check_new_thread);
}

/* ---- Call infos --------------------------------------------------------------------------------
 */

static uint64_t call_bytes(struct mock_thread *thread) {
  struct lua_thread loaded = load(thread);
  return (thread_stack_bytes(&thread->mock->vm, &loaded) -
          (SLOTS + EXTRA) * thread->layout->size[SIZE_TValue]) /
         thread->layout->size[SIZE_CallInfo];
}

static void check_call_cycles(struct mock_thread *thread) {
  struct mock_lua *mock = thread->mock;
  /* the last leads back to the first, and the first back to the last */
  mock_field(mock, thread->calls[1], CallInfo_next, thread->calls[0]);
  mock_field(mock, thread->calls[0], CallInfo_previous, thread->calls[1]);
  struct lua_thread loaded = load(thread);
  assert_true(call_bytes(thread) < 64);              /* ends, soon */
  assert_int_equal(count_calls(thread, &loaded), 2); /* functions must lie deeper */
  mock_field(mock, thread->calls[1], CallInfo_next, thread->calls[1]);
  mock_field(mock, thread->calls[1], CallInfo_previous, thread->calls[1]);
  loaded = load(thread);
  assert_true(call_bytes(thread) < 64);
  assert_int_equal(count_calls(thread, &loaded), 1);
}

static void test_call_cycles(void **state) {
  (void)state;
  with_all_layouts(check_call_cycles);
}

/* A call info that is being added is not followed, one that was just taken out does no harm. */
static void check_changing_calls(struct mock_thread *thread) {
  struct mock_lua *mock = thread->mock;
  uint64_t size = thread->layout->size[SIZE_CallInfo];
  uint64_t third = mock_take(mock, size), stale = mock_take(mock, size);
  link_calls(thread, thread->calls[1], third);
  mock_field(mock, third, CallInfo_next, stale); /* what was there before */
  mock_field(mock, stale, CallInfo_previous, 0x666);
  assert_int_equal(call_bytes(thread), 3);
  mock_field(mock, third, CallInfo_next, 0);
  mock_field(mock, thread->calls[0], CallInfo_next, third); /* calls[1] goes */
  assert_int_equal(call_bytes(thread), 2);
}

static void test_changing_calls(void **state) {
  (void)state;
  with_all_layouts(check_changing_calls);
}

/* The innermost call may not be filled in yet; further out everything must make sense. */
static void check_calls_without_sense(struct mock_thread *thread) {
  struct mock_lua *mock = thread->mock;
  mock_field(mock, thread->calls[1], CallInfo_func, 0x666);
  struct lua_thread loaded = load(thread);
  struct lua_calls calls = {0};
  assert_true(thread_calls(&mock->vm, &loaded, &calls));
  assert_int_equal(calls.count, 1);
  assert_int_equal(calls.items[0].function, 1);
  vector_free(&calls);
  mock_field(mock, thread->calls[0], CallInfo_func, slot(thread, SLOTS + EXTRA + 1));
  assert_int_equal(count_calls(thread, &loaded), 0);
}

static void test_calls_without_sense(void **state) {
  (void)state;
  with_all_layouts(check_calls_without_sense);
}

/* ---- Lines -------------------------------------------------------------------------------------
 */

static void put_lines(struct mock_thread *thread, uint64_t defined, const int8_t *differences,
                      uint64_t count) {
  struct mock_lua *mock = thread->mock;
  uint64_t place = mock_take(mock, count + 1);
  memcpy(mock_bytes(mock, place), differences, count);
  mock_field(mock, thread->prototype, Proto_linedefined, defined);
  mock_field(mock, thread->prototype, Proto_lineinfo, place);
  mock_field(mock, thread->prototype, Proto_sizelineinfo, count);
}

static void put_pairs(struct mock_thread *thread, const uint32_t (*pairs)[2], uint64_t count) {
  struct mock_lua *mock = thread->mock;
  uint64_t stride = thread->layout->size[SIZE_AbsLineInfo];
  uint64_t place = mock_take(mock, (count + 1) * stride);
  for (uint64_t i = 0; i < count; i++) {
    mock_field(mock, place + i * stride, AbsLineInfo_pc, pairs[i][0]);
    mock_field(mock, place + i * stride, AbsLineInfo_line, pairs[i][1]);
  }
  mock_field(mock, thread->prototype, Proto_abslineinfo, place);
  mock_field(mock, thread->prototype, Proto_sizeabslineinfo, count);
}

static uint32_t line_of(struct mock_thread *thread, uint64_t pc) {
  return prototype_line(&thread->mock->vm, mock_bytes(thread->mock, thread->prototype), pc);
}

static void check_lines(struct mock_thread *thread) {
  static const int8_t DIFFERENCES[] = {1, 0, 2, -1, -128, 3, 0, -128, 1, 0};
  static const uint32_t PAIRS[][2] = {{4, 1000}, {7, 70000}};
  static const uint32_t LINES[] = {101, 101, 103, 102, 1000, 1003, 1003, 70000, 70001, 70001};
  put_lines(thread, 100, DIFFERENCES, sizeof DIFFERENCES);
  put_pairs(thread, PAIRS, 2);
  for (unsigned pc = 0; pc < 10; pc++)
    assert_int_equal(line_of(thread, pc), LINES[pc]);
  assert_int_equal(line_of(thread, 10), 0);
  assert_int_equal(line_of(thread, UINT64_MAX), 0);
}

static void test_lines(void **state) {
  (void)state;
  with_all_layouts(check_lines);
}

static void check_hostile_lines(struct mock_thread *thread) {
  static const int8_t DIFFERENCES[] = {-100, 1, 1, 1};
  struct mock_lua *mock = thread->mock;
  assert_int_equal(line_of(thread, 0), 0); /* stripped */
  put_lines(thread, 5, DIFFERENCES, sizeof DIFFERENCES);
  assert_int_equal(line_of(thread, 0), 0); /* before the first line */
  mock_field(mock, thread->prototype, Proto_sizelineinfo, INT32_MAX);
  assert_int_equal(line_of(thread, 1), 0);
  put_lines(thread, 500, DIFFERENCES, sizeof DIFFERENCES);
  mock_field(mock, thread->prototype, Proto_abslineinfo, MOCK_BASE);
  mock_field(mock, thread->prototype, Proto_sizeabslineinfo, INT32_MAX);
  assert_int_equal(line_of(thread, 1), 401); /* without the pairs */
  static const uint32_t PAIRS[][2] = {{3, UINT32_MAX}};
  put_pairs(thread, PAIRS, 1);
  assert_int_equal(line_of(thread, 3), 0);
}

static void test_hostile_lines(void **state) {
  (void)state;
  with_all_layouts(check_hostile_lines);
}

static void check_pc(struct mock_thread *thread) {
  const uint8_t *prototype = mock_bytes(thread->mock, thread->prototype);
  const struct layout *layout = thread->layout;
  assert_int_equal(prototype_pc(layout, prototype, thread->code + 4), 0);
  assert_int_equal(prototype_pc(layout, prototype, thread->code + 12), 2);
  assert_int_equal(prototype_pc(layout, prototype, thread->code + 40), 9);
  assert_int_equal(prototype_pc(layout, prototype, thread->code + 400), 9);
  assert_int_equal(prototype_pc(layout, prototype, thread->code), 0);
  assert_int_equal(prototype_pc(layout, prototype, 0), 0);
  assert_int_equal(prototype_pc(layout, prototype, UINT64_MAX), 9);
}

static void test_pc(void **state) {
  (void)state;
  with_all_layouts(check_pc);
}

/* ---- The running function ----------------------------------------------------------------------
 */

/* What thread_place says if these registers are all that the native thread has. */
static struct lua_place place_with(struct mock_thread *thread, const uint64_t *registers,
                                   size_t count) {
  struct source_thread native = {.registers = registers, .register_count = count};
  struct source source = {
      .threads = &native, .thread_count = 1, .pointer_size = thread->layout->pointer_size};
  struct lua_place place = {0};
  struct lua_thread loaded = load(thread);
  thread->mock->vm.source = &source;
  assert_true(thread_place(&thread->mock->vm, &loaded, &place));
  thread->mock->vm.source = NULL;
  return place;
}

#define PLACE_WITH(thread, ...)                                                                    \
  place_with(thread, (const uint64_t[]){__VA_ARGS__},                                              \
             sizeof(uint64_t[]){__VA_ARGS__} / sizeof(uint64_t))

static void check_place(struct lua_place place, uint32_t line, bool is_approximate) {
  assert_int_equal(place.line, line);
  assert_int_equal(place.is_approximate, is_approximate);
}

static void check_running(struct mock_thread *thread) {
  static const int8_t DIFFERENCES[] = {1, 1, 1, 1, 0, 1, 1, 1, 1, 1}; /* 11 12 13 14 14 15 ... */
  struct mock_lua *mock = thread->mock;
  uint64_t code = thread->code;
  put_lines(thread, 10, DIFFERENCES, sizeof DIFFERENCES);
  mock_field(mock, thread->calls[1], CallInfo_savedpc, code + 8);
  check_place(PLACE_WITH(thread, 0, 0x666), 12, true);          /* nothing found: what is saved */
  check_place(PLACE_WITH(thread, 0x666, code + 28), 16, false); /* one register                 */
  check_place(PLACE_WITH(thread, code + 24, code + 28), 16, false); /* and its copy of before     */
  check_place(PLACE_WITH(thread, code + 28, code + 24), 16, false);
  check_place(PLACE_WITH(thread, code + 16, code + 20), 14, false); /* the same line              */
  check_place(PLACE_WITH(thread, code + 12, code + 28), 13, true);  /* they disagree              */
  check_place(PLACE_WITH(thread, code + 12, code + 8), 12, false);  /* saved for what is done     */
  check_place(PLACE_WITH(thread, code + 13, code), 12, true);       /* no instruction; the code   */
  check_place(PLACE_WITH(thread, code + 40), 19, false);
  check_place(PLACE_WITH(thread, code + 44), 12, true); /* behind the code */
  mock_field(mock, thread->address, lua_State_status, 1);
  check_place(PLACE_WITH(thread, code + 28), 12, false); /* suspended: what is saved is exact */
}

static void test_running(void **state) {
  (void)state;
  with_all_layouts(check_running);
}

/* The program counter on the native stack. */
static void test_running_on_stack(void **state) {
  (void)state;
  static const int8_t DIFFERENCES[] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
  struct mock_thread thread = make_thread("5.4.3", 8);
  put_lines(&thread, 10, DIFFERENCES, sizeof DIFFERENCES);
  uint64_t words[64] = {[40] = thread.code + 20};
  struct source_segment segment = {.start = 0x7000000,
                                   .end = 0x7000000 + sizeof words,
                                   .bytes = (const uint8_t *)words,
                                   .writable = true};
  struct source_thread native = {.stack_pointer = 0x7000000 + 20 * 8};
  struct source source = {.threads = &native,
                          .thread_count = 1,
                          .pointer_size = 8,
                          .segments = &segment,
                          .segment_count = 1};
  struct lua_place place;
  struct lua_thread loaded = load(&thread);
  thread.mock->vm.source = &source;
  assert_true(thread_place(&thread.mock->vm, &loaded, &place));
  check_place(place, 15, false);
  native.stack_pointer = 0x7000000 + sizeof words; /* the word lies in frames that are gone */
  assert_true(thread_place(&thread.mock->vm, &loaded, &place));
  assert_true(place.is_approximate);
  mock_close(thread.mock);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_plain),
      cmocka_unit_test(test_offsets),
      cmocka_unit_test(test_other_array),
      cmocka_unit_test(test_top_outside),
      cmocka_unit_test(test_limits),
      cmocka_unit_test(test_new_thread),
      cmocka_unit_test(test_call_cycles),
      cmocka_unit_test(test_changing_calls),
      cmocka_unit_test(test_calls_without_sense),
      cmocka_unit_test(test_lines),
      cmocka_unit_test(test_hostile_lines),
      cmocka_unit_test(test_pc),
      cmocka_unit_test(test_running),
      cmocka_unit_test(test_running_on_stack),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
