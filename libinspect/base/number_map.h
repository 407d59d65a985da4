/* number_map.h - a hash table from 64-bit keys to 32-bit numbers. Start with {0}. */
#ifndef BASE_NUMBER_MAP_H
#define BASE_NUMBER_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NO_NUMBER UINT32_MAX /* stands for "not there": no value may be it */

struct number_map {
  uint64_t *keys;
  uint32_t *values; /* NO_NUMBER: the slot is empty */
  size_t count, capacity;
};

/* The value of a key, NO_NUMBER if it has none. */
uint32_t number_map_get(const struct number_map *map, uint64_t key);

/* Sets the value of a key, new or not. False: out of memory, the map is unchanged. */
bool number_map_set(struct number_map *map, uint64_t key, uint32_t value);

void number_map_free(struct number_map *map);

#endif
