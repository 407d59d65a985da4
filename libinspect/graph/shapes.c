/* shapes.c - field names, key sets and elements.
 *
 * The graph says which strings are keys, so most tables are never read again: only those without
 * field names are, for elements that are no objects. A set of field names is known by the sum of
 * the mixed ids of its strings: short strings are interned, so within a VM the id is the text. */
#include "graph/shapes.h"

#include <string.h>

enum {
  MANY_USES = 8,
  MOST_FIELDS = 100,
  SHOWN_FIELDS = 8,
  LONGEST_FIELD = 40,
  CHECK_EVERY = 1 << 16,
  ROW_STEPS = 1 << 16, /* references of one table */
};

/* ---- Field names ----------------------------------------------------------------------------- */

static void count_row(const struct graph *graph, object_id object, uint8_t wanted, uint8_t weight,
                      uint8_t *uses) {
  reference_id end = graph_first(graph, (uint64_t)object + 1);
  for (reference_id i = graph_first(graph, object); i < end; i++) {
    if (graph->kind[i] != wanted) continue;
    object_id string = graph->target[i];
    if (uses[string] < MANY_USES && graph->type[string] == OBJECT_STRING)
      uses[string] = (uint8_t)(uses[string] + weight);
  }
}

/* What is no identifier is no field name: headers["content-type"] is data. */
static void drop_texts(const struct graph *graph, uint8_t *uses) {
  for (object_id string = 0; string < graph->object_count; string++) {
    size_t size = 0;
    if (uses[string] < MANY_USES) continue;
    const char *bytes = graph->labels.string(graph->labels.context, string, &size);
    if (!bytes || size > LONGEST_FIELD || !text_is_name(bytes, size)) uses[string] = 0;
  }
}

struct inspect_error *shapes_open(struct shapes *shapes, struct heap *heap,
                                  const struct work *work) {
  const struct graph *graph = &heap->graph;
  *shapes = (struct shapes){
      .heap = heap, .work = work, .uses = calloc((size_t)graph->object_count + 1, 1)};
  if (!shapes->uses) return error_no_memory();
  for (object_id object = 0; object < graph->object_count; object++) {
    if (object % CHECK_EVERY == 0 && work_stops(work, "field names", object, graph->object_count))
      return error_interrupted();
    if (graph->type[object] == OBJECT_TABLE)
      count_row(graph, object, REFERENCE_KEY, 1, shapes->uses);
    else if (graph->type[object] == OBJECT_PROTOTYPE)
      count_row(graph, object, REFERENCE_CONSTANT, MANY_USES, shapes->uses);
  }
  drop_texts(graph, shapes->uses);
  return NULL;
}

void shapes_close(struct shapes *shapes) {
  free(shapes->uses);
  *shapes = (struct shapes){0};
}

static bool is_field_name(const struct shapes *shapes, object_id key) {
  return shapes->uses[key] >= MANY_USES;
}

/* ---- Forms ----------------------------------------------------------------------------------- */

static enum element_kind kind_of_scalar(struct lua_value value) {
  switch (value.tag) {
  case TAG_INTEGER:
  case TAG_FLOAT:
    return ELEMENT_NUMBER;
  case TAG_TRUE:
  case TAG_FALSE:
    return ELEMENT_BOOLEAN;
  case TAG_LIGHT_USERDATA:
    return ELEMENT_LIGHT_USERDATA;
  case TAG_LIGHT_FUNCTION:
    return ELEMENT_FUNCTION;
  default:
    return ELEMENT_MIXED;
  }
}

/* Of tables that refer to nothing: what they hold are numbers, booleans and the like. */
static enum shape_form form_of_contents(const struct shapes *shapes, struct vm *vm,
                                        object_id object) {
  struct lua_table table;
  if (graph_bytes(&shapes->heap->graph, object) <= vm->layout->size[SIZE_Table] ||
      table_load(vm, heap_address(shapes->heap, object), &table))
    return SHAPE_EMPTY;
  for (uint64_t i = 0; i < table.array_size; i++)
    if (!value_is_empty(table_array_value(vm, &table, i))) return SHAPE_ARRAY;
  for (uint64_t i = 0; i < table.node_count; i++) {
    struct lua_value key, value;
    table_entry(vm, &table, i, &key, &value);
    if (!value_is_empty(value))
      return kind_of_scalar(key) == ELEMENT_NUMBER ? SHAPE_ARRAY : SHAPE_MAP;
  }
  return SHAPE_EMPTY;
}

