/* check_objects.c - every object by itself, and every reference: kind, life and barriers.
 *
 * Objects are taken in the order of discovery, in which neighbours in the graph are neighbours in
 * memory. An object costs its own size; a budget of the target's whole memory ends the pass if
 * objects pretend to overlap.
 *
 * Invariant: only references that the VM would follow are judged: those of dead objects and of
 * stack slots that may be stale lead anywhere. */
#include <stdio.h>

#include "graph/check_parts.h"
#include "lua/string_check.h"

/* The object under the check. */
struct holder {
  uint64_t address;
  uint8_t marked;
  enum gc_color color;
};

/* ---- References --------------------------------------------------------------------------------
 */

/* "the value in node 3", "its upvalue 2": what a reference is, for messages. */
static void name_reference(const struct raw_reference *reference, char *buffer, size_t size) {
  static const char *const NAMES[] = {
      [REFERENCE_KEY] = "the key in node",       [REFERENCE_UPVALUE] = "upvalue",
      [REFERENCE_STACK] = "stack slot",          [REFERENCE_MAYBE_STACK] = "stack slot",
      [REFERENCE_OPEN_UPVALUE] = "open upvalue", [REFERENCE_USER_VALUE] = "user value",
      [REFERENCE_CONSTANT] = "constant",         [REFERENCE_PROTOTYPE] = "prototype",
      [REFERENCE_DEBUG] = "debug name",          [REFERENCE_METATABLE] = "the metatable",
      [REFERENCE_UPVALUE_VALUE] = "the value",   [REFERENCE_ENVIRONMENT] = "the environment"};
  const char *name = reference->kind < sizeof NAMES / sizeof *NAMES ? NAMES[reference->kind] : NULL;
  if (!name) name = reference->in_hash ? "the value in node" : "array element";
  bool is_only_one =
      reference->kind == REFERENCE_METATABLE || reference->kind == REFERENCE_UPVALUE_VALUE ||
      (!reference->detail &&
       (reference->kind == REFERENCE_PROTOTYPE || reference->kind == REFERENCE_DEBUG));
  if (is_only_one)
    snprintf(buffer, size, "%s", name);
  else
    snprintf(buffer, size, "%s %llu", name, (unsigned long long)reference->detail);
}

/* "a table", for a tag of a header or of a reference. */
static const char *name_tag(uint8_t tag) {
  static const char *const NAMES[] = {
      [OBJECT_STRING] = "a string",         [OBJECT_TABLE] = "a table",
      [OBJECT_LUA_FUNCTION] = "a function", [OBJECT_C_FUNCTION] = "a C function",
      [OBJECT_USERDATA] = "userdata",       [OBJECT_THREAD] = "a thread",
      [OBJECT_UPVALUE] = "an upvalue",      [OBJECT_PROTOTYPE] = "a prototype"};
  if (tag == TAG_ANY_STRING) return "a string";
  if (tag == TAG_SHORT_STRING) return "a short string";
  if (tag == TAG_LONG_STRING) return "a long string";
  enum object_type type = tag & TAG_COLLECTABLE ? OBJECT_TYPE_COUNT : lua54_type(tag);
  return type == OBJECT_TYPE_COUNT ? "nothing that Lua has" : NAMES[type];
}

static bool tag_fits(uint8_t wanted, uint8_t actual) {
  return wanted == actual ||
         (wanted == TAG_ANY_STRING && (actual == TAG_SHORT_STRING || actual == TAG_LONG_STRING));
}

static void report(struct checked_vm *checked, enum violation_code code,
                   const struct holder *holder, const struct raw_reference *reference,
                   const char *problem) {
  char name[64];
  name_reference(reference, name, sizeof name);
  violation_add_about(checked->violations, code, holder->address, reference->address,
                      "%s, 0x%llx, %s", name, (unsigned long long)reference->address, problem);
}

/* ltests.c: testobjref. Threads have no barriers: they are visited again in every collection. */
static void check_barrier(struct checked_vm *checked, const struct holder *holder,
                          const struct raw_reference *reference, uint8_t marked) {
  if (holder->color != GC_BLACK) return;
  if (!checked->is_generational) {
    if (mark_color(checked->vm, marked) == GC_WHITE)
      report(checked, VIOLATION_BARRIER, holder, reference, "is white");
    return;
  }
  enum gc_age from = mark_age(holder->marked), to = mark_age(marked);
  if (from == GC_OLD && !age_is_old(to))
    report(checked, VIOLATION_BARRIER_AGE, holder, reference, "is young");
  else if ((from == GC_OLD1 || from == GC_TOUCHED2) && to == GC_NEW)
    report(checked, VIOLATION_BARRIER_AGE, holder, reference, "is new");
}

