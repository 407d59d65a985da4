/* test_selection.c - the first few of many, against sorting all of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/selection.h"

enum { MOST = 500, ITEM_BYTES = 80 }; /* larger than what is exchanged at once */

struct item {
  uint32_t value;
  char filling[ITEM_BYTES - 4];
};

static int by_value(const void *a, const void *b, void *context) {
  ++*(uint64_t *)context;
  uint32_t x = ((const struct item *)a)->value, y = ((const struct item *)b)->value;
  return (x > y) - (x < y);
}

static struct item make(uint32_t value) {
  struct item item = {.value = value};
  memset(item.filling, (int)(value & 0xff), sizeof item.filling);
  return item;
}

static void check(struct item *all, size_t count, uint64_t limit) {
  uint64_t comparisons = 0;
  struct selection selection;
  selection_init(&selection, sizeof(struct item), limit, by_value, &comparisons);
  for (size_t i = 0; i < count; i++)
    assert_true(selection_offer(&selection, &all[i]));
  selection_sort(&selection);
  qsort_r(all, count, sizeof *all, by_value, &comparisons);
  assert_int_equal(selection.count, count < limit ? count : limit);
  assert_int_equal(selection_left_out(&selection), count - selection.count);
  const struct item *kept = selection.items;
  for (size_t i = 0; i < selection.count; i++)
    assert_memory_equal(&kept[i], &all[i], sizeof *all);
  selection_free(&selection);
}

static void test_like_sorting(void **state) {
  (void)state;
  static struct item all[MOST];
  srand(1);
  for (unsigned round = 0; round < 400; round++) {
    size_t count = (size_t)rand() % MOST;
    for (size_t i = 0; i < count; i++)
      all[i] = make((uint32_t)rand() % (round % 2 ? 50 : 100000));
    check(all, count, (uint64_t)(rand() % 200));
  }
}

static void test_orders(void **state) {
  (void)state;
  static struct item all[MOST];
  for (size_t i = 0; i < MOST; i++)
    all[i] = make((uint32_t)i);
  check(all, MOST, 10);
  for (size_t i = 0; i < MOST; i++)
    all[i] = make((uint32_t)(MOST - i));
  check(all, MOST, 10);
  check(all, 0, 10);
  check(all, 10, 10);
  check(all, 11, 1);
}

/* What is behind the last one kept costs one comparison. */
static void test_turned_away_at_once(void **state) {
  (void)state;
  uint64_t comparisons = 0;
  struct selection selection;
  selection_init(&selection, sizeof(struct item), 100, by_value, &comparisons);
  for (uint32_t i = 0; i < 100; i++) {
    struct item item = make(i);
    assert_true(selection_offer(&selection, &item));
  }
  assert_int_equal(comparisons, 0);
  struct item item = make(1000);
  assert_true(selection_offer(&selection, &item));
  comparisons = 0;
  for (uint32_t i = 0; i < 10000; i++)
    assert_true(selection_offer(&selection, &item));
  assert_int_equal(comparisons, 10000);
  assert_int_equal(selection_left_out(&selection), 10001);
  selection_free(&selection);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_like_sorting),
      cmocka_unit_test(test_orders),
      cmocka_unit_test(test_turned_away_at_once),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
