/* layout.h - what bytes mean: where each field of Lua's structures lies in one build on one ABI.
 *
 * A layout is data. Rows for known builds are in canned.c; code asks for a field by name and never
 * for a version. What offsets cannot express (how a table knows the size of its array, where 5.5
 * keeps type tags) are traits, also data, one enum per question.
 *
 * Sources of the facts: lobject.h, lstate.h, ltable.h of each release; checked against real builds.
 */
#ifndef LAYOUT_LAYOUT_H
#define LAYOUT_LAYOUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* FIELD(struct, field): as the Lua sources name them, newest name first. */
/* clang-format off */
#define LAYOUT_FIELDS(FIELD)                                                                       \
  FIELD(GCObject, next) FIELD(GCObject, tt) FIELD(GCObject, marked)                                \
  FIELD(TValue, value_) FIELD(TValue, tt_)                                                         \
  FIELD(lua_State, status) FIELD(lua_State, top) FIELD(lua_State, l_G) FIELD(lua_State, ci)        \
  FIELD(lua_State, stack_last) FIELD(lua_State, stack) FIELD(lua_State, openupval)                 \
  FIELD(lua_State, tbclist) FIELD(lua_State, errorJmp) FIELD(lua_State, base_ci)                   \
  FIELD(lua_State, nCcalls) FIELD(lua_State, nci) FIELD(lua_State, stacksize)                      \
  FIELD(lua_State, allowhook) FIELD(lua_State, hook) FIELD(lua_State, hookmask)                    \
  FIELD(lua_State, twups) FIELD(lua_State, gclist) FIELD(lua_State, oldpc)                         \
  FIELD(CallInfo, func) FIELD(CallInfo, top) FIELD(CallInfo, previous) FIELD(CallInfo, next)       \
  FIELD(CallInfo, savedpc) FIELD(CallInfo, nextraargs) FIELD(CallInfo, callstatus)                 \
  FIELD(global_State, frealloc) FIELD(global_State, totalbytes) FIELD(global_State, GCdebt)        \
  FIELD(global_State, strt) FIELD(global_State, l_registry) FIELD(global_State, nilvalue)          \
  FIELD(global_State, currentwhite) FIELD(global_State, gcstate) FIELD(global_State, gckind)       \
  FIELD(global_State, gcstopem) FIELD(global_State, gcstp) FIELD(global_State, gcemergency)        \
  FIELD(global_State, allgc) FIELD(global_State, finobj) FIELD(global_State, tobefnz)              \
  FIELD(global_State, fixedgc) FIELD(global_State, mainthread) FIELD(global_State, memerrmsg)      \
  FIELD(global_State, tmname) FIELD(global_State, mt) FIELD(global_State, seed)                    \
  FIELD(global_State, GCestimate) FIELD(global_State, lastatomic) FIELD(global_State, gcpause)     \
  FIELD(global_State, gcstepmul) FIELD(global_State, gcstepsize) FIELD(global_State, genminormul)  \
  FIELD(global_State, genmajormul) FIELD(global_State, gcparams) FIELD(global_State, GCmarked)     \
  FIELD(global_State, GCmajorminor) FIELD(global_State, sweepgc) FIELD(global_State, survival)     \
  FIELD(global_State, old1) FIELD(global_State, reallyold) FIELD(global_State, firstold1)          \
  FIELD(global_State, finobjsur) FIELD(global_State, finobjold1) FIELD(global_State, finobjrold)   \
  FIELD(global_State, gray) FIELD(global_State, grayagain) FIELD(global_State, weak)               \
  FIELD(global_State, ephemeron) FIELD(global_State, allweak) FIELD(global_State, twups)           \
  FIELD(stringtable, hash) FIELD(stringtable, nuse) FIELD(stringtable, size)                       \
  FIELD(Table, flags) FIELD(Table, lsizenode) FIELD(Table, alimit) FIELD(Table, array)             \
  FIELD(Table, node) FIELD(Table, lastfree) FIELD(Table, metatable) FIELD(Table, gclist)           \
  FIELD(Node, value_) FIELD(Node, tt_) FIELD(Node, key_tt) FIELD(Node, next) FIELD(Node, key_val)  \
  FIELD(TString, extra) FIELD(TString, shrlen) FIELD(TString, hash) FIELD(TString, lnglen)         \
  FIELD(TString, contents) FIELD(TString, falloc) FIELD(TString, hnext)                            \
  FIELD(Udata, nuvalue) FIELD(Udata, len) FIELD(Udata, metatable) FIELD(Udata, gclist)             \
  FIELD(Udata, uv)                                                                                 \
  FIELD(LClosure, nupvalues) FIELD(LClosure, gclist) FIELD(LClosure, p) FIELD(LClosure, upvals)    \
  FIELD(CClosure, nupvalues) FIELD(CClosure, gclist) FIELD(CClosure, f) FIELD(CClosure, upvalue)   \
  FIELD(UpVal, v) FIELD(UpVal, value) FIELD(UpVal, open_next) FIELD(UpVal, previous)               \
  FIELD(Proto, numparams) FIELD(Proto, is_vararg) FIELD(Proto, maxstacksize)                       \
  FIELD(Proto, sizeupvalues) FIELD(Proto, sizek) FIELD(Proto, sizecode)                            \
  FIELD(Proto, sizelineinfo) FIELD(Proto, sizep) FIELD(Proto, sizelocvars)                         \
  FIELD(Proto, sizeabslineinfo) FIELD(Proto, linedefined) FIELD(Proto, lastlinedefined)            \
  FIELD(Proto, k) FIELD(Proto, code) FIELD(Proto, p) FIELD(Proto, upvalues)                        \
  FIELD(Proto, lineinfo) FIELD(Proto, abslineinfo) FIELD(Proto, locvars) FIELD(Proto, source)      \
  FIELD(Proto, gclist)                                                                             \
  FIELD(Upvaldesc, name) FIELD(Upvaldesc, instack) FIELD(Upvaldesc, idx)                           \
  FIELD(LocVar, varname) FIELD(LocVar, startpc) FIELD(LocVar, endpc)                               \
  FIELD(AbsLineInfo, pc) FIELD(AbsLineInfo, line)

