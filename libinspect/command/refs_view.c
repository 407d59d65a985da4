/* refs_view.c - references as a table for a reader, and as data. */
#include "command/chain_view.h"
#include "command/refs.h"
#include "report/flow.h"

/* ---- Labels -----------------------------------------------------------------------------------
 */

static const char *label_of(struct command_context *context, const struct found_reference *one) {
  struct text text = {0};
  const char *label = NULL;
  if (resolve_label(context->session, one->owner, one->reference, &text))
    label = arena_copy(context->arena, text.count ? text.items : "", text.count);
  vector_free(&text);
  return label && *label ? label : NULL;
}

/* "field", or "local" for a slot with a name. */
static const char *kind_of(struct command_context *context, const struct found_reference *one) {
  const struct graph *graph = &context->session->heap.graph;
  enum reference_kind kind = graph->kind[one->reference];
  struct graph_label label = {0};
  if (kind == REFERENCE_STACK || kind == REFERENCE_MAYBE_STACK)
    graph->labels.label(graph->labels.context, one->owner, one->reference, context->arena, &label);
  return label.form == LABEL_TEXT ? "local" : reference_kind_name(kind);
}

/* ---- Page -------------------------------------------------------------------------------------
 */

static const char *remark(struct command_context *context, const struct found_reference *one,
                          bool is_incoming) {
  const struct graph *graph = &context->session->heap.graph;
  object_id other = is_incoming ? one->owner : one->other;
  bool is_live = collection_leaves(&context->session->collection, other);
  const char *unreached = unreached_word(context->session, other);
  if (graph->kind[one->reference] == REFERENCE_MAYBE_STACK) return "may be stale";
  switch (reference_strength(graph, one->owner, one->reference)) {
  case STRENGTH_EPHEMERON:
    return is_live ? "while its key is held" : unreached;
  case STRENGTH_WEAK:
    return is_live ? "weak" : arena_printf(context->arena, "weak; %s", unreached);
  case STRENGTH_STRONG:
    break;
  }
  return is_live ? "" : unreached;
}

/* Labels may be of any length; a page shows the beginning. */
static const char *cut(struct command_context *context, const char *words) {
  enum { LONGEST = 60 };
  struct text text = {0};
  const char *result = words;
  if (!words || context->options->wide || strlen(words) <= LONGEST) return words;
  if (text_add(&text, words, strlen(words)) && flow_cut(&text, 0, LONGEST, 0))
    result = arena_copy(context->arena, text.items, text.count);
  vector_free(&text);
  return result;
}

static void add_row(struct command_context *context, struct table *table,
                    const struct found_reference *one, bool is_incoming) {
  struct inspect_session *session = context->session;
  object_id other = is_incoming ? one->owner : one->other;
  struct cell number = listing_number(context, other);
  table_row(table);
  table_cell(table, number.type == CELL_NULL
                        ? number
                        : cell_words(arena_printf(context->arena, "@%zu", session->listing.count)));
  table_cell(table, cell_words(cut(context, label_of(context, one))));
  table_cell(table, cell_words(kind_of(context, one)));
  table_cell(table, cell_address(heap_address(&session->heap, other)));
  if (!is_incoming) {
    table_cell(table, cell_bytes(graph_bytes(&session->heap.graph, other)));
    table_cell(table, object_retained(session, other));
  }
  table_cell(table, cell_words(remark(context, one, is_incoming)));
  table_cell(table, cell_words(object_words(context, other)));
}

/* The entries that a page lists. */
static size_t listed(const struct graph *graph, const struct selection *selection) {
  const struct found_reference *all = selection->items;
  size_t count = 0;
  while (count < selection->count && !refs_is_name(graph, &all[count]))
    count++;
  return count;
}

static void page_list(struct command_context *context, const struct selection *selection,
                      size_t count, bool is_incoming) {
  static const char *const columns[] = {"", "as", "kind", "address", "bytes", "retained", "", ""};
  if (!count) return;
  struct table *table = page_table(context->document, 2);
  for (size_t i = 0; i < sizeof columns / sizeof *columns; i++)
    if (!is_incoming || (i != 4 && i != 5)) table_column(table, columns[i]);
  const struct found_reference *all = selection->items;
  for (size_t i = 0; i < count && !document_stops(context->document, i, count); i++)
    add_row(context, table, &all[i], is_incoming);
}

static void page_roots(struct command_context *context, object_id object) {
  const struct graph *graph = &context->session->heap.graph;
  for (size_t i = 0; i < graph->root_count; i++) {
    if (graph->roots[i].object != object) continue;
    struct line *line = page_line(context->document, 2);
    line_printf(line, STYLE_PLAIN, "root: %s", chain_root_words(graph->roots[i].kind));
  }
  if (graph->flags[object] & OBJECT_FIXED)
    line_words(page_line(context->document, 2), STYLE_PLAIN, "fixed: the VM never collects it");
}

