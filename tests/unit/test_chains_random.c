/* test_chains_random.c - random graphs: best chains against a model that settles one distance at a
 * time by looking at every reference, the k best against all simple paths, and the same graph under
 * other ids. */
#include "chain_graph.h"

/* ---- The model --------------------------------------------------------------------------------
 */

/* The same preferences, written down again: by number of the hand-written object. */
struct model {
  const struct hand *hand;
  struct {
    bool settled, new;
    int tier, distance;
    uint32_t parent, reference; /* NO_OBJECT: a start, with the root in `reference` */
  } of[HAND_OBJECTS];
};

static bool has(const struct hand *hand, const struct bitset *set, uint32_t number) {
  return bitset_has(set, hand->id[number]);
}

static bool may_enter(const struct hand *hand, uint32_t number) {
  return !has(hand, &hand->barred, number) &&
         !(hand->options.mask && has(hand, &hand->avoid, number));
}

static int root_tier(enum root_kind kind) {
  return kind == ROOT_GLOBALS || kind == ROOT_LOADED               ? 0
         : kind == ROOT_MAIN_THREAD || kind == ROOT_RUNNING_THREAD ? 4
                                                                   : 2;
}

static int root_preference(const struct hand *hand, uint32_t root) {
  static const int order[] = {
      [ROOT_GLOBALS] = 0,         [ROOT_LOADED] = 1,  [ROOT_REGISTRY] = 2,
      [ROOT_BASIC_METATABLE] = 3, [ROOT_PENDING] = 4, [ROOT_RUNNING_THREAD] = 5,
      [ROOT_MAIN_THREAD] = 6};
  return order[hand->roots[root].kind] * HAND_ROOTS + (int)root;
}

static int kind_tier(const struct hand *hand, const struct hand_reference *reference) {
  if (has(hand, &hand->survivors, reference->from)) return 5;
  bool is_active = false;
  for (uint32_t i = 0; i < hand->root_count; i++)
    is_active |= hand->roots[i].object == reference->from && root_tier(hand->roots[i].kind) == 4;
  switch (reference->kind) {
  case REFERENCE_UPVALUE:
  case REFERENCE_UPVALUE_VALUE:
    return 1;
  case REFERENCE_KEY:
  case REFERENCE_CONSTANT:
  case REFERENCE_PROTOTYPE:
    return 2;
  case REFERENCE_STACK:
  case REFERENCE_OPEN_UPVALUE:
    return is_active ? 4 : 3;
  case REFERENCE_MAYBE_STACK:
    return 4;
  default:
    return 0;
  }
}

/* 0: never followed, 1: always, 2: with its key. */
static int follows(const struct hand *hand, uint32_t number) {
  const struct hand_reference *reference = &hand->references[number];
  unsigned weak = hand->objects[reference->from].flags & 3U;
  bool is_entry = reference->kind == REFERENCE_FIELD || reference->kind == REFERENCE_KEYED;
  if (hand->options.mask && !(hand->mask.kinds >> reference->kind & 1)) return 0;
  if (!weak || reference->kind == REFERENCE_METATABLE) return 1;
  if (weak == OBJECT_WEAK_VALUES) return reference->kind == REFERENCE_KEY;
  if (weak == OBJECT_WEAK_KEYS) return is_entry ? 2 : reference->kind == REFERENCE_INDEX;
  return 0;
}

static int compare_names(const struct hand *hand, uint32_t a, uint32_t b) {
  const struct hand_reference *x = &hand->references[a], *y = &hand->references[b];
  if (x->kind != y->kind) return x->kind < y->kind ? -1 : 1;
  if (x->kind == REFERENCE_INDEX) return 0;
  if (x->kind == REFERENCE_KEYED) {
    int s = (int)hand->objects[x[-1].to].type, t = (int)hand->objects[y[-1].to].type;
    return s - t;
  }
  if (x->label && y->label) return strcmp(x->label, y->label);
  return (x->integer > y->integer) - (x->integer < y->integer);
}

