/* test_accumulation.c - what piles up is found, whatever holds it; and the sets under it are what
 * the definition says, on random trees. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include <math.h>

#include "analysis/accumulation.h"

/* ---- Heaps made by hand ------------------------------------------------------------------------
 */

struct made {
  struct graph_builder *builder;
  struct graph *graph;
  struct dominators dominators;
  struct accumulations found;
  object_id next;
  object_id code;     /* a prototype that has all names as constants */
  object_id keys[26]; /* strings "a" .. "z", or NO_OBJECT */
};

static object_id make(struct made *made, enum object_type type, uint64_t bytes) {
  assert_true(graph_builder_object(made->builder, type, 0, bytes));
  return made->next++;
}

static void refer(struct made *made, object_id from, enum reference_kind kind, object_id to,
                  int64_t integer) {
  assert_true(graph_builder_reference(made->builder, from, kind, to, NULL, integer));
}

static object_id key(struct made *made, char letter) {
  object_id *place = &made->keys[letter - 'a'];
  char text[2] = {letter, 0};
  if (*place != NO_OBJECT) return *place;
  *place = make(made, OBJECT_STRING, 25);
  assert_true(graph_builder_name(made->builder, *place, text));
  refer(made, made->code, REFERENCE_CONSTANT, *place, 0);
  return *place;
}

static void field(struct made *made, object_id from, char letter, object_id to) {
  refer(made, from, REFERENCE_KEY, key(made, letter), 0);
  refer(made, from, REFERENCE_FIELD, to, 0);
}

/* A table with fields that hold no objects. */
static object_id record(struct made *made, const char *letters, uint64_t bytes) {
  object_id table = make(made, OBJECT_TABLE, bytes);
  for (; *letters; letters++)
    refer(made, table, REFERENCE_KEY, key(made, *letters), 0);
  return table;
}

/* _G at id 0, with a background of 200 unlike functions. */
static object_id begin(struct made *made) {
  *made = (struct made){.builder = graph_builder_create()};
  assert_non_null(made->builder);
  for (size_t i = 0; i < 26; i++)
    made->keys[i] = NO_OBJECT;
  object_id globals = make(made, OBJECT_TABLE, 5000);
  made->code = make(made, OBJECT_PROTOTYPE, 500);
  refer(made, globals, REFERENCE_INDEX, made->code, 500);
  assert_true(graph_builder_root(made->builder, ROOT_REGISTRY, globals));
  for (int i = 0; i < 200; i++) {
    object_id function = make(made, OBJECT_LUA_FUNCTION, 40);
    object_id prototype = make(made, OBJECT_PROTOTYPE, 1000);
    object_id other = make(made, OBJECT_LUA_FUNCTION, 40);
    refer(made, function, REFERENCE_PROTOTYPE, prototype, 0);
    refer(made, other, REFERENCE_PROTOTYPE, prototype, 0);
    refer(made, globals, REFERENCE_INDEX, function, 2 * i + 1);
    refer(made, globals, REFERENCE_INDEX, other, 2 * i + 2);
  }
  return globals;
}

static void finish(struct made *made, const struct bitset *barred) {
  made->graph = graph_builder_finish(made->builder);
  assert_non_null(made->graph);
  assert_null(dominators_compute(made->graph, NULL, NULL, NULL, &made->dominators));
  assert_null(accumulations_find(made->graph, &made->dominators, 0, made->graph->object_count,
                                 barred, NULL, &made->found));
}

static void end(struct made *made) {
  accumulations_free(&made->found);
  dominators_free(&made->dominators);
  graph_builder_free_graph(made->graph);
}

static const struct accumulation *only(const struct made *made) {
  assert_int_equal(made->found.count, 1);
  return &made->found.items[0];
}

/* ---- What is found -----------------------------------------------------------------------------
 */

static void test_nothing_has_piled_up(void **state) {
  (void)state;
  struct made made;
  begin(&made);
  finish(&made, NULL);
  assert_int_equal(made.found.count, 0);
  assert_int_equal(made.found.live_objects, 602);
  assert_int_equal(made.found.live_bytes, 5500 + 200 * 1080);
  end(&made);
}

