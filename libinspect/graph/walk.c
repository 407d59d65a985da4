/* walk.c - discovery of one VM's objects.
 *
 * A first-in first-out queue of objects, never a walk along a list: on an aged heap the collector's
 * lists wander through memory, one cache miss at a time. Objects are reached over references first,
 * so that their ids follow the breadth-first order in which analyses will visit them; only when
 * nothing is left to reach, the `next` pointers that were met are followed to the rest, garbage.
 * Each object is touched once: header, size and references are taken in that visit. Two prefetches
 * run ahead in the queue: the header first, then what the header points to.
 *
 * Invariant: a granule is marked when, and only when, it was put into the queue; so every object is
 * visited once, and cycles and shared tails end by themselves. References that may lead to freed
 * memory (of dead objects, of stale stack slots) put nothing into the queue. */
#include "graph/walk.h"

#include "lua/stack.h"

enum { HEADER_AHEAD = 16, PARTS_AHEAD = 8, MARKS_AHEAD = 16, REPORT_EVERY = 1 << 15 };

struct walk {
  struct heap *heap;
  struct heap_vm *owner;
  struct vm *vm;
  struct discovery *found;
  struct visit visit;
  struct VECTOR(uint32_t) later; /* objects that lists lead to, not in the queue when seen */
  size_t hint;
};

static void add_problem(struct walk *walk, const struct problem *problem) {
  struct discovery *found = walk->found;
  if (found->problems.count >= MOST_FAULTS || !vector_push(&found->problems, *problem))
    found->more_problems++;
}

/* A share of discovery.balance: murmur3's finalizer, so that shares do not cancel out. */
static uint64_t share(uint32_t granule) {
  uint64_t hash = (granule + UINT64_C(1)) * UINT64_C(0xff51afd7ed558ccd);
  hash = (hash ^ hash >> 33) * UINT64_C(0xc4ceb9fe1a85ec53);
  return hash ^ hash >> 33;
}

static struct inspect_error *too_many_objects(void) {
  return error_create(INSPECT_ERROR_UNSUPPORTED, NULL, "the heap has 2^32 objects or more");
}

/* Puts an object into the queue unless it is there. `*granule` is its number, NO_GRANULE if the
 * address is none where an object can be. */
static struct inspect_error *discover(struct walk *walk, uint64_t address, uint8_t tag,
                                      uint8_t flags, uint32_t *granule) {
  struct address_map *map = &walk->heap->map;
  *granule = address_map_number(map, address, &walk->hint);
  if (*granule == NO_GRANULE || !address_map_mark(map, *granule)) return NULL;
  if (walk->found->granules.count >= NO_OBJECT - 1) return too_many_objects();
  if (!vector_push(&walk->found->granules, *granule) || !vector_push(&walk->found->types, tag) ||
      !vector_push(&walk->found->flags, flags))
    return error_no_memory();
  return NULL;
}

/* Notes an object that a list leads to, for discover_rest. */
static struct inspect_error *discover_later(struct walk *walk, uint64_t address) {
  if (!address) return NULL;
  uint32_t granule = address_map_number(&walk->heap->map, address, &walk->hint);
  if (granule == NO_GRANULE) {
    add_problem(walk, &(struct problem){.kind = PROBLEM_LIST,
                                        .object = NO_OBJECT,
                                        .address = address,
                                        .text = "list of objects leads out of the dump"});
    return NULL;
  }
  walk->found->balance -= share(granule);
  if (address_map_is_marked(&walk->heap->map, granule)) return NULL;
  return vector_push(&walk->later, granule) ? NULL : error_no_memory();
}

/* Puts a whole list into the queue, one after the other. */
static struct inspect_error *discover_list(struct walk *walk, enum layout_field list,
                                           uint8_t flags) {
  const struct layout *layout = walk->vm->layout;
  uint64_t head = vm_list(walk->vm, list);
  for (uint64_t address = head; address;) {
    size_t before = walk->found->granules.count;
    uint32_t granule;
    TRY(discover(walk, address, TAG_ANY, flags, &granule));
    if (address == head && granule != NO_GRANULE) walk->found->balance -= share(granule);
    const uint8_t *header = memory_view(&walk->vm->memory, address, 2 * layout->pointer_size);
    if (!header || walk->found->granules.count == before) break;
    address = load_field(layout, header, GCObject_next);
  }
  return NULL;
}

