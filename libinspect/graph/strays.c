/* strays.c - objects that are on no list of the VM.
 *
 * If the balance of the walk says that not every object is on a list, the lists are walked for
 * good, and what is on none is dropped: it came from a reference that was read at the wrong moment.
 * (One object may be between two lists; it is known by its size, which is then missing from the
 * books.) If a list is damaged itself, everything is kept: it may hang on the lost part. So it is
 * if a list ends where it should not, and if the VM's books are in better order with what is on no
 * list than without. And whatever the books say, unless they balance to the byte: an object in a
 * block of its own that is in use is kept. */
#include "graph/strays.h"

#include "graph/reader.h"
#include "graph/settle.h"
#include "lua/block.h"

struct straying {
  struct heap *heap;
  struct heap_vm *owner;
  struct vm *vm;
  struct discovery *found;
  struct bitset listed;  /* granules on lists                                */
  struct bitset dropped; /* granules of what is dropped; no words: none      */
  bool has_kept;         /* objects on no list were kept                     */
  uint64_t broken;       /* a list that does not end where it should: there  */
  uint64_t broken_at;    /* ... and where it leads to                        */
  bool is_other_broken;  /* it is another than that of all objects           */
  size_t hint;
};

static uint32_t granule_of(struct straying *straying, uint64_t address) {
  return address_map_number(&straying->heap->map, address, &straying->hint);
}

static uint64_t address_of(const struct straying *straying, object_id object) {
  return address_map_address(&straying->heap->map, straying->found->granules.items[object]);
}

/* ---- Lists -------------------------------------------------------------------------------------
 */

static void walk_list(struct straying *straying, enum layout_field list) {
  const struct layout *layout = straying->vm->layout;
  uint64_t last = straying->vm->global_state;
  for (uint64_t address = vm_list(straying->vm, list); address;) {
    uint32_t granule = granule_of(straying, address);
    const uint8_t *header = memory_view(&straying->vm->memory, address, 2 * layout->pointer_size);
    if (granule == NO_GRANULE || !header ||
        lua54_type((uint8_t)load_field(layout, header, GCObject_tt)) == OBJECT_TYPE_COUNT ||
        !bitset_insert(&straying->listed, granule)) {
      straying->broken = last;
      straying->broken_at = address;
      straying->is_other_broken |= list != global_State_allgc;
      return;
    }
    last = address;
    address = load_field(layout, header, GCObject_next);
  }
  /* lstate.c, lua_newstate: the main thread is the first object, the last of the list */
  if (list == global_State_allgc && last != straying->vm->main_thread) straying->broken = last;
}

static bool walk_lists(struct straying *straying) {
  if (!bitset_init(&straying->listed, straying->heap->map.granule_count)) return false;
  walk_list(straying, global_State_allgc);
  walk_list(straying, global_State_finobj);
  walk_list(straying, global_State_tobefnz);
  walk_list(straying, global_State_fixedgc);
  return true;
}

/* ---- Dropping ----------------------------------------------------------------------------------
 */

static bool is_listed(const struct straying *straying, object_id object) {
  return bitset_has(&straying->listed, straying->found->granules.items[object]);
}

static uint64_t distance(uint64_t difference) {
  return (int64_t)difference < 0 ? -difference : difference;
}

/* Bytes of what is on no list. */
static uint64_t stray_bytes(const struct straying *straying) {
  uint64_t bytes = 0;
  for (object_id object = straying->owner->first; object < straying->found->granules.count;
       object++)
    if (!is_listed(straying, object)) bytes += discovered_bytes(straying->found, object);
  return bytes;
}

/* The object that was between two lists (lgc.c: luaC_checkfinalizer, udata2finalize,
 * separatetobefnz): the books balance with it alone of those on no list. */
static object_id between_lists(const struct straying *straying) {
  const struct heap_vm *owner = straying->owner;
  const struct discovery *found = straying->found;
  uint64_t missing = (uint64_t)owner->residual + stray_bytes(straying);
  for (object_id object = owner->first; missing && object < found->granules.count; object++)
    if (!is_listed(straying, object) && !(found->flags.items[object] & OBJECT_DAMAGED) &&
        (found->types.items[object] == OBJECT_TABLE ||
         found->types.items[object] == OBJECT_USERDATA) &&
        discovered_bytes(found, object) == missing)
      return object;
  return NO_OBJECT;
}

/* Whether the object is in a block of its own that is in use, as far as the allocator shows that.
 */
