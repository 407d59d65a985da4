/* check.c - whether a layout can be read with.
 *
 * Readers check the extent of a structure against the dump and then read its fields without asking
 * again. That is sound only if each field lies within the extent, which is promised here:
 *
 *   structures with a size     every field ends within it
 *   GCObject                   the first two words: what readers look at to learn the type
 *   strings                    the header ends where `contents` begins
 *   userdata                   the header ends where the payload or the user values begin
 *   functions                  the size is that of the header, without upvalues
 *   aggregates                 (size 255) what they hold ends within it
 *
 * and what readers take for granted is checked: pointers are as wide as pointers, a TValue begins
 * with its eight bytes of value, arrays of names begin with the name. */
#include "layout/check.h"

enum { AGGREGATE = 255, METAMETHODS = 25, BASIC_TYPES = 9, GC_PARAMETERS = 6 };

static const char OUTSIDE[] = "lies outside of its structure";
static const char MISSING[] = "is missing";
static const char WIDTH[] = "has a width that it cannot have";

/* Whether builds of this version of Lua always have the field: all canned ones do. */
static bool needs(const char *lua, enum layout_field field) {
  const struct layout *canned;
  for (size_t i = 0; (canned = layout_canned(i)); i++)
    if (strcmp(canned->lua, lua) == 0 && !layout_has(canned, field)) return false;
  return true;
}

static bool is_known_lua(const char *lua) {
  const struct layout *canned;
  for (size_t i = 0; (canned = layout_canned(i)); i++)
    if (strcmp(canned->lua, lua) == 0) return true;
  return false;
}

/* Whether the field is one of the structure with this name. */
static bool belongs(enum layout_field field, const char *structure) {
  const char *name = layout_field_name(field);
  size_t size = strlen(structure);
  return strncmp(name, structure, size) == 0 && name[size] == '.';
}

/* How many bytes of a field's structure readers have checked. */
static uint64_t extent_of(const struct layout *layout, enum layout_field field) {
  if (belongs(field, "GCObject")) return 2u * layout->pointer_size;
  if (belongs(field, "TString") && field != TString_contents && field != TString_falloc)
    return layout->place[TString_contents].offset;
  if (field == Udata_uv || field == LClosure_upvals || field == CClosure_upvalue)
    return UINT64_MAX; /* read with an extent of its own */
  if (field == Udata_gclist) return layout->userdata_header;
  if (belongs(field, "Udata")) return layout->userdata_bare;
  if (belongs(field, "stringtable")) {
    uint64_t start = layout->place[global_State_strt].offset;
    return layout->size[SIZE_global_State] - start;
  }
  for (unsigned i = 0; i < LAYOUT_STRUCT_COUNT; i++)
    if (belongs(field, layout_struct_name((enum layout_struct)i))) return layout->size[i];
  return 0;
}

/* What an aggregate holds, in bytes; 1 where it is only its beginning that counts. */
static uint64_t aggregate_size(const struct layout *layout, enum layout_field field) {
  switch (field) {
  case lua_State_base_ci:
    return layout->size[SIZE_CallInfo];
  case global_State_l_registry:
  case global_State_nilvalue:
    return layout->size[SIZE_TValue];
  case global_State_tmname:
    return (uint64_t)METAMETHODS * layout->pointer_size;
  case global_State_mt:
    return (uint64_t)BASIC_TYPES * layout->pointer_size;
  case global_State_gcparams:
    return GC_PARAMETERS;
  case UpVal_value:
    return layout->size[SIZE_TValue];
  default:
    return 1;
  }
}

static bool is_aggregate(enum layout_field field) {
  switch (field) {
  case lua_State_base_ci:
  case global_State_strt:
  case global_State_l_registry:
  case global_State_nilvalue:
  case global_State_tmname:
  case global_State_mt:
  case global_State_gcparams:
  case UpVal_value:
  case Udata_uv:
  case CClosure_upvalue:
    return true;
  default:
    return false;
  }
}

/* Fields that readers use as addresses. */
static bool is_pointer(enum layout_field field) {
  switch (field) {
  case GCObject_next:
  case lua_State_top:
  case lua_State_l_G:
  case lua_State_ci:
  case lua_State_stack_last:
  case lua_State_stack:
  case lua_State_openupval:
  case lua_State_errorJmp:
  case CallInfo_func:
  case CallInfo_top:
  case CallInfo_previous:
  case CallInfo_next:
  case CallInfo_savedpc:
  case global_State_frealloc:
  case global_State_allgc:
  case global_State_finobj:
  case global_State_tobefnz:
  case global_State_fixedgc:
  case global_State_mainthread:
  case stringtable_hash:
  case Table_array:
  case Table_node:
  case Table_metatable:
  case TString_lnglen:
  case TString_falloc:
  case Udata_len:
  case Udata_metatable:
  case LClosure_p:
  case LClosure_upvals:
  case CClosure_f:
  case UpVal_v:
  case UpVal_open_next:
  case Proto_k:
  case Proto_code:
  case Proto_p:
  case Proto_upvalues:
  case Proto_lineinfo:
  case Proto_abslineinfo:
  case Proto_locvars:
  case Proto_source:
  case Upvaldesc_name:
  case LocVar_varname:
    return true;
  default:
    return false;
  }
}

