/* find.c - all objects that fulfil all conditions, in one pass.
 *
 * What depends on the class of an object alone is decided once for each class, and which strings
 * are the names of fields that a table must have, once for each string. So the pass looks at the
 * graph only, and at the target for --string alone. */
#include "command/find.h"

#include <string.h>

#include "base/glob.h"

enum { MOST_KEYS = 64, WORK_STEPS = 1 << 16 };

/* Words of --type; the first stands for any. Positions but for that are those of object_type. */
const char *const find_types[] = {"any",      "string", "table",   "function",  "cfunction",
                                  "userdata", "thread", "upvalue", "prototype", NULL};
const char *const find_orders[] = {"biggest", "bytes", "retained", "address", "class", NULL};

/* ---- Conditions on classes --------------------------------------------------------------------
 */

/* The source in a class by source: "function room.lua:41" -> "room.lua:41". */
static const char *source_of(const struct class_info *info) {
  const char *blank = info->evidence == CLASS_BY_SOURCE ? strchr(info->name, ' ') : NULL;
  return blank ? blank + 1 : NULL;
}

/* With its line or without. */
static bool fits_source(const char *glob, const struct class_info *info) {
  const char *source = source_of(info), *colon = source ? strrchr(source, ':') : NULL;
  return source && (glob_matches(glob, source, strlen(source)) ||
                    (colon && glob_matches(glob, source, (size_t)(colon - source))));
}

static bool fits_name(const char *glob, const struct class_info *info) {
  return glob_matches(glob, info->name, strlen(info->name));
}

/* As `heap --by shape` prints it. */
static bool fits_shape(const char *shape, const struct class_info *info) {
  return info->evidence == CLASS_BY_SHAPE && glob_matches(shape, info->name, strlen(info->name));
}

static struct inspect_error *decide(const struct classes *classes, const char *pattern,
                                    bool (*fits)(const char *, const struct class_info *),
                                    bool **result) {
  *result = calloc((size_t)classes->count + 1, sizeof **result);
  if (!*result) return error_no_memory();
  for (uint32_t i = 1; i < classes->count; i++)
    (*result)[i] = fits(pattern, &classes->items[i]);
  return NULL;
}

/* ---- Keys -------------------------------------------------------------------------------------
 */

struct key {
  const char *text;
  size_t size;
};

/* Whether the argument of --shape names a shape; else it is a list of keys. */
static bool is_shape(const char *shape) { return *shape == '{' || *shape == '['; }

/* Cuts "a,b,c" into keys. */
static struct inspect_error *read_keys(const char *list, struct key *keys, size_t *count) {
  while (*list) {
    size_t size = strcspn(list, ",");
    if (*count == MOST_KEYS)
      return error_create(INSPECT_ERROR_USAGE, NULL, "--shape takes at most %d keys", MOST_KEYS);
    keys[(*count)++] = (struct key){list, size};
    list += size;
    if (*list == ',') list++;
  }
  return NULL;
}

/* Finds the strings that are these keys: equal strings may be several objects. */
static struct inspect_error *find_keys(struct finding *finding, const struct key *keys,
                                       size_t count) {
  const struct graph *graph = &finding->context->session->heap.graph;
  finding->all_keys = count == MOST_KEYS ? UINT64_MAX : (UINT64_C(1) << count) - 1;
  for (object_id object = 0; object < graph->object_count; object++) {
    size_t size;
    if (graph->type[object] != OBJECT_STRING) continue;
    if (object % WORK_STEPS == 0 &&
        work_stops(finding->context->work, "strings", object, graph->object_count))
      return error_interrupted();
    const char *bytes = graph->labels.string(graph->labels.context, object, &size);
    for (size_t i = 0; bytes && i < count; i++)
      if (keys[i].size == size && memcmp(keys[i].text, bytes, size) == 0 &&
          !number_map_set(&finding->keys, object, (uint32_t)i))
        return error_no_memory();
  }
  return NULL;
}

static struct inspect_error *prepare_keys(struct finding *finding) {
  const struct command_options *options = finding->context->options;
  struct key keys[MOST_KEYS];
  size_t count = 0;
  if (options->key) keys[count++] = (struct key){options->key, strlen(options->key)};
  if (options->shape && !is_shape(options->shape)) TRY(read_keys(options->shape, keys, &count));
  return count ? find_keys(finding, keys, count) : NULL;
}

static bool has_keys(const struct finding *finding, object_id object) {
  const struct graph *graph = &finding->context->session->heap.graph;
  if (graph->type[object] != OBJECT_TABLE) return false;
  uint64_t found = 0;
  reference_id end = graph_first(graph, (uint64_t)object + 1);
  for (reference_id i = graph_first(graph, object); i < end; i++) {
    if (graph->kind[i] != REFERENCE_KEY) continue;
    uint32_t number = number_map_get(&finding->keys, graph->target[i]);
    if (number != NO_NUMBER) found |= UINT64_C(1) << number;
  }
  return found == finding->all_keys;
}

/* ---- One object -------------------------------------------------------------------------------
 */

static bool fits_size(const struct finding *finding, object_id object) {
  const struct inspect_session *session = finding->context->session;
  const struct command_options *options = finding->context->options;
  if (options->min_bytes && graph_bytes(&session->heap.graph, object) < options->min_bytes)
    return false;
  return !options->min_retained || session->dominators.retained[object] >= options->min_retained;
}

