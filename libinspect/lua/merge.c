/* merge.c - the C frames of a native thread and the Lua calls that run on it, in one order.
 *
 * Invariant: a call is in the hands of the C activation that runs it. luaV_execute needs the
 * CallInfo and the program counter of the Lua function it runs until it returns; what calls a C
 * function (luaD_precall, or finishCcall after a yield) needs its CallInfo to end the call. What a
 * compiler needs across a call it keeps in registers that callees must leave as they were, or in
 * its frame. Unwinding restores those registers frame by frame, so that
 *
 *   - of the frames with both words, the outermost runs the Lua function: those further in have
 *     the registers as luaV_execute left them, its caller has its own;
 *   - the outermost frame with the CallInfo of a C function has called that function: it is the
 *     frame before. If a frame of that very function follows further in, that one.
 *
 * Behind a C function that a Lua function has called in its last act (OP_TAILCALL) luaV_execute
 * does not need the program counter any more: there the CallInfo is enough, in one of the next
 * frames.
 *
 * CallInfos tell all of this apart without symbols, under any name and however much was inlined; a
 * function that a tail call of C replaced is found as well. Where registers do not tell, the words
 * in the frames themselves are asked, in the same way.
 *
 * One luaV_execute runs all Lua functions up to the one that is marked as fresh (lstate.h:
 * CIST_FRESH). When a coroutine yields, its C frames are gone: calls that are older than the last
 * resume have none. They are the outermost of their coroutine.
 *
 * The order is certain if what was found is without contradiction: calls that have frames are the
 * innermost of their thread, their frames come in the order of the calls, and each lies inside the
 * part of the C stack that its coroutine was resumed on (bounded by the outermost jump buffer of
 * lua_State.errorJmp). Otherwise the answer is a doubt, and no order.
 *
 * Everything comes from the target and may be damaged: all is compared, nothing followed. */
#include "lua/merge.h"

#include "lua/function.h"

enum {
  MOST_FRAME = 1 << 16, /* bytes of a frame that are looked at          */
  MOST_LOOKS = 1 << 24, /* words that are looked at: a second's work or less */
};

/* ---- Threads --------------------------------------------------------------------------------- */

/* ldo.c: struct lua_longjmp begins with the one before; they lie one above the other. */
static uint64_t outermost_jump(const struct vm *vm, uint64_t jump) {
  enum { MOST = 1 << 16 };
  unsigned word = vm->layout->pointer_size;
  for (unsigned i = 0; jump && i < MOST; i++) {
    const uint8_t *bytes = source_view(vm->source, jump, word);
    if (!bytes) return 0;
    uint64_t previous = source_word(vm->source, bytes);
    if (!previous) return jump;
    if (previous <= jump) return 0;
    jump = previous;
  }
  return 0;
}

static struct merge_call call_of(const struct traceback *traceback, size_t level) {
  enum { INSTRUCTION = 4 };
  struct vm *vm = traceback->vm;
  const struct lua_call *call = &traceback->calls.items[level];
  struct merge_call result = {.address = call->address, .is_lua = call->is_lua};
  uint32_t fresh = traceback->family->fresh_bit;
  result.is_fresh = !fresh || call->status & fresh;
  if (call->is_lua) {
    const uint8_t *prototype = thread_slot_prototype(vm, &traceback->thread, call->function);
    if (!prototype) return result;
    result.code = load_field(vm->layout, prototype, Proto_code);
    result.code_size = INSTRUCTION * load_field(vm->layout, prototype, Proto_sizecode) + 1;
    return result;
  }
  result.code = c_function_code(vm, thread_slot(vm, &traceback->thread, call->function));
  return result;
}

bool merge_thread_load(const struct traceback *traceback, struct merge_thread *thread) {
  *thread = (struct merge_thread){.boundary =
                                      outermost_jump(traceback->vm, traceback->thread.error_jump)};
  bool is_main = traceback->thread.address == traceback->vm->main_thread;
  if (is_main) thread->boundary = 0; /* what it was called by may be another VM's */
  for (size_t i = 0; i < traceback->calls.count; i++)
    if (!vector_push(&thread->calls, call_of(traceback, i))) return false;
  return true;
}

/* ---- What frames hold ------------------------------------------------------------------------ */

/* What is looked for: a word of first .. last - 1. */
struct range {
  uint64_t first, last;
};

static bool is_in(uint64_t word, struct range range) {
  return word >= range.first && word < range.last;
}

static bool registers_hold(const struct source_frame *frame, struct range range) {
  for (unsigned i = 0; i < frame->saved_count; i++)
    if (is_in(frame->saved[i], range)) return true;
  return false;
}

