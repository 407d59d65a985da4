/* chains_best.c - the k best simple chains: A* backwards from the object, tier by tier.
 *
 * A partial chain leads from some object to the end; it is extended by the references into its
 * first object, found in a transposed graph. In the phase of tier T only references and starts of
 * tiers up to T count, and distance[] holds the exact length of the shortest way from a start to
 * each object. Partial chains are taken by (length + distance of the first object, labels from the
 * last reference on), the lower first. The estimate is never too high and labels only grow at the
 * front, so complete chains are taken in the order of (length, labels); those of lower tiers have
 * been found in earlier phases and are passed over.
 *
 * A chain is simple: an object already on the partial chain is not added. Those are found by
 * walking it, unless the object's distance is below that of all objects on it.
 *
 * Bounds: see the limits below. In a hurry the longest of the partial chains with the least
 * estimate is taken, which leads straight to a complete one. */
#include <string.h>

#include "analysis/chains.h"
#include "analysis/label_order.h"
#include "analysis/sources.h"

enum {
  LIMIT_ORDERED = 1 << 18, /* partial chains of one phase before labels are given up  */
  LIMIT_PARTIAL = 1 << 21, /* partial chains of one phase before the phase is given up */
  LIMIT_FAN_IN = 1 << 18,  /* extensions of one partial chain                          */
  LIMIT_STEPS = 1 << 28,   /* references and steps looked at in one phase              */
  WORK_STEPS = 1 << 14,
};

#define NO_PARTIAL UINT32_MAX
#define NO_START   UINT32_MAX
#define FAR        UINT32_MAX /* no distance: not reached */

struct partial {
  reference_id reference; /* from `object` to that of `next`                             */
  object_id object;       /* the first one                                               */
  uint32_t next;          /* the rest: a partial chain, NO_PARTIAL: `object` is the end  */
  uint32_t length;
  uint32_t estimate; /* of the whole chain's length                                 */
  uint32_t nearest;  /* least distance of its objects                               */
  uint32_t start;    /* position in starts if complete, else NO_START               */
  uint8_t tier;
};

struct pair {
  uint32_t a, b; /* partial chains */
};

struct best {
  const struct graph *graph;
  const struct work *work;
  struct tiers tiers;
  struct label_order order;
  struct bitset targets;
  struct chains chains;
  struct tiers_start *starts;
  size_t start_count;
  object_id object;
  size_t wanted;
  struct chain *result;
  size_t found;
  bool capped;

  struct sources sources;
  uint8_t tier;       /* of this phase */
  uint32_t *distance; /* from the starts */
  struct partials VECTOR(struct partial) partials;
  struct heap VECTOR(uint32_t) heap; /* of partial chains */
  struct pairs VECTOR(struct pair) pairs;
  uint64_t steps;
  bool hurry, out_of_memory;
};

struct objects VECTOR(object_id);

/* ---- Distances --------------------------------------------------------------------------------
 */

static struct inspect_error *measure_level(struct best *best, const struct objects *level,
                                           uint32_t distance, struct objects *next) {
  const struct graph *graph = best->graph;
  for (size_t k = 0; k < level->count; k++) {
    object_id from = level->items[k];
    if (++best->steps % WORK_STEPS == 0 && work_stops(best->work, "chains", 0, 0))
      return error_interrupted();
    reference_id end = graph_first(graph, (uint64_t)from + 1);
    for (reference_id i = graph_first(graph, from); i < end; i++) {
      object_id to = graph->target[i];
      if (best->distance[to] != FAR || !bitset_has(&best->chains.settled, to) ||
          best->chains.tier[to] > best->tier ||
          sources_tier(&best->tiers, &best->chains, from, i) > best->tier)
        continue;
      best->distance[to] = distance + 1;
      if (!vector_push(next, to)) return error_no_memory();
    }
  }
  return NULL;
}

static struct inspect_error *measure(struct best *best) {
  struct objects level = {0}, next = {0};
  struct inspect_error *error = NULL;
  memset(best->distance, 0xff, (size_t)best->graph->object_count * sizeof *best->distance);
  for (size_t i = 0; i < best->start_count && !error; i++) {
    const struct tiers_start *start = &best->starts[i];
    if (start->tier > best->tier || best->distance[start->object] == 0) continue;
    best->distance[start->object] = 0;
    if (!vector_push(&level, start->object)) error = error_no_memory();
  }
  for (uint32_t distance = 0; !error && level.count; distance++) {
    error = measure_level(best, &level, distance, &next);
    struct objects done = level;
    level = next;
    next = done;
    next.count = 0;
  }
  vector_free(&level);
  vector_free(&next);
  return error;
}

