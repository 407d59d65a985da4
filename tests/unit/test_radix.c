/* test_radix.c - radix sort against a comparing one: few and many records, digits that are all
 * equal, equal keys in their old order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/radix.h"

static uint64_t state = 88172645463325252U;

static uint64_t random_number(void) {
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  return state;
}

static int compare(const void *left, const void *right) {
  const struct radix_item *a = left, *b = right;
  if (a->high != b->high) return a->high < b->high ? -1 : 1;
  if (a->middle != b->middle) return a->middle < b->middle ? -1 : 1;
  if (a->low != b->low) return a->low < b->low ? -1 : 1;
  return (a->value > b->value) - (a->value < b->value);
}

static void check(size_t count, uint64_t high, uint64_t middle, uint32_t low) {
  struct radix_item *items = calloc(count + 1, sizeof *items);
  struct radix_item *expected = calloc(count + 1, sizeof *items);
  for (size_t i = 0; i < count; i++)
    expected[i] = items[i] = (struct radix_item){.high = random_number() & high,
                                                 .middle = random_number() & middle,
                                                 .low = (uint32_t)random_number() & low,
                                                 .value = (uint32_t)i};
  qsort(expected, count, sizeof *expected, compare);
  assert_true(radix_sort(items, count));
  for (size_t i = 0; i < count; i++)
    assert_int_equal(items[i].value, expected[i].value);
  free(items);
  free(expected);
}

static void test_against_comparing(void **unused) {
  (void)unused;
  static const uint64_t masks[] = {0, 1, 0xff, 0xff00, 0xf00000000000000f, UINT64_MAX};
  enum { MASKS = sizeof masks / sizeof *masks };
  static const size_t counts[] = {0, 1, 2, 47, 48, 49, 300, 5000};
  for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
    for (size_t j = 0; j < MASKS; j++)
      for (size_t k = 0; k < MASKS; k++)
        check(counts[i], masks[j], masks[k], (uint32_t)masks[(j + k) % MASKS]);
}

/* Says stop when it was asked so many times. */
static bool stop_later(void *context, const char *phase, double share) {
  unsigned *left = context;
  assert_string_equal(phase, "sorting");
  assert_true(share >= 0 && share <= 1);
  return !(*left)--;
}

static void test_stopping(void **unused) {
  (void)unused;
  enum { COUNT = 600000 };
  struct radix_item *items = calloc(COUNT, sizeof *items);
  assert_non_null(items);
  for (unsigned asked = 0, ended = 0; !ended; asked++) {
    for (size_t i = 0; i < COUNT; i++)
      items[i] = (struct radix_item){.middle = random_number() & 0xffff, .low = (uint32_t)i};
    unsigned left = asked;
    struct work work = {.context = &left, .report = stop_later};
    struct inspect_error *error = radix_sort_watched(items, COUNT, &work, "sorting");
    ended = !error;
    assert_true(ended || error->code == INSPECT_ERROR_INTERRUPTED);
    assert_true(asked < 50);
    if (ended) assert_true(asked > 10);
  }
  for (size_t i = 1; i < COUNT; i++)
    assert_true(items[i - 1].middle < items[i].middle ||
                (items[i - 1].middle == items[i].middle && items[i - 1].low < items[i].low));
  free(items);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_against_comparing),
                                     cmocka_unit_test(test_stopping)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
