/* print_thread.c - a thread: its calls, the innermost first, each with its function, line and
 * locals. What is in its stack without a name is shown where it tells something: the function and
 * arguments of one that has not started, the error of one that died. */
#include "command/print.h"
#include "lua/function.h"
#include "lua/stack.h"
#include "report/render.h"

enum { CALLS = 2, LOCALS = 6 }; /* columns */

/* A function in a slot, in words. */
static const char *function_words(struct printing *printing, struct lua_value value) {
  struct inspect_session *session = printing->context->session;
  struct arena *arena = printing->context->arena;
  if (value.tag == TAG_LIGHT_FUNCTION) {
    const char *name = heap_c_function_name(&session->heap, value.bits);
    return name ? arena_printf(arena, "C function %s", name) : "C function";
  }
  object_id object =
      value_is_object(value) ? heap_object_at(&session->heap, value.bits) : NO_OBJECT;
  return object == NO_OBJECT ? "function that cannot be read"
                             : describe_object(session, object, arena);
}

/* The prototype of a Lua function; false if it has none that can be read. */
static bool prototype_of(struct vm *vm, struct lua_value value, struct lua_prototype *prototype) {
  struct lua_function function;
  return value.tag == (TAG_LUA_FUNCTION | TAG_COLLECTABLE) &&
         !function_load(vm, value.bits, &function) &&
         !prototype_load(vm, function.prototype, prototype);
}

static void page_call(struct printing *printing, const struct lua_call *call, size_t level,
                      struct lua_value function, const struct lua_prototype *prototype,
                      struct data *row) {
  struct command_context *context = printing->context;
  struct vm *vm = &printing->place->owner->vm;
  const char *words = function_words(printing, function), *place = NULL;
  uint32_t at = prototype
                    ? prototype_line(vm, prototype->bytes,
                                     prototype_pc(vm->layout, prototype->bytes, call->saved_pc))
                    : 0;
  if (at) place = prototype_place(vm, prototype->bytes, at, context->arena);
  struct line *line = page_line(context->document, CALLS);
  line_printf(line, STYLE_PLAIN, "level %zu   ", level);
  line_cell(line, STYLE_PLAIN, cell_words(words));
  if (place) line_printf(line, STYLE_PLAIN, ", %s %s", call->is_approximate ? "near" : "at", place);
  data_cell(row, "level", cell_plain(level));
  data_cell(row, "function", cell_words(words));
  data_cell(row, "address", value_is_object(function) ? cell_address(function.bits) : cell_null());
  data_cell(row, "line", at ? cell_plain(at) : cell_null());
}

/* Locals with a name, in the order of their declaration. `above` is the slot where the next call
 * begins. */
static struct inspect_error *print_locals(struct printing *printing,
                                          const struct lua_thread *thread,
                                          const struct lua_call *call,
                                          const struct lua_prototype *prototype, uint64_t above,
                                          struct data *row) {
  struct vm *vm = &printing->place->owner->vm;
  struct data *list = data_array(row, "locals");
  uint64_t pc = prototype_pc(vm->layout, prototype->bytes, call->saved_pc);
  for (uint64_t i = 1; call->function + i < above && i <= printing->tree.limit; i++) {
    size_t size = 0;
    const char *name = prototype_local_name(vm, prototype->bytes, i, pc, &size);
    if (!name) break;
    struct data *local = data_object(list, NULL);
    data_cell(local, "name", cell_bare(name, size));
    TRY(print_value(printing, thread_slot(vm, thread, call->function + i), LOCALS,
                    print_name(printing, name, size, i), local, "value"));
  }
  return NULL;
}

static struct inspect_error *print_calls(struct printing *printing, const struct lua_thread *thread,
                                         const struct lua_calls *calls) {
  struct vm *vm = &printing->place->owner->vm;
  struct data *list = data_array(printing->data, "calls");
  uint64_t above = thread->maybe_top;
  size_t i = 0;
  for (; i < calls->count && i < printing->tree.limit; i++) {
    const struct lua_call *call = &calls->items[i];
    struct lua_value function = thread_slot(vm, thread, call->function);
    struct lua_prototype prototype;
    bool has_prototype = call->is_lua && prototype_of(vm, function, &prototype);
    struct data *row = data_object(list, NULL);
    page_call(printing, call, i, function, has_prototype ? &prototype : NULL, row);
    if (has_prototype) TRY(print_locals(printing, thread, call, &prototype, above, row));
    above = call->function;
  }
  data_cell(printing->data, "call_count", cell_count(calls->count));
  if (i == calls->count) return NULL;
  struct line *line = page_line(printing->context->document, CALLS);
  line_cell(line, STYLE_MUTED, cell_count(calls->count - i));
  line_words(line, STYLE_MUTED, " more calls: --limit N shows more");
  return NULL;
}

/* What a thread without calls holds: a function and its arguments, or an error. */
static struct inspect_error *print_idle(struct printing *printing,
                                        const struct lua_thread *thread) {
  struct vm *vm = &printing->place->owner->vm;
  enum thread_state state = thread_state(thread);
  if (state == THREAD_DEAD_BY_ERROR && thread->top > 1)
    return print_value(printing, thread_slot(vm, thread, thread->top - 1), CALLS, "error",
                       printing->data, "error");
  if (state != THREAD_NOT_STARTED) return NULL;
  struct data *list = data_array(printing->data, "start");
  for (uint64_t i = 1; i < thread->top && i <= printing->tree.limit; i++)
    TRY(print_value(printing, thread_slot(vm, thread, i), CALLS,
                    i == 1 ? "function" : print_name(printing, NULL, 0, i - 1), list, NULL));
  return NULL;
}

struct inspect_error *print_thread(struct printing *printing) {
  struct vm *vm = &printing->place->owner->vm;
  struct lua_thread thread;
  struct lua_calls calls = {0};
  if (thread_load(vm, printing->place->value.bits, &thread) || !thread.initialized || !thread.slots)
    return NULL;
  struct line *line = page_named(printing->context, "stack");
  line_cell(line, STYLE_PLAIN, cell_count(thread.top));
  line_words(line, STYLE_PLAIN, " of ");
  line_cell(line, STYLE_PLAIN, cell_count(thread.slot_count));
  line_words(line, STYLE_PLAIN, " slots in use");
  struct inspect_error *error = print_idle(printing, &thread);
  if (!error && !thread_calls(vm, &thread, &calls)) error = error_no_memory();
  if (!error) error = print_calls(printing, &thread, &calls);
  vector_free(&calls);
  return error;
}
