/* faults.c - what could not be checked, and why: memory that the dump lacks, with how much of which
 * VM lay there and what typically cuts a core off; what the dump caught halfway; faults. */
#include "command/session.h"

enum { NAMES = 14 }; /* column behind "not checked" */

/* ---- Moments ---------------------------------------------------------------------------------
 */

/* What the residual is, and what else the dump caught halfway. */
static void describe_moments(struct command_context *context) {
  enum { MOST_SHOWN = 3 };
  const struct heap *heap = &context->session->heap;
  uint64_t count = 0, shown = 0;
  for (size_t i = 0; i < heap->vm_count; i++) {
    const struct heap_vm *owner = &heap->vms[i];
    count += owner->vm.notes.count;
    if (!context->session->is_built || !owner->residual ||
        !session_selects(context->session, context->options, i))
      continue;
    struct line *line = page_line(context->document, 0);
    line_words(line, owner->residual_state == RESIDUAL_UNEXPLAINED ? STYLE_BAD : STYLE_PLAIN,
               "residual");
    line_tab(line, 14);
    line_cell(line, STYLE_PLAIN, cell_integer(owner->residual));
    line_printf(line, STYLE_PLAIN, " B: %s", owner->residual_text);
  }
  for (size_t i = 0; i < heap->vm_count; i++) {
    const struct notes *notes = &heap->vms[i].vm.notes;
    for (size_t j = 0; j < notes->count && shown < MOST_SHOWN; j++, shown++) {
      struct line *line = page_line(context->document, 0);
      line_words(line, STYLE_PLAIN, "note");
      line_tab(line, 14);
      line_words(line, STYLE_PLAIN, notes->items[j].text);
    }
  }
  if (count > shown) {
    struct line *line = page_line(context->document, 14);
    line_cell(line, STYLE_MUTED, cell_count(count - shown));
    line_words(line, STYLE_MUTED, " more notes: --json lists them");
  }
}

/* ---- Missing memory ----------------------------------------------------------------------------
 */

static struct line *line_below(struct command_context *context) {
  return page_line(context->document, NAMES);
}

/* How much of which VM. Nothing of a VM is missing if the walk met no reference that leads there.
 */
static void describe_shares(struct command_context *context) {
  enum { MOST_SHOWN = 3 };
  const struct heap *heap = &context->session->heap;
  uint64_t count = 0;
  if (!context->session->is_built) return;
  for (size_t i = 0; i < heap->vm_count; i++) {
    const struct heap_vm *owner = &heap->vms[i];
    if (!owner->missing_bytes || count++ >= MOST_SHOWN) continue;
    struct line *line = line_below(context);
    line_printf(line, STYLE_PLAIN, "VM %zu lacks ", i + 1);
    line_cell(line, STYLE_PLAIN, cell_bytes(owner->missing_bytes));
    line_words(line, STYLE_PLAIN, " of ");
    line_cell(line, STYLE_PLAIN, cell_bytes(owner->vm.heap_bytes));
    double share = (double)owner->missing_bytes / (double)owner->vm.heap_bytes;
    line_words(line, STYLE_PLAIN, " (");
    line_cell(line, STYLE_PLAIN, cell_ratio(share));
    line_words(line, STYLE_PLAIN, ")");
  }
  if (!count) line_words(line_below(context), STYLE_PLAIN, "no VM has anything there");
  if (count <= MOST_SHOWN) return;
  struct line *line = line_below(context);
  line_cell(line, STYLE_MUTED, cell_count(count - MOST_SHOWN));
  line_words(line, STYLE_MUTED, " more VMs lack something: --json lists them");
}

static void begin_missing(struct line *line) {
  line_words(line, STYLE_BAD, "not checked");
  line_tab(line, NAMES);
}

/* Nothing if memory was left out that no VM misses: it is left out on purpose. */
static void describe_left_out(struct command_context *context) {
  const struct source *source = context->session->source;
  const struct heap *heap = &context->session->heap;
  uint64_t faults = 0;
  for (size_t i = 0; i < heap->vm_count; i++)
    faults += heap->vms[i].vm.faults.list.count;
  if (!source->left_out_bytes || !faults) return;
  struct line *line = page_line(context->document, 0);
  begin_missing(line);
  line_cell(line, STYLE_PLAIN, cell_bytes(source->left_out_bytes));
  line_words(
      line, STYLE_PLAIN,
      " of writable memory are not in the dump: typical causes are a coredump_filter without "
      "them (0x33 is usual, 0x7f is all) and madvise(MADV_DONTDUMP)");
  if (!source->missing_bytes) describe_shares(context);
}

static void describe_missing(struct command_context *context) {
  const struct source *source = context->session->source;
  describe_left_out(context);
  if (!source->missing_bytes && !source->ends_early) return;
  bool is_core = source->kind == SOURCE_CORE;
  struct line *line = page_line(context->document, 0);
  begin_missing(line);
  line_cell(line, STYLE_PLAIN, cell_bytes(source->missing_bytes));
  line_words(line, STYLE_PLAIN,
             is_core ? " of memory are cut off at the end of the core file"
                     : " of memory could not be read");
  describe_shares(context);
  if (source->ends_early) line_words(line_below(context), STYLE_PLAIN, source->ends_early);
  if (is_core)
    line_printf(line_below(context), STYLE_PLAIN, "typical causes: %s", source_cut_causes(source));
}

/* ---- All of it ---------------------------------------------------------------------------------
 */

static bool has_moments(const struct command_context *context) {
  const struct heap *heap = &context->session->heap;
  for (size_t i = 0; i < heap->vm_count; i++)
    if (heap->vms[i].vm.notes.count || (context->session->is_built && heap->vms[i].residual))
      return true;
  return false;
}

void describe_faults(struct command_context *context) {
  enum { MOST_SHOWN = 3 };
  struct inspect_session *session = context->session;
  const struct source *source = session->source;
  uint64_t count = 0, shown = 0;
  for (size_t i = 0; i < session->heap.vm_count; i++) {
    const struct faults *faults = &session->heap.vms[i].vm.faults;
    count += faults->list.count + faults->more;
  }
  if (!count && !source->missing_bytes && !source->ends_early && !has_moments(context)) return;
  page_blank(context->document);
  describe_moments(context);
  describe_missing(context);
  for (size_t i = 0; i < session->heap.vm_count; i++) {
    const struct faults *faults = &session->heap.vms[i].vm.faults;
    for (size_t j = 0; j < faults->list.count && shown < MOST_SHOWN; j++, shown++) {
      struct line *line = page_line(context->document, 0);
      line_words(line, STYLE_BAD, "fault");
      line_tab(line, 14);
      line_cell(line, STYLE_PLAIN, cell_address(faults->list.items[j].address));
      line_printf(line, STYLE_PLAIN, " %s", faults->list.items[j].text);
    }
  }
  if (count > shown) {
    struct line *line = page_line(context->document, 14);
    line_cell(line, STYLE_MUTED, cell_count(count - shown));
    line_words(line, STYLE_MUTED, " more faults: --json lists them");
  }
}
