/* spread.c - where in the dominator tree the mass spreads. See spread.h.
 *
 * Sets are queued when they get members and looked into one after the other; their members'
 * children are handed out to sets below (or above, where things nest). A set that gets more members
 * later, because it nests, is queued again. So every object is handed out at most once. */
#include "analysis/spread.h"

#include <math.h>
#include <string.h>

enum { MOST_SETS = 1 << 20, CHECK_EVERY = 1 << 14 };

struct search {
  struct spread *spread;
  struct kinship kinship;
  double least; /* bytes * bits below which nothing is of interest */
  const struct work *work;
  uint64_t steps;
  struct queue VECTOR(uint32_t) queue;
};

/* Rounded so that sums of it are exact, in whatever order ids happen to be: a sum is at most bytes
 * times bits of the whole heap, below 2^43 for 64 GB. */
static double rounded(double value) { return round(value * 1024) / 1024; }

static double times_log(uint64_t value) {
  return value > 1 ? rounded((double)value * log2((double)value)) : 0;
}

/* ---- Children of the dominator tree -----------------------------------------------------------
 */

static bool stops(const struct work *work, uint32_t index) {
  enum { AT_ONCE = 1 << 16 };
  return index % AT_ONCE == 0 && work_stops(work, "accumulations", 0, 0);
}

/* The index of an object's dominator, `count` for the roots. */
static inline uint32_t above(const struct spread *spread, uint32_t index) {
  object_id parent = spread->dominators->parent[spread->first + index];
  uint32_t result = parent - spread->first;
  return parent == NO_OBJECT || result >= spread->count ? spread->count : result;
}

static struct inspect_error *list_children(struct spread *spread, const struct work *work) {
  size_t count = spread->count;
  const uint32_t *enter = spread->dominators->enter + spread->first;
  spread->child_first = calloc(count + 3, sizeof *spread->child_first);
  spread->children = malloc((count + 1) * sizeof *spread->children);
  if (!spread->child_first || !spread->children) return error_no_memory();
  uint32_t *next = spread->child_first + 2; /* moves to its place while it is used */
  for (uint32_t i = 0; i < count; i++) {
    if (stops(work, i)) return error_interrupted();
    if (!enter[i]) continue;
    spread->live_objects++;
    spread->live_bytes += graph_bytes(spread->graph, spread->first + i);
    next[above(spread, i)]++;
  }
  for (size_t i = 1; i <= count; i++)
    next[i] += next[i - 1];
  next--;
  for (uint32_t i = 0; i < count; i++) {
    if (stops(work, i)) return error_interrupted();
    if (enter[i]) spread->children[next[above(spread, i)]++] = i;
  }
  return NULL;
}

/* ---- Sets -------------------------------------------------------------------------------------
 */

static uint32_t new_set(struct search *search, uint32_t parent, uint64_t signature) {
  struct spread_set set = {
      .parent = parent, .signature = signature, .holder = NO_OBJECT, .open = NO_OBJECT};
  struct spread *spread = search->spread;
  uint32_t number = (uint32_t)spread->items.count;
  if (!vector_push(&spread->items, set) ||
      !number_map_set(&spread->by_signature, kinship_mix(parent, signature), number))
    return NO_SET;
  return number;
}

/* The set for a child of a member of `set`; `*is_nested`: it is one that the member lies in. */
static uint32_t set_for(struct search *search, uint32_t set, uint64_t signature, bool *is_nested) {
  struct spread *spread = search->spread;
  uint32_t at = set;
  *is_nested = true;
  for (unsigned i = 0; i < LONGEST_CYCLE && at; i++) {
    if (spread->items.items[at].signature == signature) return at;
    at = spread->items.items[at].parent;
  }
  *is_nested = false;
  uint32_t found = number_map_get(&spread->by_signature, kinship_mix(set, signature));
  return found != NO_NUMBER ? found : new_set(search, set, signature);
}

/* Whether the holder that is open is the one to name: it has more bytes, or as many and the lower
 * address; the order in which holders come says nothing. */
static bool is_better_holder(const struct graph *graph, const struct spread_set *set) {
  if (!set->holder_tops) return true;
  if (set->open_bytes != set->holder_bytes) return set->open_bytes > set->holder_bytes;
  if (set->open == NO_OBJECT || set->holder == NO_OBJECT) return set->open != NO_OBJECT;
  uint64_t (*address)(void *, object_id) = graph->labels.address;
  return address &&
         address(graph->labels.context, set->open) < address(graph->labels.context, set->holder);
}

