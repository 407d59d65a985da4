/* large.h - arrays of many megabytes.
 *
 * The first touch of fresh memory is what they cost most: with huge pages it is several times
 * faster, and random access finds its pages sooner. Elements that are never touched cost nothing.
 * All are freed with free(). */
#ifndef BASE_LARGE_H
#define BASE_LARGE_H

#include <stddef.h>

/* As calloc. */
void *large_zeroed(size_t count, size_t element_size);

/* The same for elements that are read before they are written: a first touch that reads costs
 * twice. All are touched. */
void *large_cleared(size_t count, size_t element_size);

/* As malloc(count * element_size); NULL also if that overflows. */
void *large_alloc(size_t count, size_t element_size);

/* Asks for huge pages for a block that was not touched yet. */
void large_advise(void *block, size_t bytes);

/* As memcpy, and gives the memory of `source` back on the way, but for parts of huge pages at both
 * ends: what it holds then is not defined. */
void large_move(void *target, void *source, size_t bytes);

#endif
