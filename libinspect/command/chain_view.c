/* chain_view.c - chains as a person and as a program read them. */
#include "command/chain_view.h"

#include "lua/stack.h"
#include "report/flow.h"

/* ---- One step -------------------------------------------------------------------------------- */

/* Whether the step to `position` is folded into the one before or after it: the upvalue object
 * between a function and a value. */
static bool is_folded(const struct graph *graph, const struct chain *chain, size_t position) {
  return position > 0 && position + 1 < chain->count &&
         graph->type[chain->items[position].object] == OBJECT_UPVALUE &&
         graph->kind[chain->items[position].reference] == REFERENCE_UPVALUE;
}

/* The reference whose label names the step to `position`. */
static reference_id naming_reference(const struct graph *graph, const struct chain *chain,
                                     size_t position, object_id *from) {
  if (position > 1 && is_folded(graph, chain, position - 1)) position--;
  *from = chain->items[position - 1].object;
  return chain->items[position].reference;
}

static bool root_text(struct inspect_session *session, const struct chain *chain,
                      const object_id *from, struct text *text) {
  const struct heap *heap = &session->heap;
  object_id object = chain->items[0].object;
  const struct heap_vm *owner = heap_vm_of(heap, object);
  enum root_kind kind = from ? ROOT_RUNNING_THREAD : heap->graph.roots[chain->root].kind;
  if (object == owner->globals) return text_add_string(text, "_G");
  if (object == owner->loaded) return text_add_string(text, "package.loaded");
  if (object == owner->registry) return text_add_string(text, "registry");
  if (object == owner->main_thread && kind == ROOT_MAIN_THREAD)
    return text_printf(text, "registry[%u]", owner->vm.layout->main_thread_index);
  return text_printf(text, "0x%llx", (unsigned long long)heap_address(heap, object));
}

bool chain_step_text(struct inspect_session *session, const struct chain *chain, size_t position,
                     const object_id *from, struct text *text) {
  object_id owner;
  if (position == 0) return root_text(session, chain, from, text);
  reference_id reference = naming_reference(&session->heap.graph, chain, position, &owner);
  return resolve_label(session, owner, reference, text);
}

const char *path_to_page(struct command_context *context, const char *path) {
  enum { LONGEST = 1000 };
  if (!path || context->options->wide || strlen(path) <= LONGEST) return path;
  struct text text = {0};
  const char *result = NULL;
  if (text_add(&text, path, LONGEST) && flow_cut(&text, 0, LONGEST / 2, 0))
    result = arena_printf(context->arena, "%.*s (--wide or --json shows all of it)",
                          (int)text.count, text.items);
  vector_free(&text);
  return result;
}

bool chain_to_path_after(struct inspect_session *session, const struct chain *chain, size_t start,
                         const object_id *from, struct text *text) {
  for (size_t i = start; i < chain->count; i++)
    if (!is_folded(&session->heap.graph, chain, i) &&
        !chain_step_text(session, chain, i, from, text))
      return false;
  return true;
}

bool chain_to_path(struct inspect_session *session, const struct chain *chain,
                   const object_id *from, struct text *text) {
  return chain_to_path_after(session, chain, 0, from, text);
}

/* ---- Data ------------------------------------------------------------------------------------ */

const char *chain_root_words(enum root_kind kind) {
  switch (kind) {
  case ROOT_MAIN_THREAD:
    return "main thread";
  case ROOT_RUNNING_THREAD:
    return "running thread";
  case ROOT_REGISTRY:
    return "registry";
  case ROOT_BASIC_METATABLE:
    return "metatable of a basic type";
  case ROOT_PENDING:
    return "pending finalizer";
  case ROOT_GLOBALS:
    return "_G";
  case ROOT_LOADED:
    return "package.loaded";
  }
  return "root";
}

static void data_label(struct inspect_session *session, struct data *step,
                       const struct graph_label *label, bool in_registry) {
  enum reference_kind kind = label->kind;
  const char *name = reference_kind_name(kind);
  if (in_registry && (kind == REFERENCE_FIELD || kind == REFERENCE_INDEX))
    name = "registry";
  else if (kind == REFERENCE_STACK && label->form == LABEL_TEXT)
    name = "local";
  data_cell(step, "kind", cell_words(name));
  struct cell cell = cell_null();
  switch (label->form) {
  case LABEL_TEXT:
    cell = cell_bare(label->text, label->size);
    break;
  case LABEL_INTEGER:
    cell = cell_integer(label->integer);
    break;
  case LABEL_NUMBER:
    cell = cell_number(label->number);
    break;
  case LABEL_BOOLEAN:
    cell = cell_boolean(label->integer != 0);
    break;
  case LABEL_POINTER:
    cell = cell_address((uint64_t)label->integer);
    break;
  case LABEL_OBJECT:
    cell = cell_address(heap_address(&session->heap, label->object));
    break;
  case LABEL_NONE:
    break;
  }
  data_cell(step, "label", cell);
}

