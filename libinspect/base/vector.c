/* vector.c - growable arrays: capacity grows by half, at least 16 elements. */
#include "base/vector.h"

#include "base/large.h"
#include "base/shortage.h"

#include <stdint.h>

static bool grow(void **items, size_t count, size_t *capacity, size_t more, size_t element_size) {
  if (more > SIZE_MAX / 2 - count) return false;
  size_t wanted = count + more, grown = *capacity + *capacity / 2;
  if (grown < 16) grown = 16;
  if (grown < wanted) grown = wanted;
  if (grown > SIZE_MAX / element_size) return false;
  void *moved = realloc(*items, grown * element_size);
  if (!moved) return false;
  *items = moved;
  *capacity = grown;
  return true;
}

bool vector_grow(void **items, size_t count, size_t *capacity, size_t more, size_t element_size) {
  bool has_grown = grow(items, count, capacity, more, element_size);
  if (!has_grown) shortage_note();
  return has_grown;
}

void vector_grow_large(void **items, size_t count, size_t *capacity, size_t wanted,
                       size_t element_size) {
  if (wanted <= *capacity || count) return;
  void *large = large_alloc(wanted, element_size);
  if (!large) return;
  free(*items);
  *items = large;
  *capacity = wanted;
}

void vector_shrink(void **items, size_t count, size_t *capacity, size_t element_size) {
  if (!count || count == *capacity) return;
  void *moved = realloc(*items, count * element_size);
  if (!moved) return;
  *items = moved;
  *capacity = count;
}
