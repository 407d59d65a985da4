/* test_cursors.c - section 5 of inspect.h on a session made by hand: numbers are ranks by address,
 * nothing is written past what there is, and nothing is told before it is known. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command/session.h"

enum { OBJECTS = 6, START = 0x10000, BEFORE = 0x5a };

/* By id. Addresses run against the ids, so that a number is 5 minus the id. */
static const struct {
  enum object_type type;
  uint8_t flags;
  uint64_t bytes;
} MADE[OBJECTS] = {
    {OBJECT_THREAD, 0, 200},
    {OBJECT_TABLE, 0, 56},
    {OBJECT_TABLE, OBJECT_WEAK_KEYS, 120},
    {OBJECT_STRING, OBJECT_FIXED, 30},
    {OBJECT_TABLE, OBJECT_HAS_FINALIZER | OBJECT_DAMAGED, 72},
    {OBJECT_USERDATA, OBJECT_PENDING, 64},
};

static uint32_t number(object_id object) { return OBJECTS - 1 - object; }

static uint64_t address(object_id object) { return START + 32 * (uint64_t)number(object); }

struct fixture {
  struct inspect_session *session;
  struct graph *graph;
  uint8_t memory[32 * OBJECTS];
  const char *releases[2];
};

static struct graph *make_graph(void) {
  struct graph_builder *builder = graph_builder_create();
  for (size_t i = 0; i < OBJECTS; i++)
    assert_true(graph_builder_object(builder, MADE[i].type, MADE[i].flags, MADE[i].bytes));
  assert_true(graph_builder_name(builder, 3, "name"));
  assert_true(graph_builder_root(builder, ROOT_REGISTRY, 1));
  assert_true(graph_builder_reference(builder, 0, REFERENCE_STACK, 2, NULL, 1));
  assert_true(graph_builder_reference(builder, 0, REFERENCE_MAYBE_STACK, 4, NULL, 2));
  assert_true(graph_builder_reference(builder, 1, REFERENCE_KEY, 3, NULL, 0));
  assert_true(graph_builder_reference(builder, 1, REFERENCE_FIELD, 2, NULL, 0));
  assert_true(graph_builder_reference(builder, 2, REFERENCE_KEY, 4, NULL, 0));
  assert_true(graph_builder_reference(builder, 2, REFERENCE_KEYED, 5, NULL, 0));
  assert_true(graph_builder_reference(builder, 2, REFERENCE_INDEX, 4, NULL, 17));
  struct graph *graph = graph_builder_finish(builder);
  assert_non_null(graph);
  return graph;
}

static int set_up(void **state) {
  struct fixture *fixture = calloc(1, sizeof *fixture);
  struct inspect_session *session = calloc(1, sizeof *session);
  struct heap *heap = &session->heap;
  arena_init(&session->arena);
  fixture->session = session;
  fixture->graph = make_graph();
  heap->graph = *fixture->graph;
  struct address_range range = {
      .start = START, .end = START + sizeof fixture->memory, .bytes = fixture->memory};
  assert_null(address_map_init(&heap->map, 3, &range, 1));
  heap->granule = calloc(OBJECTS, sizeof *heap->granule);
  heap->by_rank = calloc(OBJECTS, sizeof *heap->by_rank);
  size_t hint = 0;
  for (object_id i = 0; i < OBJECTS; i++) {
    heap->granule[i] = address_map_number(&heap->map, address(i), &hint);
    heap->by_rank[number(i)] = i;
    assert_true(address_map_mark(&heap->map, heap->granule[i]));
  }
  assert_null(address_map_seal(&heap->map));
  heap->vm_count = 2;
  heap->vms = calloc(2, sizeof *heap->vms);
  for (size_t i = 0; i < 2; i++) {
    heap->vms[i].vm.layout = layout_canned(0);
    heap->vms[i].main_thread = heap->vms[i].running_thread = heap->vms[i].registry =
        heap->vms[i].globals = heap->vms[i].loaded = NO_OBJECT;
  }
  heap->vms[0].count = 4;
  heap->vms[1].first = 4;
  heap->vms[1].count = 2;
  heap->vms[1].residual = -7;
  fixture->releases[1] = "5.4.4";
  session->releases = fixture->releases;
  session->is_open = session->is_detected = session->is_built = true;
  *state = fixture;
  return 0;
}

