/* class_names.c - a breadth-first search over the fields of named tables.
 *
 * Tables are named level by level: all candidates of a level are collected, of several paths to one
 * table the first in text order is kept, and the level is sorted by path before the next one
 * begins. So the answer does not depend on the order of entries in hash parts. Tables with very
 * many references hold data, not classes: they are named, but not entered. When memory is out,
 * names are missing. */
#include "graph/class_names.h"

#include <string.h>

#include "base/number_map.h"
#include "base/shortage.h"

enum { MOST_STEPS = 3, MOST_REFERENCES = 1 << 14, MOST_NAMED = 1 << 17, LONGEST_NAME = 100 };

struct named_table {
  object_id table;
  const char *path;
};

struct class_names {
  struct number_map path_of; /* table -> its number in `tables`          */
  struct VECTOR(struct named_table) tables;
  struct number_map registered; /* table -> its number in `registry_names`  */
  struct VECTOR(const char *) registry_names;
  struct number_map known; /* metatable -> its number in `answers`     */
  struct VECTOR(struct class_name) answers;
  struct arena arena;
};

object_id graph_metatable(const struct graph *graph, object_id object) {
  reference_id first = graph_first(graph, object);
  uint8_t type = graph->type[object];
  if ((type != OBJECT_TABLE && type != OBJECT_USERDATA) ||
      first == graph_first(graph, (uint64_t)object + 1) ||
      graph->kind[first] != REFERENCE_METATABLE)
    return NO_OBJECT;
  return graph->target[first];
}

/* ---- Texts ----------------------------------------------------------------------------------- */

/* A copy, escaped, cut where it is longer than any name should be. */
static const char *keep(struct class_names *names, const char *bytes, size_t size) {
  struct text text = {0};
  size_t shown = size;
  if (shown > LONGEST_NAME) {
    shown = LONGEST_NAME;
    while (shown && ((unsigned char)bytes[shown] & 0xC0) == 0x80) /* within a character */
      shown--;
  }
  bool fits =
      text_escape(&text, bytes, shown, 0) && (shown == size || text_add_string(&text, "..."));
  const char *copy = fits ? arena_copy(&names->arena, text.items, text.count) : NULL;
  vector_free(&text);
  return copy;
}

static const char *string_of(const struct graph *graph, object_id object, size_t *size) {
  return graph->type[object] == OBJECT_STRING
             ? graph->labels.string(graph->labels.context, object, size)
             : NULL;
}

/* The entries of a row with a string as key and an object as value. */
struct field {
  reference_id begin, at, end;
  object_id key, value;
};

static struct field fields_begin(const struct graph *graph, object_id table) {
  reference_id begin = graph_first(graph, table);
  return (struct field){
      .begin = begin, .at = begin, .end = graph_first(graph, (uint64_t)table + 1)};
}

static bool field_next(const struct graph *graph, struct field *field) {
  while (field->at < field->end) {
    reference_id reference = field->at++;
    if (graph->kind[reference] != REFERENCE_FIELD || reference == field->begin ||
        graph->kind[reference - 1] != REFERENCE_KEY)
      continue;
    field->key = graph->target[reference - 1];
    field->value = graph->target[reference];
    return true;
  }
  return false;
}

static bool is_text(const char *bytes, size_t size, const char *text) {
  return bytes && strlen(text) == size && memcmp(bytes, text, size) == 0;
}

/* ---- Paths ----------------------------------------------------------------------------------- */

/* A candidate of the level that began at `level`. */
static void offer(struct class_names *names, size_t level, object_id table, const char *path) {
  uint32_t number = number_map_get(&names->path_of, table);
  if (!path || (number != NO_NUMBER && number < level)) return;
  if (number != NO_NUMBER) {
    struct named_table *found = &names->tables.items[number];
    if (strcmp(path, found->path) < 0) found->path = path;
    return;
  }
  struct named_table found = {table, path};
  if (names->tables.count < MOST_NAMED && vector_push(&names->tables, found))
    (void)number_map_set(&names->path_of, table, (uint32_t)names->tables.count - 1);
}

/* The path of a field of the table at `prefix` (NULL: of a table that stands for no step). */
static const char *path_of_field(struct class_names *names, const char *prefix, const char *key,
                                 size_t size, bool is_module) {
  if (!key || !size) return NULL;
  if (is_module) return keep(names, key, size);
  if (!text_is_name(key, size) || is_text(key, size, "__index")) return NULL;
  if (prefix && size > 2 && key[0] == '_' && key[1] == '_') return prefix;
  if (!prefix) return keep(names, key, size);
  return size <= LONGEST_NAME ? arena_printf(&names->arena, "%s.%.*s", prefix, (int)size, key)
                              : NULL;
}

static void offer_fields(struct class_names *names, const struct graph *graph,
                         const struct heap_vm *owner, size_t level, object_id table,
                         const char *prefix) {
  bool is_modules = table == owner->loaded;
  bool is_root = is_modules || table == owner->globals;
  struct field field = fields_begin(graph, table);
  if (!is_root && field.end - field.at > MOST_REFERENCES) return;
  if (graph->flags[table] & (OBJECT_WEAK_KEYS | OBJECT_WEAK_VALUES)) return;
  while (field_next(graph, &field)) {
    size_t size = 0;
    if (graph->type[field.value] != OBJECT_TABLE || field.value == owner->globals ||
        field.value == owner->loaded)
      continue;
    const char *key = string_of(graph, field.key, &size);
    offer(names, level, field.value, path_of_field(names, prefix, key, size, is_modules));
  }
}

