/* labels.c - labels of references, read again from the target for what is shown.
 *
 * The position of a reference in its object's row is the position at which lua54_visit emits it
 * among those that lead to objects. The places found that way are cached for the last few objects,
 * so that asking for all entries of one table visits it once. */
#include "base/shortage.h"
#include "graph/heap.h"
#include "lua/visit.h"

enum { CACHED_ROWS = 16 };

struct cached_row {
  object_id object;
  struct places VECTOR(uint64_t) places; /* see place_of */
};

struct place {
  uint64_t detail;
  bool in_hash;
};

static struct place place_of(uint64_t packed) {
  return (struct place){.detail = packed >> 1, .in_hash = packed & 1};
}

static inline bool add_place(struct places *places, uint64_t detail, bool in_hash) {
  return vector_push(places, detail << 1 | in_hash);
}

struct label_cache {
  struct cached_row rows[CACHED_ROWS];
  size_t next; /* the row that is replaced next */
  bool has_thread;
  object_id thread; /* the last thread whose slots were asked for, */
  struct lua_thread loaded;
  struct lua_calls calls; /* and its calls */
};

static void take_place(struct visitor *visitor, enum reference_kind kind, uint64_t address,
                       uint8_t tag, uint64_t detail, bool in_hash, bool trusted) {
  (void)kind, (void)address, (void)tag, (void)trusted;
  add_place(visitor->sink, detail, in_hash);
}

/* All places, if the graph has all of the object's references: then none need be looked up, and a
 * table of millions is gone through in a moment. */
static bool list_all(struct heap *heap, object_id object, struct places *places) {
  const struct graph *graph = &heap->graph;
  struct vm *vm = &heap_vm_of(heap, object)->vm;
  size_t count = (size_t)(graph_first(graph, (uint64_t)object + 1) - graph_first(graph, object));
  struct visit visit = {0};
  struct visitor visitor = {
      .vm = vm, .visit = &visit, .address = heap_address(heap, object), .sink = places};
  if (!visit_is_plain(vm->layout)) return false;
  vector_prepare(places, count + 1);
  return visit_object(&visitor, TAG_ANY, true, take_place) && places->count == count;
}

/* The places of those references that lead to objects. False: memory is out, or it is no object. */
static bool list_known(struct heap *heap, object_id object, struct places *places) {
  struct vm *vm = &heap_vm_of(heap, object)->vm;
  struct visit visit = {0};
  bool no_memory = false;
  bool fits = lua54_visit(vm, heap_address(heap, object), TAG_ANY, &visit, &no_memory) &&
              !no_memory && vector_reserve(places, visit.references.count + 1);
  if (no_memory) shortage_note();
  for (size_t i = 0; fits && i < visit.references.count; i++) {
    const struct raw_reference *reference = &visit.references.items[i];
    if (heap_object_at(heap, reference->address) != NO_OBJECT &&
        !lua54_is_leftover(vm, visit.type, reference->kind, reference->address, reference->tag))
      add_place(places, reference->detail, reference->in_hash);
  }
  vector_free(&visit.references);
  return fits;
}

/* The places of an object's references, NULL when memory is out or the target changed its mind. */
static const struct cached_row *row_of(struct heap *heap, object_id object) {
  struct label_cache *cache = heap->labels;
  for (size_t i = 0; i < CACHED_ROWS; i++)
    if (cache->rows[i].places.items && cache->rows[i].object == object) return &cache->rows[i];
  struct cached_row row = {.object = object};
  if (!list_all(heap, object, &row.places)) {
    row.places.count = 0;
    if (!list_known(heap, object, &row.places)) vector_free(&row.places);
  }
  if (!row.places.items) return NULL;
  struct cached_row *slot = &cache->rows[cache->next++ % CACHED_ROWS];
  vector_free(&slot->places);
  *slot = row;
  return slot;
}

static void label_text(struct graph_label *label, struct arena *arena, const char *bytes,
                       size_t size) {
  char *copy = bytes ? arena_copy(arena, bytes, size) : NULL;
  if (!copy) return;
  label->form = LABEL_TEXT;
  label->text = copy;
  label->size = size;
}

