/* survivor_tree.c - marks the objects on the chains, makes the token of each one's reference, then
 * the patterns from the roots down.
 *
 * Most tokens are known without a look at the target; the labels of the others are read in the
 * order of references, so that those of one object are in row order. Holders never form a cycle: a
 * chain and an entry's key are settled before what they lead to. */
#include "analysis/survivor_tree.h"

#include <string.h>

#include "base/large.h"
#include "base/radix.h"

enum { WORK_STEPS = 1 << 14, LOOK_AHEAD = 16 };

struct objects VECTOR(object_id);

static bool is_survivor(const struct survivor_tree *tree, object_id object) {
  const struct bitset *survivors = tree->options ? tree->options->survivors : NULL;
  return survivors && bitset_has(survivors, object);
}

/* The survivor that keeps an object by being the key of the entry it was reached over. */
static object_id survivor_key(const struct survivor_tree *tree, object_id object) {
  const struct graph *graph = tree->graph;
  object_id parent = tree->chains->parent[object];
  if (parent == NO_OBJECT || !(graph->flags[parent] & OBJECT_WEAK_KEYS)) return NO_OBJECT;
  reference_id reference = chains_reference(graph, tree->chains, object);
  if (!graph_is_ephemeron_value(graph->flags[parent], graph->kind[reference])) return NO_OBJECT;
  object_id key = graph->target[reference - 1];
  return key != object && is_survivor(tree, key) && bitset_has(&tree->chains->settled, key)
             ? key
             : NO_OBJECT;
}

/* Adds the objects of the chains, and of those of keys. */
static struct inspect_error *mark(struct survivor_tree *tree, const object_id *survivors,
                                  size_t count, const struct work *work) {
  struct objects keys = {0};
  struct inspect_error *error = NULL;
  for (size_t i = 0; !error && (i < count || keys.count);) {
    if (i + LOOK_AHEAD < count) {
      object_id ahead = survivors[i + LOOK_AHEAD];
      if (bitset_has(&tree->chains->settled, ahead))
        __builtin_prefetch(&tree->graph->flags[tree->chains->parent[ahead]]);
    }
    object_id object = keys.count ? keys.items[--keys.count] : survivors[i++];
    if (i % WORK_STEPS == 0 && work_stops(work, "causes", i, 4 * count))
      error = error_interrupted();
    if (!bitset_has(&tree->chains->settled, object)) continue;
    for (; object != NO_OBJECT && bitset_insert(&tree->objects, object);
         object = tree->chains->parent[object]) {
      object_id key = survivor_key(tree, object);
      if (key != NO_OBJECT && !vector_push(&keys, key)) error = error_no_memory();
    }
  }
  vector_free(&keys);
  return error;
}

static struct inspect_error *number(struct survivor_tree *tree) {
  size_t words = (size_t)(tree->objects.size / 64 + 1);
  tree->before = malloc(words * sizeof *tree->before);
  if (!tree->before) return error_no_memory();
  for (size_t i = 0; i < words; i++) {
    tree->before[i] = tree->count;
    tree->count += (uint32_t)__builtin_popcountll(tree->objects.words[i]);
  }
  tree->nodes = large_alloc((size_t)tree->count + 1, sizeof *tree->nodes);
  if (!tree->nodes) return error_no_memory();
  memset(tree->nodes, 0xff, (size_t)tree->count * sizeof *tree->nodes);
  return NULL;
}

/* ---- Tokens -----------------------------------------------------------------------------------
 */

/* A reference of the tree, and the object that it leads to. */
struct step {
  object_id object, parent;
  reference_id reference;
};

/* What has to be read from the target, by reference. */
struct reading VECTOR(struct radix_item);

/* Whether the reference leads to an element of a table's array. Each table is asked for once. */
static bool is_element(const struct survivor_tree *tree, const struct step *step) {
  const struct graph *graph = tree->graph;
  if (graph->kind[step->reference] != REFERENCE_INDEX || !graph->labels.elements) return false;
  struct survivor_node *above = survivor_tree_node(tree, step->parent);
  reference_id first = graph_first(graph, step->parent);
  if (above->elements_end == NO_NUMBER) {
    uint64_t count = graph->labels.elements(graph->labels.context, step->parent);
    uint64_t end = count ? count + (graph->kind[first] == REFERENCE_METATABLE) : 0;
    above->elements_end = end < NO_NUMBER ? (uint32_t)end : 0;
  }
  return step->reference - first < above->elements_end;
}

