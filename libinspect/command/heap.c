/* heap.c - what the heap is made of: objects by type, class, shape or source.
 *
 * Every object of the selected VMs is in exactly one group, so that counts and bytes add up to the
 * heap's. Retained bytes are those of what is alive (analysis/census.h); they overlap. */
#include <string.h>

#include "analysis/census.h"
#include "base/large.h"
#include "command/listing.h"

enum { USUAL = 25 };

enum grouping { BY_CLASS, BY_TYPE, BY_SHAPE, BY_SOURCE };
enum order { ORDER_BYTES, ORDER_COUNT, ORDER_RETAINED, ORDER_NAME };

const char *const heap_groupings[] = {"class", "type", "shape", "source", NULL};
const char *const heap_orders[] = {"bytes", "count", "retained", "name", NULL};

struct tally {
  uint64_t objects, bytes;
};

struct row {
  const char *name; /* escaped */
  enum object_type type;
  enum class_evidence evidence;
  const struct census_group *group;
};

struct heap_groups {
  enum grouping by;
  struct classes own;            /* of --by shape and --by source                            */
  const struct classes *classes; /* NULL: by type                                    */
  uint32_t *group;               /* of each object: class, or types behind the classes       */
  struct census census;
  struct VECTOR(struct row) rows; /* sorted; without empty groups                    */
  struct tally live, finalizer, garbage;
  enum order order;
  bool has_retained;
};

static void release(void *state) {
  struct heap_groups *groups = state;
  classes_free(&groups->own);
  free(groups->group);
  census_free(&groups->census);
  vector_free(&groups->rows);
  free(groups);
}

/* ---- Groups ---------------------------------------------------------------------------------- */

static struct inspect_error *choose_classes(struct command_context *context,
                                            struct heap_groups *groups) {
  struct inspect_session *session = context->session;
  switch (groups->by) {
  case BY_TYPE:
    return NULL;
  case BY_CLASS:
    TRY(session_classify(session, context->work));
    groups->classes = &session->classes;
    return NULL;
  case BY_SHAPE:
    TRY(classes_build_by(&groups->own, &session->heap, CLASSES_BY_SHAPE, context->work));
    break;
  case BY_SOURCE:
    TRY(classes_build_by(&groups->own, &session->heap, CLASSES_BY_SOURCE, context->work));
    break;
  }
  groups->classes = &groups->own;
  return NULL;
}

static void count(struct tally *tally, uint64_t bytes) {
  tally->objects++;
  tally->bytes += bytes;
}

static uint32_t group_of(const struct heap_groups *groups, const struct graph *graph,
                         object_id object) {
  uint32_t class = groups->classes ? groups->classes->of[object] : 0;
  if (class) return class;
  return (groups->classes ? groups->classes->count : 0) + graph->type[object];
}

static struct inspect_error *group_vm(struct command_context *context, struct heap_groups *groups,
                                      const struct heap_vm *owner) {
  enum { WORK_STEPS = 1 << 16 };
  const struct graph *graph = &context->session->heap.graph;
  const struct collection *collection = &context->session->collection;
  const struct command_options *options = context->options;
  for (object_id object = owner->first; object < owner->first + owner->count; object++) {
    if (object % WORK_STEPS == 0 &&
        work_stops(context->work, "grouping", object, graph->object_count))
      return error_interrupted();
    uint64_t bytes = graph_bytes(graph, object);
    bool is_live = bitset_has(&collection->live, object);
    bool is_left = collection_leaves(collection, object);
    count(is_live ? &groups->live : is_left ? &groups->finalizer : &groups->garbage, bytes);
    if (options->only_live == options->only_garbage || (options->only_live ? is_left : !is_left))
      groups->group[object] = group_of(groups, graph, object);
  }
  return NULL;
}

static int by_name(const struct row *a, const struct row *b) {
  int order = strcmp(a->name, b->name);
  return order ? order : (int)a->type - (int)b->type;
}

static int descending(uint64_t a, uint64_t b) { return (a < b) - (a > b); }

static int compare_rows(const void *left, const void *right, void *context) {
  const struct row *a = left, *b = right;
  int result = 0;
  switch (*(const enum order *)context) {
  case ORDER_BYTES:
    result = descending(a->group->bytes, b->group->bytes);
    break;
  case ORDER_COUNT:
    result = descending(a->group->count, b->group->count);
    break;
  case ORDER_RETAINED:
    result = descending(a->group->retained, b->group->retained);
    break;
  case ORDER_NAME:
    break;
  }
  return result ? result : by_name(a, b);
}

