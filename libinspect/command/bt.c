/* bt.c - the Lua stacks of the target: of each VM the running thread, those that wait for it, and
 * on request all others.
 *
 * VMs come in their order, but the one that the native thread --tid runs comes first. */
#include "command/bt.h"

#include <inttypes.h>

enum { DEFAULT_LIMIT = 20 };

struct backtraces {
  struct command_context *context;
  struct vm_threads *vms; /* of each VM that was chosen */
  size_t vm_count;
  struct data *stacks;
  struct value_lines lines;
  uint64_t left; /* stacks that may still be shown */
  uint64_t more; /* that were left out             */
  uint64_t shown;
  bool is_begun;  /* something was shown            */
  uint64_t first; /* address of the first stack, 0: none */
};

/* ---- The chain in words ---------------------------------------------------------------------- */

static void line_chain(struct backtraces *all, struct vm_threads *threads, struct line *line) {
  for (size_t i = threads->chain.count; i-- > 0;) {
    const struct thread_row *row = &threads->list.items[threads->chain.items[i]];
    const char *words = bt_thread_words(all->context, threads, row);
    line_words(line, STYLE_PLAIN, words ? words : "a thread");
    if (i)
      line_words(line, STYLE_PLAIN,
                 i + 1 < threads->chain.count ? ", which resumed " : " resumed ");
  }
  line_words(line, STYLE_PLAIN, threads->chain.count > 1 ? ", which runs" : " runs");
}

/* Why nothing runs. */
static void line_idle(struct backtraces *all, struct vm_threads *threads, struct line *line) {
  const char *error =
      threads->failure ? bt_error_words(&all->lines, threads->owner, threads->error) : NULL;
  line_words(line, STYLE_PLAIN, "nothing runs: ");
  if (!error)
    line_words(line, STYLE_PLAIN, "no call is in progress");
  else if (threads->failure == VM_FAILURE_KNOWN)
    line_printf(line, STYLE_BAD, "the main thread died by an error that nothing caught: %s", error);
  else
    line_printf(line, STYLE_BAD,
                "the process was aborted, likely by an error that nothing caught: %s", error);
}

static void page_resumes(struct backtraces *all, struct vm_threads *threads) {
  struct document *document = all->context->document;
  if (all->is_begun) page_blank(document);
  struct line *line = page_line(document, 0);
  if (all->context->session->heap.vm_count > 1)
    line_printf(line, STYLE_HEADING, "VM %zu: ", threads->vm + 1);
  if (!threads->chain.count) {
    line_idle(all, threads, line);
  } else {
    line_chain(all, threads, line);
    if (threads->tid) line_printf(line, STYLE_PLAIN, " on OS thread %" PRId64, threads->tid);
  }
  all->is_begun = true;
}

static void data_chain(struct backtraces *all, struct vm_threads *threads, struct data *chains) {
  static const char *const FAILURES[] = {NULL, "likely", "known"};
  struct data *row = data_object(chains, NULL);
  data_cell(row, "vm", cell_plain(threads->vm + 1));
  data_cell(row, "tid", threads->tid ? cell_plain((uint64_t)threads->tid) : cell_null());
  data_cell(row, "failure", cell_words(FAILURES[threads->failure]));
  data_cell(row, "error",
            threads->failure
                ? cell_words(bt_error_words(&all->lines, threads->owner, threads->error))
                : cell_null());
  struct data *list = data_array(row, "threads");
  for (size_t i = 0; i < threads->chain.count; i++)
    data_cell(list, NULL, cell_address(threads->list.items[threads->chain.items[i]].address));
  struct data *counts = data_object(row, "coroutines");
  for (unsigned i = 0; i < THREAD_STATUS_COUNT; i++)
    if (i != THREAD_STATUS_IDLE)
      data_cell(counts, thread_status_name(i), cell_count(threads->counts[i]));
}

/* ---- Stacks ---------------------------------------------------------------------------------- */

