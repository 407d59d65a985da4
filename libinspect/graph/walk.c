/* walk.c - discovery of one VM's objects.
 *
 * Never a walk along a list: on an aged heap the collector's lists wander through memory, one cache
 * miss at a time. Objects are reached over references first; only when nothing is left to reach,
 * the `next` pointers that were met are followed to the rest, garbage. Each object is touched once.
 *
 * Objects that wait for their visit are in one of two places:
 *   the queue    found->granules behind the last one visited, first in, first out
 *   the marks    those that are marked and not in the bit set `visited`: as long as many wait,
 *                memory is swept from the lowest address to the highest, again and again.
 * Neighbours in memory are often neighbours in time, and share pages: it takes half as long where
 * Lua has allocated one after the other. And several readers can take part, each with the next
 * chunk of memory that no other has taken; their logs are put one behind the other in the end A
 * careful walk uses the queue only, and knows of each object what the reference that found it says
 * that it is. The marks have no room for that: link.c compares each reference with the type of its
 * target, and if anything at all is wrong with the heap, it is walked again with care.
 *
 * Invariant: a granule is marked when, and only when, it waits or was visited; a word of `visited`
 * belongs to the one reader that has its chunk; so every object is visited once, and cycles and
 * shared tails end by themselves. */
#include "graph/walk.h"

#include "base/large.h"
#include "base/parallel.h"
#include "graph/append.h"
#include "graph/reader.h"
#include "lua/visit.h"

enum {
  MARKS_AHEAD = 16,
  WORDS_PER_VISIT = 32, /* words of marks that can be swept in the time of a visit      */
  CHUNK_WORDS = 1024,   /* of the marks: the piece of a sweep that a reader takes       */
  SHARED = 4096,        /* waiting objects that are worth the start of more readers     */
  REPORT_EVERY = 1 << 15,
  MOST_READERS = 16,
};

struct walk {
  struct heap *heap;
  struct heap_vm *owner;
  size_t index; /* of the VM */
  const struct work *work;
  struct reader *readers; /* the first one's log is the result */
  size_t reader_count, most_readers;
  struct discovery logs[MOST_READERS]; /* of the readers but the first */
  uint64_t *visited;                   /* a bit for each granule, NULL until it is needed      */
  size_t words;                        /* of the marks */
  size_t next_chunk;                   /* of the sweep: shared */
  bool is_stopped;                     /* shared: an error is known */
  struct inspect_error *errors[MOST_READERS];
};

static struct reader *first_reader(struct walk *walk) { return &walk->readers[0]; }

/* Objects that are marked and in no log. */
static uint64_t waiting(struct walk *walk) {
  uint64_t logged = 0;
  for (size_t i = 0; i < walk->reader_count; i++) {
    walk->heap->map.marked += walk->readers[i].marked;
    walk->readers[i].marked = 0;
    logged += walk->readers[i].found->granules.count;
  }
  return walk->heap->map.marked - logged;
}

/* ---- Roots and lists --------------------------------------------------------------------------
 */

/* Whether the object at `header` can be on a list of objects that are roots: fixed are strings only
 * (lgc.c: luaC_fix), with a finalizer are tables and userdata that are marked so
 * (luaC_checkfinalizer). A damaged link must not make roots of others. */
static bool may_be_listed(const struct layout *layout, const uint8_t *header, uint8_t flags) {
  enum object_type type = lua54_type((uint8_t)load_field(layout, header, GCObject_tt));
  if (flags & OBJECT_FIXED) return type == OBJECT_STRING;
  return (type == OBJECT_TABLE || type == OBJECT_USERDATA) &&
         load_field(layout, header, GCObject_marked) & MARKED_FINALIZED;
}

/* Puts a whole list into the queue, one after the other. */
static struct inspect_error *discover_list(struct reader *reader, enum layout_field list,
                                           uint8_t flags) {
  const struct layout *layout = reader->vm.layout;
  uint64_t head = vm_list(&reader->vm, list);
  for (uint64_t address = head; address;) {
    size_t before = reader->found->granules.count;
    uint32_t granule;
    const uint8_t *header = memory_view(&reader->vm.memory, address, 2 * layout->pointer_size);
    if (!header || !may_be_listed(layout, header, flags)) {
      reader_add_problem(reader, &(struct problem){.kind = PROBLEM_ROOTS,
                                                   .object = NO_OBJECT,
                                                   .address = address,
                                                   .text = "list of objects is broken here"});
      break;
    }
    TRY(reader_discover(reader, address, TAG_ANY, flags, &granule));
    if (address == head && granule != NO_GRANULE) reader->found->balance -= reader_share(granule);
    if (reader->found->granules.count == before) break;
    address = load_field(layout, header, GCObject_next);
  }
  return NULL;
}

