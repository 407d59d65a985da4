/* test_torn.c - an array part that was being moved, in memory written by hand: its double is taken
 * if the old place was given back and something of it is lost, and only if the double is nobody's.
 */
#include "mock_lua.h"

#include "graph/torn.h"

enum { IN_USE = 1, VALUES = 6, SIZE = 8 };

/* A table whose array part is in a block that was given back, and its double, which a native thread
 * knows of. */
struct scene {
  struct mock_lua *lua;
  struct heap heap;
  struct heap_vm owner;
  struct discovery found;
  uint64_t table, old, copy, after; /* old, copy: blocks; after: the header behind old */
  uint64_t strings[VALUES];
};

static uint64_t take_block(struct mock_lua *lua, uint64_t bytes) {
  uint64_t word = lua->vm.layout->pointer_size, size = (bytes + word + 15) / 16 * 16;
  lua->used = (lua->used + 16 + 15) & ~UINT64_C(15);
  uint64_t address = mock_take(lua, bytes);
  if (size < 4 * word) size = 4 * word;
  mock_pointer(lua, address - word, size | IN_USE);
  mock_pointer(lua, address - word + size, IN_USE);
  return address;
}

static uint32_t granule_of(struct scene *scene, uint64_t address) {
  size_t hint = 0;
  uint32_t granule = address_map_number(&scene->heap.map, address, &hint);
  assert_true(granule != NO_GRANULE);
  return granule;
}

static void discover(struct scene *scene, uint64_t address, enum object_type type) {
  uint32_t granule = granule_of(scene, address);
  address_map_mark(&scene->heap.map, granule);
  assert_true(vector_push(&scene->found.granules, granule));
  assert_true(vector_push(&scene->found.types, (uint8_t)type));
}

static void add_word(struct scene *scene, uint64_t word) {
  assert_true(vector_push(&scene->found.words, word));
}

/* Value `index` of an array in a block. In 5.5 values lie backwards below a pointer, tags above. */
static void put(struct scene *scene, uint64_t block, uint64_t index, uint8_t tag, uint64_t bits) {
  struct mock_lua *lua = scene->lua;
  if (lua->vm.layout->array_form != ARRAY_SPLIT) {
    mock_value(lua, block + index * lua->vm.layout->size[SIZE_TValue], tag, bits);
    return;
  }
  uint64_t middle = block + 8 * SIZE;
  mock_put(lua, middle - 8 * (index + 1), bits, 8);
  mock_put(lua, middle + 4 + index, tag, 1);
}

static void open_scene(struct scene *scene, const struct layout *layout) {
  *scene = (struct scene){.lua = mock_open(layout)};
  struct mock_lua *lua = scene->lua;
  uint64_t bytes = table_array_bytes(layout, SIZE), word = layout->pointer_size;
  bool is_split = layout->array_form == ARRAY_SPLIT;
  lua->vm.registry = take_block(lua, layout->size[SIZE_Table]);
  scene->table = mock_table(lua);
  scene->old = take_block(lua, bytes);
  scene->after = scene->old + (bytes + word + 15) / 16 * 16 - word;
  scene->copy = take_block(lua, 2 * bytes);
  mock_field(lua, scene->table, Table_array, scene->old + (is_split ? 8 * SIZE : 0));
  mock_field(lua, scene->table, Table_alimit, SIZE);
  scene->heap.map = lua->map;
  scene->heap.vms = &scene->owner;
  scene->heap.vm_count = 1;
  discover(scene, scene->table, OBJECT_TABLE);
  for (unsigned i = 0; i < VALUES; i++) {
    char text[] = {'a', (char)('0' + i), '\0'};
    scene->strings[i] = mock_string(lua, text);
    discover(scene, scene->strings[i], OBJECT_STRING);
    put(scene, scene->old, i + 2 * is_split, TAG_SHORT_STRING | TAG_COLLECTABLE, scene->strings[i]);
  }
  memcpy(mock_bytes(lua, scene->copy), mock_bytes(lua, scene->old), bytes);
  mock_put(lua, scene->old, UINT64_C(0x1111111111111111), 8); /* the allocator's links */
  mock_put(lua, scene->old + 8, UINT64_C(0x2222222222222222), 8);
  mock_pointer(lua, scene->after, 0x40); /* the block before is free */
  scene->owner.vm = lua->vm;
  scene->owner.vm.memory.map = &scene->heap.map;
  scene->found.has_words = true;
  add_word(scene, lua->vm.global_state);
  add_word(scene, scene->table);
  add_word(scene, scene->copy + (is_split ? 8 * SIZE : 0));
}

static void close_scene(struct scene *scene) {
  vm_close(&scene->owner.vm);
  scene->lua->vm = (struct vm){.layout = scene->lua->vm.layout};
  discovery_free(&scene->found);
  mock_close(scene->lua);
}

static bool find(struct scene *scene) {
  bool found = false;
  assert_null(torn_find(&scene->heap, 0, &scene->found, &found));
  return found;
}

static void on_all(void (*check)(const struct layout *)) {
  for (unsigned word = 4; word <= 8; word += 4) {
    check(mock_layout("5.4.0", word));
    check(mock_layout("5.4.3", word));
    check(mock_layout("5.5.1", word));
  }
}

