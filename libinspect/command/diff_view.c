/* diff_view.c - what grew between two dumps as page and as data. */
#include "command/diff.h"

#include <math.h>
#include <string.h>

#include "command/listing.h"

enum { MOST_SHOWN = 10, VALUES = 14 };

/* ---- Rates ------------------------------------------------------------------------------------
 */

/* In an hour; NaN if the times of the dumps do not tell. */
static double rate(const struct diff *diff, int64_t growth) {
  return diff->seconds > 0 ? (double)growth * 3600 / diff->seconds : NAN;
}

static struct cell rate_cell(const struct diff *diff, int64_t growth) {
  double value = rate(diff, growth);
  return isnan(value) ? cell_null() : cell_number(value);
}

static const char *shown(struct command_context *context, struct cell cell) {
  const char *text = render_cell(context->arena, cell);
  return text ? text : "?";
}

/* "+4.1 MB", "-12" */
static const char *signed_words(struct command_context *context, int64_t value, bool is_bytes) {
  uint64_t size = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
  return arena_printf(context->arena, "%s%s", value < 0 ? "-" : "+",
                      shown(context, is_bytes ? cell_bytes(size) : cell_count(size)));
}

static struct cell growth_cell(struct command_context *context, int64_t value, bool is_bytes) {
  return cell_words(signed_words(context, value, is_bytes));
}

static struct cell hourly_cell(struct command_context *context, const struct diff *diff,
                               int64_t growth) {
  double value = rate(diff, growth);
  if (isnan(value) || fabs(value) > 1e18) return cell_null();
  return growth_cell(context, (int64_t)value, true);
}

/* ---- Data -------------------------------------------------------------------------------------
 */

static void data_tally(struct data *parent, const char *key, const struct diff_tally *tally) {
  struct data *object = data_object(parent, key);
  data_cell(object, "objects", cell_count(tally->objects));
  data_cell(object, "bytes", cell_bytes(tally->bytes));
}

static void data_growth(const struct diff *diff, struct data *row, const struct diff_tally *before,
                        const struct diff_tally *after) {
  int64_t objects = diff_growth(before->objects, after->objects);
  int64_t bytes = diff_growth(before->bytes, after->bytes);
  data_tally(row, "before", before);
  data_tally(row, "after", after);
  data_cell(row, "objects_grown", cell_integer(objects));
  data_cell(row, "bytes_grown", cell_integer(bytes));
  data_cell(row, "objects_per_hour", rate_cell(diff, objects));
  data_cell(row, "bytes_per_hour", rate_cell(diff, bytes));
}

static void data_compared(struct command_context *context, const struct diff *diff) {
  const struct source *source = diff->other->source;
  struct data *other = data_object(context->data, "other");
  data_cell(other, "path",
            source->path ? cell_bare(source->path, strlen(source->path)) : cell_null());
  data_cell(other, "pid", source->pid ? cell_plain((uint64_t)source->pid) : cell_null());
  data_cell(other, "time", cell_time(source->time));
  data_cell(context->data, "seconds", cell_number(diff->seconds));
  data_cell(context->data, "same_process", cell_boolean(diff->is_same_process));
  struct data *live = data_object(context->data, "live");
  data_growth(diff, live, &diff->before.live, &diff->after.live);
  bool is_same = diff->is_same_process;
  data_cell(live, "kept", is_same ? cell_count(diff->kept) : cell_null());
  data_cell(live, "new", is_same ? cell_count(diff->after.live.objects - diff->kept) : cell_null());
  data_cell(live, "gone",
            is_same ? cell_count(diff->before.live.objects - diff->kept) : cell_null());
}

static void data_paths(struct command_context *context, const struct diff *diff) {
  struct data *list = data_array(context->data, "paths");
  const struct heap *heap = &context->session->heap;
  size_t limit = listing_data_limit(context, diff->paths.count);
  for (size_t i = 0; i < limit && !document_stops(context->document, i, limit); i++) {
    const struct diff_path *path = &diff->paths.items[i];
    struct data *row = data_object(list, NULL);
    data_cell(row, "path", cell_words(path->name));
    data_cell(row, "class", cell_words(path->class));
    data_growth(diff, row, &path->before, &path->after);
    data_cell(row, "example",
              path->example == NO_OBJECT ? cell_null()
                                         : cell_address(heap_address(heap, path->example)));
  }
}

static void data_classes(struct command_context *context, const struct diff *diff) {
  struct data *list = data_array(context->data, "classes");
  size_t limit = listing_data_limit(context, diff->classes.count);
  bool is_same = diff->is_same_process;
  for (size_t i = 0; i < limit && !document_stops(context->document, i, limit); i++) {
    const struct diff_class *class = &diff->classes.items[i];
    struct data *row = data_object(list, NULL);
    data_cell(row, "name", cell_words(class->name));
    data_cell(row, "type", cell_words(object_type_name(class->type)));
    data_growth(diff, row, &class->before, &class->after);
    data_cell(row, "kept", is_same ? cell_count(class->kept) : cell_null());
    data_cell(row, "new", is_same ? cell_count(class->after.objects - class->kept) : cell_null());
    data_cell(row, "gone", is_same ? cell_count(class->before.objects - class->kept) : cell_null());
  }
}

