/* function.h - closures, upvalues, prototypes and userdata, loaded with all checks.
 *
 * As everywhere in lua/: a load returns NULL or a fault, and what was loaded can be read without
 * further checks. */
#ifndef LUA_FUNCTION_H
#define LUA_FUNCTION_H

#include "lua/lua54.h"

struct lua_function {
  uint64_t address;
  bool is_lua;
  uint64_t prototype; /* of a Lua function             */
  uint64_t code;      /* of a C function               */
  uint64_t upvalue_count;
  const uint8_t *upvalues; /* pointers to upvalue objects, or values */
};

const char *function_load(struct vm *vm, uint64_t address, struct lua_function *function);

/* Where the code of a C function begins, with or without upvalues; 0 if it is none or cannot be
 * read. */
uint64_t c_function_code(struct vm *vm, struct lua_value value);

/* The value of upvalue `index` (from 0); false if it cannot be read. */
bool function_upvalue(struct vm *vm, const struct lua_function *function, uint64_t index,
                      struct lua_value *value);

struct lua_upvalue {
  bool is_open; /* its value is in a slot of a stack */
  struct lua_value value;
};

const char *upvalue_load(struct vm *vm, uint64_t address, struct lua_upvalue *upvalue);

struct lua_prototype {
  const uint8_t *bytes; /* for prototype.h                                      */
  uint64_t address, source;
  uint32_t parameters, first_line, last_line; /* lines 0: a main chunk          */
  bool is_vararg;
  uint64_t constants, instructions, upvalues, prototypes;
};

const char *prototype_load(struct vm *vm, uint64_t address, struct lua_prototype *prototype);

/* Constant `index` (from 0); false if it cannot be read. */
bool prototype_constant(struct vm *vm, const struct lua_prototype *prototype, uint64_t index,
                        struct lua_value *value);

struct lua_userdata {
  uint64_t address, metatable, size; /* size of the block that the program uses */
  uint64_t user_value_count;
  const uint8_t *user_values;
};

const char *userdata_load(struct vm *vm, uint64_t address, struct lua_userdata *userdata);

/* User value `index` (from 0), which must be below user_value_count. */
struct lua_value userdata_value(const struct vm *vm, const struct lua_userdata *userdata,
                                uint64_t index);

/* The value that an object is: its address with the tag in its header. False if there is none. */
bool value_of_object(struct vm *vm, uint64_t address, struct lua_value *value);

#endif
