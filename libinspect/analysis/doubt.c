/* doubt.c - a fixpoint of two steps: losses of objects that are left or in doubt add what they may
 * have led to; what is in doubt adds what it refers to, as does, with a key that is in doubt, each
 * entry of an ephemeron table that is left. Objects are added once; each step walks what is new. */
#include "analysis/doubt.h"

#include <stdlib.h>

#include "analysis/mark.h"
#include "base/vector.h"

struct doubting {
  const struct graph *graph;
  const struct collection *collection;
  struct bitset *result;
  struct VECTOR(object_id) fresh; /* in doubt, and not walked */
  bool failed;                    /* out of memory            */
};

static void add(struct doubting *doubting, object_id object) {
  if (bitset_has(&doubting->collection->live, object) || !bitset_insert(doubting->result, object))
    return;
  if (!vector_push(&doubting->fresh, object)) doubting->failed = true;
}

static bool may_be_left(const struct doubting *doubting, object_id object) {
  return object == NO_OBJECT || collection_leaves(doubting->collection, object) ||
         bitset_has(doubting->result, object);
}

/* Returns whether the loss is settled, and need not be looked at again. */
static bool apply(struct doubting *doubting, const struct graph_loss *loss) {
  if (loss->is_unlisted) {
    add(doubting, loss->object);
    return true;
  }
  if (!may_be_left(doubting, loss->object)) return false;
  for (object_id object = loss->first; loss->types && object < loss->end; object++)
    if (loss->types >> doubting->graph->type[object] & 1) add(doubting, object);
  return true;
}

static void walk_fresh(struct doubting *doubting) {
  const struct graph *graph = doubting->graph;
  while (doubting->fresh.count && !doubting->failed) {
    object_id object = doubting->fresh.items[--doubting->fresh.count];
    for (reference_id i = graph_first(graph, object); i < graph_first(graph, object + 1); i++)
      add(doubting, graph->target[i]);
  }
}

static void walk_ephemerons(struct doubting *doubting) {
  const struct graph *graph = doubting->graph;
  for (object_id object = 0; object < graph->object_count; object++) {
    if (!(graph->flags[object] & OBJECT_WEAK_KEYS) || !may_be_left(doubting, object)) continue;
    reference_id first = graph_first(graph, object), end = graph_first(graph, object + 1);
    for (reference_id i = first; i + 1 < end; i++)
      if (graph->kind[i] == REFERENCE_KEY && bitset_has(doubting->result, graph->target[i]) &&
          graph_is_ephemeron_value(graph->flags[object], graph->kind[i + 1]))
        add(doubting, graph->target[i + 1]);
  }
}

static void doubt_all(struct doubting *doubting) {
  for (object_id object = 0; object < doubting->graph->object_count; object++)
    if (!bitset_has(&doubting->collection->live, object)) bitset_add(doubting->result, object);
}

static void spread(struct doubting *doubting, struct bitset *settled) {
  const struct graph *graph = doubting->graph;
  bool is_more = true;
  while (is_more && !doubting->failed) {
    is_more = false;
    for (size_t i = 0; i < graph->loss_count; i++)
      if (!bitset_has(settled, i) && apply(doubting, &graph->losses[i])) {
        bitset_add(settled, i);
        is_more = true;
      }
    is_more |= doubting->fresh.count > 0;
    walk_fresh(doubting);
    if (is_more) walk_ephemerons(doubting);
  }
}

struct inspect_error *doubt(const struct graph *graph, const struct collection *collection,
                            struct bitset *result) {
  struct doubting doubting = {.graph = graph, .collection = collection, .result = result};
  struct bitset settled = {0};
  *result = (struct bitset){0};
  if (!graph->incomplete) return NULL;
  if (!bitset_init(result, graph->object_count) || !bitset_init(&settled, graph->loss_count + 1)) {
    bitset_free(result);
    return error_no_memory();
  }
  if (graph->loss_count)
    spread(&doubting, &settled);
  else
    doubt_all(&doubting);
  bitset_free(&settled);
  vector_free(&doubting.fresh);
  if (!doubting.failed) return NULL;
  bitset_free(result);
  return error_no_memory();
}
