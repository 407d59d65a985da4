/* large.c - huge pages for arrays of many megabytes. */
#include "base/large.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { HUGE_PAGE = 2 << 20 };

void large_advise(void *block, size_t bytes) {
  uintptr_t start = ((uintptr_t)block + HUGE_PAGE - 1) & ~(uintptr_t)(HUGE_PAGE - 1);
  uintptr_t end = ((uintptr_t)block + bytes) & ~(uintptr_t)(HUGE_PAGE - 1);
  /* only advice: without huge pages all works the same */
  if (end > start) (void)madvise((void *)start, end - start, MADV_HUGEPAGE);
}

void *large_zeroed(size_t count, size_t element_size) {
  void *block = calloc(count, element_size);
  if (block) large_advise(block, count * element_size);
  return block;
}

void *large_cleared(size_t count, size_t element_size) {
  char *block = large_zeroed(count, element_size);
  for (size_t i = 0; block && i < count * element_size; i += HUGE_PAGE)
    *(volatile char *)&block[i] = 0;
  return block;
}

void *large_alloc(size_t count, size_t element_size) {
  if (element_size && count > SIZE_MAX / element_size) return NULL;
  void *block = malloc(count * element_size);
  if (block) large_advise(block, count * element_size);
  return block;
}

void large_move(void *target, void *source, size_t bytes) {
  enum { STEP = 2 * HUGE_PAGE };
  uintptr_t kept = ((uintptr_t)source + HUGE_PAGE - 1) & ~(uintptr_t)(HUGE_PAGE - 1);
  for (size_t done = 0; done < bytes;) {
    size_t size = bytes - done < STEP ? bytes - done : STEP;
    memcpy((char *)target + done, (char *)source + done, size);
    done += size;
    uintptr_t end = ((uintptr_t)source + done) & ~(uintptr_t)(HUGE_PAGE - 1);
    if (end <= kept) continue;
    (void)madvise((void *)kept, end - kept, MADV_DONTNEED);
    kept = end;
  }
}
