/* diff.c - what grew between two dumps of a program, or of two runs of it.
 *
 * Both targets are read in the same way. Classes, retaining paths and causes are matched by their
 * names, which are the same in every run; objects, if it is one process, by address, type and
 * class: an address that was freed and used again for an object of the same class counts as the
 * same object, which nothing in a dump can tell. */
#include "command/diff.h"

#include <math.h>
#include <string.h>

#include "analysis/kinship.h"
#include "base/number_map.h"

/* ---- The other target -------------------------------------------------------------------------
 */

static struct inspect_error *open_other(struct command_context *context, struct diff *diff) {
  const struct command_options *options = context->options;
  const struct inspect_target target = {.core = options->other,
                                        .exe = options->exe,
                                        .sysroot = options->sysroot,
                                        .layout = options->layout,
                                        .redact = options->redact,
                                        .redact_key = options->redact_key,
                                        .max_decompressed = options->max_decompressed,
                                        .io = context->io};
  TRY(inspect_session_open(&target, &diff->other));
  if (diff->other->redaction && context->session->redaction)
    redaction_take_key(diff->other->redaction, context->session->redaction);
  diff->after.context = diff->before.context = *context;
  diff->before.context.session = diff->other;
  context->session->budget.limit /= 2; /* of two heaps */
  diff->other->budget = context->session->budget;
  return NULL;
}

static struct inspect_error *prepare(struct diff_side *side) {
  struct command_context *context = &side->context;
  TRY(session_detect(context->session, context->work));
  TRY(session_check_choice(context->session, context->options));
  TRY(session_dominate(context->session, context->work));
  TRY(session_classify(context->session, context->work));
  return leaks_find(context, false, &side->leaks);
}

/* One process has its VMs at the same addresses; nothing else has. */
static bool is_same_process(const struct diff *diff) {
  const struct inspect_session *a = diff->before.context.session;
  const struct inspect_session *b = diff->after.context.session;
  if (a->source->pid != b->source->pid) return false;
  for (size_t i = 0; i < a->heap.vm_count; i++)
    for (size_t j = 0; j < b->heap.vm_count; j++)
      if (a->heap.vms[i].vm.main_thread == b->heap.vms[j].vm.main_thread &&
          a->heap.vms[i].vm.registry == b->heap.vms[j].vm.registry)
        return true;
  return false;
}

/* ---- Classes ----------------------------------------------------------------------------------
 */

static bool is_live(const struct diff_side *side, object_id object) {
  return bitset_has(&side->context.session->collection.live, object);
}

static uint64_t class_key(const struct inspect_session *session, object_id object) {
  uint8_t type = session->heap.graph.type[object];
  return (uint64_t)session->classes.of[object] << 8 | type;
}

/* The row of a class by type and name; UINT32_MAX: out of memory. */
static uint32_t row_of(struct diff *diff, struct number_map *rows, enum object_type type,
                       const char *name) {
  uint64_t key = kinship_mix((uint64_t)type, patterns_hash(name, strlen(name)));
  for (;; key++) { /* names with one hash are next to each other */
    uint32_t row = number_map_get(rows, key);
    if (row == NO_NUMBER) break;
    const struct diff_class *class = &diff->classes.items[row];
    if (class->type == type && strcmp(class->name, name) == 0) return row;
  }
  struct diff_class class = {.type = type, .name = name};
  if (diff->classes.count >= NO_NUMBER - 1 ||
      !number_map_set(rows, key, (uint32_t)diff->classes.count) ||
      !vector_push(&diff->classes, class))
    return UINT32_MAX;
  return (uint32_t)(diff->classes.count - 1);
}

/* The row of an object's class; `known` remembers the rows of class numbers. */
static uint32_t row_of_object(struct diff *diff, struct number_map *rows, struct number_map *known,
                              const struct diff_side *side, object_id object) {
  const struct inspect_session *session = side->context.session;
  uint64_t key = class_key(session, object);
  uint32_t row = number_map_get(known, key);
  if (row != NO_NUMBER) return row;
  const char *name = classes_name(&session->classes, &session->heap.graph, object);
  row = row_of(diff, rows, (enum object_type)session->heap.graph.type[object], name);
  return row != UINT32_MAX && number_map_set(known, key, row) ? row : UINT32_MAX;
}