static struct inspect_error *show(struct backtraces *all, struct vm_threads *threads,
                                  const struct thread_row *row, const struct bt_folds *folds) {
  struct command_context *context = all->context;
  if (!all->left) {
    all->more++;
    return NULL;
  }
  if (work_stops(context->work, "reading stacks", 0, 0)) return error_interrupted();
  all->left--;
  all->shown++;
  if (!all->first) all->first = row->address;
  if (all->is_begun) page_blank(context->document);
  all->is_begun = true;
  return bt_show(context, &all->lines, threads, row, folds, all->stacks);
}

/* "1,204 more coroutines: 1,190 suspended, 14 finished" */
static void page_others(struct backtraces *all, struct vm_threads *threads) {
  struct document *document = all->context->document;
  uint64_t counts[THREAD_STATUS_COUNT] = {0}, total = 0;
  bool is_first = true;
  for (size_t i = 0; i < threads->list.count; i++) {
    const struct thread_row *row = &threads->list.items[i];
    if (row->in_chain || row->object == threads->owner->main_thread) continue;
    counts[row->status]++;
    total++;
  }
  if (!total) return;
  page_blank(document);
  struct line *line = page_line(document, 0);
  line_cell(line, STYLE_PLAIN, cell_count(total));
  line_printf(line, STYLE_PLAIN,
              "%s coroutine%s not shown: ", threads->chain.count > 1 ? " other" : "",
              total == 1 ? "" : "s");
  for (unsigned i = 0; i < THREAD_STATUS_COUNT; i++) {
    if (!counts[i]) continue;
    line_words(line, STYLE_PLAIN, is_first ? "" : ", ");
    line_cell(line, STYLE_PLAIN, cell_count(counts[i]));
    line_printf(line, STYLE_PLAIN, " %s", thread_status_words(i));
    is_first = false;
  }
}

/* What a finished coroutine was doing cannot be seen: it is counted only. */
static bool has_stack(const struct thread_row *row) {
  return row->status != THREAD_STATUS_FINISHED && row->status != THREAD_STATUS_IDLE;
}

static struct inspect_error *show_rows(struct backtraces *all, struct vm_threads *threads,
                                       const struct bt_folds *folds) {
  const struct command_options *options = all->context->options;
  for (size_t i = 0; i < threads->list.count; i++) {
    const struct thread_row *row = &threads->list.items[i];
    bool is_failed =
        row->object == threads->owner->main_thread && row->status == THREAD_STATUS_ERROR;
    if (options->native && bt_is_native(all->context, threads, row)) continue;
    if (folds && folds->is_folded[i]) continue;
    if (row->in_chain || is_failed || (options->all && has_stack(row)))
      TRY(show(all, threads, row, folds));
  }
  return NULL;
}

static struct inspect_error *show_vm(struct backtraces *all, struct vm_threads *threads,
                                     struct data *chains) {
  const struct command_options *options = all->context->options;
  const struct thread_row *running =
      threads->chain.count ? &threads->list.items[threads->chain.items[0]] : NULL;
  bool is_told = options->native && running && bt_is_native(all->context, threads, running);
  if (!is_told) page_resumes(all, threads);
  data_chain(all, threads, chains);
  struct bt_folds folds = {0};
  bool is_folded = options->all && !options->unfolded && !options->locals;
  struct inspect_error *error = is_folded ? bt_fold(threads, all->context->work, &folds) : NULL;
  if (!error) error = show_rows(all, threads, is_folded ? &folds : NULL);
  bt_folds_free(&folds);
  if (!error && !options->all) page_others(all, threads);
  return error;
}

/* VMs by what they do: the one of --tid, those that run, those that do not. */
static int rank_of(const struct backtraces *all, const struct vm_threads *threads) {
  uint64_t first = all->context->options->tid;
  if (first && threads->tid == (int64_t)first) return 0;
  return threads->chain.count || threads->failure ? 1 : 2;
}

/* Of several VMs those that run nothing are counted. */
static void page_idle(struct backtraces *all, uint64_t vms, uint64_t coroutines) {
  struct document *document = all->context->document;
  if (all->is_begun) page_blank(document);
  struct line *line = page_line(document, 0);
  line_cell(line, STYLE_PLAIN, cell_count(vms));
  line_words(line, STYLE_PLAIN, vms == 1 ? " VM runs nothing, with " : " VMs run nothing, with ");
  line_cell(line, STYLE_PLAIN, cell_count(coroutines));
  line_words(line, STYLE_PLAIN, coroutines == 1 ? " coroutine" : " coroutines");
}

