/* session.c - an opened target and what is known of it so far. */
#include "command/session.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "command/monitor.h"
#include "layout/file.h"

static struct inspect_error *open_watched(const struct inspect_target *target,
                                          const struct work *work, struct source **source) {
  const struct source_unpacking unpacking = {work, target->max_decompressed};
  if (!target->remote && !target->pid)
    return source_open_core(target->core, target->exe, target->sysroot, &unpacking, source);
  if (target->remote)
    TRY(source_open_remote(target, source));
  else
    TRY(source_open_process(target->pid, target->snapshot, target->exe, target->sysroot, work,
                            source));
  return source_set_threads(*source, target->threads, target->thread_count);
}

static struct inspect_error *open_source(const struct inspect_target *target,
                                         struct source **source) {
  struct monitor monitor;
  const struct inspect_io silent = {.context = NULL};
  monitor_start(&monitor, target->io ? target->io : &silent, false);
  struct work work = {.context = &monitor, .report = monitor_report};
  struct inspect_error *error = open_watched(target, &work, source);
  if (!error || error->code != INSPECT_ERROR_INTERRUPTED) return error;
  inspect_error_free(error);
  return error_create(INSPECT_ERROR_INTERRUPTED, NULL,
                      "interrupted while %s: no Lua was looked for yet, so there is no answer",
                      target->pid
                          ? "the memory of the process was being copied; the process goes on"
                          : "the core was being decompressed");
}

/* What the source itself tells of the program and of where the dump lies. */
static struct inspect_error *redact_source(struct inspect_session *session) {
  struct source *source = session->source;
  source->path = NULL;
  if (source->kind == SOURCE_CORE) source->name = "core";
  if (!source->command) return NULL;
  source->command =
      redaction_substitute(session->redaction, source->command, strlen(source->command));
  return source->command ? NULL : error_no_memory();
}

struct inspect_error *inspect_session_open(const struct inspect_target *target,
                                           struct inspect_session **result) {
  *result = NULL;
  if (!target->core && !target->pid && !target->remote)
    return error_create(INSPECT_ERROR_USAGE, "lua-inspect --help", "no core file was given");
  struct inspect_session *session = calloc(1, sizeof *session);
  if (!session) return error_no_memory();
  arena_init(&session->arena);
  struct inspect_error *error =
      target->layout ? layout_read_file(target->layout, &session->arena, &session->given) : NULL;
  if (!error && (target->redact || target->redact_key))
    error = redaction_open(target->redact_key, &session->redaction);
  if (!error) error = open_source(target, &session->source);
  if (!error && session->redaction) error = redact_source(session);
  if (error) {
    inspect_session_close(session);
    return error;
  }
  *result = session;
  return NULL;
}

void session_forget(struct inspect_session *session) {
  if (session->is_classified) classes_free(&session->classes);
  if (session->is_dominated) dominators_free(&session->dominators);
  if (session->is_collected) collection_free(&session->collection);
  bitset_free(&session->doubtful);
  if (session->is_open) heap_close(&session->heap);
  session->is_classified = session->is_dominated = session->is_collected = false;
  session->is_built = session->is_detected = session->is_open = false;
  session->listing.count = 0; /* its numbers are those of the graph */
}

void inspect_session_close(struct inspect_session *session) {
  if (!session) return;
  session_forget(session);
  redaction_close(session->redaction);
  if (session->source) source_close(session->source);
  vector_free(&session->listing);
  arena_free(&session->arena);
  free(session);
}

bool inspect_session_is_current(const struct inspect_session *session) {
  return source_is_current(session->source);
}

void inspect_session_resume(struct inspect_session *session) { source_resume(session->source); }

double inspect_session_stopped(const struct inspect_session *session) {
  return source_stopped_seconds(session->source);
}

/* ---- Releases -------------------------------------------------------------------------------- */

