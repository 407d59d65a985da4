/* test_detect.c - finding VMs in memory made by hand: one for every canned layout.
 *
 * A mock VM has what the search looks at and nothing else: the main thread, its global state, four
 * names of metamethods and the registry. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "layout/detect.h"

enum { START = 0x10000, SIZE = 0x4000, BLOCK = 0x1000, STRINGS = 0x2800, TABLE = 0x2400 };
enum { STACK = 0x3000, NO_SPACE = -1 };

static uint8_t memory[SIZE];
static struct arena arena;

static int set_up(void **state) {
  (void)state;
  memset(memory, 0, sizeof memory);
  arena_init(&arena);
  return 0;
}

static int tear_down(void **state) {
  (void)state;
  arena_free(&arena);
  return 0;
}

static void put(uint64_t at, uint64_t value, unsigned size) {
  for (unsigned i = 0; i < size; i++)
    memory[at + i] = (uint8_t)(value >> 8 * i);
}

static void put_field(const struct layout *layout, uint64_t structure, enum layout_field field,
                      uint64_t value) {
  struct layout_place place = layout->place[field];
  put(structure + place.offset, value, place.size <= 8 ? place.size : layout->pointer_size);
}

/* Where things are, as offsets into `memory`. */
struct mock_vm {
  uint64_t thread, global;
};

static void put_names(const struct layout *layout, uint64_t global) {
  static const char *const NAMES[] = {"__index", "__newindex", "__gc", "__mode"};
  for (unsigned i = 0; i < 4; i++) {
    uint64_t string = STRINGS + i * 64u;
    put(global + layout->place[global_State_tmname].offset + i * layout->pointer_size,
        START + string, layout->pointer_size);
    strcpy((char *)memory + string + layout->place[TString_contents].offset, NAMES[i]);
  }
}

/* A VM whose lua_State has `extra` bytes before it; NO_SPACE: as the layout says. */
static struct mock_vm put_vm(const struct layout *layout, int extra) {
  uint64_t space = extra == NO_SPACE ? layout->block_extra : (uint64_t)extra;
  struct mock_vm vm = {.thread = BLOCK + space};
  vm.global = vm.thread + layout_state_distance(layout);
  if (layout->main_thread_embedded) {
    vm.global = BLOCK;
    vm.thread = BLOCK + layout_main_thread_offset(layout) - layout->block_extra + space;
  }
  put_field(layout, vm.thread, GCObject_tt, 8);
  put_field(layout, vm.thread, lua_State_l_G, START + vm.global);
  put_field(layout, vm.thread, lua_State_stack, START + STACK);
  put_field(layout, vm.thread, lua_State_top, START + STACK + layout->size[SIZE_TValue]);
  put_field(layout, vm.thread, lua_State_stack_last,
            START + STACK + 40u * layout->size[SIZE_TValue]);
  put_field(layout, vm.thread, lua_State_ci, START + 8);
  if (layout->stack_in_slots) put_field(layout, vm.thread, lua_State_stacksize, 45);
  if (layout_has(layout, global_State_mainthread))
    put_field(layout, vm.global, global_State_mainthread, START + vm.thread);
  uint64_t registry = vm.global + layout->place[global_State_l_registry].offset;
  put(registry, START + TABLE, layout->pointer_size);
  memory[registry + layout->place[TValue_tt_].offset] = 0x45;
  put_field(layout, TABLE, GCObject_tt, 5);
  put_names(layout, vm.global);
  return vm;
}

static void add(struct layouts *layouts, const struct layout *layout) {
  assert_true(vector_push(layouts, layout));
}

static void add_canned(struct layouts *layouts, unsigned pointer_size) {
  const struct layout *canned;
  for (size_t i = 0; (canned = layout_canned(i)); i++)
    if (canned->pointer_size == pointer_size) add(layouts, canned);
}

