/* trackers_read.c - the entries of a tracker, and the verdict on what they watch.
 *
 * A table's slots, those of its array and then its nodes, are divided into pieces, which threads
 * take one by one. They are gone through twice: the first time entries and references are counted,
 * so that each piece knows where its entries go and which references of the table are its own; what
 * is watched need not be looked up by address then (unless references were lost). The second time
 * the entries are read. A million records lie anywhere in memory: what the next ones need is asked
 * for ahead. Of a record only the numbers are read; its texts are left where they are until they
 * are shown (trackers_text.c).
 *
 * Invariant: entries lie as their slots do, whoever has read them. */
#include "base/large.h"
#include "base/parallel.h"
#include "command/trackers_parts.h"
#include "lua/visit.h"

enum {
  PIECE = 4096,
  MOST_PARTS = 16,
  HEADERS_AHEAD = 24,
  NODES_AHEAD = 12,
  RECORD_BYTES = 192, /* of a record's nodes: asked for ahead */
  LINE = 64,
};

/* What may be read of a record. */
enum field { DESCRIPTION, TIME, RETIRED, TRACE, FIELD_COUNT };

/* Before a piece, after the count. */
struct place {
  size_t entries;
  uint64_t references;
};

struct reading {
  struct inspect_session *session;
  struct trackers *trackers;
  struct tracker *tracker;
  const struct work *work;
  const struct lua_table *table;
  bool is_plain, by_value, has_leftovers; /* of the table: see visit.h */
  uint64_t keys[FIELD_COUNT];             /* of records; 0: none */
  int64_t indexes[FIELD_COUNT];
  struct place *places; /* of each piece, and of the end */
  size_t piece_count, next_piece;
  struct tracked *entries;
  struct tracked_extra *extras; /* NULL: there are none */
  const object_id *targets;     /* of the table's references; NULL: some were lost */
  bool stopped;
  uint64_t verdicts[MOST_PARTS][VERDICT_COUNT];
};

/* A thread's own. */
struct reader {
  struct reading *reading;
  struct vm vm; /* a copy, for its caches */
  size_t hint;  /* of the address map     */
  uint64_t verdicts[VERDICT_COUNT];
};

struct slot {
  struct lua_value key, value;
};

INLINE struct slot slot_at(struct reader *reader, bool plain, uint64_t number) {
  const struct lua_table *table = reader->reading->table;
  const struct visitor visitor = {.vm = &reader->vm};
  struct slot slot;
  if (number < table->array_size) {
    slot.key = (struct lua_value){.tag = TAG_INTEGER, .bits = number + 1};
    slot.value = visit_array_value(&visitor, plain, table, number);
  } else {
    visit_entry(&visitor, plain, table, number - table->array_size, &slot.key, &slot.value);
  }
  return slot;
}

INLINE bool leads(struct lua_value value) { return value_class(value.tag) == VALUE_OBJECT; }

/* ---- Records --------------------------------------------------------------------------------- */

/* Each field by its index, or the first that has its key. */
INLINE void read_fields(struct reader *reader, bool plain, const struct lua_table *record,
                        struct lua_value *fields) {
  const struct reading *reading = reader->reading;
  const struct visitor visitor = {.vm = &reader->vm};
  unsigned left = 0;
  for (unsigned i = 0; i < FIELD_COUNT; i++) {
    fields[i] = (struct lua_value){.tag = TAG_NIL};
    int64_t index = reading->indexes[i];
    if (index && table_find_integer(&reader->vm, record, index, &fields[i])) continue;
    fields[i] = (struct lua_value){.tag = TAG_NIL};
    left |= (unsigned)(reading->keys[i] != 0) << i;
  }
  for (uint64_t i = 0; left && i < record->node_count; i++) {
    struct lua_value key, value;
    visit_entry(&visitor, plain, record, i, &key, &value);
    if (!is_text(key)) continue;
    for (unsigned j = 0; j < FIELD_COUNT; j++) {
      if (key.bits != reading->keys[j] || !(left >> j & 1)) continue;
      fields[j] = value;
      left &= ~(1u << j);
    }
  }
}

