/* values.c - small parsers with a cursor: each takes what it understands from *at, and the word is
 * good if nothing is left. */
#include "command/values.h"

#include <string.h>
#include <time.h>

#include "graph/graph.h"

static bool is_digit(char c) { return c >= '0' && c <= '9'; }

static bool take(const char **at, char c) {
  if (**at != c) return false;
  (*at)++;
  return true;
}

static bool take_digits(const char **at, uint64_t *result) {
  const char *start = *at;
  uint64_t value = 0;
  for (; is_digit(**at); (*at)++) {
    uint64_t digit = (uint64_t)(**at - '0');
    if (value > (UINT64_MAX - digit) / 10) return false;
    value = value * 10 + digit;
  }
  *result = value;
  return *at > start;
}

/* Behind a decimal point; no digits at all are fine. */
static double take_fraction(const char **at) {
  double result = 0;
  for (double unit = 0.1; is_digit(**at); (*at)++, unit /= 10)
    result += unit * (**at - '0');
  return result;
}

static bool take_decimal(const char **at, double *result) {
  uint64_t whole = 0;
  if (!take_digits(at, &whole)) return false;
  *result = (double)whole;
  if (take(at, '.')) *result += take_fraction(at);
  return true;
}

bool value_count(const char *word, uint64_t *result) {
  return take_digits(&word, result) && !*word;
}

/* Whole bytes; a fraction is taken of the unit, and less than a byte is dropped. */
bool value_size(const char *word, uint64_t *result) {
  static const char units[] = "KMGT", small_units[] = "kmgt";
  double number, unit = 1;
  uint64_t whole;
  if (value_count(word, result)) return true; /* exact, however large */
  if (!take_decimal(&word, &number)) return false;
  const char *letter = *word ? strchr(units, *word) : NULL;
  if (!letter && *word) letter = strchr(small_units, *word);
  if (letter) {
    size_t power = 1 + (size_t)(letter - (strchr(units, *word) ? units : small_units));
    word++;
    double step = take(&word, 'i') ? 1024 : 1000;
    while (power--)
      unit *= step;
  }
  take(&word, 'B');
  if (*word || number * unit >= 0x1p63) return false;
  whole = (uint64_t)(number * unit);
  *result = whole;
  return true;
}

static bool take_hex(const char **at, uint64_t *result) {
  static const char digits[] = "0123456789abcdef0123456789ABCDEF";
  const char *start = *at, *digit;
  uint64_t value = 0;
  for (; **at && (digit = strchr(digits, **at)); (*at)++) {
    if (value >> 60) return false;
    value = value * 16 + (uint64_t)((digit - digits) % 16);
  }
  *result = value;
  return *at > start;
}

bool value_address(const char *word, uint64_t *result) {
  return take(&word, '0') && (take(&word, 'x') || take(&word, 'X')) && take_hex(&word, result) &&
         !*word;
}

bool value_fingerprint(const char *word, uint64_t *result) {
  return strlen(word) == 16 && take_hex(&word, result) && !*word;
}

/* ---- Durations and times --------------------------------------------------------------------- */

bool value_duration(const char *word, double *seconds) {
  static const struct {
    char letter;
    double seconds;
  } units[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}, {'w', 604800}};
  double part;
  if (!take_decimal(&word, &part)) return false;
  *seconds = part;
  if (!*word) return true;
  *seconds = 0;
  do {
    size_t unit = 0;
    while (unit < sizeof units / sizeof *units && units[unit].letter != *word)
      unit++;
    if (unit == sizeof units / sizeof *units) return false;
    *seconds += part * units[unit].seconds;
    word++;
  } while (take_decimal(&word, &part));
  return !*word;
}

static bool take_two(const char **at, int *result) {
  if (!is_digit((*at)[0]) || !is_digit((*at)[1])) return false;
  *result = ((*at)[0] - '0') * 10 + ((*at)[1] - '0');
  *at += 2;
  return true;
}

static bool take_date(const char **at, struct tm *date) {
  int century, year;
  if (!take_two(at, &century) || !take_two(at, &year) || !take(at, '-') ||
      !take_two(at, &date->tm_mon) || !take(at, '-') || !take_two(at, &date->tm_mday))
    return false;
  date->tm_year = century * 100 + year - 1900;
  date->tm_mon -= 1;
  return date->tm_year >= 70;
}

