/* tables.c - capacity against use of all tables that a full collection leaves.
 *
 * Two lists: by class, because many small tables waste more than the biggest one, and the biggest
 * single tables with the path to each. */
#include <string.h>

#include "command/listing.h"
#include "lua/rehash.h"

enum { USUAL_CLASSES = 10, USUAL_TABLES = 10, CHECK_EVERY = 1 << 14 };

struct sums {
  uint64_t tables, bytes; /* whole tables: headers too                  */
  uint64_t array_slots, array_used, array_bytes;
  uint64_t hash_nodes, hash_used, hash_bytes;
  uint64_t wasteful, waste; /* tables that would give back, and how much */
};

struct row {
  const char *name; /* of the class */
  const struct sums *sums;
};

struct table_list {
  struct sums all;
  struct sums *by_class;
  struct VECTOR(struct row) rows;
  struct selection biggest;
  const char **paths;
  uint64_t unread; /* tables of which a part cannot be read */
};

static void release(void *state) {
  struct table_list *list = state;
  free(list->by_class);
  vector_free(&list->rows);
  selection_free(&list->biggest);
  free(list);
}

/* ---- Counting -------------------------------------------------------------------------------- */

static bool load(struct inspect_session *session, struct vm *vm, object_id object,
                 struct lua_table *table) {
  return !table_load(vm, heap_address(&session->heap, object), table) && !table->fault;
}

static void add(struct sums *sums, const struct vm *vm, const struct table_use *use,
                uint64_t bytes) {
  sums->tables++;
  sums->bytes += bytes;
  sums->array_slots += use->array_slots;
  sums->array_used += use->array_used;
  sums->array_bytes += table_array_bytes(vm->layout, use->array_slots);
  sums->hash_nodes += use->hash_nodes;
  sums->hash_used += use->hash_used;
  sums->hash_bytes += use->bytes - table_array_bytes(vm->layout, use->array_slots);
  sums->wasteful += table_waste(use) > 0;
  sums->waste += table_waste(use);
}

static bool count_table(struct command_context *context, struct table_list *list, struct vm *vm,
                        object_id object) {
  struct inspect_session *session = context->session;
  struct lua_table table;
  struct table_use use;
  if (!load(session, vm, object, &table)) {
    list->unread++;
    return true;
  }
  table_measure(vm, &table, &use);
  uint64_t bytes = graph_bytes(&session->heap.graph, object), waste = table_waste(&use);
  add(&list->all, vm, &use, bytes);
  add(&list->by_class[session->classes.of[object]], vm, &use, bytes);
  if (context->options->waste && !waste) return true;
  return biggest_offer(&list->biggest, context->options->waste ? waste : bytes, object);
}

static struct inspect_error *count_vm(struct command_context *context, struct table_list *list,
                                      struct heap_vm *owner) {
  const struct graph *graph = &context->session->heap.graph;
  object_id end = owner->first + owner->count;
  for (object_id object = owner->first; object < end; object++) {
    if (object % CHECK_EVERY == 0 &&
        work_stops(context->work, "measuring tables", object - owner->first, owner->count))
      return error_interrupted();
    if (graph->type[object] != OBJECT_TABLE ||
        !collection_leaves(&context->session->collection, object))
      continue;
    if (!count_table(context, list, &owner->vm, object)) return error_no_memory();
  }
  return NULL;
}

static int by_waste(const void *left, const void *right) {
  const struct row *a = left, *b = right;
  if (a->sums->waste != b->sums->waste) return a->sums->waste > b->sums->waste ? -1 : 1;
  return strcmp(a->name, b->name);
}

static int by_bytes(const void *left, const void *right) {
  const struct row *a = left, *b = right;
  if (a->sums->bytes != b->sums->bytes) return a->sums->bytes > b->sums->bytes ? -1 : 1;
  return strcmp(a->name, b->name);
}

