/* accumulation.c - what has piled up in a heap. See accumulation.h.
 *
 * 1. Sets that weigh enough to matter in a sum are candidates, the heaviest MOST_CANDIDATES.
 * 2. The holder of each: its dominator with most of it, if that one's references agree. One pass
 *    over all references finds holders for those candidates where they do not, and counts the
 *    members that something else refers to.
 * 3. A candidate whose mass spreads further within its members (rooms, each with a long list) makes
 *    way for what is inside, as much as that is.
 * 4. Candidates with one holder are one accumulation; what lies inside of a heavier one goes. */
#include "analysis/accumulation.h"

#include <math.h>
#include <string.h>

enum { MOST_CANDIDATES = 64, CHECK_EVERY = 1 << 16 };

/* A set that may be (part of) an accumulation. */
struct candidate {
  uint32_t set;
  object_id holder;      /* NO_OBJECT: none was found                          */
  uint64_t values, keys; /* references of the holder to members                */
  uint64_t row;          /* all references of the holder                       */
  object_id entry;
  reference_id reference;
  bool is_shared;
  uint64_t used; /* members that something but their dominator refers to */
  double weight; /* of the set, less for what is used                    */
  double rank;   /* the same without what is told better further inside  */
};

struct piling {
  const struct graph *graph;
  const struct dominators *dominators;
  const struct bitset *barred;
  const struct work *work;
  struct spread spread;
  uint8_t *candidate_of; /* of object first + i: candidate + 1, 0: none */
  struct bitset used;    /* objects first + i, as counted by `used`      */
  struct candidate candidates[MOST_CANDIDATES];
  size_t count;
  size_t part_of[MOST_CANDIDATES]; /* accumulation, SIZE_MAX: none */
};

static const struct spread_set *set_of(const struct piling *piling, size_t candidate) {
  return &piling->spread.items.items[piling->candidates[candidate].set];
}

/* ---- Candidates -------------------------------------------------------------------------------
 */

static bool is_heavier(const struct spread_set *a, const struct spread_set *b) {
  return a->weight != b->weight ? a->weight > b->weight : a->bytes > b->bytes;
}

/* Keeps the heaviest, in order. */
static void choose_candidates(struct piling *piling) {
  const struct spread *spread = &piling->spread;
  for (uint32_t i = 1; i < spread->items.count; i++) {
    const struct spread_set *set = &spread->items.items[i];
    if (set->weight < LEAST_WEIGHT / 8 || set->members.count < LEAST_ENTRIES) continue;
    size_t at = piling->count;
    while (at && is_heavier(set, set_of(piling, at - 1)))
      at--;
    if (at == MOST_CANDIDATES) continue;
    if (piling->count < MOST_CANDIDATES) piling->count++;
    memmove(piling->candidates + at + 1, piling->candidates + at,
            (piling->count - at - 1) * sizeof *piling->candidates);
    piling->candidates[at] = (struct candidate){
        .set = i, .holder = NO_OBJECT, .entry = NO_OBJECT, .reference = NO_REFERENCE};
  }
}

static bool mark_members(struct piling *piling) {
  piling->candidate_of = calloc((size_t)piling->spread.count + 1, 1);
  if (!piling->candidate_of || !bitset_init(&piling->used, piling->spread.count)) return false;
  for (size_t i = 0; i < piling->count; i++) {
    const struct spread_set *set = set_of(piling, i);
    for (size_t j = 0; j < set->members.count; j++)
      piling->candidate_of[set->members.items[j] - piling->spread.first] = (uint8_t)(i + 1);
  }
  return true;
}

/* ---- Holders ----------------------------------------------------------------------------------
 */

/* References to members in one row, by candidate. */
struct row_count {
  uint64_t values[MOST_CANDIDATES], keys[MOST_CANDIDATES];
  uint8_t touched[MOST_CANDIDATES];
  size_t touched_count;
};

static void count_row(const struct piling *piling, object_id object, struct row_count *row) {
  const struct graph *graph = piling->graph;
  reference_id end = graph_first(graph, (uint64_t)object + 1);
  uint8_t flags = graph->flags[object];
  for (reference_id i = graph_first(graph, object); i < end; i++) {
    uint32_t index = graph->target[i] - piling->spread.first;
    if (index >= piling->spread.count || !piling->candidate_of[index]) continue;
    uint8_t candidate = (uint8_t)(piling->candidate_of[index] - 1);
    if (!graph_is_strong(flags, graph->kind[i]) && graph->type[graph->target[i]] != OBJECT_STRING)
      continue;
    if (!row->values[candidate] && !row->keys[candidate])
      row->touched[row->touched_count++] = candidate;
    if (graph->kind[i] == REFERENCE_KEY)
      row->keys[candidate]++;
    else
      row->values[candidate]++;
  }
}

