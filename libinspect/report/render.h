/* render.h - documents made into text for people and JSON for programs. */
#ifndef REPORT_RENDER_H
#define REPORT_RENDER_H

#include "report/document.h"

struct render_options {
  bool colour;
  unsigned width; /* columns; 0: no limit (--wide) */
  /* Receives the output piece by piece; false: stop, nobody reads. */
  bool (*write)(void *context, const char *text, size_t size);
  void *context;
};

/* The page. Returns false if `write` did or memory ran out (document_failed tells). */
bool render_text(struct document *document, const struct render_options *options);

/* The data, indented by two, a newline at the end. Through yajl, streaming. */
bool render_json(struct document *document, const struct render_options *options);

/* Formats a cell as the page shows it when its width is limited: long texts of the target are cut
 * (for tests and for notes in chains). Arena memory, NULL if there is none. */
const char *render_cell(struct arena *arena, struct cell cell);

#endif