static struct inspect_error *find(struct command_context *context, struct table_list *list) {
  struct inspect_session *session = context->session;
  const struct classes *classes = &session->classes;
  bool waste = context->options->waste;
  biggest_init(&list->biggest, &session->heap, listing_limit(context, SIZE_MAX, USUAL_TABLES));
  list->by_class = calloc((size_t)classes->count + 1, sizeof *list->by_class);
  if (!list->by_class) return error_no_memory();
  for (size_t i = 0; i < session->heap.vm_count && !context->partial; i++) {
    if (!session_selects(session, context->options, i)) continue;
    TRY(partial_if_interrupted(context, count_vm(context, list, &session->heap.vms[i])));
  }
  for (uint32_t i = 0; i < classes->count; i++) {
    struct row row = {i ? classes->items[i].name : "table", &list->by_class[i]};
    if (!(waste ? row.sums->waste : row.sums->tables)) continue;
    if (!vector_push(&list->rows, row)) return error_no_memory();
  }
  if (list->rows.count)
    qsort(list->rows.items, list->rows.count, sizeof *list->rows.items,
          waste ? by_waste : by_bytes);
  selection_sort(&list->biggest, context->work);
  list->paths = arena_alloc(context->arena, (list->biggest.count + 1) * sizeof *list->paths);
  if (!list->paths) return error_no_memory();
  return context->partial ? NULL : listing_paths(context, &list->biggest, list->paths);
}

/* ---- Data ------------------------------------------------------------------------------------ */

static void data_sums(struct data *object, const struct sums *sums) {
  data_cell(object, "tables", cell_count(sums->tables));
  data_cell(object, "bytes", cell_bytes(sums->bytes));
  data_cell(object, "array_slots", cell_count(sums->array_slots));
  data_cell(object, "array_used", cell_count(sums->array_used));
  data_cell(object, "array_bytes", cell_bytes(sums->array_bytes));
  data_cell(object, "hash_nodes", cell_count(sums->hash_nodes));
  data_cell(object, "hash_used", cell_count(sums->hash_used));
  data_cell(object, "hash_bytes", cell_bytes(sums->hash_bytes));
  data_cell(object, "wasteful_tables", cell_count(sums->wasteful));
  data_cell(object, "waste_bytes", cell_bytes(sums->waste));
}

/* The use of a table that was counted already. */
static struct table_use measure(struct inspect_session *session, object_id object) {
  struct vm *vm = &heap_vm_of(&session->heap, object)->vm;
  struct lua_table table;
  struct table_use use = {0};
  if (load(session, vm, object, &table)) table_measure(vm, &table, &use);
  return use;
}

static void data_table(struct command_context *context, struct data *row, object_id object,
                       const char *path) {
  struct inspect_session *session = context->session;
  struct table_use use = measure(session, object);
  const struct heap_vm *owner = heap_vm_of(&session->heap, object);
  data_cell(row, "vm", cell_plain((uint64_t)(owner - session->heap.vms) + 1));
  data_cell(row, "address", cell_address(heap_address(&session->heap, object)));
  data_cell(row, "class",
            cell_words(classes_name(&session->classes, &session->heap.graph, object)));
  data_cell(row, "path", cell_words(path));
  data_cell(row, "bytes", cell_bytes(graph_bytes(&session->heap.graph, object)));
  data_cell(row, "array_slots", cell_count(use.array_slots));
  data_cell(row, "array_used", cell_count(use.array_used));
  data_cell(row, "hash_nodes", cell_count(use.hash_nodes));
  data_cell(row, "hash_used", cell_count(use.hash_used));
  data_cell(row, "best_array_slots", cell_count(use.best_array));
  data_cell(row, "best_hash_nodes", cell_count(use.best_nodes));
  data_cell(row, "waste_bytes", cell_bytes(table_waste(&use)));
}

