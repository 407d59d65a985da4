/* lua54.c - the objects of Lua 5.4 and 5.5.
 *
 * Invariant: every pointer that is followed was checked against the memory map for the whole extent
 * that is read through it, and every count that bounds a loop was checked by such a view. */
#include "lua/lua54.h"

enum { LARGEST_HASH_LOG2 = 30, BIT_RAS = 0x80, BIT_DUMMY = 0x40 };

/* ---- Values ---------------------------------------------------------------------------------- */

/* A pointer is shorter than the union it lies in where pointers have 4 bytes. */
static uint64_t value_bits(const struct layout *layout, const uint8_t *bytes, uint8_t tag) {
  if (layout->pointer_size == 8) return load_pointer(layout, bytes);
  bool is_pointer =
      tag & TAG_COLLECTABLE || (tag & 0x0F) == TAG_LIGHT_USERDATA || tag == TAG_LIGHT_FUNCTION;
  return is_pointer ? load_pointer(layout, bytes) : load_unsigned(layout, bytes, 8);
}

struct lua_value value_load(const struct layout *layout, const uint8_t *bytes) {
  struct lua_value value = {.tag = bytes[layout->place[TValue_tt_].offset]};
  value.bits = value_bits(layout, bytes, value.tag);
  return value;
}

#define OBJECT_TAGS(ENTRY)                                                                         \
  ENTRY(TAG_SHORT_STRING, OBJECT_STRING)                                                           \
  ENTRY(TAG_LONG_STRING, OBJECT_STRING)                                                            \
  ENTRY(TAG_TABLE, OBJECT_TABLE)                                                                   \
  ENTRY(TAG_LUA_FUNCTION, OBJECT_LUA_FUNCTION)                                                     \
  ENTRY(TAG_C_FUNCTION, OBJECT_C_FUNCTION)                                                         \
  ENTRY(TAG_USERDATA, OBJECT_USERDATA)                                                             \
  ENTRY(TAG_THREAD, OBJECT_THREAD)                                                                 \
  ENTRY(TAG_UPVALUE, OBJECT_UPVALUE)                                                               \
  ENTRY(TAG_PROTOTYPE, OBJECT_PROTOTYPE)

const uint8_t lua54_value_classes[256] = {[TAG_NIL] = VALUE_PLAIN,
                                          /* lobject.h: empty slot, absent key, (5.5) not a table */
                                          [TAG_NIL | 0x10] = VALUE_PLAIN,
                                          [TAG_NIL | 0x20] = VALUE_PLAIN,
                                          [TAG_NIL | 0x30] = VALUE_PLAIN,
                                          [TAG_FALSE] = VALUE_PLAIN,
                                          [TAG_TRUE] = VALUE_PLAIN,
                                          [TAG_LIGHT_USERDATA] = VALUE_PLAIN,
                                          [TAG_LIGHT_FUNCTION] = VALUE_PLAIN,
                                          [TAG_INTEGER] = VALUE_PLAIN,
                                          [TAG_FLOAT] = VALUE_PLAIN,
#define ENTRY(tag, type) [tag | TAG_COLLECTABLE] = VALUE_OBJECT,
                                          OBJECT_TAGS(ENTRY)
#undef ENTRY
};

const uint8_t lua54_types[128] = {
#define ENTRY(tag, type)                                                                           \
  [tag] = (type) ^ OBJECT_TYPE_COUNT, [tag | TAG_COLLECTABLE] = (type) ^ OBJECT_TYPE_COUNT,
    OBJECT_TAGS(ENTRY)
#undef ENTRY
};

double value_number(const struct vm *vm, struct lua_value value) {
  (void)vm;
  double number;
  memcpy(&number, &value.bits, sizeof number);
  return number;
}

int64_t value_integer(const struct vm *vm, struct lua_value value) {
  (void)vm;
  return (int64_t)value.bits;
}

/* ---- Strings --------------------------------------------------------------------------------- */

void string_measure(const struct layout *layout, const uint8_t *header, uint64_t address,
                    uint64_t *length, uint64_t *contents, uint64_t *counted) {
  bool is_short = load_field(layout, header, GCObject_tt) == TAG_SHORT_STRING;
  uint64_t inline_bytes = layout->place[TString_contents].offset;
  if (layout->string_form == STRING_INLINE || is_short) {
    *length = load_field(layout, header, is_short ? TString_shrlen : TString_lnglen);
    *contents = address + inline_bytes;
    *counted = inline_bytes + *length + 1;
    return;
  }
  enum { REGULAR = -1, FIXED = -2 };
  int64_t kind = load_signed(layout, header, TString_shrlen);
  uint64_t long_header = layout->place[TString_falloc].offset;
  *length = load_field(layout, header, TString_lnglen);
  if (kind == REGULAR) {
    *contents = address + long_header;
    *counted = long_header + *length + 1;
  } else {
    *contents = load_pointer(layout, header + inline_bytes);
    *counted = kind == FIXED ? long_header : layout->size[SIZE_TString];
  }
}

