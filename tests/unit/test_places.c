/* test_places.c - where objects are: patterns of their best chains, counted, the same in two graphs
 * that differ in ids. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "analysis/places.h"

struct made {
  struct graph_builder *builder;
  struct graph *graph;
  struct chains chains;
  struct places places;
  struct bitset live, named;
  uint32_t classes[1000];
  object_id next, globals;
};

static object_id make(struct made *made, enum object_type type, uint64_t bytes, uint32_t class) {
  assert_true(graph_builder_object(made->builder, type, 0, bytes));
  made->classes[made->next] = class;
  return made->next++;
}

static object_id table(struct made *made, uint64_t bytes, uint32_t class) {
  return make(made, OBJECT_TABLE, bytes, class);
}

static void field(struct made *made, object_id from, const char *name, object_id to) {
  object_id key = make(made, OBJECT_STRING, 1, 0);
  assert_true(graph_builder_name(made->builder, key, name));
  assert_true(graph_builder_reference(made->builder, from, REFERENCE_KEY, key, NULL, 0));
  assert_true(graph_builder_reference(made->builder, from, REFERENCE_FIELD, to, NULL, 0));
}

static void element(struct made *made, object_id from, int64_t index, object_id to) {
  assert_true(graph_builder_reference(made->builder, from, REFERENCE_INDEX, to, NULL, index));
}

static void begin(struct made *made) {
  *made = (struct made){.builder = graph_builder_create()};
  assert_non_null(made->builder);
  made->globals = table(made, 100, 0);
  assert_true(graph_builder_root(made->builder, ROOT_GLOBALS, made->globals));
  assert_true(graph_builder_root(made->builder, ROOT_REGISTRY, made->globals));
}

static void finish(struct made *made) {
  made->graph = graph_builder_finish(made->builder);
  assert_non_null(made->graph);
  uint32_t count = made->graph->object_count;
  assert_true(bitset_init(&made->live, count) && bitset_init(&made->named, count));
  for (uint32_t i = 0; i < count; i++)
    bitset_add(&made->live, i);
  bitset_add(&made->named, made->globals);
  assert_null(chains_search(made->graph, NULL, NULL, &made->chains));
  places_init(&made->places, made->graph);
}

static void add(struct made *made, object_id first, uint32_t count) {
  assert_null(places_add(&made->places, made->graph, &made->chains, &made->live, made->classes,
                         &made->named, first, count, NULL));
}

static void end(struct made *made) {
  places_free(&made->places);
  chains_free(&made->chains);
  bitset_free(&made->live);
  bitset_free(&made->named);
  graph_builder_free_graph(made->graph);
}

/* The place with that text; fails if there is none, or several. */
static const struct place *find(const struct made *made, const char *name) {
  const struct place *found = NULL;
  for (uint32_t i = 0; i < made->places.items.count; i++) {
    struct text text = {0};
    assert_true(patterns_text(&made->places.patterns, i, &text) && text_finish(&text));
    if (strcmp(text.items, name) == 0) {
      assert_null(found);
      found = &made->places.items.items[i];
    }
    vector_free(&text);
  }
  if (!found) fail_msg("no place %s", name);
  return found;
}

static void check(const struct made *made, const char *name, uint64_t objects, uint64_t bytes,
                  uint32_t class) {
  const struct place *place = find(made, name);
  assert_int_equal(place->objects, objects);
  assert_int_equal(place->bytes, bytes);
  assert_int_equal(place->class, class);
}

/* _G.list[1 .. 5].part, one of the five of another class; the first is the example. */
static object_id make_list(struct made *made) {
  object_id list = table(made, 1000, 1), first = NO_OBJECT;
  field(made, made->globals, "list", list);
  for (int i = 1; i <= 5; i++) {
    object_id item = table(made, 10, i == 5 ? 3 : 2), part = table(made, 7, 4);
    if (i == 1) first = item;
    element(made, list, i, item);
    field(made, item, "part", part);
  }
  return first;
}