/* The references of an object's chain, last first; the root behind them. */
static uint32_t collect_chain(const struct model *model, uint32_t reference, uint32_t *list) {
  uint32_t count = 0, object = model->hand->references[reference].from;
  list[count++] = reference;
  for (; model->of[object].parent != NO_OBJECT; object = model->of[object].parent)
    list[count++] = model->of[object].reference;
  list[count] = model->of[object].reference;
  return count;
}

static bool is_better(const struct model *model, uint32_t a, uint32_t b) {
  uint32_t x[HAND_OBJECTS], y[HAND_OBJECTS];
  uint32_t m = collect_chain(model, a, x), n = collect_chain(model, b, y);
  for (uint32_t i = 0; i < m && i < n; i++) {
    int result = compare_names(model->hand, x[i], y[i]);
    if (result) return result < 0;
    uint32_t p = model->hand->references[x[i]].from, q = model->hand->references[y[i]].from;
    if (p == q) return x[i] < y[i]; /* rows are written in order */
  }
  if (m != n) return m < n;
  return root_preference(model->hand, x[m]) < root_preference(model->hand, y[n]);
}

/* The (tier, distance) that a reference offers, as one number; -1: none. */
static int offered(const struct model *model, uint32_t number) {
  const struct hand *hand = model->hand;
  const struct hand_reference *reference = &hand->references[number];
  int use = follows(hand, number), tier = kind_tier(hand, reference);
  if (!use || !model->of[reference->from].settled) return -1;
  if (!may_enter(hand, reference->to)) return -1;
  uint32_t key = use == 2 ? hand->references[number - 1].to : NO_OBJECT;
  if (key != NO_OBJECT && has(hand, &hand->survivors, key)) tier = 5;
  if (tier < model->of[reference->from].tier) tier = model->of[reference->from].tier;
  int result = tier * 1000 + model->of[reference->from].distance + 1;
  if (key == NO_OBJECT || hand->objects[key].type == OBJECT_STRING) return result;
  if (!model->of[key].settled) return -1;
  int of_key = model->of[key].tier * 1000 + model->of[key].distance + 1;
  return of_key > result ? of_key : result;
}

static bool settle_next(struct model *model) {
  const struct hand *hand = model->hand;
  int best = -1;
  for (uint32_t i = 0; i < hand->reference_count; i++) {
    int value = offered(model, i);
    if (value >= 0 && !model->of[hand->references[i].to].settled && (best < 0 || value < best))
      best = value;
  }
  for (uint32_t i = 0; i < hand->root_count; i++) {
    int value = root_tier(hand->roots[i].kind) * 1000;
    bool settled = model->of[hand->roots[i].object].settled;
    if (!settled && may_enter(hand, hand->roots[i].object) && (best < 0 || value < best))
      best = value;
  }
  if (best < 0) return false;
  for (uint32_t i = 0; i < hand->object_count; i++)
    model->of[i].new = false;
  for (uint32_t i = 0; i < hand->root_count; i++) {
    uint32_t to = hand->roots[i].object;
    if (root_tier(hand->roots[i].kind) * 1000 != best || !may_enter(hand, to)) continue;
    if (model->of[to].settled) continue;
    if (!model->of[to].new ||
        root_preference(hand, i) < root_preference(hand, model->of[to].reference))
      model->of[to].reference = i;
    model->of[to].parent = NO_OBJECT;
    model->of[to].new = true;
  }
  for (uint32_t i = 0; i < hand->reference_count; i++) {
    uint32_t to = hand->references[i].to;
    if (model->of[to].settled || offered(model, i) != best) continue;
    if (model->of[to].new && !is_better(model, i, model->of[to].reference)) continue;
    model->of[to].new = true;
    model->of[to].parent = hand->references[i].from;
    model->of[to].reference = i;
  }
  for (uint32_t i = 0; i < hand->object_count; i++) {
    if (!model->of[i].new) continue;
    model->of[i].settled = true;
    model->of[i].tier = best / 1000;
    model->of[i].distance = best % 1000;
  }
  return true;
}

static reference_id id_of(const struct hand *hand, uint32_t number) {
  reference_id id = graph_first(hand->graph, hand->id[hand->references[number].from]);
  for (uint32_t i = 0; i < number; i++)
    id += hand->references[i].from == hand->references[number].from;
  return id;
}

