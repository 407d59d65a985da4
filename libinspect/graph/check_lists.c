/* check_lists.c - the four lists of all objects: allgc, finobj, tobefnz, fixedgc.
 *
 * In generational mode pointers cut allgc and finobj into sections, new objects first: new,
 * survival, old1, old (lstate.h). An object may be older than its section asks for, never younger.
 *
 * Invariant: a list is walked from object to object, each marked when it is met; so a list that
 * comes back to itself, or runs into another one, ends the walk. */
#include "graph/check_parts.h"

enum { SECTION_COUNT = 4 };

struct list {
  const char *name;
  enum check_mark mark;
  enum layout_field head;
  enum layout_field sections[SECTION_COUNT - 1]; /* where survival, old1 and old begin */
  bool has_sections;
  bool is_for_finalizers; /* its objects are marked for finalization */
};

static const struct list LISTS[] = {
    {"allgc",
     ON_ALLGC,
     global_State_allgc,
     {global_State_survival, global_State_old1, global_State_reallyold},
     true,
     false},
    {"finobj",
     ON_FINOBJ,
     global_State_finobj,
     {global_State_finobjsur, global_State_finobjold1, global_State_finobjrold},
     true,
     true},
    {"tobefnz", ON_TOBEFNZ, global_State_tobefnz, {0}, false, true},
    {"fixedgc", ON_FIXEDGC, global_State_fixedgc, {0}, false, false},
};

static const enum gc_age LEAST_AGE[SECTION_COUNT] = {GC_NEW, GC_SURVIVAL, GC_OLD1, GC_OLD};

static const char *age_name(enum gc_age age) {
  static const char *const NAMES[] = {"new", "survival", "old0",    "old1",
                                      "old", "touched1", "touched2"};
  return age < GC_AGE_COUNT ? NAMES[age] : "of no known age";
}

/* A member of a list as it is met. */
struct member {
  const struct list *list;
  uint64_t address;
  uint8_t tag, marked;
  unsigned section;
  bool is_first; /* perhaps just moved here, its mark still to be changed (lgc.c: udata2finalize,
                    luaC_checkfinalizer) */
};

/* ---- One member --------------------------------------------------------------------------------
 */

static void check_kind(struct checked_vm *checked, const struct member *member) {
  const struct list *list = member->list;
  if (list->is_for_finalizers && member->tag != TAG_TABLE && member->tag != TAG_USERDATA)
    violation_add(checked->violations, VIOLATION_LIST_KIND, member->address,
                  "on %s, but only tables and userdata have finalizers", list->name);
  if (list->mark == ON_FIXEDGC && member->tag != TAG_SHORT_STRING)
    violation_add(checked->violations, VIOLATION_LIST_KIND, member->address,
                  "on fixedgc, which holds short strings only");
  bool has_bit = member->marked & MARK_FINALIZER;
  if (has_bit != list->is_for_finalizers && !member->is_first)
    violation_add(checked->violations, VIOLATION_LIST_WRONG, member->address,
                  has_bit ? "marked for finalization, but on %s"
                          : "on %s, but not marked for finalization",
                  list->name);
}

/* lgc.h: at most one colour. */
static bool has_one_color(uint8_t marked) {
  unsigned colors = marked & (MARK_WHITES | MARK_BLACK);
  return (colors & (colors - 1)) == 0 && mark_age(marked) < GC_AGE_COUNT;
}

/* ltests.c: dead objects are on allgc, between the atomic phase and the end of its sweep. */
static void check_color(struct checked_vm *checked, const struct member *member,
                        enum gc_color color) {
  uint8_t state = checked->vm->gc_state;
  if (color == GC_DEAD && (member->list->mark != ON_ALLGC || state != GC_SWEEP_ALL))
    violation_add(checked->violations, VIOLATION_COLOR_PHASE, member->address,
                  "marked dead on %s, where this phase leaves no dead objects", member->list->name);
  if (state == GC_PAUSE && color != GC_WHITE && color != GC_DEAD)
    violation_add(checked->violations, VIOLATION_COLOR_PHASE, member->address,
                  "%s between two collections, when all objects are white",
                  color == GC_GRAY ? "gray" : "black");
}

