/* places.c - where in the heap objects are. See places.h.
 *
 * The place of an object is that of the object before it on its best chain, and one token. So
 * chains are walked up to the first object whose place is known, and back: each object once. */
#include "analysis/places.h"

#include <string.h>

#include "analysis/kinship.h"

enum { CHECK_EVERY = 1 << 14 };

/* What is known of the keys of a table. */
enum keys { KEYS_NOT_COUNTED, KEYS_ARE_NAMES, KEYS_ARE_DATA };

struct placing {
  struct places *places;
  const struct graph *graph;
  const struct chains *chains;
  const struct bitset *named;
  object_id first;
  uint32_t count;
  uint32_t *of;  /* place of object first + i, plus 1; 0: not known yet */
  uint8_t *keys; /* of table first + i: enum keys                       */
  struct walk VECTOR(object_id) walk;
};

/* ---- Places -----------------------------------------------------------------------------------
 */

/* Makes room for the pattern; its parent has been seen before. */
static bool add_place(struct places *places, uint32_t pattern) {
  while (places->items.count <= pattern) {
    uint32_t number = (uint32_t)places->items.count;
    const struct pattern_node *node = &places->patterns.nodes.items[number];
    const struct pattern_token *token = &places->patterns.tokens.items[node->token];
    uint64_t hash = patterns_hash(token->text, token->size);
    if (node->parent != NO_NUMBER) hash = kinship_mix(places->items.items[node->parent].hash, hash);
    struct place place = {.parent = node->parent, .hash = hash, .example = NO_OBJECT};
    if (!vector_push(&places->items, place)) return false;
  }
  return true;
}

static bool has_names(struct placing *placing, object_id table) {
  const struct graph *graph = placing->graph;
  uint8_t *keys = &placing->keys[table - placing->first];
  if (*keys != KEYS_NOT_COUNTED) return *keys == KEYS_ARE_NAMES;
  reference_id end = graph_first(graph, (uint64_t)table + 1);
  unsigned count = 0;
  for (reference_id i = graph_first(graph, table); i < end && count <= MOST_FIELDS; i++)
    count += graph->kind[i] == REFERENCE_KEY && graph->type[graph->target[i]] == OBJECT_STRING;
  bool is_small = count <= MOST_FIELDS || bitset_has(placing->named, table);
  *keys = is_small ? KEYS_ARE_NAMES : KEYS_ARE_DATA;
  return is_small;
}

/* The token of the reference from an object's holder; NO_NUMBER: out of memory. */
static uint32_t token_of(struct placing *placing, object_id from, reference_id reference) {
  struct patterns *patterns = &placing->places->patterns;
  uint8_t kind = placing->graph->kind[reference];
  if (kind == REFERENCE_INDEX || (kind == REFERENCE_FIELD && !has_names(placing, from)))
    return patterns_word(patterns, "[*]");
  return patterns_token(patterns, from, reference);
}

static bool is_placed(const struct placing *placing, object_id object) {
  return placing->of[object - placing->first] != 0;
}

/* Objects of other VMs are on no chain of this one. */
static bool is_here(const struct placing *placing, object_id object) {
  return object - placing->first < placing->count;
}

static bool place_start(struct placing *placing, object_id object) {
  const struct graph_root *root = &placing->graph->roots[placing->chains->via[object]];
  uint32_t pattern = patterns_start(&placing->places->patterns, root);
  if (pattern == NO_NUMBER || !add_place(placing->places, pattern)) return false;
  placing->of[object - placing->first] = pattern + 1;
  return true;
}

static bool place_next(struct placing *placing, object_id object) {
  struct places *places = placing->places;
  object_id holder = placing->chains->parent[object];
  reference_id reference = chains_reference(placing->graph, placing->chains, object);
  uint32_t token = token_of(placing, holder, reference);
  if (token == NO_NUMBER) return false;
  uint32_t above = placing->of[holder - placing->first] - 1;
  uint32_t pattern = patterns_extend(&places->patterns, above, token);
  if (pattern == NO_NUMBER || !add_place(places, pattern)) return false;
  placing->of[object - placing->first] = pattern + 1;
  return true;
}

/* Places a settled object and what is before it on its chain. */
static bool place_object(struct placing *placing, object_id object) {
  placing->walk.count = 0;
  while (!is_placed(placing, object)) {
    object_id holder = placing->chains->parent[object];
    if (holder == NO_OBJECT || !is_here(placing, holder)) {
      if (holder != NO_OBJECT || !place_start(placing, object)) return holder != NO_OBJECT;
      break;
    }
    if (!vector_push(&placing->walk, object)) return false;
    object = holder;
  }
  while (placing->walk.count)
    if (!place_next(placing, placing->walk.items[--placing->walk.count])) return false;
  return true;
}

/* ---- Counting ---------------------------------------------------------------------------------
 */

/* The class that more than half have wins the vote; if there is none, one that is frequent. */
static void count(struct placing *placing, object_id object, uint32_t class) {
  const struct graph *graph = placing->graph;
  struct place *place = &placing->places->items.items[placing->of[object - placing->first] - 1];
  const struct graph_label_source *labels = &graph->labels;
  place->objects++;
  place->bytes += graph_bytes(graph, object);
  if (!place->votes) place->class = class;
  if (place->class == class)
    place->votes++;
  else
    place->votes--;
  if (place->example == NO_OBJECT ||
      labels->address(labels->context, object) < labels->address(labels->context, place->example))
    place->example = object;
}

static struct inspect_error *add_all(struct placing *placing, const struct bitset *live,
                                     const uint32_t *class_of, const struct work *work) {
  for (uint32_t i = 0; i < placing->count; i++) {
    object_id object = placing->first + i;
    if (i % CHECK_EVERY == 0 && work_stops(work, "places", i, placing->count))
      return error_interrupted();
    if (!bitset_has(live, object)) continue;
    if (!bitset_has(&placing->chains->settled, object)) {
      placing->places->unplaced++;
      continue;
    }
    if (!place_object(placing, object)) return error_no_memory();
    if (is_placed(placing, object)) count(placing, object, class_of[object]);
  }
  return NULL;
}

struct inspect_error *places_add(struct places *places, const struct graph *graph,
                                 const struct chains *chains, const struct bitset *live,
                                 const uint32_t *class_of, const struct bitset *named,
                                 object_id first, uint32_t size, const struct work *work) {
  struct placing placing = {.places = places,
                            .graph = graph,
                            .chains = chains,
                            .named = named,
                            .first = first,
                            .count = size};
  placing.of = calloc((size_t)size + 1, sizeof *placing.of);
  placing.keys = calloc((size_t)size + 1, 1);
  struct inspect_error *error =
      placing.of && placing.keys ? add_all(&placing, live, class_of, work) : error_no_memory();
  free(placing.of);
  free(placing.keys);
  vector_free(&placing.walk);
  return error;
}

void places_sum(struct places *places) {
  for (size_t i = places->items.count; i-- > 0;) {
    const struct place *place = &places->items.items[i];
    if (place->parent != NO_NUMBER) places->items.items[place->parent].bytes += place->bytes;
  }
}

void places_init(struct places *places, const struct graph *graph) {
  *places = (struct places){0};
  patterns_init(&places->patterns, graph);
}

void places_free(struct places *places) {
  patterns_free(&places->patterns);
  vector_free(&places->items);
}
