/* test_traceback.c - frames and variables of a thread written by hand, and of threads that no Lua
 * would leave behind. What Lua itself says of sound ones is compared in tests/e2e/test_bt.py. */
#include "lua/native.h"
#include "lua/traceback.h"

#include <stdio.h>

#include "mock_lua.h"

enum { SLOTS = 24, EXTRA = 5, CALLS = 3, CODE = 8, CALL_OP = 68, GETUPVAL_OP = 9 };

/* A suspended thread: a C function in slot 1, called by a vararg Lua function in slot 6, called by
 * a Lua function in slot 2... from the innermost: C in 16, Lua in 10, Lua in 2. The Lua functions
 * share a prototype with one local variable, `first`, and a call of the upvalue `up`. */
struct mock_thread {
  struct mock_lua *mock;
  const struct layout *layout;
  struct function_names names;
  uint64_t address, stack, calls[CALLS], prototype, closure, code;
};

static const uint64_t FUNCTION_SLOTS[CALLS] = {16, 10, 2};

static uint64_t slot(const struct mock_thread *thread, uint64_t number) {
  return thread->stack + number * thread->layout->size[SIZE_TValue];
}

static void put_prototype(struct mock_thread *thread) {
  struct mock_lua *mock = thread->mock;
  const struct layout *layout = thread->layout;
  thread->closure = mock_object(mock, TAG_LUA_FUNCTION, layout->size[SIZE_LClosure]);
  thread->prototype = mock_object(mock, TAG_PROTOTYPE, layout->size[SIZE_Proto]);
  thread->code = mock_take(mock, CODE * 4);
  mock_put(mock, thread->code, GETUPVAL_OP | 3 << 7, 4); /* register 3 := upvalue 0 */
  mock_put(mock, thread->code + 4, CALL_OP | 3 << 7, 4);
  uint64_t upvalue = mock_take(mock, layout->size[SIZE_Upvaldesc]);
  mock_field(mock, upvalue, Upvaldesc_name, mock_string(mock, "up"));
  uint64_t local = mock_take(mock, layout->size[SIZE_LocVar]);
  mock_field(mock, local, LocVar_varname, mock_string(mock, "first"));
  mock_field(mock, local, LocVar_endpc, CODE);
  mock_field(mock, thread->closure, LClosure_p, thread->prototype);
  mock_field(mock, thread->prototype, Proto_code, thread->code);
  mock_field(mock, thread->prototype, Proto_sizecode, CODE);
  mock_field(mock, thread->prototype, Proto_upvalues, upvalue);
  mock_field(mock, thread->prototype, Proto_sizeupvalues, 1);
  mock_field(mock, thread->prototype, Proto_locvars, local);
  mock_field(mock, thread->prototype, Proto_sizelocvars, 1);
  mock_field(mock, thread->prototype, Proto_linedefined, 41);
}

static struct mock_thread make_thread(const char *name) {
  struct mock_thread thread = {.layout = mock_layout(name, 8)};
  const struct layout *layout = thread.layout;
  struct mock_lua *mock = thread.mock = mock_open(layout);
  thread.address = mock_object(mock, TAG_THREAD, layout->size[SIZE_lua_State]);
  thread.stack = mock_take(mock, (SLOTS + EXTRA) * (uint64_t)layout->size[SIZE_TValue]);
  put_prototype(&thread);
  uint64_t base = thread.address + layout->place[lua_State_base_ci].offset;
  for (unsigned i = 0; i < CALLS; i++)
    thread.calls[i] = mock_take(mock, layout->size[SIZE_CallInfo]);
  for (unsigned i = 0; i < CALLS; i++) {
    mock_field(mock, thread.calls[i], CallInfo_func, slot(&thread, FUNCTION_SLOTS[i]));
    mock_field(mock, thread.calls[i], CallInfo_top, slot(&thread, FUNCTION_SLOTS[i] + 6));
    mock_field(mock, thread.calls[i], CallInfo_callstatus, i ? 0 : layout->c_call_bit);
    if (i) mock_field(mock, thread.calls[i], CallInfo_savedpc, thread.code + 8);
    mock_field(mock, thread.calls[i], CallInfo_previous,
               i + 1 < CALLS ? thread.calls[i + 1] : base);
    if (i) mock_field(mock, thread.calls[i], CallInfo_next, thread.calls[i - 1]);
  }
  for (uint64_t i = 0; i < SLOTS; i++)
    mock_value(mock, slot(&thread, i), TAG_INTEGER, i);
  mock_value(mock, slot(&thread, 16), TAG_LIGHT_FUNCTION, 0x1000);
  mock_value(mock, slot(&thread, 10), TAG_LUA_FUNCTION | TAG_COLLECTABLE, thread.closure);
  mock_value(mock, slot(&thread, 2), TAG_LUA_FUNCTION | TAG_COLLECTABLE, thread.closure);
  mock_field(mock, base, CallInfo_next, thread.calls[CALLS - 1]);
  mock_field(mock, base, CallInfo_func, thread.stack);
  mock_field(mock, base, CallInfo_callstatus, layout->c_call_bit);
  mock_field(mock, thread.address, lua_State_l_G, mock->vm.global_state);
  mock_field(mock, thread.address, lua_State_status, 1);
  mock_field(mock, thread.address, lua_State_stack, thread.stack);
  mock_field(mock, thread.address, lua_State_stack_last, slot(&thread, SLOTS));
  mock_field(mock, thread.address, lua_State_stacksize, SLOTS + EXTRA);
  mock_field(mock, thread.address, lua_State_top, slot(&thread, 19));
  mock_field(mock, thread.address, lua_State_ci, thread.calls[0]);
  return thread;
}

