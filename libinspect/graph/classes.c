/* classes.c - classes of all objects.
 *
 * First pass, over all objects: each is known by a 64-bit key (its prototype, metatable, code
 * address or set of field names), and a key is given a name only once. Arrays and maps are noted
 * and left, because what they are called depends on their elements. Second pass, over arrays and
 * maps: known by the classes of their elements, where other arrays and maps count as such, so that
 * it does not matter which of them was seen first. Names are interned, so that one name is one
 * class, whatever number of keys lead to it. */
#include "graph/classes.h"

#include <string.h>

#include "base/number_map.h"
#include "graph/class_names.h"
#include "graph/shapes.h"
#include "lua/stack.h"

enum { CHECK_EVERY = 1 << 14 };

/* What a key is made of, so that keys of different origin never meet. */
enum key_kind { KEY_METATABLE = 1, KEY_SOURCE, KEY_CODE, KEY_FIELDS, KEY_ELEMENTS };

struct classifier {
  struct classes *classes;
  struct heap *heap;
  const struct graph *graph;
  const struct work *work;
  struct shapes shapes;
  struct number_map by_key, by_name;
  struct bitset arrays, maps; /* what the first pass took for one */
  struct text text;
  enum classes_by by;
  bool no_memory;
};

/* ---- Interning ------------------------------------------------------------------------------- */

