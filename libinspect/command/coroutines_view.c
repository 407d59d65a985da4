/* coroutines_view.c - groups of coroutines as page and data. */
#include "command/coroutines.h"

/* ---- Data ------------------------------------------------------------------------------------ */

static struct cell retained_cell(const struct census *census, uint64_t retained) {
  return census->context->session->is_dominated ? cell_bytes(retained) : cell_null();
}

static void data_coroutine(const struct census *census, struct data *parent, const char *key,
                           const struct coroutine *row) {
  struct data *data = data_object(parent, key);
  data_cell(data, "address", cell_address(row->address));
  data_cell(data, "bytes", cell_bytes(row->bytes));
  data_cell(data, "retained_bytes", retained_cell(census, row->retained));
  data_cell(data, "place", cell_words(row->place));
}

static void data_group(const struct census *census, struct data *list, const struct group *group) {
  const struct coroutine *row = &census->rows.items[group->first];
  struct data *data = data_object(list, NULL);
  data_cell(data, "status",
            census->by_status ? cell_words(thread_status_name(row->status)) : cell_null());
  data_cell(data, "main", census->by_main ? cell_words(row->main) : cell_null());
  data_cell(data, "count", cell_count(group->count));
  data_cell(data, "bytes", cell_bytes(group->bytes));
  data_cell(data, "retained_bytes", retained_cell(census, group->retained));
  data_cell(data, "garbage",
            census->context->session->is_collected ? cell_count(group->garbage) : cell_null());
  struct data *places = data_array(data, "places");
  for (size_t i = 0; i < group->place_count && !document_stops(census->context->document, 0, 0);
       i++) {
    struct data *place = data_object(places, NULL);
    data_cell(place, "place", cell_words(group->places[i].place));
    data_cell(place, "count", cell_count(group->places[i].count));
  }
  data_cell(data, "more_places", cell_count(group->other_places));
  data_coroutine(census, data, "biggest", group->biggest);
  data_coroutine(census, data, "oldest", group->oldest);
}

/* ---- Page ------------------------------------------------------------------------------------ */

/* "1,204 coroutines, 12.3 MB, 41.0 MB retained: 1 running, 1,203 suspended" */
static void page_total(const struct census *census) {
  struct line *line = page_line(census->context->document, 0);
  uint64_t counts[THREAD_STATUS_COUNT] = {0};
  bool is_first = true;
  for (size_t i = 0; i < census->rows.count; i++)
    counts[census->rows.items[i].status]++;
  line_cell(line, STYLE_PLAIN, cell_count(census->rows.count));
  line_words(line, STYLE_PLAIN, census->rows.count == 1 ? " coroutine" : " coroutines");
  if (!census->rows.count) return;
  line_words(line, STYLE_PLAIN, ", ");
  line_cell(line, STYLE_PLAIN, cell_bytes(census->bytes));
  if (census->context->session->is_dominated) {
    line_words(line, STYLE_PLAIN, ", ");
    line_cell(line, STYLE_PLAIN, cell_bytes(census->retained));
    line_words(line, STYLE_PLAIN, " retained");
  }
  for (unsigned i = 0; i < THREAD_STATUS_COUNT; i++) {
    if (!counts[i]) continue;
    line_words(line, STYLE_PLAIN, is_first ? ": " : ", ");
    line_cell(line, STYLE_PLAIN, cell_count(counts[i]));
    line_printf(line, STYLE_PLAIN, " %s", thread_status_words(i));
    is_first = false;
  }
}

enum { DETAILS = 4, VALUES = 14 }; /* columns */

static struct line *detail(struct document *document, const char *name) {
  struct line *line = page_line(document, DETAILS);
  line_words(line, STYLE_MUTED, name);
  line_tab(line, VALUES);
  return line;
}

static void page_places(struct document *document, const struct group *group) {
  if (!group->place_count) return;
  struct line *line = detail(document, "at");
  for (size_t i = 0; i < group->place_count; i++) {
    line_printf(line, STYLE_PLAIN, "%s%s", i ? ", " : "", group->places[i].place);
    if (group->place_count == 1) return;
    if (group->places[i].count == 1) continue;
    line_words(line, STYLE_PLAIN, " (");
    line_cell(line, STYLE_PLAIN, cell_count(group->places[i].count));
    line_words(line, STYLE_PLAIN, ")");
  }
  if (!group->other_places) return;
  line_words(line, STYLE_MUTED, ", ");
  line_cell(line, STYLE_MUTED, cell_count(group->other_places));
  line_words(line, STYLE_MUTED, " more");
}

