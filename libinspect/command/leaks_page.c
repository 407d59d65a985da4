/* leaks_page.c - the answer of `leaks` as a page: the answer first, one chain per cause. */
#include <math.h>

#include "command/chain_view.h"
#include "command/leaks.h"

enum { MOST_CAUSES = 10, MOST_TRACKERS = 5, LABEL_COLUMN = 16 };

/* A labelled line below a cause: "cut check   without ...". */
static struct line *labelled(struct command_context *context, const char *label) {
  struct line *line = page_line(context->document, 4);
  line_words(line, STYLE_MUTED, label);
  line_tab(line, LABEL_COLUMN);
  return line;
}

/* ---- Summary --------------------------------------------------------------------------------- */

static const char *plural(size_t count, const char *one, const char *many) {
  return count == 1 ? one : many;
}

struct line *leaks_verdicts(struct command_context *context, const struct leaks *leaks) {
  static const enum style STYLES[] = {STYLE_BAD, STYLE_GOOD, STYLE_PLAIN, STYLE_MUTED, STYLE_BAD};
  size_t trackers = leaks->trackers.list.count;
  struct line *line = page_line(context->document, 0);
  line_cell(line, STYLE_HEADING, cell_count(trackers));
  line_printf(line, STYLE_HEADING, " %s, ", plural(trackers, "tracker", "trackers"));
  line_cell(line, STYLE_HEADING, cell_count(leaks->shown.count));
  line_printf(line, STYLE_HEADING, " %s:", plural(leaks->shown.count, "entry", "entries"));
  for (enum verdict verdict = 0; verdict < VERDICT_COUNT; verdict++) {
    if (!leaks->verdicts[verdict] && verdict != VERDICT_LEAKED) continue;
    line_words(line, STYLE_PLAIN, verdict ? "   " : "  ");
    line_cell(line, STYLES[verdict], cell_count(leaks->verdicts[verdict]));
    line_printf(line, STYLES[verdict], " %s", verdict_name(verdict));
  }
  size_t hidden = leaks->trackers.entries.count - leaks->shown.count;
  if (hidden) {
    line_words(line, STYLE_MUTED, "   (");
    line_cell(line, STYLE_MUTED, cell_count(hidden));
    line_words(line, STYLE_MUTED, " more do not match)");
  }
  return line;
}

/* A tracker that many VMs have at one path is one line; where there is no path, each is one. */
static bool is_like(const struct leaks *leaks, size_t a, size_t b) {
  const char *const *paths = leaks->tracker_paths;
  const struct tracker *list = leaks->trackers.list.items;
  return a == b || (paths && paths[a] && paths[b] && list[a].kind == list[b].kind &&
                    strcmp(paths[a], paths[b]) == 0);
}

static void page_tracker(struct command_context *context, const struct leaks *leaks, size_t index,
                         bool folds) {
  struct inspect_session *session = context->session;
  const struct tracker *tracker = &leaks->trackers.list.items[index];
  struct line *line = page_line(context->document, 2);
  const char *path = leaks->tracker_paths ? leaks->tracker_paths[index] : NULL;
  uint64_t entries = 0, vms = 0;
  for (size_t i = 0; i < leaks->trackers.list.count; i++) {
    if (folds ? !is_like(leaks, index, i) : i != index) continue;
    entries += leaks->trackers.list.items[i].entries;
    vms++;
  }
  if (path)
    line_words(line, STYLE_KEY, path_to_page(context, path));
  else
    line_cell(line, STYLE_KEY, cell_address(heap_address(&session->heap, tracker->table)));
  line_printf(line, STYLE_MUTED, "   %s, ", tracker_kind_name(tracker->kind));
  line_cell(line, STYLE_MUTED, cell_count(entries));
  line_printf(line, STYLE_MUTED, " %s", plural((size_t)entries, "entry", "entries"));
  if (vms > 1) {
    line_words(line, STYLE_MUTED, " in ");
    line_cell(line, STYLE_MUTED, cell_count(vms));
    line_words(line, STYLE_MUTED, " VMs");
  } else if (session->heap.vm_count > 1) {
    line_printf(line, STYLE_MUTED, ", VM %zu", tracker->vm + 1);
  }
}

static void page_trackers(struct command_context *context, const struct leaks *leaks) {
  size_t count = leaks->trackers.list.count, told[MOST_TRACKERS], shown = 0, left = 0;
  bool is_all = context->options->all;
  for (size_t i = 0; i < count && !document_stops(context->document, i, count); i++) {
    bool is_told = false;
    for (size_t j = 0; !is_all && j < shown && !is_told; j++)
      is_told = is_like(leaks, told[j], i);
    if (is_told) continue;
    if (!is_all && shown == MOST_TRACKERS) {
      left++;
      continue;
    }
    if (!is_all) told[shown++] = i;
    page_tracker(context, leaks, i, !is_all);
  }
  if (!left) return;
  struct line *line = page_line(context->document, 2);
  line_cell(line, STYLE_MUTED, cell_count(left));
  line_words(line, STYLE_MUTED, " more: --all");
}