static void open_traceback(struct mock_thread *thread, const char *release,
                           struct traceback *traceback) {
  const struct bytecode_family *family = bytecode_family(thread->layout, release);
  assert_null(
      traceback_open(traceback, &thread->mock->vm, family, &thread->names, thread->address));
  assert_int_equal(traceback->calls.count, CALLS);
}

/* What level `level` is called in Lua's words. */
static void check_text(struct mock_thread *thread, const char *release, size_t level,
                       const char *expected) {
  struct traceback traceback;
  struct lua_frame frame;
  struct arena arena;
  arena_init(&arena);
  open_traceback(thread, release, &traceback);
  assert_true(traceback_frame(&traceback, level, &arena, &frame));
  assert_string_equal(frame.text, expected);
  traceback_close(&traceback);
  arena_free(&arena);
}

static void set_status(struct mock_thread *thread, unsigned call, uint32_t bits) {
  uint64_t plain = call ? 0 : thread->layout->c_call_bit;
  mock_field(thread->mock, thread->calls[call], CallInfo_callstatus, plain | bits);
}

/* ---- Frames ---------------------------------------------------------------------------------- */

static void test_names(void **state) {
  (void)state;
  struct mock_thread thread = make_thread("5.4.3");
  check_text(&thread, "5.4.4", 0, "[C]: in upvalue 'up'");
  check_text(&thread, "5.4.4", 1, "?: in upvalue 'up'");
  check_text(&thread, "5.4.4", 2, "?: in function <?:41>");
  struct function_name name = {0x1000, "_G", "open", 2, 4, 0};
  assert_true(vector_push(&thread.names, name));
  check_text(&thread, "5.4.4", 0, "[C]: in function 'open'"); /* package.loaded first ... */
  vector_free(&thread.names);
  mock_close(thread.mock);
  thread = make_thread("5.5.0");
  assert_true(vector_push(&thread.names, name));
  check_text(&thread, "5.5.0", 0, "[C]: in upvalue 'up'"); /* ... but code first in 5.5 */
  vector_free(&thread.names);
  mock_close(thread.mock);
}

static void test_kinds_of_calls(void **state) {
  (void)state;
  struct mock_thread thread = make_thread("5.4.3");
  const struct bytecode_family *family = bytecode_family(thread.layout, "5.4.4");
  set_status(&thread, 0, family->tail_bit);
  check_text(&thread, "5.4.4", 0, "[C]: in ?");
  set_status(&thread, 0, 0);
  set_status(&thread, 1, family->hook_bit);
  check_text(&thread, "5.4.4", 0, "[C]: in hook '?'");
  set_status(&thread, 1, family->finalizer_bit);
  check_text(&thread, "5.4.4", 0, "[C]: in metamethod '__gc'"); /* called by what is marked ... */
  check_text(&thread, "5.4.3", 1, "?: in metamethod '__gc'");   /* ... or up to 5.4.3 that itself */
  check_text(&thread, "5.4.3", 0, "[C]: in upvalue 'up'");
  mock_close(thread.mock);
}

static void test_damaged_function(void **state) {
  (void)state;
  struct mock_thread thread = make_thread("5.4.3");
  mock_value(thread.mock, slot(&thread, 10), TAG_LUA_FUNCTION | TAG_COLLECTABLE, 0x30);
  check_text(&thread, "5.4.4", 1, "?: in upvalue 'up'");
  check_text(&thread, "5.4.4", 0, "[C]: in ?"); /* its caller cannot be read */
  mock_value(thread.mock, slot(&thread, 16), TAG_INTEGER, 0x1000);
  check_text(&thread, "5.4.4", 0, "?: in ?");
  mock_close(thread.mock);
}

