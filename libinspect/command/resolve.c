/* resolve.c - from paths to objects, and from references to the text of a path. */
#include "command/session.h"

#include "lua/stack.h"

/* ---- Printing -------------------------------------------------------------------------------- */

static struct path_step step_of(struct inspect_session *session, const struct graph_label *label) {
  struct path_step step = {.kind = PATH_FIELD, .level = PATH_ANY_LEVEL};
  step.text = label->text;
  step.size = label->size;
  step.integer = label->integer;
  step.number = label->number;
  step.form = label->form;
  if (label->form == LABEL_OBJECT) {
    step.form = LABEL_POINTER;
    step.address = heap_address(&session->heap, label->object);
  } else if (label->form == LABEL_POINTER) {
    step.address = (uint64_t)label->integer;
  }
  switch (label->kind) {
  case REFERENCE_METATABLE:
    step.kind = PATH_METATABLE;
    break;
  case REFERENCE_ENVIRONMENT:
    step.kind = PATH_ENV;
    break;
  case REFERENCE_UPVALUE:
  case REFERENCE_OPEN_UPVALUE:
    step.kind = PATH_UPVALUE;
    break;
  case REFERENCE_UPVALUE_VALUE:
    step.kind = PATH_VALUE;
    break;
  case REFERENCE_USER_VALUE:
    step.kind = PATH_USERVALUE;
    break;
  case REFERENCE_CONSTANT:
    step.kind = PATH_CONSTANT;
    break;
  case REFERENCE_PROTOTYPE:
    step.kind = PATH_PROTOTYPE;
    break;
  case REFERENCE_DEBUG:
    step.kind = PATH_DEBUG_NAME;
    break;
  case REFERENCE_STACK:
  case REFERENCE_MAYBE_STACK:
    step.kind = label->form == LABEL_TEXT ? PATH_LOCAL : PATH_STACK;
    if (step.kind == PATH_STACK) step.integer++;
    if (label->level != 0 && label->level != UINT32_MAX) step.level = label->level;
    break;
  default:
    break;
  }
  return step;
}

/* The key object itself: its text if it is a string, else its address. */
static bool key_label(struct inspect_session *session, object_id key, struct text *text) {
  const struct graph *graph = &session->heap.graph;
  struct path_step step = {.kind = PATH_KEY, .form = LABEL_POINTER, .level = PATH_ANY_LEVEL};
  size_t size;
  const char *bytes = graph->labels.string(graph->labels.context, key, &size);
  if (bytes) {
    step.form = LABEL_TEXT;
    step.text = bytes;
    step.size = size;
  } else {
    step.address = heap_address(&session->heap, key);
  }
  return path_format_step(&step, text);
}

/* The number, from 1, of a reference among those of its kind in its row. */
static int64_t number_of(const struct graph *graph, object_id from, reference_id reference) {
  int64_t number = 0;
  for (reference_id i = graph_first(graph, from); i <= reference; i++)
    number += graph->kind[i] == graph->kind[reference];
  return number;
}

/* Whether a later slot of the same call has the name as well, so that a path with the name leads
 * there: locals shadow each other, and the hidden variables of a loop share theirs. */
static bool is_shadowed(struct inspect_session *session, object_id from, reference_id reference,
                        const struct graph_label *label, struct arena *arena) {
  const struct graph *graph = &session->heap.graph;
  reference_id end = graph_first(graph, (uint64_t)from + 1);
  for (reference_id i = reference + 1; i < end; i++) {
    struct graph_label other;
    if (graph->kind[i] != REFERENCE_STACK && graph->kind[i] != REFERENCE_MAYBE_STACK) continue;
    graph->labels.label(graph->labels.context, from, i, arena, &other);
    if (other.level != label->level) return false;
    if (other.form == LABEL_TEXT && other.size == label->size &&
        memcmp(other.text, label->text, label->size) == 0)
      return true;
  }
  return false;
}

