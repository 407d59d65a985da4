/* kinship.c - what makes two objects alike. See kinship.h. */
#include "analysis/kinship.h"

/* What a signature is made of, besides the type. */
enum evidence { BY_TYPE, BY_CLASS, BY_SHAPE, BY_PLACE, BY_SELF };

static uint64_t made_of(uint8_t type, enum evidence evidence, uint64_t what) {
  return kinship_mix((uint64_t)type << 8 | (uint64_t)evidence, what);
}

bool kinship_init(struct kinship *kinship, const struct graph *graph,
                  const struct dominators *dominators, object_id first, uint32_t count) {
  *kinship =
      (struct kinship){.graph = graph, .dominators = dominators, .first = first, .count = count};
  if (!bitset_init(&kinship->names, count)) return false;
  for (object_id object = first; object - first < count; object++) {
    if (graph->type[object] != OBJECT_PROTOTYPE) continue;
    reference_id end = graph_first(graph, (uint64_t)object + 1);
    for (reference_id i = graph_first(graph, object); i < end; i++)
      if (graph->kind[i] == REFERENCE_CONSTANT && graph->target[i] - first < count)
        bitset_add(&kinship->names, graph->target[i] - first);
  }
  return true;
}

void kinship_free(struct kinship *kinship) { bitset_free(&kinship->names); }

static bool is_name(const struct kinship *kinship, object_id key) {
  return key - kinship->first < kinship->count && kinship->graph->type[key] == OBJECT_STRING &&
         bitset_has(&kinship->names, key - kinship->first);
}

/* Whether a table is a record, and a hash over the set of its names. */
static bool shape_of(const struct kinship *kinship, object_id table, uint64_t *shape) {
  const struct graph *graph = kinship->graph;
  reference_id end = graph_first(graph, (uint64_t)table + 1);
  uint64_t sum = 0;
  unsigned names = 0, data = 0;
  for (reference_id i = graph_first(graph, table); i < end; i++) {
    if (graph->kind[i] != REFERENCE_KEY) continue;
    bool is_field = is_name(kinship, graph->target[i]);
    names += is_field;
    data += !is_field;
    if (names > MOST_FIELDS || data > MOST_FIELDS) return false;
    if (is_field) sum += kinship_mix(1, graph->target[i]);
  }
  *shape = kinship_mix(names, sum);
  return names > 0 && data <= names;
}

/* The first reference of a kind, if it is where rows begin. NO_OBJECT: there is none. */
static object_id first_of_kind(const struct graph *graph, object_id object,
                               enum reference_kind kind) {
  reference_id first = graph_first(graph, object);
  bool is_there =
      first < graph_first(graph, (uint64_t)object + 1) && graph->kind[first] == (uint8_t)kind;
  return is_there ? graph->target[first] : NO_OBJECT;
}

/* A class is shared: one that goes with its only member says nothing. */
static bool is_shared(const struct kinship *kinship, object_id class, object_id member) {
  return class != NO_OBJECT && kinship->dominators->parent[class] != member;
}

/* The field of a record that leads to the object: the name's id + 1; 0: none, or not a record. */
static uint64_t place_of(const struct kinship *kinship, object_id holder, object_id object) {
  const struct graph *graph = kinship->graph;
  if (holder == NO_OBJECT) return 0;
  reference_id first = graph_first(graph, holder), end = graph_first(graph, (uint64_t)holder + 1);
  if (end - first > LONGEST_RECORD) return 0;
  for (reference_id i = first; i < end; i++) {
    if (graph->target[i] != object) continue;
    bool has_key = i > first && graph->kind[i - 1] == REFERENCE_KEY;
    if (graph->kind[i] == REFERENCE_FIELD && has_key)
      return is_name(kinship, graph->target[i - 1]) ? (uint64_t)graph->target[i - 1] + 1 : 0;
    if (graph->kind[i] == REFERENCE_UPVALUE) return (i - first) << 32;
  }
  return 0;
}

static uint64_t table_signature(const struct kinship *kinship, object_id holder, bool is_lone,
                                object_id table) {
  const struct graph *graph = kinship->graph;
  object_id metatable = first_of_kind(graph, table, REFERENCE_METATABLE);
  if (is_shared(kinship, metatable, table)) return made_of(OBJECT_TABLE, BY_CLASS, metatable);
  uint64_t shape;
  if (shape_of(kinship, table, &shape)) return made_of(OBJECT_TABLE, BY_SHAPE, shape);
  if (is_lone && kinship->dominators->retained[table] >= kinship->heavy)
    return made_of(OBJECT_TABLE, BY_SELF, table);
  return made_of(OBJECT_TABLE, BY_PLACE, is_lone ? 0 : place_of(kinship, holder, table));
}

/* The prototype of the first function on the stack, which is the thread's own. */
static uint64_t thread_signature(const struct graph *graph, object_id thread) {
  object_id function = first_of_kind(graph, thread, REFERENCE_STACK);
  bool is_lua = function != NO_OBJECT && graph->type[function] == OBJECT_LUA_FUNCTION;
  object_id prototype = is_lua ? first_of_kind(graph, function, REFERENCE_PROTOTYPE) : NO_OBJECT;
  return made_of(OBJECT_THREAD, BY_CLASS, prototype);
}

uint64_t kinship_signature(const struct kinship *kinship, object_id holder, bool is_lone,
                           object_id object) {
  const struct graph *graph = kinship->graph;
  uint8_t type = graph->type[object];
  object_id class = NO_OBJECT;
  switch (type) {
  case OBJECT_TABLE:
    return table_signature(kinship, holder, is_lone, object);
  case OBJECT_THREAD:
    return thread_signature(graph, object);
  case OBJECT_LUA_FUNCTION:
    class = first_of_kind(graph, object, REFERENCE_PROTOTYPE);
    break;
  case OBJECT_USERDATA:
    class = first_of_kind(graph, object, REFERENCE_METATABLE);
    break;
  case OBJECT_UPVALUE: /* those of one function are told apart */
    return made_of(type, BY_PLACE, place_of(kinship, holder, object));
  default:
    return made_of(type, BY_TYPE, 0);
  }
  return is_shared(kinship, class, object) ? made_of(type, BY_CLASS, class)
                                           : made_of(type, BY_TYPE, 0);
}
