/* table.c - tables: every column as wide as its widest cell, three blanks between columns.
 *
 * Two passes over the cells, measuring and writing; nothing is kept between them but the widths. A
 * table too wide for the page first takes from the last column if that is text, then from whichever
 * text column is widest. Numbers and addresses keep their width; only when no text is left to
 * shorten, whole rows are cut at the edge. */
#include <stdlib.h>

#include "report/cell.h"
#include "report/flow.h"
#include "report/page.h"

enum { GAP = 3, LEAST_LAST = 12, LEAST_TEXT = 6 };

struct column {
  size_t width;
  bool has_number, has_text, has_other;
};

static bool column_aligns_right(const struct column *column) {
  return column->has_number && !column->has_text && !column->has_other;
}

static bool is_text(struct cell cell) {
  return cell.type == CELL_WORDS || cell.type == CELL_PATH || cell.type == CELL_TEXT ||
         cell.type == CELL_BARE;
}

/* Replaces `text` by the cell as shown and returns its columns. */
static size_t show_alone(struct page *page, struct text *text, struct cell cell) {
  text->count = 0;
  if (!cell_show(text, cell, page->whole)) page->failed = true;
  return text->count ? text_columns(text->items, text->count) : 0;
}

static void measure(struct page *page, const struct table *table, struct column *columns,
                    struct text *scratch) {
  struct column *column = columns;
  for (const struct table_column *c = table->first_column; c; c = c->next, column++)
    column->width = show_alone(page, scratch, cell_words(c->heading ? c->heading : ""));
  for (const struct table_row *row = table->first_row; row; row = row->next) {
    if (document_stops(page->document, 0, 0)) return;
    column = columns;
    const struct table_cell *cell = row->first;
    for (; cell && column < columns + table->column_count; cell = cell->next, column++) {
      size_t width = show_alone(page, scratch, cell->cell);
      if (width > column->width) column->width = width;
      if (cell_is_number(cell->cell))
        column->has_number = true;
      else if (is_text(cell->cell))
        column->has_text = true;
      else if (cell->cell.type != CELL_NULL)
        column->has_other = true;
    }
  }
}

static struct column *widest_text(struct column *columns, size_t count) {
  struct column *widest = NULL;
  for (struct column *column = columns; column < columns + count; column++)
    if (column->has_text && column->width > LEAST_TEXT &&
        (!widest || column->width > widest->width))
      widest = column;
  return widest;
}

static void shrink(const struct page *page, struct column *columns, size_t count, unsigned indent) {
  size_t total = indent;
  for (size_t i = 0; i < count; i++)
    total += columns[i].width + (i ? GAP : 0);
  size_t excess = total > page->width ? total - page->width : 0;
  struct column *last = &columns[count - 1];
  if (last->has_text && last->width > LEAST_LAST) {
    size_t spare = last->width - LEAST_LAST, taken = excess < spare ? excess : spare;
    last->width -= taken;
    excess -= taken;
  }
  for (struct column *widest; excess && (widest = widest_text(columns, count)); excess--)
    widest->width--;
}

/* Appends one cell of a row under construction: cut to the column, aligned. */
static bool add_cell(struct text *row, const struct text *shown, const struct column *column,
                     bool right) {
  size_t wide = shown->count ? text_columns(shown->items, shown->count) : 0;
  size_t padding = column->width > wide ? column->width - wide : 0;
  for (size_t i = 0; right && i < padding; i++)
    if (!text_add(row, " ", 1)) return false;
  if (shown->count && !text_add(row, shown->items, shown->count)) return false;
  for (size_t i = 0; !right && i < padding; i++)
    if (!text_add(row, " ", 1)) return false;
  return true;
}

static void put_row(struct page *page, struct text *row, unsigned indent, enum style style) {
  while (row->count && row->items[row->count - 1] == ' ')
    row->count--;
  if (row->count && !flow_cut(row, 0, page_room(page, indent), 0)) page->failed = true;
  if (page->failed) return;
  if (row->count) put_blanks(page, indent);
  put_text(page, style, row->items, row->count);
  put_newline(page);
  row->count = 0;
}

/* Shows the cell in `scratch` and appends it to the row as number `index`. */
static void add_column(struct page *page, struct text *row, struct text *scratch, struct cell cell,
                       const struct column *columns, size_t index) {
  const struct column *column = &columns[index];
  show_alone(page, scratch, cell);
  bool added = !scratch->count ||
               (cell.type == CELL_PATH
                    ? flow_cut_middle(scratch, column->width)
                    : flow_cut(scratch, 0, column->width, cell.type == CELL_TEXT ? '"' : 0));
  if (index) added = added && text_add(row, "   ", GAP);
  if (!added || !add_cell(row, scratch, column, column_aligns_right(column))) page->failed = true;
}

static void put_table(struct page *page, const struct table *table, const struct column *columns,
                      struct text *row, struct text *scratch) {
  size_t index = 0;
  for (const struct table_column *c = table->first_column; c; c = c->next, index++)
    add_column(page, row, scratch, cell_words(c->heading ? c->heading : ""), columns, index);
  put_row(page, row, table->item.indent, STYLE_HEADING);
  for (const struct table_row *r = table->first_row; r && !page->failed; r = r->next) {
    if (page->output.closed || document_stops(page->document, 0, 0)) return;
    const struct table_cell *cell = r->first;
    for (index = 0; cell && index < table->column_count; cell = cell->next, index++)
      add_column(page, row, scratch, cell->cell, columns, index);
    put_row(page, row, table->item.indent, STYLE_PLAIN);
  }
}

void render_table(struct page *page, const struct table *table) {
  if (!table->column_count) return;
  struct text row = {0}, scratch = {0};
  struct column *columns = calloc(table->column_count, sizeof *columns);
  if (columns) {
    measure(page, table, columns, &scratch);
    shrink(page, columns, table->column_count, table->item.indent);
    if (!page->failed) put_table(page, table, columns, &row, &scratch);
  } else {
    page->failed = true;
  }
  free(columns);
  vector_free(&row);
  vector_free(&scratch);
}
