/* object_view.c - what every answer about one object begins and ends with. */
#include "command/object_view.h"

#include "command/chain_view.h"

enum { VALUES = 14 }; /* column */

/* ---- One object -------------------------------------------------------------------------------
 */

const char *unreached_word(const struct inspect_session *session, object_id object) {
  return session_doubts(session, object) ? "unknown" : "garbage";
}

static const char *fate(const struct inspect_session *session, object_id object) {
  if (bitset_has(&session->collection.live, object)) return "alive";
  if (session_doubts(session, object)) return "unknown: not reached, but references were lost";
  return bitset_has(&session->collection.finalizer, object) ? "kept only for its finalizer"
                                                            : "garbage: no root reaches it";
}

const char *object_words(struct command_context *context, object_id object) {
  struct inspect_session *session = context->session;
  const struct heap_vm *owner = heap_vm_of(&session->heap, object);
  const char *words = describe_object(session, object, context->arena);
  const char *name = object == owner->globals    ? "_G"
                     : object == owner->registry ? "registry"
                     : object == owner->loaded   ? "package.loaded"
                                                 : object_class(session, object);
  return name && words ? arena_printf(context->arena, "%s, %s", name, words) : words;
}

void object_to_page(struct command_context *context, object_id object) {
  struct inspect_session *session = context->session;
  struct line *line = page_line(context->document, 0);
  line_cell(line, STYLE_HEADING, cell_address(heap_address(&session->heap, object)));
  line_printf(line, STYLE_HEADING, "   %s", describe_object(session, object, context->arena));
  const char *class = object_class(session, object);
  if (class) {
    line_words(line, STYLE_PLAIN, "   class ");
    line_words(line, STYLE_KEY, class);
  }
  line_printf(line, STYLE_PLAIN, "   %s", fate(session, object));
  size_t owner = (size_t)(heap_vm_of(&session->heap, object) - session->heap.vms);
  if (session->heap.vm_count > 1) line_printf(line, STYLE_PLAIN, "   VM %zu", owner + 1);
}

struct cell object_retained(const struct inspect_session *session, object_id object) {
  if (!session->is_dominated || !session->dominators.enter[object]) return cell_null();
  return cell_bytes(session->dominators.retained[object]);
}

void object_to_data(struct command_context *context, struct data *data, object_id object) {
  struct inspect_session *session = context->session;
  const struct graph *graph = &session->heap.graph;
  size_t owner = (size_t)(heap_vm_of(&session->heap, object) - session->heap.vms);
  data_cell(data, "vm", cell_plain(owner + 1));
  data_cell(data, "address", cell_address(heap_address(&session->heap, object)));
  data_cell(data, "type", cell_words(object_type_name((enum object_type)graph->type[object])));
  data_cell(data, "class", cell_words(object_class(session, object)));
  data_cell(data, "description", cell_words(describe_object(session, object, context->arena)));
  data_cell(data, "bytes", cell_bytes(graph_bytes(graph, object)));
  data_cell(data, "retained_bytes", object_retained(session, object));
  data_cell(data, "live", cell_boolean(bitset_has(&session->collection.live, object)));
}

void object_bytes_to_page(struct command_context *context, object_id object) {
  struct inspect_session *session = context->session;
  struct line *line = page_named(context, "bytes");
  struct cell retained = object_retained(session, object);
  line_cell(line, STYLE_PLAIN, cell_bytes(graph_bytes(&session->heap.graph, object)));
  if (retained.type == CELL_NULL) return;
  line_words(line, STYLE_PLAIN, ", ");
  line_cell(line, STYLE_PLAIN, retained);
  line_words(line, STYLE_PLAIN, " retained");
}

/* ---- Paths ------------------------------------------------------------------------------------
 */

struct inspect_error *object_path(struct command_context *context, object_id object,
                                  const char **path) {
  struct inspect_session *session = context->session;
  const struct graph *graph = &session->heap.graph;
  struct bitset targets;
  *path = NULL;
  if (!bitset_init(&targets, graph->object_count)) return error_no_memory();
  bitset_add(&targets, object);
  struct chains_options options = {.targets = &targets};
  struct chains chains;
  struct inspect_error *error = chains_search(graph, &options, context->work, &chains);
  if (!error) {
    struct chain chain = {0};
    struct text text = {0};
    if (chains_get(graph, &chains, &options, object, &chain) &&
        chain_to_path(session, &chain, NULL, &text))
      *path = arena_copy(context->arena, text.items, text.count);
    vector_free(&text);
    vector_free(&chain);
    chains_free(&chains);
  }
  bitset_free(&targets);
  return error;
}

/* ---- Lines ------------------------------------------------------------------------------------
 */

struct line *page_named(struct command_context *context, const char *name) {
  struct line *line = page_line(context->document, 0);
  line_words(line, STYLE_MUTED, name);
  line_tab(line, VALUES);
  return line;
}
