/* chains.c - the best chain to every object: breadth-first by tiers.
 *
 * Tiers are settled in order, and inside a tier distances. One level is the set of objects of one
 * distance: first those settled in this tier (the frontier), which offer all their references, then
 * those of earlier tiers that were postponed for this one, which offer just the references that
 * need this tier. What is offered and not settled is settled one step further, in the next level.
 * So objects are settled in the order of (tier, distance), and when a level begins, the chains of
 * its objects are final.
 *
 * Only an object of the level under construction (it is `fresh`) can be offered a second chain as
 * good as its first. Then, and only then, labels are compared: walking up both chains to the holder
 * they share (at most TIE_STEPS references, beyond that the address decides).
 *
 * An ephemeron entry whose key is not settled waits with the key, and is offered when the key's
 * level comes.
 *
 * Memory: 9 bytes and 2 bits per object, and lists for two levels and for what is postponed. */
#include "analysis/chains.h"

#include <string.h>

#include "analysis/label_order.h"
#include "analysis/tiers.h"
#include "base/number_map.h"

enum { TIE_STEPS = 256, WORK_STEPS = 1 << 14, LOOKAHEAD = 8 };

struct objects VECTOR(object_id);

/* Objects with references that need a later tier. Each earlier tier has appended a run ordered by
 * distance, so the runs are merged. */
struct postponed {
  struct postponed_row {
    object_id object;
    uint32_t distance;
  } * items;
  size_t count, capacity;
  size_t next[TIER_COUNT], end[TIER_COUNT]; /* the part of each run that is left */
};

/* Ephemeron entries by the key they wait for. */
struct waiting {
  struct number_map first; /* key -> position in items */
  struct waiting_entry {
    object_id table;
    uint32_t next; /* position of the next entry with this key, or NO_NUMBER */
    reference_id value;
  } * items;
  size_t count, capacity;
};

struct search {
  const struct graph *graph;
  const struct chains_options *options;
  const struct work *work;
  struct chains *chains;
  struct tiers tiers;
  struct label_order order;
  struct tiers_start *starts;
  size_t start_count;
  struct bitset fresh; /* settled for the next level */
  struct objects frontier, next;
  struct postponed postponed[TIER_COUNT];
  struct waiting waiting;
  uint8_t tier;
  uint32_t distance; /* of the level */
  uint64_t settled_count, targets_left, steps;
  bool out_of_memory;
};

/* ---- Ties -------------------------------------------------------------------------------------
 */

/* Which of two chains of one tier and distance is the better one, given their last references:
 * negative if the first. */
