/* bt_native.c - `bt --native`: each thread of the operating system with its C frames and the Lua
 * calls that run on it, in one traceback.
 *
 * The order is that of lua/merge.h, or, if that has a doubt, there is none: then the C frames come
 * first and the Lua calls after them, and the page says so. OS threads that run Lua come before
 * those that do not, and of the latter those with the same C frames are shown once. */
#include "command/bt.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "lua/merge.h"
#include "lua/native.h"

enum { DEFAULT_ROWS = 100, DEFAULT_LIMIT = 20, MOST_FRAMES = 1 << 14, MOST_ALL_FRAMES = 1 << 20 };

/* A Lua thread on an OS thread. */
struct passenger {
  struct vm_threads *threads;
  const struct thread_row *row;
};

struct os_thread {
  const struct source_thread *native;
  struct source_stack stack;
  struct VECTOR(struct passenger) passengers; /* the innermost first                          */
  size_t like;                                /* others that were stopped at the same place   */
  bool is_shown;                              /* or counted with one like it                  */
};

struct natives {
  struct command_context *context;
  struct value_lines *lines;
  struct os_thread *list; /* in the order of the target */
  size_t count;
  const struct thread_row *only; /* on whose OS thread is asked; NULL: all */
  bool is_begun;                 /* something was shown */
  struct data *data;
};

/* An OS thread on the page. */
struct view {
  struct natives *all;
  struct os_thread *thread;
  struct bt_stack *stacks;        /* of the passengers */
  struct merge_thread *mergeable; /* the same          */
  struct merge_result merged;
  struct data *data, *threads, *rows;
};

/* ---- Who runs where -------------------------------------------------------------------------- */

/* By the jump buffer; a main thread that was called without protection has none, but runs where its
 * coroutines do. NULL: not known. */
static const struct source_thread *native_of(const struct source *source,
                                             const struct vm_threads *threads,
                                             const struct thread_row *row) {
  const struct source_thread *native = native_thread_at(source, row->error_jump);
  for (size_t i = 0; !native && threads->tid && i < source->thread_count; i++)
    if (source->threads[i].tid == threads->tid) native = &source->threads[i];
  return native;
}

bool bt_is_native(struct command_context *context, const struct vm_threads *threads,
                  const struct thread_row *row) {
  return row->in_chain && native_of(context->session->source, threads, row);
}

static bool is_further_in(const struct thread_row *a, const struct thread_row *b) {
  return a->error_jump - 1 < b->error_jump - 1; /* 0 is the outermost */
}

static bool add_passenger(struct os_thread *thread, struct passenger passenger) {
  if (!vector_push(&thread->passengers, passenger)) return false;
  struct passenger *items = thread->passengers.items;
  for (size_t i = thread->passengers.count - 1; i && is_further_in(passenger.row, items[i - 1].row);
       i--) {
    items[i] = items[i - 1];
    items[i - 1] = passenger;
  }
  return true;
}

static bool find_passengers(struct natives *all, struct vm_threads *vms, size_t vm_count) {
  for (size_t i = 0; i < vm_count; i++)
    for (size_t j = 0; j < vms[i].chain.count; j++) {
      const struct thread_row *row = &vms[i].list.items[vms[i].chain.items[j]];
      const struct source *source = all->context->session->source;
      const struct source_thread *native = native_of(source, &vms[i], row);
      if (native &&
          !add_passenger(&all->list[native - source->threads], (struct passenger){&vms[i], row}))
        return false;
    }
  return true;
}

static struct inspect_error *unwind_all(struct natives *all) {
  struct source *source = all->context->session->source;
  size_t left = MOST_ALL_FRAMES;
  for (int with_lua = 1; with_lua >= 0; with_lua--)
    for (size_t i = 0; i < all->count; i++) {
      struct os_thread *thread = &all->list[i];
      if ((thread->passengers.count != 0) != with_lua) continue;
      size_t most = left < MOST_FRAMES ? left : MOST_FRAMES;
      TRY(source_unwind(source, thread->native, most, all->context->work, &thread->stack));
      left -= thread->stack.frames.count;
    }
  return NULL;
}

