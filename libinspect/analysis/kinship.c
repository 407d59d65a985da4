/* kinship.c - what makes two objects alike. See kinship.h. */
#include "analysis/kinship.h"

/* What a signature is made of, besides the type. */
enum evidence { BY_TYPE, BY_CLASS, BY_SHAPE, BY_PLACE, BY_SELF };

static uint64_t made_of(uint8_t type, enum evidence evidence, uint64_t what) {
  return kinship_mix((uint64_t)type << 8 | (uint64_t)evidence, what);
}

bool kinship_shape(const struct graph *graph, object_id table, uint64_t *shape) {
  reference_id end = graph_first(graph, (uint64_t)table + 1);
  uint64_t sum = 0;
  unsigned keys = 0;
  for (reference_id i = graph_first(graph, table); i < end; i++) {
    if (graph->kind[i] != REFERENCE_KEY) continue;
    if (graph->type[graph->target[i]] != OBJECT_STRING || ++keys > MOST_FIELDS) return false;
    sum += kinship_mix(1, graph->target[i]);
  }
  *shape = kinship_mix(keys, sum);
  return keys > 0;
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

/* The field of a record that leads to the object: the key's id + 1; 0: none, or not a record. */
static uint64_t place_of(const struct kinship *kinship, object_id holder, object_id object) {
  const struct graph *graph = kinship->graph;
  if (holder == NO_OBJECT) return 0;
  reference_id first = graph_first(graph, holder), end = graph_first(graph, (uint64_t)holder + 1);
  if (end - first > LONGEST_RECORD) return 0;
  for (reference_id i = first; i < end; i++) {
    if (graph->target[i] != object) continue;
    if (graph->kind[i] == REFERENCE_FIELD && i > first && graph->kind[i - 1] == REFERENCE_KEY)
      return (uint64_t)graph->target[i - 1] + 1;
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
  if (kinship_shape(graph, table, &shape)) return made_of(OBJECT_TABLE, BY_SHAPE, shape);
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
