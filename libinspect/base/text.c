/* text.c - growing strings, and bytes of a target made safe to show.
 *
 * text_escape walks its input one code point at a time. What decodes as well-formed UTF-8 (no
 * overlong form, no surrogate, nothing past U+10FFFF: table 3-7 of the Unicode standard) and is
 * visible is copied; what a terminal, a pager or a reader could be fooled by is written as an
 * escape; a byte that starts no well-formed sequence is written alone as \xNN, and decoding goes on
 * at the next byte. So the output is always valid UTF-8 without control characters. */
#include "base/text.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

bool text_add(struct text *text, const char *bytes, size_t size) {
  if (!size) return true;
  if (!vector_reserve(text, size)) return false;
  memcpy(text->items + text->count, bytes, size);
  text->count += size;
  return true;
}

bool text_add_string(struct text *text, const char *string) {
  return text_add(text, string, strlen(string));
}

bool text_finish(struct text *text) {
  if (!vector_reserve(text, 1)) return false;
  text->items[text->count] = '\0';
  return true;
}

bool text_printf(struct text *text, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  int length = vsnprintf(NULL, 0, format, arguments);
  va_end(arguments);
  if (length < 0 || !vector_reserve(text, (size_t)length + 1)) return false;
  va_start(arguments, format);
  vsnprintf(text->items + text->count, (size_t)length + 1, format, arguments);
  va_end(arguments);
  text->count += (size_t)length;
  return true;
}

/* Code points that are shown as \u{XXXX}, sorted: controls, and all that is invisible or changes
 * the order in which its neighbours are shown. */
static const struct {
  uint32_t first, last;
} hidden[] = {
    {0x00, 0x1f},       /* C0 controls                                    */
    {0x7f, 0x9f},       /* delete and C1 controls                         */
    {0xad, 0xad},       /* soft hyphen                                    */
    {0x61c, 0x61c},     /* Arabic letter mark                             */
    {0x180e, 0x180e},   /* Mongolian vowel separator                      */
    {0x200b, 0x200f},   /* zero-width characters, direction marks         */
    {0x2028, 0x202e},   /* line separators, embeddings and overrides      */
    {0x2060, 0x206f},   /* word joiner, isolates, deprecated format codes */
    {0xfeff, 0xfeff},   /* byte order mark                                */
    {0xfff9, 0xfffb},   /* interlinear annotation                         */
    {0xe0000, 0xe0fff}, /* tags, variation selectors                      */
};

static bool is_hidden(uint32_t code) {
  for (size_t i = 0; i < sizeof hidden / sizeof *hidden && code >= hidden[i].first; i++)
    if (code <= hidden[i].last) return true;
  return false;
}

/* Decodes one code point of at most `size` > 0 bytes. Returns its length, 0 if ill-formed. */
static size_t decode(const unsigned char *bytes, size_t size, uint32_t *code) {
  static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
  unsigned char lead = bytes[0];
  if (lead < 0x80) {
    *code = lead;
    return 1;
  }
  size_t length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
  if (lead < 0xc2 || lead > 0xf4 || length > size) return 0;
  uint32_t value = lead & (0x7fu >> length);
  for (size_t i = 1; i < length; i++) {
    if ((bytes[i] & 0xc0) != 0x80) return 0;
    value = value << 6 | (bytes[i] & 0x3fu);
  }
  if (value < smallest[length] || value > 0x10ffff || (value >= 0xd800 && value <= 0xdfff))
    return 0;
  *code = value;
  return length;
}

static bool add_escape(struct text *text, uint32_t code) {
  switch (code) {
  case '\n':
    return text_add(text, "\\n", 2);
  case '\t':
    return text_add(text, "\\t", 2);
  case '\r':
    return text_add(text, "\\r", 2);
  default:
    return text_printf(text, "\\u{%04X}", (unsigned)code);
  }
}

/* Escapes what starts at `bytes`; `*used` bytes were dealt with. */
static bool escape_one(struct text *text, const char *bytes, size_t size, char quote,
                       size_t *used) {
  uint32_t code;
  size_t length = decode((const unsigned char *)bytes, size, &code);
  *used = length ? length : 1;
  if (!length) return text_printf(text, "\\x%02X", (unsigned)(unsigned char)bytes[0]);
  if (is_hidden(code)) return add_escape(text, code);
  if (code == '\\' || (quote && code == (unsigned char)quote)) {
    const char pair[2] = {'\\', bytes[0]};
    return text_add(text, pair, 2);
  }
  return text_add(text, bytes, length);
}

static bool is_plain(char byte, char quote) {
  return byte >= ' ' && byte <= '~' && byte != '\\' && byte != quote;
}

bool text_escape(struct text *text, const char *bytes, size_t size, char quote) {
  size_t before = text->count;
  for (size_t i = 0, used; i < size; i += used) {
    for (used = 0; i + used < size && is_plain(bytes[i + used], quote);)
      used++;
    bool added = used ? text_add(text, bytes + i, used)
                      : escape_one(text, bytes + i, size - i, quote, &used);
    if (!added) {
      text->count = before;
      return false;
    }
  }
  return true;
}

size_t text_cut(const char *bytes, size_t size, size_t longest) {
  if (size <= longest) return size;
  for (size_t back = 0; back < 4 && back <= longest; back++)
    if ((bytes[longest - back] & 0xc0) != 0x80) return longest - back;
  return longest; /* no UTF-8 */
}

size_t text_columns(const char *utf8, size_t size) {
  size_t columns = 0;
  for (size_t i = 0; i < size; i++)
    columns += (utf8[i] & 0xc0) != 0x80;
  return columns;
}

static bool is_name_byte(char byte, bool first) {
  return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') || byte == '_' ||
         (!first && byte >= '0' && byte <= '9');
}

bool text_is_name(const char *bytes, size_t size) {
  /* luaX_tokens of llex.c. `goto` is a name in Lua 5.1: quoting it there does no harm. */
  static const char *const keywords[] = {
      "and",      "break",  "do",   "else", "elseif", "end",   "false", "for",
      "function", "goto",   "if",   "in",   "local",  "nil",   "not",   "or",
      "repeat",   "return", "then", "true", "until",  "while",
  };
  if (!size) return false;
  for (size_t i = 0; i < size; i++)
    if (!is_name_byte(bytes[i], i == 0)) return false;
  for (size_t i = 0; i < sizeof keywords / sizeof *keywords; i++)
    if (strlen(keywords[i]) == size && !memcmp(keywords[i], bytes, size)) return false;
  return true;
}
