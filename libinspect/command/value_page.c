/* value_page.c - a tree of values as Lua would have it written: a table on one line where that is
 * short and leaves nothing out, otherwise one entry on a line.
 *
 * What Lua's syntax cannot say follows as a comment: class and address of a table, the length of a
 * string that was cut, how many entries are left out. Recursion is bounded by the depth of the
 * tree. */
#include <inttypes.h>

#include "command/value_tree.h"
#include "report/render.h"

enum { LONGEST_LINE = 60 };

/* ---- On one line ------------------------------------------------------------------------------
 */

static bool is_name(const struct value_node *key, const char **bytes, size_t *size) {
  if (!key->is_string || key->is_cut) return false;
  *bytes = string_bytes(&key->owner->vm, key->value.bits, size);
  return *bytes && text_is_name(*bytes, *size);
}

/* name or ["a key"] or [42]. */
static bool write_key(const struct value_node *key, struct text *text) {
  const char *bytes;
  size_t size;
  if (is_name(key, &bytes, &size)) return text_add(text, bytes, size);
  return text_add(text, "[", 1) && text_add_string(text, key->text) && text_add(text, "]", 1);
}

/* Whether the entry is what stands there without its key. */
static bool is_next_in_order(const struct value_entry *entry, uint64_t expected) {
  return entry->key->value.tag == TAG_INTEGER && entry->key->value.bits == expected;
}

static bool write_value(const struct value_node *node, struct text *text);

static bool write_table(const struct value_node *node, struct text *text) {
  uint64_t next = 1;
  bool fits = text_add(text, "{", 1);
  for (size_t i = 0; fits && i < node->entry_count; i++) {
    const struct value_entry *entry = &node->entries[i];
    if (i) fits = text_add(text, ", ", 2);
    if (is_next_in_order(entry, next))
      next++;
    else
      fits = fits && write_key(entry->key, text) && text_add(text, " = ", 3);
    fits = fits && write_value(entry->value, text);
  }
  return fits && text_add(text, "}", 1);
}

static bool write_value(const struct value_node *node, struct text *text) {
  return node->text ? text_add_string(text, node->text) : write_table(node, text);
}

/* Whether a comment must stand behind the value. A table that is only named is no use without its
 * class, nor one that is named elsewhere without its address. */
static bool needs_comment(const struct value_node *node) {
  return node->is_cut || node->class || node->is_repeated || node->is_named_above;
}

/* Sets `columns` of the node and of all below it. After an interruption all take several lines. */
static bool measure(struct document *document, struct value_node *node) {
  struct text text = {0};
  bool fits = true, is_flat = node->total == node->entry_count;
  for (size_t i = 0; fits && i < node->entry_count; i++) {
    struct value_entry *entry = &node->entries[i];
    if (document_stops(document, 0, 0)) return true;
    fits = measure(document, entry->value);
    if (!entry->value->columns || needs_comment(entry->value) || entry->key->is_cut)
      is_flat = false;
  }
  node->columns = 0;
  if (node->text)
    node->columns = (uint32_t)text_columns(node->text, strlen(node->text));
  else if (is_flat && fits) {
    fits = write_table(node, &text);
    size_t columns = fits ? text_columns(text.items, text.count) : 0;
    node->columns = columns <= LONGEST_LINE ? (uint32_t)columns : 0;
  }
  vector_free(&text);
  return fits;
}

/* ---- On the page ------------------------------------------------------------------------------
 */

static bool add_cell(struct command_context *context, struct text *text, struct cell cell) {
  const char *shown = render_cell(context->arena, cell);
  return shown && text_add_string(text, text->count ? " " : "-- ") && text_add_string(text, shown);
}

static void line_comment(struct command_context *context, struct line *line,
                         const struct value_node *node, bool is_nested) {
  struct text text = {0};
  bool fits = true;
  if (!node->text && is_nested) fits = add_cell(context, &text, cell_address(node->value.bits));
  if (node->class) fits = fits && add_cell(context, &text, cell_words(node->class));
  if (node->is_named_above) fits = fits && add_cell(context, &text, cell_words("shown above"));
  if (node->is_cut)
    fits = fits && add_cell(context, &text, cell_count(node->total)) &&
           text_add_string(&text, " bytes");
  if (fits && text.count) {
    line_words(line, STYLE_MUTED, "  ");
    line_cell(line, STYLE_MUTED, cell_words(arena_copy(context->arena, text.items, text.count)));
  }
  vector_free(&text);
}

static void add_line(struct command_context *context, const struct value_node *node,
                     unsigned indent, const char *before, const char *after, bool is_nested);

static void add_entries(struct command_context *context, const struct value_node *node,
                        unsigned indent) {
  for (size_t i = 0; i < node->entry_count && !document_stops(context->document, 0, 0); i++) {
    struct text text = {0};
    bool fits = write_key(node->entries[i].key, &text);
    const char *key = fits ? arena_copy(context->arena, text.items, text.count) : NULL;
    vector_free(&text);
    add_line(context, node->entries[i].value, indent, key ? key : "?", ",", true);
  }
  if (node->total == node->entry_count) return;
  struct line *line = page_line(context->document, indent);
  line_words(line, STYLE_MUTED, "-- ");
  line_cell(line, STYLE_MUTED, cell_count(node->total - node->entry_count));
  line_words(line, STYLE_MUTED, node->entry_count ? " more" : " entries, not shown");
}

static void add_line(struct command_context *context, const struct value_node *node,
                     unsigned indent, const char *before, const char *after, bool is_nested) {
  struct line *line = page_line(context->document, indent);
  if (*before) {
    line_cell(line, STYLE_KEY, cell_words(before));
    line_words(line, STYLE_PLAIN, " = ");
  }
  if (!node->text && !node->columns) {
    line_words(line, STYLE_PLAIN, "{");
    line_comment(context, line, node, is_nested);
    add_entries(context, node, indent + 2);
    line_printf(page_line(context->document, indent), STYLE_PLAIN, "}%s", after);
    return;
  }
  struct text text = {0};
  if (write_value(node, &text) && text_add_string(&text, after))
    line_cell(line, STYLE_PLAIN, cell_words(arena_copy(context->arena, text.items, text.count)));
  vector_free(&text);
  line_comment(context, line, node, is_nested);
}

void value_to_page(struct command_context *context, struct value_node *node, unsigned indent,
                   const char *before, const char *after) {
  if (measure(context->document, node))
    add_line(context, node, indent, before, after, *before != 0);
}