static void check_reference(struct checked_vm *checked, const struct holder *holder,
                            const struct raw_reference *reference) {
  object_id object = checked_object(checked, reference->address);
  const uint8_t *header = checked_header(checked, reference->address);
  bool is_listed = object != NO_OBJECT && checked->check->marks[object] & ON_LIST;
  if (!header || (!is_listed && checked->lists_are_whole)) {
    if (!checked_is_missing(checked, reference->address))
      report(checked, VIOLATION_REFERENCE_NOWHERE, holder, reference,
             header ? "is no object of this VM" : "lies nowhere");
    return;
  }
  uint8_t actual = (uint8_t)load_field(checked->layout, header, GCObject_tt);
  uint8_t marked = (uint8_t)load_field(checked->layout, header, GCObject_marked);
  if (!tag_fits(reference->tag, actual)) {
    char problem[96];
    snprintf(problem, sizeof problem, "is taken for %s, but %s is there", name_tag(reference->tag),
             name_tag(actual));
    report(checked, VIOLATION_REFERENCE_TAG, holder, reference, problem);
    return;
  }
  if (mark_color(checked->vm, marked) == GC_DEAD) {
    if (checked->marks_hold)
      report(checked, VIOLATION_REFERENCE_DEAD, holder, reference, "was found dead");
  } else if (checked->keeps_invariant) {
    check_barrier(checked, holder, reference, marked);
  }
}

/* ---- Kinds -------------------------------------------------------------------------------------
 */

static struct inspect_error *check_table(struct checked_vm *checked, uint64_t address) {
  struct lua_table table;
  checked->counts->tables++;
  if (table_load(checked->vm, address, &table)) return NULL;
  checked->chains.work = checked->work;
  if (!hash_part_check(checked->vm, &table, checked->integers, &checked->chains,
                       checked->violations))
    return error_no_memory();
  return checked->chains.is_stopped ? error_interrupted() : NULL;
}

static void check_string(struct checked_vm *checked, object_id object, uint64_t address) {
  const uint8_t *header = checked_header(checked, address);
  checked->counts->strings++;
  string_check(checked->vm, address, checked->seed, checked->violations);
  if (checked->strings_are_whole && header &&
      load_field(checked->layout, header, GCObject_tt) == TAG_SHORT_STRING &&
      !(checked->check->marks[object] & ON_STRING_TABLE))
    violation_add(checked->violations, VIOLATION_STRING_INTERNED, address,
                  "not in the table of short strings");
}

static struct inspect_error *check_kind(struct checked_vm *checked, object_id object,
                                        const struct holder *holder) {
  bool is_dead = holder->color == GC_DEAD;
  enum object_type type = checked->visit.type;
  if (type == OBJECT_THREAD) {
    checked->counts->threads++;
    return check_thread(checked, holder->address, is_dead);
  }
  if (type == OBJECT_STRING) check_string(checked, object, holder->address);
  return type == OBJECT_TABLE && !is_dead ? check_table(checked, holder->address) : NULL;
}

/* Whether a gray object is on a gray list (ltests.c: incifingray). 5.4.0 keeps fewer of these
 * lists; it is the one release without firstold1. */
static void check_gray(struct checked_vm *checked, object_id object, const struct holder *holder) {
  uint8_t marks = checked->check->marks[object];
  if (!checked->keeps_invariant || !layout_has(checked->layout, global_State_firstold1) ||
      (marks & ON_LIST) == ON_FIXEDGC || checked->visit.type == OBJECT_STRING)
    return;
  if (checked->visit.type == OBJECT_UPVALUE) {
    const uint8_t *header =
        memory_view(&checked->vm->memory, holder->address, checked->layout->size[SIZE_UpVal]);
    if (holder->color == GC_GRAY && header && !checked_is_open(checked, holder->address, header))
      violation_add(checked->violations, VIOLATION_COLOR_PHASE, holder->address,
                    "a gray upvalue that is closed");
    return;
  }
  if ((holder->color == GC_GRAY || mark_age(holder->marked) == GC_TOUCHED2) &&
      !(marks & ON_GRAY_LIST))
    violation_add(checked->violations, VIOLATION_GRAY_LIST, holder->address,
                  "%s, but on no gray list",
                  holder->color == GC_GRAY ? "gray" : "touched in the last cycle");
}

/* ---- Objects -----------------------------------------------------------------------------------
 */

