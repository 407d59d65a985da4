/* cell.h - how the page shows a typed value. */
#ifndef REPORT_CELL_H
#define REPORT_CELL_H

#include "base/text.h"
#include "report/document.h"

/* Appends the cell as the page shows it; false: out of memory. Texts of the target are cut with an
 * ellipsis after CELL_TEXT_COLUMNS (quoted) or CELL_BARE_COLUMNS, unless `whole` is set. */
bool cell_show(struct text *text, struct cell cell, bool whole);

enum { CELL_TEXT_COLUMNS = 60, CELL_BARE_COLUMNS = 200 };

/* Whether the cell is a quantity: such cells align right. */
bool cell_is_number(struct cell cell);

enum { NUMBER_SIZE = 40 };

/* A finite double, as few digits as read back to the same value, a point whatever the locale. */
void number_shortest(char buffer[NUMBER_SIZE], double value);

#endif
