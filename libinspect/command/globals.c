/* globals.c - what a program has put into _G and into the tables of the standard library.
 *
 * Entries are read from the tables themselves, not from the graph: a global may be a number. */
#include <string.h>

#include "command/listing.h"
#include "command/value_line.h"
#include "lua/standard.h"

enum { USUAL = 40 };

enum global_kind { IS_GLOBAL, IS_FIELD, IS_REPLACED, GLOBAL_KIND_COUNT };

static const char *const KINDS[] = {"global", "field", "replaced"};

struct global {
  size_t vm;
  enum global_kind kind;
  const char *path; /* "_G.npcs", "string.trim" */
  struct lua_value value;
  object_id object; /* NO_OBJECT: the value is none */
  uint64_t retained;
};

struct globals {
  struct VECTOR(struct global) list;
  size_t counts[GLOBAL_KIND_COUNT];
  uint64_t together; /* bytes that all of them retain */
};

static void release(void *state) {
  struct globals *globals = state;
  vector_free(&globals->list);
  free(globals);
}

/* ---- Finding --------------------------------------------------------------------------------- */

static bool is_function(const struct command_context *context, struct lua_value value) {
  if (value.tag == TAG_LIGHT_FUNCTION) return true;
  const struct heap *heap = &context->session->heap;
  object_id object = value_is_object(value) ? heap_object_at(heap, value.bits) : NO_OBJECT;
  return object != NO_OBJECT && heap->graph.type[object] == OBJECT_C_FUNCTION;
}

static bool add(struct command_context *context, struct globals *globals, size_t vm,
                enum global_kind kind, const char *table, struct lua_value key,
                struct lua_value value) {
  struct inspect_session *session = context->session;
  struct global global = {
      .vm = vm,
      .kind = kind,
      .path = listing_key_path(context, &session->heap.vms[vm].vm, table, key),
      .value = value,
      .object = value_is_object(value) ? heap_object_at(&session->heap, value.bits) : NO_OBJECT};
  if (global.object != NO_OBJECT && session->is_dominated)
    global.retained = session->dominators.retained[global.object];
  globals->counts[kind]++;
  return vector_push(&globals->list, global);
}

/* One entry of _G or of a library. */
static bool judge(struct command_context *context, struct globals *globals, size_t number,
                  const char *table, struct lua_value key, struct lua_value value) {
  struct vm *vm = &context->session->heap.vms[number].vm;
  bool is_global = strcmp(table, "_G") == 0;
  size_t size = 0;
  const char *name =
      value_is_object(key) && value_is_string(key) ? string_bytes(vm, key.bits, &size) : NULL;
  switch (name ? standard_kind(vm->layout->lua, table, name, size) : STANDARD_NOT) {
  case STANDARD_VALUE:
    return true;
  case STANDARD_FUNCTION:
    return is_function(context, value) ||
           add(context, globals, number, IS_REPLACED, table, key, value);
  case STANDARD_NOT:
    break;
  }
  return add(context, globals, number, is_global ? IS_GLOBAL : IS_FIELD, table, key, value);
}

static struct inspect_error *search_table(struct command_context *context, struct globals *globals,
                                          size_t number, const char *name, uint64_t address) {
  struct vm *vm = &context->session->heap.vms[number].vm;
  struct lua_table table;
  bool fits = true;
  if (table_load(vm, address, &table)) return NULL;
  for (uint64_t i = 0; fits && i < table.array_size; i++) {
    struct lua_value key = {.tag = TAG_INTEGER, .bits = i + 1};
    struct lua_value value = table_array_value(vm, &table, i);
    fits = value_is_empty(value) || judge(context, globals, number, name, key, value);
  }
  for (uint64_t i = 0; fits && i < table.node_count; i++) {
    struct lua_value key, value;
    table_entry(vm, &table, i, &key, &value);
    fits = value_is_empty(value) || judge(context, globals, number, name, key, value);
  }
  return fits ? NULL : error_no_memory();
}