static void page_weak(struct command_context *context, const struct leaks *leaks) {
  size_t candidates = leaks->trackers.candidates.count;
  uint64_t others = leaks->trackers.other_weak;
  if (!candidates && !others) return;
  struct line *line = page_line(context->document, 0);
  line_words(line, STYLE_MUTED, "not counted: ");
  line_cell(line, STYLE_MUTED, cell_count(candidates));
  line_printf(line, STYLE_MUTED, " %s (weak keys, plain strings as values) and ",
              plural(candidates, "candidate", "candidates"));
  line_cell(line, STYLE_MUTED, cell_count(others));
  line_printf(line, STYLE_MUTED, " other weak %s: --all-weak",
              plural((size_t)others, "table", "tables"));
}

static void page_no_tracker(struct command_context *context) {
  struct line *line = page_line(context->document, 0);
  line_words(line, STYLE_HEADING, "no tracker was found");
  line = page_line(context->document, 2);
  line_words(line, STYLE_PLAIN,
             "A tracker is a weak-keyed table, object -> {description, time}. Embed "
             "scripts/leakwatch.lua in the program to have one, or name a weak table of yours: "
             "lua-leaks _G.my_weak_table");
}

/* ---- Causes ---------------------------------------------------------------------------------- */

/* Nothing if the suspect reference leads to the leaf itself and is not what alone holds it. */
static const char *holder_note(struct command_context *context, const struct cause *cause) {
  if (cause->suspect + 1 == cause->chain.count && cause->cut_frees < cause->only_holder_of)
    return NULL;
  return arena_printf(context->arena, "only holder of %s of %s",
                      render_cell(context->arena, cell_count(cause->only_holder_of)),
                      render_cell(context->arena, cell_count(cause->count)));
}

/* The first lines of the traceback that leakwatch took when the object was created. */
static void page_trace(struct chain_view *view, struct tracked_text trace) {
  enum { MOST_LINES = 4 };
  const char *start = trace.bytes;
  size_t left = trace.size;
  for (unsigned i = 0; start && left && i < MOST_LINES; i++) {
    const char *end = memchr(start, '\n', left);
    size_t size = end ? (size_t)(end - start) : left;
    while (size && (*start == '\t' || *start == ' '))
      start++, size--, left--;
    struct line *line = chain_view_leaf_line(view);
    line_words(line, STYLE_MUTED, i ? "  " : "");
    line_cell(line, STYLE_MUTED, cell_bare(start, size));
    if (!end) break;
    left -= size + 1;
    start = end + 1;
  }
}

static void page_leaf(struct command_context *context, const struct leaks *leaks,
                      struct chain_view *view, const struct leak_cause *mine) {
  if (mine->described == SIZE_MAX) return;
  const struct tracked *tracked = leaks_entry(leaks, mine->described);
  struct tracked_text description = tracked_description(&leaks->trackers, tracked);
  struct tracked_text trace = tracked_trace(&leaks->trackers, tracked);
  double age = tracked_age(&leaks->trackers, tracked);
  if (!description.bytes && isnan(age)) {
    page_trace(view, trace);
    return;
  }
  struct line *line = chain_view_leaf_line(view);
  if (description.bytes)
    line_cell(line, STYLE_PLAIN, cell_text(description.bytes, description.size));
  if (!isnan(age)) {
    line_words(line, STYLE_PLAIN, description.bytes ? ", created " : "created ");
    line_cell(line, STYLE_PLAIN, cell_duration(age));
    line_words(line, STYLE_PLAIN,
               context->options->has_now || context->session->source->kind != SOURCE_CORE
                   ? " ago"
                   : " before the dump");
  }
  page_trace(view, trace);
}

static void page_cut_check(struct command_context *context, const struct leak_cause *mine,
                           bool is_example) {
  const struct cause *cause = mine->cause;
  if (!cause->suspect || cause->cut_frees == SIZE_MAX) return;
  struct text text = {0};
  if (chain_step_text(context->session, &cause->chain, cause->suspect, NULL, &text)) {
    struct line *line = labelled(context, "cut check");
    line_words(line, STYLE_PLAIN, "without ");
    line_words(line, STYLE_KEY,
               path_to_page(context, arena_copy(context->arena, text.items, text.count)));
    line_words(line, STYLE_PLAIN, ", ");
    line_cell(line, STYLE_PLAIN, cell_count(cause->cut_frees));
    line_words(line, STYLE_PLAIN, " of ");
    line_cell(line, STYLE_PLAIN, cell_count(cause->count));
    line_words(line, STYLE_PLAIN, " would be collected");
    if (is_example) line_printf(line, STYLE_PLAIN, " in VM %zu", mine->vm + 1);
  }
  vector_free(&text);
}

