/* check.c - is the heap as Lua keeps it? The command over graph/check.h. */
#include "graph/check.h"
#include "command/listing.h"

struct checks {
  struct check check;
  struct check_counts *counts; /* of each VM that was checked */
  bool *is_done;
};

static void release(void *state) {
  struct checks *checks = state;
  check_free(&checks->check);
  free(checks->counts);
  free(checks->is_done);
  free(checks);
}

static struct inspect_error *run(struct command_context *context, struct checks *checks) {
  struct inspect_session *session = context->session;
  size_t count = session->heap.vm_count;
  checks->counts = calloc(count, sizeof *checks->counts);
  checks->is_done = calloc(count, sizeof *checks->is_done);
  if (!checks->counts || !checks->is_done) return error_no_memory();
  for (size_t i = 0; i < count; i++) {
    if (!session_selects(session, context->options, i)) continue;
    struct inspect_error *error = check_vm(&checks->check, i, context->work, &checks->counts[i]);
    if (error) return partial_if_interrupted(context, error); /* what was seen counts */
    checks->is_done[i] = true;
  }
  return NULL;
}

/* ---- Data --------------------------------------------------------------------------------------
 */

static const char *type_at(const struct heap *heap, uint64_t address) {
  object_id object = heap_object_at(heap, address);
  return object == NO_OBJECT ? NULL : object_type_name(heap->graph.type[object]);
}

static void violation_row(void *context, size_t index, struct data *row) {
  const struct checks *checks = context;
  const struct violation *violation = &checks->check.violations.list.items[index];
  data_cell(row, "vm", cell_plain(violation->vm + 1));
  data_cell(row, "code", cell_words(violation_name(violation->code)));
  data_cell(row, "address", cell_address(violation->address));
  data_cell(row, "type", cell_words(type_at(checks->check.heap, violation->address)));
  data_cell(row, "other", violation->has_other ? cell_address(violation->other) : cell_null());
  data_cell(row, "message", cell_words(violation->text));
}

static void data_vm(struct data *list, size_t index, const struct check_counts *counts,
                    bool is_done) {
  struct data *row = data_object(list, NULL);
  data_cell(row, "vm", cell_plain(index + 1));
  data_cell(row, "complete", cell_boolean(is_done));
  data_cell(row, "objects", cell_count(counts->objects));
  data_cell(row, "references", cell_count(counts->references));
  data_cell(row, "strings", cell_count(counts->strings));
  data_cell(row, "tables", cell_count(counts->tables));
  data_cell(row, "threads", cell_count(counts->threads));
  data_cell(row, "violations", cell_count(counts->violations));
}

static void to_data(struct command_context *context, struct checks *checks) {
  struct inspect_session *session = context->session;
  const struct violations *violations = &checks->check.violations;
  struct data *list = data_array(context->data, "checks");
  for (size_t i = 0; i < session->heap.vm_count; i++)
    if (session_selects(session, context->options, i))
      data_vm(list, i, &checks->counts[i], checks->is_done[i]);
  list = data_array(context->data, "kinds");
  for (unsigned code = 0; code < VIOLATION_CODE_COUNT; code++) {
    if (!violations->counts[code]) continue;
    struct data *row = data_object(list, NULL);
    data_cell(row, "code", cell_words(violation_name(code)));
    data_cell(row, "sentence", cell_words(violation_sentence(code)));
    data_cell(row, "count", cell_count(violations->counts[code]));
  }
  data_rows(context->data, "violations", violations->list.count, violation_row, checks);
  list = data_array(context->data, "unchecked");
  for (size_t i = 0; i < checks->check.notes.count; i++) {
    struct data *row = data_object(list, NULL);
    data_cell(row, "vm", cell_plain(checks->check.notes.items[i].vm + 1));
    data_cell(row, "message", cell_words(checks->check.notes.items[i].text));
  }
}

/* ---- Page --------------------------------------------------------------------------------------
 */

static void add_count(struct line *line, uint64_t count, const char *one, const char *many) {
  line_cell(line, STYLE_PLAIN, cell_count(count));
  line_printf(line, STYLE_PLAIN, " %s", count == 1 ? one : many);
}

