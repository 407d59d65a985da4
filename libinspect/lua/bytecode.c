/* bytecode.c - finds the name of a called function by going back to the instruction that loaded it.
 *
 * This is the symbolic execution of ldebug.c, release by release, made of loops: the last
 * instruction before the call that sets the register is found by one pass over the code; a MOVE
 * leads to a lower register set by an earlier instruction, so that at most 255 passes are made.
 *
 * Sources: lopcodes.h, lopcodes.c, ldebug.c and ltm.h of each release. */
#include "lua/bytecode.h"

#include "lua/operations.h"
#include "lua/prototype.h"

/* ---- Code ------------------------------------------------------------------------------------ */

enum { INSTRUCTION = 4, OFFSET_SJ = ((1 << 25) - 1) >> 1 };

#define NO_PC UINT64_MAX

struct code {
  struct vm *vm;
  const struct bytecode_family *family;
  const uint8_t *prototype;
  const uint8_t *instructions, *constants, *upvalues;
  uint64_t length, constant_count, upvalue_count;
  uint64_t budget; /* instructions that may still be looked at */
};

/* An array of the prototype, NULL if there is none or it cannot be read. */
static const uint8_t *view_array(struct vm *vm, const uint8_t *prototype, enum layout_field place,
                                 uint64_t count, uint64_t stride) {
  return memory_view(&vm->memory, load_field(vm->layout, prototype, place), count * stride);
}

static bool code_load(struct vm *vm, const struct bytecode_family *family, const uint8_t *prototype,
                      struct code *code) {
  enum { MOST_LOOKED_AT = 1 << 24 };
  const struct layout *layout = vm->layout;
  *code =
      (struct code){.vm = vm, .family = family, .prototype = prototype, .budget = MOST_LOOKED_AT};
  code->length = load_field(layout, prototype, Proto_sizecode);
  code->instructions = view_array(vm, prototype, Proto_code, code->length, INSTRUCTION);
  code->constant_count = load_field(layout, prototype, Proto_sizek);
  code->constants =
      view_array(vm, prototype, Proto_k, code->constant_count, layout->size[SIZE_TValue]);
  code->upvalue_count = load_field(layout, prototype, Proto_sizeupvalues);
  code->upvalues =
      view_array(vm, prototype, Proto_upvalues, code->upvalue_count, layout->size[SIZE_Upvaldesc]);
  if (!code->constants) code->constant_count = 0;
  if (!code->upvalues) code->upvalue_count = 0;
  return code->instructions != NULL;
}

static uint32_t instruction_at(const struct code *code, uint64_t pc) {
  return (uint32_t)load_unsigned(code->vm->layout, code->instructions + pc * INSTRUCTION,
                                 INSTRUCTION);
}

static const struct operation *operation_of(const struct code *code, uint32_t instruction) {
  static const struct operation UNKNOWN = {SETS_NOTHING, FROM_NOWHERE, CALLS_NOTHING};
  unsigned number = instruction & 0x7F;
  return number < code->family->operation_count ? &code->family->operations[number] : &UNKNOWN;
}

static unsigned arg_a(uint32_t instruction) { return instruction >> 7 & 0xFF; }
static unsigned arg_b(uint32_t instruction) { return instruction >> 16 & 0xFF; }
static unsigned arg_c(uint32_t instruction) { return instruction >> 24; }
static bool arg_k(uint32_t instruction) { return instruction >> 15 & 1; }

/* ---- Names of constants, upvalues and registers ---------------------------------------------- */

static void set_name(struct code_name *name, const char *what, const char *text) {
  *name = (struct code_name){.what = what, .name = text, .size = strlen(text)};
}

/* kname: a string constant, else "?". */
static bool constant_name(const struct code *code, uint64_t index, struct code_name *name) {
  set_name(name, NULL, "?");
  if (index >= code->constant_count) return false;
  const struct layout *layout = code->vm->layout;
  struct lua_value value = value_load(layout, code->constants + index * layout->size[SIZE_TValue]);
  size_t size;
  const char *bytes = value_is_object(value) && value_is_string(value)
                          ? string_bytes(code->vm, value.bits, &size)
                          : NULL;
  if (!bytes) return false;
  *name = (struct code_name){.what = "constant", .name = bytes, .size = size};
  return true;
}

