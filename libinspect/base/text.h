/* text.h - bytes of a target made safe to show.
 *
 * Everything read from a target may hold terminal escapes, control characters, bidirectional marks
 * or invalid UTF-8. text_escape turns it into valid UTF-8 without any of these: \n \t \r \\ (and
 * the quote) as in Lua, other controls, C1 codes, line separators and bidirectional marks as
 * \u{XXXX}, bytes that are no UTF-8 as \xNN. */
#ifndef BASE_TEXT_H
#define BASE_TEXT_H

#include "base/vector.h"

struct text VECTOR(char); /* a growing string; not terminated unless text_finish was called */

bool text_add(struct text *text, const char *bytes, size_t size);
bool text_add_string(struct text *text, const char *string);
/* Puts a zero after the text without counting it: text->items is then a C string until the next
 * change. */
bool text_finish(struct text *text);

bool text_printf(struct text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Appends `bytes` escaped as above. `quote` ('"' or 0) is escaped as well where it occurs. */
bool text_escape(struct text *text, const char *bytes, size_t size, char quote);

/* How many of `size` bytes to show if at most `longest` are wanted: no UTF-8 character is divided.
 */
size_t text_cut(const char *bytes, size_t size, size_t longest);

/* Number of terminal columns that valid UTF-8 takes (one per code point; wide and combining
 * characters count as wcwidth would in a UTF-8 locale only approximately: one). */
size_t text_columns(const char *utf8, size_t size);

/* Whether the bytes are a Lua identifier and no keyword: such a key prints as .name. */
bool text_is_name(const char *bytes, size_t size);

#endif