static bool equal_chains(const struct chain *a, const struct chain *b) {
  if (a->count != b->count || a->items[0].object != b->items[0].object) return false;
  for (size_t i = 0; i < a->count; i++)
    if (a->items[i].reference != b->items[i].reference) return false;
  return a->root == b->root;
}

/* With targets the search may leave out much, but the targets' chains are the same. */
static void compare_targets(struct hand *hand, const struct chains *all, uint64_t *random,
                            unsigned seed) {
  struct bitset targets;
  assert_true(bitset_init(&targets, hand->object_count));
  for (uint32_t i = 0; i < hand->object_count; i++)
    if (hand_random(random, 4) == 0) bitset_add(&targets, i);
  struct chains_options options = hand->options;
  options.targets = &targets;
  struct chains some;
  assert_null(chains_search(hand->graph, &options, NULL, &some));
  for (object_id i = 0; i < hand->object_count; i++) {
    if (!bitset_has(&targets, i)) continue;
    struct chain a, b;
    bool is_settled = chains_get(hand->graph, all, &hand->options, i, &a);
    assert_int_equal(chains_get(hand->graph, &some, &options, i, &b), is_settled);
    if (is_settled && !equal_chains(&a, &b)) fail_msg("seed %u: chain to target %u", seed, i);
    if (is_settled) assert_int_equal(some.tier[i], all->tier[i]);
    vector_free(&a);
    vector_free(&b);
  }
  chains_free(&some);
  bitset_free(&targets);
}

static void compare_with_model(struct hand *hand, uint64_t *random, unsigned seed) {
  struct model model = {.hand = hand};
  while (settle_next(&model))
    ;
  struct chains chains;
  hand_search(hand, &chains);
  for (uint32_t i = 0; i < hand->object_count; i++) {
    object_id id = hand->id[i];
    bool settled = bitset_has(&chains.settled, id);
    if (settled != model.of[i].settled) fail_msg("seed %u: object %u", seed, i);
    if (!settled) continue;
    if (chains.tier[id] != model.of[i].tier)
      fail_msg("seed %u: object %u in tier %u, not %d", seed, i, chains.tier[id], model.of[i].tier);
    if (model.of[i].parent == NO_OBJECT) {
      assert_int_equal(chains.parent[id], NO_OBJECT);
      assert_int_equal(chains.via[id], model.of[i].reference);
    } else if (chains_reference(hand->graph, &chains, id) != id_of(hand, model.of[i].reference)) {
      fail_msg("seed %u: object %u over %u", seed, i, model.of[i].reference);
    }
  }
  compare_targets(hand, &chains, random, seed);
  chains_free(&chains);
}

static void test_against_model(void **state) {
  (void)state;
  for (unsigned seed = 1; seed <= 6000; seed++) {
    uint64_t random = seed * UINT64_C(0x9e3779b97f4a7c15);
    struct hand hand;
    uint32_t objects = 2 + hand_random(&random, 30), order[HAND_OBJECTS];
    hand_randomise(&hand, &random, objects, hand_random(&random, 5 * objects));
    hand_shuffle(&hand, &random, order);
    hand_build(&hand, order);
    hand_restrict(&hand, &random);
    compare_with_model(&hand, &random, seed);
    hand_free(&hand);
  }
}

/* ---- All simple paths -------------------------------------------------------------------------
 */

struct path {
  uint32_t references[HAND_OBJECTS]; /* last first */
  uint32_t count, start;             /* `start`: the root */
  int tier;
};

struct paths {
  struct hand *hand;
  struct chains chains;
  struct path list[20000];
  size_t count;
  bool overflow;
};

/* The preferred root of an object among those that a chain of the tier may use; -1: none. */
static int root_of(const struct hand *hand, uint32_t object, int tier) {
  int best = -1;
  for (uint32_t i = 0; i < hand->root_count; i++)
    if (hand->roots[i].object == object && root_tier(hand->roots[i].kind) <= tier &&
        (best < 0 || root_preference(hand, i) < root_preference(hand, (uint32_t)best)))
      best = (int)i;
  return best;
}

