/* triage_view.c - the first look at a core as page and as data. */
#include "command/triage.h"

#include <signal.h>
#include <string.h>

#include "command/chain_view.h"

enum { MOST_GLOBALS = 3, VALUES = 14, MOST_VMS = 5, MOST_CAUSES = 3, MOST_GC_VMS = 2 };

static const char *const STATES[THREAD_STATES] = {[THREAD_RUNNING] = "active",
                                                  [THREAD_SUSPENDED] = "suspended",
                                                  [THREAD_NOT_STARTED] = "not started",
                                                  [THREAD_FINISHED] = "finished",
                                                  [THREAD_DEAD_BY_ERROR] = "dead by error"};

static const char *const STATE_KEYS[THREAD_STATES] = {[THREAD_RUNNING] = "running",
                                                      [THREAD_SUSPENDED] = "suspended",
                                                      [THREAD_NOT_STARTED] = "not_started",
                                                      [THREAD_FINISHED] = "finished",
                                                      [THREAD_DEAD_BY_ERROR] = "dead_by_error"};

/* ---- Data -------------------------------------------------------------------------------------
 */

static void data_tally(struct data *parent, const char *key, const struct gc_tally *tally) {
  struct data *object = data_object(parent, key);
  data_cell(object, "objects", cell_count(tally->objects));
  data_cell(object, "bytes", cell_bytes(tally->bytes));
}

static void data_memory(struct command_context *context, const struct triage *triage) {
  struct data *memory = data_object(context->data, "memory");
  data_tally(memory, "live", &triage->all_live);
  data_tally(memory, "garbage", &triage->all_garbage);
  struct data *types = data_array(memory, "types");
  for (enum object_type type = 0; type < OBJECT_TYPE_COUNT; type++) {
    struct data *row = data_object(types, NULL);
    data_cell(row, "type", cell_words(object_type_name(type)));
    data_tally(row, "live", &triage->live[type]);
    data_tally(row, "garbage", &triage->garbage[type]);
  }
}

void triage_to_data(struct command_context *context, const struct triage *triage) {
  const struct source *source = context->session->source;
  struct data *process = data_object(context->data, "process");
  data_cell(process, "name", cell_words(source->command));
  data_cell(process, "pid", source->pid ? cell_plain((uint64_t)source->pid) : cell_null());
  data_cell(process, "signal",
            source->signal > 0 ? cell_plain((uint64_t)source->signal) : cell_null());
  data_cell(process, "threads", cell_count(source->thread_count));
  data_cell(process, "cpu_seconds", cell_duration(source->cpu_time));
  data_memory(context, triage);
  struct data *gc = data_array(context->data, "gc");
  for (size_t i = 0;
       i < triage->vms.count && !document_stops(context->document, i, triage->vms.count); i++) {
    const struct triage_vm *vm = &triage->vms.items[i];
    struct data *row = data_object(gc, NULL);
    data_cell(row, "vm", cell_plain(vm->index + 1));
    struct data *diagnosis = data_array(row, "diagnosis");
    for (size_t j = 0; vm->has_gc && j < vm->gc.sentence_count; j++)
      data_cell(diagnosis, NULL, cell_words(vm->gc.sentences[j]));
  }
  struct data *coroutines = data_object(context->data, "coroutines");
  data_cell(coroutines, "count", cell_count(triage->coroutine_count));
  for (unsigned i = 0; i < THREAD_STATES; i++)
    data_cell(coroutines, STATE_KEYS[i], cell_count(triage->coroutines[i]));
  data_cell(coroutines, "retained_bytes", cell_bytes(triage->coroutine_bytes));
  struct data *globals = data_object(context->data, "globals");
  data_cell(globals, "count", cell_count(triage->globals.count));
  data_cell(globals, "retained_bytes", cell_bytes(triage->global_bytes));
  if (triage->are_strings_compared)
    data_tally(context->data, "repeated_strings", &triage->repeated);
  else
    data_cell(context->data, "repeated_strings", cell_null());
  struct data *verdicts = data_object(context->data, "verdicts");
  for (enum verdict verdict = 0; verdict < VERDICT_COUNT; verdict++)
    data_cell(verdicts, verdict_name(verdict), cell_count(triage->leaks.verdicts[verdict]));
  leaks_trackers_to_data(context, &triage->leaks);
  leaks_causes_to_data(context, &triage->leaks);
  suspicions_to_data(context, &triage->suspicions);
}