static void line_bytes(const struct census *census, struct line *line, uint64_t bytes,
                       uint64_t retained) {
  line_cell(line, STYLE_PLAIN, cell_bytes(bytes));
  if (!census->context->session->is_dominated || !retained) return;
  line_words(line, STYLE_PLAIN, ", ");
  line_cell(line, STYLE_PLAIN, cell_bytes(retained));
  line_words(line, STYLE_PLAIN, " retained");
}

static void line_garbage(struct line *line, const struct group *group) {
  if (!group->garbage) return;
  line_words(line, STYLE_MUTED, ", ");
  if (group->garbage < group->count) {
    line_cell(line, STYLE_MUTED, cell_count(group->garbage));
    line_words(line, STYLE_MUTED, " of them");
  }
  line_words(line, STYLE_MUTED, group->garbage < group->count ? " garbage" : "garbage");
}

/* "#1  server.lua:41   1,190 suspended   1.2 MB, 38.2 MB retained, 3 of them garbage" */
static void page_group(const struct census *census, size_t number, const struct group *group) {
  struct document *document = census->context->document;
  const struct coroutine *row = &census->rows.items[group->first];
  page_blank(document);
  struct line *line = page_line(document, 0);
  line_printf(line, STYLE_HEADING, "#%zu", number + 1);
  line_tab(line, DETAILS);
  if (census->by_main) {
    const char *main = row->main ? row->main : "function not known any more";
    line_printf(line, STYLE_KEY, "%s   ", main);
  }
  line_cell(line, STYLE_PLAIN, cell_count(group->count));
  if (census->by_status)
    line_printf(line, STYLE_PLAIN, " %s", thread_status_words(row->status));
  else
    line_words(line, STYLE_PLAIN, group->count == 1 ? " coroutine" : " coroutines");
  line_words(line, STYLE_PLAIN, "   ");
  line_bytes(census, line, group->bytes, group->retained);
  line_garbage(line, group);
  page_places(document, group);
  line = detail(document, group->count == 1 ? "address" : "biggest");
  line_cell(line, STYLE_PLAIN, cell_address(group->biggest->address));
  if (group->count == 1) return;
  line_words(line, STYLE_PLAIN, ", ");
  line_bytes(census, line, group->biggest->bytes, group->biggest->retained);
  line_words(line, STYLE_PLAIN, "   oldest ");
  line_cell(line, STYLE_PLAIN, cell_address(group->oldest->address));
}

static void page_next(const struct census *census) {
  if (!census->groups.count) return;
  struct document *document = census->context->document;
  page_blank(document);
  struct line *line = page_line(document, 0);
  line_words(line, STYLE_MUTED, "next");
  line_tab(line, VALUES);
  line_printf(line, STYLE_MUTED, "lua-bt 0x%llx --locals   lua-paths 0x%llx   --json",
              (unsigned long long)census->groups.items[0].biggest->address,
              (unsigned long long)census->groups.items[0].oldest->address);
}

void coroutines_show(struct census *census) {
  enum { DEFAULT_LIMIT = 20 };
  struct command_context *context = census->context;
  uint64_t limit = context->options->limit ? context->options->limit : DEFAULT_LIMIT;
  data_cell(context->data, "coroutines", cell_count(census->rows.count));
  data_cell(context->data, "bytes", cell_bytes(census->bytes));
  data_cell(context->data, "retained_bytes", retained_cell(census, census->retained));
  struct data *list = data_array(context->data, "groups");
  page_total(census);
  size_t count = census->groups.count, shown = count < limit ? count : (size_t)limit;
  context->session->listing.count = 0;
  for (size_t i = 0; i < shown && !document_stops(context->document, i, shown); i++) {
    const struct coroutine *biggest = census->groups.items[i].biggest;
    (void)vector_push(&context->session->listing, biggest->object); /* @N; without memory, fewer */
    data_group(census, list, &census->groups.items[i]);
    page_group(census, i, &census->groups.items[i]);
  }
  data_cell(context->data, "more", cell_count(count - shown));
  if (shown < count) {
    page_blank(context->document);
    struct line *line = page_line(context->document, 0);
    line_cell(line, STYLE_MUTED, cell_count(count - shown));
    line_words(line, STYLE_MUTED, " more groups: --limit N");
  }
  page_next(census);
}
