/* token.c - labels made comparable across runs: what a step is called, without what changes from
 * run to run (numbers, addresses, slots). The table of spellings is in graph.h. */
#include "graph/graph.h"

static bool is_named(const struct graph_label *label) {
  return label->form == LABEL_TEXT && label->text && label->size;
}

static bool add_quoted(struct text *text, const struct graph_label *label) {
  return text_add_string(text, "\"") && text_escape(text, label->text, label->size, '"') &&
         text_add_string(text, "\"");
}

/* word(name), or word(number) if there is a number, or the word alone. */
static bool add_named_step(struct text *text, const char *word, const struct graph_label *label,
                           int64_t number) {
  if (!text_add_string(text, word)) return false;
  if (!is_named(label)) return !number || text_printf(text, "(%lld)", (long long)number);
  bool is_plain = text_is_name(label->text, label->size);
  return text_add_string(text, "(") &&
         (is_plain ? text_add(text, label->text, label->size) : add_quoted(text, label)) &&
         text_add_string(text, ")");
}

static bool add_field(struct text *text, const struct graph_label *label) {
  if (label->form != LABEL_TEXT || !label->text) return text_add_string(text, "[?]");
  if (text_is_name(label->text, label->size))
    return text_add_string(text, ".") && text_add(text, label->text, label->size);
  return text_add_string(text, "[") && add_quoted(text, label) && text_add_string(text, "]");
}

static bool add_index(struct text *text, const struct graph_label *label) {
  switch (label->form) {
  case LABEL_BOOLEAN:
    return text_add_string(text, label->integer ? "[true]" : "[false]");
  case LABEL_POINTER:
    return text_add_string(text, "[pointer]");
  default:
    return text_add_string(text, "[*]");
  }
}

/* The key is the target of the reference before; its type says enough. */
static bool add_keyed(const struct graph *graph, object_id from, reference_id reference,
                      struct text *text) {
  bool has_key =
      reference > graph_first(graph, from) && graph->kind[reference - 1] == REFERENCE_KEY;
  if (!has_key) return text_add_string(text, "[?]");
  object_id key = graph->target[reference - 1];
  return text_printf(text, "[%s]", object_type_name((enum object_type)graph->type[key]));
}

/* Kinds whose token depends on a label read from the target. */
static bool add_labelled(const struct graph *graph, object_id from, reference_id reference,
                         struct text *text) {
  struct arena arena;
  arena_init(&arena);
  struct graph_label label = {0};
  if (graph->labels.label)
    graph->labels.label(graph->labels.context, from, reference, &arena, &label);
  int64_t number = label.integer > 0 ? label.integer : 0;
  bool added;
  switch (graph->kind[reference]) {
  case REFERENCE_FIELD:
    added = add_field(text, &label);
    break;
  case REFERENCE_INDEX:
    added = add_index(text, &label);
    break;
  case REFERENCE_UPVALUE:
    added = add_named_step(text, ":upvalue", &label, number);
    break;
  case REFERENCE_OPEN_UPVALUE:
    added = add_named_step(text, ":upvalue", &label, 0);
    break;
  case REFERENCE_USER_VALUE: /* unnumbered: the only one, Lua before 5.4 */
    added = text_printf(text, ":uservalue(%lld)", number ? (long long)number : 1);
    break;
  default: /* STACK, MAYBE_STACK */
    added = add_named_step(text, is_named(&label) ? ":local" : ":stack", &label, 0);
  }
  arena_free(&arena);
  return added;
}

bool graph_token(const struct graph *graph, object_id from, reference_id reference,
                 struct text *text) {
  switch (graph->kind[reference]) {
  case REFERENCE_FIELD:
  case REFERENCE_INDEX:
  case REFERENCE_UPVALUE:
  case REFERENCE_OPEN_UPVALUE:
  case REFERENCE_USER_VALUE:
  case REFERENCE_STACK:
  case REFERENCE_MAYBE_STACK:
    return add_labelled(graph, from, reference, text);
  case REFERENCE_KEYED:
    return add_keyed(graph, from, reference, text);
  case REFERENCE_KEY:
    return text_add_string(text, ":key");
  case REFERENCE_METATABLE:
    return text_add_string(text, ":metatable");
  case REFERENCE_ENVIRONMENT:
    return text_add_string(text, ":env");
  case REFERENCE_CONSTANT:
    return text_add_string(text, ":constant");
  case REFERENCE_PROTOTYPE:
    return text_add_string(text, ":prototype");
  case REFERENCE_DEBUG:
    return text_add_string(text, ":debug");
  default:
    return true; /* UPVALUE_VALUE */
  }
}