/* The best start of an object in this phase, NO_START if it is none. */
static uint32_t start_of(const struct best *best, object_id object) {
  if (best->distance[object] != 0) return NO_START;
  for (size_t i = 0; i < best->start_count; i++)
    if (best->starts[i].object == object) return (uint32_t)i;
  return NO_START;
}

/* ---- The order of partial chains --------------------------------------------------------------
 */

/* Where two partial chains differ, the pair at the end first (last in `pairs`). */
static void find_difference(struct best *best, uint32_t a, uint32_t b) {
  const struct partial *partials = best->partials.items;
  best->pairs.count = 0;
  for (; partials[a].length > partials[b].length; best->steps++)
    a = partials[a].next;
  for (; partials[b].length > partials[a].length; best->steps++)
    b = partials[b].next;
  for (; a != b; a = partials[a].next, b = partials[b].next, best->steps++)
    if (!vector_push(&best->pairs, ((struct pair){a, b}))) {
      best->out_of_memory = true;
      return;
    }
}

static int compare_labels(struct best *best) {
  const struct partial *partials = best->partials.items;
  for (size_t i = best->pairs.count; i-- > 0;) {
    const struct partial *a = &partials[best->pairs.items[i].a];
    const struct partial *b = &partials[best->pairs.items[i].b];
    if (a->next == NO_PARTIAL || b->next == NO_PARTIAL) continue;
    int result =
        label_order_compare(&best->order, a->object, a->reference, b->object, b->reference, false);
    if (result) return result;
  }
  return 0;
}

/* The last resort: addresses, and where they are equal, positions in the row. */
static int compare_addresses(const struct best *best) {
  const struct graph_label_source *labels = &best->graph->labels;
  for (size_t i = best->pairs.count; i-- > 0;) {
    const struct partial *a = &best->partials.items[best->pairs.items[i].a];
    const struct partial *b = &best->partials.items[best->pairs.items[i].b];
    uint64_t x = labels->address(labels->context, a->object);
    uint64_t y = labels->address(labels->context, b->object);
    if (x != y) return x < y ? -1 : 1;
    if (a->reference != b->reference) return a->reference < b->reference ? -1 : 1;
  }
  return 0;
}

static bool is_before(struct best *best, uint32_t a, uint32_t b) {
  const struct partial *x = &best->partials.items[a], *y = &best->partials.items[b];
  if (x->estimate != y->estimate) return x->estimate < y->estimate;
  if (best->hurry) return x->length != y->length ? x->length > y->length : a < b;
  find_difference(best, a, b);
  int result = compare_labels(best);
  if (result) return result < 0;
  if (x->length != y->length) return x->length < y->length;
  if ((x->start == NO_START) != (y->start == NO_START)) return x->start == NO_START;
  result = compare_addresses(best);
  return result ? result < 0 : a < b;
}

/* ---- The heap ---------------------------------------------------------------------------------
 */

static void sift_up(struct best *best, size_t i) {
  uint32_t *heap = best->heap.items, moved = heap[i];
  for (; i > 0 && is_before(best, moved, heap[(i - 1) / 2]); i = (i - 1) / 2)
    heap[i] = heap[(i - 1) / 2];
  heap[i] = moved;
}

static void sift_down(struct best *best, size_t i) {
  uint32_t *heap = best->heap.items, moved = heap[i];
  for (size_t child; (child = 2 * i + 1) < best->heap.count; i = child) {
    if (child + 1 < best->heap.count && is_before(best, heap[child + 1], heap[child])) child++;
    if (!is_before(best, heap[child], moved)) break;
    heap[i] = heap[child];
  }
  heap[i] = moved;
}

static uint32_t take(struct best *best) {
  uint32_t first = best->heap.items[0];
  best->heap.items[0] = best->heap.items[--best->heap.count];
  if (best->heap.count) sift_down(best, 0);
  return first;
}

