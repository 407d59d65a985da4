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
  selection_sort(&selection, NULL);
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

enum { MANY = 80000 };

static struct item *make_many(void) {
  struct item *all = malloc(MANY * sizeof *all);
  assert_non_null(all);
  for (size_t i = 0; i < MANY; i++)
    all[i] = make((uint32_t)((i * 2654435761) % 100003));
  return all;
}

static void test_many_runs(void **state) {
  (void)state;
  struct item *all = make_many();
  check(all, MANY, MANY);
  check(all, MANY - 1, MANY);
  check(all, 1 << 16, MANY);
  free(all);
}

struct patience {
  unsigned reports, most;
};

static bool loses_patience(void *context, const char *phase, double share) {
  struct patience *patience = context;
  assert_string_equal(phase, "sorting");
  assert_true(share >= 0 && share < 1);
  return ++patience->reports > patience->most;
}

/* Wherever it stops, each item is there once; and it does stop. */
static void test_stopping(void **state) {
  (void)state;
  struct item *all = make_many();
  unsigned needed = 0;
  for (unsigned most = 0; most <= needed; most++) {
    struct patience patience = {.most = most};
    struct work work = {.context = &patience, .report = loses_patience};
    uint64_t comparisons = 0, sum = 0;
    struct selection selection;
    selection_init(&selection, sizeof(struct item), MANY, by_value, &comparisons);
    for (size_t i = 0; i < MANY; i++) {
      sum += all[i].value;
      assert_true(selection_offer(&selection, &all[i]));
    }
    selection_sort(&selection, &work);
    assert_int_equal(selection.count, MANY);
    const struct item *kept = selection.items;
    for (size_t i = 0; i < MANY; i++)
      sum -= kept[i].value;
    assert_int_equal(sum, 0);
    assert_in_range(patience.reports, most, most + 1);
    if (patience.reports > most) needed = most + 1; /* it was stopped: then a step later */
    selection_free(&selection);
  }
  assert_in_range(needed, 10, 100);
  free(all);
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
      cmocka_unit_test(test_like_sorting),        cmocka_unit_test(test_orders),
      cmocka_unit_test(test_many_runs),           cmocka_unit_test(test_stopping),
      cmocka_unit_test(test_turned_away_at_once),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
