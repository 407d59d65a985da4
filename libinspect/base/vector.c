/* vector.c - growable arrays: capacity grows by half, at least 16 elements. */
#include "base/vector.h"

#include <stdint.h>

bool vector_grow(void **items, size_t count, size_t *capacity, size_t more, size_t element_size) {
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
