/* meter.c - counts bytes as the allocator has them (malloc_usable_size). Workers of the library
 * count as well: the counters are atomic. */
#include "meter.h"

#include <malloc.h>
#include <stdatomic.h>

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *block, size_t size);
void __real_free(void *block);
char *__real_realpath(const char *path, char *resolved);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *block, size_t size);
void __wrap_free(void *block);
char *__wrap_realpath(const char *path, char *resolved);

static _Atomic long now, most;

static void *add(void *block) {
  if (!block) return NULL;
  long bytes =
      atomic_fetch_add(&now, (long)malloc_usable_size(block)) + (long)malloc_usable_size(block);
  if (bytes > atomic_load_explicit(&most, memory_order_relaxed)) atomic_store(&most, bytes);
  return block;
}

static void subtract(void *block) {
  if (block) atomic_fetch_sub(&now, (long)malloc_usable_size(block));
}

void *__wrap_malloc(size_t size) { return add(__real_malloc(size)); }

void *__wrap_calloc(size_t count, size_t size) { return add(__real_calloc(count, size)); }

void *__wrap_realloc(void *block, size_t size) {
  long before = block ? (long)malloc_usable_size(block) : 0;
  void *moved = __real_realloc(block, size);
  if (!moved) return NULL;
  atomic_fetch_sub(&now, before);
  return add(moved);
}

void __wrap_free(void *block) {
  subtract(block);
  __real_free(block);
}

char *__wrap_realpath(const char *path, char *resolved) {
  char *result = __real_realpath(path, resolved);
  return resolved ? result : add(result);
}

void meter_reset(void) {
  atomic_store(&now, 0);
  atomic_store(&most, 0);
}

size_t meter_now(void) { return (size_t)atomic_load(&now); }
size_t meter_most(void) { return (size_t)atomic_load(&most); }