/* The token of one reference, or a place in the list of those to be read. False: out of memory. */
static bool make_token(struct survivor_tree *tree, const struct step *step, uint32_t element,
                       struct reading *reading) {
  struct survivor_node *node = survivor_tree_node(tree, step->object);
  node->holder = survivor_key(tree, step->object);
  if (is_element(tree, step)) {
    node->token = element;
    return true;
  }
  if (patterns_reads(&tree->patterns, step->parent, step->reference))
    return vector_push(reading,
                       ((struct radix_item){.high = step->reference, .value = step->object}));
  node->token = patterns_token(&tree->patterns, step->parent, step->reference);
  return node->token != NO_NUMBER;
}

/* The tokens of some references, whose objects are far apart in memory: fetched in two stages. */
static bool make_some(struct survivor_tree *tree, struct step *steps, size_t count,
                      uint32_t element, struct reading *reading) {
  const struct graph *graph = tree->graph;
  for (size_t i = 0; i < count; i++) {
    object_id parent = steps[i].parent;
    __builtin_prefetch(&graph->first[parent]);
    __builtin_prefetch(&graph->flags[parent]);
    __builtin_prefetch(&graph->type[parent]);
    __builtin_prefetch(survivor_tree_node(tree, parent));
  }
  for (size_t i = 0; i < count; i++) {
    reference_id first = graph_first(graph, steps[i].parent);
    steps[i].reference = first + tree->chains->via[steps[i].object];
    __builtin_prefetch(&graph->kind[steps[i].reference]);
    __builtin_prefetch(&graph->target[steps[i].reference]);
    __builtin_prefetch(&graph->kind[first]);
  }
  for (size_t i = 0; i < count; i++)
    if (!make_token(tree, &steps[i], element, reading)) return false;
  return true;
}

static struct inspect_error *make_tokens_unread(struct survivor_tree *tree, struct reading *reading,
                                                const struct work *work) {
  enum { AT_ONCE = 256 };
  struct step steps[AT_ONCE];
  size_t count = 0, words = (size_t)(tree->objects.size / 64 + 1);
  uint32_t element = patterns_word(&tree->patterns, "[*]");
  if (element == NO_NUMBER) return error_no_memory();
  for (size_t word = 0; word < words; word++) {
    if (word % WORK_STEPS == 0 && work_stops(work, "causes", words + word, 4 * words))
      return error_interrupted();
    for (uint64_t bits = tree->objects.words[word]; bits; bits &= bits - 1) {
      object_id object = (object_id)(word * 64 + (unsigned)__builtin_ctzll(bits));
      object_id parent = tree->chains->parent[object];
      if (parent != NO_OBJECT) steps[count++] = (struct step){.object = object, .parent = parent};
    }
    if (count <= AT_ONCE - 64 && word + 1 < words) continue;
    if (!make_some(tree, steps, count, element, reading)) return error_no_memory();
    count = 0;
  }
  return NULL;
}

static struct inspect_error *make_tokens(struct survivor_tree *tree, const struct work *work) {
  struct reading reading = {0};
  struct inspect_error *error = make_tokens_unread(tree, &reading, work);
  if (!error) error = radix_sort_watched(reading.items, reading.count, work, "causes");
  for (size_t i = 0; !error && i < reading.count; i++) {
    object_id object = reading.items[i].value;
    uint32_t token =
        patterns_token(&tree->patterns, tree->chains->parent[object], reading.items[i].high);
    survivor_tree_node(tree, object)->token = token;
    if (token == NO_NUMBER)
      error = error_no_memory();
    else if (i % WORK_STEPS == 0 &&
             work_stops(work, "causes", reading.count + i, 2 * reading.count))
      error = error_interrupted();
  }
  vector_free(&reading);
  return error;
}