static void label_key(struct heap_vm *owner, uint64_t address, struct place place,
                      struct graph_label *label) {
  label->form = LABEL_INTEGER;
  label->integer = (int64_t)place.detail;
  if (!place.in_hash) return;
  struct lua_table table;
  struct lua_value key, value;
  label->form = LABEL_NONE;
  if (table_load(&owner->vm, address, &table) || place.detail >= table.node_count) return;
  table_entry(&owner->vm, &table, place.detail, &key, &value);
  switch (key.tag) {
  case TAG_INTEGER:
    label->form = LABEL_INTEGER;
    label->integer = value_integer(&owner->vm, key);
    break;
  case TAG_FLOAT:
    label->form = LABEL_NUMBER;
    label->number = value_number(&owner->vm, key);
    break;
  case TAG_FALSE:
  case TAG_TRUE:
    label->form = LABEL_BOOLEAN;
    label->integer = key.tag == TAG_TRUE;
    break;
  case TAG_LIGHT_USERDATA:
  case TAG_LIGHT_FUNCTION:
    label->form = LABEL_POINTER;
    label->integer = (int64_t)key.bits;
    break;
  default:
    break;
  }
}

static void label_upvalue(struct heap *heap, struct heap_vm *owner, object_id function,
                          struct place place, struct arena *arena, struct graph_label *label) {
  const struct graph *graph = &heap->graph;
  label->form = LABEL_INTEGER;
  label->integer = (int64_t)place.detail;
  reference_id first = graph_first(graph, function);
  if (graph->type[function] != OBJECT_LUA_FUNCTION ||
      first == graph_first(graph, (uint64_t)function + 1) ||
      graph->kind[first] != REFERENCE_PROTOTYPE)
    return;
  size_t size = 0;
  const char *name = prototype_upvalue_name(&owner->vm, heap_address(heap, graph->target[first]),
                                            place.detail - 1, &size);
  if (name && size) label_text(label, arena, name, size);
}

static const char *function_name(void *context, object_id object, struct arena *arena);

/* Loads a thread and its calls, unless they are what was asked for last: all slots of a deep stack
 * would else walk over all its calls. */
static bool cache_thread(struct heap *heap, struct heap_vm *owner, object_id object) {
  struct label_cache *cache = heap->labels;
  if (cache->has_thread && cache->thread == object) return true;
  cache->thread = object;
  cache->has_thread = !thread_load(&owner->vm, heap_address(heap, object), &cache->loaded) &&
                      thread_calls(&owner->vm, &cache->loaded, &cache->calls);
  return cache->has_thread;
}

static void label_slot(struct heap *heap, struct heap_vm *owner, object_id object,
                       struct place place, struct arena *arena, struct graph_label *label) {
  const struct lua_thread *thread = &heap->labels->loaded;
  label->form = LABEL_INTEGER;
  label->integer = (int64_t)place.detail;
  label->level = UINT32_MAX;
  if (!cache_thread(heap, owner, object) || place.detail >= thread->slot_count) return;
  const char *name;
  size_t size = 0;
  uint64_t function = 0;
  thread_slot_name(&owner->vm, thread, &heap->labels->calls, place.detail, &label->level, &function,
                   &name, &size);
  if (name && size) label_text(label, arena, name, size);
  if (label->level == UINT32_MAX) return;
  struct lua_value value = thread_slot(&owner->vm, thread, function);
  if (value_is_object(value)) {
    object_id called = heap_object_at(heap, value.bits);
    if (called != NO_OBJECT) label->function = function_name(heap, called, arena);
  } else if (value.tag == TAG_LIGHT_FUNCTION) {
    const char *symbol = heap_c_function_name(heap, value.bits);
    label->function = arena_printf(arena, "C function %s", symbol ? symbol : "without a name");
  }
}

/* A dead object may have lost the key of an entry. */
static bool has_key(const struct graph *graph, object_id from, reference_id reference) {
  return reference > graph_first(graph, from) && graph->kind[reference - 1] == REFERENCE_KEY;
}

static void read_label(void *context, object_id from, reference_id reference, struct arena *arena,
                       struct graph_label *label) {
  struct heap *heap = context;
  const struct graph *graph = &heap->graph;
  struct heap_vm *owner = heap_vm_of(heap, from);
  *label = (struct graph_label){.kind = graph->kind[reference], .object = NO_OBJECT};
  switch (label->kind) {
  case REFERENCE_FIELD: {
    if (!has_key(graph, from, reference)) return;
    size_t size;
    const char *bytes =
        string_bytes(&owner->vm, heap_address(heap, graph->target[reference - 1]), &size);
    label_text(label, arena, bytes, size);
    return;
  }
  case REFERENCE_KEYED:
    if (!has_key(graph, from, reference)) return;
    label->form = LABEL_OBJECT;
    label->object = graph->target[reference - 1];
    return;
  case REFERENCE_INDEX:
  case REFERENCE_UPVALUE:
  case REFERENCE_STACK:
  case REFERENCE_MAYBE_STACK:
  case REFERENCE_USER_VALUE:
  case REFERENCE_CONSTANT:
    break;
  default:
    return;
  }
  const struct cached_row *row = row_of(heap, from);
  reference_id position = reference - graph_first(graph, from);
  if (!row || position >= row->places.count) return;
  struct place place = place_of(row->places.items[position]);
  uint64_t address = heap_address(heap, from);
  switch (label->kind) {
  case REFERENCE_INDEX:
    label_key(owner, address, place, label);
    break;
  case REFERENCE_UPVALUE:
    label_upvalue(heap, owner, from, place, arena, label);
    break;
  case REFERENCE_STACK:
  case REFERENCE_MAYBE_STACK:
    label_slot(heap, owner, from, place, arena, label);
    break;
  default:
    label->form = LABEL_INTEGER;
    label->integer = (int64_t)place.detail;
  }
}

