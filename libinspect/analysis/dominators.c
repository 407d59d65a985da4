/* dominators.c - dominator tree with leaves, its numbering, retained sizes.
 *
 * The inner objects come from semi_nca.c. Leaves (strings, above all), which get most references of
 * a heap, need none of that: a leaf is dominated by the nearest common ancestor of its holders, and
 * that is the nearest common ancestor of the first and the last of them in a preorder of the
 * dominator tree. So one pass over the references notes the two extremes for every leaf. Before
 * that the same is done for twigs, which are no holders but of leaves: they get the numbers after
 * those of the inner objects, and are inner ones from then on.
 *
 * Numbers of inner objects grow from dominator to dominated: sums over subtrees are loops
 * downwards, preorder intervals are handed out in loops upwards, from a parent's interval to its
 * children. Arrays change hands rather than being allocated; each step says what it leaves where.
 */
#include "analysis/dominators.h"

#include <stdlib.h>
#include <string.h>

#include "analysis/holding.h"
#include "analysis/semi_nca.h"
#include "base/large.h"
#include "base/radix.h"

enum { LOOK_AHEAD = 16, CHECK_EVERY = 1 << 16 };

/* Sizes of the inner subtrees into size[], places in a preorder from 1 into place[]. */
static void place_inner(const struct semi_nca *tree, uint32_t *size, uint32_t *place) {
  for (uint32_t i = 0; i <= tree->count; i++)
    size[i] = 1;
  for (uint32_t i = tree->count; i; i--)
    size[tree->dominator[i]] += size[i];
  /* While children are being placed, size[] of a parent is the place of its next child. */
  place[0] = 1;
  size[0] = 2;
  for (uint32_t i = 1; i <= tree->count; i++) {
    uint32_t *next = &size[tree->dominator[i]];
    place[i] = *next;
    *next += size[i];
    size[i] = place[i] + 1;
  }
}

/* The extremes of the places of a leaf's holders; 0: none yet. */
static inline void widen(uint32_t *least, uint32_t *most, object_id leaf, uint32_t place) {
  if (!least[leaf] || place < least[leaf]) least[leaf] = place;
  if (place > most[leaf]) most[leaf] = place;
}

static void widen_root(const struct bitset *outer, uint32_t *least, uint32_t *most,
                       object_id root) {
  if (root < outer->size && bitset_has(outer, root)) widen(least, most, root, 1);
}

/* Of the objects in `outer`. */
static struct inspect_error *find_extremes(const struct holding *holding,
                                           const struct bitset *outer, struct semi_nca *tree,
                                           const uint32_t *place, uint32_t *most,
                                           const struct work *work) {
  const struct graph *graph = holding->graph;
  uint32_t *least = tree->number; /* of inner objects it stays the number */
  for (size_t i = 0; i < graph->root_count; i++)
    if (root_keeps(graph->roots[i].kind)) widen_root(outer, least, most, graph->roots[i].object);
  for (uint32_t object = next_with_flags(graph, 0, OBJECT_FIXED); object < graph->object_count;
       object = next_with_flags(graph, object + 1, OBJECT_FIXED))
    widen_root(outer, least, most, object);
  for (object_id object = 0; object < graph->object_count; object++) {
    if (object % CHECK_EVERY == 0 &&
        work_stops(work, "retained sizes", object, graph->object_count))
      return error_interrupted();
    if (!bitset_has(&holding->inner, object) || !tree->number[object]) continue;
    uint32_t here = place[tree->number[object]];
    struct held held = held_begin(holding, object);
    for (object_id target; held_next(holding, &held, &target);)
      if (bitset_has(outer, target)) widen(least, most, target, here);
  }
  return NULL;
}

/* Leaves number[] of each object in `outer` as that of its dominator plus 1, 0 if not reached.
 * `number_at` is room for a number at each place. */
