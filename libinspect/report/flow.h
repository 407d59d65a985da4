/* flow.h - cutting and wrapping of escaped UTF-8 by terminal columns.
 *
 * The unit is what must not be torn apart: one UTF-8 character, or one escape sequence of
 * text_escape (\n, \xNN, \u{XXXX}). */
#ifndef REPORT_FLOW_H
#define REPORT_FLOW_H

#include <stdint.h>

#include "base/text.h"

/* Set in a byte's mark if a row may end at that blank. */
#define FLOW_BREAK 0x80u

#define FLOW_ELLIPSIS "\xe2\x80\xa6"

/* The bytes of the first unit; at least 1 for a size > 0. */
size_t flow_unit(const char *text, size_t size);

/* The longest prefix of whole units that takes at most `columns`. */
size_t flow_fit(const char *text, size_t size, size_t columns);

/* Cuts text->items[start ..] down to `columns` if it is longer and ends it in an ellipsis. A text
 * in quotes (`quote` not 0) stays closed: "abc"... */
bool flow_cut(struct text *text, size_t start, size_t columns, char quote);

/* Cuts the whole text down to `columns` if it is longer, with an ellipsis after its first third: of
 * a path both the root and the last steps are seen. False: out of memory. */
bool flow_cut_middle(struct text *text, size_t columns);

/* One row of a wrapped text: [from, end) is shown, the next row starts at `next`. */
struct flow_row {
  size_t end, next;
};

/* The row that starts at `from` < size. It ends before the last blank at which it may (`marks` has
 * one byte for each of the text; NULL: every blank), otherwise after as many units as fit, at least
 * one. Blanks around the break and at the end are not shown. */
struct flow_row flow_next_row(const char *text, const uint8_t *marks, size_t size, size_t from,
                              size_t columns);

#endif
