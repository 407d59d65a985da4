/* function_names.c - one pass over package.loaded and its tables, then a sorted list.
 *
 * Tables of a damaged target may share their nodes: the pass ends when it has seen as many entries
 * as the memory could hold. */
#include "lua/function_names.h"

static bool is_function(struct lua_value value) {
  return value.tag == TAG_LIGHT_FUNCTION || value.tag == (TAG_C_FUNCTION | TAG_COLLECTABLE) ||
         value.tag == (TAG_LUA_FUNCTION | TAG_COLLECTABLE);
}

struct search {
  struct vm *vm;
  struct function_names *names;
  uint64_t budget; /* entries */
};

static bool add_name(struct search *search, struct lua_value function, struct function_name name) {
  name.function = function.bits;
  name.order = search->names->count;
  return vector_push(search->names, name);
}

/* The key of entry `i` if it is a string and its value is something. */
static const char *string_key(struct search *search, const struct lua_table *table, uint64_t i,
                              size_t *size, struct lua_value *value) {
  struct lua_value key;
  table_entry(search->vm, table, i, &key, value);
  if (value_is_empty(*value) || !value_is_object(key) || !value_is_string(key)) return NULL;
  return string_bytes(search->vm, key.bits, size);
}

static bool open_table(struct search *search, uint64_t address, struct lua_table *table) {
  if (table_load(search->vm, address, table) || table->node_count > search->budget) return false;
  search->budget -= table->node_count;
  return true;
}

static bool search_module(struct search *search, uint64_t address, struct function_name name) {
  struct lua_table table;
  if (!open_table(search, address, &table)) return true;
  for (uint64_t i = 0; i < table.node_count; i++) {
    struct lua_value value;
    name.field = string_key(search, &table, i, &name.field_size, &value);
    if (name.field && is_function(value) && !add_name(search, value, name)) return false;
  }
  return true;
}

static int by_function_and_order(const void *left, const void *right) {
  const struct function_name *a = left, *b = right;
  if (a->function != b->function) return a->function < b->function ? -1 : 1;
  return a->order < b->order ? -1 : a->order > b->order;
}

bool function_names_find(struct vm *vm, uint64_t loaded, struct function_names *names) {
  struct search search = {vm, names, vm->memory.map->granule_count};
  struct lua_table table;
  names->count = 0;
  if (!loaded || !open_table(&search, loaded, &table)) return true;
  for (uint64_t i = 0; i < table.node_count; i++) {
    struct lua_value value;
    struct function_name name = {0};
    name.module = string_key(&search, &table, i, &name.module_size, &value);
    if (!name.module) continue;
    if (is_function(value) && !add_name(&search, value, name)) return false;
    if (value.tag == (TAG_TABLE | TAG_COLLECTABLE) && !search_module(&search, value.bits, name))
      return false;
  }
  if (names->count) qsort(names->items, names->count, sizeof *names->items, by_function_and_order);
  return true;
}

const struct function_name *function_name_of(const struct function_names *names,
                                             struct lua_value function) {
  size_t low = 0, high = names->count;
  if (!is_function(function)) return NULL;
  while (low < high) { /* the first of those of the function */
    size_t middle = low + (high - low) / 2;
    if (names->items[middle].function < function.bits)
      low = middle + 1;
    else
      high = middle;
  }
  return low < names->count && names->items[low].function == function.bits ? &names->items[low]
                                                                           : NULL;
}