/* ---- Page: whose core -------------------------------------------------------------------------
 */

static struct line *named(struct command_context *context, const char *name) {
  struct line *line = page_line(context->document, 0);
  line_words(line, STYLE_HEADING, name);
  line_tab(line, VALUES);
  return line;
}

static void page_process(struct command_context *context) {
  const struct source *source = context->session->source;
  struct line *line = named(context, "process");
  line_words(line, STYLE_PLAIN, source->command ? source->command : "name not known");
  if (source->pid) line_printf(line, STYLE_PLAIN, ", pid %lld", (long long)source->pid);
  if (source->thread_count) {
    line_words(line, STYLE_PLAIN, ", ");
    line_cell(line, STYLE_PLAIN, cell_count(source->thread_count));
    line_words(line, STYLE_PLAIN, source->thread_count == 1 ? " thread" : " threads");
  }
  line = page_line(context->document, VALUES);
  line_words(line, STYLE_PLAIN, source->kind == SOURCE_CORE ? "dumped " : "read ");
  line_cell(line, STYLE_PLAIN, cell_time(source->time));
  if (source->signal <= 0) return;
  const char *name = sigabbrev_np(source->signal);
  line_printf(line, STYLE_BAD, ", ended by signal %d%s%s%s", source->signal, name ? " (SIG" : "",
              name ? name : "", name ? ")" : "");
}

static void page_vms(struct command_context *context, const struct triage *triage) {
  const struct heap *heap = &context->session->heap;
  if (heap->vm_count < 2) return;
  for (size_t i = 0; i < triage->vms.count && i < MOST_VMS; i++) {
    const struct heap_vm *owner = triage->vms.items[i].gc.owner;
    struct line *line = named(context, i ? "" : "VMs");
    line_printf(line, STYLE_PLAIN, "VM %zu   ", triage->vms.items[i].index + 1);
    line_cell(line, STYLE_PLAIN, cell_bytes(owner->vm.heap_bytes));
    line_words(line, STYLE_PLAIN, ", ");
    line_cell(line, STYLE_PLAIN, cell_count(owner->count));
    line_words(line, STYLE_PLAIN, " objects, ");
    line_cell(line, STYLE_PLAIN, cell_count(owner->coroutines));
    line_words(line, STYLE_PLAIN, owner->coroutines == 1 ? " coroutine" : " coroutines");
  }
  if (triage->vms.count <= MOST_VMS) return;
  struct line *line = page_line(context->document, VALUES);
  line_cell(line, STYLE_MUTED, cell_count(triage->vms.count - MOST_VMS));
  line_words(line, STYLE_MUTED, " more: lua-states --sort bytes");
}

/* ---- Page: memory -----------------------------------------------------------------------------
 */

static void line_tally(struct line *line, const struct gc_tally *tally, const char *what) {
  line_cell(line, STYLE_PLAIN, cell_bytes(tally->bytes));
  line_printf(line, STYLE_PLAIN, " %s (", what);
  line_cell(line, STYLE_PLAIN, cell_count(tally->objects));
  line_words(line, STYLE_PLAIN, tally->objects == 1 ? " object)" : " objects)");
}

/* Types by live bytes, largest first. */
static void page_types(struct command_context *context, const struct triage *triage) {
  bool is_shown[OBJECT_TYPE_COUNT] = {false};
  struct table *table = page_table(context->document, 2);
  table_column(table, "type");
  table_column(table, "live");
  table_column(table, "objects");
  table_column(table, "garbage");
  table_column(table, "objects");
  for (unsigned place = 0; place < OBJECT_TYPE_COUNT; place++) {
    unsigned best = OBJECT_TYPE_COUNT;
    for (unsigned type = 0; type < OBJECT_TYPE_COUNT; type++)
      if (!is_shown[type] &&
          (best == OBJECT_TYPE_COUNT || triage->live[type].bytes > triage->live[best].bytes))
        best = type;
    is_shown[best] = true;
    const struct gc_tally *tally = &triage->live[best];
    if (!tally->objects && !triage->garbage[best].objects) continue;
    table_row(table);
    table_cell(table, cell_words(object_type_name(best)));
    table_cell(table, cell_bytes(tally->bytes));
    table_cell(table, cell_count(tally->objects));
    table_cell(table, cell_bytes(triage->garbage[best].bytes));
    table_cell(table, cell_count(triage->garbage[best].objects));
  }
}

