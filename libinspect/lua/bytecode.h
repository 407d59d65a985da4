/* bytecode.h - what the code around a call says of its name: the field, method, local, upvalue or
 * metamethod that is called, as Lua's own tracebacks find it (ldebug.c: funcnamefromcode).
 *
 * Which opcode does what is data, one table per family of releases. Code of a target is hostile: an
 * unknown opcode changes and names nothing, every index is checked, every search is bounded. */
#ifndef LUA_BYTECODE_H
#define LUA_BYTECODE_H

#include "lua/lua54.h"

struct operation;

/* When the table of `t.name` counts as _ENV, so that `name` is a global. */
enum environment_rule {
  ENVIRONMENT_BY_NAME,     /* up to 5.4.6: whatever is called _ENV, be it a field   */
  ENVIRONMENT_BY_SOURCE,   /* 5.4.7: a variable, or a constant                      */
  ENVIRONMENT_BY_VARIABLE, /* 5.4.8 and later: a local variable or an upvalue       */
};

/* What tracebacks depend on beyond a layout. */
struct bytecode_family {
  unsigned release; /* the first it stands for: 50404 is 5.4.4 */
  const struct operation *operations;
  unsigned operation_count;
  uint32_t tail_bit, hook_bit, finalizer_bit; /* of CallInfo.callstatus (lstate.h: CIST_)    */
  uint32_t fresh_bit; /* a Lua function that its own luaV_execute runs; 0: all are, up to 5.4.1 */
  enum environment_rule environment;
  bool marks_finalizer; /* up to 5.4.3: a call that runs a finalizer is itself called __gc    */
  bool order_names;     /* up to 5.4.2: comparisons are called `order`, closing `close`       */
  bool code_first;      /* 5.5: a name from code is taken before one from package.loaded      */
};

/* The family of a release ("5.4.4"), or of the newest release of the layout if it is NULL. Static,
 * never NULL. */
const struct bytecode_family *bytecode_family(const struct layout *layout, const char *release);

/* How a called function is named: "method" and the raw bytes of "send". */
struct code_name {
  const char *what; /* static */
  const char *name;
  size_t size;
};

/* The name of what the instruction `pc` (from prototype_pc) calls; `prototype` was viewed for the
 * size of the structure. False if there is none. */
bool bytecode_call_name(struct vm *vm, const struct bytecode_family *family,
                        const uint8_t *prototype, uint64_t pc, struct code_name *name);

#endif