/* "5.4.4" from the file that a code address is mapped from: lua_ident in lapi.c. */
static const char *release_in_file(struct inspect_session *session, uint64_t code) {
  static const char IDENT[] = "$LuaVersion: Lua ";
  const struct source_mapping *mapping = source_mapping_at(session->source, code);
  const uint8_t *bytes;
  size_t size;
  if (!mapping || !source_file(session->source, mapping, &bytes, &size)) return NULL;
  const uint8_t *found = memmem(bytes, size, IDENT, sizeof IDENT - 1);
  if (!found) return NULL;
  const char *start = (const char *)found + sizeof IDENT - 1;
  size_t left = size - (size_t)(start - (const char *)bytes), length = 0;
  while (length < left && length < 16 &&
         (start[length] == '.' || (start[length] >= '0' && start[length] <= '9')))
    length++;
  return length ? arena_copy(&session->arena, start, length) : NULL;
}

/* The file is the one that holds the VM's allocator or, if a host brought its own, functions of _G.
 */
static const char *release_of(struct inspect_session *session, struct heap_vm *owner) {
  enum { MOST_ADDRESSES = 32 };
  uint64_t addresses[MOST_ADDRESSES];
  const struct source_mapping *last = NULL; /* most functions are in one file: it is read once */
  const char *release = NULL;
  size_t count = heap_vm_code(owner, addresses, MOST_ADDRESSES);
  for (size_t i = 0; i < count && !release; i++) {
    const struct source_mapping *mapping = source_mapping_at(session->source, addresses[i]);
    if (mapping != last) release = release_in_file(session, addresses[i]);
    last = mapping;
  }
  return release;
}

/* lgc.c, traversetable: since 5.4.7, until 5.5. */
static bool overlooks_long_modes(const char *release) {
  return release && strncmp(release, "5.4.", 4) == 0 && strtoul(release + 4, NULL, 10) >= 7;
}

/* ---- Stages ---------------------------------------------------------------------------------- */

/* Nothing was found: what was tried, and what else may be. */
static struct inspect_error *no_vm(const struct inspect_session *session) {
  const struct source *source = session->source;
  const struct heap_search *search = &session->heap.search;
  char described[400];
  if (search->obstacle)
    snprintf(described, sizeof described, "%s", search->obstacle);
  else if (search->described)
    snprintf(described, sizeof described, "the debug info of %zu of its files", search->described);
  else
    snprintf(described, sizeof described, "no debug info for lua_newstate at hand");
  const char *missing = source_missing_hint(session->source);
  const char *machine = source_untested_machine(session->source);
  return error_create(
      INSPECT_ERROR_TARGET,
      missing ? missing
              : "a Lua 5.4 or 5.5 with changed structures is read with --layout FILE, which "
                "`lua-inspect layout EXE` writes from an unstripped build of it; other Luas (5.1, "
                "LuaJIT) are not read",
      "no Lua 5.4 or 5.5 was found in %s%s%s: %zu MB of writable memory searched; tried: %s%s%s%zu "
      "canned layouts; %s",
      source->name, machine ? ", of a processor on which this was never tested: " : "",
      machine ? machine : "",
      (size_t)(session->heap.map.granule_count * source->pointer_size / 1000000),
      session->given ? "the layout " : "", session->given ? session->given->name : "",
      session->given ? ", " : "", search->canned, described);
}

/* A layout that the user gave is meant to be used. */
static struct inspect_error *check_given(const struct inspect_session *session) {
  const struct heap *heap = &session->heap;
  for (size_t i = 0; i < heap->vm_count; i++)
    if (heap->vms[i].vm.layout == session->given) return NULL;
  if (!session->given) return NULL;
  return error_create(INSPECT_ERROR_TARGET,
                      "make it from a build of the Lua in this target: `lua-inspect layout EXE`; "
                      "without --layout VMs are found",
                      "the layout %s fits no VM of %s", session->given->name,
                      session->source->name);
}

/* Finds the VMs. When interrupted, those that are found so far are there to be described. */
static struct inspect_error *find_vms(struct inspect_session *session, bool is_brief,
                                      const struct work *work) {
  struct heap *heap = &session->heap;
  session->is_detected = false;
  struct inspect_error *error = heap_detect(heap, session->given, is_brief, work);
  if (error && error->code != INSPECT_ERROR_INTERRUPTED) return error;
  session->releases = arena_alloc(&session->arena, (heap->vm_count + 1) * sizeof(char *));
  if (!session->releases) return error_no_memory();
  for (size_t i = 0; i < heap->vm_count; i++) {
    session->releases[i] = release_of(session, &heap->vms[i]);
    heap->vms[i].vm.short_modes_only = overlooks_long_modes(session->releases[i]);
  }
  session->is_detected = !error;
  return error;
}

