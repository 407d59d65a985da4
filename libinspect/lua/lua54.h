/* lua54.h - the objects of Lua 5.4 and 5.5: loaded once with all checks, then read without any.
 *
 * A load function checks one kind of object against bounds and types and returns NULL, or a static
 * text that says what is wrong (a fault, to be reported). After a load that returned NULL the
 * accessors of that object cannot fail. lua54_visit enumerates references (visit.h: so does the
 * walk that builds the graph); labels are found by running it again. */
#ifndef LUA_LUA54_H
#define LUA_LUA54_H

#include "base/object.h"
#include "lua/vm.h"

/* lobject.h: type tags with variant bits; bit 6 marks a collectable value. */
enum lua54_tag {
  TAG_NIL = 0x00,
  TAG_FALSE = 0x01,
  TAG_LIGHT_USERDATA = 0x02,
  TAG_INTEGER = 0x03,
  TAG_SHORT_STRING = 0x04,
  TAG_TABLE = 0x05,
  TAG_LUA_FUNCTION = 0x06,
  TAG_USERDATA = 0x07,
  TAG_THREAD = 0x08,
  TAG_UPVALUE = 0x09,
  TAG_PROTOTYPE = 0x0A,
  TAG_TRUE = 0x11,
  TAG_FLOAT = 0x13,
  TAG_LONG_STRING = 0x14,
  TAG_LIGHT_FUNCTION = 0x16,
  TAG_C_FUNCTION = 0x26,
  TAG_COLLECTABLE = 0x40,
  TAG_ANY = 0xFF,        /* not known: a `next` pointer      */
  TAG_ANY_STRING = 0xFE, /* short or long                    */
};

/* A Lua value as it lies in the target. */
struct lua_value {
  uint8_t tag;   /* enum lua54_tag | TAG_COLLECTABLE        */
  uint64_t bits; /* pointer, integer or the bits of a float */
};

static inline bool value_is_empty(struct lua_value value) { return (value.tag & 0x0F) == 0; }
static inline bool value_is_object(struct lua_value value) { return value.tag & TAG_COLLECTABLE; }
static inline bool value_is_string(struct lua_value value) { return (value.tag & 0x0F) == 4; }
/* What a tag in a table, stack or upvalue says of the value there. */
enum value_class {
  VALUE_ABSURD, /* no value that Lua could have put there */
  VALUE_PLAIN,  /* refers to no object                    */
  VALUE_OBJECT,
};
extern const uint8_t lua54_value_classes[256]; /* enum value_class, by tag */
static inline enum value_class value_class(uint8_t tag) { return lua54_value_classes[tag]; }
static inline bool value_is_sound(struct lua_value value) {
  return value_class(value.tag) != VALUE_ABSURD;
}
double value_number(const struct vm *vm, struct lua_value value);   /* of TAG_FLOAT */
int64_t value_integer(const struct vm *vm, struct lua_value value); /* of TAG_INTEGER */

/* The value in a TValue at `bytes`. */
struct lua_value value_load(const struct layout *layout, const uint8_t *bytes);

/* ---- Tables ---------------------------------------------------------------------------------- */

struct lua_table {
  uint64_t address, metatable; /* metatable 0: none                             */
  uint64_t array_size;         /* values, nils included                         */
  const uint8_t *array;        /* NULL: none, or not readable (array_fault)     */
  uint64_t node_count;         /* 0: the dummy node                             */
  const uint8_t *nodes;        /* in the host; of a table that was being resized, a copy */
  uint64_t array_place;        /* what the array pointer says                   */
  uint64_t node_place;         /* what the node pointer says                    */
  uint64_t bytes;              /* as the VM counts them, by what its header says */
  const char *fault;           /* what is missing of it, or NULL                */
  uint64_t fault_address;
};

/* NULL unless even the header cannot be read; parts that cannot be read are empty, see fault. */
const char *table_load(struct vm *vm, uint64_t address, struct lua_table *table);

/* Bytes of an array part, of a hash part with `count` nodes. */
uint64_t table_array_bytes(const struct layout *layout, uint64_t size);
uint64_t table_hash_bytes(const struct layout *layout, uint64_t count);

/* The block that a table's header says its hash part is: where it begins, and its size. False: it
 * has none, or is no table. */
bool table_hash_block(struct vm *vm, uint64_t address, uint64_t *place, uint64_t *bytes);

