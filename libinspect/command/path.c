/* path.c - parsing of path expressions: one pass from left to right, one token of look-ahead.
 *
 * The text is the user's and may be anything. Invariant: `at` never passes the terminating zero,
 * since every test is on the byte at `at`, which is not zero when it is consumed. The first error
 * stops the parser: every parse_ function returns false from then on. */
#include "command/path.h"

#include <errno.h>
#include <locale.h>
#include <math.h>
#include <string.h>

#include "base/vector.h"

struct parser {
  struct arena *arena;
  const char *text;   /* the whole path            */
  const char *at;     /* what comes next           */
  const char *source; /* `text`, escaped           */
  struct steps VECTOR(struct path_step) steps;
  struct inspect_error *error;
};

static const char path_hint[] =
    "paths look like _G.npcs[42].owner, package.loaded[\"game.room\"].join, "
    "registry[3]:upvalue(1), 0x55d0c0ffee:metatable or @3";

/* ---- Errors ---------------------------------------------------------------------------------- */

/* The column of `at` as a reader counts it: characters from 1. */
static size_t column(const struct parser *parser, const char *at) {
  size_t result = 1;
  for (const char *byte = parser->text; byte < at; byte++)
    result += ((unsigned char)*byte & 0xc0) != 0x80;
  return result;
}

static bool fail(struct parser *parser, const char *at, const char *expected) {
  if (parser->error) return false;
  parser->error = error_create(INSPECT_ERROR_USAGE, path_hint, "expected %s at column %zu of %s",
                               expected, column(parser, at), parser->source);
  return false;
}

static bool no_memory(struct parser *parser) {
  if (!parser->error) parser->error = error_no_memory();
  return false;
}

/* The path for messages: escaped, and cut where it gets long. */
static const char *escaped_source(struct arena *arena, const char *text) {
  enum { LONGEST = 70 };
  size_t size = strnlen(text, LONGEST + 1), cut = text_cut(text, size, LONGEST);
  struct text shown = {0};
  bool ok = text_escape(&shown, text, cut, 0) && text_add_string(&shown, cut < size ? "..." : "");
  const char *result = ok ? arena_copy(arena, shown.items, shown.count) : NULL;
  vector_free(&shown);
  return result;
}

/* ---- Characters (ASCII, whatever the locale) ------------------------------------------------- */

static bool is_digit(char c) { return c >= '0' && c <= '9'; }
static bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

/* LuaJIT takes any byte from 0x80 on as a letter. */
static bool is_name_start(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (unsigned char)c >= 0x80;
}

static bool is_name_byte(char c) { return is_name_start(c) || is_digit(c); }

