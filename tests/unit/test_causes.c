/* test_causes.c - survivors grouped: patterns, fingerprints, representatives, suspects and cut
 * checks on graphs by hand, and random graphs against patterns put together from whole chains. */
#include "chain_graph.h"

#include "analysis/causes.h"
#include "analysis/cuts.h"
#include "analysis/patterns.h"

static struct hand hand;
static struct chains chains;
static struct dominators dominators;
static object_id survivors[HAND_OBJECTS];
static size_t survivor_count;
static struct causes causes;

/* Tables, and _G, which is a real root here: collections and dominators know no named ones. */
static void make_tables(const char *letters) {
  hand_tables(&hand, letters);
  hand_root(&hand, ROOT_REGISTRY, 'G');
}

/* Builds the graph and groups the objects named. */
static void group_in_order(const char *letters, const uint32_t *order) {
  hand_build(&hand, order);
  hand_mark(&hand, &hand.survivors, letters);
  for (survivor_count = 0; letters[survivor_count]; survivor_count++)
    survivors[survivor_count] = hand_id(&hand, letters[survivor_count]);
  assert_null(chains_search(hand.graph, &hand.options, NULL, &chains));
  assert_null(dominators_compute(hand.graph, NULL, NULL, NULL, &dominators));
  assert_null(causes_group(hand.graph, &chains, &hand.options, &dominators, survivors,
                           survivor_count, NULL, &causes));
}

static void group(const char *letters) { group_in_order(letters, NULL); }

static void done(void) {
  causes_free(&causes);
  dominators_free(&dominators);
  chains_free(&chains);
  hand_free(&hand);
}

static const struct cause *expect_one(const char *pattern, size_t count) {
  assert_int_equal(causes.count, 1);
  assert_string_equal(causes.items[0].pattern, pattern);
  assert_int_equal(causes.items[0].count, count);
  return &causes.items[0];
}

/* Members of the first cause that go without its suspect. */
static size_t count_cut(void) {
  const struct cause *cause = &causes.items[0];
  struct cut cut = {.reference = cause->chain.items[cause->suspect].reference};
  struct collection collection;
  size_t freed;
  assert_null(collect(hand.graph, NULL, NULL, &collection));
  assert_null(cuts_judge(hand.graph, &collection, &dominators, &cut, 1, NULL));
  assert_null(cuts_count_freed(hand.graph, &dominators, &cut, causes.members + cause->first,
                               cause->count, NULL, &freed));
  collection_free(&collection);
  return freed;
}

/* The suspect is the step to `object`, which dominates `holds` members, `cut` of which it frees. */
static void expect_suspect(char object, size_t holds, size_t cut) {
  const struct cause *cause = &causes.items[0];
  assert_int_not_equal(cause->suspect, 0);
  assert_int_equal(cause->chain.items[cause->suspect].object, hand_id(&hand, object));
  assert_int_equal(cause->only_holder_of, holds);
  assert_true(cause->cut_frees == SIZE_MAX);
  assert_int_equal(count_cut(), cut);
}

/* ---- Patterns ---------------------------------------------------------------------------------
 */

/* package.loaded["game.room"].join, a function with an upvalue that holds rooms; its members xyz.
 */
static void make_room(void) {
  hand = (struct hand){0};
  hand_add(&hand, 'R', OBJECT_TABLE, 0);
  hand_add(&hand, 'L', OBJECT_TABLE, 0);
  hand_add(&hand, 'm', OBJECT_TABLE, 0);
  hand_add(&hand, 'f', OBJECT_LUA_FUNCTION, 0);
  hand_add(&hand, 'p', OBJECT_PROTOTYPE, 0);
  hand_add(&hand, 'u', OBJECT_UPVALUE, 0);
  hand_add(&hand, 'r', OBJECT_TABLE, 0);
  hand_add(&hand, 'l', OBJECT_TABLE, 0);
  for (const char *letter = "Mxyz"; *letter; letter++)
    hand_add(&hand, *letter, OBJECT_TABLE, 0);
  hand_name(&hand, 'f', "room.lua:41");
  hand_root(&hand, ROOT_REGISTRY, 'R');
  hand_root(&hand, ROOT_LOADED, 'L');
  hand_field(&hand, 'R', "_LOADED", 'L');
  hand_field(&hand, 'L', "game.room", 'm');
  hand_field(&hand, 'm', "join", 'f');
  hand_refer(&hand, 'f', REFERENCE_PROTOTYPE, NULL, 0, 'p');
  hand_refer(&hand, 'f', REFERENCE_UPVALUE, "rooms", 0, 'u');
  hand_refer(&hand, 'u', REFERENCE_UPVALUE_VALUE, NULL, 0, 'r');
  hand_field(&hand, 'r', "lobby", 'l');
  hand_field(&hand, 'l', "members", 'M');
  for (int i = 0; i < 3; i++)
    hand_refer(&hand, 'M', REFERENCE_INDEX, NULL, 3 - i, "xyz"[i]);
}

