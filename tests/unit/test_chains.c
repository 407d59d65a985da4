/* test_chains.c - best chains: a graph by hand for each preference. */
#include "chain_graph.h"

/* The object's chain is `letters`, found in `tier`; "" if there is none. */
static void expect_chain(struct hand *hand, char object, const char *letters, uint8_t tier) {
  struct chains chains;
  struct chain chain;
  object_id id = hand_id(hand, object);
  hand_search(hand, &chains);
  bool found = chains_get(hand->graph, &chains, &hand->options, id, &chain);
  assert_int_equal(found, *letters != 0);
  if (found) {
    assert_string_equal(hand_letters(hand, &chain), letters);
    assert_int_equal(chains.tier[id], tier);
  }
  vector_free(&chain);
  chains_free(&chains);
}

static void test_shorter_is_better(void **state) {
  (void)state;
  struct hand hand;
  hand_tables(&hand, "abx");
  hand_field(&hand, 'G', "a", 'a');
  hand_field(&hand, 'a', "b", 'b');
  hand_field(&hand, 'b', "a", 'x');
  hand_field(&hand, 'a', "z", 'x');
  hand_build(&hand, NULL);
  expect_chain(&hand, 'x', "Gax", 0);
  expect_chain(&hand, 'G', "G", 0);
  hand_free(&hand);
}

