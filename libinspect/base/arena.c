/* arena.c - memory that is freed all at once: a list of blocks, bump-allocated. */
#include "base/arena.h"

#include "base/shortage.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ALIGNMENT = 16, FIRST_BLOCK = 4096, LARGEST_BLOCK = 1 << 16 };

struct arena_block {
  struct arena_block *older;
  size_t size; /* bytes in `memory` */
  _Alignas(ALIGNMENT) unsigned char memory[];
};

void arena_init(struct arena *arena) { *arena = (struct arena){0}; }

void arena_free(struct arena *arena) {
  for (struct arena_block *block = arena->blocks, *older; block; block = older) {
    older = block->older;
    free(block);
  }
  arena_init(arena);
}

void *arena_alloc(struct arena *arena, size_t size) {
  if (size > SIZE_MAX / 2) {
    shortage_note();
    return NULL;
  }
  size = (size + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
  if (!arena->blocks || size > arena->blocks->size - arena->used) {
    size_t block_size = arena->blocks ? arena->blocks->size * 2 : FIRST_BLOCK;
    if (block_size > LARGEST_BLOCK) block_size = LARGEST_BLOCK;
    if (block_size < size) block_size = size;
    struct arena_block *block = calloc(1, sizeof *block + block_size);
    if (!block) {
      shortage_note();
      return NULL;
    }
    block->older = arena->blocks;
    block->size = block_size;
    arena->blocks = block;
    arena->used = 0;
  }
  void *result = arena->blocks->memory + arena->used;
  arena->used += size;
  return result;
}

char *arena_copy(struct arena *arena, const char *bytes, size_t size) {
  if (size == SIZE_MAX) return NULL;
  char *copy = arena_alloc(arena, size + 1);
  if (copy && size) memcpy(copy, bytes, size);
  return copy;
}

char *arena_vprintf(struct arena *arena, const char *format, va_list arguments) {
  va_list again;
  va_copy(again, arguments);
  int length = vsnprintf(NULL, 0, format, again);
  va_end(again);
  if (length < 0) return NULL;
  char *text = arena_alloc(arena, (size_t)length + 1);
  if (text) vsnprintf(text, (size_t)length + 1, format, arguments);
  return text;
}

char *arena_printf(struct arena *arena, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  char *text = arena_vprintf(arena, format, arguments);
  va_end(arguments);
  return text;
}