static bool is_block_in_use(const struct straying *straying, object_id object) {
  struct vm *vm = straying->vm;
  const struct layout *layout = vm->layout;
  uint64_t address = address_of(straying, object);
  uint64_t bytes = discovered_bytes(straying->found, object);
  if (straying->found->flags.items[object] & OBJECT_DAMAGED || !block_sizes_are_kept(vm))
    return false;
  switch (straying->found->types.items[object]) {
  case OBJECT_TABLE:
    bytes = layout->size[SIZE_Table];
    break;
  case OBJECT_PROTOTYPE:
    bytes = layout->size[SIZE_Proto];
    break;
  case OBJECT_THREAD:
    address -= layout->block_extra;
    bytes = layout->block_extra + (uint64_t)layout->size[SIZE_lua_State];
    break;
  default:
    break;
  }
  return block_fits(vm, address, bytes) && !block_is_given_back(vm, address);
}

/* Whether the VM counts what is on no list: then it was cut off from a list by damage. */
static bool strays_are_counted(const struct straying *straying) {
  uint64_t with = (uint64_t)straying->owner->residual, without = with + stray_bytes(straying);
  return between_lists(straying) == NO_OBJECT && distance(with) < distance(without);
}

/* Whether an object is dropped that is on no list. If the books do not balance without any of them,
 * there may be damage elsewhere; then one that is in a block of its own is kept. */
static bool is_dropped(const struct straying *straying, bool has_balance, object_id object) {
  return !is_listed(straying, object) && (has_balance || !is_block_in_use(straying, object));
}

/* Marks what is on no list as dropped, and takes it out of the books. */
static bool choose_dropped(struct straying *straying) {
  struct heap_vm *owner = straying->owner;
  struct discovery *found = straying->found;
  struct address_map *map = &straying->heap->map;
  if (!bitset_init(&straying->dropped, map->granule_count)) return false;
  object_id moved = between_lists(straying);
  bool has_balance = moved != NO_OBJECT || !((uint64_t)owner->residual + stray_bytes(straying));
  for (object_id object = owner->first; object < found->granules.count; object++) {
    uint32_t granule = found->granules.items[object];
    if (!is_dropped(straying, has_balance, object)) {
      straying->has_kept |= !is_listed(straying, object);
      continue;
    }
    if (object == moved) {
      notes_add(straying->vm, address_of(straying, object),
                "dumped while the %s 0x%llx was on its way from one list of objects to another",
                object_type_name(found->types.items[object]),
                (unsigned long long)address_of(straying, object));
      continue;
    }
    bitset_insert(&straying->dropped, granule);
    map->marks[granule >> 6] &= ~(UINT64_C(1) << (granule & 63));
    map->marked--;
    owner->object_bytes -= discovered_bytes(found, object);
    owner->accounted_bytes -= discovered_bytes(found, object);
    owner->residual += (int64_t)discovered_bytes(found, object);
    owner->coroutines -= found->types.items[object] == OBJECT_THREAD &&
                         !(found->flags.items[object] & OBJECT_DAMAGED);
  }
  return true;
}

/* The place of a dropped target in its object, for the problem. */
static void find_detail(struct straying *straying, uint64_t owner, struct problem *problem) {
  struct visit visit = {0};
  bool no_memory = false;
  if (lua54_visit(straying->vm, owner, TAG_ANY, &visit, &no_memory))
    for (size_t i = 0; i < visit.references.count; i++) {
      const struct raw_reference *reference = &visit.references.items[i];
      if (reference->address != problem->address || reference->kind != problem->reference) continue;
      problem->detail = reference->detail;
      problem->in_hash = reference->in_hash;
      break;
    }
  vector_free(&visit.references);
}

/* Copies the references from `first` to `last` that lead to no dropped object to the end of the
 * list, which has been cut there; adds a problem for each of the others. */
static void keep_references(struct straying *straying, object_id object, uint64_t first,
                            uint64_t last) {
  struct discovery *found = straying->found;
  bool lost_key = false, is_dead = found->flags.items[object] & OBJECT_DEAD;
  for (uint64_t i = first; i < last; i++) {
    uint32_t target = found->targets.items[i];
    uint8_t kind = found->kinds.items[i];
    bool is_dropped = bitset_has(&straying->dropped, target);
    if (lost_key) kind = (uint8_t)reference_without_key(kind, found->flags.items[object]);
    lost_key = kind == REFERENCE_KEY && is_dropped;
    if (!is_dropped) {
      found->targets.items[found->targets.count++] = target;
      found->kinds.items[found->kinds.count++] = kind;
    } else if (!is_dead && kind != REFERENCE_MAYBE_STACK) {
      struct problem problem = {
          .kind = PROBLEM_NOWHERE,
          .object = object,
          .address = address_map_address(&straying->heap->map, target),
          .reference = kind,
          .text = "reference leads to no object",
      };
      find_detail(straying, address_of(straying, object), &problem);
      if (found->problems.count >= MOST_FAULTS || !vector_push(&found->problems, problem))
        found->more_problems++;
    }
  }
}

