/* trackers_recognise.c - is a weak table a tracker, and which fields do its records have?
 *
 * The names of a record's fields are not fixed. A sample of records decides once per table which
 * key is the description and which the time; keys are interned strings, so after that a record is
 * read by comparing addresses (trackers_read.c). */
#include "command/trackers_parts.h"

enum { SAMPLE = 32, LARGEST_RECORD = 64 };
static const double EPOCH_MIN = 1e9, EPOCH_MAX = 4e9;

/* ---- Records --------------------------------------------------------------------------------- */

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

void tracker_recognise(struct vm *vm, const struct lua_table *table, struct tracker *tracker,
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
