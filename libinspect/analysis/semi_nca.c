/* semi_nca.c - the semi-NCA algorithm (Georgiadis and Tarjan, "Finding dominators revisited",
 * 2004).
 *
 *   1. Number the objects in depth-first preorder.
 *   2. From the highest number down, the semidominator of w is the least number among its parent
 * and, for every other predecessor v, the least semidominator on the tree path from w (exclusive)
 * to v; found by path compression over the numbers above w.
 *   3. From the lowest number up, the immediate dominator of w is the deepest ancestor, in the
 *      dominator tree so far, of w's parent whose number is not above w's semidominator.
 *
 * Departures: a predecessor with a lower number is an ancestor, so it is folded into the
 * semidominator when met and only the others are stored; most objects have none. Path compression
 * reverses pointers instead of using a stack. Step 3 climbs over skew-binary jump pointers (Myers,
 * "An applicative random-access stack", 1983), so that deep lists cannot make it quadratic. */
#include "analysis/semi_nca.h"

#include <stdlib.h>
#include <string.h>

enum { CHECK_EVERY = 1 << 16, LOOK_AHEAD = 16 };

struct search {
  const struct holding *holding;
  const struct work *work;
  struct semi_nca *tree;
  uint32_t *semi;   /* by number                                                            */
  uint32_t *first;  /* by number: how many predecessors are stored, then where they start   */
  uint32_t *cursor; /* by number: offset among the edges; in the memory of `pairs`          */
  uint32_t *stored; /* predecessors with higher numbers, by object they lead to             */
};

static struct inspect_error *stopped(const struct search *search, uint32_t done, unsigned part) {
  uint64_t total = search->holding->graph->object_count;
  if (done % CHECK_EVERY) return NULL;
  return work_stops(search->work, "dominators", part * total + done, 3 * total)
             ? error_interrupted()
             : NULL;
}

static void look_at_row(const struct search *search, const struct held *held) {
  const struct graph *graph = search->holding->graph;
  reference_id end = held->end - held->at > LOOK_AHEAD ? held->at + LOOK_AHEAD : held->end;
  for (reference_id i = held->at; i < end; i++) {
    __builtin_prefetch(&search->tree->number[graph->target[i]]);
    __builtin_prefetch(&graph->first[graph->target[i]]);
  }
}

/* Gives an object the next number. */
static uint32_t enter(struct search *search, object_id object, uint32_t parent) {
  struct semi_nca *tree = search->tree;
  uint32_t number = ++tree->count;
  tree->number[object] = number;
  tree->vertex[number] = object;
  tree->dominator[number] = search->semi[number] = parent;
  search->first[number] = 0;
  return number;
}

/* Goes on with the edges of a number until one leads to an object not entered yet: enters it and
 * returns its number, 0 if there is none. */
static uint32_t descend(struct search *search, uint32_t number, struct held *held) {
  const struct holding *holding = search->holding;
  for (object_id target; held_next(holding, held, &target);) {
    if (!bitset_has(&holding->inner, target)) continue;
    uint32_t other = search->tree->number[target];
    if (!other) {
      search->cursor[number] = held_offset(held);
      return enter(search, target, number);
    }
    if (other < number)
      search->first[other]++;
    else if (search->semi[other] > number && other != number)
      search->semi[other] = number;
  }
  return 0;
}

static struct inspect_error *search_from(struct search *search, object_id root) {
  const struct semi_nca *tree = search->tree;
  uint32_t number = enter(search, root, 0);
  struct held held = held_begin(search->holding, root);
  for (;;) {
    if (held.at == held.row) look_at_row(search, &held);
    uint32_t below = descend(search, number, &held);
    if (below) {
      number = below;
      held = held_begin(search->holding, tree->vertex[number]);
      TRY(stopped(search, number, 0));
    } else {
      number = tree->dominator[number]; /* still the parent */
      if (!number) return NULL;
      held = held_begin(search->holding, tree->vertex[number]);
      held_seek(&held, search->cursor[number]);
    }
  }
}

static struct inspect_error *search_root(struct search *search, object_id root) {
  if (root >= search->holding->graph->object_count) return NULL;
  if (!bitset_has(&search->holding->inner, root)) return NULL;
  uint32_t number = search->tree->number[root];
  if (!number) return search_from(search, root);
  search->semi[number] = 0;
  return NULL;
}

/* Step 1. */
static struct inspect_error *number_objects(struct search *search) {
  const struct graph *graph = search->holding->graph;
  search->tree->vertex[0] = NO_OBJECT;
  for (size_t i = 0; i < graph->root_count; i++)
    if (root_keeps(graph->roots[i].kind)) TRY(search_root(search, graph->roots[i].object));
  for (uint32_t object = next_with_flags(graph, 0, OBJECT_FIXED); object < graph->object_count;
       object = next_with_flags(graph, object + 1, OBJECT_FIXED))
    TRY(search_root(search, object));
  return NULL;
}

/* Turns counts into the ends of rows; filling counts them down to the starts. */
static struct inspect_error *allocate_stored(struct search *search) {
  uint64_t total = 0;
  search->first[0] = 0;
  for (uint32_t number = 1; number <= search->tree->count; number++) {
    total += search->first[number];
    search->first[number] = (uint32_t)total;
  }
  if (total > UINT32_MAX)
    return error_create(INSPECT_ERROR_UNSUPPORTED, NULL, "too many references for dominators");
  search->first[search->tree->count + 1] = (uint32_t)total;
  search->stored = malloc(((size_t)total + 1) * sizeof *search->stored);
  return search->stored ? NULL : error_no_memory();
}