static int tear_down(void **state) {
  struct fixture *fixture = *state;
  struct heap *heap = &fixture->session->heap;
  graph_builder_free_graph(fixture->graph);
  free(heap->vms);
  free(heap->granule);
  free(heap->by_rank);
  address_map_free(&heap->map);
  fixture->session->is_open = false; /* the heap is ours, classes are the test's */
  fixture->session->is_classified = false;
  inspect_session_close(fixture->session);
  free(fixture);
  return 0;
}

static void prepare(struct inspect_session *session, unsigned stages) {
  struct inspect_error *error = inspect_session_prepare(session, stages, NULL);
  if (error) fail_msg("%s", error->message);
}

/* ---- Tests ----------------------------------------------------------------------------------- */

static void nothing_before_the_graph(void **state) {
  struct inspect_session *session = ((struct fixture *)*state)->session;
  struct inspect_object row = {.number = BEFORE};
  struct inspect_reference reference = {.target = BEFORE};
  struct inspect_vm vm = {.objects = BEFORE};
  uint32_t zero = 0, selected = BEFORE;
  size_t size = BEFORE;
  session->is_built = false;
  assert_int_equal(inspect_session_prepared(session), 0);
  assert_int_equal(inspect_object_count(session), 0);
  assert_int_equal(inspect_vm_count(session), 0);
  assert_false(inspect_vm_at(session, 1, &vm));
  assert_int_equal(vm.objects, BEFORE);
  assert_int_equal(inspect_objects(session, NULL, 0, 1, &row), 0);
  assert_int_equal(row.number, BEFORE);
  assert_int_equal(inspect_objects(session, &zero, 0, 1, &row), 1);
  assert_int_equal(row.number, INSPECT_NO_OBJECT);
  assert_int_equal(inspect_select(session, &(struct inspect_filter){0}, &zero, 0, 1, &selected), 0);
  assert_int_equal(inspect_object_at(session, address(0)), INSPECT_NO_OBJECT);
  assert_int_equal(inspect_reference_count(session, 0), 0);
  assert_int_equal(inspect_references(session, 0, 0, 1, &reference), 0);
  assert_null(inspect_reference_label(session, 0, 0));
  assert_null(inspect_object_words(session, 0));
  assert_null(inspect_object_string(session, 0, &size));
  assert_int_equal(size, 0);
  session->is_built = true;
}

static void vms_count_from_one(void **state) {
  struct inspect_session *session = ((struct fixture *)*state)->session;
  struct inspect_vm vm = {.objects = BEFORE};
  assert_int_equal(inspect_vm_count(session), 2);
  assert_false(inspect_vm_at(session, 0, &vm));
  assert_false(inspect_vm_at(session, 3, &vm));
  assert_false(inspect_vm_at(session, UINT32_MAX, &vm));
  assert_int_equal(vm.objects, BEFORE);
  assert_true(inspect_vm_at(session, 2, &vm));
  assert_int_equal(vm.objects, 2);
  assert_int_equal(vm.residual_bytes, -7);
  assert_string_equal(vm.release, "5.4.4");
  assert_true(inspect_vm_at(session, 1, &vm));
  assert_null(vm.release);
}

static void rows_are_by_address(void **state) {
  struct inspect_session *session = ((struct fixture *)*state)->session;
  struct inspect_object rows[OBJECTS + 2];
  memset(rows, BEFORE, sizeof rows);
  assert_int_equal(inspect_object_count(session), OBJECTS);
  assert_int_equal(inspect_objects(session, NULL, 0, OBJECTS + 2, rows), OBJECTS);
  assert_int_equal(rows[OBJECTS].number, 0x5a5a5a5a); /* not touched */
  for (object_id i = 0; i < OBJECTS; i++) {
    const struct inspect_object *row = &rows[number(i)];
    assert_int_equal(row->number, number(i));
    assert_int_equal(row->address, address(i));
    assert_int_equal(row->bytes, MADE[i].bytes);
    assert_int_equal(row->type, MADE[i].type);
    assert_int_equal(row->class_number, MADE[i].type); /* no classes yet */
    assert_int_equal(row->vm, i < 4 ? 1 : 2);
    assert_int_equal(row->retained, 0);
    assert_int_equal(row->dominator, INSPECT_NO_OBJECT);
    assert_int_equal(inspect_object_at(session, row->address), row->number);
  }
  assert_int_equal(rows[number(2)].flags, INSPECT_WEAK_KEYS);
  assert_int_equal(rows[number(3)].flags, INSPECT_FIXED);
  assert_int_equal(rows[number(4)].flags, INSPECT_HAS_FINALIZER | INSPECT_DAMAGED);
  assert_int_equal(rows[number(5)].flags, INSPECT_PENDING);
}

