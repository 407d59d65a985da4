/* refs.c - who refers to an object, and to what it refers.
 *
 * Incoming references take one pass over all references of the target, and a second one where an
 * upvalue object refers to it, to find the functions whose upvalue that is. */
#include "command/refs.h"

enum { MOST_VMS = 20, USUAL = 20 };

/* ---- Order ------------------------------------------------------------------------------------
 */

static int compare(uint64_t a, uint64_t b) { return (a > b) - (a < b); }

/* Live and strong ones first, then by kind, then by address. */
static int compare_incoming(const void *left, const void *right, void *context) {
  const struct found_reference *a = left, *b = right;
  const struct heap *heap = context;
  int result = compare(a->rank, b->rank);
  if (!result) result = compare(heap->graph.kind[a->reference], heap->graph.kind[b->reference]);
  if (!result) result = compare(heap_address(heap, a->owner), heap_address(heap, b->owner));
  return result ? result : compare(a->reference, b->reference);
}

static uint64_t retained_by(const struct inspect_session *session, object_id object) {
  return session->is_dominated ? session->dominators.retained[object] : 0;
}

/* Biggest first, names of fields last. */
static int compare_outgoing(const void *left, const void *right, void *context) {
  const struct found_reference *a = left, *b = right;
  const struct inspect_session *session = context;
  const struct heap *heap = &session->heap;
  int result = compare(a->rank, b->rank);
  if (!result) result = compare(retained_by(session, b->other), retained_by(session, a->other));
  if (!result)
    result = compare(graph_bytes(&heap->graph, b->other), graph_bytes(&heap->graph, a->other));
  if (!result) result = compare(heap_address(heap, a->other), heap_address(heap, b->other));
  return result ? result : compare(a->reference, b->reference);
}

/* ---- Incoming ---------------------------------------------------------------------------------
 */

struct incoming_pass {
  struct found_references *found;
  struct bitset upvalues; /* that refer to the object                                */
  struct bitset owned;    /* those of them that somebody refers to                   */
  struct VECTOR(struct found_reference) unowned; /* their references, to begin with      */
};

static bool offer_incoming(struct found_references *found, object_id owner,
                           reference_id reference) {
  const struct graph *graph = &found->session->heap.graph;
  enum reference_strength strength = reference_strength(graph, owner, reference);
  bool is_live = collection_leaves(&found->session->collection, owner);
  uint8_t rank = (uint8_t)((is_live ? 0 : STRENGTH_WEAK + 1) + strength);
  struct found_reference one = {
      .reference = reference, .owner = owner, .other = found->object, .rank = rank};
  found->in_live += is_live;
  found->in_strong += is_live && strength == STRENGTH_STRONG;
  return selection_offer(&found->in, &one);
}

static bool take_direct(void *context, object_id from, reference_id reference) {
  struct incoming_pass *pass = context;
  const struct graph *graph = &pass->found->session->heap.graph;
  if (graph->type[from] != OBJECT_UPVALUE) return offer_incoming(pass->found, from, reference);
  struct found_reference one = {.owner = from, .reference = reference};
  bitset_add(&pass->upvalues, from);
  return vector_push(&pass->unowned, one);
}

static bool take_through_upvalue(void *context, object_id from, reference_id reference) {
  struct incoming_pass *pass = context;
  bitset_add(&pass->owned, pass->found->session->heap.graph.target[reference]);
  return offer_incoming(pass->found, from, reference);
}

static struct inspect_error *find_incoming(struct incoming_pass *pass, struct bitset *targets,
                                           const struct work *work) {
  const struct graph *graph = &pass->found->session->heap.graph;
  bitset_add(targets, pass->found->object);
  TRY(incoming_find(graph, targets, work, take_direct, pass));
  if (pass->unowned.count)
    TRY(incoming_find(graph, &pass->upvalues, work, take_through_upvalue, pass));
  for (size_t i = 0; i < pass->unowned.count; i++) {
    const struct found_reference *one = &pass->unowned.items[i];
    if (!bitset_has(&pass->owned, one->owner) &&
        !offer_incoming(pass->found, one->owner, one->reference))
      return error_no_memory();
  }
  return NULL;
}

static struct inspect_error *find_in(struct command_context *context,
                                     struct found_references *found) {
  uint32_t objects = found->session->heap.graph.object_count;
  struct incoming_pass pass = {.found = found};
  struct bitset targets = {0};
  bool fits = bitset_init(&targets, objects) && bitset_init(&pass.upvalues, objects) &&
              bitset_init(&pass.owned, objects);
  struct inspect_error *error =
      fits ? find_incoming(&pass, &targets, context->work) : error_no_memory();
  bitset_free(&targets);
  bitset_free(&pass.upvalues);
  bitset_free(&pass.owned);
  vector_free(&pass.unowned);
  return partial_if_interrupted(context, error);
}

/* ---- Outgoing ---------------------------------------------------------------------------------
 */

bool refs_is_name(const struct graph *graph, const struct found_reference *found) {
  return graph->kind[found->reference] == REFERENCE_KEY &&
         graph->type[found->other] == OBJECT_STRING;
}

/* What an upvalue object holds, itself if that is no object. */
static object_id value_behind(const struct graph *graph, object_id object) {
  reference_id first = graph_first(graph, object);
  bool has_value =
      graph->type[object] == OBJECT_UPVALUE && first < graph_first(graph, (uint64_t)object + 1);
  return has_value ? graph->target[first] : object;
}

