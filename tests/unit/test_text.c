/* test_text.c - escaping of target bytes, growing strings, Lua names. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/text.h"

static void check_escape(const char *bytes, size_t size, char quote, const char *expected) {
  struct text text = {0};
  assert_true(text_add_string(&text, "<"));
  assert_true(text_escape(&text, bytes, size, quote));
  assert_true(text_add_string(&text, ">"));
  assert_true(text_finish(&text));
  assert_int_equal(text.items[0], '<');
  assert_int_equal(text.items[text.count - 1], '>');
  text.items[text.count - 1] = '\0';
  assert_string_equal(text.items + 1, expected);
  vector_free(&text);
}

#define ESCAPE(literal, expected) check_escape(literal, sizeof(literal) - 1, '"', expected)

static void test_plain(void **state) {
  (void)state;
  ESCAPE("", "");
  ESCAPE("hello, 'world' ~", "hello, 'world' ~");
  ESCAPE("\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80");
  ESCAPE("\xed\x9f\xbf\xee\x80\x80\xf4\x8f\xbf\xbf", "\xed\x9f\xbf\xee\x80\x80\xf4\x8f\xbf\xbf");
}

static void test_lua_escapes(void **state) {
  (void)state;
  ESCAPE("a\nb\tc\rd\\e\"f", "a\\nb\\tc\\rd\\\\e\\\"f");
  check_escape("a\"b", 3, 0, "a\"b");
  check_escape("a'b\0", 4, '\'', "a\\'b\\u{0000}");
  check_escape("\0", 1, 0, "\\u{0000}");
}

static void test_controls(void **state) {
  (void)state;
  ESCAPE("\x1b[31m", "\\u{001B}[31m");
  ESCAPE("\x01\x08\x7f", "\\u{0001}\\u{0008}\\u{007F}");
  ESCAPE("\xc2\x80\xc2\x9b\xc2\x9f\xc2\xa0", "\\u{0080}\\u{009B}\\u{009F}\xc2\xa0");
}

static void test_invisible(void **state) {
  (void)state;
  static const uint32_t codes[] = {
      0x61c,  0x200b, 0x200c, 0x200d, 0x200e, 0x200f, 0x2028, 0x2029, 0x202a, 0x202b,
      0x202c, 0x202d, 0x202e, 0x2060, 0x2066, 0x2067, 0x2068, 0x2069, 0xfeff, 0xfff9,
  };
  for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
    uint32_t code = codes[i];
    char bytes[3] = {(char)(0xe0 | code >> 12), (char)(0x80 | (code >> 6 & 63)),
                     (char)(0x80 | (code & 63))};
    char pair[2] = {(char)(0xc0 | code >> 6), (char)(0x80 | (code & 63))};
    struct text expected = {0};
    assert_true(text_printf(&expected, "\\u{%04X}", (unsigned)code));
    assert_true(text_finish(&expected));
    if (code < 0x800)
      check_escape(pair, 2, 0, expected.items);
    else
      check_escape(bytes, 3, 0, expected.items);
    vector_free(&expected);
  }
  /* Neighbours of the ranges are visible. */
  ESCAPE("\xe2\x80\x8a\xe2\x80\x90\xe2\x80\xa7\xe2\x80\xaf",
         "\xe2\x80\x8a\xe2\x80\x90\xe2\x80\xa7\xe2\x80\xaf");
  ESCAPE("\xf3\xa0\x80\x81", "\\u{E0001}");
}

static void test_invalid(void **state) {
  (void)state;
  ESCAPE("\x80\xbf", "\\x80\\xBF");
  ESCAPE("\xc0\x80", "\\xC0\\x80");                   /* overlong NUL       */
  ESCAPE("\xc1\xbf", "\\xC1\\xBF");                   /* overlong           */
  ESCAPE("\xe0\x80\xaf", "\\xE0\\x80\\xAF");          /* overlong '/'       */
  ESCAPE("\xe0\x9f\xbf", "\\xE0\\x9F\\xBF");          /* overlong U+07FF    */
  ESCAPE("\xf0\x8f\xbf\xbf", "\\xF0\\x8F\\xBF\\xBF"); /* overlong U+FFFF    */
  ESCAPE("\xed\xa0\x80", "\\xED\\xA0\\x80");          /* surrogate          */
  ESCAPE("\xed\xbf\xbf", "\\xED\\xBF\\xBF");          /* surrogate          */
  ESCAPE("\xf4\x90\x80\x80", "\\xF4\\x90\\x80\\x80"); /* past U+10FFFF      */
  ESCAPE("\xf5\xff", "\\xF5\\xFF");
  ESCAPE("\xe2\x82", "\\xE2\\x82"); /* cut at the end     */
  ESCAPE("\xe2\x82z", "\\xE2\\x82z");
  ESCAPE("\xe2\x1b[m", "\\xE2\\u{001B}[m"); /* escape after lead  */
  ESCAPE("\xf0\x9f\x98\xc3\xa9", "\\xF0\\x9F\\x98\xc3\xa9");
}

