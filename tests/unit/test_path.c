/* test_path.c - path expressions: every form, every complaint, and print/parse as inverses on
 * random paths and on garbage. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "command/path.h"

static struct arena arena;

static int set_up(void **state) {
  (void)state;
  arena_init(&arena);
  return 0;
}

static int tear_down(void **state) {
  (void)state;
  arena_free(&arena);
  return 0;
}

static struct path parse(const char *text) {
  struct path path;
  struct inspect_error *error = path_parse(&arena, text, &path);
  if (error) fail_msg("%s: %s", text, error->message);
  assert_true(path.count > 0);
  return path;
}

static const char *print(const struct path *path) {
  struct text text = {0};
  assert_true(path_format(path, &text));
  const char *result = arena_copy(&arena, text.items, text.count);
  vector_free(&text);
  return result;
}

static bool steps_equal(const struct path_step *a, const struct path_step *b) {
  if (a->kind != b->kind || a->form != b->form || a->level != b->level) return false;
  switch (a->form) {
  case LABEL_TEXT:
    return a->size == b->size && memcmp(a->text, b->text, a->size) == 0;
  case LABEL_INTEGER:
  case LABEL_BOOLEAN:
    return a->integer == b->integer;
  case LABEL_NUMBER:
    return a->number == b->number;
  case LABEL_POINTER:
    return a->address == b->address;
  default:
    return true;
  }
}

static void assert_paths_equal(const struct path *a, const struct path *b, const char *shown) {
  if (a->count != b->count) fail_msg("%zu and %zu steps: %s", a->count, b->count, shown);
  for (size_t i = 0; i < a->count; i++)
    if (!steps_equal(&a->steps[i], &b->steps[i])) fail_msg("step %zu differs: %s", i, shown);
}

/* Parses, prints, compares with `printed`, and parses again. */
static void check(const char *typed, const char *printed) {
  struct path path = parse(typed);
  const char *text = print(&path);
  assert_string_equal(text, printed);
  struct path again = parse(text);
  assert_paths_equal(&path, &again, text);
}

static void check_text(const struct path_step *step, enum path_step_kind kind, const char *text,
                       size_t size) {
  assert_int_equal(step->kind, kind);
  assert_int_equal(step->form, LABEL_TEXT);
  assert_int_equal(step->size, size);
  assert_memory_equal(step->text, text, size);
}

static void test_roots(void **state) {
  (void)state;
  assert_int_equal(parse("_G").steps[0].kind, PATH_GLOBALS);
  assert_int_equal(parse("_G").count, 1);
  assert_int_equal(parse("registry[3]").steps[0].kind, PATH_REGISTRY);
  struct path path = parse("package.loaded[\"game.room\"].join");
  assert_int_equal(path.count, 3);
  assert_int_equal(path.steps[0].kind, PATH_LOADED);
  check_text(&path.steps[1], PATH_FIELD, "game.room", 9);
  check_text(&path.steps[2], PATH_FIELD, "join", 4);
  assert_int_equal(parse("package.loaded.x").steps[0].kind, PATH_LOADED);
  assert_int_equal(parse("package.loaded.x").count, 2);
  path = parse("package.path"); /* an ordinary global */
  assert_int_equal(path.steps[0].kind, PATH_GLOBALS);
  assert_int_equal(path.count, 3);
  path = parse("npcs[42]");
  assert_int_equal(path.steps[0].kind, PATH_GLOBALS);
  check_text(&path.steps[1], PATH_FIELD, "npcs", 4);
  assert_int_equal(path.steps[2].integer, 42);
  path = parse("0x55d0c0ffee");
  assert_int_equal(path.steps[0].kind, PATH_ADDRESS);
  assert_int_equal(path.steps[0].address, 0x55d0c0ffee);
  path = parse("@17.owner");
  assert_int_equal(path.steps[0].kind, PATH_ENTRY);
  assert_int_equal(path.steps[0].integer, 17);
  /* Names that only begin like a root are globals. */
  check_text(&parse("_Gx").steps[1], PATH_FIELD, "_Gx", 3);
  check_text(&parse("registry2").steps[1], PATH_FIELD, "registry2", 9);
  check_text(&parse("package.loaded2").steps[2], PATH_FIELD, "loaded2", 7);
}