static struct inspect_error *discover_roots(struct reader *reader) {
  struct vm *vm = &reader->vm;
  const struct layout *layout = vm->layout;
  uint32_t granule;
  TRY(discover_list(reader, global_State_tobefnz, OBJECT_PENDING));
  TRY(discover_list(reader, global_State_fixedgc, OBJECT_FIXED));
  TRY(reader_discover(reader, vm->main_thread, TAG_THREAD, 0, &granule));
  if (vm->registry) TRY(reader_discover(reader, vm->registry, TAG_TABLE, 0, &granule));
  const uint8_t *global =
      memory_view(&vm->memory, vm->global_state, layout->size[SIZE_global_State]);
  enum { BASIC_TYPES = 9 };
  for (unsigned i = 0; global && i < BASIC_TYPES; i++) {
    uint64_t metatable = load_pointer(layout, global + layout->place[global_State_mt].offset +
                                                  i * layout->pointer_size);
    if (metatable) TRY(reader_discover(reader, metatable, TAG_TABLE, 0, &granule));
  }
  reader_take_next(reader, vm_list(vm, global_State_allgc));
  reader_take_next(reader, vm_list(vm, global_State_finobj));
  return reader_mark(reader);
}

/* Puts the objects that only lists lead to into the queue: what was seen since the last time. */
static struct inspect_error *discover_rest(struct walk *walk) {
  struct address_map *map = &walk->heap->map;
  struct discovery *found = first_reader(walk)->found;
  for (size_t r = 0; r < walk->reader_count; r++) {
    const uint32_t *later = walk->readers[r].later.items;
    size_t count = walk->readers[r].later.count;
    if (!vector_reserve(&found->granules, count) || !vector_reserve(&found->types, count) ||
        !vector_reserve(&found->flags, count))
      return error_no_memory();
    for (size_t i = 0; i < count; i++) {
      if (i + MARKS_AHEAD < count) __builtin_prefetch(&map->marks[later[i + MARKS_AHEAD] >> 6], 1);
      if (!address_map_mark(map, later[i])) continue;
      if (found->granules.count >= NO_OBJECT - 1) return reader_too_many();
      found->granules.items[found->granules.count++] = later[i];
      found->types.items[found->types.count++] = TAG_ANY;
      found->flags.items[found->flags.count++] = 0;
    }
    walk->readers[r].later.count = 0;
  }
  return NULL;
}

/* ---- Sweeping ---------------------------------------------------------------------------------
 */

static bool reports(struct walk *walk) {
  uint64_t bytes = first_reader(walk)->object_bytes * walk->reader_count;
  return work_stops(walk->work, "reading objects", bytes, walk->owner->vm.heap_bytes);
}

/* Makes what is in the queue from `next` on wait in the marks. */
static struct inspect_error *begin_sweeping(struct walk *walk, size_t next) {
  struct reader *reader = first_reader(walk);
  const struct discovery *found = reader->found;
  if (!walk->visited) walk->visited = large_alloc(walk->words, sizeof *walk->visited);
  if (!walk->visited) return error_no_memory();
  memcpy(walk->visited, walk->heap->map.marks, walk->words * sizeof *walk->visited);
  for (size_t i = next; i < found->granules.count; i++)
    walk->visited[found->granules.items[i] >> 6] &=
        ~(UINT64_C(1) << (found->granules.items[i] & 63));
  reader_cut(reader, next);
  for (size_t i = 0; i < walk->reader_count; i++)
    walk->readers[i].is_sweeping = true;
  return NULL;
}

/* Moves the waiting objects of one word to the reader's queue; false if there is none. */
static inline bool queue_word(struct walk *walk, struct reader *reader, size_t word,
                              struct inspect_error **error) {
  struct discovery *found = reader->found;
  uint64_t marks = __atomic_load_n(&walk->heap->map.marks[word], __ATOMIC_RELAXED);
  uint64_t bits = marks & ~walk->visited[word];
  if (!bits) return false;
  walk->visited[word] |= bits;
  if (!vector_reserve(&found->granules, 64) || !vector_reserve(&found->types, 64) ||
      !vector_reserve(&found->flags, 64)) {
    *error = error_no_memory();
    return false;
  }
  uint32_t *queue = found->granules.items + found->granules.count;
  size_t count = 0;
  for (; bits; bits &= bits - 1)
    queue[count++] = (uint32_t)(word * 64 + (unsigned)__builtin_ctzll(bits));
  memset(found->types.items + found->types.count, TAG_ANY, count);
  memset(found->flags.items + found->flags.count, 0, count);
  found->granules.count = found->types.count = found->flags.count = found->granules.count + count;
  return true;
}

