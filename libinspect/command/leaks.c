/* leaks.c - which objects that should be gone are still here, and which references keep them?
 *
 * The steps: the computed full collection gives the verdicts; one search over the graph gives every
 * survivor its best chain; chains with one pattern are one cause; the dominator tree names each
 * cause's suspect, and what a collection without the suspect's reference would free checks it. */
#include "command/leaks.h"

#include <fnmatch.h>
#include <math.h>

#include "analysis/cuts.h"
#include "command/chain_view.h"

enum { MOST_CUT_CHECKS = 20, WORK_STEPS = 1 << 16 };

/* ---- Entries --------------------------------------------------------------------------------- */

/* Entries are sorted if they are listed. */
static struct inspect_error *find_trackers(struct command_context *context,
                                           struct trackers *trackers) {
  const struct command_options *options = context->options;
  TRY(trackers_find(context->session, options, context->work, trackers));
  if (!options->json && !options->all) return NULL;
  struct inspect_error *error = trackers_sort(context->work, trackers);
  if (error) trackers_free(trackers);
  return error;
}

static bool matches(const struct command_options *options, const struct trackers *trackers,
                    const struct tracked *tracked) {
  if (options->has_min_age && !(tracked_age(trackers, tracked) >= options->min_age)) return false;
  if (!options->description) return true;
  struct tracked_text description = tracked_description(trackers, tracked);
  struct arena arena;
  arena_init(&arena);
  const char *text =
      arena_copy(&arena, description.bytes ? description.bytes : "", description.size);
  bool is_match = text && fnmatch(options->description, text, 0) == 0;
  arena_free(&arena);
  return is_match;
}

static struct inspect_error *report(struct command_context *context, const char *phase, size_t done,
                                    size_t total) {
  return done % WORK_STEPS == 0 && work_stops(context->work, phase, done, total)
             ? error_interrupted()
             : NULL;
}

static bool list_survivors(struct leaks *leaks) {
  const struct bitset *set = &leaks->survivor_set;
  if (!vector_reserve(&leaks->survivors, bitset_count(set))) return false;
  for (uint64_t word = 0; word < set->size / 64 + 1; word++)
    for (uint64_t bits = set->words[word]; bits; bits &= bits - 1)
      leaks->survivors.items[leaks->survivors.count++] =
          (object_id)(word * 64 + (unsigned)__builtin_ctzll(bits));
  return true;
}

/* Verdicts and survivors are taken in the order in which entries lie in memory. */
static struct inspect_error *select_entries(struct command_context *context, struct leaks *leaks) {
  const struct trackers *trackers = &leaks->trackers;
  const struct command_options *options = context->options;
  bool has_filter = options->has_min_age || options->description;
  if (!bitset_init(&leaks->survivor_set, context->session->heap.graph.object_count) ||
      trackers->entries.count >= UINT32_MAX ||
      !vector_reserve(&leaks->shown, trackers->entries.count))
    return error_no_memory();
  size_t count = trackers->entries.count;
  for (size_t i = 0; i < count; i++) {
    TRY(report(context, "selecting entries", i, 2 * count));
    uint32_t entry = trackers->order ? trackers->order[i] : (uint32_t)i;
    if (!has_filter || matches(options, trackers, &trackers->entries.items[entry]))
      leaks->shown.items[leaks->shown.count++] = entry;
  }
  for (size_t i = 0; i < count; i++) {
    TRY(report(context, "selecting entries", count + i, 2 * count));
    const struct tracked *tracked = &trackers->entries.items[i];
    if (has_filter && !matches(options, trackers, tracked)) continue;
    leaks->verdicts[tracked->verdict]++;
    if (tracked->verdict == VERDICT_LEAKED) bitset_add(&leaks->survivor_set, tracked->object);
  }
  return list_survivors(leaks) ? NULL : error_no_memory();
}

/* ---- Causes ---------------------------------------------------------------------------------- */

