/* output.c - a buffer in front of the caller's write function. */
#include "report/output.h"

#include <string.h>

void output_init(struct output *output, const struct render_options *options) {
  output->options = options;
  output->closed = false;
  output->used = 0;
}

bool output_flush(struct output *output) {
  if (!output->closed && output->used)
    output->closed =
        !output->options->write(output->options->context, output->buffer, output->used);
  output->used = 0;
  return !output->closed;
}

void output_write(struct output *output, const char *text, size_t size) {
  while (size && !output->closed) {
    size_t part = sizeof output->buffer - output->used;
    if (part > size) part = size;
    memcpy(output->buffer + output->used, text, part);
    output->used += part;
    text += part;
    size -= part;
    if (output->used == sizeof output->buffer) output_flush(output);
  }
}
