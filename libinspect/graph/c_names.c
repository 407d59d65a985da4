/* c_names.c - names of C functions: the symbol that a file of the target has for their code, else
 * the library name they are reachable by ("string.format").
 *
 * The library names come from package.loaded of each VM, read once; where one function has several,
 * the shortest, then the first in text order, wins, so that the answer does not depend on hashing.
 */
#include "graph/heap.h"

#include "base/shortage.h"

struct c_name {
  uint64_t code;
  const char *name;
};

struct c_names {
  struct VECTOR(struct c_name) list; /* sorted by code, one name each */
  struct arena arena;
};

/* Only functions without upvalues lend their name: the code of a closure is shared by all closures
 * made of it, whatever they do (coroutine.wrap, string.gmatch). */
static uint64_t code_of(struct lua_value value) {
  return value.tag == TAG_LIGHT_FUNCTION ? value.bits : 0;
}

static bool add_module(struct c_names *names, struct vm *vm, uint64_t module, const char *prefix,
                       size_t prefix_size) {
  enum { MOST_ENTRIES = 4096 };
  struct lua_table table;
  if (table_load(vm, module, &table) || table.node_count > MOST_ENTRIES) return true;
  bool is_global = prefix_size == 2 && memcmp(prefix, "_G", 2) == 0;
  struct text text = {0};
  bool fits = true;
  for (uint64_t i = 0; fits && i < table.node_count; i++) {
    struct lua_value key, value;
    table_entry(vm, &table, i, &key, &value);
    uint64_t code = code_of(value);
    if (!code || !value_is_object(key) || !value_is_string(key)) continue;
    size_t size;
    const char *bytes = string_bytes(vm, key.bits, &size);
    if (!bytes || !text_is_name(bytes, size)) continue;
    text.count = 0;
    if (!is_global)
      fits = text_escape(&text, prefix, prefix_size, 0) && text_add_string(&text, ".");
    fits = fits && text_add(&text, bytes, size);
    struct c_name name = {code, fits ? arena_copy(&names->arena, text.items, text.count) : NULL};
    fits = name.name && vector_push(&names->list, name);
  }
  vector_free(&text);
  return fits;
}

static bool add_vm(struct c_names *names, struct heap *heap, struct heap_vm *owner) {
  struct lua_table loaded;
  if (owner->loaded == NO_OBJECT ||
      table_load(&owner->vm, heap_address(heap, owner->loaded), &loaded))
    return true;
  for (uint64_t i = 0; i < loaded.node_count; i++) {
    struct lua_value key, value;
    table_entry(&owner->vm, &loaded, i, &key, &value);
    size_t size;
    const char *bytes = value_is_object(key) && value_is_string(key) && value_is_object(value)
                            ? string_bytes(&owner->vm, key.bits, &size)
                            : NULL;
    if (bytes && !add_module(names, &owner->vm, value.bits, bytes, size)) return false;
  }
  return true;
}

static int by_code_and_name(const void *left, const void *right) {
  const struct c_name *a = left, *b = right;
  if (a->code != b->code) return a->code < b->code ? -1 : 1;
  size_t a_size = strlen(a->name), b_size = strlen(b->name);
  if (a_size != b_size) return a_size < b_size ? -1 : 1;
  return strcmp(a->name, b->name);
}

static struct c_names *names_create(struct heap *heap) {
  struct c_names *names = calloc(1, sizeof *names);
  if (!names) {
    shortage_note();
    return NULL;
  }
  arena_init(&names->arena);
  for (size_t i = 0; i < heap->vm_count && add_vm(names, heap, &heap->vms[i]); i++) {
  }
  if (names->list.count)
    qsort(names->list.items, names->list.count, sizeof *names->list.items, by_code_and_name);
  size_t kept = 0;
  for (size_t i = 0; i < names->list.count; i++)
    if (!kept || names->list.items[kept - 1].code != names->list.items[i].code)
      names->list.items[kept++] = names->list.items[i];
  names->list.count = kept;
  return names;
}

const char *heap_c_function_name(struct heap *heap, uint64_t code) {
  const char *symbol;
  if (source_symbol(heap->source, code, &symbol)) return symbol;
  if (!heap->c_names) heap->c_names = names_create(heap);
  size_t low = 0, high = heap->c_names ? heap->c_names->list.count : 0;
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    const struct c_name *name = &heap->c_names->list.items[middle];
    if (name->code == code) return name->name;
    if (name->code < code)
      low = middle + 1;
    else
      high = middle;
  }
  return NULL;
}

void heap_c_names_close(struct heap *heap) {
  if (!heap->c_names) return;
  vector_free(&heap->c_names->list);
  arena_free(&heap->c_names->arena);
  free(heap->c_names);
  heap->c_names = NULL;
}