static uint64_t mix(uint64_t number) { /* the finalizer of SplitMix64 */
  number += UINT64_C(0x9e3779b97f4a7c15);
  number = (number ^ number >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
  number = (number ^ number >> 27) * UINT64_C(0x94d049bb133111eb);
  return number ^ number >> 31;
}

enum shape_form shapes_form(const struct shapes *shapes, struct vm *vm, object_id table,
                            uint64_t *fields) {
  const struct graph *graph = &shapes->heap->graph;
  uint64_t hash = 0, names = 0, texts = 0, objects = 0;
  bool has_numbers = false;
  reference_id end = graph_first(graph, (uint64_t)table + 1);
  for (reference_id i = graph_first(graph, table); i < end; i++) {
    if (graph->kind[i] == REFERENCE_INDEX) has_numbers = true;
    if (graph->kind[i] != REFERENCE_KEY) continue;
    object_id key = graph->target[i];
    if (graph->type[key] != OBJECT_STRING) {
      objects++;
      continue;
    }
    texts++;
    if (!is_field_name(shapes, key)) continue;
    names++;
    hash += mix(key);
  }
  *fields = mix(hash + (texts > names));
  if (names && 2 * names >= texts && names >= objects && names <= MOST_FIELDS) return SHAPE_RECORD;
  if (texts || objects) return SHAPE_MAP;
  return has_numbers ? SHAPE_ARRAY : form_of_contents(shapes, vm, table);
}

/* ---- Records --------------------------------------------------------------------------------- */

struct field_text {
  const char *bytes;
  size_t size;
};

static int by_text(const void *left, const void *right) {
  const struct field_text *a = left, *b = right;
  int order = memcmp(a->bytes, b->bytes, a->size < b->size ? a->size : b->size);
  return order ? order : (a->size > b->size) - (a->size < b->size);
}

bool shapes_record(const struct shapes *shapes, object_id table, struct text *text) {
  const struct graph *graph = &shapes->heap->graph;
  struct VECTOR(struct field_text) fields = {0};
  bool fits = true, has_others = false;
  reference_id end = graph_first(graph, (uint64_t)table + 1);
  for (reference_id i = graph_first(graph, table); fits && i < end; i++) {
    object_id key = graph->target[i];
    if (graph->kind[i] != REFERENCE_KEY || graph->type[key] != OBJECT_STRING) continue;
    if (!is_field_name(shapes, key)) {
      has_others = true;
      continue;
    }
    struct field_text field = {"?", 1};
    const char *bytes = graph->labels.string(graph->labels.context, key, &field.size);
    if (bytes) field.bytes = bytes;
    fits = vector_push(&fields, field);
  }
  if (fields.count) qsort(fields.items, fields.count, sizeof *fields.items, by_text);
  size_t shown = fields.count <= SHOWN_FIELDS + 1 ? fields.count : SHOWN_FIELDS;
  fits = fits && text_add_string(text, "{");
  for (size_t i = 0; fits && i < shown; i++)
    fits = (!i || text_add_string(text, ", ")) &&
           text_add(text, fields.items[i].bytes, fields.items[i].size);
  if (shown < fields.count) fits = fits && text_printf(text, ", +%zu", fields.count - shown);
  fits = fits && text_add_string(text, has_others ? ", ...}" : "}");
  vector_free(&fields);
  return fits;
}

/* ---- Elements -------------------------------------------------------------------------------- */

static bool is_table(enum element_kind kind) {
  return kind == ELEMENT_ARRAY || kind == ELEMENT_MAP || kind == ELEMENT_TABLE;
}

static inline void fold(struct elements *all, struct elements one) {
  if (all->kind == ELEMENT_NONE)
    *all = one;
  else if (all->kind != one.kind)
    *all = (struct elements){
        is_table(all->kind) && is_table(one.kind) ? ELEMENT_TABLE : ELEMENT_MIXED, 0};
  else if (all->class != one.class)
    all->class = 0;
}

static void fold_references(const struct shapes *shapes, const struct element_classes *classes,
                            object_id table, struct elements *keys, struct elements *values) {
  const struct graph *graph = &shapes->heap->graph;
  reference_id end = graph_first(graph, (uint64_t)table + 1);
  for (reference_id i = graph_first(graph, table); i < end; i++) {
    uint8_t kind = graph->kind[i];
    if (keys->kind == ELEMENT_MIXED && values->kind == ELEMENT_MIXED) return;
    if (i % ROW_STEPS == 0 && work_stops(shapes->work, "classes of elements", 0, 0)) return;
    if (kind == REFERENCE_METATABLE || kind == REFERENCE_LEFTOVER) continue;
    struct elements one = classes->of(classes->context, graph->target[i]);
    fold(kind == REFERENCE_KEY ? keys : values, one);
  }
}

static inline void fold_value(struct lua_value value, struct elements *all) {
  if (!value_is_object(value)) fold(all, (struct elements){kind_of_scalar(value), 0});
}

static void fold_contents(struct vm *vm, const struct lua_table *table, struct elements *keys,
                          struct elements *values) {
  bool has_numbers = false;
  for (uint64_t i = 0; i < table->array_size; i++) {
    struct lua_value value = table_array_value(vm, table, i);
    if (value_is_empty(value)) continue;
    has_numbers = true;
    if (values->kind == ELEMENT_MIXED) break;
    fold_value(value, values);
  }
  if (has_numbers) fold(keys, (struct elements){ELEMENT_NUMBER, 0});
  for (uint64_t i = 0; i < table->node_count; i++) {
    struct lua_value key, value;
    if (keys->kind == ELEMENT_MIXED && values->kind == ELEMENT_MIXED) return;
    table_entry(vm, table, i, &key, &value);
    if (value_is_empty(value)) continue;
    fold_value(key, keys);
    fold_value(value, values);
  }
}

void shapes_elements(const struct shapes *shapes, const struct element_classes *classes,
                     struct vm *vm, object_id object, struct elements *keys,
                     struct elements *values) {
  struct lua_table table;
  *keys = *values = (struct elements){ELEMENT_NONE, 0};
  fold_references(shapes, classes, object, keys, values);
  if (!table_load(vm, heap_address(shapes->heap, object), &table))
    fold_contents(vm, &table, keys, values);
}

const char *element_kind_name(enum element_kind kind) {
  static const char *const NAMES[] = {[ELEMENT_NONE] = "nothing",
                                      [ELEMENT_STRING] = "string",
                                      [ELEMENT_NUMBER] = "number",
                                      [ELEMENT_BOOLEAN] = "boolean",
                                      [ELEMENT_FUNCTION] = "function",
                                      [ELEMENT_USERDATA] = "userdata",
                                      [ELEMENT_LIGHT_USERDATA] = "light userdata",
                                      [ELEMENT_THREAD] = "thread",
                                      [ELEMENT_ARRAY] = "array",
                                      [ELEMENT_MAP] = "map",
                                      [ELEMENT_TABLE] = "table",
                                      [ELEMENT_MIXED] = "mixed"};
  return NAMES[kind];
}
