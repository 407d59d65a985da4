/* attach.c - the references are read twice: those of inner objects for twigs and leaves, then, once
 * the dominators of twigs are known, those of twigs for leaves.
 *
 * Places in a preorder of the tree over inner objects count from 1, the place of the virtual root;
 * 0 is none. Threads take ranges of holders; extremes are only written while they still move. */
#include "analysis/attach.h"

#include <stdlib.h>

#include "base/parallel.h"

enum { LOOK_AHEAD = 16, WORDS_AT_ONCE = 1 << 8, ROOT_PLACE = 1 };

struct attachment {
  struct layers *layers;
  struct inner_graph *inner;
  struct semi_nca *tree;
  uint32_t *place, *number_at; /* of inner objects by number, and back */
  uint32_t *least, *most;
  struct bitset several; /* objects to attach */
  const struct work *work;
  size_t parts;
  bool is_twig;    /* what the holders are of this pass */
  bool is_stopped; /* shared */
};

/* ---- Places ------------------------------------------------------------------------------------
 */

static void place_inner(struct attachment *it) {
  const struct semi_nca *tree = it->tree;
  uint32_t *size = it->number_at, *place = it->place;
  for (uint32_t i = 0; i <= tree->count; i++)
    size[i] = 1;
  for (uint32_t i = tree->count; i; i--)
    size[tree->dominator[i]] += size[i];
  /* While children are being placed, size[] of a parent is the place of its next child. */
  place[0] = ROOT_PLACE;
  size[0] = ROOT_PLACE + 1;
  for (uint32_t i = 1; i <= tree->count; i++) {
    uint32_t *next = &size[tree->dominator[i]];
    place[i] = *next;
    *next += size[i];
    size[i] = place[i] + 1;
  }
  for (uint32_t i = 0; i <= tree->count; i++)
    it->number_at[place[i] - 1] = i;
}

/* The place of each node, into nodes[].b; 0 if it was not reached. */
static void place_nodes(struct attachment *it) {
  struct inner_node *nodes = it->inner->nodes;
  for (uint32_t node = 0; node < it->inner->count; node++) {
    if (node + LOOK_AHEAD < it->inner->count)
      __builtin_prefetch(&it->place[nodes[node + LOOK_AHEAD].a]);
    nodes[node].b = nodes[node].a ? it->place[nodes[node].a] : 0;
  }
}

/* ---- Extremes ----------------------------------------------------------------------------------
 */

static inline void widen(struct attachment *it, object_id object, uint32_t place) {
  uint32_t *least = &it->least[object], *most = &it->most[object];
  uint32_t before = __atomic_load_n(least, __ATOMIC_RELAXED);
  while ((!before || place < before) &&
         !__atomic_compare_exchange_n(least, &before, place, false, __ATOMIC_RELAXED,
                                      __ATOMIC_RELAXED))
    ;
  before = __atomic_load_n(most, __ATOMIC_RELAXED);
  while (place > before && !__atomic_compare_exchange_n(most, &before, place, false,
                                                        __ATOMIC_RELAXED, __ATOMIC_RELAXED))
    ;
}

/* Notes that an object at a place holds what it holds. */
static inline void hold_all(struct attachment *it, object_id object, uint32_t place) {
  const struct holding *holding = it->layers->holding;
  if (!place) return;
  struct held held = held_begin(holding, object);
  for (object_id target; held_next(holding, &held, &target);)
    if (bitset_has(&it->several, target)) widen(it, target, place);
}

/* The holders among the objects of a word: their places are looked up first. */
static void hold_word(struct attachment *it, uint64_t word, uint64_t bits) {
  const struct layers *layers = it->layers;
  const struct inner_node *nodes[64];
  object_id first = (object_id)(word * 64);
  for (uint64_t left = bits; left; left &= left - 1) {
    unsigned i = (unsigned)__builtin_ctzll(left);
    object_id object = it->is_twig ? layers->holder[first + i] : first + i;
    nodes[i] = object < HELD_BY_SEVERAL ? &it->inner->nodes[inner_node(it->inner, object)] : NULL;
    if (nodes[i]) __builtin_prefetch(nodes[i]);
  }
  for (uint64_t left = bits; left; left &= left - 1) {
    unsigned i = (unsigned)__builtin_ctzll(left);
    hold_all(it, first + i, nodes[i] ? nodes[i]->b : ROOT_PLACE);
  }
}