/* An array part at the pointer `array`, as struct lua_table holds it; NULL if it cannot be read. */
const uint8_t *table_array_view(struct vm *vm, uint64_t array, uint64_t size);

/* Value number `index` (from 0) of the array part. */
struct lua_value table_array_value(const struct vm *vm, const struct lua_table *table,
                                   uint64_t index);

/* Entry `index` of the hash part; empty value: no entry. */
void table_entry(const struct vm *vm, const struct lua_table *table, uint64_t index,
                 struct lua_value *key, struct lua_value *value);

/* Finds a string key (linear in the hash part). False if there is none. */
bool table_find(struct vm *vm, const struct lua_table *table, const char *name, size_t size,
                struct lua_value *value);

/* Finds an integer key, in the array part or the hash part (linear). */
bool table_find_integer(struct vm *vm, const struct lua_table *table, int64_t key,
                        struct lua_value *value);

/* ---- Strings --------------------------------------------------------------------------------- */

/* The bytes of a string object; NULL if they cannot be read. Raw, valid as long as the source; of a
 * VM with a redaction what stands for them. */
const char *string_bytes(struct vm *vm, uint64_t address, size_t *size);

/* The same without regard to a redaction: not to be shown. */
const char *string_contents(struct vm *vm, uint64_t address, size_t *size);

/* Length, place of the bytes and counted size of the string whose header is at `header`. */
void string_measure(const struct layout *layout, const uint8_t *header, uint64_t address,
                    uint64_t *length, uint64_t *contents, uint64_t *counted);

bool string_equals(struct vm *vm, uint64_t address, const char *text, size_t size);

/* ---- The enumeration ------------------------------------------------------------------------- */

/* A reference as it is met: where it leads and where it was found. */
struct raw_reference {
  uint64_t address;
  uint64_t detail; /* INDEX: array index from 1, or entry of the hash part if `in_hash`; UPVALUE,
                      USER_VALUE, CONSTANT: number from 1; STACK: slot from 0              */
  uint8_t kind;    /* enum reference_kind                                                  */
  uint8_t tag;     /* what the object should be: enum lua54_tag without TAG_COLLECTABLE    */
  bool in_hash;
  bool trusted; /* leads to an object; otherwise only if that is known from elsewhere   */
};

struct raw_references VECTOR(struct raw_reference);

struct visit {
  uint8_t type;       /* enum object_type                                    */
  uint8_t flags;      /* enum object_flag, but FINALIZER, PENDING, FIXED     */
  bool finalizer_bit; /* marked for finalization: on finobj or tobefnz       */
  uint64_t bytes;     /* as the VM counts them                               */
  uint64_t next;      /* the next object of the VM's list                    */
  struct raw_references references;
  const char *fault; /* what could not be read, or NULL                     */
  uint64_t fault_address;
  uint64_t absurd; /* places that hold no value Lua could have put there  */
  bool is_moving;  /* a thread whose stack, or an upvalue whose place was being moved */
};

/* Visits one object: header, size, references. `tag` is what the reference said it is. On a fault
 * the visit holds what could be read and OBJECT_DAMAGED; false means that it is no object at all.
 * visit->references is overwritten and keeps its memory between calls; false with visit->failed
 * never happens: out of memory is reported through `no_memory`. */
bool lua54_visit(struct vm *vm, uint64_t address, uint8_t tag, struct visit *visit,
                 bool *no_memory);

/* Whether a reference of an object of the type `holder` is what was left in memory that was just
 * being filled: it leads to an object of another kind than it should, and never was a reference. */
bool lua54_is_leftover(struct vm *vm, uint8_t holder, enum reference_kind kind, uint64_t address,
                       uint8_t tag);

/* Touches what lua54_visit will read first, `bytes` being the object's header (already cached). */
void lua54_prefetch(struct vm *vm, const uint8_t *bytes);

/* The type for a tag, with or without TAG_COLLECTABLE; OBJECT_TYPE_COUNT if it is none. */
extern const uint8_t lua54_types[128]; /* xor OBJECT_TYPE_COUNT, so that 0 is none */
static inline enum object_type lua54_type(uint8_t tag) {
  return tag < sizeof lua54_types ? (enum object_type)(lua54_types[tag] ^ OBJECT_TYPE_COUNT)
                                  : OBJECT_TYPE_COUNT;
}

#endif