static void data_causes(struct command_context *context, const struct diff *diff) {
  struct data *list = data_array(context->data, "causes");
  for (size_t i = 0;
       i < diff->causes.count && !document_stops(context->document, i, diff->causes.count); i++) {
    const struct diff_cause *cause = &diff->causes.items[i];
    struct data *row = data_object(list, NULL);
    const char *hash =
        arena_printf(context->arena, "%016llx", (unsigned long long)cause->fingerprint);
    data_cell(row, "fingerprint", cell_words(hash));
    data_cell(row, "pattern", cell_words(cause->pattern));
    data_growth(diff, row, &cause->before, &cause->after);
  }
}

void diff_to_data(struct command_context *context, const struct diff *diff) {
  data_compared(context, diff);
  data_paths(context, diff);
  data_classes(context, diff);
  data_causes(context, diff);
}

/* ---- Page -------------------------------------------------------------------------------------
 */

static struct line *named(struct command_context *context, const char *name) {
  struct line *line = page_line(context->document, 0);
  line_words(line, STYLE_HEADING, name);
  line_tab(line, VALUES);
  return line;
}

static void page_compared(struct command_context *context, const struct diff *diff) {
  struct line *line = named(context, "compared with");
  line_words(line, STYLE_KEY, diff->other->source->name);
  double seconds = diff->seconds;
  if (seconds != 0) {
    line_words(line, STYLE_PLAIN, ", dumped ");
    line_cell(line, STYLE_PLAIN, cell_duration(fabs(seconds)));
    line_words(line, seconds > 0 ? STYLE_PLAIN : STYLE_BAD,
               seconds > 0 ? " before" : " LATER: what grew shows as shrunk");
  }
  line_words(line, STYLE_PLAIN, diff->is_same_process ? ", the same process" : ", another process");
  const struct diff_tally *before = &diff->before.live, *after = &diff->after.live;
  int64_t bytes = diff_growth(before->bytes, after->bytes);
  line = named(context, "live");
  line_cell(line, STYLE_PLAIN, cell_bytes(before->bytes));
  line_words(line, STYLE_PLAIN, " then, ");
  line_cell(line, STYLE_PLAIN, cell_bytes(after->bytes));
  line_printf(line, STYLE_PLAIN, " now: %s", signed_words(context, bytes, true));
  if (seconds > 0)
    line_printf(line, STYLE_PLAIN, ", %s an hour",
                shown(context, hourly_cell(context, diff, bytes)));
  line = named(context, "objects");
  line_cell(line, STYLE_PLAIN, cell_count(before->objects));
  line_words(line, STYLE_PLAIN, " then, ");
  line_cell(line, STYLE_PLAIN, cell_count(after->objects));
  line_words(line, STYLE_PLAIN, " now");
  if (!diff->is_same_process) return;
  line_words(line, STYLE_PLAIN, ": ");
  line_cell(line, STYLE_PLAIN, cell_count(diff->kept));
  line_words(line, STYLE_PLAIN, " in both, ");
  line_cell(line, STYLE_PLAIN, cell_count(after->objects - diff->kept));
  line_words(line, STYLE_PLAIN, " new, ");
  line_cell(line, STYLE_PLAIN, cell_count(before->objects - diff->kept));
  line_words(line, STYLE_PLAIN, " gone");
}

static void heading(struct command_context *context, const char *words) {
  page_blank(context->document);
  line_words(page_line(context->document, 0), STYLE_HEADING, words);
}

static void columns(struct table *table, const struct diff *diff) {
  table_column(table, "growth");
  if (diff->seconds > 0) table_column(table, "an hour");
  table_column(table, "objects");
  table_column(table, "then");
}

static void cells(struct command_context *context, const struct diff *diff, struct table *table,
                  const struct diff_tally *before, const struct diff_tally *after) {
  int64_t bytes = diff_growth(before->bytes, after->bytes);
  table_cell(table, growth_cell(context, bytes, true));
  if (diff->seconds > 0) table_cell(table, hourly_cell(context, diff, bytes));
  table_cell(table, growth_cell(context, diff_growth(before->objects, after->objects), false));
  table_cell(table, cell_count(before->objects));
}

/* Lists are in order of growth, so that what has changed is at both ends. Position `index` of what
 * the page shows: all that grew, then what shrank, most first. */
struct changes {
  size_t count, grown, shrunk;
};

static size_t change_at(const struct changes *changes, size_t index) {
  return index < changes->grown ? index : changes->count - 1 - (index - changes->grown);
}

static void count_change(struct changes *changes, const struct diff_tally *before,
                         const struct diff_tally *after) {
  int64_t bytes = diff_growth(before->bytes, after->bytes);
  int64_t objects = diff_growth(before->objects, after->objects);
  changes->count++;
  changes->grown += bytes > 0 || (!bytes && objects > 0);
  changes->shrunk += bytes < 0 || (!bytes && objects < 0);
}

