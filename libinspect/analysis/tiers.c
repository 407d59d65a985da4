/* tiers.c - the tables behind tiers.h. */
#include "analysis/tiers.h"

#include <string.h>

static const uint8_t plain[REFERENCE_KIND_COUNT] = {
    [REFERENCE_UPVALUE] = 1,  [REFERENCE_UPVALUE_VALUE] = 1, [REFERENCE_KEY] = 2,
    [REFERENCE_CONSTANT] = 2, [REFERENCE_PROTOTYPE] = 2,     [REFERENCE_DEBUG] = 2,
    [REFERENCE_STACK] = 3,    [REFERENCE_OPEN_UPVALUE] = 3,  [REFERENCE_MAYBE_STACK] = 4,
};

/* A thread that is no coroutine waiting to be resumed: main or running. */
static const uint8_t active_thread[REFERENCE_KIND_COUNT] = {
    [REFERENCE_UPVALUE] = 1,  [REFERENCE_UPVALUE_VALUE] = 1, [REFERENCE_KEY] = 2,
    [REFERENCE_CONSTANT] = 2, [REFERENCE_PROTOTYPE] = 2,     [REFERENCE_DEBUG] = 2,
    [REFERENCE_STACK] = 4,    [REFERENCE_OPEN_UPVALUE] = 4,  [REFERENCE_MAYBE_STACK] = 4,
};

static const uint8_t survivor[REFERENCE_KIND_COUNT] = {5, 5, 5, 5, 5, 5, 5, 5,
                                                       5, 5, 5, 5, 5, 5, 5, 5};

static const struct {
  uint8_t tier, rank;
} roots[] = {
    [ROOT_GLOBALS] = {0, 0},         [ROOT_LOADED] = {0, 1},  [ROOT_REGISTRY] = {2, 2},
    [ROOT_BASIC_METATABLE] = {2, 3}, [ROOT_PENDING] = {2, 4}, [ROOT_RUNNING_THREAD] = {4, 5},
    [ROOT_MAIN_THREAD] = {4, 6},
};

static bool is_active_thread(const struct graph_root *root) {
  return root->kind == ROOT_MAIN_THREAD || root->kind == ROOT_RUNNING_THREAD;
}

static int compare_ids(const void *a, const void *b) {
  object_id x = *(const object_id *)a, y = *(const object_id *)b;
  return (x > y) - (x < y);
}

bool tiers_init(struct tiers *tiers, const struct graph *graph,
                const struct chains_options *options) {
  static const struct chains_options no_options;
  *tiers = (struct tiers){.graph = graph, .options = options ? options : &no_options};
  size_t count = 0;
  for (size_t i = 0; i < graph->root_count; i++)
    count += is_active_thread(&graph->roots[i]);
  tiers->stacks = malloc((count + 1) * sizeof *tiers->stacks);
  if (!tiers->stacks) return false;
  for (size_t i = 0; i < graph->root_count; i++)
    if (is_active_thread(&graph->roots[i]))
      tiers->stacks[tiers->stack_count++] = graph->roots[i].object;
  qsort(tiers->stacks, tiers->stack_count, sizeof *tiers->stacks, compare_ids);
  return true;
}

void tiers_free(struct tiers *tiers) {
  free(tiers->stacks);
  tiers->stacks = NULL;
}

const uint8_t *tiers_row(const struct tiers *tiers, object_id object) {
  if (tiers_is_survivor(tiers, object)) return survivor;
  if (tiers->graph->type[object] == OBJECT_THREAD && tiers->stack_count &&
      bsearch(&object, tiers->stacks, tiers->stack_count, sizeof object, compare_ids))
    return active_thread;
  return plain;
}

static int compare_starts(const void *a, const void *b) {
  const struct tiers_start *x = a, *y = b;
  if (x->tier != y->tier) return x->tier < y->tier ? -1 : 1;
  if (x->rank != y->rank) return x->rank < y->rank ? -1 : 1;
  return (x->position > y->position) - (x->position < y->position);
}

int tiers_compare_starts(const struct tiers *tiers, uint32_t a, uint32_t b) {
  if (!tiers->options->from) {
    uint8_t x = roots[tiers->graph->roots[a].kind].rank;
    uint8_t y = roots[tiers->graph->roots[b].kind].rank;
    if (x != y) return x < y ? -1 : 1;
  }
  return (a > b) - (a < b);
}

struct tiers_start *tiers_starts(const struct tiers *tiers, size_t *count) {
  const object_id *from = tiers->options->from;
  size_t all = from ? tiers->options->from_count : tiers->graph->root_count;
  if (all > UINT32_MAX - 1) all = UINT32_MAX - 1;
  struct tiers_start *starts = calloc(all + 1, sizeof *starts);
  if (!starts) return NULL;
  *count = 0;
  for (size_t i = 0; i < all; i++) {
    struct tiers_start start = {.position = (uint32_t)i};
    if (from) {
      start.object = from[i];
    } else {
      const struct graph_root *root = &tiers->graph->roots[i];
      start.object = root->object;
      start.tier = roots[root->kind].tier;
      start.rank = roots[root->kind].rank;
    }
    if (start.object < tiers->graph->object_count && tiers_enters(tiers, start.object))
      starts[(*count)++] = start;
  }
  qsort(starts, *count, sizeof *starts, compare_starts);
  return starts;
}
