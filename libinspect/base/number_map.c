/* number_map.c - open addressing with linear probing; at most half of the slots are taken, so every
 * probe ends at an empty one. Keys are mixed (the finalizer of MurmurHash3): they come from ids
 * that follow each other. */
#include "base/number_map.h"

#include "base/shortage.h"

#include <stdlib.h>
#include <string.h>

static size_t slot_of(const struct number_map *map, uint64_t key) {
  uint64_t hash = key;
  hash = (hash ^ hash >> 33) * UINT64_C(0xff51afd7ed558ccd);
  hash = (hash ^ hash >> 33) * UINT64_C(0xc4ceb9fe1a85ec53);
  size_t slot = (size_t)(hash ^ hash >> 33) & (map->capacity - 1);
  while (map->values[slot] != NO_NUMBER && map->keys[slot] != key)
    slot = (slot + 1) & (map->capacity - 1);
  return slot;
}

static bool grow(struct number_map *map) {
  size_t capacity = map->capacity ? map->capacity * 2 : 64;
  if (capacity > SIZE_MAX / 16) return false;
  struct number_map grown = {.keys = malloc(capacity * sizeof *grown.keys),
                             .values = malloc(capacity * sizeof *grown.values),
                             .count = map->count,
                             .capacity = capacity};
  if (!grown.keys || !grown.values) {
    shortage_note();
    number_map_free(&grown);
    return false;
  }
  memset(grown.values, 0xff, capacity * sizeof *grown.values);
  for (size_t i = 0; i < map->capacity; i++) {
    if (map->values[i] == NO_NUMBER) continue;
    size_t slot = slot_of(&grown, map->keys[i]);
    grown.keys[slot] = map->keys[i];
    grown.values[slot] = map->values[i];
  }
  number_map_free(map);
  *map = grown;
  return true;
}

uint32_t number_map_get(const struct number_map *map, uint64_t key) {
  return map->count ? map->values[slot_of(map, key)] : NO_NUMBER;
}

bool number_map_set(struct number_map *map, uint64_t key, uint32_t value) {
  if (map->count >= map->capacity / 2 && !grow(map)) return false;
  size_t slot = slot_of(map, key);
  if (map->values[slot] == NO_NUMBER) map->count++;
  map->keys[slot] = key;
  map->values[slot] = value;
  return true;
}

void number_map_free(struct number_map *map) {
  free(map->keys);
  free(map->values);
  *map = (struct number_map){0};
}
