/* coroutines.c - the coroutines in groups: by the function they began with, by state, or both.
 *
 * Each coroutine becomes a row with what it is grouped by; the rows are sorted, so that a group is
 * a run of them, and the places of a group are runs within. Texts are compared, not addresses: the
 * order is the same in every run of a program. */
#include "command/coroutines.h"

#include <string.h>

/* ---- Rows ------------------------------------------------------------------------------------ */

/* "server.lua:98 in method 'wait'": where the innermost Lua function is. */
static const char *place_of(struct vm_threads *threads, struct traceback *traceback,
                            struct arena *arena) {
  struct lua_place place;
  struct lua_frame frame;
  size_t level = 0;
  if (!traceback->calls.count || !thread_place(&threads->owner->vm, &traceback->thread, &place))
    return NULL;
  const char *where = prototype_place(&threads->owner->vm, place.prototype, place.line, arena);
  while (level < traceback->calls.count && !traceback->calls.items[level].is_lua)
    level++;
  if (!where || level == traceback->calls.count ||
      !traceback_frame(traceback, level, arena, &frame) || !frame.name)
    return where;
  return arena_printf(arena, "%s in %s '%s'", where, frame.namewhat, frame.name);
}

static bool add_row(struct census *census, struct vm_threads *threads,
                    const struct thread_row *thread) {
  struct inspect_session *session = census->context->session;
  struct arena *arena = census->context->arena;
  struct coroutine row = {
      .status = thread->status, .object = thread->object, .address = thread->address};
  struct traceback traceback;
  if (!vm_threads_open(threads, thread, &traceback)) {
    row.main = thread_main_name(session, &traceback, arena);
    row.place = place_of(threads, &traceback, arena);
  }
  traceback_close(&traceback);
  row.bytes = graph_bytes(&session->heap.graph, thread->object);
  if (session->is_dominated) row.retained = session->dominators.retained[thread->object];
  row.is_garbage =
      session->is_collected && !collection_leaves(&session->collection, thread->object);
  return vector_push(&census->rows, row);
}

static int by_object(const void *left, const void *right) {
  const struct coroutine *a = left, *b = right;
  return a->address < b->address ? -1 : a->address > b->address;
}

/* New objects come first in the list of a VM: the further back, the older. */
static void set_ages(struct census *census, struct vm_threads *threads, size_t first) {
  struct vm *vm = &threads->owner->vm;
  size_t count = census->rows.count - first;
  uint64_t position = 0, most = threads->owner->count;
  if (!count) return;
  struct coroutine *rows = census->rows.items + first;
  qsort(rows, count, sizeof *rows, by_object);
  for (uint64_t at = vm_list(vm, global_State_allgc); at && position < most; position++) {
    const uint8_t *bytes = memory_view(&vm->memory, at, vm->layout->size[SIZE_UpVal]);
    if (!bytes) bytes = memory_view(&vm->memory, at, 2 * (uint64_t)vm->layout->pointer_size);
    if (!bytes) return;
    if (load_field(vm->layout, bytes, GCObject_tt) == TAG_THREAD) {
      struct coroutine wanted = {.address = at};
      struct coroutine *row = bsearch(&wanted, rows, count, sizeof *rows, by_object);
      if (row) row->age = position + 1;
    }
    at = load_field(vm->layout, bytes, GCObject_next);
  }
}

static struct inspect_error *add_vm(struct census *census, struct vm_threads *threads) {
  enum { REPORT_EVERY = 1 << 12 };
  size_t first = census->rows.count;
  for (size_t i = 0; i < threads->list.count; i++) {
    if (i % REPORT_EVERY == 0 &&
        work_stops(census->context->work, "reading coroutines", i, threads->list.count))
      return error_interrupted();
    if (threads->list.items[i].object == threads->owner->main_thread) continue;
    if (!add_row(census, threads, &threads->list.items[i])) return error_no_memory();
  }
  set_ages(census, threads, first);
  return NULL;
}

/* ---- Groups ---------------------------------------------------------------------------------- */

static int compare_texts(const char *a, const char *b) {
  if (!a || !b) return a ? -1 : b ? 1 : 0;
  return strcmp(a, b);
}

/* 0: of one group. */
static int compare_groups(const struct census *census, const struct coroutine *a,
                          const struct coroutine *b) {
  int order = census->by_main ? compare_texts(a->main, b->main) : 0;
  if (order || !census->by_status || a->status == b->status) return order;
  return a->status < b->status ? -1 : 1;
}

static int by_group(const void *left, const void *right, void *context) {
  const struct coroutine *a = left, *b = right;
  int order = compare_groups(context, a, b);
  if (!order) order = compare_texts(a->place, b->place);
  return order ? order : by_object(a, b);
}

/* A run of rows with one place; the commonest places are kept, then the first in text order. */
static void add_place(struct group *group, const char *place, uint64_t count) {
  size_t at = group->place_count;
  if (!place) return;
  while (at && group->places[at - 1].count < count)
    at--;
  if (group->place_count == MOST_PLACES) group->other_places++;
  if (at == MOST_PLACES) return;
  if (group->place_count < MOST_PLACES) group->place_count++;
  memmove(group->places + at + 1, group->places + at,
          (group->place_count - 1 - at) * sizeof *group->places);
  group->places[at] = (struct place_count){place, count};
}