static bool is_on_path(const struct hand *hand, const struct path *path, uint32_t end,
                       uint32_t object) {
  bool found = object == end;
  for (uint32_t i = 0; i < path->count; i++)
    found |= hand->references[path->references[i]].from == object;
  return found;
}

/* The tier of a reference in front of a path, -1: it cannot be used there. */
static int tier_in_path(struct paths *paths, const struct path *path, uint32_t end,
                        uint32_t number) {
  struct hand *hand = paths->hand;
  const struct hand_reference *reference = &hand->references[number];
  int use = follows(hand, number), tier = kind_tier(hand, reference);
  if (!use || !bitset_has(&paths->chains.settled, hand->id[reference->from])) return -1;
  if (is_on_path(hand, path, end, reference->from)) return -1;
  if (use == 1) return tier;
  uint32_t key = hand->references[number - 1].to;
  if (hand->objects[key].type == OBJECT_STRING) return tier;
  if (!bitset_has(&paths->chains.settled, hand->id[key])) return -1;
  for (object_id i = hand->id[key]; i != NO_OBJECT; i = paths->chains.parent[i])
    if (is_on_path(hand, path, end, hand->number[i])) return -1;
  if (has(hand, &hand->survivors, key)) return 5;
  return paths->chains.tier[hand->id[key]] > tier ? paths->chains.tier[hand->id[key]] : tier;
}

/* All paths in front of `path` that leave no start out. The recursion is as deep as the graph is
 * large: at most 7. */
static void enumerate(struct paths *paths, struct path *path, uint32_t end) {
  struct hand *hand = paths->hand;
  uint32_t front = path->count ? hand->references[path->references[path->count - 1]].from : end;
  for (int tier = path->tier; tier <= 5; tier++) {
    int root = root_of(hand, front, tier);
    if (root < 0 || (tier > path->tier && tier > root_tier(hand->roots[root].kind))) continue;
    /* of this tier exactly, and no object on the way could start a chain of this tier */
    bool ok = may_enter(hand, front);
    for (uint32_t i = 0; i + 1 < path->count; i++)
      ok &= root_of(hand, hand->references[path->references[i]].from, tier) < 0;
    if (ok && paths->count < 20000) {
      paths->list[paths->count] = *path;
      paths->list[paths->count].tier = tier;
      paths->list[paths->count++].start = (uint32_t)root;
    } else if (ok) {
      paths->overflow = true;
    }
    break;
  }
  for (uint32_t i = 0; i < hand->reference_count; i++) {
    if (hand->references[i].to != front) continue;
    int tier = tier_in_path(paths, path, end, i), before = path->tier;
    if (tier < 0) continue;
    path->references[path->count++] = i;
    if (tier > path->tier) path->tier = tier;
    enumerate(paths, path, end);
    path->count--;
    path->tier = before;
  }
}

static const struct hand *sorted_hand;

static int compare_paths(const void *a, const void *b) {
  const struct path *x = a, *y = b;
  if (x->tier != y->tier) return x->tier - y->tier;
  if (x->count != y->count) return (int)x->count - (int)y->count;
  for (uint32_t i = 0; i < x->count; i++) {
    int result = compare_names(sorted_hand, x->references[i], y->references[i]);
    if (result) return result;
  }
  for (uint32_t i = 0; i < x->count; i++) {
    const struct hand_reference *r = &sorted_hand->references[x->references[i]];
    const struct hand_reference *s = &sorted_hand->references[y->references[i]];
    object_id p = sorted_hand->id[r->from], q = sorted_hand->id[s->from];
    if (p != q) return p > q ? -1 : 1; /* see falling_address */
    if (r != s) return r < s ? -1 : 1;
  }
  return 0;
}

static bool is_path(const struct hand *hand, const struct path *path, const struct chain *chain) {
  if (chain->count != path->count + 1) return false;
  for (size_t i = 1; i < chain->count; i++)
    if (chain->items[i].reference != id_of(hand, path->references[path->count - i])) return false;
  return chain->root == path->start ||
         hand->roots[chain->root].object == hand->roots[path->start].object;
}