struct merging {
  const struct source *source;
  const struct source_frame *frames;
  size_t frame_count;
  bool is_whole; /* the outermost frame is the first function of the native thread */
  const struct merge_thread *threads;
  size_t thread_count;
  struct merge_result *result;
  uint64_t looks;
};

/* Whether a word of a frame's part of the stack is in the range. */
static bool words_hold(struct merging *merging, size_t index, struct range range) {
  unsigned word = merging->source->pointer_size;
  if (index + 1 >= merging->frame_count) return false;
  uint64_t start = merging->frames[index].stack_pointer;
  uint64_t size = merging->frames[index + 1].stack_pointer - start;
  if (size > MOST_FRAME) size = MOST_FRAME;
  const uint8_t *bytes = source_view(merging->source, start, size);
  merging->looks += size / word;
  for (uint64_t at = 0; bytes && size - at >= word; at += word)
    if (is_in(source_word(merging->source, bytes + at), range)) return true;
  return false;
}

static bool frame_holds(struct merging *merging, size_t index, struct range range,
                        bool with_words) {
  merging->looks += merging->frames[index].saved_count;
  return registers_hold(&merging->frames[index], range) ||
         (with_words && words_hold(merging, index, range));
}

/* The outermost frame of first .. end - 1 that holds both; `end` if none does. */
static size_t outermost_with(struct merging *merging, size_t first, size_t end, struct range one,
                             struct range other) {
  for (int with_words = 0; with_words < 2; with_words++)
    for (size_t i = end; i-- > first && merging->looks < MOST_LOOKS;)
      if (frame_holds(merging, i, one, with_words) && frame_holds(merging, i, other, with_words))
        return i;
  return end;
}

/* ---- Frames of calls ------------------------------------------------------------------------- */

/* The frame that runs a Lua function, among first .. end - 1; `end`: none was found. */
static size_t find_interpreter(struct merging *merging, const struct merge_call *call, bool calls_c,
                               size_t first, size_t end) {
  enum { CALLERS = 3 }; /* precallC, luaD_pretailcall, luaV_execute: each may be inlined */
  struct range address = {call->address, call->address + 1};
  struct range code = {call->code, call->code + call->code_size};
  if (!call->code_size || code.last < code.first) return end;
  size_t found = outermost_with(merging, first, end, address, code);
  if (found != end || !calls_c) return found;
  size_t last = end - first > CALLERS ? first + CALLERS : end;
  found = outermost_with(merging, first, last, address, address);
  return found == last ? end : found;
}

/* The frame of a C function; `end`: none was found. If what calls it is the innermost frame, there
 * is none yet: MERGE_NONE. */
static size_t find_c_function(struct merging *merging, const struct merge_call *call, size_t first,
                              size_t end) {
  struct range address = {call->address, call->address + 1};
  size_t caller = outermost_with(merging, first, end, address, address);
  if (caller == end) return end;
  for (size_t i = caller; i-- > first;)
    if (call->code && merging->frames[i].start == call->code) return i;
  if (caller > first) return caller - 1;
  return first ? end : MERGE_NONE;
}

/* A part of a thread's calls that one C frame runs: first .. end - 1. */
struct group {
  size_t first, end;
};

static struct group group_at(const struct merge_thread *thread, size_t level) {
  struct group group = {level, level + 1};
  if (!thread->calls.items[level].is_lua) return group;
  while (group.end < thread->calls.count && thread->calls.items[group.end].is_lua &&
         !thread->calls.items[group.end - 1].is_fresh)
    group.end++;
  return group;
}

/* The frame behind the one that holds the address: where the part of the stack that belongs to a
 * thread ends. */
static size_t frame_behind(const struct merging *merging, size_t first, uint64_t address) {
  for (size_t i = first; i + 1 < merging->frame_count; i++)
    if (merging->frames[i].stack_pointer <= address &&
        address < merging->frames[i + 1].stack_pointer)
      return i + 1;
  return merging->frame_count;
}

/* ---- Rows ------------------------------------------------------------------------------------ */

static bool add_row(struct merging *merging, struct merge_row row) {
  return vector_push(&merging->result->rows, row);
}

static bool add_frames(struct merging *merging, size_t *next, size_t end, size_t thread) {
  for (; *next < end; ++*next) {
    struct merge_row row = {.frame = *next, .thread = thread, .level = MERGE_NONE};
    if (!add_row(merging, row)) return false;
  }
  return true;
}

static bool add_calls(struct merging *merging, size_t thread, struct group group,
                      struct merge_row model) {
  for (size_t i = group.first; i < group.end; i++) {
    struct merge_row row = model;
    row.thread = thread;
    row.level = i;
    if (i > group.first) row.frame = MERGE_NONE;
    if (!add_row(merging, row)) return false;
  }
  return true;
}