bool resolve_label(struct inspect_session *session, object_id from, reference_id reference,
                   struct text *text) {
  const struct graph *graph = &session->heap.graph;
  struct arena arena;
  struct graph_label label;
  if (graph->kind[reference] == REFERENCE_KEY)
    return key_label(session, graph->target[reference], text);
  if (graph->kind[reference] == REFERENCE_UPVALUE_VALUE && graph->type[from] == OBJECT_UPVALUE)
    return true;
  arena_init(&arena);
  graph->labels.label(graph->labels.context, from, reference, &arena, &label);
  struct path_step step = step_of(session, &label);
  bool is_numbered = label.kind == REFERENCE_OPEN_UPVALUE || label.kind == REFERENCE_DEBUG ||
                     (label.kind == REFERENCE_PROTOTYPE && graph->type[from] == OBJECT_PROTOTYPE);
  if (step.kind == PATH_LOCAL && is_shadowed(session, from, reference, &label, &arena)) {
    step.kind = PATH_STACK; /* `integer` is the slot, from 0, whether it has a name or not */
    step.form = LABEL_INTEGER;
    step.integer++;
  }
  if (is_numbered) {
    step.form = LABEL_INTEGER;
    step.integer = number_of(graph, from, reference);
  }
  bool fits = path_format_step(&step, text);
  arena_free(&arena);
  return fits;
}

/* ---- Finding --------------------------------------------------------------------------------- */

static bool same_bytes(const char *a, size_t a_size, const char *b, size_t b_size) {
  return a && b && a_size == b_size && memcmp(a, b, a_size) == 0;
}

static bool key_matches(struct inspect_session *session, const struct graph_label *label,
                        const struct path_step *step) {
  switch (step->form) {
  case LABEL_TEXT:
    return label->form == LABEL_TEXT &&
           same_bytes(label->text, label->size, step->text, step->size);
  case LABEL_INTEGER: /* some Luas have no integers: 42 is a float there */
    return (label->form == LABEL_INTEGER && label->integer == step->integer) ||
           (label->form == LABEL_NUMBER && label->number >= -0x1p63 && label->number < 0x1p63 &&
            label->number == (double)step->integer && (int64_t)label->number == step->integer);
  case LABEL_NUMBER:
    return label->form == LABEL_NUMBER && label->number == step->number;
  case LABEL_BOOLEAN:
    return label->form == LABEL_BOOLEAN && label->integer == step->integer;
  case LABEL_POINTER:
    return (label->form == LABEL_OBJECT &&
            heap_address(&session->heap, label->object) == step->address) ||
           (label->form == LABEL_POINTER && (uint64_t)label->integer == step->address);
  default:
    return false;
  }
}

static bool key_object_matches(struct inspect_session *session, object_id key,
                               const struct path_step *step) {
  const struct graph *graph = &session->heap.graph;
  if (step->form == LABEL_POINTER) return heap_address(&session->heap, key) == step->address;
  size_t size;
  const char *bytes = graph->labels.string(graph->labels.context, key, &size);
  return step->form == LABEL_TEXT && same_bytes(bytes, size, step->text, step->size);
}

static bool numbered(const struct graph_label *label, const struct path_step *step) {
  if (step->form == LABEL_TEXT)
    return same_bytes(label->text, label->size, step->text, step->size) &&
           label->form == LABEL_TEXT;
  return label->form == LABEL_INTEGER && label->integer == step->integer;
}

/* A local by its name. By number, see local_slot. */
static bool local_matches(const struct graph_label *label, const struct path_step *step) {
  if (step->level != PATH_ANY_LEVEL && label->level != (uint64_t)step->level) return false;
  return step->form == LABEL_TEXT && numbered(label, step);
}

