/* test_bytecode.c - names of called functions from code written by hand, release by release, and
 * code that no compiler wrote. */
#include "lua/bytecode.h"

#include <stdio.h>

#include "mock_lua.h"

enum {
  MOVE = 0,
  LOADK = 3,
  LOADKX = 4,
  LOADNIL = 8,
  GETUPVAL = 9,
  GETTABUP = 11,
  GETTABLE = 12,
  GETI = 13,
  GETFIELD = 14,
  SETFIELD = 18,
  SELF = 20,
  ADD = 34,
  MMBIN = 46,
  JMP = 56,
  LT = 58,
  GTI = 64,
  CALL = 68,
  RETURN = 70,
  TFORCALL = 76,
  GETVARG_55 = 81,
  EXTRAARG_54 = 82,
  EXTRAARG_55 = 84,
  MOST_CODE = 16,
};

/* A function with the constants "name", "_ENV", 7, the upvalues _ENV and `up`, and one local
 * variable `it` in register 0, from instruction 1 on. */
struct function {
  struct mock_lua *mock;
  const struct bytecode_family *family;
  uint64_t prototype, code, constants;
  unsigned length;
};

static uint32_t abc(unsigned op, unsigned a, unsigned b, unsigned c) {
  return op | a << 7 | b << 16 | c << 24;
}

static uint32_t abc_k(unsigned op, unsigned a, unsigned b, unsigned c) {
  return abc(op, a, b, c) | 1u << 15;
}

static uint32_t abx(unsigned op, unsigned a, unsigned bx) { return op | a << 7 | bx << 15; }
static uint32_t jump(int by) { return JMP | (uint32_t)(by + 16777215) << 7; }

static void put_string(struct mock_lua *mock, uint64_t place, const char *text) {
  mock_value(mock, place, TAG_SHORT_STRING | TAG_COLLECTABLE, mock_string(mock, text));
}

static struct function make(const char *layout_name, const char *release) {
  const struct layout *layout = mock_layout(layout_name, 8);
  struct function function = {.mock = mock_open(layout)};
  struct mock_lua *mock = function.mock;
  function.family = bytecode_family(layout, release);
  function.prototype = mock_object(mock, TAG_PROTOTYPE, layout->size[SIZE_Proto]);
  function.code = mock_take(mock, MOST_CODE * 4);
  function.constants = mock_take(mock, 3 * (uint64_t)layout->size[SIZE_TValue]);
  put_string(mock, function.constants, "name");
  put_string(mock, function.constants + layout->size[SIZE_TValue], "_ENV");
  mock_value(mock, function.constants + 2 * (uint64_t)layout->size[SIZE_TValue], TAG_INTEGER, 7);
  uint64_t upvalues = mock_take(mock, 2 * (uint64_t)layout->size[SIZE_Upvaldesc]);
  mock_field(mock, upvalues, Upvaldesc_name, mock_string(mock, "_ENV"));
  mock_field(mock, upvalues + layout->size[SIZE_Upvaldesc], Upvaldesc_name,
             mock_string(mock, "up"));
  uint64_t local = mock_take(mock, layout->size[SIZE_LocVar]);
  mock_field(mock, local, LocVar_varname, mock_string(mock, "it"));
  mock_field(mock, local, LocVar_startpc, 1);
  mock_field(mock, local, LocVar_endpc, MOST_CODE);
  mock_field(mock, function.prototype, Proto_code, function.code);
  mock_field(mock, function.prototype, Proto_k, function.constants);
  mock_field(mock, function.prototype, Proto_sizek, 3);
  mock_field(mock, function.prototype, Proto_upvalues, upvalues);
  mock_field(mock, function.prototype, Proto_sizeupvalues, 2);
  mock_field(mock, function.prototype, Proto_locvars, local);
  mock_field(mock, function.prototype, Proto_sizelocvars, 1);
  return function;
}

static void add(struct function *function, uint32_t instruction) {
  mock_put(function->mock, function->code + 4 * function->length++, instruction, 4);
  mock_field(function->mock, function->prototype, Proto_sizecode, function->length);
}

