/* states.c - which VMs are in the target, and do their books balance?
 *
 * VMs keep their numbers, which are those of --vm, in whatever order they are listed. */
#include "command/listing.h"

enum order { ORDER_ADDRESS, ORDER_BYTES, ORDER_OBJECTS, ORDER_COROUTINES, ORDER_RESIDUAL };

const char *const state_orders[] = {"address", "bytes", "objects", "coroutines", "residual", NULL};

static uint64_t key_of(const struct heap_vm *owner, enum order order) {
  switch (order) {
  case ORDER_ADDRESS:
    break;
  case ORDER_BYTES:
    return owner->vm.heap_bytes;
  case ORDER_OBJECTS:
    return owner->count;
  case ORDER_COROUTINES:
    return owner->coroutines;
  case ORDER_RESIDUAL:
    return owner->residual < 0 ? -(uint64_t)owner->residual : (uint64_t)owner->residual;
  }
  return 0;
}

/* Largest first, then by number. */
static int compare_vms(const void *left, const void *right, void *state) {
  const struct command_context *context = state;
  const struct heap_vm *vms = context->session->heap.vms;
  enum order order = (enum order)context->options->sort;
  size_t a = *(const size_t *)left, b = *(const size_t *)right;
  uint64_t x = key_of(&vms[a], order), y = key_of(&vms[b], order);
  if (x != y) return x > y ? -1 : 1;
  return (a > b) - (a < b);
}

/* The selected VMs in the order that was asked for; in the context's arena. */
struct vm_order {
  size_t *items, count;
};

static struct inspect_error *order_vms(struct command_context *context, struct vm_order *order) {
  const struct inspect_session *session = context->session;
  order->items = arena_alloc(context->arena, session->heap.vm_count * sizeof *order->items);
  if (!order->items) return error_no_memory();
  for (size_t i = 0; i < session->heap.vm_count; i++)
    if (session_selects(session, context->options, i)) order->items[order->count++] = i;
  qsort_r(order->items, order->count, sizeof *order->items, compare_vms, context);
  return NULL;
}

static void line_vm(struct command_context *context, struct table *table, size_t index) {
  struct inspect_session *session = context->session;
  const struct heap_vm *owner = &session->heap.vms[index];
  bool counted = session->is_built && !context->options->brief;
  table_row(table);
  table_cell(table, cell_plain(index + 1));
  table_cell(table, cell_address(owner->vm.main_thread));
  const char *release = session->releases[index];
  table_cell(table, cell_words(release ? release : owner->vm.layout->lua));
  table_cell(table, cell_bytes(owner->vm.heap_bytes));
  if (!counted) return;
  table_cell(table, cell_count(owner->count));
  table_cell(table, cell_count(owner->coroutines));
  table_cell(table, cell_bytes(owner->accounted_bytes));
  table_cell(table, cell_integer(owner->residual));
}

static void page_vms(struct command_context *context, const struct vm_order *order) {
  struct inspect_session *session = context->session;
  struct table *table = page_table(context->document, 0);
  table_column(table, "VM");
  table_column(table, "main thread");
  table_column(table, "Lua");
  table_column(table, "heap");
  if (session->is_built && !context->options->brief) {
    table_column(table, "objects");
    table_column(table, "coroutines");
    table_column(table, "accounted");
    table_column(table, "residual bytes");
  }
  size_t shown = listing_limit(context, order->count, order->count);
  for (size_t i = 0; i < shown && !document_stops(context->document, i, shown); i++)
    line_vm(context, table, order->items[i]);
  listing_more(context, shown, order->count, "VM", "VMs");
}

/* "layout 5.4.3 .. 5.4.9, 64-bit, canned", and what was adapted. */
static void line_layout(struct line *line, const struct layout *layout) {
  static const char *const WORDS[] = {[LAYOUT_CANNED] = "canned",
                                      [LAYOUT_PROBED] = "canned and adapted",
                                      [LAYOUT_DWARF] = "from debug info",
                                      [LAYOUT_FILE] = "given by --layout"};
  line_printf(line, STYLE_PLAIN, "layout %s, %u-bit, %s", layout->name, 8u * layout->pointer_size,
              WORDS[layout->provenance]);
  if (layout->note)
    line_printf(line, STYLE_PLAIN, " (LUA_EXTRASPACE is %u: %s)", layout->block_extra,
                layout->note);
}

/* -v: which layout, and why. */
static void page_evidence(struct command_context *context, const struct vm_order *order) {
  struct inspect_session *session = context->session;
  size_t shown = listing_limit(context, order->count, order->count);
  for (size_t at = 0; at < shown && !document_stops(context->document, at, shown); at++) {
    size_t i = order->items[at];
    const struct heap_vm *owner = &session->heap.vms[i];
    page_blank(context->document);
    struct line *line = page_line(context->document, 0);
    line_printf(line, STYLE_HEADING, "VM %zu", i + 1);
    line = page_line(context->document, 2);
    line_layout(line, owner->vm.layout);
    line_printf(line, STYLE_PLAIN, ": %s", owner->evidence);
    if (session->is_built)
      line_printf(line, STYLE_PLAIN,
                  owner->residual == 0 ? "; every byte is accounted for"
                                       : "; but the bytes do not add up: the layout may not fit");
    line = page_line(context->document, 2);
    line_words(line, STYLE_PLAIN, "global_State ");
    line_cell(line, STYLE_PLAIN, cell_address(owner->vm.global_state));
    line_words(line, STYLE_PLAIN, ", registry ");
    line_cell(line, STYLE_PLAIN, cell_address(owner->vm.registry));
    line_printf(line, STYLE_PLAIN, ", collector phase %u", owner->vm.gc_state);
    if (!session->releases[i]) {
      line = page_line(context->document, 2);
      line_words(line, STYLE_PLAIN,
                 "exact release not known: the file with the Lua library is not at hand (--exe, "
                 "--sysroot)");
    }
  }
}

struct inspect_error *command_states(struct command_context *context) {
  struct inspect_session *session = context->session;
  bool is_brief = context->options->brief && !context->options->vm.is_given;
  TRY(is_brief ? session_detect_briefly(session, context->work)
               : session_detect(session, context->work));
  TRY(session_check_choice(session, context->options));
  if (!context->options->brief) TRY(session_collect(session, context->work));
  struct vm_order order = {0};
  TRY(order_vms(context, &order));
  describe_target(context, context->options->brief);
  data_cell(context->data, "searched_all", cell_boolean(!session->heap.search.is_brief));
  page_vms(context, &order);
  if (session->heap.search.is_brief) {
    page_blank(context->document);
    line_words(
        page_line(context->document, 0), STYLE_PLAIN,
        "found from what the native threads hold; lua-states searches all memory for others");
  }
  if (context->options->verbose) page_evidence(context, &order);
  struct line *line = listing_next(context);
  listing_try(context, line, "lua-triage");
  if (!context->options->verbose) listing_try(context, line, "lua-states -v");
  describe_faults(context);
  return NULL;
}