static void page_checked(struct command_context *context, const struct checks *checks) {
  struct check_counts sum = {0};
  bool is_complete = true;
  for (size_t i = 0; i < context->session->heap.vm_count; i++) {
    const struct check_counts *counts = &checks->counts[i];
    if (!session_selects(context->session, context->options, i)) continue;
    is_complete &= checks->is_done[i];
    sum.objects += counts->objects;
    sum.references += counts->references;
    sum.strings += counts->strings;
    sum.tables += counts->tables;
    sum.threads += counts->threads;
  }
  struct line *line = page_line(context->document, 0);
  line_words(line, STYLE_PLAIN, is_complete ? "checked " : "checked, before it was interrupted: ");
  add_count(line, sum.objects, "object, ", "objects, ");
  add_count(line, sum.references, "reference, ", "references, ");
  add_count(line, sum.strings, "string, ", "strings, ");
  add_count(line, sum.tables, "table, ", "tables, ");
  add_count(line, sum.threads, "thread", "threads");
}

static void page_violation(struct command_context *context, const struct checks *checks,
                           const struct violation *violation) {
  struct line *line = page_line(context->document, 2);
  const char *type = type_at(checks->check.heap, violation->address);
  line_cell(line, STYLE_KEY, cell_address(violation->address));
  line_printf(line, STYLE_PLAIN, "  %s%s", type ? type : "", type ? ": " : "");
  line_words(line, STYLE_PLAIN, violation->text);
}

static void page_kind(struct command_context *context, const struct checks *checks,
                      enum violation_code code) {
  const struct violations *violations = &checks->check.violations;
  page_blank(context->document);
  struct line *line = page_line(context->document, 0);
  line_words(line, STYLE_BAD, violation_name(code));
  line_words(line, STYLE_PLAIN, "   ");
  line_cell(line, STYLE_PLAIN, cell_count(violations->counts[code]));
  line_printf(line, STYLE_PLAIN, " ×   %s", violation_sentence(code));
  uint64_t shown = 0;
  for (size_t i = 0; i < violations->list.count; i++) {
    if (violations->list.items[i].code != code) continue;
    page_violation(context, checks, &violations->list.items[i]);
    shown++;
  }
  if (shown == violations->counts[code]) return;
  line = page_line(context->document, 2);
  line_cell(line, STYLE_MUTED, cell_count(violations->counts[code] - shown));
  line_words(line, STYLE_MUTED, " more");
}

/* Whether everything that was found concerns one object. */
static bool is_about_one_object(const struct violations *violations) {
  for (size_t i = 1; i < violations->list.count; i++)
    if (violations->list.items[i].address != violations->list.items[0].address) return false;
  return violations->total && violations->list.count == violations->total;
}

static void to_page(struct command_context *context, const struct checks *checks) {
  const struct violations *violations = &checks->check.violations;
  struct line *line = page_line(context->document, 0);
  if (violations->total) {
    unsigned kinds = 0;
    for (unsigned code = 0; code < VIOLATION_CODE_COUNT; code++)
      kinds += violations->counts[code] != 0;
    line_cell(line, STYLE_BAD, cell_count(violations->total));
    line_printf(line, STYLE_BAD, " %s of %u %s",
                violations->total == 1 ? "violation" : "violations", kinds,
                kinds == 1 ? "kind" : "kinds");
  } else {
    line_words(line, STYLE_GOOD, "no violations");
  }
  page_checked(context, checks);
  for (unsigned code = 0; code < VIOLATION_CODE_COUNT; code++)
    if (violations->counts[code]) page_kind(context, checks, code);
  if (checks->check.notes.count || violations->total) page_blank(context->document);
  if (is_about_one_object(violations))
    line_words(page_line(context->document, 0), STYLE_MUTED,
               "All of this concerns one object: perhaps the process was dumped while it was "
               "changing it.");
  for (size_t i = 0; i < checks->check.notes.count; i++) {
    line = page_line(context->document, 0);
    line_words(line, STYLE_MUTED, "not checked");
    line_tab(line, 14);
    line_words(line, STYLE_PLAIN, checks->check.notes.items[i].text);
  }
}

struct inspect_error *command_check(struct command_context *context) {
  struct inspect_session *session = context->session;
  TRY(session_begin(context));
  struct checks *checks = calloc(1, sizeof *checks);
  if (!checks) return error_no_memory();
  context->state = checks;
  context->release = release;
  TRY(check_init(&checks->check, &session->heap, &session->collection.live));
  TRY(run(context, checks));
  describe_target(context, false);
  to_data(context, checks);
  to_page(context, checks);
  struct line *line = listing_next(context);
  listing_try(context, line, "lua-states -v");
  listing_try(context, line, "lua-triage");
  describe_faults(context);
  context->found = checks->check.violations.total != 0;
  return NULL;
}