static uint64_t larger(uint64_t a, uint64_t b) { return a > b ? a : b; }

/* Ties: who holds little else, then the address. */
static bool is_better_holder(const struct piling *piling, const struct candidate *candidate,
                             object_id object, uint64_t values, uint64_t keys) {
  const struct graph *graph = piling->graph;
  if (candidate->holder == NO_OBJECT) return true;
  uint64_t before = larger(candidate->values, candidate->keys), now = larger(values, keys);
  if (now != before) return now > before;
  uint64_t row = graph_first(graph, (uint64_t)object + 1) - graph_first(graph, object);
  if (row != candidate->row) return row < candidate->row;
  uint64_t (*address)(void *, object_id) = graph->labels.address;
  return address(graph->labels.context, object) < address(graph->labels.context, candidate->holder);
}

static void offer_holder(struct piling *piling, object_id object, const struct row_count *row,
                         uint8_t number) {
  struct candidate *candidate = &piling->candidates[number];
  const struct graph *graph = piling->graph;
  if (!is_better_holder(piling, candidate, object, row->values[number], row->keys[number])) return;
  candidate->holder = object;
  candidate->values = row->values[number];
  candidate->keys = row->keys[number];
  candidate->row = graph_first(graph, (uint64_t)object + 1) - graph_first(graph, object);
}

static bool may_hold(const struct piling *piling, object_id object) {
  return object != NO_OBJECT && !(piling->barred && bitset_has(piling->barred, object));
}

/* The dominator, if it refers to most of what it has of the set. Of a list that is the head. */
static void try_dominator(struct piling *piling, size_t number) {
  const struct spread_set *set = set_of(piling, number);
  struct row_count row = {0};
  if (!may_hold(piling, set->holder)) return;
  count_row(piling, set->holder, &row);
  if (larger(row.values[number], row.keys[number]) * 2 >= set->holder_tops)
    offer_holder(piling, set->holder, &row, (uint8_t)number);
}

/* Whether the object lies in the candidate: its members do not hold it. */
static bool is_member(const struct piling *piling, object_id object, uint8_t number) {
  return piling->candidate_of[object - piling->spread.first] == number + 1;
}

/* Counts the members that a row refers to for the first time, if they neither are held by it nor
 * hold it. */
static void count_used(struct piling *piling, object_id object) {
  const struct graph *graph = piling->graph;
  const struct dominators *dominators = piling->dominators;
  reference_id end = graph_first(graph, (uint64_t)object + 1);
  uint8_t flags = graph->flags[object];
  for (reference_id i = graph_first(graph, object); i < end; i++) {
    object_id target = graph->target[i];
    uint32_t index = target - piling->spread.first;
    if (index >= piling->spread.count || !piling->candidate_of[index]) continue;
    if (dominators->parent[target] == object || !graph_is_strong(flags, graph->kind[i]) ||
        dominators_dominates(dominators, target, object))
      continue;
    if (bitset_insert(&piling->used, index))
      piling->candidates[piling->candidate_of[index] - 1].used++;
  }
}

static struct inspect_error *look_everywhere(struct piling *piling, const bool *is_wanted) {
  const struct spread *spread = &piling->spread;
  for (uint32_t i = 0; i < spread->count; i++) {
    object_id object = spread->first + i;
    if (i % CHECK_EVERY == 0 && work_stops(piling->work, "holders", i, spread->count))
      return error_interrupted();
    if (!piling->dominators->enter[object] || !may_hold(piling, object)) continue;
    count_used(piling, object);
    uint64_t length =
        graph_first(piling->graph, (uint64_t)object + 1) - graph_first(piling->graph, object);
    if (length < LEAST_ENTRIES) continue;
    struct row_count row = {0};
    count_row(piling, object, &row);
    for (size_t j = 0; j < row.touched_count; j++)
      if (is_wanted[row.touched[j]] && !is_member(piling, object, row.touched[j]))
        offer_holder(piling, object, &row, row.touched[j]);
  }
  return NULL;
}

