/* file.c - layouts as text.
 *
 * The reader is strict, as a wrong offset would show as nonsense much later: an unknown word, a
 * number that does not fit, something said twice, or something left over in a line is an error with
 * its line. The text is untrusted: it is read by length, in pieces bounded by LONGEST_WORD. */
#include "layout/file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "layout/check.h"
#include "layout/traits.h"

enum { AGGREGATE = 255, LARGEST_FILE = 1 << 20, LONGEST_WORD = 63, MOST_WORDS = 4 };
enum { MOST_TRAITS = 64 };

#define MAGIC "lua-inspect-layout"

static const char format_hint[] =
    "`lua-inspect layout EXE` writes such a file from an unstripped build";

/* ---- Writing --------------------------------------------------------------------------------- */

static bool write_trait(const struct layout *layout, const struct layout_trait *trait,
                        struct text *text) {
  uint64_t value = layout_trait_get(layout, trait);
  return trait->words ? text_printf(text, "%s %s\n", trait->name, trait->words[value])
                      : text_printf(text, "%s %llu\n", trait->name, (unsigned long long)value);
}

static bool write_field(const struct layout *layout, enum layout_field field, struct text *text) {
  struct layout_place place = layout->place[field];
  if (!place.size) return true;
  const char *name = layout_field_name(field);
  return place.size == AGGREGATE ? text_printf(text, "%s %u *\n", name, place.offset)
                                 : text_printf(text, "%s %u %u\n", name, place.offset, place.size);
}

bool layout_write(const struct layout *layout, struct text *text) {
  bool ok = text_printf(text,
                        MAGIC " 1\n# how Lua's structures lie in %s: FIELD OFFSET SIZE, in bytes\n"
                              "# use it with lua-inspect --layout FILE\nlua %s\n",
                        layout->name, layout->lua);
  for (const struct layout_trait *trait = layout_traits; ok && trait->name; trait++)
    ok = write_trait(layout, trait, text);
  for (unsigned i = 0; ok && i < LAYOUT_STRUCT_COUNT; i++)
    ok = text_printf(text, "sizeof %s %u\n", layout_struct_name((enum layout_struct)i),
                     layout->size[i]);
  for (unsigned i = 0; ok && i < LAYOUT_FIELD_COUNT; i++)
    ok = write_field(layout, (enum layout_field)i, text);
  return ok;
}

/* ---- Words ----------------------------------------------------------------------------------- */

struct words {
  char items[MOST_WORDS][LONGEST_WORD + 1];
  size_t count;
};

struct parse {
  const char *name; /* of the file */
  struct arena *arena;
  struct layout *layout;
  unsigned line;
  bool traits_given[MOST_TRAITS];
};

static struct inspect_error *wrong(const struct parse *parse, const char *what, const char *word) {
  struct text text = {0};
  bool ok = text_escape(&text, word, strlen(word), 0) && text_finish(&text);
  struct inspect_error *error =
      ok ? error_create(INSPECT_ERROR_USAGE, format_hint, "%s, line %u: %s: %s", parse->name,
                        parse->line, what, text.items)
         : error_no_memory();
  vector_free(&text);
  return error;
}

static bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\r'; }

/* Cuts a line into words. */
static struct inspect_error *cut(const struct parse *parse, const char *line, size_t size,
                                 struct words *words) {
  words->count = 0;
  for (size_t i = 0; i < size && line[i] != '#';) {
    size_t length = 0;
    while (i + length < size && !is_blank(line[i + length]) && line[i + length] != '#')
      length++;
    if (!length) {
      i++;
      continue;
    }
    char word[LONGEST_WORD + 1] = {0};
    memcpy(word, line + i, length < LONGEST_WORD ? length : LONGEST_WORD);
    if (length > LONGEST_WORD || strlen(word) != length)
      return wrong(parse, "no word that belongs here", word);
    if (words->count == MOST_WORDS) return wrong(parse, "too many words", word);
    memcpy(words->items[words->count++], word, sizeof word);
    i += length;
  }
  return NULL;
}