static void add(struct best *best, const struct partial *partial) {
  if (!vector_push(&best->partials, *partial) ||
      !vector_push(&best->heap, (uint32_t)(best->partials.count - 1))) {
    best->out_of_memory = true;
    return;
  }
  if (best->partials.count == LIMIT_ORDERED) {
    best->hurry = true;
    for (size_t i = best->heap.count / 2; i-- > 0;)
      sift_down(best, i);
  }
  sift_up(best, best->heap.count - 1);
}

/* ---- Extension --------------------------------------------------------------------------------
 */

static bool is_on(struct best *best, uint32_t partial, object_id object) {
  const struct partial *partials = best->partials.items;
  if (best->distance[object] < partials[partial].nearest) return false;
  for (; partial != NO_PARTIAL; partial = partials[partial].next, best->steps++)
    if (partials[partial].object == object) return true;
  return false;
}

/* Whether the key of an ephemeron entry lives without the objects of the partial chain: its best
 * chain has none of them. */
static bool key_is_independent(struct best *best, uint32_t partial, object_id key) {
  if (best->graph->type[key] == OBJECT_STRING) return true;
  for (; key != NO_OBJECT && best->steps < LIMIT_STEPS;
       key = best->chains.parent[key], best->steps++)
    if (is_on(best, partial, key)) return false;
  return key == NO_OBJECT;
}

/* Adds the partial chain that is one reference longer, unless it leads nowhere. */
static void extend(struct best *best, uint32_t rest, reference_id reference) {
  const struct graph *graph = best->graph;
  object_id from = graph_owner(graph, reference);
  best->steps++;
  if (best->distance[from] == FAR) return;
  uint8_t tier = sources_tier(&best->tiers, &best->chains, from, reference);
  if (tier > best->tier || is_on(best, rest, from)) return;
  bool is_ephemeron = !graph_is_strong(graph->flags[from], graph->kind[reference]);
  if (is_ephemeron && !key_is_independent(best, rest, graph->target[reference - 1])) return;
  const struct partial *next = &best->partials.items[rest];
  struct partial partial = {.reference = reference,
                            .object = from,
                            .next = rest,
                            .length = next->length + 1,
                            .estimate = next->length + 1 + best->distance[from],
                            .nearest = next->nearest,
                            .start = start_of(best, from),
                            .tier = tier > next->tier ? tier : next->tier};
  if (best->distance[from] < partial.nearest) partial.nearest = best->distance[from];
  if (partial.start != NO_START && best->starts[partial.start].tier > partial.tier)
    partial.tier = best->starts[partial.start].tier;
  add(best, &partial);
}

static void extend_all(struct best *best, uint32_t rest) {
  object_id object = best->partials.items[rest].object;
  size_t before = best->partials.count;
  uint64_t end = best->sources.first[(size_t)object + 1];
  for (uint64_t i = best->sources.first[object]; i < end && !best->out_of_memory; i++) {
    if (best->partials.count - before >= LIMIT_FAN_IN || best->steps >= LIMIT_STEPS) {
      best->capped = true;
      return;
    }
    extend(best, rest, sources_at(&best->sources, i));
  }
}

/* ---- Results ----------------------------------------------------------------------------------
 */

static bool equals_first(const struct best *best, uint32_t partial) {
  const struct chain *first = &best->result[0];
  const struct partial *partials = best->partials.items;
  if (first->count != (size_t)partials[partial].length + 1 ||
      first->items[0].object != partials[partial].object)
    return false;
  for (size_t i = 1; i < first->count; i++, partial = partials[partial].next)
    if (first->items[i].reference != partials[partial].reference) return false;
  return true;
}

static bool emit(struct best *best, uint32_t partial) {
  const struct partial *partials = best->partials.items;
  struct chain *chain = &best->result[best->found];
  *chain = (struct chain){.root = best->starts[partials[partial].start].position};
  struct chain_step step = {.reference = NO_REFERENCE};
  for (; partial != NO_PARTIAL; partial = partials[partial].next) {
    step.object = partials[partial].object;
    if (!vector_push(chain, step)) {
      vector_free(chain);
      return false;
    }
    step.reference = partials[partial].reference;
  }
  best->found++;
  return true;
}

