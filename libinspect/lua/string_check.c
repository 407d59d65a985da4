/* string_check.c - recomputes hashes.
 *
 * Invariant: time is linear in the bytes of the string, all of which lie in the dump. */
#include "lua/string_check.h"

bool string_seed(struct vm *vm, uint32_t *seed) {
  const uint8_t *global =
      memory_view(&vm->memory, vm->global_state, vm->layout->size[SIZE_global_State]);
  if (global) *seed = (uint32_t)load_field(vm->layout, global, global_State_seed);
  return global != NULL;
}

uint32_t string_hash(const struct layout *layout, const char *bytes, size_t size, uint32_t seed,
                     bool is_long) {
  enum { HASH_LIMIT = 5 }; /* 5.4.0, 5.4.1: about 2^5 bytes of a long string enter its hash */
  size_t step = is_long && layout->long_hash_skips ? (size >> HASH_LIMIT) + 1 : 1;
  uint32_t hash = seed ^ (uint32_t)size;
  for (; size >= step; size -= step)
    hash ^= (hash << 5) + (hash >> 2) + (uint8_t)bytes[size - 1];
  return hash;
}

/* The terminating zero of bytes that lie behind their header. */
static void check_end(struct vm *vm, uint64_t address, const char *bytes, size_t size,
                      struct violations *violations) {
  const struct layout *layout = vm->layout;
  uint64_t offset = layout->place[TString_contents].offset;
  const uint8_t *own = memory_view(&vm->memory, address, offset);
  if (own && (const uint8_t *)bytes != own + offset) offset = layout->place[TString_falloc].offset;
  if (!own || (const uint8_t *)bytes != own + offset) return;
  const uint8_t *zero = memory_view(&vm->memory, address + offset + size, 1);
  if (zero && *zero)
    violation_add(violations, VIOLATION_STRING_END, address,
                  "the byte behind the %zu bytes of the string is 0x%02x instead of zero", size,
                  *zero);
}

void string_check(struct vm *vm, uint64_t address, uint32_t seed, struct violations *violations) {
  const struct layout *layout = vm->layout;
  size_t size;
  const char *bytes = string_contents(vm, address, &size); /* nothing of it is shown */
  const uint8_t *header = memory_view(&vm->memory, address, layout->place[TString_contents].offset);
  if (!bytes || !header) return;
  bool is_long = load_field(layout, header, GCObject_tt) == TAG_LONG_STRING;
  uint32_t stored = (uint32_t)load_field(layout, header, TString_hash);
  uint32_t hash = string_hash(layout, bytes, size, seed, is_long);
  bool is_hashed = !is_long || load_field(layout, header, TString_extra) != 0;
  if (is_hashed && stored != hash)
    violation_add(violations, VIOLATION_STRING_HASH, address,
                  "the %s string of %zu bytes has the hash 0x%08x instead of 0x%08x",
                  is_long ? "long" : "short", size, stored, hash);
  check_end(vm, address, bytes, size, violations);
}
