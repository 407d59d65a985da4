/* visit.h - the enumeration of an object's references, to be inlined where it is used.
 *
 * There is one enumeration and two users of it: lua54_visit (visit.c), which describes each
 * reference, and the walk (graph/walk.c), which reads ten million objects and wants granules only.
 * Each function here takes what is to be done with a reference, `emit`, and whether the target is
 * `plain`, as arguments that are constants in its callers, so that the compiler makes one version
 * of it for each.
 *
 * Plain targets, nearly all, have 64-bit pointers, little-endian, values and nodes as in lobject.h
 * (16 and 24 bytes), and fields of the usual sizes (visit_is_plain). Where what the loops over
 * values read lies is fixed by that; the place of all other fields is what the layout says.
 *
 * Invariant: every pointer that is followed was checked against the memory map for the whole extent
 * that is read through it, and every count that bounds a loop was checked by such a view.
 *
 * A value with a tag that Lua does not have is not a value: it is counted, and nothing is emitted.
 */
#ifndef LUA_VISIT_H
#define LUA_VISIT_H

#include "lua/lua54.h"
#include "lua/stack.h"

#define INLINE static inline __attribute__((always_inline))

enum { MARKED_WHITES = 0x18, MARKED_FINALIZED = 0x40 };

struct visitor {
  struct vm *vm;
  struct visit *visit;
  uint64_t address;
  const uint8_t *header; /* of the object: 2 pointers' worth may be read */
  bool trusted;          /* references of a dead object may lead to freed memory */
  void *sink;            /* for `emit` */
};

/* Takes one reference; the arguments are the fields of struct raw_reference. */
typedef void emit_reference(struct visitor *visitor, enum reference_kind kind, uint64_t address,
                            uint8_t tag, uint64_t detail, bool in_hash, bool trusted);

/* OBJECT_WEAK_KEYS, OBJECT_WEAK_VALUES: what a metatable's __mode says. */
uint8_t visit_mode_of(struct vm *vm, uint64_t metatable);

/* Notes that a part of the object cannot be read. */
static inline void visit_damage(struct visitor *visitor, uint64_t address, const char *fault) {
  visitor->visit->flags |= OBJECT_DAMAGED;
  visitor->visit->fault = fault;
  visitor->visit->fault_address = address;
}

static inline const uint8_t *visit_header(struct visitor *visitor, uint64_t size) {
  const uint8_t *header = memory_view(&visitor->vm->memory, visitor->address, size);
  if (!header)
    visit_damage(visitor, visitor->address, "object lies across the end of the dump's memory");
  return header;
}

/* ---- Values ---------------------------------------------------------------------------------- */

enum { PLAIN_TAG = 8, PLAIN_VALUE = 16, PLAIN_KEY_TAG = 9, PLAIN_KEY = 16, PLAIN_NODE = 24 };

static inline bool visit_is_plain(const struct layout *layout) {
  static const enum layout_field BYTES[] = {GCObject_tt, GCObject_marked, LClosure_nupvalues};
  static const enum layout_field WORDS[] = {GCObject_next, LClosure_p, UpVal_v};
  const struct layout_place *place = layout->place;
  bool fits = layout->pointer_size == 8 && !layout->big_endian &&
              place[TValue_value_].offset == 0 && place[TValue_tt_].offset == PLAIN_TAG &&
              layout->size[SIZE_TValue] == PLAIN_VALUE && place[Node_value_].offset == 0 &&
              place[Node_key_tt].offset == PLAIN_KEY_TAG &&
              place[Node_key_val].offset == PLAIN_KEY && layout->size[SIZE_Node] == PLAIN_NODE;
  for (size_t i = 0; i < sizeof BYTES / sizeof *BYTES; i++)
    fits &= place[BYTES[i]].size == 1;
  for (size_t i = 0; i < sizeof WORDS / sizeof *WORDS; i++)
    fits &= place[WORDS[i]].size == 8;
  return fits;
}

INLINE uint64_t visit_word(const uint8_t *bytes) {
  uint64_t word;
  memcpy(&word, bytes, sizeof word);
  return word;
}

/* Fields that have one byte, and those that have eight, where the target is plain. */
INLINE uint8_t visit_byte(const struct layout *layout, bool plain, const uint8_t *bytes,
                          enum layout_field field) {
  return plain ? bytes[layout->place[field].offset] : (uint8_t)load_field(layout, bytes, field);
}

