/* test_block.c - what malloc's headers say of a block, on memory that is laid out as glibc does. */
#include "mock_lua.h"

#include "lua/block.h"

enum { IN_USE = 1, IS_MAPPED = 2, PAGE = 4096 };

static unsigned word_of(const struct mock_lua *lua) { return lua->vm.layout->pointer_size; }

/* Places blocks one behind the other, with their headers: the address of `index`, each of `size`
 * bytes with its header. */
static uint64_t block_at(const struct mock_lua *lua, unsigned index, uint64_t size) {
  (void)lua;
  return MOCK_BASE + 0x1000 + index * size;
}

static void head(struct mock_lua *lua, uint64_t address, uint64_t size) {
  mock_pointer(lua, address - word_of(lua), size);
}

/* Some blocks in use. */
static void lay_out(struct mock_lua *lua, unsigned count, uint64_t size) {
  for (unsigned i = 0; i < count; i++) {
    head(lua, block_at(lua, i, size), size | IN_USE);
    mock_pointer(lua, block_at(lua, i, size), 0x1234567);
    mock_pointer(lua, block_at(lua, i, size) + word_of(lua), 0x7654321);
  }
  head(lua, block_at(lua, count, size), 0x2000 | IN_USE); /* the rest of the memory */
}

/* ---- Sizes */

static void check_sizes(const struct layout *layout) {
  struct mock_lua *lua = mock_open(layout);
  uint64_t word = word_of(lua), address = MOCK_BASE + 0x1000;
  for (uint64_t bytes = 1; bytes < 300; bytes++) {
    uint64_t size = (bytes + word + 15) / 16 * 16;
    if (size < 4 * word) size = 4 * word;
    for (uint64_t other = 16; other < 500; other += 16) {
      head(lua, address, other | IN_USE);
      assert_int_equal(block_fits(&lua->vm, address, bytes), other == size || other == size + 16);
      head(lua, address, other | 5); /* of another arena, behind a free block */
      assert_int_equal(block_fits(&lua->vm, address, bytes) && other == size, other == size);
    }
  }
  head(lua, address + 8, 64 | IN_USE);
  assert_false(block_fits(&lua->vm, address + 8, 64 - word)); /* no block begins there */
  head(lua, address, 0);
  assert_false(block_fits(&lua->vm, address, UINT64_MAX));
  assert_false(block_fits(&lua->vm, MOCK_BASE, 32)); /* its header is not in the dump */
  mock_close(lua);
}

static void check_mapped(const struct layout *layout) {
  struct mock_lua *lua = mock_open(layout);
  uint64_t word = word_of(lua), address = MOCK_BASE + 0x1000;
  head(lua, address, 3 * PAGE | IS_MAPPED);
  assert_true(block_fits(&lua->vm, address, 3 * PAGE - 2 * word));
  assert_true(block_fits(&lua->vm, address, 2 * PAGE - 2 * word + 1));
  assert_false(block_fits(&lua->vm, address, 3 * PAGE - 2 * word + 1));
  assert_false(block_fits(&lua->vm, address, 2 * PAGE - 2 * word));
  assert_false(block_is_given_back(&lua->vm, address)); /* it would be gone */
  mock_close(lua);
}

/* ---- Blocks that were given back */

static void check_in_use(const struct layout *layout) {
  struct mock_lua *lua = mock_open(layout);
  lay_out(lua, 20, 64);
  for (unsigned i = 0; i < 20; i++) {
    assert_false(block_is_given_back(&lua->vm, block_at(lua, i, 64)));
    assert_false(block_is_given_back(&lua->vm, block_at(lua, i, 64) + 8));
  }
  mock_close(lua);
}

/* The block behind it knows. */
static void check_freed(const struct layout *layout) {
  struct mock_lua *lua = mock_open(layout);
  lay_out(lua, 4, 64);
  head(lua, block_at(lua, 2, 64), 64);
  assert_true(block_is_given_back(&lua->vm, block_at(lua, 1, 64)));
  assert_false(block_is_given_back(&lua->vm, block_at(lua, 2, 64)));
  mock_close(lua);
}

/* A list of small free blocks: 1 -> 5 -> 3, all with one key. Links are mixed with the address
 * that they are kept at, or plain as they were until 2.31. */
static void free_small(struct mock_lua *lua, bool is_mixed, uint64_t key) {
  unsigned list[] = {1, 5, 3};
  for (unsigned i = 0; i < 3; i++) {
    uint64_t address = block_at(lua, list[i], 64);
    uint64_t next = i < 2 ? block_at(lua, list[i + 1], 64) : 0;
    mock_pointer(lua, address, is_mixed ? next ^ address >> 12 : next);
    mock_pointer(lua, address + word_of(lua), key);
  }
}