/* The partial chain without references, and the complete one if the object is a start. */
static void begin(struct best *best) {
  best->partials.count = best->heap.count = 0;
  best->steps = 0;
  best->hurry = false;
  uint32_t distance = best->distance[best->object];
  struct partial end = {.reference = NO_REFERENCE,
                        .object = best->object,
                        .next = NO_PARTIAL,
                        .estimate = distance,
                        .nearest = distance,
                        .start = NO_START};
  add(best, &end);
  end.start = start_of(best, best->object);
  if (end.start == NO_START) return;
  end.tier = best->starts[end.start].tier;
  add(best, &end);
}

static struct inspect_error *find_in_tier(struct best *best) {
  TRY(measure(best));
  begin(best);
  for (uint64_t taken = 1; best->heap.count && best->found < best->wanted; taken++) {
    if (best->out_of_memory) return error_no_memory();
    if (taken % 256 == 0 && work_stops(best->work, "chains", best->found, best->wanted))
      return error_interrupted();
    uint32_t partial = take(best);
    if (best->partials.items[partial].start == NO_START) {
      if (best->partials.count >= LIMIT_PARTIAL || best->steps >= LIMIT_STEPS) {
        best->capped = true;
        continue; /* what is complete is still taken */
      }
      extend_all(best, partial);
    } else if (best->partials.items[partial].tier == best->tier && !equals_first(best, partial)) {
      if (!emit(best, partial)) return error_no_memory();
    }
  }
  return best->out_of_memory ? error_no_memory() : NULL;
}

/* ---- Interface --------------------------------------------------------------------------------
 */

/* The best chain, from a search that has settled everything but strings if there is to be more. */
static struct inspect_error *find_first(struct best *best) {
  struct chains_options options = *best->tiers.options;
  uint64_t count = best->graph->object_count;
  options.targets = &best->targets;
  if (!bitset_init(&best->targets, count + 1)) return error_no_memory();
  bitset_add(&best->targets, best->object);
  if (best->wanted > 1) bitset_add(&best->targets, count); /* never settled: do not stop early */
  TRY(chains_search(best->graph, &options, best->work, &best->chains));
  if (!bitset_has(&best->chains.settled, best->object)) return NULL;
  if (!chains_get(best->graph, &best->chains, &options, best->object, best->result))
    return error_no_memory();
  best->found = 1;
  return NULL;
}

static struct inspect_error *find_others(struct best *best) {
  TRY(sources_init(&best->sources, &best->tiers, &best->chains, best->object, best->work));
  best->starts = tiers_starts(&best->tiers, &best->start_count);
  best->distance = malloc(((size_t)best->graph->object_count + 1) * sizeof *best->distance);
  if (!best->starts || !best->distance) return error_no_memory();
  unsigned tiers = best->sources.tiers;
  for (size_t i = 0; i < best->start_count; i++)
    tiers |= 1U << best->starts[i].tier;
  best->tier = best->chains.tier[best->object];
  for (; best->tier < TIER_COUNT && best->found < best->wanted; best->tier++)
    if (tiers >> best->tier & 1) TRY(find_in_tier(best)); /* else no chain is of this tier */
  return NULL;
}

static void best_free(struct best *best) {
  tiers_free(&best->tiers);
  label_order_free(&best->order);
  bitset_free(&best->targets);
  chains_free(&best->chains);
  free(best->starts);
  sources_free(&best->sources);
  free(best->distance);
  vector_free(&best->partials);
  vector_free(&best->heap);
  vector_free(&best->pairs);
}

struct inspect_error *chains_best(const struct graph *graph, const struct chains_options *options,
                                  object_id object, size_t k, const struct work *work,
                                  struct chain *result, size_t *count, bool *capped) {
  struct best best = {
      .graph = graph, .work = work, .object = object, .wanted = k, .result = result};
  *count = 0;
  if (capped) *capped = false;
  if (object >= graph->object_count || !k) return NULL;
  label_order_init(&best.order, graph);
  struct inspect_error *error = NULL;
  struct chains_options own = options ? *options : (struct chains_options){0};
  own.targets = NULL;
  if (!tiers_init(&best.tiers, graph, &own)) error = error_no_memory();
  if (!error) error = find_first(&best);
  if (!error && best.found && k > 1) error = find_others(&best);
  best_free(&best);
  bool keep = !error || error->code == INSPECT_ERROR_INTERRUPTED;
  for (; !keep && best.found; best.found--)
    vector_free(&result[best.found - 1]);
  *count = best.found;
  if (capped) *capped = best.capped;
  return error;
}
