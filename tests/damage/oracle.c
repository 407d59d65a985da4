/* oracle.c - the expected verdicts, and the comparison. */
#include "oracle.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/mark.h"

enum state { DEAD, LIVE, FINALIZED, MISSING };

static const char *const state_names[] = {"garbage", "leaked", "finalizer", "not there"};

struct oracle {
  const struct damage *damage;
  const struct heap *sound, *damaged;
  struct collection before, without, after;
  struct bitset is_damaged;  /* objects of the sound graph                                 */
  struct bitset is_reached;  /* by what damaged objects refer to now and did not before    */
  struct bitset is_released; /* no more a root, perhaps: behind a damaged link of a list of such */
  bool has_released;
  char *text;
  size_t room;
  unsigned differences;
  const struct inspect_session *session;
  struct oracle_counts *counts;
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

/* The value of an open upvalue lies in the stack of a thread. */
static bool is_in_damaged_stack(const struct oracle *oracle, object_id upvalue) {
  const struct victim *victim = oracle->damage->victim;
  const struct layout *layout = victim_vm(victim)->layout;
  const uint8_t *bytes =
      victim->original + victim_offset(victim, heap_address(oracle->sound, upvalue));
  uint64_t place = load_field(layout, bytes, UpVal_v);
  if (!victim_has(victim, place, 1)) return false;
  uint32_t owner = victim_owner(victim, victim_offset(victim, place));
  return owner < OWNER_STATE && owner != upvalue && bitset_has(&oracle->is_damaged, owner);
}

static void find_damaged(struct oracle *oracle) {
  enum { MODES = OBJECT_WEAK_KEYS | OBJECT_WEAK_VALUES };
  const struct graph *sound = &oracle->sound->graph, *damaged = &oracle->damaged->graph;
  for (size_t i = 0; i < oracle->damage->object_count; i++)
    bitset_add(&oracle->is_damaged, oracle->damage->objects[i]);
  for (object_id object = 0; object < sound->object_count; object++) {
    object_id now = same(oracle->sound, oracle->damaged, object);
    if (now != NO_OBJECT && (sound->flags[object] ^ damaged->flags[now]) & MODES)
      bitset_add(&oracle->is_damaged, object);
    if (sound->type[object] == OBJECT_UPVALUE && is_in_damaged_stack(oracle, object))
      bitset_add(&oracle->is_damaged, object);
  }
}

/* Marks what is reachable from an object of the sound graph, over whatever references; it is no
 * matter who holds the table of an ephemeron. */
static void reach(const struct graph *graph, object_id from, struct bitset *reached) {
  bool is_more = bitset_insert(reached, from);
  while (is_more) {
    is_more = false;
    for (object_id object = 0; object < graph->object_count; object++)
      for (reference_id first = graph_first(graph, object), i = first;
           i < graph_first(graph, object + 1); i++) {
        bool is_entry = i > first && graph->kind[i - 1] == REFERENCE_KEY;
        bool leads = bitset_has(reached, object) ||
                     (is_entry && graph_is_ephemeron_value(graph->flags[object], graph->kind[i]) &&
                      bitset_has(reached, graph->target[i - 1]));
        if (leads && bitset_insert(reached, graph->target[i])) is_more = true;
        /* keys of entries with weak values are left with them */
        if (is_entry && graph->flags[object] & OBJECT_WEAK_VALUES &&
            bitset_has(reached, graph->target[i]) && bitset_insert(reached, graph->target[i - 1]))
          is_more = true;
      }
  }
}

/* Whether the sound object has the reference of the damaged one: of the same kind, to the same
 * object, and under the same key. */
static bool had_reference(const struct oracle *oracle, object_id object, object_id now,
                          reference_id reference) {
  const struct graph *sound = &oracle->sound->graph, *damaged = &oracle->damaged->graph;
  object_id target = same(oracle->damaged, oracle->sound, damaged->target[reference]);
  object_id key = entry_key(damaged, graph_first(damaged, now), reference);
  if (key != NO_OBJECT) key = same(oracle->damaged, oracle->sound, key);
  for (reference_id first = graph_first(sound, object), i = first;
       i < graph_first(sound, object + 1); i++)
    if (sound->target[i] == target && sound->kind[i] == damaged->kind[reference] &&
        entry_key(sound, first, i) == key)
      return true;
  return false;
}

/* Marks what is reachable from an object of the damaged graph over such that the sound one has not.
 */
static void reach_strangers(struct oracle *oracle, object_id from) {
  const struct graph *damaged = &oracle->damaged->graph;
  object_id *stack = malloc((damaged->object_count + (size_t)1) * sizeof *stack);
  struct bitset seen = {0};
  size_t count = 0;
  bool is_fine = stack && bitset_init(&seen, damaged->object_count);
  if (is_fine && bitset_insert(&seen, from)) stack[count++] = from;
  while (is_fine && count) {
    object_id object = stack[--count], known = same(oracle->damaged, oracle->sound, object);
    if (known != NO_OBJECT) {
      reach(&oracle->sound->graph, known, &oracle->is_reached);
      continue;
    }
    for (reference_id i = graph_first(damaged, object); i < graph_first(damaged, object + 1); i++)
      if (bitset_insert(&seen, damaged->target[i])) stack[count++] = damaged->target[i];
  }
  bitset_free(&seen);
  free(stack);
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
    if (is_other || !had_reference(oracle, object, now, i))
      reach_strangers(oracle, damaged->target[i]);
  }
  if (is_other) reach(sound, object, &oracle->is_reached);
}

