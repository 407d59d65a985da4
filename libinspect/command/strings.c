/* strings.c - strings that a full collection leaves: short and long ones, the biggest, those that
 * look alike, and long ones that are there more than once. */
#include <string.h>

#include "command/listing.h"
#include "graph/string_groups.h"

enum { USUAL = 10, USUAL_DUPLICATES = 20, DATA_BYTES = 200, CHECK_EVERY = 1 << 14 };

struct tally {
  uint64_t objects, bytes;
};

struct string_list {
  struct bitset chosen;
  struct tally short_ones, long_ones, garbage;
  struct string_groups groups; /* alike or equal; sorted by bytes or by what would be saved  */
  struct tally saved;          /* objects too many, and their bytes                          */
  struct selection shown;      /* the biggest strings, or examples of the first groups       */
  const char **paths;
};

static void release(void *state) {
  struct string_list *list = state;
  bitset_free(&list->chosen);
  vector_free(&list->groups);
  selection_free(&list->shown);
  free(list);
}

/* ---- Finding --------------------------------------------------------------------------------- */

static void count(struct tally *tally, uint64_t bytes) {
  tally->objects++;
  tally->bytes += bytes;
}

static struct inspect_error *count_vm(struct command_context *context, struct string_list *list,
                                      const struct heap_vm *owner) {
  struct inspect_session *session = context->session;
  const struct graph *graph = &session->heap.graph;
  for (object_id object = owner->first; object < owner->first + owner->count; object++) {
    if (object % CHECK_EVERY == 0 &&
        work_stops(context->work, "counting strings", object - owner->first, owner->count))
      return error_interrupted();
    if (graph->type[object] != OBJECT_STRING) continue;
    uint64_t bytes = graph_bytes(graph, object);
    if (!collection_leaves(&session->collection, object)) {
      count(&list->garbage, bytes);
      continue;
    }
    count(string_is_long(&session->heap, object) ? &list->long_ones : &list->short_ones, bytes);
    bitset_add(&list->chosen, object);
    if (!context->options->duplicates && !biggest_offer(&list->shown, bytes, object))
      return error_no_memory();
  }
  return NULL;
}

/* What all but one of the members take. */
static uint64_t saved_by(const struct string_group *group) {
  return group->bytes - group->bytes / group->count;
}

struct order {
  const struct heap *heap;
  bool by_saved;
};

static int compare_groups(const void *left, const void *right, void *context) {
  const struct string_group *a = left, *b = right;
  const struct order *order = context;
  uint64_t x = order->by_saved ? saved_by(a) : a->bytes;
  uint64_t y = order->by_saved ? saved_by(b) : b->bytes;
  if (x != y) return x > y ? -1 : 1;
  return order->heap->granule[a->example] < order->heap->granule[b->example] ? -1 : 1;
}

static struct inspect_error *find_groups(struct command_context *context,
                                         struct string_list *list) {
  struct heap *heap = &context->session->heap;
  bool duplicates = context->options->duplicates;
  if (duplicates)
    TRY(string_groups_equal(heap, &list->chosen, context->work, &list->groups));
  else
    TRY(string_groups_alike(heap, &list->chosen, context->work, &list->groups));
  struct order order = {heap, duplicates};
  if (list->groups.count)
    qsort_r(list->groups.items, list->groups.count, sizeof *list->groups.items, compare_groups,
            &order);
  if (!duplicates) return NULL;
  for (size_t i = 0; i < list->groups.count; i++) {
    const struct string_group *group = &list->groups.items[i];
    list->saved.objects += group->count - 1;
    list->saved.bytes += saved_by(group);
    if (!biggest_offer(&list->shown, saved_by(group), group->example)) return error_no_memory();
  }
  return NULL;
}

static struct inspect_error *find(struct command_context *context, struct string_list *list) {
  struct inspect_session *session = context->session;
  if (!bitset_init(&list->chosen, session->heap.graph.object_count)) return error_no_memory();
  size_t usual = context->options->duplicates ? USUAL_DUPLICATES : USUAL;
  biggest_init(&list->shown, &session->heap, listing_limit(context, SIZE_MAX, usual));
  struct inspect_error *error = NULL;
  for (size_t i = 0; !error && i < session->heap.vm_count; i++)
    if (session_selects(session, context->options, i))
      error = count_vm(context, list, &session->heap.vms[i]);
  if (!error) error = find_groups(context, list);
  if (error && error->code != INSPECT_ERROR_INTERRUPTED) return error;
  if (error) {
    context->partial = true;
    list->groups.count = 0;
  }
  selection_sort(&list->shown, context->work);
  list->paths = arena_alloc(context->arena, (list->shown.count + 1) * sizeof *list->paths);
  if (!list->paths) return error_no_memory();
  return context->partial ? NULL : listing_paths(context, &list->shown, list->paths);
}

/* ---- Data ------------------------------------------------------------------------------------ */

static const char *text_of(struct command_context *context, object_id object, size_t *size) {
  const struct graph_label_source *labels = &context->session->heap.graph.labels;
  *size = 0;
  return labels->string(labels->context, object, size);
}

