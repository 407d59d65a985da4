/* stack.c - threads: their stacks, calls and the names of stack slots.
 *
 * Invariant: a loaded thread satisfies top <= maybe_top <= slot_count, and `slots` covers slot_count
 * values; every walk over call infos is bounded by MOST_CALLS and by Brent's cycle detection. */
#include "lua/stack.h"

#include "base/text.h"

enum { EXTRA_STACK = 5, MOST_CALLS = 1 << 24, STATUS_YIELD = 1 };

static const uint8_t *call_view(struct vm *vm, uint64_t address) {
  return memory_view(&vm->memory, address, vm->layout->size[SIZE_CallInfo]);
}

static bool call_is_lua(const struct layout *layout, const uint8_t *call) {
  return !(load_field(layout, call, CallInfo_callstatus) & layout->c_call_bit);
}

/* A stack pointer as a slot number; false if it is none of this stack. */
static bool slot_of(const struct vm *vm, const struct lua_thread *thread, uint64_t pointer,
                    uint64_t *slot) {
  uint64_t size = vm->layout->size[SIZE_TValue];
  if (pointer < thread->stack || (pointer - thread->stack) % size) return false;
  *slot = (pointer - thread->stack) / size;
  return *slot <= thread->slot_count;
}

const char *thread_load(struct vm *vm, uint64_t address, struct lua_thread *thread) {
  const struct layout *layout = vm->layout;
  *thread = (struct lua_thread){.address = address};
  const uint8_t *header = memory_view(&vm->memory, address, layout->size[SIZE_lua_State]);
  if (!header) return "thread is not in the dump";
  if (load_field(layout, header, GCObject_tt) != TAG_THREAD) return "object is no thread";
  if (load_field(layout, header, lua_State_l_G) != vm->global_state) return NULL;
  thread->initialized = true;
  thread->status = (uint8_t)load_field(layout, header, lua_State_status);
  thread->stack = load_field(layout, header, lua_State_stack);
  thread->call = load_field(layout, header, lua_State_ci);
  thread->base_call = address + layout->place[lua_State_base_ci].offset;
  thread->error_jump = load_field(layout, header, lua_State_errorJmp);
  if (!thread->stack) return NULL;

  uint64_t size = layout->size[SIZE_TValue];
  uint64_t last = load_field(layout, header, lua_State_stack_last);
  if (last < thread->stack || (last - thread->stack) % size)
    return "limits of a stack make no sense";
  uint64_t count = (last - thread->stack) / size + EXTRA_STACK;
  thread->slots = memory_view(&vm->memory, thread->stack, count * size);
  if (!thread->slots) return "stack of a thread is not in the dump";
  thread->slot_count = count;
  thread->open_upvalues = load_field(layout, header, lua_State_openupval);
  if (!slot_of(vm, thread, load_field(layout, header, lua_State_top), &thread->top)) {
    thread->fault = "top of a stack lies outside of it";
    thread->maybe_top = count; /* anything may be in use */
    return NULL;
  }
  thread->maybe_top = thread->top;
  const uint8_t *call = call_view(vm, thread->call);
  uint64_t call_top;
  if (call && thread->status == 0 && thread->call != thread->base_call &&
      call_is_lua(layout, call) &&
      slot_of(vm, thread, load_field(layout, call, CallInfo_top), &call_top) &&
      call_top > thread->top)
    thread->maybe_top = call_top;
  return NULL;
}

uint64_t thread_stack_bytes(struct vm *vm, const struct lua_thread *thread) {
  const struct layout *layout = vm->layout;
  const uint8_t *base = call_view(vm, thread->base_call);
  uint64_t calls = 0, tortoise = 0, lap = 1;
  for (uint64_t call = base ? load_field(layout, base, CallInfo_next) : 0; call;) {
    const uint8_t *bytes = call_view(vm, call);
    if (!bytes || call == tortoise || ++calls > MOST_CALLS) break;
    if (calls == lap) {
      tortoise = call;
      lap *= 2;
    }
    call = load_field(layout, bytes, CallInfo_next);
  }
  return thread->slot_count * layout->size[SIZE_TValue] + calls * layout->size[SIZE_CallInfo];
}

enum thread_state thread_state(const struct lua_thread *thread) {
  if (thread->status == STATUS_YIELD) return THREAD_SUSPENDED;
  if (thread->status > STATUS_YIELD) return THREAD_DEAD_BY_ERROR;
  if (thread->call != thread->base_call) return THREAD_RUNNING;
  return thread->top > 1 ? THREAD_NOT_STARTED : THREAD_FINISHED;
}

bool thread_calls(struct vm *vm, const struct lua_thread *thread, struct lua_calls *calls) {
  const struct layout *layout = vm->layout;
  calls->count = 0;
  uint64_t above = thread->slot_count + 1;
  for (uint64_t call = thread->call; call && call != thread->base_call;) {
    const uint8_t *bytes = call_view(vm, call);
    struct lua_call found = {.address = call};
    /* functions lie strictly deeper from call to call, which also bounds this loop */
    if (!bytes || !slot_of(vm, thread, load_field(layout, bytes, CallInfo_func), &found.function) ||
        found.function >= above || found.function >= thread->slot_count)
      return true;
    above = found.function;
    if (!slot_of(vm, thread, load_field(layout, bytes, CallInfo_top), &found.top))
      found.top = found.function + 1;
    found.is_lua = call_is_lua(layout, bytes);
    found.saved_pc = load_field(layout, bytes, CallInfo_savedpc);
    if (found.is_lua)
      found.extra_arguments = (uint32_t)load_field(layout, bytes, CallInfo_nextraargs);
    if (!vector_push(calls, found)) return false;
    call = load_field(layout, bytes, CallInfo_previous);
  }
  return true;
}