static struct inspect_error *attach(const struct holding *holding, const struct bitset *outer,
                                    struct semi_nca *tree, uint32_t *number_at,
                                    const struct work *work) {
  uint32_t *most = tree->spare[0], *place = tree->spare[1];
  const struct number_pair *pairs = tree->pairs;
  place_inner(tree, most, place);
  memset(most, 0, ((size_t)holding->graph->object_count + 1) * sizeof *most);
  TRY(find_extremes(holding, outer, tree, place, most, work));
  for (uint32_t i = 0; i <= tree->count; i++)
    number_at[place[i]] = i;
  for (uint64_t word = 0; word < outer->size / 64 + 1; word++)
    for (uint64_t bits = outer->words[word]; bits; bits &= bits - 1) {
      object_id object = (object_id)(word * 64 + (unsigned)__builtin_ctzll(bits));
      if (!most[object]) continue;
      uint32_t least = tree->number[object], above = number_at[most[object]];
      while (place[above] > least)
        above = place[pairs[above].up] > least ? pairs[above].up : tree->dominator[above];
      tree->number[object] = above + 1;
    }
  return NULL;
}

/* Makes attached twigs inner objects. */
static void join_twigs(struct holding *holding, struct semi_nca *tree) {
  for (uint64_t word = 0; word < holding->twigs.size / 64 + 1; word++) {
    for (uint64_t bits = holding->twigs.words[word]; bits; bits &= bits - 1) {
      object_id twig = (object_id)(word * 64 + (unsigned)__builtin_ctzll(bits));
      if (!tree->number[twig]) continue;
      uint32_t above = tree->number[twig] - 1, number = ++tree->count;
      tree->number[twig] = number;
      tree->vertex[number] = twig;
      tree->dominator[number] = above;
      tree->pairs[number] = semi_nca_jump(tree->pairs, above);
    }
    holding->inner.words[word] |= holding->twigs.words[word];
  }
}

/* The number of an object's dominator in the tree; false if the object is not reached. */
static inline bool dominator_of(const struct holding *holding, const struct semi_nca *tree,
                                object_id object, uint32_t *above) {
  uint32_t number = tree->number[object];
  if (!number) return false;
  *above = bitset_has(&holding->inner, object) ? tree->dominator[number] : number - 1;
  return true;
}

/* The memory of `pairs` becomes retained[]. */
static void sum_retained(const struct holding *holding, struct semi_nca *tree,
                         struct dominators *result) {
  const struct graph *graph = holding->graph;
  uint64_t *retained = result->retained = (uint64_t *)(void *)tree->pairs;
  tree->pairs = NULL;
  memset(retained, 0, ((size_t)graph->object_count + 1) * sizeof *retained);
  for (object_id object = 0; object < graph->object_count; object++) {
    uint32_t above;
    result->parent[object] = NO_OBJECT;
    if (!dominator_of(holding, tree, object, &above)) continue;
    result->parent[object] = tree->vertex[above];
    uint64_t bytes = graph_bytes(graph, object);
    retained[object] += bytes;
    if (above && !bitset_has(&holding->inner, object)) retained[tree->vertex[above]] += bytes;
  }
  for (uint32_t i = tree->count; i; i--)
    if (tree->dominator[i]) retained[tree->vertex[tree->dominator[i]]] += retained[tree->vertex[i]];
}

/* Sizes of subtrees, leaves included, into size[]; places of inner objects, and behind them room
 * for their leaves: place[] by number from 1, next[] the first place not taken in its interval. */
static void number_inner(const struct holding *holding, const struct semi_nca *tree,
                         uint32_t *place, uint32_t *next) {
  uint32_t *size = next;
  for (uint32_t i = 0; i <= tree->count; i++)
    size[i] = 1;
  for (object_id leaf = 0; leaf < holding->graph->object_count; leaf++)
    if (tree->number[leaf] && bitset_has(&holding->leaves, leaf)) size[tree->number[leaf] - 1]++;
  for (uint32_t i = tree->count; i; i--)
    size[tree->dominator[i]] += size[i];
  next[0] = 1; /* the virtual root takes no place */
  for (uint32_t i = 1; i <= tree->count; i++) {
    uint32_t *above = &next[tree->dominator[i]];
    place[i] = *above;
    *above += size[i];
    next[i] = place[i] + 1;
  }
}

