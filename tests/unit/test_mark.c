/* test_mark.c - marking in graphs that are larger than the queue of mark.c, with ids in orders that
 * have little or nothing to do with reachability, against a plain search; and masks that cut. */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "analysis/mark.h"

struct model {
  uint32_t count;
  struct graph *graph;
  bool *reached;
};

static uint64_t state = 88172645463325252U;

static uint32_t random_below(uint32_t below) {
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  return (uint32_t)((state >> 20) % below);
}

static bool is_cut(const struct graph_mask *mask, reference_id reference) {
  for (size_t i = 0; mask && i < mask->cut_count; i++)
    if (mask->cut[i] == reference) return true;
  return false;
}

/* Everything reachable, by rounds over all references until nothing is new. */
static void search(struct model *model, const struct graph_mask *mask) {
  const struct graph *graph = model->graph;
  memset(model->reached, 0, model->count);
  for (size_t i = 0; i < graph->root_count; i++)
    if (!mask || mask_enters(mask, graph->roots[i].object))
      model->reached[graph->roots[i].object] = true;
  for (bool changed = true; changed;) {
    changed = false;
    for (object_id from = 0; from < model->count; from++) {
      if (!model->reached[from]) continue;
      reference_id end = graph_first(graph, (uint64_t)from + 1);
      for (reference_id i = graph_first(graph, from); i < end; i++) {
        bool is_ephemeron = graph->flags[from] & OBJECT_WEAK_KEYS;
        if (model->reached[graph->target[i]] || is_cut(mask, i)) continue;
        if (mask && !mask_enters(mask, graph->target[i])) continue;
        if (is_ephemeron &&
            (graph->kind[i] == REFERENCE_KEY || !model->reached[graph->target[i - 1]]))
          continue;
        model->reached[graph->target[i]] = changed = true;
      }
    }
  }
}

static void check(struct model *model, const struct graph_mask *mask) {
  struct bitset marked;
  struct marking marking;
  assert_true(bitset_init(&marked, model->count));
  assert_null(marking_init(&marking, model->graph, mask, NULL, &marked));
  marking_add_roots(&marking, true);
  assert_null(marking_run(&marking));
  search(model, mask);
  for (object_id i = 0; i < model->count; i++)
    assert_int_equal(bitset_has(&marked, i), model->reached[i]);
  marking_free(&marking);
  bitset_free(&marked);
}

/* `near`: how far a reference leads at most; 0: anywhere. */
static struct graph *make(uint32_t count, uint32_t per_object, uint32_t near, uint32_t ephemerons) {
  struct graph_builder *builder = graph_builder_create();
  for (uint32_t i = 0; i < count; i++)
    assert_true(graph_builder_object(builder, OBJECT_TABLE,
                                     random_below(100) < ephemerons ? OBJECT_WEAK_KEYS : 0, 64));
  for (uint32_t i = 0; i < count; i++) {
    uint32_t references = random_below(2 * per_object + 1);
    for (uint32_t j = 0; j < references; j++) {
      uint32_t key = random_below(count), to = random_below(count);
      if (near) to = (uint32_t)(((uint64_t)i + count + random_below(2 * near + 1) - near) % count);
      assert_true(graph_builder_reference(builder, i, REFERENCE_KEY, key, NULL, 0));
      assert_true(graph_builder_reference(builder, i, REFERENCE_KEYED, to, NULL, 0));
    }
  }
  assert_true(graph_builder_root(builder, ROOT_REGISTRY, random_below(count)));
  assert_true(graph_builder_root(builder, ROOT_MAIN_THREAD, random_below(count)));
  struct graph *graph = graph_builder_finish(builder);
  assert_non_null(graph);
  return graph;
}

static void check_all(struct graph *graph) {
  struct model model = {.count = graph->object_count, .graph = graph};
  model.reached = malloc(model.count);
  check(&model, NULL);
  reference_id cuts[3], from = graph_first(graph, graph->roots[0].object);
  uint32_t row = (uint32_t)(graph_first(graph, (uint64_t)graph->roots[0].object + 1) - from);
  size_t count = 0;
  for (uint32_t i = 0; i < 3; i++) {
    reference_id cut = i && row ? from + row * i / 3 : graph->reference_count / 2;
    size_t at = count++;
    for (; at && cuts[at - 1] > cut; at--)
      cuts[at] = cuts[at - 1];
    cuts[at] = cut;
  }
  struct graph_mask mask = {.kinds = ALL_KINDS, .cut = cuts, .cut_count = count};
  check(&model, &mask);
  struct bitset avoid;
  assert_true(bitset_init(&avoid, model.count));
  for (uint32_t i = 0; i < model.count / 10; i++)
    bitset_add(&avoid, random_below(model.count));
  mask.avoid = &avoid;
  check(&model, &mask);
  bitset_free(&avoid);
  free(model.reached);
  graph_builder_free_graph(graph);
}

static void test_random_order(void **unused) {
  (void)unused;
  for (int round = 0; round < 4; round++) {
    check_all(make(20000, 1, 0, 0));
    check_all(make(20000, 2, 0, 40));
    check_all(make(20000, 3, 50, 20));
  }
}

/* A star whose rays all lie behind its centre, each a list against the order of ids. */
static void test_backward(void **unused) {
  (void)unused;
  enum { RAYS = 5000, LENGTH = 4 };
  struct graph_builder *builder = graph_builder_create();
  for (uint32_t i = 0; i <= RAYS * LENGTH; i++)
    assert_true(graph_builder_object(builder, OBJECT_TABLE, 0, 64));
  for (uint32_t ray = 0; ray < RAYS; ray++) {
    uint32_t end = (ray + 1) * LENGTH - 1;
    assert_true(
        graph_builder_reference(builder, RAYS * LENGTH, REFERENCE_INDEX, end, NULL, ray + 1));
    for (uint32_t i = end; i > end + 1 - LENGTH; i--)
      assert_true(graph_builder_reference(builder, i, REFERENCE_FIELD, i - 1, NULL, 0));
  }
  assert_true(graph_builder_root(builder, ROOT_REGISTRY, RAYS * LENGTH));
  check_all(graph_builder_finish(builder));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_random_order),
      cmocka_unit_test(test_backward),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
