/* triage.c - the first look at a core that nobody has looked at: whose it is, what its memory is
 * made of, how its collector is doing, what trackers say, and what has piled up.
 *
 * One collection, one dominator tree; the rest are single passes. */
#include "command/triage.h"

#include <string.h>

/* ---- Memory -----------------------------------------------------------------------------------
 */

static void add(struct gc_tally *tally, uint64_t bytes) {
  tally->objects++;
  tally->bytes += bytes;
}

static struct inspect_error *count_memory(struct command_context *context, struct triage *triage,
                                          const struct heap_vm *owner) {
  enum { AT_ONCE = 1 << 16 };
  const struct inspect_session *session = context->session;
  const struct graph *graph = &session->heap.graph;
  for (uint32_t i = 0; i < owner->count; i++) {
    object_id object = owner->first + i;
    if (i % AT_ONCE == 0 && work_stops(context->work, "counting", i, owner->count))
      return error_interrupted();
    bool is_left = collection_leaves(&session->collection, object);
    uint64_t bytes = graph_bytes(graph, object);
    add(&(is_left ? triage->live : triage->garbage)[graph->type[object]], bytes);
    add(is_left ? &triage->all_live : &triage->all_garbage, bytes);
  }
  return NULL;
}

/* ---- VMs --------------------------------------------------------------------------------------
 */

static struct inspect_error *report_vms(struct command_context *context, struct triage *triage) {
  for (size_t i = 0; i < triage->vms.count; i++) {
    struct triage_vm *vm = &triage->vms.items[i];
    struct inspect_error *error = gc_report_vm(context, vm->index, true, &vm->gc);
    vm->has_gc = !error;
    if (error && error->code != INSPECT_ERROR_UNREADABLE) return error;
    inspect_error_free(error);
  }
  return NULL;
}

static int largest_first(const void *a, const void *b) {
  const struct triage_vm *x = a, *y = b;
  uint64_t left = x->gc.owner->vm.heap_bytes, right = y->gc.owner->vm.heap_bytes;
  if (left != right) return left > right ? -1 : 1;
  return (x->index > y->index) - (x->index < y->index);
}

static struct inspect_error *list_vms(struct command_context *context, struct triage *triage) {
  struct inspect_session *session = context->session;
  for (size_t i = 0; i < session->heap.vm_count; i++) {
    struct triage_vm vm = {.index = i, .gc.owner = &session->heap.vms[i]};
    if (!session_selects(session, context->options, i)) continue;
    if (!vector_push(&triage->vms, vm)) return error_no_memory();
    TRY(count_memory(context, triage, vm.gc.owner));
  }
  qsort(triage->vms.items, triage->vms.count, sizeof *triage->vms.items, largest_first);
  return NULL;
}

/* ---- The whole --------------------------------------------------------------------------------
 */

static struct inspect_error *search(struct command_context *context, struct triage *triage) {
  TRY(report_vms(context, triage));
  TRY(leaks_find(context, false, &triage->leaks));
  triage->has_trackers = true;
  if (context->partial) return NULL;
  TRY(session_dominate(context->session, context->work));
  TRY(triage_count(context, triage));
  TRY(suspicions_find(context, &triage->leaks, &triage->suspicions));
  triage->is_searched = true;
  return NULL;
}

static void release(void *state) {
  struct triage *triage = state;
  leaks_free(&triage->leaks);
  suspicions_free(&triage->suspicions);
  vector_free(&triage->vms);
  vector_free(&triage->globals);
  free(triage);
}

struct inspect_error *command_triage(struct command_context *context) {
  struct inspect_session *session = context->session;
  TRY(session_detect(session, context->work));
  TRY(session_check_choice(session, context->options));
  TRY(session_collect(session, context->work));
  struct triage *triage = calloc(1, sizeof *triage);
  if (!triage) return error_no_memory();
  context->state = triage;
  context->release = release;
  TRY(list_vms(context, triage));
  TRY(partial_if_interrupted(context, search(context, triage)));
  context->found = triage->leaks.verdicts[VERDICT_LEAKED] || triage->suspicions.count;
  describe_target(context, false);
  triage_to_data(context, triage);
  triage_to_page(context, triage);
  describe_faults(context);
  return NULL;
}
