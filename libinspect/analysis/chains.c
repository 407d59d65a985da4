/* chains.c - the best chain to every object: breadth-first by tiers.
 *
 * Tiers are settled in order, and inside a tier distances. One level is the set of objects of one
 * distance: first those settled in this tier (the frontier), which offer all their references, then
 * those of earlier tiers that were postponed for this one, which offer just the references that
 * need this tier. What is offered and not settled is settled one step further, in the next level.
 * So objects are settled in the order of (tier, distance), and when a level begins, the chains of
 * its objects are final.
 *
 * An object of the level under construction may be offered further chains as good as its first:
 * chain_ties.h decides between them in the end.
 *
 * An ephemeron entry whose key is not settled waits with the key, and is offered when the key's
 * level comes.
 *
 * A large level is visited in the order of ids: that is the order of rows in memory.
 *
 * Memory: 9 bytes and 2 bits per object, lists for two levels and for what is postponed, and ties,
 * at most half as many as objects. */
#include "analysis/chains.h"

#include <string.h>

#include "analysis/chain_ties.h"
#include "base/large.h"
#include "base/number_map.h"

enum {
  WORK_STEPS = 1 << 14, /* rows                                           */
  ROW_STEPS = 1 << 16,  /* references: a row may have millions            */
  LOOKAHEAD = 8,
  LEAST_TIES = 4,
  OBJECTS_PER_SORT = 256, /* a level of at least 1/256 of the objects is sorted */
};

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
  struct chains_options own;
  const struct chains_options *options;
  const struct work *work;
  struct chains *chains;
  struct tiers tiers;
  struct tiers_start *starts;
  size_t start_count;
  struct bitset open; /* what can be offered a chain: not settled, or settled for the next level */
  struct objects frontier, next;
  struct chain_ties ties;
  struct postponed postponed[TIER_COUNT];
  struct waiting waiting;
  uint8_t tier;
  uint32_t distance; /* of the level */
  uint64_t settled_count, targets_left, steps;
  bool out_of_memory, is_stopped;
};

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

/* Offers the target of a reference, which is open, the chain over `parent`. */
static void offer(struct search *search, object_id parent, reference_id reference) {
  object_id object = search->graph->target[reference];
  uint32_t via = (uint32_t)(reference - graph_first(search->graph, parent));
  if (!bitset_has(&search->chains->settled, object))
    settle(search, object, parent, via);
  else if (!chain_ties_note(&search->ties, object, parent, via))
    search->out_of_memory = true;
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
    if (bitset_has(&search->open, search->graph->target[waiting->items[i].value]))
      offer(search, waiting->items[i].table, waiting->items[i].value);
}

/* Whether the key of an ephemeron entry is settled; its chain is final then. */
static bool has_key(const struct search *search, object_id key) {
  if (search->graph->type[key] == OBJECT_STRING) return true;
  return bitset_has(&search->chains->settled, key) && !bitset_has(&search->open, key);
}

/* ---- Rows -------------------------------------------------------------------------------------
 */

static bool reports(struct search *search) {
  if (work_stops(search->work, "chains", search->settled_count, search->graph->object_count))
    search->is_stopped = true;
  return search->is_stopped;
}

/* Offers the references of an object that the tier allows, or with `later` only those that it is
 * the first to allow. Returns the set of tiers that the others need. */
