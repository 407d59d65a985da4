/* test_resize.c - the old parts of a table that was being resized, in memory written by hand: found
 * where everything fits, and not taken where anything does not. */
#include "mock_lua.h"

#include "graph/resize.h"
#include "graph/torn.h"

enum { IN_USE = 1, KEYS = 6 };

/* A VM with a table T, on its way to a hash part of 8 nodes, and its old hash part P of 4, which is
 * in no object. */
struct scene {
  struct mock_lua *lua;
  struct heap heap;
  struct heap_vm owner;
  struct discovery found;
  uint64_t table, old, fresh; /* T, P and the nodes that T has */
  uint64_t keys[KEYS];        /* strings */
};

static uint64_t take_block(struct mock_lua *lua, uint64_t bytes, bool has_header) {
  uint64_t word = lua->vm.layout->pointer_size;
  lua->used = (lua->used + 16 + 15) & ~UINT64_C(15);
  uint64_t address = mock_take(lua, bytes), size = (bytes + word + 15) / 16 * 16;
  if (size < 4 * word) size = 4 * word;
  if (!has_header) return address;
  mock_pointer(lua, address - word, size | IN_USE);
  mock_pointer(lua, address - word + size, IN_USE); /* of the next one: this one is in use */
  return address;
}

/* Nodes of their own, with what lies before them in 5.5. */
static uint64_t take_nodes(struct mock_lua *lua, uint64_t count, bool has_header) {
  uint64_t bytes = table_hash_bytes(lua->vm.layout, count),
           nodes = count * lua->vm.layout->size[SIZE_Node];
  return take_block(lua, bytes, has_header) + (bytes - nodes);
}

static void mark(struct scene *scene, uint64_t address) {
  size_t hint = 0;
  uint32_t granule = address_map_number(&scene->heap.map, address, &hint);
  assert_true(granule != NO_GRANULE);
  address_map_mark(&scene->heap.map, granule);
}

static struct lua_value key_value(const struct scene *scene, unsigned number) {
  return (struct lua_value){.tag = TAG_SHORT_STRING | TAG_COLLECTABLE, .bits = scene->keys[number]};
}

static struct lua_value integer(uint64_t value) {
  return (struct lua_value){.tag = TAG_INTEGER, .bits = value};
}

static void put(struct scene *scene, uint64_t nodes, uint64_t index, unsigned key) {
  mock_node(scene->lua, nodes, index, key_value(scene, key), integer(100 + key));
}

/* `has_sizes`: the allocator keeps the sizes of blocks. */
static void open_scene(struct scene *scene, const struct layout *layout, bool has_sizes) {
  *scene = (struct scene){.lua = mock_open(layout)};
  struct mock_lua *lua = scene->lua;
  lua->vm.registry = take_block(lua, layout->size[SIZE_Table], has_sizes);
  scene->table = mock_table(lua);
  scene->old = take_nodes(lua, 4, has_sizes);
  scene->fresh = take_nodes(lua, 8, has_sizes);
  mock_field(lua, scene->table, Table_node, scene->fresh);
  mock_field(lua, scene->table, Table_lsizenode, 3);
  mock_field(lua, scene->table, Table_lastfree, scene->fresh);
  if (!layout_has(layout, Table_lastfree)) mock_field(lua, scene->table, Table_flags, 0);
  static const char *const texts[KEYS] = {"one", "two", "three", "four", "five", "six"};
  for (unsigned i = 0; i < KEYS; i++)
    scene->keys[i] = mock_string(lua, texts[i]);
  for (unsigned i = 0; i < 4; i++)
    put(scene, scene->old, i, i);
  put(scene, scene->fresh, 6, 2); /* half of them are over */
  put(scene, scene->fresh, 1, 0);
  scene->owner.vm = lua->vm;
  scene->owner.vm.memory.map = &scene->heap.map;
  scene->heap.map = lua->map;
  scene->heap.vms = &scene->owner;
  scene->heap.vm_count = 1;
  scene->owner.residual = (int64_t)table_hash_bytes(layout, 4);
  mark(scene, scene->table);
  for (unsigned i = 0; i < KEYS; i++)
    mark(scene, scene->keys[i]);
  assert_true(vector_push(&scene->found.words, scene->old));
  assert_true(vector_push(&scene->found.words, scene->fresh));
  assert_true(vector_push(&scene->found.words, scene->table));
}

/* Whether something was found. */
static bool find(struct scene *scene) {
  bool found = false;
  assert_null(resize_find(&scene->heap, 0, &scene->found, &found));
  return found;
}

static void close_scene(struct scene *scene) {
  vm_close(&scene->owner.vm);
  scene->lua->vm = (struct vm){.layout = scene->lua->vm.layout};
  vector_free(&scene->found.words);
  mock_close(scene->lua);
}

