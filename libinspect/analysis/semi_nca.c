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
 * applicative random-access stack", 1983), so that deep lists cannot make it quadratic.
 *
 * The search is what takes longest: it waits for the memory of one node after the other. So a node
 * is read once, when its number takes its place; what is left of it to do lies on a stack. */
#include "analysis/semi_nca.h"

#include <stdlib.h>
#include <string.h>

#include "base/large.h"
#include "base/vector.h"

enum { CHECK_EVERY = 1 << 16, LOOK_AHEAD = 16, TARGETS_AHEAD = 16, NODES_AHEAD = 6 };

/* A reference that is not in the tree of the search: where it comes from, and the node it leads to;
 * later the chain of such predecessors of one number. */
struct predecessor {
  uint32_t number;
  union {
    inner_id node;
    uint32_t next; /* position + 1 in the list; 0: the last */
  };
};

/* What is left to do for a number: the edges at .. end - 1, or for end == NO_INNER the target `at`.
 */
struct frame {
  uint32_t number, at, end;
};

struct search {
  struct inner_graph *inner;
  const struct work *work;
  struct semi_nca *tree;
  struct bitset unseen; /* nodes without a number                                           */
  uint32_t *semi;       /* by number                                                        */
  uint32_t *first;      /* by number: position + 1 of its first predecessor, or 0           */
  struct frames VECTOR(struct frame) frames;
  struct predecessors VECTOR(struct predecessor) predecessors;
};

static struct inspect_error *stopped(const struct search *search, uint32_t done, unsigned part) {
  uint64_t total = search->inner->count;
  if (done % CHECK_EVERY) return NULL;
  return work_stops(search->work, "dominators", part * total + done, 4 * total)
             ? error_interrupted()
             : NULL;
}

/* ---- Step 1 -----------------------------------------------------------------------------------
 */

static inline void look_at(const struct search *search, inner_id node) {
  if (node != NO_INNER && bitset_has(&search->unseen, node))
    __builtin_prefetch(&search->inner->nodes[node], 1);
}

/* What a node that has been fetched refers to. */
static inline void look_below(const struct search *search, inner_id node) {
  if (!bitset_has(&search->unseen, node)) return;
  const struct inner_node *it = &search->inner->nodes[node];
  if (bitset_has(&search->inner->is_long, node)) {
    __builtin_prefetch(&search->inner->edge[it->a]);
    return;
  }
  look_at(search, it->a);
  look_at(search, it->b);
}

static inline bool note(struct search *search, uint32_t number, inner_id node) {
  struct predecessor met = {.number = number, .node = node};
  return vector_push(&search->predecessors, met);
}

/* The next target that was not seen, NO_INNER if there is none; those that were are noted. What is
 * left then lies on the stack. `*fits` is false when memory is out. */
static inline inner_id next_target(struct search *search, struct frame frame, bool *fits) {
  const inner_id *edge = search->inner->edge;
  if (frame.end == NO_INNER) {
    if (bitset_has(&search->unseen, frame.at)) return frame.at;
    *fits = note(search, frame.number, frame.at);
    return NO_INNER;
  }
  while (frame.at < frame.end && *fits) {
    inner_id target = edge[frame.at++];
    if (!bitset_has(&search->unseen, target)) {
      *fits = note(search, frame.number, target);
      continue;
    }
    if (frame.at + TARGETS_AHEAD < frame.end) look_at(search, edge[frame.at + TARGETS_AHEAD]);
    if (frame.at + NODES_AHEAD < frame.end) look_below(search, edge[frame.at + NODES_AHEAD]);
    if (frame.at < frame.end) *fits = vector_push(&search->frames, frame);
    return target;
  }
  return NO_INNER;
}

/* Gives a node the next number; returns its first target that was not seen, or NO_INNER. */
static inline inner_id enter(struct search *search, inner_id node, uint32_t parent, bool *fits) {
  struct inner_graph *inner = search->inner;
  struct semi_nca *tree = search->tree;
  struct inner_node it = inner->nodes[node];
  uint32_t number = ++tree->count;
  bitset_remove(&search->unseen, node);
  inner->nodes[node].a = number;
  tree->vertex[number] = node;
  tree->dominator[number] = search->semi[number] = parent;
  search->first[number] = 0;
  if (bitset_has(&inner->is_long, node)) {
    for (uint32_t i = it.a; i < it.b && i < it.a + TARGETS_AHEAD; i++)
      look_at(search, inner->edge[i]);
    return next_target(search, (struct frame){number, it.a, it.b}, fits);
  }
  if (it.a == NO_INNER) return NO_INNER;
  struct frame other = {number, it.b, NO_INNER};
  if (!bitset_has(&search->unseen, it.a)) {
    *fits = note(search, number, it.a);
    return it.b == NO_INNER ? NO_INNER : next_target(search, other, fits);
  }
  if (it.b == NO_INNER) return it.a;
  look_at(search, it.b);
  *fits = vector_push(&search->frames, other);
  return it.a;
}

static struct inspect_error *search_from(struct search *search, inner_id root) {
  uint32_t parent = 0;
  inner_id node = root;
  bool fits = true;
  for (;;) {
    while (node != NO_INNER && fits) {
      node = enter(search, node, parent, &fits);
      parent = search->tree->count;
      TRY(stopped(search, parent, 2));
    }
    if (!fits) return error_no_memory();
    if (!search->frames.count) return NULL;
    struct frame frame = search->frames.items[--search->frames.count];
    parent = frame.number;
    node = next_target(search, frame, &fits);
  }
}