/* ---- Functions, strings, addresses ----------------------------------------------------------- */

static const char *function_name(void *context, object_id object, struct arena *arena) {
  struct heap *heap = context;
  const struct graph *graph = &heap->graph;
  struct heap_vm *owner = heap_vm_of(heap, object);
  if (graph->type[object] == OBJECT_C_FUNCTION) {
    const struct layout *layout = owner->vm.layout;
    const uint8_t *closure = memory_view(&owner->vm.memory, heap_address(heap, object),
                                         layout->place[CClosure_upvalue].offset);
    if (!closure) return NULL;
    uint64_t code = load_field(layout, closure, CClosure_f);
    const char *name = heap_c_function_name(heap, code);
    return name ? arena_printf(arena, "C function %s", name) : NULL;
  }
  uint64_t prototype = 0;
  reference_id first = graph_first(graph, object);
  if (graph->type[object] == OBJECT_PROTOTYPE)
    prototype = heap_address(heap, object);
  else if (graph->type[object] == OBJECT_LUA_FUNCTION &&
           first < graph_first(graph, (uint64_t)object + 1) &&
           graph->kind[first] == REFERENCE_PROTOTYPE)
    prototype = heap_address(heap, graph->target[first]);
  return prototype ? prototype_name(&owner->vm, prototype, arena) : NULL;
}

static const char *string_of(void *context, object_id object, size_t *size) {
  struct heap *heap = context;
  if (heap->graph.type[object] != OBJECT_STRING) return NULL;
  return string_bytes(&heap_vm_of(heap, object)->vm, heap_address(heap, object), size);
}

static uint64_t address_of(void *context, object_id object) {
  return heap_address(context, object);
}

/* Objects of the array that the graph does not have are not in the row, so each reference belongs
 * to the first element from the last one on that has its object's address. */
static uint64_t count_elements(void *context, object_id object) {
  enum { LOOK_AHEAD = 16 };
  struct heap *heap = context;
  const struct graph *graph = &heap->graph;
  struct vm *vm = &heap_vm_of(heap, object)->vm;
  reference_id first = graph_first(graph, object), end = graph_first(graph, (uint64_t)object + 1);
  struct lua_table table;
  if (graph->type[object] != OBJECT_TABLE || table_load(vm, heap_address(heap, object), &table))
    return 0;
  if (first < end && graph->kind[first] == REFERENCE_METATABLE) first++;
  reference_id next = first;
  for (uint64_t i = 0; i < table.array_size; i++) {
    if (next == end || graph->kind[next] != REFERENCE_INDEX) break;
    if (end - next > LOOK_AHEAD)
      __builtin_prefetch(&heap->granule[graph->target[next + LOOK_AHEAD]]);
    struct lua_value value = table_array_value(vm, &table, i);
    next += value_is_object(value) && value.bits == heap_address(heap, graph->target[next]);
  }
  return next - first;
}

struct inspect_error *heap_labels_open(struct heap *heap) {
  heap->labels = calloc(1, sizeof *heap->labels);
  if (!heap->labels) return error_no_memory();
  heap->graph.labels = (struct graph_label_source){.context = heap,
                                                   .label = read_label,
                                                   .function_name = function_name,
                                                   .string = string_of,
                                                   .address = address_of,
                                                   .elements = count_elements};
  return NULL;
}

void heap_labels_close(struct heap *heap) {
  for (size_t i = 0; heap->labels && i < CACHED_ROWS; i++)
    vector_free(&heap->labels->rows[i].places);
  if (heap->labels) vector_free(&heap->labels->calls);
  free(heap->labels);
  heap->labels = NULL;
}
