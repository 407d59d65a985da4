/* heaviest.c - level by level: the objects of the last level are the parents that a pass over all
 * objects looks for, each with a selection of its own. Memory is bounded by what is listed. */
#include "analysis/heaviest.h"

#include "base/number_map.h"
#include "base/selection.h"

enum { WORK_STEPS = 1 << 16 };

struct child {
  object_id object;
};

struct level {
  const struct graph *graph;
  const struct dominators *dominators;
  const struct heaviest_options *options;
  const struct work *work;
  struct heaviest *result;
  struct bitset parents;        /* objects whose children are looked for           */
  struct number_map positions;  /* parent -> position among the selections         */
  struct selection *selections; /* of struct child                                 */
  uint32_t first, count;        /* the parents, in the list; none at the first level */
  uint32_t depth;               /* of the children                                 */
  struct heavy_rest all;        /* of the first level                              */
};

static int compare_children(const void *left, const void *right, void *context) {
  const struct level *level = context;
  object_id a = ((const struct child *)left)->object, b = ((const struct child *)right)->object;
  uint64_t x = level->dominators->retained[a], y = level->dominators->retained[b];
  if (x != y) return x > y ? -1 : 1;
  const struct graph_label_source *labels = &level->graph->labels;
  x = labels->address(labels->context, a);
  y = labels->address(labels->context, b);
  return (x > y) - (x < y);
}

/* The selection for an object at this level; NULL: its parent is not asked about. */
static struct selection *selection_for(struct level *level, object_id object) {
  const struct dominators *dominators = level->dominators;
  object_id parent = dominators->parent[object];
  if (!dominators->enter[object]) return NULL;
  if (level->depth == 1) {
    const struct bitset *among = level->options->among;
    bool is_first = parent == level->options->top && (!among || bitset_has(among, object));
    return is_first ? &level->selections[0] : NULL;
  }
  if (parent == NO_OBJECT || !bitset_has(&level->parents, parent)) return NULL;
  return &level->selections[number_map_get(&level->positions, parent)];
}

static struct inspect_error *look_at_all(struct level *level) {
  const struct dominators *dominators = level->dominators;
  for (object_id object = 0; object < level->graph->object_count; object++) {
    if (object % WORK_STEPS == 0 &&
        work_stops(level->work, "dominator tree", object, level->graph->object_count))
      return error_interrupted();
    struct selection *selection = selection_for(level, object);
    if (!selection) continue;
    struct child child = {object};
    if (level->depth == 1) {
      level->all.bytes += dominators->retained[object];
      level->all.objects += dominators_objects(dominators, object);
    }
    if (level->depth > 1 && dominators->retained[object] < level->options->least)
      selection->offered++;
    else if (!selection_offer(selection, &child))
      return error_no_memory();
  }
  return NULL;
}

/* Appends what was selected for one parent; `rest` is what all its children retain. */
static bool list_children(struct level *level, struct selection *selection, uint32_t parent,
                          struct heavy_rest rest) {
  const struct dominators *dominators = level->dominators;
  struct heaviest *result = level->result;
  uint32_t first = (uint32_t)result->list.count, count = 0;
  selection_sort(selection, level->work);
  const struct child *children = selection->items;
  for (; count < selection->count && result->list.count < MOST_HEAVY; count++) {
    struct heavy heavy = {
        .object = children[count].object, .parent = parent, .depth = level->depth};
    rest.bytes -= dominators->retained[heavy.object];
    rest.objects -= dominators_objects(dominators, heavy.object);
    if (!vector_push(&result->list, heavy)) return false;
  }
  rest.count = selection->offered - count;
  if (parent == NO_HEAVY) {
    result->first_count = count;
    result->rest = rest;
  } else {
    struct heavy *above = &result->list.items[parent];
    above->first = first;
    above->count = count;
    above->rest = rest;
  }
  return true;
}

static struct inspect_error *list_level(struct level *level) {
  if (level->depth == 1)
    return list_children(level, &level->selections[0], NO_HEAVY, level->all) ? NULL
                                                                             : error_no_memory();
  for (uint32_t i = 0; i < level->count; i++) {
    object_id object = level->result->list.items[level->first + i].object;
    struct heavy_rest below = {.bytes = level->dominators->retained[object] -
                                        graph_bytes(level->graph, object),
                               .objects = dominators_objects(level->dominators, object) - 1};
    if (!list_children(level, &level->selections[i], level->first + i, below))
      return error_no_memory();
  }
  return NULL;
}

static bool prepare(struct level *level) {
  uint32_t count = level->depth == 1 ? 1 : level->count;
  level->selections = calloc((size_t)count + 1, sizeof *level->selections);
  if (!level->selections || !bitset_init(&level->parents, level->graph->object_count)) return false;
  for (uint32_t i = 0; i < count; i++)
    selection_init(&level->selections[i], sizeof(struct child), level->options->limit,
                   compare_children, level);
  for (uint32_t i = 0; level->depth > 1 && i < count; i++) {
    object_id object = level->result->list.items[level->first + i].object;
    bitset_add(&level->parents, object);
    if (!number_map_set(&level->positions, object, i)) return false;
  }
  return true;
}

static void clean_up(struct level *level) {
  uint32_t count = level->depth == 1 ? 1 : level->count;
  for (uint32_t i = 0; level->selections && i < count; i++)
    selection_free(&level->selections[i]);
  free(level->selections);
  bitset_free(&level->parents);
  number_map_free(&level->positions);
}

struct inspect_error *heaviest_find(const struct graph *graph, const struct dominators *dominators,
                                    const struct heaviest_options *options, const struct work *work,
                                    struct heaviest *result) {
  struct inspect_error *error = NULL;
  uint32_t first = 0, count = 0;
  *result = (struct heaviest){0};
  for (uint32_t depth = 1; !error && depth <= options->depth && (depth == 1 || count); depth++) {
    struct level level = {.graph = graph,
                          .dominators = dominators,
                          .options = options,
                          .work = work,
                          .result = result,
                          .first = first,
                          .count = count,
                          .depth = depth};
    first = (uint32_t)result->list.count;
    if (!prepare(&level)) error = error_no_memory();
    if (!error) error = look_at_all(&level);
    if (!error) error = list_level(&level);
    clean_up(&level);
    count = (uint32_t)result->list.count - first;
  }
  if (error) heaviest_free(result);
  return error;
}

void heaviest_free(struct heaviest *heaviest) {
  vector_free(&heaviest->list);
  *heaviest = (struct heaviest){0};
}