static void rows_have_bounds(void **state) {
  struct inspect_session *session = ((struct fixture *)*state)->session;
  struct inspect_object rows[4];
  memset(rows, BEFORE, sizeof rows);
  assert_int_equal(inspect_objects(session, NULL, OBJECTS, 4, rows), 0);
  assert_int_equal(inspect_objects(session, NULL, UINT32_MAX, SIZE_MAX, rows), 0);
  assert_int_equal(inspect_objects(session, NULL, 0, 0, rows), 0);
  assert_int_equal(rows[0].number, 0x5a5a5a5a);
  assert_int_equal(inspect_objects(session, NULL, OBJECTS - 2, SIZE_MAX, rows), 2);
  assert_int_equal(rows[1].number, OBJECTS - 1);
  assert_int_equal(rows[2].number, 0x5a5a5a5a);
  const uint32_t numbers[] = {4, OBJECTS, UINT32_MAX, 4};
  assert_int_equal(inspect_objects(session, numbers, 99, 4, rows), 4);
  assert_int_equal(rows[0].number, 4);
  assert_int_equal(rows[3].number, 4);
  for (size_t i = 1; i < 3; i++) {
    assert_int_equal(rows[i].number, INSPECT_NO_OBJECT);
    assert_int_equal(rows[i].address, 0);
    assert_int_equal(rows[i].vm, 0);
  }
  assert_int_equal(inspect_object_at(session, 0), INSPECT_NO_OBJECT);
  assert_int_equal(inspect_object_at(session, address(0) + 8), INSPECT_NO_OBJECT);
  assert_int_equal(inspect_object_at(session, UINT64_MAX), INSPECT_NO_OBJECT);
}

static size_t choose(const struct inspect_session *session, struct inspect_filter filter,
                     uint32_t *result) {
  return inspect_select(session, &filter, NULL, 0, SIZE_MAX, result);
}

static void filters(void **state) {
  struct inspect_session *session = ((struct fixture *)*state)->session;
  uint32_t found[OBJECTS];
  assert_int_equal(choose(session, (struct inspect_filter){0}, found), OBJECTS);
  assert_int_equal(choose(session, (struct inspect_filter){.types = 1 << OBJECT_TABLE}, found), 3);
  assert_int_equal(found[0], number(4));
  assert_int_equal(found[2], number(1));
  assert_int_equal(choose(session, (struct inspect_filter){.least_bytes = 72}, found), 3);
  assert_int_equal(choose(session, (struct inspect_filter){.least_retained = 1}, found), 0);
  assert_int_equal(choose(session, (struct inspect_filter){.vm = 2}, found), 2);
  assert_int_equal(choose(session, (struct inspect_filter){.vm = 3}, found), 0);
  struct inspect_filter flags = {.flags = INSPECT_HAS_FINALIZER | INSPECT_DAMAGED};
  assert_int_equal(choose(session, flags, found), 1);
  flags.flags |= INSPECT_FIXED;
  assert_int_equal(choose(session, flags, found), 0);
  struct inspect_filter without = {.without_flags = INSPECT_FIXED | INSPECT_PENDING};
  assert_int_equal(choose(session, without, found), OBJECTS - 2);
  /* A list of classes that ends before a class does not let it through. */
  const uint8_t classes[] = {[OBJECT_STRING] = 1, [OBJECT_TABLE] = 1};
  struct inspect_filter by_class = {.classes = classes, .class_count = OBJECT_TABLE};
  assert_int_equal(choose(session, by_class, found), 1);
  assert_int_equal(found[0], number(3));
  /* In place, in the given order; what is no object is left out. */
  uint32_t numbers[] = {number(1), UINT32_MAX, number(3), number(4), OBJECTS};
  struct inspect_filter tables = {.types = 1 << OBJECT_TABLE};
  assert_int_equal(inspect_select(session, &tables, numbers, 0, 5, numbers), 2);
  assert_int_equal(numbers[0], number(1));
  assert_int_equal(numbers[1], number(4));
}