/* What runs on OS threads, in one traceback each. */
static struct inspect_error *show_native(struct backtraces *all, const struct thread_row *only) {
  struct command_context *context = all->context;
  return bt_native(context, &all->lines, all->vms, all->vm_count, only);
}

/* With --native what runs is shown by OS thread, and below that only what is not. */
static struct inspect_error *show_all(struct backtraces *all) {
  struct data *chains = data_array(all->context->data, "chains");
  bool counts_idle = all->vm_count > 1 && !all->context->options->all;
  uint64_t idle = 0, coroutines = 0;
  all->stacks = data_array(all->context->data, "stacks");
  if (all->context->options->native) TRY(show_native(all, NULL));
  all->is_begun = all->context->options->native;
  for (int rank = 0; rank <= 2; rank++)
    for (size_t i = 0; i < all->vm_count; i++) {
      struct vm_threads *threads = &all->vms[i];
      if (rank_of(all, threads) != rank) continue;
      if (rank < 2 || !counts_idle) {
        TRY(show_vm(all, threads, chains));
        continue;
      }
      data_chain(all, threads, chains);
      idle++;
      coroutines += threads->owner->coroutines;
    }
  if (idle) page_idle(all, idle, coroutines);
  data_cell(all->context->data, "more", cell_count(all->more));
  if (!all->more) return NULL;
  page_blank(all->context->document);
  struct line *line = page_line(all->context->document, 0);
  line_cell(line, STYLE_MUTED, cell_count(all->more));
  line_printf(line, STYLE_MUTED, " more stacks: --limit %" PRIu64, all->shown + all->more);
  return NULL;
}

/* ---- One thread ------------------------------------------------------------------------------ */

static struct inspect_error *show_one(struct backtraces *all, object_id object) {
  struct inspect_session *session = all->context->session;
  all->stacks = data_array(all->context->data, "stacks");
  for (size_t i = 0; i < all->vm_count; i++)
    for (size_t j = 0; j < all->vms[i].list.count; j++)
      if (all->vms[i].list.items[j].object == object) {
        const struct thread_row *row = &all->vms[i].list.items[j];
        if (all->context->options->native && bt_is_native(all->context, &all->vms[i], row))
          return show_native(all, row);
        return show(all, &all->vms[i], row, NULL);
      }
  return error_at(INSPECT_ERROR_NOT_FOUND, heap_address(&session->heap, object),
                  "lua-bt --all lists the threads with their addresses", "%s is no coroutine: %s",
                  all->context->options->object->source,
                  describe_object(session, object, all->context->arena));
}

/* ---- The command ----------------------------------------------------------------------------- */

static void release(void *state) {
  struct backtraces *all = state;
  for (size_t i = 0; i < all->vm_count; i++)
    vm_threads_free(&all->vms[i]);
  value_lines_free(&all->lines);
  free(all->vms);
  free(all);
}

/* Of what is interrupted the VMs that were read are shown. */
static struct inspect_error *find_threads(struct backtraces *all) {
  struct command_context *context = all->context;
  struct inspect_session *session = context->session;
  all->vms = calloc(session->heap.vm_count, sizeof *all->vms);
  if (!all->vms) return error_no_memory();
  for (size_t i = 0; i < session->heap.vm_count; i++) {
    if (!session_selects(session, context->options, i)) continue;
    struct vm_threads *threads = &all->vms[all->vm_count];
    struct inspect_error *error = vm_threads_find(session, i, context->work, threads);
    if (error) {
      vm_threads_free(threads);
      return partial_if_interrupted(context, error);
    }
    all->vm_count++;
  }
  return NULL;
}

static struct inspect_error *check_tid(const struct command_context *context) {
  const struct source *source = context->session->source;
  if (!context->options->tid || !source->thread_count) return NULL;
  for (size_t i = 0; i < source->thread_count; i++)
    if (source->threads[i].tid == (int64_t)context->options->tid) return NULL;
  return error_create(INSPECT_ERROR_NOT_FOUND, "without --tid all VMs are shown",
                      "the target has no thread %" PRIu64, context->options->tid);
}