static void test_a_table_of_records(void **state) {
  (void)state;
  struct made made;
  object_id globals = begin(&made), holder = make(&made, OBJECT_TABLE, 20000), last = 0;
  field(&made, globals, 'h', holder);
  for (int i = 1; i <= 1000; i++) {
    last = record(&made, "ip", i == 1000 ? 201 : 200);
    refer(&made, holder, REFERENCE_INDEX, last, i);
  }
  finish(&made, NULL);
  const struct accumulation *pile = only(&made);
  assert_int_equal(pile->holder, holder);
  assert_int_equal(pile->holders, 1);
  assert_int_equal(pile->entry, last); /* retains most */
  assert_int_equal(made.graph->target[pile->reference], last);
  assert_int_equal(graph_owner(made.graph, pile->reference), holder);
  assert_int_equal(pile->entries, 1000);
  assert_int_equal(pile->like, 1000);
  assert_int_equal(pile->retained, made.dominators.retained[holder]);
  double share = 200001.0 / (double)made.found.live_bytes;
  assert_true(fabs(pile->weight - share * log2(1000) / log2(1606)) < 0.001);
  assert_true(!pile->is_shared && !pile->is_nested && pile->used == 0);
  end(&made);
}

/* Keys and values of a cache weigh together, and each entry counts once. */
static void test_a_cache_keyed_by_string(void **state) {
  (void)state;
  struct made made;
  object_id globals = begin(&made), holder = make(&made, OBJECT_TABLE, 20000);
  field(&made, globals, 'h', holder);
  for (int i = 0; i < 500; i++) {
    refer(&made, holder, REFERENCE_KEY, make(&made, OBJECT_STRING, 90), 0);
    refer(&made, holder, REFERENCE_FIELD, make(&made, OBJECT_STRING, 91), 0);
  }
  finish(&made, NULL);
  const struct accumulation *pile = only(&made);
  assert_int_equal(pile->holder, holder);
  assert_int_equal(pile->entries, 500);
  assert_int_equal(made.graph->kind[pile->reference], REFERENCE_FIELD);
  assert_int_equal(pile->retained, 20000 + 500 * 181);
  end(&made);
}

/* Small maps under data, each with keys of its own, are alike as well. */
static void test_a_table_of_small_maps(void **state) {
  (void)state;
  struct made made;
  object_id globals = begin(&made), holder = make(&made, OBJECT_TABLE, 20000);
  field(&made, globals, 'h', holder);
  for (int i = 1; i <= 1000; i++) {
    object_id map = make(&made, OBJECT_TABLE, 200);
    refer(&made, map, REFERENCE_KEY, make(&made, OBJECT_STRING, 30), 0);
    refer(&made, map, REFERENCE_KEY, make(&made, OBJECT_STRING, 30), 0);
    refer(&made, holder, REFERENCE_INDEX, map, i);
  }
  finish(&made, NULL);
  assert_int_equal(only(&made)->holder, holder);
  assert_int_equal(only(&made)->entries, 1000);
  end(&made);
}

static void test_one_large_thing_is_no_pile(void **state) {
  (void)state;
  struct made made;
  object_id globals = begin(&made), holder = make(&made, OBJECT_TABLE, 56);
  field(&made, globals, 'h', holder);
  for (int i = 1; i <= 100; i++)
    refer(&made, holder, REFERENCE_INDEX, record(&made, "i", i == 50 ? 5000000 : 100), i);
  finish(&made, NULL);
  assert_int_equal(made.found.count, 0);
  end(&made);
}

/* Entries of the registry: the holder is a root that retains everything. */
static void test_entries_of_a_root(void **state) {
  (void)state;
  struct made made;
  object_id globals = begin(&made);
  for (int i = 1; i <= 1000; i++)
    refer(&made, globals, REFERENCE_INDEX, record(&made, "ip", 200), 1000 + i);
  finish(&made, NULL);
  const struct accumulation *pile = only(&made);
  assert_int_equal(pile->holder, globals);
  assert_int_equal(pile->entries, 1000);
  assert_int_equal(pile->retained, 1000 * 200 + 5000); /* not what else the root retains */
  end(&made);
}