/* The keys of what was recovered, as a set of bits. */
static unsigned recovered(const struct scene *scene) {
  const struct torn *torn = &scene->owner.vm.torn;
  struct lua_table nodes = {.nodes = torn->nodes, .node_count = torn->node_count};
  unsigned keys = 0;
  for (uint64_t i = 0; i < torn->node_count; i++) {
    struct lua_value key, value;
    table_entry((struct vm *)&scene->owner.vm, &nodes, i, &key, &value);
    for (unsigned k = 0; k < KEYS; k++)
      if (key.bits == scene->keys[k] && value.tag == TAG_INTEGER && value.bits == 100 + k)
        keys |= 1U << k;
  }
  return keys;
}

static void on_all(void (*check)(const struct layout *)) {
  for (unsigned word = 4; word <= 8; word += 4) {
    check(mock_layout("5.4.0", word));
    check(mock_layout("5.4.3", word));
    check(mock_layout("5.5.1", word));
  }
}

/* ---- What is found */

static void check_found(const struct layout *layout) {
  for (int has_sizes = 0; has_sizes < 2; has_sizes++) {
    struct scene scene;
    open_scene(&scene, layout, has_sizes);
    assert_true(find(&scene));
    const struct torn *torn = &scene.owner.vm.torn;
    assert_int_equal(torn->table, scene.table);
    assert_int_equal(torn->bytes, scene.owner.residual);
    assert_int_equal(recovered(&scene), 0xf);
    assert_int_equal(torn->node_count, 4);
    assert_int_equal(torn->lost_entries, 0);
    assert_false(torn->is_lost);
    assert_int_equal(torn->array, 0);
    assert_int_equal(scene.owner.vm.notes.count, 1);
    close_scene(&scene);
  }
}

/* A key is put in, and its value is not yet: no reason to think otherwise. */
static void check_half(const struct layout *layout) {
  struct scene scene;
  open_scene(&scene, layout, true);
  mock_node(scene.lua, scene.fresh, 3, key_value(&scene, 3), (struct lua_value){.tag = TAG_NIL});
  assert_true(find(&scene));
  assert_int_equal(recovered(&scene), 0xf);
  close_scene(&scene);
}

/* One of the old nodes was damaged: it is lost, unless the table has it already. */
static void check_damaged(const struct layout *layout) {
  struct scene scene;
  open_scene(&scene, layout, true);
  mock_node(scene.lua, scene.old, 1, (struct lua_value){.tag = 0x7f, .bits = 1}, integer(1));
  assert_true(find(&scene));
  assert_int_equal(recovered(&scene), 0xd);
  assert_int_equal(scene.owner.vm.torn.lost_entries, 1);
  close_scene(&scene);
}

/* ... whose entry is then taken from there. */
static void check_rescued(const struct layout *layout) {
  struct scene scene;
  open_scene(&scene, layout, true);
  mock_node(scene.lua, scene.old, 0, key_value(&scene, 0),
            (struct lua_value){.tag = 0x7f, .bits = 1});
  assert_true(find(&scene));
  assert_int_equal(recovered(&scene), 0xf);
  assert_int_equal(scene.owner.vm.torn.lost_entries, 0);
  close_scene(&scene);
}

/* Where the allocator proves nothing, and the table has nothing of the old part yet: it may be any
 * old memory, and is left out, which is said. */
static void check_unproven(const struct layout *layout) {
  for (int has_sizes = 0; has_sizes < 2; has_sizes++) {
    struct scene scene;
    open_scene(&scene, layout, has_sizes);
    memset(mock_bytes(scene.lua, scene.fresh), 0, (size_t)8 * layout->size[SIZE_Node]);
    assert_true(find(&scene));
    assert_int_equal(scene.owner.vm.torn.is_lost, !has_sizes);
    assert_int_equal(recovered(&scene), has_sizes ? 0xf : 0);
    close_scene(&scene);
  }
}

static void test_found(void **state) {
  (void)state;
  on_all(check_found);
  on_all(check_half);
  on_all(check_damaged);
  on_all(check_rescued);
  on_all(check_unproven);
}

/* ---- What is not taken for an old part */

static void spoil_books(struct scene *scene) { scene->owner.residual += 8; }

static void spoil_words_table(struct scene *scene) { scene->found.words.count = 2; }

static void spoil_words_old(struct scene *scene) { scene->found.words.items[0] = scene->fresh; }

static void spoil_by_object(struct scene *scene) { mark(scene, scene->old); }

/* The table has an entry that the old part never had. */
static void spoil_by_foreigner(struct scene *scene) { put(scene, scene->fresh, 4, 5); }

/* ... or the same key with another value. */
static void spoil_by_change(struct scene *scene) {
  mock_node(scene->lua, scene->fresh, 1, key_value(scene, 0), integer(7));
  mock_node(scene->lua, scene->fresh, 2, key_value(scene, 1), integer(7));
  mock_node(scene->lua, scene->fresh, 6, key_value(scene, 2), integer(7));
}