static void check_found(const struct layout *layout) {
  struct scene scene;
  open_scene(&scene, layout);
  assert_int_equal(torn_lost(&scene.heap, 0, &scene.found), scene.table);
  assert_true(find(&scene));
  const struct torn *torn = &scene.owner.vm.torn;
  assert_int_equal(torn->table, scene.table);
  assert_int_equal(torn->array, scene.copy + (layout->array_form == ARRAY_SPLIT ? 8 * SIZE : 0));
  assert_int_equal(torn->array_size, SIZE);
  assert_int_equal(scene.owner.vm.notes.count, 1);
  close_scene(&scene);
}

static void test_found(void **state) {
  (void)state;
  on_all(check_found);
}

/* ---- What is not taken for a double */

/* The block is in use: whatever the values are, they are the program's. */
static void spoil_by_use(struct scene *scene) { mock_pointer(scene->lua, scene->after, 0x41); }

/* Nothing is lost: the first words are still values. In 5.5 they hold the last two. */
static void spoil_by_loss(struct scene *scene) {
  memcpy(mock_bytes(scene->lua, scene->old), mock_bytes(scene->lua, scene->copy), 16);
}

/* The same, though they are not those of the double. */
static void spoil_by_soundness(struct scene *scene) {
  bool is_split = scene->lua->vm.layout->array_form == ARRAY_SPLIT;
  for (unsigned i = 0; i < 2; i++)
    put(scene, scene->old, is_split ? SIZE - 2 + i : i, TAG_SHORT_STRING | TAG_COLLECTABLE,
        scene->strings[i + 2]);
}

/* What is lost is lost in the other place, too: it was not copied from here. */
static void spoil_by_likeness(struct scene *scene) {
  memcpy(mock_bytes(scene->lua, scene->copy), mock_bytes(scene->lua, scene->old), 16);
}

/* The double differs. */
static void spoil_by_value(struct scene *scene) {
  put(scene, scene->copy, 5, TAG_SHORT_STRING | TAG_COLLECTABLE, scene->strings[0]);
}

/* No native thread has the VM in its hands, */
static void spoil_by_idleness(struct scene *scene) {
  scene->found.words.items[0] = scene->strings[0];
}

/* or it does not know of the table, */
static void spoil_by_table(struct scene *scene) { scene->found.words.items[1] = scene->strings[0]; }

/* or not of the double. */
static void spoil_by_place(struct scene *scene) { scene->found.words.items[2] = scene->table; }

/* The double is a part of another table. */
static void spoil_by_owner(struct scene *scene) {
  bool is_split = scene->lua->vm.layout->array_form == ARRAY_SPLIT;
  uint64_t other = mock_table(scene->lua);
  mock_field(scene->lua, other, Table_array, scene->copy + (is_split ? 8 * SIZE : 0));
  mock_field(scene->lua, other, Table_alimit, SIZE);
  discover(scene, other, OBJECT_TABLE);
}

/* The double has the block of an array of that size: it is not where more is to fit. */
static void spoil_by_size(struct scene *scene) {
  const struct layout *layout = scene->lua->vm.layout;
  uint64_t word = layout->pointer_size, bytes = table_array_bytes(layout, SIZE);
  if (layout->array_form == ARRAY_SPLIT) /* where this does not tell: another reason */
    spoil_by_value(scene);
  mock_pointer(scene->lua, scene->copy - word, ((bytes + word + 15) / 16 * 16) | IN_USE);
}

static void check_spoilt(const struct layout *layout) {
  static void (*const spoils[])(struct scene *) = {
      spoil_by_use,   spoil_by_loss,  spoil_by_value, spoil_by_idleness,  spoil_by_table,
      spoil_by_place, spoil_by_owner, spoil_by_size,  spoil_by_soundness, spoil_by_likeness,
  };
  for (size_t i = 0; i < sizeof spoils / sizeof *spoils; i++) {
    struct scene scene;
    open_scene(&scene, layout);
    spoils[i](&scene);
    assert_false(find(&scene));
    assert_int_equal(scene.owner.vm.torn.table, 0);
    assert_int_equal(scene.owner.vm.notes.count, 0);
    close_scene(&scene);
  }
}

static void test_not_found(void **state) {
  (void)state;
  on_all(check_spoilt);
}

/* ---- Parts */

static void check_parts(const struct layout *layout) {
  struct scene scene;
  open_scene(&scene, layout);
  uint64_t nodes = mock_hash(scene.lua, scene.table, 2), stride = layout->size[SIZE_Node];
  uint64_t array = table_array_bytes(layout, SIZE);
  const struct {
    uint64_t place;
    bool is_in;
  } cases[] = {
      {scene.old - 1, false},         {scene.old, true},           {scene.old + array - 1, true},
      {scene.old + array, false},     {nodes - 1, false},          {nodes, true},
      {nodes + 4 * stride - 1, true}, {nodes + 4 * stride, false}, {scene.copy, false},
      {scene.strings[0], false},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    assert_int_equal(torn_is_in_part(&scene.heap, 0, &scene.found, cases[i].place), cases[i].is_in);
  scene.owner.first = 1; /* the table belongs to another VM */
  assert_false(torn_is_in_part(&scene.heap, 0, &scene.found, nodes));
  close_scene(&scene);
}

static void test_parts(void **state) {
  (void)state;
  on_all(check_parts);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_found),
      cmocka_unit_test(test_not_found),
      cmocka_unit_test(test_parts),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