struct class_maps {
  struct number_map rows, known_before, known_after;
};

/* Whether the object was there before: same address, type and class. */
static bool was_there(struct diff *diff, struct class_maps *maps, object_id object, uint32_t row) {
  const struct inspect_session *session = diff->after.context.session;
  object_id old = heap_object_at(&diff->other->heap, heap_address(&session->heap, object));
  return old != NO_OBJECT && is_live(&diff->before, old) &&
         row_of_object(diff, &maps->rows, &maps->known_before, &diff->before, old) == row;
}

static struct inspect_error *count_side(struct diff *diff, struct diff_side *side, bool is_after,
                                        struct class_maps *maps) {
  enum { CHECK_EVERY = 1 << 16 };
  struct inspect_session *session = side->context.session;
  struct number_map *known = is_after ? &maps->known_after : &maps->known_before;
  for (size_t vm = 0; vm < session->heap.vm_count; vm++) {
    const struct heap_vm *owner = &session->heap.vms[vm];
    if (!session_selects(session, side->context.options, vm)) continue;
    for (uint32_t i = 0; i < owner->count; i++) {
      object_id object = owner->first + i;
      if (i % CHECK_EVERY == 0 &&
          work_stops(side->context.work, "comparing objects", i, owner->count))
        return error_interrupted();
      if (!is_live(side, object)) continue;
      uint32_t row = row_of_object(diff, &maps->rows, known, side, object);
      if (row == UINT32_MAX) return error_no_memory();
      uint64_t bytes = graph_bytes(&session->heap.graph, object);
      bool is_kept = is_after && diff->is_same_process && was_there(diff, maps, object, row);
      struct diff_class *class = &diff->classes.items[row];
      struct diff_tally *tally = is_after ? &class->after : &class->before;
      tally->objects++;
      tally->bytes += bytes;
      side->live.objects++;
      side->live.bytes += bytes;
      class->kept += is_kept;
      diff->kept += is_kept;
    }
  }
  return NULL;
}

static int compare_growth(const struct diff_tally *before_a, const struct diff_tally *after_a,
                          const struct diff_tally *before_b, const struct diff_tally *after_b) {
  int64_t a = diff_growth(before_a->bytes, after_a->bytes);
  int64_t b = diff_growth(before_b->bytes, after_b->bytes);
  if (a != b) return a > b ? -1 : 1;
  a = diff_growth(before_a->objects, after_a->objects);
  b = diff_growth(before_b->objects, after_b->objects);
  return a == b ? 0 : a > b ? -1 : 1;
}

static int compare_classes(const void *left, const void *right) {
  const struct diff_class *a = left, *b = right;
  int order = compare_growth(&a->before, &a->after, &b->before, &b->after);
  if (order) return order;
  order = strcmp(a->name, b->name);
  return order ? order : (int)a->type - (int)b->type;
}

static struct inspect_error *count_classes(struct diff *diff) {
  struct class_maps maps = {0};
  struct inspect_error *error = count_side(diff, &diff->before, false, &maps);
  if (!error) error = count_side(diff, &diff->after, true, &maps);
  number_map_free(&maps.rows);
  number_map_free(&maps.known_before);
  number_map_free(&maps.known_after);
  if (!error && diff->classes.count)
    qsort(diff->classes.items, diff->classes.count, sizeof *diff->classes.items, compare_classes);
  return error;
}

/* ---- Causes -----------------------------------------------------------------------------------
 */

static struct diff_cause *cause_row(struct diff *diff, const struct cause *cause) {
  for (size_t i = 0; i < diff->causes.count; i++)
    if (diff->causes.items[i].fingerprint == cause->fingerprint) return &diff->causes.items[i];
  struct diff_cause row = {.fingerprint = cause->fingerprint, .pattern = cause->pattern};
  return vector_push(&diff->causes, row) ? &diff->causes.items[diff->causes.count - 1] : NULL;
}

