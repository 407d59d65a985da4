/* random_heap.h - small random heaps with everything a collection looks at, for tests of analyses
 * against naive models.
 *
 * A heap is kept twice: as a graph, and as lists of plain references and of table entries. Models
 * use the lists only, so that they share nothing with the code under test but the rules. Reference
 * ids are known because rows are written in the order of objects. */
#ifndef RANDOM_HEAP_H
#define RANDOM_HEAP_H

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "graph/graph.h"

enum { HEAP_OBJECTS = 48, HEAP_REFERENCES = 400, HEAP_ROOTS = 6, HEAP_CUTS = 4 };

static const object_id NONE = NO_OBJECT;

struct heap_reference {
  object_id from, to;
  enum reference_kind kind;
  reference_id id;
};

struct heap_entry { /* key or value is NONE if it is no object */
  object_id table, key, value;
  enum reference_kind value_kind;
  reference_id key_id, value_id;
};

/* The string key of an empty entry of a table that is weak both ways. */
struct heap_leftover {
  object_id table, key;
  reference_id id;
};

struct random_heap {
  uint32_t count;
  enum object_type type[HEAP_OBJECTS];
  uint8_t flags[HEAP_OBJECTS];
  uint64_t bytes[HEAP_OBJECTS];
  struct heap_reference references[HEAP_REFERENCES];
  size_t reference_count;
  struct heap_entry entries[HEAP_REFERENCES];
  size_t entry_count;
  struct heap_leftover leftovers[HEAP_OBJECTS];
  size_t leftover_count;
  reference_id next_id;
  struct graph_root roots[HEAP_ROOTS];
  size_t root_count;
  struct graph *graph;
  struct graph_builder *builder;
  struct bitset avoid;
  reference_id cuts[HEAP_CUTS];
  struct graph_mask mask_memory;
  const struct graph_mask *mask; /* NULL: none */
  uint64_t random;
};

static inline uint32_t heap_random(struct random_heap *heap, uint32_t below) {
  heap->random ^= heap->random << 13;
  heap->random ^= heap->random >> 7;
  heap->random ^= heap->random << 17;
  return (uint32_t)((heap->random >> 20) % below);
}

static inline bool heap_chance(struct random_heap *heap, uint32_t percent) {
  return heap_random(heap, 100) < percent;
}

static inline object_id heap_any(struct random_heap *heap) {
  return heap_random(heap, heap->count);
}

static inline reference_id heap_write(struct random_heap *heap, object_id from,
                                      enum reference_kind kind, object_id to) {
  assert_true(graph_builder_reference(heap->builder, from, kind, to, NULL, 0));
  return heap->next_id++;
}

static inline void heap_add_reference(struct random_heap *heap, object_id from,
                                      enum reference_kind kind) {
  object_id to = heap_any(heap);
  struct heap_reference *reference = &heap->references[heap->reference_count++];
  *reference = (struct heap_reference){from, to, kind, heap_write(heap, from, kind, to)};
}

static inline void heap_add_entry(struct random_heap *heap, object_id table) {
  struct heap_entry entry = {.table = table, .key = NONE, .value = NONE};
  if (heap_chance(heap, 85)) {
    entry.key = heap_any(heap);
    entry.key_id = heap_write(heap, table, REFERENCE_KEY, entry.key);
  }
  if (entry.key == NONE || heap_chance(heap, 80)) {
    entry.value = heap_any(heap);
    if (entry.key == NONE)
      entry.value_kind = REFERENCE_INDEX;
    else if (heap->type[entry.key] == OBJECT_STRING)
      entry.value_kind = REFERENCE_FIELD;
    else
      entry.value_kind = REFERENCE_KEYED;
    entry.value_id = heap_write(heap, table, entry.value_kind, entry.value);
  }
  heap->entries[heap->entry_count++] = entry;
}

static inline void heap_add_leftover(struct random_heap *heap, object_id table) {
  object_id key = heap_any(heap);
  uint8_t both = OBJECT_WEAK_KEYS | OBJECT_WEAK_VALUES;
  if (heap->type[key] != OBJECT_STRING || (heap->flags[table] & both) != both) return;
  struct heap_leftover *leftover = &heap->leftovers[heap->leftover_count++];
  *leftover = (struct heap_leftover){table, key, heap_write(heap, table, REFERENCE_LEFTOVER, key)};
}

