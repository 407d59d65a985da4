/* search.c - from --from, --through and --avoid to what a search may do. */
#include "command/leaks.h"

struct inspect_error *search_options(struct inspect_session *session,
                                     const struct command_options *options, struct bitset *avoid,
                                     struct object_list *from, struct graph_mask *mask,
                                     struct chains_options *search) {
  object_id object;
  if (!bitset_init(avoid, session->heap.graph.object_count)) return error_no_memory();
  for (size_t i = 0; i < options->avoid.count; i++) {
    TRY(resolve_path(session, options, &options->avoid.items[i], &object, NULL));
    bitset_add(avoid, object);
  }
  for (size_t i = 0; i < options->from.count; i++) {
    TRY(resolve_path(session, options, &options->from.items[i], &object, NULL));
    if (!vector_push(from, object)) return error_no_memory();
  }
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
