/* reader.c - visiting objects: header, size and references of each are taken in one touch.
 *
 * Nearly all time goes into waiting for memory, so what will be needed is asked for ahead: of the
 * objects that will be visited the header, then what the header points to; of the objects that
 * references lead to, the words with their marks. So marks are looked at a batch of objects later
 * than references are read.
 *
 * Invariant: references that may lead to freed memory (of dead objects, of stale stack slots) mark
 * nothing and put nothing into the queue. */
#include "graph/reader.h"

#include "lua/visit.h"

enum {
  MOST_TAKEN = 1024,    /* references taken before their marks are looked at */
  PARTS_AHEAD = 16,     /* of the visit: what headers point to */
  HEADER_BYTES = 56,    /* read of most objects (of a table, all) */
  TAG_UNTRUSTED = 0xFD, /* of a reference that marks nothing */
};

void reader_add_problem(struct reader *reader, const struct problem *problem) {
  struct discovery *found = reader->found;
  if (found->problems.count >= MOST_FAULTS || !vector_push(&found->problems, *problem))
    found->more_problems++;
}

struct inspect_error *reader_too_many(void) {
  return error_create(INSPECT_ERROR_UNSUPPORTED,
                      "lua-states --brief still tells which VMs there are",
                      "the heap has 2^32 objects or more");
}

struct inspect_error *reader_too_dense(void) {
  return error_create(INSPECT_ERROR_UNSUPPORTED,
                      "lua-states --brief still tells which VMs there are",
                      "too many references in one place");
}

struct inspect_error *reader_init(struct reader *reader, struct heap *heap, size_t index,
                                  struct discovery *found) {
  const struct vm *vm = &heap->vms[index].vm;
  size_t next = found->granules.count;
  *reader = (struct reader){.heap = heap,
                            .vm = *vm,
                            .found = found,
                            .is_plain = visit_is_plain(vm->layout),
                            .taken = found->targets.count,
                            .headers_asked = next,
                            .parts_asked = next};
  return vector_reserve(&reader->tags, MOST_TAKEN) ? NULL : error_no_memory();
}

void reader_free(struct reader *reader) {
  vector_free(&reader->tags);
  vector_free(&reader->later);
}

void reader_cut(struct reader *reader, size_t next) {
  struct discovery *found = reader->found;
  found->granules.count = found->types.count = found->flags.count = next;
  reader->headers_asked = reader->parts_asked = next;
}

struct inspect_error *reader_discover(struct reader *reader, uint64_t address, uint8_t tag,
                                      uint8_t flags, uint32_t *granule) {
  struct address_map *map = &reader->heap->map;
  *granule = address_map_number(map, address, &reader->hint);
  if (*granule == NO_GRANULE || !address_map_mark(map, *granule)) return NULL;
  if (reader->found->granules.count >= NO_OBJECT - 1) return reader_too_many();
  if (!vector_push(&reader->found->granules, *granule) ||
      !vector_push(&reader->found->types, tag) || !vector_push(&reader->found->flags, flags))
    return error_no_memory();
  return NULL;
}

void reader_take_next(struct reader *reader, uint64_t address) {
  if (!address) return;
  uint32_t granule = address_map_number(&reader->heap->map, address, &reader->hint);
  if (granule == NO_GRANULE) {
    reader_add_problem(reader, &(struct problem){.kind = PROBLEM_LIST,
                                                 .object = NO_OBJECT,
                                                 .address = address,
                                                 .text = "list of objects leads out of the dump"});
    return;
  }
  reader->found->balance -= reader_share(granule);
  __builtin_prefetch(&reader->heap->map.marks[granule >> 6], 1);
  reader->nexts[reader->next_count++] = granule;
}

/* ---- References ------------------------------------------------------------------------------ */

/* Notes a reference that leads nowhere. */
static void lose(struct reader *reader, enum reference_kind kind, uint64_t address, uint64_t detail,
                 bool in_hash, bool trusted) {
  if (kind == REFERENCE_KEY) reader->lost_key = true;
  if (trusted)
    reader_add_problem(reader, &(struct problem){.kind = PROBLEM_NOWHERE,
                                                 .object = (object_id)reader->found->bytes.count,
                                                 .address = address,
                                                 .detail = detail,
                                                 .reference = (uint8_t)kind,
                                                 .in_hash = in_hash,
                                                 .text = "reference leads out of the dump"});
}

/* Marks an object; returns whether it is new. */
static inline bool mark_shared(uint64_t *word, uint64_t bit) {
  return !(__atomic_load_n(word, __ATOMIC_RELAXED) & bit) &&
         !(__atomic_fetch_or(word, bit, __ATOMIC_RELAXED) & bit);
}

