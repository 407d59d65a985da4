/* cursors.c - objects and references in rows, for scripts: section 5 of inspect.h.
 *
 * Invariants: numbers that come in are checked before anything is looked up by them, and numbers
 * that go out are ranks by address: ids of the graph never leave this file. Classes are numbered as
 * the groups of `heap` are: every type first, for its objects without evidence, then the classes
 * from 1 on. What a stage makes is read only if the stage is known. */
#include "analysis/incoming.h"
#include "base/parallel.h"
#include "command/monitor.h"
#include "command/session.h"

/* ---- Stages ---------------------------------------------------------------------------------- */

static struct work begin_work(struct monitor *monitor, const struct inspect_io *io) {
  static const struct inspect_io nobody;
  monitor_start(monitor, io ? io : &nobody, false);
  return (struct work){
      .context = monitor, .report = monitor_report, .threads = parallel_processors()};
}

struct inspect_error *inspect_session_prepare(struct inspect_session *session, unsigned stages,
                                              const struct inspect_io *io) {
  struct monitor monitor;
  struct work work = begin_work(&monitor, io);
  session->budget = (struct budget){.stage = stages & INSPECT_RETAINED ? MEMORY_DOMINATORS : 0};
  if (stages) TRY(session_build(session, &work));
  if (stages & (INSPECT_LIVE | INSPECT_RETAINED)) TRY(session_collect(session, &work));
  if (stages & INSPECT_RETAINED) TRY(session_dominate(session, &work));
  if (stages & INSPECT_CLASSES) TRY(session_classify(session, &work));
  return NULL;
}

unsigned inspect_session_prepared(const struct inspect_session *session) {
  return (session->is_built ? INSPECT_GRAPH : 0U) | (session->is_collected ? INSPECT_LIVE : 0U) |
         (session->is_dominated ? INSPECT_RETAINED : 0U) |
         (session->is_classified ? INSPECT_CLASSES : 0U);
}

/* ---- VMs ------------------------------------------------------------------------------------- */

uint32_t inspect_vm_count(const struct inspect_session *session) {
  return session->is_built ? (uint32_t)session->heap.vm_count : 0;
}

bool inspect_vm_at(const struct inspect_session *session, uint32_t vm, struct inspect_vm *result) {
  if (!vm || vm > inspect_vm_count(session)) return false;
  const struct heap_vm *owner = &session->heap.vms[vm - 1];
  *result = (struct inspect_vm){.lua = owner->vm.layout->lua,
                                .release = session->releases[vm - 1],
                                .address = owner->vm.main_thread,
                                .heap_bytes = owner->vm.heap_bytes,
                                .accounted_bytes = owner->accounted_bytes,
                                .residual_bytes = owner->residual,
                                .object_bytes = owner->object_bytes,
                                .objects = owner->count,
                                .coroutines = owner->coroutines};
  return true;
}

/* ---- Numbers --------------------------------------------------------------------------------- */

uint32_t inspect_object_count(const struct inspect_session *session) {
  return session->is_built ? session->heap.graph.object_count : 0;
}

static object_id object_of(const struct inspect_session *session, uint32_t number) {
  return number < inspect_object_count(session) ? session->heap.by_rank[number] : NO_OBJECT;
}

static uint32_t number_of(const struct inspect_session *session, object_id object) {
  return object == NO_OBJECT ? INSPECT_NO_OBJECT : heap_rank(&session->heap, object);
}

/* How many of the `count` objects from `first` on there are. */
static size_t clip(size_t total, size_t first, size_t count) {
  size_t left = first < total ? total - first : 0;
  return count < left ? count : left;
}

/* ---- Rows ------------------------------------------------------------------------------------ */

static uint32_t class_number(const struct inspect_session *session, object_id object) {
  uint32_t class = session->is_classified ? session->classes.of[object] : 0;
  return class ? OBJECT_TYPE_COUNT + class - 1 : session->heap.graph.type[object];
}

static uint32_t flags_of(const struct inspect_session *session, object_id object) {
  static const struct {
    enum object_flag inside;
    enum inspect_object_flag outside;
  } FLAGS[] = {{OBJECT_HAS_FINALIZER, INSPECT_HAS_FINALIZER},
               {OBJECT_PENDING, INSPECT_PENDING},
               {OBJECT_FIXED, INSPECT_FIXED},
               {OBJECT_WEAK_KEYS, INSPECT_WEAK_KEYS},
               {OBJECT_WEAK_VALUES, INSPECT_WEAK_VALUES},
               {OBJECT_DEAD, INSPECT_DEAD},
               {OBJECT_DAMAGED, INSPECT_DAMAGED}};
  uint32_t flags = 0;
  uint8_t inside = session->heap.graph.flags[object];
  for (size_t i = 0; inside && i < sizeof FLAGS / sizeof *FLAGS; i++)
    if (inside & FLAGS[i].inside) flags |= FLAGS[i].outside;
  if (!session->is_collected) return flags;
  if (bitset_has(&session->collection.live, object)) return flags | INSPECT_LEFT_LIVE;
  return flags | (bitset_has(&session->collection.finalizer, object) ? INSPECT_LEFT_FINALIZER : 0);
}

