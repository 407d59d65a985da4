/* print.c - one value, whatever it is, as Lua would write it, with what it is part of and what is
 * part of it. */
#include "command/print.h"

#include <inttypes.h>

#include "command/chain_view.h"
#include "lua/function.h"

enum { DEFAULT_DEPTH = 2, DEFAULT_LIMIT = 50, PART_LIMIT = 8, MOST_VMS = 20 };

/* ---- Parts ------------------------------------------------------------------------------------
 */

const char *print_name(struct printing *printing, const char *name, size_t size, uint64_t number) {
  struct text text = {0};
  bool fits = name && size ? text_escape(&text, name, size, 0)
                           : text_printf(&text, "[%" PRIu64 "]", number);
  const char *result = fits ? arena_copy(printing->context->arena, text.items, text.count) : NULL;
  vector_free(&text);
  return result ? result : "?";
}

struct inspect_error *print_value(struct printing *printing, struct lua_value value,
                                  unsigned indent, const char *before, struct data *data,
                                  const char *key) {
  uint64_t limit = printing->tree.limit;
  if (!printing->context->options->limit) printing->tree.limit = PART_LIMIT;
  struct value_node *node =
      value_tree_read(&printing->tree, printing->place->owner, value, printing->depth);
  printing->tree.limit = limit;
  if (!node) return error_no_memory();
  value_to_page(printing->context, node, indent, before, "");
  value_to_data(&printing->tree, data, key, node);
  return NULL;
}

/* ---- Strings ----------------------------------------------------------------------------------
 */

/* The bytes of a string up to the end of a line, at most so many, no character divided. */
static size_t line_size(const char *bytes, size_t size) {
  enum { LONGEST = 72 };
  const char *newline = memchr(bytes, '\n', size < LONGEST ? size : LONGEST);
  if (newline) return (size_t)(newline - bytes) + 1;
  return text_cut(bytes, size, LONGEST);
}

/* Lines of quoted text, joined as Lua would. */
static void page_string(struct command_context *context, const char *bytes, size_t size) {
  enum { MOST_SHOWN = 4000, MOST_WIDE = 1 << 20 };
  size_t most = context->options->wide ? MOST_WIDE : MOST_SHOWN;
  size_t left = size < most ? size : most;
  do {
    size_t part = line_size(bytes, left);
    struct text text = {0};
    bool fits = text_add(&text, "\"", 1) && text_escape(&text, bytes, part, '"') &&
                text_add_string(&text, part < left   ? "\" .."
                                       : size > most ? "\"..."
                                                     : "\"");
    if (fits)
      line_cell(page_line(context->document, 0), STYLE_PLAIN,
                cell_words(arena_copy(context->arena, text.items, text.count)));
    vector_free(&text);
    bytes += part;
    left -= part;
  } while (left);
  if (size <= most) return;
  struct line *line = page_line(context->document, 0);
  line_words(line, STYLE_MUTED, "-- ");
  line_cell(line, STYLE_MUTED, cell_count(size - most));
  line_words(line, STYLE_MUTED, " more bytes: --wide shows up to a million");
}

/* ---- One value --------------------------------------------------------------------------------
 */

static struct inspect_error *page_holder(struct printing *printing, object_id object) {
  struct command_context *context = printing->context;
  const char *path = NULL;
  struct inspect_error *error = object_path(context, object, &path);
  data_cell(printing->data, "path", cell_words(path));
  TRY(partial_if_interrupted(context, error));
  struct line *line = page_named(context, "path");
  if (path)
    line_cell(line, STYLE_KEY, cell_words(path_to_page(context, path)));
  else
    line_words(line, STYLE_PLAIN,
               error ? "not searched to the end"
                     : "none: nothing that a collection follows leads to it");
  return NULL;
}

/* The metatable of a table or userdata. */
static struct inspect_error *page_metatable(struct printing *printing, uint64_t metatable) {
  struct lua_value value = {.tag = TAG_TABLE | TAG_COLLECTABLE, .bits = metatable};
  if (!metatable) return NULL;
  struct value_node *node = value_tree_read(&printing->tree, printing->place->owner, value, 0);
  if (!node) return error_no_memory();
  line_cell(page_named(printing->context, "metatable"), STYLE_PLAIN, cell_words(node->text));
  value_to_data(&printing->tree, printing->data, "metatable", node);
  return NULL;
}

static uint64_t metatable_of(struct vm *vm, struct lua_value value) {
  struct lua_table table;
  struct lua_userdata userdata;
  if (value.tag == (TAG_TABLE | TAG_COLLECTABLE))
    return table_load(vm, value.bits, &table) ? 0 : table.metatable;
  if (value.tag == (TAG_USERDATA | TAG_COLLECTABLE))
    return userdata_load(vm, value.bits, &userdata) ? 0 : userdata.metatable;
  return 0;
}

static struct inspect_error *page_object(struct printing *printing) {
  struct command_context *context = printing->context;
  object_id object = printing->place->object;
  object_to_page(context, object);
  object_to_data(context, printing->data, object);
  object_bytes_to_page(context, object);
  TRY(page_holder(printing, object));
  TRY(page_metatable(printing, metatable_of(&printing->place->owner->vm, printing->place->value)));
  return print_parts(printing);
}