static void check_small(const struct layout *layout) {
  enum { KEY = 0x5eed5eed, OLD_KEY = MOCK_BASE + 0x3000 };
  struct mock_lua *lua = mock_open(layout);
  lay_out(lua, 12, 64);
  free_small(lua, true, KEY);
  for (unsigned i = 0; i < 12; i++) {
    bool is_free = i == 1 || i == 3 || i == 5;
    assert_int_equal(block_is_given_back(&lua->vm, block_at(lua, i, 64)), is_free);
    /* of the key alone it is only seen where another block that has it comes behind */
    assert_int_equal(block_has_key(&lua->vm, block_at(lua, i, 64)), i == 1 || i == 3);
  }
  /* used again: the first word is what it was, the second is not */
  mock_pointer(lua, block_at(lua, 1, 64) + word_of(lua), 7);
  assert_false(block_is_given_back(&lua->vm, block_at(lua, 1, 64)));
  /* a small number is no key, though the tag of a value may be in several blocks */
  free_small(lua, true, 19);
  for (unsigned i = 0; i < 12; i++)
    assert_false(block_is_given_back(&lua->vm, block_at(lua, i, 64)) ||
                 block_has_key(&lua->vm, block_at(lua, i, 64)));
  /* until 2.33 the key is the address of the lists, which are in a block themselves */
  free_small(lua, false, OLD_KEY);
  assert_true(block_is_given_back(&lua->vm, block_at(lua, 1, 64)));
  assert_true(block_is_given_back(&lua->vm, block_at(lua, 5, 64)));
  assert_false(block_is_given_back(&lua->vm, block_at(lua, 3, 64))); /* the last: nobody says so */
  head(lua, OLD_KEY, (64 * (2 + word_of(lua)) + 16) | IN_USE);
  assert_true(block_is_given_back(&lua->vm, block_at(lua, 3, 64)));
  head(lua, OLD_KEY, (64 * (1 + word_of(lua)) + 16) | IN_USE);
  assert_true(block_is_given_back(&lua->vm, block_at(lua, 3, 64)));
  mock_close(lua);
}

/* The last free one of a size is found by another that has its key, of whatever size. */
static void check_last(const struct layout *layout) {
  enum { KEY = 0x5eed5eed };
  struct mock_lua *lua = mock_open(layout);
  lay_out(lua, 12, 64);
  uint64_t last = block_at(lua, 2, 64), other = block_at(lua, 9, 64);
  mock_pointer(lua, last, last >> 12);
  mock_pointer(lua, last + word_of(lua), KEY);
  assert_false(block_is_given_back(&lua->vm, last));
  mock_pointer(lua, other + word_of(lua), KEY);
  assert_true(block_is_given_back(&lua->vm, last));
  assert_false(block_has_key(&lua->vm, last)); /* the other one is not free, by its first word */
  mock_pointer(lua, other, other >> 12);
  assert_true(block_has_key(&lua->vm, last));
  mock_pointer(lua, last, 0x9999999); /* the key is written first */
  assert_false(block_is_given_back(&lua->vm, last));
  assert_true(block_has_key(&lua->vm, last));
  /* a size that leads nowhere ends the search */
  head(lua, block_at(lua, 5, 64), 0);
  assert_false(block_has_key(&lua->vm, last));
  mock_close(lua);
}

static void check_kept_sizes(const struct layout *layout) {
  struct mock_lua *lua = mock_open(layout);
  uint64_t size = (layout->size[SIZE_Table] + word_of(lua) + 15) / 16 * 16;
  lua->vm.registry = MOCK_BASE + 0x2000;
  assert_false(block_sizes_are_kept(&lua->vm));
  head(lua, lua->vm.registry, size | IN_USE);
  assert_true(block_sizes_are_kept(&lua->vm));
  head(lua, lua->vm.registry, (size + 48) | IN_USE);
  assert_false(block_sizes_are_kept(&lua->vm));
  mock_close(lua);
}

static void on_all(void (*check)(const struct layout *)) {
  for (unsigned word = 4; word <= 8; word += 4) {
    check(mock_layout("5.4.0", word));
    check(mock_layout("5.5.1", word));
  }
}

static void test_sizes(void **state) {
  (void)state;
  on_all(check_sizes);
  on_all(check_mapped);
  on_all(check_kept_sizes);
}

static void test_given_back(void **state) {
  (void)state;
  on_all(check_in_use);
  on_all(check_freed);
  on_all(check_small);
  on_all(check_last);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_sizes),
      cmocka_unit_test(test_given_back),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