/* number[] becomes enter[], dominator[] becomes leave[]. */
static void number_all(const struct holding *holding, struct semi_nca *tree,
                       struct dominators *result) {
  uint32_t count = holding->graph->object_count;
  uint32_t *place = tree->spare[0], *next = tree->spare[1];
  number_inner(holding, tree, place, next);
  uint32_t *enter = result->enter = tree->number, *leave = result->leave = tree->dominator;
  tree->number = tree->dominator = NULL;
  for (object_id leaf = 0; leaf < count; leaf++)
    if (enter[leaf] && !bitset_has(&holding->inner, leaf))
      leave[leaf] = enter[leaf] = next[enter[leaf] - 1]++;
  for (object_id object = 0; object < count; object++) {
    if (!enter[object]) {
      leave[object] = 0;
    } else if (bitset_has(&holding->inner, object)) {
      leave[object] = next[enter[object]] - 1;
      enter[object] = place[enter[object]];
    }
  }
}

static struct inspect_error *fill(struct holding *holding, struct semi_nca *tree,
                                  const struct work *work, struct dominators *result) {
  TRY(semi_nca_compute(holding, work, tree));
  result->object_count = holding->graph->object_count;
  result->parent = holding->row; /* the edges are not needed any more */
  holding->row = NULL;
  holding_free_edges(holding);
  TRY(attach(holding, &holding->twigs, tree, result->parent, work));
  join_twigs(holding, tree);
  TRY(attach(holding, &holding->leaves, tree, result->parent, work));
  sum_retained(holding, tree, result);
  number_all(holding, tree, result);
  return NULL;
}

struct inspect_error *dominators_compute(const struct graph *graph, const struct bitset *live,
                                         const struct graph_mask *mask, const struct work *work,
                                         struct dominators *result) {
  *result = (struct dominators){.live = live, .mask = mask};
  struct holding holding;
  struct semi_nca tree = {0};
  struct inspect_error *error = holding_init(&holding, graph, live, mask, work);
  if (!error) error = fill(&holding, &tree, work, result);
  semi_nca_free(&tree);
  holding_free(&holding);
  if (error) dominators_free(result);
  return error;
}

void dominators_free(struct dominators *dominators) {
  free(dominators->parent);
  free(dominators->retained);
  free(dominators->enter);
  free(dominators->leave);
  *dominators = (struct dominators){0};
}

object_id dominators_common(const struct dominators *dominators, const object_id *objects,
                            size_t count) {
  uint32_t least = UINT32_MAX, most = 0;
  for (size_t i = 0; i < count; i++) {
    uint32_t place = dominators->enter[objects[i]];
    if (!place) return NO_OBJECT;
    if (place < least) least = place;
    if (place > most) most = place;
  }
  object_id common = count ? objects[0] : NO_OBJECT;
  while (common != NO_OBJECT &&
         (dominators->enter[common] > least || dominators->leave[common] < most))
    common = dominators->parent[common];
  return common;
}

uint64_t dominators_retained_by_set(const struct dominators *dominators, const object_id *objects,
                                    size_t count) {
  struct radix_item *sorted = large_alloc(count + 1, sizeof *sorted);
  for (size_t i = 0; sorted && i < count; i++) {
    if (i + LOOK_AHEAD < count) __builtin_prefetch(&dominators->enter[objects[i + LOOK_AHEAD]]);
    sorted[i] = (struct radix_item){.low = dominators->enter[objects[i]], .value = objects[i]};
  }
  if (!sorted || !radix_sort(sorted, count)) {
    free(sorted);
    return UINT64_MAX;
  }
  uint64_t bytes = 0;
  uint32_t covered = 0; /* places up to here are counted */
  for (size_t i = 0; i < count; i++) {
    if (sorted[i].low <= covered) continue;
    object_id object = sorted[i].value;
    bytes += dominators->retained[object];
    covered = dominators->leave[object];
  }
  free(sorted);
  return bytes;
}