/* Each tier is worse than a longer chain of the one before. */
static void test_tiers(void **state) {
  (void)state;
  static const struct {
    enum object_type type;
    enum reference_kind kind;
    uint8_t tier;
  } cases[] = {
      {OBJECT_TABLE, REFERENCE_FIELD, 0},           {OBJECT_TABLE, REFERENCE_INDEX, 0},
      {OBJECT_TABLE, REFERENCE_METATABLE, 0},       {OBJECT_C_FUNCTION, REFERENCE_ENVIRONMENT, 0},
      {OBJECT_USERDATA, REFERENCE_USER_VALUE, 0},   {OBJECT_LUA_FUNCTION, REFERENCE_UPVALUE, 1},
      {OBJECT_UPVALUE, REFERENCE_UPVALUE_VALUE, 1}, {OBJECT_TABLE, REFERENCE_KEY, 2},
      {OBJECT_PROTOTYPE, REFERENCE_CONSTANT, 2},    {OBJECT_LUA_FUNCTION, REFERENCE_PROTOTYPE, 2},
      {OBJECT_PROTOTYPE, REFERENCE_DEBUG, 2},       {OBJECT_THREAD, REFERENCE_STACK, 3},
      {OBJECT_THREAD, REFERENCE_OPEN_UPVALUE, 3},   {OBJECT_THREAD, REFERENCE_MAYBE_STACK, 4},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    for (size_t j = 0; j < sizeof cases / sizeof *cases; j++) {
      struct hand hand;
      hand_tables(&hand, "x");
      hand_add(&hand, 'a', cases[i].type, 0);
      hand_add(&hand, 'b', OBJECT_TABLE, 0);
      hand_add(&hand, 'c', cases[j].type, 0);
      hand_field(&hand, 'G', "1", 'a');
      hand_refer(&hand, 'a', cases[i].kind, NULL, 0, 'x');
      hand_field(&hand, 'G', "2", 'b');
      hand_field(&hand, 'b', "c", 'c');
      hand_refer(&hand, 'c', cases[j].kind, NULL, 0, 'x');
      hand_build(&hand, NULL);
      if (cases[i].tier <= cases[j].tier)
        expect_chain(&hand, 'x', "Gax", cases[i].tier);
      else
        expect_chain(&hand, 'x', "Gbcx", cases[j].tier);
      hand_free(&hand);
    }
}

static void test_roots(void **state) {
  (void)state;
  static const struct {
    enum root_kind kind;
    uint8_t tier;
  } cases[] = {{ROOT_GLOBALS, 0},         {ROOT_LOADED, 0},  {ROOT_REGISTRY, 2},
               {ROOT_BASIC_METATABLE, 2}, {ROOT_PENDING, 2}, {ROOT_RUNNING_THREAD, 4},
               {ROOT_MAIN_THREAD, 4}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    for (size_t j = 0; j < sizeof cases / sizeof *cases; j++) {
      if (i == j) continue;
      struct hand hand = {0};
      hand_add(&hand, 'x', OBJECT_TABLE, 0);
      hand_add(&hand, 'b', OBJECT_THREAD, 0);
      hand_add(&hand, 'a', OBJECT_THREAD, 0);
      hand_root(&hand, cases[i].kind, 'a');
      hand_root(&hand, cases[j].kind, 'b');
      hand_refer(&hand, 'b', REFERENCE_ENVIRONMENT, NULL, 0, 'x');
      hand_refer(&hand, 'a', REFERENCE_ENVIRONMENT, NULL, 0, 'x');
      hand_build(&hand, NULL);
      expect_chain(&hand, 'x', i < j ? "ax" : "bx", cases[i < j ? i : j].tier);
      hand_free(&hand);
    }
}

/* A coroutine found in a global may be passed in tier 0; its stack costs tier 3, that of the
 * running thread tier 4. */
static void test_stacks(void **state) {
  (void)state;
  struct hand hand;
  hand_tables(&hand, "xye");
  hand_add(&hand, 'c', OBJECT_THREAD, 0);
  hand_add(&hand, 'r', OBJECT_THREAD, 0);
  hand_root(&hand, ROOT_RUNNING_THREAD, 'r');
  hand_field(&hand, 'G', "parked", 'c');
  hand_field(&hand, 'G', "running", 'r');
  hand_refer(&hand, 'c', REFERENCE_ENVIRONMENT, NULL, 0, 'e');
  hand_refer(&hand, 'c', REFERENCE_STACK, "x", 0, 'x');
  hand_refer(&hand, 'r', REFERENCE_STACK, "x", 0, 'x');
  hand_refer(&hand, 'r', REFERENCE_STACK, "y", 0, 'y');
  hand_build(&hand, NULL);
  expect_chain(&hand, 'c', "Gc", 0);
  expect_chain(&hand, 'e', "Gce", 0);
  expect_chain(&hand, 'x', "Gcx", 3);
  expect_chain(&hand, 'r', "Gr", 0);
  expect_chain(&hand, 'y', "Gry", 4);
  hand_free(&hand);
}

/* What tier 0 has settled keeps its chain, though tier 1 knows a shorter one. */
static void test_settled_keeps_chain(void **state) {
  (void)state;
  struct hand hand;
  hand_tables(&hand, "abpx");
  hand_add(&hand, 'f', OBJECT_C_FUNCTION, 0);
  hand_add(&hand, 'g', OBJECT_C_FUNCTION, 0);
  hand_field(&hand, 'G', "a", 'a');
  hand_field(&hand, 'a', "b", 'b');
  hand_field(&hand, 'b', "p", 'p');
  hand_field(&hand, 'p', "g", 'g');
  hand_field(&hand, 'G', "f", 'f');
  hand_refer(&hand, 'f', REFERENCE_UPVALUE, NULL, 1, 'p');
  hand_refer(&hand, 'g', REFERENCE_UPVALUE, NULL, 1, 'x');
  hand_build(&hand, NULL);
  expect_chain(&hand, 'p', "Gabp", 0);
  expect_chain(&hand, 'x', "Gabpgx", 1);
  hand_free(&hand);
}

static void test_weak(void **state) {
  (void)state;
  struct hand hand;
  hand_tables(&hand, "xym");
  hand_add(&hand, 'v', OBJECT_TABLE, OBJECT_WEAK_VALUES);
  hand_add(&hand, 'k', OBJECT_TABLE, OBJECT_WEAK_KEYS);
  hand_field(&hand, 'G', "v", 'v');
  hand_field(&hand, 'G', "k", 'k');
  hand_refer(&hand, 'v', REFERENCE_INDEX, NULL, 1, 'x');
  hand_refer(&hand, 'k', REFERENCE_KEY, NULL, 0, 'x');
  hand_refer(&hand, 'v', REFERENCE_METATABLE, NULL, 0, 'm');
  hand_refer(&hand, 'k', REFERENCE_INDEX, NULL, 1, 'y');
  hand_build(&hand, NULL);
  expect_chain(&hand, 'x', "", 0);
  expect_chain(&hand, 'm', "Gvm", 0);
  expect_chain(&hand, 'y', "Gky", 0);
  hand_free(&hand);
}

/* G.e is an ephemeron table with [k] = x; k is at `depth`. */
static void expect_ephemeron(const char *keys, const char *letters, uint8_t tier) {
  struct hand hand;
  hand_tables(&hand, "abkxy");
  hand_add(&hand, 'e', OBJECT_TABLE, OBJECT_WEAK_KEYS);
  hand_add(&hand, 'f', OBJECT_C_FUNCTION, 0);
  hand_field(&hand, 'G', "e", 'e');
  hand_field(&hand, 'G', "f", 'f');
  hand_refer(&hand, 'e', REFERENCE_KEY, NULL, 0, 'k');
  hand_refer(&hand, 'e', REFERENCE_KEYED, NULL, 0, 'x');
  hand_field(&hand, 'x', "k", 'k'); /* does not help */
  hand_field(&hand, 'x', "y", 'y');
  for (; keys[1]; keys++) {
    bool is_function = *keys == 'f';
    hand_refer(&hand, *keys, is_function ? REFERENCE_UPVALUE : REFERENCE_FIELD, "next", 0, keys[1]);
  }
  hand_build(&hand, NULL);
  expect_chain(&hand, 'x', letters, tier);
  char longer[8] = "";
  if (*letters) snprintf(longer, sizeof longer, "%sy", letters);
  expect_chain(&hand, 'y', longer, tier);
  hand_free(&hand);
}

static void test_ephemerons(void **state) {
  (void)state;
  expect_ephemeron("G", "", 0);
  expect_ephemeron("Gk", "Gex", 0);
  expect_ephemeron("Gak", "Gex", 0);
  expect_ephemeron("Gabk", "Gex", 0);
  expect_ephemeron("fk", "Gex", 1); /* the key is found in tier 1 */
}

/* The value counts from the later of table and key: the detour over a and b wins. */
static void test_ephemeron_distance(void **state) {
  (void)state;
  struct hand hand;
  hand_tables(&hand, "abcdkx");
  hand_add(&hand, 'e', OBJECT_TABLE, OBJECT_WEAK_KEYS);
  hand_field(&hand, 'G', "e", 'e');
  hand_field(&hand, 'G', "a", 'a');
  hand_field(&hand, 'a', "b", 'b');
  hand_field(&hand, 'b', "x", 'x');
  hand_field(&hand, 'a', "c", 'c');
  hand_field(&hand, 'c', "k", 'k');
  hand_refer(&hand, 'e', REFERENCE_KEY, NULL, 0, 'k');
  hand_refer(&hand, 'e', REFERENCE_KEYED, NULL, 0, 'x');
  hand_build(&hand, NULL);
  expect_chain(&hand, 'x', "Gabx", 0);
  hand_free(&hand);
}

/* Two entries wait for one key, one of them in a table that is found later. */
static void test_ephemerons_with_one_key(void **state) {
  (void)state;
  struct hand hand;
  hand_tables(&hand, "abkxy");
  hand_add(&hand, 'e', OBJECT_TABLE, OBJECT_WEAK_KEYS);
  hand_add(&hand, 'd', OBJECT_TABLE, OBJECT_WEAK_KEYS);
  hand_field(&hand, 'G', "e", 'e');
  hand_field(&hand, 'G', "a", 'a');
  hand_field(&hand, 'a', "d", 'd');
  hand_field(&hand, 'a', "b", 'b');
  hand_field(&hand, 'b', "k", 'k');
  for (const char *table = "ed"; *table; table++) {
    hand_refer(&hand, *table, REFERENCE_KEY, NULL, 0, 'k');
    hand_refer(&hand, *table, REFERENCE_KEYED, NULL, 0, *table == 'e' ? 'x' : 'y');
  }
  hand_build(&hand, NULL);
  expect_chain(&hand, 'x', "Gex", 0);
  expect_chain(&hand, 'y', "Gady", 0);
  hand_free(&hand);
}

static void test_string_key_counts_as_settled(void **state) {
  (void)state;
  struct hand hand;
  hand_tables(&hand, "x");
  hand_add(&hand, 's', OBJECT_STRING, 0);
  hand_add(&hand, 'e', OBJECT_TABLE, OBJECT_WEAK_KEYS);
  hand_field(&hand, 'G', "e", 'e');
  hand_refer(&hand, 'e', REFERENCE_KEY, NULL, 0, 's');
  hand_refer(&hand, 'e', REFERENCE_FIELD, NULL, 0, 'x');
  hand_build(&hand, NULL);
  expect_chain(&hand, 'x', "Gex", 0);
  hand_free(&hand);
}

static void test_survivors_come_last(void **state) {
  (void)state;
  struct hand hand;
  hand_tables(&hand, "sxyk");
  hand_add(&hand, 'r', OBJECT_THREAD, 0);
  hand_add(&hand, 'e', OBJECT_TABLE, OBJECT_WEAK_KEYS);
  hand_root(&hand, ROOT_RUNNING_THREAD, 'r');
  hand_field(&hand, 'G', "s", 's');
  hand_field(&hand, 's', "x", 'x');
  hand_field(&hand, 's', "y", 'y');
  hand_refer(&hand, 'r', REFERENCE_MAYBE_STACK, NULL, 0, 'x');
  hand_field(&hand, 'G', "e", 'e');
  hand_refer(&hand, 'e', REFERENCE_KEY, NULL, 0, 's');
  hand_refer(&hand, 'e', REFERENCE_KEYED, NULL, 0, 'k');
  hand_build(&hand, NULL);
  expect_chain(&hand, 'k', "Gek", 0);
  hand_mark(&hand, &hand.survivors, "s");
  expect_chain(&hand, 's', "Gs", 0);
  expect_chain(&hand, 'x', "rx", 4);
  expect_chain(&hand, 'y', "Gsy", 5);
  expect_chain(&hand, 'k', "Gek", 5); /* its key is a survivor */
  hand_free(&hand);
}

static void test_barred_and_masked(void **state) {
  (void)state;
  struct hand hand;
  hand_tables(&hand, "abcx");
  static const char *const names[] = {"a", "b", "c"};
  for (size_t i = 0; i < 3; i++) {
    hand_field(&hand, 'G', names[i], names[i][0]);
    hand_field(&hand, names[i][0], names[i], 'x');
  }
  hand_build(&hand, NULL);
  expect_chain(&hand, 'x', "Gax", 0);
  hand_mark(&hand, &hand.barred, "a");
  expect_chain(&hand, 'a', "", 0);
  expect_chain(&hand, 'x', "Gbx", 0);
  hand.options.mask = &hand.mask;
  hand_mark(&hand, &hand.avoid, "b");
  expect_chain(&hand, 'x', "Gcx", 0);
  reference_id cut = graph_first(hand.graph, hand_id(&hand, 'c'));
  hand.mask.cut = &cut;
  hand.mask.cut_count = 1;
  expect_chain(&hand, 'x', "", 0);
  expect_chain(&hand, 'c', "Gc", 0);
  hand.mask.cut_count = 0;
  hand.mask.kinds &= ~(UINT32_C(1) << REFERENCE_FIELD);
  expect_chain(&hand, 'c', "", 0);
  hand_free(&hand);
}

static void test_from(void **state) {
  (void)state;
  struct hand hand;
  hand_tables(&hand, "abx");
  hand_field(&hand, 'G', "x", 'x');
  hand_field(&hand, 'a', "b", 'b');
  hand_field(&hand, 'b', "x", 'x');
  hand_build(&hand, NULL);
  object_id from[] = {hand_id(&hand, 'x'), hand_id(&hand, 'a')};
  hand.options.from = from + 1;
  hand.options.from_count = 1;
  expect_chain(&hand, 'x', "abx", 0);
  expect_chain(&hand, 'G', "", 0);
  hand.options.from = from;
  hand.options.from_count = 2;
  expect_chain(&hand, 'x', "x", 0);
  struct chains chains;
  struct chain chain;
  hand_search(&hand, &chains);
  assert_true(chains_get(hand.graph, &chains, &hand.options, hand_id(&hand, 'b'), &chain));
  assert_int_equal(chain.root, 1);
  vector_free(&chain);
  chains_free(&chains);
  hand_free(&hand);
}

static void test_targets_stop_the_search(void **state) {
  (void)state;
  struct hand hand;
  hand_tables(&hand, "axy");
  hand_add(&hand, 's', OBJECT_STRING, 0);
  hand_add(&hand, 't', OBJECT_STRING, 0);
  hand_field(&hand, 'G', "a", 'a');
  hand_field(&hand, 'G', "s", 's');
  hand_field(&hand, 'G', "t", 't');
  hand_field(&hand, 'a', "x", 'x');
  hand_field(&hand, 'x', "y", 'y');
  hand_build(&hand, NULL);
  expect_chain(&hand, 's', "Gs", 0);
  hand.options.targets = &hand.targets;
  hand_mark(&hand, &hand.targets, "xt");
  expect_chain(&hand, 'x', "Gax", 0);
  expect_chain(&hand, 't', "Gt", 0);
  expect_chain(&hand, 's', "", 0);
  expect_chain(&hand, 'y', "", 0);
  hand_free(&hand);
}

/* Of two holders of x at one distance, the better last reference decides; then the one before. */
static void test_ties(void **state) {
  (void)state;
  struct hand hand;
  hand_tables(&hand, "abcdx");
  hand_field(&hand, 'G', "1", 'b');
  hand_field(&hand, 'G', "2", 'a');
  hand_field(&hand, 'b', "n", 'x');
  hand_field(&hand, 'a', "m", 'x');
  hand_build(&hand, NULL);
  expect_chain(&hand, 'x', "Gax", 0); /* m < n */
  hand_free(&hand);

  hand_tables(&hand, "abcdx");
  hand_field(&hand, 'G', "2", 'b');
  hand_field(&hand, 'G', "1", 'a');
  hand_refer(&hand, 'b', REFERENCE_METATABLE, NULL, 0, 'x');
  hand_refer(&hand, 'a', REFERENCE_METATABLE, NULL, 0, 'x');
  hand_build(&hand, NULL);
  expect_chain(&hand, 'x', "Gax", 0); /* 1 < 2 */
  hand_free(&hand);

  hand_tables(&hand, "abcdx");
  hand_field(&hand, 'G', "l", 'c');
  hand_refer(&hand, 'c', REFERENCE_INDEX, NULL, 7, 'b');
  hand_refer(&hand, 'c', REFERENCE_INDEX, NULL, 3, 'a');
  hand_field(&hand, 'b', "v", 'x');
  hand_refer(&hand, 'b', REFERENCE_METATABLE, NULL, 0, 'd');
  hand_refer(&hand, 'a', REFERENCE_METATABLE, NULL, 0, 'd');
  hand_field(&hand, 'a', "v", 'x');
  hand_build(&hand, NULL);
  expect_chain(&hand, 'x', "Gcbx", 0); /* numbers are equal: the first in the row */
  hand_free(&hand);
}

/* Parallel references: the better kind, then the lesser name. */
static void test_parallel_references(void **state) {
  (void)state;
  struct hand hand;
  hand_tables(&hand, "x");
  hand_refer(&hand, 'G', REFERENCE_METATABLE, NULL, 0, 'x');
  hand_refer(&hand, 'G', REFERENCE_INDEX, NULL, 1, 'x');
  hand_field(&hand, 'G', "n", 'x');
  hand_field(&hand, 'G', "m", 'x');
  hand_build(&hand, NULL);
  struct chains chains;
  hand_search(&hand, &chains);
  assert_int_equal(chains_reference(hand.graph, &chains, hand_id(&hand, 'x')), 3);
  chains_free(&chains);
  hand_free(&hand);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_shorter_is_better),
      cmocka_unit_test(test_tiers),
      cmocka_unit_test(test_roots),
      cmocka_unit_test(test_stacks),
      cmocka_unit_test(test_settled_keeps_chain),
      cmocka_unit_test(test_weak),
      cmocka_unit_test(test_ephemerons),
      cmocka_unit_test(test_ephemeron_distance),
      cmocka_unit_test(test_ephemerons_with_one_key),
      cmocka_unit_test(test_string_key_counts_as_settled),
      cmocka_unit_test(test_survivors_come_last),
      cmocka_unit_test(test_barred_and_masked),
      cmocka_unit_test(test_from),
      cmocka_unit_test(test_targets_stop_the_search),
      cmocka_unit_test(test_ties),
      cmocka_unit_test(test_parallel_references),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
