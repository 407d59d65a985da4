/* stack.c - threads: their stacks, calls and the names of stack slots.
 *
 * Invariant: a loaded thread satisfies top <= maybe_top <= slot_count, and `slots` covers
 * slot_count values; every walk over call infos is bounded by MOST_CALLS and by Brent's cycle
 * detection.
 *
 * While a stack is being moved (ldo.c: luaD_reallocstack) the pointers into it are of two forms at
 * once: up to 5.4.4 some lead into the old array and some into the new, from 5.4.5 on some are
 * offsets in bytes. Slot 0 belongs to the base level of calls (base_ci.func always leads there), so
 * any pointer can be told for what it is: see slot_of. */
#include "lua/stack.h"

#include "lua/native.h"
#include "lua/prototype.h"

enum { EXTRA_STACK = 5, MOST_CALLS = 1 << 24, MOST_SLOTS = 1 << 26, STATUS_YIELD = 1 };

static const uint8_t *call_view(struct vm *vm, uint64_t address) {
  return memory_view(&vm->memory, address, vm->layout->size[SIZE_CallInfo]);
}

static bool call_is_lua(const struct layout *layout, const uint8_t *call) {
  return !(load_field(layout, call, CallInfo_callstatus) & layout->c_call_bit);
}

static bool slot_from(uint64_t base, uint64_t pointer, uint64_t size, uint64_t count,
                      uint64_t *slot) {
  if (pointer < base || (pointer - base) % size || (pointer - base) / size > count) return false;
  *slot = (pointer - base) / size;
  return true;
}

/* A stack pointer, in any of its forms, as a slot number; false if it is none of this stack. */
static bool slot_of(const struct vm *vm, const struct lua_thread *thread, uint64_t pointer,
                    uint64_t *slot) {
  uint64_t size = vm->layout->size[SIZE_TValue], count = thread->slot_count;
  if (slot_from(thread->stack, pointer, size, count, slot)) return true;
  if (stack_is_offset(vm->layout, pointer)) return slot_from(0, pointer, size, count, slot);
  return thread->other && slot_from(thread->other, pointer, size, count, slot);
}

/* ---- Loading -----------------------------------------------------------------------------------
 */

/* Finds out whether the stack was being moved, and where its other place is. */
static void load_places(struct vm *vm, const uint8_t *header, struct lua_thread *thread) {
  const struct layout *layout = vm->layout;
  const uint8_t *base = header + layout->place[lua_State_base_ci].offset;
  uint64_t bottom = load_field(layout, base, CallInfo_func);
  uint64_t top = load_field(layout, header, lua_State_top);
  if (bottom != thread->stack && bottom && !stack_is_offset(layout, bottom)) thread->other = bottom;
  thread->contents = thread->stack;
  if (vm->torn.thread == thread->address) {
    thread->contents = vm->torn.stack;
    if (vm->torn.stack != thread->stack) thread->other = vm->torn.stack;
  }
  thread->is_moving =
      bottom != thread->stack || stack_is_offset(layout, top) || vm->torn.thread == thread->address;
}

/* One more than the highest slot that the thread's pointers speak of. */
static uint64_t highest_use(struct vm *vm, const uint8_t *header, struct lua_thread *thread) {
  const struct layout *layout = vm->layout;
  uint64_t highest = 0, slot;
  thread->slot_count = MOST_SLOTS; /* for slot_of */
  if (slot_of(vm, thread, load_field(layout, header, lua_State_top), &slot)) highest = slot;
  uint64_t call = thread->call, tortoise = 0, lap = 1;
  for (uint64_t i = 0; call && call != tortoise && i < MOST_CALLS; i++) {
    const uint8_t *bytes = call_view(vm, call);
    if (!bytes) break;
    if (i == lap) {
      tortoise = call;
      lap *= 2;
    }
    if (slot_of(vm, thread, load_field(layout, bytes, CallInfo_top), &slot) && slot > highest)
      highest = slot;
    if (call == thread->base_call) break;
    call = load_field(layout, bytes, CallInfo_previous);
  }
  return highest + 1;
}

