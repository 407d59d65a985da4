/* target_text.c - what a user writes: path expressions, layout files, command lines. What is
 * understood must say the same again when it is printed. */
#include <stdlib.h>
#include <string.h>

#include "command/path.h"
#include "commands.h"
#include "layout/file.h"
#include "patches.h"
#include "targets.h"

/* A copy that ends in 0. */
static char *text_of(const uint8_t *bytes, size_t size) {
  char *text = malloc(size + 1);
  if (!text) exit(2);
  memcpy(text, bytes, size);
  text[size] = 0;
  return text;
}

static bool same_text(const struct text *a, const struct text *b) {
  return a->count == b->count && (!a->count || !memcmp(a->items, b->items, a->count));
}

/* ---- Paths -------------------------------------------------------------------------------------
 */

static void run_path(const uint8_t *bytes, size_t size) {
  char *input = text_of(bytes, size);
  struct arena arena;
  struct path path, again;
  struct text text = {0}, printed = {0};
  arena_init(&arena);
  struct inspect_error *error = path_parse(&arena, input, &path);
  if (!error) {
    if (!path_format(&path, &text) || !text_finish(&text)) exit(2);
    error = path_parse(&arena, text.items, &again);
    if (error || again.count != path.count) abort();
    if (!path_format(&again, &printed) || !text_finish(&printed)) exit(2);
    if (!same_text(&text, &printed)) abort();
  }
  inspect_error_free(error);
  vector_free(&text);
  vector_free(&printed);
  arena_free(&arena);
  free(input);
}

const struct fuzz_target fuzz_path = {.name = "path", .run = run_path, .memory = 1};

/* ---- Layout files ------------------------------------------------------------------------------
 */

static void run_layout(const uint8_t *bytes, size_t size) {
  struct arena arena;
  const struct layout *layout, *again;
  struct text text = {0};
  arena_init(&arena);
  struct inspect_error *error = layout_parse((const char *)bytes, size, "input", &arena, &layout);
  if (!error) {
    if (!layout_write(layout, &text)) exit(2);
    error = layout_parse(text.items, text.count, "input", &arena, &again);
    if (error || !layout_equal(layout, again)) abort();
  }
  inspect_error_free(error);
  vector_free(&text);
  arena_free(&arena);
}

const struct fuzz_target fuzz_layout = {.name = "layout", .run = run_layout, .memory = 1};

/* ---- Command lines -----------------------------------------------------------------------------
 */

/* As a debugger hands it over, run on a sound core; and, cut at blanks, as a shell does. */
static void run_line(const uint8_t *bytes, size_t size) {
  enum { MOST_WORDS = 32 };
  char *input = text_of(bytes, size < 500 ? size : 500), *words[MOST_WORDS], *rest;
  struct inspect_invocation *invocation = NULL;
  int count = 1, status;
  struct victim *victim = patches_victim(size ? bytes[0] : 0);
  bool is_other = strstr(input, "diff") || strstr(input, "layout"); /* they open files */
  if (!is_other) (void)command_run(victim->session, input, &status);
  words[0] = input;
  for (char *word = strtok_r(input, " ", &rest); word && count < MOST_WORDS;
       word = strtok_r(NULL, " ", &rest))
    words[count++] = word;
  inspect_error_free(inspect_invocation_parse(count, words, &invocation));
  inspect_invocation_free(invocation);
  free(input);
}

const struct fuzz_target fuzz_line = {.name = "line", .run = run_line};
