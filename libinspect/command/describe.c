/* describe.c - what every document begins and ends with, and objects in words. */
#include "command/session.h"

#include "graph/class_names.h"
#include "lua/stack.h"

/* ---- Objects --------------------------------------------------------------------------------- */

const char *object_class(struct inspect_session *session, object_id object) {
  object_id metatable = graph_metatable(&session->heap.graph, object);
  return metatable == NO_OBJECT ? NULL : heap_class_name(&session->heap, metatable).text;
}

static uint64_t entry_count(struct inspect_session *session, object_id object) {
  struct vm *vm = &heap_vm_of(&session->heap, object)->vm;
  struct lua_table table;
  uint64_t count = 0;
  if (table_load(vm, heap_address(&session->heap, object), &table)) return 0;
  for (uint64_t i = 0; i < table.array_size; i++)
    count += !value_is_empty(table_array_value(vm, &table, i));
  for (uint64_t i = 0; i < table.node_count; i++) {
    struct lua_value key, value;
    table_entry(vm, &table, i, &key, &value);
    count += !value_is_empty(value);
  }
  return count;
}

/* " at server.lua:27", of the innermost Lua function; NULL if there is none. */
static const char *describe_place(struct heap_vm *owner, const struct lua_thread *thread,
                                  struct arena *arena) {
  struct lua_place place;
  if (!thread_place(&owner->vm, thread, &place)) return NULL;
  const char *name = prototype_place(&owner->vm, place.prototype, place.line, arena);
  return name ? arena_printf(arena, " %s %s", place.is_approximate ? "near" : "at", name) : NULL;
}

static const char *describe_thread(struct inspect_session *session, object_id object,
                                   struct arena *arena) {
  static const char *const STATES[] = {"running", "suspended", "not started", "finished",
                                       "dead by error"};
  struct heap_vm *owner = heap_vm_of(&session->heap, object);
  struct lua_thread thread;
  bool is_main = object == owner->main_thread;
  if (thread_load(&owner->vm, heap_address(&session->heap, object), &thread))
    return is_main ? "main thread" : "coroutine";
  if (!thread.initialized) return "coroutine, being created";
  if (is_main) {
    const char *at = describe_place(owner, &thread, arena);
    return arena_printf(arena, "main thread%s%s", at ? "," : "", at ? at : "");
  }
  enum thread_state state = thread_state(&thread);
  const char *what = state == THREAD_RUNNING && object != owner->running_thread
                         ? "has resumed another"
                         : STATES[state];
  const char *place = describe_place(owner, &thread, arena);
  return arena_printf(arena, "coroutine, %s%s", what, place ? place : "");
}

static const char *describe_counted(struct arena *arena, const char *what, uint64_t count,
                                    const char *one, const char *many) {
  return arena_printf(arena, "%s, %s %s", what, render_cell(arena, cell_count(count)),
                      count == 1 ? one : many);
}

/* A chunk is no function of the source: its line is 0. */
static bool is_main_chunk(const char *name) {
  size_t size = strlen(name);
  return size > 2 && strcmp(name + size - 2, ":0") == 0;
}

const char *describe_object(struct inspect_session *session, object_id object,
                            struct arena *arena) {
  const struct graph *graph = &session->heap.graph;
  enum object_type type = graph->type[object];
  const char *name;
  switch (type) {
  case OBJECT_LUA_FUNCTION:
  case OBJECT_PROTOTYPE:
  case OBJECT_C_FUNCTION:
    name = graph->labels.function_name(graph->labels.context, object, arena);
    if (type == OBJECT_C_FUNCTION) return name ? name : "C function";
    if (!name) return type == OBJECT_PROTOTYPE ? "prototype" : "function";
    if (is_main_chunk(name))
      return arena_printf(arena, "%smain chunk %.*s",
                          type == OBJECT_PROTOTYPE ? "prototype of " : "", (int)strlen(name) - 2,
                          name);
    return arena_printf(arena, "%s %s", type == OBJECT_PROTOTYPE ? "prototype" : "function", name);
  case OBJECT_THREAD:
    return describe_thread(session, object, arena);
  case OBJECT_TABLE: {
    uint8_t weak = graph->flags[object] & (OBJECT_WEAK_KEYS | OBJECT_WEAK_VALUES);
    const char *what = weak == 0                    ? "table"
                       : weak == OBJECT_WEAK_KEYS   ? "weak-keyed table"
                       : weak == OBJECT_WEAK_VALUES ? "weak-valued table"
                                                    : "weak table";
    return describe_counted(arena, what, entry_count(session, object), "entry", "entries");
  }
  case OBJECT_USERDATA: {
    uint64_t bytes = graph_bytes(graph, object);
    return arena_printf(arena, "userdata, %s", render_cell(arena, cell_bytes(bytes)));
  }
  case OBJECT_STRING: {
    size_t size = 0;
    graph->labels.string(graph->labels.context, object, &size);
    return describe_counted(arena, "string", size, "byte", "bytes");
  }
  default:
    return object_type_name(type);
  }
}

