/* check_threads.c - one thread: stack, calls, open upvalues (lstate.h, lfunc.c: luaF_findupval).
 *
 * Open upvalues are linked from the top of the stack down; each points into the stack and knows the
 * link that leads to it.
 *
 * Invariant: an upvalue is marked when it is met on a list, so walks end; calls are walked by
 * thread_calls, which is bounded. */
#include "graph/check_parts.h"
#include "lua/stack.h"

/* ---- Open upvalues -----------------------------------------------------------------------------
 */

/* The walk along a thread's open upvalues. */
struct upvalue_walk {
  const struct lua_thread *thread;
  uint64_t link;  /* address of the pointer that leads to the upvalue */
  uint64_t level; /* of the one before                                */
};

static void check_level(struct checked_vm *checked, struct upvalue_walk *walk, uint64_t address,
                        const uint8_t *header) {
  const struct lua_thread *thread = walk->thread;
  uint64_t size = checked->layout->size[SIZE_TValue];
  uint64_t place = load_field(checked->layout, header, UpVal_v), level;
  if (thread->is_moving) return; /* some pointers lead to the old stack, some to the new one */
  if (!checked_is_open(checked, address, header)) {
    violation_add_about(checked->violations, VIOLATION_UPVALUE_CLOSED, address, thread->address,
                        "closed, but on the list of the thread at 0x%llx",
                        (unsigned long long)thread->address);
    return;
  }
  level = (place - thread->stack) / size;
  if (place < thread->stack || (place - thread->stack) % size || level >= thread->slot_count) {
    violation_add_about(checked->violations, VIOLATION_UPVALUE_PLACE, address, place,
                        "its value at 0x%llx is no slot of the thread at 0x%llx",
                        (unsigned long long)place, (unsigned long long)thread->address);
    return;
  }
  if (level >= walk->level)
    violation_add_about(checked->violations, VIOLATION_UPVALUE_ORDER, address, thread->address,
                        "of slot %llu, but behind one of slot %llu", (unsigned long long)level,
                        (unsigned long long)walk->level);
  walk->level = level;
}

/* Marks an upvalue as listed; NULL if the walk cannot go on. */
static const uint8_t *enter(struct checked_vm *checked, const struct upvalue_walk *walk,
                            uint64_t address) {
  const struct layout *layout = checked->layout;
  object_id object = checked_object(checked, address);
  const uint8_t *header = memory_view(&checked->vm->memory, address, layout->size[SIZE_UpVal]);
  const char *problem = NULL;
  if (object == NO_OBJECT || !header || !(checked->check->marks[object] & ON_LIST)) {
    if (header && checked_is_being_freed(checked, address, TAG_UPVALUE)) return header;
    if (!checked->lists_are_whole || checked_is_missing(checked, address)) return NULL;
    problem = "where no object is";
  } else if (load_field(layout, header, GCObject_tt) != TAG_UPVALUE) {
    problem = "which is no upvalue";
  } else if (checked->check->marks[object] & ON_OPEN_LIST) {
    problem = "which was on a list before";
  }
  if (problem) {
    violation_add_about(checked->violations, VIOLATION_UPVALUE_LIST, walk->thread->address, address,
                        "the list of open upvalues leads to 0x%llx, %s",
                        (unsigned long long)address, problem);
    return NULL;
  }
  checked->check->marks[object] |= ON_OPEN_LIST;
  if (load_field(layout, header, UpVal_previous) != walk->link)
    violation_add_about(checked->violations, VIOLATION_UPVALUE_LIST, address, walk->thread->address,
                        "it does not know the link at 0x%llx that leads to it",
                        (unsigned long long)walk->link);
  return header;
}

static void check_open_upvalues(struct checked_vm *checked, const struct lua_thread *thread) {
  const struct layout *layout = checked->layout;
  struct upvalue_walk walk = {.thread = thread, .level = UINT64_MAX};
  walk.link = thread->address + layout->place[lua_State_openupval].offset;
  for (uint64_t address = thread->open_upvalues; address;) {
    const uint8_t *header = enter(checked, &walk, address);
    if (!header) return;
    check_level(checked, &walk, address, header);
    walk.link = address + layout->place[UpVal_open_next].offset;
    address = load_field(layout, header, UpVal_open_next);
  }
}

/* ---- Calls -------------------------------------------------------------------------------------
 */