/* Where a string object lies, NO_GRANULE if the value is none. */
static inline uint32_t text_place(struct reader *reader, struct lua_value value) {
  return is_text(value) ? address_map_number(reader->vm.memory.map, value.bits, &reader->hint)
                        : NO_GRANULE;
}

/* What leakwatch alone records. */
static struct tracked_extra extra_of(struct reader *reader, const struct lua_value *fields,
                                     struct tracked *tracked) {
  const struct reading *reading = reader->reading;
  struct tracked_extra extra = {.retired = NAN, .trace = NO_GRANULE};
  if (reading->keys[RETIRED]) {
    tracked->is_retired = is_number(fields[RETIRED]) || fields[RETIRED].tag == TAG_TRUE;
    extra.retired = number_of(&reader->vm, fields[RETIRED]);
  }
  if (reading->keys[TRACE]) extra.trace = text_place(reader, fields[TRACE]);
  return extra;
}

/* ---- Entries --------------------------------------------------------------------------------- */

static inline enum verdict verdict_of(const struct inspect_session *session, object_id object) {
  const struct collection *collection = &session->collection;
  if (object == NO_OBJECT || session->heap.graph.type[object] == OBJECT_STRING)
    return VERDICT_NEVER;
  if (bitset_has(&collection->live, object)) return VERDICT_LEAKED;
  if (session_doubts(session, object)) return VERDICT_UNKNOWN;
  if (bitset_has(&collection->finalizer, object)) return VERDICT_FINALIZER;
  return VERDICT_GARBAGE;
}

/* The watched object: `references` are those of the slot and what follows. */
INLINE object_id watched_object(struct reader *reader, struct slot slot,
                                const object_id *references) {
  const struct reading *reading = reader->reading;
  struct lua_value watched = reading->by_value ? slot.value : slot.key;
  if (!value_is_object(watched)) return NO_OBJECT;
  if (!references || !leads(watched)) return heap_object_at(&reading->session->heap, watched.bits);
  return references[reading->by_value && leads(slot.key)];
}

INLINE void read_entry(struct reader *reader, bool plain, struct slot slot,
                       const object_id *references, size_t place) {
  const struct reading *reading = reader->reading;
  struct lua_value described = reading->by_value ? slot.key : slot.value;
  struct tracked tracked = {.object = watched_object(reader, slot, references),
                            .held_by = NO_OBJECT,
                            .cause = UINT32_MAX,
                            .text = NO_GRANULE,
                            .created = NAN,
                            .tracker = (uint32_t)reading->trackers->list.count};
  tracked.verdict = (uint8_t)verdict_of(reading->session, tracked.object);
  reader->verdicts[tracked.verdict]++;
  struct lua_value fields[FIELD_COUNT] = {{.tag = TAG_NIL}};
  struct tracked_extra extra = {.retired = NAN, .trace = NO_GRANULE};
  struct lua_table record;
  if (described.tag == (TAG_TABLE | TAG_COLLECTABLE) &&
      !table_load(&reader->vm, described.bits, &record)) {
    read_fields(reader, plain, &record, fields);
    tracked.text = text_place(reader, fields[DESCRIPTION]);
    tracked.created = number_of(&reader->vm, fields[TIME]);
    if (reading->extras) extra = extra_of(reader, fields, &tracked);
  } else {
    tracked.text = text_place(reader, described);
  }
  if (reading->extras) reading->extras[place] = extra;
  reading->entries[place] = tracked;
}

/* Asks for what the slots that come next will need: further on the header of the record, nearer
 * what the header points to. */
