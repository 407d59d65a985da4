/* search.c - from --from, --through and --avoid to what a search may do. */
#include "command/leaks.h"

struct inspect_error *search_options(struct inspect_session *session,
                                     const struct command_options *options, struct bitset *avoid,
                                     struct object_list *from, struct graph_mask *mask,
                                     struct chains_options *search) {
  if (!bitset_init(avoid, session->heap.graph.object_count)) return error_no_memory();
  struct resolved places = {0};
  struct inspect_error *error = NULL;
  for (size_t i = 0; !error && i < options->avoid.count; i++) {
    error = resolve_path_everywhere(session, options, &options->avoid.items[i], &places);
    for (size_t j = 0; !error && j < places.count; j++)
      bitset_add(avoid, places.items[j].object);
  }
  for (size_t i = 0; !error && i < options->from.count; i++) {
    error = resolve_path_everywhere(session, options, &options->from.items[i], &places);
    for (size_t j = 0; !error && j < places.count; j++)
      if (!vector_push(from, places.items[j].object)) error = error_no_memory();
  }
  vector_free(&places);
  if (error) return error;
  /* an upvalue object lies between every Lua function and its upvalue's value */
  uint32_t kinds = options->through;
  if (kinds & 1u << REFERENCE_UPVALUE) kinds |= 1u << REFERENCE_UPVALUE_VALUE;
  *mask = (struct graph_mask){.avoid = options->avoid.count ? avoid : NULL, .kinds = kinds};
  *search = (struct chains_options){.mask = mask};
  if (from->count) {
    search->from = from->items;
    search->from_count = from->count;
  }
  return NULL;
}
