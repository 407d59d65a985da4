/* label_order.c - see label_order.h. Two labels are kept, so that comparing one reference with many
 * others reads each of them once. */
#include "analysis/label_order.h"

#include <string.h>

struct bytes {
  const char *text;
  size_t size;
};

void label_order_init(struct label_order *order, const struct graph *graph) {
  *order = (struct label_order){.graph = graph, .table = NO_OBJECT};
  for (size_t i = 0; i < 2; i++) {
    order->memo[i].reference = NO_REFERENCE;
    arena_init(&order->memo[i].arena);
  }
}

void label_order_free(struct label_order *order) {
  for (size_t i = 0; i < 2; i++)
    arena_free(&order->memo[i].arena);
}

/* The label of a reference; `keep`, the other one of the pair, is not evicted. */
static const struct graph_label *read_label(struct label_order *order, object_id from,
                                            reference_id reference, reference_id keep) {
  for (size_t i = 0; i < 2; i++)
    if (order->memo[i].reference == reference) return &order->memo[i].label;
  struct label_memo *memo = &order->memo[order->memo[0].reference == keep];
  const struct graph_label_source *labels = &order->graph->labels;
  arena_free(&memo->arena);
  memo->reference = reference;
  memo->label = (struct graph_label){0};
  labels->label(labels->context, from, reference, &memo->arena, &memo->label);
  return &memo->label;
}

static int compare_bytes(struct bytes a, struct bytes b) {
  size_t common = a.size < b.size ? a.size : b.size;
  int result = common ? memcmp(a.text, b.text, common) : 0;
  return result ? result : (a.size > b.size) - (a.size < b.size);
}

static int compare_labels(const struct graph_label *a, const struct graph_label *b) {
  if (a->form != b->form) return a->form < b->form ? -1 : 1;
  switch (a->form) {
  case LABEL_TEXT:
    return compare_bytes((struct bytes){a->text, a->size}, (struct bytes){b->text, b->size});
  case LABEL_INTEGER:
  case LABEL_BOOLEAN:
    return (a->integer > b->integer) - (a->integer < b->integer);
  case LABEL_NUMBER:
    return (a->number > b->number) - (a->number < b->number);
  case LABEL_NONE:
  case LABEL_POINTER:
  case LABEL_OBJECT:
    break;
  }
  return 0;
}

static int read_and_compare(struct label_order *order, object_id from_a, reference_id a,
                            object_id from_b, reference_id b) {
  const struct graph_label *label = read_label(order, from_a, a, b);
  return compare_labels(label, read_label(order, from_b, b, a));
}

/* The key object of an entry, NO_OBJECT if the row does not say (hand-written graphs). */
static object_id key_of(const struct graph *graph, object_id from, reference_id reference) {
  bool has_key =
      reference > graph_first(graph, from) && graph->kind[reference - 1] == REFERENCE_KEY;
  return has_key ? graph->target[reference - 1] : NO_OBJECT;
}

static int compare_fields(struct label_order *order, object_id from_a, reference_id a,
                          object_id from_b, reference_id b) {
  const struct graph *graph = order->graph;
  object_id key_a = key_of(graph, from_a, a), key_b = key_of(graph, from_b, b);
  if (key_a != NO_OBJECT && key_b != NO_OBJECT) {
    if (key_a == key_b) return 0;
    struct bytes x = {0}, y = {0};
    x.text = graph->labels.string(graph->labels.context, key_a, &x.size);
    y.text = graph->labels.string(graph->labels.context, key_b, &y.size);
    if (x.text && y.text) return compare_bytes(x, y);
  }
  return read_and_compare(order, from_a, a, from_b, b);
}

/* Elements of an array come in the order of their keys. */
static int compare_indexes(struct label_order *order, object_id from_a, reference_id a,
                           object_id from_b, reference_id b) {
  const struct graph_label_source *labels = &order->graph->labels;
  if (from_a != from_b || !labels->elements) return read_and_compare(order, from_a, a, from_b, b);
  if (order->table != from_a) {
    order->table = from_a;
    order->elements = labels->elements(labels->context, from_a);
  }
  reference_id first = graph_first(order->graph, from_a);
  first += order->elements && order->graph->kind[first] == REFERENCE_METATABLE;
  if (a - first >= order->elements || b - first >= order->elements)
    return read_and_compare(order, from_a, a, from_b, b);
  return (a > b) - (a < b);
}

static int compare_object_keys(const struct graph *graph, object_id from_a, reference_id a,
                               object_id from_b, reference_id b) {
  object_id key_a = key_of(graph, from_a, a), key_b = key_of(graph, from_b, b);
  if (key_a == NO_OBJECT || key_b == NO_OBJECT) return (key_a == NO_OBJECT) - (key_b == NO_OBJECT);
  return (graph->type[key_a] > graph->type[key_b]) - (graph->type[key_a] < graph->type[key_b]);
}

object_id label_prototype(const struct graph *graph, object_id function) {
  if (graph->type[function] != OBJECT_LUA_FUNCTION) return NO_OBJECT;
  reference_id end = graph_first(graph, (uint64_t)function + 1);
  for (reference_id i = graph_first(graph, function); i < end; i++)
    if (graph->kind[i] == REFERENCE_PROTOTYPE) return graph->target[i];
  return NO_OBJECT;
}

/* Whether both are the same upvalue of closures of one prototype. */
static bool is_same_upvalue(const struct graph *graph, object_id from_a, reference_id a,
                            object_id from_b, reference_id b) {
  if (a - graph_first(graph, from_a) != b - graph_first(graph, from_b)) return false;
  object_id prototype = label_prototype(graph, from_a);
  return prototype != NO_OBJECT && prototype == label_prototype(graph, from_b);
}

int label_order_compare(struct label_order *order, object_id from_a, reference_id a,
                        object_id from_b, reference_id b, bool exact) {
  const struct graph *graph = order->graph;
  uint8_t kind = graph->kind[a];
  if (a == b) return 0;
  if (kind != graph->kind[b]) return kind < graph->kind[b] ? -1 : 1;
  switch (kind) {
  case REFERENCE_FIELD:
    return compare_fields(order, from_a, a, from_b, b);
  case REFERENCE_KEYED:
    return compare_object_keys(graph, from_a, a, from_b, b);
  case REFERENCE_INDEX:
    return exact ? compare_indexes(order, from_a, a, from_b, b) : 0;
  case REFERENCE_UPVALUE:
    if (is_same_upvalue(graph, from_a, a, from_b, b)) return 0;
    return read_and_compare(order, from_a, a, from_b, b);
  case REFERENCE_STACK:
  case REFERENCE_MAYBE_STACK:
  case REFERENCE_OPEN_UPVALUE:
  case REFERENCE_USER_VALUE:
    return read_and_compare(order, from_a, a, from_b, b);
  default:
    return 0;
  }
}