/* One reader's part of a sweep. The queue is kept just long enough to ask for memory ahead. */
static struct inspect_error *sweep_chunks(struct walk *walk, struct reader *reader) {
  enum { LENGTH = READER_HEADERS_AHEAD + READER_BATCH };
  const struct discovery *found = reader->found;
  struct inspect_error *error = NULL;
  size_t next = found->bytes.count;
  while (!__atomic_load_n(&walk->is_stopped, __ATOMIC_RELAXED)) {
    size_t chunk = __atomic_fetch_add(&walk->next_chunk, 1, __ATOMIC_RELAXED);
    if (chunk * CHUNK_WORDS >= walk->words)
      return reader_read(reader, &next, found->granules.count);
    size_t word = chunk * CHUNK_WORDS, left = walk->words - word;
    for (size_t end = word + (left < CHUNK_WORDS ? left : CHUNK_WORDS); word < end; word++)
      while (queue_word(walk, reader, word, &error))
        if (found->granules.count - next >= LENGTH)
          TRY(reader_read(reader, &next, found->granules.count - READER_HEADERS_AHEAD));
    if (error) return error;
    if (reader == first_reader(walk) && chunk % 32 == 0 && reports(walk))
      return error_interrupted();
  }
  return NULL;
}

static void sweep_part(void *context, size_t number) {
  struct walk *walk = context;
  walk->errors[number] = sweep_chunks(walk, &walk->readers[number]);
  if (walk->errors[number]) __atomic_store_n(&walk->is_stopped, true, __ATOMIC_RELAXED);
}

/* Adds readers, as many as may be. */
static struct inspect_error *add_readers(struct walk *walk) {
  while (walk->reader_count < walk->most_readers) {
    struct discovery *log = &walk->logs[walk->reader_count];
    discovery_prepare(log, walk->heap, walk->owner->vm.heap_bytes);
    TRY(reader_init(&walk->readers[walk->reader_count], walk->heap, walk->index, log));
    walk->readers[walk->reader_count].stops = &walk->is_stopped;
    walk->readers[walk->reader_count++].is_sweeping = true;
  }
  for (size_t i = 0; i < walk->reader_count; i++)
    walk->readers[i].is_shared = walk->reader_count > 1;
  return NULL;
}

/* One sweep over all memory. */
static struct inspect_error *sweep(struct walk *walk, size_t *next) {
  uint64_t count = waiting(walk);
  if (count >= SHARED) TRY(add_readers(walk));
  walk->next_chunk = 0;
  parallel_run(count >= SHARED ? walk->reader_count : 1, sweep_part, walk);
  *next = first_reader(walk)->found->granules.count;
  struct inspect_error *error = NULL;
  for (size_t i = 0; i < walk->reader_count; i++) {
    if (error)
      inspect_error_free(walk->errors[i]);
    else
      error = walk->errors[i];
    walk->errors[i] = NULL;
  }
  return error;
}

/* Puts the few objects that wait into the queue. */
static struct inspect_error *end_sweeping(struct walk *walk) {
  struct inspect_error *error = NULL;
  for (size_t word = 0; word < walk->words; word++)
    (void)queue_word(walk, first_reader(walk), word, &error);
  for (size_t i = 0; i < walk->reader_count; i++)
    walk->readers[i].is_sweeping = false;
  return error;
}

/* Visits what waits, and what that leads to, until nothing is left. */
static struct inspect_error *read_objects(struct walk *walk, size_t *next) {
  struct reader *reader = first_reader(walk);
  const struct discovery *found = reader->found;
  size_t many = walk->words / WORDS_PER_VISIT + READER_BATCH; /* so many are worth a sweep */
  TRY(reader_read(reader, next, found->granules.count));      /* the roots: marks have no flags */
  for (;;) {
    while (reader->is_sweeping) {
      TRY(sweep(walk, next));
      if (waiting(walk) < many / 4) TRY(end_sweeping(walk));
    }
    if (*next == found->granules.count) TRY(discover_rest(walk));
    size_t count = found->granules.count - *next, before = *next;
    if (!count) return NULL;
    if (count > many && !found->is_careful) {
      TRY(begin_sweeping(walk, *next));
      continue;
    }
    TRY(reader_read(reader, next, *next + (count < READER_BATCH ? count : READER_BATCH)));
    if (*next / REPORT_EVERY != before / REPORT_EVERY && reports(walk)) return error_interrupted();
  }
}