static void close_heap(struct inspect_session *session) {
  heap_close(&session->heap);
  session->listing.count = 0; /* it may name objects that are not there next time */
  session->is_open = session->is_detected = session->is_broken_off = false;
}

static struct inspect_error *detect(struct inspect_session *session, bool is_brief,
                                    const struct work *work) {
  if (session->is_broken_off) close_heap(session);
  if (!session->is_open) {
    TRY(source_fetch(session->source, work));
    TRY(heap_open(&session->heap, session->source));
    session->heap.redaction = session->redaction;
    session->is_open = true;
  }
  struct heap *heap = &session->heap;
  if (!session->is_detected || (heap->search.is_brief && !is_brief))
    TRY(find_vms(session, is_brief, work));
  return heap->vm_count ? check_given(session) : no_vm(session);
}

struct inspect_error *session_detect(struct inspect_session *session, const struct work *work) {
  return detect(session, false, work);
}

struct inspect_error *session_detect_briefly(struct inspect_session *session,
                                             const struct work *work) {
  return detect(session, true, work);
}

struct inspect_error *session_build(struct inspect_session *session, const struct work *work) {
  TRY(session_detect(session, work));
  if (session->is_built) return NULL;
  TRY(budget_check(session, MEMORY_GRAPH));
  struct inspect_error *error = heap_build(&session->heap, work);
  if (error) { /* half a graph is none: begin again next time */
    session->is_broken_off = true;
    return error;
  }
  session->is_built = true;
  return NULL;
}

struct inspect_error *session_collect(struct inspect_session *session, const struct work *work) {
  TRY(session_build(session, work));
  if (session->is_collected) return NULL;
  TRY(collect(&session->heap.graph, NULL, work, &session->collection));
  struct inspect_error *error =
      doubt(&session->heap.graph, &session->collection, &session->doubtful);
  if (error) {
    collection_free(&session->collection);
    return error;
  }
  session->is_collected = true;
  return NULL;
}

struct inspect_error *session_dominate(struct inspect_session *session, const struct work *work) {
  TRY(session_collect(session, work));
  if (session->is_dominated) return NULL;
  TRY(budget_check(session, MEMORY_DOMINATORS));
  TRY(dominators_compute(&session->heap.graph, &session->collection.live, NULL, work,
                         &session->dominators));
  session->is_dominated = true;
  return NULL;
}

struct inspect_error *session_classify(struct inspect_session *session, const struct work *work) {
  TRY(session_build(session, work));
  if (session->is_classified) return NULL;
  TRY(classes_build(&session->classes, &session->heap, work));
  session->is_classified = true;
  return NULL;
}

/* ---- Choices --------------------------------------------------------------------------------- */

bool session_selects(const struct inspect_session *session, const struct command_options *options,
                     size_t index) {
  if (!options->vm.is_given) return true;
  if (!options->vm.is_address) return options->vm.value == index + 1;
  const struct vm *vm = &session->heap.vms[index].vm;
  return options->vm.value == vm->main_thread || options->vm.value == vm->global_state;
}

struct inspect_error *session_check_choice(const struct inspect_session *session,
                                           const struct command_options *options) {
  for (size_t i = 0; i < session->heap.vm_count; i++)
    if (session_selects(session, options, i)) return NULL;
  if (options->vm.is_address)
    return error_at(INSPECT_ERROR_NOT_FOUND, options->vm.value,
                    "lua-states lists the VMs with their addresses", "no VM lies at 0x%llx",
                    (unsigned long long)options->vm.value);
  return error_create(INSPECT_ERROR_NOT_FOUND, "lua-states lists the VMs",
                      "there is no VM %llu: the target has %zu",
                      (unsigned long long)options->vm.value, session->heap.vm_count);
}

struct inspect_error *session_begin(struct command_context *context) {
  TRY(session_detect(context->session, context->work));
  TRY(session_check_choice(context->session, context->options));
  return session_collect(context->session, context->work);
}

double session_now(const struct inspect_session *session, const struct command_options *options) {
  return options->has_now ? options->now : session->source->time;
}