static struct inspect_error *discover_roots(struct walk *walk) {
  struct vm *vm = walk->vm;
  const struct layout *layout = vm->layout;
  uint32_t granule;
  TRY(discover_list(walk, global_State_tobefnz, OBJECT_PENDING));
  TRY(discover_list(walk, global_State_fixedgc, OBJECT_FIXED));
  TRY(discover(walk, vm->main_thread, TAG_THREAD, 0, &granule));
  if (vm->registry) TRY(discover(walk, vm->registry, TAG_TABLE, 0, &granule));
  const uint8_t *global =
      memory_view(&vm->memory, vm->global_state, layout->size[SIZE_global_State]);
  enum { BASIC_TYPES = 9 };
  for (unsigned i = 0; global && i < BASIC_TYPES; i++) {
    uint64_t metatable = load_pointer(layout, global + layout->place[global_State_mt].offset +
                                                  i * layout->pointer_size);
    if (metatable) TRY(discover(walk, metatable, TAG_TABLE, 0, &granule));
  }
  TRY(discover_later(walk, vm_list(vm, global_State_allgc)));
  return discover_later(walk, vm_list(vm, global_State_finobj));
}

/* Puts the objects that only lists lead to into the queue: what was seen since the last time. */
static struct inspect_error *discover_rest(struct walk *walk) {
  struct address_map *map = &walk->heap->map;
  struct discovery *found = walk->found;
  size_t count = walk->later.count;
  if (!vector_reserve(&found->granules, count) || !vector_reserve(&found->types, count) ||
      !vector_reserve(&found->flags, count))
    return error_no_memory();
  for (size_t i = 0; i < count; i++) {
    uint32_t granule = walk->later.items[i];
    if (i + MARKS_AHEAD < count)
      __builtin_prefetch(&map->marks[walk->later.items[i + MARKS_AHEAD] >> 6], 1);
    if (!address_map_mark(map, granule)) continue;
    if (found->granules.count >= NO_OBJECT - 1) return too_many_objects();
    found->granules.items[found->granules.count++] = granule;
    found->types.items[found->types.count++] = TAG_ANY;
    found->flags.items[found->flags.count++] = 0;
  }
  walk->later.count = 0;
  return NULL;
}

/* ---- One object ------------------------------------------------------------------------------ */

/* Takes the reference's target, unless it leads to where no object can be. */
static struct inspect_error *take_target(struct walk *walk, size_t index,
                                         const struct raw_reference *reference, uint32_t *granule) {
  if (!reference->trusted) {
    *granule = address_map_number(&walk->heap->map, reference->address, &walk->hint);
    return NULL;
  }
  TRY(discover(walk, reference->address, reference->tag, 0, granule));
  if (*granule == NO_GRANULE)
    add_problem(walk, &(struct problem){.kind = PROBLEM_NOWHERE,
                                        .object = (object_id)index,
                                        .address = reference->address,
                                        .detail = reference->detail,
                                        .reference = reference->kind,
                                        .in_hash = reference->in_hash,
                                        .text = "reference leads out of the dump"});
  return NULL;
}

static struct inspect_error *take_references(struct walk *walk, size_t index) {
  struct discovery *found = walk->found;
  const struct raw_references *references = &walk->visit.references;
  if (!vector_reserve(&found->targets, references->count) ||
      !vector_reserve(&found->kinds, references->count))
    return error_no_memory();
  bool lost_key = false;
  for (size_t i = 0; i < references->count; i++) {
    const struct raw_reference *reference = &references->items[i];
    uint32_t granule;
    TRY(take_target(walk, index, reference, &granule));
    uint8_t kind = reference->kind;
    /* an entry without its key: see graph.h */
    if (lost_key && (kind == REFERENCE_FIELD || kind == REFERENCE_KEYED)) kind = REFERENCE_INDEX;
    lost_key = kind == REFERENCE_KEY && granule == NO_GRANULE;
    if (granule == NO_GRANULE) continue;
    found->targets.items[found->targets.count++] = granule;
    found->kinds.items[found->kinds.count++] = kind;
  }
  return NULL;
}