static void page_next(struct backtraces *all) {
  struct command_context *context = all->context;
  const struct command_options *options = context->options;
  page_blank(context->document);
  struct line *line = page_line(context->document, 0);
  line_words(line, STYLE_MUTED, "next");
  line_tab(line, 14);
  if (!options->locals) line_words(line, STYLE_MUTED, "lua-bt --locals   ");
  if (!options->native) line_words(line, STYLE_MUTED, "lua-bt --native   ");
  if (!options->all && !options->object) line_words(line, STYLE_MUTED, "lua-bt --all   ");
  line_words(line, STYLE_MUTED, "lua-coroutines   ");
  if (all->first) line_printf(line, STYLE_MUTED, "lua-paths 0x%" PRIx64 "   ", all->first);
  line_words(line, STYLE_MUTED, "--json");
}

struct inspect_error *command_bt(struct command_context *context) {
  struct inspect_session *session = context->session;
  const struct command_options *options = context->options;
  object_id object = NO_OBJECT;
  TRY(session_build(session, context->work));
  TRY(session_check_choice(session, options));
  TRY(check_tid(context));
  if (options->object) TRY(resolve_path(session, options, options->object, &object, NULL));
  struct backtraces *all = calloc(1, sizeof *all);
  if (!all) return error_no_memory();
  context->state = all;
  context->release = release;
  *all = (struct backtraces){.context = context,
                             .lines = {.session = session, .arena = context->arena},
                             .left = options->limit ? options->limit : DEFAULT_LIMIT};
  TRY(find_threads(all));
  context->is_without_collection = true;
  describe_target(context, false);
  TRY(partial_if_interrupted(context, options->object ? show_one(all, object) : show_all(all)));
  page_next(all);
  describe_faults(context);
  return NULL;
}

const char bt_help[] =
    "Shows the Lua stack of each VM, as debug.traceback would have in the program: the running "
    "thread first, then the one that resumed it, and so on to the main thread, with the thread of "
    "the operating system that runs them. THREAD shows one coroutine, --all every coroutine that "
    "has a stack, with its state: suspended, not started, dead by an error with its message.\n"
    "\n"
    "Functions are named as that release of Lua names them: by package.loaded, or by how the code "
    "of "
    "the caller names them (global, field, method, local, upvalue, metamethod, for iterator). C "
    "functions have the name of their symbol besides. A Lua function that was running when the "
    "dump "
    "was taken keeps its place in a register; where that is not found, its line is marked as "
    "approximate.\n"
    "\n"
    "Where nothing runs because the program died by an error that nothing caught, the error is "
    "told; Lua itself has unwound the stack then, in most releases.\n"
    "\n"
    "With --locals each frame is followed by its local variables by name, its extra arguments as "
    "... [1], and what lies on its stack besides. Frames are numbered from the innermost, 0: the "
    "level in paths as 0x55d0c0ffee:local(2,name).\n"
    "\n"
    "With --all coroutines with the same stack are shown once, with the addresses of the others; "
    "--unfolded shows each, and so does --locals, as their values differ.\n"
    "\n"
    "With --native each thread of the operating system is one traceback: its C frames, and among "
    "them the Lua calls of the coroutines that run on it. What runs a call is found by the words "
    "that C frames hold, not by symbols; where the order is not certain, it says so and shows C "
    "frames and Lua calls apart. C frames need the program's files (--exe, --sysroot), and x86-64 "
    "or i386.\n"
    "\n"
    "In gdb the VM that the selected thread runs comes first (--tid elsewhere).\n"
    "\n"
    "Examples:\n"
    "  lua-bt --locals\n"
    "      what runs, and with which values\n"
    "  lua-bt --native\n"
    "      where a program hangs: in which C function, called by which line of Lua\n"
    "  lua-bt --all --limit 100\n"
    "      the stacks of up to a hundred threads\n"
    "  lua-bt '_G.sessions[17].thread'\n"
    "      where one coroutine waits\n"
    "  lua-bt --all --json\n"
    "      for scripts: keys chains (who resumed whom) and stacks\n";
