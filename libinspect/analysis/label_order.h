/* label_order.h - references ordered by what they are called: the first tie-break among chains.
 *
 * By kind (in the order of enum reference_kind), then by label: text byte by byte, numbers of
 * upvalues, user values and slots by value, object keys by their type. The keys of INDEX references
 * count as equal, as they do in tokens ("[*]"), unless the exact order is asked for. Reading a
 * label means reading the target, so it is done last: kinds without a name, keys that are one
 * string object, and upvalues of one prototype are decided without. */
#ifndef ANALYSIS_LABEL_ORDER_H
#define ANALYSIS_LABEL_ORDER_H

#include "graph/graph.h"

struct label_order {
  const struct graph *graph;
  object_id table;    /* the last table that was asked for the elements of its array ... */
  uint64_t elements;  /* ... and how many it has                                          */
  struct label_memo { /* the two labels read last */
    reference_id reference;
    struct graph_label label;
    struct arena arena;
  } memo[2];
};

void label_order_init(struct label_order *order, const struct graph *graph);
void label_order_free(struct label_order *order);

/* Negative, 0 or positive: reference `a` of object `from_a` against `b` of `from_b`. */
int label_order_compare(struct label_order *order, object_id from_a, reference_id a,
                        object_id from_b, reference_id b, bool exact);

/* The prototype of a Lua function, NO_OBJECT for other objects. */
object_id label_prototype(const struct graph *graph, object_id function);

#endif