INLINE void look_ahead(struct reader *reader, bool plain, uint64_t slot, uint64_t end) {
  struct vm *vm = &reader->vm;
  const uint8_t record = TAG_TABLE | TAG_COLLECTABLE;
  uint64_t size = vm->layout->size[SIZE_Table];
  if (slot + HEADERS_AHEAD < end) {
    struct lua_value value = slot_at(reader, plain, slot + HEADERS_AHEAD).value;
    const uint8_t *header = value.tag == record ? memory_view(&vm->memory, value.bits, size) : NULL;
    __builtin_prefetch(header);
    if (header) __builtin_prefetch(header + size - 1);
  }
  if (slot + NODES_AHEAD >= end) return;
  struct lua_value value = slot_at(reader, plain, slot + NODES_AHEAD).value;
  const uint8_t *header = value.tag == record ? memory_view(&vm->memory, value.bits, size) : NULL;
  if (!header) return;
  const uint8_t *nodes =
      memory_view(&vm->memory, load_field(vm->layout, header, Table_node), RECORD_BYTES);
  for (size_t i = 0; nodes && i < RECORD_BYTES; i += LINE)
    __builtin_prefetch(nodes + i);
}

/* ---- Pieces ---------------------------------------------------------------------------------- */

static uint64_t slot_count(const struct reading *reading) {
  return reading->table->array_size + reading->table->node_count;
}

INLINE void count_piece(struct reader *reader, bool plain, uint64_t begin, uint64_t end,
                        size_t piece) {
  const struct reading *reading = reader->reading;
  struct place count = {0};
  for (uint64_t i = begin; i < end; i++) {
    struct slot slot = slot_at(reader, plain, i);
    if (value_is_empty(slot.value)) {
      count.references += reading->has_leftovers && is_text(slot.key);
      continue;
    }
    count.entries++;
    count.references += (unsigned)leads(slot.key) + leads(slot.value);
  }
  reading->places[piece] = count;
}

INLINE void read_piece(struct reader *reader, bool plain, uint64_t begin, uint64_t end,
                       size_t piece) {
  enum { OBJECTS_AHEAD = 32 };
  const struct reading *reading = reader->reading;
  struct place place = reading->places[piece];
  uint64_t last = slot_count(reading);
  const struct graph *graph = &reading->session->heap.graph;
  for (uint64_t i = begin; i < end; i++) {
    look_ahead(reader, plain, i, last);
    struct slot slot = slot_at(reader, plain, i);
    if (value_is_empty(slot.value)) {
      place.references += reading->has_leftovers && is_text(slot.key);
      continue;
    }
    const object_id *references = reading->targets ? reading->targets + place.references : NULL;
    if (references &&
        place.references + OBJECTS_AHEAD < reading->places[reading->piece_count].references)
      __builtin_prefetch(&graph->type[references[OBJECTS_AHEAD]]);
    read_entry(reader, plain, slot, references, place.entries++);
    place.references += (unsigned)leads(slot.key) + leads(slot.value);
  }
}

static void take_pieces(struct reading *reading, size_t part, bool counts) {
  struct heap_vm *owner = &reading->session->heap.vms[reading->tracker->vm];
  struct reader reader = {.reading = reading, .vm = owner->vm};
  while (!__atomic_load_n(&reading->stopped, __ATOMIC_RELAXED)) {
    size_t piece = __atomic_fetch_add(&reading->next_piece, 1, __ATOMIC_RELAXED);
    if (piece >= reading->piece_count) break;
    uint64_t begin = (uint64_t)piece * PIECE, left = slot_count(reading) - begin;
    uint64_t end = begin + (left < PIECE ? left : PIECE);
    if (counts && reading->is_plain)
      count_piece(&reader, true, begin, end, piece);
    else if (counts)
      count_piece(&reader, false, begin, end, piece);
    else if (reading->is_plain)
      read_piece(&reader, true, begin, end, piece);
    else
      read_piece(&reader, false, begin, end, piece);
    size_t before = counts ? 0 : reading->piece_count; /* all are counted before they are read */
    if (!part &&
        work_stops(reading->work, "reading trackers", before + piece, 2 * reading->piece_count))
      __atomic_store_n(&reading->stopped, true, __ATOMIC_RELAXED);
  }
  memcpy(reading->verdicts[part], reader.verdicts, sizeof reader.verdicts);
}

static void count_part(void *reading, size_t part) { take_pieces(reading, part, true); }

static void read_part(void *reading, size_t part) { take_pieces(reading, part, false); }