static uint32_t vm_of(const struct inspect_session *session, object_id object) {
  return (uint32_t)(heap_vm_of(&session->heap, object) - session->heap.vms) + 1;
}

static uint64_t retained_by(const struct inspect_session *session, object_id object) {
  return session->is_dominated ? session->dominators.retained[object] : 0;
}

static void write_row(const struct inspect_session *session, uint32_t number,
                      struct inspect_object *row) {
  object_id object = object_of(session, number);
  *row = (struct inspect_object){.number = INSPECT_NO_OBJECT, .dominator = INSPECT_NO_OBJECT};
  if (object == NO_OBJECT) return;
  row->address = heap_address(&session->heap, object);
  row->bytes = graph_bytes(&session->heap.graph, object);
  row->retained = retained_by(session, object);
  row->number = number;
  row->class_number = class_number(session, object);
  row->vm = vm_of(session, object);
  if (session->is_dominated)
    row->dominator = number_of(session, session->dominators.parent[object]);
  row->type = session->heap.graph.type[object];
  row->flags = flags_of(session, object);
}

size_t inspect_objects(const struct inspect_session *session, const uint32_t *numbers,
                       uint32_t first, size_t count, struct inspect_object *result) {
  if (!numbers) count = clip(inspect_object_count(session), first, count);
  for (size_t i = 0; i < count; i++)
    write_row(session, numbers ? numbers[i] : first + (uint32_t)i, &result[i]);
  return count;
}

static bool passes(const struct inspect_session *session, const struct inspect_filter *filter,
                   object_id object) {
  const struct graph *graph = &session->heap.graph;
  if (filter->types && !(filter->types >> graph->type[object] & 1)) return false;
  if (filter->least_bytes && graph_bytes(graph, object) < filter->least_bytes) return false;
  if (filter->least_retained && retained_by(session, object) < filter->least_retained) return false;
  if (filter->vm && vm_of(session, object) != filter->vm) return false;
  if (filter->flags || filter->without_flags) {
    uint32_t flags = flags_of(session, object);
    if ((flags & filter->flags) != filter->flags || flags & filter->without_flags) return false;
  }
  uint32_t class = filter->classes ? class_number(session, object) : 0;
  return !filter->classes || (class < filter->class_count && filter->classes[class]);
}

size_t inspect_select(const struct inspect_session *session, const struct inspect_filter *filter,
                      const uint32_t *numbers, uint32_t first, size_t count, uint32_t *result) {
  size_t selected = 0;
  if (!numbers) count = clip(inspect_object_count(session), first, count);
  for (size_t i = 0; i < count; i++) {
    uint32_t number = numbers ? numbers[i] : first + (uint32_t)i;
    object_id object = object_of(session, number);
    if (object != NO_OBJECT && passes(session, filter, object)) result[selected++] = number;
  }
  return selected;
}

/* ---- One object ------------------------------------------------------------------------------ */

uint32_t inspect_object_at(const struct inspect_session *session, uint64_t address) {
  if (!session->is_built) return INSPECT_NO_OBJECT;
  return number_of(session, heap_object_at(&session->heap, address));
}

struct inspect_error *inspect_object_named(struct inspect_session *session, const char *path,
                                           uint32_t vm, uint32_t *number) {
  struct command_options options = {.vm = {.is_given = vm != 0, .value = vm}};
  struct arena arena;
  struct path parsed;
  object_id object = NO_OBJECT;
  *number = INSPECT_NO_OBJECT;
  TRY(session_build(session, NULL));
  TRY(session_check_choice(session, &options));
  arena_init(&arena);
  struct inspect_error *error = path_parse(&arena, path, &parsed);
  if (!error) error = resolve_path(session, &options, &parsed, &object, NULL);
  if (!error) *number = number_of(session, object);
  arena_free(&arena);
  return error;
}

const char *inspect_object_string(const struct inspect_session *session, uint32_t object,
                                  size_t *size) {
  object_id id = object_of(session, object);
  const struct graph_label_source *labels = &session->heap.graph.labels;
  *size = 0;
  return id == NO_OBJECT ? NULL : labels->string(labels->context, id, size);
}

