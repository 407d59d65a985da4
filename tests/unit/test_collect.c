/* test_collect.c - the computed full collection: hand-written graphs for each rule, and random
 * heaps against a model that does what lgc.c does, entry by entry, without any of our shortcuts. */
#include "random_heap.h"

#include "analysis/collect.h"

/* ---- Hand-written graphs ----------------------------------------------------------------------
 */

static struct graph_builder *builder;
static object_id made;

static object_id object(enum object_type type, uint8_t flags) {
  assert_true(graph_builder_object(builder, type, flags, 10));
  return made++;
}

static void refer(object_id from, enum reference_kind kind, object_id to) {
  assert_true(graph_builder_reference(builder, from, kind, to, NULL, 1));
}

static void root(enum root_kind kind, object_id of) {
  assert_true(graph_builder_root(builder, kind, of));
}

static void begin(void) {
  builder = graph_builder_create();
  assert_non_null(builder);
  made = 0;
}

/* A table held by the registry; the registry is object 0. */
static object_id begin_with_table(uint8_t flags) {
  begin();
  object_id registry = object(OBJECT_TABLE, 0), table = object(OBJECT_TABLE, flags);
  root(ROOT_REGISTRY, registry);
  refer(registry, REFERENCE_INDEX, table);
  return table;
}

/* 'L' live, 'f' finalizer, '.' gone: one letter per object. */
static void expect_masked(const char *expected, const struct graph_mask *mask) {
  struct graph *graph = graph_builder_finish(builder);
  assert_non_null(graph);
  struct collection collection;
  assert_null(collect(graph, mask, NULL, &collection));
  char found[64] = {0};
  for (object_id i = 0; i < graph->object_count; i++) {
    bool live = bitset_has(&collection.live, i), due = bitset_has(&collection.finalizer, i);
    assert_false(live && due);
    assert_int_equal(collection_leaves(&collection, i), live || due);
    found[i] = live ? 'L' : due ? 'f' : '.';
  }
  assert_string_equal(found, expected);
  collection_free(&collection);
  graph_builder_free_graph(graph);
}

static void expect(const char *expected) { expect_masked(expected, NULL); }

static void test_empty(void **state) {
  (void)state;
  begin();
  expect("");
}

static void test_strong(void **state) {
  (void)state;
  object_id table = begin_with_table(0);
  object_id key = object(OBJECT_USERDATA, 0), value = object(OBJECT_TABLE, 0);
  object(OBJECT_TABLE, 0);
  refer(table, REFERENCE_KEY, key);
  refer(table, REFERENCE_KEYED, value);
  refer(value, REFERENCE_METATABLE, value);
  expect("LLLL.");
}

static void test_roots(void **state) {
  (void)state;
  begin();
  static const enum root_kind kinds[] = {ROOT_MAIN_THREAD,     ROOT_RUNNING_THREAD, ROOT_REGISTRY,
                                         ROOT_BASIC_METATABLE, ROOT_PENDING,        ROOT_GLOBALS,
                                         ROOT_LOADED};
  for (size_t i = 0; i < 7; i++)
    root(kinds[i], object(OBJECT_TABLE, 0));
  expect("LLLLf..");
}

static void test_fixed(void **state) {
  (void)state;
  begin();
  object(OBJECT_STRING, OBJECT_FIXED);
  object(OBJECT_STRING, 0);
  expect("L.");
}

static void test_weak_values(void **state) {
  (void)state;
  object_id table = begin_with_table(OBJECT_WEAK_VALUES);
  object_id key = object(OBJECT_TABLE, 0), value = object(OBJECT_TABLE, 0);
  object_id element = object(OBJECT_TABLE, 0), string = object(OBJECT_STRING, 0);
  object_id meta = object(OBJECT_TABLE, 0), held = object(OBJECT_TABLE, 0);
  refer(table, REFERENCE_METATABLE, meta);
  refer(table, REFERENCE_KEY, key); /* kept by this collection even though its entry goes */
  refer(table, REFERENCE_KEYED, value);
  refer(key, REFERENCE_INDEX, held);
  refer(table, REFERENCE_INDEX, element);
  refer(table, REFERENCE_INDEX, string); /* never cleared */
  expect("LLf..LLf");
}

