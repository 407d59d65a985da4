/* trackers.c - finding trackers, and reading their records.
 *
 * The names of a record's fields are not fixed. A sample of records decides once per table which
 * key is the description and which the time (record_keys); keys are interned strings, so after that
 * a record is read by comparing addresses. */
#include "command/trackers.h"

#include <math.h>

#include "base/large.h"

enum { OBJECTS_AHEAD = 24, RECORDS_AHEAD = 12, TEXTS_BEHIND = 16 };
enum { SAMPLE = 32, LARGEST_RECORD = 64 };
static const double CLOCK_TICK = 0.02; /* how far the kernel's account of CPU time may lag        */
static const double EPOCH_MIN = 1e9, EPOCH_MAX = 4e9, DAY = 86400;

const char *tracker_kind_name(enum tracker_kind kind) {
  static const char *const NAMES[] = {"leakwatch", "found", "named", "candidate"};
  return NAMES[kind];
}

const char *verdict_name(enum verdict verdict) {
  static const char *const NAMES[] = {"leaked", "garbage", "finalizer", "never", "unknown"};
  return NAMES[verdict];
}

/* ---- Records --------------------------------------------------------------------------------- */

static bool is_number(struct lua_value value) {
  return value.tag == TAG_INTEGER || value.tag == TAG_FLOAT;
}

static double number_of(const struct vm *vm, struct lua_value value) {
  if (value.tag == TAG_INTEGER) return (double)value_integer(vm, value);
  return value.tag == TAG_FLOAT ? value_number(vm, value) : NAN;
}

static bool is_text(struct lua_value value) {
  return value_is_object(value) && value_is_string(value);
}

/* How well a field's name suits a role: 2 named so, 1 contains it, 0 says nothing. */
static int name_score(const char *name, size_t size, const char *const *words) {
  int score = 0;
  for (; *words; words++) {
    size_t length = strlen(*words);
    if (length == size && memcmp(name, *words, size) == 0) return 2;
    if (length >= 4 && memmem(name, size, *words, length)) score = 1;
  }
  return score;
}

static const char *const DESCRIPTION_WORDS[] = {"description", "desc", "what",  "info", "name",
                                                "label",       "text", "title", "msg",  NULL};
static const char *const TIME_WORDS[] = {"time",  "created", "birth", "since", "clock", "date",
                                         "stamp", "when",    "born",  "t",     NULL};

/* A number that can only be a moment: seconds since 1970, from 2001 to a day after `now`. */
static bool is_epoch(double number, double now) {
  return number >= EPOCH_MIN && number <= now + DAY;
}

/* What a field is must not depend on when the dump is said to have been taken: that may be wrong.
 */
static bool looks_like_epoch(double number) { return number >= EPOCH_MIN && number <= EPOCH_MAX; }

struct role {
  uint64_t key;  /* string object, 0 if the record is an array */
  int64_t index; /* of an array                                */
  int score;     /* -1: nothing found                          */
  const char *name;
  size_t size;
};

/* Takes the better of two; equal ones by the name's text, so that hashing does not decide. */
static void consider(struct role *best, struct role other) {
  if (other.score < best->score) return;
  if (other.score == best->score) {
    size_t shorter = other.size < best->size ? other.size : best->size;
    int order = shorter ? memcmp(other.name, best->name, shorter) : 0;
    if (order > 0 || (order == 0 && other.size >= best->size)) return;
  }
  *best = other;
}

/* Which fields of one record are its description and its time. */
static bool record_roles(struct vm *vm, uint64_t address, struct role *description,
                         struct role *time) {
  struct lua_table record;
  *description = *time = (struct role){.score = -1};
  if (table_load(vm, address, &record) || record.node_count > LARGEST_RECORD) return false;
  for (int64_t i = 1; i <= 4;
       i++) { /* in the array part or not: that depends on how it was filled */
    struct lua_value value;
    if (!table_find_integer(vm, &record, i, &value)) continue;
    struct role role = {.index = i, .name = "", .score = 0};
    if (is_text(value) && description->score < 0) *description = role;
    if (is_number(value) && time->score < 0 && looks_like_epoch(number_of(vm, value))) *time = role;
  }
  for (uint64_t i = 0; i < record.node_count; i++) {
    struct lua_value key, value;
    table_entry(vm, &record, i, &key, &value);
    if (value_is_empty(value) || !is_text(key)) continue;
    struct role role = {.key = key.bits};
    role.name = string_bytes(vm, key.bits, &role.size);
    if (!role.name) continue;
    if (is_text(value)) {
      role.score = name_score(role.name, role.size, DESCRIPTION_WORDS);
      consider(description, role);
    } else if (is_number(value)) {
      role.score = name_score(role.name, role.size, TIME_WORDS);
      if (role.score == 0 && !looks_like_epoch(number_of(vm, value))) continue;
      consider(time, role);
    }
  }
  return description->score >= 0 && time->score >= 0;
}

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