INLINE uint64_t visit_pointer(const struct layout *layout, bool plain, const uint8_t *bytes,
                              enum layout_field field) {
  return plain ? visit_word(bytes + layout->place[field].offset) : load_field(layout, bytes, field);
}

INLINE struct lua_value visit_value(const struct layout *layout, bool plain, const uint8_t *bytes) {
  if (!plain) return value_load(layout, bytes);
  return (struct lua_value){.tag = bytes[PLAIN_TAG], .bits = visit_word(bytes)};
}

INLINE struct lua_value visit_array_value(const struct visitor *visitor, bool plain,
                                          const struct lua_table *table, uint64_t index) {
  if (!plain) return table_array_value(visitor->vm, table, index);
  if (visitor->vm->layout->array_form != ARRAY_SPLIT)
    return visit_value(visitor->vm->layout, plain, table->array + index * PLAIN_VALUE);
  return (struct lua_value){.tag = table->array[4 + index],
                            .bits = visit_word(table->array - 8 * (index + 1))};
}

INLINE void visit_entry(const struct visitor *visitor, bool plain, const struct lua_table *table,
                        uint64_t index, struct lua_value *key, struct lua_value *value) {
  if (!plain) {
    table_entry(visitor->vm, table, index, key, value);
    return;
  }
  const uint8_t *node = table->nodes + index * PLAIN_NODE;
  *value = (struct lua_value){.tag = node[PLAIN_TAG], .bits = visit_word(node)};
  *key = (struct lua_value){.tag = node[PLAIN_KEY_TAG], .bits = visit_word(node + PLAIN_KEY)};
}

/* Whether the value refers to an object. What is no value at all is counted, not believed. */
INLINE bool visit_is_reference(struct visitor *visitor, struct lua_value value) {
  enum value_class class = value_class(value.tag);
  if (__builtin_expect(class == VALUE_ABSURD, 0) && visitor->trusted) visitor->visit->absurd++;
  return class == VALUE_OBJECT;
}

INLINE void visit_emit_value(struct visitor *visitor, emit_reference *emit,
                             enum reference_kind kind, struct lua_value value, uint64_t detail) {
  if (visit_is_reference(visitor, value))
    emit(visitor, kind, value.bits, value.tag & (uint8_t)~TAG_COLLECTABLE, detail, false,
         visitor->trusted);
}

/* Emits a plain pointer to an object, which may be NULL. */
INLINE void visit_emit_pointer(struct visitor *visitor, emit_reference *emit,
                               enum reference_kind kind, uint64_t address, uint8_t tag,
                               uint64_t detail) {
  if (address) emit(visitor, kind, address, tag, detail, false, visitor->trusted);
}

/* ---- Strings --------------------------------------------------------------------------------- */

INLINE void visit_string(struct visitor *visitor) {
  const struct layout *layout = visitor->vm->layout;
  bool is_long = load_field(layout, visitor->header, GCObject_tt) == TAG_LONG_STRING;
  uint64_t need = layout->place[TString_contents].offset;
  if (is_long && layout->string_form == STRING_EXTERNAL)
    need = layout->place[TString_falloc].offset;
  const uint8_t *header = visit_header(visitor, need);
  if (!header) return;
  uint64_t length, contents;
  string_measure(layout, header, visitor->address, &length, &contents, &visitor->visit->bytes);
  if (contents - visitor->address <= layout->size[SIZE_TString] &&
      !memory_view(&visitor->vm->memory, contents, length)) {
    visitor->visit->bytes = 0;
    visit_damage(visitor, visitor->address, "string runs past the end of the dump's memory");
  }
}

/* ---- Tables ---------------------------------------------------------------------------------- */

/* The kind of a value whose key is no object. A key that Lua does not have was one, maybe: where
 * keys are weak, the value is then as weak as a key, as nobody knows whether it is held. */
INLINE enum reference_kind visit_keyless(const struct visitor *visitor, struct lua_value key) {
  const uint8_t both = OBJECT_WEAK_KEYS | OBJECT_WEAK_VALUES;
  if (__builtin_expect((visitor->visit->flags & both) != OBJECT_WEAK_KEYS, 1))
    return REFERENCE_INDEX;
  return value_class(key.tag) == VALUE_ABSURD || value_is_empty(key) ? REFERENCE_KEY
                                                                     : REFERENCE_INDEX;
}

