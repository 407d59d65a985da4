/* triage_counts.c - what a first look counts besides bytes: coroutines, globals of the program,
 * long strings that are there more than once. */
#include "command/triage.h"

#include <string.h>

#include "graph/string_groups.h"
#include "lua/standard.h"

/* ---- Coroutines -------------------------------------------------------------------------------
 */

static struct inspect_error *count_coroutines(struct inspect_session *session,
                                              struct triage *triage) {
  const struct graph *graph = &session->heap.graph;
  struct object_list list = {0};
  for (size_t i = 0; i < triage->vms.count; i++) {
    struct heap_vm *owner = &session->heap.vms[triage->vms.items[i].index];
    for (uint32_t j = 0; owner->coroutines && j < owner->count; j++) {
      object_id object = owner->first + j;
      struct lua_thread thread;
      if (graph->type[object] != OBJECT_THREAD || object == owner->main_thread ||
          !bitset_has(&session->collection.live, object))
        continue;
      if (!vector_push(&list, object)) {
        vector_free(&list);
        return error_no_memory();
      }
      if (!thread_load(&owner->vm, heap_address(&session->heap, object), &thread) &&
          thread.initialized)
        triage->coroutines[thread_state(&thread)]++;
    }
  }
  triage->coroutine_count = list.count;
  triage->coroutine_bytes =
      dominators_retained_by_set(&session->dominators, list.items, list.count);
  vector_free(&list);
  return triage->coroutine_bytes == UINT64_MAX ? error_no_memory() : NULL;
}

/* ---- Globals ----------------------------------------------------------------------------------
 */

static bool is_standard(const struct heap_vm *owner, const struct graph *graph, object_id key) {
  size_t size;
  const char *name = graph->labels.string(graph->labels.context, key, &size);
  return name && standard_kind(owner->vm.layout->lua, "_G", name, size) != STANDARD_NOT;
}

static int by_retained(const void *a, const void *b) {
  const struct triage_global *x = a, *y = b;
  if (x->retained != y->retained) return x->retained > y->retained ? -1 : 1;
  size_t size = x->size < y->size ? x->size : y->size;
  int order = memcmp(x->name, y->name, size);
  return order ? order : (x->size > y->size) - (x->size < y->size);
}

/* The entries of _G under string keys: a key is in the graph whatever its value is. */
static bool list_globals(struct inspect_session *session, struct triage *triage,
                         const struct heap_vm *owner) {
  const struct graph *graph = &session->heap.graph;
  if (owner->globals == NO_OBJECT) return true;
  reference_id end = graph_first(graph, (uint64_t)owner->globals + 1);
  for (reference_id i = graph_first(graph, owner->globals); i < end; i++) {
    object_id key = graph->target[i];
    if (graph->kind[i] != REFERENCE_KEY || graph->type[key] != OBJECT_STRING ||
        is_standard(owner, graph, key))
      continue;
    struct triage_global global = {.object = NO_OBJECT};
    global.name = graph->labels.string(graph->labels.context, key, &global.size);
    if (i + 1 < end && graph->kind[i + 1] == REFERENCE_FIELD) global.object = graph->target[i + 1];
    if (global.object != NO_OBJECT) global.retained = session->dominators.retained[global.object];
    if (global.name && !vector_push(&triage->globals, global)) return false;
  }
  return true;
}

static struct inspect_error *count_globals(struct inspect_session *session, struct triage *triage) {
  struct object_list list = {0};
  bool fits = true;
  for (size_t i = 0; fits && i < triage->vms.count; i++)
    fits = list_globals(session, triage, &session->heap.vms[triage->vms.items[i].index]);
  for (size_t i = 0; fits && i < triage->globals.count; i++)
    fits = triage->globals.items[i].object == NO_OBJECT ||
           vector_push(&list, triage->globals.items[i].object);
  if (fits)
    triage->global_bytes = dominators_retained_by_set(&session->dominators, list.items, list.count);
  vector_free(&list);
  if (!fits || triage->global_bytes == UINT64_MAX) return error_no_memory();
  if (triage->globals.count)
    qsort(triage->globals.items, triage->globals.count, sizeof *triage->globals.items, by_retained);
  return NULL;
}

/* ---- Strings ----------------------------------------------------------------------------------
 */

/* Short strings are there once, and need not be looked at: none of them is larger. Returns the
 * bytes of the others. */
static uint64_t choose_strings(struct inspect_session *session, const struct triage *triage,
                               struct bitset *chosen) {
  enum { MOST_SHORT = 65 };
  uint64_t bytes = 0;
  const struct graph *graph = &session->heap.graph;
  for (size_t i = 0; i < triage->vms.count; i++) {
    const struct heap_vm *owner = &session->heap.vms[triage->vms.items[i].index];
    for (object_id object = owner->first; object - owner->first < owner->count; object++)
      if (graph->type[object] == OBJECT_STRING && graph->bytes[object] > MOST_SHORT &&
          bitset_has(&session->collection.live, object)) {
        bitset_add(chosen, object);
        bytes += graph_bytes(graph, object);
      }
  }
  return bytes;
}

/* All of their bytes are read to compare them: only where they are a good part of the heap. */
static struct inspect_error *count_strings(struct command_context *context, struct triage *triage) {
  struct inspect_session *session = context->session;
  struct bitset chosen;
  struct string_groups groups = {0};
  if (!bitset_init(&chosen, session->heap.graph.object_count)) return error_no_memory();
  uint64_t bytes = choose_strings(session, triage, &chosen);
  triage->are_strings_compared = bytes >= triage->all_live.bytes / 4;
  struct inspect_error *error =
      triage->are_strings_compared
          ? string_groups_equal(&session->heap, &chosen, context->work, &groups)
          : NULL;
  for (size_t i = 0; i < groups.count && !error; i++) {
    const struct string_group *group = &groups.items[i];
    triage->repeated.objects += group->count - 1;
    triage->repeated.bytes += group->bytes - group->bytes / group->count;
  }
  vector_free(&groups);
  bitset_free(&chosen);
  return error;
}

struct inspect_error *triage_count(struct command_context *context, struct triage *triage) {
  TRY(count_coroutines(context->session, triage));
  TRY(count_globals(context->session, triage));
  return count_strings(context, triage);
}
