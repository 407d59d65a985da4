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
 * Departures: the search only notes references to objects that it has seen already, for a second
 * pass that can look ahead. A predecessor with a lower number is an ancestor, so that pass folds it
 * into the semidominator; the others are chained, most objects have none. Path compression reverses
 * pointers instead of using a stack. Step 3 climbs over skew-binary jump pointers (Myers, "An
 * applicative random-access stack", 1983), so that deep lists cannot make it quadratic. */
#include "analysis/semi_nca.h"

#include <stdlib.h>
#include <string.h>

#include "base/large.h"

enum { CHECK_EVERY = 1 << 16, LOOK_AHEAD = 16, TARGETS_AHEAD = 24, ROWS_AHEAD = 6 };

/* A reference that is not in the tree of the search: where it comes from, and the object it leads
 * to; later the chain of such predecessors of one number. */
struct predecessor {
  uint32_t number;
  union {
    object_id object;
    uint32_t next; /* position + 1 in the list; 0: the last */
  };
};

struct search {
  const struct holding *holding;
  const struct work *work;
  struct semi_nca *tree;
  struct bitset unseen; /* inner objects without a number                                   */
  uint32_t *semi;       /* by number                                                        */
  uint32_t *first;      /* by number: position + 1 of its first predecessor, or 0           */
  uint32_t *cursor;     /* by number: position among the edges; in the memory of `pairs`    */
  struct predecessors VECTOR(struct predecessor) predecessors;
};

static struct inspect_error *stopped(const struct search *search, uint32_t done, unsigned part) {
  uint64_t total = search->holding->graph->object_count;
  if (done % CHECK_EVERY) return NULL;
  return work_stops(search->work, "dominators", part * total + done, 2 * total)
             ? error_interrupted()
             : NULL;
}

/* On entering an object: where the rows of its targets start. */
static void look_at_targets(const struct search *search, uint32_t at, uint32_t end) {
  const struct holding *holding = search->holding;
  if (end - at > TARGETS_AHEAD) end = at + TARGETS_AHEAD;
  for (; at < end; at++)
    if (bitset_has(&search->unseen, holding->edge[at]))
      __builtin_prefetch(&holding->row[holding->edge[at]]);
}

/* On leaving it for a target: the rows of the targets that come next. */
static void look_at_rows(const struct search *search, uint32_t at, uint32_t end) {
  const struct holding *holding = search->holding;
  if (end - at > ROWS_AHEAD) end = at + ROWS_AHEAD;
  for (; at < end; at++)
    if (bitset_has(&search->unseen, holding->edge[at]))
      __builtin_prefetch(&holding->edge[holding->row[holding->edge[at]]]);
}

/* Gives an object the next number. */
static uint32_t enter(struct search *search, object_id object, uint32_t parent) {
  struct semi_nca *tree = search->tree;
  uint32_t number = ++tree->count;
  bitset_remove(&search->unseen, object);
  tree->number[object] = number;
  tree->vertex[number] = object;
  tree->dominator[number] = search->semi[number] = parent;
  search->first[number] = 0;
  return number;
}

/* Goes on with the edges of a number, the position *at, until one leads to an object not seen yet;
 * enters it. *below is its number, 0 if there is none. */
static struct inspect_error *descend(struct search *search, uint32_t number, uint32_t at,
                                     uint32_t *below) {
  const struct holding *holding = search->holding;
  uint32_t end = holding->row[(uint64_t)search->tree->vertex[number] + 1];
  *below = 0;
  while (at < end) {
    object_id target = holding->edge[at++];
    if (bitset_has(&search->unseen, target)) {
      look_at_rows(search, at, end);
      search->cursor[number] = at;
      *below = enter(search, target, number);
      return NULL;
    }
    struct predecessor met = {.number = number, .object = target};
    if (!vector_push(&search->predecessors, met)) return error_no_memory();
  }
  return NULL;
}

static struct inspect_error *search_from(struct search *search, object_id root) {
  const struct semi_nca *tree = search->tree;
  const uint32_t *row = search->holding->row;
  uint32_t number = enter(search, root, 0), below, at = row[root];
  look_at_targets(search, at, row[(uint64_t)root + 1]);
  for (;;) {
    TRY(descend(search, number, at, &below));
    if (below) {
      number = below;
      object_id object = tree->vertex[number];
      at = row[object];
      look_at_targets(search, at, row[(uint64_t)object + 1]);
      TRY(stopped(search, number, 0));
    } else {
      number = tree->dominator[number]; /* still the parent */
      if (!number) return NULL;
      at = search->cursor[number];
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

/* Folds what was met with a lower number, chains the rest. */
static struct inspect_error *chain_predecessors(struct search *search) {
  const uint32_t *numbers = search->tree->number;
  struct predecessor *list = search->predecessors.items;
  size_t count = search->predecessors.count;
  if (count > UINT32_MAX - 1)
    return error_create(INSPECT_ERROR_UNSUPPORTED, NULL, "too many references for dominators");
  for (size_t i = 0; i < count; i++) {
    if (i + 2 * LOOK_AHEAD < count) {
      __builtin_prefetch(&numbers[list[i + 2 * LOOK_AHEAD].object]);
      __builtin_prefetch(&search->first[numbers[list[i + LOOK_AHEAD].object]]);
    }
    uint32_t of = numbers[list[i].object], from = list[i].number;
    if (of < from) {
      list[i].next = search->first[of];
      search->first[of] = (uint32_t)i + 1;
    } else if (of > from && search->semi[of] > from) {
      search->semi[of] = from;
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

/* Numbers are visited downwards: the first predecessors of those that come soon are fetched in two
 * stages, as rows are in mark.c. */
static void look_below(const struct search *search, uint32_t number) {
  const struct predecessor *list = search->predecessors.items;
  if (number <= LOOK_AHEAD) return;
  uint32_t far = search->first[number - LOOK_AHEAD], near = search->first[number - LOOK_AHEAD / 2];
  if (far) __builtin_prefetch(&list[far - 1]);
  if (near) __builtin_prefetch(&search->tree->pairs[list[near - 1].number]);
}

/* Step 2. */
static struct inspect_error *find_semidominators(struct search *search) {
  struct number_pair *pairs = search->tree->pairs;
  const struct predecessor *list = search->predecessors.items;
  for (uint32_t number = search->tree->count; number; number--) {
    TRY(stopped(search, number, 1));
    look_below(search, number);
    uint32_t semi = search->semi[number];
    for (uint32_t i = search->first[number]; i; i = list[i - 1].next) {
      uint32_t least = least_semi(pairs, list[i - 1].number, number);
      if (least < semi) semi = least;
    }
    search->semi[number] = semi;
    pairs[number] = (struct number_pair){.up = search->tree->dominator[number], .label = semi};
  }
  return NULL;
}

struct number_pair semi_nca_jump(const struct number_pair *pairs, uint32_t parent) {
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
    pairs[number] = semi_nca_jump(pairs, above);
  }
}

static struct inspect_error *allocate(struct semi_nca *tree, size_t room) {
  tree->number = large_zeroed(room, sizeof *tree->number);
  tree->vertex = large_alloc(room, sizeof *tree->vertex);
  tree->dominator = large_alloc(room, sizeof *tree->dominator);
  tree->pairs = large_alloc(room, sizeof *tree->pairs);
  for (int i = 0; i < 2; i++)
    tree->spare[i] = large_alloc(room, sizeof *tree->spare[i]);
  bool done = tree->number && tree->vertex && tree->dominator && tree->pairs && tree->spare[0] &&
              tree->spare[1];
  return done ? NULL : error_no_memory();
}

static struct inspect_error *copy_inner(const struct holding *holding, struct bitset *copy) {
  if (!bitset_init(copy, holding->inner.size)) return error_no_memory();
  memcpy(copy->words, holding->inner.words, (size_t)(copy->size / 64 + 1) * 8);
  return NULL;
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
  struct inspect_error *error = copy_inner(holding, &search.unseen);
  if (!error) error = number_objects(&search);
  bitset_free(&search.unseen);
  if (!error) error = chain_predecessors(&search);
  if (!error) error = find_semidominators(&search);
  vector_free(&search.predecessors);
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
