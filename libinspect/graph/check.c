/* check.c - the heap check of one VM: what holds in this phase, then the parts one after the other.
 *
 * Invariant: lists come before objects, because an object is taken for real if it is on a list. */
#include "graph/check.h"

#include "graph/check_parts.h"
#include "graph/evidence.h"
#include "lua/stack.h"
#include "lua/string_check.h"

struct inspect_error *check_init(struct check *check, struct heap *heap,
                                 const struct bitset *reachable) {
  *check = (struct check){.heap = heap, .reachable = reachable};
  violations_init(&check->violations);
  check->marks = calloc((size_t)heap->graph.object_count + 1, 1);
  return check->marks ? NULL : error_no_memory();
}

void check_free(struct check *check) {
  violations_free(&check->violations);
  vector_free(&check->notes);
  free(check->marks);
  check->marks = NULL;
}

/* ---- For all parts -----------------------------------------------------------------------------
 */

object_id checked_object(struct checked_vm *checked, uint64_t address) {
  const struct address_map *map = &checked->heap->map;
  uint32_t granule = address_map_number(map, address, &checked->hint);
  if (granule == NO_GRANULE || !address_map_is_marked(map, granule)) return NO_OBJECT;
  return checked->heap->by_rank[address_map_rank(map, granule)];
}

const uint8_t *checked_header(struct checked_vm *checked, uint64_t address) {
  return memory_view(&checked->vm->memory, address, 2 * checked->layout->pointer_size);
}

bool checked_is_missing(const struct checked_vm *checked, uint64_t address) {
  return source_is_missing(checked->heap->source, address);
}

uint64_t checked_global(const struct checked_vm *checked, enum layout_field field) {
  return load_field(checked->layout, checked->global, field);
}

void checked_note(struct checked_vm *checked, const char *text) {
  struct check_note note = {.vm = checked->violations->vm, .text = text};
  if (!vector_push(&checked->check->notes, note)) return; /* a note less */
}

bool checked_is_open(const struct checked_vm *checked, uint64_t address, const uint8_t *header) {
  return load_field(checked->layout, header, UpVal_v) !=
         address + checked->layout->place[UpVal_value].offset;
}

bool checked_is_being_freed(struct checked_vm *checked, uint64_t address, uint8_t tag) {
  const uint8_t *header = checked_header(checked, address);
  if (checked->has_freed || !vm_is_sweeping(checked->vm) || !header ||
      load_field(checked->layout, header, GCObject_tt) != tag ||
      mark_color(checked->vm, (uint8_t)load_field(checked->layout, header, GCObject_marked)) !=
          GC_DEAD)
    return false;
  checked->has_freed = true; /* one at a time */
  return true;
}

/* ---- What holds --------------------------------------------------------------------------------
 */

/* Whether a value is the function that the base library calls collectgarbage. */
static bool is_collectgarbage(struct checked_vm *checked, struct lua_value function) {
  struct lua_table globals;
  struct lua_value collect;
  return checked->owner->globals != NO_OBJECT &&
         !table_load(checked->vm, heap_address(checked->heap, checked->owner->globals), &globals) &&
         table_find(checked->vm, &globals, "collectgarbage", 14, &collect) &&
         function.tag == collect.tag && function.bits == collect.bits;
}

/* What the innermost call does: a collection that the program asked for, or instructions of a Lua
 * function, of which any may have stored half a value. */
static bool look_at_running_call(struct checked_vm *checked) {
  struct lua_thread thread;
  struct lua_calls calls = {0};
  if (checked->owner->running_thread == NO_OBJECT ||
      thread_load(checked->vm, heap_address(checked->heap, checked->owner->running_thread),
                  &thread))
    return true;
  bool has_memory = thread_calls(checked->vm, &thread, &calls);
  if (has_memory && calls.count) {
    const struct lua_call *call = &calls.items[0];
    if (call->is_lua) {
      checked->running = thread.address;
      checked->running_slot = call->function + 1;
    }
    checked->is_asked =
        is_collectgarbage(checked, thread_slot(checked->vm, &thread, call->function));
  }
  vector_free(&calls);
  return has_memory;
}

