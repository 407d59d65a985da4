/* walk.c - discovery of one VM's objects.
 *
 * A first-in first-out queue of objects; `next` pointers of the collector's lists and references are
 * edges alike, so that a heap whose lists wander through memory is not walked one cache miss at a
 * time. Each object is touched once: header, size and references are taken in that visit. Two
 * prefetches run ahead in the queue: the header first, then what the header points to.
 *
 * Invariant: a granule is marked when, and only when, it was put into the queue; so every object is
 * visited once, and cycles and shared tails end by themselves. References that may lead to freed
 * memory (of dead objects, of stale stack slots) put nothing into the queue. */
#include "graph/walk.h"

#include "lua/stack.h"

enum { HEADER_AHEAD = 16, PARTS_AHEAD = 8, REPORT_EVERY = 1 << 15 };

struct walk {
  struct heap *heap;
  struct heap_vm *owner;
  struct vm *vm;
  struct discovery *found;
  struct visit visit;
  size_t hint;
};

/* Puts an object into the queue unless it is there. `*granule` is its number, NO_GRANULE if the
 * address is none where an object can be. */
static struct inspect_error *discover(struct walk *walk, uint64_t address, uint8_t tag,
                                      uint8_t flags, uint32_t *granule) {
  struct address_map *map = &walk->heap->map;
  *granule = address_map_number(map, address, &walk->hint);
  if (*granule == NO_GRANULE || !address_map_mark(map, *granule)) return NULL;
  if (walk->found->granules.count >= NO_OBJECT - 1)
    return error_create(INSPECT_ERROR_UNSUPPORTED, NULL, "the heap has 2^32 objects or more");
  if (!vector_push(&walk->found->granules, *granule) || !vector_push(&walk->found->types, tag) ||
      !vector_push(&walk->found->flags, flags))
    return error_no_memory();
  return NULL;
}

/* Puts a whole list into the queue, one after the other. */
static struct inspect_error *discover_list(struct walk *walk, enum layout_field list,
                                           uint8_t flags) {
  const struct layout *layout = walk->vm->layout;
  for (uint64_t address = vm_list(walk->vm, list); address;) {
    size_t before = walk->found->granules.count;
    uint32_t granule;
    TRY(discover(walk, address, TAG_ANY, flags, &granule));
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
    uint64_t metatable = load_pointer(
        layout, global + layout->place[global_State_mt].offset + i * layout->pointer_size);
    if (metatable) TRY(discover(walk, metatable, TAG_TABLE, 0, &granule));
  }
  uint64_t heads[] = {vm_list(vm, global_State_allgc), vm_list(vm, global_State_finobj)};
  for (unsigned i = 0; i < 2; i++)
    if (heads[i]) TRY(discover(walk, heads[i], TAG_ANY, 0, &granule));
  return NULL;
}

/* ---- One object ------------------------------------------------------------------------------ */

static struct inspect_error *take_references(struct walk *walk) {
  struct discovery *found = walk->found;
  const struct raw_references *references = &walk->visit.references;
  if (!vector_reserve(&found->targets, references->count) ||
      !vector_reserve(&found->kinds, references->count))
    return error_no_memory();
  for (size_t i = 0; i < references->count; i++) {
    const struct raw_reference *reference = &references->items[i];
    uint32_t granule;
    if (reference->trusted) {
      TRY(discover(walk, reference->address, reference->tag, 0, &granule));
      if (granule == NO_GRANULE) {
        found->incomplete = true;
        faults_add(&walk->vm->faults, reference->address, "reference leads out of the dump");
      }
    } else {
      granule = address_map_number(&walk->heap->map, reference->address, &walk->hint);
    }
    if (granule == NO_GRANULE) continue;
    found->targets.items[found->targets.count++] = granule;
    found->kinds.items[found->kinds.count++] = reference->kind;
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

/* An object that is none: kept as a damaged one of the kind that was expected. */
static void take_nothing(struct walk *walk, size_t index, uint64_t address, uint8_t tag) {
  struct discovery *found = walk->found;
  enum object_type type = tag == TAG_ANY_STRING ? OBJECT_STRING : lua54_type(tag);
  found->types.items[index] = (uint8_t)(type == OBJECT_TYPE_COUNT ? OBJECT_STRING : type);
  found->flags.items[index] |= OBJECT_DAMAGED;
  found->incomplete = true;
  faults_add(&walk->vm->faults, address,
             tag == TAG_ANY ? "list of objects is broken here"
                            : "no object of the kind that a reference says");
}

static struct inspect_error *visit_object(struct walk *walk, size_t index) {
  struct discovery *found = walk->found;
  uint64_t address = address_map_address(&walk->heap->map, found->granules.items[index]);
  uint8_t tag = found->types.items[index];
  if (!vector_push(&found->firsts, found->targets.count)) return error_no_memory();
  bool no_memory = false;
  bool is_object = lua54_visit(walk->vm, address, tag, &walk->visit, &no_memory);
  if (no_memory) return error_no_memory();
  if (!is_object) {
    take_nothing(walk, index, address, tag);
    walk->visit.bytes = 0;
    return take_size(walk, index);
  }
  struct visit *visit = &walk->visit;
  found->types.items[index] = visit->type;
  uint8_t flags = found->flags.items[index] | visit->flags;
  if (visit->finalizer_bit && !(flags & OBJECT_PENDING)) flags |= OBJECT_HAS_FINALIZER;
  found->flags.items[index] = flags;
  if (visit->type == OBJECT_THREAD && address != walk->vm->main_thread) walk->owner->coroutines++;
  if (visit->fault && !(flags & OBJECT_DEAD)) {
    found->incomplete = true;
    faults_add(&walk->vm->faults, visit->fault_address, visit->fault);
  }
  TRY(take_size(walk, index));
  uint32_t granule;
  if (visit->next) {
    TRY(discover(walk, visit->next, TAG_ANY, 0, &granule));
    if (granule == NO_GRANULE) {
      found->incomplete = true;
      faults_add(&walk->vm->faults, visit->next, "list of objects leads out of the dump");
    }
  }
  return take_references(walk);
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
  owner->object_bytes = owner->coroutines = 0;
  struct inspect_error *error = discover_roots(&walk);
  for (; !error && next < discovery->granules.count; next++) {
    look_ahead(&walk, next);
    error = visit_object(&walk, next);
    if (!error && next % REPORT_EVERY == 0 &&
        work_stops(work, "reading objects", owner->object_bytes, owner->vm.heap_bytes))
      error = error_interrupted();
  }
  vector_free(&walk.visit.references);
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
  owner->vm.faults.list.count = 0;
  owner->vm.faults.more = 0;
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
}