struct lua_value thread_slot(const struct vm *vm, const struct lua_thread *thread, uint64_t slot) {
  return value_load(vm->layout, thread->slots + slot * vm->layout->size[SIZE_TValue]);
}

/* ---- Names ----------------------------------------------------------------------------------- */

/* Name of the `number`th (from 1) local that is active at `pc` (lfunc.c: luaF_getlocalname). */
static const char *local_name(struct vm *vm, const uint8_t *prototype, uint64_t number, uint64_t pc,
                              size_t *size) {
  const struct layout *layout = vm->layout;
  uint64_t count = load_field(layout, prototype, Proto_sizelocvars);
  uint64_t stride = layout->size[SIZE_LocVar];
  const uint8_t *locals =
      memory_view(&vm->memory, load_field(layout, prototype, Proto_locvars), count * stride);
  for (uint64_t i = 0; locals && i < count; i++) {
    const uint8_t *local = locals + i * stride;
    if (load_field(layout, local, LocVar_startpc) > pc) return NULL;
    if (pc < load_field(layout, local, LocVar_endpc) && --number == 0)
      return string_bytes(vm, load_field(layout, local, LocVar_varname), size);
  }
  return NULL;
}

/* The prototype of the Lua function in a slot: its bytes, NULL if it is none. */
static const uint8_t *slot_prototype(struct vm *vm, const struct lua_thread *thread,
                                     uint64_t slot) {
  const struct layout *layout = vm->layout;
  struct lua_value function = thread_slot(vm, thread, slot);
  if (function.tag != (TAG_LUA_FUNCTION | TAG_COLLECTABLE)) return NULL;
  const uint8_t *closure =
      memory_view(&vm->memory, function.bits, layout->size[SIZE_LClosure]);
  if (!closure) return NULL;
  return memory_view(&vm->memory, load_field(layout, closure, LClosure_p),
                     layout->size[SIZE_Proto]);
}

static const char *call_slot_name(struct vm *vm, const struct lua_thread *thread,
                                  const struct lua_call *call, uint64_t slot, size_t *size) {
  const struct layout *layout = vm->layout;
  const uint8_t *prototype = call->is_lua ? slot_prototype(vm, thread, call->function) : NULL;
  if (!prototype || slot <= call->function) return NULL;
  uint64_t code = load_field(layout, prototype, Proto_code);
  uint64_t length = load_field(layout, prototype, Proto_sizecode);
  uint64_t pc = call->saved_pc > code ? (call->saved_pc - code) / 4 - 1 : 0;
  if (pc >= length) pc = length ? length - 1 : 0;
  return local_name(vm, prototype, slot - call->function, pc, size);
}

void thread_slot_name(struct vm *vm, const struct lua_thread *thread, uint64_t slot,
                      uint32_t *level, uint64_t *function, const char **name, size_t *size) {
  *level = UINT32_MAX;
  *name = NULL;
  struct lua_calls calls = {0};
  if (thread_calls(vm, thread, &calls)) {
    for (size_t i = 0; i < calls.count; i++) {
      if (slot < calls.items[i].function) continue;
      *level = (uint32_t)i;
      *function = calls.items[i].function;
      *name = call_slot_name(vm, thread, &calls.items[i], slot, size);
      break;
    }
  }
  vector_free(&calls);
}

const char *prototype_upvalue_name(struct vm *vm, uint64_t prototype, uint64_t index,
                                   size_t *size) {
  const struct layout *layout = vm->layout;
  const uint8_t *bytes = memory_view(&vm->memory, prototype, layout->size[SIZE_Proto]);
  if (!bytes || load_field(layout, bytes, GCObject_tt) != TAG_PROTOTYPE ||
      index >= load_field(layout, bytes, Proto_sizeupvalues))
    return NULL;
  uint64_t stride = layout->size[SIZE_Upvaldesc];
  const uint8_t *description = memory_view(
      &vm->memory, load_field(layout, bytes, Proto_upvalues) + index * stride, stride);
  if (!description) return NULL;
  return string_bytes(vm, load_field(layout, description, Upvaldesc_name), size);
}

static size_t base_name_start(const char *path, size_t size) {
  size_t start = 0;
  for (size_t i = 0; i < size; i++)
    if (path[i] == '/' || path[i] == '\\') start = i + 1;
  return start < size ? start : 0;
}

const char *prototype_name(struct vm *vm, uint64_t prototype, struct arena *arena) {
  enum { MOST_WORDS = 40 };
  const struct layout *layout = vm->layout;
  const uint8_t *bytes = memory_view(&vm->memory, prototype, layout->size[SIZE_Proto]);
  if (!bytes || load_field(layout, bytes, GCObject_tt) != TAG_PROTOTYPE) return NULL;
  size_t size;
  const char *source = string_bytes(vm, load_field(layout, bytes, Proto_source), &size);
  if (!source || !size) return NULL;
  struct text text = {0};
  bool fits;
  if (*source == '@' || *source == '=') {
    size_t start = *source == '@' ? 1 + base_name_start(source + 1, size - 1) : 1;
    fits = text_escape(&text, source + start, size - start, 0);
  } else {
    const char *end = memchr(source, '\n', size);
    size_t shown = end ? (size_t)(end - source) : size;
    if (shown > MOST_WORDS) shown = MOST_WORDS;
    fits = text_add_string(&text, "[string \"") && text_escape(&text, source, shown, '"') &&
           text_add_string(&text, shown < size ? "...\"]" : "\"]");
  }
  uint64_t line = load_field(layout, bytes, Proto_linedefined);
  const char *name = NULL;
  if (fits && text_printf(&text, ":%llu", (unsigned long long)line))
    name = arena_copy(arena, text.items, text.count);
  vector_free(&text);
  return name;
}
