/* trackers_read.c - the entries of a tracker, and the verdict on what they watch.
 *
 * A million records lie anywhere in memory: what the next ones need is asked for ahead. Of a record
 * only the numbers are read; its texts are left where they are until they are shown
 * (trackers_text.c). */
#include "base/large.h"
#include "command/trackers_parts.h"

enum { OBJECTS_AHEAD = 24, RECORDS_AHEAD = 12 };

struct reader {
  struct inspect_session *session;
  struct heap_vm *owner;
  struct trackers *trackers;
  struct tracker *tracker;
  const struct work *work;
  uint64_t seen;
  bool stopped;
  size_t hint; /* of the address map */
};

/* ---- Records --------------------------------------------------------------------------------- */

static struct lua_value record_field(struct vm *vm, const struct lua_table *record, uint64_t key,
                                     int64_t index) {
  struct lua_value found_key, value;
  if (index && table_find_integer(vm, record, index, &value)) return value;
  for (uint64_t i = 0; key && i < record->node_count; i++) {
    table_entry(vm, record, i, &found_key, &value);
    if (found_key.bits == key && is_text(found_key)) return value;
  }
  return (struct lua_value){.tag = TAG_NIL};
}

/* Where a string object lies, NO_GRANULE if the value is none. */
static uint32_t text_place(struct reader *reader, struct lua_value value) {
  return is_text(value) ? address_map_number(&reader->session->heap.map, value.bits, &reader->hint)
                        : NO_GRANULE;
}

static void read_record(struct reader *reader, const struct lua_table *record,
                        struct tracked *tracked) {
  struct vm *vm = &reader->owner->vm;
  const struct tracker *tracker = reader->tracker;
  tracked->text = text_place(
      reader, record_field(vm, record, tracker->description_key, tracker->description_index));
  tracked->created =
      number_of(vm, record_field(vm, record, tracker->time_key, tracker->time_index));
}

/* What leakwatch alone records. */
static bool read_extra(struct reader *reader, const struct lua_table *record,
                       struct tracked *tracked) {
  struct vm *vm = &reader->owner->vm;
  const struct tracker *tracker = reader->tracker;
  struct tracked_extra extra = {.retired = NAN, .trace = NO_GRANULE};
  if (record && tracker->retired_key) {
    struct lua_value retired = record_field(vm, record, tracker->retired_key, 0);
    tracked->is_retired = is_number(retired) || retired.tag == TAG_TRUE;
    extra.retired = number_of(vm, retired);
  }
  if (record && tracker->trace_key)
    extra.trace = text_place(reader, record_field(vm, record, tracker->trace_key, 0));
  return vector_push(&reader->trackers->extras, extra);
}

/* ---- Entries --------------------------------------------------------------------------------- */

static enum verdict verdict_of(const struct reader *reader, object_id object) {
  const struct collection *collection = &reader->session->collection;
  if (object == NO_OBJECT || reader->session->heap.graph.type[object] == OBJECT_STRING)
    return VERDICT_NEVER;
  if (bitset_has(&collection->live, object)) return VERDICT_LEAKED;
  if (reader->session->heap.graph.incomplete) return VERDICT_UNKNOWN;
  if (bitset_has(&collection->finalizer, object)) return VERDICT_FINALIZER;
  return VERDICT_GARBAGE;
}

/* heap_object_at, where neighbours lie near each other. */
static object_id object_at(struct reader *reader, uint64_t address) {
  const struct heap *heap = &reader->session->heap;
  uint32_t granule = address_map_number(&heap->map, address, &reader->hint);
  if (granule == NO_GRANULE || !address_map_is_marked(&heap->map, granule)) return NO_OBJECT;
  return heap->by_rank[address_map_rank(&heap->map, granule)];
}