static void page_retired(struct command_context *context, const struct leak_cause *mine) {
  if (mine->can_retire) {
    struct line *line = labelled(context, "retired");
    line_cell(line, STYLE_BAD, cell_count(mine->retired));
    line_words(line, STYLE_PLAIN, " retired but alive (certain leaks), ");
    line_cell(line, STYLE_PLAIN, cell_count(mine->entry_count - mine->retired));
    line_words(line, STYLE_PLAIN, " alive and never retired");
  }
}

/* The other chains to the representative, for -k. */
static struct inspect_error *page_more_chains(struct command_context *context,
                                              const struct leaks *leaks,
                                              const struct chain *first) {
  size_t wanted = (size_t)context->options->chains, count = 0;
  if (wanted < 2 || !first->count || context->partial) return NULL;
  struct chain *chains = calloc(wanted, sizeof *chains);
  if (!chains) return error_no_memory();
  struct inspect_error *error = chains_best(&context->session->heap.graph, &leaks->search,
                                            first->items[first->count - 1].object, wanted,
                                            context->work, chains, &count, NULL);
  for (size_t i = 1; i < count; i++) {
    struct line *line = page_line(context->document, 4);
    line_printf(line, STYLE_MUTED, "chain %zu", i + 1);
    struct chain_view_options options = {.from = leaks->search.from};
    chain_to_page(context, &chains[i], &options, 4);
  }
  for (size_t i = 0; i < count; i++)
    vector_free(&chains[i]);
  free(chains);
  return partial_if_interrupted(context, error);
}

/* --all: the entries of a group, numbered for @N. */
static void page_entries(struct command_context *context, const struct leaks *leaks,
                         const struct leak_group *group) {
  struct inspect_session *session = context->session;
  const struct leak_cause *mine = &group->all;
  struct table *table = page_table(context->document, 4);
  table_column(table, "@");
  if (group->vms > 1) table_column(table, "VM");
  table_column(table, "address");
  table_column(table, "type");
  table_column(table, "age");
  if (leaks->has_retained) table_column(table, "retained");
  table_column(table, "description");
  for (size_t i = 0;
       i < mine->entry_count && !document_stops(context->document, i, mine->entry_count); i++) {
    const struct tracked *tracked = leaks_entry(leaks, mine->entries[i]);
    if (!vector_push(&session->listing, tracked->object)) continue;
    table_row(table);
    table_cell(table, cell_plain(session->listing.count));
    if (group->vms > 1)
      table_cell(table, cell_plain(leaks->trackers.list.items[tracked->tracker].vm + 1));
    table_cell(table, cell_address(heap_address(&session->heap, tracked->object)));
    table_cell(table, cell_words(object_type_name(session->heap.graph.type[tracked->object])));
    table_cell(table, cell_duration(tracked_age(&leaks->trackers, tracked)));
    if (leaks->has_retained)
      table_cell(table, cell_bytes(session->dominators.retained[tracked->object]));
    struct tracked_text text = tracked_description(&leaks->trackers, tracked);
    table_cell(table, text.bytes ? cell_text(text.bytes, text.size) : cell_null());
  }
}

static void page_cause(struct command_context *context, const struct leaks *leaks, size_t number) {
  struct inspect_session *session = context->session;
  const struct leak_group *group = &leaks->groups.items[number];
  const struct leak_cause *mine = &leaks->causes.items[group->first];
  const struct chain *chain = &mine->cause->chain;
  page_blank(context->document);
  leaks_heading(context, leaks, number);
  if (chain->count) {
    object_id leaf = chain->items[chain->count - 1].object;
    struct chain_view_options options = {.from = leaks->search.from,
                                         .suspect = mine->cause->suspect,
                                         .suspect_note = holder_note(context, &group->cause)};
    if (leaks->has_retained)
      options.leaf_note =
          arena_printf(context->arena, "%s retained",
                       render_cell(context->arena, cell_bytes(session->dominators.retained[leaf])));
    page_leaf(context, leaks, chain_to_page(context, chain, &options, 4), mine);
    if (!context->options->all && !vector_push(&session->listing, leaf)) return;
  }
  page_cut_check(context, mine, group->vms > 1);
  page_retired(context, &group->all);
  struct inspect_error *error = page_more_chains(context, leaks, chain);
  inspect_error_free(error); /* the first chain is shown already */
  if (context->options->all) page_entries(context, leaks, group);
}