INLINE void visit_entries(struct visitor *visitor, bool plain, emit_reference *emit,
                          const struct lua_table *table) {
  const uint8_t both = OBJECT_WEAK_KEYS | OBJECT_WEAK_VALUES;
  bool weak_both_ways = (visitor->visit->flags & both) == both;
  for (uint64_t i = 0; i < table->node_count; i++) {
    struct lua_value key, value;
    visit_entry(visitor, plain, table, i, &key, &value);
    const uint8_t key_tag = key.tag & (uint8_t)~TAG_COLLECTABLE;
    if (value_is_empty(value)) {
      /* The string may be gone already: nothing has marked it since the entry became empty. */
      if (weak_both_ways && value_is_object(key) && value_is_string(key))
        emit(visitor, REFERENCE_LEFTOVER, key.bits, key_tag, i, true, false);
      continue;
    }
    bool leads = visit_is_reference(visitor, value), is_keyed = visit_is_reference(visitor, key);
    if (is_keyed) emit(visitor, REFERENCE_KEY, key.bits, key_tag, i, true, visitor->trusted);
    if (leads)
      emit(visitor,
           !is_keyed              ? visit_keyless(visitor, key)
           : value_is_string(key) ? REFERENCE_FIELD
                                  : REFERENCE_KEYED,
           value.bits, value.tag & (uint8_t)~TAG_COLLECTABLE, i, true, visitor->trusted);
  }
}

INLINE void visit_table(struct visitor *visitor, bool plain, emit_reference *emit) {
  struct vm *vm = visitor->vm;
  struct lua_table table;
  const char *fault = table_load(vm, visitor->address, &table);
  if (fault) {
    visit_damage(visitor, visitor->address, fault);
    return;
  }
  if (table.fault) visit_damage(visitor, table.fault_address, table.fault);
  visitor->visit->bytes = table.bytes;
  if (table.metatable) {
    visit_emit_pointer(visitor, emit, REFERENCE_METATABLE, table.metatable, TAG_TABLE, 0);
    if (visitor->trusted) visitor->visit->flags |= visit_mode_of(vm, table.metatable);
  }
  for (uint64_t i = 0; i < table.array_size; i++)
    visit_emit_value(visitor, emit, REFERENCE_INDEX, visit_array_value(visitor, plain, &table, i),
                     i + 1);
  visit_entries(visitor, plain, emit, &table);
}

/* ---- Userdata and closures ------------------------------------------------------------------- */

INLINE void visit_userdata(struct visitor *visitor, bool plain, emit_reference *emit) {
  const struct layout *layout = visitor->vm->layout;
  if (!visit_header(visitor, layout->userdata_bare)) return;
  uint64_t count = load_field(layout, visitor->header, Udata_nuvalue);
  uint64_t length = load_field(layout, visitor->header, Udata_len);
  uint64_t value_size = layout->size[SIZE_TValue];
  uint64_t head = count ? layout->userdata_header + count * value_size : layout->userdata_bare;
  visit_emit_pointer(visitor, emit, REFERENCE_METATABLE,
                     load_field(layout, visitor->header, Udata_metatable), TAG_TABLE, 0);
  const uint8_t *header = visit_header(visitor, head);
  if (!header) return;
  for (uint64_t i = 0; i < count; i++)
    visit_emit_value(visitor, emit, REFERENCE_USER_VALUE,
                     visit_value(layout, plain, header + layout->userdata_header + i * value_size),
                     i + 1);
  if (length <= UINT64_MAX / 2 &&
      memory_view(&visitor->vm->memory, visitor->address, head + length))
    visitor->visit->bytes = head + length;
  else
    visit_damage(visitor, visitor->address, "userdata runs past the end of the dump's memory");
}

INLINE void visit_lua_function(struct visitor *visitor, bool plain, emit_reference *emit) {
  const struct layout *layout = visitor->vm->layout;
  uint64_t first = layout->place[LClosure_upvals].offset, pointer = layout->pointer_size;
  if (!visit_header(visitor, first)) return;
  uint64_t count = visit_byte(layout, plain, visitor->header, LClosure_nupvalues);
  const uint8_t *header = visit_header(visitor, first + count * pointer);
  if (!header) return;
  visitor->visit->bytes = first + count * pointer;
  visit_emit_pointer(visitor, emit, REFERENCE_PROTOTYPE,
                     visit_pointer(layout, plain, header, LClosure_p), TAG_PROTOTYPE, 0);
  for (uint64_t i = 0; i < count; i++) {
    const uint8_t *place = header + first + i * pointer;
    visit_emit_pointer(visitor, emit, REFERENCE_UPVALUE,
                       plain ? visit_word(place) : load_pointer(layout, place), TAG_UPVALUE, i + 1);
  }
}

