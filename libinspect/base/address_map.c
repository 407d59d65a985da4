/* address_map.c - from target addresses to dense numbers: a bit set with a directory of ranks.
 *
 * Granules are numbered range by range, from each range's first aligned address on. A range that
 * does not start at a multiple of the granule (only damaged cores have one) still numbers its
 * aligned addresses without collision: (address - start) >> shift is the distance from the first
 * aligned address, as start lies less than one granule before it. */
#include "base/address_map.h"

#include <stdlib.h>

#include "base/large.h"

static uint64_t align_up(const struct address_map *map, uint64_t address) {
  uint64_t mask = (UINT64_C(1) << map->shift) - 1;
  return address > UINT64_MAX - mask ? UINT64_MAX & ~mask : (address + mask) & ~mask;
}

/* Granules of a range, rounded up. */
static uint64_t granules(const struct address_map *map, const struct address_range *range) {
  uint64_t size = range->end - range->start, mask = (UINT64_C(1) << map->shift) - 1;
  return (size >> map->shift) + ((size & mask) != 0);
}

/* Entries of the directory of ranks. */
static size_t entry_count(const struct address_map *map) {
  return (size_t)(map->granule_count / (RANK_WORDS * 64)) + 1;
}

static struct inspect_error *number_ranges(struct address_map *map) {
  for (size_t i = 0; i < map->range_count; i++) {
    struct address_range *range = &map->ranges[i];
    bool is_sorted = range->start <= range->end && (i == 0 || range[-1].end <= range->start);
    if (!is_sorted)
      return error_at(INSPECT_ERROR_TARGET, range->start, NULL, "memory ranges overlap");
    range->first = (uint32_t)map->granule_count;
    uint64_t more = granules(map, range);
    if (more >= NO_GRANULE - map->granule_count)
      return error_create(INSPECT_ERROR_UNSUPPORTED,
                          "dump less: see coredump_filter in core(5), or leave huge mappings out",
                          "the target has more than %u GiB of readable memory", 4u << map->shift);
    range->granules = (uint32_t)more;
    range->place = align_up(map, range->start);
    map->granule_count += more;
  }
  return NULL;
}

struct inspect_error *address_map_init(struct address_map *map, unsigned shift,
                                       const struct address_range *ranges, size_t count) {
  *map = (struct address_map){.shift = shift, .range_count = count};
  /* One range more than needed: address_map_find looks at ranges[0] of an empty map, too. */
  map->ranges = calloc(count + 1, sizeof *map->ranges);
  if (!map->ranges) return error_no_memory();
  for (size_t i = 0; i < count; i++)
    map->ranges[i] = ranges[i];
  struct inspect_error *error = number_ranges(map);
  if (!error) {
    map->marks = large_zeroed(entry_count(map) * RANK_WORDS, sizeof *map->marks);
    if (!map->marks) error = error_no_memory();
  }
  if (error) address_map_free(map);
  return error;
}

void address_map_free(struct address_map *map) {
  free(map->ranges);
  free(map->marks);
  free(map->ranks);
  *map = (struct address_map){0};
}

size_t address_map_range(const struct address_map *map, uint32_t granule) {
  size_t low = 0, high = map->range_count;
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    if (map->ranges[middle].first <= granule)
      low = middle + 1;
    else
      high = middle;
  }
  return low ? low - 1 : 0;
}

uint64_t address_map_address(const struct address_map *map, uint32_t granule) {
  const struct address_range *range = &map->ranges[address_map_range(map, granule)];
  return range->place + ((uint64_t)(granule - range->first) << map->shift);
}

static inline __attribute__((always_inline)) void fill_ranks(struct address_map *map) {
  size_t count = entry_count(map);
  uint32_t rank = 0;
  for (size_t i = 0; i < count; i++) {
    struct rank_entry *entry = &map->ranks[i];
    entry->before = rank;
    for (size_t j = 0; j < RANK_WORDS; j++) {
      entry->more[j] = (uint8_t)(rank - entry->before);
      rank += (uint32_t)__builtin_popcountll(map->marks[i * RANK_WORDS + j]);
    }
  }
}

static void fill_ranks_plain(struct address_map *map) { fill_ranks(map); }

#if defined __x86_64__
__attribute__((target("popcnt"))) static void fill_ranks_popcnt(struct address_map *map) {
  fill_ranks(map);
}
#endif

struct inspect_error *address_map_seal(struct address_map *map) {
  free(map->ranks);
  map->ranks = large_alloc(entry_count(map), sizeof *map->ranks);
  if (!map->ranks) return error_no_memory();
#if defined __x86_64__
  if (__builtin_cpu_supports("popcnt")) {
    fill_ranks_popcnt(map);
    return NULL;
  }
#endif
  fill_ranks_plain(map);
  return NULL;
}