static void upvalue_name(const struct code *code, uint64_t index, struct code_name *name) {
  set_name(name, "upvalue", "?");
  if (index >= code->upvalue_count) return;
  const struct layout *layout = code->vm->layout;
  const uint8_t *description = code->upvalues + index * layout->size[SIZE_Upvaldesc];
  size_t size;
  const char *bytes =
      string_bytes(code->vm, load_field(layout, description, Upvaldesc_name), &size);
  if (bytes) *name = (struct code_name){.what = "upvalue", .name = bytes, .size = size};
}

static bool sets(const struct operation *operation, uint32_t instruction, unsigned reg) {
  unsigned a = arg_a(instruction);
  switch (operation->effect) {
  case SETS_A:
    return reg == a;
  case SETS_RANGE:
    return a <= reg && reg <= a + arg_b(instruction);
  case SETS_FROM:
    return reg >= a;
  case SETS_LOOP:
    return reg >= a + 2;
  default:
    return false;
  }
}

/* findsetreg: the last instruction before `last` that sets the register; NO_PC if there is none, or
 * it may have been jumped over. */
static uint64_t find_setter(struct code *code, uint64_t last, unsigned reg) {
  uint64_t setter = NO_PC, target = 0; /* what lies before the target is conditional */
  if (last > code->budget) return NO_PC;
  code->budget -= last;
  for (uint64_t pc = 0; pc < last; pc++) {
    uint32_t instruction = instruction_at(code, pc);
    const struct operation *operation = operation_of(code, instruction);
    if (operation->effect == SETS_BY_CHANCE) {
      int64_t to = (int64_t)pc + 1 + (int64_t)(instruction >> 7) - OFFSET_SJ;
      if (to > (int64_t)target && to <= (int64_t)last) target = (uint64_t)to;
    } else if (sets(operation, instruction, reg)) {
      setter = pc < target ? NO_PC : pc;
    }
  }
  return setter;
}

/* basicgetobjname: a local variable, upvalue or constant that the register holds before `*pc`,
 * which becomes the instruction that set it, or NO_PC. */
static bool variable_name(struct code *code, uint64_t *pc, unsigned reg, struct code_name *name) {
  *name = (struct code_name){0};
  for (;;) {
    size_t size;
    const char *local =
        prototype_local_name(code->vm, code->prototype, (uint64_t)reg + 1, *pc, &size);
    if (local) {
      *name = (struct code_name){.what = "local", .name = local, .size = size};
      return true;
    }
    *pc = find_setter(code, *pc, reg);
    if (*pc == NO_PC) return false;
    uint32_t instruction = instruction_at(code, *pc);
    switch (operation_of(code, instruction)->origin) {
    case FROM_REGISTER:
      if (arg_b(instruction) >= arg_a(instruction)) return false;
      reg = arg_b(instruction);
      continue;
    case FROM_UPVALUE:
      upvalue_name(code, arg_b(instruction), name);
      return true;
    case FROM_CONSTANT:
      return constant_name(code, instruction >> 15, name);
    case FROM_EXTRA:
      return *pc + 1 < code->length &&
             constant_name(code, instruction_at(code, *pc + 1) >> 7, name);
    default:
      return false;
    }
  }
}

/* rname: a constant in a register, else "?". */
static void key_name(struct code *code, uint64_t pc, unsigned reg, struct code_name *name) {
  if (!variable_name(code, &pc, reg, name) || strcmp(name->what, "constant") != 0)
    set_name(name, NULL, "?");
}