/* ---- Recognising ----------------------------------------------------------------------------- */

/* The metatable of leakwatch's tables holds its version; the names of fields are fixed then. */
static bool is_leakwatch(struct vm *vm, const struct lua_table *table) {
  struct lua_table metatable;
  struct lua_value version;
  return table->metatable && !table_load(vm, table->metatable, &metatable) &&
         table_find(vm, &metatable, "leakwatch", 9, &version) && is_number(version) &&
         number_of(vm, version) >= 1;
}

struct sample {
  unsigned records, texts, others;
  struct role description, time;
};

/* Looks at the first entries of a weak table. Texts under text keys watch nothing: that is the
 * __mode = "k" of a table that is its own metatable. */
static struct sample take_sample(struct vm *vm, const struct lua_table *table) {
  struct sample sample = {.description = {.score = -1}, .time = {.score = -1}};
  unsigned seen = 0;
  for (uint64_t i = 0; i < table->node_count && seen < SAMPLE; i++) {
    struct lua_value key, value;
    table_entry(vm, table, i, &key, &value);
    if (value_is_empty(value) || (is_text(key) && is_text(value))) continue;
    seen++;
    struct role description = {.score = -1}, time = {.score = -1};
    if (is_text(value)) {
      sample.texts++;
    } else if (value.tag == (TAG_TABLE | TAG_COLLECTABLE)) {
      bool is_record = record_roles(vm, value.bits, &description, &time);
      sample.records += is_record;
      sample.others += !is_record;
      if (description.score > sample.description.score) sample.description = description;
      if (time.score > sample.time.score) sample.time = time;
    } else {
      sample.others++;
    }
  }
  return sample;
}

static uint64_t key_named(struct vm *vm, const struct lua_table *table, const char *name) {
  for (uint64_t i = 0; i < table->node_count; i++) {
    struct lua_value key, value;
    struct lua_table record;
    table_entry(vm, table, i, &key, &value);
    if (value_is_empty(value) || value.tag != (TAG_TABLE | TAG_COLLECTABLE) ||
        table_load(vm, value.bits, &record))
      continue;
    for (uint64_t j = 0; j < record.node_count; j++) {
      struct lua_value field, content;
      table_entry(vm, &record, j, &field, &content);
      if (is_text(field) && string_equals(vm, field.bits, name, strlen(name))) return field.bits;
    }
  }
  return 0;
}

static void recognise(struct vm *vm, const struct lua_table *table, struct tracker *tracker,
                      bool *is_candidate, bool *is_tracker) {
  struct sample sample = take_sample(vm, table);
  tracker->description_key = sample.description.key;
  tracker->description_index = sample.description.index;
  tracker->time_key = sample.time.key;
  tracker->time_index = sample.time.index;
  *is_tracker = sample.records > 0 && sample.records >= sample.texts + sample.others;
  *is_candidate = !*is_tracker && sample.texts > 0 && sample.texts >= sample.others;
  tracker->kind = *is_tracker ? TRACKER_FOUND : TRACKER_CANDIDATE;
  if (!is_leakwatch(vm, table)) return;
  tracker->kind = TRACKER_LEAKWATCH;
  *is_tracker = true;
  tracker->description_key = key_named(vm, table, "description");
  tracker->time_key = key_named(vm, table, "time");
  tracker->retired_key = key_named(vm, table, "retired");
  tracker->trace_key = key_named(vm, table, "trace");
  tracker->description_index = tracker->time_index = 0;
}

/* ---- Reading entries ------------------------------------------------------------------------- */

