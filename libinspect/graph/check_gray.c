/* check_gray.c - what the collector has still to do: lists of gray objects, the sweep, twups.
 *
 * While the invariant is kept, every gray object but fixed strings and open upvalues is on exactly
 * one gray list, and so are black objects that were touched in the cycle before (ltests.c:
 * checkgrays, incifingray). twups links the threads that have open upvalues.
 *
 * Invariant: an object is marked when it is met on a list, so each walk ends. */
#include "graph/check_parts.h"
#include "lua/stack.h"

/* The link of gray lists in each kind of object that can be on one. */
static bool gray_link(uint8_t tag, enum layout_field *field) {
  switch (tag) {
  case TAG_TABLE:
    *field = Table_gclist;
    return true;
  case TAG_LUA_FUNCTION:
    *field = LClosure_gclist;
    return true;
  case TAG_C_FUNCTION:
    *field = CClosure_gclist;
    return true;
  case TAG_USERDATA:
    *field = Udata_gclist;
    return true;
  case TAG_PROTOTYPE:
    *field = Proto_gclist;
    return true;
  case TAG_THREAD:
    *field = lua_State_gclist;
    return true;
  default:
    return false;
  }
}

static void check_gray_mark(struct checked_vm *checked, uint64_t address, uint8_t marked,
                            const char *list) {
  bool is_gray = mark_color(checked->vm, marked) == GC_GRAY;
  bool is_touched = mark_age(marked) == GC_TOUCHED2;
  if (!is_gray && !is_touched)
    violation_add(checked->violations, VIOLATION_GRAY_LIST, address, "on %s, but not gray", list);
}

/* Whether `address` is an object that may be the next of a gray list. */
static bool enter_gray_list(struct checked_vm *checked, uint64_t address, uint64_t previous,
                            const char *list) {
  object_id object = checked_object(checked, address);
  uint64_t from = previous ? previous : checked->vm->global_state;
  if (object == NO_OBJECT || !(checked->check->marks[object] & ON_LIST)) {
    if (checked->lists_are_whole && !checked_is_missing(checked, address))
      violation_add_about(checked->violations, VIOLATION_GRAY_LIST, from, address,
                          "%s leads from here to 0x%llx, where no object is", list,
                          (unsigned long long)address);
    return false;
  }
  uint8_t *marks = &checked->check->marks[object];
  if (*marks & ON_GRAY_LIST) {
    violation_add_about(checked->violations, VIOLATION_GRAY_LIST, from, address,
                        "%s leads from here to 0x%llx, which is on a gray list already", list,
                        (unsigned long long)address);
    return false;
  }
  *marks |= ON_GRAY_LIST;
  return true;
}

static void walk_gray_list(struct checked_vm *checked, enum layout_field head) {
  const char *list = layout_field_name(head);
  uint64_t previous = 0, length = 0;
  for (uint64_t address = checked_global(checked, head); address; length++) {
    if (checked_stops(checked, "checking lists", length)) return;
    if (!enter_gray_list(checked, address, previous, list)) return;
    const uint8_t *header = checked_header(checked, address);
    if (!header) return;
    uint8_t marked = (uint8_t)load_field(checked->layout, header, GCObject_marked);
    enum layout_field link;
    if (!gray_link((uint8_t)load_field(checked->layout, header, GCObject_tt), &link)) {
      violation_add(checked->violations, VIOLATION_GRAY_LIST, address,
                    "on %s, but of a kind that is never on a gray list", list);
      return;
    }
    check_gray_mark(checked, address, marked, list);
    struct layout_place place = checked->layout->place[link];
    const uint8_t *bytes =
        memory_view(&checked->vm->memory, address, (uint64_t)place.offset + place.size);
    if (!bytes || !place.size) return;
    previous = address;
    address = load_field(checked->layout, bytes, link);
  }
}

void check_gray_lists(struct checked_vm *checked) {
  static const enum layout_field HEADS[] = {global_State_gray, global_State_grayagain,
                                            global_State_weak, global_State_allweak,
                                            global_State_ephemeron};
  for (unsigned i = 0; i < sizeof HEADS / sizeof *HEADS && checked->keeps_invariant; i++)
    walk_gray_list(checked, HEADS[i]);
}

/* ---- Sweep -------------------------------------------------------------------------------------
 */

/* sweepgc is the address of a link: that of a list's head, or of a member. */
static bool is_link_of_a_list(struct checked_vm *checked, uint64_t address) {
  static const enum layout_field HEADS[] = {global_State_allgc, global_State_finobj,
                                            global_State_tobefnz};
  for (unsigned i = 0; i < sizeof HEADS / sizeof *HEADS; i++)
    if (address == checked->vm->global_state + checked->layout->place[HEADS[i]].offset) return true;
  object_id object =
      checked_object(checked, address - checked->layout->place[GCObject_next].offset);
  return object != NO_OBJECT && checked->check->marks[object] & ON_LIST;
}

void check_sweep(struct checked_vm *checked) {
  uint64_t sweep = checked_global(checked, global_State_sweepgc);
  if (!sweep || !checked->marks_hold) return;
  const char *problem = !vm_is_sweeping(checked->vm) ? "is set, but no sweep is under way"
                        : checked->lists_are_whole && !is_link_of_a_list(checked, sweep)
                            ? "is no link of a list of objects"
                            : NULL;
  if (problem)
    violation_add_about(checked->violations, VIOLATION_SWEEP_POINTER, checked->vm->global_state,
                        sweep, "global_State.sweepgc, 0x%llx, %s", (unsigned long long)sweep,
                        problem);
}

/* ---- Threads with open upvalues ----------------------------------------------------------------
 */

static bool enter_twups(struct checked_vm *checked, uint64_t address, uint64_t previous) {
  object_id object = checked_object(checked, address);
  const uint8_t *header = checked_header(checked, address);
  const char *problem = NULL;
  if (object == NO_OBJECT || !header || !(checked->check->marks[object] & ON_LIST)) {
    if (!checked->lists_are_whole) return false;
    problem = "where no object is";
  } else if (load_field(checked->layout, header, GCObject_tt) != TAG_THREAD) {
    problem = "which is no thread";
  } else if (checked->check->marks[object] & ON_TWUPS) {
    problem = "which is on it already";
  }
  if (problem && !checked_is_missing(checked, address))
    violation_add_about(checked->violations, VIOLATION_THREAD_TWUPS,
                        previous ? previous : checked->vm->global_state, address,
                        "twups leads from here to 0x%llx, %s", (unsigned long long)address,
                        problem);
  if (problem) return false;
  checked->check->marks[object] |= ON_TWUPS;
  return true;
}

void check_twups(struct checked_vm *checked) {
  uint64_t previous = 0;
  for (uint64_t address = checked_global(checked, global_State_twups); address;) {
    const uint8_t *thread =
        memory_view(&checked->vm->memory, address, checked->layout->size[SIZE_lua_State]);
    checked->twups_are_whole = enter_twups(checked, address, previous) && thread;
    if (!checked->twups_are_whole) return;
    previous = address;
    address = load_field(checked->layout, thread, lua_State_twups);
  }
}
