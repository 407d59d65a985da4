/* flow.c - cutting and wrapping: one pass over units, no unit is ever divided. */
#include "report/flow.h"

static size_t escape_unit(const char *text, size_t size) {
  if (size < 2) return size;
  if (text[1] == 'x') return size < 4 ? size : 4;
  if (text[1] != 'u' || size < 3 || text[2] != '{') return 2;
  size_t length = 3;
  while (length < size && length < 12 && text[length - 1] != '}')
    length++;
  return length;
}

size_t flow_unit(const char *text, size_t size) {
  if (!size) return 0;
  if (text[0] == '\\') return escape_unit(text, size);
  size_t length = 1;
  while (length < size && length < 4 && ((unsigned char)text[length] & 0xc0) == 0x80)
    length++;
  return length;
}

size_t flow_fit(const char *text, size_t size, size_t columns) {
  size_t fit = 0;
  while (fit < size) {
    size_t unit = flow_unit(text + fit, size - fit), wide = text_columns(text + fit, unit);
    if (wide > columns) break;
    columns -= wide;
    fit += unit;
  }
  return fit;
}

bool flow_cut(struct text *text, size_t start, size_t columns, char quote) {
  size_t size = text->count - start;
  if (!size) return true;
  size_t fit = flow_fit(text->items + start, size, columns);
  if (fit == size) return true;
  size_t kept = columns > (quote ? 3u : 1u) ? columns - (quote ? 2 : 1) : 0;
  bool closes = quote && kept;
  if (closes) size--; /* the closing quote moves to before the cut */
  text->count = start + flow_fit(text->items + start, size, kept);
  return (!closes || text_add(text, &quote, 1)) && text_add_string(text, FLOW_ELLIPSIS);
}

bool flow_cut_middle(struct text *text, size_t columns) {
  enum { LEAST = 6 };
  size_t wide = text->count ? text_columns(text->items, text->count) : 0;
  if (wide <= columns) return true;
  if (columns < LEAST) return flow_cut(text, 0, columns, 0);
  size_t head = flow_fit(text->items, text->count, (columns - 1) / 3), tail = head;
  size_t room = columns - 1 - text_columns(text->items, head);
  for (size_t left = wide - text_columns(text->items, head); left > room;) {
    size_t unit = flow_unit(text->items + tail, text->count - tail);
    left -= text_columns(text->items + tail, unit);
    tail += unit;
  }
  struct text whole = *text;
  *text = (struct text){0};
  bool fits = text_add(text, whole.items, head) && text_add_string(text, FLOW_ELLIPSIS) &&
              text_add(text, whole.items + tail, whole.count - tail);
  vector_free(&whole);
  return fits;
}

static bool breaks_at(const char *text, const uint8_t *marks, size_t at) {
  return text[at] == ' ' && (!marks || (marks[at] & FLOW_BREAK));
}

struct flow_row flow_next_row(const char *text, const uint8_t *marks, size_t size, size_t from,
                              size_t columns) {
  size_t first = from; /* of what is no blank: a row of blanks alone would not get on */
  while (first < size && breaks_at(text, marks, first))
    first++;
  size_t fit = from + flow_fit(text + from, size - from, columns), end = fit;
  if (fit < size) {
    while (end > first && !breaks_at(text, marks, end))
      end--;
    if (end <= first) end = fit > first ? fit : from + flow_unit(text + from, size - from);
  }
  struct flow_row row = {.end = end, .next = end};
  while (row.end > from && breaks_at(text, marks, row.end - 1))
    row.end--;
  while (row.next < size && breaks_at(text, marks, row.next))
    row.next++;
  return row;
}