static struct inspect_error *search_vm(struct command_context *context, struct globals *globals,
                                       size_t number) {
  const struct heap *heap = &context->session->heap;
  struct heap_vm *owner = &context->session->heap.vms[number];
  struct lua_table loaded;
  if (owner->globals != NO_OBJECT)
    TRY(search_table(context, globals, number, "_G", heap_address(heap, owner->globals)));
  if (owner->loaded == NO_OBJECT ||
      table_load(&owner->vm, heap_address(heap, owner->loaded), &loaded))
    return NULL;
  const char *library;
  for (size_t i = 0; (library = standard_library(i)); i++) {
    struct lua_value value;
    if (table_find(&owner->vm, &loaded, library, strlen(library), &value) &&
        value.tag == (TAG_TABLE | TAG_COLLECTABLE))
      TRY(search_table(context, globals, number, library, value.bits));
  }
  return NULL;
}

static int by_retained(const void *left, const void *right) {
  const struct global *a = left, *b = right;
  if (a->retained != b->retained) return a->retained > b->retained ? -1 : 1;
  int order = strcmp(a->path, b->path);
  return order ? order : (a->vm > b->vm) - (a->vm < b->vm);
}

static struct inspect_error *find(struct command_context *context, struct globals *globals) {
  struct inspect_session *session = context->session;
  for (size_t i = 0; i < session->heap.vm_count; i++)
    if (session_selects(session, context->options, i)) TRY(search_vm(context, globals, i));
  size_t count = globals->list.count, objects = 0;
  if (!count) return NULL;
  qsort(globals->list.items, count, sizeof *globals->list.items, by_retained);
  object_id *set = malloc(count * sizeof *set);
  if (!set) return error_no_memory();
  for (size_t i = 0; i < count; i++)
    if (globals->list.items[i].object != NO_OBJECT) set[objects++] = globals->list.items[i].object;
  if (session->is_dominated)
    globals->together = dominators_retained_by_set(&session->dominators, set, objects);
  free(set);
  return globals->together == UINT64_MAX ? error_no_memory() : NULL;
}

/* ---- Data ------------------------------------------------------------------------------------ */

static void data_global(struct command_context *context, struct data *row,
                        const struct global *global) {
  struct inspect_session *session = context->session;
  const struct graph *graph = &session->heap.graph;
  bool is_object = global->object != NO_OBJECT;
  struct heap_vm *owner = &session->heap.vms[global->vm];
  data_cell(row, "vm", cell_plain(global->vm + 1));
  data_cell(row, "path", cell_words(global->path));
  data_cell(row, "kind", cell_words(KINDS[global->kind]));
  data_cell(row, "type", cell_words(value_type_name(global->value)));
  bool is_boolean = global->value.tag == TAG_TRUE || global->value.tag == TAG_FALSE;
  data_cell(row, "value",
            is_boolean ? cell_boolean(global->value.tag == TAG_TRUE)
                       : listing_value(context, owner, global->value));
  data_cell(row, "class",
            is_object && session->is_classified
                ? cell_words(classes_name(&session->classes, graph, global->object))
                : cell_null());
  data_cell(row, "address",
            is_object ? cell_address(heap_address(&session->heap, global->object)) : cell_null());
  data_cell(row, "bytes", is_object ? cell_bytes(graph_bytes(graph, global->object)) : cell_null());
  data_cell(row, "retained_bytes",
            is_object && session->is_dominated ? cell_bytes(global->retained) : cell_null());
}

static void to_data(struct command_context *context, const struct globals *globals) {
  size_t shown = listing_data_limit(context, globals->list.count);
  struct data *list = data_array(context->data, "globals");
  for (size_t i = 0; i < shown && !document_stops(context->document, i, shown); i++)
    data_global(context, data_object(list, NULL), &globals->list.items[i]);
  data_cell(context->data, "more", cell_count(globals->list.count - shown));
  data_cell(context->data, "retained_together",
            context->session->is_dominated ? cell_bytes(globals->together) : cell_null());
}

/* ---- Page ------------------------------------------------------------------------------------ */