/* Whether a reference of `from` is what the step says. */
static bool step_matches(struct inspect_session *session, object_id from, reference_id reference,
                         const struct path_step *step, uint64_t position, struct arena *arena) {
  const struct graph *graph = &session->heap.graph;
  enum reference_kind kind = graph->kind[reference];
  struct graph_label label;
  switch (step->kind) {
  case PATH_METATABLE:
    return kind == REFERENCE_METATABLE;
  case PATH_ENV:
    return kind == REFERENCE_ENVIRONMENT;
  case PATH_VALUE:
    return kind == REFERENCE_UPVALUE_VALUE;
  case PATH_KEY:
    return kind == REFERENCE_KEY && key_object_matches(session, graph->target[reference], step);
  case PATH_PROTOTYPE:
    return kind == REFERENCE_PROTOTYPE &&
           (step->form == LABEL_NONE || (uint64_t)step->integer == position);
  case PATH_FIELD:
    if (kind != (step->form == LABEL_TEXT ? REFERENCE_FIELD : REFERENCE_INDEX) &&
        !(step->form == LABEL_POINTER && kind == REFERENCE_KEYED))
      return false;
    graph->labels.label(graph->labels.context, from, reference, arena, &label);
    return key_matches(session, &label, step);
  case PATH_UPVALUE:
    if (kind == REFERENCE_OPEN_UPVALUE) /* of a thread: has a number only */
      return step->form == LABEL_INTEGER && (uint64_t)step->integer == position;
    if (kind != REFERENCE_UPVALUE) return false;
    graph->labels.label(graph->labels.context, from, reference, arena, &label);
    /* every upvalue of a Lua function is a reference, those of a C function may hold no object */
    if (step->form == LABEL_INTEGER && graph->type[from] == OBJECT_LUA_FUNCTION)
      return (uint64_t)step->integer == position;
    return numbered(&label, step);
  case PATH_USERVALUE:
  case PATH_CONSTANT:
    if (kind != (step->kind == PATH_USERVALUE ? REFERENCE_USER_VALUE : REFERENCE_CONSTANT))
      return false;
    graph->labels.label(graph->labels.context, from, reference, arena, &label);
    return numbered(&label, step);
  case PATH_DEBUG_NAME:
    return kind == REFERENCE_DEBUG && (uint64_t)step->integer == position;
  case PATH_LOCAL:
  case PATH_STACK:
    if (kind != REFERENCE_STACK && kind != REFERENCE_MAYBE_STACK) return false;
    graph->labels.label(graph->labels.context, from, reference, arena, &label);
    if (step->kind == PATH_LOCAL) return local_matches(&label, step);
    return label.integer + 1 == step->integer; /* the slot, whether it has a name or not */
  default:
    return false;
  }
}

static reference_id find_reference(struct inspect_session *session, object_id from,
                                   const struct path_step *step);

/* :local(level,n): value n behind the function of a call, as in debug.getlocal; without a level, of
 * the innermost call that has an object there. */
static reference_id find_numbered_local(struct inspect_session *session, object_id from,
                                        const struct path_step *step) {
  struct path_step slot = {.kind = PATH_STACK, .form = LABEL_INTEGER};
  struct vm *vm = &heap_vm_of(&session->heap, from)->vm;
  struct lua_thread thread;
  struct lua_calls calls = {0};
  reference_id found = NO_REFERENCE;
  if (session->heap.graph.type[from] != OBJECT_THREAD ||
      thread_load(vm, heap_address(&session->heap, from), &thread) || !thread.initialized)
    return NO_REFERENCE;
  bool is_any = step->level == PATH_ANY_LEVEL;
  bool is_read = thread_calls(vm, &thread, &calls);
  for (size_t i = 0; is_read && found == NO_REFERENCE && i < calls.count; i++) {
    if (!is_any && i != (uint64_t)step->level) continue;
    uint64_t room = (i ? calls.items[i - 1].function : thread.maybe_top) - calls.items[i].function;
    if ((uint64_t)step->integer >= room) continue;
    slot.integer = (int64_t)calls.items[i].function + step->integer + 1;
    found = find_reference(session, from, &slot);
  }
  vector_free(&calls);
  return found;
}

/* The reference of `from` that a step names, the last one for locals: the innermost call's. */
static reference_id find_reference(struct inspect_session *session, object_id from,
                                   const struct path_step *step) {
  const struct graph *graph = &session->heap.graph;
  reference_id end = graph_first(graph, (uint64_t)from + 1), found = NO_REFERENCE;
  if (step->kind == PATH_LOCAL && step->form == LABEL_INTEGER)
    return find_numbered_local(session, from, step);
  uint64_t position[REFERENCE_KIND_COUNT] = {0};
  struct arena arena;
  arena_init(&arena);
  for (reference_id i = graph_first(graph, from); i < end; i++) {
    uint64_t here = ++position[graph->kind[i]];
    if (!step_matches(session, from, i, step, here, &arena)) continue;
    found = i;
    if (step->kind != PATH_LOCAL) break;
  }
  arena_free(&arena);
  return found;
}

static struct inspect_error *no_object(const struct path *path, const char *hint, size_t step) {
  struct text text = {0};
  struct path part = {.steps = path->steps, .count = step};
  bool fits = step == 0 || path_format(&part, &text);
  struct text last = {0};
  fits = fits && path_format_step(&path->steps[step], &last);
  struct inspect_error *error =
      fits ? error_create(INSPECT_ERROR_NOT_FOUND, hint, "%.*s%s holds no object as %.*s",
                          (int)text.count, step ? text.items : "", step ? "" : "the target",
                          (int)last.count, last.items)
           : error_no_memory();
  vector_free(&text);
  vector_free(&last);
  return error;
}