static struct inspect_error *find_out(struct command_context *context,
                                      struct found_references *found) {
  enum { AT_ONCE = 1 << 14 };
  const struct graph *graph = &found->session->heap.graph;
  reference_id end = graph_first(graph, (uint64_t)found->object + 1);
  for (reference_id i = graph_first(graph, found->object); i < end; i++) {
    struct found_reference one = {.reference = i, .owner = found->object};
    if (i % AT_ONCE == 0 && work_stops(context->work, "references", 0, 0))
      return partial_if_interrupted(context, error_interrupted());
    one.other = value_behind(graph, graph->target[i]);
    one.rank = refs_is_name(graph, &one);
    found->string_keys += one.rank;
    if (!selection_offer(&found->out, &one)) return error_no_memory();
  }
  return NULL;
}

/* ---- The command ------------------------------------------------------------------------------
 */

static struct inspect_error *find(struct command_context *context, struct found_references *found) {
  if (found->wants_in) TRY(find_in(context, found));
  if (found->wants_out) TRY(find_out(context, found));
  selection_sort(&found->in, context->work);
  selection_sort(&found->out, context->work);
  return NULL;
}

/* One for each VM that has the object; until the answer is written. */
struct refs VECTOR(struct found_references *);

static void release(void *state) {
  struct refs *refs = state;
  for (size_t i = 0; i < refs->count; i++) {
    selection_free(&refs->items[i]->in);
    selection_free(&refs->items[i]->out);
    free(refs->items[i]);
  }
  vector_free(refs);
  free(refs);
}

static struct found_references *begin(struct command_context *context, object_id object) {
  const struct command_options *options = context->options;
  struct inspect_session *session = context->session;
  struct found_references *found = calloc(1, sizeof *found);
  if (!found) return NULL;
  if (!vector_push((struct refs *)context->state, found)) {
    free(found);
    return NULL;
  }
  bool is_both = options->only_in == options->only_out;
  uint64_t limit = options->limit ? options->limit : options->json ? UINT64_MAX : USUAL;
  found->context = context;
  found->session = session;
  found->object = object;
  found->wants_in = is_both || options->only_in;
  found->wants_out = is_both || options->only_out;
  selection_init(&found->in, sizeof(struct found_reference), limit, compare_incoming,
                 &session->heap);
  selection_init(&found->out, sizeof(struct found_reference), limit, compare_outgoing, session);
  return found;
}

static struct inspect_error *refs_of(struct command_context *context, struct data *list,
                                     object_id object) {
  struct found_references *found = begin(context, object);
  if (!found) return error_no_memory();
  TRY(find(context, found));
  refs_to_page(context, found);
  refs_to_data(context, data_object(list, NULL), found);
  return NULL;
}

static struct inspect_error *refs_of_all(struct command_context *context,
                                         const struct resolved *places) {
  struct data *list = data_array(context->data, "objects");
  for (size_t i = 0; i < places->count && i < MOST_VMS; i++) {
    if (i) page_blank(context->document);
    TRY(refs_of(context, list, places->items[i].object));
  }
  size_t more = places->count > MOST_VMS ? places->count - MOST_VMS : 0;
  data_cell(context->data, "more_vms", cell_count(more));
  if (more) {
    page_blank(context->document);
    struct line *line = page_line(context->document, 0);
    line_cell(line, STYLE_MUTED, cell_count(more));
    line_words(line, STYLE_MUTED, " more VMs have it: --vm N chooses one");
  }
  const struct inspect_session *session = context->session;
  unsigned long long address = heap_address(&session->heap, places->items[0].object);
  struct line *line = listing_next(context);
  if (session->listing.count)
    listing_try(context, line, "lua-refs 0x%llx",
                (unsigned long long)heap_address(&session->heap, session->listing.items[0]));
  listing_try(context, line, "lua-paths 0x%llx -k 4", address);
  listing_try(context, line, "lua-print 0x%llx", address);
  return NULL;
}

struct inspect_error *command_refs(struct command_context *context) {
  struct inspect_session *session = context->session;
  TRY(session_begin(context));
  struct resolved places = {0};
  struct inspect_error *error =
      resolve_path_everywhere(session, context->options, context->options->object, &places);
  if (!error) error = partial_if_interrupted(context, session_dominate(session, context->work));
  context->state = calloc(1, sizeof(struct refs));
  context->release = context->state ? release : NULL;
  if (!error && !context->state) error = error_no_memory();
  if (!error) {
    describe_target(context, false);
    listing_begin(context);
    error = refs_of_all(context, &places);
  }
  vector_free(&places);
  if (!error) describe_faults(context);
  return error;
}

const char refs_help[] =
    "Lists the references to an object (--in) and from it (--out); without either, both. Unlike "
    "paths, which shows chains from a root, this is one step in each direction, and all of them: "
    "weak ones and those of garbage are listed and said to be so.\n"
    "\n"
    "Each line has the address and description of the other object and what the reference is "
    "called, in the syntax of paths: the owner's address with the label behind it names the "
    "object. The functions that share an upvalue are listed, not the upvalue object between them "
    "and the value. Incoming references are ordered by whether they hold the object, by kind and "
    "by address; outgoing ones by the bytes that the other retains. A page leaves out the "
    "strings that are only names of fields; --json has them.\n"
    "\n"
    "At most --limit of each are shown (20), the rest is counted. @N in the next command is line "
    "N.\n"
    "\n"
    "Examples:\n"
    "  lua-refs 0x55d0c0ffee --in --limit 100\n"
    "      up to 100 references to the object at that address\n"
    "  lua-refs _G.sessions --out\n"
    "      what that table holds, what retains most first\n";
