/* cell.c - typed values, and their look on the page.
 *
 * Numbers are formatted by integer arithmetic or in the C locale: a debugger may have set a locale
 * with a decimal comma, and the same target must give the same bytes on every host. A rounded value
 * never claims an exactness it does not have: 100 % and 0 % mean exactly that. */
#include "report/cell.h"

#include <inttypes.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "report/flow.h"
#include "report/render.h"

struct cell cell_null(void) {
  return (struct cell){.type = CELL_NULL};
}

static struct cell cell_string(enum cell_type type, const char *bytes, size_t size) {
  if (!bytes) return cell_null();
  return (struct cell){.type = type, .text = {bytes, size}};
}

static struct cell cell_unsigned(enum cell_type type, uint64_t value) {
  return (struct cell){.type = type, .number = value};
}

static struct cell cell_real(enum cell_type type, double value) {
  return (struct cell){.type = type, .real = value};
}

struct cell cell_words(const char *words) {
  return cell_string(CELL_WORDS, words, words ? strlen(words) : 0);
}

struct cell cell_path(const char *path) {
  return cell_string(CELL_PATH, path, path ? strlen(path) : 0);
}
struct cell cell_text(const char *bytes, size_t size) {
  return cell_string(CELL_TEXT, bytes, size);
}
struct cell cell_bare(const char *bytes, size_t size) {
  return cell_string(CELL_BARE, bytes, size);
}
struct cell cell_boolean(bool value) {
  return cell_unsigned(CELL_BOOLEAN, value);
}
struct cell cell_count(uint64_t value) {
  return cell_unsigned(CELL_COUNT, value);
}
struct cell cell_plain(uint64_t value) {
  return cell_unsigned(CELL_PLAIN, value);
}
struct cell cell_bytes(uint64_t value) {
  return cell_unsigned(CELL_BYTES, value);
}
struct cell cell_address(uint64_t value) {
  return cell_unsigned(CELL_ADDRESS, value);
}
struct cell cell_integer(int64_t value) {
  return (struct cell){.type = CELL_INTEGER, .integer = value};
}
struct cell cell_duration(double seconds) {
  return isfinite(seconds) && seconds >= 0 ? cell_real(CELL_DURATION, seconds) : cell_null();
}
struct cell cell_ratio(double value) {
  return isfinite(value) && value >= 0 ? cell_real(CELL_RATIO, value) : cell_null();
}
struct cell cell_number(double value) {
  return cell_real(CELL_NUMBER, value);
}
struct cell cell_time(double seconds) {
  return isfinite(seconds) ? cell_real(CELL_TIME, seconds) : cell_null();
}

bool cell_is_number(struct cell cell) {
  switch (cell.type) {
  case CELL_COUNT:
  case CELL_INTEGER:
  case CELL_PLAIN:
  case CELL_BYTES:
  case CELL_DURATION:
  case CELL_RATIO:
  case CELL_NUMBER:
    return true;
  default:
    return false;
  }
}

/* ---- Numbers --------------------------------------------------------------------------------- */

/* `value` with `digits` significant digits, in the C locale; returns whether it reads back. */
static bool print_double(char buffer[NUMBER_SIZE], int digits, double value) {
  locale_t plain = newlocale(LC_ALL_MASK, "C", (locale_t)0);
  locale_t before = plain ? uselocale(plain) : (locale_t)0;
  snprintf(buffer, NUMBER_SIZE, "%.*g", digits, value);
  double again = strtod(buffer, NULL);
  if (plain) {
    uselocale(before);
    freelocale(plain);
  }
  return again == value;
}

void number_shortest(char buffer[NUMBER_SIZE], double value) {
  for (int digits = 15; digits < 17; digits++)
    if (print_double(buffer, digits, value)) return;
  print_double(buffer, 17, value);
}

static bool show_number(struct text *text, double value) {
  if (isnan(value)) return text_add_string(text, "nan");
  if (isinf(value)) return text_add_string(text, value > 0 ? "inf" : "-inf");
  char buffer[NUMBER_SIZE];
  print_double(buffer, 14, value);
  return text_add_string(text, buffer);
}

static bool show_count(struct text *text, uint64_t value, bool negative) {
  char buffer[32], *start = buffer + sizeof buffer;
  for (int digits = 0; digits == 0 || value; digits++, value /= 10) {
    if (digits && digits % 3 == 0) *--start = ',';
    *--start = (char)('0' + value % 10);
  }
  if (negative) *--start = '-';
  return text_add(text, start, (size_t)(buffer + sizeof buffer - start));
}

static bool show_bytes(struct text *text, uint64_t bytes) {
  static const char units[][3] = {"B", "KB", "MB", "GB", "TB", "PB", "EB"};
  if (bytes < 1000) return text_printf(text, "%" PRIu64 " B", bytes);
  uint64_t unit = 1000;
  for (size_t i = 1;; i++, unit *= 1000) {
    uint64_t whole = bytes / unit, rest = bytes % unit;
    uint64_t tenths = whole * 10 + (rest * 10 + unit / 2) / unit;
    if (tenths < 1000)
      return text_printf(text, "%" PRIu64 ".%" PRIu64 " %s", tenths / 10, tenths % 10, units[i]);
    uint64_t rounded = whole + (rest >= unit / 2);
    if (rounded < 1000) return text_printf(text, "%" PRIu64 " %s", rounded, units[i]);
  }
}

