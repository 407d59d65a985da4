/* registry.c - what C code keeps in the registry: named entries, entries under addresses, and
 * references by luaL_ref, in groups.
 *
 * Every entry is read from the table itself and goes into one of four lists. References are grouped
 * by the class of what they hold; many of one class are a suspect, because each has to be given
 * back by hand (luaL_unref). */
#include <string.h>

#include "command/registry.h"
#include "command/value_line.h"
#include "graph/class_names.h"

enum { SUSPECT_COUNT = 100 };
static const double SUSPECT_SHARE = 0.25;

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

static struct registry_entries *list_for(struct registry *registry, const struct vm *vm,
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
  struct registry_entries *list = value_is_empty(value) ? NULL : list_for(registry, vm, key);
  if (!list) return true;
  struct registry_entry entry = {.key = key, .value = value, .object = NO_OBJECT};
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
  const struct registry_entry *a = left, *b = right;
  return strcmp(a->path, b->path);
}

static void sort(struct registry_entries *list) {
  if (list->count) qsort(list->items, list->count, sizeof *list->items, by_path);
}

/* ---- Groups of references -------------------------------------------------------------------- */

/* What a reference holds, in a word: its class, or the type of what is no object. */
static const char *name_of(struct inspect_session *session, const struct registry_entry *entry) {
  const struct graph *graph = &session->heap.graph;
  if (entry->object == NO_OBJECT || !session->is_classified) {
    const char *type = value_type_name(entry->value);
    return type ? type : "value";
  }
  return classes_name(&session->classes, graph, entry->object);
}

static int by_group(const void *left, const void *right, void *context) {
  const struct registry_entry *a = left, *b = right;
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
static bool retain(struct inspect_session *session, const struct registry_entry *members,
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
  struct registry_entries *list = &registry->references;
  if (!list->count) return true;
  qsort_r(list->items, list->count, sizeof *list->items, by_group, session);
  for (size_t i = 0, end; i < list->count; i = end) {
    const char *name = name_of(session, &list->items[i]);
    for (end = i + 1; end < list->count && strcmp(name, name_of(session, &list->items[end])) == 0;)
      end++;
    const char *type = value_type_name(list->items[i].value);
    struct reference_group group = {.name = name, .type = type, .count = end - i, .first = i};
    group.is_suspect =
        group.count >= SUSPECT_COUNT && (double)group.count >= SUSPECT_SHARE * (double)list->count;
    context->found |= group.is_suspect;
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

/* ---- The command ----------------------------------------------------------------------------- */

struct inspect_error *command_registry(struct command_context *context) {
  struct inspect_session *session = context->session;
  TRY(session_begin(context));
  TRY(partial_if_interrupted(context, session_dominate(session, context->work)));
  TRY(partial_if_interrupted(context, session_classify(session, context->work)));
  struct registries *registries = calloc(1, sizeof *registries);
  if (!registries) return error_no_memory();
  context->state = registries;
  context->release = release;
  TRY(read_all(context, registries));
  describe_target(context, false);
  registry_to_data(context, registries);
  registry_to_page(context, registries);
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
    "request and forgets to give it back leaks here, where no Lua code can see it. Exit status: 1 "
    "if there is a suspect.\n"
    "\n"
    "Examples:\n"
    "  lua-registry --limit 5\n"
    "      the five biggest groups of references, and five entries of each other list\n"
    "  lua-registry --json\n"
    "      all of it, for scripts: keys registries, references, groups, named, pointers\n";