/* HH:MM[:SS[.fraction]]; a leap second may be 60. */
static bool take_clock(const char **at, struct tm *date, double *fraction) {
  if (!take_two(at, &date->tm_hour) || !take(at, ':') || !take_two(at, &date->tm_min)) return false;
  if (take(at, ':')) {
    if (!take_two(at, &date->tm_sec)) return false;
    if (take(at, '.')) *fraction = take_fraction(at);
  }
  return date->tm_hour < 24 && date->tm_min < 60 && date->tm_sec <= 60;
}

/* Z, UTC, +HH:MM, +HHMM, +HH or nothing. */
static bool take_zone(const char **at, double *offset) {
  *offset = 0;
  take(at, ' ');
  if (take(at, 'Z') || !**at) return true;
  if (strncmp(*at, "UTC", 3) == 0) {
    *at += 3;
    return true;
  }
  double sign = **at == '-' ? -1 : 1;
  int hours, minutes = 0;
  if (!(take(at, '+') || take(at, '-')) || !take_two(at, &hours)) return false;
  if (take(at, ':') || **at) {
    if (!take_two(at, &minutes)) return false;
  }
  *offset = sign * (hours * 3600 + minutes * 60);
  return hours < 24 && minutes < 60;
}

static bool value_date(const char *word, double *seconds) {
  struct tm date = {0};
  double fraction = 0, offset = 0;
  if (!take_date(&word, &date)) return false;
  if (take(&word, 'T') || (word[0] == ' ' && is_digit(word[1]) && word++)) {
    if (!take_clock(&word, &date, &fraction)) return false;
  }
  if (!take_zone(&word, &offset) || *word) return false;
  int month = date.tm_mon;
  struct tm normal = date; /* timegm turns the 31st of February into a day of March */
  normal.tm_sec = normal.tm_min = normal.tm_hour = 0;
  timegm(&normal);
  *seconds = (double)timegm(&date) + fraction - offset;
  return normal.tm_mon == month;
}

bool value_time(const char *word, double *seconds) {
  if (strcmp(word, "now") == 0) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    *seconds = (double)now.tv_sec + (double)now.tv_nsec / 1e9;
    return true;
  }
  const char *at = word;
  return (take_decimal(&at, seconds) && !*at) || value_date(word, seconds);
}

/* ---- Kinds of references --------------------------------------------------------------------- */

#define BIT(kind)     (UINT32_C(1) << (REFERENCE_##kind))
#define TABLE_KINDS   (BIT(FIELD) | BIT(INDEX) | BIT(KEYED) | BIT(KEY) | BIT(METATABLE))
#define UPVALUE_KINDS (BIT(UPVALUE) | BIT(UPVALUE_VALUE))
#define STACK_KINDS   (BIT(STACK) | BIT(MAYBE_STACK) | BIT(OPEN_UPVALUE))

/* An upvalue is one reference for a reader and two in the graph: function, upvalue object, value.
 * Locals and stack slots are told apart by debug names only, not by kind. */
static const struct {
  const char *name;
  uint32_t kinds;
} kind_names[] = {
    {"field", BIT(FIELD)},
    {"index", BIT(INDEX) | BIT(KEYED)},
    {"key", BIT(KEY)},
    {"metatable", BIT(METATABLE)},
    {"upvalue", UPVALUE_KINDS},
    {"env", BIT(ENVIRONMENT)},
    {"local", STACK_KINDS},
    {"stack", STACK_KINDS},
    {"uservalue", BIT(USER_VALUE)},
    {"constant", BIT(CONSTANT)},
    {"prototype", BIT(PROTOTYPE)},
    {"other", BIT(DEBUG) | BIT(LEFTOVER)},
    {"table", TABLE_KINDS},
    {"function", UPVALUE_KINDS | BIT(ENVIRONMENT) | BIT(CONSTANT) | BIT(PROTOTYPE)},
    {"all", ALL_KINDS},
};

const char *value_kind_name(size_t index) {
  return index < sizeof kind_names / sizeof *kind_names ? kind_names[index].name : NULL;
}

bool value_kind(const char *word, size_t size, uint32_t *kinds) {
  for (size_t i = 0; i < sizeof kind_names / sizeof *kind_names; i++) {
    if (strlen(kind_names[i].name) != size || memcmp(kind_names[i].name, word, size) != 0) continue;
    *kinds |= kind_names[i].kinds;
    return true;
  }
  return false;
}