/* Keys of entries that stay: the value is in use, a string, or no object. */
static void test_keys_of_weak_values(void **state) {
  (void)state;
  object_id table = begin_with_table(OBJECT_WEAK_VALUES), used = object(OBJECT_TABLE, 0);
  object_id first = object(OBJECT_TABLE, 0), second = object(OBJECT_TABLE, 0);
  object_id third = object(OBJECT_TABLE, 0), text = object(OBJECT_STRING, 0);
  object_id lost = object(OBJECT_TABLE, 0), dead = object(OBJECT_TABLE, 0);
  object_id name = object(OBJECT_STRING, 0), gone = object(OBJECT_TABLE, 0);
  refer(0, REFERENCE_INDEX, used);
  refer(table, REFERENCE_KEY, first);
  refer(table, REFERENCE_KEYED, used);
  refer(table, REFERENCE_KEY, second);
  refer(table, REFERENCE_KEYED, text);
  refer(table, REFERENCE_KEY, third);
  refer(table, REFERENCE_KEY, lost);
  refer(table, REFERENCE_KEYED, dead);
  refer(table, REFERENCE_KEY, name);
  refer(table, REFERENCE_FIELD, gone);
  expect("LLLLLLLf.f.");
}

/* The key has a finalizer: one collection keeps it as a key, the next resurrects it. */
static void test_dropped_key_with_finalizer(void **state) {
  (void)state;
  object_id table = begin_with_table(OBJECT_WEAK_VALUES);
  object_id key = object(OBJECT_USERDATA, OBJECT_HAS_FINALIZER), inner = object(OBJECT_TABLE, 0);
  object_id value = object(OBJECT_TABLE, OBJECT_HAS_FINALIZER);
  refer(table, REFERENCE_KEY, key);
  refer(table, REFERENCE_KEYED, value);
  refer(key, REFERENCE_USER_VALUE, inner);
  expect("LLLLf");
}

/* The string key of an empty entry is marked where keys are cleared before values: in a table that
 * only a resurrected object refers to. */
static void test_leftover_key(void **state) {
  (void)state;
  uint8_t both = OBJECT_WEAK_KEYS | OBJECT_WEAK_VALUES;
  object_id table = begin_with_table(both), name = object(OBJECT_STRING, 0);
  object_id user = object(OBJECT_USERDATA, OBJECT_HAS_FINALIZER),
            other = object(OBJECT_TABLE, both);
  object_id text = object(OBJECT_STRING, 0);
  refer(table, REFERENCE_LEFTOVER, name);
  refer(user, REFERENCE_USER_VALUE, other);
  refer(other, REFERENCE_LEFTOVER, text);
  expect("LL.fff");
}

static void test_ephemeron(void **state) {
  (void)state;
  object_id table = begin_with_table(OBJECT_WEAK_KEYS);
  object_id dead = object(OBJECT_TABLE, 0), its = object(OBJECT_TABLE, 0);
  object_id name = object(OBJECT_STRING, 0), field = object(OBJECT_TABLE, 0);
  object_id element = object(OBJECT_TABLE, 0), live = object(OBJECT_TABLE, 0);
  object_id value = object(OBJECT_TABLE, 0), alone = object(OBJECT_STRING, 0);
  refer(table, REFERENCE_KEY, dead);
  refer(table, REFERENCE_KEYED, its);
  refer(its, REFERENCE_INDEX, dead); /* a strong weak table would leak here */
  refer(table, REFERENCE_KEY, name);
  refer(table, REFERENCE_FIELD, field);
  refer(table, REFERENCE_INDEX, element);
  refer(table, REFERENCE_KEY, live);
  refer(table, REFERENCE_KEYED, value);
  refer(table, REFERENCE_KEY, alone);
  refer(0, REFERENCE_INDEX, live);
  expect("LL..LLLLLL");
}

/* Each key is the value before: last entry first in the table, so that no single pass suffices. */
static void test_ephemeron_chain(void **state) {
  (void)state;
  object_id table = begin_with_table(OBJECT_WEAK_KEYS), other = object(OBJECT_TABLE, 1);
  refer(0, REFERENCE_INDEX, other);
  for (int i = 0; i < 10; i++)
    object(OBJECT_TABLE, 0);
  for (object_id i = 10; i-- > 1;) {
    object_id owner = i % 2 ? table : other;
    refer(owner, REFERENCE_KEY, 2 + i);
    refer(owner, REFERENCE_KEYED, 3 + i);
  }
  refer(0, REFERENCE_INDEX, 3);
  expect("LLLLLLLLLLLLL");
}