static bool read_number(const char *word, uint64_t most, uint64_t *number) {
  *number = 0;
  if (!*word || strlen(word) > 9) return false;
  for (; *word; word++) {
    if (*word < '0' || *word > '9') return false;
    *number = *number * 10 + (uint64_t)(*word - '0');
  }
  return *number <= most;
}

/* ---- Lines ----------------------------------------------------------------------------------- */

static struct inspect_error *read_lua(struct parse *parse, const struct words *words) {
  if (words->count != 2) return wrong(parse, "needs one word", words->items[0]);
  if (parse->layout->lua) return wrong(parse, "said twice", words->items[0]);
  const char *lua = words->items[1];
  const struct layout *canned;
  for (size_t i = 0; (canned = layout_canned(i)); i++)
    if (strcmp(canned->lua, lua) == 0) parse->layout->lua = canned->lua;
  return parse->layout->lua ? NULL : wrong(parse, "no version of Lua that can be read", lua);
}

static struct inspect_error *read_size(struct parse *parse, const struct words *words) {
  uint64_t size;
  if (words->count != 3) return wrong(parse, "needs a structure and its size", words->items[0]);
  for (unsigned i = 0; i < LAYOUT_STRUCT_COUNT; i++) {
    if (strcmp(layout_struct_name((enum layout_struct)i), words->items[1]) != 0) continue;
    if (parse->layout->size[i]) return wrong(parse, "said twice", words->items[1]);
    if (!read_number(words->items[2], UINT16_MAX, &size) || !size)
      return wrong(parse, "no size", words->items[2]);
    parse->layout->size[i] = (uint16_t)size;
    return NULL;
  }
  return wrong(parse, "unknown structure", words->items[1]);
}

static struct inspect_error *read_field(struct parse *parse, const struct words *words) {
  uint64_t offset, size = AGGREGATE;
  const char *name = words->items[0];
  for (unsigned i = 0; i < LAYOUT_FIELD_COUNT; i++) {
    if (strcmp(layout_field_name((enum layout_field)i), name) != 0) continue;
    struct layout_place *place = &parse->layout->place[i];
    if (words->count != 3) return wrong(parse, "needs an offset and a size", name);
    if (place->size) return wrong(parse, "said twice", name);
    if (!read_number(words->items[1], UINT16_MAX, &offset))
      return wrong(parse, "no offset", words->items[1]);
    bool is_aggregate = strcmp(words->items[2], "*") == 0;
    if (!is_aggregate && (!read_number(words->items[2], 8, &size) || !size))
      return wrong(parse, "no size: neither 1 to 8 nor *", words->items[2]);
    *place = (struct layout_place){(uint16_t)offset, (uint8_t)size};
    return NULL;
  }
  return wrong(parse, "unknown field", name);
}

static struct inspect_error *read_trait(struct parse *parse, const struct words *words) {
  const char *name = words->items[0], *word = words->items[1];
  for (size_t i = 0; layout_traits[i].name && i < MOST_TRAITS; i++) {
    const struct layout_trait *trait = &layout_traits[i];
    if (strcmp(trait->name, name) != 0) continue;
    if (words->count != 2) return wrong(parse, "needs one value", name);
    if (parse->traits_given[i]) return wrong(parse, "said twice", name);
    parse->traits_given[i] = true;
    uint64_t value = 0;
    bool fits;
    if (trait->words) {
      while (trait->words[value] && strcmp(trait->words[value], word) != 0)
        value++;
      fits = trait->words[value] != NULL;
    } else {
      fits = read_number(word, trait->most, &value);
    }
    if (!fits) return wrong(parse, "no value that it can have", word);
    layout_trait_set(parse->layout, trait, value);
    return NULL;
  }
  return wrong(parse, "unknown word", name);
}

static struct inspect_error *read_line(struct parse *parse, const struct words *words) {
  const char *first = words->items[0];
  if (strcmp(first, "lua") == 0) return read_lua(parse, words);
  if (strcmp(first, "sizeof") == 0) return read_size(parse, words);
  return strchr(first, '.') ? read_field(parse, words) : read_trait(parse, words);
}

