/* listing.c - numbers, limits, and what to try next. */
#include "command/listing.h"

#include "command/value_line.h"
#include "report/flow.h"

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

static bool has_several_vms(const struct command_context *context) {
  return context->session->heap.vm_count > 1 && !context->options->vm.is_given;
}

void listing_vm_column(const struct command_context *context, struct table *table) {
  if (has_several_vms(context)) table_column(table, "VM");
}

void listing_vm_cell(const struct command_context *context, struct table *table, size_t vm) {
  if (has_several_vms(context)) table_cell(table, cell_plain(vm + 1));
}

void listing_vm_of(const struct command_context *context, struct table *table, object_id object) {
  const struct heap *heap = &context->session->heap;
  if (has_several_vms(context))
    table_cell(table, cell_plain((uint64_t)(heap_vm_of(heap, object) - heap->vms) + 1));
}

void listing_no_vm(const struct command_context *context, struct table *table) {
  if (has_several_vms(context)) table_cell(table, cell_words(""));
}

/* ---- Values ---------------------------------------------------------------------------------- */

static object_id object_of(const struct inspect_session *session, struct lua_value value) {
  return value_is_object(value) ? heap_object_at(&session->heap, value.bits) : NO_OBJECT;
}

struct cell listing_value(struct command_context *context, struct heap_vm *owner,
                          struct lua_value value) {
  struct inspect_session *session = context->session;
  object_id object = object_of(session, value);
  if (object != NO_OBJECT && session->heap.graph.type[object] == OBJECT_STRING) {
    size_t size;
    const char *bytes = string_bytes(&owner->vm, value.bits, &size);
    return cell_text(bytes, size);
  }
  if (object != NO_OBJECT) return cell_words(describe_object(session, object, context->arena));
  if (value.tag == TAG_INTEGER) return cell_integer(value_integer(&owner->vm, value));
  if (value.tag == TAG_FLOAT) return cell_number(value_number(&owner->vm, value));
  struct value_lines lines = {.session = session, .arena = context->arena};
  const char *words = value_line(&lines, owner, value);
  value_lines_free(&lines);
  return cell_words(words);
}

const char *listing_key_path(struct command_context *context, struct vm *vm, const char *table,
                             struct lua_value key) {
  struct path_step step = {.kind = PATH_FIELD, .form = LABEL_POINTER, .address = key.bits};
  switch (key.tag) {
  case TAG_INTEGER:
    step.form = LABEL_INTEGER;
    step.integer = value_integer(vm, key);
    break;
  case TAG_FLOAT:
    step.form = LABEL_NUMBER;
    step.number = value_number(vm, key);
    break;
  case TAG_TRUE:
  case TAG_FALSE:
    step.form = LABEL_BOOLEAN;
    step.integer = key.tag == TAG_TRUE;
    break;
  default:
    if (value_is_object(key) && value_is_string(key) &&
        (step.text = string_bytes(vm, key.bits, &step.size)))
      step.form = LABEL_TEXT;
  }
  struct text text = {0};
  bool fits = text_add_string(&text, table) && path_format_step(&step, &text);
  const char *path = fits ? arena_copy(context->arena, text.items, text.count) : NULL;
  vector_free(&text);
  return path ? path : "?";
}

/* ---- The biggest of many --------------------------------------------------------------------- */

static int by_size(const void *left, const void *right, void *context) {
  const struct sized_object *a = left, *b = right;
  if (a->size != b->size) return a->size > b->size ? -1 : 1;
  uint32_t x = heap_rank(context, a->object), y = heap_rank(context, b->object);
  return (x > y) - (x < y);
}

void biggest_init(struct selection *biggest, const struct heap *heap, uint64_t limit) {
  selection_init(biggest, sizeof(struct sized_object), limit, by_size, (void *)heap);
}

bool biggest_offer(struct selection *biggest, uint64_t size, object_id object) {
  struct sized_object item = {size, object};
  return selection_offer(biggest, &item);
}

object_id biggest_object(const struct selection *biggest, size_t index) {
  const struct sized_object *items = biggest->items;
  return items[index].object;
}

static struct inspect_error *find_paths(struct command_context *context,
                                        const struct selection *biggest,
                                        const struct bitset *targets, const char **paths) {
  enum { AT_ONCE = 1 << 8 };
  struct inspect_session *session = context->session;
  const struct graph *graph = &session->heap.graph;
  struct chains_options options = {.targets = targets};
  struct chains chains;
  TRY(chains_search(graph, &options, context->work, &chains));
  struct text text = {0};
  struct inspect_error *error = NULL;
  for (size_t i = 0; i < biggest->count && !error; i++) {
    struct chain chain = {0};
    text.count = 0;
    if (i % AT_ONCE == 0 && work_stops(context->work, "paths", i, biggest->count))
      error = error_interrupted();
    if (chains_get(graph, &chains, &options, biggest_object(biggest, i), &chain) &&
        chain_to_path(session, &chain, NULL, &text))
      paths[i] = arena_copy(context->arena, text.items, text.count);
    vector_free(&chain);
  }
  vector_free(&text);
  chains_free(&chains);
  return error;
}

struct inspect_error *listing_paths(struct command_context *context,
                                    const struct selection *biggest, const char **paths) {
  struct bitset targets;
  for (size_t i = 0; i < biggest->count; i++)
    paths[i] = NULL;
  if (!biggest->count) return NULL;
  if (!bitset_init(&targets, context->session->heap.graph.object_count)) return error_no_memory();
  for (size_t i = 0; i < biggest->count; i++)
    bitset_add(&targets, biggest_object(biggest, i));
  struct inspect_error *error = find_paths(context, biggest, &targets, paths);
  bitset_free(&targets);
  return partial_if_interrupted(context, error);
}

struct cell listing_path(struct command_context *context, const char *path) {
  enum { MOST_COLUMNS = 44 };
  struct text text = {0};
  const char *shown = path;
  if (path && !context->options->wide && text_add_string(&text, path) &&
      flow_cut_middle(&text, MOST_COLUMNS))
    shown = arena_copy(context->arena, text.items, text.count);
  vector_free(&text);
  return cell_path(shown);
}

/* ---- The end of a list ----------------------------------------------------------------------- */

void listing_more(struct command_context *context, size_t shown, size_t count, const char *one,
                  const char *many) {
  if (shown >= count) return;
  struct line *line = page_line(context->document, 0);
  line_cell(line, STYLE_MUTED, cell_count(count - shown));
  line_printf(line, STYLE_MUTED, " more %s: --limit %zu", count - shown == 1 ? one : many, count);
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