static unsigned offer_row(struct search *search, object_id object, bool later) {
  const struct graph *graph = search->graph;
  reference_id first = graph_first(graph, object);
  reference_id end = graph_first(graph, (uint64_t)object + 1);
  if (search->tier < TIER_SURVIVORS && tiers_is_survivor(&search->tiers, object))
    return first < end ? 1U << TIER_SURVIVORS : 0;
  const uint8_t *tiers = tiers_row(&search->tiers, object);
  uint8_t flags = graph->flags[object];
  unsigned needed = 0;
  for (reference_id i = first; i < end; i++) {
    object_id target = graph->target[i];
    if (i % ROW_STEPS == 0 && reports(search)) break;
    if (!bitset_has(&search->open, target)) continue;
    enum reference_use use = tiers_use(&search->tiers, flags, i);
    if (use == USE_NEVER) continue;
    uint8_t tier = tiers[graph->kind[i]];
    object_id key = use == USE_EPHEMERON ? graph->target[i - 1] : NO_OBJECT;
    if (key != NO_OBJECT && tiers_is_survivor(&search->tiers, key)) tier = TIER_SURVIVORS;
    if (tier > search->tier) {
      if (!bitset_has(&search->chains->settled, target)) needed |= 1U << tier;
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
  if (search->is_stopped) return error_interrupted();
  if (search->ties.count > LEAST_TIES + search->graph->object_count / 2)
    chain_ties_decide(&search->ties);
  return ++search->steps % WORK_STEPS == 0 && reports(search) ? error_interrupted() : NULL;
}

/* The places of the first few targets that can be settled. */
static void prefetch_targets(const struct search *search, object_id object) {
  enum { FEW = 8 };
  const struct graph *graph = search->graph;
  reference_id first = graph_first(graph, object);
  reference_id end = graph_first(graph, (uint64_t)object + 1);
  for (reference_id i = first; i < end && i < first + FEW; i++) {
    object_id target = graph->target[i];
    if (!bitset_has(&search->open, target)) continue;
    __builtin_prefetch(&search->chains->parent[target], 1);
    __builtin_prefetch(&search->chains->via[target], 1);
    __builtin_prefetch(&search->chains->tier[target], 1);
  }
}

static void prefetch_row(const struct search *search, size_t position) {
  const struct graph *graph = search->graph;
  if (position + 2 * LOOKAHEAD < search->frontier.count)
    __builtin_prefetch(&graph->first[search->frontier.items[position + 2 * LOOKAHEAD]]);
  if (position + LOOKAHEAD < search->frontier.count) {
    reference_id row = graph_first(graph, search->frontier.items[position + LOOKAHEAD]);
    __builtin_prefetch(&graph->target[row]);
    __builtin_prefetch(&graph->kind[row]);
  }
  if (position + LOOKAHEAD / 2 < search->frontier.count)
    prefetch_targets(search, search->frontier.items[position + LOOKAHEAD / 2]);
}

static struct inspect_error *offer_frontier(struct search *search) {
  for (size_t i = 0; i < search->frontier.count; i++) {
    object_id object = search->frontier.items[i];
    prefetch_row(search, i);
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

/* Closes the level under construction: it is what is open and settled. A large one is sorted by
 * the way. */
static void close_level(struct search *search) {
  struct objects *level = &search->frontier;
  if (level->count < search->graph->object_count / OBJECTS_PER_SORT) {
    for (size_t i = 0; i < level->count; i++)
      bitset_remove(&search->open, level->items[i]);
    return;
  }
  level->count = 0;
  for (uint64_t word = 0; word < search->open.size / 64 + 1; word++) {
    uint64_t bits = search->open.words[word] & search->chains->settled.words[word];
    search->open.words[word] &= ~bits;
    for (; bits; bits &= bits - 1)
      level->items[level->count++] = (object_id)(word * 64 + (unsigned)__builtin_ctzll(bits));
  }
}

/* Goes on to the level under construction, or if it is empty, to the next distance at which
 * something was postponed. False: the tier is done. */
static bool next_level(struct search *search) {
  struct objects done = search->frontier;
  search->frontier = search->next;
  search->next = done;
  search->next.count = 0;
  search->distance++;
  close_level(search);
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
    if (start->tier != search->tier || bitset_has(&search->chains->settled, start->object))
      continue;
    settle(search, start->object, NO_OBJECT, start->position);
    bitset_remove(&search->open, start->object);
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
  if (search->out_of_memory || !chain_ties_decide_for(&search->ties, search->options->targets))
    return error_no_memory();
  return NULL;
}

/* ---- Interface --------------------------------------------------------------------------------
 */

static struct inspect_error *chains_init(struct chains *chains, uint32_t count) {
  *chains = (struct chains){.object_count = count};
  chains->parent = large_alloc((size_t)count + 1, sizeof *chains->parent);
  chains->via = large_alloc((size_t)count + 1, sizeof *chains->via);
  chains->tier = large_zeroed((size_t)count + 1, sizeof *chains->tier);
  bool ok = bitset_init(&chains->settled, count);
  return ok && chains->parent && chains->via && chains->tier ? NULL : error_no_memory();
}

static void search_free(struct search *search) {
  tiers_free(&search->tiers);
  free(search->starts);
  bitset_free(&search->open);
  vector_free(&search->frontier);
  vector_free(&search->next);
  chain_ties_free(&search->ties);
  for (unsigned tier = 0; tier < TIER_COUNT; tier++)
    vector_free(&search->postponed[tier]);
  number_map_free(&search->waiting.first);
  vector_free(&search->waiting);
}

/* Everything that chains may go to. */
static void open_all(struct search *search) {
  const struct chains_options *options = search->options;
  const uint8_t *type = search->graph->type;
  uint32_t count = search->graph->object_count;
  for (uint64_t word = 0; word * 64 < count; word++) {
    uint64_t bits = 0, first = word * 64;
    unsigned length = count - first < 64 ? (unsigned)(count - first) : 64;
    for (unsigned i = 0; i < length; i++)
      bits |= (uint64_t)(!options->targets || type[first + i] != OBJECT_STRING) << i;
    if (options->targets) bits |= options->targets->words[word];
    if (options->barred) bits &= ~options->barred->words[word];
    if (options->mask && options->mask->avoid) bits &= ~options->mask->avoid->words[word];
    search->open.words[word] = bits;
  }
}

static struct inspect_error *search_init(struct search *search) {
  const struct graph *graph = search->graph;
  if (search->options) search->own = *search->options;
  const struct graph_mask *mask = search->own.mask;
  bool forbids = mask && (mask->avoid || mask->cut_count || (mask->kinds & ALL_KINDS) != ALL_KINDS);
  if (!forbids) search->own.mask = NULL;
  search->options = &search->own;
  if (!tiers_init(&search->tiers, graph, search->options)) return error_no_memory();
  chain_ties_init(&search->ties, &search->tiers, search->chains);
  if (search->options->targets) search->targets_left = bitset_count(search->options->targets);
  search->starts = tiers_starts(&search->tiers, &search->start_count);
  if (!search->starts || !bitset_init(&search->open, graph->object_count)) return error_no_memory();
  open_all(search);
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