/* Puts the targets of the references that were taken into the queue, unless they are marked. */
static void queue_taken(struct reader *reader, size_t count) {
  struct discovery *found = reader->found;
  const uint32_t *targets = found->targets.items + reader->taken;
  uint64_t *marks = reader->heap->map.marks;
  uint32_t *queue = found->granules.items + found->granules.count;
  size_t end = 0;
  for (size_t i = 0; i < count; i++) {
    uint64_t *word = &marks[targets[i] >> 6], bit = UINT64_C(1) << (targets[i] & 63);
    bool is_new = !(*word & bit);
    *word |= bit;
    queue[end] = targets[i];
    end += is_new;
  }
  memset(found->types.items + found->types.count, TAG_ANY, end);
  memset(found->flags.items + found->flags.count, 0, end);
  found->granules.count = found->types.count = found->flags.count = found->granules.count + end;
  reader->marked += end;
}

/* The same with the tags that the references say. */
static void queue_carefully(struct reader *reader, size_t count) {
  struct discovery *found = reader->found;
  const uint32_t *targets = found->targets.items + reader->taken;
  uint64_t *marks = reader->heap->map.marks;
  size_t end = found->granules.count;
  for (size_t i = 0; i < count; i++) {
    uint64_t *word = &marks[targets[i] >> 6], bit = UINT64_C(1) << (targets[i] & 63);
    uint8_t tag = reader->tags.items[i];
    if (tag == TAG_UNTRUSTED || *word & bit) continue;
    *word |= bit;
    found->granules.items[end] = targets[i];
    found->types.items[end] = tag;
    found->flags.items[end++] = 0;
  }
  reader->marked += end - found->granules.count;
  found->granules.count = found->types.count = found->flags.count = end;
}

/* Only marks them. */
static void set_taken(struct reader *reader, size_t count) {
  const uint32_t *targets = reader->found->targets.items + reader->taken;
  uint64_t *marks = reader->heap->map.marks, marked = 0;
  for (size_t i = 0; i < count; i++) {
    uint64_t *word = &marks[targets[i] >> 6], bit = UINT64_C(1) << (targets[i] & 63);
    if (reader->is_shared) {
      marked += mark_shared(word, bit);
    } else if (!(*word & bit)) {
      *word |= bit;
      marked++;
    }
  }
  reader->marked += marked;
}

static bool mark_taken(struct reader *reader) {
  struct discovery *found = reader->found;
  size_t count = found->targets.count - reader->taken;
  found->kinds.count = found->targets.count;
  if (!count) return true;
  if (reader->is_sweeping)
    set_taken(reader, count);
  else if (!vector_reserve(&found->granules, count) || !vector_reserve(&found->types, count) ||
           !vector_reserve(&found->flags, count))
    return false;
  else if (found->is_careful)
    queue_carefully(reader, count);
  else
    queue_taken(reader, count);
  reader->taken = found->targets.count;
  reader->tags.count = 0;
  return true;
}

/* An object may have millions of references. */
static bool stops(const struct reader *reader) {
  uint64_t bytes = reader->object_bytes, all = reader->vm.heap_bytes;
  if (reader->stops && __atomic_load_n(reader->stops, __ATOMIC_RELAXED)) return true;
  return work_stops(reader->work, "reading objects", bytes < all ? bytes : all, all);
}

/* Looks at the marks of what was taken, and makes room for more. */
static bool make_room(struct reader *reader) {
  struct discovery *found = reader->found;
  reader->is_stopped = stops(reader);
  if (reader->is_stopped || !mark_taken(reader) || !vector_reserve(&found->targets, MOST_TAKEN) ||
      !vector_reserve(&found->kinds, MOST_TAKEN))
    return false;
  reader->room = MOST_TAKEN;
  return true;
}

/* The reference that was taken last is not to be believed, or its tag is wanted. */
static __attribute__((noinline)) void note_tag(struct reader *reader, uint8_t tag, bool trusted) {
  struct discovery *found = reader->found;
  if (found->is_careful) {
    reader->tags.items[reader->tags.count++] = trusted ? tag : TAG_UNTRUSTED;
  } else if (!trusted) { /* passed over */
    found->targets.count--;
    reader->no_memory |= !mark_taken(reader);
    reader->taken = ++found->targets.count;
  }
}

