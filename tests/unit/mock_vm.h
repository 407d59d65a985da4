/* mock_vm.h - a piece of target memory, and a VM of any known layout in it, for tests of lua/.
 *
 * The memory is at MOCK_START in the target. Fields are written by name, so that one test runs on
 * all layouts. */
#ifndef MOCK_VM_H
#define MOCK_VM_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "lua/vm.h"

enum { MOCK_START = 0x10000, MOCK_BYTES = 0x20000, MOCK_GLOBAL = MOCK_START + 0x100 };

struct mock_vm {
  uint8_t bytes[MOCK_BYTES];
  struct address_map map;
  struct vm vm;
};

/* The layout of a release, 64- or 32-bit. */
static inline const struct layout *mock_layout(const char *name, unsigned pointer_size) {
  const struct layout *layout;
  for (size_t i = 0; (layout = layout_canned(i)); i++)
    if (strcmp(layout->name, name) == 0 && layout->pointer_size == pointer_size) return layout;
  fail_msg("no layout %s", name);
  return NULL;
}

static inline void mock_put(struct mock_vm *mock, uint64_t address, uint64_t value, unsigned size) {
  assert_true(address >= MOCK_START && address + size <= MOCK_START + MOCK_BYTES);
  for (unsigned i = 0; i < size; i++)
    mock->bytes[address - MOCK_START + i] = (uint8_t)(value >> 8 * i);
}

/* Sets a field of the structure at an address. */
static inline void mock_set(struct mock_vm *mock, uint64_t address, enum layout_field field,
                            uint64_t value) {
  struct layout_place place = mock->vm.layout->place[field];
  assert_true(place.size > 0 && place.size <= 8);
  mock_put(mock, address + place.offset, value, place.size);
}

static inline void mock_open(struct mock_vm *mock, const struct layout *layout) {
  memset(mock, 0, sizeof *mock);
  struct address_range range = {
      .start = MOCK_START, .end = MOCK_START + MOCK_BYTES, .bytes = mock->bytes};
  assert_null(address_map_init(&mock->map, layout->pointer_size == 4 ? 2 : 3, &range, 1));
  assert_true(vm_open(&mock->vm, layout, &mock->map, MOCK_GLOBAL, MOCK_START));
}

static inline void mock_close(struct mock_vm *mock) {
  vm_close(&mock->vm);
  address_map_free(&mock->map);
}

#endif