/* Searches with the layouts, which are freed. */
static struct detected_vms search(struct layouts *layouts) {
  struct address_range range = {.start = START, .end = START + SIZE, .bytes = memory};
  struct address_map map;
  struct detected_vms result = {0};
  assert_null(address_map_init(&map, 2, &range, 1));
  assert_null(detect_vms(&map, layouts, &arena, NULL, &result));
  for (size_t i = 0; i < result.count; i++) {
    struct detected_vm again;
    const struct detected_vm *found = &result.items[i];
    assert_true(detect_fits(&map, found->layout, found->main_thread, &again));
    assert_int_equal(again.global_state, found->global_state);
  }
  address_map_free(&map);
  vector_free(layouts);
  return result;
}

/* Follows words; the layouts are freed. */
static struct detected_vms follow(struct layouts *layouts, const uint64_t *words, size_t count) {
  struct address_range range = {.start = START, .end = START + SIZE, .bytes = memory};
  struct address_map map;
  struct detected_vms result = {0};
  assert_null(address_map_init(&map, 2, &range, 1));
  assert_null(detect_vms_at(&map, layouts, &arena, words, count, &result));
  address_map_free(&map);
  vector_free(layouts);
  return result;
}

/* A coroutine leads to its VM, whose main thread nobody names; the same VM is found once. */
static void test_words_lead_to_vms(void **state) {
  (void)state;
  enum { COROUTINE = 0x3800 };
  const struct layout *canned;
  for (size_t i = 0; (canned = layout_canned(i)); i++) {
    memset(memory, 0, sizeof memory);
    struct mock_vm vm = put_vm(canned, NO_SPACE);
    put_field(canned, COROUTINE, GCObject_tt, 8);
    put_field(canned, COROUTINE, lua_State_l_G, START + vm.global);
    struct layouts layouts = {0};
    add_canned(&layouts, canned->pointer_size);
    const uint64_t words[] = {0,          START + TABLE,     START + SIZE - 8,
                              UINT64_MAX, START + COROUTINE, START + vm.thread};
    struct detected_vms found = follow(&layouts, words, sizeof words / sizeof *words);
    assert_int_equal(found.count, 1);
    assert_int_equal(found.items[0].main_thread, START + vm.thread);
    assert_int_equal(found.items[0].global_state, START + vm.global);
    vector_free(&found);

    add_canned(&layouts, canned->pointer_size);
    found = follow(&layouts, words, 4); /* lead to none */
    assert_int_equal(found.count, 0);
    vector_free(&found);
  }
}

static void test_every_canned_layout(void **state) {
  (void)state;
  const struct layout *canned;
  for (size_t i = 0; (canned = layout_canned(i)); i++) {
    memset(memory, 0, sizeof memory);
    struct mock_vm vm = put_vm(canned, NO_SPACE);
    struct layouts layouts = {0};
    add_canned(&layouts, canned->pointer_size);
    struct detected_vms found = search(&layouts);
    assert_int_equal(found.count, 1);
    assert_int_equal(found.items[0].main_thread, START + vm.thread);
    assert_int_equal(found.items[0].global_state, START + vm.global);
    const struct layout *layout = found.items[0].layout;
    if (layout != canned && found.items[0].alternate != canned && !layout_equal(layout, canned))
      fail_msg("%s was taken for %s", canned->name, layout->name);
    vector_free(&found);
  }
}

static void test_extra_space_of_an_embedded_thread(void **state) {
  (void)state;
  const struct layout *canned;
  for (size_t i = 0; (canned = layout_canned(i)); i++) {
    if (!canned->main_thread_embedded) continue;
    for (int extra = 0; extra <= 2 * MOST_EXTRA_SPACE; extra += 4) {
      memset(memory, 0, sizeof memory);
      put_vm(canned, extra);
      struct layouts layouts = {0};
      add(&layouts, canned);
      struct detected_vms found = search(&layouts);
      bool is_possible = extra <= MOST_EXTRA_SPACE && extra % canned->pointer_size == 0;
      assert_int_equal(found.count, is_possible);
      if (is_possible) {
        const struct layout *layout = found.items[0].layout;
        assert_int_equal(layout->block_extra, extra);
        assert_int_equal(layout->provenance,
                         extra == canned->block_extra ? LAYOUT_CANNED : LAYOUT_PROBED);
        assert_int_equal(layout->size[SIZE_global_State] - canned->size[SIZE_global_State],
                         extra - canned->block_extra);
      }
      vector_free(&found);
    }
  }
}

