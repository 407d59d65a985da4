/* threads.c - the threads of a VM in order, and the chain of resumes.
 *
 * Each resume runs on the native stack above the one before, and each keeps a jump buffer there for
 * errors (ldo.c: luaD_rawrunprotected): of the threads inside a call, the one whose buffer lies
 * lowest runs, the next one has resumed it, and so on. */
#include "command/threads.h"

#include <signal.h>

#include "graph/evidence.h"
#include "lua/native.h"

static enum thread_status status_of(struct heap_vm *owner, object_id object,
                                    const struct lua_thread *thread, const char *fault) {
  if (fault || !thread->initialized) return THREAD_STATUS_DAMAGED;
  switch (thread_state(thread)) {
  case THREAD_RUNNING:
    return THREAD_STATUS_NORMAL;
  case THREAD_SUSPENDED:
    return THREAD_STATUS_SUSPENDED;
  case THREAD_DEAD_BY_ERROR:
    return THREAD_STATUS_ERROR;
  case THREAD_NOT_STARTED:
    return object == owner->main_thread ? THREAD_STATUS_IDLE : THREAD_STATUS_NOT_STARTED;
  case THREAD_FINISHED:
    break;
  }
  return object == owner->main_thread ? THREAD_STATUS_IDLE : THREAD_STATUS_FINISHED;
}

static struct inspect_error *collect_threads(struct inspect_session *session,
                                             const struct work *work, struct vm_threads *threads) {
  enum { REPORT_EVERY = 1 << 16 };
  struct heap_vm *owner = threads->owner;
  for (uint32_t i = 0; i < owner->count; i++) {
    object_id object = owner->first + i;
    if (i % REPORT_EVERY == 0 && work_stops(work, "looking for coroutines", i, owner->count))
      return error_interrupted();
    if (session->heap.graph.type[object] != OBJECT_THREAD) continue;
    struct thread_row row = {.object = object, .address = heap_address(&session->heap, object)};
    struct lua_thread thread;
    const char *fault = thread_load(&owner->vm, row.address, &thread);
    row.status = status_of(owner, object, &thread, fault);
    row.error_jump = fault ? 0 : thread.error_jump;
    if (!vector_push(&threads->list, row)) return error_no_memory();
  }
  return NULL;
}

/* ---- The chain ------------------------------------------------------------------------------- */

/* A main thread may be called without protection: then it has no buffer, and began all. */
static bool is_in_chain(const struct vm_threads *threads, const struct thread_row *row) {
  return row->status == THREAD_STATUS_NORMAL &&
         (row->error_jump || row->object == threads->owner->main_thread);
}

static int by_depth(const void *left, const void *right) {
  const struct thread_row *a = left, *b = right;
  uint64_t first = a->error_jump - 1, second = b->error_jump - 1; /* 0 is the outermost */
  if (first != second) return first < second ? -1 : 1;
  return a->address < b->address ? -1 : a->address > b->address;
}

static int by_status(const void *left, const void *right) {
  const struct thread_row *a = left, *b = right;
  if (a->in_chain != b->in_chain) return a->in_chain ? -1 : 1;
  if (a->in_chain) return by_depth(a, b);
  if (a->status != b->status) return a->status < b->status ? -1 : 1;
  return a->address < b->address ? -1 : a->address > b->address;
}

static bool find_chain(struct vm_threads *threads) {
  size_t count = threads->list.count;
  struct thread_row *rows = threads->list.items;
  for (size_t i = 0; i < count; i++)
    rows[i].in_chain = is_in_chain(threads, &rows[i]);
  if (count) qsort(rows, count, sizeof *rows, by_status);
  for (size_t i = 0; i < count && rows[i].in_chain; i++)
    if (!vector_push(&threads->chain, i)) return false;
  if (threads->chain.count) rows[0].status = THREAD_STATUS_RUNNING;
  return true;
}

/* By the jump buffer, or, if there is none, by the pointer to the running thread: every function of
 * Lua has it as its first argument. */
static int64_t native_thread_of(const struct vm_threads *threads) {
  const struct source *source = threads->owner->vm.source;
  const struct source_thread *native = NULL;
  for (size_t i = 0; i < threads->chain.count && !native; i++)
    native = native_thread_at(source, threads->list.items[threads->chain.items[i]].error_jump);
  if (!native && threads->chain.count)
    native = native_thread_with(source, threads->list.items[threads->chain.items[0]].address);
  return native ? native->tid : 0;
}