INLINE void visit_c_function(struct visitor *visitor, bool plain, emit_reference *emit) {
  const struct layout *layout = visitor->vm->layout;
  uint64_t first = layout->place[CClosure_upvalue].offset, size = layout->size[SIZE_TValue];
  if (!visit_header(visitor, first)) return;
  uint64_t count = load_field(layout, visitor->header, CClosure_nupvalues);
  const uint8_t *header = visit_header(visitor, first + count * size);
  if (!header) return;
  visitor->visit->bytes = first + count * size;
  for (uint64_t i = 0; i < count; i++)
    visit_emit_value(visitor, emit, REFERENCE_UPVALUE,
                     visit_value(layout, plain, header + first + i * size), i + 1);
}

INLINE void visit_upvalue(struct visitor *visitor, bool plain, emit_reference *emit) {
  struct vm *vm = visitor->vm;
  const struct layout *layout = vm->layout;
  const uint8_t *header = visit_header(visitor, layout->size[SIZE_UpVal]);
  if (!header) return;
  visitor->visit->bytes = layout->size[SIZE_UpVal];
  uint64_t place = visit_pointer(layout, plain, header, UpVal_v);
  if (__builtin_expect(stack_is_offset(layout, place), 0)) { /* open, its stack was being moved */
    visitor->visit->is_moving = true;
    place = vm->torn.thread ? vm->torn.stack + place : 0;
  }
  const uint8_t *value = place ? memory_view(&vm->memory, place, layout->size[SIZE_TValue]) : NULL;
  if (value)
    visit_emit_value(visitor, emit, REFERENCE_UPVALUE_VALUE, visit_value(layout, plain, value), 0);
  else if (visitor->trusted)
    visit_damage(visitor, place, "value of an upvalue cannot be read");
}

/* ---- Rare kinds (visit.c) -------------------------------------------------------------------- */

/* The fault of a thread whose stack may be sound. */
extern const char BROKEN_OPEN_UPVALUES[];

void visit_prototype(struct visitor *visitor, emit_reference *emit);
void visit_thread(struct visitor *visitor, emit_reference *emit);

/* ---- Any ------------------------------------------------------------------------------------- */

INLINE bool visit_tag_fits(uint8_t tag, uint8_t actual) {
  return tag == TAG_ANY || tag == actual ||
         (tag == TAG_ANY_STRING && (actual & 0x0F) == TAG_SHORT_STRING);
}

/* Visits the object at visitor->address and fills visitor->visit, apart from its `references`.
 * `tag` is what the reference said it is. False: it is no object at all, or another. */
INLINE bool visit_object(struct visitor *visitor, uint8_t tag, bool plain, emit_reference *emit) {
  struct vm *vm = visitor->vm;
  const struct layout *layout = vm->layout;
  struct visit *visit = visitor->visit;
  visitor->header = memory_view(&vm->memory, visitor->address, 2 * layout->pointer_size);
  if (!visitor->header) return false;
  uint8_t actual = visit_byte(layout, plain, visitor->header, GCObject_tt);
  enum object_type type = lua54_type(actual);
  if (type == OBJECT_TYPE_COUNT || actual & TAG_COLLECTABLE || !visit_tag_fits(tag, actual))
    return false;
  uint8_t marked = visit_byte(layout, plain, visitor->header, GCObject_marked);
  visit->type = (uint8_t)type;
  visit->next = visit_pointer(layout, plain, visitor->header, GCObject_next);
  visit->finalizer_bit = (marked & MARKED_FINALIZED) != 0;
  bool dead = vm->exact_sweep && (marked & MARKED_WHITES & ~vm->current_white);
  if (dead) visit->flags |= OBJECT_DEAD;
  visitor->trusted = !dead;
  switch (type) {
  case OBJECT_STRING:
    visit_string(visitor);
    break;
  case OBJECT_TABLE:
    visit_table(visitor, plain, emit);
    break;
  case OBJECT_USERDATA:
    visit_userdata(visitor, plain, emit);
    break;
  case OBJECT_LUA_FUNCTION:
    visit_lua_function(visitor, plain, emit);
    break;
  case OBJECT_C_FUNCTION:
    visit_c_function(visitor, plain, emit);
    break;
  case OBJECT_UPVALUE:
    visit_upvalue(visitor, plain, emit);
    break;
  case OBJECT_PROTOTYPE:
    visit_prototype(visitor, emit);
    break;
  case OBJECT_THREAD:
    visit_thread(visitor, emit);
    break;
  case OBJECT_TYPE_COUNT:
    break;
  }
  return true;
}

#endif
