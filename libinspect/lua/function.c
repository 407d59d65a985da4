/* function.c - closures, upvalues, prototypes and userdata, loaded with all checks.
 *
 * Invariant: a count is believed only after the memory that it speaks of was viewed as a whole. */
#include "lua/function.h"

#include "lua/stack.h"

static const uint8_t *view_object(struct vm *vm, uint64_t address, uint64_t size, uint8_t tag) {
  const struct layout *layout = vm->layout;
  uint64_t least = 2 * (uint64_t)layout->pointer_size;
  const uint8_t *bytes = memory_view(&vm->memory, address, size > least ? size : least);
  return bytes && load_field(layout, bytes, GCObject_tt) == tag ? bytes : NULL;
}

/* ---- Functions ------------------------------------------------------------------------------- */

static const char *load_lua(struct vm *vm, struct lua_function *function) {
  const struct layout *layout = vm->layout;
  uint64_t first = layout->place[LClosure_upvals].offset;
  const uint8_t *bytes = view_object(vm, function->address, first, TAG_LUA_FUNCTION);
  if (!bytes) return "function is not in the dump";
  uint64_t count = load_field(layout, bytes, LClosure_nupvalues);
  bytes = memory_view(&vm->memory, function->address, first + count * layout->pointer_size);
  if (!bytes) return "upvalues of a function are not in the dump";
  function->is_lua = true;
  function->prototype = load_field(layout, bytes, LClosure_p);
  function->upvalue_count = count;
  function->upvalues = bytes + first;
  return NULL;
}

static const char *load_c(struct vm *vm, struct lua_function *function) {
  const struct layout *layout = vm->layout;
  uint64_t first = layout->place[CClosure_upvalue].offset;
  const uint8_t *bytes = view_object(vm, function->address, first, TAG_C_FUNCTION);
  if (!bytes) return "object is no function";
  uint64_t count = load_field(layout, bytes, CClosure_nupvalues);
  bytes = memory_view(&vm->memory, function->address, first + count * layout->size[SIZE_TValue]);
  if (!bytes) return "upvalues of a function are not in the dump";
  function->code = load_field(layout, bytes, CClosure_f);
  function->upvalue_count = count;
  function->upvalues = bytes + first;
  return NULL;
}

const char *function_load(struct vm *vm, uint64_t address, struct lua_function *function) {
  *function = (struct lua_function){.address = address};
  return load_lua(vm, function) ? load_c(vm, function) : NULL;
}

uint64_t c_function_code(struct vm *vm, struct lua_value value) {
  const struct layout *layout = vm->layout;
  if (value.tag == TAG_LIGHT_FUNCTION) return value.bits;
  if (value.tag != (TAG_C_FUNCTION | TAG_COLLECTABLE)) return 0;
  const uint8_t *closure =
      memory_view(&vm->memory, value.bits, layout->place[CClosure_upvalue].offset);
  return closure ? load_field(layout, closure, CClosure_f) : 0;
}

bool function_upvalue(struct vm *vm, const struct lua_function *function, uint64_t index,
                      struct lua_value *value) {
  const struct layout *layout = vm->layout;
  if (index >= function->upvalue_count) return false;
  if (!function->is_lua) {
    *value = value_load(layout, function->upvalues + index * layout->size[SIZE_TValue]);
    return true;
  }
  struct lua_upvalue upvalue;
  uint64_t address = load_pointer(layout, function->upvalues + index * layout->pointer_size);
  if (upvalue_load(vm, address, &upvalue)) return false;
  *value = upvalue.value;
  return true;
}

const char *upvalue_load(struct vm *vm, uint64_t address, struct lua_upvalue *upvalue) {
  const struct layout *layout = vm->layout;
  *upvalue = (struct lua_upvalue){0};
  const uint8_t *bytes = view_object(vm, address, layout->size[SIZE_UpVal], TAG_UPVALUE);
  if (!bytes) return "upvalue is not in the dump";
  uint64_t place = load_field(layout, bytes, UpVal_v);
  if (stack_is_offset(layout, place)) /* its stack was being moved */
    place = vm->torn.thread ? vm->torn.stack + place : 0;
  upvalue->is_open = place != address + layout->place[UpVal_value].offset;
  const uint8_t *value = place ? memory_view(&vm->memory, place, layout->size[SIZE_TValue]) : NULL;
  if (!value) return "value of an upvalue cannot be read";
  upvalue->value = value_load(layout, value);
  return NULL;
}

