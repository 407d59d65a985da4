/* find_view.c - found objects as a list that the next command can name, and as data. */
#include <string.h>

#include "command/find.h"

/* ---- Page -------------------------------------------------------------------------------------
 */

/* What an object is: strings by their text. Classes that are in the description already are not
 * said twice. */
static struct cell what_is(struct command_context *context, object_id object) {
  struct inspect_session *session = context->session;
  const struct graph *graph = &session->heap.graph;
  if (graph->type[object] == OBJECT_STRING) {
    size_t size;
    const char *bytes = graph->labels.string(graph->labels.context, object, &size);
    return bytes ? cell_text(bytes, size) : cell_null();
  }
  const char *words = object_words(context, object);
  uint32_t class = session->classes.of[object];
  if (words && class && session->classes.items[class].evidence == CLASS_BY_SHAPE)
    words = arena_printf(context->arena, "%s %s", words, session->classes.items[class].name);
  return cell_words(words);
}

static void page_rows(struct command_context *context, const struct finding *finding) {
  struct inspect_session *session = context->session;
  struct table *table = page_table(context->document, 0);
  table_column(table, "");
  listing_vm_column(context, table);
  table_column(table, "address");
  table_column(table, "bytes");
  if (finding->has_retained) table_column(table, "retained");
  table_column(table, "");
  table_column(table, "");
  const struct found_object *found = finding->found.items;
  size_t shown = listing_limit(context, finding->found.count, 20);
  for (size_t i = 0; i < shown && !document_stops(context->document, i, shown); i++) {
    object_id object = found[i].object;
    struct cell number = listing_number(context, object);
    table_row(table);
    table_cell(table, number.type == CELL_NULL
                          ? number
                          : cell_words(arena_printf(context->arena, "@%zu", i + 1)));
    listing_vm_of(context, table, object);
    table_cell(table, cell_address(heap_address(&session->heap, object)));
    table_cell(table, cell_bytes(graph_bytes(&session->heap.graph, object)));
    if (finding->has_retained) table_cell(table, object_retained(session, object));
    table_cell(table, cell_words(collection_leaves(&session->collection, object)
                                     ? ""
                                     : unreached_word(session, object)));
    table_cell(table, what_is(context, object));
  }
}

static void to_page(struct command_context *context, const struct finding *finding) {
  const struct heap *heap = &context->session->heap;
  uint64_t count = finding->found.offered;
  struct line *line = page_line(context->document, 0);
  line_cell(line, STYLE_HEADING, cell_count(count));
  line_words(line, STYLE_HEADING, count == 1 ? " object, " : " objects, ");
  line_cell(line, STYLE_HEADING, cell_bytes(finding->bytes));
  if (!finding->found.count) return;
  page_blank(context->document);
  page_rows(context, finding);
  const struct found_object *found = finding->found.items;
  listing_more(context, listing_limit(context, finding->found.count, 20), (size_t)count, "object",
               "objects");
  line = listing_next(context);
  unsigned long long address = heap_address(heap, found[0].object);
  listing_try(context, line, "lua-print 0x%llx", address);
  listing_try(context, line, "lua-paths 0x%llx", address);
  listing_try(context, line, "lua-refs 0x%llx", address);
}

/* ---- Data -------------------------------------------------------------------------------------
 */

/* One row while it is written: what it needs is freed with it. */
static void write_row(void *state, size_t index, struct data *row) {
  const struct finding *finding = state;
  struct inspect_session *session = finding->context->session;
  const struct heap *heap = &session->heap;
  object_id object = ((const struct found_object *)finding->found.items)[index].object;
  struct arena arena;
  arena_init(&arena);
  uint32_t class = session->classes.of[object];
  size_t owner = (size_t)(heap_vm_of(heap, object) - heap->vms);
  data_cell(row, "vm", cell_plain(owner + 1));
  data_cell(row, "address", cell_address(heap_address(heap, object)));
  data_cell(row, "type", cell_words(object_type_name((enum object_type)heap->graph.type[object])));
  data_cell(row, "class", cell_words(class ? session->classes.items[class].name : NULL));
  data_cell(row, "description", cell_words(describe_object(session, object, &arena)));
  data_cell(row, "bytes", cell_bytes(graph_bytes(&heap->graph, object)));
  data_cell(row, "retained_bytes",
            finding->has_retained ? object_retained(session, object) : cell_null());
  data_cell(row, "live", cell_boolean(bitset_has(&session->collection.live, object)));
  arena_free(&arena);
}

static void to_data(struct command_context *context, struct finding *finding) {
  data_cell(context->data, "count", cell_count(finding->found.offered));
  data_cell(context->data, "bytes", cell_bytes(finding->bytes));
  data_rows(context->data, "objects", finding->found.count, write_row, finding);
}

/* ---- The command ------------------------------------------------------------------------------
 */

static void release(void *state) {
  find_free(state);
  free(state);
}

struct inspect_error *command_find_objects(struct command_context *context) {
  struct inspect_session *session = context->session;
  TRY(session_begin(context));
  struct finding *finding = calloc(1, sizeof *finding);
  if (!finding) return error_no_memory();
  context->state = finding;
  context->release = release;
  TRY(find_objects(context, finding));
  describe_target(context, false);
  listing_begin(context);
  if (session->is_classified) {
    to_page(context, finding);
    to_data(context, finding);
  }
  describe_faults(context);
  return NULL;
}

const char find_help[] =
    "Lists the objects that fulfil all conditions, the biggest first: by bytes, or by retained "
    "bytes if these are asked for with --retained or --sort retained. Patterns are globs: * is "
    "any text, ? any one byte.\n"
    "\n"
    "--class takes the names that heap prints, --shape those of heap --by shape ('{desc, time}', "
    "'[string]'), or a list of keys, 'x,y': tables that have all of them. --key is one such key. "
    "--string takes strings by their text, --source functions, prototypes and coroutines by "
    "'room.lua' or 'room.lua:41'. Sizes may end in K, M or G (thousands), Ki, Mi or Gi (1024).\n"
    "\n"
    "At most --limit objects are shown (20; all with --json), the rest is counted. In a debugger "
    "the next command can name them: lua-paths @3, lua-print @3, lua-refs @3. In the shell each "
    "run is a session of its own: take the addresses, with --json from .objects[].address.\n"
    "\n"
    "Examples:\n"
    "  lua-find --class 'game.*' --min-bytes 10K\n"
    "      big objects of the classes of one module\n"
    "  lua-find --shape desc,time --garbage --limit 100\n"
    "      records with these fields that nothing holds any more\n"
    "  lua-find --type thread --retained 1M\n"
    "      coroutines that keep a megabyte or more alive\n";
