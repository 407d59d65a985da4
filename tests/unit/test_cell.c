/* test_cell.c - what each type of value looks like on the page. */
#include "rendering.h"

#include <math.h>

static void check_cell(struct cell cell, const char *expected) {
  struct arena arena;
  arena_init(&arena);
  const char *shown = render_cell(&arena, cell);
  assert_non_null(shown);
  assert_string_equal(shown, expected);
  arena_free(&arena);
}

static void test_counts(void **state) {
  (void)state;
  check_cell(cell_count(0), "0");
  check_cell(cell_count(999), "999");
  check_cell(cell_count(1000), "1,000");
  check_cell(cell_count(1234567), "1,234,567");
  check_cell(cell_count(UINT64_MAX), "18,446,744,073,709,551,615");
  check_cell(cell_integer(-1234), "-1,234");
  check_cell(cell_integer(-999), "-999");
  check_cell(cell_integer(1234), "1,234");
  check_cell(cell_integer(INT64_MIN), "-9,223,372,036,854,775,808");
  check_cell(cell_plain(4711), "4711");
  check_cell(cell_address(0x55d0c0ffee), "0x55d0c0ffee");
  check_cell(cell_address(0), "0x0");
  check_cell(cell_boolean(true), "yes");
  check_cell(cell_boolean(false), "no");
  check_cell(cell_null(), "-");
}

static void test_bytes(void **state) {
  (void)state;
  check_cell(cell_bytes(0), "0 B");
  check_cell(cell_bytes(999), "999 B");
  check_cell(cell_bytes(1000), "1.0 KB");
  check_cell(cell_bytes(1234), "1.2 KB");
  check_cell(cell_bytes(1250), "1.3 KB");
  check_cell(cell_bytes(99949), "99.9 KB");
  check_cell(cell_bytes(99950), "100 KB");
  check_cell(cell_bytes(999499), "999 KB");
  check_cell(cell_bytes(999500), "1.0 MB");
  check_cell(cell_bytes(61400000), "61.4 MB");
  check_cell(cell_bytes(481000000), "481 MB");
  check_cell(cell_bytes(UINT64_C(38200000000)), "38.2 GB");
  check_cell(cell_bytes(UINT64_MAX), "18.4 EB");
}

static void test_durations(void **state) {
  (void)state;
  check_cell(cell_duration(0), "0 s");
  check_cell(cell_duration(0.3), "0.3 s");
  check_cell(cell_duration(9.96), "10 s");
  check_cell(cell_duration(45), "45 s");
  check_cell(cell_duration(59.7), "1 min");
  check_cell(cell_duration(4 * 60 + 10), "4 min");
  check_cell(cell_duration(59 * 60 + 45), "1 h");
  check_cell(cell_duration(2 * 3600 + 3 * 60), "2 h 3 min");
  check_cell(cell_duration(6 * 3600 + 12 * 60), "6 h 12 min");
  check_cell(cell_duration(24 * 3600 - 1), "1 d");
  check_cell(cell_duration(3 * 86400 + 4 * 3600), "3 d 4 h");
  check_cell(cell_duration(1e300), "1e+300 s");
  check_cell(cell_duration(-1), "-");
  check_cell(cell_duration(NAN), "-");
  check_cell(cell_duration(INFINITY), "-");
}

static void test_ratios(void **state) {
  (void)state;
  check_cell(cell_ratio(0), "0 %");
  check_cell(cell_ratio(1e-9), "<0.1 %");
  check_cell(cell_ratio(0.0004), "<0.1 %");
  check_cell(cell_ratio(0.0005), "0.1 %");
  check_cell(cell_ratio(0.004), "0.4 %");
  check_cell(cell_ratio(0.0096), "1 %");
  check_cell(cell_ratio(0.62), "62 %");
  check_cell(cell_ratio(0.994), "99 %");
  check_cell(cell_ratio(0.996), "99.6 %");
  check_cell(cell_ratio(0.9999999), ">99.9 %");
  check_cell(cell_ratio(1), "100 %");
  check_cell(cell_ratio(2.5), "250 %");
  check_cell(cell_ratio(NAN), "-");
}

static void test_numbers_and_times(void **state) {
  (void)state;
  check_cell(cell_number(1.5), "1.5");
  check_cell(cell_number(3), "3");
  check_cell(cell_number(0.1), "0.1");
  check_cell(cell_number(-INFINITY), "-inf");
  check_cell(cell_number(-NAN), "nan");
  check_cell(cell_time(1795362662.7), "2026-11-22 15:51:02 UTC");
  check_cell(cell_time(-1), "1969-12-31 23:59:59 UTC");
  check_cell(cell_time(1e300), "1e+300 s since 1970");
  check_cell(cell_time(NAN), "-");
}

/* A debugger may have set a locale whose decimal point is a comma. */
static void test_locale(void **state) {
  (void)state;
  if (!comma_locale()) skip();
  check_cell(cell_number(1.5), "1.5");
  check_cell(cell_bytes(1234), "1.2 KB");
  check_cell(cell_duration(0.3), "0.3 s");
  setlocale(LC_ALL, "C");
}

static void test_text(void **state) {
  (void)state;
  check_cell(cell_words("as \\ it is"), "as \\ it is");
  check_cell(cell_words(NULL), "-");
  check_cell(cell_text(NULL, 0), "-");
  check_cell(cell_text("", 0), "\"\"");
  check_cell(cell_text("a\"b\\c\n\0", 7), "\"a\\\"b\\\\c\\n\\u{0000}\"");
  check_cell(cell_bare("a\"b\n", 4), "a\"b\\n");
  check_cell(cell_text("\033[31m\x9b\xc2\x9b", 8), "\"\\u{001B}[31m\\x9B\\u{009B}\"");
}

static void test_long_text(void **state) {
  (void)state;
  char bytes[1000];
  memset(bytes, 'x', sizeof bytes);
  check_cell(cell_text(bytes, 58),
             "\"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\"");
  check_cell(cell_text(bytes, 59),
             "\"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\"…");
  check_cell(cell_text(bytes, 1000),
             "\"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\"…");
  /* Neither an escape nor a character is cut in two. */
  memcpy(bytes + 55, "\001\001\001", 3);
  check_cell(cell_text(bytes, 1000),
             "\"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\"…");
  for (size_t i = 0; i + 1 < sizeof bytes; i += 2)
    memcpy(bytes + i, "\xc3\xa4", 2);
  check_cell(cell_text(bytes, 1000),
             "\"äääääääääääääääääääääääääääääääääääääääääääääääääääääääää\"…");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_counts),    cmocka_unit_test(test_bytes),
      cmocka_unit_test(test_durations), cmocka_unit_test(test_ratios),
      cmocka_unit_test(test_locale),    cmocka_unit_test(test_numbers_and_times),
      cmocka_unit_test(test_text),      cmocka_unit_test(test_long_text),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
