/* traceback.h - the calls of a thread as Lua's own traceback tells them, and what their frames
 * hold.
 *
 *   struct traceback traceback;
 *   const char *fault = traceback_open(&traceback, vm, family, names, address);
 *   for (size_t level = 0; level < traceback.calls.count; level++)
 *     traceback_frame(&traceback, level, arena, &frame);      frame.text: "room.lua:41: in ..."
 *   traceback_close(&traceback);
 *
 * Level 0 is the innermost call. Texts are escaped and live in the arena. */
#ifndef LUA_TRACEBACK_H
#define LUA_TRACEBACK_H

#include "lua/bytecode.h"
#include "lua/function_names.h"
#include "lua/stack.h"

struct traceback {
  struct vm *vm;
  const struct bytecode_family *family;
  const struct function_names *names;
  struct lua_thread thread;
  struct lua_calls calls;
};

/* NULL, or a fault if the thread cannot be read or memory is out: there are no calls then. */
const char *traceback_open(struct traceback *traceback, struct vm *vm,
                           const struct bytecode_family *family, const struct function_names *names,
                           uint64_t thread);
void traceback_close(struct traceback *traceback);

enum frame_kind {
  FRAME_LUA,
  FRAME_MAIN_CHUNK,
  FRAME_C,
  FRAME_DAMAGED, /* its function cannot be read */
};

struct lua_frame {
  enum frame_kind kind;
  struct lua_value function;
  const char *source;   /* "room.lua", "[C]", "[string \"...\"]", "?" (lobject.c: luaO_chunkid) */
  uint32_t line;        /* 0: not known, or a C function                                       */
  uint32_t defined;     /* line of its definition                                              */
  bool is_approximate;  /* it runs, and where could not be found out                           */
  bool is_tail_call;    /* what called it has been replaced by it                              */
  const char *name;     /* NULL: none was found                                                */
  const char *namewhat; /* "global", "method", "upvalue", ..., "function" if the name is that in
                           package.loaded; NULL if there is no name                            */
  const char *text;     /* the line of Lua's traceback: "room.lua:52: in method 'join'"        */
};

/* False: out of memory. */
MUST_CHECK bool traceback_frame(struct traceback *traceback, size_t level, struct arena *arena,
                                struct lua_frame *frame);

/* ---- Variables ------------------------------------------------------------------------------- */

enum local_kind { LOCAL_NAMED, LOCAL_VARARG, LOCAL_TEMPORARY };

struct lua_local {
  enum local_kind kind;
  const char *name; /* raw bytes; NULL unless it is NAMED                       */
  size_t name_size;
  uint64_t number; /* from 1: among the slots of the frame, or the extra arguments */
  struct lua_value value;
};

struct lua_locals VECTOR(struct lua_local);

/* Appends the variables of a call in the order of debug.getlocal, extra arguments first; at most
 * `most`, and the rest is counted in `*more`. Slots of a Lua function that runs are left out unless
 * they have a name: they may be stale. False: out of memory. */
MUST_CHECK bool traceback_locals(struct traceback *traceback, size_t level, uint64_t most,
                                 struct lua_locals *locals, uint64_t *more);

/* The error that a dead thread died by; false if there is none. */
bool traceback_error(struct traceback *traceback, struct lua_value *error);

/* The function that the thread was started with, as long as it is known: its outermost call, or
 * what it waits to start with. False: it has finished, or cannot be read. */
bool traceback_main(struct traceback *traceback, struct lua_value *function);

#endif
