/* words.c - one pass over the line; a word ends at a blank at bracket depth 0 outside quotes.
 *
 * A quote opens a string at the start of a word or value and inside brackets, where Lua's strings
 * stand. Elsewhere it is a character like any other, so that don't needs no care. */
#include "command/words.h"

#include <string.h>

static bool is_blank(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }
static bool is_quote(char c) { return c == '"' || c == '\''; }

static struct inspect_error *unfinished(char quote) {
  return error_create(INSPECT_ERROR_USAGE,
                      "close it, or put the word into the other kind of quotes",
                      "a %c is not closed", quote);
}

/* Behind the quote that closes the string which opens at `at`, NULL if nothing does. */
static const char *skip_string(const char *at) {
  char quote = *at++;
  for (; *at && *at != quote; at++)
    if (*at == '\\' && at[1]) at++;
  return *at ? at + 1 : NULL;
}

/* Where a word starts its value: behind the = of --option=. */
static const char *value_start(const char *word) {
  if (word[0] != '-' || word[1] != '-') return word;
  const char *at = word;
  while (*at && !is_blank(*at) && !is_quote(*at) && *at != '[' && *at != '(' && *at != '=')
    at++;
  return *at == '=' ? at + 1 : word;
}

/* The end of the word, NULL in case of an open quote, which *open then is. */
static const char *word_end(const char *word, char *open) {
  const char *value = value_start(word), *at = word;
  size_t depth = 0;
  while (*at && (depth || !is_blank(*at))) {
    if (is_quote(*at) && (depth || at == value)) {
      *open = *at;
      at = skip_string(at);
      if (!at) return NULL;
      continue;
    }
    if (*at == '[' || *at == '(') depth++;
    if ((*at == ']' || *at == ')') && depth) depth--;
    at++;
  }
  return at;
}

/* Removes the quotes around the value, if they are around all of it. */
static void unquote(char *value) {
  if (!is_quote(*value)) return;
  const char *end = skip_string(value);
  if (!end || *end) return;
  char quote = *value, *out = value;
  for (const char *at = value + 1; at < end - 1; at++) {
    if (*at == '\\' && (at[1] == quote || at[1] == '\\')) at++;
    *out++ = *at;
  }
  *out = 0;
}

struct inspect_error *words_split(struct arena *arena, const char *line, struct words *words) {
  for (const char *at = line; *at;) {
    if (is_blank(*at)) {
      at++;
      continue;
    }
    char quote = 0;
    const char *end = word_end(at, &quote);
    if (!end) return unfinished(quote);
    char *word = arena_copy(arena, at, (size_t)(end - at));
    if (!word) return error_no_memory();
    unquote(word + (value_start(at) - at));
    if (!vector_push(words, word)) return error_no_memory();
    at = end;
  }
  return NULL;
}