static void page_in(struct command_context *context, const struct found_references *found) {
  page_blank(context->document);
  struct line *line = page_line(context->document, 0);
  line_words(line, STYLE_HEADING, "referred to by ");
  line_cell(line, STYLE_HEADING, cell_count(found->in.offered));
  line_words(line, STYLE_HEADING, found->in.offered == 1 ? " reference" : " references");
  if (found->in.offered != found->in_strong) {
    line_words(line, STYLE_PLAIN, ", ");
    line_cell(line, STYLE_PLAIN, cell_count(found->in_strong));
    line_words(line, STYLE_PLAIN, " of them strong and from live objects");
  }
  page_roots(context, found->object);
  size_t count = listing_limit(context, found->in.count, 20);
  page_list(context, &found->in, count, true);
  listing_more(context, count, (size_t)found->in.offered, "reference to it", "references to it");
}

static void page_out(struct command_context *context, const struct found_references *found) {
  page_blank(context->document);
  uint64_t total = found->out.offered - found->string_keys;
  struct line *line = page_line(context->document, 0);
  line_words(line, STYLE_HEADING, "refers to ");
  line_cell(line, STYLE_HEADING, cell_count(total));
  line_words(line, STYLE_HEADING, total == 1 ? " object" : " objects");
  if (found->string_keys) {
    line_words(line, STYLE_PLAIN, ", and to ");
    line_cell(line, STYLE_PLAIN, cell_count(found->string_keys));
    line_words(line, STYLE_PLAIN,
               found->string_keys == 1 ? " string as name of a field"
                                       : " strings as names of fields");
  }
  size_t count = listed(&context->session->heap.graph, &found->out);
  count = listing_limit(context, count, 20);
  page_list(context, &found->out, count, false);
  listing_more(context, count, (size_t)total, "object", "objects");
}

void refs_to_page(struct command_context *context, const struct found_references *found) {
  object_to_page(context, found->object);
  object_bytes_to_page(context, found->object);
  if (found->wants_in) page_in(context, found);
  if (found->wants_out) page_out(context, found);
}

/* ---- Data -------------------------------------------------------------------------------------
 */

static void reference_to_data(struct command_context *context, struct data *data,
                              const struct found_reference *one, bool is_incoming) {
  struct inspect_session *session = context->session;
  const struct graph *graph = &session->heap.graph;
  const char *label = label_of(context, one);
  unsigned long long owner = heap_address(&session->heap, one->owner);
  data_cell(data, "kind", cell_words(kind_of(context, one)));
  data_cell(data, "label", cell_words(label));
  data_cell(data, "path",
            cell_words(label ? arena_printf(context->arena, "0x%llx%s", owner, label) : NULL));
  data_cell(
      data, "strength",
      cell_words(reference_strength_name(reference_strength(graph, one->owner, one->reference))));
  data_cell(data, "maybe", cell_boolean(graph->kind[one->reference] == REFERENCE_MAYBE_STACK));
  object_to_data(context, data, is_incoming ? one->owner : one->other);
}

/* One row while it is written: what it needs is freed with it. */
static void write_row(const struct found_references *found, const struct selection *selection,
                      size_t index, struct data *row) {
  struct arena arena;
  arena_init(&arena);
  struct command_context context = *found->context;
  context.arena = &arena;
  const struct found_reference *all = selection->items;
  reference_to_data(&context, row, &all[index], selection == &found->in);
  arena_free(&arena);
}

static void incoming_row(void *context, size_t index, struct data *row) {
  const struct found_references *found = context;
  write_row(found, &found->in, index, row);
}

static void outgoing_row(void *context, size_t index, struct data *row) {
  const struct found_references *found = context;
  write_row(found, &found->out, index, row);
}

void refs_to_data(struct command_context *context, struct data *data,
                  struct found_references *found) {
  const struct graph *graph = &context->session->heap.graph;
  object_to_data(context, data, found->object);
  struct data *roots = data_array(data, "roots");
  for (size_t i = 0; i < graph->root_count; i++)
    if (graph->roots[i].object == found->object)
      data_cell(roots, NULL, cell_words(chain_root_words(graph->roots[i].kind)));
  if (graph->flags[found->object] & OBJECT_FIXED) data_cell(roots, NULL, cell_words("fixed"));
  data_cell(data, "incoming_count", found->wants_in ? cell_count(found->in.offered) : cell_null());
  data_cell(data, "outgoing_count",
            found->wants_out ? cell_count(found->out.offered) : cell_null());
  if (found->wants_in) data_rows(data, "incoming", found->in.count, incoming_row, found);
  if (found->wants_out) data_rows(data, "outgoing", found->out.count, outgoing_row, found);
}
