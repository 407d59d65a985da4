/* diff_paths.c - growth by retaining path.
 *
 * The places of both targets are laid over each other. From the roots down, a place is passed if
 * its growth lies further inside: no objects were added to it, or only one, and places below
 * account for at least half. Where objects were added, or nothing below accounts for it, the growth
 * is shown, and what lies below is not: a thousand sessions more are one line, not ten for their
 * parts. */
#include "command/diff.h"

#include <string.h>

/* A place of either target, or both. Rows above come first. */
struct row {
  uint32_t parent;        /* NO_NUMBER: a root                      */
  uint32_t before, after; /* position in places; NO_NUMBER: none    */
  int64_t below;          /* growth of bytes in the rows below it   */
  bool is_open;           /* it is passed: what is below may be shown */
};

struct overlay {
  struct diff *diff;
  struct VECTOR(struct row) rows;
  struct number_map by_hash;
};

/* ---- Places of one target ---------------------------------------------------------------------
 */

/* Tables whose keys are names. */
static void name_tables(const struct heap *heap, struct bitset *named) {
  for (size_t i = 0; i < heap->vm_count; i++) {
    const object_id tables[] = {heap->vms[i].globals, heap->vms[i].loaded, heap->vms[i].registry};
    for (size_t j = 0; j < sizeof tables / sizeof *tables; j++)
      if (tables[j] != NO_OBJECT) bitset_add(named, tables[j]);
  }
}

static struct inspect_error *place_all(struct diff_side *side) {
  struct inspect_session *session = side->context.session;
  const struct graph *graph = &session->heap.graph;
  struct chains chains;
  struct bitset named;
  places_init(&side->places, graph);
  if (!bitset_init(&named, graph->object_count)) return error_no_memory();
  name_tables(&session->heap, &named);
  struct inspect_error *error = chains_search(graph, NULL, side->context.work, &chains);
  for (size_t i = 0; i < session->heap.vm_count && !error; i++)
    if (session_selects(session, side->context.options, i))
      error = places_add(&side->places, graph, &chains, &session->collection.live,
                         session->classes.of, &named, session->heap.vms[i].first,
                         session->heap.vms[i].count, side->context.work);
  chains_free(&chains);
  bitset_free(&named);
  if (!error) places_sum(&side->places);
  return error;
}

/* ---- Both -------------------------------------------------------------------------------------
 */

static bool lay_over(struct overlay *overlay, const struct places *places, bool is_after) {
  for (uint32_t i = 0; i < places->items.count; i++) {
    const struct place *place = &places->items.items[i];
    uint32_t number = number_map_get(&overlay->by_hash, place->hash);
    if (number == NO_NUMBER) {
      uint32_t parent =
          place->parent == NO_NUMBER
              ? NO_NUMBER
              : number_map_get(&overlay->by_hash, places->items.items[place->parent].hash);
      struct row row = {.parent = parent, .before = NO_NUMBER, .after = NO_NUMBER};
      number = (uint32_t)overlay->rows.count;
      if (number >= NO_NUMBER - 1 || !vector_push(&overlay->rows, row) ||
          !number_map_set(&overlay->by_hash, place->hash, number))
        return false;
    }
    /* places of several VMs may have one name: the list of each target is searched once more */
    uint32_t *mine =
        is_after ? &overlay->rows.items[number].after : &overlay->rows.items[number].before;
    if (*mine == NO_NUMBER) *mine = i;
  }
  return true;
}

/* Adds up places of one name: those of further VMs go to the first. */
static void merge(const struct overlay *overlay, struct places *places, bool is_after) {
  for (uint32_t i = 0; i < places->items.count; i++) {
    struct place *place = &places->items.items[i];
    const struct row *row = &overlay->rows.items[number_map_get(&overlay->by_hash, place->hash)];
    uint32_t first = is_after ? row->after : row->before;
    if (first == i) continue;
    places->items.items[first].objects += place->objects;
    places->items.items[first].bytes += place->bytes;
  }
}

static struct diff_tally tally_of(const struct places *places, uint32_t number) {
  if (number == NO_NUMBER) return (struct diff_tally){0};
  const struct place *place = &places->items.items[number];
  return (struct diff_tally){place->objects, place->bytes};
}