static void find_failure(struct vm_threads *threads, const struct source *source) {
  struct vm *vm = &threads->owner->vm;
  struct lua_thread main;
  if (threads->chain.count || thread_load(vm, vm->main_thread, &main) || main.top < 2 ||
      main.top > main.slot_count)
    return;
  struct lua_value value = thread_slot(vm, &main, main.top - 1);
  bool is_text = value_is_object(value) && value_is_string(value);
  bool is_left = main.top == 2 && !main.status && main.call == main.base_call;
  if (thread_state(&main) == THREAD_DEAD_BY_ERROR)
    threads->failure = VM_FAILURE_KNOWN;
  else if (is_left && is_text && source->signal == SIGABRT)
    threads->failure = VM_FAILURE_LIKELY;
  threads->error = value;
}

/* How functions are named depends on the release. Where the file with the Lua library is not at
 * hand, the heap may still tell 5.4.3 from those that share its layout. */
static struct inspect_error *find_family(struct inspect_session *session, size_t vm,
                                         const struct work *work,
                                         const struct bytecode_family **family) {
  const struct layout *layout = session->heap.vms[vm].vm.layout;
  const char *release = session->releases[vm];
  if (!release && layout->integer_hash == INTEGER_HASH_UNKNOWN) {
    enum integer_hash integers;
    TRY(evidence_integer_hash(&session->heap, vm, work, &integers));
    if (integers == INTEGER_HASH_POWER) release = "5.4.3";
  }
  *family = bytecode_family(layout, release);
  return NULL;
}

struct inspect_error *vm_threads_find(struct inspect_session *session, size_t vm,
                                      const struct work *work, struct vm_threads *threads) {
  struct heap_vm *owner = &session->heap.vms[vm];
  *threads = (struct vm_threads){.vm = vm, .owner = owner};
  threads->loaded = owner->loaded == NO_OBJECT ? 0 : heap_address(&session->heap, owner->loaded);
  TRY(find_family(session, vm, work, &threads->family));
  TRY(collect_threads(session, work, threads));
  if (!find_chain(threads)) return error_no_memory();
  threads->tid = native_thread_of(threads);
  find_failure(threads, session->source);
  for (size_t i = 0; i < threads->list.count; i++)
    threads->counts[threads->list.items[i].status] +=
        threads->list.items[i].object != owner->main_thread;
  return NULL;
}

void vm_threads_free(struct vm_threads *threads) {
  vector_free(&threads->names);
  vector_free(&threads->list);
  vector_free(&threads->chain);
}

/* ---- Words ----------------------------------------------------------------------------------- */

const char *thread_status_name(enum thread_status status) {
  static const char *const NAMES[] = {"running",     "normal",   "suspended", "error",
                                      "not-started", "finished", "idle",      "damaged"};
  return NAMES[status];
}

const char *thread_status_words(enum thread_status status) {
  static const char *const WORDS[] = {"running",       "has resumed another", "suspended",
                                      "dead by error", "not started",         "finished",
                                      "idle",          "cannot be read"};
  return WORDS[status];
}

const char *vm_threads_open(struct vm_threads *threads, const struct thread_row *row,
                            struct traceback *traceback) {
  struct vm *vm = &threads->owner->vm;
  *traceback = (struct traceback){0};
  if (!threads->has_names && !function_names_find(vm, threads->loaded, &threads->names))
    return "out of memory";
  threads->has_names = true;
  return traceback_open(traceback, vm, threads->family, &threads->names, row->address);
}

const char *thread_main_name(struct inspect_session *session, struct traceback *traceback,
                             struct arena *arena) {
  const struct graph *graph = &session->heap.graph;
  struct lua_value function;
  if (!traceback_main(traceback, &function)) return NULL;
  if (function.tag == TAG_LIGHT_FUNCTION) {
    const char *name = heap_c_function_name(&session->heap, function.bits);
    return name ? arena_printf(arena, "C function %s", name) : "C function";
  }
  object_id object =
      value_is_object(function) ? heap_object_at(&session->heap, function.bits) : NO_OBJECT;
  if (object == NO_OBJECT) return NULL;
  return graph->labels.function_name(graph->labels.context, object, arena);
}
