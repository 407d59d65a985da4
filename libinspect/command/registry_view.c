/* registry_view.c - registries as data and as page. */
#include "command/registry.h"
#include "command/value_line.h"

enum { USUAL = 15 };

/* ---- Data ------------------------------------------------------------------------------------ */

static const char *symbol_of(struct inspect_session *session, struct lua_value key) {
  const char *name;
  return source_symbol(session->source, key.bits, &name) ? name : NULL;
}

static void data_entry(struct command_context *context, const struct registry *registry,
                       struct data *row, const struct registry_entry *entry) {
  struct inspect_session *session = context->session;
  struct heap_vm *owner = &session->heap.vms[registry->vm];
  bool is_object = entry->object != NO_OBJECT;
  data_cell(row, "path", cell_words(entry->path));
  data_cell(row, "type", cell_words(value_type_name(entry->value)));
  data_cell(row, "value", listing_value(context, owner, entry->value));
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
                         struct data *object, const char *key,
                         const struct registry_entries *list) {
  struct data *rows = data_array(object, key);
  for (size_t i = 0; i < list->count && !document_stops(context->document, i, list->count); i++) {
    struct data *row = data_object(rows, NULL);
    const struct registry_entry *entry = &list->items[i];
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
  for (size_t i = 0; i < shown && !document_stops(context->document, i, shown); i++) {
    const struct reference_group *group = &registry->groups.items[i];
    const struct registry_entry *first = &registry->references.items[group->first];
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

void registry_to_data(struct command_context *context, const struct registries *registries) {
  struct data *list = data_array(context->data, "registries");
  for (size_t i = 0;
       i < registries->count && !document_stops(context->document, i, registries->count); i++) {
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
  line_words(line, STYLE_PLAIN,
             registry->references.count == 1 ? " reference by luaL_ref ("
                                             : " references by luaL_ref (");
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
  for (size_t i = 0; i < shown && !document_stops(context->document, i, shown); i++) {
    const struct reference_group *group = &registry->groups.items[i];
    const struct registry_entry *first = &registry->references.items[group->first];
    table_row(table);
    table_cell(table, first->object == NO_OBJECT ? cell_words("-")
                                                 : listing_number(context, first->object));
    table_cell(table, cell_words(group->name));
    table_cell(table, cell_count(group->count));
    table_cell(table, session->is_dominated ? cell_bytes(group->retained) : cell_null());
    table_cell(table, cell_words(arena_printf(context->arena, "registry[%lld]",
                                              (long long)value_integer(vm, first->key))));
  }
  listing_more(context, shown, registry->groups.count, "group", "groups");
}

static const char *note_of(struct command_context *context, const struct registry_entry *entry) {
  if (entry->key.tag == TAG_LIGHT_USERDATA || entry->key.tag == TAG_LIGHT_FUNCTION)
    return symbol_of(context->session, entry->key);
  if (!entry->instances) return "";
  return arena_printf(context->arena, "metatable of %s",
                      render_cell(context->arena, cell_count(entry->instances)));
}

static void page_entries(struct command_context *context, const struct registry *registry,
                         const struct registry_entries *list, const char *heading,
                         const char *note) {
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
  for (size_t i = 0; i < shown && !document_stops(context->document, i, shown); i++) {
    const struct registry_entry *entry = &list->items[i];
    bool is_object = entry->object != NO_OBJECT;
    table_row(table);
    table_cell(table, is_object ? listing_number(context, entry->object) : cell_words("-"));
    table_cell(table, cell_path(entry->path));
    table_cell(table, listing_value(context, &session->heap.vms[registry->vm], entry->value));
    table_cell(table,
               is_object && session->is_dominated ? cell_bytes(entry->retained) : cell_words("-"));
    table_cell(table, cell_words(note_of(context, entry)));
  }
  listing_more(context, shown, list->count, "entry", "entries");
}

void registry_to_page(struct command_context *context, const struct registries *registries) {
  listing_begin(context);
  for (size_t i = 0;
       i < registries->count && !document_stops(context->document, i, registries->count); i++) {
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
    const struct registry_entry *entry =
        &registry->references.items[registry->groups.items[0].first];
    listing_try(context, line, "lua-paths 'registry[%lld]'",
                (long long)value_integer(vm, entry->key));
    break;
  }
  listing_try(context, line, "lua-globals");
  listing_try(context, line, "lua-heap --sort retained");
}
