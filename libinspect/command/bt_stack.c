/* bt_stack.c - one thread: its state, its frames from the innermost out, and their variables.
 *
 * Of a deep stack the innermost and the outermost frames are shown, as Lua's own traceback does. */
#include "command/bt.h"

#include <inttypes.h>

#include "lua/function.h"

enum { DEFAULT_FRAMES = 22, MOST_LOCALS = 40 };

/* ---- Variables ------------------------------------------------------------------------------- */

static const char *local_name(const struct lua_local *local, struct arena *arena) {
  if (local->kind == LOCAL_VARARG) return arena_printf(arena, "... [%" PRIu64 "]", local->number);
  if (local->kind == LOCAL_TEMPORARY)
    return arena_printf(arena, "(temporary %" PRIu64 ")", local->number);
  struct text text = {0};
  const char *name = text_escape(&text, local->name, local->name_size, 0)
                         ? arena_copy(arena, text.items, text.count)
                         : NULL;
  vector_free(&text);
  return name;
}

static bool show_local(struct bt_stack *stack, const struct lua_local *local, struct data *list) {
  static const char *const KINDS[] = {"local", "vararg", "temporary"};
  struct command_context *context = stack->context;
  const char *name = local_name(local, context->arena);
  const char *value = value_line(stack->lines, stack->threads->owner, local->value);
  if (!name || !value) return false;
  struct line *line = page_line(context->document, BT_TEXT_COLUMN + 4);
  line_cell(line, local->kind == LOCAL_NAMED ? STYLE_KEY : STYLE_MUTED, cell_words(name));
  line_words(line, STYLE_PLAIN, " = ");
  line_cell(line, STYLE_PLAIN, cell_words(value));
  struct data *row = data_object(list, NULL);
  data_cell(row, "kind", cell_words(KINDS[local->kind]));
  data_cell(row, "name", local->kind == LOCAL_NAMED ? cell_words(name) : cell_null());
  data_cell(row, "number", cell_plain(local->number));
  data_cell(row, "type", cell_words(value_type_name(local->value)));
  data_cell(row, "value", cell_words(value));
  data_cell(row, "address",
            value_is_object(local->value) ? cell_address(local->value.bits) : cell_null());
  return true;
}

static bool show_locals(struct bt_stack *stack, size_t level, struct data *frame) {
  struct lua_locals locals = {0};
  uint64_t more = 0;
  bool fits = traceback_locals(&stack->traceback, level, MOST_LOCALS, &locals, &more);
  struct data *list = data_array(frame, "locals");
  for (size_t i = 0; fits && i < locals.count; i++)
    fits = show_local(stack, &locals.items[i], list);
  data_cell(frame, "more_locals", cell_count(more));
  if (more) {
    struct line *line = page_line(stack->context->document, BT_TEXT_COLUMN + 4);
    line_cell(line, STYLE_MUTED, cell_count(more));
    line_words(line, STYLE_MUTED, " more");
  }
  vector_free(&locals);
  return fits;
}

/* ---- Frames ---------------------------------------------------------------------------------- */

/* "luaB_pcall" for the code of a C function, NULL if its name is not known or it is none. */
static const char *c_name(struct bt_stack *stack, const struct lua_frame *frame) {
  if (frame->kind != FRAME_C) return NULL;
  uint64_t code = c_function_code(&stack->threads->owner->vm, frame->function);
  return code ? heap_c_function_name(&stack->context->session->heap, code) : NULL;
}

static void page_frame(struct bt_stack *stack, size_t level, const struct lua_frame *frame,
                       const char *symbol, const char *native) {
  struct document *document = stack->context->document;
  struct line *line = page_line(document, 2);
  line_printf(line, STYLE_MUTED, "#%zu", level);
  line_tab(line, BT_TEXT_COLUMN);
  line_cell(line, STYLE_PLAIN, cell_words(frame->text));
  if (frame->is_approximate) line_words(line, STYLE_MUTED, "   (about here: it was running)");
  bool has_symbol = symbol && (!frame->name || strcmp(symbol, frame->name) != 0);
  if (has_symbol || (native && frame->kind == FRAME_C)) line_tab(line, BT_C_COLUMN);
  if (has_symbol) line_printf(line, STYLE_MUTED, "C function %s%s", symbol, native ? ", " : "");
  if (native && frame->kind == FRAME_C) line_cell(line, STYLE_MUTED, cell_words(native));
  if (frame->is_tail_call)
    line_words(page_line(document, BT_TEXT_COLUMN), STYLE_MUTED, "(...tail calls...)");
}