static uint64_t mix(uint64_t a, uint64_t b) {
  uint64_t number = a * UINT64_C(0x9e3779b97f4a7c15) ^ (b + (a << 6) + (a >> 2));
  number = (number ^ number >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
  number = (number ^ number >> 27) * UINT64_C(0x94d049bb133111eb);
  return number ^ number >> 31;
}

static uint64_t hash_text(enum object_type type, const char *text) {
  uint64_t hash = UINT64_C(14695981039346656037) + type; /* FNV-1a */
  for (; *text; text++)
    hash = (hash ^ (unsigned char)*text) * UINT64_C(1099511628211);
  return hash;
}

/* The class with this name and type, new or not. `text` is copied. */
static uint32_t intern(struct classifier *state, object_id object, const char *text,
                       enum class_evidence evidence) {
  struct classes *classes = state->classes;
  enum object_type type = (enum object_type)state->graph->type[object];
  uint64_t hash = hash_text(type, text);
  uint32_t found;
  for (; (found = number_map_get(&state->by_name, hash)) != NO_NUMBER; hash++)
    if (classes->items[found].type == type && strcmp(classes->items[found].name, text) == 0)
      return found;
  struct class_info info = {.name = arena_copy(&classes->arena, text, strlen(text)),
                            .evidence = evidence,
                            .type = type,
                            .example = object};
  if (!info.name ||
      !(classes->count < classes->capacity ||
        vector_grow((void **)&classes->items, classes->count, &classes->capacity, 1,
                    sizeof *classes->items)) ||
      !number_map_set(&state->by_name, hash, classes->count)) {
    state->no_memory = true;
    return 0;
  }
  classes->items[classes->count] = info;
  return classes->count++;
}

/* Remembers what a key stands for. */
static uint32_t known(struct classifier *state, uint64_t key, uint32_t class) {
  if (!number_map_set(&state->by_key, key, class)) state->no_memory = true;
  return class;
}

/* What the text under construction says. */
static uint32_t intern_text(struct classifier *state, object_id object, bool fits,
                            enum class_evidence evidence) {
  fits = fits && text_finish(&state->text);
  uint32_t class = fits ? intern(state, object, state->text.items, evidence) : 0;
  if (!fits) state->no_memory = true;
  state->text.count = 0;
  return class;
}

/* ---- Functions, prototypes, threads ---------------------------------------------------------- */

/* "C function string.format" or, without a name, "C function lua5.4+0x1a2b": its place in the file.
 * `*fits` is false when memory is out; false: nothing is known. */
static bool add_code(struct classifier *state, uint64_t code, const char *prefix, bool *fits) {
  const char *name = heap_c_function_name(state->heap, code);
  *fits = true;
  if (name) {
    *fits = text_printf(&state->text, "%sC function %s", prefix, name);
    return true;
  }
  const struct source_mapping *mapping = source_mapping_at(state->heap->source, code);
  if (!mapping || !mapping->path) return false;
  const char *slash = strrchr(mapping->path, '/'), *file = slash ? slash + 1 : mapping->path;
  unsigned long long offset = code - mapping->start + mapping->file_offset;
  *fits = text_printf(&state->text, "%sC function ", prefix) &&
          text_escape(&state->text, file, strlen(file), 0) &&
          text_printf(&state->text, "+0x%llx", offset);
  return true;
}

static uint32_t class_of_code(struct classifier *state, object_id object, uint64_t code,
                              const char *prefix) {
  uint64_t key = mix(mix(KEY_CODE, state->graph->type[object]), code);
  uint32_t class = number_map_get(&state->by_key, key);
  if (class != NO_NUMBER) return class;
  bool fits;
  if (!add_code(state, code, prefix, &fits)) return known(state, key, 0);
  return known(state, key, intern_text(state, object, fits, CLASS_BY_SYMBOL));
}

/* "function room.lua:41"; what a file consists of is defined in no line of it: "main chunk
 * room.lua", "prototype of main chunk room.lua". */
static bool add_place(struct text *text, const char *prefix, const char *name) {
  const char *line = strrchr(name, ':');
  if (!line || strcmp(line, ":0") != 0) return text_printf(text, "%s %s", prefix, name);
  const char *before = strcmp(prefix, "function") == 0 ? "" : prefix;
  return text_printf(text, "%s%smain chunk %.*s", before, *before ? " of " : "", (int)(line - name),
                     name);
}

/* By the place where a prototype is defined. */
static uint32_t class_of_source(struct classifier *state, struct vm *vm, object_id object,
                                object_id prototype, const char *prefix) {
  uint64_t key = mix(mix(KEY_SOURCE, state->graph->type[object]), prototype);
  uint32_t class = number_map_get(&state->by_key, key);
  if (class != NO_NUMBER) return class;
  struct arena arena;
  arena_init(&arena);
  const char *name = prototype_name(vm, heap_address(state->heap, prototype), &arena);
  bool fits = true;
  if (name && state->by == CLASSES_BY_SOURCE)
    fits = text_add(&state->text, name, (size_t)(strrchr(name, ':') - name));
  else if (name)
    fits = add_place(&state->text, prefix, name);
  class = name ? intern_text(state, object, fits, CLASS_BY_SOURCE) : 0;
  arena_free(&arena);
  return known(state, key, class);
}

static object_id prototype_of(const struct graph *graph, object_id function) {
  reference_id first = graph_first(graph, function);
  return first < graph_first(graph, (uint64_t)function + 1) &&
                 graph->kind[first] == REFERENCE_PROTOTYPE
             ? graph->target[first]
             : NO_OBJECT;
}

static uint32_t class_of_function(struct classifier *state, struct vm *vm, object_id object,
                                  object_id function, const char *prefix) {
  object_id prototype = prototype_of(state->graph, function);
  return prototype == NO_OBJECT ? 0 : class_of_source(state, vm, object, prototype, prefix);
}

/* The address of its code, 0 if it cannot be read. */
static uint64_t code_of(struct classifier *state, struct vm *vm, object_id function) {
  const struct layout *layout = vm->layout;
  const uint8_t *closure = memory_view(&vm->memory, heap_address(state->heap, function),
                                       layout->place[CClosure_upvalue].offset);
  return closure ? load_field(layout, closure, CClosure_f) : 0;
}

/* Slot 1 holds the function that the coroutine was created with, as long as it is not finished. */
static uint32_t class_of_thread(struct classifier *state, struct heap_vm *owner, object_id object) {
  struct vm *vm = &owner->vm;
  struct lua_thread thread;
  if (object == owner->main_thread) return intern(state, object, "main thread", CLASS_BY_SOURCE);
  if (thread_load(vm, heap_address(state->heap, object), &thread) || !thread.initialized ||
      thread.slot_count < 2 || thread.top < 2)
    return 0;
  struct lua_value value = thread_slot(vm, &thread, 1);
  if (value.tag == TAG_LIGHT_FUNCTION)
    return class_of_code(state, object, value.bits, "coroutine ");
  object_id function = value_is_object(value) ? heap_object_at(state->heap, value.bits) : NO_OBJECT;
  if (function == NO_OBJECT) return 0;
  if (state->graph->type[function] == OBJECT_LUA_FUNCTION)
    return class_of_function(state, vm, object, function, "coroutine");
  if (state->graph->type[function] != OBJECT_C_FUNCTION) return 0;
  return class_of_code(state, object, code_of(state, vm, function), "coroutine ");
}

/* ---- Tables and userdata --------------------------------------------------------------------- */

static uint32_t class_of_metatable(struct classifier *state, object_id object) {
  object_id metatable = graph_metatable(state->graph, object);
  if (metatable == NO_OBJECT) return 0;
  uint64_t key = mix(mix(KEY_METATABLE, state->graph->type[object]), metatable);
  uint32_t class = number_map_get(&state->by_key, key);
  if (class != NO_NUMBER) return class;
  struct class_name name = heap_class_name(state->heap, metatable);
  class = name.text ? intern(state, object, name.text, name.evidence) : 0;
  return known(state, key, class);
}

static uint32_t class_of_table(struct classifier *state, struct vm *vm, object_id object) {
  uint32_t class = state->by == CLASSES_BY_SHAPE ? 0 : class_of_metatable(state, object);
  if (class) return class;
  uint64_t fields;
  enum shape_form form = shapes_form(&state->shapes, vm, object, &fields);
  if (form == SHAPE_ARRAY || form == SHAPE_MAP) {
    bitset_add(form == SHAPE_ARRAY ? &state->arrays : &state->maps, object);
    return 0;
  }
  if (form == SHAPE_EMPTY) return intern(state, object, "{}", CLASS_BY_SHAPE);
  uint64_t key = mix(KEY_FIELDS, fields);
  class = number_map_get(&state->by_key, key);
  if (class != NO_NUMBER) return class;
  bool fits = shapes_record(&state->shapes, object, &state->text);
  return known(state, key, intern_text(state, object, fits, CLASS_BY_SHAPE));
}

/* ---- First pass ------------------------------------------------------------------------------ */

static uint32_t class_of(struct classifier *state, struct heap_vm *owner, object_id object) {
  enum object_type type = (enum object_type)state->graph->type[object];
  struct vm *vm = &owner->vm;
  bool is_table = type == OBJECT_TABLE;
  bool has_source =
      type == OBJECT_LUA_FUNCTION || type == OBJECT_PROTOTYPE || type == OBJECT_THREAD;
  if ((state->by == CLASSES_BY_SHAPE && !is_table) ||
      (state->by == CLASSES_BY_SOURCE && !has_source))
    return 0;
  switch (type) {
  case OBJECT_TABLE:
    return class_of_table(state, vm, object);
  case OBJECT_USERDATA:
    return class_of_metatable(state, object);
  case OBJECT_LUA_FUNCTION:
    return class_of_function(state, vm, object, object, "function");
  case OBJECT_PROTOTYPE:
    return class_of_source(state, vm, object, object, "prototype");
  case OBJECT_C_FUNCTION:
    return class_of_code(state, object, code_of(state, vm, object), "");
  case OBJECT_THREAD:
    return class_of_thread(state, owner, object);
  case OBJECT_STRING:
  case OBJECT_UPVALUE:
  case OBJECT_TYPE_COUNT:
    break;
  }
  return 0;
}

typedef uint32_t (*class_function)(struct classifier *state, struct heap_vm *owner,
                                   object_id object);

static struct inspect_error *pass(struct classifier *state, const char *phase,
                                  class_function function) {
  for (size_t i = 0; i < state->heap->vm_count; i++) {
    struct heap_vm *owner = &state->heap->vms[i];
    for (object_id object = owner->first; object < owner->first + owner->count; object++) {
      if (object % CHECK_EVERY == 0 &&
          work_stops(state->work, phase, object, state->graph->object_count))
        return error_interrupted();
      state->classes->of[object] = function(state, owner, object);
      if (state->no_memory) return error_no_memory();
    }
  }
  return NULL;
}

/* ---- Second pass ----------------------------------------------------------------------------- */

static struct elements element_of(void *context, object_id object) {
  static const enum element_kind KINDS[OBJECT_TYPE_COUNT] = {
      [OBJECT_STRING] = ELEMENT_STRING,         [OBJECT_TABLE] = ELEMENT_TABLE,
      [OBJECT_LUA_FUNCTION] = ELEMENT_FUNCTION, [OBJECT_C_FUNCTION] = ELEMENT_FUNCTION,
      [OBJECT_USERDATA] = ELEMENT_USERDATA,     [OBJECT_THREAD] = ELEMENT_THREAD,
      [OBJECT_UPVALUE] = ELEMENT_MIXED,         [OBJECT_PROTOTYPE] = ELEMENT_MIXED,
  };
  const struct classifier *state = context;
  uint32_t class = state->classes->of[object];
  enum element_kind kind = KINDS[state->graph->type[object]];
  if (bitset_has(&state->arrays, object)) return (struct elements){ELEMENT_ARRAY, 0};
  if (bitset_has(&state->maps, object)) return (struct elements){ELEMENT_MAP, 0};
  return (struct elements){kind, class};
}

static const char *element_name(struct classifier *state, struct elements elements) {
  return elements.class ? state->classes->items[elements.class].name
                        : element_kind_name(elements.kind);
}

static uint32_t refine(struct classifier *state, struct heap_vm *owner, object_id object) {
  if (!bitset_has(&state->arrays, object) && !bitset_has(&state->maps, object))
    return state->classes->of[object];
  struct elements keys, values;
  struct element_classes classes = {state, element_of};
  shapes_elements(&state->shapes, &classes, &owner->vm, object, &keys, &values);
  uint64_t key = mix(mix(KEY_ELEMENTS, (uint64_t)keys.kind << 32 | keys.class),
                     (uint64_t)values.kind << 32 | values.class);
  uint32_t class = number_map_get(&state->by_key, key);
  if (class != NO_NUMBER) return class;
  bool fits;
  if (values.kind == ELEMENT_NONE)
    fits = text_add_string(&state->text, "{}");
  else if (keys.kind == ELEMENT_NUMBER || keys.kind == ELEMENT_NONE)
    fits = text_printf(&state->text, "[%s]", element_name(state, values));
  else
    fits = text_printf(&state->text, "{[%s] = %s}", element_name(state, keys),
                       element_name(state, values));
  return known(state, key, intern_text(state, object, fits, CLASS_BY_SHAPE));
}

/* ---- The whole ------------------------------------------------------------------------------- */

static struct inspect_error *classify(struct classifier *state) {
  struct classes *classes = state->classes;
  arena_init(&classes->arena);
  classes->of = malloc(((size_t)state->graph->object_count + 1) * sizeof *classes->of);
  classes->items = calloc(16, sizeof *classes->items);
  classes->capacity = 16;
  if (!classes->of || !classes->items || !bitset_init(&state->arrays, state->graph->object_count) ||
      !bitset_init(&state->maps, state->graph->object_count))
    return error_no_memory();
  classes->items[classes->count++] =
      (struct class_info){.name = "", .type = OBJECT_TYPE_COUNT, .example = NO_OBJECT};
  TRY(shapes_open(&state->shapes, state->heap, state->work));
  TRY(pass(state, "classes", class_of));
  return pass(state, "classes of elements", refine);
}

struct inspect_error *classes_build_by(struct classes *classes, struct heap *heap,
                                       enum classes_by by, const struct work *work) {
  struct classifier state = {
      .classes = classes, .heap = heap, .graph = &heap->graph, .work = work, .by = by};
  *classes = (struct classes){0};
  struct inspect_error *error = classify(&state);
  shapes_close(&state.shapes);
  number_map_free(&state.by_key);
  number_map_free(&state.by_name);
  bitset_free(&state.arrays);
  bitset_free(&state.maps);
  vector_free(&state.text);
  if (error) classes_free(classes);
  return error;
}

struct inspect_error *classes_build(struct classes *classes, struct heap *heap,
                                    const struct work *work) {
  return classes_build_by(classes, heap, CLASSES_BY_EVIDENCE, work);
}

void classes_free(struct classes *classes) {
  free(classes->of);
  free(classes->items);
  if (classes->items) arena_free(&classes->arena);
  *classes = (struct classes){0};
}

const char *class_evidence_name(enum class_evidence evidence) {
  static const char *const NAMES[] = {
      [CLASS_BY_TYPE] = "type",         [CLASS_BY_NAME] = "name",     [CLASS_BY_PATH] = "path",
      [CLASS_BY_REGISTRY] = "registry", [CLASS_BY_SOURCE] = "source", [CLASS_BY_SYMBOL] = "symbol",
      [CLASS_BY_SHAPE] = "shape"};
  return NAMES[evidence];
}
