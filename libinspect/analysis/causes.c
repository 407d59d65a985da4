/* causes.c - survivors grouped by pattern.
 *
 * The survivor tree gives every survivor its pattern and its holder. A survivor belongs to the
 * cause of the pattern of the directly held survivor above it. The representative of a cause is the
 * directly held member with the shortest chain, then the least label where the chains part (the
 * lowest index, the first name), then the first position: two chains that part do so in one row, so
 * one comparison decides. */
#include "analysis/causes.h"

#include <string.h>

#include "analysis/label_order.h"
#include "analysis/retained_sets.h"
#include "analysis/survivor_tree.h"
#include "analysis/suspects.h"
#include "analysis/tiers.h"
#include "base/large.h"

enum { WORK_STEPS = 1 << 12, LOOK_AHEAD = 16 };

struct grouping {
  const struct graph *graph;
  const struct chains *chains;
  const struct chains_options *options;
  const object_id *survivors;
  size_t survivor_count;
  const struct work *work;
  struct causes *result;
  struct survivor_tree tree;
  struct tiers tiers;
  struct label_order order;
  struct number_map cause_of_pattern;
  struct grouping_patterns VECTOR(uint32_t) patterns; /* of the causes */
};

/* ---- Which cause ------------------------------------------------------------------------------
 */

/* The cause of a pattern, new or not; UINT32_MAX: out of memory. */
static uint32_t cause_of(struct grouping *grouping, uint32_t pattern) {
  struct causes *result = grouping->result;
  uint32_t cause = number_map_get(&grouping->cause_of_pattern, pattern);
  if (cause != NO_NUMBER) return cause;
  cause = (uint32_t)result->count;
  struct cause item = {.cut_frees = SIZE_MAX};
  if (result->count >= NO_NUMBER - 1 || !vector_push(result, item) ||
      !vector_push(&grouping->patterns, pattern) ||
      !number_map_set(&grouping->cause_of_pattern, pattern, cause))
    return UINT32_MAX;
  return cause;
}

static struct inspect_error *report(const struct grouping *grouping, size_t done, size_t total) {
  return done % WORK_STEPS == 0 && work_stops(grouping->work, "causes", done, total)
             ? error_interrupted()
             : NULL;
}

static struct inspect_error *assign(struct grouping *grouping) {
  struct causes *result = grouping->result;
  for (size_t i = 0; i < grouping->survivor_count; i++) {
    object_id object = grouping->survivors[i];
    TRY(report(grouping, i, grouping->survivor_count));
    result->cause_of[i] = UINT32_MAX;
    result->held_by[i] = NO_OBJECT;
    if (!bitset_has(&grouping->chains->settled, object)) continue;
    object_id top = survivor_tree_top(&grouping->tree, object);
    uint32_t cause = cause_of(grouping, survivor_tree_node(&grouping->tree, top)->pattern);
    if (cause == UINT32_MAX) return error_no_memory();
    result->cause_of[i] = cause;
    result->held_by[i] = survivor_tree_node(&grouping->tree, object)->holder;
    result->items[cause].count++;
    result->items[cause].direct += result->held_by[i] == NO_OBJECT;
    result->member_count++;
  }
  return NULL;
}

/* Lists the members of each cause, those held directly first. */
static bool list_members(struct grouping *grouping) {
  struct causes *result = grouping->result;
  struct places {
    size_t direct, held;
  } *next = malloc((result->count + 1) * sizeof *next);
  size_t placed = 0;
  if (!next) return false;
  for (size_t i = 0; i < result->count; i++) {
    struct cause *cause = &result->items[i];
    cause->first = placed;
    next[i] = (struct places){.direct = placed, .held = placed + cause->direct};
    placed += cause->count;
  }
  for (size_t i = 0; i < grouping->survivor_count; i++) {
    uint32_t cause = result->cause_of[i];
    if (cause == UINT32_MAX) continue;
    size_t *place = result->held_by[i] == NO_OBJECT ? &next[cause].direct : &next[cause].held;
    result->members[(*place)++] = grouping->survivors[i];
  }
  free(next);
  return true;
}

/* ---- The representative -----------------------------------------------------------------------
 */

/* Whether the chain of `a` is preferred to the one of `b`, of the same depth. */
static bool is_lesser(struct grouping *grouping, object_id a, object_id b) {
  const struct chains *chains = grouping->chains;
  const struct graph *graph = grouping->graph;
  while (chains->parent[a] != chains->parent[b]) {
    a = chains->parent[a];
    b = chains->parent[b];
  }
  object_id parent = chains->parent[a];
  if (parent == NO_OBJECT)
    return tiers_compare_starts(&grouping->tiers, chains->via[a], chains->via[b]) < 0;
  reference_id x = chains_reference(graph, chains, a), y = chains_reference(graph, chains, b);
  int result = label_order_compare(&grouping->order, parent, x, parent, y, true);
  return result ? result < 0 : x < y;
}

