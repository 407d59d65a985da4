/* registry.c - what C code keeps in the registry: named entries, entries under addresses, and
 * references by luaL_ref, in groups.
 *
 * Every entry is read from the table itself and goes into one of four lists. References are grouped
 * by the class of what they hold; many of one class are a suspect, because each has to be given
 * back by hand (luaL_unref). */
#include <string.h>

#include "base/number_map.h"
#include "command/listing.h"
#include "graph/class_names.h"
#include "lua/references.h"

enum { USUAL = 15, SUSPECT_COUNT = 100 };
static const double SUSPECT_SHARE = 0.25;

struct entry {
  const char *path;
  struct lua_value key, value;
  object_id object; /* NO_OBJECT: the value is none */
  uint64_t retained;
  uint64_t instances; /* of a metatable */
};

struct entries VECTOR(struct entry);

struct reference_group {
  const char *name; /* class or type of what is held */
  const char *type;
  uint64_t count, retained;
  size_t first; /* its first member in `references`, which are sorted by group */
  bool is_suspect;
};

struct registry {
  size_t vm;
  struct references list;
  struct entries named, pointers, references, others;
  struct VECTOR(struct reference_group) groups;
  struct number_map instances; /* metatable -> how many objects have it */
};

struct registries {
  struct registry *items;
  size_t count;
};

static void release(void *state) {
  struct registries *registries = state;
  for (size_t i = 0; i < registries->count; i++) {
    struct registry *registry = &registries->items[i];
    references_free(&registry->list);
    vector_free(&registry->named);
    vector_free(&registry->pointers);
    vector_free(&registry->references);
    vector_free(&registry->others);
    vector_free(&registry->groups);
    number_map_free(&registry->instances);
  }
  free(registries->items);
  free(registries);
}

/* ---- Entries --------------------------------------------------------------------------------- */

static bool is_predefined(const struct layout *layout, const struct references *list, int64_t key) {
  return key == layout->main_thread_index || key == layout->globals_index || key == list->head;
}

static struct entries *list_for(struct registry *registry, const struct vm *vm,
                                struct lua_value key) {
  if (value_is_object(key) && value_is_string(key)) return &registry->named;
  if (key.tag == TAG_LIGHT_USERDATA || key.tag == TAG_LIGHT_FUNCTION) return &registry->pointers;
  if (key.tag == TAG_INTEGER) {
    int64_t integer = value_integer(vm, key);
    if (references_holds(&registry->list, integer)) return &registry->references;
    if (is_predefined(vm->layout, &registry->list, integer)) return NULL;
    if (integer > 0 && (uint64_t)integer <= registry->list.most) return NULL; /* free */
  }
  return &registry->others;
}

static bool add(struct command_context *context, struct registry *registry, struct lua_value key,
                struct lua_value value) {
  struct inspect_session *session = context->session;
  struct vm *vm = &session->heap.vms[registry->vm].vm;
  struct entries *list = value_is_empty(value) ? NULL : list_for(registry, vm, key);
  if (!list) return true;
  struct entry entry = {.key = key, .value = value, .object = NO_OBJECT};
  if (value_is_object(value)) entry.object = heap_object_at(&session->heap, value.bits);
  if (entry.object != NO_OBJECT) {
    uint32_t instances = number_map_get(&registry->instances, entry.object);
    if (instances != NO_NUMBER) entry.instances = instances;
    if (session->is_dominated) entry.retained = session->dominators.retained[entry.object];
  }
  if (list != &registry->references) entry.path = listing_key_path(context, vm, "registry", key);
  return vector_push(list, entry);
}

/* How many tables and userdata have each metatable. */
static bool count_instances(struct command_context *context, struct registry *registry) {
  const struct heap *heap = &context->session->heap;
  const struct heap_vm *owner = &heap->vms[registry->vm];
  for (object_id object = owner->first; object < owner->first + owner->count; object++) {
    object_id metatable = graph_metatable(&heap->graph, object);
    if (metatable == NO_OBJECT) continue;
    uint32_t count = number_map_get(&registry->instances, metatable);
    if (!number_map_set(&registry->instances, metatable, count == NO_NUMBER ? 1 : count + 1))
      return false;
  }
  return true;
}

