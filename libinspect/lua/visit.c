/* visit.c - the one enumeration of an object's references, with its size and flags.
 *
 * Invariant: every pointer that is followed was checked against the memory map for the whole extent
 * that is read through it, and every count that bounds a loop was checked by such a view.
 *
 * A value with a tag that Lua does not have is not a value: it is counted, and nothing is emitted.
 */
#include "lua/lua54.h"

#include "lua/stack.h"

enum { MODE_ABSENT = 1 << 3, MARKED_WHITES = 0x18, MARKED_FINALIZED = 0x40, PROTOTYPE_FIXED = 4 };

/* ---- Weak modes ------------------------------------------------------------------------------ */

static uint8_t mode_read(struct vm *vm, uint64_t metatable) {
  struct lua_table table;
  const uint8_t *header = memory_view(&vm->memory, metatable, vm->layout->size[SIZE_Table]);
  /* The VM itself trusts the "absent" bits of a metatable (ltm.h: gfasttm). */
  if (!header || load_field(vm->layout, header, Table_flags) & MODE_ABSENT) return 0;
  if (table_load(vm, metatable, &table)) return 0;
  for (uint64_t i = 0; i < table.node_count; i++) {
    struct lua_value key, value;
    table_entry(vm, &table, i, &key, &value);
    if (key.bits != vm->mode_name || !value_is_object(key) || !value_is_string(key)) continue;
    size_t size;
    const char *mode = value_is_object(value) && value_is_string(value)
                           ? string_bytes(vm, value.bits, &size)
                           : NULL;
    bool is_short = value.tag == (TAG_SHORT_STRING | TAG_COLLECTABLE);
    if (!mode || (vm->short_modes_only && !is_short)) return 0;
    size = strnlen(mode, size); /* the VM looks no further (strchr) */
    return (uint8_t)((memchr(mode, 'k', size) ? OBJECT_WEAK_KEYS : 0) |
                     (memchr(mode, 'v', size) ? OBJECT_WEAK_VALUES : 0));
  }
  return 0;
}

static uint8_t mode_of(struct vm *vm, uint64_t metatable) {
  struct mode_cache_entry *entry =
      &vm->mode_cache[(metatable >> 4 ^ metatable >> 12) % MODE_CACHE_SIZE];
  if (entry->metatable != metatable)
    *entry = (struct mode_cache_entry){metatable, mode_read(vm, metatable)};
  return entry->flags;
}

/* ---- Visiting -------------------------------------------------------------------------------- */

struct visitor {
  struct vm *vm;
  struct visit *visit;
  uint64_t address;
  const uint8_t *header;
  bool trusted; /* references of a dead object may lead to freed memory */
  bool no_memory;
};

static void emit(struct visitor *visitor, enum reference_kind kind, uint64_t address, uint8_t tag,
                 uint64_t detail, bool in_hash) {
  struct raw_reference reference = {.address = address,
                                    .detail = detail,
                                    .kind = (uint8_t)kind,
                                    .tag = (uint8_t)(tag & ~TAG_COLLECTABLE),
                                    .in_hash = in_hash,
                                    .trusted = visitor->trusted};
  if (!vector_push(&visitor->visit->references, reference)) visitor->no_memory = true;
}

/* Whether the value refers to an object. What is no value at all is counted, not believed. */
static inline bool is_reference(struct visitor *visitor, struct lua_value value) {
  if (value_is_sound(value)) return value_is_object(value);
  if (visitor->trusted) visitor->visit->absurd++;
  return false;
}

static void emit_value(struct visitor *visitor, enum reference_kind kind, struct lua_value value,
                       uint64_t detail) {
  if (is_reference(visitor, value)) emit(visitor, kind, value.bits, value.tag, detail, false);
}