struct reader {
  struct inspect_session *session;
  struct heap_vm *owner;
  struct trackers *trackers;
  struct tracker *tracker;
  const struct work *work;
  uint64_t seen;
  bool stopped;
  double now;
  size_t hint;                  /* of the address map                                         */
  uint64_t texts[TEXTS_BEHIND]; /* descriptions of the last entries, still to be read: by the
                                   entry's position modulo their number; 0: none              */
  size_t finished;              /* entries whose description was read                         */
};

static enum verdict verdict_of(const struct reader *reader, object_id object) {
  const struct collection *collection = &reader->session->collection;
  if (object == NO_OBJECT || reader->session->heap.graph.type[object] == OBJECT_STRING)
    return VERDICT_NEVER;
  if (bitset_has(&collection->live, object)) return VERDICT_LEAKED;
  if (bitset_has(&collection->finalizer, object)) return VERDICT_FINALIZER;
  if (reader->session->heap.graph.incomplete) return VERDICT_UNKNOWN;
  return VERDICT_GARBAGE;
}

/* Seconds since 1970 count against the dump's time, small numbers against the CPU time used (they
 * look like os.clock); anything else is not guessed. */
static double age_of(const struct reader *reader, double created) {
  double cpu = reader->session->source->cpu_time;
  if (is_epoch(created, reader->now)) return created < reader->now ? reader->now - created : 0;
  if (created >= 0 && cpu >= 0 && created <= cpu + CLOCK_TICK) return fmax(cpu - created, 0);
  return NAN;
}

static const char *text_of(struct vm *vm, uint64_t string, uint32_t *size) {
  size_t length = 0;
  const char *bytes = string_bytes(vm, string, &length);
  *size = length < UINT32_MAX ? (uint32_t)length : UINT32_MAX;
  return bytes;
}

/* Reads a record, but for the description: returns the string object that is it, or 0. */
static uint64_t read_record(const struct reader *reader, struct lua_value value,
                            struct tracked *tracked) {
  struct vm *vm = &reader->owner->vm;
  const struct tracker *tracker = reader->tracker;
  struct lua_value description = value;
  struct lua_table record;
  if (value.tag == (TAG_TABLE | TAG_COLLECTABLE) && !table_load(vm, value.bits, &record)) {
    description = record_field(vm, &record, tracker->description_key, tracker->description_index);
    struct lua_value time = record_field(vm, &record, tracker->time_key, tracker->time_index);
    tracked->created = is_number(time) ? number_of(vm, time) : NAN;
    if (tracker->retired_key) {
      struct lua_value retired = record_field(vm, &record, tracker->retired_key, 0);
      tracked->is_retired = is_number(retired) || retired.tag == TAG_TRUE;
      tracked->retired = is_number(retired) ? number_of(vm, retired) : NAN;
    }
  }
  if (tracker->trace_key && value.tag == (TAG_TABLE | TAG_COLLECTABLE)) {
    struct lua_value trace = record_field(vm, &record, tracker->trace_key, 0);
    if (is_text(trace)) tracked->trace = text_of(vm, trace.bits, &tracked->trace_size);
  }
  tracked->age = age_of(reader, tracked->created);
  return is_text(description) ? description.bits : 0;
}

/* Reads the descriptions of the entries up to `end`. They were asked for when the entries were
 * read. */
static void finish_entries(struct reader *reader, size_t end) {
  struct vm *vm = &reader->owner->vm;
  for (; reader->finished < end; reader->finished++) {
    struct tracked *tracked = &reader->trackers->entries.items[reader->finished];
    uint64_t text = reader->texts[reader->finished % TEXTS_BEHIND];
    if (text) tracked->description = text_of(vm, text, &tracked->description_size);
  }
}

/* heap_object_at, where neighbours lie near each other. */
static object_id object_at(struct reader *reader, uint64_t address) {
  const struct heap *heap = &reader->session->heap;
  uint32_t granule = address_map_number(&heap->map, address, &reader->hint);
  if (granule == NO_GRANULE || !address_map_is_marked(&heap->map, granule)) return NO_OBJECT;
  return heap->by_rank[address_map_rank(&heap->map, granule)];
}