static const uint8_t *string_header(struct vm *vm, uint64_t address) {
  return memory_view(&vm->memory, address, vm->layout->place[TString_contents].offset);
}

const char *string_contents(struct vm *vm, uint64_t address, size_t *size) {
  const uint8_t *header = string_header(vm, address);
  if (!header || (load_field(vm->layout, header, GCObject_tt) & 0x0F) != TAG_SHORT_STRING)
    return NULL;
  if (vm->layout->string_form == STRING_EXTERNAL &&
      !memory_view(&vm->memory, address, vm->layout->place[TString_falloc].offset))
    return NULL;
  uint64_t length, contents, counted;
  string_measure(vm->layout, header, address, &length, &contents, &counted);
  const uint8_t *bytes = memory_view(&vm->memory, contents, length);
  if (!bytes) return NULL;
  *size = (size_t)length;
  return (const char *)bytes;
}

const char *string_bytes(struct vm *vm, uint64_t address, size_t *size) {
  const char *bytes = string_contents(vm, address, size);
  return bytes && vm->redaction ? redaction_substitute(vm->redaction, bytes, *size) : bytes;
}

bool string_equals(struct vm *vm, uint64_t address, const char *text, size_t size) {
  size_t length;
  const char *bytes = string_bytes(vm, address, &length);
  return bytes && length == size && memcmp(bytes, text, size) == 0;
}

/* ---- Tables ---------------------------------------------------------------------------------- */

static uint64_t table_array_size(const struct layout *layout, const uint8_t *header) {
  uint64_t limit = load_field(layout, header, Table_alimit);
  if (layout->array_form == ARRAY_SPLIT) return limit;
  uint8_t flags = (uint8_t)load_field(
      layout, header, layout->array_form == ARRAY_ALIMIT_MARKED ? GCObject_marked : Table_flags);
  if (!(flags & BIT_RAS) || limit < 2) return limit;
  return UINT64_C(1) << (64 - __builtin_clzll(limit - 1)); /* ltable.c: luaH_realasize */
}

static bool table_is_dummy(const struct layout *layout, const uint8_t *header) {
  return layout_has(layout, Table_lastfree)
             ? load_field(layout, header, Table_lastfree) == 0
             : (load_field(layout, header, Table_flags) & BIT_DUMMY) != 0;
}

uint64_t table_array_bytes(const struct layout *layout, uint64_t size) {
  if (layout->array_form != ARRAY_SPLIT) return size * layout->size[SIZE_TValue];
  return size ? 9 * size + 4 : 0; /* a value, a tag each; the length hint */
}

uint64_t table_hash_bytes(const struct layout *layout, uint64_t count) {
  enum { FIRST_WITH_LAST_FREE = 8 }; /* 5.5, ltable.c: LIMFORLAST */
  bool has_last_free = !layout_has(layout, Table_lastfree) && count >= FIRST_WITH_LAST_FREE;
  uint64_t box =
      layout_wide_alignment(layout); /* ltable.c: Limbox, a pointer with nodes behind it */
  return count * layout->size[SIZE_Node] + (has_last_free ? box : 0);
}

const uint8_t *table_array_view(struct vm *vm, uint64_t array, uint64_t size) {
  bool is_split = vm->layout->array_form == ARRAY_SPLIT;
  uint64_t below = is_split ? 8 * size : 0; /* values below the pointer, tags above */
  const uint8_t *bytes =
      memory_view(&vm->memory, array - below, table_array_bytes(vm->layout, size));
  return bytes ? bytes + below : NULL;
}

static void load_array(struct vm *vm, const uint8_t *header, struct lua_table *table) {
  uint64_t size = table_array_size(vm->layout, header);
  uint64_t array = load_field(vm->layout, header, Table_array);
  table->array_place = array;
  if (!size) return;
  table->array = table_array_view(vm, array, size);
  if (table->array) {
    table->array_size = size;
    table->bytes += table_array_bytes(vm->layout, size);
  } else {
    table->fault = "array part of a table cannot be read";
    table->fault_address = array;
  }
}