static int64_t growth_of(const struct overlay *overlay, const struct row *row, int64_t *objects) {
  struct diff_tally before = tally_of(&overlay->diff->before.places, row->before);
  struct diff_tally after = tally_of(&overlay->diff->after.places, row->after);
  *objects = diff_growth(before.objects, after.objects);
  return diff_growth(before.bytes, after.bytes);
}

static uint64_t magnitude(int64_t value) {
  return value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
}

/* Whether the objects that were added or are gone account for the growth. */
static bool is_by_number(const struct overlay *overlay, const struct row *row, int64_t objects,
                         int64_t bytes) {
  bool is_more = bytes >= 0;
  const struct places *places =
      is_more ? &overlay->diff->after.places : &overlay->diff->before.places;
  struct diff_tally most = tally_of(places, is_more ? row->after : row->before);
  if (most.objects <= 1 || (objects > 0) != is_more || !objects) return false;
  double each = (double)most.bytes / (double)most.objects;
  return (double)magnitude(objects) * each * 2 >= (double)magnitude(bytes);
}

/* ---- What is shown ----------------------------------------------------------------------------
 */

static const char *text_of(struct command_context *context, const struct places *places,
                           uint32_t number) {
  struct text text = {0};
  const char *result = NULL;
  if (patterns_text(&places->patterns, number, &text))
    result = arena_copy(context->arena, text.items, text.count);
  vector_free(&text);
  return result;
}

static const char *class_of(const struct diff_side *side, const struct place *place) {
  const struct inspect_session *session = side->context.session;
  if (place->class) return session->classes.items[place->class].name;
  if (place->example == NO_OBJECT) return "";
  return object_type_name((enum object_type)session->heap.graph.type[place->example]);
}

static struct inspect_error *show(struct command_context *context, struct overlay *overlay,
                                  const struct row *row) {
  struct diff *diff = overlay->diff;
  bool is_there = row->after != NO_NUMBER;
  const struct diff_side *side = is_there ? &diff->after : &diff->before;
  uint32_t number = is_there ? row->after : row->before;
  const struct place *place = &side->places.items.items[number];
  struct diff_path path = {.name = text_of(context, &side->places, number),
                           .class = class_of(side, place),
                           .before = tally_of(&diff->before.places, row->before),
                           .after = tally_of(&diff->after.places, row->after),
                           .example = is_there ? place->example : NO_OBJECT};
  return path.name && vector_push(&diff->paths, path) ? NULL : error_no_memory();
}

static struct inspect_error *choose(struct command_context *context, struct overlay *overlay) {
  int64_t objects;
  for (size_t i = overlay->rows.count; i-- > 0;) {
    const struct row *row = &overlay->rows.items[i];
    if (row->parent != NO_NUMBER)
      overlay->rows.items[row->parent].below += growth_of(overlay, row, &objects);
  }
  for (size_t i = 0; i < overlay->rows.count; i++) {
    struct row *row = &overlay->rows.items[i];
    int64_t bytes = growth_of(overlay, row, &objects);
    if (row->parent != NO_NUMBER && !overlay->rows.items[row->parent].is_open) continue;
    bool is_inside = magnitude(row->below) * 2 >= magnitude(bytes);
    row->is_open = (!bytes || is_inside) && !is_by_number(overlay, row, objects, bytes);
    if (!row->is_open && (bytes || objects)) TRY(show(context, overlay, row));
  }
  return NULL;
}

static int by_growth(const void *left, const void *right) {
  const struct diff_path *a = left, *b = right;
  int64_t x = diff_growth(a->before.bytes, a->after.bytes);
  int64_t y = diff_growth(b->before.bytes, b->after.bytes);
  if (x != y) return x > y ? -1 : 1;
  return strcmp(a->name, b->name);
}

struct inspect_error *diff_find_paths(struct command_context *context, struct diff *diff) {
  struct overlay overlay = {.diff = diff};
  TRY(place_all(&diff->before));
  TRY(place_all(&diff->after));
  struct inspect_error *error = NULL;
  if (!lay_over(&overlay, &diff->after.places, true) ||
      !lay_over(&overlay, &diff->before.places, false))
    error = error_no_memory();
  if (!error) {
    merge(&overlay, &diff->after.places, true);
    merge(&overlay, &diff->before.places, false);
    error = choose(context, &overlay);
  }
  vector_free(&overlay.rows);
  number_map_free(&overlay.by_hash);
  if (!error && diff->paths.count)
    qsort(diff->paths.items, diff->paths.count, sizeof *diff->paths.items, by_growth);
  return error;
}