static void test_strings(void **state) {
  (void)state;
  check_text(&parse("_G[\"a b\"]").steps[1], PATH_FIELD, "a b", 3);
  check_text(&parse("_G['a\"b']").steps[1], PATH_FIELD, "a\"b", 3);
  check_text(&parse("_G[\"\"]").steps[1], PATH_FIELD, "", 0);
  check_text(&parse("_G[\"\\x41\\065\\u{41}\\z   B\\0C\"]").steps[1], PATH_FIELD, "AAAB\0C", 6);
  check_text(&parse("_G[\"\\a\\b\\f\\n\\r\\t\\v\\\\\\\"\\'\"]").steps[1], PATH_FIELD,
             "\a\b\f\n\r\t\v\\\"'", 10);
  check_text(&parse("_G[\"\\u{20AC}\\u{7FFFFFFF}\\u{10FFFF}\"]").steps[1], PATH_FIELD,
             "\xe2\x82\xac\xfd\xbf\xbf\xbf\xbf\xbf\xf4\x8f\xbf\xbf", 13);
  check_text(&parse("_G[\"\\xff\\255]\"]").steps[1], PATH_FIELD, "\xff\xff]", 3);
  check_text(&parse("_G[\"]\\\"].x[\"]").steps[1], PATH_FIELD, "]\"].x[", 6);
  check_text(&parse("_G[ \"x\" ]").steps[1], PATH_FIELD, "x", 1);
}

static void check_integer(const char *text, int64_t value) {
  const struct path_step *step = &parse(text).steps[1];
  assert_int_equal(step->form, LABEL_INTEGER);
  assert_true(step->integer == value);
}

static void check_number(const char *text, double value) {
  const struct path_step *step = &parse(text).steps[1];
  assert_int_equal(step->form, LABEL_NUMBER);
  assert_true(step->number == value);
}

static void test_keys(void **state) {
  (void)state;
  check_integer("_G[42]", 42);
  check_integer("_G[-1]", -1);
  check_integer("_G[1e3]", 1000);
  check_integer("_G[42.0]", 42);
  check_integer("_G[9223372036854775807]", INT64_MAX);
  check_integer("_G[-9223372036854775808]", INT64_MIN);
  check_number("_G[9223372036854775808]", 0x1p63);
  check_number("_G[1.5]", 1.5);
  check_number("_G[-.5e-3]", -.5e-3);
  check_number("_G[1e9999]", HUGE_VAL);
  assert_int_equal(parse("_G[true]").steps[1].form, LABEL_BOOLEAN);
  assert_int_equal(parse("_G[true]").steps[1].integer, 1);
  assert_int_equal(parse("_G[false]").steps[1].integer, 0);
  const struct path_step *step = &parse("_G[0x7fffdeadbeef]").steps[1];
  assert_int_equal(step->form, LABEL_POINTER);
  assert_true(step->address == 0x7fffdeadbeef);
  assert_true(parse("_G[0xffffffffffffffff]").steps[1].address == UINT64_MAX);
}