/* Emits a plain pointer to an object, which may be NULL. */
static void emit_pointer(struct visitor *visitor, enum reference_kind kind, uint64_t address,
                         uint8_t tag, uint64_t detail) {
  if (!address) return;
  size_t before = visitor->visit->references.count;
  emit(visitor, kind, address, 0, detail, false);
  if (visitor->visit->references.count > before) visitor->visit->references.items[before].tag = tag;
}

static void damage(struct visitor *visitor, uint64_t address, const char *fault) {
  visitor->visit->flags |= OBJECT_DAMAGED;
  visitor->visit->fault = fault;
  visitor->visit->fault_address = address;
}

static const uint8_t *view_header(struct visitor *visitor, uint64_t size) {
  const uint8_t *header = memory_view(&visitor->vm->memory, visitor->address, size);
  if (!header) damage(visitor, visitor->address, "object lies across the end of the dump's memory");
  return header;
}

static void visit_string(struct visitor *visitor) {
  const struct layout *layout = visitor->vm->layout;
  bool is_long = load_field(layout, visitor->header, GCObject_tt) == TAG_LONG_STRING;
  uint64_t need = layout->place[TString_contents].offset;
  if (is_long && layout->string_form == STRING_EXTERNAL)
    need = layout->place[TString_falloc].offset;
  const uint8_t *header = view_header(visitor, need);
  if (!header) return;
  uint64_t length, contents;
  string_measure(layout, header, visitor->address, &length, &contents, &visitor->visit->bytes);
  if (contents - visitor->address <= layout->size[SIZE_TString] &&
      !memory_view(&visitor->vm->memory, contents, length)) {
    visitor->visit->bytes = 0;
    damage(visitor, visitor->address, "string runs past the end of the dump's memory");
  }
}

/* The string may be gone already: nothing has marked it since the entry became empty. */
static void emit_leftover(struct visitor *visitor, struct lua_value key, uint64_t detail) {
  bool trusted = visitor->trusted;
  visitor->trusted = false;
  emit(visitor, REFERENCE_LEFTOVER, key.bits, key.tag, detail, true);
  visitor->trusted = trusted;
}

static void visit_entries(struct visitor *visitor, const struct lua_table *table) {
  const uint8_t both = OBJECT_WEAK_KEYS | OBJECT_WEAK_VALUES;
  bool weak_both_ways = (visitor->visit->flags & both) == both;
  for (uint64_t i = 0; i < table->node_count; i++) {
    struct lua_value key, value;
    table_entry(visitor->vm, table, i, &key, &value);
    if (value_is_empty(value)) {
      if (weak_both_ways && value_is_object(key) && value_is_string(key))
        emit_leftover(visitor, key, i);
      continue;
    }
    bool leads = is_reference(visitor, value);
    if (!is_reference(visitor, key)) {
      if (leads) emit(visitor, REFERENCE_INDEX, value.bits, value.tag, i, true);
      continue;
    }
    emit(visitor, REFERENCE_KEY, key.bits, key.tag, i, true);
    if (leads)
      emit(visitor, value_is_string(key) ? REFERENCE_FIELD : REFERENCE_KEYED, value.bits, value.tag,
           i, true);
  }
}

static void visit_table(struct visitor *visitor) {
  struct vm *vm = visitor->vm;
  struct lua_table table;
  const char *fault = table_load(vm, visitor->address, &table);
  if (fault) {
    damage(visitor, visitor->address, fault);
    return;
  }
  if (table.fault) damage(visitor, table.fault_address, table.fault);
  visitor->visit->bytes = table.bytes;
  if (table.metatable) {
    emit_pointer(visitor, REFERENCE_METATABLE, table.metatable, TAG_TABLE, 0);
    if (visitor->trusted) visitor->visit->flags |= mode_of(vm, table.metatable);
  }
  for (uint64_t i = 0; i < table.array_size; i++)
    emit_value(visitor, REFERENCE_INDEX, table_array_value(vm, &table, i), i + 1);
  visit_entries(visitor, &table);
}