/* lgc.h: between steps marks obey the phase; inside of a step they are being changed. A step is
 * under way where the collector says so, in the atomic phase, in the sweep of generational mode,
 * which runs in one go; and perhaps while a debt is to be paid, because it is paid off at the end
 * of a step. */
static bool find_step(struct checked_vm *checked, const struct collector *collector) {
  const struct vm *vm = checked->vm;
  bool is_due =
      collector->debt > 0 || (checked->layout->debt_is_subtracted && collector->debt == 0);
  bool may_run = collector->is_running || !collector->running_is_known;
  return collector->is_in_step || vm->gc_state == GC_ATOMIC ||
         (vm_is_generational(vm) && vm_is_sweeping(vm)) || (is_due && may_run) || checked->is_asked;
}

static void find_what_holds(struct checked_vm *checked, const struct collector *collector) {
  const struct vm *vm = checked->vm;
  checked->marks_hold = !find_step(checked, collector);
  if (!checked->marks_hold)
    checked_note(checked, "colours and ages: a step of the collector was due or under way");
  checked->keeps_invariant = checked->marks_hold && vm->gc_state <= GC_ENTER_ATOMIC;
  checked->is_generational = checked->marks_hold && vm_is_generational(vm);
  checked->newest = checked_global(checked, global_State_allgc);
}

static void check_state(struct checked_vm *checked) {
  const struct vm *vm = checked->vm;
  uint64_t roots[] = {vm->main_thread, vm->registry};
  if (vm->gc_state > GC_PAUSE)
    violation_add(checked->violations, VIOLATION_COLOR_PHASE, vm->global_state,
                  "the collector is in phase %u, which Lua does not have", vm->gc_state);
  for (unsigned i = 0; i < 2 && checked->keeps_invariant; i++) {
    uint8_t marked;
    if (!object_mark(checked->vm, roots[i], &marked) || !(marked & MARK_WHITES)) continue;
    violation_add(checked->violations, VIOLATION_COLOR_PHASE, roots[i],
                  "%s is white while the collector marks", i ? "the registry" : "the main thread");
  }
}

static struct inspect_error *check_parts(struct checked_vm *checked, size_t index) {
  TRY(evidence_integer_hash(checked->heap, index, checked->work, &checked->integers));
  if (checked->integers == INTEGER_HASH_UNKNOWN)
    checked_note(checked, "places of integer keys: releases differ, and too few keys tell which");
  struct collector collector;
  enum stop_form form = evidence_stop_form(checked->layout, checked->integers);
  if (!string_seed(checked->vm, &checked->seed) || !collector_load(checked->vm, form, &collector))
    return NULL;
  if (!look_at_running_call(checked)) return error_no_memory();
  find_what_holds(checked, &collector);
  check_lists(checked);
  check_state(checked);
  if (!checked->is_stopped) check_gray_lists(checked);
  if (!checked->is_stopped) check_sweep(checked);
  if (!checked->is_stopped) check_twups(checked);
  if (!checked->is_stopped) check_string_table(checked);
  return checked->is_stopped ? error_interrupted() : check_objects(checked);
}

struct inspect_error *check_vm(struct check *check, size_t index, const struct work *work,
                               struct check_counts *counts) {
  struct heap_vm *owner = &check->heap->vms[index];
  struct checked_vm checked = {.check = check,
                               .heap = check->heap,
                               .owner = owner,
                               .vm = &owner->vm,
                               .layout = owner->vm.layout,
                               .violations = &check->violations,
                               .counts = counts,
                               .work = work,
                               .lists_are_whole = true,
                               .twups_are_whole = true,
                               .strings_are_whole = true};
  *counts = (struct check_counts){.objects = owner->count};
  check->violations.vm = (uint32_t)index;
  uint64_t before = check->violations.total;
  checked.global = memory_view(&owner->vm.memory, owner->vm.global_state,
                               owner->vm.layout->size[SIZE_global_State]);
  struct inspect_error *error = checked.global ? check_parts(&checked, index) : NULL;
  counts->violations = check->violations.total - before;
  vector_free(&checked.visit.references);
  hash_chains_free(&checked.chains);
  return error;
}
