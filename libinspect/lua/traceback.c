/* traceback.c - calls in the words of lauxlib.c: luaL_traceback, with the names of bytecode.h. */
#include "lua/traceback.h"

#include "base/text.h"

const char *traceback_open(struct traceback *traceback, struct vm *vm,
                           const struct bytecode_family *family, const struct function_names *names,
                           uint64_t thread) {
  *traceback = (struct traceback){.vm = vm, .family = family, .names = names};
  const char *fault = thread_load(vm, thread, &traceback->thread);
  if (fault || !traceback->thread.initialized) return fault;
  return thread_calls(vm, &traceback->thread, &traceback->calls) ? NULL : "out of memory";
}

void traceback_close(struct traceback *traceback) { vector_free(&traceback->calls); }

/* ---- Sources --------------------------------------------------------------------------------- */

enum { LONGEST_SOURCE = 60 }; /* luaconf.h: LUA_IDSIZE, with the zero at the end */

static bool add_part(struct text *text, const char *bytes, size_t size) {
  return text_escape(text, bytes, strnlen(bytes, size), 0);
}

static bool add_file(struct text *text, const char *name, size_t size) {
  static const char DOTS[] = "...";
  if (size < LONGEST_SOURCE) return add_part(text, name, size);
  size_t kept = LONGEST_SOURCE - 1 - (sizeof DOTS - 1);
  return text_add_string(text, DOTS) && add_part(text, name + size - kept, kept);
}

/* The first line of a chunk that came from no file. */
static bool add_chunk(struct text *text, const char *chunk, size_t size) {
  static const char BEFORE[] = "[string \"", AFTER[] = "\"]", DOTS[] = "...";
  size_t room = LONGEST_SOURCE - (sizeof BEFORE - 1) - (sizeof AFTER - 1) - (sizeof DOTS - 1) - 1;
  size_t start = strnlen(chunk, size);
  const char *end = memchr(chunk, '\n', start);
  bool is_whole = size < room && !end;
  if (end) size = (size_t)(end - chunk);
  if (size > room) size = room;
  return text_add_string(text, BEFORE) && add_part(text, chunk, size) &&
         text_add_string(text, is_whole ? AFTER : "...\"]");
}

/* lobject.c: luaO_chunkid */
static bool add_source(struct text *text, const char *source, size_t size) {
  if (size && *source == '=') {
    size_t most = LONGEST_SOURCE - 1;
    return add_part(text, source + 1, size - 1 < most ? size - 1 : most);
  }
  if (size && *source == '@') return add_file(text, source + 1, size - 1);
  return add_chunk(text, source, size);
}

static const char *short_source(struct vm *vm, const uint8_t *prototype, struct arena *arena) {
  size_t size;
  const char *source = string_bytes(vm, load_field(vm->layout, prototype, Proto_source), &size);
  if (!source) return "?";
  struct text text = {0};
  const char *result =
      add_source(&text, source, size) ? arena_copy(arena, text.items, text.count) : NULL;
  vector_free(&text);
  return result;
}

/* ---- Names ----------------------------------------------------------------------------------- */

static const char *escaped(struct arena *arena, const char *bytes, size_t size) {
  struct text text = {0};
  const char *result =
      add_part(&text, bytes, size) ? arena_copy(arena, text.items, text.count) : NULL;
  vector_free(&text);
  return result;
}

/* The name in package.loaded, without "_G." before it; NULL if there is none. */
static const char *loaded_name(const struct traceback *traceback, struct lua_value function,
                               struct arena *arena) {
  const struct function_name *found = function_name_of(traceback->names, function);
  struct text text = {0};
  if (!found) return NULL;
  bool fits = text_add(&text, found->module, found->module_size) &&
              (!found->field ||
               (text_add_string(&text, ".") && text_add(&text, found->field, found->field_size)));
  size_t start = text.count >= 3 && memcmp(text.items, "_G.", 3) == 0 ? 3 : 0;
  const char *name = fits ? escaped(arena, text.items + start, text.count - start) : NULL;
  vector_free(&text);
  return name;
}

static const uint8_t *call_prototype(struct traceback *traceback, size_t level) {
  const struct lua_call *call = &traceback->calls.items[level];
  return call->is_lua ? thread_slot_prototype(traceback->vm, &traceback->thread, call->function)
                      : NULL;
}

/* The name in the code of the caller, by its instruction. */
static bool name_in_caller(struct traceback *traceback, size_t caller, struct code_name *name) {
  const uint8_t *prototype =
      caller < traceback->calls.count ? call_prototype(traceback, caller) : NULL;
  if (!prototype) return false;
  uint64_t pc =
      prototype_pc(traceback->vm->layout, prototype, traceback->calls.items[caller].saved_pc);
  return bytecode_call_name(traceback->vm, traceback->family, prototype, pc, name);
}