static const char *share_words(struct command_context *context, const struct triage *triage,
                               uint64_t bytes) {
  uint64_t live = triage->all_live.bytes;
  const char *share =
      render_cell(context->arena, cell_ratio(live ? (double)bytes / (double)live : 0));
  return arena_printf(context->arena, " (%s of what is live)", share ? share : "?");
}

static void page_coroutines(struct command_context *context, const struct triage *triage) {
  if (!triage->coroutine_count) return;
  struct line *line = named(context, "coroutines");
  const char *before = "";
  for (unsigned i = 0; i < THREAD_STATES; i++) {
    if (!triage->coroutines[i]) continue;
    line_words(line, STYLE_PLAIN, before);
    line_cell(line, STYLE_PLAIN, cell_count(triage->coroutines[i]));
    line_printf(line, i == THREAD_DEAD_BY_ERROR ? STYLE_BAD : STYLE_PLAIN, " %s", STATES[i]);
    before = ", ";
  }
  line = page_line(context->document, VALUES);
  line_words(line, STYLE_PLAIN, "they retain ");
  line_cell(line, STYLE_PLAIN, cell_bytes(triage->coroutine_bytes));
  line_words(line, STYLE_PLAIN, share_words(context, triage, triage->coroutine_bytes));
}

static void page_globals(struct command_context *context, const struct triage *triage) {
  size_t count = triage->globals.count;
  if (!count) return;
  struct line *line = named(context, "globals");
  line_cell(line, STYLE_PLAIN, cell_count(count));
  line_words(line, STYLE_PLAIN, " besides the standard library; they retain ");
  line_cell(line, STYLE_PLAIN, cell_bytes(triage->global_bytes));
  line_words(line, STYLE_PLAIN, share_words(context, triage, triage->global_bytes));
  line = page_line(context->document, VALUES);
  for (size_t i = 0; i < count && i < MOST_GLOBALS; i++) {
    const struct triage_global *global = &triage->globals.items[i];
    enum { LONGEST = 30 };
    line_words(line, STYLE_PLAIN, i ? ", " : "");
    line_cell(line, STYLE_KEY,
              cell_bare(global->name, global->size < LONGEST ? global->size : LONGEST));
    line_words(line, STYLE_PLAIN, global->size < LONGEST ? " " : "... ");
    line_cell(line, STYLE_PLAIN, cell_bytes(global->retained));
  }
  if (count <= MOST_GLOBALS) return;
  line_words(line, STYLE_MUTED, "; ");
  line_cell(line, STYLE_MUTED, cell_count(count - MOST_GLOBALS));
  line_words(line, STYLE_MUTED, " more: lua-globals");
}

static void page_repeated(struct command_context *context, const struct triage *triage) {
  if (!triage->repeated.objects) return;
  struct line *line = named(context, "strings");
  line_cell(line, STYLE_PLAIN, cell_count(triage->repeated.objects));
  line_words(line, STYLE_PLAIN, " long ones are there once more than needed: ");
  line_cell(line, STYLE_PLAIN, cell_bytes(triage->repeated.bytes));
  line_words(line, STYLE_PLAIN, share_words(context, triage, triage->repeated.bytes));
  line_words(line, STYLE_MUTED, ": lua-strings --duplicates");
}

static void page_memory(struct command_context *context, const struct triage *triage) {
  struct line *line = named(context, "memory");
  line_tally(line, &triage->all_live, "live");
  line_words(line, STYLE_PLAIN, ", ");
  line_tally(line, &triage->all_garbage, "garbage");
  page_types(context, triage);
  page_coroutines(context, triage);
  page_globals(context, triage);
  page_repeated(context, triage);
}