/* The array of slots. Its limits may be those of two arrays, or its memory may be gone: then as
 * much as is in use. */
static const char *load_slots(struct vm *vm, const uint8_t *header, struct lua_thread *thread) {
  const struct layout *layout = vm->layout;
  uint64_t size = layout->size[SIZE_TValue];
  uint64_t last = load_field(layout, header, lua_State_stack_last);
  bool is_sane = last >= thread->stack && (last - thread->stack) % size == 0 &&
                 (last - thread->stack) / size <= MOST_SLOTS;
  uint64_t count = is_sane ? (last - thread->stack) / size + EXTRA_STACK : 0;
  thread->slots = is_sane ? memory_view(&vm->memory, thread->contents, count * size) : NULL;
  if (!thread->slots && (thread->is_moving || !is_sane)) {
    thread->is_moving = true;
    count = highest_use(vm, header, thread);
    thread->slots = memory_view(&vm->memory, thread->contents, count * size);
  }
  thread->slot_count = thread->slots ? count : 0;
  return thread->slots ? NULL : "stack of a thread is not in the dump";
}

/* The slots above `top` up to the end of a running Lua function's frame: `top` is not kept up to
 * date while such a function runs (lvm.c), so they may be in use. */
static uint64_t load_maybe_top(struct vm *vm, const struct lua_thread *thread) {
  const uint8_t *call = call_view(vm, thread->call);
  uint64_t top;
  bool is_running = call && thread->status == 0 && thread->call != thread->base_call &&
                    call_is_lua(vm->layout, call);
  return is_running && slot_of(vm, thread, load_field(vm->layout, call, CallInfo_top), &top) &&
                 top > thread->top
             ? top
             : thread->top;
}

const char *thread_load(struct vm *vm, uint64_t address, struct lua_thread *thread) {
  const struct layout *layout = vm->layout;
  *thread = (struct lua_thread){.address = address};
  const uint8_t *header = memory_view(&vm->memory, address, layout->size[SIZE_lua_State]);
  if (!header) return "thread is not in the dump";
  if (load_field(layout, header, GCObject_tt) != TAG_THREAD) return "object is no thread";
  thread->call = load_field(layout, header, lua_State_ci);
  /* lstate.c, lua_newthread: preinit_thread sets l_G, stack_init sets ci when all else is there */
  if (load_field(layout, header, lua_State_l_G) != vm->global_state || !thread->call ||
      address == vm->torn.newborn)
    return NULL;
  thread->initialized = true;
  thread->status = (uint8_t)load_field(layout, header, lua_State_status);
  thread->stack = load_field(layout, header, lua_State_stack);
  thread->base_call = address + layout->place[lua_State_base_ci].offset;
  thread->error_jump = load_field(layout, header, lua_State_errorJmp);
  if (!thread->stack) return NULL;
  load_places(vm, header, thread);
  const char *fault = load_slots(vm, header, thread);
  if (fault) return fault;
  thread->open_upvalues = load_field(layout, header, lua_State_openupval);
  if (slot_of(vm, thread, load_field(layout, header, lua_State_top), &thread->top)) {
    thread->maybe_top = load_maybe_top(vm, thread);
  } else { /* anything may be in use */
    thread->maybe_top = thread->slot_count;
    if (!thread->is_moving) thread->fault = "top of a stack lies outside of it";
  }
  return NULL;
}

/* Whether `next` is what follows `prior` in the list of call infos. One that is being added has not
 * been filled in yet; where one was just taken out, its memory still leads back to `prior`
 * (lstate.c: luaE_extendCI, luaE_shrinkCI). */
static bool call_follows(struct vm *vm, uint64_t prior, const uint8_t *next) {
  const struct layout *layout = vm->layout;
  uint64_t previous = load_field(layout, next, CallInfo_previous);
  if (previous == prior) return true;
  const uint8_t *between = call_view(vm, previous);
  return between && load_field(layout, between, CallInfo_previous) == prior;
}