static bool fixed_name(struct code_name *name, const char *what, const char *text) {
  *name = (struct code_name){.what = what, .name = text, .size = strlen(text)};
  return true;
}

/* ldebug.c: getfuncname, funcnamefromcall */
static bool code_name(struct traceback *traceback, size_t level, struct code_name *name) {
  const struct bytecode_family *family = traceback->family;
  const struct lua_calls *calls = &traceback->calls;
  uint32_t status = calls->items[level].status;
  bool has_caller = level + 1 < calls->count;
  uint32_t caller = has_caller ? calls->items[level + 1].status
                               : thread_base_status(traceback->vm, &traceback->thread);
  if (family->marks_finalizer && status & family->finalizer_bit)
    return fixed_name(name, "metamethod", "__gc");
  if (status & family->tail_bit) return false;
  bool caller_is_lua = has_caller && calls->items[level + 1].is_lua;
  if (caller & family->hook_bit && (caller_is_lua || !family->marks_finalizer))
    return fixed_name(name, "hook", "?");
  if (!family->marks_finalizer && caller & family->finalizer_bit)
    return fixed_name(name, "metamethod", "__gc");
  return name_in_caller(traceback, level + 1, name);
}

static bool set_name(struct traceback *traceback, size_t level, struct arena *arena,
                     struct lua_frame *frame) {
  struct code_name found;
  const char *loaded = loaded_name(traceback, frame->function, arena);
  bool is_named = code_name(traceback, level, &found);
  if (loaded && !(is_named && traceback->family->code_first)) {
    frame->name = loaded;
    frame->namewhat = "function";
  } else if (is_named) {
    frame->name = escaped(arena, found.name, found.size);
    frame->namewhat = found.what;
    return frame->name != NULL;
  }
  return true;
}

/* ---- Frames ---------------------------------------------------------------------------------- */

static bool set_function(struct traceback *traceback, size_t level, struct arena *arena,
                         struct lua_frame *frame) {
  struct vm *vm = traceback->vm;
  const struct lua_call *call = &traceback->calls.items[level];
  const uint8_t *prototype = call_prototype(traceback, level);
  frame->function = thread_slot(vm, &traceback->thread, call->function);
  frame->is_tail_call = (call->status & traceback->family->tail_bit) != 0;
  frame->source = "?";
  frame->kind = FRAME_DAMAGED;
  if (prototype) {
    frame->defined = (uint32_t)load_field(vm->layout, prototype, Proto_linedefined);
    frame->kind = frame->defined ? FRAME_LUA : FRAME_MAIN_CHUNK;
    frame->source = short_source(vm, prototype, arena);
    frame->line =
        prototype_line(vm, prototype, prototype_pc(vm->layout, prototype, call->saved_pc));
    frame->is_approximate = call->is_approximate;
  } else if (!call->is_lua && (frame->function.tag == TAG_LIGHT_FUNCTION ||
                               frame->function.tag == (TAG_C_FUNCTION | TAG_COLLECTABLE))) {
    frame->kind = FRAME_C;
    frame->source = "[C]";
  }
  return frame->source != NULL;
}

/* lauxlib.c: pushfuncname */
static const char *function_words(const struct lua_frame *frame, struct arena *arena) {
  if (frame->name) return arena_printf(arena, "%s '%s'", frame->namewhat, frame->name);
  if (frame->kind == FRAME_MAIN_CHUNK) return "main chunk";
  if (frame->kind != FRAME_LUA) return "?";
  return arena_printf(arena, "function <%s:%u>", frame->source, frame->defined);
}

bool traceback_frame(struct traceback *traceback, size_t level, struct arena *arena,
                     struct lua_frame *frame) {
  *frame = (struct lua_frame){0};
  if (!set_function(traceback, level, arena, frame) || !set_name(traceback, level, arena, frame))
    return false;
  const char *words = function_words(frame, arena);
  if (!words) return false;
  frame->text = frame->line ? arena_printf(arena, "%s:%u: in %s", frame->source, frame->line, words)
                            : arena_printf(arena, "%s: in %s", frame->source, words);
  return frame->text != NULL;
}

/* ---- Variables ------------------------------------------------------------------------------- */

struct collecting {
  struct traceback *traceback;
  struct lua_locals *locals;
  uint64_t most, more;
};

