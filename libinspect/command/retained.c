/* retained.c - what holds the memory: the dominator tree from the top, largest first.
 *
 * An object's children are those that would be freed with it and with nothing between; each is
 * named by the part of its best chain behind its parent, through which every chain leads. */
#include "analysis/heaviest.h"
#include "command/chain_view.h"
#include "command/object_view.h"

enum { USUAL_DEPTH = 4, USUAL_LIMIT = 5, LEAST_SHARE = 100 };

struct tree {
  struct command_context *context;
  struct heaviest heaviest;
  object_id top;       /* NO_OBJECT: all of the heap                                     */
  uint64_t total;      /* bytes that shares are of: of the heaps of the selected VMs     */
  uint32_t depth;      /* levels                                                         */
  uint64_t least;      /* what retains less is not shown below the first level           */
  const char **paths;  /* of each node: from a root, NULL if there is none               */
  const char **labels; /* behind its parent; the path where it does not lead over that  */
};

static void release(void *state) {
  struct tree *tree = state;
  heaviest_free(&tree->heaviest);
  free(tree);
}

/* ---- The tree ---------------------------------------------------------------------------------
 */

static bool select_vms(struct tree *tree, struct bitset *among) {
  struct inspect_session *session = tree->context->session;
  const struct heap *heap = &session->heap;
  if (!bitset_init(among, heap->graph.object_count)) return false;
  for (size_t i = 0; i < heap->vm_count; i++) {
    const struct heap_vm *owner = &heap->vms[i];
    if (!session_selects(session, tree->context->options, i)) continue;
    tree->total += owner->vm.heap_bytes;
    for (uint32_t j = 0; tree->top == NO_OBJECT && j < owner->count; j++)
      bitset_add(among, owner->first + j);
  }
  return true;
}

static struct inspect_error *grow(struct tree *tree) {
  struct command_context *context = tree->context;
  struct inspect_session *session = context->session;
  const struct command_options *options = context->options;
  struct bitset among;
  TRY(session_dominate(session, context->work));
  if (!select_vms(tree, &among)) return error_no_memory();
  bool is_all = tree->top == NO_OBJECT;
  uint64_t whole = is_all ? tree->total : session->dominators.retained[tree->top];
  uint64_t limit = options->limit ? options->limit : USUAL_LIMIT;
  tree->depth = (uint32_t)(options->depth ? options->depth : USUAL_DEPTH);
  tree->least = whole / LEAST_SHARE;
  struct heaviest_options wanted = {.top = tree->top,
                                    .among = is_all ? &among : NULL,
                                    .depth =
                                        (uint32_t)(options->depth ? options->depth : USUAL_DEPTH),
                                    .limit = limit < MOST_HEAVY ? (uint32_t)limit : MOST_HEAVY,
                                    .least = tree->least};
  struct inspect_error *error = heaviest_find(&session->heap.graph, &session->dominators, &wanted,
                                              context->work, &tree->heaviest);
  bitset_free(&among);
  return error;
}

/* ---- Names ------------------------------------------------------------------------------------
 */

static const char *kept_text(struct tree *tree, struct text *text) {
  const char *result =
      text->count ? arena_copy(tree->context->arena, text->items, text->count) : NULL;
  text->count = 0;
  return result;
}

/* The position behind the node's parent in its chain, 0 if the chain does not lead over it. */
static size_t behind_parent(const struct tree *tree, const struct heavy *node,
                            const struct chain *chain) {
  object_id parent =
      node->parent == NO_HEAVY ? tree->top : tree->heaviest.list.items[node->parent].object;
  for (size_t i = 0; i + 1 < chain->count; i++)
    if (chain->items[i].object == parent) return i + 1;
  return 0;
}

static void name(struct tree *tree, size_t index, const struct chain *chain) {
  struct inspect_session *session = tree->context->session;
  size_t start = behind_parent(tree, &tree->heaviest.list.items[index], chain);
  struct text text = {0};
  if (chain_to_path(session, chain, NULL, &text)) tree->paths[index] = kept_text(tree, &text);
  text.count = 0;
  tree->labels[index] = tree->paths[index];
  if (start && chain_to_path_after(session, chain, start, NULL, &text))
    tree->labels[index] = kept_text(tree, &text);
  vector_free(&text);
}

static struct inspect_error *search(struct tree *tree, const struct bitset *targets) {
  const struct graph *graph = &tree->context->session->heap.graph;
  struct chains_options options = {.targets = targets};
  struct chains chains;
  TRY(chains_search(graph, &options, tree->context->work, &chains));
  for (size_t i = 0; i < tree->heaviest.list.count; i++) {
    struct chain chain = {0};
    if (chains_get(graph, &chains, &options, tree->heaviest.list.items[i].object, &chain))
      name(tree, i, &chain);
    vector_free(&chain);
  }
  chains_free(&chains);
  return NULL;
}

