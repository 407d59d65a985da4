/* dwarf.c - layouts from debug info.
 *
 * Offsets and sizes are looked up by name. A field is called in the debug info as in struct layout;
 * where releases of Lua disagree, or where it lies in a nested structure, PATHS has its names.
 * Traits are read off the names as well: a release is known by the fields that it has.
 *
 * What no debug info tells: Udata0, the header of userdata without user values, is not described
 * (no variable has that type). Its payload is aligned as the user values are (lobject.h:
 * LUAI_MAXALIGN), and comes right after the last field that both headers have. */
#include "layout/dwarf.h"

#include "base/text.h"
#include "layout/check.h"

enum { MOST_PATHS = 2, AGGREGATE = 255 };

/* Structures to look for: first, in its order, those with a size in struct layout. */
static const char *const STRUCTURES[] = {
#define STRUCT(name) #name,
    LAYOUT_STRUCTS(STRUCT)
#undef STRUCT
    /* and those that only have fields */
    "GCObject",
    "stringtable",
    "Udata",
    "LX",
};

enum { STRUCTURE_COUNT = sizeof STRUCTURES / sizeof *STRUCTURES };

/* Fields with other names than their own, newest name first. */
static const struct {
  enum layout_field field;
  const char *paths[MOST_PATHS];
} PATHS[] = {
    {CallInfo_savedpc, {"u.l.savedpc"}},
    {CallInfo_nextraargs, {"u.l.nextraargs"}},
    {global_State_totalbytes, {"GCtotalbytes", "totalbytes"}},
    {global_State_gcstp, {"gcstp", "gcrunning"}},
    {global_State_old1, {"old1", "old"}},
    {global_State_finobjold1, {"finobjold1", "finobjold"}},
    {Table_alimit, {"asize", "alimit"}},
    {Node_value_, {"u.value_"}},
    {Node_tt_, {"u.tt_"}},
    {Node_key_tt, {"u.key_tt"}},
    {Node_next, {"u.next"}},
    {Node_key_val, {"u.key_val"}},
    {TString_lnglen, {"u.lnglen"}},
    {TString_hnext, {"u.hnext"}},
    {UpVal_value, {"u.value"}},
    {UpVal_open_next, {"u.open.next"}},
    {UpVal_previous, {"u.open.previous"}},
    {Proto_is_vararg, {"flag", "is_vararg"}},
};

struct reader {
  struct debug_info *info;
  struct layout *layout;
};

/* The place of "structure.path". */
static bool look_up(const struct reader *reader, const char *structure, const char *path,
                    struct debug_place *place) {
  for (size_t i = 0; i < STRUCTURE_COUNT; i++)
    if (strcmp(STRUCTURES[i], structure) == 0)
      return debug_info_field(reader->info, i, path, place);
  return false;
}

static bool has(const struct reader *reader, const char *structure, const char *path) {
  struct debug_place place;
  return look_up(reader, structure, path, &place);
}

/* ---- Fields ---------------------------------------------------------------------------------- */

static void read_field(const struct reader *reader, enum layout_field field) {
  const char *name = layout_field_name(field), *dot = strchr(name, '.');
  const char *own[MOST_PATHS] = {dot + 1}, *const *paths = own;
  char structure[32] = {0};
  struct debug_place place;
  if ((size_t)(dot - name) >= sizeof structure) return;
  memcpy(structure, name, (size_t)(dot - name));
  for (size_t i = 0; i < sizeof PATHS / sizeof *PATHS; i++)
    if (PATHS[i].field == field) paths = PATHS[i].paths;
  for (size_t i = 0; i < MOST_PATHS && paths[i]; i++) {
    if (!look_up(reader, structure, paths[i], &place)) continue;
    bool is_scalar = place.size == 1 || place.size == 2 || place.size == 4 || place.size == 8;
    if (place.offset > UINT16_MAX) return;
    reader->layout->place[field].offset = (uint16_t)place.offset;
    reader->layout->place[field].size = is_scalar ? (uint8_t)place.size : AGGREGATE;
    return;
  }
}

/* Sizes; of functions, which end with an array of upvalues, without it. */
static void read_sizes(const struct reader *reader) {
  struct layout *layout = reader->layout;
  for (size_t i = 0; i < LAYOUT_STRUCT_COUNT; i++) {
    uint64_t size = debug_info_size(reader->info, i);
    layout->size[i] = size <= UINT16_MAX ? (uint16_t)size : 0;
  }
  layout->size[SIZE_LClosure] = layout->place[LClosure_upvals].offset;
  layout->size[SIZE_CClosure] = layout->place[CClosure_upvalue].offset;
}

/* ---- Traits ---------------------------------------------------------------------------------- */

static uint64_t aligned(uint64_t offset, uint64_t alignment) {
  return (offset + alignment - 1) / alignment * alignment;
}

static uint8_t small(uint64_t number) { return number <= UINT8_MAX ? (uint8_t)number : 0; }

static uint16_t medium(uint64_t number) { return number <= UINT16_MAX ? (uint16_t)number : 0; }