static bool add_local(struct collecting *collecting, struct lua_local local, uint64_t slot) {
  if (slot >= collecting->traceback->thread.slot_count) return true;
  if (collecting->locals->count >= collecting->most) {
    collecting->more++;
    return true;
  }
  local.value = thread_slot(collecting->traceback->vm, &collecting->traceback->thread, slot);
  return vector_push(collecting->locals, local);
}

enum { MOST_REGISTERS = 255 }; /* lopcodes.h: MAX_FSTACK */

/* Extra arguments are hidden below the function, which was moved up (ltm.c: luaT_adjustvarargs). */
static bool has_hidden_arguments(const struct layout *layout, const uint8_t *prototype) {
  enum { HIDDEN = 1 }; /* 5.4: is_vararg; 5.5: PF_VAHID */
  return prototype && load_field(layout, prototype, Proto_is_vararg) & HIDDEN;
}

/* How many slots below its function belong to a call. */
static uint64_t slots_below(struct traceback *traceback, size_t level) {
  const struct layout *layout = traceback->vm->layout;
  const uint8_t *prototype = call_prototype(traceback, level);
  if (!has_hidden_arguments(layout, prototype)) return 0;
  uint64_t fixed = load_field(layout, prototype, Proto_numparams);
  return fixed + 1 + traceback->calls.items[level].extra_arguments;
}

static bool add_arguments(struct collecting *collecting, size_t level, const uint8_t *prototype) {
  const struct lua_call *call = &collecting->traceback->calls.items[level];
  uint64_t count = call->extra_arguments;
  if (!has_hidden_arguments(collecting->traceback->vm->layout, prototype) || count > call->function)
    return true;
  for (uint64_t i = 1; i <= count; i++) {
    struct lua_local local = {.kind = LOCAL_VARARG, .number = i};
    if (!add_local(collecting, local, call->function - count + i - 1)) return false;
  }
  return true;
}

/* Behind the last slot in use of a call; of a Lua function that runs, not known: 0. */
static uint64_t end_of_use(struct traceback *traceback, size_t level) {
  const struct lua_thread *thread = &traceback->thread;
  if (level == 0)
    return traceback->calls.items[0].is_lua && thread_state(thread) == THREAD_RUNNING ? 0
                                                                                      : thread->top;
  uint64_t next = traceback->calls.items[level - 1].function;
  uint64_t below = slots_below(traceback, level - 1);
  return next > below ? next - below : 0;
}

bool traceback_locals(struct traceback *traceback, size_t level, uint64_t most,
                      struct lua_locals *locals, uint64_t *more) {
  const struct lua_call *call = &traceback->calls.items[level];
  const uint8_t *prototype = call_prototype(traceback, level);
  struct collecting collecting = {traceback, locals, locals->count + most, 0};
  bool fits = add_arguments(&collecting, level, prototype);
  uint64_t end = end_of_use(traceback, level);
  uint64_t pc = prototype ? prototype_pc(traceback->vm->layout, prototype, call->saved_pc) : 0;
  bool has_names = prototype != NULL;
  for (uint64_t number = 1; fits; number++) {
    struct lua_local local = {.kind = LOCAL_NAMED, .number = number};
    if (has_names && number <= MOST_REGISTERS)
      local.name = prototype_local_name(traceback->vm, prototype, number, pc, &local.name_size);
    has_names = local.name != NULL;
    if (!has_names) {
      local.kind = LOCAL_TEMPORARY;
      if (call->function + number >= end) break;
      if (locals->count >= collecting.most) { /* all that follow are of this kind */
        collecting.more += end - call->function - number;
        break;
      }
    }
    fits = add_local(&collecting, local, call->function + number);
  }
  *more = collecting.more;
  return fits;
}

bool traceback_error(struct traceback *traceback, struct lua_value *error) {
  const struct lua_thread *thread = &traceback->thread;
  if (!thread->initialized || thread_state(thread) != THREAD_DEAD_BY_ERROR || thread->top < 2 ||
      thread->top > thread->slot_count)
    return false;
  *error = thread_slot(traceback->vm, thread, thread->top - 1);
  return true;
}

bool traceback_main(struct traceback *traceback, struct lua_value *function) {
  const struct lua_thread *thread = &traceback->thread;
  enum { FIRST = 1 }; /* slot 0 belongs to no call */
  if (!thread->initialized || thread->slot_count <= FIRST) return false;
  size_t count = traceback->calls.count;
  if (!count && thread_state(thread) != THREAD_NOT_STARTED) return false;
  uint64_t slot = count ? traceback->calls.items[count - 1].function : FIRST;
  *function = thread_slot(traceback->vm, thread, slot);
  return true;
}
