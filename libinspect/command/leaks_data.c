/* leaks_data.c - the answer of `leaks` as data: the keys that scripts rely on. */
#include <math.h>
#include <stdio.h>

#include "command/chain_view.h"
#include "command/leaks.h"

/* Rows are made while the document is rendered; the command's state outlives that. */
struct rows {
  struct inspect_session *session;
  struct leaks *leaks;
};

static struct cell real(double value, struct cell cell) {
  return isnan(value) ? cell_null() : cell;
}

static struct cell fingerprint(struct arena *arena, uint64_t value) {
  return cell_words(arena_printf(arena, "%016llx", (unsigned long long)value));
}

void leaks_trackers_to_data(struct command_context *context, const struct leaks *leaks) {
  struct inspect_session *session = context->session;
  struct data *list = data_array(context->data, "trackers");
  for (size_t i = 0; i < leaks->trackers.list.count &&
                     !document_stops(context->document, i, leaks->trackers.list.count);
       i++) {
    const struct tracker *tracker = &leaks->trackers.list.items[i];
    uint8_t flags = session->heap.graph.flags[tracker->table];
    struct data *row = data_object(list, NULL);
    data_cell(row, "vm", cell_plain(tracker->vm + 1));
    data_cell(row, "address", cell_address(heap_address(&session->heap, tracker->table)));
    data_cell(row, "path", cell_words(leaks->tracker_paths ? leaks->tracker_paths[i] : NULL));
    const char *mode = flags & OBJECT_WEAK_KEYS ? flags & OBJECT_WEAK_VALUES ? "kv" : "k" : "v";
    data_cell(row, "mode", cell_words(mode));
    data_cell(row, "kind", cell_words(tracker_kind_name(tracker->kind)));
    data_cell(row, "entries", cell_count(tracker->entries));
    for (enum verdict verdict = 0; verdict < VERDICT_COUNT; verdict++)
      data_cell(row, verdict_name(verdict), cell_count(tracker->verdicts[verdict]));
  }
}

static void entry_row(void *context, size_t index, struct data *row) {
  const struct rows *rows = context;
  struct inspect_session *session = rows->session;
  const struct leaks *leaks = rows->leaks;
  const struct graph *graph = &session->heap.graph;
  const struct tracked *tracked = &leaks->trackers.entries.items[leaks->shown.items[index]];
  const struct tracker *tracker = &leaks->trackers.list.items[tracked->tracker];
  struct tracked_text description = tracked_description(&leaks->trackers, tracked);
  struct tracked_text trace = tracked_trace(&leaks->trackers, tracked);
  double age = tracked_age(&leaks->trackers, tracked);
  double retired = tracked_retired(&leaks->trackers, tracked);
  bool is_object = tracked->object != NO_OBJECT;
  const char *class = is_object ? object_class(session, tracked->object) : NULL;
  data_cell(row, "vm", cell_plain(tracker->vm + 1));
  data_cell(row, "tracker", cell_address(heap_address(&session->heap, tracker->table)));
  data_cell(row, "address",
            is_object ? cell_address(heap_address(&session->heap, tracked->object)) : cell_null());
  data_cell(row, "type",
            cell_words(is_object ? object_type_name(graph->type[tracked->object]) : NULL));
  data_cell(row, "class", cell_words(class));
  data_cell(row, "description",
            description.bytes ? cell_bare(description.bytes, description.size) : cell_null());
  data_cell(row, "created", real(tracked->created, cell_number(tracked->created)));
  data_cell(row, "age_seconds", real(age, cell_number(age)));
  data_cell(row, "retired",
            !tracked->is_retired ? cell_null()
            : isnan(retired)     ? cell_boolean(true)
                                 : cell_number(retired));
  data_cell(row, "trace", trace.bytes ? cell_bare(trace.bytes, trace.size) : cell_null());
  data_cell(row, "verdict", cell_words(verdict_name(tracked->verdict)));
  data_cell(row, "bytes",
            is_object ? cell_bytes(graph_bytes(graph, tracked->object)) : cell_null());
  bool has_retained = leaks->has_retained && tracked->verdict == VERDICT_LEAKED;
  data_cell(row, "retained_bytes",
            has_retained ? cell_bytes(session->dominators.retained[tracked->object]) : cell_null());
  char hash[17] = "";
  if (tracked->cause != UINT32_MAX)
    snprintf(hash, sizeof hash, "%016llx",
             (unsigned long long)leaks->causes.items[tracked->cause].cause->fingerprint);
  data_cell(row, "cause", *hash ? cell_bare(hash, 16) : cell_null());
  data_cell(row, "held_by",
            tracked->held_by != NO_OBJECT
                ? cell_address(heap_address(&session->heap, tracked->held_by))
                : cell_null());
}