static bool has_right_width(const struct layout *layout, enum layout_field field) {
  unsigned size = layout->place[field].size;
  if (is_aggregate(field)) return size == AGGREGATE;
  if (is_pointer(field)) return size == layout->pointer_size;
  if (field == TValue_value_ || field == Node_value_ || field == Node_key_val) return size == 8;
  if (field == GCObject_tt || field == GCObject_marked || field == TValue_tt_ ||
      field == Node_tt_ || field == Node_key_tt)
    return size == 1;
  return size == 1 || size == 2 || size == 4 || size == 8;
}

static const char *check_field(const struct layout *layout, enum layout_field field) {
  struct layout_place place = layout->place[field];
  if (!place.size) return needs(layout->lua, field) ? MISSING : NULL;
  if (!has_right_width(layout, field)) return WIDTH;
  uint64_t size = place.size == AGGREGATE ? aggregate_size(layout, field) : place.size;
  if (place.offset + size > extent_of(layout, field)) return OUTSIDE;
  return NULL;
}

/* What readers take for granted beyond single fields. */
static const char *check_forms(const struct layout *layout, enum layout_field *field) {
  const struct layout_place *place = layout->place;
  const enum layout_field first[] = {GCObject_next, TValue_value_, Upvaldesc_name, LocVar_varname};
  for (unsigned i = 0; i < sizeof first / sizeof *first; i++) {
    *field = first[i];
    if (place[first[i]].offset) return "does not come first in its structure";
  }
  *field = Node_tt_;
  if (place[Node_tt_].offset != place[Node_value_].offset + place[TValue_tt_].offset)
    return "does not lie where it lies in a TValue";
  *field = Udata_uv;
  if (place[Udata_uv].offset != layout->userdata_header) return "is not at userdata_header";
  *field = LClosure_upvals;
  if (place[LClosure_upvals].offset != layout->size[SIZE_LClosure])
    return "is not where the header ends";
  *field = CClosure_upvalue;
  if (place[CClosure_upvalue].offset != layout->size[SIZE_CClosure])
    return "is not where the header ends";
  *field = TString_contents;
  if (layout->string_form == STRING_EXTERNAL &&
      (!layout_has(layout, TString_falloc) ||
       place[TString_contents].size != layout->pointer_size ||
       place[TString_contents].offset + layout->pointer_size > place[TString_falloc].offset))
    return "does not fit the form of strings";
  *field = TString_falloc;
  if (layout->string_form == STRING_INLINE && layout_has(layout, TString_falloc))
    return "does not fit the form of strings";
  *field = lua_State_stacksize;
  if (layout->stack_in_slots && !layout_has(layout, lua_State_stacksize)) return MISSING;
  *field = LAYOUT_FIELD_COUNT;
  if (layout->array_form != ARRAY_SPLIT && layout->string_form == STRING_EXTERNAL)
    return "the forms of arrays and strings belong to different versions of Lua";
  if (layout->main_thread_embedded &&
      (layout->size[SIZE_lua_State] > layout->size[SIZE_global_State] ||
       layout_main_thread_offset(layout) + layout->size[SIZE_lua_State] >
           layout->size[SIZE_global_State]))
    return "the main thread lies outside of global_State";
  if (layout->block_extra % layout->pointer_size)
    return "block_extra is no multiple of the pointer size";
  return NULL;
}

const char *layout_check(const struct layout *layout, enum layout_field *field) {
  *field = LAYOUT_FIELD_COUNT;
  if (layout->pointer_size != 4 && layout->pointer_size != 8)
    return "pointer_size is neither 4 nor 8";
  if (!is_known_lua(layout->lua)) return "lua is no version that can be read";
  for (unsigned i = 0; i < LAYOUT_STRUCT_COUNT; i++)
    if (!layout->size[i]) return "the size of a structure is missing";
  for (unsigned i = 0; i < LAYOUT_FIELD_COUNT; i++) {
    *field = (enum layout_field)i;
    const char *fault = check_field(layout, *field);
    if (fault) return fault;
  }
  return check_forms(layout, field);
}
