/* Violations: counted completely, kept up to a bound; and the hashes of strings. */
#include "lua/violations.h"

#include <stdio.h>

#include "lua/string_check.h"
#include "mock_vm.h"

static void test_bound(void **state) {
  (void)state;
  struct violations violations;
  violations_init(&violations);
  violations.vm = 3;
  for (unsigned i = 0; i < 1000; i++)
    violation_add(&violations, VIOLATION_STRING_HASH, i, "number %u", i);
  violation_add_about(&violations, VIOLATION_BARRIER, 7, 8, "from %d to %d", 7, 8);
  assert_int_equal(violations.total, 1001);
  assert_int_equal(violations.counts[VIOLATION_STRING_HASH], 1000);
  assert_int_equal(violations.counts[VIOLATION_BARRIER], 1);
  assert_int_equal(violations.list.count, MOST_VIOLATIONS + 1);
  const struct violation *last = &violations.list.items[MOST_VIOLATIONS];
  assert_int_equal(last->code, VIOLATION_BARRIER);
  assert_int_equal(last->vm, 3);
  assert_true(last->has_other && last->other == 8 && last->address == 7);
  assert_string_equal(last->text, "from 7 to 8");
  assert_string_equal(violations.list.items[4].text, "number 4");
  assert_false(violations.list.items[4].has_other);
  violations_free(&violations);
}

static void test_names_are_different(void **state) {
  (void)state;
  for (unsigned i = 0; i < VIOLATION_CODE_COUNT; i++) {
    assert_true(strlen(violation_name(i)) > 3 && strlen(violation_sentence(i)) > 10);
    for (unsigned j = 0; j < i; j++)
      assert_string_not_equal(violation_name(i), violation_name(j));
  }
  assert_null(violation_name(VIOLATION_CODE_COUNT));
}

/* Worked out by hand from lstring.c for "ab" and seed 1: h = 1 ^ 2 = 3; h ^= 96 + 0 + 'b' = 0xC2
 * gives 0xC1; h ^= 0x1820 + 0x30 + 'a' = 0x18B1 gives 0x1870. */
static void test_hash(void **state) {
  (void)state;
  const struct layout *old = mock_layout("5.4.0", 8), *later = mock_layout("5.4.2", 8);
  assert_int_equal(string_hash(later, "ab", 2, 1, false), 0x1870);
  assert_int_equal(string_hash(old, "ab", 2, 1, true), 0x1870);
  assert_int_equal(string_hash(later, "", 0, 77, false), 77);
  char text[100];
  memset(text, 'x', sizeof text);
  uint32_t before[] = {string_hash(old, text, 100, 5, true), string_hash(old, text, 100, 5, false),
                       string_hash(later, text, 100, 5, true)};
  assert_int_equal(before[1], before[2]);
  text[98] = 'y'; /* steps of 4 from the end: 99, 95, ... */
  assert_int_equal(string_hash(old, text, 100, 5, true), before[0]);
  assert_int_not_equal(string_hash(old, text, 100, 5, false), before[1]);
  assert_int_not_equal(string_hash(later, text, 100, 5, true), before[2]);
}

static void check(struct mock_vm *mock, uint64_t address, uint64_t hash, uint64_t end) {
  struct violations violations;
  violations_init(&violations);
  string_check(&mock->vm, address, 1, &violations);
  assert_int_equal(violations.counts[VIOLATION_STRING_HASH], hash);
  assert_int_equal(violations.counts[VIOLATION_STRING_END], end);
  assert_int_equal(violations.total, hash + end);
  violations_free(&violations);
}

static void test_strings(void **state) {
  (void)state;
  static struct mock_vm mock;
  static const char *const NAMES[] = {"5.4.0", "5.4.3 .. 5.4.9", "5.5.1"};
  uint64_t address = MOCK_START + 0x2000;
  for (unsigned i = 0; i < 12; i++) {
    bool is_long = i & 1;
    mock_open(&mock, mock_layout(NAMES[i / 2 % 3], i < 6 ? 8 : 4));
    bool is_split = is_long && mock.vm.layout->string_form == STRING_EXTERNAL;
    uint64_t bytes =
        address + mock.vm.layout->place[is_split ? TString_falloc : TString_contents].offset;
    mock_set(&mock, address, GCObject_tt, is_long ? TAG_LONG_STRING : TAG_SHORT_STRING);
    mock_set(&mock, address, TString_shrlen, is_long ? 0xFF : 2);
    if (is_long) mock_set(&mock, address, TString_lnglen, 2);
    mock_put(&mock, bytes, 'a' | 'b' << 8, 2);
    check(&mock, address, !is_long, 0); /* a long string need not have a hash */
    mock_set(&mock, address, TString_hash, 0x1870);
    mock_set(&mock, address, TString_extra, 1);
    check(&mock, address, 0, 0);
    mock_put(&mock, bytes + 2, 'c', 1);
    check(&mock, address, 0, 1);
    mock_put(&mock, bytes, 'A', 1);
    check(&mock, address, 1, 1);
    mock_close(&mock);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_bound),
      cmocka_unit_test(test_names_are_different),
      cmocka_unit_test(test_hash),
      cmocka_unit_test(test_strings),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
