/* meter.c - counts bytes as the allocator has them (malloc_usable_size). Workers of the library
 * count as well: the counters are atomic. */
#include "meter.h"

#include <errno.h>
#include <malloc.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

void *__real_malloc(size_t size);
void *__real_calloc(size_t elements, size_t size);
void *__real_realloc(void *block, size_t size);
void __real_free(void *block);
char *__real_realpath(const char *path, char *resolved);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t elements, size_t size);
void *__wrap_realloc(void *block, size_t size);
void __wrap_free(void *block);
char *__wrap_realpath(const char *path, char *resolved);

static _Atomic long now, most;
static _Atomic size_t count;
static size_t fails_at;
static bool fails_after;

/* Counts an allocation; returns whether it fails. */
static bool fails(void) {
  size_t number = atomic_fetch_add_explicit(&count, 1, memory_order_relaxed) + 1;
  return fails_at && (number == fails_at || (fails_after && number > fails_at));
}

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

void *__wrap_malloc(size_t size) { return fails() ? NULL : add(__real_malloc(size)); }

void *__wrap_calloc(size_t elements, size_t size) {
  return fails() ? NULL : add(__real_calloc(elements, size));
}

void *__wrap_realloc(void *block, size_t size) {
  if (fails()) return NULL;
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
  char *result = fails() ? NULL : __real_realpath(path, resolved);
  return resolved ? result : add(result);
}

void meter_reset(void) {
  atomic_store(&now, 0);
  atomic_store(&most, 0);
}

size_t meter_now(void) { return (size_t)atomic_load(&now); }
size_t meter_most(void) { return (size_t)atomic_load(&most); }

void meter_fail(size_t number, bool and_after) {
  fails_at = number;
  fails_after = and_after;
  atomic_store(&count, 0);
}

size_t meter_count(void) { return atomic_load(&count); }

void *__real_mmap(void *address, size_t size, int protection, int flags, int descriptor,
                  off_t offset);
void *__wrap_mmap(void *address, size_t size, int protection, int flags, int descriptor,
                  off_t offset);

void *__wrap_mmap(void *address, size_t size, int protection, int flags, int descriptor,
                  off_t offset) {
  if (!fails()) return __real_mmap(address, size, protection, flags, descriptor, offset);
  errno = ENOMEM;
  return MAP_FAILED;
}

char *__real_strdup(const char *text);
char *__wrap_strdup(const char *text);
int __real_vasprintf(char **result, const char *format, va_list arguments);
int __wrap_vasprintf(char **result, const char *format, va_list arguments)
    __attribute__((format(printf, 2, 0)));
int __wrap_asprintf(char **result, const char *format, ...) __attribute__((format(printf, 2, 3)));

char *__wrap_strdup(const char *text) { return fails() ? NULL : add(__real_strdup(text)); }

int __wrap_vasprintf(char **result, const char *format, va_list arguments) {
  int length = fails() ? -1 : __real_vasprintf(result, format, arguments);
  if (length >= 0) add(*result);
  return length;
}

int __wrap_asprintf(char **result, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  int length = __wrap_vasprintf(result, format, arguments);
  va_end(arguments);
  return length;
}