static void check_life(struct checked_vm *checked, object_id object, const struct holder *holder) {
  if (holder->color == GC_DEAD && checked->marks_hold && checked->check->reachable &&
      bitset_has(checked->check->reachable, object))
    violation_add(checked->violations, VIOLATION_REACHABLE_DEAD, holder->address,
                  "%s that will be freed while it is in use",
                  object_type_name(checked->visit.type));
}

/* Registers of the Lua function that runs: an instruction stores a value in two parts. */
static bool is_being_stored(const struct checked_vm *checked, const struct holder *holder,
                            const struct raw_reference *reference) {
  return holder->address == checked->running && reference->kind == REFERENCE_STACK &&
         reference->detail >= checked->running_slot;
}

static struct inspect_error *check_object(struct checked_vm *checked, object_id object) {
  enum { REFERENCES_AT_ONCE = 1 << 14 };
  struct holder holder = {.address = heap_address(checked->heap, object)};
  if (!(checked->check->marks[object] & ON_LIST) && checked->lists_are_whole)
    return NULL; /* no object: reported where it is referred to */
  if (holder.address == checked->newest) return NULL;
  bool no_memory = false;
  if (!lua54_visit(checked->vm, holder.address, TAG_ANY, &checked->visit, &no_memory) ||
      !object_mark(checked->vm, holder.address, &holder.marked))
    return NULL; /* of no kind: reported on its list */
  if (no_memory) return error_no_memory();
  holder.color = mark_color(checked->vm, holder.marked);
  check_life(checked, object, &holder);
  check_gray(checked, object, &holder);
  TRY(check_kind(checked, object, &holder));
  if (holder.color == GC_DEAD) return NULL;
  const struct visit *visit = &checked->visit;
  if (visit->fault && visit->type != OBJECT_THREAD &&
      !checked_is_missing(checked, visit->fault_address))
    violation_add_about(checked->violations, VIOLATION_OBJECT_UNREADABLE, holder.address,
                        visit->fault_address, "%s (0x%llx)", visit->fault,
                        (unsigned long long)visit->fault_address);
  for (size_t i = 0; i < visit->references.count; i++) {
    if (i && i % REFERENCES_AT_ONCE == 0 && work_stops(checked->work, "checking objects", 0, 0))
      return error_interrupted();
    const struct raw_reference *reference = &visit->references.items[i];
    if (!reference->trusted || is_being_stored(checked, &holder, reference)) continue;
    checked->counts->references++;
    check_reference(checked, &holder, reference);
  }
  return NULL;
}

/* An upvalue whose value lies on a stack is on the list of that stack's thread. */
static void check_lost_upvalue(struct checked_vm *checked, object_id object) {
  uint64_t address = heap_address(checked->heap, object);
  uint8_t marks = checked->check->marks[object], marked;
  const uint8_t *header =
      memory_view(&checked->vm->memory, address, checked->layout->size[SIZE_UpVal]);
  if (!(marks & ON_LIST) || marks & ON_OPEN_LIST || !header || address == checked->newest ||
      load_field(checked->layout, header, GCObject_tt) != TAG_UPVALUE ||
      !checked_is_open(checked, address, header) || !object_mark(checked->vm, address, &marked) ||
      mark_color(checked->vm, marked) == GC_DEAD)
    return;
  uint64_t place = load_field(checked->layout, header, UpVal_v);
  violation_add_about(checked->violations, VIOLATION_UPVALUE_LOST, address, place,
                      "open, its value at 0x%llx, but on no thread's list",
                      (unsigned long long)place);
}

struct inspect_error *check_objects(struct checked_vm *checked) {
  enum { REPORT_EVERY = 1 << 12 };
  const struct graph *graph = &checked->heap->graph;
  object_id first = checked->owner->first;
  uint64_t budget = checked->heap->map.granule_count << checked->heap->map.shift;
  for (uint32_t i = 0; i < checked->owner->count; i++) {
    uint64_t bytes = graph_bytes(graph, first + i);
    if (bytes > budget) {
      checked_note(checked, "some objects: their sizes add up to more than the target's memory");
      return NULL;
    }
    budget -= bytes;
    if (i % REPORT_EVERY == 0 &&
        work_stops(checked->work, "checking objects", i, checked->owner->count))
      return error_interrupted();
    TRY(check_object(checked, first + i));
  }
  for (uint32_t i = 0; i < checked->owner->count && checked->lists_are_whole; i++) {
    if (checked_stops(checked, "checking upvalues", i)) return error_interrupted();
    if (graph->type[first + i] == OBJECT_UPVALUE) check_lost_upvalue(checked, first + i);
  }
  return NULL;
}
