/* references.c - the list of free references, walked with a bit for each integer, so that a list
 * that leads back to itself ends. */
#include "lua/references.h"

static int64_t list_head(const struct layout *layout) {
  enum { SINCE_550 = 1, SINCE_543 = 3, BEFORE = 0 };
  if (layout->array_form == ARRAY_SPLIT) return SINCE_550;
  return layout_has(layout, lua_State_tbclist) ? SINCE_543 : BEFORE; /* 5.4.3 has both */
}

struct links {
  uint64_t most;  /* the largest integer that counts                             */
  uint64_t limit; /* references are dense: an integer far above is none          */
  int64_t head;
  uint32_t *next; /* of each integer, if its value is one: that; else 0; or NULL */
};

static void see(struct links *links, const struct vm *vm, uint64_t key, struct lua_value value) {
  uint64_t link = value.tag == TAG_INTEGER ? (uint64_t)value_integer(vm, value) : 0;
  if (links->next) {
    if (key <= links->most && link <= links->most) links->next[key] = (uint32_t)link;
    return;
  }
  if (key <= links->limit && key > links->most) links->most = key;
  /* until 5.4.2 the last free reference is nil */
  if (key == (uint64_t)links->head && link <= links->limit && link > links->most)
    links->most = link;
}

/* Shows each integer key and its value to `see`. */
static void see_all(struct links *links, const struct vm *vm, const struct lua_table *table) {
  for (uint64_t i = 0; i < table->array_size; i++) {
    struct lua_value value = table_array_value(vm, table, i);
    if (!value_is_empty(value)) see(links, vm, i + 1, value);
  }
  for (uint64_t i = 0; i < table->node_count; i++) {
    struct lua_value key, value;
    table_entry(vm, table, i, &key, &value);
    if (key.tag == TAG_INTEGER && !value_is_empty(value))
      see(links, vm, (uint64_t)value_integer(vm, key), value);
  }
}

static void walk(const struct links *links, struct references *result) {
  uint64_t head = (uint64_t)links->head, at = head <= links->most ? links->next[head] : 0;
  for (; at; at = links->next[at]) {
    if ((int64_t)at < result->first || !bitset_insert(&result->is_free, at)) {
      result->is_broken = true;
      return;
    }
    result->free++;
  }
}

bool references_load(const struct vm *vm, const struct lua_table *registry,
                     struct references *result) {
  const struct layout *layout = vm->layout;
  int64_t predefined = layout->globals_index > layout->main_thread_index
                           ? layout->globals_index
                           : layout->main_thread_index;
  struct links links = {.head = list_head(layout)};
  *result = (struct references){.head = links.head};
  result->first = (links.head > predefined ? links.head : predefined) + 1;
  links.limit = 16 * (registry->array_size + registry->node_count) + 1024;
  if (links.limit > UINT32_MAX - 1) links.limit = UINT32_MAX - 1;
  see_all(&links, vm, registry);
  result->most = links.most;
  links.next = calloc((size_t)links.most + 1, sizeof *links.next);
  bool fits = links.next && bitset_init(&result->is_free, links.most + 1);
  if (fits) {
    see_all(&links, vm, registry);
    walk(&links, result);
  }
  free(links.next);
  return fits;
}

void references_free(struct references *references) { bitset_free(&references->is_free); }

bool references_holds(const struct references *references, int64_t key) {
  return key >= references->first && (uint64_t)key <= references->most &&
         !bitset_has(&references->is_free, (uint64_t)key);
}