/* The key by which the value came out of a table; false if it did not. */
static bool access_name(struct code *code, uint64_t pc, struct code_name *name) {
  uint32_t instruction = instruction_at(code, pc);
  unsigned origin = operation_of(code, instruction)->origin;
  switch (origin) {
  case FROM_UPVALUE_FIELD:
  case FROM_FIELD:
  case FROM_METHOD_FIELD:
    constant_name(code, arg_c(instruction), name);
    break;
  case FROM_KEY:
    key_name(code, pc, arg_c(instruction), name);
    break;
  case FROM_INDEX:
    set_name(name, NULL, "integer index");
    break;
  case FROM_METHOD:
    if (arg_k(instruction))
      constant_name(code, arg_c(instruction), name);
    else
      key_name(code, pc, arg_c(instruction), name);
    break;
  default:
    return false;
  }
  name->what = origin == FROM_METHOD || origin == FROM_METHOD_FIELD ? "method" : "field";
  return true;
}

/* gxf, isEnv: whether the table that instruction `pc` indexes is _ENV. */
static bool is_environment(struct code *code, uint64_t pc) {
  static const char ENVIRONMENT[] = "_ENV";
  uint32_t instruction = instruction_at(code, pc);
  unsigned origin = operation_of(code, instruction)->origin;
  struct code_name table = {0};
  if (origin == FROM_UPVALUE_FIELD) {
    upvalue_name(code, arg_b(instruction), &table);
  } else if (origin == FROM_KEY || origin == FROM_FIELD) {
    bool is_variable = variable_name(code, &pc, arg_b(instruction), &table);
    if (!is_variable && pc != NO_PC && code->family->environment == ENVIRONMENT_BY_NAME)
      access_name(code, pc, &table);
    if (code->family->environment == ENVIRONMENT_BY_VARIABLE &&
        (!is_variable || strcmp(table.what, "constant") == 0))
      return false;
  }
  return table.name && table.size == sizeof ENVIRONMENT - 1 &&
         memcmp(table.name, ENVIRONMENT, table.size) == 0;
}

/* getobjname */
static bool register_name(struct code *code, uint64_t pc, unsigned reg, struct code_name *name) {
  if (variable_name(code, &pc, reg, name)) return true;
  if (pc == NO_PC || !access_name(code, pc, name)) return false;
  if (is_environment(code, pc)) name->what = "global";
  return true;
}

/* ---- Calls ----------------------------------------------------------------------------------- */

static const char *const EVENTS[EVENT_COUNT] = {
    "index", "newindex", "gc",  "mode", "len",    "eq",   "add",  "sub", "mul",
    "mod",   "pow",      "div", "idiv", "band",   "bor",  "bxor", "shl", "shr",
    "unm",   "bnot",     "lt",  "le",   "concat", "call", "close"};

static bool event_name(const struct code *code, unsigned event, bool is_swapped,
                       struct code_name *name) {
  if (event >= EVENT_COUNT) return false;
  set_name(name, "metamethod", EVENTS[event]);
  if (!code->family->order_names) return true;
  if (event == EVENT_LT || event == EVENT_LE) set_name(name, "metamethod", "order");
  return !is_swapped;
}

bool bytecode_call_name(struct vm *vm, const struct bytecode_family *family,
                        const uint8_t *prototype, uint64_t pc, struct code_name *name) {
  struct code code;
  *name = (struct code_name){0};
  if (!code_load(vm, family, prototype, &code) || pc >= code.length) return false;
  uint32_t instruction = instruction_at(&code, pc);
  unsigned call = operation_of(&code, instruction)->call;
  switch (call) {
  case CALLS_NOTHING:
    return false;
  case CALLS_REGISTER:
    return register_name(&code, pc, arg_a(instruction), name);
  case CALLS_ITERATOR:
    set_name(name, "for iterator", "for iterator");
    return true;
  case CALLS_EVENT_C:
    return event_name(&code, arg_c(instruction), false, name);
  default:
    return call >= CALLS_SWAPPED ? event_name(&code, call - CALLS_SWAPPED, true, name)
                                 : event_name(&code, call - CALLS_EVENT, false, name);
  }
}