static void test_a_list(void **state) {
  (void)state;
  struct made made;
  enum { NODES = 20000 };
  object_id globals = begin(&made), module = record(&made, "m", 56), node = NO_OBJECT;
  field(&made, globals, 'm', module);
  for (int i = 0; i < NODES; i++) {
    object_id next = make(&made, OBJECT_TABLE, 104);
    refer(&made, next, REFERENCE_KEY, key(&made, 'v'), 0);
    if (node != NO_OBJECT)
      field(&made, next, 'n', node);
    else
      refer(&made, next, REFERENCE_KEY, key(&made, 'n'), 0);
    node = next;
  }
  field(&made, module, 'l', node);
  finish(&made, NULL);
  const struct accumulation *pile = only(&made);
  assert_int_equal(pile->holder, module);
  assert_int_equal(pile->entry, node);
  assert_int_equal(pile->entries, NODES);
  assert_true(pile->is_nested);
  double share = 104.0 * NODES / (double)made.found.live_bytes;
  double bits = log2((double)made.found.live_objects + 1);
  assert_true(fabs(pile->weight - share * log2(NODES) / bits) < 0.001);
  end(&made);
}

/* Held by several tables: the one that refers to most is the holder, at half the weight. */
static void test_shared_entries(void **state) {
  (void)state;
  struct made made;
  object_id globals = begin(&made);
  object_id some = make(&made, OBJECT_TABLE, 9000), all = make(&made, OBJECT_TABLE, 9000);
  object_id others = make(&made, OBJECT_TABLE, 9000);
  field(&made, globals, 'o', others);
  field(&made, globals, 's', some);
  field(&made, globals, 'a', all);
  for (int i = 1; i <= 1000; i++) {
    object_id entry = record(&made, "ip", 400);
    if (i > 400) refer(&made, some, REFERENCE_INDEX, entry, i);
    if (i <= 401) refer(&made, others, REFERENCE_INDEX, entry, i);
    refer(&made, all, REFERENCE_INDEX, entry, i);
  }
  finish(&made, NULL);
  const struct accumulation *pile = only(&made);
  assert_int_equal(pile->holder, all);
  assert_int_equal(pile->entries, 1000);
  assert_true(pile->is_shared && pile->used == 1);
  double share = 1000 * 400.0 / (double)made.found.live_bytes;
  assert_true(pile->weight < share / 2);
  end(&made);
}

/* zones[*].visits[*]: many holders of one sort, and what they hold besides. */
static void test_many_holders(void **state) {
  (void)state;
  struct made made;
  object_id globals = begin(&made), zones = make(&made, OBJECT_TABLE, 500), largest = 0;
  field(&made, globals, 'z', zones);
  for (int i = 1; i <= 100; i++) {
    object_id zone = record(&made, "i", 100), visits = make(&made, OBJECT_TABLE, 80);
    object_id players = make(&made, OBJECT_TABLE, 100);
    refer(&made, zones, REFERENCE_INDEX, zone, i);
    field(&made, zone, 'p', players);
    refer(&made, players, REFERENCE_INDEX, record(&made, "xy", 100), 1);
    field(&made, zone, 'v', visits);
    for (int j = 1; j <= 100 + i; j++) /* more than zones */
      refer(&made, visits, REFERENCE_INDEX, record(&made, "at", 200), j);
    largest = visits;
  }
  finish(&made, NULL);
  const struct accumulation *pile = only(&made);
  assert_int_equal(pile->holder, largest);
  assert_int_equal(pile->holders, 100);
  assert_int_equal(pile->entries, 100 * 100 + 100 * 101 / 2);
  end(&made);
}

/* Sessions that each have messages: one accumulation, of the sessions. */
/* A tenth of the entries are in use elsewhere, by something below the same holder; what an entry
 * holds refers back to it, which is no use. */