static void visit_userdata(struct visitor *visitor) {
  const struct layout *layout = visitor->vm->layout;
  if (!view_header(visitor, layout->userdata_bare)) return;
  uint64_t count = load_field(layout, visitor->header, Udata_nuvalue);
  uint64_t length = load_field(layout, visitor->header, Udata_len);
  uint64_t value_size = layout->size[SIZE_TValue];
  uint64_t head = count ? layout->userdata_header + count * value_size : layout->userdata_bare;
  emit_pointer(visitor, REFERENCE_METATABLE, load_field(layout, visitor->header, Udata_metatable),
               TAG_TABLE, 0);
  const uint8_t *header = view_header(visitor, head);
  if (!header) return;
  for (uint64_t i = 0; i < count; i++)
    emit_value(visitor, REFERENCE_USER_VALUE,
               value_load(layout, header + layout->userdata_header + i * value_size), i + 1);
  if (memory_view(&visitor->vm->memory, visitor->address, 1) && length <= UINT64_MAX / 2 &&
      memory_view(&visitor->vm->memory, visitor->address, head + length))
    visitor->visit->bytes = head + length;
  else
    damage(visitor, visitor->address, "userdata runs past the end of the dump's memory");
}

static void visit_lua_function(struct visitor *visitor) {
  const struct layout *layout = visitor->vm->layout;
  uint64_t first = layout->place[LClosure_upvals].offset, pointer = layout->pointer_size;
  if (!view_header(visitor, first)) return;
  uint64_t count = load_field(layout, visitor->header, LClosure_nupvalues);
  const uint8_t *header = view_header(visitor, first + count * pointer);
  if (!header) return;
  visitor->visit->bytes = first + count * pointer;
  emit_pointer(visitor, REFERENCE_PROTOTYPE, load_field(layout, header, LClosure_p), TAG_PROTOTYPE,
               0);
  for (uint64_t i = 0; i < count; i++)
    emit_pointer(visitor, REFERENCE_UPVALUE, load_pointer(layout, header + first + i * pointer),
                 TAG_UPVALUE, i + 1);
}

static void visit_c_function(struct visitor *visitor) {
  const struct layout *layout = visitor->vm->layout;
  uint64_t first = layout->place[CClosure_upvalue].offset, size = layout->size[SIZE_TValue];
  if (!view_header(visitor, first)) return;
  uint64_t count = load_field(layout, visitor->header, CClosure_nupvalues);
  const uint8_t *header = view_header(visitor, first + count * size);
  if (!header) return;
  visitor->visit->bytes = first + count * size;
  for (uint64_t i = 0; i < count; i++)
    emit_value(visitor, REFERENCE_UPVALUE, value_load(layout, header + first + i * size), i + 1);
}

static void visit_upvalue(struct visitor *visitor) {
  struct vm *vm = visitor->vm;
  const struct layout *layout = vm->layout;
  const uint8_t *header = view_header(visitor, layout->size[SIZE_UpVal]);
  if (!header) return;
  visitor->visit->bytes = layout->size[SIZE_UpVal];
  uint64_t place = load_field(layout, header, UpVal_v);
  if (stack_is_offset(layout, place)) { /* open, and its stack was being moved */
    visitor->visit->is_moving = true;
    place = vm->torn.thread ? vm->torn.stack + place : 0;
  }
  const uint8_t *value = place ? memory_view(&vm->memory, place, layout->size[SIZE_TValue]) : NULL;
  if (value)
    emit_value(visitor, REFERENCE_UPVALUE_VALUE, value_load(layout, value), 0);
  else if (visitor->trusted)
    damage(visitor, place, "value of an upvalue cannot be read");
}

/* Emits the objects behind `count` pointers that lie `stride` apart, first at `address`. */
static void visit_pointers(struct visitor *visitor, uint64_t address, uint64_t count,
                           uint64_t stride, enum reference_kind kind, uint8_t tag) {
  if (!count) return;
  const uint8_t *bytes = memory_view(&visitor->vm->memory, address, count * stride);
  if (!bytes) {
    damage(visitor, address, "part of a prototype cannot be read");
    return;
  }
  for (uint64_t i = 0; i < count; i++)
    emit_pointer(visitor, kind, load_pointer(visitor->vm->layout, bytes + i * stride), tag, i + 1);
}

