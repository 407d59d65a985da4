/* document.c - collects data and page in the order in which a command adds them.
 *
 * Invariant: what hangs below a document is complete and printable at any time; what could not be
 * allocated is left out and the pool says so. */
#include "report/document.h"

#include <stdlib.h>
#include <string.h>

#include "report/parts.h"

static void *pool_alloc(struct pool *pool, size_t size) {
  void *memory = arena_alloc(&pool->arena, size);
  if (!memory) pool->failed = true;
  return memory;
}

static const char *pool_string(struct pool *pool, const char *string) {
  const char *copy = string ? arena_copy(&pool->arena, string, strlen(string)) : NULL;
  if (string && !copy) pool->failed = true;
  return copy;
}

/* Moves a cell's text into the pool; without memory the cell becomes null. */
static struct cell pool_cell(struct pool *pool, struct cell cell) {
  if (cell.type != CELL_WORDS && cell.type != CELL_PATH && cell.type != CELL_TEXT &&
      cell.type != CELL_BARE)
    return cell;
  cell.text.bytes = arena_copy(&pool->arena, cell.text.bytes, cell.text.size);
  if (cell.text.bytes) return cell;
  pool->failed = true;
  return cell_null();
}

struct document *document_create(void) {
  struct document *document = calloc(1, sizeof *document);
  if (!document) return NULL;
  arena_init(&document->pool.arena);
  document->data = pool_alloc(&document->pool, sizeof *document->data);
  if (!document->data) {
    document_free(document);
    return NULL;
  }
  data_init(document->data, &document->pool);
  return document;
}

void document_free(struct document *document) {
  if (!document) return;
  arena_free(&document->pool.arena);
  free(document);
}

bool document_failed(const struct document *document) { return document->pool.failed; }

/* ---- Partial answers ------------------------------------------------------------------------- */

void document_watch(struct document *document, const struct work *work) { document->work = work; }

bool document_stops(struct document *document, size_t done, size_t total) {
  if (total) document->done = done, document->total = total;
  if (!document->is_stopped &&
      work_stops(document->work, "writing", document->done, document->total))
    document->is_stopped = document->is_partial = true;
  return document->is_stopped;
}

void document_set_partial(struct document *document) { document->is_partial = true; }

bool document_is_partial(const struct document *document) { return document->is_partial; }

/* ---- Data ------------------------------------------------------------------------------------ */

void data_init(struct data *object, struct pool *pool) {
  *object = (struct data){.kind = DATA_OBJECT, .pool = pool};
}

struct data *document_data(struct document *document) {
  return document->data;
}

static struct data *data_add(struct data *parent, const char *key, enum data_kind kind) {
  if (!parent || (parent->kind != DATA_OBJECT && parent->kind != DATA_ARRAY)) return NULL;
  struct data *data = pool_alloc(parent->pool, sizeof *data);
  if (!data) return NULL;
  *data = (struct data){.kind = kind, .key = key, .pool = parent->pool};
  if (parent->members.last)
    parent->members.last->next = data;
  else
    parent->members.first = data;
  parent->members.last = data;
  return data;
}

struct data *data_object(struct data *parent, const char *key) {
  return data_add(parent, key, DATA_OBJECT);
}

struct data *data_array(struct data *parent, const char *key) {
  return data_add(parent, key, DATA_ARRAY);
}

void data_cell(struct data *parent, const char *key, struct cell cell) {
  struct data *data = data_add(parent, key, DATA_CELL);
  if (data) data->cell = pool_cell(parent->pool, cell);
}

void data_partial(struct data *parent, const char *key, const struct document *document) {
  struct data *data = data_add(parent, key, DATA_PARTIAL);
  if (data) data->partial = document;
}

void data_rows(struct data *parent, const char *key, size_t count,
               void (*row)(void *context, size_t index, struct data *object), void *context) {
  struct data *data = data_add(parent, key, DATA_ROWS);
  if (!data) return;
  data->rows.count = count;
  data->rows.row = row;
  data->rows.context = context;
}

/* ---- Lines ----------------------------------------------------------------------------------- */

/* A new element of `size` bytes that begins with a struct item, not yet on a list. */
static void *item_create(struct pool *pool, enum item_kind kind, unsigned indent, size_t size) {
  struct item *item = pool_alloc(pool, size);
  if (item) *item = (struct item){.kind = kind, .indent = indent, .pool = pool};
  return item;
}

static void item_append(struct item **first, struct item **last, struct item *item) {
  if (!item) return;
  if (*last)
    (*last)->next = item;
  else
    *first = item;
  *last = item;
}

