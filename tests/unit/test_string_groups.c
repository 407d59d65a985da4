/* test_string_groups.c - what strings look like: patterns. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "graph/string_groups.h"

static void check(const char *string, const char *pattern) {
  struct text text = {0};
  assert_true(string_pattern(string, strlen(string), &text) && text_finish(&text));
  assert_string_equal(text.items, pattern);
  vector_free(&text);
}

static void test_patterns(void **state) {
  (void)state;
  check("", "");
  check("npc", "npc");
  check("npc#17", "npc#*");
  check("10.0.3.7:5123", "*.*.*.*:*");
  check("shield07 of npc3", "shield* of npc*");
  check("1a2b", "*a*b");      /* too short for a number in hexadecimal */
  check("facade", "facade");  /* no digit */
  check("1a2b3c4d5e6f", "*"); /* as in a hash */
  check("key-1a2b3c4d5e6f.tmp", "key-*.tmp");
  check("0x55d0c0ffee", "*x*d*c*ffee");
  check("550e8400-e29b-41d4-a716-446655440000", "*-e*b-*d*-a*-*");
  check("\xff\x01 9", "\xff\x01 *");
}

static void test_long_strings_are_cut(void **state) {
  (void)state;
  check("0123456789 23456789 123456789 1234567890", "* * * *");
  check("abcdefghij abcdefghi abcdefghi abcdefghij!",
        "abcdefghij abcdefghi abcdefghi abcdefghi...");
  /* not within a character */
  check("a23456789 123456789 123456789 abcdefghi\xc3\xa4", "* * * abcdefghi...");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_patterns),
      cmocka_unit_test(test_long_strings_are_cut),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