/* Threads and open upvalues are old and gray: they are visited in every collection. */
static bool may_be_old_and_gray(struct checked_vm *checked, const struct member *member) {
  enum gc_age age = mark_age(member->marked);
  if (age == GC_TOUCHED1 || age == GC_OLD0 || member->tag == TAG_THREAD) return true;
  if (member->tag != TAG_UPVALUE) return false;
  const uint8_t *header =
      memory_view(&checked->vm->memory, member->address, checked->layout->size[SIZE_UpVal]);
  return header && checked_is_open(checked, member->address, header);
}

static void check_age(struct checked_vm *checked, const struct member *member,
                      enum gc_color color) {
  enum gc_age age = mark_age(member->marked);
  if (color == GC_DEAD || age >= GC_AGE_COUNT) return; /* reported as such */
  if (age < LEAST_AGE[member->section])
    violation_add(checked->violations, VIOLATION_AGE_LIST, member->address,
                  "%s in the section of %s objects of %s", age_name(age),
                  age_name(LEAST_AGE[member->section]), member->list->name);
  if (age_is_old(age) && color == GC_WHITE)
    violation_add(checked->violations, VIOLATION_COLOR_AGE, member->address, "%s, but white",
                  age_name(age));
  else if (age_is_old(age) && color == GC_GRAY && !may_be_old_and_gray(checked, member))
    violation_add(checked->violations, VIOLATION_COLOR_AGE, member->address, "%s, but gray",
                  age_name(age));
  else if (age == GC_TOUCHED1 && color != GC_GRAY)
    violation_add(checked->violations, VIOLATION_COLOR_AGE, member->address,
                  "touched in this cycle, but not gray");
}

static void check_fixed(struct checked_vm *checked, const struct member *member,
                        enum gc_color color) {
  if (color != GC_GRAY || mark_age(member->marked) != GC_OLD)
    violation_add(checked->violations, VIOLATION_COLOR_PHASE, member->address,
                  "on fixedgc, but not gray and old (mark 0x%02x)", member->marked);
}

static void check_member(struct checked_vm *checked, const struct member *member) {
  enum gc_color color = mark_color(checked->vm, member->marked);
  if (lua54_type(member->tag) == OBJECT_TYPE_COUNT || member->tag & TAG_COLLECTABLE) {
    violation_add(checked->violations, VIOLATION_OBJECT_KIND, member->address,
                  "on %s with the tag 0x%02x", member->list->name, member->tag);
    return;
  }
  check_kind(checked, member);
  if (!has_one_color(member->marked))
    violation_add(checked->violations, VIOLATION_COLOR_BITS, member->address, "mark 0x%02x",
                  member->marked);
  if (member->list->mark == ON_FIXEDGC) {
    check_fixed(checked, member, color);
    return;
  }
  if (!checked->marks_hold) return;
  check_color(checked, member, color);
  if (checked->is_generational) check_age(checked, member, color);
  if (color == GC_GRAY && lua54_type(member->tag) == OBJECT_STRING)
    violation_add(checked->violations, VIOLATION_COLOR_PHASE, member->address,
                  "a gray string: strings have nothing to be visited");
}

/* ---- One list ----------------------------------------------------------------------------------
 */

/* The pointers that cut the list into sections. */
struct cuts {
  uint64_t pointers[SECTION_COUNT - 1];
  unsigned passed; /* of them, when the walk has come so far */
};

static struct cuts load_cuts(struct checked_vm *checked, const struct list *list) {
  struct cuts cuts = {.passed = SECTION_COUNT - 1};
  if (!list->has_sections) return cuts;
  for (unsigned i = 0; i < SECTION_COUNT - 1; i++) {
    cuts.pointers[i] = checked_global(checked, list->sections[i]);
    if (cuts.pointers[i] && !checked->is_generational && checked->marks_hold)
      violation_add_about(checked->violations, VIOLATION_LIST_POINTER, checked->vm->global_state,
                          cuts.pointers[i], "%s is set in incremental mode",
                          layout_field_name(list->sections[i]));
  }
  if (checked->is_generational) cuts.passed = 0;
  return cuts;
}