/* The value itself, if it is one that Lua can write. */
static struct inspect_error *page_value(struct printing *printing, uint64_t depth) {
  struct command_context *context = printing->context;
  const struct value_place *place = printing->place;
  struct value_node *node = value_tree_read(&printing->tree, place->owner, place->value, depth);
  if (!node) return error_no_memory();
  value_to_data(&printing->tree, printing->data, "value", node);
  bool is_table = !node->text;
  if (place->object != NO_OBJECT) {
    size_t size = 0;
    const char *bytes = value_is_string(place->value)
                            ? string_bytes(&place->owner->vm, place->value.bits, &size)
                            : NULL;
    if (!bytes && !is_table) return NULL;
    page_blank(context->document);
    if (bytes) page_string(context, bytes, size);
  }
  if (is_table || place->object == NO_OBJECT) value_to_page(context, node, 0, "", "");
  return NULL;
}

static void page_bounds(struct printing *printing) {
  struct command_context *context = printing->context;
  if (printing->tree.is_interrupted) context->partial = true;
  if (!printing->tree.is_full) return;
  page_blank(context->document);
  line_words(page_line(context->document, 0), STYLE_MUTED,
             "too many values for one answer, the rest is only counted: print a part, or use a "
             "smaller --depth");
}

static struct inspect_error *print_place(struct command_context *context, struct data *list,
                                         const struct value_place *place) {
  const struct command_options *options = context->options;
  uint64_t depth = options->depth ? options->depth : DEFAULT_DEPTH;
  struct printing printing = {.context = context, .place = place, .depth = depth - 1};
  printing.data = data_object(list, NULL);
  value_tree_init(&printing.tree, context, options->limit ? options->limit : DEFAULT_LIMIT);
  struct inspect_error *error = NULL;
  if (place->object != NO_OBJECT)
    error = page_object(&printing);
  else
    data_cell(printing.data, "vm",
              cell_plain((uint64_t)(place->owner - context->session->heap.vms) + 1));
  if (!error) error = page_value(&printing, depth);
  page_bounds(&printing);
  value_tree_free(&printing.tree);
  return error;
}

/* ---- The command ------------------------------------------------------------------------------
 */

static void page_next_commands(struct command_context *context, const struct value_places *places) {
  const struct value_place *place = &places->items[0];
  if (place->object == NO_OBJECT) return;
  unsigned long long address = place->value.bits;
  struct line *line = listing_next(context);
  listing_try(context, line, "lua-refs 0x%llx", address);
  listing_try(context, line, "lua-paths 0x%llx -k 4", address);
  if (context->session->heap.graph.type[place->object] == OBJECT_THREAD)
    listing_try(context, line, "lua-bt 0x%llx", address);
}

static struct inspect_error *print_places(struct command_context *context,
                                          const struct value_places *places) {
  struct data *list = data_array(context->data, "values");
  for (size_t i = 0; i < places->count && i < MOST_VMS; i++) {
    const struct heap_vm *owner = places->items[i].owner;
    if (places->count > 1) {
      if (i) page_blank(context->document);
      struct line *line = page_line(context->document, 0);
      line_printf(line, STYLE_HEADING, "VM %zu   ",
                  (size_t)(owner - context->session->heap.vms) + 1);
      line_cell(line, STYLE_PLAIN, cell_address(owner->vm.main_thread));
    }
    TRY(print_place(context, list, &places->items[i]));
  }
  data_cell(context->data, "more_vms",
            cell_count(places->count > MOST_VMS ? places->count - MOST_VMS : 0));
  if (places->count > MOST_VMS) {
    page_blank(context->document);
    struct line *line = page_line(context->document, 0);
    line_cell(line, STYLE_MUTED, cell_count(places->count - MOST_VMS));
    line_words(line, STYLE_MUTED, " more VMs have it: --vm N chooses one");
  }
  page_next_commands(context, places);
  return NULL;
}

struct inspect_error *command_print(struct command_context *context) {
  struct inspect_session *session = context->session;
  TRY(session_begin(context));
  struct value_places places = {0};
  struct inspect_error *error =
      resolve_values(session, context->options, context->options->object, &places);
  bool has_object = false;
  for (size_t i = 0; i < places.count; i++)
    has_object = has_object || places.items[i].object != NO_OBJECT;
  if (!error && has_object)
    error = partial_if_interrupted(context, session_dominate(session, context->work));
  if (!error) {
    describe_target(context, false);
    error = print_places(context, &places);
  }
  vector_free(&places);
  if (!error) describe_faults(context);
  return error;
}

const char print_help[] =
    "Prints a value as Lua would write it: numbers, strings with escapes, tables with their "
    "entries in a fixed order (numbers, then strings by their bytes, then the rest). Objects that "
    "Lua has no syntax for, and tables below --depth (2), are named in angle brackets with their "
    "address. A table that appears twice is opened once; the other places name it.\n"
    "\n"
    "Of an object it also tells bytes, retained bytes (what would be freed with it), class, "
    "metatable and the best path to it; of a function its source, parameters and upvalues by name "
    "and value, of a thread its calls with line and locals, of a userdata its size and user "
    "values.\n"
    "\n"
    "At most --limit entries of a table are shown (50), the rest is counted; strings are cut after "
    "60 bytes unless --wide or --json is given. Paths to what is no object work as well: "
    "_G.config.port.\n"
    "\n"
    "Examples:\n"
    "  lua-print 'package.loaded[\"game.room\"].rooms' --depth 3\n"
    "      a table with what is two levels below its entries\n"
    "  lua-print 0x55d0c0ffee --limit 1000\n"
    "      the object at that address, up to 1000 entries\n";