/* Two lines each: what grew, and where. */
static void page_path(struct command_context *context, const struct diff *diff,
                      const struct diff_path *path) {
  int64_t bytes = diff_growth(path->before.bytes, path->after.bytes);
  int64_t objects = diff_growth(path->before.objects, path->after.objects);
  struct line *line = page_line(context->document, 2);
  if (path->example != NO_OBJECT) {
    line_words(line, STYLE_MUTED, "@");
    line_cell(line, STYLE_MUTED, listing_number(context, path->example));
  }
  line_tab(line, 7);
  line_words(line, STYLE_HEADING, signed_words(context, bytes, true));
  line_tab(line, 19);
  line_printf(line, STYLE_PLAIN, "%s (", signed_words(context, objects, false));
  line_cell(line, STYLE_PLAIN, cell_count(path->before.objects));
  line_words(line, STYLE_PLAIN, " then) × ");
  line_words(line, STYLE_PLAIN, path->class);
  if (diff->seconds > 0) {
    line_printf(line, STYLE_MUTED, "   %s an hour",
                shown(context, hourly_cell(context, diff, bytes)));
  }
  line_words(page_line(context->document, 7), STYLE_KEY, path_to_page(context, path->name));
}

static void page_paths(struct command_context *context, const struct diff *diff) {
  struct changes changes = {0};
  for (size_t i = 0; i < diff->paths.count; i++)
    count_change(&changes, &diff->paths.items[i].before, &diff->paths.items[i].after);
  size_t all = changes.grown + changes.shrunk, limit = listing_limit(context, all, MOST_SHOWN);
  listing_begin(context);
  if (!all) return;
  heading(context, "by retaining path");
  for (size_t i = 0; i < limit; i++)
    page_path(context, diff, &diff->paths.items[change_at(&changes, i)]);
  listing_more(context, limit, all, "path", "paths");
}

static void page_classes(struct command_context *context, const struct diff *diff) {
  struct changes changes = {0};
  for (size_t i = 0; i < diff->classes.count; i++)
    count_change(&changes, &diff->classes.items[i].before, &diff->classes.items[i].after);
  size_t all = changes.grown + changes.shrunk, limit = listing_limit(context, all, MOST_SHOWN);
  if (!all) return;
  heading(context, "by class");
  struct table *table = page_table(context->document, 2);
  columns(table, diff);
  if (diff->is_same_process) {
    table_column(table, "new");
    table_column(table, "gone");
  }
  table_column(table, "class");
  for (size_t i = 0; i < limit && !document_stops(context->document, i, limit); i++) {
    const struct diff_class *class = &diff->classes.items[change_at(&changes, i)];
    table_row(table);
    cells(context, diff, table, &class->before, &class->after);
    if (diff->is_same_process) {
      table_cell(table, cell_count(class->after.objects - class->kept));
      table_cell(table, cell_count(class->before.objects - class->kept));
    }
    table_cell(table, cell_words(class->name));
  }
  listing_more(context, limit, all, "class", "classes");
}

static void page_causes(struct command_context *context, const struct diff *diff) {
  struct changes changes = {0};
  for (size_t i = 0; i < diff->causes.count; i++)
    count_change(&changes, &diff->causes.items[i].before, &diff->causes.items[i].after);
  size_t all = changes.grown + changes.shrunk, limit = listing_limit(context, all, MOST_SHOWN);
  if (!diff->causes.count) return;
  page_blank(context->document);
  struct line *line = page_line(context->document, 0);
  line_words(line, STYLE_HEADING, "by cause");
  if (all < diff->causes.count) {
    line_words(line, STYLE_PLAIN, "   ");
    line_cell(line, STYLE_PLAIN, cell_count(diff->causes.count - all));
    line_words(line, STYLE_PLAIN, " of ");
    line_cell(line, STYLE_PLAIN, cell_count(diff->causes.count));
    line_words(line, STYLE_PLAIN, " have not changed");
  }
  if (!all) return;
  struct table *table = page_table(context->document, 2);
  table_column(table, "fingerprint");
  columns(table, diff);
  table_column(table, "pattern");
  for (size_t i = 0; i < limit && !document_stops(context->document, i, limit); i++) {
    const struct diff_cause *cause = &diff->causes.items[change_at(&changes, i)];
    table_row(table);
    table_cell(table, cell_words(arena_printf(context->arena, "%016llx",
                                              (unsigned long long)cause->fingerprint)));
    cells(context, diff, table, &cause->before, &cause->after);
    table_cell(table, cell_words(cause->pattern));
  }
  listing_more(context, limit, all, "cause", "causes");
}

void diff_to_page(struct command_context *context, const struct diff *diff) {
  page_compared(context, diff);
  page_paths(context, diff);
  if (context->found)
    page_classes(context, diff);
  else
    heading(context, "no differences in what is live");
  page_causes(context, diff);
  struct line *line = listing_next(context);
  if (context->session->listing.count)
    listing_try(context, line, "lua-paths 0x%llx",
                (unsigned long long)heap_address(&context->session->heap,
                                                 context->session->listing.items[0]));
  listing_try(context, line, "lua-triage");
  listing_try(context, line, "lua-heap");
}