/* The reference to the member that retains most, values before keys. */
static void choose_entry(struct piling *piling, size_t number) {
  struct candidate *candidate = &piling->candidates[number];
  const struct graph *graph = piling->graph;
  const struct graph_label_source *labels = &graph->labels;
  const uint64_t *retained = piling->dominators->retained;
  reference_id end = graph_first(graph, (uint64_t)candidate->holder + 1);
  for (reference_id i = graph_first(graph, candidate->holder); i < end; i++) {
    object_id target = graph->target[i], best = candidate->entry;
    uint32_t index = target - piling->spread.first;
    if (index >= piling->spread.count || piling->candidate_of[index] != number + 1) continue;
    if (candidate->values && graph->kind[i] == REFERENCE_KEY) continue;
    bool is_best =
        best == NO_OBJECT || retained[target] > retained[best] ||
        (retained[target] == retained[best] &&
         labels->address(labels->context, target) < labels->address(labels->context, best));
    if (!is_best) continue;
    candidate->entry = target;
    candidate->reference = i;
  }
}

static struct inspect_error *find_holders(struct piling *piling) {
  bool is_wanted[MOST_CANDIDATES] = {false};
  for (size_t i = 0; i < piling->count; i++) {
    try_dominator(piling, i);
    is_wanted[i] = piling->candidates[i].holder == NO_OBJECT;
  }
  if (piling->count) TRY(look_everywhere(piling, is_wanted));
  for (size_t i = 0; i < piling->count; i++) {
    struct candidate *candidate = &piling->candidates[i];
    candidate->is_shared = is_wanted[i];
    uint64_t found = larger(candidate->values, candidate->keys);
    if (is_wanted[i] && found * 2 < set_of(piling, i)->tops) candidate->holder = NO_OBJECT;
    if (candidate->holder != NO_OBJECT) choose_entry(piling, i);
  }
  return NULL;
}

/* ---- Accumulations ----------------------------------------------------------------------------
 */

static bool is_nested(const struct spread_set *set) { return set->members.count > set->tops; }

static uint64_t entries_of(const struct candidate *candidate, const struct spread_set *set) {
  if (is_nested(set)) return set->members.count;
  if (set->holders > 1 && !candidate->is_shared) return set->tops;
  return larger(candidate->values, candidate->keys);
}

/* Whether `inner` says better where the mass of `outer` is: most of it, over more things each. */
static bool tells_better(const struct piling *piling, size_t inner, size_t outer) {
  const struct spread_set *a = set_of(piling, inner), *b = set_of(piling, outer);
  return a != b && piling->candidates[inner].weight >= LEAST_WEIGHT &&
         piling->candidates[inner].holder != NO_OBJECT &&
         (double)a->bytes * 2 >= (double)b->bytes &&
         a->weight * (double)b->bytes > b->weight * (double)a->bytes &&
         spread_is_inside(&piling->spread, piling->candidates[inner].set,
                          piling->candidates[outer].set);
}

static int by_rank(const void *a, const void *b) {
  const struct candidate *x = a, *y = b;
  if (x->rank != y->rank) return x->rank > y->rank ? -1 : 1;
  return (x->set > y->set) - (x->set < y->set);
}

static double used_share(const struct piling *piling, size_t number) {
  return (double)piling->candidates[number].used / (double)set_of(piling, number)->members.count;
}

static void rank(struct piling *piling) {
  for (size_t i = 0; i < piling->count; i++)
    piling->candidates[i].weight = set_of(piling, i)->weight * (1 - used_share(piling, i) / 2);
  for (size_t i = 0; i < piling->count; i++) {
    double told = 0, bytes = (double)set_of(piling, i)->bytes;
    for (size_t j = 0; j < piling->count; j++) {
      double share = (double)set_of(piling, j)->bytes / bytes;
      if (tells_better(piling, j, i) && share > told) told = share;
    }
    piling->candidates[i].rank = piling->candidates[i].weight * (told < 1 ? 1 - told : 0);
  }
  qsort(piling->candidates, piling->count, sizeof *piling->candidates, by_rank);
}

/* The accumulation of the same holder, or a new one. Candidates come in order of weight, so the
 * first one says what the entries are. */
static struct accumulation *accumulation_for(struct piling *piling, size_t number,
                                             struct accumulations *result) {
  const struct candidate *candidate = &piling->candidates[number];
  const struct spread_set *set = set_of(piling, number);
  for (size_t i = 0; i < result->count; i++)
    if (result->items[i].holder == candidate->holder) return &result->items[i];
  struct accumulation item = {
      .holder = candidate->holder,
      .holders = candidate->is_shared ? 1 : set->holders,
      .entry = candidate->entry,
      .reference = candidate->reference,
      .like = entries_of(candidate, set),
      .used = used_share(piling, number),
      .is_shared = candidate->is_shared,
      .is_nested = is_nested(set),
  };
  item.retained =
      candidate->is_shared ? graph_bytes(piling->graph, item.holder) : set->holders_bytes;
  return vector_push(result, item) ? &result->items[result->count - 1] : NULL;
}

