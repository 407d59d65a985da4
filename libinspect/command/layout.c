/* layout.c - writes a layout file from a program with debug info, for targets that have none. */
#include <string.h>

#include "layout/dwarf.h"
#include "layout/file.h"
#include "report/page.h"

#include "command/command.h"

/* One line of the page for each line of the file: what is printed is the file. */
static void page_file(struct document *document, const struct text *text) {
  for (size_t at = 0; at < text->count;) {
    const char *line = text->items + at, *newline = memchr(line, '\n', text->count - at);
    size_t size = newline ? (size_t)(newline - line) : text->count - at;
    line_printf(page_line(document, 0), STYLE_PLAIN, "%.*s", (int)size, line);
    at += size + 1;
  }
}

static void data_layout(struct data *data, const struct layout *layout, const char *text) {
  data_cell(data, "lua", cell_words(layout->lua));
  data_cell(data, "pointer_size", cell_plain(layout->pointer_size));
  data_cell(data, "big_endian", cell_boolean(layout->big_endian));
  struct data *sizes = data_array(data, "sizes");
  for (unsigned i = 0; i < LAYOUT_STRUCT_COUNT; i++) {
    struct data *row = data_object(sizes, NULL);
    data_cell(row, "structure", cell_words(layout_struct_name((enum layout_struct)i)));
    data_cell(row, "size", cell_plain(layout->size[i]));
  }
  struct data *fields = data_array(data, "fields");
  for (unsigned i = 0; i < LAYOUT_FIELD_COUNT; i++) {
    enum layout_field field = (enum layout_field)i;
    struct layout_place place = layout->place[field];
    if (!layout_has(layout, field)) continue;
    struct data *row = data_object(fields, NULL);
    data_cell(row, "field", cell_words(layout_field_name(field)));
    data_cell(row, "offset", cell_plain(place.offset));
    data_cell(row, "size", place.size <= 8 ? cell_plain(place.size) : cell_null());
  }
  data_cell(data, "file", cell_words(text));
}

struct inspect_error *command_layout(struct command_context *context) {
  struct debug_info *info;
  const struct layout *layout = NULL;
  struct text text = {0};
  TRY(debug_info_open(context->options->program, context->options->sysroot, &info));
  struct inspect_error *error = layout_from_debug_info(info, context->arena, &layout);
  if (!error && layout_write(layout, &text) && text_finish(&text)) {
    const char *copy = arena_copy(context->arena, text.items, text.count);
    page_file(context->document, &text);
    if (copy)
      data_layout(context->data, layout, copy);
    else
      error = error_no_memory();
  } else if (!error) {
    error = error_no_memory();
  }
  vector_free(&text);
  debug_info_close(info);
  return error;
}