static struct inspect_error *search_root(struct search *search, object_id object) {
  const struct inner_graph *inner = search->inner;
  if (object >= inner->inner->size || !bitset_has(inner->inner, object)) return NULL;
  inner_id node = inner_node(inner, object);
  if (bitset_has(&search->unseen, node)) return search_from(search, node);
  search->semi[inner->nodes[node].a] = 0;
  return NULL;
}

static struct inspect_error *search_roots(struct search *search, const struct graph *graph) {
  for (size_t i = 0; i < graph->root_count; i++)
    if (root_keeps(graph->roots[i].kind)) TRY(search_root(search, graph->roots[i].object));
  for (uint32_t object = next_with_flags(graph, 0, OBJECT_FIXED); object < graph->object_count;
       object = next_with_flags(graph, object + 1, OBJECT_FIXED))
    TRY(search_root(search, object));
  return NULL;
}

/* Nodes that were not reached get number 0, vertices become objects. */
static void finish_search(struct search *search) {
  struct inner_graph *inner = search->inner;
  struct semi_nca *tree = search->tree;
  for (uint64_t word = 0; tree->count < inner->count && word < search->unseen.size / 64 + 1; word++)
    for (uint64_t bits = search->unseen.words[word]; bits; bits &= bits - 1)
      inner->nodes[word * 64 + (unsigned)__builtin_ctzll(bits)].a = 0;
  tree->vertex[0] = NO_OBJECT;
  for (uint32_t number = 1; number <= tree->count; number++) {
    if (number + LOOK_AHEAD <= tree->count)
      __builtin_prefetch(&inner->object[tree->vertex[number + LOOK_AHEAD]]);
    tree->vertex[number] = inner->object[tree->vertex[number]];
  }
}

/* ---- Steps 2 and 3 ----------------------------------------------------------------------------
 */

/* Folds what was met with a lower number, chains the rest. */
static struct inspect_error *chain_predecessors(struct search *search) {
  const struct inner_node *nodes = search->inner->nodes;
  struct predecessor *list = search->predecessors.items;
  size_t count = search->predecessors.count;
  if (count > UINT32_MAX - 1)
    return error_create(INSPECT_ERROR_UNSUPPORTED, NULL, "too many references for dominators");
  for (size_t i = 0; i < count; i++) {
    if (i + 2 * LOOK_AHEAD < count) {
      __builtin_prefetch(&nodes[list[i + 2 * LOOK_AHEAD].node]);
      __builtin_prefetch(&search->first[nodes[list[i + LOOK_AHEAD].node].a]);
    }
    uint32_t of = nodes[list[i].node].a, from = list[i].number;
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
static void look_down(const struct search *search, uint32_t number) {
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
    TRY(stopped(search, number, 3));
    look_down(search, number);
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

/* The jump pointer and depth of a new child of `parent`: two equal jumps in a row are joined. */
static struct number_pair jump_from(const struct number_pair *pairs, uint32_t parent) {
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
    pairs[number] = jump_from(pairs, above);
  }
}

/* ---- Interface --------------------------------------------------------------------------------
 */

static struct inspect_error *allocate(struct search *search) {
  struct semi_nca *tree = search->tree;
  size_t room = (size_t)search->inner->count + 2;
  tree->vertex = large_alloc(room, sizeof *tree->vertex);
  tree->dominator = large_alloc(room, sizeof *tree->dominator);
  tree->pairs = large_alloc(room, sizeof *tree->pairs);
  for (int i = 0; i < 2; i++)
    tree->spare[i] = large_alloc(room, sizeof *tree->spare[i]);
  bool fits = tree->vertex && tree->dominator && tree->pairs && tree->spare[0] && tree->spare[1] &&
              bitset_init(&search->unseen, search->inner->count);
  if (!fits) return error_no_memory();
  vector_prepare(&search->predecessors, search->inner->count); /* most have one at most */
  search->semi = tree->spare[0];
  search->first = tree->spare[1];
  for (size_t node = 0; node < search->inner->count; node += 64) {
    size_t left = search->inner->count - node;
    search->unseen.words[node / 64] = left < 64 ? (UINT64_C(1) << left) - 1 : UINT64_MAX;
  }
  return NULL;
}

static struct inspect_error *compute(struct search *search, const struct graph *graph) {
  TRY(allocate(search));
  TRY(search_roots(search, graph));
  vector_free(&search->frames);
  free(search->inner->edge);
  search->inner->edge = NULL;
  finish_search(search);
  TRY(chain_predecessors(search));
  TRY(find_semidominators(search));
  vector_free(&search->predecessors);
  find_dominators(search);
  return NULL;
}

struct inspect_error *semi_nca_compute(struct inner_graph *inner, const struct holding *holding,
                                       const struct work *work, struct semi_nca *result) {
  *result = (struct semi_nca){0};
  struct search search = {.inner = inner, .work = work, .tree = result};
  struct inspect_error *error = compute(&search, holding->graph);
  bitset_free(&search.unseen);
  vector_free(&search.frames);
  vector_free(&search.predecessors);
  return error;
}

void semi_nca_free(struct semi_nca *tree) {
  free(tree->vertex);
  free(tree->dominator);
  free(tree->pairs);
  free(tree->spare[0]);
  free(tree->spare[1]);
  *tree = (struct semi_nca){0};
}