static void test_accessors(void **state) {
  (void)state;
  struct path path = parse("f:upvalue(rooms):upvalue(2):metatable:env:value:uservalue(3)");
  check_text(&path.steps[2], PATH_UPVALUE, "rooms", 5);
  assert_int_equal(path.steps[3].kind, PATH_UPVALUE);
  assert_int_equal(path.steps[3].integer, 2);
  assert_int_equal(path.steps[4].kind, PATH_METATABLE);
  assert_int_equal(path.steps[5].kind, PATH_ENV);
  assert_int_equal(path.steps[6].kind, PATH_VALUE);
  assert_int_equal(path.steps[7].kind, PATH_USERVALUE);
  assert_int_equal(path.steps[7].integer, 3);
  path = parse("co:local(buffer):local(2):local(0, x):local(3,4):local(\"(for state)\")");
  check_text(&path.steps[2], PATH_LOCAL, "buffer", 6);
  assert_int_equal(path.steps[2].level, PATH_ANY_LEVEL);
  assert_int_equal(path.steps[3].integer, 2);
  assert_int_equal(path.steps[3].level, PATH_ANY_LEVEL);
  check_text(&path.steps[4], PATH_LOCAL, "x", 1);
  assert_int_equal(path.steps[4].level, 0);
  assert_int_equal(path.steps[5].level, 3);
  assert_int_equal(path.steps[5].integer, 4);
  check_text(&path.steps[6], PATH_LOCAL, "(for state)", 11);
  path = parse("t:key(\"k\"):key(0x10):key(7):key(1.5):key(true)");
  check_text(&path.steps[2], PATH_KEY, "k", 1);
  assert_int_equal(path.steps[3].form, LABEL_POINTER);
  assert_int_equal(path.steps[4].integer, 7);
  assert_int_equal(path.steps[6].form, LABEL_BOOLEAN);
  assert_int_equal(parse("f:prototype").steps[2].form, LABEL_NONE);
  assert_int_equal(parse("f:prototype:prototype(2)").steps[3].integer, 2);
  assert_int_equal(parse("f:constant(2)").steps[2].kind, PATH_CONSTANT);
  assert_int_equal(parse("f:stack(2)").steps[2].kind, PATH_STACK);
}

static void test_printing(void **state) {
  (void)state;
  check("npcs[42].owner", "_G.npcs[42].owner");
  check("package.loaded.x", "package.loaded.x");
  check("_G.package.loaded.x", "_G.package.loaded.x");
  check("package.loaded['game.room']", "package.loaded[\"game.room\"]");
  check("_G['end'].x", "_G[\"end\"].x");
  check("_G[\"\\x1b[31m\"]", "_G[\"\\u{001B}[31m\"]");
  check("_G['\"']", "_G[\"\\\"\"]");
  check("_G[\"\\xff\"]", "_G[\"\\xFF\"]");
  check("registry[ 3 ] :metatable", "registry[3]:metatable");
  check("0X00AB[true][false][-7][0.1]", "0xab[true][false][-7][0.1]");
  check("_G[-1e9999][1e300]", "_G[-1e9999][1e+300]");
  check("@3:local( 2 , x ):local(\"a b\"):local(5)", "@3:local(2,x):local(\"a b\"):local(5)");
  check("f:prototype:prototype(3):constant(1)", "_G.f:prototype:prototype(3):constant(1)");
  check("f:prototype:debugname( 2 )", "_G.f:prototype:debugname(2)");
  check("t:key('k'):key(0x1F)", "_G.t:key(\"k\"):key(0x1f)");
}

/* The whole message, so that a wrong column is seen. */
static void check_error(const char *text, const char *message) {
  struct path path;
  struct inspect_error *error = path_parse(&arena, text, &path);
  if (!error) fail_msg("%s was accepted", text);
  assert_int_equal(error->code, INSPECT_ERROR_USAGE);
  assert_string_equal(error->message, message);
  assert_non_null(error->hint);
  inspect_error_free(error);
}

#define A_ROOT "expected a global's name, _G, registry, package.loaded, 0x... or @N"
#define A_KEY  "expected a key (\"text\", 42, 1.5, true, 0x55...)"

