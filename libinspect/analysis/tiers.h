/* tiers.h - how well each reference and each root is liked: the rules behind the tiers of chains.h.
 *
 * Every reference has the tier that a chain needs to use it, given by its kind, with two exceptions
 * that depend on the holder: the stacks of main and running threads, and survivors, which a chain
 * leaves only in the last tier. The value of an ephemeron entry whose key is a survivor is kept by
 * that survivor, so it needs the last tier too. */
#ifndef ANALYSIS_TIERS_H
#define ANALYSIS_TIERS_H

#include "analysis/chains.h"

enum { TIER_SURVIVORS = 5, TIER_COUNT = 6 };

/* How a reference is used by chains. */
enum reference_use {
  USE_NEVER,     /* weak, or masked                                       */
  USE_ALWAYS,    /* strong                                                */
  USE_EPHEMERON, /* once its key, target[reference - 1], is settled as well */
};

struct tiers {
  const struct graph *graph;
  const struct chains_options *options;
  object_id *stacks; /* threads whose stacks are tier 4, sorted */
  size_t stack_count;
};

/* A place where chains begin: an object and its position in graph->roots or options->from. */
struct tiers_start {
  object_id object;
  uint32_t position;
  uint8_t tier;
  uint8_t rank; /* among roots of one tier: the lower is preferred */
};

/* `graph` and `options` must outlive it. False: out of memory. */
bool tiers_init(struct tiers *tiers, const struct graph *graph,
                const struct chains_options *options);
void tiers_free(struct tiers *tiers);

/* The starts, best first; barred and avoided ones are left out. free() them. NULL: out of memory.
 */
struct tiers_start *tiers_starts(const struct tiers *tiers, size_t *count);

/* Preference among the roots of one object: by kind, then by position. */
int tiers_compare_starts(const struct tiers *tiers, uint32_t a, uint32_t b);

/* The tier of every kind of reference in the row of an object. */
const uint8_t *tiers_row(const struct tiers *tiers, object_id object);

static inline bool tiers_is_survivor(const struct tiers *tiers, object_id object) {
  return tiers->options->survivors && bitset_has(tiers->options->survivors, object);
}

/* Whether chains may go to the object at all. Strings hold nothing, so only wanted ones count. */
static inline bool tiers_enters(const struct tiers *tiers, object_id object) {
  const struct chains_options *options = tiers->options;
  if (options->barred && bitset_has(options->barred, object)) return false;
  if (tiers->graph->type[object] == OBJECT_STRING && options->targets &&
      !bitset_has(options->targets, object))
    return false;
  return mask_enters(options->mask, object);
}

static inline enum reference_use tiers_use(const struct tiers *tiers, uint8_t flags,
                                           reference_id reference) {
  uint8_t kind = tiers->graph->kind[reference];
  if (!mask_follows(tiers->options->mask, kind, reference)) return USE_NEVER;
  if (graph_is_strong(flags, kind)) return USE_ALWAYS;
  return graph_is_ephemeron_value(flags, kind) ? USE_EPHEMERON : USE_NEVER;
}

#endif
