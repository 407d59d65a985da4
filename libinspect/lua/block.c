/* block.c - sizes of malloc's blocks (glibc, malloc.c: chunks). */
#include "lua/block.h"

enum { FLAGS = 7, IS_MAPPED = 2, PAGE = 4096, ALIGNMENT = 16 };

bool block_fits(struct vm *vm, uint64_t address, uint64_t bytes) {
  uint64_t word = vm->layout->pointer_size;
  const uint8_t *before = memory_view(&vm->memory, address - word, word);
  if (!before || address % ALIGNMENT || bytes > UINT64_MAX / 2) return false;
  uint64_t size = load_pointer(vm->layout, before);
  uint64_t need = (bytes + word + ALIGNMENT - 1) & ~(uint64_t)(ALIGNMENT - 1);
  if (need < 4 * word) need = 4 * word;
  if (size & IS_MAPPED) need = (bytes + 2 * word + PAGE - 1) & ~(uint64_t)(PAGE - 1);
  size &= ~(uint64_t)FLAGS;
  return size == need || size == need + ALIGNMENT; /* a rest too small to be split off */
}

bool block_sizes_are_kept(struct vm *vm) {
  return block_fits(vm, vm->registry, vm->layout->size[SIZE_Table]);
}
