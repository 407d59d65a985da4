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

static bool word_is(struct vm *vm, uint64_t address, uint64_t mask, uint64_t wanted) {
  const uint8_t *bytes = memory_view(&vm->memory, address, vm->layout->pointer_size);
  return bytes && (load_pointer(vm->layout, bytes) & mask) == wanted;
}

/* Whether the block is in a list of small free ones (malloc.c: tcache_entry, fastbins): its first
 * word leads to the next one, since glibc 2.32 mixed with its own address; its second is the
 * thread's key in a tcache, until 2.33 the address of that. The only block in a fastbin of a glibc
 * before 2.32 is not recognized. */
static bool is_in_free_list(struct vm *vm, uint64_t address, uint64_t size) {
  enum { LARGEST_FAST = 128, SMALLEST_KEY = 1 << 16, BINS = 64 };
  uint64_t word = vm->layout->pointer_size;
  const uint8_t *bytes = memory_view(&vm->memory, address, 2 * word);
  if (!bytes) return false;
  uint64_t first = load_pointer(vm->layout, bytes), key = load_pointer(vm->layout, bytes + word);
  uint64_t mixed = first ^ address >> 12, links[] = {mixed, first};
  if (!mixed) return true;
  for (unsigned i = 0; i < 2; i++) {
    if (!links[i] || links[i] % ALIGNMENT) continue;
    if (key >= SMALLEST_KEY && word_is(vm, links[i] + word, UINT64_MAX, key)) return true;
    if (size <= LARGEST_FAST && word_is(vm, links[i] + word, ~(uint64_t)FLAGS, size)) return true;
  }
  return key >= SMALLEST_KEY && /* a count and a list for each bin; a count had one byte at first */
         (block_fits(vm, key, BINS * (2 + word)) || block_fits(vm, key, BINS * (1 + word)));
}

bool block_is_given_back(struct vm *vm, uint64_t address) {
  enum { IS_PRIOR_USED = 1 };
  uint64_t word = vm->layout->pointer_size;
  const uint8_t *before = memory_view(&vm->memory, address - word, word);
  if (!before || address % ALIGNMENT) return false;
  uint64_t size = load_pointer(vm->layout, before);
  if (size & IS_MAPPED) return false;
  size &= ~(uint64_t)FLAGS;
  return word_is(vm, address - word + size, IS_PRIOR_USED, 0) || is_in_free_list(vm, address, size);
}

bool block_sizes_are_kept(struct vm *vm) {
  return block_fits(vm, vm->registry, vm->layout->size[SIZE_Table]);
}