/* ---- Patterns ---------------------------------------------------------------------------------
 */

static bool start(struct survivor_tree *tree, object_id object) {
  bool by_hand = tree->options && tree->options->from;
  const struct graph_root *root = by_hand ? NULL : &tree->graph->roots[tree->chains->via[object]];
  struct survivor_node *node = survivor_tree_node(tree, object);
  node->pattern = patterns_start(&tree->patterns, root);
  node->depth = 0;
  return node->pattern != NO_NUMBER;
}

static bool extend(struct survivor_tree *tree, object_id object) {
  object_id parent = tree->chains->parent[object];
  if (parent == NO_OBJECT) return start(tree, object);
  struct survivor_node *node = survivor_tree_node(tree, object);
  const struct survivor_node *above = survivor_tree_node(tree, parent);
  node->depth = above->depth + 1;
  if (is_survivor(tree, parent))
    node->holder = parent;
  else if (node->holder == NO_OBJECT) /* no key holds it */
    node->holder = above->holder;
  node->pattern = patterns_extend(&tree->patterns, above->pattern, node->token);
  return node->pattern != NO_NUMBER;
}

/* Each object's pattern once its parent has one. */
static struct inspect_error *make_patterns(struct survivor_tree *tree, const struct work *work) {
  struct objects path = {0};
  bool ok = true;
  for (size_t word = 0; ok && word < tree->objects.size / 64 + 1; word++) {
    if (word % WORK_STEPS == 0 && work_stops(work, "causes", 1, 2)) {
      vector_free(&path);
      return error_interrupted();
    }
    for (uint64_t bits = tree->objects.words[word]; bits; bits &= bits - 1) {
      object_id parent = tree->chains->parent[word * 64 + (unsigned)__builtin_ctzll(bits)];
      if (parent != NO_OBJECT) __builtin_prefetch(survivor_tree_node(tree, parent));
    }
    for (uint64_t bits = tree->objects.words[word]; ok && bits; bits &= bits - 1) {
      object_id object = (object_id)(word * 64 + (unsigned)__builtin_ctzll(bits));
      for (; ok && object != NO_OBJECT && survivor_tree_node(tree, object)->pattern == NO_NUMBER;
           object = tree->chains->parent[object])
        ok = vector_push(&path, object);
      while (ok && path.count)
        ok = extend(tree, path.items[--path.count]);
    }
  }
  vector_free(&path);
  return ok ? NULL : error_no_memory();
}

object_id survivor_tree_top(struct survivor_tree *tree, object_id survivor) {
  object_id top = survivor;
  struct survivor_node *node = survivor_tree_node(tree, top);
  for (; node->top == NO_OBJECT && node->holder != NO_OBJECT; node = survivor_tree_node(tree, top))
    top = node->holder;
  if (node->top != NO_OBJECT) top = node->top;
  while (survivor != top) { /* let all on the way know */
    node = survivor_tree_node(tree, survivor);
    if (node->top != NO_OBJECT) break;
    node->top = top;
    survivor = node->holder;
  }
  return top;
}

struct inspect_error *survivor_tree_init(struct survivor_tree *tree, const struct graph *graph,
                                         const struct chains *chains,
                                         const struct chains_options *options,
                                         const object_id *survivors, size_t count,
                                         const struct work *work) {
  *tree = (struct survivor_tree){.graph = graph, .chains = chains, .options = options};
  patterns_init(&tree->patterns, graph);
  struct inspect_error *error = NULL;
  if (!bitset_init(&tree->objects, graph->object_count)) error = error_no_memory();
  if (!error) error = mark(tree, survivors, count, work);
  if (!error) error = number(tree);
  if (!error) error = make_tokens(tree, work);
  if (!error) error = make_patterns(tree, work);
  if (error) survivor_tree_free(tree);
  return error;
}

void survivor_tree_free(struct survivor_tree *tree) {
  patterns_free(&tree->patterns);
  bitset_free(&tree->objects);
  free(tree->before);
  free(tree->nodes);
  *tree = (struct survivor_tree){0};
}