/* What a heavier accumulation has taken of a candidate's weight: all if the candidate lies inside
 * of it, as much as its bytes if it lies inside of the candidate. */
static double left_of(const struct piling *piling, size_t number) {
  const struct spread *spread = &piling->spread;
  const struct spread_set *set = set_of(piling, number);
  double taken = 0;
  for (size_t i = 0; i < number; i++) {
    if (piling->part_of[i] == SIZE_MAX) continue;
    uint32_t here = piling->candidates[number].set, other = piling->candidates[i].set;
    if (spread_is_inside(spread, here, other)) return 0;
    if (spread_is_inside(spread, other, here)) taken += (double)set_of(piling, i)->bytes;
  }
  double bytes = (double)set->bytes;
  return taken < bytes ? 1 - taken / bytes : 0;
}

static struct inspect_error *accumulate(struct piling *piling, struct accumulations *result) {
  for (size_t i = 0; i < piling->count; i++) {
    const struct candidate *candidate = &piling->candidates[i];
    const struct spread_set *set = set_of(piling, i);
    piling->part_of[i] = SIZE_MAX;
    double left = left_of(piling, i);
    if (candidate->holder == NO_OBJECT || candidate->entry == NO_OBJECT || left <= 0) continue;
    struct accumulation *item = accumulation_for(piling, i, result);
    if (!item) return error_no_memory();
    piling->part_of[i] = (size_t)(item - result->items);
    uint64_t entries = entries_of(candidate, set);
    if (entries > item->entries) item->entries = entries;
    item->weight += candidate->weight * left;
    item->retained += set->bytes;
    if (set->holders > item->holders && !candidate->is_shared) item->holders = set->holders;
  }
  return NULL;
}

static int worst_first(const void *a, const void *b) {
  const struct accumulation *x = a, *y = b;
  double left = accumulation_rank(x), right = accumulation_rank(y);
  if (left != right) return left > right ? -1 : 1;
  if (x->retained != y->retained) return x->retained > y->retained ? -1 : 1;
  return (x->entries < y->entries) - (x->entries > y->entries);
}

/* Drops what is too light, and completes the rest. */
static void finish(const struct piling *piling, struct accumulations *result) {
  size_t kept = 0;
  result->live_bytes = piling->spread.live_bytes;
  result->live_objects = piling->spread.live_objects;
  for (size_t i = 0; i < result->count; i++) {
    struct accumulation *item = &result->items[i];
    if (item->weight < LEAST_WEIGHT || item->retained < LEAST_BYTES ||
        item->entries < LEAST_ENTRIES)
      continue;
    uint64_t all = piling->dominators->retained[item->holder];
    bool is_most = item->retained >= all - all / 10; /* what it holds besides goes with it */
    if (item->holders == 1 && !item->is_shared && is_most) item->retained = all;
    item->share = (double)item->retained / (double)result->live_bytes;
    result->items[kept++] = *item;
  }
  result->count = kept;
  if (kept) qsort(result->items, kept, sizeof *result->items, worst_first);
}

static struct inspect_error *find(struct piling *piling, struct accumulations *result) {
  choose_candidates(piling);
  if (!mark_members(piling)) return error_no_memory();
  TRY(find_holders(piling));
  rank(piling);
  TRY(accumulate(piling, result));
  finish(piling, result);
  return NULL;
}

struct inspect_error *accumulations_find(const struct graph *graph,
                                         const struct dominators *dominators, object_id first,
                                         uint32_t count, const struct bitset *barred,
                                         const struct work *work, struct accumulations *result) {
  *result = (struct accumulations){0};
  struct piling piling = {.graph = graph, .dominators = dominators, .barred = barred, .work = work};
  TRY(spread_find(graph, dominators, first, count, LEAST_WEIGHT, work, &piling.spread));
  struct inspect_error *error = find(&piling, result);
  spread_free(&piling.spread);
  free(piling.candidate_of);
  bitset_free(&piling.used);
  if (error) accumulations_free(result);
  return error;
}

void accumulations_free(struct accumulations *accumulations) {
  free(accumulations->items);
  *accumulations = (struct accumulations){0};
}