static void test_used_entries(void **state) {
  (void)state;
  struct made made;
  object_id globals = begin(&made), module = record(&made, "m", 56);
  object_id holder = make(&made, OBJECT_TABLE, 9000), user = make(&made, OBJECT_TABLE, 900);
  field(&made, globals, 'm', module);
  field(&made, module, 'h', holder);
  refer(&made, holder, REFERENCE_INDEX, user, 2000);
  for (int i = 1; i <= 1000; i++) {
    object_id entry = record(&made, "ip", 200), part = record(&made, "x", 50);
    refer(&made, holder, REFERENCE_INDEX, entry, i);
    refer(&made, entry, REFERENCE_INDEX, part, 1);
    refer(&made, part, REFERENCE_INDEX, entry, 1);
    if (i % 10 == 0) refer(&made, user, REFERENCE_INDEX, entry, i);
  }
  finish(&made, NULL);
  const struct accumulation *pile = only(&made);
  assert_int_equal(pile->holder, holder);
  assert_true(fabs(pile->used - 0.1) < 1e-9 && !pile->is_shared);
  assert_true(accumulation_rank(pile) < pile->weight);
  end(&made);
}

/* A table whose entries are in use comes after a smaller one whose entries are not. */
static void test_use_decides_the_order(void **state) {
  (void)state;
  struct made made;
  object_id globals = begin(&made);
  object_id used = make(&made, OBJECT_TABLE, 9000), unused = make(&made, OBJECT_TABLE, 9000);
  field(&made, globals, 'a', used);
  field(&made, globals, 'b', unused);
  object_id first = NO_OBJECT, before = NO_OBJECT;
  for (int i = 1; i <= 1000; i++) {
    object_id entry = record(&made, "ip", 600);
    refer(&made, used, REFERENCE_INDEX, entry, i);
    if (before != NO_OBJECT) refer(&made, entry, REFERENCE_INDEX, before, 1);
    if (first == NO_OBJECT) first = entry;
    before = entry;
    refer(&made, unused, REFERENCE_INDEX, record(&made, "xy", 200), i);
  }
  refer(&made, first, REFERENCE_INDEX, before, 1);
  finish(&made, NULL);
  assert_int_equal(made.found.count, 2);
  assert_int_equal(made.found.items[0].holder, unused);
  assert_int_equal(made.found.items[1].holder, used);
  assert_true(made.found.items[1].weight > made.found.items[0].weight);
  assert_true(made.found.items[1].used == 1 && !made.found.items[1].is_shared);
  end(&made);
}

static void test_piles_within_entries(void **state) {
  (void)state;
  struct made made;
  object_id globals = begin(&made), sessions = make(&made, OBJECT_TABLE, 9000);
  field(&made, globals, 's', sessions);
  for (int i = 1; i <= 500; i++) {
    object_id session = record(&made, "i", 100), messages = make(&made, OBJECT_TABLE, 100);
    refer(&made, sessions, REFERENCE_INDEX, session, i);
    field(&made, session, 'm', messages);
    for (int j = 1; j <= 20; j++)
      refer(&made, messages, REFERENCE_INDEX, record(&made, "t", 100), j);
  }
  finish(&made, NULL);
  assert_int_equal(only(&made)->holder, sessions);
  assert_int_equal(only(&made)->entries, 500);
  end(&made);
}

static void test_a_tracker_is_no_holder(void **state) {
  (void)state;
  struct made made;
  object_id globals = begin(&made), holder = make(&made, OBJECT_TABLE, 20000);
  struct bitset barred;
  assert_true(bitset_init(&barred, 10000));
  bitset_add(&barred, holder);
  field(&made, globals, 'h', holder);
  for (int i = 1; i <= 1000; i++)
    refer(&made, holder, REFERENCE_INDEX, record(&made, "ip", 200), i);
  finish(&made, &barred);
  assert_int_equal(made.found.count, 0);
  bitset_free(&barred);
  end(&made);
}

/* ---- Sets against their definition --------------------------------------------------------------
 */

enum { MODEL_OBJECTS = 120, SHAPES = 4, MORE = SHAPES + 1 };

struct model {
  uint32_t count;
  uint32_t parent[MODEL_OBJECTS]; /* UINT32_MAX: a root */
  unsigned shape[MODEL_OBJECTS];
  uint64_t bytes[MODEL_OBJECTS], retained[MODEL_OBJECTS];
  uint32_t set[MODEL_OBJECTS];        /* the first object of its set */
  uint32_t set_parent[MODEL_OBJECTS]; /* by that object, UINT32_MAX: the roots */
};

