/* bitset.h - sets of small numbers, one bit each. */
#ifndef BASE_BITSET_H
#define BASE_BITSET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/shortage.h"

struct bitset {
  uint64_t *words;
  uint64_t size; /* number of bits */
};

/* An empty set over 0 .. size-1; false when out of memory. */
static inline bool bitset_init(struct bitset *set, uint64_t size) {
  uint64_t count = size / 64 + 1;
  set->size = size;
  set->words = count > SIZE_MAX / 8 ? NULL : calloc((size_t)count, 8);
  if (!set->words) shortage_note();
  return set->words != NULL;
}

static inline void bitset_free(struct bitset *set) {
  free(set->words);
  *set = (struct bitset){0};
}

static inline bool bitset_has(const struct bitset *set, uint64_t bit) {
  return set->words[bit >> 6] >> (bit & 63) & 1;
}

static inline void bitset_add(struct bitset *set, uint64_t bit) {
  set->words[bit >> 6] |= UINT64_C(1) << (bit & 63);
}

static inline void bitset_remove(struct bitset *set, uint64_t bit) {
  set->words[bit >> 6] &= ~(UINT64_C(1) << (bit & 63));
}

/* Adds the bit; returns whether it is new. */
static inline bool bitset_insert(struct bitset *set, uint64_t bit) {
  uint64_t *word = &set->words[bit >> 6], mask = UINT64_C(1) << (bit & 63);
  bool is_new = !(*word & mask);
  *word |= mask;
  return is_new;
}

static inline uint64_t bitset_count(const struct bitset *set) {
  uint64_t count = 0;
  for (uint64_t i = 0; i < set->size / 64 + 1; i++)
    count += (uint64_t)__builtin_popcountll(set->words[i]);
  return count;
}

#endif
