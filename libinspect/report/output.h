/* output.h - finished text on its way out: gathered in one fixed buffer, so that a reader gets few
 * large pieces and writing needs no memory. Once the reader has refused a piece nothing is written
 * any more. */
#ifndef REPORT_OUTPUT_H
#define REPORT_OUTPUT_H

#include "report/render.h"

struct output {
  const struct render_options *options;
  bool closed; /* the reader wants no more */
  size_t used;
  char buffer[4096];
};

void output_init(struct output *output, const struct render_options *options);
void output_write(struct output *output, const char *text, size_t size);
bool output_flush(struct output *output); /* whether all was taken */

#endif