static uint32_t next_random(uint64_t *state, uint32_t below) {
  *state ^= *state << 13;
  *state ^= *state >> 7;
  *state ^= *state << 17;
  return (uint32_t)((*state >> 20) % below);
}

static void randomise(struct model *model, uint64_t *state) {
  model->count = 20 + next_random(state, MODEL_OBJECTS - 20);
  uint32_t reach = 1 + next_random(state, 30); /* small: deep trees */
  for (uint32_t i = 0; i < model->count; i++) {
    uint32_t back = 1 + next_random(state, reach);
    model->parent[i] = i == 0 ? UINT32_MAX : back > i ? 0 : i - back;
    model->shape[i] = next_random(state, SHAPES);
    model->bytes[i] = model->retained[i] = 1 + next_random(state, 1000);
  }
  for (uint32_t i = model->count; i-- > 1;)
    model->retained[model->parent[i]] += model->retained[i];
}

/* The rule, word by word: nearest like set among those above, else the one of like siblings. */
static void place(struct model *model, uint32_t object) {
  uint32_t above = model->parent[object];
  uint32_t set = above == UINT32_MAX ? UINT32_MAX : model->set[above], at = set;
  for (int i = 0; i < LONGEST_CYCLE && at != UINT32_MAX; i++, at = model->set_parent[at])
    if (model->shape[at] == model->shape[object]) {
      model->set[object] = at;
      return;
    }
  for (uint32_t i = 0; i < object; i++)
    if (model->set[i] == i && model->set_parent[i] == set &&
        model->shape[i] == model->shape[object]) {
      model->set[object] = i;
      return;
    }
  model->set[object] = object;
  model->set_parent[object] = set;
}

/* Whether the nearest object of the same set above it lies in the set, and its own bytes count. */
static uint32_t outer(const struct model *model, uint32_t object) {
  for (uint32_t i = model->parent[object]; i != UINT32_MAX; i = model->parent[i])
    if (model->set[i] == model->set[object]) return i;
  return UINT32_MAX;
}

static double x_log_x(double value) { return value > 1 ? value * log2(value) : 0; }

static double model_weight(const struct model *model, uint32_t set) {
  double held[MODEL_OBJECTS + 1] = {0}, own[MODEL_OBJECTS] = {0}, bits = 0, bytes = 0;
  for (uint32_t i = 0; i < model->count; i++) {
    bytes += (double)model->bytes[i];
    if (model->set[i] != set) continue;
    own[i] += (double)model->retained[i];
    uint32_t above = outer(model, i);
    if (above != UINT32_MAX)
      own[above] -= (double)model->retained[i];
    else
      held[model->parent[i] == UINT32_MAX ? MODEL_OBJECTS : model->parent[i]] +=
          (double)model->retained[i];
  }
  for (uint32_t i = 0; i <= MODEL_OBJECTS; i++)
    bits += x_log_x(held[i]);
  for (uint32_t i = 0; i < model->count; i++)
    bits -= x_log_x(own[i]);
  return bits > 0 ? bits / bytes / log2((double)model->count + MORE + 1) : 0;
}

/* Behind the objects come MORE without bytes: a string for each shape, which the records have as a
 * key, and a prototype that makes them names. */
static struct graph *build(const struct model *model) {
  struct graph_builder *builder = graph_builder_create();
  assert_non_null(builder);
  for (uint32_t i = 0; i < model->count; i++)
    assert_true(graph_builder_object(builder, OBJECT_TABLE, 0, model->bytes[i]));
  for (uint32_t i = 0; i < SHAPES; i++)
    assert_true(graph_builder_object(builder, OBJECT_STRING, 0, 0));
  assert_true(graph_builder_object(builder, OBJECT_PROTOTYPE, 0, 0));
  for (uint32_t i = 0; i < SHAPES; i++)
    assert_true(graph_builder_reference(builder, model->count + SHAPES, REFERENCE_CONSTANT,
                                        model->count + i, NULL, i));
  for (uint32_t i = 0; i < model->count; i++) {
    uint32_t shape = model->count + model->shape[i];
    assert_true(graph_builder_reference(builder, i, REFERENCE_KEY, shape, NULL, 0));
    for (uint32_t j = i + 1; j < model->count; j++)
      if (model->parent[j] == i)
        assert_true(graph_builder_reference(builder, i, REFERENCE_INDEX, j, NULL, j));
  }
  assert_true(graph_builder_root(builder, ROOT_REGISTRY, 0));
  assert_true(graph_builder_root(builder, ROOT_PENDING, model->count + SHAPES));
  return graph_builder_finish(builder);
}

