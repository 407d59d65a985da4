/* rehash.c - Lua's choice of sizes, see rehash.h.
 *
 * numbers[i] counts the integer keys k with 2^(i-1) < k <= 2^i. The array part gets the largest
 * size 2^i that enough of the keys up to 2^i would fill: more than half of it in 5.4, a third
 * in 5.5. */
#include "lua/rehash.h"

enum { SLICES = 32 }; /* ltable.c: MAXABITS + 1 */

struct key_counts {
  uint64_t total;           /* entries                                 */
  uint64_t integers;        /* of these, with a key for the array part */
  uint64_t numbers[SLICES]; /* these, by slice                         */
};

static unsigned slice_of(uint64_t key) {
  return key <= 1 ? 0 : 64u - (unsigned)__builtin_clzll(key - 1);
}

static void count_array(const struct vm *vm, const struct lua_table *table,
                        struct key_counts *counts) {
  uint64_t index = 0;
  for (unsigned slice = 0; slice < SLICES && index < table->array_size; slice++) {
    uint64_t end = UINT64_C(1) << slice, used = 0;
    if (end > table->array_size) end = table->array_size;
    for (; index < end; index++)
      used += !value_is_empty(table_array_value(vm, table, index));
    counts->numbers[slice] += used;
    counts->integers += used;
  }
  counts->total += counts->integers;
}

static void count_hash(const struct vm *vm, const struct lua_table *table,
                       struct key_counts *counts) {
  for (uint64_t i = 0; i < table->node_count; i++) {
    struct lua_value key, value;
    table_entry(vm, table, i, &key, &value);
    if (value_is_empty(value)) continue;
    counts->total++;
    int64_t integer = key.tag == TAG_INTEGER ? value_integer(vm, key) : 0;
    if (integer < 1 || integer > INT64_C(1) << (SLICES - 1)) continue;
    counts->numbers[slice_of((uint64_t)integer)]++;
    counts->integers++;
  }
}

/* Whether `keys` of them are enough for an array part of `size`. */
static bool is_worth(const struct layout *layout, uint64_t size, uint64_t keys) {
  return layout->array_form == ARRAY_SPLIT ? size <= 3 * keys : keys > size / 2;
}

/* computesizes; `*inside` are the keys that go there. */
static uint64_t best_array(const struct layout *layout, const struct key_counts *counts,
                           uint64_t *inside) {
  uint64_t best = 0, keys = 0;
  *inside = 0;
  for (unsigned slice = 0; slice < SLICES; slice++) {
    uint64_t size = UINT64_C(1) << slice;
    if (!is_worth(layout, size, counts->integers)) break;
    keys += counts->numbers[slice];
    if (!counts->numbers[slice] || !is_worth(layout, size, keys)) continue;
    best = size;
    *inside = keys;
  }
  return best;
}

void table_measure(const struct vm *vm, const struct lua_table *table, struct table_use *use) {
  const struct layout *layout = vm->layout;
  struct key_counts counts = {0};
  count_array(vm, table, &counts);
  uint64_t array_used = counts.total, inside;
  count_hash(vm, table, &counts);
  uint64_t array = best_array(layout, &counts, &inside), rest = counts.total - inside;
  uint64_t nodes = rest ? UINT64_C(1) << slice_of(rest) : 0;
  *use = (struct table_use){
      .array_slots = table->array_size,
      .array_used = array_used,
      .hash_nodes = table->node_count,
      .hash_used = counts.total - array_used,
      .best_array = array,
      .best_nodes = nodes,
      .bytes = table_array_bytes(layout, table->array_size) +
               (table->node_count ? table_hash_bytes(layout, table->node_count) : 0),
      .best_bytes =
          table_array_bytes(layout, array) + (nodes ? table_hash_bytes(layout, nodes) : 0)};
}
