/* test_glob.c - shell patterns, by hand and against the definition on random ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/glob.h"

static bool matches(const char *pattern, const char *text) {
  return glob_matches(pattern, text, strlen(text));
}

static void test_by_hand(void **state) {
  (void)state;
  assert_true(matches("", "") && !matches("", "a") && !matches("a", ""));
  assert_true(matches("abc", "abc") && !matches("abc", "abcd") && !matches("abcd", "abc"));
  assert_true(matches("*", "") && matches("*", "abc") && matches("**", "abc"));
  assert_true(matches("a*c", "abbc") && matches("a*c", "ac") && !matches("a*c", "ab"));
  assert_true(matches("*.lua:4?", "room.lua:41") && !matches("*.lua:4?", "room.lua:4"));
  assert_true(matches("*ab*ab*", "abcab") && !matches("*ab*ab*", "abcb"));
  assert_true(matches("\\*", "*") && !matches("\\*", "a") && matches("a\\\\b", "a\\b"));
  assert_true(matches("end\\", "end\\") && !matches("\\?", "x"));
  assert_true(matches("{[string] = *}", "{[string] = Npc}") && !matches("[string]", "s"));
}

static void test_any_bytes(void **state) {
  (void)state;
  assert_true(glob_matches("a*b", "a\0\xff\0b", 5));
  assert_true(glob_matches("a?b", "a\0b", 3));
  assert_false(glob_matches("ab", "a\0b", 3));
  assert_false(glob_matches("a", "a\0", 2));
}

/* The definition. */
static bool model(const char *pattern, const char *text, size_t size) {
  if (!*pattern) return size == 0;
  if (*pattern == '*')
    return model(pattern + 1, text, size) || (size && model(pattern, text + 1, size - 1));
  if (!size) return false;
  if (*pattern == '?') return model(pattern + 1, text + 1, size - 1);
  if (*pattern == '\\' && pattern[1]) pattern++;
  return *pattern == *text && model(pattern + 1, text + 1, size - 1);
}

static void random_word(char *word, size_t most, const char *letters) {
  size_t size = (size_t)rand() % most;
  for (size_t i = 0; i < size; i++)
    word[i] = letters[(size_t)rand() % strlen(letters)];
  word[size] = 0;
}

static void test_like_the_definition(void **state) {
  (void)state;
  char pattern[12], text[14];
  size_t found = 0;
  srand(3);
  for (unsigned i = 0; i < 200000; i++) {
    random_word(pattern, sizeof pattern, "ab**?\\");
    random_word(text, sizeof text, "aab*");
    bool expected = model(pattern, text, strlen(text));
    if (matches(pattern, text) != expected) fail_msg("'%s' and '%s'", pattern, text);
    found += expected;
  }
  assert_true(found > 10000);
}

/* What would take for ever if every star were tried anew. */
static void test_many_stars(void **state) {
  (void)state;
  static char text[20000];
  memset(text, 'a', sizeof text);
  assert_false(glob_matches("*a*a*a*a*a*a*a*a*a*a*a*a*b", text, sizeof text));
  assert_true(glob_matches("*a*a*a*a*a*a*a*a*a*a*a*a*", text, sizeof text));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_by_hand),
      cmocka_unit_test(test_any_bytes),
      cmocka_unit_test(test_like_the_definition),
      cmocka_unit_test(test_many_stars),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