static void data_step(struct command_context *context, struct data *step, const struct chain *chain,
                      size_t position, const object_id *from) {
  struct inspect_session *session = context->session;
  const struct graph *graph = &session->heap.graph;
  object_id object = chain->items[position].object;
  if (position == 0) {
    data_cell(step, "kind", cell_words("root"));
    data_cell(step, "label",
              cell_words(from ? "from" : chain_root_words(graph->roots[chain->root].kind)));
  } else {
    object_id owner;
    struct graph_label label;
    reference_id reference = naming_reference(graph, chain, position, &owner);
    graph->labels.label(graph->labels.context, owner, reference, context->arena, &label);
    data_label(session, step, &label, owner == heap_vm_of(&session->heap, owner)->registry);
    if (label.function) data_cell(step, "function", cell_words(label.function));
  }
  struct text text = {0};
  if (chain_step_text(session, chain, position, from, &text))
    data_cell(step, "text", cell_words(arena_copy(context->arena, text.items, text.count)));
  vector_free(&text);
  data_cell(step, "address", cell_address(heap_address(&session->heap, object)));
  data_cell(step, "type", cell_words(object_type_name(graph->type[object])));
  data_cell(step, "class", cell_words(object_class(session, object)));
}

size_t chain_to_data(struct command_context *context, struct data *array, const struct chain *chain,
                     const object_id *from, size_t position) {
  size_t index = 0, result = 0;
  for (size_t i = 0; i < chain->count; i++) {
    if (i == position) result = index;
    if (is_folded(&context->session->heap.graph, chain, i)) continue;
    data_step(context, data_object(array, NULL), chain, i, from);
    index++;
  }
  return result;
}

/* ---- Page ------------------------------------------------------------------------------------ */

/* Fields are written in Lua syntax; anything else in words, on a line of its own. */
static bool is_field(enum reference_kind kind) {
  return kind == REFERENCE_FIELD || kind == REFERENCE_INDEX || kind == REFERENCE_KEYED;
}

static const char *named(struct arena *arena, const char *what, const struct graph_label *label) {
  if (label->form == LABEL_INTEGER)
    return arena_printf(arena, "%s %lld", what, (long long)label->integer);
  struct text text = {0};
  const char *result = what;
  if (label->form == LABEL_TEXT && text_escape(&text, label->text, label->size, 0))
    result = arena_printf(arena, "%s %.*s", what, (int)text.count, text.items);
  vector_free(&text);
  return result;
}

static const char *step_words(struct command_context *context, const struct graph_label *label) {
  struct arena *arena = context->arena;
  switch (label->kind) {
  case REFERENCE_METATABLE:
    return "metatable";
  case REFERENCE_ENVIRONMENT:
    return "environment";
  case REFERENCE_KEY:
    return "as a key";
  case REFERENCE_UPVALUE:
    return named(arena, "upvalue", label);
  case REFERENCE_UPVALUE_VALUE:
    return "value of the upvalue";
  case REFERENCE_USER_VALUE:
    return named(arena, "user value", label);
  case REFERENCE_CONSTANT:
    return named(arena, "constant", label);
  case REFERENCE_PROTOTYPE:
    return "prototype";
  case REFERENCE_OPEN_UPVALUE:
    return "open upvalue";
  case REFERENCE_DEBUG:
    return "name for debugging";
  case REFERENCE_STACK:
  case REFERENCE_MAYBE_STACK: {
    struct graph_label slot = *label;
    if (slot.form == LABEL_INTEGER) slot.integer++;
    const char *words = named(arena, slot.form == LABEL_TEXT ? "local" : "stack slot", &slot);
    if (label->function)
      words = arena_printf(arena, "%s of %s%s", words,
                           strncmp(label->function, "C function", 10) ? "function " : "",
                           label->function);
    return label->kind == REFERENCE_STACK
               ? words
               : arena_printf(arena, "%s (maybe: above the top of a running function)", words);
  }
  default:
    return "reference";
  }
}

/* Names of the target may be of any length: a page shows so much of a label or note. */
static const char *cut(struct command_context *context, const char *words) {
  enum { LONGEST = 160 };
  if (!words || context->options->wide || strlen(words) <= LONGEST) return words;
  struct text text = {0};
  const char *result = words;
  if (text_add_string(&text, words) && flow_cut(&text, 0, LONGEST, 0))
    result = arena_copy(context->arena, text.items, text.count);
  vector_free(&text);
  return result;
}

static const char *root_words(struct command_context *context, const struct chain *chain,
                              const object_id *from) {
  struct inspect_session *session = context->session;
  enum root_kind kind = from ? ROOT_GLOBALS : session->heap.graph.roots[chain->root].kind;
  if (kind == ROOT_MAIN_THREAD || kind == ROOT_RUNNING_THREAD || kind == ROOT_PENDING)
    return chain_root_words(kind);
  if (kind == ROOT_BASIC_METATABLE) {
    static const char *const TYPES[] = {"nil",       "booleans", "light userdata",
                                        "numbers",   "strings",  "tables",
                                        "functions", "userdata", "threads"};
    uint32_t type = session->heap.graph.roots[chain->root].index;
    return arena_printf(context->arena, "metatable of %s", type < 9 ? TYPES[type] : "a type");
  }
  struct text text = {0};
  const char *result = NULL;
  if (root_text(session, chain, from, &text))
    result = arena_copy(context->arena, text.items, text.count);
  vector_free(&text);
  return result ? result : "root";
}

