/* settle.c - telling moments from damage.
 *
 * Problems are nothing to worry about if they are those of
 *   the newest object, to which nothing refers yet: it is being made
 *   a prototype while a chunk is compiled: its arrays are being moved
 *   a single reference in all the VM, while a native thread may be at work: its value is being
 *     stored, one half after the other
 * Everything else is a fault. */
#include "graph/settle.h"

#include "graph/strays.h"
#include "graph/torn.h"
#include "lua/block.h"
#include "lua/stack.h"

struct settling {
  struct heap *heap;
  struct heap_vm *owner;
  struct vm *vm;
  struct discovery *found;
};

static uint64_t address_of(const struct settling *settling, object_id object) {
  return address_map_address(&settling->heap->map, settling->found->granules.items[object]);
}

uint64_t discovered_bytes(const struct discovery *found, object_id object) {
  uint16_t bytes = found->bytes.items[object];
  return bytes < BIG_OBJECT ? bytes : graph_big_bytes(found->bigs.items, found->bigs.count, object);
}

/* ---- Moments -----------------------------------------------------------------------------------
 */

static bool is_unfinished(struct vm *vm, struct lua_value value) {
  const struct layout *layout = vm->layout;
  if (value.tag != (TAG_LUA_FUNCTION | TAG_COLLECTABLE)) return false;
  uint64_t first = layout->place[LClosure_upvals].offset;
  const uint8_t *closure = memory_view(&vm->memory, value.bits, first + layout->pointer_size);
  return closure && load_field(layout, closure, LClosure_nupvalues) &&
         load_field(layout, closure, LClosure_p) && !load_pointer(layout, closure + first);
}

/* From 5.5.1 on the parser's objects are not on the stack but in a table there, as keys and values
 * (the scanner's). */
static bool anchors_unfinished(struct vm *vm, struct lua_value value) {
  enum { MOST_NODES = 1 << 20 };
  struct lua_table table;
  if (vm->layout->array_form != ARRAY_SPLIT || value.tag != (TAG_TABLE | TAG_COLLECTABLE) ||
      table_load(vm, value.bits, &table))
    return false;
  for (uint64_t i = 0; i < table.node_count && i < MOST_NODES; i++) {
    struct lua_value key, anchored;
    table_entry(vm, &table, i, &key, &anchored);
    if (key.bits == anchored.bits && key.tag == anchored.tag && is_unfinished(vm, key)) return true;
  }
  return false;
}

bool compiles(struct heap *heap, size_t index, const struct discovery *found) {
  struct heap_vm *owner = &heap->vms[index];
  struct vm *vm = &owner->vm;
  for (object_id object = owner->first; object < found->granules.count; object++) {
    struct lua_thread thread;
    if (found->types.items[object] != OBJECT_THREAD) continue;
    uint64_t address = address_map_address(&heap->map, found->granules.items[object]);
    if (thread_load(vm, address, &thread) || !thread.initialized || thread.status ||
        (thread.call == thread.base_call && address != vm->main_thread))
      continue;
    for (uint64_t slot = 1; slot < thread.top; slot++) {
      struct lua_value value = thread_slot(vm, &thread, slot);
      if (is_unfinished(vm, value) || anchors_unfinished(vm, value)) return true;
    }
  }
  return false;
}

object_id newest_object(struct heap *heap, size_t index, const struct discovery *found) {
  struct heap_vm *owner = &heap->vms[index];
  size_t hint = 0;
  uint32_t granule = address_map_number(&heap->map, vm_list(&owner->vm, global_State_allgc), &hint);
  object_id newest = NO_OBJECT;
  for (object_id object = owner->first; object < found->granules.count; object++)
    if (found->granules.items[object] == granule) newest = object;
  if (newest == NO_OBJECT) return NO_OBJECT;
  /* lua_newthread puts the thread on the stack before it fills it in */
  if (found->types.items[newest] == OBJECT_THREAD) return newest;
  for (uint64_t i = discovery_row(found, owner->first); i < found->targets.count; i++)
    if (found->targets.items[i] == granule) return NO_OBJECT;
  return newest;
}

static void note_newest(struct settling *settling, object_id newest) {
  uint64_t address = address_of(settling, newest);
  notes_add(settling->vm, address, "dumped while the %s 0x%llx was being made",
            object_type_name(settling->found->types.items[newest]), (unsigned long long)address);
}

/* Whether the value lies where an allocator writes into memory that was given back: at the start of
 * the block that an array is. Then the array may have been moved and the value lost. */
static bool is_at_block_start(struct settling *settling, const struct problem *problem) {
  enum { WRITTEN = 2 };
  struct lua_table table;
  if (problem->reference != REFERENCE_INDEX || problem->in_hash ||
      table_load(settling->vm, address_of(settling, problem->object), &table))
    return false;
  return settling->vm->layout->array_form == ARRAY_SPLIT
             ? problem->detail + WRITTEN > table.array_size
             : problem->detail == 1;
}