/* ---- Targets and VMs ------------------------------------------------------------------------- */

static void data_target(struct command_context *context) {
  const struct source *source = context->session->source;
  struct data *target = data_object(context->data, "target");
  static const char *const KINDS[] = {"core", "process", "remote"};
  data_cell(target, "kind", cell_words(KINDS[source->kind]));
  data_cell(target, "path",
            source->path ? cell_bare(source->path, strlen(source->path)) : cell_null());
  data_cell(target, "pid", source->pid ? cell_plain((uint64_t)source->pid) : cell_null());
  data_cell(target, "time", cell_time(source->time));
  data_cell(target, "unstopped", cell_boolean(source->is_unstopped));
  data_cell(target, "missing_bytes", cell_bytes(source->missing_bytes));
  data_cell(target, "left_out_bytes", cell_bytes(source->left_out_bytes));
  data_cell(target, "ends_early", cell_words(source->ends_early));
}

/* Objects and bytes that a full collection leaves; threads without their stacks. False: stopped. */
static bool count_live(struct command_context *context, struct heap_vm *owner, uint64_t *objects,
                       uint64_t *bytes) {
  enum { AT_ONCE = 1 << 16 };
  struct inspect_session *session = context->session;
  const struct graph *graph = &session->heap.graph;
  *objects = *bytes = 0;
  for (uint32_t i = 0; i < owner->count; i++) {
    object_id object = owner->first + i;
    if (i % AT_ONCE == 0 && document_stops(context->document, 0, 0)) return false;
    if (!collection_leaves(&session->collection, object)) continue;
    ++*objects;
    *bytes += graph_bytes(graph, object);
    struct lua_thread thread;
    if (graph->type[object] == OBJECT_THREAD &&
        !thread_load(&owner->vm, heap_address(&session->heap, object), &thread) &&
        thread.initialized)
      *bytes -= thread_stack_bytes(&owner->vm, &thread);
  }
  return true;
}

static const char *residual_state_name(enum residual_state state) {
  static const char *const NAMES[] = {[RESIDUAL_NONE] = "none",
                                      [RESIDUAL_EXPLAINED] = "explained",
                                      [RESIDUAL_LIKELY] = "likely",
                                      [RESIDUAL_UNEXPLAINED] = "unexplained"};
  return NAMES[state];
}

static void data_vm(struct command_context *context, struct data *vms, size_t index, bool brief) {
  struct inspect_session *session = context->session;
  struct heap_vm *owner = &session->heap.vms[index];
  struct data *vm = data_object(vms, NULL);
  data_cell(vm, "index", cell_plain(index + 1));
  data_cell(vm, "address", cell_address(owner->vm.main_thread));
  data_cell(vm, "lua", cell_words(owner->vm.layout->lua));
  data_cell(vm, "release", cell_words(session->releases[index]));
  data_cell(vm, "layout", cell_words(layout_provenance_name(owner->vm.layout->provenance)));
  data_cell(vm, "layout_name", cell_words(owner->vm.layout->name));
  bool counted = !brief && session->is_built;
  uint64_t objects = 0, bytes = 0;
  bool collected = counted && session->is_collected && !context->is_without_collection &&
                   context->options->json && count_live(context, owner, &objects, &bytes);
  data_cell(vm, "coroutines", counted ? cell_count(owner->coroutines) : cell_null());
  data_cell(vm, "heap_bytes", cell_bytes(owner->vm.heap_bytes));
  data_cell(vm, "objects", counted ? cell_count(owner->count) : cell_null());
  data_cell(vm, "accounted_bytes", counted ? cell_bytes(owner->accounted_bytes) : cell_null());
  data_cell(vm, "residual_bytes", counted ? cell_integer(owner->residual) : cell_null());
  bool explained = counted && owner->residual;
  data_cell(vm, "residual_explanation", explained ? cell_words(owner->residual_text) : cell_null());
  data_cell(vm, "missing_bytes", counted ? cell_bytes(owner->missing_bytes) : cell_null());
  data_cell(vm, "residual_state",
            counted ? cell_words(residual_state_name(owner->residual_state)) : cell_null());
  data_cell(vm, "live_objects", collected ? cell_count(objects) : cell_null());
  data_cell(vm, "live_bytes", collected ? cell_bytes(bytes) : cell_null());
}

