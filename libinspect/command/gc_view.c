/* gc_view.c - a collector's report as page and as data. */
#include "command/gc.h"

static const char *const MODES[] = {[COLLECTOR_INCREMENTAL] = "incremental",
                                    [COLLECTOR_GENERATIONAL] = "generational",
                                    [COLLECTOR_MAJOR] = "major"};
static const char *const COLORS[] = {
    [GC_WHITE] = "white", [GC_DEAD] = "dead", [GC_GRAY] = "gray", [GC_BLACK] = "black"};
static const char *const AGES[] = {
    [GC_NEW] = "new", [GC_SURVIVAL] = "survival", [GC_OLD0] = "old0",        [GC_OLD1] = "old1",
    [GC_OLD] = "old", [GC_TOUCHED1] = "touched1", [GC_TOUCHED2] = "touched2"};

/* Who has stopped it; of several, who stays longest. */
static const char *stopper(const struct collector *collector) {
  if (collector->stopped_by & STOPPED_BY_CLOSING) return "closing";
  if (collector->stopped_by & STOPPED_BY_USER) return "user";
  return collector->stopped_by & STOPPED_BY_ITSELF ? "internal" : NULL;
}

/* ---- Data --------------------------------------------------------------------------------------
 */

static struct cell setting(int64_t value) {
  return value == NO_SETTING ? cell_null() : cell_plain((uint64_t)value);
}

static struct cell growth(int64_t value) {
  return value == NO_SETTING ? cell_null() : cell_bytes((uint64_t)value);
}

static void data_tally(struct data *parent, const char *key, const struct gc_tally *tally) {
  struct data *object = data_object(parent, key);
  data_cell(object, "objects", cell_count(tally->objects));
  data_cell(object, "bytes", cell_bytes(tally->bytes));
}

static void data_collector(struct data *row, const struct collector *collector) {
  data_cell(row, "mode", cell_words(MODES[collector->mode]));
  data_cell(row, "phase", cell_words(collector->phase));
  data_cell(row, "running",
            collector->running_is_known ? cell_boolean(collector->is_running) : cell_null());
  data_cell(row, "stopped_by", cell_words(stopper(collector)));
  data_cell(row, "in_step", cell_boolean(collector->is_in_step));
  data_cell(row, "emergency", cell_boolean(collector->is_emergency));
  data_cell(row, "pause", setting(collector->pause));
  data_cell(row, "stepmul", setting(collector->stepmul));
  data_cell(row, "stepsize", setting(collector->stepsize));
  data_cell(row, "step_bytes", growth(collector->step_bytes));
  data_cell(row, "minormul", setting(collector->minormul));
  data_cell(row, "majormul", setting(collector->majormul));
  data_cell(row, "minormajor", setting(collector->minormajor));
  data_cell(row, "majorminor", setting(collector->majorminor));
  data_cell(row, "debt", cell_integer(collector->debt));
  bool will_step = collector->is_running || !collector->running_is_known;
  data_cell(row, "bytes_until_step", will_step ? cell_bytes(collector->until_step) : cell_null());
  data_cell(row, "bytes_until_major", growth(collector->until_major));
  data_cell(row, "estimate", growth(collector->estimate));
  data_cell(row, "marked", growth(collector->marked));
}

void gc_to_data(struct data *list, const struct gc_report *report) {
  struct data *row = data_object(list, NULL);
  data_cell(row, "vm", cell_plain(report->index + 1));
  data_collector(row, &report->collector);
  data_cell(row, "bytes_in_use", cell_bytes(report->owner->vm.heap_bytes));
  data_cell(row, "pending_finalizers", cell_count(report->pending.objects));
  struct data *colors = data_object(row, "colours"), *ages = data_object(row, "ages");
  for (unsigned i = 0; i < GC_COLOR_COUNT; i++)
    data_tally(colors, COLORS[i], &report->colors[i]);
  for (unsigned i = 0; i < GC_AGE_COUNT; i++)
    data_tally(ages, AGES[i], &report->ages[i]);
  data_tally(row, "fixed", &report->fixed);
  data_tally(row, "full_collection_frees", &report->frees);
  struct data *diagnosis = data_array(row, "diagnosis");
  for (size_t i = 0; i < report->sentence_count; i++)
    data_cell(diagnosis, NULL, cell_words(report->sentences[i]));
}

/* ---- Page --------------------------------------------------------------------------------------
 */

enum { VALUES = 14 }; /* column */

static struct line *named(struct command_context *context, const char *name) {
  struct line *line = page_line(context->document, 0);
  line_words(line, STYLE_HEADING, name);
  line_tab(line, VALUES);
  return line;
}

static void page_diagnosis(struct command_context *context, const struct gc_report *report) {
  for (size_t i = 0; i < report->sentence_count; i++)
    line_words(page_line(context->document, 0), STYLE_PLAIN, report->sentences[i]);
}

