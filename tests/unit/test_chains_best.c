/* test_chains_best.c - the k best chains: a graph by hand for each preference. */
#include "chain_graph.h"

/* All chains to x, up to `k`, separated by blanks. */
static void expect_best(struct hand *hand, size_t k, const char *expected) {
  struct chain best[8];
  size_t count;
  char text[256] = "";
  assert_null(
      chains_best(hand->graph, &hand->options, hand_id(hand, 'x'), k, NULL, best, &count, NULL));
  for (size_t i = 0; i < count; i++) {
    if (i) strcat(text, " ");
    strcat(text, hand_letters(hand, &best[i]));
    vector_free(&best[i]);
  }
  assert_string_equal(text, expected);
}

/* By tier, then length; survivors last; not over registry[2] to _G. */
static void test_best_order(void **state) {
  (void)state;
  struct hand hand;
  hand_tables(&hand, "abcsRx");
  hand_add(&hand, 'f', OBJECT_C_FUNCTION, 0);
  hand_add(&hand, 't', OBJECT_THREAD, 0);
  hand_root(&hand, ROOT_REGISTRY, 'R');
  hand_root(&hand, ROOT_MAIN_THREAD, 't');
  hand_refer(&hand, 'R', REFERENCE_INDEX, NULL, 2, 'G');
  hand_refer(&hand, 'R', REFERENCE_INDEX, NULL, 1, 't');
  hand_field(&hand, 'R', "x", 'x');
  hand_field(&hand, 'G', "s", 's');
  hand_field(&hand, 's', "x", 'x');
  hand_field(&hand, 'G', "a", 'a');
  hand_field(&hand, 'a', "b", 'b');
  hand_field(&hand, 'b', "x", 'x');
  hand_field(&hand, 'b', "a", 'a'); /* no way around */
  hand_field(&hand, 'x', "c", 'c');
  hand_field(&hand, 'c', "x", 'x');
  hand_field(&hand, 'G', "f", 'f');
  hand_refer(&hand, 'f', REFERENCE_UPVALUE, NULL, 1, 'x');
  hand_refer(&hand, 't', REFERENCE_STACK, "x", 0, 'x');
  hand_build(&hand, NULL);
  expect_best(&hand, 8, "Gsx Gabx Gfx Rx tx");
  expect_best(&hand, 3, "Gsx Gabx Gfx");
  expect_best(&hand, 1, "Gsx");
  hand_mark(&hand, &hand.survivors, "sx");
  expect_best(&hand, 8, "Gabx Gfx Rx tx Gsx");
  hand_mark(&hand, &hand.barred, "ab");
  expect_best(&hand, 8, "Gfx Rx tx Gsx");
  hand_mark(&hand, &hand.barred, "x");
  expect_best(&hand, 8, "");
  hand_free(&hand);
}

/* An entry needs the tier of its key, and a key that does not live by what the entry holds. */
static void test_best_with_ephemerons(void **state) {
  (void)state;
  struct hand hand;
  hand_tables(&hand, "akox");
  hand_add(&hand, 'e', OBJECT_TABLE, OBJECT_WEAK_KEYS);
  hand_add(&hand, 'f', OBJECT_C_FUNCTION, 0);
  hand_field(&hand, 'G', "e", 'e');
  hand_field(&hand, 'G', "f", 'f');
  hand_field(&hand, 'G', "a", 'a');
  hand_field(&hand, 'a', "o", 'o');
  hand_field(&hand, 'o', "x", 'x');
  hand_refer(&hand, 'f', REFERENCE_UPVALUE, NULL, 1, 'k');
  hand_refer(&hand, 'e', REFERENCE_KEY, NULL, 0, 'k');
  hand_refer(&hand, 'e', REFERENCE_KEYED, NULL, 0, 'x');
  hand_build(&hand, NULL);
  expect_best(&hand, 8, "Gaox Gex"); /* Gex is shorter, but of tier 1 */
  hand_mark(&hand, &hand.barred, "o");
  expect_best(&hand, 8, "Gex");
  hand_mark(&hand, &hand.survivors, "k");
  expect_best(&hand, 8, "Gex");
  hand_free(&hand);

  hand_tables(&hand, "kx");
  hand_add(&hand, 'e', OBJECT_TABLE, OBJECT_WEAK_KEYS);
  hand_field(&hand, 'G', "e", 'e');
  hand_field(&hand, 'G', "x", 'x');
  hand_field(&hand, 'x', "k", 'k');
  hand_refer(&hand, 'e', REFERENCE_KEY, NULL, 0, 'k');
  hand_refer(&hand, 'e', REFERENCE_KEYED, NULL, 0, 'x');
  hand_build(&hand, NULL);
  expect_best(&hand, 8, "Gx"); /* without G.x the key goes, and x with it */
  hand_free(&hand);
}

/* The key of an entry is a survivor: over the entry comes last. */
static void test_best_with_survivors_as_keys(void **state) {
  (void)state;
  struct hand hand;
  hand_tables(&hand, "kx");
  hand_add(&hand, 'e', OBJECT_TABLE, OBJECT_WEAK_KEYS);
  hand_add(&hand, 't', OBJECT_THREAD, 0);
  hand_root(&hand, ROOT_MAIN_THREAD, 't');
  hand_field(&hand, 'G', "e", 'e');
  hand_field(&hand, 'G', "k", 'k');
  hand_refer(&hand, 't', REFERENCE_STACK, "x", 0, 'x');
  hand_refer(&hand, 'e', REFERENCE_KEY, NULL, 0, 'k');
  hand_refer(&hand, 'e', REFERENCE_KEYED, NULL, 0, 'x');
  hand_build(&hand, NULL);
  expect_best(&hand, 8, "Gex tx");
  hand_mark(&hand, &hand.survivors, "k");
  expect_best(&hand, 8, "tx Gex");
  hand_free(&hand);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_best_order),
      cmocka_unit_test(test_best_with_ephemerons),
      cmocka_unit_test(test_best_with_survivors_as_keys),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
