/* graph.c - look-ups in the compressed sparse rows.
 *
 * Row starts are 64-bit numbers in 4 bytes each: a base per 65536 objects plus a 32-bit rest. They
 * never decrease, so the owner of a reference is found by bisection. */
#include "graph/graph.h"

#include <stdlib.h>

uint64_t graph_big_bytes(const struct graph_big *big, size_t count, object_id object) {
  size_t low = 0, high = count;
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    if (big[middle].object < object)
      low = middle + 1;
    else
      high = middle;
  }
  bool found = low < count && big[low].object == object;
  return found ? big[low].bytes : BIG_OBJECT;
}

uint64_t graph_bytes(const struct graph *graph, object_id object) {
  uint16_t bytes = graph->bytes[object];
  return bytes == BIG_OBJECT ? graph_big_bytes(graph->big, graph->big_count, object) : bytes;
}

object_id graph_owner(const struct graph *graph, reference_id reference) {
  if (reference >= graph->reference_count) return NO_OBJECT;
  uint32_t low = 0, high = graph->object_count;
  while (low < high) { /* the first object whose row ends behind the reference */
    uint32_t middle = low + (high - low) / 2;
    if (graph_first(graph, (uint64_t)middle + 1) <= reference)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

void graph_free(struct graph *graph) {
  if (!graph) return;
  free(graph->type);
  free(graph->flags);
  free(graph->bytes);
  free(graph->block_first);
  free(graph->first);
  free(graph->target);
  free(graph->kind);
  free(graph->roots);
  free(graph->big);
  free(graph->losses);
  *graph = (struct graph){0};
}

const char *object_type_name(enum object_type type) {
  static const char *const names[OBJECT_TYPE_COUNT] = {
      [OBJECT_STRING] = "string",         [OBJECT_TABLE] = "table",
      [OBJECT_LUA_FUNCTION] = "function", [OBJECT_C_FUNCTION] = "cfunction",
      [OBJECT_USERDATA] = "userdata",     [OBJECT_THREAD] = "thread",
      [OBJECT_UPVALUE] = "upvalue",       [OBJECT_PROTOTYPE] = "prototype",
  };
  return (unsigned)type < OBJECT_TYPE_COUNT ? names[type] : "object";
}

const char *reference_kind_name(enum reference_kind kind) {
  static const char *const names[REFERENCE_KIND_COUNT] = {
      [REFERENCE_ROOT] = "root",
      [REFERENCE_FIELD] = "field",
      [REFERENCE_INDEX] = "index",
      [REFERENCE_KEYED] = "index",
      [REFERENCE_KEY] = "key",
      [REFERENCE_METATABLE] = "metatable",
      [REFERENCE_UPVALUE] = "upvalue",
      [REFERENCE_UPVALUE_VALUE] = "upvalue",
      [REFERENCE_ENVIRONMENT] = "env",
      [REFERENCE_STACK] = "stack",
      [REFERENCE_MAYBE_STACK] = "stack",
      [REFERENCE_OPEN_UPVALUE] = "upvalue",
      [REFERENCE_USER_VALUE] = "uservalue",
      [REFERENCE_CONSTANT] = "constant",
      [REFERENCE_PROTOTYPE] = "prototype",
      [REFERENCE_DEBUG] = "other",
      [REFERENCE_LEFTOVER] = "other",
  };
  return (unsigned)kind < REFERENCE_KIND_COUNT ? names[kind] : "other";
}

bool mask_is_cut(const struct graph_mask *mask, reference_id reference) {
  size_t low = 0, high = mask->cut_count;
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    if (mask->cut[middle] < reference)
      low = middle + 1;
    else
      high = middle;
  }
  return low < mask->cut_count && mask->cut[low] == reference;
}