/* Where the rows of a thread end. */
struct progress {
  size_t next;    /* frame that has no row yet                         */
  bool is_beyond; /* C frames ended before all calls were found theirs */
};

/* A group that has no frame, and so have none that follow. */
static bool add_rest(struct merging *merging, size_t index, size_t level, size_t end,
                     struct progress *progress) {
  const struct merge_thread *thread = &merging->threads[index];
  struct merge_row model = {.frame = MERGE_NONE};
  bool is_bounded = thread->boundary && end < merging->frame_count;
  if (is_bounded && level) {
    model.is_continuation = true;
  } else if (!merging->is_whole && progress->next && (level || index)) {
    if (!add_frames(merging, &progress->next, merging->frame_count, index)) return false;
    model.is_beyond = progress->is_beyond = true;
  } else {
    merging->result->doubt = "no C frame holds one of the calls";
    return true;
  }
  return add_calls(merging, index, (struct group){level, thread->calls.count}, model);
}

/* The frame that runs a call. `calls_c`: the frame before `first` is that of a C function it
 * called.
 */
static size_t find_frame(struct merging *merging, const struct merge_call *call, bool calls_c,
                         size_t first, size_t end) {
  if (!call->is_lua) return find_c_function(merging, call, first, end);
  return find_interpreter(merging, call, calls_c, first, end);
}

/* Whether any group from `level` on has a frame. */
static bool any_has_frame(struct merging *merging, const struct merge_thread *thread, size_t level,
                          size_t first, size_t end) {
  for (size_t i = level; i < thread->calls.count; i = group_at(thread, i).end)
    if (find_frame(merging, &thread->calls.items[i], false, first, end) != end) return true;
  return false;
}

/* The frame of a group. What has just been called is not in the hands of luaV_execute yet, but what
 * called it is. */
static size_t find_group(struct merging *merging, const struct merge_thread *thread,
                         struct group group, size_t first, size_t end) {
  const struct merge_call *call = &thread->calls.items[group.first];
  bool calls_c = first && group.first && !call[-1].is_lua;
  size_t found = find_frame(merging, call, calls_c, first, end);
  if (found != end || first || !call->is_lua || group.end == group.first + 1) return found;
  return find_frame(merging, call + 1, false, first, end);
}

/* Adds the rows of a thread and of the frames that belong to it, or finds a doubt. */
static bool add_thread(struct merging *merging, size_t index, struct progress *progress) {
  const struct merge_thread *thread = &merging->threads[index];
  size_t end = merging->frame_count;
  if (thread->boundary) end = frame_behind(merging, progress->next, thread->boundary);
  for (size_t level = 0; level < thread->calls.count;) {
    struct group group = group_at(thread, level);
    size_t found = find_group(merging, thread, group, progress->next, end);
    if (found == end && any_has_frame(merging, thread, group.end, progress->next, end)) {
      merging->result->doubt = "a call that no C frame holds lies between calls with C frames";
      return true;
    }
    if (found == end) {
      if (!add_rest(merging, index, level, end, progress)) return false;
      break;
    }
    if (found != MERGE_NONE && !add_frames(merging, &progress->next, found, index)) return false;
    if (!add_calls(merging, index, group, (struct merge_row){.frame = found})) return false;
    if (found != MERGE_NONE) progress->next = found + 1;
    level = group.end;
  }
  if (merging->looks >= MOST_LOOKS)
    merging->result->doubt = "there are too many calls and C frames";
  bool is_last = index + 1 == merging->thread_count;
  return (!thread->boundary && !is_last) || add_frames(merging, &progress->next, end, index);
}

bool merge_native(const struct source *source, const struct source_stack *stack,
                  const struct merge_thread *threads, size_t count, struct merge_result *result) {
  struct merging merging = {source,
                            stack->frames.items,
                            stack->frames.count,
                            stack->end == STACK_END_OUTERMOST,
                            threads,
                            count,
                            result};
  struct progress progress = {0};
  *result = (struct merge_result){0};
  for (size_t i = 0; i < count && !result->doubt; i++) {
    if (!progress.is_beyond) {
      if (!add_thread(&merging, i, &progress)) return false;
    } else if (!add_calls(&merging, i, (struct group){0, threads[i].calls.count},
                          (struct merge_row){.frame = MERGE_NONE, .is_beyond = true})) {
      return false;
    }
  }
  if (!result->doubt) return add_frames(&merging, &progress.next, stack->frames.count, MERGE_NONE);
  vector_free(&result->rows);
  return true;
}