/* What was counted of the holder that was open. */
static void close_holder(const struct graph *graph, struct spread_set *set) {
  if (!set->open_tops) return;
  set->holders++;
  if (set->open != NO_OBJECT) set->holders_bytes += graph_bytes(graph, set->open);
  set->holder_sum += times_log(set->open_bytes);
  if (is_better_holder(graph, set)) {
    set->holder = set->open;
    set->holder_bytes = set->open_bytes;
    set->holder_tops = set->open_tops;
  }
  set->open_bytes = set->open_tops = 0;
}

static bool add(struct search *search, uint32_t number, object_id holder, object_id object,
                bool is_nested) {
  struct spread *spread = search->spread;
  struct spread_set *set = &spread->items.items[number];
  const struct dominators *dominators = spread->dominators;
  uint64_t bytes = dominators->retained[object];
  uint32_t below = dominators->leave[object] - dominators->enter[object];
  if (!vector_push(&set->members, object)) return false;
  if (below) set->promise += rounded((double)bytes * log2((double)below + 1));
  if (!is_nested) {
    if (set->open != holder || !set->open_tops) close_holder(spread->graph, set);
    set->open = holder;
    set->open_bytes += bytes;
    set->open_tops++;
    set->tops++;
    set->bytes += bytes;
    set->sum += times_log(bytes);
  }
  if (set->is_queued || !below) return true;
  set->is_queued = true;
  return vector_push(&search->queue, number);
}

static struct inspect_error *hand_out(struct search *search, uint32_t number, object_id holder,
                                      uint32_t index, bool is_lone) {
  struct spread *spread = search->spread;
  for (uint32_t i = spread->child_first[index]; i < spread->child_first[index + 1]; i++) {
    object_id child = spread->first + spread->children[i];
    uint64_t signature = spread->items.count < MOST_SETS
                             ? kinship_signature(&search->kinship, holder, is_lone, child)
                             : spread->graph->type[child];
    bool is_nested;
    uint32_t set = set_for(search, number, signature, &is_nested);
    if (set == NO_SET || !add(search, set, holder, child, is_nested)) return error_no_memory();
    if (search->steps++ % CHECK_EVERY == 0 &&
        work_stops(search->work, "accumulations", search->steps, spread->count))
      return error_interrupted();
  }
  return NULL;
}

/* Hands out the children of the members that are new. */
static struct inspect_error *look_into(struct search *search, uint32_t number) {
  struct spread *spread = search->spread;
  spread->items.items[number].is_queued = false;
  if (spread->items.items[number].promise < search->least) return NULL;
  for (;;) { /* the array of sets moves, and the set may grow */
    struct spread_set *set = &spread->items.items[number];
    if (set->looked_into == set->members.count) return NULL;
    object_id member = set->members.items[set->looked_into++];
    TRY(hand_out(search, number, member, member - spread->first, set->members.count == 1));
  }
}

static struct inspect_error *look_into_all(struct search *search) {
  struct spread *spread = search->spread;
  if (new_set(search, NO_SET, 0) == NO_SET) return error_no_memory();
  TRY(hand_out(search, 0, NO_OBJECT, spread->count, true));
  for (size_t i = 0; i < search->queue.count; i++) {
    TRY(look_into(search, search->queue.items[i]));
    if (i == 4096) { /* what is done with is dropped now and then: lists queue a set very often */
      memmove(search->queue.items, search->queue.items + i + 1,
              (search->queue.count - i - 1) * sizeof *search->queue.items);
      search->queue.count -= i + 1;
      i = SIZE_MAX;
    }
  }
  return NULL;
}

/* ---- Weights ----------------------------------------------------------------------------------
 */

static int by_number(const void *a, const void *b) {
  uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
  return (x > y) - (x < y);
}

/* The tops and holders anew, from the dominators of the tops. */
static void recount(const struct spread *spread, struct spread_set *set, uint64_t *tops,
                    size_t count) {
  qsort(tops, count, sizeof *tops, by_number);
  set->tops = set->holders = set->holder_tops = 0;
  set->bytes = set->holder_bytes = set->holders_bytes = set->open_bytes = set->open_tops = 0;
  set->holder_sum = 0;
  for (size_t i = 0; i < count; i++) {
    object_id object = (object_id)tops[i], holder = (object_id)(tops[i] >> 32);
    if (holder != set->open) close_holder(spread->graph, set);
    set->open = holder;
    set->open_tops++;
    set->open_bytes += spread->dominators->retained[object];
    set->tops++;
    set->bytes += spread->dominators->retained[object];
  }
  close_holder(spread->graph, set);
}