#define LAYOUT_STRUCTS(STRUCT)                                                                     \
  STRUCT(TValue) STRUCT(lua_State) STRUCT(global_State) STRUCT(CallInfo) STRUCT(Table)             \
  STRUCT(Node) STRUCT(LClosure) STRUCT(CClosure) STRUCT(UpVal) STRUCT(Proto)                       \
  STRUCT(TString) STRUCT(Upvaldesc) STRUCT(LocVar) STRUCT(AbsLineInfo)

enum layout_field {
#define FIELD(structure, field) structure##_##field,
  LAYOUT_FIELDS(FIELD)
#undef FIELD
  LAYOUT_FIELD_COUNT
};

enum layout_struct {
#define STRUCT(name) SIZE_##name,
  LAYOUT_STRUCTS(STRUCT)
#undef STRUCT
  LAYOUT_STRUCT_COUNT
};
/* clang-format on */

struct layout_place {
  uint16_t offset;
  uint8_t size; /* 0: this build has no such field; 255: a larger aggregate */
};

/* How a table's array part is laid out and sized. */
enum array_form {
  ARRAY_ALIMIT_MARKED, /* 5.4.0: alimit, real size unless bit 7 of `marked`          */
  ARRAY_ALIMIT_FLAGS,  /* 5.4.1 ...: alimit, real size unless bit 7 of `flags`       */
  ARRAY_SPLIT,         /* 5.5: asize; values below the pointer, tags above it        */
};

/* How strings keep their length and bytes. */
enum string_form {
  STRING_INLINE,   /* 5.4: bytes behind the header, long or short                    */
  STRING_EXTERNAL, /* 5.5: shrlen signed; long strings hold a pointer                */
};

/* What global_State.gcstp says: 5.4.0 to 5.4.3 have a flag there that is set while the collector
 * runs (gcrunning), later releases bits for who has stopped it. */
enum stop_form {
  STOP_UNKNOWN, /* 5.4.3 and 5.4.4 share a layout: graph/evidence.h tells them apart */
  STOP_RUNNING, /* a flag                                                            */
  STOP_BITS,    /* lgc.h: GCSTPUSR, GCSTPGC, GCSTPCLS                                */
};

/* Where an integer belongs in the hash part of a table. */
enum integer_hash {
  INTEGER_HASH_UNKNOWN, /* 5.4.3 and 5.4.4 share a layout                        */
  INTEGER_HASH_POWER,   /* its low bits (up to 5.4.3)                            */
  INTEGER_HASH_MODULO,  /* the remainder by an odd number (5.4.4 and later)      */
};

/* Where a layout comes from. Of several that fit a VM, FILE is taken before DWARF, DWARF before
 * CANNED, CANNED before PROBED. */
enum layout_provenance {
  LAYOUT_CANNED, /* a row of canned.c                                                    */
  LAYOUT_PROBED, /* canned, and adapted to what the target shows (LUA_EXTRASPACE)        */
  LAYOUT_DWARF,  /* the debug info of the program in the target: overrides canned ones   */
  LAYOUT_FILE,   /* given by the user: overrides all                                     */
};