/* The table has no room for what would have to be put in. */
static void spoil_room(struct scene *scene) {
  mock_field(scene->lua, scene->table, Table_lsizenode, 1);
  memset(mock_bytes(scene->lua, scene->fresh), 0,
         (size_t)8 * scene->lua->vm.layout->size[SIZE_Node]);
}

static uint64_t start_of_old(const struct scene *scene) {
  const struct layout *layout = scene->lua->vm.layout;
  return scene->old - (table_hash_bytes(layout, 4) - 4 * (uint64_t)layout->size[SIZE_Node]);
}

static void spoil_size(struct scene *scene) {
  mock_pointer(scene->lua, start_of_old(scene) - scene->lua->vm.layout->pointer_size,
               0x200 | IN_USE);
}

static void spoil_by_free(struct scene *scene) {
  const struct layout *layout = scene->lua->vm.layout;
  uint64_t word = layout->pointer_size, bytes = table_hash_bytes(layout, 4);
  uint64_t size = (bytes + word + 15) / 16 * 16;
  mock_pointer(scene->lua, start_of_old(scene) - word + size, 0);
}

/* Most of the nodes are none. */
static void spoil_nodes(struct scene *scene) {
  for (unsigned i = 0; i < 3; i++)
    mock_node(scene->lua, scene->old, i, (struct lua_value){.tag = 0x7f, .bits = 1}, integer(1));
}

/* The nodes lead to objects that are none. */
static void spoil_objects(struct scene *scene) {
  for (unsigned i = 0; i < 3; i++)
    mock_field(scene->lua, scene->keys[i], GCObject_tt, TAG_TABLE);
}

/* Next nodes lie outside of the part. */
static void spoil_links(struct scene *scene) {
  const struct layout *layout = scene->lua->vm.layout;
  for (unsigned i = 0; i < 3; i++)
    mock_put(scene->lua, scene->old + i * layout->size[SIZE_Node] + layout->place[Node_next].offset,
             9, 4);
}

/* They are those of a table that is no object any more. */
static void spoil_by_owner(struct scene *scene) {
  uint64_t dead = mock_table(scene->lua);
  mock_field(scene->lua, dead, Table_node, scene->old);
  mock_field(scene->lua, dead, Table_lsizenode, 2);
  assert_true(vector_push(&scene->found.words, dead));
}

static void check_spoilt(const struct layout *layout, void (*spoil)(struct scene *)) {
  struct scene scene;
  open_scene(&scene, layout, true);
  spoil(&scene);
  assert_false(find(&scene));
  assert_int_equal(scene.owner.vm.torn.table, 0);
  assert_null(scene.owner.vm.torn.nodes);
  assert_int_equal(scene.owner.vm.notes.count, 0);
  close_scene(&scene);
}

static void check_not_found(const struct layout *layout) {
  static void (*const spoils[])(struct scene *) = {
      spoil_books,    spoil_words_table,  spoil_words_old, spoil_by_object, spoil_by_change,
      spoil_size,     spoil_by_free,      spoil_nodes,     spoil_objects,   spoil_links,
      spoil_by_owner, spoil_by_foreigner, spoil_room,
  };
  for (size_t i = 0; i < sizeof spoils / sizeof *spoils; i++)
    check_spoilt(layout, spoils[i]);
}

static void test_not_found(void **state) {
  (void)state;
  on_all(check_not_found);
}

/* ---- Which of several */

/* Two tables could be the one, and two parts the old one: what has most in common is taken. */
static void choose(const struct layout *layout, bool is_first) {
  struct scene scene;
  open_scene(&scene, layout, true);
  uint64_t empty = mock_table(scene.lua), nodes = take_nodes(scene.lua, 8, true);
  mock_field(scene.lua, empty, Table_node, nodes);
  mock_field(scene.lua, empty, Table_lsizenode, 3);
  if (!layout_has(layout, Table_lastfree)) mock_field(scene.lua, empty, Table_flags, 0);
  uint64_t other = take_nodes(scene.lua, 4, true);
  put(&scene, other, 0, 4);
  mark(&scene, empty);
  uint64_t words[] = {other, empty, scene.old, scene.table};
  scene.found.words.count = 0;
  for (size_t i = 0; i < 4; i++)
    assert_true(vector_push(&scene.found.words, words[is_first ? 3 - i : i]));
  assert_true(find(&scene));
  assert_int_equal(scene.owner.vm.torn.table, scene.table);
  assert_int_equal(recovered(&scene), 0xf);
  close_scene(&scene);
}

static void check_choice(const struct layout *layout) {
  choose(layout, false);
  choose(layout, true);
}

static void test_choice(void **state) {
  (void)state;
  on_all(check_choice);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_found),
      cmocka_unit_test(test_not_found),
      cmocka_unit_test(test_choice),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