static bool read_entries(struct command_context *context, struct registry *registry,
                         const struct lua_table *table) {
  const struct vm *vm = &context->session->heap.vms[registry->vm].vm;
  for (uint64_t i = 0; i < table->array_size; i++) {
    struct lua_value key = {.tag = TAG_INTEGER, .bits = i + 1};
    if (!add(context, registry, key, table_array_value(vm, table, i))) return false;
  }
  for (uint64_t i = 0; i < table->node_count; i++) {
    struct lua_value key, value;
    table_entry(vm, table, i, &key, &value);
    if (!add(context, registry, key, value)) return false;
  }
  return true;
}

static int by_path(const void *left, const void *right) {
  const struct entry *a = left, *b = right;
  return strcmp(a->path, b->path);
}

static void sort(struct entries *list) {
  if (list->count) qsort(list->items, list->count, sizeof *list->items, by_path);
}

/* ---- Groups of references -------------------------------------------------------------------- */

/* What a reference holds, in a word: its class, or the type of what is no object. */
static const char *name_of(struct inspect_session *session, const struct entry *entry) {
  const struct graph *graph = &session->heap.graph;
  if (entry->object == NO_OBJECT || !session->is_classified) {
    const char *type = listing_value_type(session, entry->value);
    return type ? type : "value";
  }
  return classes_name(&session->classes, graph, entry->object);
}

static int by_group(const void *left, const void *right, void *context) {
  const struct entry *a = left, *b = right;
  struct inspect_session *session = context;
  int order = strcmp(name_of(session, a), name_of(session, b));
  if (order) return order;
  if (a->retained != b->retained) return a->retained > b->retained ? -1 : 1;
  return (a->key.bits > b->key.bits) - (a->key.bits < b->key.bits);
}

static int by_count(const void *left, const void *right) {
  const struct reference_group *a = left, *b = right;
  if (a->count != b->count) return a->count > b->count ? -1 : 1;
  return strcmp(a->name, b->name);
}

/* Bytes that the members retain together. False: out of memory. */
static bool retain(struct inspect_session *session, const struct entry *members,
                   struct reference_group *group) {
  object_id *set = malloc((size_t)(group->count + 1) * sizeof *set);
  size_t count = 0;
  for (size_t i = 0; set && i < group->count; i++)
    if (members[i].object != NO_OBJECT) set[count++] = members[i].object;
  if (set && session->is_dominated)
    group->retained = dominators_retained_by_set(&session->dominators, set, count);
  bool fits = set && group->retained != UINT64_MAX;
  free(set);
  return fits;
}

static bool group_references(struct command_context *context, struct registry *registry) {
  struct inspect_session *session = context->session;
  struct entries *list = &registry->references;
  if (!list->count) return true;
  qsort_r(list->items, list->count, sizeof *list->items, by_group, session);
  for (size_t i = 0, end; i < list->count; i = end) {
    const char *name = name_of(session, &list->items[i]);
    for (end = i + 1; end < list->count && strcmp(name, name_of(session, &list->items[end])) == 0;)
      end++;
    const char *type = listing_value_type(session, list->items[i].value);
    struct reference_group group = {.name = name, .type = type, .count = end - i, .first = i};
    group.is_suspect =
        group.count >= SUSPECT_COUNT && (double)group.count >= SUSPECT_SHARE * (double)list->count;
    if (!retain(session, list->items + i, &group) || !vector_push(&registry->groups, group))
      return false;
  }
  qsort(registry->groups.items, registry->groups.count, sizeof *registry->groups.items, by_count);
  return true;
}

/* ---- The whole ------------------------------------------------------------------------------- */

static struct inspect_error *read_registry(struct command_context *context,
                                           struct registry *registry) {
  struct heap *heap = &context->session->heap;
  struct heap_vm *owner = &heap->vms[registry->vm];
  struct lua_table table;
  if (owner->registry == NO_OBJECT) return NULL;
  if (table_load(&owner->vm, heap_address(heap, owner->registry), &table)) return NULL;
  if (!references_load(&owner->vm, &table, &registry->list) ||
      !count_instances(context, registry) || !read_entries(context, registry, &table) ||
      !group_references(context, registry))
    return error_no_memory();
  sort(&registry->named);
  sort(&registry->pointers);
  sort(&registry->others);
  return NULL;
}