static void visit_prototype(struct visitor *visitor) {
  const struct layout *layout = visitor->vm->layout;
  const uint8_t *header = view_header(visitor, layout->size[SIZE_Proto]);
  if (!header) return;
  uint64_t constants = load_field(layout, header, Proto_sizek);
  uint64_t upvalues = load_field(layout, header, Proto_sizeupvalues);
  uint64_t protos = load_field(layout, header, Proto_sizep);
  uint64_t locals = load_field(layout, header, Proto_sizelocvars);
  uint64_t value_size = layout->size[SIZE_TValue];
  bool fixed = layout->string_form == STRING_EXTERNAL &&
               load_field(layout, header, Proto_is_vararg) & PROTOTYPE_FIXED;
  visitor->visit->bytes = layout->size[SIZE_Proto] + protos * layout->pointer_size +
                          constants * value_size + locals * layout->size[SIZE_LocVar] +
                          upvalues * layout->size[SIZE_Upvaldesc];
  if (!fixed)
    visitor->visit->bytes +=
        4 * load_field(layout, header, Proto_sizecode) +
        load_field(layout, header, Proto_sizelineinfo) +
        load_field(layout, header, Proto_sizeabslineinfo) * layout->size[SIZE_AbsLineInfo];

  emit_pointer(visitor, REFERENCE_DEBUG, load_field(layout, header, Proto_source), TAG_ANY_STRING,
               0);
  uint64_t k = load_field(layout, header, Proto_k);
  const uint8_t *values =
      constants ? memory_view(&visitor->vm->memory, k, constants * value_size) : NULL;
  if (constants && !values) damage(visitor, k, "constants of a prototype cannot be read");
  for (uint64_t i = 0; values && i < constants; i++)
    emit_value(visitor, REFERENCE_CONSTANT, value_load(layout, values + i * value_size), i + 1);
  visit_pointers(visitor, load_field(layout, header, Proto_upvalues), upvalues,
                 layout->size[SIZE_Upvaldesc], REFERENCE_DEBUG, TAG_ANY_STRING);
  visit_pointers(visitor, load_field(layout, header, Proto_p), protos, layout->pointer_size,
                 REFERENCE_PROTOTYPE, TAG_PROTOTYPE);
  visit_pointers(visitor, load_field(layout, header, Proto_locvars), locals,
                 layout->size[SIZE_LocVar], REFERENCE_DEBUG, TAG_ANY_STRING);
}

static void visit_slots(struct visitor *visitor, const struct lua_thread *thread, uint64_t from,
                        uint64_t to, enum reference_kind kind) {
  const struct layout *layout = visitor->vm->layout;
  for (uint64_t i = from; i < to; i++)
    emit_value(visitor, kind, value_load(layout, thread->slots + i * layout->size[SIZE_TValue]), i);
}

