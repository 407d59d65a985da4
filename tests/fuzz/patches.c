/* patches.c - damage as an input, and inputs as damage. */
#include "patches.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "damage.h"
#include "targets.h"

enum { MOST_VICTIMS = 16, HEAD = 4, MOST_BYTES = 8, IS_END = 0x80 };

static struct victim victims[MOST_VICTIMS];
static size_t victim_count;
static struct victim *patched;
static size_t patched_size;
static char folder[] = "/tmp/fuzz_cores.XXXXXX";

static void remove_folder(void) { rmdir(folder); }

void fuzz_open_cores(char **names) {
  if (!mkdtemp(folder)) exit(2);
  atexit(remove_folder);
  for (; names[victim_count] && victim_count < MOST_VICTIMS; victim_count++)
    victim_open(&victims[victim_count], names[victim_count], folder);
  if (victim_count) return;
  fprintf(stderr, "no cores are named\n");
  exit(2);
}

struct victim *patches_victim(size_t number) {
  return &victims[number % victim_count];
}

static size_t offset_of(const struct victim *victim, const uint8_t *patch) {
  return ((size_t)patch[1] | (size_t)patch[2] << 8 | (size_t)patch[3] << 16) % victim->size;
}

struct victim *patches_apply(const uint8_t *bytes, size_t size) {
  struct victim *victim = patches_victim(size ? bytes[0] : 0);
  patched = victim;
  patched_size = victim->size;
  for (size_t i = 1; i + HEAD < size;) {
    size_t offset = offset_of(victim, bytes + i), count = (bytes[i] & 7u) + 1u;
    if (bytes[i] & IS_END) {
      patched_size = offset + 1;
      i += HEAD;
      continue;
    }
    if (count > size - i - HEAD) count = size - i - HEAD;
    memcpy(victim->bytes + offset, bytes + i + HEAD,
           count < victim->size - offset ? count : victim->size - offset);
    i += HEAD + count;
  }
  if (patched_size < victim->size && ftruncate(victim->descriptor, (off_t)patched_size)) abort();
  return victim;
}

size_t patches_size(void) { return patched_size; }

void patches_undo(void) {
  if (patched_size < patched->size && ftruncate(patched->descriptor, (off_t)patched->size)) abort();
  memcpy(patched->bytes, patched->original, patched->size);
}

size_t patches_add(uint8_t *input, size_t size, size_t room, size_t offset, const uint8_t *bytes,
                   size_t count) {
  for (size_t i = 0; i < count; i += MOST_BYTES) {
    size_t each = count - i < MOST_BYTES ? count - i : MOST_BYTES;
    if (size + HEAD + each > room) return size;
    input[size] = (uint8_t)(each - 1);
    for (unsigned b = 0; b < 3; b++)
      input[size + 1 + b] = (uint8_t)((offset + i) >> 8 * b);
    memcpy(input + size + HEAD, bytes + i, each);
    size += HEAD + each;
  }
  return size;
}

size_t patches_mutate(uint8_t *bytes, size_t size, size_t room, uint64_t seed) {
  if (!room) return 0;
  if (!size) bytes[size++] = (uint8_t)seed;
  struct victim *victim = patches_victim(bytes[0]);
  struct damage damage;
  damage_apply(&damage, victim, victim->bytes, seed);
  for (size_t i = 0; i < damage.change_count; i++) {
    struct change change = damage.changes[i];
    size =
        patches_add(bytes, size, room, change.offset, victim->bytes + change.offset, change.size);
  }
  if (damage.size < victim->size && size + HEAD <= room) {
    bytes[size] = IS_END;
    for (unsigned b = 0; b < 3; b++)
      bytes[size + 1 + b] = (uint8_t)((damage.size - 1) >> 8 * b);
    size += HEAD;
  }
  damage_undo(&damage);
  return size;
}