static void data_tally(struct data *parent, const char *key, const struct tally *tally) {
  struct data *object = data_object(parent, key);
  data_cell(object, "strings", cell_count(tally->objects));
  data_cell(object, "bytes", cell_bytes(tally->bytes));
}

static void data_string(struct command_context *context, struct data *row, object_id object,
                        const char *path) {
  struct inspect_session *session = context->session;
  const struct heap_vm *owner = heap_vm_of(&session->heap, object);
  size_t size;
  const char *bytes = text_of(context, object, &size);
  size_t shown = context->options->wide ? size : text_cut(bytes, size, DATA_BYTES);
  data_cell(row, "vm", cell_plain((uint64_t)(owner - session->heap.vms) + 1));
  data_cell(row, "address", cell_address(heap_address(&session->heap, object)));
  data_cell(row, "length", cell_count(size));
  data_cell(row, "text", cell_bare(bytes, shown));
  data_cell(row, "cut", cell_boolean(shown < size));
  data_cell(row, "path", cell_words(path));
}

static void data_biggest(struct command_context *context, const struct string_list *list) {
  const struct graph *graph = &context->session->heap.graph;
  struct data *biggest = data_array(context->data, "biggest");
  for (size_t i = 0;
       i < list->shown.count && !document_stops(context->document, i, list->shown.count); i++) {
    object_id object = biggest_object(&list->shown, i);
    struct data *row = data_object(biggest, NULL);
    data_string(context, row, object, list->paths[i]);
    data_cell(row, "bytes", cell_bytes(graph_bytes(graph, object)));
  }
}

static const char *pattern_of(struct command_context *context, object_id object, size_t *size) {
  struct text text = {0};
  const char *bytes = text_of(context, object, size), *result = NULL;
  if (bytes && string_pattern(bytes, *size, &text))
    result = arena_copy(context->arena, text.items, *size = text.count);
  vector_free(&text);
  return result;
}

static void data_groups(struct command_context *context, const struct string_list *list) {
  struct data *groups = data_array(context->data, "groups");
  size_t shown = listing_limit(context, list->groups.count, USUAL);
  for (size_t i = 0; i < shown && !document_stops(context->document, i, shown); i++) {
    const struct string_group *group = &list->groups.items[i];
    struct data *row = data_object(groups, NULL);
    size_t size;
    const char *pattern = pattern_of(context, group->example, &size);
    data_cell(row, "pattern", cell_bare(pattern, size));
    data_cell(row, "count", cell_count(group->count));
    data_cell(row, "bytes", cell_bytes(group->bytes));
    data_cell(row, "example", cell_address(heap_address(&context->session->heap, group->example)));
  }
  data_cell(context->data, "more", cell_count(list->groups.count - shown));
}

static void data_duplicates(struct command_context *context, const struct string_list *list) {
  struct data *duplicates = data_array(context->data, "duplicates");
  for (size_t i = 0;
       i < list->shown.count && !document_stops(context->document, i, list->shown.count); i++) {
    const struct string_group *group = &list->groups.items[i];
    struct data *row = data_object(duplicates, NULL);
    data_string(context, row, group->example, list->paths[i]);
    data_cell(row, "count", cell_count(group->count));
    data_cell(row, "bytes", cell_bytes(group->bytes));
    data_cell(row, "saved_bytes", cell_bytes(saved_by(group)));
  }
  data_cell(context->data, "more", cell_count(list->groups.count - list->shown.count));
  data_tally(context->data, "saved", &list->saved);
}

static void to_data(struct command_context *context, const struct string_list *list) {
  data_tally(context->data, "short", &list->short_ones);
  data_tally(context->data, "long", &list->long_ones);
  data_tally(context->data, "garbage", &list->garbage);
  if (context->options->duplicates && !context->partial) {
    data_duplicates(context, list);
  } else {
    data_biggest(context, list);
    data_groups(context, list);
  }
}

/* ---- Page ------------------------------------------------------------------------------------ */

static void line_tally(struct line *line, const char *what, const struct tally *tally) {
  line_cell(line, STYLE_PLAIN, cell_count(tally->objects));
  line_printf(line, STYLE_PLAIN, " %s, ", what);
  line_cell(line, STYLE_PLAIN, cell_bytes(tally->bytes));
}

static void page_tallies(struct command_context *context, const struct string_list *list) {
  struct line *line = page_line(context->document, 0);
  line_tally(line, "short", &list->short_ones);
  line_words(line, STYLE_PLAIN, "   ");
  line_tally(line, "long", &list->long_ones);
  if (!list->garbage.objects) return;
  line_words(line, STYLE_MUTED, "   besides ");
  line_tally(line, "of garbage", &list->garbage);
}