static void test_both_weak(void **state) {
  (void)state;
  object_id table = begin_with_table(OBJECT_WEAK_KEYS | OBJECT_WEAK_VALUES);
  object_id lost = object(OBJECT_STRING, 0), dead = object(OBJECT_TABLE, 0);
  object_id kept = object(OBJECT_STRING, 0), live = object(OBJECT_TABLE, 0);
  object_id key = object(OBJECT_TABLE, 0), text = object(OBJECT_STRING, 0);
  object_id alone = object(OBJECT_STRING, 0);
  refer(table, REFERENCE_KEY, lost); /* its entry is gone before keys are looked at */
  refer(table, REFERENCE_FIELD, dead);
  refer(table, REFERENCE_KEY, kept);
  refer(table, REFERENCE_FIELD, live);
  refer(table, REFERENCE_KEY, key);
  refer(table, REFERENCE_KEYED, text); /* marked when values are cleared, keys come later */
  refer(table, REFERENCE_KEY, alone);
  refer(0, REFERENCE_INDEX, live);
  expect("LL..LL.LL");
}

static void test_resurrection(void **state) {
  (void)state;
  object_id cache = begin_with_table(OBJECT_WEAK_VALUES);
  object_id tracker = object(OBJECT_TABLE, OBJECT_WEAK_KEYS);
  object_id user = object(OBJECT_USERDATA, OBJECT_HAS_FINALIZER), inner = object(OBJECT_TABLE, 0);
  object_id entry = object(OBJECT_TABLE, 0);
  object(OBJECT_USERDATA, OBJECT_HAS_FINALIZER | OBJECT_DEAD);
  object(OBJECT_USERDATA, OBJECT_HAS_FINALIZER | OBJECT_PENDING);
  refer(0, REFERENCE_INDEX, tracker);
  refer(cache, REFERENCE_INDEX, user); /* gone from weak values ... */
  refer(user, REFERENCE_USER_VALUE, inner);
  refer(tracker, REFERENCE_KEY, inner); /* ... but kept as a weak key */
  refer(tracker, REFERENCE_KEYED, entry);
  expect("LLLfff..");
}

/* A table with both halves weak that only a resurrected object refers to: keys are cleared first.
 */
static void test_resurrected_table(void **state) {
  (void)state;
  begin();
  object_id user = object(OBJECT_USERDATA, OBJECT_HAS_FINALIZER);
  object_id table = object(OBJECT_TABLE, OBJECT_WEAK_KEYS | OBJECT_WEAK_VALUES);
  object_id name = object(OBJECT_STRING, 0), dead = object(OBJECT_TABLE, 0);
  object_id key = object(OBJECT_TABLE, 0), text = object(OBJECT_STRING, 0);
  refer(user, REFERENCE_USER_VALUE, table);
  refer(table, REFERENCE_KEY, name);
  refer(table, REFERENCE_FIELD, dead);
  refer(table, REFERENCE_KEY, key);
  refer(table, REFERENCE_KEYED, text);
  expect("fff...");
}

static void test_pending(void **state) {
  (void)state;
  object_id cache = begin_with_table(OBJECT_WEAK_KEYS | OBJECT_WEAK_VALUES);
  object_id user = object(OBJECT_USERDATA, OBJECT_PENDING), inner = object(OBJECT_TABLE, 0);
  object_id name = object(OBJECT_STRING, 0), shared = object(OBJECT_TABLE, 0);
  root(ROOT_PENDING, user);
  refer(user, REFERENCE_USER_VALUE, inner);
  refer(user, REFERENCE_METATABLE, shared);
  refer(0, REFERENCE_INDEX, shared);
  refer(cache, REFERENCE_KEY, name); /* left because inner counts as marked */
  refer(cache, REFERENCE_FIELD, inner);
  expect("LLfffL");
}

static void test_mask(void **state) {
  (void)state;
  struct bitset avoid;
  assert_true(bitset_init(&avoid, 8));
  bitset_add(&avoid, 3);
  reference_id cut[] = {2};
  struct graph_mask mask = {&avoid, ALL_KINDS & ~(1U << REFERENCE_METATABLE), cut, 1};
  object_id table = begin_with_table(0); /* reference 0 */
  for (int i = 0; i < 5; i++)
    object(OBJECT_TABLE, 0);
  object(OBJECT_TABLE, OBJECT_HAS_FINALIZER);
  refer(table, REFERENCE_INDEX, 2);
  refer(table, REFERENCE_INDEX, 4); /* reference 2: cut */
  refer(table, REFERENCE_INDEX, 3); /* avoided, with what it holds and as a root */
  refer(3, REFERENCE_INDEX, 5);
  refer(table, REFERENCE_METATABLE, 6); /* of a kind not followed */
  root(ROOT_MAIN_THREAD, 3);
  expect_masked("LLL....f", &mask);
  bitset_free(&avoid);
}