/* The nodes of members that come soon are fetched. */
static object_id representative(struct grouping *grouping, const struct cause *cause) {
  const struct survivor_tree *tree = &grouping->tree;
  const object_id *members = &grouping->result->members[cause->first];
  size_t count = cause->direct ? cause->direct : cause->count;
  object_id best = members[0];
  uint32_t depth = survivor_tree_node(tree, best)->depth;
  for (size_t i = 1; i < count; i++) {
    if (i + LOOK_AHEAD < count)
      __builtin_prefetch(survivor_tree_node(tree, members[i + LOOK_AHEAD]));
    uint32_t other = survivor_tree_node(tree, members[i])->depth;
    if (other > depth || (other == depth && !is_lesser(grouping, members[i], best))) continue;
    best = members[i];
    depth = other;
  }
  return best;
}

/* ---- The causes -------------------------------------------------------------------------------
 */

static bool describe(struct grouping *grouping, uint32_t number) {
  struct causes *result = grouping->result;
  struct cause *cause = &result->items[number];
  struct text text = {0};
  bool ok = patterns_text(&grouping->tree.patterns, grouping->patterns.items[number], &text);
  if (ok) cause->pattern = arena_copy(&result->arena, text.items, text.count);
  if (ok) cause->fingerprint = patterns_hash(text.items, text.count);
  vector_free(&text);
  return ok && cause->pattern &&
         chains_get(grouping->graph, grouping->chains, grouping->options,
                    representative(grouping, cause), &cause->chain);
}

static struct inspect_error *describe_all(struct grouping *grouping) {
  const struct causes *result = grouping->result;
  for (size_t i = 0; i < result->count; i++) {
    if (!describe(grouping, (uint32_t)i)) return error_no_memory();
    TRY(report(grouping, i, result->count));
  }
  return NULL;
}

static int compare_causes(const void *a, const void *b) {
  const struct cause *x = a, *y = b;
  if (x->retained_bytes != y->retained_bytes) return x->retained_bytes > y->retained_bytes ? -1 : 1;
  if (x->count != y->count) return x->count > y->count ? -1 : 1;
  if (x->fingerprint != y->fingerprint) return x->fingerprint < y->fingerprint ? -1 : 1;
  int result = strcmp(x->pattern, y->pattern);
  return result ? result : (x->first > y->first) - (x->first < y->first);
}

static int compare_by_number(const void *a, const void *b, void *context) {
  const struct cause *causes = context;
  return compare_causes(&causes[*(const uint32_t *)a], &causes[*(const uint32_t *)b]);
}

/* The numbers of the causes, worst first. NULL: out of memory. */
static uint32_t *order_of(const struct causes *causes) {
  uint32_t *order = malloc((causes->count + 1) * sizeof *order);
  for (uint32_t i = 0; order && i < causes->count; i++)
    order[i] = i;
  if (order) qsort_r(order, causes->count, sizeof *order, compare_by_number, (void *)causes->items);
  return order;
}

/* What the members of each hold one by one, if those that hold most are to be chosen. */
static struct inspect_error *bound(const struct dominators *dominators, struct causes *causes,
                                   const struct work *work) {
  if (causes->count <= CAUSES_EXACT) return NULL;
  for (size_t i = 0; i < causes->count; i++) {
    struct cause *cause = &causes->items[i];
    cause->retained_bytes =
        dominators_retained_by_set(dominators, causes->members + cause->first, cause->count);
    if (cause->retained_bytes == UINT64_MAX) return error_no_memory();
    if (i % WORK_STEPS == 0 && work_stops(work, "causes", i, causes->count))
      return error_interrupted();
  }
  return NULL;
}

/* What the members hold, also together: of all VMs at once, for each look at the heap has its
 * price. */
struct together {
  struct VECTOR(struct retained_set) sets;
  struct VECTOR(struct cause *) causes; /* of each set */
};

static struct inspect_error *choose_exact(const struct dominators *dominators,
                                          struct causes *causes, const struct work *work,
                                          struct together *together) {
  TRY(bound(dominators, causes, work));
  uint32_t *order = order_of(causes);
  bool fits = order;
  for (size_t i = 0; fits && i < causes->count && i < CAUSES_EXACT; i++) {
    struct cause *cause = &causes->items[order[i]];
    struct retained_set set = {.objects = causes->members + cause->first, .count = cause->count};
    fits = vector_push(&together->sets, set) && vector_push(&together->causes, cause);
  }
  free(order);
  return fits ? NULL : error_no_memory();
}

/* Worst first. */
static bool sort_causes(struct causes *causes) {
  uint32_t *order = order_of(causes), *rank = malloc((causes->count + 1) * sizeof *rank);
  struct cause *sorted = malloc((causes->count + 1) * sizeof *sorted);
  bool fits = order && rank && sorted;
  for (uint32_t i = 0; fits && i < causes->count; i++) {
    sorted[i] = causes->items[order[i]];
    rank[order[i]] = i;
  }
  for (size_t i = 0; fits && i < causes->survivor_count; i++)
    if (causes->cause_of[i] != UINT32_MAX) causes->cause_of[i] = rank[causes->cause_of[i]];
  if (fits && causes->count) memcpy(causes->items, sorted, causes->count * sizeof *sorted);
  free(order);
  free(rank);
  free(sorted);
  return fits;
}