static struct inspect_error *take_size(struct walk *walk, size_t index) {
  struct discovery *found = walk->found;
  uint64_t bytes = walk->visit.bytes;
  walk->owner->object_bytes += bytes;
  uint32_t small = bytes < UINT32_MAX ? (uint32_t)bytes : UINT32_MAX;
  struct graph_big big = {.object = (object_id)index, .bytes = bytes};
  if (!vector_push(&found->bytes, small) ||
      (small == UINT32_MAX && !vector_push(&found->bigs, big)))
    return error_no_memory();
  return NULL;
}

/* Visits an object that is not of the kind that the reference to it says: as what it is, if it is
 * one at all, else it is kept as a damaged one of that kind. */
static bool visit_other(struct walk *walk, size_t index, uint64_t address, uint8_t tag,
                        bool *no_memory) {
  struct discovery *found = walk->found;
  struct problem problem = {.kind = tag == TAG_ANY ? PROBLEM_LIST : PROBLEM_KIND,
                            .object = (object_id)index,
                            .address = address,
                            .text = tag == TAG_ANY ? "list of objects is broken here"
                                                   : "no object of the kind that a reference says"};
  add_problem(walk, &problem);
  if (tag != TAG_ANY && lua54_visit(walk->vm, address, TAG_ANY, &walk->visit, no_memory))
    return true;
  enum object_type type = tag == TAG_ANY_STRING ? OBJECT_STRING : lua54_type(tag);
  found->types.items[index] = (uint8_t)(type == OBJECT_TYPE_COUNT ? OBJECT_STRING : type);
  found->flags.items[index] |= OBJECT_DAMAGED;
  walk->visit.bytes = 0;
  return false;
}

/* What the visit could not make sense of. A dead object may have been freed in part. */
static void take_problems(struct walk *walk, size_t index, uint64_t address) {
  const struct visit *visit = &walk->visit;
  struct discovery *found = walk->found;
  if (found->flags.items[index] & OBJECT_DEAD) return;
  if (visit->is_moving && visit->type == OBJECT_THREAD) found->moving_thread = address;
  if (visit->is_moving && visit->type == OBJECT_UPVALUE) found->moving_upvalue = true;
  struct problem problem = {.object = (object_id)index, .address = address};
  if (visit->fault) {
    problem.kind = PROBLEM_PART;
    problem.address = visit->fault_address;
    problem.text = visit->fault;
    add_problem(walk, &problem);
  }
  if (visit->absurd) {
    problem.kind = PROBLEM_VALUES;
    problem.address = address;
    problem.text = "object holds values of no kind that Lua has";
    add_problem(walk, &problem);
  }
}

static struct inspect_error *visit_object(struct walk *walk, size_t index) {
  struct discovery *found = walk->found;
  uint64_t address = address_map_address(&walk->heap->map, found->granules.items[index]);
  uint8_t tag = found->types.items[index];
  found->balance += share(found->granules.items[index]);
  if (!vector_push(&found->firsts, found->targets.count)) return error_no_memory();
  bool no_memory = false;
  bool is_object = lua54_visit(walk->vm, address, tag, &walk->visit, &no_memory) ||
                   visit_other(walk, index, address, tag, &no_memory);
  if (no_memory) return error_no_memory();
  if (!is_object) return take_size(walk, index);
  struct visit *visit = &walk->visit;
  found->types.items[index] = visit->type;
  uint8_t flags = found->flags.items[index] | visit->flags;
  if (visit->finalizer_bit && !(flags & OBJECT_PENDING)) flags |= OBJECT_HAS_FINALIZER;
  found->flags.items[index] = flags;
  if (visit->type == OBJECT_THREAD && address != walk->vm->main_thread) walk->owner->coroutines++;
  if (visit->fault || visit->absurd || visit->is_moving) take_problems(walk, index, address);
  TRY(take_size(walk, index));
  TRY(discover_later(walk, visit->next));
  return take_references(walk, index);
}