/* Quadratic algorithms do not come back from these: one ephemeron table with a chain of a million
 * entries in the worst order, and a chain across 100,000 tables. */
static void test_long_ephemeron_chains(void **state) {
  (void)state;
  enum { ENTRIES = 1000000, TABLES = 100000 };
  object_id table = begin_with_table(OBJECT_WEAK_KEYS);
  for (int i = 0; i < ENTRIES; i++)
    object(OBJECT_TABLE, 0);
  for (object_id i = ENTRIES - 1; i-- > 0;) {
    refer(table, REFERENCE_KEY, 2 + i);
    refer(table, REFERENCE_KEYED, 3 + i);
  }
  object_id first = made, key = 1 + ENTRIES;
  for (int i = 0; i < TABLES; i++)
    object(OBJECT_TABLE, OBJECT_WEAK_KEYS);
  for (object_id i = 0; i < TABLES - 1; i++) { /* key -> the next table, which has the next key */
    refer(first + i, REFERENCE_KEY, key);
    refer(first + i, REFERENCE_KEYED, first + i + 1);
  }
  refer(0, REFERENCE_INDEX, 2);
  refer(0, REFERENCE_INDEX, first);
  struct graph *graph = graph_builder_finish(builder);
  assert_non_null(graph);
  struct collection collection;
  assert_null(collect(graph, NULL, NULL, &collection));
  assert_int_equal(bitset_count(&collection.live), graph->object_count);
  collection_free(&collection);
  graph_builder_free_graph(graph);
}

static bool always_stop(void *context, const char *phase, double share) {
  (void)phase;
  (void)share;
  ++*(int *)context;
  return true;
}

static void test_interrupted(void **state) {
  (void)state;
  begin_with_table(0);
  struct graph *graph = graph_builder_finish(builder);
  int asked = 0;
  struct work work = {&asked, always_stop};
  struct collection collection;
  struct inspect_error *error = collect(graph, NULL, &work, &collection);
  assert_non_null(error);
  assert_int_equal(error->code, INSPECT_ERROR_INTERRUPTED);
  assert_int_equal(asked, 1);
  assert_null(collection.live.words);
  inspect_error_free(error);
  graph_builder_free_graph(graph);
}

/* ---- The model --------------------------------------------------------------------------------
 */

struct model {
  bool marked[HEAP_OBJECTS],
      in_use[HEAP_OBJECTS];      /* at the end, and when finalizers are looked for */
  bool dropped[HEAP_REFERENCES]; /* entries                                        */
  bool forgotten[HEAP_OBJECTS];  /* leftovers                                      */
};

/* lgc.c, iscleared: a string is marked by the question. */
static bool is_cleared_key(const struct random_heap *heap, struct model *model, size_t i) {
  const struct heap_entry *entry = &heap->entries[i];
  if (entry->key == NONE) return false;
  if (!heap_is_string(heap, entry->key)) return !model->marked[entry->key];
  heap_mark_key(heap, model->marked, entry);
  return false;
}

static bool is_cleared_value(const struct random_heap *heap, struct model *model, size_t i) {
  const struct heap_entry *entry = &heap->entries[i];
  if (entry->value == NONE) return false;
  if (!heap_is_string(heap, entry->value)) return !model->marked[entry->value];
  heap_mark_value(heap, model->marked, entry);
  return false;
}

/* `late`: only the tables that were not reached before resurrection. */
static void clear_by_values(const struct random_heap *heap, struct model *model, bool late) {
  for (size_t i = 0; i < heap->entry_count; i++) {
    object_id table = heap->entries[i].table;
    if (!model->marked[table] || (late && model->in_use[table])) continue;
    if (heap_weak_values(heap, table) && !model->dropped[i])
      model->dropped[i] = is_cleared_value(heap, model, i);
  }
  for (size_t i = 0; i < heap->leftover_count; i++)
    if (model->marked[heap->leftovers[i].table]) model->forgotten[i] = true;
}