static int hex_digit(char c) {
  if (is_digit(c)) return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

static void skip_space(struct parser *parser) {
  while (is_space(*parser->at))
    parser->at++;
}

static bool accept(struct parser *parser, char c) {
  if (*parser->at != c) return false;
  parser->at++;
  return true;
}

/* A closing bracket or a comma, with blanks before it. */
static bool expect(struct parser *parser, char c) {
  skip_space(parser);
  const char quoted[] = {'\'', c, '\'', 0};
  return accept(parser, c) || fail(parser, parser->at, quoted);
}

/* ---- Strings --------------------------------------------------------------------------------- */

/* UTF-8 as Lua's \u{} writes it: up to 2^31, surrogates included. Returns the bytes written. */
static size_t encode_utf8(uint32_t code, char *out) {
  if (code < 0x80) {
    out[0] = (char)code;
    return 1;
  }
  char reversed[6];
  size_t count = 0;
  uint32_t first_limit = 0x3f; /* what fits into the first byte */
  do {
    reversed[count++] = (char)(0x80 | (code & 0x3f));
    code >>= 6;
    first_limit >>= 1;
  } while (code > first_limit);
  reversed[count++] = (char)((~first_limit << 1) | code);
  for (size_t i = 0; i < count; i++)
    out[i] = reversed[count - 1 - i];
  return count;
}

static bool parse_hex_escape(struct parser *parser, char *out, size_t *size) {
  int high = hex_digit(*parser->at);
  int low = high < 0 ? -1 : hex_digit(parser->at[1]);
  if (low < 0) return fail(parser, parser->at, "two hexadecimal digits");
  parser->at += 2;
  out[(*size)++] = (char)(high * 16 + low);
  return true;
}

static bool parse_decimal_escape(struct parser *parser, char *out, size_t *size) {
  const char *start = parser->at;
  int value = 0;
  for (int i = 0; i < 3 && is_digit(*parser->at); i++)
    value = value * 10 + (*parser->at++ - '0');
  if (value > 255) return fail(parser, start, "a byte from 0 to 255");
  out[(*size)++] = (char)value;
  return true;
}

static bool parse_unicode_escape(struct parser *parser, char *out, size_t *size) {
  if (!accept(parser, '{')) return fail(parser, parser->at, "'{'");
  const char *start = parser->at;
  uint64_t code = 0;
  while (hex_digit(*parser->at) >= 0 && code < UINT64_C(0x80000000))
    code = code * 16 + (uint64_t)hex_digit(*parser->at++);
  if (parser->at == start || code >= UINT64_C(0x80000000))
    return fail(parser, start, "a code point below 80000000");
  if (!accept(parser, '}')) return fail(parser, parser->at, "'}'");
  *size += encode_utf8((uint32_t)code, out + *size);
  return true;
}

/* Behind a backslash. No escape is shorter than the bytes that it stands for. */
static bool parse_escape(struct parser *parser, char *out, size_t *size) {
  static const char names[] = "abfnrtv\\\"'\n", bytes[] = "\a\b\f\n\r\t\v\\\"'\n";
  char c = *parser->at;
  if (is_digit(c)) return parse_decimal_escape(parser, out, size);
  const char *name = c ? strchr(names, c) : NULL;
  if (!name && c != 'x' && c != 'u' && c != 'z')
    return fail(parser, parser->at, "a Lua escape (\\n, \\\", \\x41, \\065, \\u{41} or \\z)");
  parser->at++;
  if (c == 'x') return parse_hex_escape(parser, out, size);
  if (c == 'u') return parse_unicode_escape(parser, out, size);
  if (c == 'z')
    skip_space(parser);
  else
    out[(*size)++] = bytes[name - names];
  return true;
}

/* Bytes up to the quote that closes the string, NULL if there is none. */
static const char *string_end(const char *at, char quote) {
  for (; *at && *at != quote; at++)
    if (*at == '\\' && at[1]) at++;
  return *at ? at : NULL;
}

/* At an opening quote. */
static bool parse_string(struct parser *parser, struct path_step *step) {
  const char *opening = parser->at, quote = *parser->at++;
  const char *end = string_end(parser->at, quote);
  if (!end) {
    const char expected[] = {'a', ' ', 'c', 'l', 'o', 's', 'i', 'n', 'g', ' ', quote, 0};
    return fail(parser, opening + strlen(opening), expected);
  }
  char *out = arena_alloc(parser->arena, (size_t)(end - parser->at) + 1);
  if (!out) return no_memory(parser);
  size_t size = 0;
  while (*parser->at != quote) {
    if (accept(parser, '\\')) {
      if (!parse_escape(parser, out, &size)) return false;
    } else {
      out[size++] = *parser->at++;
    }
  }
  parser->at++;
  step->form = LABEL_TEXT;
  step->text = out;
  step->size = size;
  return true;
}

/* ---- Names and numbers ----------------------------------------------------------------------- */

static bool parse_name(struct parser *parser, struct path_step *step) {
  const char *start = parser->at;
  if (!is_name_start(*start)) return fail(parser, start, "a name");
  while (is_name_byte(*parser->at))
    parser->at++;
  step->form = LABEL_TEXT;
  step->size = (size_t)(parser->at - start);
  step->text = arena_copy(parser->arena, start, step->size);
  return step->text || no_memory(parser);
}

/* At "0x". */
static bool parse_address(struct parser *parser, uint64_t *result) {
  const char *start = parser->at;
  parser->at += 2;
  uint64_t value = 0;
  const char *digits = parser->at;
  for (; hex_digit(*parser->at) >= 0; parser->at++) {
    if (value >> 60) return fail(parser, start, "an address of at most 64 bits");
    value = value * 16 + (uint64_t)hex_digit(*parser->at);
  }
  if (parser->at == digits || is_name_byte(*parser->at))
    return fail(parser, parser->at, "a hexadecimal digit");
  *result = value;
  return true;
}

/* A decimal number from `least` on. */
static bool parse_count(struct parser *parser, int64_t least, int64_t *result) {
  const char *start = parser->at;
  int64_t value = 0;
  for (; is_digit(*parser->at) && value < INT64_MAX / 10 - 10; parser->at++)
    value = value * 10 + (*parser->at - '0');
  if (parser->at == start || is_name_byte(*parser->at) || value < least)
    return fail(parser, start, least ? "a number from 1 on" : "a number from 0 on");
  *result = value;
  return true;
}

/* A float with the value of an integer is that integer, as it is for Lua's table keys. */
static void set_number(struct path_step *step, double number) {
  if (number >= -0x1p63 && number < 0x1p63 && number == floor(number)) {
    step->form = LABEL_INTEGER;
    step->integer = (int64_t)number;
  } else {
    step->form = LABEL_NUMBER;
    step->number = number;
  }
}

/* A decimal Lua number: integers that do not fit 64 bits are floats, as in Lua. */
static bool parse_number(struct parser *parser, struct path_step *step) {
  const char *start = parser->at, *end = start;
  while (is_digit(*end) || (*end && strchr("+-.eE", *end)))
    end++;
  char *stop;
  errno = 0;
  step->integer = strtoll(start, &stop, 10);
  if (stop == end && end > start && errno == 0) {
    step->form = LABEL_INTEGER;
  } else {
    /* The host may have set a locale with a decimal comma. */
    locale_t plain = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    if (!plain) return no_memory(parser);
    double number = end > start ? strtod_l(start, &stop, plain) : 0;
    freelocale(plain);
    if (end == start || stop != end) return fail(parser, start, "a key");
    set_number(step, number);
  }
  parser->at = end;
  return true;
}

static bool accept_word(struct parser *parser, const char *word) {
  size_t size = strlen(word);
  if (strncmp(parser->at, word, size) != 0 || is_name_byte(parser->at[size])) return false;
  parser->at += size;
  return true;
}

static bool at_address(const struct parser *parser) {
  return parser->at[0] == '0' && (parser->at[1] == 'x' || parser->at[1] == 'X');
}

/* ---- Steps ----------------------------------------------------------------------------------- */

/* What stands in brackets, and the argument of :key(). */
static bool parse_key(struct parser *parser, struct path_step *step) {
  skip_space(parser);
  char c = *parser->at;
  if (c == '"' || c == '\'') return parse_string(parser, step);
  if (at_address(parser)) {
    step->form = LABEL_POINTER;
    return parse_address(parser, &step->address);
  }
  if (is_digit(c) || c == '-' || c == '.') return parse_number(parser, step);
  bool is_true = accept_word(parser, "true");
  if (is_true || accept_word(parser, "false")) {
    step->form = LABEL_BOOLEAN;
    step->integer = is_true;
    return true;
  }
  return fail(parser, parser->at, "a key (\"text\", 42, 1.5, true, 0x55...)");
}

static bool parse_name_or_count(struct parser *parser, struct path_step *step) {
  skip_space(parser);
  char c = *parser->at;
  if (c == '"' || c == '\'') return parse_string(parser, step);
  if (is_name_start(c)) return parse_name(parser, step);
  if (!is_digit(c)) return fail(parser, parser->at, "a name or a number");
  step->form = LABEL_INTEGER;
  return parse_count(parser, 1, &step->integer);
}

/* Behind ":local(": a level is there if a comma follows the number. */
static bool parse_local(struct parser *parser, struct path_step *step) {
  skip_space(parser);
  const char *start = parser->at;
  while (is_digit(*parser->at))
    parser->at++;
  bool has_level = parser->at > start;
  skip_space(parser);
  has_level = has_level && *parser->at == ',';
  parser->at = start;
  if (has_level && !(parse_count(parser, 0, &step->level) && expect(parser, ','))) return false;
  return parse_name_or_count(parser, step);
}

static bool parse_argument_count(struct parser *parser, struct path_step *step) {
  skip_space(parser);
  step->form = LABEL_INTEGER;
  return parse_count(parser, 1, &step->integer);
}

/* The steps that begin with a colon. */
static const struct accessor {
  const char *name;
  enum path_step_kind kind;
  bool (*argument)(struct parser *parser, struct path_step *step); /* NULL: takes none */
  bool is_optional;
} accessors[] = {
    {"metatable", PATH_METATABLE, NULL, false},
    {"env", PATH_ENV, NULL, false},
    {"value", PATH_VALUE, NULL, false},
    {"key", PATH_KEY, parse_key, false},
    {"upvalue", PATH_UPVALUE, parse_name_or_count, false},
    {"local", PATH_LOCAL, parse_local, false},
    {"uservalue", PATH_USERVALUE, parse_argument_count, false},
    {"stack", PATH_STACK, parse_argument_count, false},
    {"constant", PATH_CONSTANT, parse_argument_count, false},
    {"prototype", PATH_PROTOTYPE, parse_argument_count, true},
    {"debugname", PATH_DEBUG_NAME, parse_argument_count, false},
};

static const struct accessor *accept_accessor(struct parser *parser) {
  for (size_t i = 0; i < sizeof accessors / sizeof *accessors; i++)
    if (accept_word(parser, accessors[i].name)) return &accessors[i];
  return NULL;
}

/* Behind a colon. */
static bool parse_accessor(struct parser *parser, struct path_step *step) {
  const struct accessor *accessor = accept_accessor(parser);
  if (!accessor)
    return fail(parser, parser->at,
                "metatable, upvalue, local, key, env, uservalue, value, stack, constant, prototype "
                "or debugname");
  step->kind = accessor->kind;
  if (!accessor->argument || (accessor->is_optional && *parser->at != '(')) return true;
  if (!accept(parser, '(')) return fail(parser, parser->at, "'('");
  return accessor->argument(parser, step) && expect(parser, ')');
}

static bool push(struct parser *parser, struct path_step step) {
  return vector_push(&parser->steps, step) || no_memory(parser);
}

static bool parse_step(struct parser *parser) {
  struct path_step step = {.kind = PATH_FIELD, .level = PATH_ANY_LEVEL};
  if (accept(parser, '.')) return parse_name(parser, &step) && push(parser, step);
  if (accept(parser, '['))
    return parse_key(parser, &step) && expect(parser, ']') && push(parser, step);
  if (accept(parser, ':')) return parse_accessor(parser, &step) && push(parser, step);
  return fail(parser, parser->at, "'.', '[' or ':'");
}

static bool parse_root(struct parser *parser) {
  struct path_step root = {.kind = PATH_GLOBALS, .level = PATH_ANY_LEVEL};
  if (at_address(parser)) {
    root.kind = PATH_ADDRESS;
    root.form = LABEL_POINTER;
    return parse_address(parser, &root.address) && push(parser, root);
  }
  if (accept(parser, '@')) {
    root.kind = PATH_ENTRY;
    root.form = LABEL_INTEGER;
    return parse_count(parser, 1, &root.integer) && push(parser, root);
  }
  if (accept_word(parser, "_G")) return push(parser, root);
  if (accept_word(parser, "registry"))
    root.kind = PATH_REGISTRY;
  else if (accept_word(parser, "package.loaded"))
    root.kind = PATH_LOADED;
  if (root.kind != PATH_GLOBALS) return push(parser, root);
  struct path_step global = {.kind = PATH_FIELD, .level = PATH_ANY_LEVEL};
  if (!is_name_start(*parser->at))
    return fail(parser, parser->at, "a global's name, _G, registry, package.loaded, 0x... or @N");
  return push(parser, root) && parse_name(parser, &global) && push(parser, global);
}

static bool parse_all(struct parser *parser) {
  skip_space(parser);
  if (!parse_root(parser)) return false;
  for (skip_space(parser); *parser->at; skip_space(parser))
    if (!parse_step(parser)) return false;
  return true;
}

struct inspect_error *path_parse(struct arena *arena, const char *text, struct path *result) {
  struct parser parser = {.arena = arena, .text = text, .at = text};
  parser.source = escaped_source(arena, *text ? text : "an empty path");
  if (!parser.source) return error_no_memory();
  struct path_step *steps = NULL;
  size_t count = 0;
  if (parse_all(&parser)) {
    count = parser.steps.count;
    steps = arena_alloc(arena, count * sizeof *steps);
    if (steps)
      memcpy(steps, parser.steps.items, count * sizeof *steps);
    else
      no_memory(&parser);
  }
  vector_free(&parser.steps);
  *result = (struct path){.steps = steps, .count = count, .source = parser.source};
  return parser.error;
}