/* ---- Frames ---------------------------------------------------------------------------------- */

struct place {
  const char *symbol, *module, *path; /* escaped, escaped, as it is; NULL: not known */
  uint64_t offset;                    /* in the module                               */
};

static const char *escaped(struct arena *arena, const char *bytes) {
  struct text text = {0};
  const char *result = text_escape(&text, bytes, strlen(bytes), 0)
                           ? arena_copy(arena, text.items, text.count)
                           : NULL;
  vector_free(&text);
  return result;
}

static struct place place_of(struct natives *all, uint64_t code) {
  struct source *source = all->context->session->source;
  struct place place = {0};
  const struct source_mapping *mapping = source_mapping_at(source, code);
  if (mapping) {
    const char *slash = strrchr(mapping->path, '/');
    place.path = mapping->path;
    place.module = escaped(all->context->arena, slash ? slash + 1 : mapping->path);
    place.offset = code - source_mapping_base(source, mapping);
  }
  const char *symbol, *version;
  if (source_symbol(source, code, &symbol)) {
    version = strchr(symbol, '@'); /* "fgets@@GLIBC_2.2.5" */
    size_t size = version && version > symbol ? (size_t)(version - symbol) : strlen(symbol);
    place.symbol = arena_copy(all->context->arena, symbol, size);
  }
  return place;
}

static uint64_t code_of(const struct source_frame *frame) {
  return frame->is_exact ? frame->pc : frame->pc - 1;
}

static void data_place(struct data *row, const struct source_frame *frame,
                       const struct place *place) {
  struct data *data = data_object(row, "frame");
  data_cell(data, "pc", cell_address(frame->pc));
  data_cell(data, "symbol", cell_words(place->symbol));
  data_cell(data, "module",
            place->path ? cell_bare(place->path, strlen(place->path)) : cell_null());
  data_cell(data, "offset", place->path ? cell_plain(place->offset) : cell_null());
}

static void page_place(struct natives *all, const struct source_frame *frame,
                       const struct place *place) {
  struct line *line = page_line(all->context->document, BT_TEXT_COLUMN);
  if (place->symbol) {
    line_cell(line, STYLE_MUTED, cell_words(place->symbol));
    if (place->module) line_tab(line, BT_C_COLUMN);
    if (place->module) line_cell(line, STYLE_MUTED, cell_words(place->module));
  } else if (place->module) {
    line_printf(line, STYLE_MUTED, "%s+0x%" PRIx64, place->module, place->offset);
  } else {
    line_cell(line, STYLE_MUTED, cell_address(frame->pc));
  }
}

/* Where the frame of a C function is: its file; a function that it has ended in is named. */
static const char *where_words(struct natives *all, const struct source_frame *frame,
                               const struct place *place, uint64_t code) {
  struct arena *arena = all->context->arena;
  const char *module = place->module ? place->module : "?";
  if (place->symbol && code && frame->start && frame->start != code)
    return arena_printf(arena, "now %s, %s", place->symbol, module);
  if (place->symbol) return module;
  return arena_printf(arena, "%s+0x%" PRIx64, module, place->offset);
}

/* ---- Rows ------------------------------------------------------------------------------------ */

static void show_place(struct view *view, size_t index, struct data *row, bool on_page) {
  const struct source_frame *frame = &view->thread->stack.frames.items[index];
  struct place place = place_of(view->all, code_of(frame));
  data_place(row, frame, &place);
  if (on_page) page_place(view->all, frame, &place);
}

static bool show_call(struct view *view, const struct merge_row *row, struct data *data) {
  struct natives *all = view->all;
  struct bt_stack *stack = &view->stacks[row->thread];
  const char *native = NULL;
  if (row->frame == MERGE_NONE) {
    data_cell(data, "frame", cell_null());
  } else {
    const struct source_frame *frame = &view->thread->stack.frames.items[row->frame];
    struct place place = place_of(all, code_of(frame));
    data_place(data, frame, &place);
    native =
        where_words(all, frame, &place, view->mergeable[row->thread].calls.items[row->level].code);
    if (!native) return false;
  }
  struct data *call = data_object(data, "call");
  data_cell(call, "thread", cell_address(stack->row->address));
  data_cell(call, "vm", cell_plain(stack->threads->vm + 1));
  data_cell(call, "continuation", cell_boolean(row->is_continuation));
  return bt_frame(stack, row->level, native, call);
}

