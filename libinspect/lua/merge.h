/* merge.h - the C frames of a native thread and the Lua calls that run on it, in one order.
 *
 *   merge_thread_load     of each Lua thread on the native thread, the innermost first
 *   merge_native          rows from the innermost out, or the reason why there is no certain order
 */
#ifndef LUA_MERGE_H
#define LUA_MERGE_H

#include "lua/traceback.h"
#include "source/unwind.h"

/* A call as the C stack may know it. */
struct merge_call {
  uint64_t address;         /* of its CallInfo                                                  */
  uint64_t code, code_size; /* of a Lua function: its instructions; of a C function: its entry  */
  bool is_lua;
  bool is_fresh; /* of a Lua function: its caller is not run by the same luaV_execute           */
};

struct merge_thread {
  struct VECTOR(struct merge_call) calls; /* the innermost first                                */
  uint64_t boundary; /* an address in the frame of C that all its calls run in; 0: not known    */
};

/* False: out of memory. `traceback` is open. Free with vector_free(&thread->calls). */
MUST_CHECK bool merge_thread_load(const struct traceback *traceback, struct merge_thread *thread);

#define MERGE_NONE SIZE_MAX

/* A C frame, a call, or both: the frame that runs the call. Of several Lua functions that one
 * luaV_execute runs the innermost has the frame. */
struct merge_row {
  size_t frame;         /* or MERGE_NONE                                                        */
  size_t thread, level; /* the call, or MERGE_NONE; a frame without call has the thread, too, if
                           it was called by it                                                  */
  bool is_continuation; /* the call lost its C frame when it yielded: it goes on without        */
  bool is_beyond;       /* the call lies beyond the last C frame that could be found            */
};

struct merge_result {
  struct VECTOR(struct merge_row) rows;
  const char *doubt; /* why the order is not certain: there are no rows then; NULL: it is */
};

/* False: out of memory. Free with vector_free(&result->rows). */
MUST_CHECK bool merge_native(const struct source *source, const struct source_stack *stack,
                             const struct merge_thread *threads, size_t count,
                             struct merge_result *result);

#endif