static struct inspect_error *read_all(struct command_context *context,
                                      struct registries *registries) {
  struct inspect_session *session = context->session;
  registries->items = calloc(session->heap.vm_count + 1, sizeof *registries->items);
  if (!registries->items) return error_no_memory();
  for (size_t i = 0; i < session->heap.vm_count; i++) {
    if (!session_selects(session, context->options, i)) continue;
    struct registry *registry = &registries->items[registries->count++];
    registry->vm = i;
    TRY(read_registry(context, registry));
  }
  return NULL;
}

/* ---- Data ------------------------------------------------------------------------------------ */

static const char *symbol_of(struct inspect_session *session, struct lua_value key) {
  const char *name;
  return source_symbol(session->source, key.bits, &name) ? name : NULL;
}

static void data_entry(struct command_context *context, const struct registry *registry,
                       struct data *row, const struct entry *entry) {
  struct inspect_session *session = context->session;
  struct vm *vm = &session->heap.vms[registry->vm].vm;
  bool is_object = entry->object != NO_OBJECT;
  data_cell(row, "path", cell_words(entry->path));
  data_cell(row, "type", cell_words(listing_value_type(session, entry->value)));
  data_cell(row, "value", listing_value(context, vm, entry->value));
  data_cell(row, "class",
            is_object && session->is_classified
                ? cell_words(classes_name(&session->classes, &session->heap.graph, entry->object))
                : cell_null());
  data_cell(row, "address",
            is_object ? cell_address(heap_address(&session->heap, entry->object)) : cell_null());
  data_cell(row, "retained_bytes",
            is_object && session->is_dominated ? cell_bytes(entry->retained) : cell_null());
  data_cell(row, "instances", cell_count(entry->instances));
}

static void data_entries(struct command_context *context, const struct registry *registry,
                         struct data *object, const char *key, const struct entries *list) {
  struct data *rows = data_array(object, key);
  for (size_t i = 0; i < list->count; i++) {
    struct data *row = data_object(rows, NULL);
    const struct entry *entry = &list->items[i];
    data_entry(context, registry, row, entry);
    if (list == &registry->pointers)
      data_cell(row, "symbol", cell_words(symbol_of(context->session, entry->key)));
  }
}

static void data_references(struct command_context *context, const struct registry *registry,
                            struct data *object) {
  struct inspect_session *session = context->session;
  const struct vm *vm = &session->heap.vms[registry->vm].vm;
  struct data *references = data_object(object, "references");
  data_cell(references, "live", cell_count(registry->references.count));
  data_cell(references, "free", cell_count(registry->list.free));
  data_cell(references, "list_at", cell_integer(registry->list.head));
  data_cell(references, "intact", cell_boolean(!registry->list.is_broken));
  struct data *groups = data_array(references, "groups");
  size_t shown = listing_data_limit(context, registry->groups.count);
  for (size_t i = 0; i < shown; i++) {
    const struct reference_group *group = &registry->groups.items[i];
    const struct entry *first = &registry->references.items[group->first];
    struct data *row = data_object(groups, NULL);
    data_cell(row, "name", cell_words(group->name));
    data_cell(row, "type", cell_words(group->type));
    data_cell(row, "count", cell_count(group->count));
    data_cell(row, "retained_bytes",
              session->is_dominated ? cell_bytes(group->retained) : cell_null());
    data_cell(row, "suspect", cell_boolean(group->is_suspect));
    data_cell(row, "example", cell_integer(value_integer(vm, first->key)));
  }
}

static void to_data(struct command_context *context, const struct registries *registries) {
  struct data *list = data_array(context->data, "registries");
  for (size_t i = 0; i < registries->count; i++) {
    const struct registry *registry = &registries->items[i];
    struct data *object = data_object(list, NULL);
    data_cell(object, "vm", cell_plain(registry->vm + 1));
    data_entries(context, registry, object, "named", &registry->named);
    data_entries(context, registry, object, "pointers", &registry->pointers);
    data_entries(context, registry, object, "others", &registry->others);
    data_references(context, registry, object);
  }
}

