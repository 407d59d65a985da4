/* incoming.c - the targets of all references lie in one array, which is read from end to end; only
 * for those that are asked about the owner is looked up. */
#include "analysis/incoming.h"

enum reference_strength reference_strength(const struct graph *graph, object_id from,
                                           reference_id reference) {
  const uint8_t both = OBJECT_WEAK_KEYS | OBJECT_WEAK_VALUES;
  uint8_t flags = graph->flags[from], kind = graph->kind[reference];
  if (kind == REFERENCE_LEFTOVER) return STRENGTH_WEAK;
  if (graph_is_strong(flags, kind)) return STRENGTH_STRONG;
  bool is_key = kind == REFERENCE_KEY, is_both = (flags & both) == both;
  if (graph->type[graph->target[reference]] == OBJECT_STRING && !(is_key && is_both))
    return STRENGTH_STRONG;
  if (!graph_is_ephemeron_value(flags, kind)) return STRENGTH_WEAK;
  return kind == REFERENCE_FIELD ? STRENGTH_STRONG : STRENGTH_EPHEMERON;
}

const char *reference_strength_name(enum reference_strength strength) {
  static const char *const names[] = {"strong", "ephemeron", "weak"};
  return names[strength];
}

struct inspect_error *
incoming_find(const struct graph *graph, const struct bitset *targets, const struct work *work,
              bool (*take)(void *context, object_id from, reference_id reference), void *context) {
  enum { BLOCK = 1 << 16 };
  for (reference_id start = 0; start < graph->reference_count; start += BLOCK) {
    reference_id end = start + BLOCK;
    if (end > graph->reference_count) end = graph->reference_count;
    if (work_stops(work, "references", start, graph->reference_count)) return error_interrupted();
    for (reference_id i = start; i < end; i++)
      if (bitset_has(targets, graph->target[i]) && !take(context, graph_owner(graph, i), i))
        return error_no_memory();
  }
  return NULL;
}
