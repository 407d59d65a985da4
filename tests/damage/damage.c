/* damage.c - the kinds of damage. Each is a function that changes one thing; a case has one of them
 * or, one time in four, up to five. */
#include "damage.h"

#include <elf.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

uint64_t random_next(uint64_t *state) {
  uint64_t value = *state += UINT64_C(0x9e3779b97f4a7c15);
  value = (value ^ value >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
  value = (value ^ value >> 27) * UINT64_C(0x94d049bb133111eb);
  return value ^ value >> 31;
}

static uint64_t below(struct damage *damage, uint64_t limit) {
  return limit ? random_next(&damage->random) % limit : 0;
}

static void say(struct damage *damage, const char *format, ...) PRINTF_LIKE(2, 3);

static void say(struct damage *damage, const char *format, ...) {
  size_t length = strlen(damage->words);
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(damage->words + length, sizeof damage->words - length, format, arguments);
  va_end(arguments);
}

/* ---- Writing -----------------------------------------------------------------------------------
 */

static void blame(struct damage *damage, uint32_t owner) {
  if (owner == OWNER_NOBODY) return;
  if (owner == OWNER_STATE) damage->hits_state = true;
  for (size_t i = 0; i < damage->object_count; i++)
    if (damage->objects[i] == owner) return;
  if (owner == OWNER_STATE || damage->object_count == MOST_DAMAGED)
    damage->hits_state = true;
  else
    damage->objects[damage->object_count++] = owner;
}

static void put(struct damage *damage, size_t offset, const void *bytes, size_t size) {
  if (offset >= damage->victim->size || !size) return;
  if (size > damage->victim->size - offset) size = damage->victim->size - offset;
  if (damage->change_count == MOST_CHANGES) return;
  if (!memcmp(damage->bytes + offset, bytes, size)) return;
  damage->changes[damage->change_count++] = (struct change){offset, size};
  for (size_t i = 0; i < size; i++)
    if (damage->bytes[offset + i] != ((const uint8_t *)bytes)[i])
      blame(damage, victim_owner(damage->victim, offset + i));
  memcpy(damage->bytes + offset, bytes, size);
}

static void put_number(struct damage *damage, size_t offset, uint64_t value, unsigned size) {
  put(damage, offset, &value, size < 8 ? size : 8); /* all victims are little-endian */
}

static uint64_t get_number(const struct damage *damage, size_t offset, unsigned size) {
  uint64_t value = 0;
  if (offset <= damage->victim->size && size <= 8 && size <= damage->victim->size - offset)
    memcpy(&value, damage->bytes + offset, size);
  return value;
}

static void put_random(struct damage *damage, size_t offset, size_t size) {
  uint8_t bytes[512];
  if (size > sizeof bytes) size = sizeof bytes;
  for (size_t i = 0; i < size; i++)
    bytes[i] = (uint8_t)below(damage, 256);
  put(damage, offset, bytes, size);
}

/* ---- Choosing ----------------------------------------------------------------------------------
 */

static const struct layout *layout_of(const struct damage *damage) {
  return victim_vm(damage->victim)->layout;
}

/* Of a kind chosen first, so that the many strings do not crowd out the rest. */
static object_id some_object(struct damage *damage) {
  const struct victim *victim = damage->victim;
  if (below(damage, 4) == 0)
    return (object_id)below(damage, victim_heap(victim)->graph.object_count);
  unsigned type = (unsigned)below(damage, OBJECT_TYPE_COUNT);
  if (!victim->type_count[type]) type = OBJECT_TABLE;
  return victim->by_type[type][below(damage, victim->type_count[type])];
}

static object_id some_of(struct damage *damage, enum object_type type) {
  const struct victim *victim = damage->victim;
  return victim->type_count[type] ? victim->by_type[type][below(damage, victim->type_count[type])]
                                  : some_object(damage);
}

static uint64_t address_of(const struct damage *damage, object_id object) {
  return heap_address(victim_heap(damage->victim), object);
}

static size_t offset_of(const struct damage *damage, object_id object) {
  return victim_offset(damage->victim, address_of(damage, object));
}

/* A word that somebody else has: most likely a pointer, a size, a tag. */
static uint64_t word_of_heap(struct damage *damage, unsigned size) {
  const struct victim *victim = damage->victim;
  uint64_t words = (victim->heap_end - victim->heap_start) / size;
  return get_number(damage, victim->heap_offset + (size_t)below(damage, words) * size, size);
}

static uint64_t some_value(struct damage *damage) {
  static const uint64_t numbers[] = {0,
                                     1,
                                     2,
                                     3,
                                     7,
                                     8,
                                     16,
                                     30,
                                     31,
                                     63,
                                     255,
                                     1000,
                                     65535,
                                     INT32_MAX,
                                     UINT64_C(1) << 31,
                                     UINT32_MAX,
                                     UINT64_C(1) << 32,
                                     UINT64_C(1) << 47,
                                     UINT64_C(1) << 60,
                                     UINT64_C(1) << 63,
                                     UINT64_MAX,
                                     UINT64_MAX - 7,
                                     UINT64_C(0x4141414141414141)};
  const struct victim *victim = damage->victim;
  switch (below(damage, 8)) {
  case 0:
  case 1:
    return address_of(damage, some_object(damage));
  case 2:
    return address_of(damage, some_object(damage)) + 8 * below(damage, 4);
  case 3:
    return victim->heap_end - below(damage, 64);
  case 4:
    return victim->heap_start + below(damage, victim->heap_end - victim->heap_start);
  case 5:
    return victim->stack_start + below(damage, victim->stack_end - victim->stack_start + 1);
  default:
    return numbers[below(damage, sizeof numbers / sizeof *numbers)];
  }
}

/* The name of the structure that an object of a type is, as layout_field_name has it. */
static const char *structure_of(enum object_type type) {
  static const char *const names[OBJECT_TYPE_COUNT] = {
      "TString", "Table", "LClosure", "CClosure", "Udata", "lua_State", "UpVal", "Proto"};
  return names[type];
}

/* A field of a structure, or of the header of all objects. */
static struct layout_place some_field(struct damage *damage, const char *structure,
                                      const char **name) {
  const struct layout *layout = layout_of(damage);
  enum layout_field fields[LAYOUT_FIELD_COUNT];
  size_t count = 0, length = strlen(structure);
  bool is_state = !strcmp(structure, "global_State");
  for (unsigned i = 0; i < LAYOUT_FIELD_COUNT; i++) {
    const char *each = layout_field_name((enum layout_field)i);
    bool fits = (!strncmp(each, structure, length) && each[length] == '.') ||
                (!is_state && !strncmp(each, "GCObject.", 9));
    if (fits && layout_has(layout, (enum layout_field)i)) fields[count++] = (enum layout_field)i;
  }
  enum layout_field field = fields[below(damage, count)];
  *name = layout_field_name(field);
  struct layout_place place = layout->place[field];
  if (place.size > 8) place.size = layout->pointer_size;
  return place;
}

/* ---- Kinds -------------------------------------------------------------------------------------
 */

static void flip_bits(struct damage *damage) {
  const struct victim *victim = damage->victim;
  uint64_t place = below(damage, victim->heap_end - victim->heap_start);
  unsigned count = 1 + (unsigned)below(damage, 4);
  for (unsigned i = 0; i < count; i++) {
    size_t offset = victim->heap_offset + (size_t)place;
    uint8_t byte = (uint8_t)(damage->bytes[offset] ^ 1u << below(damage, 8));
    put(damage, offset, &byte, 1);
    place = (place + below(damage, 16)) % (victim->heap_end - victim->heap_start);
  }
  say(damage, "bits at +0x%zx; ", (size_t)place);
}

static void flip_owned_bit(struct damage *damage) {
  const struct victim *victim = damage->victim;
  uint64_t size = victim->heap_end - victim->heap_start, place = below(damage, size);
  while (victim->owner[place / 4] >= OWNER_STATE)
    place = (place + 4) % size;
  size_t offset = victim->heap_offset + (size_t)place;
  uint8_t byte = (uint8_t)(damage->bytes[offset] ^ 1u << below(damage, 8));
  put(damage, offset, &byte, 1);
  say(damage, "bit of 0x%llx; ", (unsigned long long)(victim->heap_start + place));
}

/* A word of an object becomes another word of the heap. */
static void exchange_word(struct damage *damage) {
  const struct victim *victim = damage->victim;
  unsigned word = layout_of(damage)->pointer_size;
  uint64_t words = (victim->heap_end - victim->heap_start) / word, place = below(damage, words);
  while (victim->owner[place * word / 4] >= OWNER_STATE)
    place = (place + 1) % words;
  uint64_t value = word_of_heap(damage, word);
  put_number(damage, victim->heap_offset + (size_t)place * word, value, word);
  say(damage, "word 0x%llx = 0x%llx; ", (unsigned long long)(victim->heap_start + place * word),
      (unsigned long long)value);
}

static void garble_object(struct damage *damage) {
  object_id object = some_object(damage);
  uint64_t bytes = graph_bytes(&victim_heap(damage->victim)->graph, object);
  const uint16_t *size = layout_of(damage)->size;
  uint8_t type = victim_heap(damage->victim)->graph.type[object];
  if (type == OBJECT_TABLE) bytes = size[SIZE_Table];
  if (type == OBJECT_THREAD) bytes = size[SIZE_lua_State];
  if (type == OBJECT_PROTOTYPE) bytes = size[SIZE_Proto];
  uint64_t from = below(damage, 2) ? 0 : below(damage, bytes);
  uint64_t count = below(damage, 3) ? bytes - from : 1 + below(damage, bytes - from);
  put_random(damage, offset_of(damage, object) + (size_t)from, (size_t)count);
  say(damage, "garbled %s 0x%llx +%llu..%llu; ", structure_of(type),
      (unsigned long long)address_of(damage, object), (unsigned long long)from,
      (unsigned long long)(from + count));
}

static void set_field(struct damage *damage) {
  object_id object = some_object(damage);
  const char *name;
  const char *structure = structure_of(victim_heap(damage->victim)->graph.type[object]);
  struct layout_place place = some_field(damage, structure, &name);
  uint64_t value = below(damage, 6) ? some_value(damage) : address_of(damage, object);
  put_number(damage, offset_of(damage, object) + place.offset, value, place.size);
  say(damage, "%s of 0x%llx = 0x%llx; ", name, (unsigned long long)address_of(damage, object),
      (unsigned long long)value);
}

/* A list of objects: cut short, made a ring, led elsewhere. */
static void break_list(struct damage *damage) {
  object_id object = some_object(damage);
  const struct layout *layout = layout_of(damage);
  uint64_t value = 0;
  switch (below(damage, 5)) {
  case 0:
    value = address_of(damage, object);
    break;
  case 1:
    break;
  case 2:
  case 3:
    value = address_of(damage, some_object(damage));
    break;
  default:
    value = some_value(damage);
  }
  put_number(damage, offset_of(damage, object) + layout->place[GCObject_next].offset, value,
             layout->pointer_size);
  say(damage, "next of 0x%llx = 0x%llx; ", (unsigned long long)address_of(damage, object),
      (unsigned long long)value);
}

static void change_tag(struct damage *damage) {
  object_id object = some_object(damage);
  uint8_t tag = (uint8_t)below(damage, below(damage, 2) ? 12 : 256);
  enum layout_field field = below(damage, 4) ? GCObject_tt : GCObject_marked;
  put(damage, offset_of(damage, object) + layout_of(damage)->place[field].offset, &tag, 1);
  say(damage, "%s of 0x%llx = 0x%x; ", layout_field_name(field),
      (unsigned long long)address_of(damage, object), tag);
}

static void set(struct damage *damage, object_id object, enum layout_field field, uint64_t value) {
  struct layout_place place = layout_of(damage)->place[field];
  if (!place.size || place.size > 8) return;
  put_number(damage, offset_of(damage, object) + place.offset, value, place.size);
  say(damage, "%s of 0x%llx = 0x%llx; ", layout_field_name(field),
      (unsigned long long)address_of(damage, object), (unsigned long long)value);
}

static uint64_t field(const struct damage *damage, object_id object, enum layout_field field) {
  struct layout_place place = layout_of(damage)->place[field];
  return get_number(damage, offset_of(damage, object) + place.offset, place.size);
}

/* Tables that claim 2^31 slots; a metatable of its own. */
static void inflate_table(struct damage *damage) {
  static const uint64_t slots[] = {UINT64_C(1) << 31, INT32_MAX, UINT32_MAX, 1 << 20, 1 << 10, 5};
  static const uint8_t logs[] = {30, 31, 32, 63, 64, 255, 20, 10, 5};
  object_id table = some_of(damage, OBJECT_TABLE);
  switch (below(damage, 4)) {
  case 0:
    set(damage, table, Table_alimit, slots[below(damage, sizeof slots / sizeof *slots)]);
    break;
  case 1:
    set(damage, table, Table_lsizenode, logs[below(damage, sizeof logs)]);
    break;
  case 2:
    set(damage, table, Table_metatable, address_of(damage, table));
    break;
  default:
    set(damage, table, Table_array, field(damage, table, Table_node));
  }
}

/* Strings of 2^60 bytes. */
static void inflate_string(struct damage *damage) {
  object_id string = some_of(damage, OBJECT_STRING);
  set(damage, string, below(damage, 2) ? TString_lnglen : TString_shrlen,
      below(damage, 3) ? UINT64_C(1) << 60 : some_value(damage));
  if (below(damage, 2)) set(damage, string, GCObject_tt, below(damage, 2) ? 0x14 : 0x04);
}

/* Stacks upside down, rings of calls. */
static void invert_stack(struct damage *damage) {
  object_id thread = some_of(damage, OBJECT_THREAD);
  uint64_t stack = field(damage, thread, lua_State_stack);
  uint64_t last = field(damage, thread, lua_State_stack_last);
  uint64_t call = field(damage, thread, lua_State_ci);
  const struct layout *layout = layout_of(damage);
  switch (below(damage, 6)) {
  case 0:
    set(damage, thread, lua_State_stack, last);
    set(damage, thread, lua_State_stack_last, stack);
    break;
  case 1:
    set(damage, thread, lua_State_top, stack - 16);
    break;
  case 2:
    set(damage, thread, lua_State_stack_last, stack + (UINT64_C(1) << (10 + below(damage, 40))));
    break;
  case 3:
  case 4: {
    enum layout_field link = below(damage, 2) ? CallInfo_next : CallInfo_previous;
    if (!victim_has(damage->victim, call, layout->size[SIZE_CallInfo])) return;
    put_number(damage, victim_offset(damage->victim, call) + layout->place[link].offset,
               below(damage, 2) ? call : some_value(damage), layout->pointer_size);
    say(damage, "a ring of calls of 0x%llx; ", (unsigned long long)address_of(damage, thread));
    break;
  }
  default:
    set(damage, thread, lua_State_openupval, address_of(damage, some_of(damage, OBJECT_UPVALUE)));
  }
}

/* Prototypes nested in themselves, with arrays that are not there, with senseless code. */
static void nest_prototype(struct damage *damage) {
  object_id prototype = some_of(damage, OBJECT_PROTOTYPE);
  const struct layout *layout = layout_of(damage);
  uint64_t nested = field(damage, prototype, Proto_p), code = field(damage, prototype, Proto_code);
  static const enum layout_field sizes[] = {
      Proto_sizek,       Proto_sizecode,     Proto_sizelineinfo,   Proto_sizep,
      Proto_sizelocvars, Proto_sizeupvalues, Proto_sizeabslineinfo};
  switch (below(damage, 4)) {
  case 0:
    if (field(damage, prototype, Proto_sizep) && victim_has(damage->victim, nested, 8)) {
      put_number(damage, victim_offset(damage->victim, nested), address_of(damage, prototype),
                 layout->pointer_size);
      say(damage, "prototype 0x%llx in itself; ",
          (unsigned long long)address_of(damage, prototype));
    }
    break;
  case 1:
    set(damage, prototype, sizes[below(damage, sizeof sizes / sizeof *sizes)], some_value(damage));
    break;
  case 2:
    set(damage, prototype, Proto_lineinfo, some_value(damage));
    set(damage, prototype, Proto_linedefined, some_value(damage));
    break;
  default:
    if (victim_has(damage->victim, code, 64)) {
      put_random(damage, victim_offset(damage->victim, code),
                 (size_t)(4 * field(damage, prototype, Proto_sizecode)));
      say(damage, "code of 0x%llx; ", (unsigned long long)address_of(damage, prototype));
    }
  }
}

static void change_userdata(struct damage *damage) {
  object_id userdata = some_of(damage, OBJECT_USERDATA);
  set(damage, userdata, below(damage, 2) ? Udata_nuvalue : Udata_len, some_value(damage));
}

/* One object is copied over another. */
static void copy_object(struct damage *damage) {
  object_id from = some_object(damage), to = some_object(damage);
  uint64_t size = graph_bytes(&victim_heap(damage->victim)->graph, to);
  if (size > 64) size = 64;
  uint64_t address = address_of(damage, from);
  if (!victim_has(damage->victim, address, size)) return;
  uint8_t copy[64];
  memcpy(copy, damage->bytes + victim_offset(damage->victim, address), (size_t)size);
  put(damage, offset_of(damage, to), copy, (size_t)size);
  say(damage, "0x%llx copied over 0x%llx; ", (unsigned long long)address,
      (unsigned long long)address_of(damage, to));
}

static void change_state(struct damage *damage) {
  const char *name;
  struct layout_place place = some_field(damage, "global_State", &name);
  uint64_t value = some_value(damage);
  size_t offset = victim_offset(damage->victim, victim_vm(damage->victim)->global_state);
  uint64_t more =
      place.size == layout_of(damage)->pointer_size && !below(damage, 4) ? 8 * below(damage, 9) : 0;
  put_number(damage, offset + place.offset + (size_t)more, value, place.size);
  say(damage, "%s = 0x%llx; ", name, (unsigned long long)value);
}

static void damage_file(struct damage *damage) {
  const struct victim *victim = damage->victim;
  size_t headers = victim->bytes[EI_CLASS] == ELFCLASS64 ? 64 : 52;
  size_t each = victim->bytes[EI_CLASS] == ELFCLASS64 ? 56 : 32;
  size_t offset;
  switch (below(damage, 4)) {
  case 0:
    offset = (size_t)below(damage, headers);
    break;
  case 1:
    offset = headers + each * (size_t)below(damage, 44);
    break;
  default:
    offset = (size_t)below(damage, victim->heap_offset);
  }
  unsigned size = 1u << below(damage, 4);
  offset &= ~(size_t)(size - 1);
  put_number(damage, offset, some_value(damage), size);
  damage->hits_state = true;
  say(damage, "the file at 0x%zx; ", offset);
}

static void truncate_file(struct damage *damage) {
  damage->size = (size_t)below(damage, damage->victim->size) + 1;
  damage->hits_state = true;
  say(damage, "truncated at 0x%zx; ", damage->size);
}

static void wipe(struct damage *damage) {
  static const uint8_t zeros[4096];
  const struct victim *victim = damage->victim;
  uint64_t place = below(damage, victim->heap_end - victim->heap_start);
  size_t size = (size_t)UINT64_C(16) << below(damage, 9);
  put(damage, victim->heap_offset + (size_t)place, zeros, size);
  say(damage, "%zu zeros at 0x%llx; ", size, (unsigned long long)(victim->heap_start + place));
}

static const struct kind {
  void (*apply)(struct damage *damage);
  unsigned weight;
} kinds[] = {
    {flip_bits, 6},      {flip_owned_bit, 10}, {exchange_word, 14}, {garble_object, 10},
    {set_field, 14},     {break_list, 10},     {change_tag, 8},     {inflate_table, 5},
    {inflate_string, 3}, {invert_stack, 5},    {nest_prototype, 4}, {change_userdata, 2},
    {copy_object, 3},    {change_state, 4},    {damage_file, 4},    {truncate_file, 1},
    {wipe, 3},
};

static void apply_one(struct damage *damage) {
  unsigned total = 0;
  for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
    total += kinds[i].weight;
  uint64_t choice = below(damage, total);
  size_t kind = 0;
  while (choice >= kinds[kind].weight)
    choice -= kinds[kind++].weight;
  kinds[kind].apply(damage);
}

void damage_apply(struct damage *damage, const struct victim *victim, uint8_t *bytes,
                  uint64_t seed) {
  *damage = (struct damage){.victim = victim, .bytes = bytes, .random = seed, .size = victim->size};
  (void)random_next(&damage->random);
  unsigned count = below(damage, 4) ? 1 : 2 + (unsigned)below(damage, 4);
  for (unsigned i = 0; i < count; i++)
    apply_one(damage);
}

void damage_undo(struct damage *damage) {
  for (size_t i = 0; i < damage->change_count; i++) {
    struct change change = damage->changes[i];
    memcpy(damage->bytes + change.offset, damage->victim->original + change.offset, change.size);
  }
}