/* For a set whose members lie in each other: its tops, and the sum of x log2 x over all members,
 * each without those that lie in it. In preorder, what a member lies in is the last one before it
 * that it is still inside of. */
static bool unnest(const struct spread *spread, struct spread_set *set) {
  const struct dominators *dominators = spread->dominators;
  size_t count = set->members.count, depth = 0, tops = 0;
  uint64_t *order = malloc((count + 1) * sizeof *order); /* preorder number and object */
  uint64_t *bytes = malloc((count + 1) * sizeof *bytes);
  uint64_t *top = malloc((count + 1) * sizeof *top); /* dominator and object */
  uint32_t *stack = malloc((count + 1) * sizeof *stack);
  bool fits = order && bytes && top && stack;
  for (size_t i = 0; fits && i < count; i++) {
    object_id object = set->members.items[i];
    order[i] = (uint64_t)dominators->enter[object] << 32 | object;
  }
  if (fits) qsort(order, count, sizeof *order, by_number);
  for (uint32_t i = 0; fits && i < count; i++) {
    object_id object = (object_id)order[i];
    while (depth && dominators->leave[(object_id)order[stack[depth - 1]]] < order[i] >> 32)
      depth--;
    bytes[i] = dominators->retained[object];
    if (depth)
      bytes[stack[depth - 1]] -= bytes[i];
    else
      top[tops++] = (uint64_t)dominators->parent[object] << 32 | object;
    stack[depth++] = i;
  }
  set->sum = 0;
  for (size_t i = 0; fits && i < count; i++)
    set->sum += times_log(bytes[i]);
  if (fits) recount(spread, set, top, tops);
  free(order);
  free(bytes);
  free(top);
  free(stack);
  return fits;
}

static bool nests(const struct spread_set *set) { return set->members.count > set->tops; }

static struct inspect_error *weigh(struct search *search) {
  struct spread *spread = search->spread;
  double most = (double)spread->live_bytes * log2((double)spread->live_objects + 1);
  for (size_t i = 1; i < spread->items.count; i++) { /* parents come first */
    struct spread_set *set = &spread->items.items[i];
    close_holder(spread->graph, set);
    if ((nests(set) || nests(&spread->items.items[set->parent])) && !unnest(spread, set))
      return error_no_memory();
    double bits = set->holder_sum - set->sum; /* times bytes */
    set->weight = bits > 0 && most > 0 ? bits / most : 0;
  }
  return NULL;
}

/* ---- Interface --------------------------------------------------------------------------------
 */

struct inspect_error *spread_find(const struct graph *graph, const struct dominators *dominators,
                                  object_id first, uint32_t count, double least,
                                  const struct work *work, struct spread *result) {
  *result =
      (struct spread){.graph = graph, .dominators = dominators, .first = first, .count = count};
  struct search search = {.spread = result, .work = work};
  bool fits = kinship_init(&search.kinship, graph, dominators, first, count);
  struct inspect_error *error = fits ? list_children(result, work) : error_no_memory();
  if (!error) {
    double objects = (double)result->live_objects + 1;
    search.kinship.heavy = (uint64_t)((double)result->live_bytes * least) + 1;
    search.least = least * (double)result->live_bytes * log2(objects);
    error = look_into_all(&search);
  }
  if (!error) error = weigh(&search);
  vector_free(&search.queue);
  kinship_free(&search.kinship);
  if (error) spread_free(result);
  return error;
}

void spread_free(struct spread *spread) {
  for (size_t i = 0; i < spread->items.count; i++)
    vector_free(&spread->items.items[i].members);
  vector_free(&spread->items);
  number_map_free(&spread->by_signature);
  free(spread->child_first);
  free(spread->children);
  *spread = (struct spread){0};
}

bool spread_is_inside(const struct spread *spread, uint32_t set, uint32_t other) {
  for (; set != NO_SET; set = spread->items.items[set].parent)
    if (set == other) return true;
  return false;
}