/* In the order of objects: rows are read sequentially, only the numbers of targets are not. */
static struct inspect_error *store_predecessors(struct search *search) {
  const struct holding *holding = search->holding;
  const struct graph *graph = holding->graph;
  const uint32_t *numbers = search->tree->number;
  TRY(allocate_stored(search));
  for (object_id object = 0; object < graph->object_count; object++) {
    TRY(stopped(search, object, 1));
    uint32_t number = numbers[object];
    if (!number) continue;
    struct held held = held_begin(holding, object);
    for (object_id target; held_next(holding, &held, &target);) {
      if (held.at + LOOK_AHEAD < graph->reference_count)
        __builtin_prefetch(&numbers[graph->target[held.at + LOOK_AHEAD]]);
      if (!bitset_has(&holding->inner, target)) continue;
      if (numbers[target] < number) search->stored[--search->first[numbers[target]]] = number;
    }
  }
  return NULL;
}

/* The least semidominator from `number` up to, but not including, the last number not above
 * `limit`. All numbers on the way then point there directly. */
static uint32_t least_semi(struct number_pair *pairs, uint32_t number, uint32_t limit) {
  uint32_t below = 0, top = number;
  while (pairs[top].up > limit) { /* up, turning the pointers round */
    uint32_t up = pairs[top].up;
    pairs[top].up = below;
    below = top;
    top = up;
  }
  uint32_t end = pairs[top].up, least = pairs[top].label;
  while (below) { /* and down again */
    uint32_t next = pairs[below].up;
    if (pairs[below].label < least) least = pairs[below].label;
    pairs[below] = (struct number_pair){.up = end, .label = least};
    below = next;
  }
  return least;
}

/* Step 2. */
static struct inspect_error *find_semidominators(struct search *search) {
  struct number_pair *pairs = search->tree->pairs;
  const uint32_t *first = search->first, *stored = search->stored;
  for (uint32_t number = search->tree->count; number; number--) {
    TRY(stopped(search, number, 2));
    uint32_t semi = search->semi[number];
    for (uint32_t i = first[number + 1]; i-- > first[number];) {
      if (i >= LOOK_AHEAD) __builtin_prefetch(&pairs[stored[i - LOOK_AHEAD]]);
      uint32_t least = least_semi(pairs, stored[i], number);
      if (least < semi) semi = least;
    }
    search->semi[number] = semi;
    pairs[number] = (struct number_pair){.up = search->tree->dominator[number], .label = semi};
  }
  return NULL;
}

/* The jump pointer of a new child of `parent`: two equal jumps in a row are joined into one. */
static struct number_pair jump_below(const struct number_pair *pairs, uint32_t parent) {
  uint32_t jump = pairs[parent].up, beyond = pairs[jump].up;
  uint32_t depth = pairs[parent].label;
  bool joins = depth - pairs[jump].label == pairs[jump].label - pairs[beyond].label;
  return (struct number_pair){.up = joins ? beyond : parent, .label = depth + 1};
}

/* Step 3; parents become immediate dominators. */
static void find_dominators(struct search *search) {
  uint32_t *dominator = search->tree->dominator;
  struct number_pair *pairs = search->tree->pairs;
  pairs[0] = (struct number_pair){0};
  for (uint32_t number = 1; number <= search->tree->count; number++) {
    uint32_t above = dominator[number], semi = search->semi[number];
    while (above > semi)
      above = pairs[above].up > semi ? pairs[above].up : dominator[above];
    dominator[number] = above;
    pairs[number] = jump_below(pairs, above);
  }
}

static struct inspect_error *allocate(struct semi_nca *tree, size_t room) {
  tree->number = calloc(room, sizeof *tree->number);
  tree->vertex = malloc(room * sizeof *tree->vertex);
  tree->dominator = malloc(room * sizeof *tree->dominator);
  tree->pairs = malloc(room * sizeof *tree->pairs);
  for (int i = 0; i < 2; i++)
    tree->spare[i] = malloc(room * sizeof *tree->spare[i]);
  bool done = tree->number && tree->vertex && tree->dominator && tree->pairs && tree->spare[0] &&
              tree->spare[1];
  return done ? NULL : error_no_memory();
}

struct inspect_error *semi_nca_compute(const struct holding *holding, const struct work *work,
                                       struct semi_nca *result) {
  *result = (struct semi_nca){0};
  TRY(allocate(result, (size_t)holding->graph->object_count + 2));
  struct search search = {
      .holding = holding,
      .work = work,
      .tree = result,
      .semi = result->spare[0],
      .first = result->spare[1],
      .cursor = (uint32_t *)result->pairs,
  };
  struct inspect_error *error = number_objects(&search);
  if (!error) error = store_predecessors(&search);
  if (!error) error = find_semidominators(&search);
  free(search.stored);
  if (!error) find_dominators(&search);
  return error;
}

void semi_nca_free(struct semi_nca *tree) {
  free(tree->number);
  free(tree->vertex);
  free(tree->dominator);
  free(tree->pairs);
  free(tree->spare[0]);
  free(tree->spare[1]);
  *tree = (struct semi_nca){0};
}