static void page_collector(struct command_context *context, const struct triage *triage) {
  const struct heap *heap = &context->session->heap;
  line_words(page_line(context->document, 0), STYLE_HEADING, "collector");
  for (size_t i = 0; i < triage->vms.count && i < MOST_GC_VMS; i++) {
    const struct triage_vm *vm = &triage->vms.items[i];
    for (size_t j = 0; vm->has_gc && j < vm->gc.sentence_count; j++) {
      struct line *line = page_line(context->document, 2);
      if (heap->vm_count > 1) line_printf(line, STYLE_MUTED, "VM %zu: ", vm->index + 1);
      line_words(line, STYLE_PLAIN, vm->gc.sentences[j]);
    }
  }
  if (triage->vms.count > MOST_GC_VMS)
    line_words(page_line(context->document, 2), STYLE_MUTED, "other VMs: lua-gc");
}

/* ---- Page: trackers ---------------------------------------------------------------------------
 */

static void page_cause(struct command_context *context, const struct leaks *leaks, size_t number) {
  const struct cause *cause = leaks->groups.items[number].all.cause;
  leaks_heading(context, leaks, number);
  struct chain holder = cause->chain;
  if (!cause->suspect) return;
  holder.count = cause->suspect + 1;
  struct text text = {0};
  if (chain_to_path(context->session, &holder, NULL, &text)) {
    const char *path = arena_copy(context->arena, text.items, text.count);
    struct line *line = page_line(context->document, 4);
    line_words(line, STYLE_MUTED, "held by ");
    line_words(line, STYLE_KEY, path_to_page(context, path));
  }
  vector_free(&text);
}

static void page_trackers(struct command_context *context, const struct triage *triage) {
  const struct leaks *leaks = &triage->leaks;
  page_blank(context->document);
  if (!triage->has_trackers) {
    line_words(page_line(context->document, 0), STYLE_HEADING,
               "neither trackers nor suspects were looked for");
    return;
  }
  if (!leaks->trackers.list.count) {
    line_words(page_line(context->document, 0), STYLE_HEADING, "no tracker was found");
    return;
  }
  leaks_verdicts(context, leaks);
  for (size_t i = 0; i < leaks->groups.count && i < MOST_CAUSES; i++)
    page_cause(context, leaks, i);
  if (leaks->groups.count <= MOST_CAUSES) return;
  struct line *line = page_line(context->document, 0);
  size_t more = leaks->groups.count - MOST_CAUSES;
  line_cell(line, STYLE_MUTED, cell_count(more));
  line_words(line, STYLE_MUTED, more == 1 ? " more cause: lua-leaks" : " more causes: lua-leaks");
}

/* ---- Page: the end ----------------------------------------------------------------------------
 */

static void page_next(struct command_context *context, const struct triage *triage) {
  page_blank(context->document);
  struct line *line = named(context, "next");
  const char *before = "";
  if (triage->leaks.causes.count) {
    line_words(line, STYLE_MUTED, "lua-leaks");
    before = "   ";
  }
  if (triage->suspicions.count) {
    const struct heap *heap = &context->session->heap;
    object_id holder = triage->suspicions.items[0].pile.holder;
    line_printf(line, STYLE_MUTED, "%slua-paths 0x%llx -k 4   lua-heap", before,
                (unsigned long long)heap_address(heap, holder));
    before = "   ";
  }
  if (!*before) line_words(line, STYLE_MUTED, "lua-states   lua-gc");
  line_words(line, STYLE_MUTED, "   lua-triage --json");
}

void triage_to_page(struct command_context *context, const struct triage *triage) {
  page_process(context);
  page_vms(context, triage);
  page_memory(context, triage);
  page_collector(context, triage);
  page_trackers(context, triage);
  if (triage->is_searched) {
    suspicions_to_page(context, &triage->suspicions);
  } else if (triage->has_trackers) {
    page_blank(context->document);
    line_words(page_line(context->document, 0), STYLE_HEADING, "suspects were not looked for");
  }
  page_next(context, triage);
}