static struct inspect_error *make_rows(struct heap_groups *groups) {
  uint32_t classes = groups->classes ? groups->classes->count : 0;
  for (uint32_t i = 0; i < groups->census.group_count; i++) {
    const struct census_group *group = &groups->census.groups[i];
    struct row row = {.group = group};
    if (!group->count) continue;
    if (i < classes) {
      const struct class_info *info = &groups->classes->items[i];
      row.name = info->name;
      row.type = info->type;
      row.evidence = info->evidence;
    } else {
      row.type = (enum object_type)(i - classes);
      row.name = object_type_name(row.type);
    }
    if (!vector_push(&groups->rows, row)) return error_no_memory();
  }
  if (groups->rows.count)
    qsort_r(groups->rows.items, groups->rows.count, sizeof *groups->rows.items, compare_rows,
            &groups->order);
  return NULL;
}

static struct inspect_error *make_groups(struct command_context *context,
                                         struct heap_groups *groups) {
  struct inspect_session *session = context->session;
  const struct graph *graph = &session->heap.graph;
  TRY(session_dominate(session, context->work));
  TRY(choose_classes(context, groups));
  groups->group = large_alloc((size_t)graph->object_count + 1, sizeof *groups->group);
  if (!groups->group) return error_no_memory();
  for (size_t i = 0; i < graph->object_count; i++)
    groups->group[i] = NO_GROUP;
  for (size_t i = 0; i < session->heap.vm_count; i++)
    if (session_selects(session, context->options, i))
      TRY(group_vm(context, groups, &session->heap.vms[i]));
  uint32_t group_count = (groups->classes ? groups->classes->count : 0) + OBJECT_TYPE_COUNT;
  bool is_garbage = context->options->only_garbage && !context->options->only_live;
  groups->has_retained = session->is_dominated && !is_garbage;
  TRY(census_take(graph, groups->group, group_count,
                  groups->has_retained ? &session->dominators : NULL, context->work,
                  &groups->census));
  return make_rows(groups);
}

/* ---- Data ------------------------------------------------------------------------------------ */

static void data_tally(struct data *parent, const char *key, const struct tally *tally) {
  struct data *object = data_object(parent, key);
  data_cell(object, "objects", cell_count(tally->objects));
  data_cell(object, "bytes", cell_bytes(tally->bytes));
}

static void to_data(struct command_context *context, const struct heap_groups *groups) {
  struct inspect_session *session = context->session;
  const struct command_options *options = context->options;
  size_t shown = listing_data_limit(context, groups->rows.count);
  data_cell(context->data, "by", cell_words(heap_groupings[groups->by]));
  data_cell(context->data, "sort", cell_words(heap_orders[options->sort]));
  data_cell(context->data, "only",
            cell_words(options->only_live == options->only_garbage ? NULL
                       : options->only_live                        ? "live"
                                                                   : "garbage"));
  struct data *list = data_array(context->data, "groups");
  for (size_t i = 0; i < shown && !document_stops(context->document, i, shown); i++) {
    const struct row *row = &groups->rows.items[i];
    struct data *object = data_object(list, NULL);
    data_cell(object, "name", cell_words(row->name));
    data_cell(object, "type", cell_words(object_type_name(row->type)));
    data_cell(object, "evidence", cell_words(class_evidence_name(row->evidence)));
    data_cell(object, "count", cell_count(row->group->count));
    data_cell(object, "bytes", cell_bytes(row->group->bytes));
    data_cell(object, "retained_bytes",
              groups->has_retained ? cell_bytes(row->group->retained) : cell_null());
    data_cell(object, "example", cell_address(heap_address(&session->heap, row->group->example)));
  }
  data_cell(context->data, "more", cell_count(groups->rows.count - shown));
  struct tally total = {groups->census.count, groups->census.bytes};
  data_tally(context->data, "total", &total);
  data_tally(context->data, "live", &groups->live);
  data_tally(context->data, "finalizer", &groups->finalizer);
  data_tally(context->data, "garbage", &groups->garbage);
}

/* ---- Page ------------------------------------------------------------------------------------ */

static void line_tally(struct line *line, const char *what, const struct tally *tally) {
  line_printf(line, STYLE_PLAIN, "%s ", what);
  line_cell(line, STYLE_PLAIN, cell_count(tally->objects));
  line_words(line, STYLE_PLAIN, tally->objects == 1 ? " object, " : " objects, ");
  line_cell(line, STYLE_PLAIN, cell_bytes(tally->bytes));
}

static void page_summary(struct command_context *context, const struct heap_groups *groups) {
  struct line *line = page_line(context->document, 0);
  line_tally(line, "live", &groups->live);
  if (groups->finalizer.objects) line_tally(line, "   until finalized", &groups->finalizer);
  line_tally(line, "   garbage", &groups->garbage);
  page_blank(context->document);
}

static double share(uint64_t part, uint64_t whole) {
  return whole ? (double)part / (double)whole : 0;
}

