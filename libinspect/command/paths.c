/* paths.c - over which references is one object reached? The k best chains.
 *
 * A table that has several names, _G.prosody.hosts and _G.hosts, doubles every chain through it. So
 * more chains are looked for than are wanted, and of those that differ only in the name of one and
 * the same table the best is kept; the others are counted. */
#include "command/chain_view.h"
#include "command/leaks.h"
#include "command/object_view.h"

struct found_path {
  struct chain chain;
  uint64_t aliases; /* chains that were left out for it */
};

struct found_paths {
  struct bitset avoid, targets, barred;
  struct object_list from;
  struct graph_mask mask;
  struct chains_options search;
  struct found_path *paths;
  size_t count;
  bool capped; /* there may be more */
};

static void release(void *state) {
  struct found_paths *found = state;
  for (size_t i = 0; i < found->count; i++)
    vector_free(&found->paths[i].chain);
  free(found->paths);
  vector_free(&found->from);
  bitset_free(&found->avoid);
  bitset_free(&found->barred);
  free(found);
}

/* Whether all references up to a position are names in tables. */
static bool is_named(const struct graph *graph, const struct chain *chain, size_t position) {
  for (size_t i = 1; i <= position; i++)
    if (graph->kind[chain->items[i].reference] != REFERENCE_FIELD) return false;
  return true;
}

/* Whether two chains are the same from a table on, to which both lead by names only. */
static bool are_aliases(const struct graph *graph, const struct chain *a, const struct chain *b) {
  size_t i = a->count - 1, j = b->count - 1, same = 0;
  for (; i && j && a->items[i].reference == b->items[j].reference; same++)
    i--, j--;
  return same && a->items[i].object == b->items[j].object &&
         graph->type[a->items[i].object] == OBJECT_TABLE && is_named(graph, a, i) &&
         is_named(graph, b, j);
}

/* Takes over the chains but for aliases, `wanted` at most. */
static bool fold_aliases(const struct graph *graph, struct found_paths *found, struct chain *chains,
                         size_t count, size_t wanted) {
  found->paths = calloc(wanted, sizeof *found->paths);
  for (size_t i = 0; i < count; i++) {
    size_t like = 0;
    while (found->paths && like < found->count &&
           !are_aliases(graph, &found->paths[like].chain, &chains[i]))
      like++;
    if (found->paths && like == found->count && like < wanted) {
      found->paths[found->count++].chain = chains[i];
      continue;
    }
    if (like < found->count) found->paths[like].aliases++;
    vector_free(&chains[i]);
  }
  return found->paths;
}

static struct inspect_error *find(struct command_context *context, struct found_paths *found,
                                  object_id object) {
  struct inspect_session *session = context->session;
  TRY(search_options(session, context->options, &found->avoid, &found->from, &found->mask,
                     &found->search));
  /* trackers hold nothing, but their records would be passed through */
  TRY(trackers_find_tables(session, context->work, &found->barred));
  bitset_remove(&found->barred, object);
  found->search.barred = &found->barred;
  enum { ALIASES = 4 };
  const struct graph *graph = &session->heap.graph;
  size_t wanted = context->options->chains ? (size_t)context->options->chains : 1, count;
  size_t most = wanted > 1 ? wanted * ALIASES : 1;
  struct chain *chains = calloc(most, sizeof *chains);
  if (!chains) return error_no_memory();
  struct inspect_error *error = chains_best(graph, &found->search, object, most, context->work,
                                            chains, &count, &found->capped);
  if (!fold_aliases(graph, found, chains, count, wanted) && !error) error = error_no_memory();
  free(chains);
  return partial_if_interrupted(context, error);
}

static void page_none(struct command_context *context, object_id object) {
  bool is_live = bitset_has(&context->session->collection.live, object);
  bool is_limited = context->options->from.count || context->options->avoid.count ||
                    context->options->through != ALL_KINDS;
  struct line *line = page_line(context->document, 0);
  if (context->partial)
    line_words(line, STYLE_PLAIN, "no chain was found before the search was interrupted");
  else if (is_limited)
    line_words(line, STYLE_PLAIN, "no chain under the limits of --from, --through and --avoid");
  else if (is_live)
    line_words(line, STYLE_PLAIN, "no chain outside of trackers and weak references");
  else
    line_words(line, STYLE_PLAIN, "no chain: nothing that a collection follows leads to it");
}

static void write_paths(struct command_context *context, const struct found_paths *found) {
  struct data *list = data_array(context->data, "paths");
  for (size_t i = 0; i < found->count; i++) {
    const struct chain *chain = &found->paths[i].chain;
    uint64_t aliases = found->paths[i].aliases;
    struct data *row = data_object(list, NULL);
    const struct heap_vm *owner = heap_vm_of(&context->session->heap, chain->items[0].object);
    data_cell(row, "vm", cell_plain((uint64_t)(owner - context->session->heap.vms) + 1));
    data_cell(row, "length", cell_count(chain->count - 1));
    data_cell(row, "aliases", cell_count(aliases));
    struct text text = {0};
    if (chain_to_path(context->session, chain, found->search.from, &text)) {
      const char *path = arena_copy(context->arena, text.items, text.count);
      data_cell(row, "path", cell_words(path));
      page_blank(context->document);
      struct line *line = page_line(context->document, 0);
      line_printf(line, STYLE_HEADING, "#%zu  ", i + 1);
      line_words(line, STYLE_KEY, path_to_page(context, path));
    }
    vector_free(&text);
    chain_to_data(context, data_array(row, "chain"), chain, found->search.from, 0);
    struct chain_view_options options = {.from = found->search.from};
    chain_to_page(context, chain, &options, 4);
    if (!aliases) continue;
    struct line *line = page_line(context->document, 4);
    line_cell(line, STYLE_MUTED, cell_count(aliases));
    line_words(line, STYLE_MUTED,
               aliases == 1 ? " more chain is the same by another name of a table on it"
                            : " more chains are the same by other names of tables on it");
  }
}

static void page_next_commands(struct command_context *context, object_id object) {
  unsigned long long address = heap_address(&context->session->heap, object);
  struct line *line = listing_next(context);
  if (context->options->chains < 2) listing_try(context, line, "lua-paths 0x%llx -k 4", address);
  listing_try(context, line, "lua-refs 0x%llx", address);
  listing_try(context, line, "lua-print 0x%llx", address);
}

struct inspect_error *command_paths(struct command_context *context) {
  struct inspect_session *session = context->session;
  object_id object;
  TRY(session_begin(context));
  TRY(resolve_path(session, context->options, context->options->object, &object, NULL));
  struct found_paths *found = calloc(1, sizeof *found);
  if (!found) return error_no_memory();
  context->state = found;
  context->release = release;
  TRY(find(context, found, object));
  describe_target(context, false);
  object_to_page(context, object);
  write_paths(context, found);
  if (!found->count) page_none(context, object);
  if (found->capped) {
    page_blank(context->document);
    struct line *line = page_line(context->document, 0);
    line_words(line, STYLE_MUTED, "the search reached its bound: there may be more chains");
  }
  page_next_commands(context, object);
  describe_faults(context);
  return NULL;
}
