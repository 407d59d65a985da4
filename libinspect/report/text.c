/* text.c - the page for people: dispatches to lines (here), tables (table.c) and chains (chain.c).
 *
 * A line is first laid out flat, in one string with a mark per byte (its style, and whether the row
 * may break at that blank), then cut into rows. A value stays on one row as long as it fits into
 * one at all; only then may it break at its own blanks. */
#include <string.h>

#include "report/cell.h"
#include "report/flow.h"
#include "report/page.h"

/* Select Graphic Rendition codes (ECMA-48, 8.3.117). */
static const char *const colours[] = {
    [STYLE_PLAIN] = "",          [STYLE_HEADING] = "\033[1m", [STYLE_MUTED] = "\033[2m",
    [STYLE_KEY] = "\033[36m",    [STYLE_BAD] = "\033[31m",    [STYLE_GOOD] = "\033[32m",
    [STYLE_MARK] = "\033[1;31m",
};

void put_text(struct page *page, enum style style, const char *text, size_t size) {
  bool coloured = page->colour && style != STYLE_PLAIN && size;
  if (coloured) output_write(&page->output, colours[style], strlen(colours[style]));
  output_write(&page->output, text, size);
  if (coloured) output_write(&page->output, "\033[0m", 4);
}

void put_string(struct page *page, enum style style, const char *text) {
  put_text(page, style, text, strlen(text));
}

void put_repeated(struct page *page, enum style style, char fill, size_t count) {
  char run[64];
  memset(run, fill, sizeof run);
  for (size_t part; count; count -= part) {
    part = count < sizeof run ? count : sizeof run;
    put_text(page, style, run, part);
  }
}

void put_blanks(struct page *page, size_t count) { put_repeated(page, STYLE_PLAIN, ' ', count); }

void put_newline(struct page *page) { output_write(&page->output, "\n", 1); }

size_t page_room(const struct page *page, size_t column) {
  enum { LEAST = 10 };
  return page->width > column && page->width - column > LEAST ? page->width - column : LEAST;
}

/* ---- Lines ----------------------------------------------------------------------------------- */

struct marks VECTOR(uint8_t);

/* A line in one string, with one mark per byte. */
struct flat {
  struct text text;
  struct marks marks;
};

/* Gives the bytes since the last call their style; blanks may break if `breaks`. */
static bool flat_mark(struct flat *flat, enum style style, bool breaks) {
  size_t from = flat->marks.count, count = flat->text.count - from;
  if (!vector_reserve(&flat->marks, count)) return false;
  for (size_t i = from; i < from + count; i++)
    flat->marks.items[i] =
        (uint8_t)(style | (breaks && flat->text.items[i] == ' ' ? FLOW_BREAK : 0));
  flat->marks.count += count;
  return true;
}

static bool flat_add_tab(struct flat *flat, unsigned indent, unsigned column) {
  size_t now = indent + text_columns(flat->text.items, flat->text.count);
  do {
    if (!text_add(&flat->text, " ", 1)) return false;
  } while (++now < column);
  return flat_mark(flat, STYLE_PLAIN, true);
}

static bool flat_add(struct page *page, struct flat *flat, const struct line *line,
                     const struct span *span) {
  if (span->kind == SPAN_TAB) return flat_add_tab(flat, line->item.indent, span->column);
  size_t start = flat->text.count;
  if (!cell_show(&flat->text, span->cell, page->whole)) return false;
  size_t size = flat->text.count - start;
  size_t wide = size ? text_columns(flat->text.items + start, size) : 0;
  bool breaks = span->kind == SPAN_PROSE || wide > page_room(page, line->item.indent + 2);
  return flat_mark(flat, span->style, breaks);
}

/* Writes flat[from, end) as runs of one style. */
static void put_flat(struct page *page, const struct flat *flat, size_t from, size_t end) {
  for (size_t run = from; run < end; from = run) {
    uint8_t style = (uint8_t)(flat->marks.items[from] & ~FLOW_BREAK);
    while (run < end && (flat->marks.items[run] & ~FLOW_BREAK) == style)
      run++;
    put_text(page, (enum style)style, flat->text.items + from, run - from);
  }
}

static void put_rows(struct page *page, const struct flat *flat, unsigned indent) {
  size_t size = flat->text.count, from = 0, column = indent;
  do {
    struct flow_row row = {0};
    if (size)
      row = flow_next_row(flat->text.items, flat->marks.items, size, from, page_room(page, column));
    if (row.end > from) put_blanks(page, column);
    put_flat(page, flat, from, row.end);
    put_newline(page);
    from = row.next;
    column = (size_t)indent + 2;
  } while (from < size && !page->output.closed);
}

void render_line(struct page *page, const struct line *line) {
  struct flat flat = {0};
  for (const struct span *span = line->first; span && !page->failed; span = span->next)
    page->failed = !flat_add(page, &flat, line, span);
  if (!page->failed) put_rows(page, &flat, line->item.indent);
  vector_free(&flat.text);
  vector_free(&flat.marks);
}

/* ---- The page -------------------------------------------------------------------------------- */

bool render_text(struct document *document, const struct render_options *options) {
  struct page page = {.document = document,
                      .width = options->width ? options->width : SIZE_MAX,
                      .colour = options->colour,
                      .whole = options->width == 0};
  output_init(&page.output, options);
  size_t done = 0, total = 0;
  for (const struct item *item = document->first; item; item = item->next)
    total++;
  for (const struct item *item = document->first; item; item = item->next) {
    if (item->kind == ITEM_LINE) render_line(&page, (const struct line *)item);
    if (item->kind == ITEM_TABLE) render_table(&page, (const struct table *)item);
    if (item->kind == ITEM_CHAIN) render_chain(&page, (const struct chain_view *)item);
    if (page.failed || page.output.closed || document_stops(document, done++, total)) break;
  }
  if (document->is_partial && document->closing && !page.failed)
    render_line(&page, document->closing);
  if (page.failed) document->pool.failed = true;
  return output_flush(&page.output) && !page.failed;
}