/* Takes one reference of the object that is being visited: see visit.h. */
INLINE void take(struct visitor *visitor, enum reference_kind kind, uint64_t address, uint8_t tag,
                 uint64_t detail, bool in_hash, bool trusted) {
  struct reader *reader = visitor->sink;
  struct discovery *found = reader->found;
  uint32_t granule = address_map_number(&reader->heap->map, address, &reader->hint);
  if (__builtin_expect(reader->lost_key, 0)) { /* an entry without its key: see graph.h */
    reader->lost_key = false;
    kind = reference_without_key(kind, reader->visit.flags);
  }
  if (__builtin_expect(granule == NO_GRANULE, 0) ||
      (__builtin_expect(found->is_careful, 0) &&
       lua54_is_leftover(&reader->vm, reader->visit.type, kind, address, tag))) {
    lose(reader, kind, address, detail, in_hash, trusted);
    return;
  }
  __builtin_prefetch(&reader->heap->map.marks[granule >> 6], 1);
  if (__builtin_expect(!reader->room, 0) && !make_room(reader)) reader->no_memory = true;
  if (__builtin_expect(reader->no_memory, 0)) return;
  reader->room--;
  size_t place = found->targets.count++;
  unsigned type = found->is_careful || tag > sizeof lua54_types ? 0u : lua54_type(tag);
  found->targets.items[place] = granule;
  found->kinds.items[place] = (uint8_t)((unsigned)kind | type << KIND_BITS);
  if (__builtin_expect(!trusted || found->is_careful, 0)) note_tag(reader, tag, trusted);
}

static inline bool is_marked(const struct reader *reader, uint32_t granule) {
  return __atomic_load_n(&reader->heap->map.marks[granule >> 6], __ATOMIC_RELAXED) >>
             (granule & 63) &
         1;
}

struct inspect_error *reader_mark(struct reader *reader) {
  if (!mark_taken(reader) || !vector_reserve(&reader->later, reader->next_count))
    return error_no_memory();
  for (size_t i = 0; i < reader->next_count; i++)
    if (!is_marked(reader, reader->nexts[i]))
      reader->later.items[reader->later.count++] = reader->nexts[i];
  reader->next_count = 0;
  return reader->found->granules.count >= NO_OBJECT - 1 ? reader_too_many() : NULL;
}

/* ---- One object ------------------------------------------------------------------------------ */

/* Makes room for a batch of objects. */
static bool make_rows(struct discovery *found) {
  return vector_reserve(&found->bytes, READER_BATCH) &&
         vector_reserve(&found->first, READER_BATCH) &&
         vector_reserve(&found->block_first, READER_BATCH);
}

static inline struct inspect_error *take_size(struct reader *reader, size_t index) {
  struct discovery *found = reader->found;
  uint64_t bytes = reader->visit.bytes;
  reader->object_bytes += bytes;
  bool is_big = bytes >= BIG_OBJECT;
  found->bytes.items[found->bytes.count++] = is_big ? (uint16_t)BIG_OBJECT : (uint16_t)bytes;
  if (__builtin_expect(!is_big, 1)) return NULL;
  struct graph_big big = {.object = (object_id)index, .bytes = bytes};
  return vector_push(&found->bigs, big) ? NULL : error_no_memory();
}

/* Visits the object at an address, as what a reference says that it is. */
/* For targets that are not plain: no haste. */
static void take_slowly(struct visitor *visitor, enum reference_kind kind, uint64_t address,
                        uint8_t tag, uint64_t detail, bool in_hash, bool trusted) {
  take(visitor, kind, address, tag, detail, in_hash, trusted);
}

static inline bool visit_as(struct reader *reader, uint64_t address, uint8_t tag) {
  reader->visit.flags = 0;
  reader->visit.bytes = reader->visit.absurd = 0;
  reader->visit.fault = NULL;
  reader->visit.is_moving = false;
  reader->lost_key = false;
  struct visitor visitor = {
      .vm = &reader->vm, .visit = &reader->visit, .address = address, .sink = reader};
  return reader->is_plain ? visit_object(&visitor, tag, true, take)
                          : visit_object(&visitor, tag, false, take_slowly);
}

/* Visits an object that is not of the kind that the reference to it says: as what it is, if it is
 * one at all, else it is kept as a damaged one of that kind. */
static bool visit_other(struct reader *reader, size_t index, uint64_t address, uint8_t tag) {
  struct discovery *found = reader->found;
  struct problem problem = {.kind = tag == TAG_ANY ? PROBLEM_LIST : PROBLEM_KIND,
                            .object = (object_id)index,
                            .address = address,
                            .text = tag == TAG_ANY ? "list of objects is broken here"
                                                   : "no object of the kind that a reference says"};
  reader_add_problem(reader, &problem);
  if (tag != TAG_ANY && visit_as(reader, address, TAG_ANY)) return true;
  enum object_type type = tag == TAG_ANY_STRING ? OBJECT_STRING : lua54_type(tag);
  found->types.items[index] = (uint8_t)(type == OBJECT_TYPE_COUNT ? OBJECT_STRING : type);
  found->flags.items[index] |= OBJECT_DAMAGED;
  reader->visit.bytes = 0;
  return false;
}

