/* test_address_map.c - the address map against a naive model on random ranges and marks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/address_map.h"

enum { RANGES = 9, LARGEST = 3000 };

static uint32_t random_number(uint32_t limit) {
  static uint64_t seed = 42;
  seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407u;
  return (uint32_t)(seed >> 33) % limit;
}

static uint8_t memory[RANGES][LARGEST + 64];

/* Sorted ranges with holes and without, some empty, some at odd addresses. */
static void make_ranges(struct address_range *ranges, bool odd) {
  uint64_t address = UINT64_C(0x7f0000000000);
  for (size_t i = 0; i < RANGES; i++) {
    address += random_number(3) * 4096;
    if (odd) address += random_number(16);
    ranges[i].start = address;
    uint64_t size = random_number(LARGEST);
    address += odd ? size : size & ~UINT64_C(7);
    ranges[i].end = address;
    ranges[i].bytes = memory[i];
    ranges[i].first = 0;
  }
}

/* The model: every aligned address of the ranges, in order. */
struct model {
  size_t count, marked;
  uint64_t addresses[RANGES * LARGEST];
  const uint8_t *bytes[RANGES * LARGEST];
  uint64_t available[RANGES * LARGEST];
  bool marks[RANGES * LARGEST];
};

static void make_model(struct model *model, const struct address_range *ranges, unsigned shift) {
  model->count = model->marked = 0;
  for (size_t i = 0; i < RANGES; i++) {
    for (uint64_t address = ranges[i].start; address < ranges[i].end; address++) {
      if (address % (UINT64_C(1) << shift)) continue;
      size_t k = model->count++;
      model->addresses[k] = address;
      model->bytes[k] = ranges[i].bytes + (address - ranges[i].start);
      model->available[k] = ranges[i].end - address;
      model->marks[k] = false;
    }
  }
}

static void check_numbers(const struct address_map *map, const struct model *model) {
  size_t hint = 0, bytes_hint = 0;
  uint32_t last = 0;
  for (size_t i = 0; i < model->count; i++) {
    /* Jump about in the first half, so that the hint is wrong there. */
    size_t k = i < model->count / 2 ? random_number((uint32_t)model->count) : i;
    uint32_t number = address_map_number(map, model->addresses[k], &hint);
    assert_int_not_equal(number, NO_GRANULE);
    assert_true(number < map->granule_count);
    assert_int_equal(address_map_address(map, number), model->addresses[k]);
    uint64_t place, available;
    assert_ptr_equal(address_map_bytes(map, number, &bytes_hint, &place, &available),
                     model->bytes[k]);
    assert_int_equal(place, model->addresses[k]);
    assert_int_equal(available, model->available[k]);
    if (i > model->count / 2) assert_true(number > last);
    last = number;
    assert_int_equal(address_map_number(map, model->addresses[k] + 1, &hint), NO_GRANULE);
  }
}

static void mark_some(struct address_map *map, struct model *model, uint32_t share) {
  size_t hint = 0;
  for (size_t i = 0; i < model->count; i++) {
    size_t k = random_number((uint32_t)model->count);
    if (random_number(100) >= share) continue;
    uint32_t number = address_map_number(map, model->addresses[k], &hint);
    assert_int_equal(address_map_is_marked(map, number), model->marks[k]);
    assert_int_equal(address_map_mark(map, number), !model->marks[k]);
    model->marked += !model->marks[k];
    model->marks[k] = true;
  }
  assert_int_equal(map->marked, model->marked);
}

static void check_ranks(const struct address_map *map, const struct model *model) {
  uint32_t rank = 0;
  size_t hint = 0;
  for (size_t k = 0; k < model->count; k++) {
    uint32_t number = address_map_number(map, model->addresses[k], &hint);
    assert_int_equal(address_map_is_marked(map, number), model->marks[k]);
    if (!model->marks[k]) continue;
    assert_int_equal(address_map_rank(map, number), rank);
    rank++;
  }
  assert_int_equal(rank, model->marked);
}

static void test_against_model(void **state) {
  (void)state;
  struct model *model = calloc(1, sizeof *model);
  assert_non_null(model);
  for (unsigned round = 0; round < 24; round++) {
    struct address_range ranges[RANGES];
    unsigned shift = 2 + round % 3;
    make_ranges(ranges, round % 2);
    make_model(model, ranges, shift);
    struct address_map map;
    assert_null(address_map_init(&map, shift, ranges, RANGES));
    check_numbers(&map, model);
    mark_some(&map, model, round * 4 + 1);
    assert_null(address_map_seal(&map));
    check_ranks(&map, model);
    address_map_free(&map);
  }
  free(model);
}

static void test_outside(void **state) {
  (void)state;
  struct address_range ranges[] = {{.start = 0x1000, .end = 0x2000, .bytes = memory[0]},
                                   {.start = 0x2000, .end = 0x2010, .bytes = memory[1]},
                                   {.start = 0x5000, .end = 0x5008, .bytes = memory[2]}};
  struct address_map map;
  assert_null(address_map_init(&map, 3, ranges, 3));
  assert_int_equal(map.granule_count, 512 + 2 + 1);
  size_t hint = 0;
  assert_int_equal(address_map_number(&map, 0x2008, &hint), 513);
  assert_int_equal(hint, 1);
  assert_int_equal(address_map_number(&map, 0, &hint), NO_GRANULE);
  assert_int_equal(address_map_number(&map, 0xff8, &hint), NO_GRANULE);
  assert_int_equal(address_map_number(&map, 0x2010, &hint), NO_GRANULE);
  assert_int_equal(address_map_number(&map, 0x5008, &hint), NO_GRANULE);
  assert_int_equal(address_map_number(&map, UINT64_MAX & ~UINT64_C(7), &hint), NO_GRANULE);
  assert_int_equal(address_map_number(&map, 0x5000, &hint), 514);
  address_map_free(&map);
}

static void test_empty(void **state) {
  (void)state;
  struct address_map map;
  assert_null(address_map_init(&map, 3, NULL, 0));
  size_t hint = 0;
  assert_null(address_map_find(&map, 0, &hint));
  assert_int_equal(address_map_number(&map, 0x1000, &hint), NO_GRANULE);
  assert_null(address_map_seal(&map));
  address_map_free(&map);
}

static void test_refused(void **state) {
  (void)state;
  struct address_map map;
  struct address_range huge[] = {{.start = 0x1000, .end = UINT64_C(1) << 34},
                                 {.start = UINT64_C(1) << 40, .end = UINT64_C(0x10580000000)}};
  struct inspect_error *error = address_map_init(&map, 3, huge, 2);
  assert_non_null(error);
  assert_int_equal(error->code, INSPECT_ERROR_UNSUPPORTED);
  assert_string_equal(error->message, "the target has more than 32 GiB of readable memory");
  inspect_error_free(error);
  struct address_range all[] = {{.start = 0, .end = UINT64_MAX}};
  error = address_map_init(&map, 2, all, 1);
  assert_non_null(error);
  inspect_error_free(error);
  struct address_range mixed[] = {{.start = 0x2000, .end = 0x3000},
                                  {.start = 0x2ff8, .end = 0x4000}};
  error = address_map_init(&map, 3, mixed, 2);
  assert_non_null(error);
  assert_int_equal(error->address, 0x2ff8);
  inspect_error_free(error);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_against_model),
      cmocka_unit_test(test_outside),
      cmocka_unit_test(test_empty),
      cmocka_unit_test(test_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