static struct inspect_error *resolve_root(struct inspect_session *session,
                                          const struct heap_vm *owner, const struct path *path,
                                          object_id *object) {
  const struct path_step *step = &path->steps[0];
  switch (step->kind) {
  case PATH_GLOBALS:
    *object = owner->globals;
    break;
  case PATH_REGISTRY:
    *object = owner->registry;
    break;
  case PATH_LOADED:
    *object = owner->loaded;
    break;
  case PATH_ADDRESS:
    *object = heap_object_at(&session->heap, step->address);
    if (*object == NO_OBJECT)
      return error_at(
          INSPECT_ERROR_NOT_FOUND, step->address,
          "addresses of objects are shown by lua-leaks and lua-paths; one in the middle "
          "of an object does not count",
          "no Lua object starts at 0x%llx", (unsigned long long)step->address);
    return NULL;
  case PATH_ENTRY:
    if (step->integer < 1 || (uint64_t)step->integer > session->listing.count)
      return error_create(INSPECT_ERROR_NOT_FOUND,
                          "@N is entry N of the list that was shown last in this session, for "
                          "example by lua-leaks --all; between two runs of lua-inspect, use its "
                          "address",
                          session->listing.count ? "the last list has %zu entries"
                                                 : "no list was shown before (%zu entries)",
                          session->listing.count);
    *object = session->listing.items[step->integer - 1];
    return NULL;
  default:
    *object = NO_OBJECT;
  }
  if (*object == NO_OBJECT)
    return error_create(INSPECT_ERROR_NOT_FOUND, "lua-states -v tells what was found of each VM",
                        "this VM has no readable %s",
                        step->kind == PATH_GLOBALS    ? "table of globals"
                        : step->kind == PATH_REGISTRY ? "registry"
                                                      : "table of loaded modules");
  return NULL;
}

static struct inspect_error *resolve_in_vm(struct inspect_session *session,
                                           const struct heap_vm *owner, const struct path *path,
                                           object_id *object, reference_id *reference) {
  const struct graph *graph = &session->heap.graph;
  reference_id last = NO_REFERENCE;
  TRY(resolve_root(session, owner, path, object));
  for (size_t i = 1; i < path->count; i++) {
    last = find_reference(session, *object, &path->steps[i]);
    if (last == NO_REFERENCE)
      return no_object(path,
                       "numbers, booleans, nil and plain C functions are no objects; is the "
                       "spelling right?",
                       i);
    *object = graph->target[last];
    bool folds = path->steps[i].kind == PATH_UPVALUE && graph->type[*object] == OBJECT_UPVALUE &&
                 (i + 1 == path->count || path->steps[i + 1].kind != PATH_VALUE);
    reference_id value = graph_first(graph, *object);
    if (folds && value < graph_first(graph, (uint64_t)*object + 1)) *object = graph->target[value];
  }
  if (reference) *reference = last;
  return NULL;
}

struct inspect_error *resolve_path_everywhere(struct inspect_session *session,
                                              const struct command_options *options,
                                              const struct path *path, struct resolved *result) {
  enum path_step_kind root = path->steps[0].kind;
  bool names_one = root == PATH_ADDRESS || root == PATH_ENTRY;
  struct inspect_error *first = NULL;
  result->count = 0;
  for (size_t i = 0; i < session->heap.vm_count && !(names_one && result->count); i++) {
    if (!session_selects(session, options, i)) continue;
    struct resolved_place place;
    struct inspect_error *error =
        resolve_in_vm(session, &session->heap.vms[i], path, &place.object, &place.reference);
    if (!error && !vector_push(result, place)) error = error_no_memory();
    if (!error) continue;
    if (error->code == INSPECT_ERROR_NO_MEMORY || !first) {
      inspect_error_free(first);
      first = error;
    } else {
      inspect_error_free(error);
    }
    if (first->code == INSPECT_ERROR_NO_MEMORY) return first;
  }
  if (!result->count) return first;
  inspect_error_free(first);
  return NULL;
}

struct inspect_error *resolve_path(struct inspect_session *session,
                                   const struct command_options *options, const struct path *path,
                                   object_id *object, reference_id *reference) {
  struct inspect_error *first = NULL;
  for (size_t i = 0; i < session->heap.vm_count; i++) {
    if (!session_selects(session, options, i)) continue;
    struct inspect_error *error =
        resolve_in_vm(session, &session->heap.vms[i], path, object, reference);
    if (!error) {
      inspect_error_free(first);
      return NULL;
    }
    if (first)
      inspect_error_free(error);
    else
      first = error;
  }
  return first;
}