static void clear_by_keys(const struct random_heap *heap, struct model *model) {
  for (size_t i = 0; i < heap->entry_count; i++) {
    object_id table = heap->entries[i].table;
    if (model->marked[table] && heap_weak_keys(heap, table) && !model->dropped[i])
      model->dropped[i] = is_cleared_key(heap, model, i);
  }
  for (size_t i = 0; i < heap->leftover_count; i++) {
    const struct heap_leftover *leftover = &heap->leftovers[i];
    if (model->marked[leftover->table] && !model->forgotten[i] &&
        heap_may_follow(heap, REFERENCE_LEFTOVER, leftover->id))
      heap_mark(heap, model->marked, leftover->key);
  }
}

/* heap_close, but entries that a collection before has dropped are gone. */
static void close_without_dropped(struct random_heap *heap, struct model *model,
                                  const struct model *before) {
  static struct heap_entry kept[HEAP_REFERENCES];
  size_t count = heap->entry_count;
  memcpy(kept, heap->entries, sizeof kept);
  heap->entry_count = 0;
  for (size_t i = 0; i < count; i++)
    if (!before || !before->dropped[i]) heap->entries[heap->entry_count++] = kept[i];
  heap_close(heap, model->marked);
  memcpy(heap->entries, kept, sizeof kept);
  heap->entry_count = count;
}

/* The atomic phase of a collection, after another one or the first. */
static void model_atomic(struct random_heap *heap, struct model *model,
                         const struct model *before) {
  memset(model, 0, sizeof *model);
  if (before) memcpy(model->dropped, before->dropped, sizeof model->dropped);
  if (before) memcpy(model->forgotten, before->forgotten, sizeof model->forgotten);
  heap_mark_roots(heap, model->marked, !before);
  close_without_dropped(heap, model, before);
  clear_by_values(heap, model, false);
  memcpy(model->in_use, model->marked, sizeof model->in_use);
  for (object_id i = 0; i < heap->count; i++)
    if ((heap->flags[i] & OBJECT_HAS_FINALIZER) && !(heap->flags[i] & OBJECT_DEAD) &&
        (!before || before->in_use[i])) /* else it was called */
      heap_mark(heap, model->marked, i);
  close_without_dropped(heap, model, before);
  clear_by_keys(heap, model);
  clear_by_values(heap, model, true);
}

/* Exact but for strings: `live` may hold some that the second collection frees. */
static bool is_right(const struct random_heap *heap, const struct model *first,
                     const struct model *second, const struct collection *collection,
                     object_id object) {
  bool live = bitset_has(&collection->live, object);
  bool due = bitset_has(&collection->finalizer, object);
  if ((live || due) != first->marked[object] || (live && due)) return false;
  return live == second->marked[object] || (live && heap->type[object] == OBJECT_STRING);
}

static void test_random(void **state) {
  (void)state;
  struct random_heap heap;
  struct model first, second;
  uint64_t live_count = 0, due_count = 0;
  for (uint64_t seed = 1; seed <= 20000; seed++) {
    heap_create(&heap, seed);
    model_atomic(&heap, &first, NULL);
    model_atomic(&heap, &second, &first);
    struct collection collection;
    assert_null(collect(heap.graph, heap.mask, NULL, &collection));
    for (object_id i = 0; i < heap.count; i++) {
      live_count += bitset_has(&collection.live, i);
      due_count += bitset_has(&collection.finalizer, i);
      if (!is_right(&heap, &first, &second, &collection, i))
        fail_msg("seed %llu, object %u (type %d): first %d, second %d; live %d, finalizer %d",
                 (unsigned long long)seed, i, (int)heap.type[i], first.marked[i], second.marked[i],
                 bitset_has(&collection.live, i), bitset_has(&collection.finalizer, i));
    }
    collection_free(&collection);
    heap_free(&heap);
  }
  assert_true(live_count > 20000 && due_count > 20000); /* the heaps are worth testing */
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_empty),
      cmocka_unit_test(test_strong),
      cmocka_unit_test(test_roots),
      cmocka_unit_test(test_fixed),
      cmocka_unit_test(test_weak_values),
      cmocka_unit_test(test_keys_of_weak_values),
      cmocka_unit_test(test_dropped_key_with_finalizer),
      cmocka_unit_test(test_leftover_key),
      cmocka_unit_test(test_ephemeron),
      cmocka_unit_test(test_ephemeron_chain),
      cmocka_unit_test(test_both_weak),
      cmocka_unit_test(test_resurrection),
      cmocka_unit_test(test_resurrected_table),
      cmocka_unit_test(test_pending),
      cmocka_unit_test(test_mask),
      cmocka_unit_test(test_long_ephemeron_chains),
      cmocka_unit_test(test_interrupted),
      cmocka_unit_test(test_random),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