static void check_cuts(struct checked_vm *checked, const struct list *list,
                       const struct cuts *cuts) {
  for (unsigned i = cuts->passed; i < SECTION_COUNT - 1; i++)
    if (cuts->pointers[i])
      violation_add_about(
          checked->violations, VIOLATION_LIST_POINTER, checked->vm->global_state, cuts->pointers[i],
          "%s points to 0x%llx, which is not on %s, or before an older section",
          layout_field_name(list->sections[i]), (unsigned long long)cuts->pointers[i], list->name);
}

/* Marks an object as a member; false if the walk cannot go on. */
static bool enter(struct checked_vm *checked, const struct list *list, uint64_t address,
                  uint64_t previous) {
  object_id object = checked_object(checked, address);
  if (object == NO_OBJECT || !checked_header(checked, address)) {
    if (!checked_is_missing(checked, address))
      violation_add_about(checked->violations, VIOLATION_LIST_BROKEN,
                          previous ? previous : checked->vm->global_state, address,
                          "%s leads from here to 0x%llx, where no object is", list->name,
                          (unsigned long long)address);
    return false;
  }
  uint8_t *marks = &checked->check->marks[object];
  uint8_t before = *marks & ON_LIST;
  if (before) {
    violation_add_about(checked->violations,
                        before == list->mark ? VIOLATION_LIST_CYCLE : VIOLATION_LIST_SHARED,
                        previous ? previous : checked->vm->global_state, address,
                        "%s leads from here to 0x%llx, which is on %s already", list->name,
                        (unsigned long long)address, LISTS[before - 1].name);
    return false;
  }
  *marks |= (uint8_t)list->mark;
  return true;
}

static void check_list(struct checked_vm *checked, const struct list *list) {
  struct cuts cuts = load_cuts(checked, list);
  uint64_t address = checked_global(checked, list->head), previous = 0;
  for (uint64_t length = 0; address; length++) {
    if (checked_stops(checked, "checking lists", length)) return;
    if (!enter(checked, list, address, previous)) {
      checked->lists_are_whole = false;
      return;
    }
    while (cuts.passed < SECTION_COUNT - 1 && address == cuts.pointers[cuts.passed])
      cuts.passed++;
    const uint8_t *header = checked_header(checked, address);
    struct member member = {.list = list, .address = address, .section = cuts.passed};
    member.tag = (uint8_t)load_field(checked->layout, header, GCObject_tt);
    member.marked = (uint8_t)load_field(checked->layout, header, GCObject_marked);
    if (!checked->is_generational || !list->has_sections) member.section = 0;
    member.is_first = !previous;
    check_member(checked, &member);
    previous = address;
    address = load_field(checked->layout, header, GCObject_next);
  }
  if (checked->is_generational) check_cuts(checked, list, &cuts);
}

static void check_first_old(struct checked_vm *checked) {
  uint64_t first = checked_global(checked, global_State_firstold1);
  if (!first || !checked->is_generational || !checked->lists_are_whole) return;
  object_id object = checked_object(checked, first);
  if (object == NO_OBJECT || (checked->check->marks[object] & ON_LIST) != ON_ALLGC)
    violation_add_about(checked->violations, VIOLATION_LIST_POINTER, checked->vm->global_state,
                        first, "global_State.firstold1 points to 0x%llx, which is not on allgc",
                        (unsigned long long)first);
}

void check_lists(struct checked_vm *checked) {
  for (unsigned i = 0; i < sizeof LISTS / sizeof *LISTS; i++)
    check_list(checked, &LISTS[i]);
  if (checked->is_stopped) return;
  check_first_old(checked);
  if (!checked->lists_are_whole) {
    checked_note(checked,
                 "which objects are on no list: a list of objects could not be walked to its end");
    return;
  }
  object_id object = checked_object(checked, checked->vm->main_thread);
  if (object == NO_OBJECT || (checked->check->marks[object] & ON_LIST) != ON_ALLGC)
    violation_add(checked->violations, VIOLATION_LIST_MISSING, checked->vm->main_thread,
                  "the main thread is not on allgc");
}
