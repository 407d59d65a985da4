/* census.c - objects counted by group. See census.h. */
#include "analysis/census.h"

#include <stdlib.h>

enum { CHECK_EVERY = 1 << 16 };

/* What makes an object a good example of its group. */
static uint64_t weight(const struct graph *graph, const struct dominators *dominators,
                       object_id object) {
  uint64_t retained = dominators ? dominators->retained[object] : 0;
  return retained ? retained : graph_bytes(graph, object);
}

static void count_object(const struct graph *graph, const struct dominators *dominators,
                         struct census_group *group, object_id object) {
  const struct graph_label_source *labels = &graph->labels;
  uint64_t bytes = graph_bytes(graph, object);
  group->count++;
  group->bytes += bytes;
  if (group->example == NO_OBJECT) {
    group->example = object;
    return;
  }
  object_id best = group->example;
  uint64_t mine = weight(graph, dominators, object), its = weight(graph, dominators, best);
  if (mine > its || (mine == its && labels->address(labels->context, object) <
                                        labels->address(labels->context, best)))
    group->example = object;
}

static struct inspect_error *count_all(const struct graph *graph, const uint32_t *group,
                                       const struct dominators *dominators, const struct work *work,
                                       struct census *census) {
  for (object_id object = 0; object < graph->object_count; object++) {
    if (object % CHECK_EVERY == 0 && work_stops(work, "counting", object, graph->object_count))
      return error_interrupted();
    if (group[object] == NO_GROUP) continue;
    count_object(graph, dominators, &census->groups[group[object]], object);
    census->count++;
    census->bytes += graph_bytes(graph, object);
  }
  return NULL;
}

/* Objects by their place in the preorder, from 1; `count` is the last place. */
static object_id *order_objects(const struct dominators *dominators, uint32_t *count) {
  object_id *order = malloc(((size_t)dominators->object_count + 1) * sizeof *order);
  *count = 0;
  for (object_id object = 0; order && object < dominators->object_count; object++) {
    uint32_t place = dominators->enter[object];
    if (!place) continue;
    order[place] = object;
    if (place > *count) *count = place;
  }
  return order;
}

static struct inspect_error *retain(const uint32_t *group, const struct dominators *dominators,
                                    const struct work *work, struct census *census) {
  uint32_t count;
  object_id *order = order_objects(dominators, &count);
  uint32_t *covered = calloc((size_t)census->group_count + 1, sizeof *covered);
  struct inspect_error *error = order && covered ? NULL : error_no_memory();
  for (uint32_t place = 1; !error && place <= count; place++) {
    object_id object = order[place];
    uint32_t number = group[object];
    if (place % CHECK_EVERY == 0 && work_stops(work, "retained bytes of groups", place, count))
      error = error_interrupted();
    if (number == NO_GROUP || place <= covered[number]) continue;
    census->groups[number].retained += dominators->retained[object];
    covered[number] = dominators->leave[object];
  }
  free(order);
  free(covered);
  return error;
}

struct inspect_error *census_take(const struct graph *graph, const uint32_t *group,
                                  uint32_t group_count, const struct dominators *dominators,
                                  const struct work *work, struct census *result) {
  *result = (struct census){.group_count = group_count};
  result->groups = calloc((size_t)group_count + 1, sizeof *result->groups);
  if (!result->groups) return error_no_memory();
  for (uint32_t i = 0; i < group_count; i++)
    result->groups[i].example = NO_OBJECT;
  struct inspect_error *error = count_all(graph, group, dominators, work, result);
  if (!error && dominators) error = retain(group, dominators, work, result);
  if (error) census_free(result);
  return error;
}

void census_free(struct census *census) {
  free(census->groups);
  *census = (struct census){0};
}
