/* place.c - objects are found by their references (resolve.c); what is no object has none, so the
 * last step of a path is then read from the object that the steps before it lead to. */
#include "command/place.h"

#include "lua/function.h"
#include "lua/stack.h"

/* ---- One step, read ---------------------------------------------------------------------------
 */

static bool key_fits(const struct vm *vm, struct lua_value key, const struct path_step *step) {
  switch (step->form) {
  case LABEL_NUMBER:
    return key.tag == TAG_FLOAT && value_number(vm, key) == step->number;
  case LABEL_BOOLEAN:
    return key.tag == (step->integer ? TAG_TRUE : TAG_FALSE);
  case LABEL_POINTER:
    return key.bits == step->address &&
           (value_is_object(key) || key.tag == TAG_LIGHT_USERDATA || key.tag == TAG_LIGHT_FUNCTION);
  default:
    return false;
  }
}

static bool read_field(struct vm *vm, uint64_t address, const struct path_step *step,
                       struct lua_value *value) {
  struct lua_table table;
  if (table_load(vm, address, &table)) return false;
  if (step->form == LABEL_TEXT) return table_find(vm, &table, step->text, step->size, value);
  if (step->form == LABEL_INTEGER) return table_find_integer(vm, &table, step->integer, value);
  for (uint64_t i = 0; i < table.node_count; i++) {
    struct lua_value key;
    table_entry(vm, &table, i, &key, value);
    if (!value_is_empty(*value) && key_fits(vm, key, step)) return true;
  }
  return false;
}

/* By number: those with a name are objects of their own, which are found by reference. */
static bool read_upvalue(struct vm *vm, uint64_t address, const struct path_step *step,
                         struct lua_value *value) {
  struct lua_function function;
  return step->form == LABEL_INTEGER && !function_load(vm, address, &function) &&
         function_upvalue(vm, &function, (uint64_t)step->integer - 1, value);
}

static bool read_user_value(struct vm *vm, uint64_t address, const struct path_step *step,
                            struct lua_value *value) {
  struct lua_userdata userdata;
  if (userdata_load(vm, address, &userdata) || (uint64_t)step->integer > userdata.user_value_count)
    return false;
  *value = userdata_value(vm, &userdata, (uint64_t)step->integer - 1);
  return true;
}

static bool read_constant(struct vm *vm, uint64_t address, const struct path_step *step,
                          struct lua_value *value) {
  struct lua_prototype prototype;
  return !prototype_load(vm, address, &prototype) &&
         prototype_constant(vm, &prototype, (uint64_t)step->integer - 1, value);
}

static bool is_named(const char *name, size_t size, const struct path_step *step) {
  return name && size == step->size && memcmp(name, step->text, size) == 0;
}

/* The slot of a local: the last one of the innermost call that has it. */
static bool find_local(struct vm *vm, const struct lua_thread *thread,
                       const struct lua_calls *calls, const struct path_step *step,
                       uint64_t *slot) {
  uint64_t above = thread->maybe_top;
  for (size_t i = 0; i < calls->count; above = calls->items[i++].function) {
    uint64_t function = calls->items[i].function;
    if (step->level != PATH_ANY_LEVEL && (uint64_t)step->level != i) continue;
    if (step->form == LABEL_INTEGER) {
      *slot = function + (uint64_t)step->integer;
      if ((uint64_t)step->integer < above - function) return true;
      continue;
    }
    for (uint64_t at = above; calls->items[i].is_lua && at-- > function + 1;) {
      uint32_t level;
      uint64_t of;
      size_t size = 0;
      const char *name;
      thread_slot_name(vm, thread, calls, at, &level, &of, &name, &size);
      *slot = at;
      if (is_named(name, size, step)) return true;
    }
  }
  return false;
}

static bool read_slot(struct vm *vm, uint64_t address, const struct path_step *step,
                      struct lua_value *value) {
  struct lua_thread thread;
  struct lua_calls calls = {0};
  uint64_t slot = (uint64_t)step->integer - 1;
  if (thread_load(vm, address, &thread) || !thread.initialized || !thread.slots) return false;
  bool found = step->kind == PATH_STACK ||
               (thread_calls(vm, &thread, &calls) && find_local(vm, &thread, &calls, step, &slot));
  vector_free(&calls);
  if (!found || slot >= thread.maybe_top) return false;
  *value = thread_slot(vm, &thread, slot);
  return true;
}