static void test_counts(void **state) {
  (void)state;
  struct made made;
  begin(&made);
  object_id first = make_list(&made);
  finish(&made);
  add(&made, 0, made.graph->object_count);
  places_sum(&made.places);
  check(&made, "_G.list[*]", 5, 5 * (10 + 7 + 1), 2);
  check(&made, "_G.list[*].part", 5, 35, 4);
  check(&made, "_G.list", 1, 1000 + 5 * 18, 1);
  check(&made, "_G", 1, 100 + 1 + 1000 + 5 * 18, 0);
  assert_int_equal(find(&made, "_G.list[*]")->example, first);
  const struct place *part = find(&made, "_G.list[*].part");
  assert_ptr_equal(&made.places.items.items[part->parent], find(&made, "_G.list[*]"));
  assert_int_equal(find(&made, "_G")->parent, NO_NUMBER);
  assert_int_equal(made.places.unplaced, 0);
  end(&made);
}

/* Keys of a map are no names; those of _G are, however many. */
static void test_maps(void **state) {
  (void)state;
  struct made made;
  begin(&made);
  object_id map = table(&made, 500, 0);
  field(&made, made.globals, "map", map);
  for (int i = 0; i < 40; i++) {
    char name[8];
    snprintf(name, sizeof name, "k%d", i);
    object_id value = table(&made, 20, 1);
    field(&made, map, name, value);
    field(&made, value, "body", table(&made, 3, 2));
    field(&made, made.globals, name, table(&made, 1, 3));
  }
  finish(&made);
  add(&made, 0, made.graph->object_count);
  places_sum(&made.places);
  check(&made, "_G.map[*]", 40, 40 * (20 + 3 + 1), 1);
  check(&made, "_G.map[*].body", 40, 120, 2);
  check(&made, "_G.k7", 1, 1, 3);
  end(&made);
}

static void test_lists_and_the_dead(void **state) {
  (void)state;
  struct made made;
  begin(&made);
  object_id node = table(&made, 8, 1);
  field(&made, made.globals, "log", node);
  for (int i = 0; i < 50; i++) {
    object_id next = table(&made, 8, 1);
    field(&made, node, "next", next);
    node = next;
  }
  object_id lost = table(&made, 9, 1); /* alive, but nothing leads to it */
  object_id dead = table(&made, 9, 1);
  finish(&made);
  bitset_remove(&made.live, dead);
  add(&made, 0, made.graph->object_count);
  assert_int_equal(lost, dead - 1);
  assert_int_equal(made.places.unplaced, 1);
  assert_int_equal(find(&made, "_G.log.next.next(.next)+")->objects, 48);
  end(&made);
}

/* The same hash whatever the ids, and whatever else there is. */
static void test_hashes(void **state) {
  (void)state;
  struct made one, other;
  begin(&one);
  make_list(&one);
  field(&one, one.globals, "part", table(&one, 2, 0));
  finish(&one);
  begin(&other);
  for (int i = 0; i < 20; i++) {
    char name[8];
    snprintf(name, sizeof name, "x%d", i);
    field(&other, other.globals, name, table(&other, 5, 0));
  }
  make_list(&other);
  finish(&other);
  add(&one, 0, one.graph->object_count);
  add(&other, 0, other.graph->object_count);
  assert_int_not_equal(find(&one, "_G.part")->hash, find(&one, "_G.list[*].part")->hash);
  static const char *const names[] = {"_G", "_G.list", "_G.list[*]", "_G.list[*].part"};
  for (size_t i = 0; i < 4; i++) {
    uint64_t hash = find(&one, names[i])->hash;
    assert_int_equal(hash, find(&other, names[i])->hash);
    for (size_t j = 0; j < i; j++)
      assert_int_not_equal(hash, find(&one, names[j])->hash);
  }
  end(&one);
  end(&other);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_counts),
      cmocka_unit_test(test_maps),
      cmocka_unit_test(test_lists_and_the_dead),
      cmocka_unit_test(test_hashes),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