/* Closes the gaps that dropped objects leave in the arrays. `names` receives the new ids. */
static void compact(struct straying *straying, object_id *names) {
  struct discovery *found = straying->found;
  object_id first = straying->owner->first, kept = first;
  uint64_t end = found->targets.count, block = found->block_first.items[first >> 16];
  uint64_t row = block + found->first.items[first];
  size_t count = found->granules.count, bigs = 0;
  found->targets.count = found->kinds.count = (size_t)row;
  for (object_id object = first; object < count; object++) {
    /* read before it is written: kept is never ahead */
    if ((object + 1) % ROW_BLOCK == 0 && object + 1 < count)
      block = found->block_first.items[(object + 1) >> 16];
    uint64_t next = object + 1 < count ? block + found->first.items[object + 1] : end;
    names[object - first] = NO_OBJECT;
    if (!bitset_has(&straying->dropped, found->granules.items[object])) {
      names[object - first] = kept;
      found->granules.items[kept] = found->granules.items[object];
      found->types.items[kept] = found->types.items[object];
      found->flags.items[kept] = found->flags.items[object];
      found->bytes.items[kept] = found->bytes.items[object];
      discovery_set_row(found, kept, found->targets.count);
      keep_references(straying, kept++, row, next);
    }
    row = next;
  }
  found->granules.count = found->types.count = found->flags.count = kept;
  found->bytes.count = found->first.count = kept;
  found->block_first.count = ((size_t)kept + ROW_BLOCK - 1) / ROW_BLOCK;
  for (size_t i = 0; i < found->bigs.count; i++) {
    struct graph_big big = found->bigs.items[i];
    if (big.object >= first) big.object = names[big.object - first];
    if (big.object != NO_OBJECT) found->bigs.items[bigs++] = big;
  }
  found->bigs.count = bigs;
  straying->owner->count = kept - first;
}

/* Gives the problems from before the new names of their objects; those of dropped objects go. */
static void rename_problems(struct straying *straying, size_t count, const object_id *names) {
  struct discovery *found = straying->found;
  size_t kept = 0;
  for (size_t i = 0; i < found->problems.count; i++) {
    struct problem problem = found->problems.items[i];
    if (i < count && problem.object != NO_OBJECT) {
      problem.object = names[problem.object - straying->owner->first];
      if (problem.object == NO_OBJECT) continue;
    }
    found->problems.items[kept++] = problem;
  }
  found->problems.count = kept;
}

/* A list is damaged: what was not reached hangs on the lost part. */
static void fault_lists(struct straying *straying) {
  faults_add(&straying->vm->faults,
             straying->broken ? straying->broken : straying->vm->global_state,
             straying->broken ? "list of objects does not go on here as it should"
                              : "lists of objects do not hold all objects");
  straying->found->incomplete = true;
}

/* Only what is on no list is in doubt then, as far as lists go: objects of the lost part that are
 * reached were found by references. Lists of roots and finalizers decide more than themselves. */
static bool doubt_unlisted(struct straying *straying) {
  struct discovery *found = straying->found;
  found->broken_at = straying->broken_at;
  if (!straying->broken || straying->is_other_broken) {
    discovery_lose(found, NO_OBJECT, ALL_TYPES);
    return true;
  }
  found->is_list_broken = true;
  for (object_id object = straying->owner->first; object < found->granules.count; object++) {
    struct graph_loss loss = {.object = object, .is_unlisted = true};
    if (!is_listed(straying, object) && !vector_push(&found->losses, loss)) return false;
  }
  return true;
}

static struct inspect_error *drop(struct straying *straying) {
  if (!walk_lists(straying)) return error_no_memory();
  if (straying->broken || strays_are_counted(straying)) {
    fault_lists(straying);
    return doubt_unlisted(straying) ? NULL : error_no_memory();
  }
  size_t problems = straying->found->problems.count;
  object_id *names = malloc((straying->owner->count + (size_t)1) * sizeof *names);
  if (!names || !choose_dropped(straying)) {
    free(names);
    return error_no_memory();
  }
  if (straying->has_kept) {
    fault_lists(straying);
    discovery_lose(straying->found, NO_OBJECT, ALL_TYPES);
  }
  compact(straying, names);
  rename_problems(straying, problems, names);
  free(names);
  return NULL;
}

struct inspect_error *strays_drop(struct heap *heap, size_t index, struct discovery *found) {
  struct heap_vm *owner = &heap->vms[index];
  struct straying straying = {.heap = heap, .owner = owner, .vm = &owner->vm, .found = found};
  struct inspect_error *error = drop(&straying);
  bitset_free(&straying.listed);
  bitset_free(&straying.dropped);
  return error;
}