static void check_source(const char *source, const char *expected) {
  struct mock_thread thread = make_thread("5.4.3");
  mock_field(thread.mock, thread.prototype, Proto_source, mock_string(thread.mock, source));
  mock_field(thread.mock, thread.prototype, Proto_linedefined, 0);
  char text[200];
  snprintf(text, sizeof text, "%s: in main chunk", expected);
  check_text(&thread, "5.4.4", 2, text);
  mock_close(thread.mock);
}

#define TEN "0123456789"

static void test_sources(void **state) {
  (void)state;
  check_source("@room.lua", "room.lua");
  check_source("=stdin", "stdin");
  check_source("@", "");
  check_source("", "[string \"\"]");
  check_source("return 1", "[string \"return 1\"]");
  check_source("a\nb", "[string \"a...\"]");
  check_source("@" TEN TEN TEN TEN TEN TEN TEN, "..."
                                                "456789" TEN TEN TEN TEN TEN);
  check_source("=" TEN TEN TEN TEN TEN TEN TEN, TEN TEN TEN TEN TEN "012345678");
  check_source(TEN TEN TEN TEN TEN TEN TEN, "[string \"" TEN TEN TEN TEN "01234...\"]");
  check_source("@a\033[31m\177", "a\\u{001B}[31m\\u{007F}");
}

/* ---- Variables ---------------------------------------------------------------------------------
 */

/* Kinds, numbers and values of the variables of a level: "l1=11 t2=12 " */
static void check_locals(struct mock_thread *thread, size_t level, uint64_t most,
                         const char *expected, uint64_t more_expected) {
  struct traceback traceback;
  struct lua_locals locals = {0};
  uint64_t more;
  char text[400] = "";
  open_traceback(thread, "5.4.4", &traceback);
  assert_true(traceback_locals(&traceback, level, most, &locals, &more));
  for (size_t i = 0; i < locals.count; i++) {
    const struct lua_local *local = &locals.items[i];
    size_t used = strlen(text);
    snprintf(text + used, sizeof text - used, "%c%u=%u ", "lvt"[local->kind],
             (unsigned)local -> number, (unsigned)local -> value.bits);
  }
  assert_string_equal(text, expected);
  assert_int_equal(more, more_expected);
  vector_free(&locals);
  traceback_close(&traceback);
}

static void test_locals(void **state) {
  (void)state;
  struct mock_thread thread = make_thread("5.4.3");
  check_locals(&thread, 0, 99, "t1=17 t2=18 ", 0);
  check_locals(&thread, 1, 99, "l1=11 t2=12 t3=13 t4=14 t5=15 ", 0);
  check_locals(&thread, 1, 2, "l1=11 t2=12 ", 3);
  check_locals(&thread, 2, 99, "l1=3 t2=4 t3=5 t4=6 t5=7 t6=8 t7=9 ", 0);
  /* two extra arguments and one fixed parameter: the function was moved up by four */
  mock_field(thread.mock, thread.prototype, Proto_is_vararg, 1);
  mock_field(thread.mock, thread.prototype, Proto_numparams, 1);
  mock_field(thread.mock, thread.calls[1], CallInfo_nextraargs, 2);
  check_locals(&thread, 1, 99, "v1=8 v2=9 l1=11 t2=12 t3=13 t4=14 t5=15 ", 0);
  check_locals(&thread, 1, 1, "v1=8 ", 6);
  check_locals(&thread, 2, 99, "l1=3 t2=4 t3=5 ", 0);
  mock_close(thread.mock);
}

/* Above its variables a function that runs has stale slots. */
static void test_running(void **state) {
  (void)state;
  struct mock_thread thread = make_thread("5.4.3");
  mock_field(thread.mock, thread.address, lua_State_status, 0);
  mock_field(thread.mock, thread.calls[0], CallInfo_callstatus, 0);
  mock_value(thread.mock, slot(&thread, 16), TAG_LUA_FUNCTION | TAG_COLLECTABLE, thread.closure);
  mock_field(thread.mock, thread.calls[0], CallInfo_savedpc, thread.code + 8);
  check_locals(&thread, 0, 99, "l1=17 ", 0);
  mock_close(thread.mock);
}

static void test_error_and_main(void **state) {
  (void)state;
  struct mock_thread thread = make_thread("5.4.3");
  struct traceback traceback;
  struct lua_value value;
  open_traceback(&thread, NULL, &traceback);
  assert_false(traceback_error(&traceback, &value));
  assert_true(traceback_main(&traceback, &value));
  assert_int_equal(value.bits, thread.closure);
  traceback_close(&traceback);
  mock_field(thread.mock, thread.address, lua_State_status, 2);
  open_traceback(&thread, NULL, &traceback);
  assert_true(traceback_error(&traceback, &value));
  assert_int_equal(value.bits, 18);
  traceback_close(&traceback);
  mock_close(thread.mock);
}

