/* page.h - the text renderer's inside: a page under way, and who renders which item.
 *
 * Each renderer of an item leaves the page at the start of a row. Running out of memory is kept in
 * page->failed; the item is then incomplete and the page ends. */
#ifndef REPORT_PAGE_H
#define REPORT_PAGE_H

#include <stdint.h>

#include "base/text.h"
#include "report/output.h"
#include "report/parts.h"

struct page {
  struct document *document;
  struct output output;
  size_t width; /* SIZE_MAX: no limit */
  bool colour;
  bool whole; /* texts of the target are not shortened */
  bool failed;
};

void put_text(struct page *page, enum style style, const char *text, size_t size);
void put_string(struct page *page, enum style style, const char *text);
void put_repeated(struct page *page, enum style style, char fill, size_t count);
void put_blanks(struct page *page, size_t count);
void put_newline(struct page *page);

/* Columns from `column` to the end of the page, but never so few that nothing can be shown. */
size_t page_room(const struct page *page, size_t column);

void render_line(struct page *page, const struct line *line);        /* text.c  */
void render_table(struct page *page, const struct table *table);     /* table.c */
void render_chain(struct page *page, const struct chain_view *view); /* chain.c */

#endif