static void stages_add_to_rows(void **state) {
  struct inspect_session *session = ((struct fixture *)*state)->session;
  struct inspect_object row;
  uint32_t found[OBJECTS];
  assert_int_equal(inspect_session_prepared(session), INSPECT_GRAPH);
  prepare(session, INSPECT_LIVE);
  assert_int_equal(inspect_session_prepared(session), INSPECT_GRAPH | INSPECT_LIVE);
  /* 1 is the registry and holds 2, 3 is fixed; 4, and by it 5, wait for the finalizer of 4, but
   * `[17]` of 2 holds 4 in any case. */
  assert_int_equal(choose(session, (struct inspect_filter){.flags = INSPECT_LEFT_LIVE}, found), 5);
  inspect_objects(session, NULL, number(0), 1, &row);
  assert_int_equal(row.flags & (INSPECT_LEFT_LIVE | INSPECT_LEFT_FINALIZER), 0);
  prepare(session, INSPECT_RETAINED);
  inspect_objects(session, NULL, number(1), 1, &row);
  assert_int_equal(row.retained, 56 + 120 + 72 + 64);
  assert_int_equal(row.dominator, INSPECT_NO_OBJECT);
  inspect_objects(session, NULL, number(4), 1, &row);
  assert_int_equal(row.dominator, number(2));
  struct inspect_filter big = {.least_retained = 72 + 64};
  assert_int_equal(choose(session, big, found), 3);
}

static void references_have_bounds(void **state) {
  struct inspect_session *session = ((struct fixture *)*state)->session;
  struct inspect_reference rows[4];
  memset(rows, BEFORE, sizeof rows);
  assert_int_equal(inspect_reference_count(session, number(2)), 3);
  assert_int_equal(inspect_reference_count(session, number(3)), 0);
  assert_int_equal(inspect_reference_count(session, OBJECTS), 0);
  assert_int_equal(inspect_references(session, OBJECTS, 0, 4, rows), 0);
  assert_int_equal(inspect_references(session, number(2), 3, 4, rows), 0);
  assert_int_equal(inspect_references(session, number(2), SIZE_MAX, SIZE_MAX, rows), 0);
  assert_int_equal(rows[0].target, 0x5a5a5a5a);
  assert_int_equal(inspect_references(session, number(2), 1, SIZE_MAX, rows), 2);
  assert_int_equal(rows[2].target, 0x5a5a5a5a);
  assert_int_equal(rows[0].target, number(5));
  assert_int_equal(rows[0].address, address(5));
  assert_string_equal(inspect_strength_name(rows[0].strength), "ephemeron");
  assert_string_equal(inspect_strength_name(rows[1].strength), "strong");
  assert_string_equal(inspect_kind_name(rows[1].kind), "index");
  assert_int_equal(inspect_references(session, number(2), 0, 1, rows), 1);
  assert_string_equal(inspect_strength_name(rows[0].strength), "weak");
  assert_int_equal(inspect_references(session, number(0), 0, 4, rows), 2);
  assert_false(rows[0].is_maybe);
  assert_true(rows[1].is_maybe);
}

static void referrers_are_the_references_turned_around(void **state) {
  struct inspect_session *session = ((struct fixture *)*state)->session;
  struct inspect_referrer *found;
  size_t count;
  assert_null(inspect_referrers(session, number(4), NULL, &found, &count));
  assert_int_equal(count, 3); /* twice by 2, whose number is lower than that of 0 */
  assert_int_equal(found[0].source, number(2));
  assert_int_equal(found[0].position, 0);
  assert_int_equal(found[1].source, number(2));
  assert_int_equal(found[1].position, 2);
  assert_int_equal(found[2].source, number(0));
  assert_int_equal(found[2].position, 1);
  inspect_free(found);
  assert_null(inspect_referrers(session, number(0), NULL, &found, &count));
  assert_int_equal(count, 0);
  inspect_free(found);
  struct inspect_error *error = inspect_referrers(session, OBJECTS, NULL, &found, &count);
  assert_int_equal(error->code, INSPECT_ERROR_NOT_FOUND);
  assert_null(found);
  assert_int_equal(count, 0);
  inspect_error_free(error);
}

static void labels_have_bounds(void **state) {
  struct inspect_session *session = ((struct fixture *)*state)->session;
  char *label = inspect_reference_label(session, number(2), 2);
  assert_string_equal(label, "[17]");
  inspect_free(label);
  label = inspect_reference_label(session, number(1), 1);
  assert_string_equal(label, ".name");
  inspect_free(label);
  assert_null(inspect_reference_label(session, number(2), 3));
  assert_null(inspect_reference_label(session, number(2), SIZE_MAX));
  assert_null(inspect_reference_label(session, OBJECTS, 0));
}

