/* oracle.c - the expected verdicts, and the comparison. */
#include "oracle.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum state { DEAD, LIVE, FINALIZED, MISSING };

static const char *const state_names[] = {"garbage", "leaked", "finalizer", "not there"};

struct oracle {
  const struct damage *damage;
  const struct heap *sound, *damaged;
  struct collection before, without, after;
  struct bitset is_damaged;  /* objects of the sound graph                                 */
  struct bitset is_reached;  /* by what damaged objects refer to now and did not before    */
  struct bitset is_released; /* no more a root, perhaps: behind a damaged link of a list of such */
  char *text;
  size_t room;
  unsigned differences;
};

static enum state state_of(const struct collection *collection, object_id object) {
  if (object == NO_OBJECT) return MISSING;
  if (bitset_has(&collection->live, object)) return LIVE;
  return bitset_has(&collection->finalizer, object) ? FINALIZED : DEAD;
}

static object_id same(const struct heap *from, const struct heap *to, object_id object) {
  return heap_object_at(to, heap_address(from, object));
}

static void differ(struct oracle *oracle, const char *format, ...) PRINTF_LIKE(2, 3);

static void differ(struct oracle *oracle, const char *format, ...) {
  enum { MOST_SHOWN = 6 };
  va_list arguments;
  if (oracle->differences++ >= MOST_SHOWN) return;
  va_start(arguments, format);
  int length = vsnprintf(oracle->text, oracle->room, format, arguments);
  va_end(arguments);
  if (length > 0 && (size_t)length < oracle->room) {
    oracle->text += length;
    oracle->room -= (size_t)length;
  }
}

/* ---- What is damaged ---------------------------------------------------------------------------
 */

static void find_damaged(struct oracle *oracle) {
  enum { MODES = OBJECT_WEAK_KEYS | OBJECT_WEAK_VALUES };
  const struct graph *sound = &oracle->sound->graph, *damaged = &oracle->damaged->graph;
  for (size_t i = 0; i < oracle->damage->object_count; i++)
    bitset_add(&oracle->is_damaged, oracle->damage->objects[i]);
  for (object_id object = 0; object < sound->object_count; object++) {
    object_id now = same(oracle->sound, oracle->damaged, object);
    if (now != NO_OBJECT && (sound->flags[object] ^ damaged->flags[now]) & MODES)
      bitset_add(&oracle->is_damaged, object);
  }
}

/* Marks what is reachable from an object of the sound graph, over whatever references. */
static void reach(const struct graph *graph, object_id from, struct bitset *reached) {
  object_id *stack = malloc((graph->object_count + (size_t)1) * sizeof *stack);
  size_t count = 0;
  if (stack && bitset_insert(reached, from)) stack[count++] = from;
  while (count) {
    object_id object = stack[--count];
    for (reference_id i = graph_first(graph, object); i < graph_first(graph, object + 1); i++)
      if (bitset_insert(reached, graph->target[i])) stack[count++] = graph->target[i];
  }
  free(stack);
}

static bool refers_to(const struct graph *graph, object_id object, object_id target) {
  for (reference_id i = graph_first(graph, object); i < graph_first(graph, object + 1); i++)
    if (graph->target[i] == target) return true;
  return false;
}

/* What a damaged object refers to now and did not, and all of it if what it is has changed. */
static void find_reached(struct oracle *oracle, object_id object) {
  const struct graph *sound = &oracle->sound->graph, *damaged = &oracle->damaged->graph;
  object_id now = same(oracle->sound, oracle->damaged, object);
  if (now == NO_OBJECT) return;
  const uint8_t ignored = OBJECT_DAMAGED;
  bool is_other = (sound->flags[object] ^ damaged->flags[now]) & (uint8_t)~ignored ||
                  sound->type[object] != damaged->type[now];
  for (reference_id i = graph_first(damaged, now); i < graph_first(damaged, now + 1); i++) {
    object_id target = same(oracle->damaged, oracle->sound, damaged->target[i]);
    if (target != NO_OBJECT && (is_other || !refers_to(sound, object, target)))
      reach(sound, target, &oracle->is_reached);
  }
  if (is_other) reach(sound, object, &oracle->is_reached);
}

