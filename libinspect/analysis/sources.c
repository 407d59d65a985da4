/* sources.c - transposes by counting: one pass over all rows counts the references to each object,
 * a second one enters them. */
#include "analysis/sources.h"

#include <string.h>

enum { WORK_STEPS = 1 << 14 };

struct transposition {
  struct sources *sources;
  const struct tiers *tiers;
  const struct chains *chains;
  object_id object;
  const struct work *work;
};

uint8_t sources_tier(const struct tiers *tiers, const struct chains *chains, object_id from,
                     reference_id reference) {
  const struct graph *graph = tiers->graph;
  enum reference_use use = tiers_use(tiers, graph->flags[from], reference);
  if (use == USE_NEVER) return TIER_COUNT;
  uint8_t tier = tiers_row(tiers, from)[graph->kind[reference]];
  if (use == USE_ALWAYS) return tier;
  object_id key = graph->target[reference - 1];
  if (graph->type[key] == OBJECT_STRING) return tier;
  if (!bitset_has(&chains->settled, key)) return TIER_COUNT;
  if (tiers_is_survivor(tiers, key)) return TIER_SURVIVORS;
  return chains->tier[key] > tier ? chains->tier[key] : tier;
}

/* The tier of a reference that belongs into the graph, TIER_COUNT for others. */
static uint8_t source_tier(const struct transposition *transposition, object_id from,
                           reference_id reference) {
  const struct graph *graph = transposition->tiers->graph;
  object_id target = graph->target[reference];
  if (graph->type[target] == OBJECT_STRING && target != transposition->object) return TIER_COUNT;
  if (!bitset_has(&transposition->chains->settled, target)) return TIER_COUNT;
  return sources_tier(transposition->tiers, transposition->chains, from, reference);
}

/* Counts the sources of every object in first[], or enters them there and moves first[] on. */
static struct inspect_error *pass(const struct transposition *transposition, bool enter) {
  const struct graph *graph = transposition->tiers->graph;
  struct sources *sources = transposition->sources;
  for (object_id from = 0; from < graph->object_count; from++) {
    if (from % WORK_STEPS == 0 &&
        work_stops(transposition->work, "chains", from, graph->object_count))
      return error_interrupted();
    if (!bitset_has(&transposition->chains->settled, from)) continue;
    reference_id end = graph_first(graph, (uint64_t)from + 1);
    for (reference_id i = graph_first(graph, from); i < end; i++) {
      uint8_t tier = source_tier(transposition, from, i);
      if (tier == TIER_COUNT) continue;
      sources->tiers |= 1U << tier;
      uint64_t position = sources->first[graph->target[i]]++;
      if (!enter) continue;
      sources->low[position] = (uint32_t)i;
      if (sources->high) sources->high[position] = (uint8_t)(i >> 32);
    }
  }
  return NULL;
}

static struct inspect_error *transpose(const struct transposition *transposition) {
  const struct graph *graph = transposition->tiers->graph;
  struct sources *sources = transposition->sources;
  uint32_t objects = graph->object_count;
  uint64_t total = 0;
  sources->first = calloc((size_t)objects + 1, sizeof *sources->first);
  if (!sources->first) return error_no_memory();
  TRY(pass(transposition, false));
  for (object_id i = 0; i < objects; i++) {
    uint64_t count = sources->first[i];
    sources->first[i] = total;
    total += count;
  }
  bool is_large = graph->reference_count > UINT32_MAX;
  sources->low = malloc(((size_t)total + 1) * sizeof *sources->low);
  sources->high = is_large ? malloc((size_t)total + 1) : NULL;
  if (!sources->low || (is_large && !sources->high)) return error_no_memory();
  TRY(pass(transposition, true));
  /* every entry now is the end of its range, which is the beginning of the next one */
  memmove(sources->first + 1, sources->first, (size_t)objects * sizeof *sources->first);
  sources->first[0] = 0;
  return NULL;
}

struct inspect_error *sources_init(struct sources *sources, const struct tiers *tiers,
                                   const struct chains *chains, object_id object,
                                   const struct work *work) {
  struct transposition transposition = {
      .sources = sources, .tiers = tiers, .chains = chains, .object = object, .work = work};
  *sources = (struct sources){0};
  struct inspect_error *error = transpose(&transposition);
  if (error) sources_free(sources);
  return error;
}

void sources_free(struct sources *sources) {
  free(sources->first);
  free(sources->low);
  free(sources->high);
  *sources = (struct sources){0};
}