static inline void heap_add_objects(struct random_heap *heap) {
  uint32_t strings = heap_random(heap, 40);
  for (object_id i = 0; i < heap->count; i++) {
    enum object_type type = (enum object_type)heap_random(heap, OBJECT_TYPE_COUNT);
    if (heap_chance(heap, 50)) type = OBJECT_TABLE;
    if (heap_chance(heap, strings)) type = OBJECT_STRING;
    uint8_t flags = 0;
    if (type == OBJECT_TABLE && heap_chance(heap, 60))
      flags = (uint8_t)heap_random(heap, 4); /* the weak modes */
    if ((type == OBJECT_TABLE || type == OBJECT_USERDATA) && heap_chance(heap, 25))
      flags |= heap_chance(heap, 80) ? OBJECT_HAS_FINALIZER : OBJECT_PENDING;
    if (heap_chance(heap, 2)) flags |= OBJECT_FIXED;
    if (heap_chance(heap, 4)) flags |= OBJECT_DEAD;
    heap->type[i] = type;
    heap->flags[i] = flags;
    heap->bytes[i] = 1 + heap_random(heap, 1000);
    assert_true(graph_builder_object(heap->builder, type, flags, heap->bytes[i]));
  }
}

static inline void heap_add_rows(struct random_heap *heap) {
  static const enum reference_kind kinds[] = {
      REFERENCE_UPVALUE,     REFERENCE_UPVALUE_VALUE, REFERENCE_ENVIRONMENT, REFERENCE_STACK,
      REFERENCE_MAYBE_STACK, REFERENCE_OPEN_UPVALUE,  REFERENCE_USER_VALUE,  REFERENCE_CONSTANT,
      REFERENCE_PROTOTYPE,   REFERENCE_DEBUG};
  for (object_id i = 0; i < heap->count; i++) {
    if (heap->type[i] == OBJECT_STRING) continue;
    if (heap_chance(heap, 20)) heap_add_reference(heap, i, REFERENCE_METATABLE);
    for (uint32_t left = heap_random(heap, 4); left; left--) {
      if (heap->type[i] == OBJECT_TABLE)
        heap_add_entry(heap, i);
      else
        heap_add_reference(heap, i, kinds[heap_random(heap, 10)]);
    }
    heap_add_leftover(heap, i);
  }
}

static inline void heap_add_roots(struct random_heap *heap) {
  heap->root_count = heap_random(heap, HEAP_ROOTS);
  for (size_t i = 0; i < heap->root_count; i++) {
    enum root_kind kind = (enum root_kind)heap_random(heap, ROOT_LOADED + 1);
    heap->roots[i] = (struct graph_root){.object = heap_any(heap), .kind = kind};
    assert_true(graph_builder_root(heap->builder, kind, heap->roots[i].object));
  }
}

static inline void heap_add_mask(struct random_heap *heap) {
  assert_true(bitset_init(&heap->avoid, heap->count));
  if (heap_chance(heap, 50)) return;
  struct graph_mask *mask = &heap->mask_memory;
  *mask = (struct graph_mask){.kinds = ALL_KINDS, .cut = heap->cuts};
  if (heap_chance(heap, 50)) mask->kinds &= ~(UINT32_C(1) << heap_random(heap, 16));
  if (heap_chance(heap, 50)) mask->avoid = &heap->avoid;
  for (uint32_t i = heap_random(heap, 3); i; i--)
    bitset_add(&heap->avoid, heap_any(heap));
  reference_id cut = 0;
  while (mask->cut_count < HEAP_CUTS && heap_chance(heap, 60)) {
    cut += 1 + heap_random(heap, 8);
    heap->cuts[mask->cut_count++] = cut;
  }
  heap->mask = mask;
}

static inline void heap_create(struct random_heap *heap, uint64_t seed) {
  memset(heap, 0, sizeof *heap);
  heap->random = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
  heap->count = 2 + heap_random(heap, HEAP_OBJECTS - 2);
  heap->builder = graph_builder_create();
  assert_non_null(heap->builder);
  heap_add_objects(heap);
  heap_add_rows(heap);
  heap_add_roots(heap);
  heap->graph = graph_builder_finish(heap->builder);
  assert_non_null(heap->graph);
  heap_add_mask(heap);
}