static void page_biggest(struct command_context *context, const struct string_list *list) {
  const struct graph *graph = &context->session->heap.graph;
  if (!list->shown.count) return;
  page_blank(context->document);
  struct table *table = page_table(context->document, 0);
  table_column(table, "");
  listing_vm_column(context, table);
  table_column(table, "length");
  table_column(table, "bytes");
  table_column(table, "path");
  table_column(table, "biggest");
  for (size_t i = 0;
       i < list->shown.count && !document_stops(context->document, i, list->shown.count); i++) {
    object_id object = biggest_object(&list->shown, i);
    size_t size;
    const char *bytes = text_of(context, object, &size);
    table_row(table);
    table_cell(table, listing_number(context, object));
    listing_vm_of(context, table, object);
    table_cell(table, cell_count(size));
    table_cell(table, cell_bytes(graph_bytes(graph, object)));
    table_cell(table, listing_path(context, list->paths[i]));
    table_cell(table, cell_text(bytes, size));
  }
  listing_more(context, list->shown.count, list->shown.offered, "string", "strings");
}

static void page_groups(struct command_context *context, const struct string_list *list) {
  size_t shown = listing_limit(context, list->groups.count, USUAL);
  if (!shown) return;
  page_blank(context->document);
  struct table *table = page_table(context->document, 0);
  table_column(table, "");
  table_column(table, "alike");
  table_column(table, "strings");
  table_column(table, "bytes");
  for (size_t i = 0; i < shown && !document_stops(context->document, i, shown); i++) {
    const struct string_group *group = &list->groups.items[i];
    size_t size;
    const char *pattern = pattern_of(context, group->example, &size);
    table_row(table);
    table_cell(table, listing_number(context, group->example));
    table_cell(table, cell_text(pattern, size));
    table_cell(table, cell_count(group->count));
    table_cell(table, cell_bytes(group->bytes));
  }
  listing_more(context, shown, list->groups.count, "pattern of several strings",
               "patterns of several strings");
}

static void page_duplicates(struct command_context *context, const struct string_list *list) {
  struct line *line = page_line(context->document, 0);
  if (!list->groups.count) {
    line_words(line, STYLE_PLAIN,
               "no long string is there twice (short ones never are: Lua keeps one of each)");
    return;
  }
  line_cell(line, STYLE_KEY, cell_bytes(list->saved.bytes));
  line_words(line, STYLE_PLAIN, " would be saved by keeping one of each: ");
  line_cell(line, STYLE_PLAIN, cell_count(list->saved.objects));
  line_words(line, STYLE_PLAIN, " long strings are copies");
  page_blank(context->document);
  struct table *table = page_table(context->document, 0);
  table_column(table, "");
  listing_vm_column(context, table);
  table_column(table, "length");
  table_column(table, "strings");
  table_column(table, "bytes");
  table_column(table, "saved");
  table_column(table, "path of one");
  table_column(table, "contents");
  for (size_t i = 0;
       i < list->shown.count && !document_stops(context->document, i, list->shown.count); i++) {
    const struct string_group *group = &list->groups.items[i];
    size_t size;
    const char *bytes = text_of(context, group->example, &size);
    table_row(table);
    table_cell(table, listing_number(context, group->example));
    listing_vm_of(context, table, group->example);
    table_cell(table, cell_count(size));
    table_cell(table, cell_count(group->count));
    table_cell(table, cell_bytes(group->bytes));
    table_cell(table, cell_bytes(saved_by(group)));
    table_cell(table, listing_path(context, list->paths[i]));
    table_cell(table, cell_text(bytes, size));
  }
  listing_more(context, list->shown.count, list->groups.count, "group", "groups");
}

static void to_page(struct command_context *context, const struct string_list *list) {
  listing_begin(context);
  page_tallies(context, list);
  if (context->options->duplicates && !context->partial) {
    page_duplicates(context, list);
  } else {
    page_biggest(context, list);
    page_groups(context, list);
  }
  struct line *line = listing_next(context);
  if (list->shown.count)
    listing_try(
        context, line, "lua-paths 0x%llx",
        (unsigned long long)heap_address(&context->session->heap, biggest_object(&list->shown, 0)));
  listing_try(context, line,
              context->options->duplicates ? "lua-strings" : "lua-strings --duplicates");
  listing_try(context, line, "lua-heap");
}

/* ---- The command ----------------------------------------------------------------------------- */

struct inspect_error *command_strings(struct command_context *context) {
  TRY(session_begin(context));
  struct string_list *list = calloc(1, sizeof *list);
  if (!list) return error_no_memory();
  context->state = list;
  context->release = release;
  TRY(find(context, list));
  describe_target(context, false);
  to_data(context, list);
  to_page(context, list);
  describe_faults(context);
  return NULL;
}

const char strings_help[] =
    "Counts the strings that a full collection leaves, short and long ones (in Lua up to 40 bytes "
    "are short), and lists the biggest with the path to each, and those that look alike: with "
    "digits "
    "and hexadecimal numbers written as *, of long ones by their beginning.\n"
    "\n"
    "Lua keeps one object for each short string, but as many long ones with the same contents as "
    "were made. --duplicates lists them, with what keeping one of each would save. Contents are "
    "escaped, and cut unless --wide is given.\n"
    "\n"
    "Examples:\n"
    "  lua-strings --limit 5\n"
    "      the five biggest strings, and the five patterns that take most\n"
    "  lua-strings --duplicates --json --wide\n"
    "      all that is there twice, with whole contents, for scripts: keys duplicates, saved\n";