/* Whatever comes in, printable ASCII or well-formed visible UTF-8 goes out. */
static void test_random(void **state) {
  (void)state;
  uint32_t seed = 1;
  for (int round = 0; round < 2000; round++) {
    char bytes[64];
    for (size_t i = 0; i < sizeof bytes; i++) {
      seed = seed * 1664525 + 1013904223;
      bytes[i] = (char)(seed >> 24);
    }
    struct text once = {0}, twice = {0};
    assert_true(text_escape(&once, bytes, sizeof bytes, 0));
    assert_true(text_escape(&twice, once.items, once.count, 0));
    size_t backslashes = 0;
    for (size_t i = 0; i < once.count; i++) {
      assert_true((unsigned char)once.items[i] >= ' ' && once.items[i] != 0x7f);
      backslashes += once.items[i] == '\\';
    }
    /* Escaping the result finds nothing but the backslashes of the first time. */
    assert_int_equal(twice.count, once.count + backslashes);
    vector_free(&once);
    vector_free(&twice);
  }
}

static void test_printf(void **state) {
  (void)state;
  struct text text = {0};
  for (int i = 0; i < 100; i++)
    assert_true(text_printf(&text, "%d,", i));
  assert_true(text_finish(&text));
  assert_int_equal(text.count, 10 * 2 + 90 * 3);
  assert_int_equal(strlen(text.items), text.count);
  assert_true(!strncmp(text.items + 20, "10,11,", 6));
  vector_free(&text);
}

static void test_columns(void **state) {
  (void)state;
  assert_int_equal(text_columns("", 0), 0);
  assert_int_equal(text_columns("abc", 3), 3);
  assert_int_equal(text_columns("\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80x", 10), 4);
}

static bool is_name(const char *name) { return text_is_name(name, strlen(name)); }

static void test_names(void **state) {
  (void)state;
  assert_true(is_name("a"));
  assert_true(is_name("_G"));
  assert_true(is_name("x1_Y"));
  assert_true(is_name("ends"));
  assert_true(is_name("En"));
  assert_false(is_name(""));
  assert_false(is_name("1a"));
  assert_false(is_name("a-b"));
  assert_false(is_name("a b"));
  assert_false(is_name("\xc3\xa9"));
  assert_false(is_name("end"));
  assert_false(is_name("goto"));
  assert_false(is_name("while"));
  assert_false(is_name("and"));
  assert_false(text_is_name("a\0", 2));
}

static void test_cut(void **state) {
  (void)state;
  assert_int_equal(text_cut(NULL, 0, 3), 0);
  assert_int_equal(text_cut("abc", 3, 3), 3);
  assert_int_equal(text_cut("abcd", 4, 3), 3);
  assert_int_equal(text_cut("abcd", 4, 0), 0);
  assert_int_equal(text_cut("ab\xc3\xa9", 4, 3), 2);
  assert_int_equal(text_cut("ab\xc3\xa9", 4, 4), 4);
  assert_int_equal(text_cut("ab\xc3\xa9z", 5, 4), 4);
  assert_int_equal(text_cut("a\xf0\x9f\x98\x80", 5, 4), 1);
  assert_int_equal(text_cut("\xf0\x9f\x98\x80", 4, 3), 0);
  assert_int_equal(text_cut("\x80\x80\x80\x80\x80\x80\x80", 7, 6), 6); /* no UTF-8 */
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_plain),    cmocka_unit_test(test_lua_escapes),
      cmocka_unit_test(test_controls), cmocka_unit_test(test_invisible),
      cmocka_unit_test(test_invalid),  cmocka_unit_test(test_random),
      cmocka_unit_test(test_printf),   cmocka_unit_test(test_columns),
      cmocka_unit_test(test_names),    cmocka_unit_test(test_cut),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