static int compare_chains(struct search *search, object_id a, reference_id via_a, object_id b,
                          reference_id via_b) {
  const struct chains *chains = search->chains;
  const struct graph *graph = search->graph;
  for (int step = 0; step < TIE_STEPS; step++) {
    int result = label_order_compare(&search->order, a, via_a, b, via_b, false);
    if (result) return result;
    if (a == b) return (via_a > via_b) - (via_a < via_b);
    object_id up_a = chains->parent[a], up_b = chains->parent[b];
    if (up_a == NO_OBJECT && up_b == NO_OBJECT)
      return tiers_compare_starts(&search->tiers, chains->via[a], chains->via[b]);
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

/* ---- Settling ---------------------------------------------------------------------------------
 */

static void settle(struct search *search, object_id object, object_id parent, uint32_t via) {
  struct chains *chains = search->chains;
  bitset_add(&chains->settled, object);
  chains->parent[object] = parent;
  chains->via[object] = via;
  chains->tier[object] = search->tier;
  search->settled_count++;
  if (search->options->targets && bitset_has(search->options->targets, object))
    search->targets_left--;
  if (!vector_push(&search->next, object)) search->out_of_memory = true;
}

/* Offers the target of a reference the chain over `parent`. */
static void offer(struct search *search, object_id parent, reference_id reference) {
  struct chains *chains = search->chains;
  object_id object = search->graph->target[reference];
  reference_id first = graph_first(search->graph, parent);
  if (!bitset_has(&chains->settled, object)) {
    if (!tiers_enters(&search->tiers, object)) return;
    settle(search, object, parent, (uint32_t)(reference - first));
    bitset_add(&search->fresh, object);
  } else if (bitset_has(&search->fresh, object)) {
    object_id rival = chains->parent[object];
    reference_id rival_via = graph_first(search->graph, rival) + chains->via[object];
    if (compare_chains(search, parent, reference, rival, rival_via) >= 0) return;
    chains->parent[object] = parent;
    chains->via[object] = (uint32_t)(reference - first);
  }
}

/* ---- Ephemerons -------------------------------------------------------------------------------
 */

static void wait_for(struct search *search, object_id key, object_id table, reference_id value) {
  struct waiting *waiting = &search->waiting;
  struct waiting_entry entry = {
      .table = table, .next = number_map_get(&waiting->first, key), .value = value};
  if (waiting->count >= NO_NUMBER || !vector_push(waiting, entry) ||
      !number_map_set(&waiting->first, key, (uint32_t)(waiting->count - 1)))
    search->out_of_memory = true;
}

static void offer_waiting(struct search *search, object_id key) {
  const struct waiting *waiting = &search->waiting;
  uint32_t i = number_map_get(&waiting->first, key);
  for (; i != NO_NUMBER; i = waiting->items[i].next)
    offer(search, waiting->items[i].table, waiting->items[i].value);
}

/* Whether the key of an ephemeron entry is settled; its chain is final then. */
static bool has_key(const struct search *search, object_id key) {
  if (search->graph->type[key] == OBJECT_STRING) return true;
  return bitset_has(&search->chains->settled, key) && !bitset_has(&search->fresh, key);
}

/* ---- Rows -------------------------------------------------------------------------------------
 */

/* Offers the references of an object that the tier allows, or with `later` only those that it is
 * the first to allow. Returns the set of tiers that the others need. */
static unsigned offer_row(struct search *search, object_id object, bool later) {
  const struct graph *graph = search->graph;
  const uint8_t *tiers = tiers_row(&search->tiers, object);
  uint8_t flags = graph->flags[object];
  unsigned needed = 0;
  reference_id end = graph_first(graph, (uint64_t)object + 1);
  for (reference_id i = graph_first(graph, object); i < end; i++) {
    object_id target = graph->target[i];
    bool is_settled = bitset_has(&search->chains->settled, target);
    if (is_settled && !bitset_has(&search->fresh, target)) continue;
    enum reference_use use = tiers_use(&search->tiers, flags, i);
    if (use == USE_NEVER) continue;
    uint8_t tier = tiers[graph->kind[i]];
    object_id key = use == USE_EPHEMERON ? graph->target[i - 1] : NO_OBJECT;
    if (key != NO_OBJECT && tiers_is_survivor(&search->tiers, key)) tier = TIER_SURVIVORS;
    if (tier > search->tier) {
      if (!is_settled && tiers_enters(&search->tiers, target)) needed |= 1U << tier;
      continue;
    }
    if (later && tier != search->tier) continue;
    if (key == NO_OBJECT || has_key(search, key))
      offer(search, object, i);
    else
      wait_for(search, key, object, i);
  }
  return needed;
}

static void postpone(struct search *search, object_id object, unsigned needed) {
  struct postponed_row row = {.object = object, .distance = search->distance};
  for (uint8_t tier = search->tier; tier < TIER_COUNT; tier++)
    if ((needed >> tier & 1) && !vector_push(&search->postponed[tier], row))
      search->out_of_memory = true;
}

static struct inspect_error *check_work(struct search *search) {
  if (search->out_of_memory) return error_no_memory();
  if (++search->steps % WORK_STEPS == 0 &&
      work_stops(search->work, "chains", search->settled_count, search->graph->object_count))
    return error_interrupted();
  return NULL;
}

static void prefetch_row(const struct search *search, size_t position) {
  const struct graph *graph = search->graph;
  if (position + 2 * LOOKAHEAD < search->frontier.count)
    __builtin_prefetch(&graph->first[search->frontier.items[position + 2 * LOOKAHEAD]]);
  if (position + LOOKAHEAD < search->frontier.count)
    __builtin_prefetch(
        &graph->target[graph_first(graph, search->frontier.items[position + LOOKAHEAD])]);
}

static struct inspect_error *offer_frontier(struct search *search) {
  for (size_t i = 0; i < search->frontier.count; i++) {
    object_id object = search->frontier.items[i];
    prefetch_row(search, i);
    if (search->graph->type[object] == OBJECT_STRING) continue;
    unsigned needed = offer_row(search, object, false);
    if (needed) postpone(search, object, needed);
    if (search->waiting.count) offer_waiting(search, object);
    TRY(check_work(search));
  }
  return NULL;
}

static struct inspect_error *offer_postponed(struct search *search) {
  struct postponed *postponed = &search->postponed[search->tier];
  for (unsigned run = 0; run < search->tier; run++) {
    size_t *next = &postponed->next[run];
    for (; *next < postponed->end[run]; (*next)++) {
      const struct postponed_row *row = &postponed->items[*next];
      if (row->distance != search->distance) break;
      (void)offer_row(search, row->object, true);
      TRY(check_work(search));
    }
  }
  return NULL;
}

/* ---- Levels and tiers -------------------------------------------------------------------------
 */

/* Goes on to the level under construction, or if it is empty, to the next distance at which
 * something was postponed. False: the tier is done. */
static bool next_level(struct search *search) {
  struct objects done = search->frontier;
  search->frontier = search->next;
  search->next = done;
  search->next.count = 0;
  search->distance++;
  for (size_t i = 0; i < search->frontier.count; i++)
    bitset_remove(&search->fresh, search->frontier.items[i]);
  if (search->frontier.count) return true;
  const struct postponed *postponed = &search->postponed[search->tier];
  bool found = false;
  for (unsigned run = 0; run < search->tier; run++) {
    if (postponed->next[run] == postponed->end[run]) continue;
    uint32_t distance = postponed->items[postponed->next[run]].distance;
    if (!found || distance < search->distance) search->distance = distance;
    found = true;
  }
  return found;
}

/* The starts of the tier are the first frontier. */
static void settle_starts(struct search *search) {
  search->frontier.count = search->next.count = 0;
  for (size_t i = 0; i < search->start_count; i++) {
    const struct tiers_start *start = &search->starts[i];
    if (start->tier == search->tier && !bitset_has(&search->chains->settled, start->object))
      settle(search, start->object, NO_OBJECT, start->position);
  }
  struct objects empty = search->frontier;
  search->frontier = search->next;
  search->next = empty;
}

static struct inspect_error *settle_tier(struct search *search) {
  settle_starts(search);
  search->distance = 0;
  do {
    TRY(offer_frontier(search));
    TRY(offer_postponed(search));
    if (search->options->targets && !search->targets_left) break;
  } while (next_level(search));
  for (unsigned tier = search->tier + 1U; tier < TIER_COUNT; tier++) {
    struct postponed *postponed = &search->postponed[tier];
    postponed->next[search->tier] = search->tier ? postponed->end[search->tier - 1] : 0;
    postponed->end[search->tier] = postponed->count;
  }
  vector_free(&search->postponed[search->tier]);
  return NULL;
}

static struct inspect_error *settle_all(struct search *search) {
  for (search->tier = 0; search->tier < TIER_COUNT; search->tier++) {
    if (search->options->targets && !search->targets_left) break;
    TRY(settle_tier(search));
  }
  return search->out_of_memory ? error_no_memory() : NULL;
}

/* ---- Interface --------------------------------------------------------------------------------
 */

static struct inspect_error *chains_init(struct chains *chains, uint32_t count) {
  *chains = (struct chains){.object_count = count};
  chains->parent = malloc(((size_t)count + 1) * sizeof *chains->parent);
  chains->via = malloc(((size_t)count + 1) * sizeof *chains->via);
  chains->tier = calloc((size_t)count + 1, sizeof *chains->tier);
  bool ok = bitset_init(&chains->settled, count);
  if (!ok || !chains->parent || !chains->via || !chains->tier) return error_no_memory();
  memset(chains->parent, 0xff, (size_t)count * sizeof *chains->parent);
  memset(chains->via, 0xff, (size_t)count * sizeof *chains->via);
  return NULL;
}

static void search_free(struct search *search) {
  tiers_free(&search->tiers);
  label_order_free(&search->order);
  free(search->starts);
  bitset_free(&search->fresh);
  vector_free(&search->frontier);
  vector_free(&search->next);
  for (unsigned tier = 0; tier < TIER_COUNT; tier++)
    vector_free(&search->postponed[tier]);
  number_map_free(&search->waiting.first);
  vector_free(&search->waiting);
}

static struct inspect_error *search_init(struct search *search) {
  const struct graph *graph = search->graph;
  label_order_init(&search->order, graph);
  if (!tiers_init(&search->tiers, graph, search->options)) return error_no_memory();
  search->options = search->tiers.options;
  if (search->options->targets) search->targets_left = bitset_count(search->options->targets);
  search->starts = tiers_starts(&search->tiers, &search->start_count);
  if (!search->starts || !bitset_init(&search->fresh, graph->object_count))
    return error_no_memory();
  return chains_init(search->chains, graph->object_count);
}

struct inspect_error *chains_search(const struct graph *graph, const struct chains_options *options,
                                    const struct work *work, struct chains *result) {
  struct search search = {.graph = graph, .options = options, .work = work, .chains = result};
  *result = (struct chains){0};
  struct inspect_error *error = search_init(&search);
  if (!error) error = settle_all(&search);
  search_free(&search);
  if (error) chains_free(result);
  return error;
}

void chains_free(struct chains *chains) {
  free(chains->parent);
  free(chains->via);
  free(chains->tier);
  bitset_free(&chains->settled);
  *chains = (struct chains){0};
}

bool chains_get(const struct graph *graph, const struct chains *chains,
                const struct chains_options *options, object_id object, struct chain *chain) {
  (void)options; /* the search has obeyed them */
  *chain = (struct chain){0};
  if (object >= chains->object_count || !bitset_has(&chains->settled, object)) return false;
  for (object_id up = object; up != NO_OBJECT; up = chains->parent[up]) {
    struct chain_step step = {.object = up, .reference = chains_reference(graph, chains, up)};
    if (!vector_push(chain, step)) {
      vector_free(chain);
      return false;
    }
    if (chains->parent[up] == NO_OBJECT) chain->root = chains->via[up];
  }
  for (size_t i = 0, j = chain->count - 1; i < j; i++, j--) {
    struct chain_step step = chain->items[i];
    chain->items[i] = chain->items[j];
    chain->items[j] = step;
  }
  return true;
}