static void hold_range(void *context, size_t part) {
  struct attachment *it = context;
  const struct bitset *holders = it->is_twig ? &it->layers->twigs : &it->layers->inner;
  uint64_t words = holders->size / 64 + 1;
  uint64_t begin = words * part / it->parts, end = words * (part + 1) / it->parts;
  for (uint64_t word = begin; word < end; word++) {
    if (word % WORDS_AT_ONCE == 0) {
      if (part == 0 && work_stops(it->work, "dominators", word, end))
        __atomic_store_n(&it->is_stopped, true, __ATOMIC_RELAXED);
      if (__atomic_load_n(&it->is_stopped, __ATOMIC_RELAXED)) return;
    }
    if (holders->words[word]) hold_word(it, word, holders->words[word]);
  }
}

static void hold_root(struct attachment *it, object_id object) {
  if (object < it->several.size && bitset_has(&it->several, object)) widen(it, object, ROOT_PLACE);
}

static void hold_roots(struct attachment *it) {
  const struct graph *graph = it->layers->holding->graph;
  for (size_t i = 0; i < graph->root_count; i++)
    if (root_keeps(graph->roots[i].kind)) hold_root(it, graph->roots[i].object);
  for (uint32_t object = next_with_flags(graph, 0, OBJECT_FIXED); object < graph->object_count;
       object = next_with_flags(graph, object + 1, OBJECT_FIXED))
    hold_root(it, object);
}

/* ---- Ancestors ---------------------------------------------------------------------------------
 */

/* The number of the nearest common ancestor. */
static uint32_t ancestor(const struct attachment *it, uint32_t least, uint32_t most) {
  const uint32_t *place = it->place;
  uint32_t above = it->number_at[most - 1];
  while (place[above] > least) {
    uint32_t jump = it->tree->pairs[above].up;
    above = place[jump] > least ? jump : it->tree->dominator[above];
  }
  return above;
}

/* Attaches the objects of a layer. */
static void resolve(struct attachment *it, const struct bitset *layer) {
  for (uint64_t word = 0; word < it->several.size / 64 + 1; word++)
    for (uint64_t bits = it->several.words[word] & layer->words[word]; bits; bits &= bits - 1) {
      object_id object = (object_id)(word * 64 + (unsigned)__builtin_ctzll(bits));
      object_id *holder = &it->layers->holder[object];
      uint32_t *least = &it->least[object], *most = &it->most[object];
      uint32_t above = *most ? ancestor(it, *least, *most) : 0;
      *holder = above ? it->tree->vertex[above] : *most ? HELD_BY_ROOTS : HELD_BY_NONE;
      *least = *most = 0;
    }
}

/* Who is to be attached; whether there is anybody. */
static bool find_several(struct attachment *it) {
  const struct layers *layers = it->layers;
  bool found = false;
  for (uint64_t word = 0; word < it->several.size / 64 + 1; word++) {
    uint64_t all = layers->leaves.words[word] | layers->twigs.words[word], several = 0;
    for (uint64_t bits = all; bits; bits &= bits - 1)
      if (layers->holder[word * 64 + (unsigned)__builtin_ctzll(bits)] == HELD_BY_SEVERAL)
        several |= bits & -bits;
    it->several.words[word] = several;
    found |= several != 0;
  }
  return found;
}

static struct inspect_error *attach_several(struct attachment *it) {
  place_inner(it);
  if (work_stops(it->work, "dominators", 0, 0)) return error_interrupted();
  place_nodes(it);
  hold_roots(it);
  parallel_run(it->parts, hold_range, it);
  resolve(it, &it->layers->twigs);
  it->is_twig = true;
  parallel_run(it->parts, hold_range, it);
  resolve(it, &it->layers->leaves);
  return it->is_stopped ? error_interrupted() : NULL;
}

struct inspect_error *attach(struct layers *layers, struct inner_graph *inner,
                             struct semi_nca *tree, uint32_t *least, uint32_t *most,
                             const struct work *work) {
  struct attachment it = {.layers = layers,
                          .inner = inner,
                          .tree = tree,
                          .place = tree->spare[0],
                          .number_at = tree->spare[1],
                          .least = least,
                          .most = most,
                          .work = work,
                          .parts = work_threads(work)};
  if (!bitset_init(&it.several, layers->leaves.size)) return error_no_memory();
  struct inspect_error *error = find_several(&it) ? attach_several(&it) : NULL;
  bitset_free(&it.several);
  return error;
}