static inline void heap_free(struct random_heap *heap) {
  graph_builder_free_graph(heap->graph);
  bitset_free(&heap->avoid);
}

/* ---- The rules, for models --------------------------------------------------------------------
 */

static inline bool heap_may_follow(const struct random_heap *heap, enum reference_kind kind,
                                   reference_id id) {
  if (!heap->mask) return true;
  for (size_t i = 0; i < heap->mask->cut_count; i++)
    if (heap->mask->cut[i] == id) return false;
  return heap->mask->kinds >> kind & 1;
}

static inline bool heap_avoids(const struct random_heap *heap, object_id object) {
  return heap->mask && heap->mask->avoid && bitset_has(heap->mask->avoid, object);
}

static inline bool heap_is_string(const struct random_heap *heap, object_id object) {
  return object != NONE && heap->type[object] == OBJECT_STRING;
}

static inline bool heap_weak_keys(const struct random_heap *heap, object_id table) {
  return heap->flags[table] & OBJECT_WEAK_KEYS;
}

static inline bool heap_weak_values(const struct random_heap *heap, object_id table) {
  return heap->flags[table] & OBJECT_WEAK_VALUES;
}

static inline bool heap_is_root(enum root_kind kind) {
  return kind != ROOT_GLOBALS && kind != ROOT_LOADED;
}

/* Adds an object to a set; returns whether that changed it. */
static inline bool heap_mark(const struct random_heap *heap, bool *marks, object_id object) {
  if (marks[object] || heap_avoids(heap, object)) return false;
  return marks[object] = true;
}

static inline bool heap_mark_key(const struct random_heap *heap, bool *marks,
                                 const struct heap_entry *entry) {
  return entry->key != NONE && heap_may_follow(heap, REFERENCE_KEY, entry->key_id) &&
         heap_mark(heap, marks, entry->key);
}

static inline bool heap_mark_value(const struct random_heap *heap, bool *marks,
                                   const struct heap_entry *entry) {
  return entry->value != NONE && heap_may_follow(heap, entry->value_kind, entry->value_id) &&
         heap_mark(heap, marks, entry->value);
}

static inline void heap_mark_roots(const struct random_heap *heap, bool *marks, bool pending) {
  for (size_t i = 0; i < heap->root_count; i++)
    if (heap_is_root(heap->roots[i].kind) && (pending || heap->roots[i].kind != ROOT_PENDING))
      heap_mark(heap, marks, heap->roots[i].object);
  for (object_id i = 0; i < heap->count; i++)
    if (heap->flags[i] & OBJECT_FIXED) heap_mark(heap, marks, i);
}

/* What one entry of a marked table marks while marking goes on. */
static inline bool heap_traverse_entry(const struct random_heap *heap, bool *marks,
                                       const struct heap_entry *entry) {
  bool weak_keys = heap_weak_keys(heap, entry->table);
  bool weak_values = heap_weak_values(heap, entry->table);
  bool changed = false;
  if (weak_keys && weak_values) return false;
  if (weak_values) return heap_mark_key(heap, marks, entry);
  if (!weak_keys || heap_is_string(heap, entry->key)) changed |= heap_mark_key(heap, marks, entry);
  if (!weak_keys || entry->key == NONE || heap_is_string(heap, entry->key) || marks[entry->key])
    changed |= heap_mark_value(heap, marks, entry);
  return changed;
}

/* Marks until nothing changes any more. */
static inline void heap_close(const struct random_heap *heap, bool *marks) {
  for (bool changed = true; changed;) {
    changed = false;
    for (size_t i = 0; i < heap->reference_count; i++) {
      const struct heap_reference *reference = &heap->references[i];
      if (marks[reference->from] && heap_may_follow(heap, reference->kind, reference->id))
        changed |= heap_mark(heap, marks, reference->to);
    }
    for (size_t i = 0; i < heap->entry_count; i++)
      if (marks[heap->entries[i].table])
        changed |= heap_traverse_entry(heap, marks, &heap->entries[i]);
  }
}

#endif