/* Chains are long where lists are, and as many as causes: so rows are made one by one. */
struct cause_rows {
  struct command_context context; /* a copy: its arena is a row's */
  const struct leaks *leaks;
  const size_t *chosen; /* positions in leaks->causes */
};

static void cause_row(void *context, size_t index, struct data *row) {
  struct cause_rows *rows = context;
  const struct leaks *leaks = rows->leaks;
  const struct leak_cause *mine = &leaks->causes.items[rows->chosen[index]];
  const struct cause *cause = mine->cause;
  struct arena arena;
  arena_init(&arena);
  rows->context.arena = &arena;
  data_cell(row, "vm", cell_plain(mine->vm + 1));
  data_cell(row, "number", cell_plain(mine->group + 1));
  data_cell(row, "vms_with_it", cell_count(leaks->groups.items[mine->group].vms));
  data_cell(row, "fingerprint", fingerprint(&arena, cause->fingerprint));
  data_cell(row, "count", cell_count(cause->count));
  data_cell(row, "retained_bytes",
            leaks->has_retained ? cell_bytes(cause->retained_bytes) : cell_null());
  data_cell(row, "pattern", cell_words(cause->pattern));
  struct data *chain = data_array(row, "chain");
  size_t suspect =
      chain_to_data(&rows->context, chain, &cause->chain, leaks->search.from, cause->suspect);
  data_cell(row, "suspect", cause->suspect ? cell_plain(suspect) : cell_null());
  data_cell(row, "only_holder_of",
            cause->suspect ? cell_count(cause->only_holder_of) : cell_null());
  data_cell(row, "cut_frees",
            cause->cut_frees != SIZE_MAX ? cell_count(cause->cut_frees) : cell_null());
  arena_free(&arena);
}

void leaks_causes_to_data(struct command_context *context, const struct leaks *leaks) {
  struct cause_rows *rows = arena_alloc(context->arena, sizeof *rows);
  size_t *chosen = arena_alloc(context->arena, leaks->causes.count * sizeof *chosen + 1);
  size_t count = 0;
  if (!rows || !chosen) return;
  for (size_t i = 0; i < leaks->causes.count; i++)
    if (leaks_selects(context->options, &leaks->causes.items[i])) chosen[count++] = i;
  *rows = (struct cause_rows){.context = *context, .leaks = leaks, .chosen = chosen};
  data_rows(context->data, "causes", count, cause_row, rows);
}

static void data_weak(struct command_context *context, const struct leaks *leaks) {
  struct inspect_session *session = context->session;
  struct data *list = data_array(context->data, "candidates");
  for (size_t i = 0; i < leaks->trackers.candidates.count &&
                     !document_stops(context->document, i, leaks->trackers.candidates.count);
       i++) {
    const struct tracker *candidate = &leaks->trackers.candidates.items[i];
    struct data *row = data_object(list, NULL);
    data_cell(row, "vm", cell_plain(candidate->vm + 1));
    data_cell(row, "address", cell_address(heap_address(&session->heap, candidate->table)));
  }
  data_cell(context->data, "other_weak_tables", cell_count(leaks->trackers.other_weak));
}

void leaks_to_data(struct command_context *context, struct leaks *leaks) {
  leaks_trackers_to_data(context, leaks);
  struct rows *rows = arena_alloc(context->arena, sizeof *rows);
  if (!rows) return;
  *rows = (struct rows){.session = context->session, .leaks = leaks};
  data_rows(context->data, "entries", leaks->shown.count, entry_row, rows);
  leaks_causes_to_data(context, leaks);
  data_weak(context, leaks);
  struct data *cuts = data_array(context->data, "cuts");
  for (size_t i = 0; i < leaks->cuts.count; i++) {
    struct data *row = data_object(cuts, NULL);
    data_cell(row, "path", cell_words(leaks->cuts.items[i].path));
    data_cell(row, "frees", cell_count(leaks->cuts.items[i].frees));
    data_cell(row, "of", cell_count(leaks->survivors.count));
  }
}
