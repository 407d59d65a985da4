/* print_thread.c - a thread: its calls, the innermost first, as Lua's traceback tells them, each
 * with its variables opened. `bt` shows more threads, and what has no name besides.
 *
 * What is in a stack without a call is shown where it tells something: the function and arguments
 * of a thread that has not started, the error of one that died. */
#include <inttypes.h>

#include "command/print.h"
#include "command/threads.h"

enum { CALLS = 2, LOCALS = 6 }; /* columns */

static struct inspect_error *print_local(struct printing *printing, const struct lua_local *local,
                                         struct data *list) {
  bool is_vararg = local->kind == LOCAL_VARARG;
  const char *before = print_name(printing, local->name, local->name_size, local->number);
  if (is_vararg)
    before = arena_printf(printing->context->arena, "... [%" PRIu64 "]", local->number);
  struct data *row = data_object(list, NULL);
  data_cell(row, "kind", cell_words(is_vararg ? "vararg" : "local"));
  data_cell(row, "name", local->name ? cell_bare(local->name, local->name_size) : cell_null());
  data_cell(row, "number", cell_plain(local->number));
  return print_value(printing, local->value, LOCALS, before ? before : "?", row, "value");
}

static struct inspect_error *print_locals(struct printing *printing, struct traceback *traceback,
                                          size_t level, struct data *row) {
  struct lua_locals locals = {0};
  uint64_t more = 0;
  struct data *list = data_array(row, "locals");
  struct inspect_error *error = NULL;
  if (!traceback_locals(traceback, level, printing->tree.limit, &locals, &more))
    error = error_no_memory();
  for (size_t i = 0; !error && i < locals.count; i++)
    if (locals.items[i].kind != LOCAL_TEMPORARY)
      error = print_local(printing, &locals.items[i], list);
  vector_free(&locals);
  if (!more) return error;
  struct line *line = page_line(printing->context->document, LOCALS);
  line_cell(line, STYLE_MUTED, cell_count(more));
  line_words(line, STYLE_MUTED, " more");
  return error;
}

static struct inspect_error *print_call(struct printing *printing, struct traceback *traceback,
                                        size_t level, struct data *list) {
  struct command_context *context = printing->context;
  struct heap *heap = &context->session->heap;
  struct lua_frame frame;
  if (!traceback_frame(traceback, level, context->arena, &frame)) return error_no_memory();
  struct line *line = page_line(context->document, CALLS);
  line_printf(line, STYLE_PLAIN, "level %zu   ", level);
  line_cell(line, STYLE_PLAIN, cell_words(frame.text));
  if (frame.is_approximate) line_words(line, STYLE_MUTED, "   (about here: it was running)");
  bool is_object = value_is_object(frame.function);
  object_id object = is_object ? heap_object_at(heap, frame.function.bits) : NO_OBJECT;
  struct data *row = data_object(list, NULL);
  data_cell(row, "level", cell_plain(level));
  data_cell(row, "text", cell_words(frame.text));
  data_cell(row, "function",
            object == NO_OBJECT
                ? cell_null()
                : cell_words(describe_object(context->session, object, context->arena)));
  data_cell(row, "address", is_object ? cell_address(frame.function.bits) : cell_null());
  data_cell(row, "line", frame.line ? cell_plain(frame.line) : cell_null());
  return print_locals(printing, traceback, level, row);
}

static struct inspect_error *print_calls(struct printing *printing, struct traceback *traceback) {
  struct data *list = data_array(printing->data, "calls");
  size_t count = traceback->calls.count, shown = count;
  if (shown > printing->tree.limit) shown = (size_t)printing->tree.limit;
  for (size_t i = 0; i < shown; i++)
    TRY(print_call(printing, traceback, i, list));
  data_cell(printing->data, "call_count", cell_count(count));
  if (shown == count) return NULL;
  struct line *line = page_line(printing->context->document, CALLS);
  line_cell(line, STYLE_MUTED, cell_count(count - shown));
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

static struct inspect_error *print_open(struct printing *printing, struct traceback *traceback) {
  const struct lua_thread *thread = &traceback->thread;
  struct line *line = page_named(printing->context, "stack");
  line_cell(line, STYLE_PLAIN, cell_count(thread->top));
  line_words(line, STYLE_PLAIN, " of ");
  line_cell(line, STYLE_PLAIN, cell_count(thread->slot_count));
  line_words(line, STYLE_PLAIN, " slots in use");
  if (thread->slots) TRY(print_idle(printing, thread));
  return print_calls(printing, traceback);
}

struct inspect_error *print_thread(struct printing *printing) {
  struct inspect_session *session = printing->context->session;
  struct vm_threads threads;
  struct traceback traceback;
  size_t vm = (size_t)(printing->place->owner - session->heap.vms), i = 0;
  struct inspect_error *error = vm_threads_find(session, vm, printing->context->work, &threads);
  while (!error && i < threads.list.count &&
         threads.list.items[i].object != printing->place->object)
    i++;
  if (!error && i < threads.list.count &&
      !vm_threads_open(&threads, &threads.list.items[i], &traceback)) {
    if (traceback.thread.initialized) error = print_open(printing, &traceback);
    traceback_close(&traceback);
  }
  vm_threads_free(&threads);
  return partial_if_interrupted(printing->context, error);
}
