/* block.c - sizes of malloc's blocks (glibc, malloc.c: chunks). */
#include "lua/block.h"

enum { FLAGS = 7, IS_MAPPED = 2, PAGE = 4096, ALIGNMENT = 16, SMALLEST_KEY = 1 << 16 };

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

/* Whether the first word of a block, of which the second is the key, is that of a free one: it
 * leads to another such, or is that of the last one. */
static bool has_link(struct vm *vm, uint64_t address, uint64_t key) {
  uint64_t word = vm->layout->pointer_size;
  const uint8_t *bytes = memory_view(&vm->memory, address, word);
  if (!bytes) return false;
  uint64_t link = load_pointer(vm->layout, bytes) ^ address >> 12;
  return !link || (link % ALIGNMENT == 0 && word_is(vm, link + word, UINT64_MAX, key));
}

/* Whether one of the next blocks has the same second word; if they must be free, as far as their
 * first word says. */
static bool is_shared_key(struct vm *vm, uint64_t address, uint64_t size, uint64_t key,
                          bool must_be_free) {
  enum { MOST_BLOCKS = 1 << 14 };
  uint64_t word = vm->layout->pointer_size;
  for (unsigned i = 0; i < MOST_BLOCKS && size >= 4 * word; i++) {
    address += size;
    if (word_is(vm, address + word, UINT64_MAX, key) &&
        (!must_be_free || has_link(vm, address, key)))
      return true;
    const uint8_t *before = memory_view(&vm->memory, address - word, word);
    size = before ? load_pointer(vm->layout, before) & ~(uint64_t)FLAGS : 0;
  }
  return false;
}

/* Whether the block is in a list of small free ones (malloc.c: tcache_entry): its first word leads
 * to the next one, since glibc 2.32 mixed with its own address; its second is the key of all such
 * blocks, until 2.33 the address of the lists. A block in use may have its first word from before,
 * but not its second. */
static bool is_in_free_list(struct vm *vm, uint64_t address, uint64_t size) {
  enum { BINS = 64 };
  uint64_t word = vm->layout->pointer_size;
  const uint8_t *bytes = memory_view(&vm->memory, address, 2 * word);
  if (!bytes) return false;
  uint64_t first = load_pointer(vm->layout, bytes), key = load_pointer(vm->layout, bytes + word);
  uint64_t links[] = {first ^ address >> 12, first};
  if (key < SMALLEST_KEY) return false;
  /* an address is never odd, as the second word of like objects may be that follow each other */
  unsigned count = key % ALIGNMENT ? 1 : 2;
  for (unsigned i = 0; i < count; i++)
    if (links[i] && links[i] % ALIGNMENT == 0 && word_is(vm, links[i] + word, UINT64_MAX, key))
      return true;
  if (!links[0] && is_shared_key(vm, address, size, key, false)) return true;
  /* a count and a list for each size; a count had one byte at first */
  return key % ALIGNMENT == 0 &&
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

bool block_has_key(struct vm *vm, uint64_t address) {
  uint64_t word = vm->layout->pointer_size;
  const uint8_t *before = memory_view(&vm->memory, address - word, 3 * word);
  if (!before || address % ALIGNMENT) return false;
  uint64_t size = load_pointer(vm->layout, before),
           key = load_pointer(vm->layout, before + 2 * word);
  return !(size & IS_MAPPED) && key >= SMALLEST_KEY &&
         is_shared_key(vm, address, size & ~(uint64_t)FLAGS, key, true);
}

bool block_sizes_are_kept(struct vm *vm) {
  return block_fits(vm, vm->registry, vm->layout->size[SIZE_Table]);
}