static void test_errors(void **state) {
  (void)state;
  check_error("", A_ROOT " at column 1 of an empty path");
  check_error("42", A_ROOT " at column 1 of 42");
  check_error("[1]", A_ROOT " at column 1 of [1]");
  check_error("npcs[42.owner", "expected ']' at column 9 of npcs[42.owner");
  check_error("npcs[42 .owner", "expected ']' at column 9 of npcs[42 .owner");
  check_error("npcs[", A_KEY " at column 6 of npcs[");
  check_error("npcs[]", A_KEY " at column 6 of npcs[]");
  check_error("npcs[nil]", A_KEY " at column 6 of npcs[nil]");
  check_error("npcs[name]", A_KEY " at column 6 of npcs[name]");
  check_error("npcs[--5]", "expected a key at column 6 of npcs[--5]");
  check_error("npcs[\"x]", "expected a closing \" at column 9 of npcs[\"x]");
  check_error("npcs['x\\", "expected a closing ' at column 9 of npcs['x\\\\");
  check_error("npcs[\"\\xg0\"]",
              "expected two hexadecimal digits at column 9 of npcs[\"\\\\xg0\"]");
  check_error("n[\"\\256\"]", "expected a byte from 0 to 255 at column 5 of n[\"\\\\256\"]");
  check_error("n[\"\\u{80000000}\"]",
              "expected a code point below 80000000 at column 7 of n[\"\\\\u{80000000}\"]");
  check_error("n[\"\\q\"]", "expected a Lua escape (\\n, \\\", \\x41, \\065, \\u{41} or \\z) at "
                            "column 5 of n[\"\\\\q\"]");
  check_error("npcs.", "expected a name at column 6 of npcs.");
  check_error("npcs.42", "expected a name at column 6 of npcs.42");
  check_error("npcs)", "expected '.', '[' or ':' at column 5 of npcs)");
  check_error("0x", "expected a hexadecimal digit at column 3 of 0x");
  check_error("0x12g", "expected a hexadecimal digit at column 5 of 0x12g");
  check_error("0x10000000000000000",
              "expected an address of at most 64 bits at column 1 of 0x10000000000000000");
  check_error("@0", "expected a number from 1 on at column 2 of @0");
  check_error("@", "expected a number from 1 on at column 2 of @");
  check_error("@99999999999999999999",
              "expected a number from 1 on at column 2 of @99999999999999999999");
  check_error("f:upvalue", "expected '(' at column 10 of f:upvalue");
  check_error("f:upvalue(", "expected a name or a number at column 11 of f:upvalue(");
  check_error("f:upvalue(0)", "expected a number from 1 on at column 11 of f:upvalue(0)");
  check_error("f:upvalue(x", "expected ')' at column 12 of f:upvalue(x");
  check_error("f:local(1,)", "expected a name or a number at column 11 of f:local(1,)");
  check_error("f:metatabel",
              "expected metatable, upvalue, local, key, env, uservalue, value, stack, "
              "constant, prototype or debugname at column 3 of f:metatabel");
  /* Columns count characters; what is shown is escaped and not endless. */
  check_error("gr\xc3\xb6\xc3\x9f"
              "e!",
              "expected '.', '[' or ':' at column 6 of gr\xc3\xb6\xc3\x9f"
              "e!");
  check_error("a\x1b[31m", "expected '.', '[' or ':' at column 2 of a\\u{001B}[31m");
  check_error(
      "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!",
      "expected '.', '[' or ':' at column 84 of "
      "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa...");
}

/* ---- Random paths ---------------------------------------------------------------------------- */

static uint64_t seed = 88172645463325252u;

static uint64_t roll(uint64_t below) {
  seed ^= seed << 13;
  seed ^= seed >> 7;
  seed ^= seed << 17;
  return seed % below;
}

static void random_text(struct path_step *step) {
  static const char names[] = "ab_Z09";
  step->form = LABEL_TEXT;
  step->size = roll(9);
  char *bytes = arena_alloc(&arena, step->size + 1);
  bool is_plain = roll(2);
  for (size_t i = 0; i < step->size; i++)
    bytes[i] = is_plain ? names[roll(6)] : (char)roll(256);
  step->text = bytes;
}

static void random_key(struct path_step *step) {
  switch (roll(6)) {
  case 0:
    step->form = LABEL_INTEGER, step->integer = (int64_t)(seed >> roll(64));
    break;
  case 1:
    step->form = LABEL_BOOLEAN, step->integer = (int64_t)roll(2);
    break;
  case 2:
    step->form = LABEL_POINTER, step->address = seed >> roll(64);
    break;
  case 3:
    do {
      memcpy(&step->number, &(uint64_t){(roll(1 << 30), seed)}, 8);
    } while (isnan(step->number) || step->number == floor(step->number));
    step->form = LABEL_NUMBER;
    break;
  default:
    random_text(step);
  }
}

static void random_name_or_count(struct path_step *step) {
  if (roll(2)) {
    step->form = LABEL_INTEGER;
    step->integer = (int64_t)(1 + roll(1000));
  } else {
    random_text(step);
  }
}