/* "what name" of the last instruction, "" if there is none. */
static const char *last_name(const struct function *function) {
  static char text[80];
  struct code_name name;
  *text = 0;
  if (bytecode_call_name(&function->mock->vm, function->family,
                         mock_bytes(function->mock, function->prototype), function->length - 1,
                         &name))
    snprintf(text, sizeof text, "%s %.*s", name.what, (int)name.size, name.name);
  return text;
}

/* The name of a call of register 5 behind these instructions (0 ends them). */
static void check_call(const char *layout, const char *release, const char *expected,
                       const uint32_t *code) {
  struct function function = make(layout, release);
  add(&function, abc(LOADNIL, 0, 0, 0)); /* `it` */
  for (; *code; code++)
    add(&function, *code);
  add(&function, abc(CALL, 5, 1, 1));
  assert_string_equal(last_name(&function), expected);
  mock_close(function.mock);
}

#define CODE(...)                                                                                  \
  (const uint32_t[]) { __VA_ARGS__, 0 }

static void check_both(const char *expected, const uint32_t *code) {
  check_call("5.4.0", "5.4.0", expected, code);
  check_call("5.4.3", "5.4.8", expected, code);
  check_call("5.5.0", "5.5.0", expected, code);
}

static void test_origins(void **state) {
  (void)state;
  check_both("local it", CODE(abc(MOVE, 5, 0, 0)));
  check_both("upvalue up", CODE(abc(GETUPVAL, 5, 1, 0)));
  check_both("upvalue ?", CODE(abc(GETUPVAL, 5, 9, 0))); /* there is none */
  check_both("global name", CODE(abc(GETTABUP, 5, 0, 0)));
  check_both("field name", CODE(abc(GETTABUP, 5, 1, 0)));
  check_both("field name", CODE(abc(GETFIELD, 5, 0, 0)));
  check_both("field ?", CODE(abc(GETFIELD, 5, 0, 2)));  /* no string */
  check_both("field ?", CODE(abc(GETFIELD, 5, 0, 99))); /* no constant */
  check_both("field integer index", CODE(abc(GETI, 5, 0, 3)));
  check_both("constant name", CODE(abx(LOADK, 5, 0)));
  check_both("", CODE(abx(LOADK, 5, 2)));
  check_both("method name", CODE(abc_k(SELF, 5, 0, 0)));
  check_both("field name", CODE(abx(LOADK, 6, 0), abc(GETTABLE, 5, 0, 6)));
  check_both("field ?", CODE(abc(GETTABLE, 5, 0, 0)));
  check_both("upvalue up", CODE(abc(GETUPVAL, 3, 1, 0), abc(MOVE, 4, 3, 0), abc(MOVE, 5, 4, 0)));
  check_both("", CODE(abc(MOVE, 5, 6, 0))); /* only lower registers are variables */
  check_both("", CODE(abc(ADD, 5, 0, 0)));
  check_both("", CODE(abc(GETUPVAL, 4, 1, 0))); /* another register */
  check_call("5.4.3", "5.4.4", "constant name",
             CODE(abc(LOADKX, 5, 0, 0), EXTRAARG_54)); /* constant 0 */
  check_call("5.5.0", "5.5.0", "constant name", CODE(abc(LOADKX, 5, 0, 0), EXTRAARG_55));
}

static void test_setters(void **state) {
  (void)state;
  uint32_t up = abc(GETUPVAL, 5, 1, 0);
  check_both("upvalue up", CODE(up, abc(SETFIELD, 5, 0, 0)));
  check_both("", CODE(up, abc(LOADNIL, 4, 1, 0))); /* 4 and 5 */
  check_both("upvalue up", CODE(up, abc(LOADNIL, 6, 9, 0)));
  check_both("", CODE(up, abc(CALL, 4, 1, 1))); /* 4 and above */
  check_both("upvalue up", CODE(up, abc(CALL, 6, 1, 1)));
  check_both("", CODE(up, abc(TFORCALL, 3, 0, 1))); /* 5 and above */
  check_both("upvalue up", CODE(up, abc(TFORCALL, 4, 0, 1)));
  check_both("", CODE(jump(1), up)); /* may have been jumped over */
  check_both("upvalue up", CODE(jump(0), up));
  check_both("upvalue up", CODE(jump(9), up)); /* over the call, too */
  check_both("upvalue up", CODE(up, jump(-1)));
}

