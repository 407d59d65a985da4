/* arena.h - memory that is freed all at once.
 *
 * Blocks double in size up to 1 MiB; larger requests get a block of their own. Pointers stay valid
 * until arena_free. All functions return NULL when memory is out; the arena stays usable. */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include <stdarg.h>
#include <stddef.h>

#include "base/error.h"

struct arena {
  struct arena_block *blocks; /* newest first                      */
  size_t used;                /* bytes used of the newest block    */
};

void arena_init(struct arena *arena);
void arena_free(struct arena *arena);

/* `size` bytes, zeroed, aligned to 16. */
void *arena_alloc(struct arena *arena, size_t size);

/* A copy of `size` bytes plus a terminating zero. */
char *arena_copy(struct arena *arena, const char *bytes, size_t size);

char *arena_printf(struct arena *arena, const char *format, ...) PRINTF_LIKE(2, 3);
char *arena_vprintf(struct arena *arena, const char *format, va_list arguments);

#endif
