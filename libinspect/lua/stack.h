/* stack.h - threads: their stacks, calls and the names of stack slots.
 *
 * A slot is a number counted from the bottom of the thread's stack; a level is a call counted from
 * the innermost, 0. */
#ifndef LUA_STACK_H
#define LUA_STACK_H

#include "base/arena.h"
#include "lua/lua54.h"
#include "lua/prototype.h"

struct lua_thread {
  uint64_t address;
  bool initialized;     /* false: caught inside lua_newthread; nothing below is set           */
  uint8_t status;       /* 0 running, normal, finished or not started; 1 suspended; else dead
                           by an error                                                        */
  const uint8_t *slots; /* NULL if slot_count is 0                                            */
  uint64_t slot_count;  /* with the extra slots that Lua keeps                                */
  uint64_t top;         /* slots below are in use                                             */
  uint64_t maybe_top;   /* slots from top to here belong to a running Lua function and may be
                           in use: >= top                                                     */
  uint64_t stack, call, base_call, open_upvalues, error_jump;
  bool is_moving;    /* the stack was being moved: some pointers lead elsewhere, or are offsets */
  uint64_t other;    /* the other array that some pointers lead into, or 0                 */
  uint64_t contents; /* the address of `slots`: `stack` or `other`                         */
  const char *fault; /* what made no sense, or NULL                                        */
};

struct lua_call {
  uint64_t address;
  uint64_t function; /* slot of the function                                   */
  uint64_t top;      /* slot behind the last one of the call                   */
  uint32_t status;   /* callstatus as it is: lua/bytecode.h has the bits       */
  bool is_lua;
  uint64_t saved_pc;        /* of a Lua function: behind the instruction that runs     */
  bool is_approximate;      /* saved_pc may lag behind: the function was running       */
  uint32_t extra_arguments; /* varargs, below the function                        */
};

struct lua_calls VECTOR(struct lua_call);

/* Whether a pointer into a stack is an offset instead, as they are while a stack is being moved. No
 * program has its heap that low. */
static inline bool stack_is_offset(const struct layout *layout, uint64_t pointer) {
  uint64_t limit = layout->pointer_size == 8 ? UINT64_C(1) << 30 : UINT64_C(12) << 20;
  return pointer && pointer < limit && pointer % layout->size[SIZE_TValue] == 0;
}

enum thread_state {
  THREAD_RUNNING, /* or normal: has called into another coroutine */
  THREAD_SUSPENDED,
  THREAD_NOT_STARTED,
  THREAD_FINISHED,
  THREAD_DEAD_BY_ERROR,
};

/* NULL, or a fault if the thread cannot be read at all. */
const char *thread_load(struct vm *vm, uint64_t address, struct lua_thread *thread);

/* Bytes of the stack and of all call infos, as the VM counts them. */
uint64_t thread_stack_bytes(struct vm *vm, const struct lua_thread *thread);

enum thread_state thread_state(const struct lua_thread *thread);

/* The calls from the innermost out, without the base level. False: out of memory. Stops at the
 * first call that makes no sense. */
bool thread_calls(struct vm *vm, const struct lua_thread *thread, struct lua_calls *calls);

/* The prototype of the Lua function in a slot: its bytes, NULL if it is none or cannot be read. */
const uint8_t *thread_slot_prototype(struct vm *vm, const struct lua_thread *thread, uint64_t slot);

/* callstatus of the base level, which belongs to no function. */
uint32_t thread_base_status(struct vm *vm, const struct lua_thread *thread);

/* The value in a slot; the slot must be below slot_count. */
struct lua_value thread_slot(const struct vm *vm, const struct lua_thread *thread, uint64_t slot);

/* What a slot is: the level of its call and the local's name (raw bytes, NULL if it has none:
 * temporaries, C functions). `*level` is UINT32_MAX if no call owns it; `*function` the slot of the
 * call's function. `calls` are those of thread_calls: a stack may be deep, and is read once. */
void thread_slot_name(struct vm *vm, const struct lua_thread *thread, const struct lua_calls *calls,
                      uint64_t slot, uint32_t *level, uint64_t *function, const char **name,
                      size_t *size);

/* Where in the source a thread is: the innermost Lua function among its calls. */
struct lua_place {
  const uint8_t *prototype; /* the bytes of its prototype                                */
  uint32_t line;            /* that runs, or that has called                             */
  bool is_approximate;      /* the function runs, and where could not be found out       */
};

/* False if no Lua function is called, or its lines are not known. */
bool thread_place(struct vm *vm, const struct lua_thread *thread, struct lua_place *place);

#endif
