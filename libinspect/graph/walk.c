/* walk.c - discovery of one VM's objects.
 *
 * Never a walk along a list: on an aged heap the collector's lists wander through memory, one cache
 * miss at a time. Objects are reached over references first; only when nothing is left to reach,
 * the `next` pointers that were met are followed to the rest, garbage. Each object is touched once:
 * header, size and references are taken in that visit.
 *
 * Objects that wait for their visit are in one of two places:
 *   the queue    found->granules behind the last one visited, first in, first out
 *   a bit set    one bit for each granule, swept from the lowest address to the highest, again and
 *                again, as long as many wait. Neighbours in memory are often neighbours in time,
 * and share pages: it takes half as long where Lua has allocated one after the other A careful walk
 * uses the queue only, and knows of each object what the reference that found it says that it is.
 * The bit set has no room for that: link.c compares each reference with the type of its target, and
 * if anything at all is wrong with the heap, it is walked again with care.
 *
 * Nearly all time goes into waiting for memory, so what will be needed is asked for ahead: of the
 * objects that will be visited the header, then what the header points to; of the objects that
 * references lead to, the words with their marks. So marks are looked at a batch of objects later
 * than references are read.
 *
 * Invariant: a granule is marked when, and only when, it was put into one of the two places; so
 * every object is visited once, and cycles and shared tails end by themselves. References that may
 * lead to freed memory (of dead objects, of stale stack slots) put nothing there. */
#include "graph/walk.h"

#include "base/large.h"
#include "lua/visit.h"

enum {
  BATCH = 16,         /* objects visited before the marks of what they refer to are looked at */
  MOST_TAKEN = 1024,  /* references taken before the same                                     */
  HEADERS_AHEAD = 32, /* of the visit */
  PARTS_AHEAD = 16,   /* of the visit */
  RING = 64,          /* a power of 2, more than HEADERS_AHEAD */
  HEADER_BYTES = 56,  /* read of most objects (of a table, all) */
  MARKS_AHEAD = 16,
  WORDS_PER_VISIT = 32, /* words of the bit set that can be swept in the time of a visit       */
  REPORT_EVERY = 1 << 15,
  TAG_UNTRUSTED = 0xFD, /* of a reference that puts nothing into the queue */
};

/* An object that will be visited soon. */
struct ahead {
  uint64_t address;
  const uint8_t *header; /* in the host          */
  uint64_t available;    /* bytes from there on  */
};