static void read_userdata(const struct reader *reader) {
  struct layout *layout = reader->layout;
  struct debug_place values, last;
  if (!look_up(reader, "Udata", "uv", &values)) return;
  layout->userdata_header = small(values.offset);
  if (!look_up(reader, "Udata", "gclist", &last)) return;
  layout->userdata_bare = small(aligned(last.offset, values.alignment));
}

/* LUA_EXTRASPACE: what lies before a lua_State in its block. */
static void read_block(const struct reader *reader) {
  struct layout *layout = reader->layout;
  struct debug_place thread = {.offset = layout->pointer_size}, embedded;
  look_up(reader, "LX", "l", &thread);
  layout->block_extra = medium(thread.offset);
  layout->main_thread_embedded = look_up(reader, "global_State", "mainth", &embedded);
  if (!layout->main_thread_embedded) return;
  uint64_t offset = embedded.offset + thread.offset;
  if (offset != layout_main_thread_offset(layout)) layout->main_thread_offset = medium(offset);
}

/* The names of fields tell the release; see struct layout for what follows from it. */
static void read_release(const struct reader *reader) {
  struct layout *layout = reader->layout;
  bool is_55 = has(reader, "global_State", "GCtotalbytes");
  bool has_bits = has(reader, "global_State", "gcstp"); /* 5.4.4 and later */
  layout->lua = is_55 ? "5.5" : "5.4";
  layout->array_form = has(reader, "Table", "asize")         ? ARRAY_SPLIT
                       : has(reader, "global_State", "old1") ? ARRAY_ALIMIT_FLAGS
                                                             : ARRAY_ALIMIT_MARKED;
  layout->string_form = has(reader, "TString", "falloc") ? STRING_EXTERNAL : STRING_INLINE;
  layout->stop_form = has_bits ? STOP_BITS : STOP_RUNNING;
  layout->integer_hash = has_bits ? INTEGER_HASH_MODULO : INTEGER_HASH_POWER;
  layout->stack_in_slots = has(reader, "lua_State", "stacksize");
  layout->long_hash_skips = layout->stack_in_slots;
  layout->debt_is_subtracted = is_55;
  layout->main_thread_index = is_55 ? 3 : 1;
  layout->globals_index = 2;
  layout->c_call_bit = is_55 ? 0x8000 : 2;
}

/* ---- The whole ------------------------------------------------------------------------------- */

static const char *escaped(const char *string, struct arena *arena) {
  const char *result = NULL;
  struct text text = {0};
  if (text_escape(&text, string, strlen(string), 0))
    result = arena_copy(arena, text.items, text.count);
  vector_free(&text);
  return result;
}

static struct inspect_error *not_described(const struct debug_info *info, struct arena *arena,
                                           const char *name) {
  const char *missing = debug_info_missing(info);
  if (missing) missing = escaped(missing, arena);
  if (missing)
    return error_create(INSPECT_ERROR_TARGET,
                        "install the whole debug package: dwz moved a part of it there",
                        "the debug info of %s is incomplete: %s is not here", name, missing);
  return error_create(INSPECT_ERROR_TARGET,
                      debug_info_defines(info, LUA_FUNCTION)
                          ? "lua-inspect reads Lua 5.4 and 5.5"
                          : "it defines no " LUA_FUNCTION
                            ": Lua may be in a library that it loads, see ldd(1)",
                      "the debug info of %s describes no Lua 5.4 or 5.5", name);
}

/* Whether these are the structures of a Lua that can be read: 5.4 brought abslineinfo. */
static bool is_readable(const struct reader *reader) {
  return has(reader, "global_State", "l_registry") && has(reader, "Proto", "abslineinfo") &&
         (has(reader, "Table", "alimit") || has(reader, "Table", "asize"));
}

struct inspect_error *layout_from_debug_info(struct debug_info *info, struct arena *arena,
                                             const struct layout **result) {
  struct layout *layout = arena_alloc(arena, sizeof *layout);
  const char *path = debug_info_path(info), *slash = strrchr(path, '/');
  const char *name = escaped(slash ? slash + 1 : path, arena);
  if (!layout || !name) return error_no_memory();
  struct reader reader = {info, layout};
  debug_info_find(info, LUA_FUNCTION, STRUCTURES, STRUCTURE_COUNT);
  if (!is_readable(&reader)) return not_described(info, arena, name);
  layout->name = name;
  layout->provenance = LAYOUT_DWARF;
  layout->pointer_size = (uint8_t)debug_info_pointer_size(info);
  layout->big_endian = debug_info_big_endian(info);
  for (unsigned i = 0; i < LAYOUT_FIELD_COUNT; i++)
    read_field(&reader, (enum layout_field)i);
  read_sizes(&reader);
  read_release(&reader);
  read_userdata(&reader);
  read_block(&reader);
  enum layout_field field;
  const char *fault = layout_check(layout, &field);
  if (fault)
    return error_create(INSPECT_ERROR_TARGET, "lua-inspect reads Lua 5.4 and 5.5",
                        "the debug info of %s does not describe Lua as it is known: %s%s%s", name,
                        field < LAYOUT_FIELD_COUNT ? layout_field_name(field) : "",
                        field < LAYOUT_FIELD_COUNT ? " " : "", fault);
  *result = layout;
  return NULL;
}
