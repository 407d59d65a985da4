/* trackers.c - which weak tables there are, and which of them are trackers. */
#include "command/trackers_parts.h"

const char *tracker_kind_name(enum tracker_kind kind) {
  static const char *const NAMES[] = {"leakwatch", "found", "named", "candidate"};
  return NAMES[kind];
}

const char *verdict_name(enum verdict verdict) {
  static const char *const NAMES[] = {"leaked", "garbage", "finalizer", "never", "unknown"};
  return NAMES[verdict];
}

/* ---- Finding --------------------------------------------------------------------------------- */

static struct inspect_error *examine(struct inspect_session *session,
                                     const struct command_options *options, const struct work *work,
                                     size_t vm, object_id object, struct trackers *trackers) {
  const struct graph *graph = &session->heap.graph;
  struct heap_vm *owner = &session->heap.vms[vm];
  struct lua_table table;
  if (table_load(&owner->vm, heap_address(&session->heap, object), &table)) return NULL;
  struct tracker tracker = {.table = object, .vm = vm, .kind = TRACKER_CANDIDATE};
  bool is_candidate = false, is_tracker = false;
  if (graph->flags[object] & OBJECT_WEAK_KEYS)
    tracker_recognise(&owner->vm, &table, &tracker, &is_candidate, &is_tracker);
  if (is_candidate || is_tracker) bitset_add(&trackers->tables, object);
  if (trackers->tables_only) return NULL;
  if (is_tracker || options->all_weak) return tracker_read(session, work, trackers, &tracker);
  if (!is_candidate)
    trackers->other_weak++;
  else if (!vector_push(&trackers->candidates, tracker))
    return error_no_memory();
  return NULL;
}

static int by_rank(const void *left, const void *right, void *context) {
  const struct heap *heap = context;
  uint32_t a = heap->granule[*(const object_id *)left],
           b = heap->granule[*(const object_id *)right];
  return a < b ? -1 : a > b;
}

/* All live weak tables of the selected VMs, in address order. */
static struct inspect_error *examine_all(struct inspect_session *session,
                                         const struct command_options *options,
                                         const struct work *work, struct trackers *trackers) {
  const struct graph *graph = &session->heap.graph;
  struct VECTOR(object_id) weak = {0};
  struct inspect_error *error = NULL;
  for (size_t vm = 0; !error && vm < session->heap.vm_count; vm++) {
    const struct heap_vm *owner = &session->heap.vms[vm];
    if (!session_selects(session, options, vm)) continue;
    weak.count = 0;
    for (uint32_t i = 0; !error && i < owner->count; i++) {
      object_id object = owner->first + i;
      if (graph->flags[object] & (OBJECT_WEAK_KEYS | OBJECT_WEAK_VALUES) &&
          graph->type[object] == OBJECT_TABLE && bitset_has(&session->collection.live, object) &&
          !vector_push(&weak, object))
        error = error_no_memory();
    }
    if (weak.count) qsort_r(weak.items, weak.count, sizeof *weak.items, by_rank, &session->heap);
    for (size_t i = 0; !error && i < weak.count; i++) {
      if (work_stops(work, "reading trackers", 0, 0))
        error = error_interrupted();
      else
        error = examine(session, options, work, vm, weak.items[i], trackers);
    }
  }
  vector_free(&weak);
  return error;
}

static struct inspect_error *take_named(struct inspect_session *session,
                                        const struct command_options *options, object_id object,
                                        const struct work *work, struct trackers *trackers) {
  const struct graph *graph = &session->heap.graph;
  uint64_t address = heap_address(&session->heap, object);
  if (graph->type[object] != OBJECT_TABLE ||
      !(graph->flags[object] & (OBJECT_WEAK_KEYS | OBJECT_WEAK_VALUES)))
    return error_at(
        INSPECT_ERROR_NOT_FOUND, address,
        "a tracker is a table with __mode \"k\" or \"v\"; lua-leaks without a name finds "
        "them by itself",
        "%s is no weak table: what it holds is kept alive by it", options->tracker->source);
  struct heap_vm *owner = heap_vm_of(&session->heap, object);
  struct tracker tracker = {.table = object, .vm = (size_t)(owner - session->heap.vms)};
  struct lua_table table;
  bool is_candidate, is_tracker;
  if (!table_load(&owner->vm, address, &table))
    tracker_recognise(&owner->vm, &table, &tracker, &is_candidate, &is_tracker);
  tracker.kind = TRACKER_NAMED;
  bitset_add(&trackers->tables, object);
  return tracker_read(session, work, trackers, &tracker);
}

/* The path may name a table in several VMs: those that are no weak ones count only if all are. */
static struct inspect_error *take_all_named(struct inspect_session *session,
                                            const struct command_options *options,
                                            const struct work *work, struct trackers *trackers) {
  struct resolved places = {0};
  struct inspect_error *first = NULL;
  struct inspect_error *error =
      resolve_path_everywhere(session, options, options->tracker, &places);
  for (size_t i = 0; !error && i < places.count; i++) {
    error = take_named(session, options, places.items[i].object, work, trackers);
    if (!error || error->code != INSPECT_ERROR_NOT_FOUND) continue;
    inspect_error_free(first);
    first = error;
    error = NULL;
  }
  vector_free(&places);
  if (!error && !trackers->list.count) return first;
  inspect_error_free(first);
  return error;
}

struct inspect_error *trackers_find(struct inspect_session *session,
                                    const struct command_options *options, const struct work *work,
                                    struct trackers *trackers) {
  *trackers = (struct trackers){.heap = &session->heap,
                                .now = session_now(session, options),
                                .cpu_time = session->source->cpu_time};
  if (!bitset_init(&trackers->tables, session->heap.graph.object_count)) return error_no_memory();
  struct inspect_error *error = examine_all(session, options, work, trackers);
  if (!error && options->tracker) { /* the others still bar chains, but do not count */
    trackers->list.count = trackers->entries.count = trackers->candidates.count = 0;
    trackers->extras.count = 0;
    trackers->other_weak = 0;
    error = take_all_named(session, options, work, trackers);
  }
  if (error) trackers_free(trackers);
  return error;
}

struct inspect_error *trackers_find_tables(struct inspect_session *session, const struct work *work,
                                           struct bitset *tables) {
  const struct command_options options = {0}; /* of all VMs */
  struct trackers trackers = {.tables_only = true};
  *tables = (struct bitset){0};
  if (!bitset_init(&trackers.tables, session->heap.graph.object_count)) return error_no_memory();
  struct inspect_error *error = examine_all(session, &options, work, &trackers);
  if (!error) {
    *tables = trackers.tables;
    trackers.tables = (struct bitset){0};
  }
  trackers_free(&trackers);
  return error;
}

void trackers_free(struct trackers *trackers) {
  vector_free(&trackers->list);
  vector_free(&trackers->entries);
  vector_free(&trackers->extras);
  vector_free(&trackers->candidates);
  free(trackers->order);
  trackers->order = NULL;
  bitset_free(&trackers->tables);
}