static void data_frame(struct data *row, size_t level, const struct lua_frame *frame,
                       const char *symbol) {
  static const char *const KINDS[] = {"Lua", "main", "C", "damaged"};
  data_cell(row, "level", cell_plain(level));
  data_cell(row, "text", cell_words(frame->text));
  data_cell(row, "what", cell_words(KINDS[frame->kind]));
  data_cell(row, "source", cell_words(frame->source));
  data_cell(row, "line", frame->line ? cell_plain(frame->line) : cell_null());
  data_cell(row, "approximate", cell_boolean(frame->is_approximate));
  data_cell(row, "defined", frame->kind == FRAME_LUA ? cell_plain(frame->defined) : cell_null());
  data_cell(row, "name", cell_words(frame->name));
  data_cell(row, "namewhat", cell_words(frame->namewhat));
  data_cell(row, "tail_call", cell_boolean(frame->is_tail_call));
  data_cell(row, "c_function", cell_words(symbol));
  data_cell(row, "function",
            value_is_object(frame->function) || frame->function.tag == TAG_LIGHT_FUNCTION
                ? cell_address(frame->function.bits)
                : cell_null());
}

bool bt_frame(struct bt_stack *stack, size_t level, const char *native, struct data *row) {
  struct lua_frame frame;
  if (!traceback_frame(&stack->traceback, level, stack->context->arena, &frame)) return false;
  const char *symbol = c_name(stack, &frame);
  page_frame(stack, level, &frame, symbol, native);
  data_frame(row, level, &frame, symbol);
  return !stack->context->options->locals || show_locals(stack, level, row);
}

/* From `first` to `end` - 1, as far as the user wants to wait. */
static bool show_range(struct bt_stack *stack, size_t first, size_t end) {
  enum { REPORT_EVERY = 1 << 8 };
  for (size_t i = first; i < end; i++) {
    if (i % REPORT_EVERY == 0 && work_stops(stack->context->work, "reading frames", i, end))
      return true;
    if (!bt_frame(stack, i, NULL, data_object(stack->frames, NULL))) return false;
  }
  return true;
}

static void page_skipped(struct bt_stack *stack, uint64_t count, uint64_t all) {
  struct line *line = page_line(stack->context->document, BT_TEXT_COLUMN);
  line_words(line, STYLE_MUTED, "... ");
  line_cell(line, STYLE_MUTED, cell_count(count));
  line_printf(line, STYLE_MUTED, " more frames: --frames %" PRIu64, all);
}

static bool show_frames(struct bt_stack *stack) {
  size_t count = stack->traceback.calls.count, first = count, last = 0;
  uint64_t most =
      stack->context->options->frames ? stack->context->options->frames : DEFAULT_FRAMES;
  if (count > most) {
    first = (size_t)(most - 1) / 2;
    last = (size_t)most - 1 - first;
  }
  size_t skipped = count - first - last;
  stack->frames = data_array(stack->data, "frames");
  bool fits = show_range(stack, 0, first);
  if (skipped) page_skipped(stack, skipped, count);
  fits = fits && show_range(stack, count - last, count);
  data_cell(stack->data, "frame_count", cell_count(count));
  data_cell(stack->data, "skipped_frames", cell_count(skipped));
  return fits;
}

/* ---- The thread ------------------------------------------------------------------------------ */

const char *bt_thread_words(struct command_context *context, struct vm_threads *threads,
                            const struct thread_row *row) {
  struct traceback traceback;
  if (row->object == threads->owner->main_thread) return "the main thread";
  const char *fault = vm_threads_open(threads, row, &traceback);
  const char *main = fault ? NULL : thread_main_name(context->session, &traceback, context->arena);
  traceback_close(&traceback);
  return main ? arena_printf(context->arena, "coroutine 0x%" PRIx64 " (%s)", row->address, main)
              : arena_printf(context->arena, "coroutine 0x%" PRIx64, row->address);
}