static void objects_by_name(void **state) {
  struct inspect_session *session = ((struct fixture *)*state)->session;
  uint32_t found = BEFORE;
  char path[32];
  snprintf(path, sizeof path, "0x%llx", (unsigned long long)address(2));
  assert_null(inspect_object_named(session, path, 0, &found));
  assert_int_equal(found, number(2));
  static const struct {
    const char *path;
    uint32_t vm;
    enum inspect_error_code code;
  } WRONG[] = {{"0x1", 0, INSPECT_ERROR_NOT_FOUND}, {"@1", 0, INSPECT_ERROR_NOT_FOUND},
               {"a.b", 1, INSPECT_ERROR_NOT_FOUND}, /* no globals in these VMs */
               {"_G", 3, INSPECT_ERROR_NOT_FOUND},  {"", 0, INSPECT_ERROR_USAGE},
               {"a..b", 0, INSPECT_ERROR_USAGE}};
  for (size_t i = 0; i < sizeof WRONG / sizeof *WRONG; i++) {
    struct inspect_error *error = inspect_object_named(session, WRONG[i].path, WRONG[i].vm, &found);
    if (!error) fail_msg("%s was found", WRONG[i].path);
    assert_int_equal(error->code, WRONG[i].code);
    assert_int_equal(found, INSPECT_NO_OBJECT);
    inspect_error_free(error);
  }
}

static void strings_and_words(void **state) {
  struct inspect_session *session = ((struct fixture *)*state)->session;
  size_t size;
  const char *bytes = inspect_object_string(session, number(3), &size);
  assert_int_equal(size, 4);
  assert_memory_equal(bytes, "name", 4);
  assert_null(inspect_object_string(session, OBJECTS, &size));
  assert_int_equal(size, 0);
  char *words = inspect_object_words(session, number(5));
  assert_string_equal(words, "userdata, 64 B");
  inspect_free(words);
  assert_null(inspect_object_words(session, UINT32_MAX));
}

static void names_end(void **state) {
  struct inspect_session *session = ((struct fixture *)*state)->session;
  uint32_t types = 0, kinds = 0, strengths = 0;
  while (inspect_type_name(types))
    types++;
  while (inspect_kind_name(kinds))
    kinds++;
  while (inspect_strength_name(strengths))
    strengths++;
  assert_int_equal(types, OBJECT_TYPE_COUNT);
  assert_int_equal(kinds, REFERENCE_KIND_COUNT);
  assert_int_equal(strengths, 3);
  assert_null(inspect_type_name(UINT32_MAX));
  assert_null(inspect_kind_name(UINT32_MAX));
  assert_null(inspect_strength_name(UINT32_MAX));
  assert_string_equal(inspect_class_name(session, OBJECT_TABLE), "table");
  assert_null(inspect_class_name(session, OBJECT_TYPE_COUNT));
  assert_null(inspect_class_name(session, UINT32_MAX));
  /* Classes follow the types; number 0 of them, for objects without evidence, is not among them. */
  struct class_info items[] = {{.name = "none"}, {.name = "Npc"}, {.name = "past the last"}};
  uint32_t of[OBJECTS] = {[4] = 1};
  session->classes = (struct classes){.of = of, .items = items, .count = 2};
  session->is_classified = true;
  assert_string_equal(inspect_class_name(session, OBJECT_TYPE_COUNT), "Npc");
  assert_null(inspect_class_name(session, OBJECT_TYPE_COUNT + 1));
  struct inspect_object row;
  inspect_objects(session, NULL, number(4), 1, &row);
  assert_int_equal(row.class_number, OBJECT_TYPE_COUNT);
  inspect_objects(session, NULL, number(5), 1, &row);
  assert_int_equal(row.class_number, OBJECT_USERDATA);
  session->is_classified = false;
}

static bool always(void *context) {
  ++*(int *)context;
  return true;
}

static void preparing_is_cancelled(void **state) {
  struct inspect_session *session = ((struct fixture *)*state)->session;
  int asked = 0;
  struct inspect_io io = {.context = &asked, .cancelled = always};
  struct inspect_error *error = inspect_session_prepare(session, INSPECT_RETAINED, &io);
  if (error) { /* so small a heap may be done before anybody asks */
    assert_int_equal(error->code, INSPECT_ERROR_INTERRUPTED);
    assert_true(asked > 0);
    inspect_error_free(error);
  }
  prepare(session, INSPECT_RETAINED);
  assert_true(inspect_session_prepared(session) & INSPECT_RETAINED);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(nothing_before_the_graph),
      TEST(vms_count_from_one),
      TEST(rows_are_by_address),
      TEST(rows_have_bounds),
      TEST(filters),
      TEST(stages_add_to_rows),
      TEST(references_have_bounds),
      TEST(labels_have_bounds),
      TEST(referrers_are_the_references_turned_around),
      TEST(objects_by_name),
      TEST(strings_and_words),
      TEST(names_end),
      TEST(preparing_is_cancelled),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