static void add_places(const struct census *census, struct group *group) {
  const struct coroutine *rows = census->rows.items + group->first;
  for (size_t i = 0; i < group->count;) {
    size_t run = 1;
    while (i + run < group->count && compare_texts(rows[i].place, rows[i + run].place) == 0)
      run++;
    add_place(group, rows[i].place, run);
    i += run;
  }
}

/* Bytes that would be freed if all of the group were gone. */
static struct inspect_error *set_retained(struct census *census, size_t first, size_t count,
                                          uint64_t *retained) {
  struct inspect_session *session = census->context->session;
  *retained = 0;
  if (!session->is_dominated || !count) return NULL;
  object_id *objects = malloc(count * sizeof *objects);
  if (!objects) return error_no_memory();
  for (size_t i = 0; i < count; i++)
    objects[i] = census->rows.items[first + i].object;
  *retained = dominators_retained_by_set(&session->dominators, objects, count);
  free(objects);
  return *retained == UINT64_MAX ? error_no_memory() : NULL;
}

static struct inspect_error *add_group(struct census *census, size_t first, size_t count) {
  struct group group = {.first = first, .count = count};
  const struct coroutine *rows = census->rows.items + first;
  for (size_t i = 0; i < count; i++) {
    uint64_t size = rows[i].retained ? rows[i].retained : rows[i].bytes;
    uint64_t most = !group.biggest            ? 0
                    : group.biggest->retained ? group.biggest->retained
                                              : group.biggest->bytes;
    group.bytes += rows[i].bytes;
    group.garbage += rows[i].is_garbage;
    if (!group.biggest || size > most || (size == most && rows[i].address < group.biggest->address))
      group.biggest = &rows[i];
    if (!group.oldest || rows[i].age > group.oldest->age) group.oldest = &rows[i];
  }
  add_places(census, &group);
  TRY(set_retained(census, first, count, &group.retained));
  return vector_push(&census->groups, group) ? NULL : error_no_memory();
}

static int by_retained(const void *left, const void *right, void *context) {
  const struct group *a = left, *b = right;
  const struct census *census = context;
  if (a->retained != b->retained) return a->retained > b->retained ? -1 : 1;
  if (a->bytes != b->bytes) return a->bytes > b->bytes ? -1 : 1;
  return compare_groups(census, &census->rows.items[a->first], &census->rows.items[b->first]);
}

static struct inspect_error *make_groups(struct census *census) {
  size_t count = census->rows.count;
  if (!count) return NULL;
  qsort_r(census->rows.items, count, sizeof *census->rows.items, by_group, census);
  for (size_t first = 0, next; first < count; first = next) {
    for (next = first + 1; next < count; next++)
      if (compare_groups(census, &census->rows.items[first], &census->rows.items[next])) break;
    TRY(add_group(census, first, next - first));
  }
  qsort_r(census->groups.items, census->groups.count, sizeof *census->groups.items, by_retained,
          census);
  for (size_t i = 0; i < census->groups.count; i++)
    census->bytes += census->groups.items[i].bytes;
  return set_retained(census, 0, count, &census->retained);
}

/* ---- The command ----------------------------------------------------------------------------- */

static void release(void *state) {
  struct census *census = state;
  vector_free(&census->rows);
  vector_free(&census->groups);
  free(census);
}

/* --by; the first is what is meant without it. */
const char *const coroutine_groupings[] = {"both", "status", "main", NULL};

static void choose_grouping(struct census *census) {
  const char *by = coroutine_groupings[census->context->options->by];
  census->by_status = strcmp(by, "main") != 0;
  census->by_main = strcmp(by, "status") != 0;
}

static struct inspect_error *take_census(struct census *census) {
  struct command_context *context = census->context;
  struct inspect_session *session = context->session;
  for (size_t i = 0; i < session->heap.vm_count; i++) {
    struct vm_threads threads;
    if (!session_selects(session, context->options, i)) continue;
    struct inspect_error *error = vm_threads_find(session, i, context->work, &threads);
    if (!error) error = add_vm(census, &threads);
    vm_threads_free(&threads);
    if (error) return error;
  }
  return NULL;
}

struct inspect_error *command_coroutines(struct command_context *context) {
  struct inspect_session *session = context->session;
  struct census *census = calloc(1, sizeof *census);
  if (!census) return error_no_memory();
  context->state = census;
  context->release = release;
  census->context = context;
  choose_grouping(census);
  TRY(session_build(session, context->work));
  TRY(session_check_choice(session, context->options));
  TRY(partial_if_interrupted(context, session_dominate(session, context->work)));
  TRY(partial_if_interrupted(context, take_census(census)));
  TRY(make_groups(census));
  describe_target(context, false);
  coroutines_show(census);
  describe_faults(context);
  return NULL;
}

const char coroutines_help[] =
    "Counts the coroutines by state and by the function they began with, with their bytes (their "
    "stacks included), what would be freed with them, the places where they are, and the biggest "
    "and the oldest of each group. Groups come by retained bytes, largest first.\n"
    "\n"
    "States: running; normal, which has resumed another; suspended; dead by error; not started; "
    "finished. The function that a finished coroutine began with is not known any more. The main "
    "thread is not counted. The oldest is the one that was created first. @N is the biggest of "
    "group N for the next command.\n"
    "\n"
    "Examples:\n"
    "  lua-coroutines\n"
    "      groups by function and state, the 20 that retain most\n"
    "  lua-coroutines --by status --json\n"
    "      one group for each state, for scripts: key groups\n"
    "  lua-coroutines --by main --limit 5\n"
    "      the five functions whose coroutines retain most\n";