static void test_environments(void **state) {
  (void)state;
  /* a constant _ENV is indexed; a field _ENV is */
  const uint32_t *constant = CODE(abx(LOADK, 4, 1), abc(GETFIELD, 5, 4, 0));
  const uint32_t *field = CODE(abc(GETFIELD, 4, 0, 1), abc(GETFIELD, 5, 4, 0));
  const uint32_t *upvalue = CODE(abc(GETUPVAL, 4, 0, 0), abc(GETFIELD, 5, 4, 0));
  check_call("5.4.3", "5.4.6", "global name", constant);
  check_call("5.4.3", "5.4.6", "global name", field);
  check_call("5.4.3", "5.4.7", "global name", constant);
  check_call("5.4.3", "5.4.7", "field name", field);
  check_call("5.4.3", "5.4.8", "field name", constant);
  check_call("5.4.3", "5.4.8", "field name", field);
  check_both("global name", upvalue);
}

static void check_event(const char *layout, const char *release, uint32_t instruction,
                        const char *expected) {
  struct function function = make(layout, release);
  add(&function, instruction);
  assert_string_equal(last_name(&function), expected);
  mock_close(function.mock);
}

static void test_events(void **state) {
  (void)state;
  check_event("5.4.3", "5.4.4", abc(GETFIELD, 0, 0, 0), "metamethod index");
  check_event("5.4.3", "5.4.4", abc(SETFIELD, 0, 0, 0), "metamethod newindex");
  check_event("5.4.3", "5.4.4", abc(MMBIN, 0, 0, 6), "metamethod add");
  check_event("5.4.3", "5.4.4", abc(MMBIN, 0, 0, 200), "");
  check_event("5.4.3", "5.4.4", abc(LT, 0, 0, 0), "metamethod lt");
  check_event("5.4.3", "5.4.4", abc(GTI, 0, 0, 0), "metamethod lt");
  check_event("5.4.3", "5.4.4", abc(RETURN, 0, 0, 0), "metamethod close");
  check_event("5.4.2", "5.4.2", abc(LT, 0, 0, 0), "metamethod order");
  check_event("5.4.2", "5.4.2", abc(GTI, 0, 0, 0), "");
  check_event("5.4.3", "5.4.4", abc(TFORCALL, 0, 0, 0), "for iterator for iterator");
  check_event("5.4.3", "5.4.4", abc(ADD, 0, 0, 0), ""); /* MMBIN behind it calls */
  check_event("5.4.3", "5.4.4", 127, "");
}

/* 5.5 numbers the last opcodes anew; a method's name is always a constant there. */
static void test_families(void **state) {
  (void)state;
  const uint32_t *vararg = CODE(abx(LOADK, 6, 0), abc(GETVARG_55, 5, 0, 6));
  check_call("5.5.0", "5.5.0", "", vararg);
  check_call("5.5.1", "5.5.1", "field name", vararg);
  const uint32_t *method = CODE(abx(LOADK, 6, 0), abc(SELF, 5, 0, 6));
  check_call("5.4.3", "5.4.6", "method name", method);
  check_call("5.5.0", "5.5.0", "method ?", method);
}

static void test_choice_of_family(void **state) {
  (void)state;
  static const struct {
    const char *layout, *release;
    unsigned family;
  } ROWS[] = {
      {"5.4.0", "5.4.0", 50400}, {"5.4.0", NULL, 50400},    {"5.4.1", NULL, 50400},
      {"5.4.2", NULL, 50402},    {"5.4.3", "5.4.3", 50403}, {"5.4.3", "5.4.4", 50404},
      {"5.4.3", "5.4.6", 50404}, {"5.4.3", "5.4.7", 50407}, {"5.4.3", "5.4.9", 50408},
      {"5.4.3", NULL, 50408},    {"5.4.3", "5.5.0", 50408}, {"5.4.3", "5.4", 50408},
      {"5.4.3", "5.4.x", 50408}, {"5.4.3", "99999", 50408}, {"5.5.0", "5.5.0", 50500},
      {"5.5.0", NULL, 50500},    {"5.5.1", NULL, 50501},    {"5.5.1", "5.5.2", 50501},
      {"5.5.1", "5.4.9", 50501}, {"5.5.1", "5.5.1", 50501},
  };
  for (size_t i = 0; i < sizeof ROWS / sizeof *ROWS; i++) {
    const struct layout *layout = mock_layout(ROWS[i].layout, 8);
    assert_int_equal(bytecode_family(layout, ROWS[i].release)->release, ROWS[i].family);
  }
}