/* The line about a Lua thread, before the first row that belongs to it. */
static void show_passenger(struct view *view, size_t index) {
  bt_heading(&view->stacks[index], data_object(view->threads, NULL));
}

static void page_note(struct view *view, const char *words) {
  line_words(page_line(view->all->context->document, BT_TEXT_COLUMN), STYLE_MUTED, words);
}

static bool show_row(struct view *view, const struct merge_row *row,
                     const struct merge_row *before) {
  if (row->is_continuation && !(before && before->is_continuation))
    page_note(view, "(since it yielded without C frames:)");
  if (row->is_beyond && !(before && before->is_beyond))
    page_note(view, "(further out, where C frames are not known:)");
  struct data *data = data_object(view->rows, NULL);
  if (row->level != MERGE_NONE) return show_call(view, row, data);
  show_place(view, row->frame, data, true);
  data_cell(data, "call", cell_null());
  return true;
}

static void page_skipped(struct view *view, uint64_t count, uint64_t all) {
  struct line *line = page_line(view->all->context->document, BT_TEXT_COLUMN);
  line_words(line, STYLE_MUTED, "... ");
  line_cell(line, STYLE_MUTED, cell_count(count));
  line_printf(line, STYLE_MUTED, " more frames: --frames %" PRIu64, all);
}

/* How many of `count` rows are left out behind the first `*first`. */
static size_t rows_left_out(const struct natives *all, size_t count, size_t *first) {
  uint64_t most = all->context->options->frames;
  if (!most) most = DEFAULT_ROWS;
  *first = count > most ? (size_t)(most - 1) / 2 : count;
  return count > most ? count - (size_t)most + 1 : 0;
}

static bool show_merged(struct view *view) {
  const struct merge_row *rows = view->merged.rows.items;
  size_t count = view->merged.rows.count, first;
  size_t skipped = rows_left_out(view->all, count, &first);
  size_t passenger = MERGE_NONE;
  bool fits = true;
  for (size_t i = 0; i < count && fits; i++) {
    if (i >= first && i < first + skipped) {
      if (i == first) page_skipped(view, skipped, count);
      continue;
    }
    if (rows[i].thread != passenger && rows[i].thread != MERGE_NONE) {
      passenger = rows[i].thread;
      show_passenger(view, passenger);
    }
    fits = show_row(view, &rows[i], i ? &rows[i - 1] : NULL);
  }
  data_cell(view->data, "skipped_rows", cell_count(skipped));
  return fits;
}

/* ---- Without an order ------------------------------------------------------------------------ */

static void show_frames(struct view *view) {
  size_t count = view->thread->stack.frames.count, first;
  size_t skipped = rows_left_out(view->all, count, &first);
  for (size_t i = 0; i < count; i++) {
    if (i == first && skipped) page_skipped(view, skipped, count);
    if (i >= first && i < first + skipped) continue;
    struct data *row = data_object(view->rows, NULL);
    show_place(view, i, row, true);
    data_cell(row, "call", cell_null());
  }
  data_cell(view->data, "skipped_rows", cell_count(skipped));
}

static bool show_calls(struct view *view, size_t index) {
  size_t count = view->mergeable[index].calls.count, first;
  size_t skipped = rows_left_out(view->all, count, &first);
  show_passenger(view, index);
  for (size_t i = 0; i < count; i++) {
    if (i == first && skipped) page_skipped(view, skipped, count);
    if (i >= first && i < first + skipped) continue;
    struct merge_row row = {.frame = MERGE_NONE, .thread = index, .level = i};
    if (!show_call(view, &row, data_object(view->rows, NULL))) return false;
  }
  return true;
}