/* Whether the saved pc of a Lua function lies in its code. */
static bool pc_is_in_code(struct checked_vm *checked, const struct lua_thread *thread,
                          const struct lua_call *call) {
  const struct layout *layout = checked->layout;
  struct memory *memory = &checked->vm->memory;
  struct lua_value function = thread_slot(checked->vm, thread, call->function);
  if (function.tag != (TAG_LUA_FUNCTION | TAG_COLLECTABLE)) return true; /* a damaged slot */
  const uint8_t *closure = memory_view(memory, function.bits, layout->size[SIZE_LClosure]);
  const uint8_t *prototype = closure ? memory_view(memory, load_field(layout, closure, LClosure_p),
                                                   layout->size[SIZE_Proto])
                                     : NULL;
  if (!prototype) return true; /* reported as a reference */
  uint64_t code = load_field(layout, prototype, Proto_code);
  return call->saved_pc >= code &&
         call->saved_pc - code <= 4 * load_field(layout, prototype, Proto_sizecode);
}

static struct inspect_error *check_calls(struct checked_vm *checked,
                                         const struct lua_thread *thread) {
  struct lua_calls calls = {0};
  if (!thread_calls(checked->vm, thread, &calls)) {
    vector_free(&calls);
    return error_no_memory();
  }
  uint64_t last = thread->call;
  if (calls.count) {
    last = calls.items[calls.count - 1].address;
    const uint8_t *bytes =
        memory_view(&checked->vm->memory, last, checked->layout->size[SIZE_CallInfo]);
    if (bytes) last = load_field(checked->layout, bytes, CallInfo_previous);
  }
  if (last != thread->base_call)
    violation_add_about(checked->violations, VIOLATION_THREAD_CALL, thread->address, last,
                        "after %zu calls the chain breaks at 0x%llx", calls.count,
                        (unsigned long long)last);
  /* the innermost function saves its pc only now and then */
  for (size_t i = 1; i < calls.count; i++)
    if (calls.items[i].is_lua && !pc_is_in_code(checked, thread, &calls.items[i]))
      violation_add_about(checked->violations, VIOLATION_THREAD_CALL, thread->address,
                          calls.items[i].address,
                          "the call at level %zu goes on outside of its function's code", i);
  vector_free(&calls);
  return NULL;
}

/* ---- The thread --------------------------------------------------------------------------------
 */

static void check_to_be_closed(struct checked_vm *checked, const struct lua_thread *thread) {
  const uint8_t *header =
      memory_view(&checked->vm->memory, thread->address, checked->layout->size[SIZE_lua_State]);
  if (!header || thread->is_moving || !layout_has(checked->layout, lua_State_tbclist)) return;
  uint64_t list = load_field(checked->layout, header, lua_State_tbclist);
  uint64_t size = checked->layout->size[SIZE_TValue];
  if (list < thread->stack || (list - thread->stack) % size ||
      (list - thread->stack) / size >= thread->slot_count)
    violation_add_about(checked->violations, VIOLATION_THREAD_STACK, thread->address, list,
                        "its list of variables to be closed, 0x%llx, lies outside of its stack",
                        (unsigned long long)list);
}

/* A stack is moved by its own thread as it runs, or by the collector (ldo.c). */
static void check_moving(struct checked_vm *checked, const struct lua_thread *thread) {
  object_id running = checked->owner->running_thread;
  if (!thread->is_moving || !checked->marks_hold ||
      (running != NO_OBJECT && heap_address(checked->heap, running) == thread->address))
    return;
  violation_add_about(
      checked->violations, VIOLATION_THREAD_STACK, thread->address, thread->stack,
      "its pointers do not lead to its stack at 0x%llx, and nothing was moving that",
      (unsigned long long)thread->stack);
}

struct inspect_error *check_thread(struct checked_vm *checked, uint64_t address, bool is_dead) {
  struct lua_thread thread;
  const char *fault = thread_load(checked->vm, address, &thread);
  if (!fault && (!thread.initialized || !thread.stack)) return NULL; /* still being made */
  if (!fault) fault = thread.fault;
  if (fault) {
    if (!is_dead && !checked_is_missing(checked, thread.stack))
      violation_add_about(checked->violations, VIOLATION_THREAD_STACK, address, thread.stack, "%s",
                          fault);
    if (!thread.slots) return NULL;
  }
  check_open_upvalues(checked, &thread);
  if (is_dead || fault) return NULL;
  check_moving(checked, &thread);
  object_id object = checked_object(checked, address);
  if (thread.open_upvalues && object != NO_OBJECT && checked->twups_are_whole &&
      checked->vm->gc_state != GC_ATOMIC && !(checked->check->marks[object] & ON_TWUPS))
    violation_add(checked->violations, VIOLATION_THREAD_TWUPS, address,
                  "a thread with open upvalues, but not on twups");
  check_to_be_closed(checked, &thread);
  return check_calls(checked, &thread);
}