static void visit_thread(struct visitor *visitor) {
  struct vm *vm = visitor->vm;
  const struct layout *layout = vm->layout;
  struct lua_thread thread;
  bool is_main = visitor->address == vm->main_thread;
  /* the main thread is part of the state block */
  uint64_t own = is_main ? 0 : layout->block_extra + (uint64_t)layout->size[SIZE_lua_State];
  visitor->visit->bytes = own;
  const char *fault = thread_load(vm, visitor->address, &thread);
  if (fault) {
    damage(visitor, visitor->address, fault);
    return;
  }
  if (!thread.initialized) return;
  if (thread.fault) damage(visitor, visitor->address, thread.fault);
  visitor->visit->is_moving = thread.is_moving;
  visitor->visit->bytes = own + thread_stack_bytes(vm, &thread);
  /* slot 0 belongs to no call and holds nil (lstate.c: stack_init) */
  visit_slots(visitor, &thread, 1, thread.top, REFERENCE_STACK);
  bool trusted = visitor->trusted;
  visitor->trusted = false;
  visit_slots(visitor, &thread, thread.top, thread.maybe_top, REFERENCE_MAYBE_STACK);
  visitor->trusted = trusted;

  uint64_t upvalue = thread.open_upvalues, most = thread.slot_count + 1;
  for (uint64_t i = 0; upvalue && i < most; i++) {
    const uint8_t *header = memory_view(&vm->memory, upvalue, layout->size[SIZE_UpVal]);
    if (!header || load_field(layout, header, GCObject_tt) != TAG_UPVALUE) {
      damage(visitor, upvalue, "list of open upvalues is broken");
      return;
    }
    emit_pointer(visitor, REFERENCE_OPEN_UPVALUE, upvalue, TAG_UPVALUE, i + 1);
    upvalue = load_field(layout, header, UpVal_open_next);
  }
}

static bool tag_fits(uint8_t tag, uint8_t actual) {
  return tag == TAG_ANY || tag == actual ||
         (tag == TAG_ANY_STRING && (actual & 0x0F) == TAG_SHORT_STRING);
}

bool lua54_visit(struct vm *vm, uint64_t address, uint8_t tag, struct visit *visit,
                 bool *no_memory) {
  const struct layout *layout = vm->layout;
  struct raw_references references = visit->references;
  references.count = 0;
  *visit = (struct visit){.references = references};
  const uint8_t *header = memory_view(&vm->memory, address, 2 * layout->pointer_size);
  if (!header) return false;
  uint8_t actual = (uint8_t)load_field(layout, header, GCObject_tt);
  enum object_type type = lua54_type(actual);
  if (type == OBJECT_TYPE_COUNT || actual & TAG_COLLECTABLE || !tag_fits(tag, actual)) return false;
  uint8_t marked = (uint8_t)load_field(layout, header, GCObject_marked);
  visit->type = (uint8_t)type;
  visit->next = load_field(layout, header, GCObject_next);
  visit->finalizer_bit = (marked & MARKED_FINALIZED) != 0;
  bool dead = vm->exact_sweep && (marked & MARKED_WHITES & ~vm->current_white);
  if (dead) visit->flags |= OBJECT_DEAD;

  struct visitor visitor = {
      .vm = vm, .visit = visit, .address = address, .header = header, .trusted = !dead};
  switch (type) {
  case OBJECT_STRING:
    visit_string(&visitor);
    break;
  case OBJECT_TABLE:
    visit_table(&visitor);
    break;
  case OBJECT_USERDATA:
    visit_userdata(&visitor);
    break;
  case OBJECT_LUA_FUNCTION:
    visit_lua_function(&visitor);
    break;
  case OBJECT_C_FUNCTION:
    visit_c_function(&visitor);
    break;
  case OBJECT_UPVALUE:
    visit_upvalue(&visitor);
    break;
  case OBJECT_PROTOTYPE:
    visit_prototype(&visitor);
    break;
  case OBJECT_THREAD:
    visit_thread(&visitor);
    break;
  case OBJECT_TYPE_COUNT:
    break;
  }
  if (visitor.no_memory) *no_memory = true;
  return true;
}

void lua54_prefetch(struct vm *vm, const uint8_t *bytes) {
  const struct layout *layout = vm->layout;
  if (load_field(layout, bytes, GCObject_tt) != TAG_TABLE) return;
  size_t hint = vm->memory.hint;
  uint64_t nodes = load_field(layout, bytes, Table_node);
  const struct address_range *range = address_map_find(vm->memory.map, nodes, &hint);
  if (range) __builtin_prefetch(range->bytes + (nodes - range->start));
  uint64_t array = load_field(layout, bytes, Table_array);
  if (!array) return;
  range = address_map_find(vm->memory.map, array, &hint);
  if (range) __builtin_prefetch(range->bytes + (array - range->start));
}