/* False: out of memory, or stopped. */
static bool add_entry(struct reader *reader, struct lua_value watched, struct lua_value value) {
  if ((reader->seen++ & 4095) == 0 && work_stops(reader->work, "reading trackers", 0, 0)) {
    reader->stopped = true;
    return false;
  }
  struct tracker *tracker = reader->tracker;
  struct tracked tracked = {.object = NO_OBJECT,
                            .held_by = NO_OBJECT,
                            .cause = UINT32_MAX,
                            .text = NO_GRANULE,
                            .created = NAN,
                            .tracker = (uint32_t)reader->trackers->list.count};
  if (value_is_object(watched)) tracked.object = object_at(reader, watched.bits);
  tracked.verdict = (uint8_t)verdict_of(reader, tracked.object);
  struct lua_table record;
  bool is_record = value.tag == (TAG_TABLE | TAG_COLLECTABLE) &&
                   !table_load(&reader->owner->vm, value.bits, &record);
  if (is_record)
    read_record(reader, &record, &tracked);
  else
    tracked.text = text_place(reader, value);
  if (tracker_has_extras(tracker) && !read_extra(reader, is_record ? &record : NULL, &tracked))
    return false;
  tracker->entries++;
  tracker->verdicts[tracked.verdict]++;
  return vector_push(&reader->trackers->entries, tracked);
}

/* Touches what the entries that come next will need: far ahead the header of the record and the map
 * at the object, nearer what the header points to. */
static void look_ahead(struct reader *reader, const struct lua_table *table, uint64_t index) {
  struct vm *vm = &reader->owner->vm;
  const struct address_map *map = &reader->session->heap.map;
  struct lua_value key, value;
  if (index + OBJECTS_AHEAD >= table->node_count) return;
  table_entry(vm, table, index + OBJECTS_AHEAD, &key, &value);
  if (value_is_object(value))
    __builtin_prefetch(memory_view(&vm->memory, value.bits, vm->layout->size[SIZE_Table]));
  uint32_t granule =
      value_is_object(key) ? address_map_number(map, key.bits, &reader->hint) : NO_GRANULE;
  if (granule != NO_GRANULE) address_map_prefetch(map, granule);
  table_entry(vm, table, index + RECORDS_AHEAD, &key, &value);
  const uint8_t *header = value.tag == (TAG_TABLE | TAG_COLLECTABLE)
                              ? memory_view(&vm->memory, value.bits, vm->layout->size[SIZE_Table])
                              : NULL;
  if (header) lua54_prefetch(vm, header);
  granule = value_is_object(key) ? address_map_number(map, key.bits, &reader->hint) : NO_GRANULE;
  if (granule != NO_GRANULE && address_map_is_marked(map, granule))
    __builtin_prefetch(&reader->session->heap.by_rank[address_map_rank(map, granule)]);
}

/* The watched object is the weak side: the key, or the value of a table with weak values only. */
static bool read_entries(struct reader *reader, const struct lua_table *table) {
  struct vm *vm = &reader->owner->vm;
  uint8_t flags = reader->session->heap.graph.flags[reader->tracker->table];
  bool by_value = (flags & OBJECT_WEAK_VALUES) && !(flags & OBJECT_WEAK_KEYS);
  struct trackers *trackers = reader->trackers;
  size_t before = trackers->entries.count, most = (size_t)(table->array_size + table->node_count);
  if (!most) return true;
  if (!vector_reserve(&trackers->entries, most)) return false;
  large_advise(trackers->entries.items + before, most * sizeof *trackers->entries.items);
  for (uint64_t i = 0; i < table->array_size; i++) {
    struct lua_value key = {.tag = TAG_INTEGER, .bits = i + 1};
    struct lua_value value = table_array_value(vm, table, i);
    if (value_is_empty(value)) continue;
    if (!(by_value ? add_entry(reader, value, key) : add_entry(reader, key, value))) return false;
  }
  for (uint64_t i = 0; i < table->node_count; i++) {
    struct lua_value key, value;
    look_ahead(reader, table, i);
    table_entry(vm, table, i, &key, &value);
    if (value_is_empty(value)) continue;
    if (!(by_value ? add_entry(reader, value, key) : add_entry(reader, key, value))) return false;
  }
  return true;
}

struct inspect_error *tracker_read(struct inspect_session *session, const struct work *work,
                                   struct trackers *trackers, struct tracker *tracker) {
  struct heap_vm *owner = &session->heap.vms[tracker->vm];
  struct lua_table table;
  struct reader reader = {
      .session = session, .owner = owner, .trackers = trackers, .tracker = tracker, .work = work};
  if (table_load(&owner->vm, heap_address(&session->heap, tracker->table), &table)) return NULL;
  tracker->first = trackers->entries.count;
  tracker->first_extra = trackers->extras.count;
  if (read_entries(&reader, &table) && vector_push(&trackers->list, *tracker)) return NULL;
  return reader.stopped ? error_interrupted() : error_no_memory();
}