/* Groups the survivors of each VM (their ids are consecutive). */
static struct inspect_error *group(struct command_context *context, struct leaks *leaks) {
  struct inspect_session *session = context->session;
  leaks->vm_count = session->heap.vm_count;
  leaks->by_vm = calloc(leaks->vm_count, sizeof *leaks->by_vm);
  if (!leaks->by_vm) return error_no_memory();
  size_t first = 0;
  for (size_t vm = 0; vm < leaks->vm_count; vm++) {
    const struct heap_vm *owner = &session->heap.vms[vm];
    size_t end = first;
    while (end < leaks->survivors.count &&
           leaks->survivors.items[end] - owner->first < owner->count)
      end++;
    if (end > first)
      TRY(causes_find(&session->heap.graph, &leaks->chains, &leaks->search,
                      leaks->survivors.items + first, end - first, context->work,
                      &leaks->by_vm[vm]));
    first = end;
  }
  return NULL;
}

static struct inspect_error *list_causes(struct leaks *leaks) {
  for (size_t vm = 0; vm < leaks->vm_count; vm++) {
    struct causes *causes = &leaks->by_vm[vm];
    for (size_t i = 0; i < causes->count; i++) {
      struct leak_cause cause = {.cause = &causes->items[i],
                                 .causes = causes,
                                 .number = i,
                                 .vm = vm,
                                 .youngest = NAN,
                                 .oldest = NAN,
                                 .described = SIZE_MAX};
      if (!vector_push(&leaks->causes, cause)) return error_no_memory();
    }
  }
  return NULL;
}

bool leaks_selects(const struct command_options *options, const struct leak_cause *cause) {
  if (!options->cause.is_given) return true;
  return options->cause.is_fingerprint ? cause->cause->fingerprint == options->cause.value
                                       : cause->group + 1 == options->cause.value;
}

/* NOT_FOUND if --cause names none. */
static struct inspect_error *check_choice(struct command_context *context,
                                          const struct leaks *leaks) {
  const struct command_options *options = context->options;
  if (!options->cause.is_given) return NULL;
  for (size_t i = 0; i < leaks->causes.count; i++)
    if (leaks_selects(options, &leaks->causes.items[i])) return NULL;
  if (options->cause.is_fingerprint)
    return error_create(INSPECT_ERROR_NOT_FOUND,
                        "lua-leaks --json shows the fingerprints; the filters and --vm decide "
                        "which causes there are",
                        "no cause has the fingerprint %016llx: there are %zu causes",
                        (unsigned long long)options->cause.value, leaks->groups.count);
  return error_create(INSPECT_ERROR_NOT_FOUND,
                      "lua-leaks --all shows all; the filters and --vm decide which there are",
                      "there is no cause %llu: there are %zu",
                      (unsigned long long)options->cause.value, leaks->groups.count);
}

/* Fills in cut_frees of the causes, the suspects of which `cuts` cuts. */
static struct inspect_error *count_cuts(struct command_context *context, struct leaks *leaks,
                                        const struct cut *cuts, const size_t *causes,
                                        size_t count) {
  const struct inspect_session *session = context->session;
  for (size_t i = 0; i < count; i++) {
    const struct leak_cause *mine = &leaks->causes.items[causes[i]];
    struct cause *cause = mine->cause;
    size_t freed;
    TRY(cuts_count_freed(&session->heap.graph, &session->dominators, &cuts[i],
                         mine->causes->members + cause->first, cause->count, context->work,
                         &freed));
    cause->cut_frees = freed;
  }
  return NULL;
}