static void to_data(struct command_context *context, const struct table_list *list) {
  data_sums(data_object(context->data, "total"), &list->all);
  struct data *classes = data_array(context->data, "classes");
  size_t shown = listing_data_limit(context, list->rows.count);
  for (size_t i = 0; i < shown && !document_stops(context->document, i, shown); i++) {
    struct data *row = data_object(classes, NULL);
    data_cell(row, "name", cell_words(list->rows.items[i].name));
    data_sums(row, list->rows.items[i].sums);
  }
  struct data *tables = data_array(context->data, "tables");
  for (size_t i = 0;
       i < list->biggest.count && !document_stops(context->document, i, list->biggest.count); i++)
    data_table(context, data_object(tables, NULL), biggest_object(&list->biggest, i),
               list->paths[i]);
  data_cell(context->data, "more", cell_count(selection_left_out(&list->biggest)));
}

/* ---- Page ------------------------------------------------------------------------------------ */

static const char *of(struct arena *arena, uint64_t used, uint64_t capacity) {
  if (!capacity) return "-";
  return arena_printf(arena, "%s of %s", render_cell(arena, cell_count(used)),
                      render_cell(arena, cell_count(capacity)));
}

static void line_part(struct command_context *context, const char *name, const char *unit,
                      uint64_t used, uint64_t capacity, uint64_t bytes) {
  struct line *line = page_line(context->document, 0);
  line_words(line, STYLE_PLAIN, name);
  line_tab(line, 14);
  line_cell(line, STYLE_PLAIN, cell_count(used));
  line_words(line, STYLE_PLAIN, " of ");
  line_cell(line, STYLE_PLAIN, cell_count(capacity));
  line_printf(line, STYLE_PLAIN, " %s used, ", unit);
  line_cell(line, STYLE_PLAIN, cell_bytes(bytes));
}

static void page_sums(struct command_context *context, const struct table_list *list) {
  const struct sums *all = &list->all;
  struct line *line = page_line(context->document, 0);
  line_cell(line, STYLE_PLAIN, cell_count(all->tables));
  line_words(line, STYLE_PLAIN, all->tables == 1 ? " live table, " : " live tables, ");
  line_cell(line, STYLE_PLAIN, cell_bytes(all->bytes));
  line_part(context, "array parts", "slots", all->array_used, all->array_slots, all->array_bytes);
  line_part(context, "hash parts", "nodes", all->hash_used, all->hash_nodes, all->hash_bytes);
  line = page_line(context->document, 0);
  line_words(line, STYLE_PLAIN, "waste");
  line_tab(line, 14);
  if (all->waste) {
    line_cell(line, STYLE_KEY, cell_bytes(all->waste));
    line_words(line, STYLE_PLAIN, " in ");
    line_cell(line, STYLE_PLAIN, cell_count(all->wasteful));
    line_words(line, STYLE_PLAIN,
               all->wasteful == 1 ? " table: more than Lua would take for what is in it"
                                  : " tables: more than Lua would take for what is in them");
  } else {
    line_words(line, STYLE_PLAIN, "none: every table is as big as Lua makes it for what is in it");
  }
  if (!list->unread) return;
  line = page_line(context->document, 14);
  line_cell(line, STYLE_BAD, cell_count(list->unread));
  line_words(line, STYLE_PLAIN, " more tables cannot be read whole and are not counted");
}

static struct table *start(struct command_context *context, const char *first, const char *second,
                           bool has_vms) {
  page_blank(context->document);
  struct table *table = page_table(context->document, 0);
  table_column(table, first);
  if (has_vms) listing_vm_column(context, table);
  table_column(table, second);
  table_column(table, "bytes");
  table_column(table, "array");
  table_column(table, "hash");
  table_column(table, "waste");
  return table;
}