static bool show_apart(struct view *view) {
  struct document *document = view->all->context->document;
  struct line *line;
  if (view->thread->stack.frames.count) {
    line = page_line(document, 2);
    line_printf(line, STYLE_BAD,
                "which Lua call runs in which C frame is not certain (%s): ", view->merged.doubt);
    line_words(line, STYLE_PLAIN, "C frames first, Lua calls below");
    line_words(page_line(document, 0), STYLE_HEADING, "C frames");
    show_frames(view);
  }
  for (size_t i = 0; i < view->thread->passengers.count; i++)
    if (!show_calls(view, i)) return false;
  return true;
}

/* ---- An OS thread ---------------------------------------------------------------------------- */

/* Why there are no more C frames; NULL: there are none. */
static const char *end_words(struct natives *all, const struct os_thread *thread) {
  const struct source_stack *stack = &thread->stack;
  struct arena *arena = all->context->arena;
  struct place place = {0};
  if (stack->frames.count)
    place = place_of(all, code_of(&stack->frames.items[stack->frames.count - 1]));
  switch (stack->end) {
  case STACK_END_OUTERMOST:
    return NULL;
  case STACK_END_LIMIT:
    return arena_printf(arena, "C frames go on after the first %zu", stack->frames.count);
  case STACK_END_NO_FILE:
    return arena_printf(arena,
                        "further C frames are not known: %s is not at hand, give it with "
                        "--exe or --sysroot",
                        place.module);
  case STACK_END_NO_CODE:
    return "further C frames are not known: this is no code of a file";
  case STACK_END_NO_TABLE:
    return arena_printf(arena, "further C frames are not known: %s does not say how to find them",
                        place.module ? place.module : "the file");
  case STACK_END_UNREADABLE:
    return stack->frames.count
               ? "the next C frame cannot be read"
               : "C frames cannot be read: the target has no registers of this thread";
  case STACK_END_UNSUPPORTED:
    return "C frames can be read on x86-64 and i386 only";
  case STACK_END_INTERRUPTED:
    return "interrupted";
  }
  return NULL;
}

static void page_thread(struct natives *all, const struct os_thread *thread) {
  struct document *document = all->context->document;
  struct line *line = page_line(document, 0);
  line_printf(line, STYLE_HEADING, "OS thread %" PRId64, thread->native->tid);
  if (thread->like) {
    line_words(line, STYLE_PLAIN, ", and ");
    line_cell(line, STYLE_PLAIN, cell_count(thread->like));
    line_words(line, STYLE_PLAIN,
               thread->like == 1 ? " other with the same C frames"
                                 : " others with the same C frames");
  }
  if (!thread->passengers.count) line_words(line, STYLE_PLAIN, "   runs no Lua");
}

static void show_end(struct view *view) {
  const char *words = end_words(view->all, view->thread);
  data_cell(view->data, "end", cell_words(words));
  if (words) page_note(view, words);
}

static bool fill_view(struct view *view) {
  struct natives *all = view->all;
  size_t count = view->thread->passengers.count;
  view->stacks = calloc(count + 1, sizeof *view->stacks);
  view->mergeable = calloc(count + 1, sizeof *view->mergeable);
  if (!view->stacks || !view->mergeable) return false;
  for (size_t i = 0; i < count; i++) {
    const struct passenger *passenger = &view->thread->passengers.items[i];
    bt_open(&view->stacks[i], all->context, all->lines, passenger->threads, passenger->row);
    if (!merge_thread_load(&view->stacks[i].traceback, &view->mergeable[i])) return false;
  }
  return merge_native(all->context->session->source, &view->thread->stack, view->mergeable, count,
                      &view->merged);
}

static void free_view(struct view *view) {
  for (size_t i = 0; i < view->thread->passengers.count; i++) {
    if (view->stacks) bt_close(&view->stacks[i]);
    if (view->mergeable) vector_free(&view->mergeable[i].calls);
  }
  free(view->stacks);
  free(view->mergeable);
  vector_free(&view->merged.rows);
}