struct walk {
  struct heap *heap;
  struct heap_vm *owner;
  struct vm *vm;
  struct discovery *found;
  struct visit visit;
  bool is_plain; /* see visit.h */
  size_t hint;
  /* References that were read but whose targets were not looked at: from `taken` to the end of
   * found->targets, with the kind of object that each says it leads to. */
  size_t taken, room; /* room: how many more fit in without growing arrays */
  struct VECTOR(uint8_t) tags;
  bool lost_key; /* the last reference was a key that leads nowhere */
  bool no_memory;
  uint32_t nexts[BATCH]; /* where the `next` pointers of the batch lead */
  size_t next_count;
  struct VECTOR(uint32_t) later; /* objects that lists lead to, not in the queue when seen */
  bool is_sweeping;              /* what is discovered goes into `waiting`, not into the queue */
  uint64_t *waiting;             /* the bit set, NULL until it is needed                       */
  size_t waiting_count;
  size_t many;                       /* waiting objects that make sweeping pay */
  struct ahead ring[RING];           /* of the queue's places, modulo RING                     */
  size_t headers_asked, parts_asked; /* places in the queue */
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

/* Notes an object that a list leads to, for mark_batch. */
static inline void take_next(struct walk *walk, uint64_t address) {
  if (!address) return;
  uint32_t granule = address_map_number(&walk->heap->map, address, &walk->hint);
  if (granule == NO_GRANULE) {
    add_problem(walk, &(struct problem){.kind = PROBLEM_LIST,
                                        .object = NO_OBJECT,
                                        .address = address,
                                        .text = "list of objects leads out of the dump"});
    return;
  }
  walk->found->balance -= share(granule);
  __builtin_prefetch(&walk->heap->map.marks[granule >> 6], 1);
  walk->nexts[walk->next_count++] = granule;
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

/* ---- References ------------------------------------------------------------------------------ */

static bool make_room(struct walk *walk) {
  enum { ROOM = 1 << 16 };
  struct discovery *found = walk->found;
  if (!vector_reserve(&found->targets, ROOM) || !vector_reserve(&found->kinds, ROOM)) return false;
  size_t targets = found->targets.capacity - found->targets.count;
  size_t kinds = found->kinds.capacity - found->kinds.count;
  walk->room = targets < kinds ? targets : kinds;
  return true;
}

/* Notes a reference that leads nowhere. */
static void lose(struct walk *walk, enum reference_kind kind, uint64_t address, uint64_t detail,
                 bool in_hash, bool trusted) {
  if (kind == REFERENCE_KEY) walk->lost_key = true;
  if (trusted)
    add_problem(walk, &(struct problem){.kind = PROBLEM_NOWHERE,
                                        .object = (object_id)walk->found->bytes.count,
                                        .address = address,
                                        .detail = detail,
                                        .reference = (uint8_t)kind,
                                        .in_hash = in_hash,
                                        .text = "reference leads out of the dump"});
}

/* Puts the targets of the references that were taken into the queue, unless they are marked. */
static bool queue_taken(struct walk *walk) {
  struct discovery *found = walk->found;
  uint64_t *marks = walk->heap->map.marks;
  size_t count = walk->tags.count, end = found->granules.count;
  if (!vector_reserve(&found->granules, count) || !vector_reserve(&found->types, count) ||
      !vector_reserve(&found->flags, count))
    return false;
  const uint32_t *targets = found->targets.items + walk->taken;
  uint32_t *queue = found->granules.items;
  uint8_t *types = found->types.items, *flags = found->flags.items;
  const uint8_t *tags = walk->tags.items;
  for (size_t i = 0; i < count; i++) {
    uint64_t *word = &marks[targets[i] >> 6], bit = UINT64_C(1) << (targets[i] & 63);
    bool is_trusted = tags[i] != TAG_UNTRUSTED, is_new = is_trusted && !(*word & bit);
    *word |= is_trusted ? bit : 0;
    queue[end] = targets[i];
    types[end] = found->is_careful ? tags[i] : TAG_ANY;
    flags[end] = 0;
    end += is_new;
  }
  walk->heap->map.marked += end - found->granules.count;
  found->granules.count = found->types.count = found->flags.count = end;
  return true;
}

/* The same into the bit set. */
static void set_taken(struct walk *walk) {
  uint64_t *marks = walk->heap->map.marks, *waiting = walk->waiting;
  const uint32_t *targets = walk->found->targets.items + walk->taken;
  const uint8_t *tags = walk->tags.items;
  size_t count = walk->tags.count, found = 0;
  for (size_t i = 0; i < count; i++) {
    size_t word = targets[i] >> 6;
    uint64_t bit = UINT64_C(1) << (targets[i] & 63);
    uint64_t fresh = tags[i] != TAG_UNTRUSTED ? bit & ~marks[word] : 0;
    if (!fresh) continue;
    marks[word] |= fresh;
    waiting[word] |= fresh;
    found++;
  }
  walk->heap->map.marked += found;
  walk->waiting_count += found;
}

static bool mark_taken(struct walk *walk) {
  if (walk->is_sweeping)
    set_taken(walk);
  else if (!queue_taken(walk))
    return false;
  walk->taken = walk->found->targets.count;
  walk->tags.count = 0;
  return true;
}

/* Takes one reference of the object that is being visited: see visit.h. */
static inline void take(struct visitor *visitor, enum reference_kind kind, uint64_t address,
                        uint8_t tag, uint64_t detail, bool in_hash, bool trusted) {
  struct walk *walk = visitor->sink;
  struct discovery *found = walk->found;
  uint32_t granule = address_map_number(&walk->heap->map, address, &walk->hint);
  if (__builtin_expect(walk->lost_key, 0)) { /* an entry without its key: see graph.h */
    walk->lost_key = false;
    if (kind == REFERENCE_FIELD || kind == REFERENCE_KEYED) kind = REFERENCE_INDEX;
  }
  if (__builtin_expect(granule == NO_GRANULE, 0)) {
    lose(walk, kind, address, detail, in_hash, trusted);
    return;
  }
  __builtin_prefetch(&walk->heap->map.marks[granule >> 6], 1);
  if (__builtin_expect(walk->tags.count == MOST_TAKEN, 0) && !mark_taken(walk))
    walk->no_memory = true;
  if (__builtin_expect(!walk->room, 0) && !make_room(walk)) walk->no_memory = true;
  if (__builtin_expect(walk->no_memory, 0)) return;
  walk->room--;
  found->targets.items[found->targets.count++] = granule;
  unsigned type = found->is_careful || tag > sizeof lua54_types ? 0u : lua54_type(tag);
  found->kinds.items[found->kinds.count++] = (uint8_t)((unsigned)kind | type << KIND_BITS);
  walk->tags.items[walk->tags.count++] = trusted ? tag : TAG_UNTRUSTED;
}

/* Looks at the marks of what the batch refers to, and of the objects after its objects. */
static struct inspect_error *mark_batch(struct walk *walk) {
  if (!mark_taken(walk) || !vector_reserve(&walk->later, walk->next_count))
    return error_no_memory();
  for (size_t i = 0; i < walk->next_count; i++)
    if (!address_map_is_marked(&walk->heap->map, walk->nexts[i]))
      walk->later.items[walk->later.count++] = walk->nexts[i];
  walk->next_count = 0;
  return walk->found->granules.count >= NO_OBJECT - 1 ? too_many_objects() : NULL;
}

/* ---- Roots and lists --------------------------------------------------------------------------
 */

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
  take_next(walk, vm_list(vm, global_State_allgc));
  take_next(walk, vm_list(vm, global_State_finobj));
  return mark_batch(walk);
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

/* Visits the object at an address, as what a reference says that it is. */
static inline bool visit_as(struct walk *walk, uint64_t address, uint8_t tag) {
  walk->visit.flags = 0;
  walk->visit.bytes = walk->visit.absurd = 0;
  walk->visit.fault = NULL;
  walk->visit.is_moving = false;
  walk->lost_key = false;
  struct visitor visitor = {
      .vm = walk->vm, .visit = &walk->visit, .address = address, .sink = walk};
  return walk->is_plain ? visit_object(&visitor, tag, true, take)
                        : visit_object(&visitor, tag, false, take);
}

/* Visits an object that is not of the kind that the reference to it says: as what it is, if it is
 * one at all, else it is kept as a damaged one of that kind. */
static bool visit_other(struct walk *walk, size_t index, uint64_t address, uint8_t tag) {
  struct discovery *found = walk->found;
  struct problem problem = {.kind = tag == TAG_ANY ? PROBLEM_LIST : PROBLEM_KIND,
                            .object = (object_id)index,
                            .address = address,
                            .text = tag == TAG_ANY ? "list of objects is broken here"
                                                   : "no object of the kind that a reference says"};
  add_problem(walk, &problem);
  if (tag != TAG_ANY && visit_as(walk, address, TAG_ANY)) return true;
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

/* Lets the next object's references begin at the end of those there are. */
static inline struct inspect_error *begin_row(struct discovery *found) {
  size_t object = found->first.count;
  if (!vector_reserve(&found->first, 1) || !vector_reserve(&found->block_first, 1))
    return error_no_memory();
  if (object % ROW_BLOCK == 0)
    found->block_first.count++;
  else if (found->targets.count - found->block_first.items[object / ROW_BLOCK] > UINT32_MAX)
    return error_create(INSPECT_ERROR_UNSUPPORTED, NULL, "too many references in one place");
  found->first.count++;
  discovery_set_row(found, object, found->targets.count);
  return NULL;
}

static struct inspect_error *read_object(struct walk *walk, size_t index) {
  struct discovery *found = walk->found;
  uint64_t address = walk->ring[index % RING].address;
  uint8_t tag = found->types.items[index];
  found->balance += share(found->granules.items[index]);
  TRY(begin_row(found));
  bool is_object = visit_as(walk, address, tag) || visit_other(walk, index, address, tag);
  if (walk->no_memory) return error_no_memory();
  if (!is_object) return take_size(walk, index);
  struct visit *visit = &walk->visit;
  found->types.items[index] = visit->type;
  uint8_t flags = found->flags.items[index] | visit->flags;
  if (visit->finalizer_bit && !(flags & OBJECT_PENDING)) flags |= OBJECT_HAS_FINALIZER;
  found->flags.items[index] = flags;
  if (visit->type == OBJECT_THREAD && address != walk->vm->main_thread) walk->owner->coroutines++;
  if (visit->fault || visit->absurd || visit->is_moving) take_problems(walk, index, address);
  take_next(walk, visit->next);
  return take_size(walk, index);
}

/* Asks for the memory of objects further on in the queue. */
static inline void look_ahead(struct walk *walk, size_t index) {
  const struct discovery *found = walk->found;
  size_t last = found->granules.count - 1;
  size_t headers = index + HEADERS_AHEAD < last ? index + HEADERS_AHEAD : last;
  for (; walk->headers_asked <= headers; walk->headers_asked++) {
    struct ahead *ahead = &walk->ring[walk->headers_asked % RING];
    ahead->header = address_map_bytes(&walk->heap->map, found->granules.items[walk->headers_asked],
                                      &walk->hint, &ahead->address, &ahead->available);
    if (!ahead->header) continue;
    __builtin_prefetch(ahead->header);
    __builtin_prefetch(ahead->header + HEADER_BYTES - 1);
  }
  size_t parts = index + PARTS_AHEAD < last ? index + PARTS_AHEAD : last;
  for (; walk->parts_asked <= parts; walk->parts_asked++) {
    const struct ahead *ahead = &walk->ring[walk->parts_asked % RING];
    if (ahead->header && ahead->available >= walk->vm->layout->size[SIZE_Table])
      lua54_prefetch(walk->vm, ahead->header);
  }
}

/* ---- The order of visits --------------------------------------------------------------------- */

/* Visits the queue from `*next` to `end`. */
static struct inspect_error *read_queue(struct walk *walk, size_t *next, size_t end) {
  while (*next < end) {
    size_t stop = end - *next < BATCH ? end : *next + BATCH;
    for (; *next < stop; ++*next) {
      look_ahead(walk, *next);
      TRY(read_object(walk, *next));
    }
    TRY(mark_batch(walk));
  }
  return NULL;
}

/* Moves what waits in the queue from `next` on to the bit set. */
static struct inspect_error *begin_sweeping(struct walk *walk, size_t next) {
  struct discovery *found = walk->found;
  size_t words = walk->heap->map.granule_count / 64 + 1;
  if (!walk->waiting) walk->waiting = large_zeroed(words, sizeof *walk->waiting);
  if (!walk->waiting) return error_no_memory();
  for (size_t i = next; i < found->granules.count; i++)
    walk->waiting[found->granules.items[i] >> 6] |= UINT64_C(1) << (found->granules.items[i] & 63);
  walk->waiting_count = found->granules.count - next;
  found->granules.count = found->types.count = found->flags.count = next;
  walk->headers_asked = walk->parts_asked = next;
  walk->is_sweeping = true;
  return NULL;
}

/* Moves the objects of one word of the bit set to the queue. */
static inline struct inspect_error *queue_word(struct walk *walk, size_t word) {
  struct discovery *found = walk->found;
  uint64_t bits = walk->waiting[word];
  walk->waiting[word] = 0;
  if (!vector_reserve(&found->granules, 64) || !vector_reserve(&found->types, 64) ||
      !vector_reserve(&found->flags, 64))
    return error_no_memory();
  for (; bits; bits &= bits - 1) {
    found->granules.items[found->granules.count++] =
        (uint32_t)(word * 64 + (unsigned)__builtin_ctzll(bits));
    found->types.items[found->types.count++] = TAG_ANY;
    found->flags.items[found->flags.count++] = 0;
    walk->waiting_count--;
  }
  return NULL;
}

/* One sweep over the bit set; the queue is kept just long enough to ask for memory ahead. If few
 * objects are left for the next one, they go into the queue. */
static struct inspect_error *sweep(struct walk *walk, size_t *next, const struct work *work) {
  struct discovery *found = walk->found;
  size_t words = walk->heap->map.granule_count / 64 + 1;
  bool is_last = walk->waiting_count < walk->many / 4;
  for (size_t word = 0; word < words; word++) {
    while (walk->waiting[word]) {
      TRY(queue_word(walk, word));
      if (is_last || found->granules.count - *next < HEADERS_AHEAD + BATCH) continue;
      TRY(read_queue(walk, next, found->granules.count - HEADERS_AHEAD));
    }
    if (word % (REPORT_EVERY / 8) == 0 &&
        work_stops(work, "reading objects", walk->owner->object_bytes, walk->owner->vm.heap_bytes))
      return error_interrupted();
  }
  if (is_last) walk->is_sweeping = false;
  return is_last ? NULL : read_queue(walk, next, found->granules.count);
}

/* Visits what waits, and what that leads to, until nothing is left. */
static struct inspect_error *read_objects(struct walk *walk, size_t *next,
                                          const struct work *work) {
  struct discovery *found = walk->found;
  TRY(read_queue(walk, next, found->granules.count)); /* the roots: the bit set has no flags */
  for (;;) {
    while (walk->is_sweeping)
      TRY(sweep(walk, next, work));
    if (*next == found->granules.count) TRY(discover_rest(walk));
    size_t count = found->granules.count - *next;
    if (!count) return NULL;
    if (count > walk->many && !found->is_careful) {
      TRY(begin_sweeping(walk, *next));
      continue;
    }
    size_t before = *next;
    TRY(read_queue(walk, next, *next + (count < BATCH ? count : BATCH)));
    if (*next / REPORT_EVERY != before / REPORT_EVERY &&
        work_stops(work, "reading objects", walk->owner->object_bytes, walk->owner->vm.heap_bytes))
      return error_interrupted();
  }
}

struct inspect_error *walk_vm(struct heap *heap, size_t index, struct discovery *discovery,
                              const struct work *work) {
  struct heap_vm *owner = &heap->vms[index];
  size_t next = discovery->granules.count;
  struct walk walk = {.heap = heap,
                      .owner = owner,
                      .vm = &owner->vm,
                      .found = discovery,
                      .many = heap->map.granule_count / 64 / WORDS_PER_VISIT + 16,
                      .is_plain = visit_is_plain(owner->vm.layout),
                      .taken = discovery->targets.count,
                      .headers_asked = next,
                      .parts_asked = next};
  owner->first = (object_id)next;
  discovery->incomplete_before = discovery->incomplete;
  owner->object_bytes = owner->coroutines = 0;
  discovery->problems.count = 0;
  discovery->more_problems = discovery->balance = discovery->moving_thread = 0;
  discovery->moving_upvalue = false;
  struct inspect_error *error =
      vector_reserve(&walk.tags, MOST_TAKEN) ? discover_roots(&walk) : error_no_memory();
  if (!error) error = read_objects(&walk, &next, work);
  vector_free(&walk.tags);
  vector_free(&walk.later);
  free(walk.waiting);
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
  size_t references = owner->first < discovery->first.count
                          ? (size_t)discovery_row(discovery, owner->first)
                          : discovery->targets.count;
  discovery->granules.count = discovery->types.count = discovery->flags.count = owner->first;
  discovery->bytes.count = discovery->first.count = owner->first;
  discovery->block_first.count = ((size_t)owner->first + ROW_BLOCK - 1) / ROW_BLOCK;
  discovery->targets.count = discovery->kinds.count = references;
  while (discovery->bigs.count &&
         discovery->bigs.items[discovery->bigs.count - 1].object >= owner->first)
    discovery->bigs.count--;
  discovery->incomplete = discovery->incomplete_before;
  owner->vm.faults.list.count = 0;
  owner->vm.faults.more = 0;
  memset(owner->vm.mode_cache, 0, sizeof owner->vm.mode_cache);
}

void discovery_trim(struct discovery *discovery) {
  vector_trim(&discovery->granules);
  vector_trim(&discovery->types);
  vector_trim(&discovery->flags);
  vector_trim(&discovery->bytes);
  vector_trim(&discovery->first);
  vector_trim(&discovery->targets);
  vector_trim(&discovery->kinds);
}

void discovery_free(struct discovery *discovery) {
  vector_free(&discovery->granules);
  vector_free(&discovery->types);
  vector_free(&discovery->flags);
  vector_free(&discovery->bytes);
  vector_free(&discovery->first);
  vector_free(&discovery->block_first);
  vector_free(&discovery->targets);
  vector_free(&discovery->kinds);
  vector_free(&discovery->bigs);
  vector_free(&discovery->problems);
}