/* Of each group the first. */
static struct inspect_error *check_cuts(struct command_context *context, struct leaks *leaks) {
  const struct inspect_session *session = context->session;
  struct cut cuts[MOST_CUT_CHECKS];
  size_t causes[MOST_CUT_CHECKS], count = 0;
  for (size_t i = 0; i < leaks->groups.count && leaks->cuts_checked < MOST_CUT_CHECKS; i++) {
    size_t first = leaks->groups.items[i].first;
    const struct cause *cause = leaks->causes.items[first].cause;
    if (!leaks_selects(context->options, &leaks->causes.items[first])) continue;
    leaks->cuts_checked++;
    if (!cause->suspect) continue;
    cuts[count] = (struct cut){.reference = cause->chain.items[cause->suspect].reference};
    causes[count++] = first;
  }
  TRY(cuts_judge(&session->heap.graph, &session->collection, &session->dominators, cuts, count,
                 context->work));
  return count_cuts(context, leaks, cuts, causes, count);
}

/* ---- --cut ----------------------------------------------------------------------------------- */

static int by_reference(const void *left, const void *right) {
  reference_id a = *(const reference_id *)left, b = *(const reference_id *)right;
  return a < b ? -1 : a > b;
}

/* Takes the reference away in every VM that has it. */
static struct inspect_error *cut_path(struct command_context *context, struct leaks *leaks,
                                      const struct path *path) {
  struct inspect_session *session = context->session;
  struct resolved places = {0};
  struct VECTOR(reference_id) references = {0};
  struct collection collection;
  struct inspect_error *error =
      path->count > 1
          ? resolve_path_everywhere(session, context->options, path, &places)
          : error_create(INSPECT_ERROR_USAGE, "for example --cut '_G.npcs' or --cut '_G.npcs[42]'",
                         "--cut takes a path whose last step is the reference to take away, not %s",
                         path->source);
  for (size_t i = 0; !error && i < places.count; i++)
    if (!vector_push(&references, places.items[i].reference)) error = error_no_memory();
  if (!error) {
    qsort(references.items, references.count, sizeof *references.items, by_reference);
    struct graph_mask mask = {
        .kinds = ALL_KINDS, .cut = references.items, .cut_count = references.count};
    error = collect(&session->heap.graph, &mask, context->work, &collection);
  }
  if (!error) {
    struct leak_cut result = {.path = path->source};
    for (size_t j = 0; j < leaks->survivors.count; j++)
      result.frees += !bitset_has(&collection.live, leaks->survivors.items[j]);
    collection_free(&collection);
    if (!vector_push(&leaks->cuts, result)) error = error_no_memory();
  }
  vector_free(&references);
  vector_free(&places);
  return error;
}

static struct inspect_error *cut(struct command_context *context, struct leaks *leaks) {
  for (size_t i = 0; i < context->options->cut.count; i++)
    TRY(cut_path(context, leaks, &context->options->cut.items[i]));
  return NULL;
}

/* ---- Paths of trackers ----------------------------------------------------------------------- */

static struct inspect_error *name_trackers(struct command_context *context, struct leaks *leaks) {
  struct inspect_session *session = context->session;
  size_t count = leaks->trackers.list.count;
  leaks->tracker_paths = arena_alloc(context->arena, (count + 1) * sizeof(char *));
  struct bitset targets;
  if (!leaks->tracker_paths || !bitset_init(&targets, session->heap.graph.object_count))
    return error_no_memory();
  for (size_t i = 0; i < count; i++)
    bitset_add(&targets, leaks->trackers.list.items[i].table);
  struct chains_options options = {.targets = &targets};
  struct chains chains = {0};
  struct inspect_error *error =
      count ? chains_search(&session->heap.graph, &options, context->work, &chains) : NULL;
  for (size_t i = 0; count && !error && i < count; i++) {
    struct text text = {0};
    struct chain chain = {0};
    if (chains_get(&session->heap.graph, &chains, &options, leaks->trackers.list.items[i].table,
                   &chain) &&
        chain_to_path(session, &chain, NULL, &text))
      leaks->tracker_paths[i] = arena_copy(context->arena, text.items, text.count);
    vector_free(&text);
    vector_free(&chain);
  }
  if (count && !error) chains_free(&chains);
  bitset_free(&targets);
  return error;
}

/* ---- The whole ------------------------------------------------------------------------------- */