static void load_hash(struct vm *vm, const uint8_t *header, struct lua_table *table) {
  const struct layout *layout = vm->layout;
  if (table_is_dummy(layout, header)) return;
  uint64_t log2 = load_field(layout, header, Table_lsizenode);
  uint64_t nodes = load_field(layout, header, Table_node);
  table->node_place = nodes;
  if (log2 <= LARGEST_HASH_LOG2)
    table->nodes = memory_view(&vm->memory, nodes, (uint64_t)layout->size[SIZE_Node] << log2);
  if (table->nodes) {
    table->node_count = UINT64_C(1) << log2;
    table->bytes += table_hash_bytes(layout, table->node_count);
  } else {
    table->fault = "hash part of a table cannot be read";
    table->fault_address = nodes;
  }
}

bool table_hash_block(struct vm *vm, uint64_t address, uint64_t *place, uint64_t *bytes) {
  const struct layout *layout = vm->layout;
  const uint8_t *header = memory_view(&vm->memory, address, layout->size[SIZE_Table]);
  if (!header || load_field(layout, header, GCObject_tt) != TAG_TABLE ||
      table_is_dummy(layout, header))
    return false;
  uint64_t log2 = load_field(layout, header, Table_lsizenode);
  uint64_t count = log2 <= LARGEST_HASH_LOG2 ? UINT64_C(1) << log2 : 0;
  *bytes = table_hash_bytes(layout, count);
  *place = load_field(layout, header, Table_node) - (*bytes - count * layout->size[SIZE_Node]);
  return true;
}

/* Puts what was found elsewhere in the place of the parts that were being exchanged. */
static void load_torn(struct vm *vm, struct lua_table *table) {
  const struct torn *torn = &vm->torn;
  const uint8_t *array =
      torn->array_size ? table_array_view(vm, torn->array, torn->array_size) : NULL;
  if (array) {
    table->array = array;
    table->array_size = torn->array_size;
    table->array_place = torn->array;
  }
  if (!torn->nodes) return;
  table->nodes = torn->nodes;
  table->node_count = torn->node_count;
}

const char *table_load(struct vm *vm, uint64_t address, struct lua_table *table) {
  const struct layout *layout = vm->layout;
  *table = (struct lua_table){.address = address, .bytes = layout->size[SIZE_Table]};
  const uint8_t *header = memory_view(&vm->memory, address, layout->size[SIZE_Table]);
  if (!header) return "table is not in the dump";
  if (load_field(layout, header, GCObject_tt) != TAG_TABLE) return "object is no table";
  table->metatable = load_field(layout, header, Table_metatable);
  load_array(vm, header, table);
  load_hash(vm, header, table);
  if (address == vm->torn.table) load_torn(vm, table);
  return NULL;
}

struct lua_value table_array_value(const struct vm *vm, const struct lua_table *table,
                                   uint64_t index) {
  const struct layout *layout = vm->layout;
  if (layout->array_form != ARRAY_SPLIT)
    return value_load(layout, table->array + index * layout->size[SIZE_TValue]);
  struct lua_value value = {.tag = table->array[4 + index]};
  value.bits = value_bits(layout, table->array - 8 * (index + 1), value.tag);
  return value;
}

void table_entry(const struct vm *vm, const struct lua_table *table, uint64_t index,
                 struct lua_value *key, struct lua_value *value) {
  const struct layout *layout = vm->layout;
  const uint8_t *node = table->nodes + index * layout->size[SIZE_Node];
  *value = value_load(layout, node + layout->place[Node_value_].offset);
  key->tag = node[layout->place[Node_key_tt].offset];
  key->bits = value_bits(layout, node + layout->place[Node_key_val].offset, key->tag);
}

bool table_find(struct vm *vm, const struct lua_table *table, const char *name, size_t size,
                struct lua_value *value) {
  for (uint64_t i = 0; i < table->node_count; i++) {
    struct lua_value key;
    table_entry(vm, table, i, &key, value);
    if (!value_is_empty(*value) && value_is_object(key) && value_is_string(key) &&
        string_equals(vm, key.bits, name, size))
      return true;
  }
  return false;
}

bool table_find_integer(struct vm *vm, const struct lua_table *table, int64_t wanted,
                        struct lua_value *value) {
  if (wanted >= 1 && (uint64_t)wanted <= table->array_size) {
    *value = table_array_value(vm, table, (uint64_t)wanted - 1);
    return !value_is_empty(*value);
  }
  for (uint64_t i = 0; i < table->node_count; i++) {
    struct lua_value key;
    table_entry(vm, table, i, &key, value);
    if (key.tag == TAG_INTEGER && value_integer(vm, key) == wanted && !value_is_empty(*value))
      return true;
  }
  return false;
}
