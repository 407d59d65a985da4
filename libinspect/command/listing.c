/* listing.c - numbers, limits, and what to try next. */
#include "command/listing.h"

size_t listing_limit(const struct command_context *context, size_t count, size_t usual) {
  uint64_t limit = context->options->limit ? context->options->limit : usual;
  return count < limit ? count : (size_t)limit;
}

size_t listing_data_limit(const struct command_context *context, size_t count) {
  return listing_limit(context, count, count);
}

void listing_begin(struct command_context *context) { context->session->listing.count = 0; }

struct cell listing_number(struct command_context *context, object_id object) {
  struct inspect_session *session = context->session;
  return vector_push(&session->listing, object) ? cell_plain(session->listing.count) : cell_null();
}

void listing_more(struct command_context *context, size_t shown, size_t count, const char *what) {
  if (shown >= count) return;
  struct line *line = page_line(context->document, 0);
  line_cell(line, STYLE_MUTED, cell_count(count - shown));
  line_printf(line, STYLE_MUTED, " more %s: --limit %zu", what, count);
}

struct line *listing_next(struct command_context *context) {
  page_blank(context->document);
  struct line *line = page_line(context->document, 0);
  line_words(line, STYLE_MUTED, "next");
  line_tab(line, 11);
  return line;
}

void listing_try(struct command_context *context, struct line *line, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  const char *command = arena_vprintf(context->arena, format, arguments);
  va_end(arguments);
  line_words(line, STYLE_MUTED, "   ");
  line_cell(line, STYLE_MUTED, cell_words(command));
}