/* The first line that says something. */
static struct inspect_error *read_magic(const struct parse *parse, const struct words *words) {
  if (words->count != 2 || strcmp(words->items[0], MAGIC) != 0)
    return error_create(INSPECT_ERROR_USAGE, format_hint,
                        "%s is no layout: it does not begin with " MAGIC " 1", parse->name);
  if (strcmp(words->items[1], "1") != 0)
    return wrong(parse, "a format that this version does not know", words->items[1]);
  return NULL;
}

/* ---- The whole ------------------------------------------------------------------------------- */

static struct inspect_error *read_lines(struct parse *parse, const char *bytes, size_t size) {
  bool is_known = false;
  struct words words;
  for (size_t start = 0; start < size;) {
    const char *line = bytes + start, *end = memchr(line, '\n', size - start);
    size_t length = end ? (size_t)(end - line) : size - start;
    parse->line++;
    start += length + 1;
    struct inspect_error *error = cut(parse, line, length, &words);
    if (error && is_known) return error;
    if (error) { /* whatever this is, it begins with no layout */
      inspect_error_free(error);
      words.count = 1;
      words.items[0][0] = 0;
    }
    if (!words.count) continue;
    TRY(is_known ? read_line(parse, &words) : read_magic(parse, &words));
    is_known = true;
  }
  words.count = 0;
  return is_known ? NULL : read_magic(parse, &words);
}

static struct inspect_error *finish(const struct parse *parse) {
  for (size_t i = 0; layout_traits[i].name && i < MOST_TRAITS; i++)
    if (!parse->traits_given[i])
      return error_create(INSPECT_ERROR_USAGE, format_hint, "%s does not say: %s", parse->name,
                          layout_traits[i].name);
  if (!parse->layout->lua)
    return error_create(INSPECT_ERROR_USAGE, format_hint, "%s does not say: lua", parse->name);
  enum layout_field field;
  const char *fault = layout_check(parse->layout, &field);
  if (!fault) return NULL;
  return error_create(INSPECT_ERROR_USAGE, format_hint, "%s describes no Lua: %s%s%s", parse->name,
                      field < LAYOUT_FIELD_COUNT ? layout_field_name(field) : "",
                      field < LAYOUT_FIELD_COUNT ? " " : "", fault);
}

struct inspect_error *layout_parse(const char *bytes, size_t size, const char *name,
                                   struct arena *arena, const struct layout **result) {
  struct layout *layout = arena_alloc(arena, sizeof *layout);
  if (!layout) return error_no_memory();
  struct parse parse = {.name = name, .arena = arena, .layout = layout};
  layout->name = name;
  layout->provenance = LAYOUT_FILE;
  TRY(read_lines(&parse, bytes, size));
  TRY(finish(&parse));
  *result = layout;
  return NULL;
}

static struct inspect_error *not_readable(const char *name, int number) {
  return error_create(INSPECT_ERROR_SYSTEM, format_hint, "cannot read the layout %s: %s", name,
                      number ? strerror(number) : "it is no regular file, or larger than 1 MB");
}

/* Reads a whole file into `text`. Not blocking, as the path may name a pipe. */
static struct inspect_error *read_all(const char *path, const char *name, struct text *text) {
  struct stat status;
  int descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
  if (descriptor < 0) return not_readable(name, errno);
  struct inspect_error *error = NULL;
  if (fstat(descriptor, &status) != 0 || !S_ISREG(status.st_mode) ||
      status.st_size > LARGEST_FILE) {
    error = not_readable(name, 0);
  } else if (!vector_reserve(text, (size_t)status.st_size + 1)) {
    error = error_no_memory();
  } else {
    ssize_t got;
    while (text->count < (size_t)status.st_size &&
           (got = read(descriptor, text->items + text->count,
                       (size_t)status.st_size - text->count)) > 0)
      text->count += (size_t)got;
  }
  close(descriptor);
  return error;
}

struct inspect_error *layout_read_file(const char *path, struct arena *arena,
                                       const struct layout **result) {
  const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path, *name = NULL;
  struct text text = {0};
  if (text_escape(&text, base, strlen(base), 0)) name = arena_copy(arena, text.items, text.count);
  text.count = 0;
  struct inspect_error *error = name ? read_all(path, name, &text) : error_no_memory();
  if (!error) error = layout_parse(text.items ? text.items : "", text.count, name, arena, result);
  vector_free(&text);
  return error;
}
