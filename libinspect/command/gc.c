/* gc.c - how the collector of each VM is doing: settings, phase, what is marked, what is due. */
#include "command/gc.h"

#include <string.h>

#include "command/listing.h"
#include "graph/evidence.h"

/* ---- Which release -----------------------------------------------------------------------------
 */

/* 5.4.3 is the last release with a flag where later ones have bits. */
static enum stop_form form_of_release(const char *release) {
  if (!release || strncmp(release, "5.4.", 4) != 0) return STOP_UNKNOWN;
  return release[4] <= '3' && !release[5] ? STOP_RUNNING : STOP_BITS;
}

static struct inspect_error *find_stop_form(struct command_context *context, size_t index,
                                            enum stop_form *form) {
  struct heap *heap = &context->session->heap;
  const struct layout *layout = heap->vms[index].vm.layout;
  enum integer_hash integers;
  TRY(evidence_integer_hash(heap, index, context->work, &integers));
  *form = evidence_stop_form(layout, integers);
  if (*form == STOP_UNKNOWN) *form = form_of_release(context->session->releases[index]);
  return NULL;
}

/* ---- Counting ----------------------------------------------------------------------------------
 */

static void add(struct gc_tally *tally, uint64_t bytes) {
  tally->objects++;
  tally->bytes += bytes;
}

static void count_object(struct inspect_session *session, struct gc_report *report, struct vm *vm,
                         object_id object, bool with_marks) {
  const struct graph *graph = &session->heap.graph;
  uint64_t bytes = graph_bytes(graph, object);
  uint8_t flags = graph->flags[object], marked;
  bool is_fixed = flags & OBJECT_FIXED, is_freed = !collection_leaves(&session->collection, object);
  add(&report->all, bytes);
  if (is_fixed) add(&report->fixed, bytes);
  if (flags & OBJECT_PENDING) add(&report->pending, bytes);
  if (is_freed) add(&report->frees, bytes);
  if (!with_marks || !object_mark(vm, heap_address(&session->heap, object), &marked)) return;
  enum gc_color color = mark_color(vm, marked);
  enum gc_age age = mark_age(marked);
  add(&report->colors[color], bytes);
  if (age < GC_AGE_COUNT) add(&report->ages[age], bytes);
  if (!is_fixed && (color == GC_GRAY || color == GC_BLACK)) add(&report->marked, bytes);
  if (is_freed && age_is_old(age)) add(&report->old_frees, bytes);
}

static struct inspect_error *count(struct command_context *context, bool with_marks,
                                   struct gc_report *report) {
  enum { REPORT_EVERY = 1 << 16 };
  struct inspect_session *session = context->session;
  struct heap_vm *owner = &session->heap.vms[report->index];
  for (uint32_t i = 0; i < owner->count; i++) {
    count_object(session, report, &owner->vm, owner->first + i, with_marks);
    if (i % REPORT_EVERY == 0 && work_stops(context->work, "counting marks", i, owner->count))
      return error_interrupted();
  }
  return NULL;
}

/* In a pause of an incremental collector all objects are of one colour and age. */
static bool marks_matter(const struct vm *vm) {
  return vm->gc_state != GC_PAUSE || vm_is_generational(vm);
}

struct inspect_error *gc_report_vm(struct command_context *context, size_t index,
                                   bool diagnosis_only, struct gc_report *report) {
  struct heap_vm *owner = &context->session->heap.vms[index];
  *report = (struct gc_report){
      .index = index, .owner = owner, .is_incomplete = context->session->heap.graph.incomplete};
  enum stop_form form;
  TRY(find_stop_form(context, index, &form));
  if (!collector_load(&owner->vm, form, &report->collector))
    return error_at(INSPECT_ERROR_UNREADABLE, owner->vm.global_state, NULL,
                    "the global state of VM %zu is not in the dump", index + 1);
  TRY(count(context, !diagnosis_only || marks_matter(&owner->vm), report));
  gc_diagnose(report, context->arena);
  return NULL;
}

static size_t count_selected(const struct command_context *context) {
  size_t selected = 0;
  for (size_t i = 0; i < context->session->heap.vm_count; i++)
    selected += session_selects(context->session, context->options, i);
  return selected;
}

struct inspect_error *command_gc(struct command_context *context) {
  struct inspect_session *session = context->session;
  TRY(session_begin(context));
  describe_target(context, false);
  struct data *list = data_array(context->data, "gc");
  bool is_only = count_selected(context) == 1;
  for (size_t i = 0; i < session->heap.vm_count; i++) {
    struct gc_report report;
    if (!session_selects(session, context->options, i)) continue;
    struct inspect_error *error = gc_report_vm(context, i, false, &report);
    TRY(partial_if_interrupted(context, error));
    if (error) break; /* the rest is left out */
    gc_to_page(context, &report, is_only);
    gc_to_data(list, &report);
  }
  struct line *line = listing_next(context);
  listing_try(context, line, "lua-heap --garbage");
  listing_try(context, line, "lua-leaks");
  describe_faults(context);
  return NULL;
}