static struct inspect_error *suspect(struct suspects *suspects, struct causes *causes,
                                     const struct work *work) {
  for (size_t i = 0; i < causes->count; i++) {
    struct cause *cause = &causes->items[i];
    if (!suspects_find(suspects, cause, &causes->members[cause->first])) return error_no_memory();
    if (i % WORK_STEPS == 0 && work_stops(work, "causes", i, causes->count))
      return error_interrupted();
  }
  return NULL;
}

static struct inspect_error *suspect_all(const struct graph *graph,
                                         const struct dominators *dominators,
                                         const struct bitset *survivors, struct causes *causes,
                                         size_t count, const struct work *work) {
  struct suspects suspects = {.graph = graph, .dominators = dominators, .survivors = survivors};
  struct inspect_error *error = NULL;
  for (size_t i = 0; !error && i < count; i++)
    error = suspect(&suspects, &causes[i], work);
  suspects_free(&suspects);
  return error;
}

static struct inspect_error *retain_all(const struct graph *graph,
                                        const struct dominators *dominators, struct causes *causes,
                                        size_t count, const struct work *work) {
  struct together together = {0};
  struct inspect_error *error = NULL;
  for (size_t i = 0; !error && i < count; i++)
    error = choose_exact(dominators, &causes[i], work, &together);
  if (!error && together.sets.count)
    error =
        retained_sets_compute(graph, dominators, together.sets.items, together.sets.count, work);
  for (size_t i = 0; !error && i < together.sets.count; i++)
    together.causes.items[i]->retained_bytes = together.sets.items[i].retained;
  vector_free(&together.sets);
  vector_free(&together.causes);
  return error;
}

struct inspect_error *causes_judge(const struct graph *graph, const struct dominators *dominators,
                                   const struct bitset *survivors, struct causes *causes,
                                   size_t count, const struct work *work) {
  if (dominators) {
    TRY(suspect_all(graph, dominators, survivors, causes, count, work));
    TRY(retain_all(graph, dominators, causes, count, work));
  }
  for (size_t i = 0; i < count; i++)
    if (!sort_causes(&causes[i])) return error_no_memory();
  return NULL;
}

/* ---- Interface --------------------------------------------------------------------------------
 */

static struct inspect_error *allocate(struct grouping *grouping) {
  struct causes *result = grouping->result;
  size_t count = grouping->survivor_count + 1;
  if (count > SIZE_MAX / sizeof *result->members) return error_no_memory();
  label_order_init(&grouping->order, grouping->graph);
  result->members = large_alloc(count, sizeof *result->members);
  result->cause_of = large_alloc(count, sizeof *result->cause_of);
  result->held_by = large_alloc(count, sizeof *result->held_by);
  if (!result->members || !result->cause_of || !result->held_by ||
      !tiers_init(&grouping->tiers, grouping->graph, grouping->options))
    return error_no_memory();
  return survivor_tree_init(&grouping->tree, grouping->graph, grouping->chains, grouping->options,
                            grouping->survivors, grouping->survivor_count, grouping->work);
}

static struct inspect_error *group(struct grouping *grouping) {
  TRY(allocate(grouping));
  TRY(assign(grouping));
  if (!list_members(grouping)) return error_no_memory();
  return describe_all(grouping);
}

struct inspect_error *causes_find(const struct graph *graph, const struct chains *chains,
                                  const struct chains_options *options, const object_id *survivors,
                                  size_t survivor_count, const struct work *work,
                                  struct causes *result) {
  struct grouping grouping = {.graph = graph,
                              .chains = chains,
                              .options = options,
                              .survivors = survivors,
                              .survivor_count = survivor_count,
                              .work = work,
                              .result = result};
  *result = (struct causes){.survivor_count = survivor_count};
  arena_init(&result->arena);
  struct inspect_error *error = group(&grouping);
  survivor_tree_free(&grouping.tree);
  tiers_free(&grouping.tiers);
  label_order_free(&grouping.order);
  number_map_free(&grouping.cause_of_pattern);
  vector_free(&grouping.patterns);
  if (error) causes_free(result);
  return error;
}

struct inspect_error *causes_group(const struct graph *graph, const struct chains *chains,
                                   const struct chains_options *options,
                                   const struct dominators *dominators, const object_id *survivors,
                                   size_t survivor_count, const struct work *work,
                                   struct causes *result) {
  TRY(causes_find(graph, chains, options, survivors, survivor_count, work, result));
  const struct bitset *set = options ? options->survivors : NULL;
  struct inspect_error *error = causes_judge(graph, dominators, set, result, 1, work);
  if (error) causes_free(result);
  return error;
}

void causes_free(struct causes *causes) {
  for (size_t i = 0; i < causes->count; i++)
    vector_free(&causes->items[i].chain);
  vector_free(causes);
  free(causes->members);
  free(causes->cause_of);
  free(causes->held_by);
  arena_free(&causes->arena);
  *causes = (struct causes){0};
}