static bool fits_string(const struct finding *finding, object_id object) {
  const struct graph *graph = &finding->context->session->heap.graph;
  size_t size;
  const char *bytes = graph->type[object] == OBJECT_STRING
                          ? graph->labels.string(graph->labels.context, object, &size)
                          : NULL;
  return bytes && glob_matches(finding->context->options->string, bytes, size);
}

static bool fits_fate(const struct finding *finding, object_id object) {
  const struct command_options *options = finding->context->options;
  if (options->only_live == options->only_garbage) return true;
  return collection_leaves(&finding->context->session->collection, object) == options->only_live;
}

static bool fits_class(const struct finding *finding, object_id object) {
  const struct inspect_session *session = finding->context->session;
  uint32_t class = session->classes.of[object];
  return class ? finding->class_fits[class] : finding->type_fits[session->heap.graph.type[object]];
}

static bool fits(const struct finding *finding, object_id object) {
  const struct inspect_session *session = finding->context->session;
  const struct command_options *options = finding->context->options;
  const struct graph *graph = &session->heap.graph;
  if (options->type && graph->type[object] != options->type - 1) return false;
  if (!fits_fate(finding, object) || !fits_size(finding, object)) return false;
  if (finding->class_fits && !fits_class(finding, object)) return false;
  if (finding->source_fits && !finding->source_fits[session->classes.of[object]]) return false;
  if (finding->shape_fits && !finding->shape_fits[finding->shapes.of[object]]) return false;
  if (finding->all_keys && !has_keys(finding, object)) return false;
  return !options->string || fits_string(finding, object);
}

/* ---- Order ------------------------------------------------------------------------------------
 */

static int compare_found(const void *left, const void *right, void *context) {
  const struct found_object *a = left, *b = right;
  const struct finding *finding = context;
  const struct inspect_session *session = finding->context->session;
  const struct heap *heap = &session->heap;
  if (a->size != b->size) return a->size > b->size ? -1 : 1;
  int result = 0;
  if (finding->order == FIND_CLASS)
    result = strcmp(classes_name(&session->classes, &heap->graph, a->object),
                    classes_name(&session->classes, &heap->graph, b->object));
  uint64_t x = heap_address(heap, a->object), y = heap_address(heap, b->object);
  return result ? result : (x > y) - (x < y);
}

static uint64_t size_of(const struct finding *finding, object_id object) {
  const struct inspect_session *session = finding->context->session;
  switch (finding->order) {
  case FIND_BYTES:
    return graph_bytes(&session->heap.graph, object);
  case FIND_RETAINED:
    return session->dominators.retained[object];
  default:
    return 0;
  }
}

/* ---- The whole --------------------------------------------------------------------------------
 */

static struct inspect_error *prepare(struct finding *finding) {
  struct inspect_session *session = finding->context->session;
  const struct command_options *options = finding->context->options;
  const struct work *work = finding->context->work;
  if (finding->has_retained) TRY(session_dominate(session, work));
  TRY(session_classify(session, work));
  for (unsigned i = 0; options->class && i < OBJECT_TYPE_COUNT; i++) {
    const char *name = object_type_name((enum object_type)i);
    finding->type_fits[i] = glob_matches(options->class, name, strlen(name));
  }
  if (options->class)
    TRY(decide(&session->classes, options->class, fits_name, &finding->class_fits));
  if (options->source)
    TRY(decide(&session->classes, options->source, fits_source, &finding->source_fits));
  if (options->shape && is_shape(options->shape)) {
    TRY(classes_build_by(&finding->shapes, &session->heap, CLASSES_BY_SHAPE, work));
    TRY(decide(&finding->shapes, options->shape, fits_shape, &finding->shape_fits));
  }
  return prepare_keys(finding);
}

static struct inspect_error *look_at(struct finding *finding, const struct heap_vm *owner) {
  const struct graph *graph = &finding->context->session->heap.graph;
  for (uint32_t i = 0; i < owner->count; i++) {
    object_id object = owner->first + i;
    if (i % WORK_STEPS == 0 && work_stops(finding->context->work, "finding", i, owner->count))
      return error_interrupted();
    if (!fits(finding, object)) continue;
    struct found_object found = {size_of(finding, object), object};
    finding->bytes += graph_bytes(graph, object);
    if (!selection_offer(&finding->found, &found)) return error_no_memory();
  }
  return NULL;
}

struct inspect_error *find_objects(struct command_context *context, struct finding *finding) {
  enum { USUAL = 20 };
  struct inspect_session *session = context->session;
  const struct command_options *options = context->options;
  finding->context = context;
  finding->order = (enum find_order)options->sort;
  finding->has_retained = options->min_retained || finding->order == FIND_RETAINED;
  if (finding->order == FIND_BIGGEST)
    finding->order = finding->has_retained ? FIND_RETAINED : FIND_BYTES;
  uint64_t limit = options->limit ? options->limit : options->json ? UINT64_MAX : USUAL;
  selection_init(&finding->found, sizeof(struct found_object), limit, compare_found, finding);
  struct inspect_error *error = prepare(finding);
  for (size_t i = 0; !error && i < session->heap.vm_count; i++)
    if (session_selects(session, options, i)) error = look_at(finding, &session->heap.vms[i]);
  if (session->is_classified) selection_sort(&finding->found, context->work);
  return partial_if_interrupted(context, error);
}

void find_free(struct finding *finding) {
  free(finding->class_fits);
  free(finding->source_fits);
  free(finding->shape_fits);
  classes_free(&finding->shapes);
  number_map_free(&finding->keys);
  selection_free(&finding->found);
}