/* Causes are few: they are compared one by one, up to a bound. */
static struct inspect_error *count_causes(struct diff *diff, const struct diff_side *side,
                                          bool is_after) {
  enum { MOST_CAUSES = 4096 };
  for (size_t i = 0; i < side->leaks.causes.count && i < MOST_CAUSES; i++) {
    const struct cause *cause = side->leaks.causes.items[i].cause;
    struct diff_cause *row = cause_row(diff, cause);
    if (!row) return error_no_memory();
    struct diff_tally *tally = is_after ? &row->after : &row->before;
    tally->objects += cause->count;
    tally->bytes += cause->retained_bytes;
  }
  return NULL;
}

static int compare_causes(const void *left, const void *right) {
  const struct diff_cause *a = left, *b = right;
  int order = compare_growth(&a->before, &a->after, &b->before, &b->after);
  return order ? order : (a->fingerprint > b->fingerprint) - (a->fingerprint < b->fingerprint);
}

/* ---- The whole --------------------------------------------------------------------------------
 */

static struct inspect_error *compare(struct command_context *context, struct diff *diff) {
  TRY(prepare(&diff->before));
  TRY(prepare(&diff->after));
  context->partial = diff->before.context.partial || diff->after.context.partial;
  diff->is_same_process = is_same_process(diff);
  diff->seconds =
      diff->after.context.session->source->time - diff->before.context.session->source->time;
  TRY(count_classes(diff));
  struct inspect_error *error = diff_find_paths(context, diff);
  if (error && error->code != INSPECT_ERROR_INTERRUPTED) return error;
  if (error) context->partial = true; /* the classes are an answer, too */
  inspect_error_free(error);
  TRY(count_causes(diff, &diff->before, false));
  TRY(count_causes(diff, &diff->after, true));
  if (diff->causes.count)
    qsort(diff->causes.items, diff->causes.count, sizeof *diff->causes.items, compare_causes);
  return NULL;
}

static bool has_differences(const struct diff *diff) {
  for (size_t i = 0; i < diff->classes.count; i++) {
    const struct diff_class *class = &diff->classes.items[i];
    if (class->before.objects != class->after.objects || class->before.bytes != class->after.bytes)
      return true;
  }
  return diff->is_same_process &&
         (diff->kept != diff->before.live.objects || diff->kept != diff->after.live.objects);
}

static void free_side(struct diff_side *side) {
  places_free(&side->places);
  leaks_free(&side->leaks);
}

static void release(void *state) {
  struct diff *diff = state;
  free_side(&diff->before);
  free_side(&diff->after);
  vector_free(&diff->classes);
  vector_free(&diff->paths);
  vector_free(&diff->causes);
  inspect_session_close(diff->other);
  free(diff);
}

struct inspect_error *command_diff(struct command_context *context) {
  struct diff *diff = calloc(1, sizeof *diff);
  if (!diff) return error_no_memory();
  context->state = diff;
  context->release = release;
  TRY(open_other(context, diff));
  TRY(compare(context, diff));
  context->found = has_differences(diff);
  describe_target(context, false);
  diff_to_data(context, diff);
  diff_to_page(context, diff);
  describe_faults(context);
  return NULL;
}

const char diff_help[] =
    "Compares the target with an older dump of the same process, or of another run of the same "
    "program: what grew, by retaining path, by class and by cause, with counts, bytes and the rate "
    "per hour (from the times of the dumps). Only what a full collection would leave counts.\n"
    "\n"
    "A retaining path is where in the dominator tree objects of one class hang, in Lua syntax, "
    "with [*] for the keys of many: package.loaded[\"game.audit\"].entries[*]. Its bytes are those "
    "retained. Of paths within each other the one is shown where objects were added, not those "
    "that grew because of it. Classes are named as in lua-heap; their bytes are shallow. Causes "
    "are matched by fingerprint.\n"
    "\n"
    "In two dumps of one process an object with the same address, type and class is the same "
    "object; the others are new, or gone. Exit status: 1 if there are differences.\n"
    "\n"
    "Examples:\n"
    "  lua-diff server.monday.core\n"
    "      what the target has more than the dump of Monday\n"
    "  lua-diff server.monday.core --limit 50 --json\n"
    "      for scripts: keys other, live, paths, classes, causes\n";
