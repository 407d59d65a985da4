/* suspicions.c - accumulations of a target as suspects. See suspicions.h. */
#include "command/suspicions.h"

#include <string.h>

#include "command/chain_view.h"

/* ---- What entries are -------------------------------------------------------------------------
 */

static int by_text(const void *a, const void *b) {
  return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* "{id, payload}" from the keys of a table that has a few; NULL if it has other keys or none. */
static const char *record_words(struct command_context *context, object_id table) {
  enum { MOST_SHOWN = 5, LONGEST_KEY = 24 };
  const struct graph *graph = &context->session->heap.graph;
  const char *keys[MOST_FIELDS];
  size_t count = 0;
  reference_id end = graph_first(graph, (uint64_t)table + 1);
  for (reference_id i = graph_first(graph, table); i < end; i++) {
    size_t size;
    if (graph->kind[i] != REFERENCE_KEY) continue;
    const char *bytes = graph->labels.string(graph->labels.context, graph->target[i], &size);
    if (!bytes || size > LONGEST_KEY || !text_is_name(bytes, size) || count == MOST_FIELDS)
      return NULL;
    keys[count] = arena_copy(context->arena, bytes, size);
    if (keys[count]) count++;
  }
  if (!count) return NULL;
  qsort(keys, count, sizeof *keys, by_text);
  struct text text = {0};
  bool fits = text_add_string(&text, "{");
  for (size_t i = 0; i < count && i < MOST_SHOWN; i++)
    fits = fits && text_printf(&text, "%s%s", i ? ", " : "", keys[i]);
  if (count > MOST_SHOWN) fits = fits && text_printf(&text, ", +%zu", count - MOST_SHOWN);
  fits = fits && text_add_string(&text, "}");
  const char *result = fits ? arena_copy(context->arena, text.items, text.count) : NULL;
  vector_free(&text);
  return result;
}

/* Several of them, in words. */
static const char *entry_words(struct command_context *context, object_id entry) {
  struct inspect_session *session = context->session;
  const struct graph *graph = &session->heap.graph;
  struct arena *arena = context->arena;
  const char *class = object_class(session, entry), *name = NULL;
  switch (graph->type[entry]) {
  case OBJECT_STRING:
    return "strings";
  case OBJECT_UPVALUE:
    return "upvalues";
  case OBJECT_PROTOTYPE:
    return "prototypes";
  case OBJECT_THREAD:
    name = describe_object(session, entry, arena);
    if (name && !strncmp(name, "coroutine, ", 11))
      return arena_printf(arena, "coroutines (%s)", name + 11);
    return "coroutines";
  case OBJECT_LUA_FUNCTION:
  case OBJECT_C_FUNCTION:
    name = graph->labels.function_name(graph->labels.context, entry, arena);
    return name ? arena_printf(arena, "functions %s", name) : "functions";
  case OBJECT_USERDATA:
    return class ? arena_printf(arena, "userdata %s", class) : "userdata";
  default:
    if (class) return class;
    name = record_words(context, entry);
    return name ? name : "tables";
  }
}

/* ---- The sentence -----------------------------------------------------------------------------
 */

static const char *shown(struct command_context *context, struct cell cell) {
  const char *text = render_cell(context->arena, cell);
  return text ? text : "?";
}

static const char *holder_words(struct command_context *context, const struct suspicion *mine) {
  struct inspect_session *session = context->session;
  const struct accumulation *pile = &mine->pile;
  const struct heap_vm *owner = &session->heap.vms[mine->vm];
  if (pile->holder == owner->registry) return "the registry";
  const char *type = object_type_name((enum object_type)session->heap.graph.type[pile->holder]);
  const char *path = path_to_page(context, mine->path);
  unsigned long long address = heap_address(&session->heap, pile->holder);
  if (!path) path = arena_printf(context->arena, "0x%llx", address);
  if (pile->holders == 1) return arena_printf(context->arena, "%s %s", type, path);
  return arena_printf(context->arena, "%s objects such as %s %s",
                      shown(context, cell_count(pile->holders)), type, path);
}

/* References that luaL_ref made: in the registry, under numbers. */
static bool is_registry_reference(const struct command_context *context,
                                  const struct suspicion *mine) {
  const struct heap *heap = &context->session->heap;
  return mine->pile.holder == heap->vms[mine->vm].registry &&
         heap->graph.kind[mine->pile.reference] == REFERENCE_INDEX;
}

/* Whether anything else refers to the entries. */
static const char *use_words(struct command_context *context, const struct accumulation *pile) {
  enum { MOST = 90, FEW = 1 }; /* per cent */
  if (pile->used * 100 >= MOST) return "; others refer to them as well";
  if (pile->used * 100 < FEW) return "; nothing else refers to them";
  return arena_printf(context->arena, "; others refer to %s of them as well",
                      shown(context, cell_ratio(pile->used)));
}

static const char *describe(struct command_context *context, const struct suspicion *mine) {
  const struct accumulation *pile = &mine->pile;
  const char *holder = holder_words(context, mine);
  const char *count = shown(context, cell_count(pile->entries));
  const char *share = shown(context, cell_ratio(pile->share));
  const char *elsewhere = use_words(context, pile);
  if (pile->is_nested)
    return arena_printf(context->arena, "%s leads to a list or tree of %s %s, %s of live bytes%s",
                        holder, count, mine->entries, share, elsewhere);
  const char *what =
      is_registry_reference(context, mine)
          ? "references (luaL_ref) to"
          : (pile->like == pile->entries ? "entries of" : "entries, for the most part");
  return arena_printf(context->arena, "%s %s %s %s %s, %s of live bytes%s", holder,
                      pile->holders == 1 ? "holds" : "hold", count, what, mine->entries, share,
                      elsewhere);
}

/* ---- Chains -----------------------------------------------------------------------------------
 */

static bool path_of(struct command_context *context, const struct chain *chain, const char **path) {
  struct text text = {0};
  bool fits = chain_to_path(context->session, chain, NULL, &text);
  *path = fits ? arena_copy(context->arena, text.items, text.count) : NULL;
  vector_free(&text);
  return *path != NULL;
}

/* The chain to the holder, and from there to the entry. */
static struct inspect_error *trace(struct command_context *context, const struct chains *chains,
                                   const struct chains_options *options, struct suspicion *mine) {
  const struct accumulation *pile = &mine->pile;
  const struct graph *graph = &context->session->heap.graph;
  if (bitset_has(&chains->settled, pile->holder)) {
    if (!chains_get(graph, chains, options, pile->holder, &mine->chain) ||
        !path_of(context, &mine->chain, &mine->path))
      return error_no_memory();
    struct chain_step entry = {pile->entry, pile->reference};
    mine->suspect = mine->chain.count - 1;
    if (!vector_push(&mine->chain, entry)) return error_no_memory();
    if (!mine->suspect || pile->is_nested) mine->suspect = mine->chain.count - 1;
  }
  mine->entries = entry_words(context, pile->entry);
  mine->sentence = describe(context, mine);
  return mine->entries && mine->sentence ? NULL : error_no_memory();
}

static struct inspect_error *trace_all(struct command_context *context, const struct bitset *barred,
                                       struct suspicions *suspicions) {
  const struct graph *graph = &context->session->heap.graph;
  struct bitset targets;
  struct chains chains = {0};
  if (!suspicions->count) return NULL;
  if (!bitset_init(&targets, graph->object_count)) return error_no_memory();
  for (size_t i = 0; i < suspicions->count; i++)
    bitset_add(&targets, suspicions->items[i].pile.holder);
  struct chains_options options = {.barred = barred, .targets = &targets};
  struct inspect_error *error = chains_search(graph, &options, context->work, &chains);
  for (size_t i = 0; i < suspicions->count && !error; i++)
    error = trace(context, &chains, &options, &suspicions->items[i]);
  chains_free(&chains);
  bitset_free(&targets);
  return error;
}

/* ---- The whole --------------------------------------------------------------------------------
 */

/* The cause whose suspect reference leads to the same object. */
static size_t cause_of(const struct leaks *leaks, object_id object) {
  for (size_t i = 0; leaks->searched && i < leaks->causes.count; i++) {
    const struct cause *cause = leaks->causes.items[i].cause;
    if (cause->suspect && cause->chain.items[cause->suspect].object == object) return i;
  }
  return SIZE_MAX;
}

static int worst_first(const void *a, const void *b) {
  const struct suspicion *x = a, *y = b;
  double left = accumulation_rank(&x->pile), right = accumulation_rank(&y->pile);
  if (left != right) return left > right ? -1 : 1;
  if (x->vm != y->vm) return x->vm < y->vm ? -1 : 1;
  if (x->pile.retained != y->pile.retained) return x->pile.retained > y->pile.retained ? -1 : 1;
  int order = strcmp(x->path ? x->path : "", y->path ? y->path : "");
  return order ? order : (x->pile.entries < y->pile.entries) - (x->pile.entries > y->pile.entries);
}

static struct inspect_error *find_in_vm(struct command_context *context, const struct leaks *leaks,
                                        size_t vm, struct suspicions *result) {
  enum { AT_ONCE = 1 << 16 };
  struct inspect_session *session = context->session;
  const struct heap_vm *owner = &session->heap.vms[vm];
  struct accumulations piles;
  uint64_t live = 0;
  for (uint32_t i = 0; i < owner->count; i++) {
    if (i % AT_ONCE == 0 && work_stops(context->work, "accumulations", 0, 0))
      return error_interrupted();
    if (collection_leaves(&session->collection, owner->first + i))
      live += graph_bytes(&session->heap.graph, owner->first + i);
  }
  TRY(accumulations_find(&session->heap.graph, &session->dominators, owner->first, owner->count,
                         &leaks->trackers.tables, context->work, &piles));
  struct inspect_error *error = NULL;
  for (size_t i = 0; i < piles.count && !error; i++) {
    struct suspicion mine = {
        .vm = vm, .pile = piles.items[i], .cause = cause_of(leaks, piles.items[i].holder)};
    if (mine.cause != SIZE_MAX) mine.cause_number = leaks->causes.items[mine.cause].group;
    mine.pile.share = live ? (double)mine.pile.retained / (double)live : 0;
    if (!vector_push(result, mine)) error = error_no_memory();
  }
  accumulations_free(&piles);
  return error;
}

static int by_path(const void *left, const void *right, void *context) {
  size_t a = *(const size_t *)left, b = *(const size_t *)right;
  const struct suspicion *items = context, *x = &items[a], *y = &items[b];
  if (!x->path != !y->path) return x->path ? -1 : 1;
  int order = x->path ? strcmp(x->path, y->path) : 0;
  if (!order && x->path) order = strcmp(x->entries, y->entries);
  return order ? order : (a > b) - (a < b);
}

/* Whether two suspicions of different VMs are told as one. */
static bool is_like(const struct suspicion *a, const struct suspicion *b) {
  return a->path && b->path && strcmp(a->path, b->path) == 0 && strcmp(a->entries, b->entries) == 0;
}

/* Counts the VMs that have the same; they are sorted. */
static bool fold(struct suspicions *suspicions) {
  size_t count = suspicions->count, *order = malloc((count + 1) * sizeof *order);
  struct suspicion *items = suspicions->items;
  if (!order) return false;
  for (size_t i = 0; i < count; i++)
    order[i] = i;
  if (count) qsort_r(order, count, sizeof *order, by_path, items);
  for (size_t first = 0, end; first < count; first = end) {
    for (end = first + 1; end < count && is_like(&items[order[first]], &items[order[end]]);)
      end++;
    size_t vms = 1;
    for (size_t i = first + 1; i < end; i++)
      vms += items[order[i]].vm != items[order[i - 1]].vm;
    for (size_t i = first; i < end; i++) {
      items[order[i]].vms = vms;
      items[order[i]].is_first = vms == 1 || i == first;
      suspicions->different += items[order[i]].is_first;
    }
  }
  free(order);
  return true;
}

struct inspect_error *suspicions_find(struct command_context *context, const struct leaks *leaks,
                                      struct suspicions *result) {
  struct inspect_session *session = context->session;
  for (size_t i = 0; i < session->heap.vm_count; i++)
    if (session_selects(session, context->options, i)) TRY(find_in_vm(context, leaks, i, result));
  TRY(trace_all(context, &leaks->trackers.tables, result));
  if (result->count) qsort(result->items, result->count, sizeof *result->items, worst_first);
  return fold(result) ? NULL : error_no_memory();
}

void suspicions_free(struct suspicions *suspicions) {
  for (size_t i = 0; i < suspicions->count; i++)
    vector_free(&suspicions->items[i].chain);
  vector_free(suspicions);
}
