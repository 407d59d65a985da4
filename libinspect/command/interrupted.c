/* interrupted.c - what Ctrl-C leaves of an answer.
 *
 * An analysis that is stopped costs the answer its part: partial_if_interrupted goes on without it.
 * A command that is stopped before it has anything of its own to say tells what had been seen of
 * the target until then: VMs, objects, bytes. */
#include "command/session.h"

struct inspect_error *partial_if_interrupted(struct command_context *context,
                                             struct inspect_error *error) {
  if (!error || error->code != INSPECT_ERROR_INTERRUPTED) return error;
  context->partial = true;
  return NULL;
}

struct seen {
  uint64_t vms, objects, bytes, heap_bytes;
  uint64_t count_of[OBJECT_TYPE_COUNT], bytes_of[OBJECT_TYPE_COUNT];
};

/* The graph is whole: what it is made of can be counted in no time. */
static void count_types(struct command_context *context, const struct heap_vm *owner,
                        struct seen *seen) {
  enum { ASK_EVERY = 1 << 14 };
  const struct graph *graph = &context->session->heap.graph;
  for (uint32_t i = 0; i < owner->count; i++) {
    object_id object = owner->first + i;
    if (i % ASK_EVERY == 0 && document_stops(context->document, 0, 0)) return;
    seen->count_of[graph->type[object]]++;
    seen->bytes_of[graph->type[object]] += graph_bytes(graph, object);
  }
}

static void look_back(struct command_context *context, struct seen *seen) {
  const struct inspect_session *session = context->session;
  for (size_t i = 0; i < session->heap.vm_count; i++) {
    const struct heap_vm *owner = &session->heap.vms[i];
    if (session->is_detected && !session_selects(session, context->options, i)) continue;
    seen->vms++;
    seen->objects += owner->count;
    seen->bytes += owner->object_bytes;
    seen->heap_bytes += owner->vm.heap_bytes;
    if (session->is_built) count_types(context, owner, seen);
  }
}

static void to_data(struct command_context *context, const struct seen *seen, const char *phase,
                    double share) {
  struct data *data = data_object(context->data, "interrupted");
  data_cell(data, "phase", cell_words(phase));
  data_cell(data, "share", phase && share >= 0 ? cell_ratio(share) : cell_null());
  data_cell(data, "vms", cell_count(seen->vms));
  data_cell(data, "objects", cell_count(seen->objects));
  data_cell(data, "bytes", cell_bytes(seen->bytes));
  struct data *types = data_array(data, "types");
  for (unsigned type = 0; type < OBJECT_TYPE_COUNT; type++) {
    if (!seen->count_of[type]) continue;
    struct data *row = data_object(types, NULL);
    data_cell(row, "type", cell_words(object_type_name(type)));
    data_cell(row, "count", cell_count(seen->count_of[type]));
    data_cell(row, "bytes", cell_bytes(seen->bytes_of[type]));
  }
}

static struct line *begin_line(struct command_context *context, const char *what) {
  struct line *line = page_line(context->document, 0);
  line_words(line, STYLE_PLAIN, what);
  line_tab(line, 14);
  return line;
}

static void page_types(struct command_context *context, const struct seen *seen) {
  struct table *table = page_table(context->document, 0);
  table_column(table, "type");
  table_column(table, "objects");
  table_column(table, "bytes");
  for (unsigned type = 0; type < OBJECT_TYPE_COUNT; type++) {
    if (!seen->count_of[type]) continue;
    table_row(table);
    table_cell(table, cell_words(object_type_name(type)));
    table_cell(table, cell_count(seen->count_of[type]));
    table_cell(table, cell_bytes(seen->bytes_of[type]));
  }
}

static void to_page(struct command_context *context, const struct seen *seen, const char *phase,
                    double share) {
  struct line *line;
  if (phase) {
    line = begin_line(context, "stopped at");
    line_words(line, STYLE_PLAIN, phase);
    if (share >= 0) {
      line_words(line, STYLE_PLAIN, ", ");
      line_cell(line, STYLE_PLAIN, cell_ratio(share));
    }
  }
  line = begin_line(context, "seen so far");
  line_cell(line, STYLE_PLAIN, cell_count(seen->vms));
  line_words(line, STYLE_PLAIN, seen->vms == 1 ? " VM" : " VMs");
  if (seen->objects) {
    line_words(line, STYLE_PLAIN, ", ");
    line_cell(line, STYLE_PLAIN, cell_count(seen->objects));
    line_words(line, STYLE_PLAIN, seen->objects == 1 ? " object, " : " objects, ");
    line_cell(line, STYLE_PLAIN, cell_bytes(seen->bytes));
    line_words(line, STYLE_PLAIN, " of");
  } else if (seen->vms) {
    line_words(line, STYLE_PLAIN, " of");
  }
  if (seen->vms) {
    line_words(line, STYLE_PLAIN, " ");
    line_cell(line, STYLE_PLAIN, cell_bytes(seen->heap_bytes));
  }
  page_blank(context->document);
  if (context->session->is_built) {
    page_types(context, seen);
    page_blank(context->document);
  }
}

void describe_interrupted(struct command_context *context, const char *phase, double share) {
  struct seen seen = {0};
  if (!context->is_described) describe_target(context, !context->session->is_built);
  look_back(context, &seen);
  to_data(context, &seen, phase, share);
  to_page(context, &seen, phase, share);
}