/* ---- Native threads ----------------------------------------------------------------------------
 */

static void test_native_threads(void **state) {
  (void)state;
  static const uint8_t bytes[0x100];
  uint64_t words[0x20] = {[0x12] = 77, [0x1A] = 88, [0x1B] = 99};
  struct source_segment segments[] = {{0x1000, 0x1100, (const uint8_t *)words, true, false},
                                      {0x2000, 0x2100, bytes, true, false}};
  uint64_t registers[] = {77, 5};
  struct source_thread threads[] = {{.tid = 1, .stack_pointer = 0x1080},
                                    {.tid = 2, .stack_pointer = 0x10C0},
                                    {.tid = 3, .stack_pointer = 0x2080},
                                    {.tid = 4, .registers = registers, .register_count = 2}};
  struct source source = {.segments = segments,
                          .segment_count = 2,
                          .threads = threads,
                          .thread_count = 4,
                          .pointer_size = 8};
  assert_int_equal(native_thread_at(&source, 0x1080)->tid, 1);
  assert_int_equal(native_thread_at(&source, 0x10B8)->tid, 1);
  assert_int_equal(native_thread_at(&source, 0x10C8)->tid, 2);
  assert_int_equal(native_thread_at(&source, 0x20F8)->tid, 3);
  assert_null(native_thread_at(&source, 0x1040)); /* below the stack pointers */
  assert_null(native_thread_at(&source, 0x2078));
  assert_null(native_thread_at(&source, 0x3000));
  assert_null(native_thread_at(&source, 0));
  assert_int_equal(native_thread_with(&source, 5)->tid, 4);
  assert_null(native_thread_with(&source, 6));
  assert_null(native_thread_with(&source, 77)); /* two have it */
  assert_null(native_thread_with(NULL, 77));
}

/* ---- Hostile threads ---------------------------------------------------------------------------
 */

static uint64_t random_number(uint64_t *seed) {
  *seed ^= *seed << 13;
  *seed ^= *seed >> 7;
  *seed ^= *seed << 17;
  return *seed;
}

static void read_everything(struct mock_thread *thread, const char *release) {
  struct traceback traceback;
  struct arena arena;
  arena_init(&arena);
  const struct bytecode_family *family = bytecode_family(thread->layout, release);
  const char *fault =
      traceback_open(&traceback, &thread->mock->vm, family, &thread->names, thread->address);
  for (size_t i = 0; !fault && i < traceback.calls.count; i++) {
    struct lua_frame frame;
    struct lua_locals locals = {0};
    uint64_t more;
    assert_true(traceback_frame(&traceback, i, &arena, &frame));
    assert_non_null(frame.text);
    assert_true(traceback_locals(&traceback, i, 10, &locals, &more));
    assert_true(locals.count <= 10);
    vector_free(&locals);
  }
  struct lua_value value;
  (void)traceback_error(&traceback, &value);
  (void)traceback_main(&traceback, &value);
  traceback_close(&traceback);
  arena_free(&arena);
}

static void test_random_damage(void **state) {
  (void)state;
  static const char *const LAYOUTS[] = {"5.4.0", "5.4.2", "5.4.3", "5.5.0", "5.5.1"};
  uint64_t seed = 88172645463325252u;
  for (unsigned round = 0; round < 20000; round++) {
    struct mock_thread thread = make_thread(LAYOUTS[round % 5]);
    struct mock_lua *mock = thread.mock;
    const uint64_t PLACES[] = {thread.address,   thread.stack,   thread.calls[0], thread.calls[1],
                               thread.prototype, thread.closure, thread.code};
    for (unsigned i = 0; i < 1 + round % 6; i++) {
      uint64_t place = PLACES[random_number(&seed) % 7] + random_number(&seed) % 128;
      uint64_t value = random_number(&seed);
      if (round % 2) value = MOCK_BASE + value % MOCK_SIZE;
      if (place < MOCK_BASE + MOCK_SIZE - 8)
        mock_put(mock, place, value, 1u << (random_number(&seed) % 4));
    }
    read_everything(&thread, NULL);
    mock_close(mock);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_names),
      cmocka_unit_test(test_kinds_of_calls),
      cmocka_unit_test(test_damaged_function),
      cmocka_unit_test(test_sources),
      cmocka_unit_test(test_locals),
      cmocka_unit_test(test_running),
      cmocka_unit_test(test_error_and_main),
      cmocka_unit_test(test_native_threads),
      cmocka_unit_test(test_random_damage),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