static bool read_step(struct vm *vm, uint64_t address, enum object_type type,
                      const struct path_step *step, struct lua_value *value) {
  struct lua_upvalue upvalue;
  switch (step->kind) {
  case PATH_FIELD:
    return type == OBJECT_TABLE && read_field(vm, address, step, value);
  case PATH_UPVALUE:
    return type == OBJECT_C_FUNCTION && read_upvalue(vm, address, step, value);
  case PATH_VALUE:
    if (upvalue_load(vm, address, &upvalue)) return false;
    *value = upvalue.value;
    return true;
  case PATH_USERVALUE:
    return type == OBJECT_USERDATA && read_user_value(vm, address, step, value);
  case PATH_CONSTANT:
    return type == OBJECT_PROTOTYPE && read_constant(vm, address, step, value);
  case PATH_LOCAL:
  case PATH_STACK:
    return type == OBJECT_THREAD && read_slot(vm, address, step, value);
  default:
    return false;
  }
}

/* ---- Paths ------------------------------------------------------------------------------------
 */

static struct inspect_error *nothing_there(const struct path *path) {
  struct text text = {0};
  struct path holder = {.steps = path->steps, .count = path->count - 1};
  bool fits = path_format(&holder, &text) && text_add_string(&text, " holds nothing as ") &&
              path_format_step(&path->steps[path->count - 1], &text);
  struct inspect_error *error =
      fits ? error_create(INSPECT_ERROR_NOT_FOUND, "is the spelling right? it may also be nil",
                          "%.*s", (int)text.count, text.items)
           : error_no_memory();
  vector_free(&text);
  return error;
}

/* The value in an upvalue object that a step to an upvalue led to: it holds no object. */
static void enter_upvalue(const struct path *path, struct value_place *place) {
  struct lua_upvalue upvalue;
  if (path->steps[path->count - 1].kind != PATH_UPVALUE ||
      place->value.tag != (TAG_UPVALUE | TAG_COLLECTABLE) ||
      upvalue_load(&place->owner->vm, place->value.bits, &upvalue))
    return;
  place->value = upvalue.value;
  place->object = NO_OBJECT;
}

/* `options` selects one VM. */
static struct inspect_error *resolve_value(struct inspect_session *session,
                                           const struct command_options *options,
                                           const struct path *path, struct value_place *place) {
  struct heap *heap = &session->heap;
  struct inspect_error *error = resolve_path(session, options, path, &place->object, NULL);
  if (!error) {
    place->owner = heap_vm_of(heap, place->object);
    if (!value_of_object(&place->owner->vm, heap_address(heap, place->object), &place->value))
      return error_at(INSPECT_ERROR_UNREADABLE, heap_address(heap, place->object), NULL,
                      "the object's header is not in the dump");
    enter_upvalue(path, place);
    return NULL;
  }
  if (error->code != INSPECT_ERROR_NOT_FOUND || path->count < 2) return error;
  struct path holder = *path;
  holder.count--;
  object_id object;
  struct inspect_error *no_holder = resolve_path(session, options, &holder, &object, NULL);
  if (no_holder) {
    inspect_error_free(error);
    return no_holder;
  }
  inspect_error_free(error);
  place->owner = heap_vm_of(heap, object);
  place->object = NO_OBJECT;
  bool found = read_step(&place->owner->vm, heap_address(heap, object),
                         (enum object_type)heap->graph.type[object], &path->steps[path->count - 1],
                         &place->value);
  if (!found || value_is_empty(place->value)) return nothing_there(path);
  if (value_is_object(place->value)) place->object = heap_object_at(heap, place->value.bits);
  return NULL;
}

struct inspect_error *resolve_values(struct inspect_session *session,
                                     const struct command_options *options, const struct path *path,
                                     struct value_places *result) {
  enum path_step_kind root = path->steps[0].kind;
  bool names_one = root == PATH_ADDRESS || root == PATH_ENTRY;
  struct inspect_error *first = NULL;
  for (size_t i = 0; i < session->heap.vm_count && !(names_one && result->count); i++) {
    if (!session_selects(session, options, i)) continue;
    struct command_options one = *options;
    one.vm = (struct vm_choice){.is_given = true, .value = i + 1};
    struct value_place place = {.object = NO_OBJECT};
    struct inspect_error *error = resolve_value(session, &one, path, &place);
    if (!error && !vector_push(result, place)) error = error_no_memory();
    if (!error) continue;
    bool is_fatal = error->code == INSPECT_ERROR_NO_MEMORY;
    if (is_fatal || !first) {
      inspect_error_free(first);
      first = error;
    } else {
      inspect_error_free(error);
    }
    if (is_fatal) return first;
  }
  if (!result->count) return first;
  inspect_error_free(first);
  return NULL;
}