char *inspect_object_words(struct inspect_session *session, uint32_t object) {
  object_id id = object_of(session, object);
  struct arena arena;
  if (id == NO_OBJECT) return NULL;
  arena_init(&arena);
  const char *words = describe_object(session, id, &arena);
  char *result = words ? strdup(words) : NULL;
  arena_free(&arena);
  return result;
}

const char *inspect_type_name(uint32_t type) {
  return type < OBJECT_TYPE_COUNT ? object_type_name((enum object_type)type) : NULL;
}

const char *inspect_class_name(const struct inspect_session *session, uint32_t number) {
  if (number < OBJECT_TYPE_COUNT) return object_type_name((enum object_type)number);
  uint32_t class = number - OBJECT_TYPE_COUNT;
  bool is_known =
      session->is_classified && session->classes.count && class < session->classes.count - 1;
  return is_known ? session->classes.items[class + 1].name : NULL;
}

/* ---- References ------------------------------------------------------------------------------ */

size_t inspect_reference_count(const struct inspect_session *session, uint32_t object) {
  const struct graph *graph = &session->heap.graph;
  object_id id = object_of(session, object);
  return id == NO_OBJECT ? 0
                         : (size_t)(graph_first(graph, (uint64_t)id + 1) - graph_first(graph, id));
}

size_t inspect_references(const struct inspect_session *session, uint32_t object, size_t first,
                          size_t count, struct inspect_reference *result) {
  const struct graph *graph = &session->heap.graph;
  object_id id = object_of(session, object);
  count = clip(inspect_reference_count(session, object), first, count);
  for (size_t i = 0; i < count; i++) {
    reference_id reference = graph_first(graph, id) + first + i;
    object_id target = graph->target[reference];
    result[i] =
        (struct inspect_reference){.address = heap_address(&session->heap, target),
                                   .target = number_of(session, target),
                                   .kind = graph->kind[reference],
                                   .strength = (uint8_t)reference_strength(graph, id, reference),
                                   .is_maybe = graph->kind[reference] == REFERENCE_MAYBE_STACK};
  }
  return count;
}

char *inspect_reference_label(struct inspect_session *session, uint32_t object, size_t position) {
  struct text text = {0};
  if (position >= inspect_reference_count(session, object)) return NULL;
  object_id id = object_of(session, object);
  reference_id reference = graph_first(&session->heap.graph, id) + position;
  if (resolve_label(session, id, reference, &text) && text_finish(&text)) return text.items;
  vector_free(&text);
  return NULL;
}

struct referrers {
  const struct inspect_session *session;
  struct VECTOR(struct inspect_referrer) found;
};

static bool take_referrer(void *context, object_id from, reference_id reference) {
  struct referrers *referrers = context;
  const struct inspect_session *session = referrers->session;
  struct inspect_referrer one = {.source = number_of(session, from),
                                 .position = reference - graph_first(&session->heap.graph, from)};
  return vector_push(&referrers->found, one);
}

static int compare_referrers(const void *left, const void *right) {
  const struct inspect_referrer *a = left, *b = right;
  if (a->source != b->source) return a->source < b->source ? -1 : 1;
  return (a->position > b->position) - (a->position < b->position);
}

struct inspect_error *inspect_referrers(const struct inspect_session *session, uint32_t object,
                                        const struct inspect_io *io,
                                        struct inspect_referrer **result, size_t *count) {
  struct referrers referrers = {.session = session};
  struct bitset targets = {0};
  object_id id = object_of(session, object);
  *result = NULL;
  *count = 0;
  if (id == NO_OBJECT)
    return error_create(INSPECT_ERROR_NOT_FOUND, "numbers count from 0, by address",
                        "there is no object number %u", object);
  if (!bitset_init(&targets, session->heap.graph.object_count)) return error_no_memory();
  bitset_add(&targets, id);
  struct monitor monitor;
  struct work work = begin_work(&monitor, io);
  struct inspect_error *error =
      incoming_find(&session->heap.graph, &targets, &work, take_referrer, &referrers);
  bitset_free(&targets);
  if (error) {
    vector_free(&referrers.found);
    return error;
  }
  if (referrers.found.count)
    qsort(referrers.found.items, referrers.found.count, sizeof *referrers.found.items,
          compare_referrers);
  *result = referrers.found.items;
  *count = referrers.found.count;
  return NULL;
}

const char *inspect_kind_name(uint32_t kind) {
  return kind < REFERENCE_KIND_COUNT ? reference_kind_name((enum reference_kind)kind) : NULL;
}

const char *inspect_strength_name(uint32_t strength) {
  if (strength > STRENGTH_WEAK) return NULL;
  return reference_strength_name((enum reference_strength)strength);
}
