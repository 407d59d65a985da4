/* address_map.h - from target addresses to dense numbers, and back.
 *
 * The ranges of readable memory, laid end to end, are divided into granules of the target's pointer
 * size; a granule's number fits 32 bits (32 GiB of 8-byte granules). One bit per granule says
 * whether an object starts there. After address_map_seal the rank of a marked granule (how many are
 * marked before it) numbers the objects by address without holes: bit set + popcount, 1/64 of the
 * memory plus 1/4 of that for the directory of ranks, in which each look-up reads one place and
 * counts the bits of one word, without a branch. */
#ifndef BASE_ADDRESS_MAP_H
#define BASE_ADDRESS_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define NO_GRANULE UINT32_MAX

struct address_range {
  uint64_t start, end;  /* target addresses                          */
  const uint8_t *bytes; /* the same memory in the host               */
  uint32_t first;       /* number of the first granule               */
  uint32_t granules;    /* how many                                  */
  uint64_t place;       /* address of the first granule              */
};

enum { RANK_WORDS = 4 }; /* words of marks that one entry of the directory of ranks counts */

struct rank_entry {
  uint32_t before;          /* marks before its words ...        */
  uint8_t more[RANK_WORDS]; /* ... plus those before each of them */
};

struct address_map {
  unsigned shift;               /* log2 of the granule */
  struct address_range *ranges; /* sorted */
  size_t range_count;
  uint64_t *marks;          /* one bit per granule        */
  struct rank_entry *ranks; /* after seal */
  uint64_t granule_count;
  uint64_t marked;
};

/* `ranges` (start, end, bytes filled in; sorted, disjoint) are copied. */
MUST_CHECK struct inspect_error *address_map_init(struct address_map *map, unsigned shift,
                                                  const struct address_range *ranges, size_t count);
void address_map_free(struct address_map *map);

/* The range that holds the address, NULL if none. `*hint` is the last answer, kept by the caller:
 * neighbours in time are neighbours in space. Start with *hint = 0. */
static inline const struct address_range *address_map_find(const struct address_map *map,
                                                           uint64_t address, size_t *hint) {
  const struct address_range *range = &map->ranges[*hint];
  if (address >= range->start && address < range->end) return range;
  size_t low = 0, high = map->range_count;
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    if (map->ranges[middle].end <= address)
      low = middle + 1;
    else
      high = middle;
  }
  if (low == map->range_count || address < map->ranges[low].start) return NULL;
  *hint = low;
  return &map->ranges[low];
}

static inline uint32_t address_map_granule(const struct address_map *map,
                                           const struct address_range *range, uint64_t address) {
  return range->first + (uint32_t)((address - range->start) >> map->shift);
}

/* The granule of an address, NO_GRANULE if it is not in the map or not aligned. */
static inline uint32_t address_map_number(const struct address_map *map, uint64_t address,
                                          size_t *hint) {
  const struct address_range *range = address_map_find(map, address, hint);
  if (!range || (address & ((UINT64_C(1) << map->shift) - 1))) return NO_GRANULE;
  return address_map_granule(map, range, address);
}

static inline bool address_map_is_marked(const struct address_map *map, uint32_t granule) {
  return map->marks[granule >> 6] >> (granule & 63) & 1;
}

/* Marks a granule; returns whether it is new. */
static inline bool address_map_mark(struct address_map *map, uint32_t granule) {
  uint64_t *word = &map->marks[granule >> 6], bit = UINT64_C(1) << (granule & 63);
  if (*word & bit) return false;
  *word |= bit;
  map->marked++;
  return true;
}

/* The target address of a granule: binary search over the ranges. */
uint64_t address_map_address(const struct address_map *map, uint32_t granule);

/* The range of a granule: the last one that starts at or before it and is not empty. */
size_t address_map_range(const struct address_map *map, uint32_t granule);

/* The host address of a granule's bytes, its target address, and how many bytes the range holds
 * from there on. NULL, and none: there are no whole ones. `hint` as in address_map_find. */
static inline const uint8_t *address_map_bytes(const struct address_map *map, uint32_t granule,
                                               size_t *hint, uint64_t *address,
                                               uint64_t *available) {
  const struct address_range *range = &map->ranges[*hint];
  if (__builtin_expect(granule - range->first >= range->granules, 0)) {
    *hint = address_map_range(map, granule);
    range = &map->ranges[*hint];
  }
  *address = range->place + ((uint64_t)(granule - range->first) << map->shift);
  bool is_inside = *address >= range->start && *address < range->end;
  *available = is_inside ? range->end - *address : 0;
  return is_inside ? range->bytes + (*address - range->start) : NULL;
}

/* Builds the directory of ranks. No marks may be set afterwards. */
MUST_CHECK struct inspect_error *address_map_seal(struct address_map *map);

/* How many marked granules lie before a marked one: its number by address. */
static inline uint32_t address_map_rank(const struct address_map *map, uint32_t granule) {
  uint32_t word = granule >> 6;
  const struct rank_entry *entry = &map->ranks[word / RANK_WORDS];
  uint64_t below = map->marks[word] & ((UINT64_C(1) << (granule & 63)) - 1);
  return entry->before + entry->more[word % RANK_WORDS] + (uint32_t)__builtin_popcountll(below);
}

/* Asks for what address_map_is_marked and address_map_rank read. */
static inline void address_map_prefetch(const struct address_map *map, uint32_t granule) {
  __builtin_prefetch(&map->marks[granule >> 6]);
  __builtin_prefetch(&map->ranks[(granule >> 6) / RANK_WORDS]);
}

#endif
