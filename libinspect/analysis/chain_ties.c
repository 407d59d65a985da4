/* chain_ties.c - see chain_ties.h. The ties of one object are a list through positions. */
#include "analysis/chain_ties.h"

#include "base/number_map.h"

enum {
  TIE_STEPS = 256,
  TIED = 0x80, /* in chains.tier[] */
};

struct objects VECTOR(object_id);

void chain_ties_init(struct chain_ties *ties, const struct tiers *tiers, struct chains *chains) {
  *ties = (struct chain_ties){.graph = tiers->graph, .tiers = tiers, .chains = chains};
  label_order_init(&ties->order, tiers->graph);
}

void chain_ties_free(struct chain_ties *ties) {
  label_order_free(&ties->order);
  vector_free(ties);
}

/* Which of two chains of one tier and distance is the better one, given their last references:
 * negative if the first. */
static int compare_chains(struct chain_ties *ties, object_id a, reference_id via_a, object_id b,
                          reference_id via_b) {
  const struct chains *chains = ties->chains;
  const struct graph *graph = ties->graph;
  for (int step = 0; step < TIE_STEPS; step++) {
    int result = label_order_compare(&ties->order, a, via_a, b, via_b, false);
    if (result) return result;
    if (a == b) return (via_a > via_b) - (via_a < via_b);
    object_id up_a = chains->parent[a], up_b = chains->parent[b];
    if (up_a == NO_OBJECT && up_b == NO_OBJECT)
      return tiers_compare_starts(ties->tiers, chains->via[a], chains->via[b]);
    if (up_a == NO_OBJECT || up_b == NO_OBJECT) return up_a == NO_OBJECT ? -1 : 1;
    via_a = graph_first(graph, up_a) + chains->via[a];
    via_b = graph_first(graph, up_b) + chains->via[b];
    a = up_a;
    b = up_b;
  }
  const struct graph_label_source *labels = &graph->labels;
  uint64_t x = labels->address(labels->context, a), y = labels->address(labels->context, b);
  return (x > y) - (x < y);
}

/* Takes the best of an object's ties, given its last. */
static void decide(struct chain_ties *ties, const struct chain_tie *tie) {
  const struct chain_tie *best = tie;
  while (tie->next != NO_NUMBER) {
    tie = &ties->items[tie->next];
    reference_id via = graph_first(ties->graph, tie->parent) + tie->via;
    reference_id best_via = graph_first(ties->graph, best->parent) + best->via;
    if (compare_chains(ties, tie->parent, via, best->parent, best_via) < 0) best = tie;
  }
  ties->chains->parent[best->object] = best->parent;
  ties->chains->via[best->object] = best->via;
}

/* Decides all ties noted so far, those of other objects than `needed` (NULL: all) in any way. */
static void decide_needed(struct chain_ties *ties, const struct bitset *needed) {
  struct chains *chains = ties->chains;
  for (size_t i = 0; i < ties->count; i++) {
    const struct chain_tie *tie = &ties->items[i];
    if (tie->next != NO_NUMBER) continue; /* once for each object */
    uint32_t last = chains->via[tie->object];
    chains->tier[tie->object] &= (uint8_t)~TIED;
    if (!needed || bitset_has(needed, tie->object))
      decide(ties, &ties->items[last]);
    else
      chains->via[tie->object] = tie->via;
  }
  ties->count = 0;
}

bool chain_ties_note(struct chain_ties *ties, object_id object, object_id parent, uint32_t via) {
  struct chains *chains = ties->chains;
  if (ties->count >= NO_NUMBER - 1) return false;
  if (!(chains->tier[object] & TIED)) {
    struct chain_tie first = {object, chains->parent[object], chains->via[object], NO_NUMBER};
    if (!vector_push(ties, first)) return false;
    chains->tier[object] |= TIED;
    chains->via[object] = (uint32_t)(ties->count - 1);
  }
  struct chain_tie tie = {object, parent, via, chains->via[object]};
  if (!vector_push(ties, tie)) return false;
  chains->via[object] = (uint32_t)(ties->count - 1);
  return true;
}

static bool need(struct bitset *needed, struct objects *list, object_id object) {
  return object == NO_OBJECT || !bitset_insert(needed, object) || vector_push(list, object);
}

/* What a chain over the reference depends on: the holder's, and that of an ephemeron's key. */
static bool need_reference(const struct chain_ties *ties, struct bitset *needed,
                           struct objects *list, object_id parent, uint32_t via) {
  const struct graph *graph = ties->graph;
  if (parent == NO_OBJECT) return true;
  reference_id reference = graph_first(graph, parent) + via;
  bool has_key = graph_is_ephemeron_value(graph->flags[parent], graph->kind[reference]);
  object_id key = has_key ? graph->target[reference - 1] : NO_OBJECT;
  if (key != NO_OBJECT && !bitset_has(&ties->chains->settled, key)) key = NO_OBJECT;
  return need(needed, list, parent) && need(needed, list, key);
}

/* The objects whose chains the chains to the targets depend on. */
static bool find_needed(const struct chain_ties *ties, const struct bitset *targets,
                        struct bitset *needed) {
  const struct chains *chains = ties->chains;
  struct objects list = {0};
  bool ok = true;
  /* `targets` may have a bit more than there are objects, and so a word more than `settled` */
  for (uint64_t word = 0; ok && word * 64 < ties->graph->object_count; word++)
    for (uint64_t bits = targets->words[word] & chains->settled.words[word]; ok && bits;
         bits &= bits - 1) {
      ok = need(needed, &list, (object_id)(word * 64 + (unsigned)__builtin_ctzll(bits)));
      while (ok && list.count) {
        object_id object = list.items[--list.count];
        bool is_tied = chains->tier[object] & TIED;
        if (!is_tied)
          ok = need_reference(ties, needed, &list, chains->parent[object], chains->via[object]);
        for (uint32_t i = chains->via[object]; ok && is_tied && i != NO_NUMBER;
             i = ties->items[i].next) {
          const struct chain_tie *tie = &ties->items[i];
          ok = need_reference(ties, needed, &list, tie->parent, tie->via);
        }
      }
    }
  vector_free(&list);
  return ok;
}

void chain_ties_decide(struct chain_ties *ties) { decide_needed(ties, NULL); }

bool chain_ties_decide_for(struct chain_ties *ties, const struct bitset *targets) {
  struct bitset needed = {0};
  if (!ties->count) return true;
  if (!targets) {
    decide_needed(ties, NULL);
    return true;
  }
  bool ok = bitset_init(&needed, ties->graph->object_count) && find_needed(ties, targets, &needed);
  if (ok) decide_needed(ties, &needed);
  bitset_free(&needed);
  return ok;
}