/* The chains found against the list of all paths, without the first one. */
static void compare_with_paths(struct paths *paths, uint32_t end, size_t k, unsigned seed) {
  struct hand *hand = paths->hand;
  struct chain best[40], first;
  size_t count;
  bool capped;
  assert_null(
      chains_best(hand->graph, &hand->options, hand->id[end], k, NULL, best, &count, &capped));
  assert_false(capped);
  bool settled = chains_get(hand->graph, &paths->chains, &hand->options, hand->id[end], &first);
  assert_int_equal(settled, count > 0);
  if (settled) assert_true(equal_chains(&first, &best[0]));
  vector_free(&first);
  size_t found = 1;
  for (size_t i = 0; i < paths->count && found < k && settled; i++) {
    if (is_path(hand, &paths->list[i], &best[0])) continue;
    if (found >= count || !is_path(hand, &paths->list[i], &best[found]) ||
        best[found].root != paths->list[i].start)
      fail_msg("seed %u: chain %zu of %zu to %u", seed, found, count, end);
    found++;
  }
  if (settled) assert_int_equal(found, count);
  for (size_t i = 0; i < count; i++)
    vector_free(&best[i]);
}

static uint64_t falling_address(void *context, object_id object) {
  (void)context;
  return UINT64_MAX - object;
}

static struct paths all;

static void test_best_against_all_paths(void **state) {
  (void)state;
  size_t compared = 0;
  for (unsigned seed = 1; seed <= 6000; seed++) {
    uint64_t random = seed * UINT64_C(0x9e3779b97f4a7c15);
    struct hand hand;
    uint32_t objects = 2 + hand_random(&random, 6), order[HAND_OBJECTS];
    hand_randomise(&hand, &random, objects, hand_random(&random, 4 * objects));
    hand_shuffle(&hand, &random, order);
    hand_build(&hand, order);
    hand_restrict(&hand, &random);
    hand.graph->labels.address = falling_address;
    all.hand = &hand;
    sorted_hand = &hand;
    hand_search(&hand, &all.chains);
    uint32_t end = hand_random(&random, objects);
    struct path path = {0};
    all.count = 0;
    all.overflow = false;
    if (may_enter(&hand, end)) enumerate(&all, &path, end);
    qsort(all.list, all.count, sizeof *all.list, compare_paths);
    if (!all.overflow) compare_with_paths(&all, end, 1 + hand_random(&random, 40), seed);
    compared += all.count > 1;
    chains_free(&all.chains);
    hand_free(&hand);
  }
  assert_true(compared > 500);
}

/* ---- Ids do not matter ------------------------------------------------------------------------
 */

static void spell_all(struct hand *hand, struct text *text) {
  struct chains chains;
  hand_search(hand, &chains);
  for (uint32_t i = 0; i < hand->object_count; i++) {
    struct chain chain;
    if (chains_get(hand->graph, &chains, &hand->options, hand->id[i], &chain))
      hand_spell(hand, &chain, text);
    assert_true(text_add_string(text, "\n"));
    vector_free(&chain);
  }
  assert_true(text_add(text, "", 1));
  chains_free(&chains);
}

static void test_order_of_ids_does_not_matter(void **state) {
  (void)state;
  for (unsigned seed = 1; seed <= 500; seed++) {
    uint64_t random = seed * UINT64_C(0x9e3779b97f4a7c15);
    struct hand hand;
    uint32_t order[HAND_OBJECTS];
    hand_randomise(&hand, &random, 60, 200);
    hand_shuffle(&hand, &random, order);
    struct text texts[2] = {{0}, {0}};
    for (size_t i = 0; i < 2; i++) {
      uint64_t same = random;
      hand_build(&hand, i ? order : NULL);
      hand_restrict(&hand, &same);
      spell_all(&hand, &texts[i]);
      hand_free(&hand);
    }
    assert_string_equal(texts[0].items, texts[1].items);
    vector_free(&texts[0]);
    vector_free(&texts[1]);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_against_model),
      cmocka_unit_test(test_best_against_all_paths),
      cmocka_unit_test(test_order_of_ids_does_not_matter),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