static void check_sets(const struct model *model, const struct graph *graph,
                       const struct dominators *dominators) {
  struct spread spread;
  double sum = 0;
  uint32_t members = 0;
  bool nests = false;
  assert_null(spread_find(graph, dominators, 0, graph->object_count, 0, NULL, &spread));
  for (size_t i = 1; i < spread.items.count; i++) {
    const struct spread_set *set = &spread.items.items[i];
    assert_true(set->members.count > 0);
    if (set->members.items[0] >= model->count) continue;
    uint32_t first = model->set[set->members.items[0]];
    for (size_t j = 0; j < set->members.count; j++)
      assert_int_equal(model->set[set->members.items[j]], first);
    members += (uint32_t)set->members.count;
    if (fabs(set->weight - model_weight(model, first)) > 1e-6) /* it is rounded */
      fail_msg("set %zu weighs %g, not %g", i, set->weight, model_weight(model, first));
    sum += set->weight;
    nests = nests || set->members.count > set->tops;
  }
  assert_int_equal(members, model->count);
  assert_true(nests || sum < 1 + 1e-9);
  spread_free(&spread);
}

static void test_sets_are_as_defined(void **state) {
  (void)state;
  uint64_t seed = 88172645463325252u;
  for (int round = 0; round < 400; round++) {
    struct model model = {0};
    randomise(&model, &seed);
    for (uint32_t i = 0; i < model.count; i++)
      place(&model, i);
    struct graph *graph = build(&model);
    assert_non_null(graph);
    struct dominators dominators;
    assert_null(dominators_compute(graph, NULL, NULL, NULL, &dominators));
    check_sets(&model, graph, &dominators);
    dominators_free(&dominators);
    graph_builder_free_graph(graph);
  }
}

/* ---- Interruption ------------------------------------------------------------------------------
 */

static bool stop(void *context, const char *phase, double share) {
  (void)phase;
  (void)share;
  return --*(int *)context < 0;
}

static void test_interruption(void **state) {
  (void)state;
  struct made made;
  object_id globals = begin(&made);
  for (int i = 1; i <= 1000; i++)
    refer(&made, globals, REFERENCE_INDEX, record(&made, "ip", 200), i);
  finish(&made, NULL);
  int left = 0;
  struct work work = {.context = &left, .report = stop};
  struct accumulations found;
  struct inspect_error *error = accumulations_find(made.graph, &made.dominators, 0,
                                                   made.graph->object_count, NULL, &work, &found);
  assert_non_null(error);
  assert_int_equal(error->code, INSPECT_ERROR_INTERRUPTED);
  assert_null(found.items);
  inspect_error_free(error);
  end(&made);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_nothing_has_piled_up),
      cmocka_unit_test(test_a_table_of_records),
      cmocka_unit_test(test_a_cache_keyed_by_string),
      cmocka_unit_test(test_a_table_of_small_maps),
      cmocka_unit_test(test_one_large_thing_is_no_pile),
      cmocka_unit_test(test_entries_of_a_root),
      cmocka_unit_test(test_a_list),
      cmocka_unit_test(test_shared_entries),
      cmocka_unit_test(test_many_holders),
      cmocka_unit_test(test_used_entries),
      cmocka_unit_test(test_use_decides_the_order),
      cmocka_unit_test(test_piles_within_entries),
      cmocka_unit_test(test_a_tracker_is_no_holder),
      cmocka_unit_test(test_sets_are_as_defined),
      cmocka_unit_test(test_interruption),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
