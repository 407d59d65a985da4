/* rendering.h - for the tests of report/: a reader that keeps what a renderer writes. */
#ifndef TESTS_RENDERING_H
#define TESTS_RENDERING_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <locale.h>
#include <string.h>

#include "base/text.h"
#include "report/render.h"

struct reader {
  struct text text;
  size_t calls, refuse_at; /* refuses this call and all after it; 0: none */
};

static inline bool reader_write(void *context, const char *text, size_t size) {
  struct reader *reader = context;
  reader->calls++;
  if (reader->refuse_at && reader->calls >= reader->refuse_at) return false;
  return text_add(&reader->text, text, size);
}

/* Renders, frees the document, and returns the output; free() it. */
static inline char *rendered(struct document *document,
                             bool (*render)(struct document *, const struct render_options *),
                             unsigned width, bool colour) {
  struct reader reader = {0};
  struct render_options options = {colour, width, reader_write, &reader};
  assert_true(render(document, &options));
  assert_false(document_failed(document));
  assert_true(text_add(&reader.text, "", 1));
  document_free(document);
  return reader.text.items;
}

static inline void check_rendered(char *output, const char *expected) {
  assert_string_equal(output, expected);
  free(output);
}

/* Switches to a locale with a decimal comma; false if the machine has none. */
static inline bool comma_locale(void) {
  static const char *const names[] = {"de_DE.UTF-8", "de_DE.utf8", "fr_FR.UTF-8", "de_DE"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    if (setlocale(LC_ALL, names[i])) return true;
  return false;
}

/* The page at a width, without colour, is exactly this. Frees the document. */
#define assert_page(document, width, expected)                                                     \
  check_rendered(rendered((document), render_text, (width), false), (expected))

#define assert_json(document, expected)                                                            \
  check_rendered(rendered((document), render_json, 100, false), (expected))

#endif
