/* visit.c - references described one by one, and the enumeration of the rare kinds (see visit.h).
 */
#include "lua/visit.h"

enum { MODE_ABSENT = 1 << 3, PROTOTYPE_FIXED = 4 };

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

uint8_t visit_mode_of(struct vm *vm, uint64_t metatable) {
  struct mode_cache_entry *entry =
      &vm->mode_cache[(metatable >> 4 ^ metatable >> 12) % MODE_CACHE_SIZE];
  if (entry->metatable != metatable)
    *entry = (struct mode_cache_entry){metatable, mode_read(vm, metatable)};
  return entry->flags;
}

/* Emits the objects behind `count` pointers that lie `stride` apart, first at `address`. */
static void visit_pointers(struct visitor *visitor, emit_reference *emit, uint64_t address,
                           uint64_t count, uint64_t stride, enum reference_kind kind, uint8_t tag) {
  if (!count) return;
  const uint8_t *bytes = memory_view(&visitor->vm->memory, address, count * stride);
  if (!bytes) {
    visit_damage(visitor, address, "part of a prototype cannot be read");
    return;
  }
  visitor->visit->bytes += count * stride;
  for (uint64_t i = 0; i < count; i++)
    visit_emit_pointer(visitor, emit, kind, load_pointer(visitor->vm->layout, bytes + i * stride),
                       tag, i + 1);
}

/* Counts an array that refers to nothing. One that is not there is none that the VM counts. */
static void visit_plain_array(struct visitor *visitor, uint64_t address, uint64_t count,
                              uint64_t stride) {
  if (!count) return;
  if (memory_view(&visitor->vm->memory, address, count * stride))
    visitor->visit->bytes += count * stride;
  else
    visit_damage(visitor, address, "part of a prototype cannot be read");
}

/* Constants refer to strings only. While a chunk is compiled, memory that the array of constants
 * has grown by holds what was there before, until it is cleared (lcode.c: addk; lundump.c). */
static void visit_constant(struct visitor *visitor, emit_reference *emit, struct lua_value value,
                           uint64_t number) {
  if (!value_is_object(value) || value_is_string(value))
    visit_emit_value(visitor, emit, REFERENCE_CONSTANT, value, number);
  else if (visitor->trusted)
    visitor->visit->absurd++;
}

void visit_prototype(struct visitor *visitor, emit_reference *emit) {
  const struct layout *layout = visitor->vm->layout;
  const uint8_t *header = visit_header(visitor, layout->size[SIZE_Proto]);
  if (!header) return;
  uint64_t constants = load_field(layout, header, Proto_sizek);
  uint64_t upvalues = load_field(layout, header, Proto_sizeupvalues);
  uint64_t protos = load_field(layout, header, Proto_sizep);
  uint64_t locals = load_field(layout, header, Proto_sizelocvars);
  uint64_t value_size = layout->size[SIZE_TValue];
  bool fixed = layout->string_form == STRING_EXTERNAL &&
               load_field(layout, header, Proto_is_vararg) & PROTOTYPE_FIXED;
  visitor->visit->bytes = layout->size[SIZE_Proto];
  if (!fixed) {
    visit_plain_array(visitor, load_field(layout, header, Proto_code),
                      load_field(layout, header, Proto_sizecode), 4);
    visit_plain_array(visitor, load_field(layout, header, Proto_lineinfo),
                      load_field(layout, header, Proto_sizelineinfo), 1);
    visit_plain_array(visitor, load_field(layout, header, Proto_abslineinfo),
                      load_field(layout, header, Proto_sizeabslineinfo),
                      layout->size[SIZE_AbsLineInfo]);
  }

  visit_emit_pointer(visitor, emit, REFERENCE_DEBUG, load_field(layout, header, Proto_source),
                     TAG_ANY_STRING, 0);
  uint64_t k = load_field(layout, header, Proto_k);
  const uint8_t *values =
      constants ? memory_view(&visitor->vm->memory, k, constants * value_size) : NULL;
  if (constants && !values) visit_damage(visitor, k, "constants of a prototype cannot be read");
  if (values) visitor->visit->bytes += constants * value_size;
  for (uint64_t i = 0; values && i < constants; i++)
    visit_constant(visitor, emit, value_load(layout, values + i * value_size), i + 1);
  visit_pointers(visitor, emit, load_field(layout, header, Proto_upvalues), upvalues,
                 layout->size[SIZE_Upvaldesc], REFERENCE_DEBUG, TAG_ANY_STRING);
  visit_pointers(visitor, emit, load_field(layout, header, Proto_p), protos, layout->pointer_size,
                 REFERENCE_PROTOTYPE, TAG_PROTOTYPE);
  visit_pointers(visitor, emit, load_field(layout, header, Proto_locvars), locals,
                 layout->size[SIZE_LocVar], REFERENCE_DEBUG, TAG_ANY_STRING);
}

static void visit_slots(struct visitor *visitor, emit_reference *emit,
                        const struct lua_thread *thread, uint64_t from, uint64_t to,
                        enum reference_kind kind) {
  const struct layout *layout = visitor->vm->layout;
  for (uint64_t i = from; i < to; i++)
    visit_emit_value(visitor, emit, kind,
                     value_load(layout, thread->slots + i * layout->size[SIZE_TValue]), i);
}

