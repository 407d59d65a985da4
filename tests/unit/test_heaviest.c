/* test_heaviest.c - the top of the dominator tree of small random heaps: children, order and what
 * is left out, against the whole tree looked at object by object. */
#include "random_heap.h"

#include "analysis/heaviest.h"

struct tree {
  struct random_heap heap;
  struct dominators dominators;
  struct heaviest_options options;
  struct heaviest found;
};

/* All children of `parent`, the largest first, then by address (which is the id here). */
static uint32_t children_of(const struct tree *tree, object_id parent, bool is_first,
                            object_id *children) {
  const struct dominators *dominators = &tree->dominators;
  uint32_t count = 0;
  for (object_id i = 0; i < tree->heap.count; i++) {
    if (!dominators->enter[i] || dominators->parent[i] != parent) continue;
    if (is_first && tree->options.among && !bitset_has(tree->options.among, i)) continue;
    uint32_t at = count++;
    for (; at && dominators->retained[children[at - 1]] < dominators->retained[i]; at--)
      children[at] = children[at - 1];
    children[at] = i;
  }
  return count;
}

static void check_children(const struct tree *tree, object_id parent, uint32_t position,
                           uint32_t first, uint32_t count, const struct heavy_rest *rest) {
  object_id children[HEAP_OBJECTS];
  bool is_first = position == NO_HEAVY;
  uint32_t all = children_of(tree, parent, is_first, children), listed = 0;
  struct heavy_rest left = {0};
  for (uint32_t i = 0; i < all; i++) {
    uint64_t retained = tree->dominators.retained[children[i]];
    if (listed < tree->options.limit && (is_first || retained >= tree->options.least)) {
      assert_true(listed < count);
      const struct heavy *heavy = &tree->found.list.items[first + listed++];
      assert_int_equal(heavy->object, children[i]);
      assert_int_equal(heavy->parent, position);
      assert_int_equal(heavy->depth, is_first ? 1 : tree->found.list.items[position].depth + 1);
      continue;
    }
    left.count++;
    left.bytes += retained;
    for (object_id j = 0; j < tree->heap.count; j++)
      left.objects += dominators_dominates(&tree->dominators, children[i], j);
  }
  assert_int_equal(listed, count);
  assert_int_equal(left.count, rest->count);
  assert_int_equal(left.bytes, rest->bytes);
  assert_int_equal(left.objects, rest->objects);
}

static size_t check_tree(struct tree *tree) {
  assert_null(
      heaviest_find(tree->heap.graph, &tree->dominators, &tree->options, NULL, &tree->found));
  const struct heaviest *found = &tree->found;
  check_children(tree, tree->options.top, NO_HEAVY, 0, found->first_count, &found->rest);
  size_t counted = found->first_count, deepest = 0;
  for (uint32_t i = 0; i < found->list.count; i++) {
    const struct heavy *heavy = &found->list.items[i];
    if (heavy->depth > deepest) deepest = heavy->depth;
    if (heavy->depth == tree->options.depth)
      assert_int_equal(heavy->count + heavy->rest.count, 0);
    else
      check_children(tree, heavy->object, i, heavy->first, heavy->count, &heavy->rest);
    counted += heavy->count;
  }
  assert_int_equal(counted, found->list.count);
  heaviest_free(&tree->found);
  return deepest;
}

static void test_like_the_whole_tree(void **state) {
  (void)state;
  size_t deepest = 0;
  for (uint64_t seed = 1; seed <= 2000; seed++) {
    struct tree tree = {0};
    struct bitset among;
    heap_create(&tree.heap, seed);
    assert_true(bitset_init(&among, tree.heap.count));
    for (object_id i = 0; i < tree.heap.count; i += 1 + (object_id)(seed % 2))
      bitset_add(&among, i);
    assert_null(dominators_compute(tree.heap.graph, NULL, NULL, NULL, &tree.dominators));
    tree.options = (struct heaviest_options){.top = NO_OBJECT,
                                             .among = seed % 3 ? NULL : &among,
                                             .depth = 1 + (uint32_t)(seed % 6),
                                             .limit = 1 + (uint32_t)(seed % 5),
                                             .least = seed % 4 ? 0 : 100};
    size_t depth = check_tree(&tree);
    if (depth > deepest) deepest = depth;
    tree.options.among = NULL;
    for (tree.options.top = 0; tree.options.top < tree.heap.count; tree.options.top++)
      if (tree.dominators.enter[tree.options.top]) check_tree(&tree);
    dominators_free(&tree.dominators);
    bitset_free(&among);
    heap_free(&tree.heap);
  }
  assert_true(deepest >= 4);
}

static bool stop(void *context, const char *phase, double share) {
  (void)context, (void)phase, (void)share;
  return true;
}

static void test_interrupted(void **state) {
  (void)state;
  struct tree tree = {0};
  heap_create(&tree.heap, 5);
  assert_null(dominators_compute(tree.heap.graph, NULL, NULL, NULL, &tree.dominators));
  tree.options = (struct heaviest_options){.top = NO_OBJECT, .depth = 3, .limit = 3};
  struct work work = {.report = stop};
  struct inspect_error *error =
      heaviest_find(tree.heap.graph, &tree.dominators, &tree.options, &work, &tree.found);
  assert_int_equal(error->code, INSPECT_ERROR_INTERRUPTED);
  inspect_error_free(error);
  assert_int_equal(tree.found.list.count, 0);
  dominators_free(&tree.dominators);
  heap_free(&tree.heap);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_like_the_whole_tree),
      cmocka_unit_test(test_interrupted),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