static void page_causes(struct command_context *context, const struct leaks *leaks) {
  size_t shown = 0, left = 0;
  context->session->listing.count = 0;
  struct line *line = page_line(context->document, 0);
  size_t count = leaks->groups.count;
  line_cell(line, STYLE_HEADING, cell_count(count));
  line_words(line, STYLE_HEADING, plural(count, " cause", " causes"));
  for (size_t i = 0; i < count && !document_stops(context->document, i, count); i++) {
    if (!leaks_selects(context->options, &leaks->groups.items[i].all)) continue;
    if (shown == MOST_CAUSES && !context->options->all && !context->options->cause.is_given)
      left++;
    else {
      page_cause(context, leaks, i);
      shown++;
    }
  }
  if (left) {
    page_blank(context->document);
    line = page_line(context->document, 0);
    line_cell(line, STYLE_MUTED, cell_count(left));
    line_words(line, STYLE_MUTED, left == 1 ? " more cause: --all" : " more causes: --all");
  }
  if (leaks->has_retained && shown > leaks->cuts_checked && !context->partial) {
    page_blank(context->document);
    line = page_line(context->document, 0);
    line_words(line, STYLE_MUTED, "the cut check was made for the first ");
    line_cell(line, STYLE_MUTED, cell_count(leaks->cuts_checked));
    line_words(line, STYLE_MUTED, " causes only: --cause N makes it for cause N");
  }
}

/* Survivors that no chain leads to. */
static void page_unplaced(struct command_context *context, const struct leaks *leaks) {
  if (!leaks->unplaced) return;
  const struct command_options *options = context->options;
  bool is_limited = options->from.count || options->avoid.count || options->through != ALL_KINDS;
  const struct tracked *first = leaks_entry(leaks, leaks->first_unplaced);
  bool is_one = leaks->unplaced == 1;
  page_blank(context->document);
  struct line *line = page_line(context->document, 0);
  line_cell(line, STYLE_PLAIN, cell_count(leaks->unplaced));
  line_words(line, STYLE_PLAIN, is_one ? " survivor is" : " survivors are");
  line_words(line, STYLE_PLAIN,
             is_limited ? " not reached within the limits of --from, --through and --avoid"
                        : " held by records of trackers only, through which no chain is shown");
  line_words(line, STYLE_PLAIN, is_one ? ": " : "; one is ");
  line_cell(line, STYLE_PLAIN, cell_address(heap_address(&context->session->heap, first->object)));
  struct tracked_text description = tracked_description(&leaks->trackers, first);
  if (!description.bytes) return;
  line_words(line, STYLE_PLAIN, " ");
  line_cell(line, STYLE_PLAIN, cell_text(description.bytes, description.size));
}

/* ---- The end --------------------------------------------------------------------------------- */

static void page_cuts(struct command_context *context, const struct leaks *leaks) {
  for (size_t i = 0; i < leaks->cuts.count; i++) {
    const struct leak_cut *result = &leaks->cuts.items[i];
    struct line *line = page_line(context->document, 0);
    line_words(line, STYLE_PLAIN, "cut check   without ");
    line_words(line, STYLE_KEY, result->path);
    line_words(line, STYLE_PLAIN, ", ");
    line_cell(line, STYLE_PLAIN, cell_count(result->frees));
    line_words(line, STYLE_PLAIN, " of ");
    line_cell(line, STYLE_PLAIN, cell_count(leaks->survivors.count));
    line_words(line, STYLE_PLAIN, " survivors would be collected");
  }
}

static void page_next(struct command_context *context, const struct leaks *leaks) {
  if (!leaks->causes.count) return;
  const struct chain *chain = &leaks->causes.items[0].cause->chain;
  page_blank(context->document);
  struct line *line = page_line(context->document, 0);
  line_words(line, STYLE_MUTED, "next");
  line_tab(line, 14);
  line_words(line, STYLE_MUTED, "lua-leaks --cause 1 --all");
  if (chain->count)
    line_printf(line, STYLE_MUTED, "   lua-paths 0x%llx -k 4",
                (unsigned long long)heap_address(&context->session->heap,
                                                 chain->items[chain->count - 1].object));
  line_words(line, STYLE_MUTED, "   lua-leaks --json");
}

void leaks_to_page(struct command_context *context, struct leaks *leaks) {
  if (!leaks->trackers.list.count) {
    page_no_tracker(context);
    page_weak(context, leaks);
    return;
  }
  leaks_verdicts(context, leaks);
  page_trackers(context, leaks);
  page_weak(context, leaks);
  page_cuts(context, leaks);
  if (leaks->searched) page_causes(context, leaks);
  page_unplaced(context, leaks);
  page_next(context, leaks);
}