/* The one reference whose value was being stored; NULL if there is no such, or more than one. */
static const struct problem *half_stored(struct settling *settling) {
  const struct discovery *found = settling->found;
  const struct problem *result = NULL;
  for (size_t i = 0; i < found->problems.count; i++) {
    const struct problem *problem = &found->problems.items[i];
    if (problem->kind != PROBLEM_NOWHERE && problem->kind != PROBLEM_KIND) continue;
    if (result) return NULL;
    result = problem;
  }
  if (!result || !native_works(settling->vm->source) || result->address == found->broken_at ||
      source_is_missing(settling->vm->source, result->address))
    return NULL;
  return result->kind == PROBLEM_NOWHERE && is_at_block_start(settling, result) ? NULL : result;
}

static void note_half_stored(struct settling *settling, const struct problem *problem) {
  if (problem->kind == PROBLEM_KIND) {
    notes_add(settling->vm, problem->address, "dumped while a reference to 0x%llx was being stored",
              (unsigned long long)problem->address);
    return;
  }
  uint64_t address = address_of(settling, problem->object);
  notes_add(settling->vm, address, "dumped while a value in the %s 0x%llx was being stored",
            object_type_name(settling->found->types.items[problem->object]),
            (unsigned long long)address);
}

/* Takes the problems out of the list that belong to `object`, or, if that is NO_OBJECT, to
 * prototypes; returns whether there were any. */
static bool excuse(struct settling *settling, object_id object) {
  struct discovery *found = settling->found;
  size_t kept = 0, count = found->problems.count;
  for (size_t i = 0; i < count; i++) {
    struct problem problem = found->problems.items[i];
    bool is_excused = problem.object != NO_OBJECT && problem.kind != PROBLEM_LIST &&
                      problem.kind != PROBLEM_ROOTS &&
                      !source_is_missing(settling->vm->source, problem.address) &&
                      (object == NO_OBJECT ? found->types.items[problem.object] == OBJECT_PROTOTYPE
                                           : problem.object == object);
    if (!is_excused) found->problems.items[kept++] = problem;
  }
  found->problems.count = kept;
  return kept < count;
}

/* The head of the list of all objects. */
static uint64_t newest_address(const struct settling *settling) {
  return vm_list(settling->vm, global_State_allgc);
}

/* Whether the head of the list of all objects was freed, or is no object. So it stays while the VM
 * is closed, and its objects are freed one after the other (lgc.c: luaC_freeallobjects). */
static bool head_is_freed(struct settling *settling, bool is_closing) {
  const struct discovery *found = settling->found;
  bool is_broken = false;
  for (size_t i = 0; i < found->problems.count; i++)
    is_broken |= found->problems.items[i].kind == PROBLEM_LIST ||
                 found->problems.items[i].kind == PROBLEM_ROOTS;
  return (is_closing && is_broken) ||
         (found->problems.count && block_sizes_are_kept(settling->vm) &&
          newest_object(settling->heap, (size_t)(settling->owner - settling->heap->vms), found) ==
              NO_OBJECT &&
          block_is_given_back(settling->vm, newest_address(settling)));
}

/* The VM being closed: what still looks like an object may be another then. Until 5.4.3 nothing but
 * the freed head of the list shows it. */
static void settle_closing(struct settling *settling) {
  enum { STOPPED_BY_CLOSING = 4 }; /* lgc.h: GCSTPCLS */
  struct vm *vm = settling->vm;
  struct discovery *found = settling->found;
  const uint8_t *global =
      memory_view(&vm->memory, vm->global_state, vm->layout->size[SIZE_global_State]);
  bool is_closing =
      global && load_field(vm->layout, global, global_State_gcstp) & STOPPED_BY_CLOSING;
  found->is_freed = head_is_freed(settling, is_closing);
  if (is_closing || found->is_freed)
    notes_add(vm, vm->global_state, "dumped while the VM was being closed");
  if (!found->is_freed) return;
  faults_add(&vm->faults, newest_address(settling),
             "objects had been freed, as the VM was being closed: what is left may not be them");
  found->problems.count = 0;
  found->more_problems = 0;
  discovery_lose(found, NO_OBJECT, ALL_TYPES);
}

/* What objects of a type may refer to. */
static uint8_t referred_types(uint8_t type) {
  static const uint8_t types[OBJECT_TYPE_COUNT] = {
      [OBJECT_STRING] = 0,
      [OBJECT_TABLE] = ALL_TYPES,
      [OBJECT_LUA_FUNCTION] = 1 << OBJECT_UPVALUE | 1 << OBJECT_PROTOTYPE,
      [OBJECT_C_FUNCTION] = ALL_TYPES,
      [OBJECT_USERDATA] = ALL_TYPES,
      [OBJECT_THREAD] = ALL_TYPES,
      [OBJECT_UPVALUE] = ALL_TYPES,
      [OBJECT_PROTOTYPE] = 1 << OBJECT_STRING | 1 << OBJECT_PROTOTYPE};
  return type < OBJECT_TYPE_COUNT ? types[type] : ALL_TYPES;
}