/* "6 h 12 min": a count of the larger unit and, unless 0, of the smaller. */
static bool show_two_units(struct text *text, uint64_t value, unsigned per_large, const char *large,
                           const char *small) {
  uint64_t rest = value % per_large;
  if (!show_count(text, value / per_large, false)) return false;
  return rest ? text_printf(text, " %s %" PRIu64 " %s", large, rest, small)
              : text_printf(text, " %s", large);
}

static bool show_duration(struct text *text, double seconds) {
  if (seconds >= 1e15) return show_number(text, seconds) && text_add_string(text, " s");
  uint64_t tenths = (uint64_t)(seconds * 10 + 0.5), whole = (uint64_t)(seconds + 0.5);
  if (tenths < 100 && tenths % 10)
    return text_printf(text, "%" PRIu64 ".%" PRIu64 " s", tenths / 10, tenths % 10);
  if (whole < 60) return text_printf(text, "%" PRIu64 " s", whole);
  uint64_t minutes = (uint64_t)(seconds / 60 + 0.5), hours = (uint64_t)(seconds / 3600 + 0.5);
  if (minutes < 60) return text_printf(text, "%" PRIu64 " min", minutes);
  if (minutes < 24 * 60) return show_two_units(text, minutes, 60, "h", "min");
  return show_two_units(text, hours, 24, "d", "h");
}

static bool show_ratio(struct text *text, double value) {
  if (value == 0) return text_add_string(text, "0 %");
  if (value == 1) return text_add_string(text, "100 %");
  if (value >= 1e12) return text_add_string(text, "over 1e14 %");
  if (value < 0.0005) return text_add_string(text, "<0.1 %");
  if (value >= 0.9995 && value < 1) return text_add_string(text, ">99.9 %");
  uint64_t tenths = (uint64_t)(value * 1000 + 0.5), whole = (uint64_t)(value * 100 + 0.5);
  if (tenths < 10 || (value < 1 && whole == 100))
    return text_printf(text, "%" PRIu64 ".%" PRIu64 " %%", tenths / 10, tenths % 10);
  return text_printf(text, "%" PRIu64 " %%", whole);
}

static bool show_time(struct text *text, double seconds) {
  struct tm date;
  if (fabs(seconds) >= 1e12)
    return show_number(text, seconds) && text_add_string(text, " s since 1970");
  time_t time = (time_t)floor(seconds);
  if (!gmtime_r(&time, &date)) return text_add_string(text, "-");
  return text_printf(text, "%04d-%02d-%02d %02d:%02d:%02d UTC", date.tm_year + 1900,
                     date.tm_mon + 1, date.tm_mday, date.tm_hour, date.tm_min, date.tm_sec);
}

/* ---- Text ------------------------------------------------------------------------------------ */

/* Escaped, between quotes if `quote` is not 0. A cut shows behind the closing quote, where no byte
 * of the string can stand. */
static bool show_text(struct text *text, const char *bytes, size_t size, char quote, size_t limit) {
  /* A column shows at most four bytes: what lies further back is cut off anyway. */
  size_t start = text->count, looked_at = limit && size / 4 > limit ? limit * 4 + 4 : size;
  if (quote && !text_add(text, &quote, 1)) return false;
  if (!text_escape(text, bytes, looked_at, quote)) return false;
  if (quote && !text_add(text, &quote, 1)) return false;
  if (!limit) return true;
  return flow_cut(text, start, limit, quote);
}

bool cell_show(struct text *text, struct cell cell, bool whole) {
  switch (cell.type) {
  case CELL_NULL:
    return text_add_string(text, "-");
  case CELL_WORDS:
  case CELL_PATH:
    return text_add(text, cell.text.bytes, cell.text.size);
  case CELL_TEXT:
    return show_text(text, cell.text.bytes, cell.text.size, '"', whole ? 0 : CELL_TEXT_COLUMNS);
  case CELL_BARE:
    return show_text(text, cell.text.bytes, cell.text.size, 0, whole ? 0 : CELL_BARE_COLUMNS);
  case CELL_BOOLEAN:
    return text_add_string(text, cell.number ? "yes" : "no");
  case CELL_COUNT:
    return show_count(text, cell.number, false);
  case CELL_INTEGER:
    return cell.integer < 0 ? show_count(text, 0 - (uint64_t)cell.integer, true)
                            : show_count(text, (uint64_t)cell.integer, false);
  case CELL_PLAIN:
    return text_printf(text, "%" PRIu64, cell.number);
  case CELL_BYTES:
    return show_bytes(text, cell.number);
  case CELL_ADDRESS:
    return text_printf(text, "0x%" PRIx64, cell.number);
  case CELL_DURATION:
    return show_duration(text, cell.real);
  case CELL_RATIO:
    return show_ratio(text, cell.real);
  case CELL_NUMBER:
    return show_number(text, cell.real);
  case CELL_TIME:
    return show_time(text, cell.real);
  }
  return true;
}

const char *render_cell(struct arena *arena, struct cell cell) {
  struct text text = {0};
  const char *copy = NULL;
  if (cell_show(&text, cell, false)) copy = arena_copy(arena, text.items, text.count);
  vector_free(&text);
  return copy;
}