static void test_one_cause(void **state) {
  (void)state;
  make_room();
  group("yxz");
  const struct cause *cause = expect_one(
      "package.loaded[\"game.room\"].join@room.lua:41:upvalue(rooms).lobby.members[*]", 3);
  assert_true(cause->fingerprint == UINT64_C(0x5f8fd04c2ba96dbb));
  assert_string_equal(hand_letters(&hand, &cause->chain), "LmfurlMz"); /* [1] */
  assert_int_equal(cause->retained_bytes, 30);
  expect_suspect('M', 3, 3);
  for (size_t i = 0; i < 3; i++) {
    assert_int_equal(causes.members[i], survivors[i]);
    assert_int_equal(causes.cause_of[i], 0);
    assert_int_equal(causes.held_by[i], NO_OBJECT);
  }
  done();
}

static void test_roots(void **state) {
  (void)state;
  static const struct {
    enum root_kind kind;
    uint32_t index;
    const char *text;
  } cases[] = {
      {ROOT_GLOBALS, 0, "_G.x"},
      {ROOT_LOADED, 0, "package.loaded.x"},
      {ROOT_REGISTRY, 0, "registry.x"},
      {ROOT_MAIN_THREAD, 0, "main thread.x"},
      {ROOT_RUNNING_THREAD, 0, "running thread.x"},
      {ROOT_PENDING, 0, "pending finalizer.x"},
      {ROOT_BASIC_METATABLE, 0, "metatable of nil.x"},
      {ROOT_BASIC_METATABLE, 4, "metatable of strings.x"},
      {ROOT_BASIC_METATABLE, 99, "metatable.x"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    hand = (struct hand){0};
    hand_add(&hand, 'r', OBJECT_TABLE, 0);
    hand_add(&hand, 'x', OBJECT_TABLE, 0);
    hand_root(&hand, cases[i].kind, 'r');
    hand_field(&hand, 'r', "x", 'x');
    hand_build(&hand, NULL);
    hand.graph->roots[0].index = cases[i].index;
    object_id x = hand_id(&hand, 'x');
    assert_null(chains_search(hand.graph, &hand.options, NULL, &chains));
    assert_null(causes_group(hand.graph, &chains, &hand.options, NULL, &x, 1, NULL, &causes));
    const struct cause *cause = expect_one(cases[i].text, 1);
    assert_int_equal(cause->suspect, 0); /* without dominators */
    done();
  }
}

static void test_start_by_hand(void **state) {
  (void)state;
  make_tables("ax");
  hand_field(&hand, 'a', "x", 'x');
  hand_build(&hand, NULL);
  object_id a = hand_id(&hand, 'a'), x = hand_id(&hand, 'x');
  hand.options.from = &a;
  hand.options.from_count = 1;
  assert_null(chains_search(hand.graph, &hand.options, NULL, &chains));
  assert_null(causes_group(hand.graph, &chains, &hand.options, NULL, &x, 1, NULL, &causes));
  expect_one("start.x", 1);
  done();
}

/* Different keys make different causes, worst first; what nothing holds has none. */
static void test_several_causes(void **state) {
  (void)state;
  make_tables("abvwxyzn");
  hand_field(&hand, 'G', "a", 'a');
  hand_field(&hand, 'G', "b", 'b');
  hand_refer(&hand, 'a', REFERENCE_INDEX, NULL, 1, 'v');
  hand_refer(&hand, 'b', REFERENCE_INDEX, NULL, 1, 'x');
  hand_refer(&hand, 'b', REFERENCE_INDEX, NULL, 2, 'y');
  hand_refer(&hand, 'b', REFERENCE_METATABLE, NULL, 0, 'w');
  group("vwnyx");
  assert_int_equal(causes.count, 3);
  assert_string_equal(causes.items[0].pattern, "_G.b[*]");
  assert_int_equal(causes.items[0].count, 2);
  assert_true(causes.items[1].fingerprint < causes.items[2].fingerprint);
  assert_int_equal(causes.member_count, 4);
  static const char *const patterns[] = {"_G.a[*]", "_G.b:metatable", NULL, "_G.b[*]", "_G.b[*]"};
  for (size_t i = 0; i < 5; i++) {
    uint32_t cause = causes.cause_of[i];
    assert_int_equal(cause == UINT32_MAX, patterns[i] == NULL);
    if (!patterns[i]) continue;
    assert_string_equal(causes.items[cause].pattern, patterns[i]);
    bool found = false;
    for (size_t j = 0; j < causes.items[cause].count; j++)
      found |= causes.members[causes.items[cause].first + j] == survivors[i];
    assert_true(found);
  }
  done();
}

/* A list is one pattern from its fourth element on; so is whatever lies deeper than 64 tokens. */
static void test_repeated_tokens(void **state) {
  (void)state;
  make_tables("abcdefABCDEF");
  hand_field(&hand, 'G', "list", 'a');
  for (const char *l = "abcdef"; l[1]; l++)
    hand_field(&hand, l[0], "next", l[1]);
  for (const char *l = "abcdef"; *l; l++)
    hand_field(&hand, *l, "value", (char)(*l - 'a' + 'A'));
  group("ABCDEF");
  assert_int_equal(causes.count, 4);
  static const char *const patterns[] = {
      "_G.list.value",
      "_G.list.next.value",
      "_G.list.next.next.value",
      "_G.list.next.next(.next)+.value",
  };
  for (size_t i = 0; i < 6; i++)
    assert_string_equal(causes.items[causes.cause_of[i]].pattern, patterns[i < 3 ? i : 3]);
  const struct cause *cause = &causes.items[causes.cause_of[5]];
  assert_string_equal(hand_letters(&hand, &cause->chain), "GabcdD"); /* the shortest */
  done();

  make_tables("");
  for (char letter = '!'; letter < '{'; letter++)
    if (letter != 'G') hand_add(&hand, letter, OBJECT_TABLE, 0);
  for (uint32_t i = 0; i + 1 < hand.object_count; i++)
    hand_field(&hand, hand.objects[i].letter, i % 2 ? "odd" : "even", hand.objects[i + 1].letter);
  char last[3] = {hand.objects[80].letter, hand.objects[75].letter, 0};
  group(last);
  assert_int_equal(causes.count, 1);
  const char *pattern = causes.items[0].pattern;
  assert_int_equal(strncmp(pattern, "_G.even.odd.even", 16), 0);
  assert_string_equal(pattern + strlen(pattern) - 12, ".even.odd...");
  done();
}

/* ---- The representative -----------------------------------------------------------------------
 */

static void test_representative(void **state) {
  (void)state;
  make_tables("abcxyz");
  hand_field(&hand, 'G', "list", 'a');
  hand_refer(&hand, 'a', REFERENCE_INDEX, NULL, 12, 'b');
  hand_refer(&hand, 'a', REFERENCE_INDEX, NULL, 9, 'c');
  hand_field(&hand, 'b', "v", 'x');
  hand_field(&hand, 'c', "v", 'z');
  group("xz");
  assert_string_equal(hand_letters(&hand, &expect_one("_G.list[*].v", 2)->chain), "Gacz");
  expect_suspect('a', 2, 2);
  done();
}

/* ---- Through other survivors ------------------------------------------------------------------
 */

static object_id held_by(char object) {
  for (size_t i = 0; i < survivor_count; i++)
    if (survivors[i] == hand_id(&hand, object)) return causes.held_by[i];
  return NO_OBJECT;
}

static void test_held_by(void **state) {
  (void)state;
  make_tables("lxyzvti");
  hand_add(&hand, 'e', OBJECT_TABLE, OBJECT_WEAK_KEYS);
  hand_field(&hand, 'G', "list", 'l');
  hand_field(&hand, 'G', "cache", 'e');
  hand_refer(&hand, 'l', REFERENCE_INDEX, NULL, 1, 'z');
  hand_field(&hand, 'z', "peer", 'y'); /* directly */
  hand_field(&hand, 'y', "info", 'i');
  hand_field(&hand, 'i', "peer", 'x'); /* over another object */
  hand_refer(&hand, 'e', REFERENCE_KEY, NULL, 0, 'x');
  hand_refer(&hand, 'e', REFERENCE_KEYED, NULL, 0, 'v'); /* as the key of an entry */
  hand_field(&hand, 'v', "t", 't');
  group("tvxyz");
  const struct cause *cause = expect_one("_G.list[*]", 5);
  assert_string_equal(hand_letters(&hand, &cause->chain), "Glz");
  assert_int_equal(held_by('z'), NO_OBJECT);
  assert_int_equal(held_by('y'), hand_id(&hand, 'z'));
  assert_int_equal(held_by('x'), hand_id(&hand, 'y'));
  assert_int_equal(held_by('v'), hand_id(&hand, 'x'));
  assert_int_equal(held_by('t'), hand_id(&hand, 'v'));
  assert_int_equal(causes.members[0], hand_id(&hand, 'z')); /* held directly */
  assert_int_equal(causes.members[1], hand_id(&hand, 't'));
  assert_int_equal(causes.items[0].direct, 1);
  expect_suspect('l', 5, 5);
  done();
}

/* A survivor that nobody asked about still holds, and gives the cause its pattern. */
static void test_holder_not_listed(void **state) {
  (void)state;
  make_tables("hx");
  hand_field(&hand, 'G', "h", 'h');
  hand_field(&hand, 'h', "x", 'x');
  hand_build(&hand, NULL);
  hand_mark(&hand, &hand.survivors, "hx");
  object_id x = hand_id(&hand, 'x');
  assert_null(chains_search(hand.graph, &hand.options, NULL, &chains));
  assert_null(causes_group(hand.graph, &chains, &hand.options, NULL, &x, 1, NULL, &causes));
  assert_string_equal(hand_letters(&hand, &expect_one("_G.h", 1)->chain), "Ghx");
  assert_int_equal(causes.held_by[0], hand_id(&hand, 'h'));
  done();
}

/* The same with the key of an entry as holder; and such a holder is never the suspect. */
static void test_holder_is_key_not_listed(void **state) {
  (void)state;
  make_tables("hixyz");
  hand_add(&hand, 'e', OBJECT_TABLE, OBJECT_WEAK_KEYS);
  hand_refer(&hand, 'G', REFERENCE_INDEX, NULL, 1, 'h');
  hand_refer(&hand, 'G', REFERENCE_INDEX, NULL, 2, 'i');
  hand_field(&hand, 'G', "e", 'e');
  hand_field(&hand, 'h', "x", 'x');
  hand_field(&hand, 'i', "y", 'y');
  hand_refer(&hand, 'e', REFERENCE_KEY, NULL, 0, 'h');
  hand_refer(&hand, 'e', REFERENCE_KEYED, NULL, 0, 'z');
  hand_build(&hand, NULL);
  hand_mark(&hand, &hand.survivors, "hixyz");
  object_id list[] = {hand_id(&hand, 'z'), hand_id(&hand, 'x'), hand_id(&hand, 'y')};
  assert_null(chains_search(hand.graph, &hand.options, NULL, &chains));
  assert_null(dominators_compute(hand.graph, NULL, NULL, NULL, &dominators));
  assert_null(
      causes_group(hand.graph, &chains, &hand.options, &dominators, list, 1, NULL, &causes));
  expect_one("_G[*]", 1);
  assert_int_equal(causes.held_by[0], hand_id(&hand, 'h'));
  causes_free(&causes);
  assert_null(
      causes_group(hand.graph, &chains, &hand.options, &dominators, list + 1, 2, NULL, &causes));
  assert_string_equal(hand_letters(&hand, &expect_one("_G[*]", 2)->chain), "Ghx");
  assert_int_equal(causes.items[0].suspect, 0);
  done();
}

/* ---- Suspects ---------------------------------------------------------------------------------
 */

/* Two lists under one pattern, with 1 and 2 members: their common holder is the suspect. */
static void make_two_lists(const char *above) {
  make_tables("opabxyz");
  char from = 'G';
  for (; *above; above++) {
    hand_field(&hand, from, "o", *above);
    from = *above;
  }
  hand_refer(&hand, from, REFERENCE_INDEX, NULL, 1, 'a');
  hand_refer(&hand, from, REFERENCE_INDEX, NULL, 2, 'b');
  hand_refer(&hand, 'a', REFERENCE_INDEX, NULL, 1, 'x');
  hand_refer(&hand, 'b', REFERENCE_INDEX, NULL, 1, 'y');
  hand_refer(&hand, 'b', REFERENCE_INDEX, NULL, 2, 'z');
}

static void test_common_holder(void **state) {
  (void)state;
  make_two_lists("op");
  group("xyz");
  expect_one("_G.o.o[*][*]", 3);
  expect_suspect('p', 3, 3);
  done();
}

/* Where only the start is common to all, the object of the chain that holds most. */
static void test_holder_of_most(void **state) {
  (void)state;
  make_two_lists("");
  group("xyz");
  assert_string_equal(hand_letters(&hand, &expect_one("_G[*][*]", 3)->chain), "Gax");
  expect_suspect('a', 1, 1);
  done();
}

static void test_no_suspect(void **state) {
  (void)state;
  make_tables("xy");
  hand_refer(&hand, 'G', REFERENCE_INDEX, NULL, 1, 'x');
  hand_refer(&hand, 'G', REFERENCE_INDEX, NULL, 2, 'y');
  group("xy");
  expect_one("_G[*]", 2);
  assert_int_equal(causes.items[0].suspect, 0);
  done();
}

/* A forgotten global: nothing but the start holds it, so the reference to itself is the suspect. */
static void test_directly_on_the_start(void **state) {
  (void)state;
  make_tables("xy");
  hand_field(&hand, 'G', "forgotten", 'x');
  hand_field(&hand, 'x', "child", 'y');
  group("xy");
  expect_one("_G.forgotten", 2);
  expect_suspect('x', 2, 2);
  done();
}

/* Also held from elsewhere: dominated less, and not freed by the cut. */
static void test_held_twice(void **state) {
  (void)state;
  make_tables("otlxyz");
  hand_add(&hand, 'r', OBJECT_THREAD, 0);
  hand_root(&hand, ROOT_RUNNING_THREAD, 'r');
  hand_field(&hand, 'G', "l", 'l');
  for (int i = 0; i < 3; i++)
    hand_refer(&hand, 'l', REFERENCE_INDEX, NULL, i + 1, "xyz"[i]);
  hand_refer(&hand, 'r', REFERENCE_STACK, "self", 0, 'y');
  group("xyz");
  expect_one("_G.l[*]", 3);
  expect_suspect('l', 2, 2); /* nothing dominates y: the one that holds most */
  done();
}

/* What two members hold together is retained by the cause, though by neither of them; what is held
 * from elsewhere, too, is not. Members of another cause do not share it. */
static void test_retained_together(void **state) {
  (void)state;
  make_tables("lmxyzst");
  hand_field(&hand, 'G', "l", 'l');
  hand_field(&hand, 'G', "m", 'm');
  hand_field(&hand, 'G', "t", 't');
  for (int i = 0; i < 3; i++)
    hand_refer(&hand, i < 2 ? 'l' : 'm', REFERENCE_INDEX, NULL, i + 1, "xyz"[i]);
  for (int i = 0; i < 3; i++)
    hand_refer(&hand, "xyz"[i], REFERENCE_INDEX, NULL, 1, i < 2 ? 's' : 't');
  hand_refer(&hand, 'x', REFERENCE_INDEX, NULL, 2, 't');
  group("xyz");
  assert_int_equal(causes.count, 2);
  uint64_t one = dominators.retained[hand_id(&hand, 's')];
  assert_int_equal(causes.items[0].retained_bytes, 3 * one);
  assert_int_equal(causes.items[1].retained_bytes, one);
  done();
}

/* The suspect is an upvalue: one step with its value, here the survivor itself. */
static void test_upvalue_is_suspect(void **state) {
  (void)state;
  make_tables("x");
  hand_add(&hand, 'f', OBJECT_LUA_FUNCTION, 0);
  hand_add(&hand, 'u', OBJECT_UPVALUE, 0);
  hand_field(&hand, 'G', "f", 'f');
  hand_refer(&hand, 'f', REFERENCE_UPVALUE, "last", 0, 'u');
  hand_refer(&hand, 'u', REFERENCE_UPVALUE_VALUE, NULL, 0, 'x');
  group("x");
  expect_one("_G.f:upvalue(last)", 1);
  expect_suspect('x', 1, 1);
  assert_int_equal(causes.items[0].suspect, 3);
  done();
}

/* The dominator of an ephemeron's value is its key, which is not on the chain: skipped upwards. */
static void test_dominator_not_on_chain(void **state) {
  (void)state;
  make_tables("aokx");
  hand_add(&hand, 'e', OBJECT_TABLE, OBJECT_WEAK_KEYS);
  hand_field(&hand, 'G', "a", 'a');
  hand_field(&hand, 'a', "e", 'e');
  hand_field(&hand, 'a', "o", 'o');
  hand_field(&hand, 'o', "k", 'k');
  hand_refer(&hand, 'e', REFERENCE_KEY, NULL, 0, 'k');
  hand_refer(&hand, 'e', REFERENCE_KEYED, NULL, 0, 'x');
  group("x");
  assert_string_equal(hand_letters(&hand, &expect_one("_G.a.e[table]", 1)->chain), "Gaex");
  expect_suspect('a', 1, 1);
  done();
}

/* An unreachable object with a finalizer stays for one collection more, but is no longer a leak. */
static void test_cut_check_with_finalizers(void **state) {
  (void)state;
  make_tables("l");
  hand_add(&hand, 'x', OBJECT_USERDATA, OBJECT_HAS_FINALIZER);
  hand_field(&hand, 'G', "l", 'l');
  hand_refer(&hand, 'l', REFERENCE_INDEX, NULL, 1, 'x');
  group("x");
  expect_suspect('l', 1, 1);
  done();
}

/* ---- Many -------------------------------------------------------------------------------------
 */

/* 50,000 closures of one prototype, each of which holds a survivor: names of upvalues are read
 * once. In the order of their keys they lie in the table's array. */
static void group_closures(bool in_array) {
  struct graph_builder *builder = graph_builder_create();
  uint32_t count = 50000, first = 3;
  assert_true(graph_builder_object(builder, OBJECT_TABLE, 0, 1));
  assert_true(graph_builder_object(builder, OBJECT_TABLE, 0, 1));
  assert_true(graph_builder_object(builder, OBJECT_PROTOTYPE, 0, 1));
  assert_true(graph_builder_root(builder, ROOT_GLOBALS, 0));
  assert_true(graph_builder_root(builder, ROOT_REGISTRY, 0));
  assert_true(graph_builder_reference(builder, 0, REFERENCE_FIELD, 1, "timers", 0));
  object_id *list = malloc(count * sizeof *list);
  assert_non_null(list);
  for (uint32_t i = 0; i < count; i++) {
    object_id function = first + 3 * i, upvalue = function + 1;
    list[i] = function + 2;
    assert_true(graph_builder_object(builder, OBJECT_LUA_FUNCTION, 0, 1));
    assert_true(graph_builder_object(builder, OBJECT_UPVALUE, 0, 1));
    assert_true(graph_builder_object(builder, OBJECT_TABLE, 0, 1));
    assert_true(graph_builder_name(builder, function, "timer.lua:7"));
    assert_true(graph_builder_reference(builder, 1, REFERENCE_INDEX, function, NULL,
                                        in_array ? i + 1 : count - i));
    assert_true(graph_builder_reference(builder, function, REFERENCE_PROTOTYPE, 2, NULL, 0));
    assert_true(graph_builder_reference(builder, function, REFERENCE_UPVALUE, upvalue, "npc", 0));
    assert_true(
        graph_builder_reference(builder, upvalue, REFERENCE_UPVALUE_VALUE, list[i], NULL, 0));
  }
  struct graph *graph = graph_builder_finish(builder);
  hand_count_labels(graph);
  struct chains_options options = {0};
  struct bitset set;
  assert_true(bitset_init(&set, graph->object_count));
  for (uint32_t i = 0; i < count; i++)
    bitset_add(&set, list[i]);
  options.survivors = &set;
  assert_null(chains_search(graph, &options, NULL, &chains));
  assert_null(dominators_compute(graph, NULL, NULL, NULL, &dominators));
  hand_labels_read = 0;
  assert_null(causes_group(graph, &chains, &options, &dominators, list, count, NULL, &causes));
  const struct cause *cause = expect_one("_G.timers[*]@timer.lua:7:upvalue(npc)", count);
  assert_int_equal(cause->chain.items[4].object, list[in_array ? 0 : count - 1]); /* [1] */
  assert_int_equal(cause->suspect, 1);
  assert_int_equal(cause->only_holder_of, count);
  size_t each = in_array ? 0 : 1; /* indexes: once for form, once for value */
  assert_in_range(hand_labels_read, each * count, 2 * each * count + 10);
  causes_free(&causes);
  dominators_free(&dominators);
  chains_free(&chains);
  bitset_free(&set);
  free(list);
  graph_builder_free_graph(graph);
}

static void test_many_closures(void **state) {
  (void)state;
  group_closures(false);
  group_closures(true);
}

static bool stop(void *context, const char *phase, double share) {
  (void)context;
  assert_string_equal(phase, "causes");
  assert_true(share <= 1);
  return true;
}

static void test_interruption(void **state) {
  (void)state;
  make_room();
  group("xyz");
  causes_free(&causes);
  struct work work = {.report = stop};
  struct inspect_error *error = causes_group(hand.graph, &chains, &hand.options, &dominators,
                                             survivors, survivor_count, &work, &causes);
  assert_non_null(error);
  assert_int_equal(error->code, INSPECT_ERROR_INTERRUPTED);
  assert_int_equal(causes.count, 0);
  inspect_error_free(error);
  done();
}

/* ---- The model --------------------------------------------------------------------------------
 */

static bool is_survivor(object_id object) { return bitset_has(&hand.survivors, object); }

/* The survivor nearest on the object's chain, by the rules of causes.h. */
static object_id model_holder(const struct chain *chain) {
  for (size_t i = chain->count - 1; i-- > 0;) {
    object_id from = chain->items[i].object;
    reference_id reference = chain->items[i + 1].reference;
    if (is_survivor(from)) return from;
    if (!graph_is_ephemeron_value(hand.graph->flags[from], hand.graph->kind[reference])) continue;
    object_id key = hand.graph->target[reference - 1];
    if (is_survivor(key)) return key;
  }
  return NO_OBJECT;
}

static void model_pattern(const struct chain *chain, struct text *text) {
  static const char *const roots[] = {[ROOT_GLOBALS] = "_G",
                                      [ROOT_LOADED] = "package.loaded",
                                      [ROOT_REGISTRY] = "registry",
                                      [ROOT_RUNNING_THREAD] = "running thread",
                                      [ROOT_PENDING] = "pending finalizer",
                                      [ROOT_MAIN_THREAD] = "main thread"};
  char tokens[HAND_OBJECTS][128];
  size_t count = 0, run = 0;
  assert_true(text_add_string(text, roots[hand.graph->roots[chain->root].kind]));
  for (size_t i = 1; i < chain->count; i++) {
    struct text token = {0};
    object_id from = chain->items[i - 1].object;
    const char *name = hand.objects[hand.number[from]].name;
    if (hand.graph->type[from] == OBJECT_LUA_FUNCTION && name)
      assert_true(text_printf(&token, "@%s", name));
    assert_true(graph_token(hand.graph, from, chain->items[i].reference, &token));
    assert_true(token.count < 128);
    if (token.count) memcpy(tokens[count], token.items, token.count);
    tokens[count][token.count] = 0;
    vector_free(&token);
    if (!tokens[count][0]) continue;
    count++;
  }
  for (size_t i = 0; i < count; i += run) {
    for (run = 1; i + run < count && !strcmp(tokens[i], tokens[i + run]);)
      run++;
    for (size_t j = 0; j < run && j < 2; j++)
      assert_true(text_add_string(text, tokens[i]));
    if (run > 2) assert_true(text_printf(text, "(%s)+", tokens[i]));
  }
  assert_true(text_add(text, "", 1));
}

/* The last object before the end that is no survivor and dominates all members. */
static size_t model_suspect(const struct cause *cause) {
  size_t result = 0;
  for (size_t i = 1; i + 1 < cause->chain.count; i++) {
    object_id object = cause->chain.items[i].object;
    bool all = !is_survivor(object);
    for (size_t j = 0; j < cause->count; j++)
      all &= dominators_dominates(&dominators, object, causes.members[cause->first + j]);
    if (all) result = i + (hand.graph->type[object] == OBJECT_UPVALUE);
  }
  return result;
}

static void check_survivor(size_t i) {
  struct chain chain;
  object_id object = survivors[i];
  bool found = chains_get(hand.graph, &chains, &hand.options, object, &chain);
  assert_int_equal(found, causes.cause_of[i] != UINT32_MAX);
  if (!found) return;
  object_id holder = model_holder(&chain);
  assert_int_equal(causes.held_by[i], holder);
  for (; holder != NO_OBJECT; holder = model_holder(&chain)) {
    vector_free(&chain);
    assert_true(chains_get(hand.graph, &chains, &hand.options, holder, &chain));
  }
  struct text text = {0};
  model_pattern(&chain, &text);
  const struct cause *cause = &causes.items[causes.cause_of[i]];
  assert_string_equal(cause->pattern, text.items);
  assert_true(cause->fingerprint == patterns_hash(text.items, text.count - 1));
  vector_free(&text);
  vector_free(&chain);
}

static void check_causes(void) {
  size_t members = 0;
  for (size_t i = 0; i < survivor_count; i++)
    check_survivor(i);
  for (size_t i = 0; i < causes.count; i++) {
    const struct cause *cause = &causes.items[i];
    members += cause->count;
    for (size_t j = 0; j < i; j++)
      assert_string_not_equal(cause->pattern, causes.items[j].pattern);
    if (i) assert_true(causes.items[i - 1].retained_bytes >= cause->retained_bytes);
    size_t suspect = model_suspect(cause);
    if (suspect) {
      assert_int_equal(cause->suspect, suspect);
      assert_int_equal(cause->only_holder_of, cause->count);
    } else if (cause->only_holder_of == cause->count) { /* the representative itself, see above */
      assert_int_equal(cause->suspect, cause->chain.count - 1);
    }
    for (size_t j = 0; j < cause->count; j++) {
      size_t k = 0;
      while (survivors[k] != causes.members[cause->first + j])
        k++;
      assert_int_equal(causes.cause_of[k], i);
    }
  }
  assert_int_equal(members, causes.member_count);
}

static void describe(struct text *text) {
  for (size_t i = 0; i < causes.count; i++) {
    const struct cause *cause = &causes.items[i];
    assert_true(text_printf(text, "%s %zu %zu %zu ", cause->pattern, cause->count, cause->suspect,
                            cause->only_holder_of));
    hand_spell(&hand, &cause->chain, text);
    assert_true(text_add_string(text, "\n"));
  }
  assert_true(text_add(text, "", 1));
}

static void test_against_model(void **state) {
  (void)state;
  static const char *const names[] = {"a.lua:1", "a.lua:9", "b.lua:1"};
  for (unsigned seed = 1; seed <= 1500; seed++) {
    uint64_t random = seed * UINT64_C(0x9e3779b97f4a7c15);
    uint32_t objects = 2 + hand_random(&random, 50), order[HAND_OBJECTS];
    hand_randomise(&hand, &random, objects, hand_random(&random, 4 * objects));
    char letters[HAND_OBJECTS + 1];
    size_t count = 0;
    for (uint32_t i = 0; i < objects; i++) {
      enum object_type type = hand.objects[i].type;
      /* one name for all, as closures of one prototype are of one line */
      if (type == OBJECT_LUA_FUNCTION && seed % 4) hand.objects[i].name = names[seed % 3];
      bool may_leak = type == OBJECT_TABLE || type == OBJECT_USERDATA;
      if (may_leak && !hand_random(&random, 3)) letters[count++] = hand.objects[i].letter;
    }
    letters[count] = 0;
    struct text texts[2] = {{0}, {0}};
    hand_shuffle(&hand, &random, order);
    for (size_t i = 0; i < 2; i++) {
      group_in_order(letters, i ? order : NULL);
      check_causes();
      describe(&texts[i]);
      done();
    }
    assert_string_equal(texts[0].items, texts[1].items);
    vector_free(&texts[0]);
    vector_free(&texts[1]);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_one_cause),
      cmocka_unit_test(test_roots),
      cmocka_unit_test(test_start_by_hand),
      cmocka_unit_test(test_several_causes),
      cmocka_unit_test(test_repeated_tokens),
      cmocka_unit_test(test_representative),
      cmocka_unit_test(test_held_by),
      cmocka_unit_test(test_holder_not_listed),
      cmocka_unit_test(test_holder_is_key_not_listed),
      cmocka_unit_test(test_common_holder),
      cmocka_unit_test(test_holder_of_most),
      cmocka_unit_test(test_no_suspect),
      cmocka_unit_test(test_directly_on_the_start),
      cmocka_unit_test(test_held_twice),
      cmocka_unit_test(test_retained_together),
      cmocka_unit_test(test_upvalue_is_suspect),
      cmocka_unit_test(test_dominator_not_on_chain),
      cmocka_unit_test(test_cut_check_with_finalizers),
      cmocka_unit_test(test_many_closures),
      cmocka_unit_test(test_interruption),
      cmocka_unit_test(test_against_model),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