/* ---- Prototypes ------------------------------------------------------------------------------ */

const char *prototype_load(struct vm *vm, uint64_t address, struct lua_prototype *prototype) {
  enum { VARARG = 3 }; /* 5.4: a boolean; 5.5: two bits of a flag (lobject.h) */
  const struct layout *layout = vm->layout;
  *prototype = (struct lua_prototype){.address = address};
  const uint8_t *bytes = view_object(vm, address, layout->size[SIZE_Proto], TAG_PROTOTYPE);
  if (!bytes) return "prototype is not in the dump";
  prototype->bytes = bytes;
  prototype->source = load_field(layout, bytes, Proto_source);
  prototype->parameters = (uint32_t)load_field(layout, bytes, Proto_numparams);
  prototype->is_vararg = (load_field(layout, bytes, Proto_is_vararg) & VARARG) != 0;
  prototype->first_line = (uint32_t)load_field(layout, bytes, Proto_linedefined);
  prototype->last_line = (uint32_t)load_field(layout, bytes, Proto_lastlinedefined);
  prototype->constants = load_field(layout, bytes, Proto_sizek);
  prototype->instructions = load_field(layout, bytes, Proto_sizecode);
  prototype->upvalues = load_field(layout, bytes, Proto_sizeupvalues);
  prototype->prototypes = load_field(layout, bytes, Proto_sizep);
  return NULL;
}

bool prototype_constant(struct vm *vm, const struct lua_prototype *prototype, uint64_t index,
                        struct lua_value *value) {
  uint64_t size = vm->layout->size[SIZE_TValue];
  if (index >= prototype->constants) return false;
  uint64_t constants = load_field(vm->layout, prototype->bytes, Proto_k);
  const uint8_t *bytes = memory_view(&vm->memory, constants + index * size, size);
  if (bytes) *value = value_load(vm->layout, bytes);
  return bytes != NULL;
}

/* ---- Userdata -------------------------------------------------------------------------------- */

const char *userdata_load(struct vm *vm, uint64_t address, struct lua_userdata *userdata) {
  const struct layout *layout = vm->layout;
  *userdata = (struct lua_userdata){.address = address};
  const uint8_t *bytes = view_object(vm, address, layout->userdata_bare, TAG_USERDATA);
  if (!bytes) return "userdata is not in the dump";
  uint64_t count = load_field(layout, bytes, Udata_nuvalue);
  userdata->metatable = load_field(layout, bytes, Udata_metatable);
  userdata->size = load_field(layout, bytes, Udata_len);
  if (!count) return NULL;
  uint64_t size = layout->userdata_header + count * layout->size[SIZE_TValue];
  bytes = memory_view(&vm->memory, address, size);
  if (!bytes) return "user values are not in the dump";
  userdata->user_value_count = count;
  userdata->user_values = bytes + layout->userdata_header;
  return NULL;
}

struct lua_value userdata_value(const struct vm *vm, const struct lua_userdata *userdata,
                                uint64_t index) {
  return value_load(vm->layout, userdata->user_values + index * vm->layout->size[SIZE_TValue]);
}

bool value_of_object(struct vm *vm, uint64_t address, struct lua_value *value) {
  const uint8_t *bytes = memory_view(&vm->memory, address, 2 * (uint64_t)vm->layout->pointer_size);
  if (!bytes) return false;
  value->tag = (uint8_t)(load_field(vm->layout, bytes, GCObject_tt) | TAG_COLLECTABLE);
  value->bits = address;
  return lua54_type(value->tag) != OBJECT_TYPE_COUNT;
}