static void run(struct reading *reading, void (*part)(void *, size_t)) {
  size_t parts = work_threads(reading->work);
  if (parts > reading->piece_count) parts = reading->piece_count;
  reading->next_piece = 0;
  parallel_run(parts < MOST_PARTS ? parts : MOST_PARTS, part, reading);
}

/* ---- The table ------------------------------------------------------------------------------- */

/* Turns the counts of pieces into where each begins. */
static void place_pieces(struct reading *reading) {
  struct place next = {0};
  for (size_t i = 0; i <= reading->piece_count; i++) {
    struct place count = reading->places[i];
    reading->places[i] = next;
    next.entries += count.entries;
    next.references += count.references;
  }
}

/* The row of the table, without its metatable, if it has all that its slots refer to. */
static const object_id *targets_of(const struct reading *reading) {
  const struct graph *graph = &reading->session->heap.graph;
  uint64_t first = graph_first(graph, reading->tracker->table) + (reading->table->metatable != 0);
  uint64_t count = reading->places[reading->piece_count].references;
  bool is_whole = graph_first(graph, (uint64_t)reading->tracker->table + 1) == first + count;
  return is_whole ? graph->target + first : NULL;
}

/* Makes room for all entries. */
static bool reserve(struct reading *reading, size_t count) {
  struct trackers *trackers = reading->trackers;
  bool has_extras = tracker_has_extras(reading->tracker);
  if (!vector_reserve(&trackers->entries, count) ||
      (has_extras && !vector_reserve(&trackers->extras, count)))
    return false;
  reading->entries = trackers->entries.items + trackers->entries.count;
  large_advise(reading->entries, count * sizeof *reading->entries);
  reading->extras = has_extras ? trackers->extras.items + trackers->extras.count : NULL;
  return true;
}

/* False: out of memory, or stopped. */
static bool read_entries(struct reading *reading) {
  struct trackers *trackers = reading->trackers;
  struct tracker *tracker = reading->tracker;
  run(reading, count_part);
  if (reading->stopped) return false;
  place_pieces(reading);
  reading->targets = targets_of(reading);
  size_t count = reading->places[reading->piece_count].entries;
  if (!count) return true;
  if (!reserve(reading, count)) return false;
  run(reading, read_part);
  if (reading->stopped) return false;
  trackers->entries.count += count;
  if (reading->extras) trackers->extras.count += count;
  tracker->entries = count;
  for (size_t part = 0; part < MOST_PARTS; part++)
    for (unsigned i = 0; i < VERDICT_COUNT; i++)
      tracker->verdicts[i] += reading->verdicts[part][i];
  return true;
}

struct inspect_error *tracker_read(struct inspect_session *session, const struct work *work,
                                   struct trackers *trackers, struct tracker *tracker) {
  struct heap_vm *owner = &session->heap.vms[tracker->vm];
  struct lua_table table;
  if (table_load(&owner->vm, heap_address(&session->heap, tracker->table), &table)) return NULL;
  uint8_t flags = session->heap.graph.flags[tracker->table];
  bool weak_keys = flags & OBJECT_WEAK_KEYS, weak_values = flags & OBJECT_WEAK_VALUES;
  struct reading reading = {
      .session = session,
      .trackers = trackers,
      .tracker = tracker,
      .work = work,
      .table = &table,
      .is_plain = visit_is_plain(owner->vm.layout),
      .by_value = weak_values && !weak_keys, /* the watched object is the weak side */
      .has_leftovers = weak_values && weak_keys,
      .keys = {tracker->description_key, tracker->time_key, tracker->retired_key,
               tracker->trace_key},
      .indexes = {tracker->description_index, tracker->time_index},
  };
  reading.piece_count = (size_t)((slot_count(&reading) + PIECE - 1) / PIECE);
  reading.places = calloc(reading.piece_count + 1, sizeof *reading.places);
  if (!reading.places) return error_no_memory();
  tracker->first = trackers->entries.count;
  tracker->first_extra = trackers->extras.count;
  bool is_read = read_entries(&reading) && vector_push(&trackers->list, *tracker);
  free(reading.places);
  if (is_read) return NULL;
  return reading.stopped ? error_interrupted() : error_no_memory();
}