static int by_path(const void *left, const void *right) {
  const struct named_table *a = left, *b = right;
  return strcmp(a->path, b->path);
}

static void sort_level(struct class_names *names, size_t level) {
  struct named_table *tables = names->tables.items;
  if (names->tables.count == level) return;
  qsort(tables + level, names->tables.count - level, sizeof *tables, by_path);
  for (size_t i = level; i < names->tables.count; i++)
    (void)number_map_set(&names->path_of, tables[i].table, (uint32_t)i);
}

static void name_tables(struct class_names *names, const struct graph *graph,
                        const struct heap_vm *owner) {
  size_t from = names->tables.count, level = from;
  if (owner->globals != NO_OBJECT) offer_fields(names, graph, owner, level, owner->globals, NULL);
  if (owner->loaded != NO_OBJECT) offer_fields(names, graph, owner, level, owner->loaded, NULL);
  sort_level(names, level);
  for (int step = 1; step < MOST_STEPS; step++) {
    size_t end = names->tables.count;
    for (size_t i = from; i < end; i++) {
      struct named_table parent = names->tables.items[i];
      offer_fields(names, graph, owner, end, parent.table, parent.path);
    }
    sort_level(names, end);
    from = end;
  }
}

static void name_registered(struct class_names *names, const struct graph *graph,
                            const struct heap_vm *owner) {
  if (owner->registry == NO_OBJECT) return;
  struct field field = fields_begin(graph, owner->registry);
  while (field_next(graph, &field)) {
    size_t size = 0;
    const char *key = string_of(graph, field.key, &size);
    if (graph->type[field.value] != OBJECT_TABLE || !key || !size) continue;
    if (field.value == owner->globals || field.value == owner->loaded) continue;
    const char *name = keep(names, key, size);
    uint32_t number = number_map_get(&names->registered, field.value);
    if (!name) return;
    if (number != NO_NUMBER) {
      const char **found = &names->registry_names.items[number];
      if (strcmp(name, *found) < 0) *found = name;
    } else if (vector_push(&names->registry_names, name)) {
      (void)number_map_set(&names->registered, field.value,
                           (uint32_t)names->registry_names.count - 1);
    }
  }
}

static struct class_names *names_of(struct heap *heap) {
  if (heap->class_names) return heap->class_names;
  struct class_names *names = heap->class_names = calloc(1, sizeof *names);
  if (!names) {
    shortage_note();
    return NULL;
  }
  arena_init(&names->arena);
  for (size_t i = 0; i < heap->vm_count; i++) {
    name_tables(names, &heap->graph, &heap->vms[i]);
    name_registered(names, &heap->graph, &heap->vms[i]);
  }
  return names;
}

void heap_class_names_close(struct heap *heap) {
  struct class_names *names = heap->class_names;
  heap->class_names = NULL;
  if (!names) return;
  number_map_free(&names->path_of);
  number_map_free(&names->registered);
  number_map_free(&names->known);
  vector_free(&names->tables);
  vector_free(&names->registry_names);
  vector_free(&names->answers);
  arena_free(&names->arena);
  free(names);
}

/* ---- Answers --------------------------------------------------------------------------------- */

static const char *path_of(const struct class_names *names, object_id table) {
  uint32_t number = number_map_get(&names->path_of, table);
  return number == NO_NUMBER ? NULL : names->tables.items[number].path;
}

static struct class_name find_name(struct class_names *names, const struct graph *graph,
                                   object_id metatable) {
  object_id index = NO_OBJECT;
  struct field field = fields_begin(graph, metatable);
  while (field_next(graph, &field)) {
    size_t key_size = 0, size = 0;
    const char *key = string_of(graph, field.key, &key_size);
    if (is_text(key, key_size, "__index") && graph->type[field.value] == OBJECT_TABLE)
      index = field.value;
    if (!is_text(key, key_size, "__name")) continue;
    const char *name = string_of(graph, field.value, &size);
    if (name && size) return (struct class_name){keep(names, name, size), CLASS_BY_NAME};
  }
  const char *path = path_of(names, metatable);
  if (!path && index != NO_OBJECT) path = path_of(names, index);
  if (path) return (struct class_name){path, CLASS_BY_PATH};
  uint32_t number = number_map_get(&names->registered, metatable);
  if (number == NO_NUMBER) return (struct class_name){NULL, CLASS_BY_TYPE};
  return (struct class_name){names->registry_names.items[number], CLASS_BY_REGISTRY};
}

struct class_name heap_class_name(struct heap *heap, object_id metatable) {
  struct class_names *names = names_of(heap);
  if (!names || metatable == NO_OBJECT || heap->graph.type[metatable] != OBJECT_TABLE)
    return (struct class_name){NULL, CLASS_BY_TYPE};
  uint32_t number = number_map_get(&names->known, metatable);
  if (number != NO_NUMBER) return names->answers.items[number];
  struct class_name name = find_name(names, &heap->graph, metatable);
  if (vector_push(&names->answers, name))
    (void)number_map_set(&names->known, metatable, (uint32_t)names->answers.count - 1);
  return name;
}