/* Which references a problem stands for. An object that has one may have lost any of its own, also
 * without a trace; one that a list and references lead to, but is none, all of them. A reference
 * that leads to another kind than it says may be damaged itself: nobody knows whose it is. */
static void lose_by(struct discovery *found, const struct problem *problem) {
  object_id object = problem->object;
  uint8_t types =
      referred_types(object == NO_OBJECT ? OBJECT_TYPE_COUNT : found->types.items[object]);
  if (found->is_list_broken && types) types = ALL_TYPES; /* over an object that was not found */
  switch (problem->kind) {
  case PROBLEM_PART:
  case PROBLEM_VALUES:
  case PROBLEM_NOWHERE:
    discovery_lose(found, object, types);
    return;
  case PROBLEM_KIND:
    if (object != NO_OBJECT && found->broken_at == problem->address &&
        found->flags.items[object] & OBJECT_DAMAGED)
      discovery_lose(found, object, types);
    else
      discovery_lose(found, NO_OBJECT, ALL_TYPES);
    return;
  case PROBLEM_ROOTS:
    discovery_lose(found, NO_OBJECT, ALL_TYPES);
    return;
  case PROBLEM_LIST:
    if (!found->is_list_broken)
      discovery_lose(found, NO_OBJECT, ALL_TYPES);
    else if (object != NO_OBJECT)
      discovery_lose(found, object, ALL_TYPES);
  }
}

static void settle_problems(struct settling *settling) {
  struct discovery *found = settling->found;
  size_t index = (size_t)(settling->owner - settling->heap->vms);
  if (found->problems.count) {
    object_id newest = newest_object(settling->heap, index, found);
    if (newest != NO_OBJECT && excuse(settling, newest)) note_newest(settling, newest);
  }
  if (found->problems.count && compiles(settling->heap, index, found) &&
      excuse(settling, NO_OBJECT))
    notes_add(settling->vm, 0, "dumped while a chunk was being compiled");
  const struct problem *half = half_stored(settling);
  if (half) note_half_stored(settling, half);
  for (size_t i = 0; i < found->problems.count; i++) {
    const struct problem *problem = &found->problems.items[i];
    if (problem == half) continue;
    faults_add(&settling->vm->faults, problem->address, problem->text);
    found->incomplete = true;
    lose_by(found, problem);
  }
  settling->vm->faults.more += found->more_problems;
  if (found->more_problems) discovery_lose(found, NO_OBJECT, ALL_TYPES);
}

/* A table whose header was being written may have more than it says. */
static void settle_torn(struct settling *settling) {
  size_t index = (size_t)(settling->owner - settling->heap->vms);
  uint64_t table =
      settling->found->has_words ? torn_lost(settling->heap, index, settling->found) : 0;
  if (table && newest_address(settling) == table) table = 0;
  if (settling->vm->torn.is_lost) table = settling->vm->torn.table;
  if (!table || settling->found->is_freed) return;
  faults_add(&settling->vm->faults, table,
             "dumped while the table was being resized; its entries could not be read");
  discovery_lose(settling->found, NO_OBJECT, ALL_TYPES);
}

/* What the global state says of the moment. */
static void note_states(struct settling *settling) {
  struct vm *vm = settling->vm;
  const struct layout *layout = vm->layout;
  const uint8_t *global =
      memory_view(&vm->memory, vm->global_state, layout->size[SIZE_global_State]);
  if (!global) return;
  if (load_field(layout, global, global_State_gcemergency))
    notes_add(vm, vm->global_state,
              "dumped inside an emergency collection: the allocator had refused memory");
}

static void settle_lost(struct settling *settling) {
  const struct torn *torn = &settling->vm->torn;
  if (!torn->lost_entries) return;
  const char *text =
      arena_printf(&settling->vm->arena,
                   "dumped while the table was being resized; %llu entries could not "
                   "be read",
                   (unsigned long long)torn->lost_entries);
  faults_add(&settling->vm->faults, torn->table,
             text ? text : "dumped while the table was being resized; entries could not be read");
  discovery_lose(settling->found, NO_OBJECT, ALL_TYPES);
}

struct inspect_error *settle(struct heap *heap, size_t index, struct discovery *found) {
  struct heap_vm *owner = &heap->vms[index];
  struct settling settling = {.heap = heap, .owner = owner, .vm = &owner->vm, .found = found};
  if (found->balance) TRY(strays_drop(heap, index, found));
  settle_closing(&settling);
  settle_problems(&settling);
  settle_lost(&settling);
  settle_torn(&settling);
  note_states(&settling);
  return NULL;
}