static void page_counts(struct command_context *context, const struct globals *globals) {
  static const char *const ONE[] = {" global of the program", " field put into a standard table",
                                    " standard function replaced"};
  static const char *const MANY[] = {" globals of the program", " fields put into standard tables",
                                     " standard functions replaced"};
  struct line *line = page_line(context->document, 0);
  for (size_t i = 0; i < GLOBAL_KIND_COUNT; i++) {
    if (i && !globals->counts[i]) continue;
    if (i) line_words(line, STYLE_PLAIN, ", ");
    line_cell(line, STYLE_PLAIN, cell_count(globals->counts[i]));
    line_words(line, STYLE_PLAIN, globals->counts[i] == 1 ? ONE[i] : MANY[i]);
  }
  if (!globals->together) return;
  line_words(line, STYLE_PLAIN, "; together they retain ");
  line_cell(line, STYLE_KEY, cell_bytes(globals->together));
}

static void page_list(struct command_context *context, const struct globals *globals) {
  struct inspect_session *session = context->session;
  size_t shown = listing_limit(context, globals->list.count, USUAL);
  if (!shown) return;
  page_blank(context->document);
  struct table *table = page_table(context->document, 0);
  table_column(table, "");
  listing_vm_column(context, table);
  table_column(table, "name");
  table_column(table, "value");
  table_column(table, "retained");
  table_column(table, "class");
  listing_begin(context);
  for (size_t i = 0; i < shown && !document_stops(context->document, i, shown); i++) {
    const struct global *global = &globals->list.items[i];
    bool is_object = global->object != NO_OBJECT;
    const char *class = is_object && session->is_classified &&
                                session->classes.of[global->object] &&
                                session->heap.graph.type[global->object] <= OBJECT_TABLE
                            ? session->classes.items[session->classes.of[global->object]].name
                            : "";
    table_row(table);
    table_cell(table, is_object ? listing_number(context, global->object) : cell_words("-"));
    listing_vm_cell(context, table, global->vm);
    table_cell(table, cell_path(global->path));
    table_cell(table, listing_value(context, &session->heap.vms[global->vm], global->value));
    table_cell(table,
               is_object && session->is_dominated ? cell_bytes(global->retained) : cell_words("-"));
    table_cell(table, cell_words(class));
  }
  listing_more(context, shown, globals->list.count, "entry", "entries");
}

static void page_next(struct command_context *context, const struct globals *globals) {
  struct line *line = listing_next(context);
  if (globals->list.count && globals->list.items[0].object != NO_OBJECT)
    listing_try(context, line, "lua-paths '%s'", globals->list.items[0].path);
  listing_try(context, line, "lua-registry");
  listing_try(context, line, "lua-heap --sort retained");
}

/* ---- The command ----------------------------------------------------------------------------- */

struct inspect_error *command_globals(struct command_context *context) {
  struct inspect_session *session = context->session;
  TRY(session_begin(context));
  TRY(partial_if_interrupted(context, session_dominate(session, context->work)));
  TRY(partial_if_interrupted(context, session_classify(session, context->work)));
  struct globals *globals = calloc(1, sizeof *globals);
  if (!globals) return error_no_memory();
  context->state = globals;
  context->release = release;
  TRY(find(context, globals));
  describe_target(context, false);
  to_data(context, globals);
  page_counts(context, globals);
  page_list(context, globals);
  page_next(context, globals);
  describe_faults(context);
  return NULL;
}

const char globals_help[] =
    "Lists what the program has put into _G, biggest first by retained bytes: what would be freed "
    "if the global were nil. What the standard library of the target's Lua version puts there is "
    "left out. Listed as well are fields that the program has put into the tables of the standard "
    "library, as string.trim, and standard functions that it has replaced by something that is no "
    "C function.\n"
    "\n"
    "A global that nobody meant to make, a local without the word, is found here.\n"
    "\n"
    "Examples:\n"
    "  lua-globals --limit 10\n"
    "      the ten globals that keep most alive\n"
    "  lua-globals --json --vm 1\n"
    "      all of them in the first VM, for scripts: keys globals, retained_together\n";
