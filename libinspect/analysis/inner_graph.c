/* inner_graph.c - one pass over the rows of inner objects, by ranges of objects.
 *
 * There is room for all references in edge[]; each range writes where its references would lie, and
 * what is not used is never touched. If that room is larger than positions of 32 bits reach, one
 * thread writes the edges without gaps. */
#include "analysis/inner_graph.h"

#include <stdlib.h>

#include "base/large.h"
#include "base/parallel.h"

enum { WORDS_AT_ONCE = 1 << 8 };

struct listing {
  struct inner_graph *inner;
  struct layers *layers;
  const struct work *work;
  size_t parts;
  bool is_stopped, is_full; /* shared */
};

/* The node being written. */
struct row {
  uint64_t first, count; /* of edges */
  uint32_t targets[2];
};

static bool rank(struct inner_graph *inner) {
  size_t words = (size_t)(inner->inner->size / 64 + 1);
  inner->before = malloc(words * sizeof *inner->before);
  if (!inner->before) return false;
  for (size_t i = 0; i < words; i++) {
    inner->before[i] = inner->count;
    inner->count += (uint32_t)__builtin_popcountll(inner->inner->words[i]);
  }
  return true;
}

static inline void add(struct inner_graph *inner, struct row *row, inner_id target) {
  if (row->count < 2) {
    if (row->count && row->targets[row->count - 1] == target) return;
    row->targets[row->count++] = target;
    return;
  }
  inner_id *edge = inner->edge + row->first;
  if (row->count == 2) {
    edge[0] = row->targets[0];
    edge[1] = row->targets[1];
  }
  if (edge[row->count - 1] != target) edge[row->count++] = target;
}

/* Writes the node of an object; returns how many edges it took. */
static inline uint64_t write_node(struct listing *listing, object_id object, inner_id node,
                                  uint64_t first) {
  struct inner_graph *inner = listing->inner;
  struct layers *layers = listing->layers;
  const struct holding *holding = layers->holding;
  struct row row = {.first = first, .targets = {NO_INNER, NO_INNER}};
  struct held held = held_begin(holding, object);
  inner->object[node] = object;
  for (object_id target; held_next(holding, &held, &target);) {
    if (bitset_has(inner->inner, target))
      add(inner, &row, inner_node(inner, target));
    else if (bitset_has(&layers->twigs, target))
      layers_hold(layers, target, object);
  }
  if (row.count <= 2) {
    inner->nodes[node] = (struct inner_node){row.targets[0], row.targets[1]};
    return 0;
  }
  uint64_t bit = UINT64_C(1) << (node & 63);
  __atomic_fetch_or(&inner->is_long.words[node >> 6], bit, __ATOMIC_RELAXED);
  inner->nodes[node] = (struct inner_node){(uint32_t)first, (uint32_t)(first + row.count)};
  return row.count;
}

static bool stops(struct listing *listing, size_t part, uint64_t done, uint64_t total) {
  if (part == 0 && work_stops(listing->work, "dominators", total + done, 4 * total))
    __atomic_store_n(&listing->is_stopped, true, __ATOMIC_RELAXED);
  return __atomic_load_n(&listing->is_stopped, __ATOMIC_RELAXED);
}

static void list_rows(void *context, size_t part) {
  struct listing *listing = context;
  struct inner_graph *inner = listing->inner;
  const struct holding *holding = listing->layers->holding;
  uint64_t words = inner->inner->size / 64 + 1;
  uint64_t begin = words * part / listing->parts, end = words * (part + 1) / listing->parts;
  if (begin == end) return;
  uint64_t first = 0;
  if (part) first = graph_first(holding->graph, begin * 64);
  if (part && holding->values)
    first += holding->first[holding_key_rank(holding, (object_id)(begin * 64))];
  inner_id node = inner->before[begin];
  for (uint64_t word = begin; word < end; word++) {
    if (word % WORDS_AT_ONCE == 0 && stops(listing, part, word - begin, end - begin)) return;
    for (uint64_t bits = inner->inner->words[word]; bits; bits &= bits - 1) {
      object_id object = (object_id)(word * 64 + (unsigned)__builtin_ctzll(bits));
      first += write_node(listing, object, node++, first);
      if (first >= UINT32_MAX) {
        __atomic_store_n(&listing->is_full, true, __ATOMIC_RELAXED);
        return;
      }
    }
  }
}

static uint64_t most_edges(const struct holding *holding) {
  const struct graph *graph = holding->graph;
  uint64_t most = graph->reference_count;
  if (holding->values) most += holding->first[holding_key_rank(holding, graph->object_count)];
  return most;
}

static struct inspect_error *allocate(struct inner_graph *inner, uint64_t edges) {
  size_t count = (size_t)inner->count + 1;
  if (edges < SIZE_MAX) inner->edge = large_alloc((size_t)edges + 1, sizeof *inner->edge);
  inner->nodes = large_alloc(count, sizeof *inner->nodes);
  inner->object = large_alloc(count, sizeof *inner->object);
  bool fits =
      inner->edge && inner->nodes && inner->object && bitset_init(&inner->is_long, inner->count);
  return fits ? NULL : error_no_memory();
}

struct inspect_error *inner_graph_init(struct inner_graph *inner, struct layers *layers,
                                       const struct work *work) {
  *inner = (struct inner_graph){.inner = &layers->inner};
  uint64_t edges = most_edges(layers->holding);
  if (!rank(inner)) return error_no_memory();
  TRY(allocate(inner, edges));
  struct listing listing = {.inner = inner,
                            .layers = layers,
                            .work = work,
                            .parts = edges < UINT32_MAX ? work_threads(work) : 1};
  parallel_run(listing.parts, list_rows, &listing);
  if (listing.is_stopped) return error_interrupted();
  if (listing.is_full)
    return error_create(INSPECT_ERROR_UNSUPPORTED, NULL, "too many references for dominators");
  return NULL;
}

void inner_graph_free(struct inner_graph *inner) {
  free(inner->before);
  free(inner->object);
  free(inner->nodes);
  free(inner->edge);
  bitset_free(&inner->is_long);
  *inner = (struct inner_graph){0};
}