static void look_ahead(struct walk *walk, size_t index) {
  const struct discovery *found = walk->found;
  const struct address_map *map = &walk->heap->map;
  uint64_t available;
  if (index + HEADER_AHEAD < found->granules.count) {
    uint32_t granule = found->granules.items[index + HEADER_AHEAD];
    __builtin_prefetch(address_map_bytes(map, granule, &walk->hint, &available));
  }
  if (index + PARTS_AHEAD < found->granules.count) {
    uint32_t granule = found->granules.items[index + PARTS_AHEAD];
    const uint8_t *header = address_map_bytes(map, granule, &walk->hint, &available);
    if (header && available >= walk->vm->layout->size[SIZE_Table]) lua54_prefetch(walk->vm, header);
  }
}

struct inspect_error *walk_vm(struct heap *heap, size_t index, struct discovery *discovery,
                              const struct work *work) {
  struct heap_vm *owner = &heap->vms[index];
  struct walk walk = {.heap = heap, .owner = owner, .vm = &owner->vm, .found = discovery};
  size_t next = discovery->granules.count;
  owner->first = (object_id)next;
  discovery->incomplete_before = discovery->incomplete;
  owner->object_bytes = owner->coroutines = 0;
  discovery->problems.count = 0;
  discovery->more_problems = discovery->balance = discovery->moving_thread = 0;
  discovery->moving_upvalue = false;
  struct inspect_error *error = discover_roots(&walk);
  for (; !error; next++) {
    if (next == discovery->granules.count) error = discover_rest(&walk);
    if (error || next == discovery->granules.count) break;
    look_ahead(&walk, next);
    error = visit_object(&walk, next);
    if (!error && next % REPORT_EVERY == 0 &&
        work_stops(work, "reading objects", owner->object_bytes, owner->vm.heap_bytes))
      error = error_interrupted();
  }
  vector_free(&walk.visit.references);
  vector_free(&walk.later);
  owner->count = (uint32_t)(next - owner->first);
  const struct layout *layout = owner->vm.layout;
  owner->accounted_bytes = owner->object_bytes + vm_block_bytes(&owner->vm) +
                           owner->vm.string_table_size * layout->pointer_size;
  owner->residual = (int64_t)(owner->vm.heap_bytes - owner->accounted_bytes);
  return error;
}

void walk_undo(struct heap *heap, size_t index, struct discovery *discovery) {
  struct heap_vm *owner = &heap->vms[index];
  for (size_t i = owner->first; i < discovery->granules.count; i++) {
    uint32_t granule = discovery->granules.items[i];
    heap->map.marks[granule >> 6] &= ~(UINT64_C(1) << (granule & 63));
    heap->map.marked--;
  }
  size_t references = owner->first < discovery->firsts.count
                          ? (size_t)discovery->firsts.items[owner->first]
                          : discovery->targets.count;
  discovery->granules.count = discovery->types.count = discovery->flags.count = owner->first;
  discovery->bytes.count = discovery->firsts.count = owner->first;
  discovery->targets.count = discovery->kinds.count = references;
  while (discovery->bigs.count &&
         discovery->bigs.items[discovery->bigs.count - 1].object >= owner->first)
    discovery->bigs.count--;
  discovery->incomplete = discovery->incomplete_before;
  owner->vm.faults.list.count = 0;
  owner->vm.faults.more = 0;
  memset(owner->vm.mode_cache, 0, sizeof owner->vm.mode_cache);
}

void discovery_free(struct discovery *discovery) {
  vector_free(&discovery->granules);
  vector_free(&discovery->types);
  vector_free(&discovery->flags);
  vector_free(&discovery->bytes);
  vector_free(&discovery->firsts);
  vector_free(&discovery->targets);
  vector_free(&discovery->kinds);
  vector_free(&discovery->bigs);
  vector_free(&discovery->problems);
}
