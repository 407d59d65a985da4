/* mock_lua.h - a piece of a target's memory, and Lua objects written into it by hand.
 *
 * All memory is one range at MOCK_BASE; what lies elsewhere is not in the dump. Objects are placed
 * one after the other by mock_take; fields are written by name, so that a test runs with any
 * layout. */
#ifndef MOCK_LUA_H
#define MOCK_LUA_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lua/lua54.h"

enum { MOCK_SIZE = 1 << 16, MOCK_BASE = 0x40000000 };

struct mock_lua {
  uint8_t bytes[MOCK_SIZE];
  uint64_t used;
  struct address_map map;
  struct vm vm;
};

/* The canned layout with this name and word size. */
static inline const struct layout *mock_layout(const char *name, unsigned pointer_size) {
  const struct layout *layout;
  for (size_t i = 0; (layout = layout_canned(i)); i++)
    if (layout->pointer_size == pointer_size && strncmp(layout->name, name, strlen(name)) == 0)
      return layout;
  fail_msg("there is no layout %s", name);
  return NULL;
}

static inline struct mock_lua *mock_open(const struct layout *layout) {
  struct mock_lua *mock = calloc(1, sizeof *mock);
  assert_non_null(mock);
  struct address_range range = {MOCK_BASE, MOCK_BASE + MOCK_SIZE, mock->bytes, 0};
  assert_null(address_map_init(&mock->map, layout->pointer_size == 4 ? 2 : 3, &range, 1));
  mock->vm = (struct vm){.layout = layout,
                         .memory = {.map = &mock->map},
                         .global_state = MOCK_BASE + 0x8000,
                         .current_white = 8};
  mock->used = 64;
  return mock;
}

static inline void mock_close(struct mock_lua *mock) {
  vm_close(&mock->vm);
  address_map_free(&mock->map);
  free(mock);
}

/* The address of `size` new bytes. */
static inline uint64_t mock_take(struct mock_lua *mock, uint64_t size) {
  uint64_t address = MOCK_BASE + mock->used;
  mock->used = (mock->used + size + 31) & ~UINT64_C(15);
  assert_true(mock->used <= MOCK_SIZE);
  return address;
}

static inline uint8_t *mock_bytes(struct mock_lua *mock, uint64_t address) {
  assert_true(address >= MOCK_BASE && address < MOCK_BASE + MOCK_SIZE);
  return mock->bytes + (address - MOCK_BASE);
}

static inline void mock_put(struct mock_lua *mock, uint64_t address, uint64_t value,
                            unsigned size) {
  memcpy(mock_bytes(mock, address), &value, size);
}

static inline void mock_field(struct mock_lua *mock, uint64_t object, enum layout_field field,
                              uint64_t value) {
  struct layout_place place = mock->vm.layout->place[field];
  if (place.size) mock_put(mock, object + place.offset, value, place.size);
}

static inline void mock_pointer(struct mock_lua *mock, uint64_t address, uint64_t value) {
  mock_put(mock, address, value, mock->vm.layout->pointer_size);
}

static inline void mock_value(struct mock_lua *mock, uint64_t address, uint8_t tag, uint64_t bits) {
  mock_put(mock, address, bits, 8);
  mock_put(mock, address + mock->vm.layout->place[TValue_tt_].offset, tag, 1);
}

/* A new object with so many bytes and a header. */
static inline uint64_t mock_object(struct mock_lua *mock, uint8_t tag, uint64_t size) {
  uint64_t address = mock_take(mock, size);
  mock_field(mock, address, GCObject_tt, tag);
  mock_field(mock, address, GCObject_marked, 8);
  return address;
}

/* A table with the dummy node and no array part. */
static inline uint64_t mock_table(struct mock_lua *mock) {
  uint64_t table = mock_object(mock, TAG_TABLE, mock->vm.layout->size[SIZE_Table]);
  if (!layout_has(mock->vm.layout, Table_lastfree)) mock_field(mock, table, Table_flags, 0x40);
  return table;
}

/* Gives the table a hash part of 2^log2 empty nodes, and returns its address. */
static inline uint64_t mock_hash(struct mock_lua *mock, uint64_t table, unsigned log2) {
  uint64_t nodes = mock_take(mock, (uint64_t)mock->vm.layout->size[SIZE_Node] << log2);
  mock_field(mock, table, Table_node, nodes);
  mock_field(mock, table, Table_lsizenode, log2);
  mock_field(mock, table, Table_lastfree, nodes);
  if (!layout_has(mock->vm.layout, Table_lastfree)) mock_field(mock, table, Table_flags, 0);
  return nodes;
}

static inline void mock_node(struct mock_lua *mock, uint64_t nodes, uint64_t index,
                             struct lua_value key, struct lua_value value) {
  const struct layout *layout = mock->vm.layout;
  uint64_t node = nodes + index * layout->size[SIZE_Node];
  mock_value(mock, node, value.tag, value.bits);
  mock_put(mock, node + layout->place[Node_key_tt].offset, key.tag, 1);
  mock_put(mock, node + layout->place[Node_key_val].offset, key.bits,
           key.tag & TAG_COLLECTABLE ? layout->pointer_size : 8);
}

static inline uint64_t mock_string(struct mock_lua *mock, const char *text) {
  const struct layout *layout = mock->vm.layout;
  uint64_t inside = layout->place[TString_contents].offset, size = strlen(text);
  uint64_t string = mock_object(mock, TAG_SHORT_STRING, inside + size + 1);
  mock_field(mock, string, TString_shrlen, size);
  memcpy(mock_bytes(mock, string + inside), text, size + 1);
  return string;
}

/* Visits an object; the references are in `visit` until the next visit with it. */
static inline bool mock_visit(struct mock_lua *mock, uint64_t address, uint8_t tag,
                              struct visit *visit) {
  bool no_memory = false;
  bool is_object = lua54_visit(&mock->vm, address, tag, visit, &no_memory);
  assert_false(no_memory);
  return is_object;
}

#endif