/* ---- Page ------------------------------------------------------------------------------------ */

static void page_counts(struct command_context *context, const struct registry *registry) {
  struct line *line = page_line(context->document, 0);
  line_cell(line, STYLE_PLAIN, cell_count(registry->references.count));
  line_words(line, STYLE_PLAIN, " references by luaL_ref (");
  line_cell(line, STYLE_PLAIN, cell_count(registry->list.free));
  line_words(line, STYLE_PLAIN, " more are free), ");
  line_cell(line, STYLE_PLAIN, cell_count(registry->named.count));
  line_words(line, STYLE_PLAIN, " named entries, ");
  line_cell(line, STYLE_PLAIN, cell_count(registry->pointers.count));
  line_words(line, STYLE_PLAIN, " under addresses");
  if (registry->others.count) {
    line_words(line, STYLE_PLAIN, ", ");
    line_cell(line, STYLE_PLAIN, cell_count(registry->others.count));
    line_words(line, STYLE_PLAIN, " others");
  }
  if (!registry->list.is_broken) return;
  line = page_line(context->document, 0);
  line_words(line, STYLE_BAD, "the list of free references is broken: ");
  line_printf(line, STYLE_PLAIN,
              "it begins at registry[%lld]; what it does not reach counts as held",
              (long long)registry->list.head);
}

static void page_suspects(struct command_context *context, const struct registry *registry) {
  for (size_t i = 0; i < registry->groups.count; i++) {
    const struct reference_group *group = &registry->groups.items[i];
    if (!group->is_suspect) continue;
    struct line *line = page_line(context->document, 0);
    line_words(line, STYLE_BAD, "suspect");
    line_words(line, STYLE_PLAIN, "   ");
    line_cell(line, STYLE_PLAIN, cell_count(group->count));
    line_words(line, STYLE_PLAIN, " of ");
    line_cell(line, STYLE_PLAIN, cell_count(registry->references.count));
    line_words(line, STYLE_PLAIN, " references hold ");
    line_cell(line, STYLE_KEY, cell_words(group->name));
    line_words(line, STYLE_PLAIN, ": are they given back (luaL_unref)?");
  }
}

static void page_groups(struct command_context *context, const struct registry *registry) {
  struct inspect_session *session = context->session;
  const struct vm *vm = &session->heap.vms[registry->vm].vm;
  size_t shown = listing_limit(context, registry->groups.count, USUAL);
  if (!shown) return;
  page_blank(context->document);
  struct table *table = page_table(context->document, 0);
  table_column(table, "");
  table_column(table, "referred to");
  table_column(table, "references");
  table_column(table, "retained");
  table_column(table, "one of them");
  for (size_t i = 0; i < shown; i++) {
    const struct reference_group *group = &registry->groups.items[i];
    const struct entry *first = &registry->references.items[group->first];
    table_row(table);
    table_cell(table, first->object == NO_OBJECT ? cell_words("-")
                                                 : listing_number(context, first->object));
    table_cell(table, cell_words(group->name));
    table_cell(table, cell_count(group->count));
    table_cell(table, session->is_dominated ? cell_bytes(group->retained) : cell_null());
    table_cell(table, cell_words(arena_printf(context->arena, "registry[%lld]",
                                              (long long)value_integer(vm, first->key))));
  }
  listing_more(context, shown, registry->groups.count, "groups");
}

static const char *note_of(struct command_context *context, const struct registry *registry,
                           const struct entry *entry) {
  if (entry->key.tag == TAG_LIGHT_USERDATA || entry->key.tag == TAG_LIGHT_FUNCTION)
    return symbol_of(context->session, entry->key);
  (void)registry;
  if (!entry->instances) return "";
  return arena_printf(context->arena, "metatable of %s",
                      render_cell(context->arena, cell_count(entry->instances)));
}