/* What the visit could not make sense of. A dead object may have been freed in part. */
static void take_problems(struct reader *reader, size_t index, uint64_t address) {
  const struct visit *visit = &reader->visit;
  struct discovery *found = reader->found;
  if (found->flags.items[index] & OBJECT_DEAD) return;
  if (visit->is_moving && visit->type == OBJECT_THREAD) found->moving_thread = address;
  if (visit->is_moving && visit->type == OBJECT_UPVALUE) found->moving_upvalue = true;
  struct problem problem = {.object = (object_id)index, .address = address};
  if (visit->fault) {
    problem.kind = PROBLEM_PART;
    problem.address = visit->fault_address;
    problem.text = visit->fault;
    reader_add_problem(reader, &problem);
  }
  if (visit->absurd) {
    problem.kind = PROBLEM_VALUES;
    problem.address = address;
    problem.text = "object holds values of no kind that Lua has";
    reader_add_problem(reader, &problem);
  }
}

/* Lets the next object's references begin at the end of those there are. */
static inline struct inspect_error *begin_row(struct discovery *found) {
  size_t object = found->first.count;
  if (object % ROW_BLOCK == 0)
    found->block_first.count++;
  else if (found->targets.count - found->block_first.items[object / ROW_BLOCK] > UINT32_MAX)
    return reader_too_dense();
  found->first.count++;
  discovery_set_row(found, object, found->targets.count);
  return NULL;
}

static struct inspect_error *read_object(struct reader *reader, size_t index) {
  struct discovery *found = reader->found;
  uint64_t address = reader->ring[index % READER_RING].address;
  uint8_t tag = found->types.items[index];
  found->balance += reader_share(found->granules.items[index]);
  TRY(begin_row(found));
  bool is_object = visit_as(reader, address, tag) || visit_other(reader, index, address, tag);
  if (reader->is_stopped) return error_interrupted();
  if (reader->no_memory) return error_no_memory();
  if (!is_object) return take_size(reader, index);
  struct visit *visit = &reader->visit;
  found->types.items[index] = visit->type;
  uint8_t flags = found->flags.items[index] | visit->flags;
  if (visit->finalizer_bit && !(flags & OBJECT_PENDING)) flags |= OBJECT_HAS_FINALIZER;
  found->flags.items[index] = flags;
  if (visit->type == OBJECT_THREAD && address != reader->vm.main_thread) reader->coroutines++;
  if (visit->fault || visit->absurd || visit->is_moving) take_problems(reader, index, address);
  reader_take_next(reader, visit->next);
  return take_size(reader, index);
}

/* Asks for the memory of objects further on in the queue. */
static inline void look_ahead(struct reader *reader, size_t index) {
  const struct discovery *found = reader->found;
  const struct address_map *map = &reader->heap->map;
  size_t last = found->granules.count - 1, place = reader->headers_asked;
  size_t headers = index + READER_HEADERS_AHEAD < last ? index + READER_HEADERS_AHEAD : last;
  for (; place <= headers; place++) {
    struct ahead *ahead = &reader->ring[place % READER_RING];
    ahead->header = address_map_bytes(map, found->granules.items[place], &reader->hint,
                                      &ahead->address, &ahead->available);
    if (!ahead->header) continue;
    __builtin_prefetch(ahead->header);
    __builtin_prefetch(ahead->header + HEADER_BYTES - 1);
  }
  reader->headers_asked = place;
  size_t parts = index + PARTS_AHEAD < last ? index + PARTS_AHEAD : last;
  uint64_t least = reader->vm.layout->size[SIZE_Table];
  for (place = reader->parts_asked; place <= parts; place++) {
    const struct ahead *ahead = &reader->ring[place % READER_RING];
    if (ahead->header && ahead->available >= least) lua54_prefetch(&reader->vm, ahead->header);
  }
  reader->parts_asked = place;
}

struct inspect_error *reader_read(struct reader *reader, size_t *next, size_t end) {
  while (*next < end) {
    size_t stop = end - *next < READER_BATCH ? end : *next + READER_BATCH;
    if (!make_rows(reader->found)) return error_no_memory();
    for (; *next < stop; ++*next) {
      look_ahead(reader, *next);
      TRY(read_object(reader, *next));
    }
    TRY(reader_mark(reader));
  }
  return NULL;
}