/* ---- The whole ------------------------------------------------------------------------------- */

/* Puts all logs together. */
static struct inspect_error *merge(struct walk *walk) {
  struct inspect_error *error = NULL;
  struct heap_vm *owner = walk->owner;
  for (size_t i = 0; i < walk->reader_count; i++) {
    struct reader *reader = &walk->readers[i];
    if (i && !error) error = discovery_append(first_reader(walk)->found, reader->found, walk->work);
    if (i) discovery_free(reader->found);
    owner->object_bytes += reader->object_bytes;
    owner->coroutines += reader->coroutines;
    reader_free(reader);
  }
  return error;
}

struct inspect_error *walk_vm(struct heap *heap, size_t index, struct discovery *discovery,
                              const struct work *work) {
  struct heap_vm *owner = &heap->vms[index];
  size_t next = discovery->granules.count;
  struct walk walk = {.heap = heap,
                      .owner = owner,
                      .index = index,
                      .work = work,
                      .words = heap->map.granule_count / 64 + 1};
  walk.most_readers = discovery->is_careful ? 1 : work_threads(work);
  if (walk.most_readers > MOST_READERS) walk.most_readers = MOST_READERS;
  walk.readers = calloc(walk.most_readers, sizeof *walk.readers);
  if (!walk.readers) return error_no_memory();
  owner->first = (object_id)next;
  discovery->incomplete_before = discovery->incomplete;
  discovery->losses_before = discovery->losses.count;
  discovery->broken_at = 0;
  discovery->is_list_broken = false;
  owner->object_bytes = owner->coroutines = 0;
  discovery->problems.count = 0;
  discovery->more_problems = discovery->balance = discovery->moving_thread = 0;
  discovery->moving_upvalue = false;
  walk.reader_count = 1;
  struct inspect_error *error = reader_init(walk.readers, heap, index, discovery);
  walk.readers->work = work;
  if (!error) error = discover_roots(walk.readers);
  if (!error) error = read_objects(&walk, &next);
  (void)waiting(&walk); /* sums up the marks */
  free(walk.visited);
  struct inspect_error *merging = merge(&walk);
  if (!error)
    error = merging;
  else
    inspect_error_free(merging);
  free(walk.readers);
  owner->count = (uint32_t)(discovery->granules.count - owner->first);
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
  discovery->losses.count = discovery->losses_before;
  owner->vm.faults.list.count = 0;
  owner->vm.faults.more = 0;
  memset(owner->vm.mode_cache, 0, sizeof owner->vm.mode_cache);
}

void discovery_prepare(struct discovery *discovery, const struct heap *heap, uint64_t bytes) {
  enum { SMALL_OBJECT = 40, SMALL_REFERENCE = 16, LITTLE = 1 << 24 };
  uint64_t most = heap->map.granule_count << heap->map.shift;
  if (bytes > most) bytes = most;
  if (bytes < LITTLE) return;
  size_t objects = (size_t)bytes / SMALL_OBJECT, references = (size_t)bytes / SMALL_REFERENCE;
  vector_prepare(&discovery->granules, objects);
  vector_prepare(&discovery->types, objects);
  vector_prepare(&discovery->flags, objects);
  vector_prepare(&discovery->bytes, objects);
  vector_prepare(&discovery->first, objects);
  vector_prepare(&discovery->targets, references);
  vector_prepare(&discovery->kinds, references);
}

bool discovery_trim(struct discovery *discovery) {
  if (!vector_reserve(&discovery->first, 1) || !vector_reserve(&discovery->block_first, 1))
    return false;
  discovery->first.count++; /* where the last row ends */
  vector_trim(&discovery->first);
  discovery->first.count--;
  vector_trim(&discovery->granules);
  vector_trim(&discovery->types);
  vector_trim(&discovery->flags);
  vector_trim(&discovery->bytes);
  vector_trim(&discovery->targets);
  vector_trim(&discovery->kinds);
  return true;
}

void discovery_lose(struct discovery *discovery, object_id object, uint8_t types) {
  struct graph_loss loss = {.object = object, .types = types};
  discovery->incomplete = true;
  if (!vector_push(&discovery->losses, loss)) discovery->forgets_losses = true;
}

void discovery_free(struct discovery *discovery) {
  vector_free(&discovery->losses);
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
  vector_free(&discovery->words);
}