static void page_row(struct command_context *context, struct table *table,
                     const struct heap_groups *groups, const struct row *row) {
  table_row(table);
  table_cell(table, listing_number(context, row->group->example));
  table_cell(table, cell_words(row->name));
  table_cell(table, cell_words(object_type_name(row->type)));
  table_cell(table, cell_count(row->group->count));
  table_cell(table, cell_bytes(row->group->bytes));
  table_cell(table, cell_ratio(share(row->group->bytes, groups->census.bytes)));
  if (groups->has_retained) table_cell(table, cell_bytes(row->group->retained));
}

static void page_total(struct table *table, const char *what, uint64_t objects, uint64_t bytes,
                       uint64_t whole) {
  table_row(table);
  table_cell(table, cell_words(""));
  table_cell(table, cell_words(what));
  table_cell(table, cell_words(""));
  table_cell(table, cell_count(objects));
  table_cell(table, cell_bytes(bytes));
  table_cell(table, cell_ratio(share(bytes, whole)));
}

static void to_page(struct command_context *context, const struct heap_groups *groups) {
  static const char *const HEADINGS[] = {"class", "type", "shape", "source"};
  size_t shown = listing_limit(context, groups->rows.count, USUAL);
  page_summary(context, groups);
  struct table *table = page_table(context->document, 0);
  table_column(table, "");
  table_column(table, HEADINGS[groups->by]);
  table_column(table, groups->by == BY_TYPE ? "" : "type");
  table_column(table, "objects");
  table_column(table, "bytes");
  table_column(table, "share");
  if (groups->has_retained) table_column(table, "retained");
  listing_begin(context);
  struct tally rest = {groups->census.count, groups->census.bytes};
  for (size_t i = 0; i < shown && !document_stops(context->document, i, shown); i++) {
    const struct row *row = &groups->rows.items[i];
    page_row(context, table, groups, row);
    rest.objects -= row->group->count;
    rest.bytes -= row->group->bytes;
  }
  if (shown < groups->rows.count)
    page_total(table,
               arena_printf(context->arena, "%zu more: --limit %zu", groups->rows.count - shown,
                            groups->rows.count),
               rest.objects, rest.bytes, groups->census.bytes);
  page_total(table, "total", groups->census.count, groups->census.bytes, groups->census.bytes);
}

static void page_next(struct command_context *context, const struct heap_groups *groups) {
  if (!groups->rows.count) return;
  const struct command_options *options = context->options;
  const struct row *first = &groups->rows.items[0];
  struct line *line = listing_next(context);
  listing_try(context, line, "lua-paths 0x%llx",
              (unsigned long long)heap_address(&context->session->heap, first->group->example));
  if (groups->by != BY_CLASS) listing_try(context, line, "lua-heap");
  if (groups->by != BY_SHAPE) listing_try(context, line, "lua-heap --by shape");
  listing_try(context, line, "lua-retained");
  if (!options->only_garbage && groups->garbage.objects)
    listing_try(context, line, "lua-heap --garbage");
}

/* ---- The command ----------------------------------------------------------------------------- */

struct inspect_error *command_heap(struct command_context *context) {
  TRY(session_begin(context));
  struct heap_groups *groups = calloc(1, sizeof *groups);
  if (!groups) return error_no_memory();
  context->state = groups;
  context->release = release;
  groups->by = (enum grouping)context->options->by;
  groups->order = (enum order)context->options->sort;
  TRY(make_groups(context, groups));
  describe_target(context, false);
  to_data(context, groups);
  to_page(context, groups);
  page_next(context, groups);
  describe_faults(context);
  return NULL;
}

const char heap_help[] =
    "Tells what the heap is made of: objects in groups, each with its count, bytes, share of all "
    "bytes and retained bytes. Each object is in exactly one group, so that counts and bytes add "
    "up "
    "to those of the heap.\n"
    "\n"
    "A class is named by evidence: __name of the metatable, the path of the metatable or of its "
    "__index from _G or package.loaded, the name of a userdata's metatable in the registry, source "
    "and line of a function, the main function of a coroutine. Tables without such a name go by "
    "their shape: {desc, time} is a record with these fields, [string] an array of strings, "
    "{[string] = Npc} a map. --by shape does so for all tables; --by source takes functions, "
    "prototypes and coroutines of one source file together.\n"
    "\n"
    "The retained bytes of a group are those of the dominator subtrees of its members, nested ones "
    "counted once: what its members keep alive. They overlap between groups and do not add up. The "
    "number before a group stands for its member that retains most: lua-paths @3 tells what holds "
    "it.\n"
    "\n"
    "Examples:\n"
    "  lua-heap --live --sort retained --limit 10\n"
    "      the ten classes that keep most alive, without garbage\n"
    "  lua-heap --by shape --json\n"
    "      all tables by their fields or elements, for scripts: keys groups, total, garbage\n";