static void *page_add(struct document *document, enum item_kind kind, unsigned indent,
                      size_t size) {
  struct item *item = item_create(&document->pool, kind, indent, size);
  item_append(&document->first, &document->last, item);
  return item;
}

struct line *page_line(struct document *document, unsigned indent) {
  return page_add(document, ITEM_LINE, indent, sizeof(struct line));
}

void page_blank(struct document *document) { page_line(document, 0); }

struct line *page_closing(struct document *document) {
  document->closing = item_create(&document->pool, ITEM_LINE, 0, sizeof(struct line));
  return document->closing;
}

static struct span *line_add(struct line *line, enum span_kind kind, enum style style) {
  if (!line) return NULL;
  struct span *span = pool_alloc(line->item.pool, sizeof *span);
  if (!span) return NULL;
  *span = (struct span){.kind = kind, .style = style};
  if (line->last)
    line->last->next = span;
  else
    line->first = span;
  line->last = span;
  return span;
}

void line_words(struct line *line, enum style style, const char *words) {
  struct span *span = line_add(line, SPAN_PROSE, style);
  if (span) span->cell = pool_cell(line->item.pool, cell_words(words));
}

void line_printf(struct line *line, enum style style, const char *format, ...) {
  struct span *span = line_add(line, SPAN_PROSE, style);
  if (!span) return;
  va_list arguments;
  va_start(arguments, format);
  char *words = arena_vprintf(&line->item.pool->arena, format, arguments);
  va_end(arguments);
  if (!words) line->item.pool->failed = true;
  span->cell = cell_words(words);
}

void line_cell(struct line *line, enum style style, struct cell cell) {
  struct span *span = line_add(line, SPAN_CELL, style);
  if (span) span->cell = pool_cell(line->item.pool, cell);
}

void line_tab(struct line *line, unsigned column) {
  struct span *span = line_add(line, SPAN_TAB, STYLE_PLAIN);
  if (span) span->column = column;
}

/* ---- Tables ---------------------------------------------------------------------------------- */

struct table *page_table(struct document *document, unsigned indent) {
  return page_add(document, ITEM_TABLE, indent, sizeof(struct table));
}

void table_column(struct table *table, const char *heading) {
  if (!table) return;
  struct table_column *column = pool_alloc(table->item.pool, sizeof *column);
  if (!column) return;
  column->heading = pool_string(table->item.pool, heading);
  if (table->last_column)
    table->last_column->next = column;
  else
    table->first_column = column;
  table->last_column = column;
  table->column_count++;
}

void table_row(struct table *table) {
  if (!table) return;
  struct table_row *row = pool_alloc(table->item.pool, sizeof *row);
  if (!row) return;
  if (table->last_row)
    table->last_row->next = row;
  else
    table->first_row = row;
  table->last_row = row;
}

void table_cell(struct table *table, struct cell cell) {
  if (!table || !table->last_row) return;
  struct table_cell *added = pool_alloc(table->item.pool, sizeof *added);
  if (!added) return;
  added->cell = pool_cell(table->item.pool, cell);
  struct table_row *row = table->last_row;
  if (row->last)
    row->last->next = added;
  else
    row->first = added;
  row->last = added;
}

/* ---- Chains ---------------------------------------------------------------------------------- */

struct chain_view *page_chain(struct document *document, unsigned indent) {
  return page_add(document, ITEM_CHAIN, indent, sizeof(struct chain_view));
}

static struct chain_step *step_create(struct chain_view *view, const char *label,
                                      const char *note) {
  if (!view) return NULL;
  struct chain_step *step = pool_alloc(view->item.pool, sizeof *step);
  if (!step) return NULL;
  step->label = pool_string(view->item.pool, label ? label : "");
  if (!step->label) step->label = "";
  step->note = pool_string(view->item.pool, note && *note ? note : NULL);
  return step;
}

void chain_view_step(struct chain_view *view, const char *label, bool joins, bool suspect,
                     const char *note) {
  struct chain_step *step = step_create(view, label, note);
  if (!step) return;
  step->joins = joins;
  step->suspect = suspect;
  if (view->last)
    view->last->next = step;
  else
    view->first = step;
  view->last = step;
}

void chain_view_leaf(struct chain_view *view, const char *what, const char *note) {
  struct chain_step *step = step_create(view, what, note);
  if (step) view->leaf = step;
}

struct line *chain_view_leaf_line(struct chain_view *view) {
  if (!view) return NULL;
  struct item *item =
      item_create(view->item.pool, ITEM_LINE, view->item.indent + 3, sizeof(struct line));
  item_append(&view->first_line, &view->last_line, item);
  return (struct line *)item;
}