static void page_entries(struct command_context *context, const struct registry *registry,
                         const struct entries *list, const char *heading, const char *note) {
  struct inspect_session *session = context->session;
  size_t shown = listing_limit(context, list->count, USUAL);
  if (!shown) return;
  page_blank(context->document);
  struct table *table = page_table(context->document, 0);
  table_column(table, "");
  table_column(table, heading);
  table_column(table, "value");
  table_column(table, "retained");
  table_column(table, note);
  for (size_t i = 0; i < shown; i++) {
    const struct entry *entry = &list->items[i];
    bool is_object = entry->object != NO_OBJECT;
    table_row(table);
    table_cell(table, is_object ? listing_number(context, entry->object) : cell_words("-"));
    table_cell(table, cell_words(entry->path));
    table_cell(table, listing_value(context, &session->heap.vms[registry->vm].vm, entry->value));
    table_cell(table,
               is_object && session->is_dominated ? cell_bytes(entry->retained) : cell_words("-"));
    table_cell(table, cell_words(note_of(context, registry, entry)));
  }
  listing_more(context, shown, list->count, "entries");
}

static void to_page(struct command_context *context, const struct registries *registries) {
  listing_begin(context);
  for (size_t i = 0; i < registries->count; i++) {
    const struct registry *registry = &registries->items[i];
    if (i) page_blank(context->document);
    if (registries->count > 1)
      line_printf(page_line(context->document, 0), STYLE_HEADING, "VM %zu", registry->vm + 1);
    page_counts(context, registry);
    page_suspects(context, registry);
    page_groups(context, registry);
    page_entries(context, registry, &registry->named, "named", "");
    page_entries(context, registry, &registry->pointers, "under an address", "symbol");
    page_entries(context, registry, &registry->others, "under other keys", "");
  }
  struct line *line = listing_next(context);
  for (size_t i = 0; i < registries->count; i++) {
    const struct registry *registry = &registries->items[i];
    if (!registry->groups.count) continue;
    const struct vm *vm = &context->session->heap.vms[registry->vm].vm;
    const struct entry *entry = &registry->references.items[registry->groups.items[0].first];
    listing_try(context, line, "lua-paths 'registry[%lld]'",
                (long long)value_integer(vm, entry->key));
    break;
  }
  listing_try(context, line, "lua-globals");
  listing_try(context, line, "lua-heap --sort retained");
}

/* ---- The command ----------------------------------------------------------------------------- */

static struct inspect_error *prepare(struct command_context *context) {
  struct inspect_error *error = session_dominate(context->session, context->work);
  if (!error) error = session_classify(context->session, context->work);
  if (!error || error->code != INSPECT_ERROR_INTERRUPTED) return error;
  context->partial = true;
  return NULL;
}

struct inspect_error *command_registry(struct command_context *context) {
  struct inspect_session *session = context->session;
  TRY(session_detect(session, context->work));
  TRY(session_check_choice(session, context->options));
  TRY(session_collect(session, context->work));
  TRY(prepare(context));
  struct registries *registries = calloc(1, sizeof *registries);
  if (!registries) return error_no_memory();
  context->state = registries;
  context->release = release;
  TRY(read_all(context, registries));
  describe_target(context, false);
  to_data(context, registries);
  to_page(context, registries);
  describe_faults(context);
  return NULL;
}

const char registry_help[] =
    "Shows what C code keeps in the registry: references by luaL_ref, in groups by the class of "
    "what "
    "they hold; named entries, as the metatables of luaL_newmetatable with the number of their "
    "instances; and entries under addresses, with the name of the variable or function there if "
    "the "
    "program has symbols.\n"
    "\n"
    "A reference lives until luaL_unref gives it back; the free ones form a list that is walked to "
    "tell them from live ones. A group of many is a suspect: code that refers to a value for each "
    "request and forgets to give it back leaks here, where no Lua code can see it.\n"
    "\n"
    "Examples:\n"
    "  lua-registry --limit 5\n"
    "      the five biggest groups of references, and five entries of each other list\n"
    "  lua-registry --json\n"
    "      all of it, for scripts: keys registries, references, groups, named, pointers\n";