static void page_state(struct command_context *context, const struct collector *collector) {
  struct line *line = named(context, "collector");
  const char *who = stopper(collector);
  line_printf(line, STYLE_PLAIN, "%s, phase %s, ", MODES[collector->mode],
              collector->phase ? collector->phase : "unknown");
  if (!collector->running_is_known)
    line_words(line, STYLE_PLAIN, "running or stopped: not known");
  else if (collector->is_running)
    line_words(line, STYLE_PLAIN, "running");
  else if (who)
    line_printf(line, STYLE_BAD, "stopped (%s)", who);
  else
    line_words(line, STYLE_BAD, "stopped");
}

static void add_setting(struct line *line, const char *name, int64_t value, bool *is_first) {
  if (value == NO_SETTING) return;
  line_printf(line, STYLE_PLAIN, "%s%s ", *is_first ? "" : ", ", name);
  line_cell(line, STYLE_PLAIN, cell_plain((uint64_t)value));
  *is_first = false;
}

static void page_settings(struct command_context *context, const struct collector *collector) {
  bool is_first = true;
  struct line *line = named(context, "incremental");
  add_setting(line, "pause", collector->pause, &is_first);
  add_setting(line, "stepmul", collector->stepmul, &is_first);
  line_words(line, STYLE_PLAIN, ", stepsize ");
  line_cell(line, STYLE_PLAIN, cell_plain((uint64_t)collector->stepsize));
  if (collector->stepsize != collector->step_bytes) {
    line_words(line, STYLE_PLAIN, " (");
    line_cell(line, STYLE_PLAIN, cell_bytes((uint64_t)collector->step_bytes));
    line_words(line, STYLE_PLAIN, ")");
  }
  is_first = true;
  line = named(context, "generational");
  add_setting(line, "minormul", collector->minormul, &is_first);
  add_setting(line, "majormul", collector->majormul, &is_first);
  add_setting(line, "minormajor", collector->minormajor, &is_first);
  add_setting(line, "majorminor", collector->majorminor, &is_first);
}

static void page_bytes(struct command_context *context, const struct gc_report *report) {
  const struct collector *collector = &report->collector;
  struct line *line = named(context, "bytes");
  line_cell(line, STYLE_PLAIN, cell_bytes(report->owner->vm.heap_bytes));
  line_words(line, STYLE_PLAIN, " in use, debt ");
  line_cell(line, STYLE_PLAIN, cell_integer(collector->debt));
  if (collector->is_running && collector->running_is_known) {
    line_words(line, STYLE_PLAIN, " B: next step after ");
    line_cell(line, STYLE_PLAIN, cell_bytes(collector->until_step));
    line_words(line, STYLE_PLAIN, " more");
  } else {
    line_words(line, STYLE_PLAIN, " B");
  }
  bool has_estimate = collector->estimate != NO_SETTING;
  line_words(line, STYLE_PLAIN, has_estimate ? ", estimate " : ", marked ");
  line_cell(line, STYLE_PLAIN, growth(has_estimate ? collector->estimate : collector->marked));
  line = named(context, "finalizers");
  line_cell(line, STYLE_PLAIN, cell_count(report->pending.objects));
  line_words(line, STYLE_PLAIN, " due");
}

static void row_tally(struct table *table, const char *name, const struct gc_tally *tally,
                      const char *note) {
  table_row(table);
  table_cell(table, cell_words(name));
  table_cell(table, cell_count(tally->objects));
  table_cell(table, cell_bytes(tally->bytes));
  table_cell(table, cell_words(note));
}

static struct table *start_table(struct command_context *context, const char *what) {
  page_blank(context->document);
  struct table *table = page_table(context->document, 0);
  table_column(table, what);
  table_column(table, "objects");
  table_column(table, "bytes");
  table_column(table, "");
  return table;
}

static void page_marks(struct command_context *context, const struct gc_report *report) {
  static const char *const NOTES[] = {[GC_WHITE] = "not reached in this cycle, or new",
                                      [GC_DEAD] = "of the other white: found dead, to be freed",
                                      [GC_GRAY] =
                                          "reached, to be visited; fixed strings are gray for ever",
                                      [GC_BLACK] = "reached and visited"};
  struct table *table = start_table(context, "colour");
  for (unsigned i = 0; i < GC_COLOR_COUNT; i++)
    row_tally(table, COLORS[i], &report->colors[i], NOTES[i]);
  if (report->collector.mode == COLLECTOR_INCREMENTAL) return;
  table = start_table(context, "age");
  for (unsigned i = 0; i < GC_AGE_COUNT; i++)
    row_tally(table, AGES[i], &report->ages[i], "");
}

void gc_to_page(struct command_context *context, const struct gc_report *report, bool is_only) {
  if (!is_only) {
    if (report->index) page_blank(context->document);
    struct line *line = page_line(context->document, 0);
    line_printf(line, STYLE_HEADING, "VM %zu   ", report->index + 1);
    line_cell(line, STYLE_PLAIN, cell_address(report->owner->vm.main_thread));
  }
  page_diagnosis(context, report);
  page_blank(context->document);
  page_state(context, &report->collector);
  page_settings(context, &report->collector);
  page_bytes(context, report);
  page_marks(context, report);
}