static void data_faults(struct command_context *context) {
  struct inspect_session *session = context->session;
  struct data *list = data_array(context->data, "faults");
  for (size_t i = 0; i < session->heap.vm_count; i++) {
    const struct faults *faults = &session->heap.vms[i].vm.faults;
    for (size_t j = 0; j < faults->list.count && !document_stops(context->document, 0, 0); j++) {
      struct data *fault = data_object(list, NULL);
      data_cell(fault, "vm", cell_plain(i + 1));
      data_cell(fault, "address", cell_address(faults->list.items[j].address));
      data_cell(fault, "message", cell_words(faults->list.items[j].text));
    }
  }
}

static void data_notes(struct command_context *context) {
  struct inspect_session *session = context->session;
  struct data *list = data_array(context->data, "notes");
  for (size_t i = 0; i < session->heap.vm_count; i++) {
    const struct notes *notes = &session->heap.vms[i].vm.notes;
    for (size_t j = 0; j < notes->count && !document_stops(context->document, 0, 0); j++) {
      struct data *note = data_object(list, NULL);
      uint64_t address = notes->items[j].address;
      data_cell(note, "vm", cell_plain(i + 1));
      data_cell(note, "address", address ? cell_address(address) : cell_null());
      data_cell(note, "message", cell_words(notes->items[j].text));
    }
  }
}

/* How the VMs are read, for the first line. */
static const char *layout_words(const struct heap *heap) {
  enum layout_provenance provenance = heap->vms[0].vm.layout->provenance;
  for (size_t i = 1; i < heap->vm_count; i++)
    if (heap->vms[i].vm.layout->provenance != provenance) return "layouts of several kinds";
  switch (provenance) {
  case LAYOUT_DWARF:
    return "layout from debug info";
  case LAYOUT_FILE:
    return "layout from a file";
  case LAYOUT_PROBED:
    return "canned layout, adapted";
  case LAYOUT_CANNED:
    break;
  }
  return "canned layout";
}

static void line_versions(struct command_context *context, struct line *line) {
  struct inspect_session *session = context->session;
  const struct heap *heap = &session->heap;
  if (!heap->vm_count) return; /* interrupted */
  const char *lua = heap->vms[0].vm.layout->lua, *release = session->releases[0];
  for (size_t i = 1; i < heap->vm_count; i++) {
    if (strcmp(lua, heap->vms[i].vm.layout->lua) != 0) lua = "of several versions";
    if (release && (!session->releases[i] || strcmp(release, session->releases[i]) != 0))
      release = NULL;
  }
  line_printf(line, STYLE_PLAIN, "   Lua %s (%s)   ", release ? release : lua, layout_words(heap));
  line_cell(line, STYLE_PLAIN, cell_count(heap->vm_count));
  line_words(line, STYLE_PLAIN, heap->vm_count == 1 ? " VM" : " VMs");
}

static void line_totals(struct command_context *context, struct line *line) {
  struct inspect_session *session = context->session;
  const struct heap *heap = &session->heap;
  uint64_t bytes = 0, objects = 0;
  int64_t residual = 0;
  for (size_t i = 0; i < heap->vm_count; i++) {
    if (!session_selects(session, context->options, i)) continue;
    bytes += heap->vms[i].vm.heap_bytes;
    objects += heap->vms[i].count;
    int64_t part = heap->vms[i].residual;
    residual += part < 0 ? -part : part;
  }
  line_words(line, STYLE_PLAIN, "   ");
  line_cell(line, STYLE_PLAIN, cell_count(objects));
  line_words(line, STYLE_PLAIN, " objects, ");
  line_cell(line, STYLE_PLAIN, cell_bytes(bytes));
  line_words(line, STYLE_PLAIN, "   ");
  const char *left = render_cell(context->arena, cell_bytes((uint64_t)residual));
  line_cell(line, residual ? STYLE_BAD : STYLE_PLAIN,
            cell_words(arena_printf(context->arena, "residual %s", left ? left : "?")));
}

void describe_target(struct command_context *context, bool brief) {
  struct inspect_session *session = context->session;
  context->is_described = true;
  data_target(context);
  struct data *vms = data_array(context->data, "vms");
  size_t count = session->heap.vm_count;
  for (size_t i = 0; i < count && !document_stops(context->document, i, count); i++)
    if (session_selects(session, context->options, i)) data_vm(context, vms, i, brief);
  data_faults(context);
  data_notes(context);
  struct line *line = page_line(context->document, 0);
  line_words(line, STYLE_HEADING, session->source->name);
  line_versions(context, line);
  if (!brief && session->is_built) line_totals(context, line);
  page_blank(context->document);
}