/* False: out of memory, or stopped. */
static bool add_entry(struct reader *reader, struct lua_value watched, struct lua_value record) {
  if ((reader->seen++ & 4095) == 0 && work_stops(reader->work, "reading trackers", 0, 0)) {
    reader->stopped = true;
    return false;
  }
  struct tracked tracked = {.object = NO_OBJECT,
                            .tracker = (uint32_t)reader->trackers->list.count,
                            .created = NAN,
                            .retired = NAN,
                            .age = NAN,
                            .held_by = NO_OBJECT,
                            .cause = UINT32_MAX};
  if (value_is_object(watched)) tracked.object = object_at(reader, watched.bits);
  tracked.verdict = (uint8_t)verdict_of(reader, tracked.object);
  size_t position = reader->trackers->entries.count;
  if (position >= TEXTS_BEHIND) finish_entries(reader, position - TEXTS_BEHIND + 1);
  uint64_t text = read_record(reader, record, &tracked);
  reader->texts[position % TEXTS_BEHIND] = text;
  if (text) __builtin_prefetch(memory_view(&reader->owner->vm.memory, text, 1));
  reader->tracker->entries++;
  reader->tracker->verdicts[tracked.verdict]++;
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

/* ---- Finding --------------------------------------------------------------------------------- */

static struct inspect_error *take_tracker(struct inspect_session *session,
                                          const struct command_options *options,
                                          const struct work *work, struct trackers *trackers,
                                          struct tracker *tracker) {
  struct heap_vm *owner = &session->heap.vms[tracker->vm];
  struct lua_table table;
  struct reader reader = {.session = session,
                          .owner = owner,
                          .trackers = trackers,
                          .tracker = tracker,
                          .work = work,
                          .now = session_now(session, options),
                          .finished = trackers->entries.count};
  if (table_load(&owner->vm, heap_address(&session->heap, tracker->table), &table)) return NULL;
  if (!read_entries(&reader, &table) || !vector_push(&trackers->list, *tracker))
    return reader.stopped ? error_interrupted() : error_no_memory();
  finish_entries(&reader, trackers->entries.count);
  return NULL;
}

static struct inspect_error *examine(struct inspect_session *session,
                                     const struct command_options *options, const struct work *work,
                                     size_t vm, object_id object, struct trackers *trackers) {
  const struct graph *graph = &session->heap.graph;
  struct heap_vm *owner = &session->heap.vms[vm];
  struct lua_table table;
  if (table_load(&owner->vm, heap_address(&session->heap, object), &table)) return NULL;
  struct tracker tracker = {.table = object, .vm = vm, .kind = TRACKER_CANDIDATE};
  bool is_candidate = false, is_tracker = false;
  if (graph->flags[object] & OBJECT_WEAK_KEYS)
    recognise(&owner->vm, &table, &tracker, &is_candidate, &is_tracker);
  if (is_candidate || is_tracker) bitset_add(&trackers->tables, object);
  if (trackers->tables_only) return NULL;
  if (is_tracker || options->all_weak)
    return take_tracker(session, options, work, trackers, &tracker);
  if (!is_candidate)
    trackers->other_weak++;
  else if (!vector_push(&trackers->candidates, tracker))
    return error_no_memory();
  return NULL;
}

static int by_rank(const void *left, const void *right, void *context) {
  const struct heap *heap = context;
  uint32_t a = heap->granule[*(const object_id *)left],
           b = heap->granule[*(const object_id *)right];
  return a < b ? -1 : a > b;
}

/* All live weak tables of the selected VMs, in address order. */
static struct inspect_error *examine_all(struct inspect_session *session,
                                         const struct command_options *options,
                                         const struct work *work, struct trackers *trackers) {
  const struct graph *graph = &session->heap.graph;
  struct VECTOR(object_id) weak = {0};
  struct inspect_error *error = NULL;
  for (size_t vm = 0; !error && vm < session->heap.vm_count; vm++) {
    const struct heap_vm *owner = &session->heap.vms[vm];
    if (!session_selects(session, options, vm)) continue;
    weak.count = 0;
    for (uint32_t i = 0; !error && i < owner->count; i++) {
      object_id object = owner->first + i;
      if (graph->flags[object] & (OBJECT_WEAK_KEYS | OBJECT_WEAK_VALUES) &&
          graph->type[object] == OBJECT_TABLE && bitset_has(&session->collection.live, object) &&
          !vector_push(&weak, object))
        error = error_no_memory();
    }
    if (weak.count) qsort_r(weak.items, weak.count, sizeof *weak.items, by_rank, &session->heap);
    for (size_t i = 0; !error && i < weak.count; i++) {
      if (work_stops(work, "reading trackers", i, weak.count))
        error = error_interrupted();
      else
        error = examine(session, options, work, vm, weak.items[i], trackers);
    }
  }
  vector_free(&weak);
  return error;
}

static struct inspect_error *take_named(struct inspect_session *session,
                                        const struct command_options *options, object_id object,
                                        const struct work *work, struct trackers *trackers) {
  const struct graph *graph = &session->heap.graph;
  uint64_t address = heap_address(&session->heap, object);
  if (graph->type[object] != OBJECT_TABLE ||
      !(graph->flags[object] & (OBJECT_WEAK_KEYS | OBJECT_WEAK_VALUES)))
    return error_at(
        INSPECT_ERROR_NOT_FOUND, address,
        "a tracker is a table with __mode \"k\" or \"v\"; lua-leaks without a name finds "
        "them by itself",
        "%s is no weak table: what it holds is kept alive by it", options->tracker->source);
  struct heap_vm *owner = heap_vm_of(&session->heap, object);
  struct tracker tracker = {.table = object, .vm = (size_t)(owner - session->heap.vms)};
  struct lua_table table;
  bool is_candidate, is_tracker;
  if (!table_load(&owner->vm, address, &table))
    recognise(&owner->vm, &table, &tracker, &is_candidate, &is_tracker);
  tracker.kind = TRACKER_NAMED;
  bitset_add(&trackers->tables, object);
  return take_tracker(session, options, work, trackers, &tracker);
}

/* The path may name a table in several VMs: those that are no weak ones count only if all are. */
static struct inspect_error *take_all_named(struct inspect_session *session,
                                            const struct command_options *options,
                                            const struct work *work, struct trackers *trackers) {
  struct resolved places = {0};
  struct inspect_error *first = NULL;
  struct inspect_error *error =
      resolve_path_everywhere(session, options, options->tracker, &places);
  for (size_t i = 0; !error && i < places.count; i++) {
    error = take_named(session, options, places.items[i].object, work, trackers);
    if (!error || error->code != INSPECT_ERROR_NOT_FOUND) continue;
    inspect_error_free(first);
    first = error;
    error = NULL;
  }
  vector_free(&places);
  if (!error && !trackers->list.count) return first;
  inspect_error_free(first);
  return error;
}

struct inspect_error *trackers_find(struct inspect_session *session,
                                    const struct command_options *options, const struct work *work,
                                    struct trackers *trackers) {
  *trackers = (struct trackers){0};
  if (!bitset_init(&trackers->tables, session->heap.graph.object_count)) return error_no_memory();
  struct inspect_error *error = examine_all(session, options, work, trackers);
  if (!error && options->tracker) { /* the others still bar chains, but do not count */
    trackers->list.count = trackers->entries.count = trackers->candidates.count = 0;
    trackers->other_weak = 0;
    error = take_all_named(session, options, work, trackers);
  }
  if (error) trackers_free(trackers);
  return error;
}

struct inspect_error *trackers_find_tables(struct inspect_session *session, const struct work *work,
                                           struct bitset *tables) {
  const struct command_options options = {0}; /* of all VMs */
  struct trackers trackers = {.tables_only = true};
  *tables = (struct bitset){0};
  if (!bitset_init(&trackers.tables, session->heap.graph.object_count)) return error_no_memory();
  struct inspect_error *error = examine_all(session, &options, work, &trackers);
  if (!error) {
    *tables = trackers.tables;
    trackers.tables = (struct bitset){0};
  }
  trackers_free(&trackers);
  return error;
}

void trackers_free(struct trackers *trackers) {
  vector_free(&trackers->list);
  vector_free(&trackers->entries);
  vector_free(&trackers->candidates);
  free(trackers->order);
  trackers->order = NULL;
  bitset_free(&trackers->tables);
}
