/* object.h - the kinds of objects and references: the vocabulary that readers and analyses share.
 */
#ifndef BASE_OBJECT_H
#define BASE_OBJECT_H

#include <stdint.h>

enum object_type {
  OBJECT_STRING,
  OBJECT_TABLE,
  OBJECT_LUA_FUNCTION,
  OBJECT_C_FUNCTION,
  OBJECT_USERDATA,
  OBJECT_THREAD,
  OBJECT_UPVALUE,
  OBJECT_PROTOTYPE,
  OBJECT_TYPE_COUNT
};

enum object_flag {
  OBJECT_WEAK_KEYS = 1,
  OBJECT_WEAK_VALUES = 2,
  OBJECT_HAS_FINALIZER = 4, /* will be finalized when it dies (on the VM's finobj list)          */
  OBJECT_PENDING = 8,       /* waits for its finalizer to be called (on the tobefnz list)        */
  OBJECT_FIXED = 16,        /* never collected                                                   */
  OBJECT_DEAD = 32,         /* the VM has found it dead and not freed it yet; its references may
                               have been dropped where they led nowhere                          */
  OBJECT_DAMAGED = 64,      /* could not be read whole: references may be missing                */
};

enum reference_kind {
  REFERENCE_ROOT,  /* not in rows: the start of a chain                          */
  REFERENCE_FIELD, /* table entry with a string key -> value                     */
  REFERENCE_INDEX, /* table entry with a number, boolean or pointer key -> value */
  REFERENCE_KEYED, /* table entry with an object as key -> value                 */
  REFERENCE_KEY,   /* table -> key object (strings too)                          */
  REFERENCE_METATABLE,
  REFERENCE_UPVALUE,       /* Lua function -> upvalue object; C function -> value        */
  REFERENCE_UPVALUE_VALUE, /* upvalue object -> its value                                */
  REFERENCE_ENVIRONMENT,
  REFERENCE_STACK,        /* thread -> value in a stack slot (label: local, argument, slot)  */
  REFERENCE_MAYBE_STACK,  /* the same above the top of a running Lua function: may be stale  */
  REFERENCE_OPEN_UPVALUE, /* thread -> its open upvalues                                */
  REFERENCE_USER_VALUE,
  REFERENCE_CONSTANT,  /* prototype -> constant                                      */
  REFERENCE_PROTOTYPE, /* function or prototype -> prototype                         */
  REFERENCE_DEBUG,     /* prototype -> source, variable and upvalue names            */
  REFERENCE_LEFTOVER,  /* table weak both ways -> string key of an entry that is empty   */
  REFERENCE_KIND_COUNT
};

#define ALL_KINDS ((UINT32_C(1) << REFERENCE_KIND_COUNT) - 1)

#endif