/* Objects that wait for their finalizer are roots, and known by their list alone. */
static void find_released(struct oracle *oracle, object_id object) {
  const struct graph *sound = &oracle->sound->graph;
  if (!(sound->flags[object] & (OBJECT_PENDING | OBJECT_FIXED))) return;
  for (object_id other = 0; other < sound->object_count; other++)
    if (sound->flags[other] & (OBJECT_PENDING | OBJECT_FIXED))
      reach(sound, other, &oracle->is_released);
}

/* ---- Comparing ---------------------------------------------------------------------------------
 */

static void compare_object(struct oracle *oracle, object_id object) {
  const struct heap *damaged = oracle->damaged;
  bool is_unknown = damaged->graph.incomplete;
  enum state before = state_of(&oracle->before, object);
  enum state without = state_of(&oracle->without, object);
  enum state now = state_of(&oracle->after, same(oracle->sound, damaged, object));
  unsigned long long address = heap_address(oracle->sound, object);
  const char *type = object_type_name(oracle->sound->graph.type[object]);
  if (now == before || bitset_has(&oracle->is_damaged, object)) return;
  if (before == LIVE && without == LIVE) {
    if (is_unknown && bitset_has(&oracle->is_released, object)) return;
    differ(oracle, "%s 0x%llx was leaked and is %s%s\n", type, address, state_names[now],
           is_unknown && now == DEAD ? " (unknown)" : "");
  } else if (now == LIVE) {
    if (before != without || bitset_has(&oracle->is_reached, object)) return;
    differ(oracle, "%s 0x%llx was %s and is leaked\n", type, address, state_names[before]);
  } else if (before == without && !is_unknown && !bitset_has(&oracle->is_reached, object)) {
    bool is_told = damaged->vms[0].residual != 0;
    if (now == MISSING && is_told) return;
    differ(oracle, "%s 0x%llx was %s and is %s\n", type, address, state_names[before],
           state_names[now]);
  }
}

/* The references of all that is damaged, sorted. */
static reference_id *cut_of(const struct oracle *oracle, size_t *count) {
  const struct graph *graph = &oracle->sound->graph;
  reference_id *cut = malloc((graph->reference_count + 1) * sizeof *cut);
  *count = 0;
  for (object_id object = 0; cut && object < graph->object_count; object++)
    if (bitset_has(&oracle->is_damaged, object))
      for (reference_id i = graph_first(graph, object); i < graph_first(graph, object + 1); i++)
        cut[(*count)++] = i;
  return cut;
}

static struct inspect_error *expect(struct oracle *oracle) {
  const struct graph *graph = &oracle->sound->graph;
  struct graph_mask mask = {.kinds = ALL_KINDS};
  reference_id *cut = cut_of(oracle, &mask.cut_count);
  mask.cut = cut;
  struct inspect_error *error = collect(graph, &mask, NULL, &oracle->without);
  free(cut);
  return error;
}

enum oracle_answer oracle_compare(const struct damage *damage, struct inspect_session *session,
                                  char *text, size_t size) {
  if (damage->hits_state || damage->size != damage->victim->size || size == 0) return ORACLE_SILENT;
  struct oracle oracle = {.damage = damage,
                          .sound = victim_heap(damage->victim),
                          .damaged = &session->heap,
                          .before = damage->victim->session->collection,
                          .after = session->collection,
                          .text = text,
                          .room = size};
  *text = 0;
  uint32_t count = oracle.sound->graph.object_count;
  if (session->heap.vm_count != 1 || !bitset_init(&oracle.is_damaged, count) ||
      !bitset_init(&oracle.is_reached, count) || !bitset_init(&oracle.is_released, count))
    return ORACLE_SILENT;
  find_damaged(&oracle);
  for (object_id object = 0; object < count; object++)
    if (bitset_has(&oracle.is_damaged, object)) {
      find_reached(&oracle, object);
      find_released(&oracle, object);
    }
  struct inspect_error *error = expect(&oracle);
  for (object_id object = 0; !error && object < count; object++)
    compare_object(&oracle, object);
  inspect_error_free(error);
  collection_free(&oracle.without);
  bitset_free(&oracle.is_damaged);
  bitset_free(&oracle.is_reached);
  bitset_free(&oracle.is_released);
  return oracle.differences ? ORACLE_DIFFERS : ORACLE_AGREES;
}