static struct inspect_error *name_all(struct tree *tree) {
  size_t count = tree->heaviest.list.count;
  tree->paths = arena_alloc(tree->context->arena, (count + 1) * sizeof *tree->paths);
  tree->labels = arena_alloc(tree->context->arena, (count + 1) * sizeof *tree->labels);
  struct bitset targets;
  if (!tree->paths || !tree->labels ||
      !bitset_init(&targets, tree->context->session->heap.graph.object_count))
    return error_no_memory();
  for (size_t i = 0; i < count; i++)
    bitset_add(&targets, tree->heaviest.list.items[i].object);
  struct inspect_error *error = count ? search(tree, &targets) : NULL;
  bitset_free(&targets);
  return partial_if_interrupted(tree->context, error);
}

static double share_of(const struct tree *tree, uint64_t bytes) {
  return tree->total ? (double)bytes / (double)tree->total : 0;
}

/* ---- Page -------------------------------------------------------------------------------------
 */

/* "    .members   table, 40 entries", two blanks for each level. */
static const char *indented(struct tree *tree, uint32_t depth, const char *label,
                            const char *words) {
  enum { LONGEST = 60 };
  struct text text = {0};
  bool fits = true;
  for (uint32_t i = 1; fits && i < depth; i++)
    fits = text_add(&text, "  ", 2);
  size_t size = label ? strlen(label) : 0;
  if (size > LONGEST) { /* its end says most */
    const char *end = label + size - LONGEST;
    while (((unsigned char)*end & 0xc0) == 0x80)
      end++;
    fits = fits && text_add_string(&text, "...") && text_add_string(&text, end);
  } else if (label) {
    fits = fits && text_add_string(&text, label);
  }
  fits = fits && (!label || text_add_string(&text, "   ")) &&
         text_add_string(&text, words ? words : "");
  const char *result = fits ? arena_copy(tree->context->arena, text.items, text.count) : NULL;
  vector_free(&text);
  return result;
}

/* "Npc, table, 3 entries" */
static const char *words_of(struct command_context *context, object_id object) {
  const char *words = describe_object(context->session, object, context->arena);
  const char *class = object_class(context->session, object);
  return class && words ? arena_printf(context->arena, "%s, %s", class, words) : words;
}

static void add_object(struct tree *tree, struct table *table, object_id object, uint32_t depth,
                       const char *label) {
  struct inspect_session *session = tree->context->session;
  uint64_t retained = session->dominators.retained[object];
  struct cell number = listing_number(tree->context, object);
  table_row(table);
  table_cell(table, number.type == CELL_NULL ? number
                                             : cell_words(arena_printf(tree->context->arena, "@%zu",
                                                                       session->listing.count)));
  listing_vm_of(tree->context, table, object);
  table_cell(table, cell_bytes(retained));
  table_cell(table, cell_ratio(share_of(tree, retained)));
  table_cell(table, cell_count(dominators_objects(&session->dominators, object)));
  table_cell(table, cell_address(heap_address(&session->heap, object)));
  table_cell(table, cell_words(indented(tree, depth, label, words_of(tree->context, object))));
}

static void add_rest(struct tree *tree, struct table *table, const struct heavy_rest *rest,
                     uint32_t depth) {
  if (!rest->count) return;
  const char *number = render_cell(tree->context->arena, cell_count(rest->count));
  const char *words = arena_printf(tree->context->arena, "%s more", number ? number : "");
  table_row(table);
  table_cell(table, cell_words(""));
  listing_no_vm(tree->context, table);
  table_cell(table, cell_bytes(rest->bytes));
  table_cell(table, cell_ratio(share_of(tree, rest->bytes)));
  table_cell(table, cell_count(rest->objects));
  table_cell(table, cell_words(""));
  table_cell(table, cell_words(indented(tree, depth, NULL, words)));
}

/* A node with all below it: depth first, the tree is at most as deep as --depth allows. What is
 * small all together is not worth a line. */
static void add_node(struct tree *tree, struct table *table, size_t index, uint32_t base) {
  const struct heavy *node = &tree->heaviest.list.items[index];
  add_object(tree, table, node->object, base + node->depth, tree->labels[index]);
  for (uint32_t i = 0; i < node->count && !document_stops(tree->context->document, 0, 0); i++)
    add_node(tree, table, node->first + i, base);
  if (node->count || node->rest.bytes >= tree->least)
    add_rest(tree, table, &node->rest, base + node->depth + 1);
}

static struct table *begin_table(struct tree *tree) {
  static const char *const columns[] = {"retained", "share", "objects", "address", ""};
  struct table *table = page_table(tree->context->document, 0);
  table_column(table, "");
  listing_vm_column(tree->context, table);
  for (size_t i = 0; i < sizeof columns / sizeof *columns; i++)
    table_column(table, columns[i]);
  return table;
}

static void page_next(struct tree *tree) {
  struct inspect_session *session = tree->context->session;
  const struct heap *heap = &session->heap;
  if (!tree->heaviest.list.count && tree->top == NO_OBJECT) return;
  struct line *line = listing_next(tree->context);
  object_id object = tree->top;
  /* the largest of what is not open yet: following the largest children as far as they are shown */
  for (uint32_t i = 0; i < tree->heaviest.list.count;) {
    const struct heavy *node = &tree->heaviest.list.items[i];
    object = node->object;
    i = node->count ? node->first : UINT32_MAX;
  }
  unsigned long long address = heap_address(heap, object);
  if (object != tree->top) listing_try(tree->context, line, "lua-retained 0x%llx", address);
  listing_try(tree->context, line, "lua-paths 0x%llx", address);
  listing_try(tree->context, line, "lua-print 0x%llx", address);
}