const char BROKEN_OPEN_UPVALUES[] = "list of open upvalues is broken";

void visit_thread(struct visitor *visitor, emit_reference *emit) {
  struct vm *vm = visitor->vm;
  const struct layout *layout = vm->layout;
  struct lua_thread thread;
  bool is_main = visitor->address == vm->main_thread;
  /* the main thread is part of the state block */
  uint64_t own = is_main ? 0 : layout->block_extra + (uint64_t)layout->size[SIZE_lua_State];
  visitor->visit->bytes = own;
  const char *fault = thread_load(vm, visitor->address, &thread);
  if (fault) {
    visit_damage(visitor, visitor->address, fault);
    return;
  }
  if (!thread.initialized) return;
  if (thread.fault) visit_damage(visitor, visitor->address, thread.fault);
  visitor->visit->is_moving = thread.is_moving;
  visitor->visit->bytes = own + thread_stack_bytes(vm, &thread);
  /* slot 0 belongs to no call and holds nil (lstate.c: stack_init) */
  visit_slots(visitor, emit, &thread, 1, thread.top, REFERENCE_STACK);
  bool trusted = visitor->trusted;
  visitor->trusted = false;
  visit_slots(visitor, emit, &thread, thread.top, thread.maybe_top, REFERENCE_MAYBE_STACK);
  visitor->trusted = trusted;

  uint64_t upvalue = thread.open_upvalues, most = thread.slot_count + 1;
  for (uint64_t i = 0; upvalue && i < most; i++) {
    const uint8_t *header = memory_view(&vm->memory, upvalue, layout->size[SIZE_UpVal]);
    bool is_upvalue = header && load_field(layout, header, GCObject_tt) == TAG_UPVALUE;
    uint64_t closed = upvalue + layout->place[UpVal_value].offset; /* leaves the list before */
    if (!is_upvalue || load_field(layout, header, UpVal_v) == closed) {
      visit_damage(visitor, upvalue, BROKEN_OPEN_UPVALUES);
      return;
    }
    visit_emit_pointer(visitor, emit, REFERENCE_OPEN_UPVALUE, upvalue, TAG_UPVALUE, i + 1);
    upvalue = load_field(layout, header, UpVal_open_next);
  }
}

/* ---- Described references -------------------------------------------------------------------- */

struct description {
  struct raw_references *references;
  bool no_memory;
};

static void describe(struct visitor *visitor, enum reference_kind kind, uint64_t address,
                     uint8_t tag, uint64_t detail, bool in_hash, bool trusted) {
  struct description *description = visitor->sink;
  struct raw_reference reference = {.address = address,
                                    .detail = detail,
                                    .kind = (uint8_t)kind,
                                    .tag = tag,
                                    .in_hash = in_hash,
                                    .trusted = trusted};
  if (!vector_push(description->references, reference)) description->no_memory = true;
}

bool lua54_visit(struct vm *vm, uint64_t address, uint8_t tag, struct visit *visit,
                 bool *no_memory) {
  struct raw_references references = visit->references;
  references.count = 0;
  *visit = (struct visit){.references = references};
  struct description description = {.references = &visit->references};
  struct visitor visitor = {.vm = vm, .visit = visit, .address = address, .sink = &description};
  bool is_object = visit_object(&visitor, tag, false, describe);
  if (description.no_memory) *no_memory = true;
  return is_object;
}

/* So it is with the arrays of a prototype while a chunk is compiled: what they have grown by is not
 * cleared yet (lparser.c: addprototype, allocupvalue, registerlocalvar). And with the key of a
 * node: that of a free one is nil by its tag only, and a key that is copied there is still in its
 * old place, until both halves have arrived (ltable.c: luaH_newkey). */
bool lua54_is_leftover(struct vm *vm, uint8_t holder, enum reference_kind kind, uint64_t address,
                       uint8_t tag) {
  if (holder != OBJECT_PROTOTYPE && (kind != REFERENCE_KEY || !vm->may_be_torn)) return false;
  const uint8_t *header = memory_view(&vm->memory, address, 2 * vm->layout->pointer_size);
  return header && !visit_tag_fits(tag, (uint8_t)load_field(vm->layout, header, GCObject_tt));
}

void lua54_prefetch(struct vm *vm, const uint8_t *bytes) {
  enum { LINE = 64, MOST_LOG2 = 4 }; /* of longer ones the processor sees the pattern */
  const struct layout *layout = vm->layout;
  if (load_field(layout, bytes, GCObject_tt) != TAG_TABLE) return;
  size_t hint = vm->memory.hint;
  uint64_t nodes = load_field(layout, bytes, Table_node);
  const struct address_range *range = address_map_find(vm->memory.map, nodes, &hint);
  if (range) {
    uint64_t log2 = load_field(layout, bytes, Table_lsizenode);
    uint64_t size = (uint64_t)layout->size[SIZE_Node] << (log2 < MOST_LOG2 ? log2 : MOST_LOG2);
    for (uint64_t i = 0; i < size; i += LINE)
      __builtin_prefetch(range->bytes + (nodes - range->start) + i);
  }
  uint64_t array = load_field(layout, bytes, Table_array);
  if (!array) return;
  range = address_map_find(vm->memory.map, array, &hint);
  if (range) __builtin_prefetch(range->bytes + (array - range->start));
}