static void test_provenance_decides(void **state) {
  (void)state;
  static const enum layout_provenance RISING[] = {LAYOUT_CANNED, LAYOUT_DWARF, LAYOUT_FILE};
  struct layout made[3];
  put_vm(layout_canned(0), NO_SPACE);
  for (unsigned i = 0; i < 3; i++) {
    made[i] = *layout_canned(0);
    made[i].provenance = RISING[i];
  }
  for (unsigned best = 0; best < 3; best++) {
    for (unsigned other = 0; other < best; other++) {
      for (int order = 0; order < 2; order++) {
        struct layouts layouts = {0};
        add(&layouts, &made[order ? best : other]);
        add(&layouts, &made[order ? other : best]);
        struct detected_vms found = search(&layouts);
        assert_int_equal(found.count, 1);
        assert_ptr_equal(found.items[0].layout, &made[best]);
        assert_null(found.items[0].alternate);
        vector_free(&found);
      }
    }
  }
}

/* Fields inserted before all that the search looks at. */
static void test_shifted_layout(void **state) {
  (void)state;
  struct layout shifted = *layout_canned(0);
  shifted.provenance = LAYOUT_DWARF;
  for (unsigned i = lua_State_status; i <= lua_State_oldpc; i++)
    shifted.place[i].offset = (uint16_t)(shifted.place[i].offset + 24);
  shifted.size[SIZE_lua_State] = (uint16_t)(shifted.size[SIZE_lua_State] + 24);
  for (unsigned i = global_State_totalbytes; i <= global_State_twups; i++)
    shifted.place[i].offset = (uint16_t)(shifted.place[i].offset + 8);
  shifted.size[SIZE_global_State] = (uint16_t)(shifted.size[SIZE_global_State] + 8);
  struct mock_vm vm = put_vm(&shifted, NO_SPACE);
  struct layouts layouts = {0};
  add_canned(&layouts, 8);
  struct detected_vms found = search(&layouts);
  assert_int_equal(found.count, 0);
  struct layouts more = {0};
  add_canned(&more, 8);
  add(&more, &shifted);
  found = search(&more);
  assert_int_equal(found.count, 1);
  assert_ptr_equal(found.items[0].layout, &shifted);
  assert_int_equal(found.items[0].main_thread, START + vm.thread);
  vector_free(&found);
}

/* Each thing that the search looks at, wrong: no VM. */
static void test_strays(void **state) {
  (void)state;
  const struct layout *layout = layout_canned(0);
  enum { KINDS = 8 };
  for (int kind = 0; kind < KINDS; kind++) {
    memset(memory, 0, sizeof memory);
    struct mock_vm vm = put_vm(layout, NO_SPACE);
    uint64_t registry = vm.global + layout->place[global_State_l_registry].offset;
    uint64_t names = vm.global + layout->place[global_State_tmname].offset;
    switch (kind) {
    case 0:
      put_field(layout, vm.thread, GCObject_tt, 7);
      break;
    case 1:
      put_field(layout, vm.thread, lua_State_l_G, START + vm.global + 8);
      break;
    case 2:
      put_field(layout, vm.global, global_State_mainthread, START + vm.thread + 8);
      break;
    case 3:
      memory[registry + 8] = 5;
      break;
    case 4:
      put_field(layout, TABLE, GCObject_tt, 4);
      break;
    case 5:
      put(registry, START + SIZE - 8, 8);
      break;
    case 6:
      put(names, 0, 8);
      break;
    default:
      memory[STRINGS + 3 * 64 + layout->place[TString_contents].offset + 2] = 'M';
      break;
    }
    struct layouts layouts = {0};
    add_canned(&layouts, 8);
    struct detected_vms found = search(&layouts);
    if (found.count) fail_msg("stray %d was taken", kind);
    vector_free(&found);
  }
}

static void test_nothing_to_search_with(void **state) {
  (void)state;
  struct layouts none = {0};
  struct detected_vms found = search(&none);
  assert_int_equal(found.count, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(test_every_canned_layout, set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_words_lead_to_vms, set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_extra_space_of_an_embedded_thread, set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_provenance_decides, set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_shifted_layout, set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_strays, set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_nothing_to_search_with, set_up, tear_down),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