static void to_page(struct tree *tree) {
  struct command_context *context = tree->context;
  bool is_all = tree->top == NO_OBJECT;
  if (!is_all) {
    object_to_page(context, tree->top);
    object_bytes_to_page(context, tree->top);
    page_blank(context->document);
    if (!context->session->dominators.enter[tree->top]) {
      line_words(page_line(context->document, 0), STYLE_PLAIN,
                 "it retains nothing: a full collection frees it, and what only it holds");
      page_next(tree);
      return;
    }
  }
  struct table *table = begin_table(tree);
  if (!is_all) add_object(tree, table, tree->top, 1, NULL);
  for (uint32_t i = 0;
       i < tree->heaviest.first_count && !document_stops(tree->context->document, 0, 0); i++)
    add_node(tree, table, i, is_all ? 0 : 1);
  add_rest(tree, table, &tree->heaviest.rest, is_all ? 1 : 2);
  page_next(tree);
}

/* ---- Data -------------------------------------------------------------------------------------
 */

static void data_rest(struct data *data, const struct heavy_rest *rest) {
  struct data *more = data_object(data, "more");
  data_cell(more, "count", cell_count(rest->count));
  data_cell(more, "retained_bytes", cell_bytes(rest->bytes));
  data_cell(more, "objects", cell_count(rest->objects));
}

static void data_shares(struct tree *tree, struct data *data, object_id object) {
  bool is_held = tree->context->session->dominators.enter[object] != 0;
  uint64_t retained = tree->context->session->dominators.retained[object];
  data_cell(data, "share", is_held ? cell_ratio(share_of(tree, retained)) : cell_null());
  data_cell(data, "objects",
            is_held ? cell_count(dominators_objects(&tree->context->session->dominators, object))
                    : cell_null());
}

static void data_node(struct tree *tree, struct data *list, size_t index) {
  const struct heavy *node = &tree->heaviest.list.items[index];
  struct data *data = data_object(list, NULL);
  object_to_data(tree->context, data, node->object);
  data_shares(tree, data, node->object);
  data_cell(data, "path", cell_words(tree->paths[index]));
  data_cell(data, "label", cell_words(tree->labels[index]));
  struct data *children = data_array(data, "children");
  for (uint32_t i = 0; i < node->count && !document_stops(tree->context->document, 0, 0); i++)
    data_node(tree, children, node->first + i);
  if (node->depth < tree->depth)
    data_rest(data, &node->rest);
  else
    data_cell(data, "more", cell_null()); /* not looked at */
}

static void to_data(struct tree *tree) {
  struct data *data = tree->context->data;
  if (tree->top != NO_OBJECT) {
    struct data *object = data_object(data, "object");
    object_to_data(tree->context, object, tree->top);
    data_shares(tree, object, tree->top);
  }
  struct data *list = data_array(data, "tree");
  for (uint32_t i = 0;
       i < tree->heaviest.first_count && !document_stops(tree->context->document, 0, 0); i++)
    data_node(tree, list, i);
  data_rest(data, &tree->heaviest.rest);
}

/* ---- The command ------------------------------------------------------------------------------
 */

struct inspect_error *command_retained(struct command_context *context) {
  struct inspect_session *session = context->session;
  TRY(session_begin(context));
  struct tree *tree = calloc(1, sizeof *tree);
  if (!tree) return error_no_memory();
  context->state = tree;
  context->release = release;
  tree->context = context;
  tree->top = NO_OBJECT;
  if (context->options->object)
    TRY(resolve_path(session, context->options, context->options->object, &tree->top, NULL));
  TRY(grow(tree));
  TRY(name_all(tree));
  describe_target(context, false);
  listing_begin(context);
  to_page(tree);
  to_data(tree);
  describe_faults(context);
  return NULL;
}

const char retained_help[] =
    "Shows what holds the memory as a tree: an object stands below the one without which it would "
    "be freed, the largest first. Retained bytes are what would be freed with the object; those "
    "below it are part of them. Without OBJECT the tree begins with what nothing else holds "
    "alone, with it at that object, which is how one goes down into it.\n"
    "\n"
    "Each line says what part of the heap that is, how many objects, and the path to the object "
    "behind the one it stands below. At most --limit objects are shown below each (5), --depth "
    "levels (4); below the first level what retains less than a hundredth of the whole is left "
    "out. What is left out is counted with the bytes that it retains.\n"
    "\n"
    "The values of a weak-keyed table are held by their keys, not by the table.\n"
    "\n"
    "Examples:\n"
    "  lua-retained\n"
    "      the biggest holders of the heap\n"
    "  lua-retained _G.sessions --depth 1 --limit 50\n"
    "      the 50 biggest things that only that table holds\n";