static bool show_thread(struct natives *all, struct os_thread *thread) {
  struct view view = {.all = all, .thread = thread};
  bool fits = fill_view(&view);
  if (fits) {
    page_thread(all, thread);
    view.data = data_object(all->data, NULL);
    data_cell(view.data, "tid", cell_integer(thread->native->tid));
    data_cell(view.data, "alike", cell_count(thread->like));
    data_cell(view.data, "doubt", cell_words(view.merged.doubt));
    view.threads = data_array(view.data, "threads");
    view.rows = data_array(view.data, "rows");
    fits = view.merged.doubt ? show_apart(&view) : show_merged(&view);
    show_end(&view);
  }
  free_view(&view);
  return fits;
}

/* ---- All OS threads -------------------------------------------------------------------------- */

static bool is_alike(const struct os_thread *a, const struct os_thread *b) {
  if (a->passengers.count || b->passengers.count || a->stack.end != b->stack.end ||
      a->stack.frames.count != b->stack.frames.count)
    return false;
  for (size_t i = 0; i < a->stack.frames.count; i++)
    if (a->stack.frames.items[i].pc != b->stack.frames.items[i].pc) return false;
  return true;
}

static bool has_passenger(const struct os_thread *thread, const struct thread_row *row) {
  for (size_t i = 0; i < thread->passengers.count; i++)
    if (thread->passengers.items[i].row == row) return true;
  return false;
}

/* 0: the thread of --tid, 1: it runs Lua, 2: it does not. */
static int rank_of(const struct natives *all, const struct os_thread *thread) {
  uint64_t first = all->context->options->tid;
  if (first && thread->native->tid == (int64_t)first) return 0;
  return thread->passengers.count ? 1 : 2;
}

static void fold(struct natives *all, struct os_thread *thread) {
  thread->is_shown = true;
  for (size_t i = 0; i < all->count; i++)
    if (!all->list[i].is_shown && is_alike(thread, &all->list[i])) {
      all->list[i].is_shown = true;
      thread->like++;
    }
}

static bool show_all(struct natives *all) {
  const struct command_options *options = all->context->options;
  uint64_t left = options->limit ? options->limit : DEFAULT_LIMIT, more = 0;
  for (int rank = 0; rank <= 2; rank++)
    for (size_t i = 0; i < all->count; i++) {
      struct os_thread *thread = &all->list[i];
      if (thread->is_shown || rank_of(all, thread) != rank) continue;
      if (all->only && !has_passenger(thread, all->only)) continue;
      fold(all, thread);
      if (!left) {
        more++;
        continue;
      }
      left--;
      if (all->is_begun) page_blank(all->context->document);
      all->is_begun = true;
      if (!show_thread(all, thread)) return false;
    }
  data_cell(all->context->data, "more_native", cell_count(more));
  if (!more) return true;
  page_blank(all->context->document);
  struct line *line = page_line(all->context->document, 0);
  line_cell(line, STYLE_MUTED, cell_count(more));
  line_printf(line, STYLE_MUTED, " more stacks of OS threads: --limit %" PRIu64,
              more + (options->limit ? options->limit : DEFAULT_LIMIT));
  return true;
}

struct inspect_error *bt_native(struct command_context *context, struct value_lines *lines,
                                struct vm_threads *vms, size_t vm_count,
                                const struct thread_row *only) {
  struct source *source = context->session->source;
  struct natives all = {
      .context = context, .lines = lines, .count = source->thread_count, .only = only};
  all.list = calloc(all.count + 1, sizeof *all.list);
  if (!all.list) return error_no_memory();
  all.data = data_array(context->data, "native");
  for (size_t i = 0; i < all.count; i++)
    all.list[i].native = &source->threads[i];
  struct inspect_error *error =
      find_passengers(&all, vms, vm_count) ? unwind_all(&all) : error_no_memory();
  if (!error && !show_all(&all)) error = error_no_memory();
  for (size_t i = 0; i < all.count; i++) {
    vector_free(&all.list[i].stack.frames);
    vector_free(&all.list[i].passengers);
  }
  free(all.list);
  return error;
}