static void page_classes(struct command_context *context, const struct table_list *list) {
  size_t shown = listing_limit(context, list->rows.count, USUAL_CLASSES);
  if (!shown) return;
  struct table *table = start(context, "class", "tables", false);
  for (size_t i = 0; i < shown && !document_stops(context->document, i, shown); i++) {
    const struct sums *sums = list->rows.items[i].sums;
    table_row(table);
    table_cell(table, cell_words(list->rows.items[i].name));
    table_cell(table, cell_count(sums->tables));
    table_cell(table, cell_bytes(sums->bytes));
    table_cell(table, cell_words(of(context->arena, sums->array_used, sums->array_slots)));
    table_cell(table, cell_words(of(context->arena, sums->hash_used, sums->hash_nodes)));
    table_cell(table, cell_bytes(sums->waste));
  }
  listing_more(context, shown, list->rows.count, "class", "classes");
}

static void page_tables(struct command_context *context, const struct table_list *list) {
  struct inspect_session *session = context->session;
  if (!list->biggest.count) return;
  struct table *table = start(context, "", "path", true);
  table_column(table, "class");
  listing_begin(context);
  for (size_t i = 0;
       i < list->biggest.count && !document_stops(context->document, i, list->biggest.count); i++) {
    object_id object = biggest_object(&list->biggest, i);
    struct table_use use = measure(session, object);
    table_row(table);
    table_cell(table, listing_number(context, object));
    listing_vm_of(context, table, object);
    table_cell(table, listing_path(context, list->paths[i]));
    table_cell(table, cell_bytes(graph_bytes(&session->heap.graph, object)));
    table_cell(table, cell_words(of(context->arena, use.array_used, use.array_slots)));
    table_cell(table, cell_words(of(context->arena, use.hash_used, use.hash_nodes)));
    table_cell(table, cell_bytes(table_waste(&use)));
    table_cell(table, cell_words(classes_name(&session->classes, &session->heap.graph, object)));
  }
  listing_more(context, list->biggest.count, list->biggest.offered, "table", "tables");
}

static void page_next(struct command_context *context, const struct table_list *list) {
  struct line *line = listing_next(context);
  if (list->biggest.count) {
    object_id first = biggest_object(&list->biggest, 0);
    unsigned long long address = heap_address(&context->session->heap, first);
    listing_try(context, line, "lua-print 0x%llx", address);
    listing_try(context, line, "lua-paths 0x%llx", address);
  }
  listing_try(context, line, context->options->waste ? "lua-tables" : "lua-tables --waste");
  listing_try(context, line, "lua-heap --by shape");
}

/* ---- The command ----------------------------------------------------------------------------- */

struct inspect_error *command_tables(struct command_context *context) {
  struct inspect_session *session = context->session;
  TRY(session_begin(context));
  TRY(session_classify(session, context->work));
  struct table_list *list = calloc(1, sizeof *list);
  if (!list) return error_no_memory();
  context->state = list;
  context->release = release;
  TRY(find(context, list));
  describe_target(context, false);
  to_data(context, list);
  page_sums(context, list);
  page_classes(context, list);
  page_tables(context, list);
  page_next(context, list);
  describe_faults(context);
  return NULL;
}

const char tables_help[] =
    "Compares what tables have room for with what is in them: slots of array parts and nodes of "
    "hash parts, in all, by class, and for the biggest tables with the path to each. Tables that a "
    "full collection would free are left out.\n"
    "\n"
    "The waste is the memory that a table takes beyond what Lua would choose for the entries that "
    "are in it now. Lua changes the size of a table only when a new key finds no room, so a table "
    "that was full once keeps its size; copying the entries into a new table gives the memory "
    "back. "
    "With --waste the lists hold only tables with waste, most first; else the biggest come first.\n"
    "\n"
    "Examples:\n"
    "  lua-tables --waste\n"
    "      the classes and the tables that a rehash would make smaller\n"
    "  lua-tables --limit 50 --json\n"
    "      the fifty biggest tables with their use, for scripts: keys total, classes, tables\n";