const char *bt_error_words(struct value_lines *lines, struct heap_vm *owner,
                           struct lua_value error) {
  enum { LONGEST = 400 };
  size_t size;
  const char *bytes = value_is_object(error) && value_is_string(error)
                          ? string_bytes(&owner->vm, error.bits, &size)
                          : NULL;
  if (!bytes) return value_line(lines, owner, error);
  struct text text = {0};
  size_t shown = text_cut(bytes, size, LONGEST);
  bool fits =
      text_escape(&text, bytes, shown, 0) && (shown == size || text_add_string(&text, "..."));
  const char *words = fits ? arena_copy(lines->arena, text.items, text.count) : NULL;
  vector_free(&text);
  return words;
}

static void page_thread(struct bt_stack *stack, const char *main, const char *error) {
  const struct vm_threads *threads = stack->threads;
  bool is_main = stack->row->object == threads->owner->main_thread;
  struct line *line = page_line(stack->context->document, 0);
  line_words(line, STYLE_HEADING, is_main ? "main thread " : "coroutine ");
  line_cell(line, STYLE_HEADING, cell_address(stack->row->address));
  line_printf(line, STYLE_PLAIN, "   %s", thread_status_words(stack->row->status));
  if (error) line_printf(line, STYLE_BAD, ": %s", error);
  if (stack->row->status == THREAD_STATUS_RUNNING && threads->tid)
    line_printf(line, STYLE_PLAIN, "   OS thread %" PRId64, threads->tid);
  if (main && !is_main) line_printf(line, STYLE_PLAIN, "   function %s", main);
}

static void data_thread(struct bt_stack *stack, const char *main, const char *error,
                        const char *fault) {
  const struct vm_threads *threads = stack->threads;
  struct data *data = stack->data;
  bool runs = stack->row->status == THREAD_STATUS_RUNNING;
  data_cell(data, "vm", cell_plain(threads->vm + 1));
  data_cell(data, "address", cell_address(stack->row->address));
  data_cell(data, "is_main", cell_boolean(stack->row->object == threads->owner->main_thread));
  data_cell(data, "status", cell_words(thread_status_name(stack->row->status)));
  data_cell(data, "tid", runs && threads->tid ? cell_plain((uint64_t)threads->tid) : cell_null());
  data_cell(data, "main", cell_words(main));
  data_cell(data, "error", cell_words(error));
  data_cell(data, "fault", cell_words(fault));
}

void bt_open(struct bt_stack *stack, struct command_context *context, struct value_lines *lines,
             struct vm_threads *threads, const struct thread_row *row) {
  *stack = (struct bt_stack){.context = context, .lines = lines, .threads = threads, .row = row};
  stack->fault = vm_threads_open(threads, row, &stack->traceback);
}

void bt_heading(struct bt_stack *stack, struct data *data) {
  struct command_context *context = stack->context;
  const char *main =
      stack->fault ? NULL : thread_main_name(context->session, &stack->traceback, context->arena);
  struct lua_value value;
  const char *error = !stack->fault && traceback_error(&stack->traceback, &value)
                          ? bt_error_words(stack->lines, stack->threads->owner, value)
                          : NULL;
  stack->data = data;
  page_thread(stack, main, error);
  data_thread(stack, main, error, stack->fault);
}

void bt_close(struct bt_stack *stack) { traceback_close(&stack->traceback); }

struct inspect_error *bt_show(struct command_context *context, struct value_lines *lines,
                              struct vm_threads *threads, const struct thread_row *row,
                              const struct bt_folds *folds, struct data *stacks) {
  struct bt_stack stack;
  bt_open(&stack, context, lines, threads, row);
  bt_heading(&stack, data_object(stacks, NULL));
  bool fits = show_frames(&stack);
  bt_show_alike(context, threads, folds, (size_t)(row - threads->list.items), stack.data);
  bt_close(&stack);
  return fits ? NULL : error_no_memory();
}