uint64_t thread_stack_bytes(struct vm *vm, const struct lua_thread *thread) {
  const struct layout *layout = vm->layout;
  const uint8_t *base = call_view(vm, thread->base_call);
  uint64_t calls = 0, tortoise = 0, lap = 1, prior = thread->base_call;
  for (uint64_t call = base ? load_field(layout, base, CallInfo_next) : 0; call;) {
    const uint8_t *bytes = call_view(vm, call);
    if (!bytes || call == tortoise || !call_follows(vm, prior, bytes) || ++calls > MOST_CALLS)
      break;
    if (calls == lap) {
      tortoise = call;
      lap *= 2;
    }
    prior = call;
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

struct lua_value thread_slot(const struct vm *vm, const struct lua_thread *thread, uint64_t slot) {
  return value_load(vm->layout, thread->slots + slot * vm->layout->size[SIZE_TValue]);
}

const uint8_t *thread_slot_prototype(struct vm *vm, const struct lua_thread *thread,
                                     uint64_t slot) {
  const struct layout *layout = vm->layout;
  struct lua_value function = thread_slot(vm, thread, slot);
  if (function.tag != (TAG_LUA_FUNCTION | TAG_COLLECTABLE)) return NULL;
  const uint8_t *closure = memory_view(&vm->memory, function.bits, layout->size[SIZE_LClosure]);
  if (!closure) return NULL;
  return memory_view(&vm->memory, load_field(layout, closure, LClosure_p),
                     layout->size[SIZE_Proto]);
}

/* A running Lua function keeps its program counter in a register and saves it only where something
 * can fail (lvm.c: Protect), so what is saved may lag behind. The register, or its copy on the
 * native stack, leads into the function's code, behind the instruction that runs. Compilers keep a
 * second copy, of the instruction before or after; where the copies speak of different lines, none
 * is believed wholly. */
enum { INSTRUCTION = 4 };

static uint32_t line_before(struct vm *vm, const uint8_t *prototype, uint64_t pc) {
  return prototype_line(vm, prototype, prototype_pc(vm->layout, prototype, pc));
}

static void choose_running_pc(struct vm *vm, const uint8_t *prototype, uint64_t code,
                              const struct native_words *words, struct lua_call *call) {
  uint64_t best = 0;
  for (size_t i = 0; i < words->count; i++) {
    uint64_t pc = words->items[i];
    if ((pc - code) % INSTRUCTION) continue;
    if (!best || pc == best + INSTRUCTION) best = pc;
    if (pc != call->saved_pc) continue;
    call->is_approximate = false; /* saved for what is being done */
    return;
  }
  if (!best) return;
  call->saved_pc = best;
  call->is_approximate = false;
  uint32_t line = line_before(vm, prototype, best);
  for (size_t i = 0; i < words->count; i++) {
    uint64_t pc = words->items[i];
    if ((pc - code) % INSTRUCTION == 0 && pc + INSTRUCTION != best &&
        line_before(vm, prototype, pc) != line)
      call->is_approximate = true;
  }
}

static void set_running_pc(struct vm *vm, const struct lua_thread *thread, struct lua_call *call) {
  if (!call->is_lua || thread->status || call->address != thread->call) return;
  call->is_approximate = true;
  const uint8_t *prototype = thread_slot_prototype(vm, thread, call->function);
  if (!prototype || !vm->source) return;
  uint64_t code = load_field(vm->layout, prototype, Proto_code);
  uint64_t end = code + INSTRUCTION * load_field(vm->layout, prototype, Proto_sizecode) + 1;
  struct native_words words = {0};
  bool fits = native_registers(vm->source, code + 1, end, &words);
  if (fits && !words.count) fits = native_words(vm->source, code + 1, end, &words);
  if (fits) choose_running_pc(vm, prototype, code, &words, call);
  vector_free(&words);
}

/* ---- Calls -------------------------------------------------------------------------------------
 */

/* A call info as a call whose function lies below slot `above`. */
static bool load_call(struct vm *vm, const struct lua_thread *thread, uint64_t address,
                      uint64_t above, struct lua_call *call) {
  const struct layout *layout = vm->layout;
  const uint8_t *bytes = call_view(vm, address);
  *call = (struct lua_call){.address = address};
  if (!bytes || !slot_of(vm, thread, load_field(layout, bytes, CallInfo_func), &call->function) ||
      !call->function || call->function >= above)
    return false;
  if (!slot_of(vm, thread, load_field(layout, bytes, CallInfo_top), &call->top))
    call->top = call->function + 1;
  call->status = (uint32_t)load_field(layout, bytes, CallInfo_callstatus);
  call->is_lua = call_is_lua(layout, bytes);
  call->saved_pc = load_field(layout, bytes, CallInfo_savedpc);
  if (call->is_lua)
    call->extra_arguments = (uint32_t)load_field(layout, bytes, CallInfo_nextraargs);
  return true;
}

bool thread_calls(struct vm *vm, const struct lua_thread *thread, struct lua_calls *calls) {
  calls->count = 0;
  uint64_t above = thread->slot_count, skipped = 0;
  for (uint64_t address = thread->call; address && address != thread->base_call;) {
    struct lua_call call;
    /* functions lie strictly deeper from call to call, which also bounds this loop */
    if (load_call(vm, thread, address, above, &call)) {
      above = call.function;
      if (!vector_push(calls, call)) return false;
    } else if (calls->count || skipped++) {
      break; /* only the innermost may be about to be filled in (ldo.c: prepCallInfo) */
    }
    const uint8_t *bytes = call_view(vm, address);
    address = bytes ? load_field(vm->layout, bytes, CallInfo_previous) : 0;
  }
  if (calls->count) set_running_pc(vm, thread, &calls->items[0]);
  return true;
}

uint32_t thread_base_status(struct vm *vm, const struct lua_thread *thread) {
  const uint8_t *base = call_view(vm, thread->base_call);
  return base ? (uint32_t)load_field(vm->layout, base, CallInfo_callstatus) : 0;
}

/* ---- Names and places --------------------------------------------------------------------------
 */

static const char *call_slot_name(struct vm *vm, const struct lua_thread *thread,
                                  const struct lua_call *call, uint64_t slot, size_t *size) {
  const struct layout *layout = vm->layout;
  const uint8_t *prototype =
      call->is_lua ? thread_slot_prototype(vm, thread, call->function) : NULL;
  if (!prototype || slot <= call->function) return NULL;
  return prototype_local_name(vm, prototype, slot - call->function,
                              prototype_pc(layout, prototype, call->saved_pc), size);
}

/* The innermost call whose function lies at or below the slot: functions lie deeper from call to
 * call. */
static size_t call_of_slot(const struct lua_calls *calls, uint64_t slot) {
  size_t low = 0, high = calls->count;
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    if (calls->items[middle].function > slot)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

void thread_slot_name(struct vm *vm, const struct lua_thread *thread, const struct lua_calls *calls,
                      uint64_t slot, uint32_t *level, uint64_t *function, const char **name,
                      size_t *size) {
  *level = UINT32_MAX;
  *name = NULL;
  size_t call = call_of_slot(calls, slot);
  if (call == calls->count) return;
  *level = (uint32_t)call;
  *function = calls->items[call].function;
  *name = call_slot_name(vm, thread, &calls->items[call], slot, size);
}

bool thread_place(struct vm *vm, const struct lua_thread *thread, struct lua_place *place) {
  *place = (struct lua_place){0};
  struct lua_calls calls = {0};
  if (thread_calls(vm, thread, &calls)) {
    size_t i = 0;
    while (i < calls.count && !calls.items[i].is_lua)
      i++;
    const uint8_t *prototype =
        i < calls.count ? thread_slot_prototype(vm, thread, calls.items[i].function) : NULL;
    if (prototype) {
      place->prototype = prototype;
      place->line = prototype_line(vm, prototype,
                                   prototype_pc(vm->layout, prototype, calls.items[i].saved_pc));
      place->is_approximate = calls.items[i].is_approximate;
    }
  }
  vector_free(&calls);
  return place->line != 0;
}