/* Whether the step behind `position` is written on the same line, whose note is then another. */
static bool is_joined(const struct graph *graph, const struct chain *chain, size_t position,
                      const struct chain_view_options *options) {
  const struct chain_step *here = &chain->items[position], *next = here + 1;
  bool may_join =
      position == 0 || (position != options->suspect && is_field(graph->kind[here->reference]) &&
                        graph->type[here->object] == OBJECT_TABLE);
  return position + 1 < chain->count && may_join && is_field(graph->kind[next->reference]);
}

/* What stands right of a step. Counting the entries of a table takes time: not in vain. */
static const char *step_note(struct command_context *context, const struct chain *chain,
                             size_t position, const struct chain_view_options *options) {
  const struct graph *graph = &context->session->heap.graph;
  object_id object = chain->items[position].object;
  const char *suspect_note =
      position && position == options->suspect ? options->suspect_note : NULL;
  if (suspect_note && graph->type[object] == OBJECT_TABLE) return suspect_note;
  if (position + 1 == chain->count || is_joined(graph, chain, position, options))
    return suspect_note;
  const char *note = describe_object(context->session, object, context->arena);
  if (!suspect_note) return note;
  return note ? arena_printf(context->arena, "%s; %s", note, suspect_note) : suspect_note;
}

static void page_step(struct command_context *context, struct chain_view *view,
                      const struct chain *chain, size_t position,
                      const struct chain_view_options *options, bool *may_join) {
  struct inspect_session *session = context->session;
  const struct graph *graph = &session->heap.graph;
  object_id object = chain->items[position].object;
  bool is_suspect = position && position == options->suspect;
  const char *note = step_note(context, chain, position, options);
  if (position == 0) {
    chain_view_step(view, root_words(context, chain, options->from), false, false,
                    cut(context, note));
    *may_join = true;
    return;
  }
  object_id owner;
  struct graph_label label;
  reference_id reference = naming_reference(graph, chain, position, &owner);
  graph->labels.label(graph->labels.context, owner, reference, context->arena, &label);
  const char *words = NULL;
  struct text text = {0};
  if (!is_field(label.kind))
    words = step_words(context, &label);
  else if (resolve_label(session, owner, reference, &text))
    words = arena_copy(context->arena, text.items, text.count);
  vector_free(&text);
  chain_view_step(view, words ? cut(context, words) : "?", *may_join && is_field(label.kind),
                  is_suspect, cut(context, note));
  *may_join = !is_suspect && is_field(label.kind) && graph->type[object] == OBJECT_TABLE;
}

static const char *leaf_words(struct command_context *context, object_id object) {
  struct inspect_session *session = context->session;
  unsigned long long address = heap_address(&session->heap, object);
  const char *class = object_class(session, object);
  const char *what = class ? class : object_type_name(session->heap.graph.type[object]);
  return arena_printf(context->arena, "%s 0x%llx", what, address);
}

/* A long chain shows its ends and what surrounds the suspect. */
static bool is_left_out(struct command_context *context, const struct chain *chain, size_t position,
                        size_t suspect) {
  enum { LONGEST = 60, END = 20, AROUND = 3 };
  bool is_near = suspect && position + AROUND >= suspect && position <= suspect + AROUND;
  return !context->options->wide && chain->count > LONGEST && position >= END &&
         position + END < chain->count && !is_near;
}

static void page_gap(struct command_context *context, struct chain_view *view, size_t count) {
  const char *words = render_cell(context->arena, cell_count(count));
  chain_view_step(view,
                  arena_printf(context->arena, "... %s %s ...", words ? words : "",
                               count == 1 ? "step" : "steps"),
                  false, false, NULL);
}

struct chain_view *chain_to_page(struct command_context *context, const struct chain *chain,
                                 const struct chain_view_options *options, unsigned indent) {
  struct inspect_session *session = context->session;
  struct chain_view *view = page_chain(context->document, indent);
  bool may_join = false;
  size_t left_out = 0;
  for (size_t i = 0; i < chain->count; i++) {
    if (is_folded(&session->heap.graph, chain, i)) continue;
    if (is_left_out(context, chain, i, options->suspect)) {
      left_out++;
      continue;
    }
    if (left_out) {
      page_gap(context, view, left_out);
      left_out = 0;
      may_join = false;
    }
    page_step(context, view, chain, i, options, &may_join);
  }
  object_id leaf = chain->items[chain->count - 1].object;
  const char *note = describe_object(session, leaf, context->arena);
  if (options->leaf_note)
    note = arena_printf(context->arena, "%s (%s)", note ? note : "", options->leaf_note);
  chain_view_leaf(view, cut(context, leaf_words(context, leaf)), cut(context, note));
  return view;
}
