/* vector.h - growable arrays.
 *
 *   struct numbers VECTOR(uint32_t);       declares the type
 *   struct numbers list = {0};             an empty one
 *   if (!vector_push(&list, 7)) ...        false: out of memory, the array is unchanged
 *   list.items[0 .. list.count)            the elements, valid until the next push
 *   vector_free(&list);                    back to empty
 *
 * Elements are moved by realloc: they must not point into themselves. */
#ifndef BASE_VECTOR_H
#define BASE_VECTOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>

#define VECTOR(type)                                                                               \
  {                                                                                                \
    type *items;                                                                                   \
    size_t count, capacity;                                                                        \
  }

/* Makes room for `more` further elements; false when out of memory. */
#define vector_reserve(vector, more)                                                               \
  ((more) <= (vector)->capacity - (vector)->count ||                                               \
   vector_grow((void **)&(vector)->items, (vector)->count, &(vector)->capacity, (more),            \
               sizeof *(vector)->items))

/* Makes room for some `count` elements in all, in memory that costs little until it is used. May do
 * nothing: whoever adds elements reserves or pushes as always. */
#define vector_prepare(vector, wanted)                                                             \
  vector_grow_large((void **)&(vector)->items, (vector)->count, &(vector)->capacity, (wanted),     \
                    sizeof *(vector)->items)

/* Gives back what was reserved and is not used. */
#define vector_trim(vector)                                                                        \
  vector_shrink((void **)&(vector)->items, (vector)->count, &(vector)->capacity,                   \
                sizeof *(vector)->items)

#define vector_push(vector, element)                                                               \
  (vector_reserve((vector), 1) ? ((vector)->items[(vector)->count++] = (element), true) : false)

#define vector_free(vector)                                                                        \
  (free((vector)->items), (vector)->items = NULL, (vector)->count = (vector)->capacity = 0)

bool vector_grow(void **items, size_t count, size_t *capacity, size_t more, size_t element_size);
void vector_grow_large(void **items, size_t count, size_t *capacity, size_t wanted,
                       size_t element_size);
void vector_shrink(void **items, size_t count, size_t *capacity, size_t element_size);

#endif