/* A thread knows its open upvalues by a list that goes through them. */
static void release_open_upvalues(struct oracle *oracle, object_id upvalue) {
  const struct graph *sound = &oracle->sound->graph;
  for (object_id thread = 0; thread < sound->object_count; thread++) {
    bool is_open = false;
    for (reference_id i = graph_first(sound, thread); i < graph_first(sound, thread + 1); i++)
      is_open |= sound->kind[i] == REFERENCE_OPEN_UPVALUE && sound->target[i] == upvalue;
    for (reference_id i = graph_first(sound, thread); is_open && i < graph_first(sound, thread + 1);
         i++)
      if (sound->kind[i] == REFERENCE_OPEN_UPVALUE)
        reach(sound, sound->target[i], &oracle->is_released);
  }
}

/* Objects that wait for their finalizer are roots, and known by their list alone. */
static void find_released(struct oracle *oracle, object_id object) {
  const struct graph *sound = &oracle->sound->graph;
  if (sound->type[object] == OBJECT_UPVALUE) release_open_upvalues(oracle, object);
  if (!(sound->flags[object] & (OBJECT_PENDING | OBJECT_FIXED))) return;
  oracle->has_released = true;
  for (object_id other = 0; other < sound->object_count; other++)
    if (sound->flags[other] & (OBJECT_PENDING | OBJECT_FIXED))
      reach(sound, other, &oracle->is_released);
}

/* Which coroutine runs is found out among those that are found. */
static void find_stopped(struct oracle *oracle) {
  object_id running = oracle->sound->vms[0].running_thread;
  object_id now = oracle->damaged->vms[0].running_thread;
  if (running == NO_OBJECT ||
      (now != NO_OBJECT && now == same(oracle->sound, oracle->damaged, running)))
    return;
  reach(&oracle->sound->graph, running, &oracle->is_released);
}

/* ---- Comparing ---------------------------------------------------------------------------------
 */

/* Whether the object became a root as a damaged list of roots leads to it, and fits in there. */
static bool is_new_root(const struct oracle *oracle, object_id object) {
  enum { ROOTS = OBJECT_PENDING | OBJECT_FIXED };
  object_id now = same(oracle->sound, oracle->damaged, object);
  return oracle->has_released && oracle->damaged->graph.flags[now] & ROOTS &&
         !(oracle->sound->graph.flags[object] & ROOTS);
}

static void compare_object(struct oracle *oracle, object_id object) {
  const struct heap *damaged = oracle->damaged;
  object_id same_now = same(oracle->sound, damaged, object);
  bool is_unknown =
      same_now == NO_OBJECT ? damaged->graph.incomplete : session_doubts(oracle->session, same_now);
  enum state before = state_of(&oracle->before, object);
  enum state without = state_of(&oracle->without, object);
  enum state now = state_of(&oracle->after, same(oracle->sound, damaged, object));
  unsigned long long address = heap_address(oracle->sound, object);
  const char *type = object_type_name(oracle->sound->graph.type[object]);
  if (!bitset_has(&oracle->is_damaged, object) && before != LIVE && now != LIVE && now != MISSING) {
    oracle->counts->dead++;
    oracle->counts->undecided += is_unknown;
  }
  if (now == before || bitset_has(&oracle->is_damaged, object)) return;
  if (before == LIVE && without == LIVE) {
    bool is_told = is_unknown || damaged->vms[0].residual != 0;
    if (is_told && bitset_has(&oracle->is_released, object)) return;
    differ(oracle, "%s 0x%llx was leaked and is %s%s\n", type, address, state_names[now],
           is_unknown && now == DEAD ? " (unknown)" : "");
  } else if (now == LIVE) {
    if (before != without || bitset_has(&oracle->is_reached, object) || is_new_root(oracle, object))
      return;
    differ(oracle, "%s 0x%llx was %s and is leaked\n", type, address, state_names[before]);
  } else if (before == without && !is_unknown && !bitset_has(&oracle->is_reached, object)) {
    bool is_told = damaged->vms[0].residual != 0;
    if (now == MISSING && is_told) return;
    differ(oracle, "%s 0x%llx was %s and is %s\n", type, address, state_names[before],
           state_names[now]);
  }
}

/* Whether a reference is the value of an ephemeron whose key is damaged: the key holds it, too. */
static bool hangs_on_damaged(const struct oracle *oracle, object_id object,
                             reference_id reference) {
  const struct graph *graph = &oracle->sound->graph;
  return reference > graph_first(graph, object) &&
         graph_is_ephemeron_value(graph->flags[object], graph->kind[reference]) &&
         bitset_has(&oracle->is_damaged, graph->target[reference - 1]);
}

/* The references of all that is damaged, sorted. */
static reference_id *cut_of(const struct oracle *oracle, size_t *count) {
  const struct graph *graph = &oracle->sound->graph;
  reference_id *cut = malloc((graph->reference_count + 1) * sizeof *cut);
  *count = 0;
  for (object_id object = 0; cut && object < graph->object_count; object++)
    for (reference_id i = graph_first(graph, object); i < graph_first(graph, object + 1); i++)
      if (bitset_has(&oracle->is_damaged, object) || hangs_on_damaged(oracle, object, i))
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
                                  struct oracle_counts *counts, char *text, size_t size) {
  if (damage->hits_state || damage->size != damage->victim->size || size == 0) return ORACLE_SILENT;
  struct oracle oracle = {.damage = damage,
                          .sound = victim_heap(damage->victim),
                          .damaged = &session->heap,
                          .before = damage->victim->session->collection,
                          .after = session->collection,
                          .session = session,
                          .counts = counts,
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
  find_stopped(&oracle);
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