/* What can be left out of an answer, and needs no dominators. */
static struct inspect_error *search(struct command_context *context, struct leaks *leaks) {
  TRY(name_trackers(context, leaks));
  TRY(cut(context, leaks));
  leaks->search.barred = &leaks->trackers.tables;
  leaks->search.survivors = &leaks->survivor_set;
  leaks->search.targets = &leaks->survivor_set;
  if (leaks->survivors.count) {
    TRY(chains_search(&context->session->heap.graph, &leaks->search, context->work,
                      &leaks->chains));
    TRY(group(context, leaks));
  }
  leaks->is_grouped = true;
  return NULL;
}

struct inspect_error *leaks_begin(struct command_context *context, struct leaks *leaks) {
  TRY(find_trackers(context, &leaks->trackers));
  TRY(search_options(context->session, context->options, &leaks->avoid, &leaks->from, &leaks->mask,
                     &leaks->search));
  TRY(select_entries(context, leaks));
  return partial_if_interrupted(context, search(context, leaks));
}

/* What the dominators tell of the causes, which entries belong to each. */
static struct inspect_error *judge(struct command_context *context, struct leaks *leaks) {
  struct inspect_session *session = context->session;
  if (!context->options->brief) {
    TRY(session_dominate(session, context->work));
    leaks->has_retained = true;
  }
  leaks->searched = true;
  TRY(causes_judge(&session->heap.graph, leaks->has_retained ? &session->dominators : NULL,
                   &leaks->survivor_set, leaks->by_vm, leaks->vm_count, context->work));
  TRY(list_causes(leaks));
  if (!leaks_order_causes(leaks)) return error_no_memory();
  TRY(leaks_link_entries(context, leaks));
  leaks_sum_groups(leaks);
  return NULL;
}

/* The rest that can be left out. */
static struct inspect_error *conclude(struct command_context *context, bool with_cut_checks,
                                      struct leaks *leaks) {
  if (leaks->survivors.count) TRY(judge(context, leaks));
  TRY(check_choice(context, leaks));
  if (!leaks->has_retained || !with_cut_checks) return NULL;
  TRY(check_cuts(context, leaks));
  leaks_sum_groups(leaks); /* now they know what cuts free */
  return NULL;
}

struct inspect_error *leaks_find(struct command_context *context, bool with_cut_checks,
                                 struct leaks *leaks) {
  *leaks = (struct leaks){0};
  TRY(leaks_begin_meanwhile(context, leaks));
  if (!leaks->is_grouped) return NULL;
  return partial_if_interrupted(context, conclude(context, with_cut_checks, leaks));
}

void leaks_free(struct leaks *leaks) {
  for (size_t i = 0; leaks->by_vm && i < leaks->vm_count; i++)
    causes_free(&leaks->by_vm[i]);
  free(leaks->by_vm);
  chains_free(&leaks->chains);
  vector_free(&leaks->causes);
  vector_free(&leaks->groups);
  free(leaks->by_cause);
  vector_free(&leaks->cuts);
  vector_free(&leaks->shown);
  vector_free(&leaks->survivors);
  vector_free(&leaks->from);
  bitset_free(&leaks->survivor_set);
  bitset_free(&leaks->avoid);
  trackers_free(&leaks->trackers);
}

static void release(void *state) {
  leaks_free(state);
  free(state);
}

struct inspect_error *command_leaks(struct command_context *context) {
  struct inspect_session *session = context->session;
  TRY(session_collect(session, context->work));
  TRY(session_check_choice(session, context->options));
  struct leaks *leaks = calloc(1, sizeof *leaks);
  if (!leaks) return error_no_memory();
  context->state = leaks;
  context->release = release;
  TRY(leaks_find(context, true, leaks));
  context->found = leaks->verdicts[VERDICT_LEAKED] > 0;
  describe_target(context, false);
  leaks_to_data(context, leaks);
  leaks_to_page(context, leaks);
  describe_faults(context);
  return NULL;
}