/* ---- Hostile code ---------------------------------------------------------------------------- */

static uint64_t random_number(uint64_t *seed) {
  *seed ^= *seed << 13;
  *seed ^= *seed >> 7;
  *seed ^= *seed << 17;
  return *seed;
}

/* A name leads into the target's memory or is ours. */
static void check_name(const struct function *function, const struct code_name *name) {
  const char *start = (const char *)function->mock->bytes;
  bool is_inside = name->name >= start && name->name < start + MOCK_SIZE;
  assert_non_null(name->what);
  if (is_inside)
    assert_true(name->size <= (size_t)(start + MOCK_SIZE - name->name));
  else
    assert_int_equal(name->size, strlen(name->name));
}

static void test_random_code(void **state) {
  (void)state;
  static const char *const LAYOUTS[] = {"5.4.0", "5.4.3", "5.5.0", "5.5.1"};
  static const enum layout_field COUNTS[] = {Proto_sizecode, Proto_sizek, Proto_sizeupvalues,
                                             Proto_sizelocvars};
  static const enum layout_field PLACES[] = {Proto_code, Proto_k, Proto_upvalues, Proto_locvars};
  uint64_t seed = 88172645463325252u;
  unsigned named = 0;
  for (unsigned round = 0; round < 20000; round++) {
    struct function function = make(LAYOUTS[round % 4], NULL);
    struct mock_lua *mock = function.mock;
    for (unsigned i = 0; i < MOST_CODE; i++) {
      uint32_t word = (uint32_t)random_number(&seed);
      if (i + 1 == MOST_CODE) word = abc(CALL, word >> 7 & 7, 0, 0);
      /* few registers, so that one instruction often needs another */
      add(&function, word & (round % 3 ? 0xFF0783FF : 0xFFFFFFFF));
    }
    if (round % 2) {
      unsigned which = (unsigned)(random_number(&seed) % 4);
      mock_field(mock, function.prototype, COUNTS[which], random_number(&seed) >> 40);
      mock_field(mock, function.prototype, PLACES[which],
                 MOCK_BASE + random_number(&seed) % (MOCK_SIZE + 64));
    }
    struct code_name name;
    uint64_t pc = round % 5 ? MOST_CODE - 1 : random_number(&seed) % (2 * MOST_CODE);
    if (bytecode_call_name(&mock->vm, function.family, mock_bytes(mock, function.prototype), pc,
                           &name)) {
      check_name(&function, &name);
      named++;
    }
    mock_close(mock);
  }
  assert_true(named > 1000); /* else this tests nothing */
}

/* Each move leads to a lower register: there cannot be more than there are registers. */
static void test_chain_of_moves(void **state) {
  (void)state;
  struct function function = make("5.4.3", NULL);
  struct mock_lua *mock = function.mock;
  uint64_t code = mock_take(mock, 0x8000);
  for (unsigned i = 0; i < 0x2000; i++) {
    unsigned a = i / 32 % 256;
    mock_put(mock, code + 4 * i, abc(MOVE, a, a ? a - 1 : 0, 0), 4);
  }
  mock_put(mock, code + 4 * 0x1FFF, abc(CALL, 255, 0, 0), 4);
  mock_field(mock, function.prototype, Proto_code, code);
  mock_field(mock, function.prototype, Proto_sizecode, 0x2000);
  const uint8_t *prototype = mock_bytes(mock, function.prototype);
  mock_field(mock, load_field(mock->vm.layout, prototype, Proto_locvars), LocVar_endpc, 0x2000);
  struct code_name name;
  assert_true(bytecode_call_name(&mock->vm, function.family, prototype, 0x1FFF, &name));
  assert_string_equal(name.what, "local"); /* 255 moves lead to `it` */
  mock_close(mock);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_origins),      cmocka_unit_test(test_setters),
      cmocka_unit_test(test_environments), cmocka_unit_test(test_events),
      cmocka_unit_test(test_families),     cmocka_unit_test(test_choice_of_family),
      cmocka_unit_test(test_random_code),  cmocka_unit_test(test_chain_of_moves),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