struct layout {
  const char *name; /* "5.4.3 .. 5.4.9"; else the file it comes from, escaped */
  const char *lua;  /* "5.4": what _VERSION says      */
  enum layout_provenance provenance;
  const char *note; /* what was adapted, and on what evidence; or NULL */
  uint8_t pointer_size;
  bool big_endian;
  enum array_form array_form;
  enum string_form string_form;
  enum stop_form stop_form;
  enum integer_hash integer_hash;
  bool long_hash_skips;        /* 5.4.0, 5.4.1: the hash of a long string leaves bytes out */
  bool main_thread_embedded;   /* 5.5: the main lua_State lies inside global_State         */
  bool debt_is_subtracted;     /* bytes in use: totalbytes - GCdebt (5.5) or + GCdebt      */
  bool stack_in_slots;         /* 5.4.0, 5.4.1 have stacksize (counts EXTRA_STACK)         */
  uint8_t main_thread_index;   /* of the main thread in the registry                       */
  uint8_t globals_index;       /* of _G in the registry                                    */
  uint16_t c_call_bit;         /* callstatus: set when the call runs a C function          */
  uint8_t userdata_header;     /* bytes before user values; without any, before the payload: */
  uint8_t userdata_bare;       /* ... this                                                 */
  uint16_t block_extra;        /* bytes of the state block before lua_State (LUA_EXTRASPACE) */
  uint16_t main_thread_offset; /* of the embedded lua_State in global_State; 0: at its end */
  struct layout_place place[LAYOUT_FIELD_COUNT];
  uint16_t size[LAYOUT_STRUCT_COUNT];
};

/* Known layouts, NULL past the last. Static. */
const struct layout *layout_canned(size_t index);
const struct layout *layout_canned_armhf(size_t index); /* those of them in canned_armhf.c */

/* "lua_State.l_G", for messages and checks. */
const char *layout_field_name(enum layout_field field);

/* "lua_State" */
const char *layout_struct_name(enum layout_struct structure);

/* "canned", "probed" or "dwarf": the words of the JSON contract, which calls what a user gives
 * probed, too. */
const char *layout_provenance_name(enum layout_provenance provenance);

/* Whether two layouts say the same of every field, size and trait. */
bool layout_equal(const struct layout *a, const struct layout *b);

/* Where the embedded main thread lies in global_State. */
static inline uint64_t layout_main_thread_offset(const struct layout *layout) {
  return layout->main_thread_offset
             ? layout->main_thread_offset
             : (uint64_t)layout->size[SIZE_global_State] - layout->size[SIZE_lua_State];
}

/* Where numbers of eight bytes may begin: at multiples of this. i386 differs. */
static inline uint64_t layout_wide_alignment(const struct layout *layout) {
  return layout->size[SIZE_TValue] % 8 ? 4 : 8;
}

/* From the main thread to the global_State behind it in one block, where the one is not inside the
 * other (struct LG of lstate.c). */
static inline uint64_t layout_state_distance(const struct layout *layout) {
  uint64_t end = (uint64_t)layout->block_extra + layout->size[SIZE_lua_State];
  uint64_t alignment = layout_wide_alignment(layout);
  return (end + alignment - 1) / alignment * alignment - layout->block_extra;
}

/* ---- Loads from bytes of the target ---------------------------------------------------------- */

static inline uint64_t load_unsigned(const struct layout *layout, const uint8_t *bytes,
                                     unsigned size) {
  uint64_t value = 0;
  if (layout->big_endian) {
    for (unsigned i = 0; i < size; i++)
      value = value << 8 | bytes[i];
    return value;
  }
  switch (size) {
  case 1:
    return bytes[0];
  case 2: {
    uint16_t half;
    memcpy(&half, bytes, 2);
    return half;
  }
  case 4: {
    uint32_t word;
    memcpy(&word, bytes, 4);
    return word;
  }
  case 8:
    memcpy(&value, bytes, 8);
    return value;
  default:
    return 0;
  }
}

static inline uint64_t load_pointer(const struct layout *layout, const uint8_t *bytes) {
  return load_unsigned(layout, bytes, layout->pointer_size);
}

/* A field of the structure at `bytes`, zero-extended; 0 if this build has no such field. */
static inline uint64_t load_field(const struct layout *layout, const uint8_t *bytes,
                                  enum layout_field field) {
  struct layout_place place = layout->place[field];
  return load_unsigned(layout, bytes + place.offset, place.size);
}

/* The same sign-extended. */
static inline int64_t load_signed(const struct layout *layout, const uint8_t *bytes,
                                  enum layout_field field) {
  struct layout_place place = layout->place[field];
  unsigned shift = 64 - 8u * (place.size && place.size <= 8 ? place.size : 8);
  return (int64_t)(load_unsigned(layout, bytes + place.offset, place.size) << shift) >> shift;
}

static inline bool layout_has(const struct layout *layout, enum layout_field field) {
  return layout->place[field].size != 0;
}

#endif
