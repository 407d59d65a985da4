/* session.c - an opened target and what is known of it so far. */
#include "command/session.h"

#include <math.h>

struct inspect_error *inspect_session_open(const struct inspect_target *target,
                                           struct inspect_session **result) {
  *result = NULL;
  if (target->pid)
    return error_create(INSPECT_ERROR_UNSUPPORTED,
                        "dump it with `gcore PID` (it keeps running) and give the core file",
                        "this version reads core files only, not running processes");
  if (!target->core)
    return error_create(INSPECT_ERROR_USAGE, "lua-inspect --help", "no core file was given");
  struct inspect_session *session = calloc(1, sizeof *session);
  if (!session) return error_no_memory();
  arena_init(&session->arena);
  struct inspect_error *error =
      source_open_core(target->core, target->exe, target->sysroot, &session->source);
  if (error) {
    inspect_session_close(session);
    return error;
  }
  *result = session;
  return NULL;
}

void inspect_session_close(struct inspect_session *session) {
  if (!session) return;
  if (session->is_dominated) dominators_free(&session->dominators);
  if (session->is_collected) collection_free(&session->collection);
  if (session->is_open) heap_close(&session->heap);
  if (session->source) source_close(session->source);
  vector_free(&session->listing);
  arena_free(&session->arena);
  free(session);
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
  while (length < left && length < 16 && (start[length] == '.' ||
                                          (start[length] >= '0' && start[length] <= '9')))
    length++;
  return length ? arena_copy(&session->arena, start, length) : NULL;
}

/* The file is the one that holds the VM's allocator or, if a host brought its own, `print`. */
static const char *release_of(struct inspect_session *session, struct heap_vm *owner) {
  struct vm *vm = &owner->vm;
  const uint8_t *global =
      memory_view(&vm->memory, vm->global_state, vm->layout->size[SIZE_global_State]);
  const char *release =
      global ? release_in_file(session, load_field(vm->layout, global, global_State_frealloc))
             : NULL;
  struct lua_table registry, globals;
  struct lua_value value;
  if (release || !vm->registry || table_load(vm, vm->registry, &registry) ||
      !table_find_integer(vm, &registry, vm->layout->globals_index, &value) ||
      !value_is_object(value) || table_load(vm, value.bits, &globals) ||
      !table_find(vm, &globals, "print", 5, &value) || value.tag != TAG_LIGHT_FUNCTION)
    return release;
  return release_in_file(session, value.bits);
}

/* ---- Stages ---------------------------------------------------------------------------------- */

static struct inspect_error *no_vm(const struct inspect_session *session) {
  const struct source *source = session->source;
  return error_create(
      INSPECT_ERROR_TARGET,
      source->missing_bytes
          ? "the core is cut off: raise `ulimit -c`, free disk space, or dump with `gcore PID`"
          : "lua-inspect knows Lua 5.4 and 5.5; is it another Lua (5.1, LuaJIT), or was its memory "
            "left out of the dump (/proc/PID/coredump_filter)?",
      "no Lua 5.4 or 5.5 was found in %s: %zu MB of writable memory searched", source->name,
      (size_t)(session->heap.map.granule_count * source->pointer_size / 1000000));
}

struct inspect_error *session_detect(struct inspect_session *session, const struct work *work) {
  if (!session->is_open) {
    TRY(heap_open(&session->heap, session->source));
    session->is_open = true;
  }
  struct heap *heap = &session->heap;
  if (!session->is_detected) {
    TRY(heap_detect(heap, work));
    session->releases = arena_alloc(&session->arena, (heap->vm_count + 1) * sizeof(char *));
    if (!session->releases) return error_no_memory();
    for (size_t i = 0; i < heap->vm_count; i++)
      session->releases[i] = release_of(session, &heap->vms[i]);
    session->is_detected = true;
  }
  return heap->vm_count ? NULL : no_vm(session);
}

struct inspect_error *session_build(struct inspect_session *session, const struct work *work) {
  TRY(session_detect(session, work));
  if (session->is_built) return NULL;
  struct inspect_error *error = heap_build(&session->heap, work);
  if (error) { /* half a graph is none: begin again next time */
    heap_close(&session->heap);
    session->is_open = session->is_detected = false;
    return error;
  }
  session->is_built = true;
  return NULL;
}

struct inspect_error *session_collect(struct inspect_session *session, const struct work *work) {
  TRY(session_build(session, work));
  if (session->is_collected) return NULL;
  TRY(collect(&session->heap.graph, NULL, work, &session->collection));
  session->is_collected = true;
  return NULL;
}

struct inspect_error *session_dominate(struct inspect_session *session, const struct work *work) {
  TRY(session_collect(session, work));
  if (session->is_dominated) return NULL;
  TRY(dominators_compute(&session->heap.graph, &session->collection.live, NULL, work,
                         &session->dominators));
  session->is_dominated = true;
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

double session_now(const struct inspect_session *session, const struct command_options *options) {
  return options->has_now ? options->now : session->source->time;
}