static struct path_step random_step(void) {
  struct path_step step = {.kind = (enum path_step_kind)(PATH_FIELD + roll(10)),
                           .level = PATH_ANY_LEVEL};
  switch (step.kind) {
  case PATH_FIELD:
  case PATH_KEY:
    random_key(&step);
    break;
  case PATH_LOCAL:
    if (roll(2)) step.level = (int64_t)roll(200);
    random_name_or_count(&step);
    break;
  case PATH_UPVALUE:
    random_name_or_count(&step);
    break;
  case PATH_METATABLE:
  case PATH_ENV:
  case PATH_VALUE:
    break;
  default:
    step.form = LABEL_INTEGER;
    step.integer = (int64_t)(1 + roll(1000));
  }
  return step;
}

static void test_print_and_parse_are_inverse(void **state) {
  (void)state;
  for (int round = 0; round < 20000; round++) {
    struct path_step steps[8];
    size_t count = 1 + roll(8);
    steps[0] = (struct path_step){.kind = (enum path_step_kind)roll(5), .level = PATH_ANY_LEVEL};
    if (steps[0].kind == PATH_ADDRESS) steps[0].form = LABEL_POINTER, steps[0].address = seed;
    if (steps[0].kind == PATH_ENTRY) steps[0].form = LABEL_INTEGER, steps[0].integer = 5;
    for (size_t i = 1; i < count; i++)
      steps[i] = random_step();
    struct path path = {.steps = steps, .count = count};
    const char *text = print(&path);
    for (const char *byte = text; *byte; byte++)
      assert_true((unsigned char)*byte >= 0x20 && *byte != 0x7f);
    struct path again = parse(text);
    assert_paths_equal(&path, &again, text);
    if (round % 100 == 0) {
      arena_free(&arena);
      arena_init(&arena);
    }
  }
}

/* Whatever is typed: an error with a sentence, or a path that survives printing. */
static void test_garbage(void **state) {
  (void)state;
  static const char *pieces[] = {"_G",     "registry",  "package.loaded",
                                 "@",      "0x",        "1e9",
                                 "[",      "]",         "(",
                                 ")",      ":",         ":upvalue",
                                 ":key",   ":env",      "local",
                                 "'",      "\"",        "\\",
                                 "\\u{",   "\\x",       "\\z",
                                 "}",      ",",         ".",
                                 "-",      "9999999",   "true",
                                 "false",  " ",         "a",
                                 "f",      "\x80",      "\xff",
                                 "\n",     "\x1b",      ":local",
                                 "(1,",    "1",         "\\0",
                                 ":stack", ":prototype"};
  for (int round = 0; round < 50000; round++) {
    char text[512] = "";
    for (size_t i = roll(20); i > 0; i--)
      strcat(text, pieces[roll(sizeof pieces / sizeof *pieces)]);
    struct path path;
    struct inspect_error *error = path_parse(&arena, text, &path);
    if (error) {
      assert_int_equal(error->code, INSPECT_ERROR_USAGE);
      assert_non_null(strstr(error->message, " at column "));
      inspect_error_free(error);
    } else {
      const char *printed = print(&path);
      struct path again = parse(printed);
      assert_paths_equal(&path, &again, printed);
    }
    if (round % 100 == 0) {
      arena_free(&arena);
      arena_init(&arena);
    }
  }
}

static void test_decimal_comma(void **state) {
  (void)state;
  static const char *locales[] = {"de_DE.UTF-8", "de_DE.utf8", "fr_FR.UTF-8", "de_DE"};
  bool is_set = false;
  for (size_t i = 0; i < sizeof locales / sizeof *locales && !is_set; i++)
    is_set = setlocale(LC_ALL, locales[i]) != NULL;
  if (!is_set) skip();
  check("_G[1.5]", "_G[1.5]");
  setlocale(LC_ALL, "C");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(test_roots, set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_strings, set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_keys, set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_accessors, set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_printing, set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_errors, set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_print_and_parse_are_inverse, set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_garbage, set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_decimal_comma, set_up, tear_down),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
