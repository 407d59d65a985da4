/* check_strings.c - the table that holds every short string once (lstring.c: internshrstr).
 *
 * Invariant: each string is marked when it is met, so that all chains together are walked in time
 * linear in the strings; equality is asked only within a bucket, and among its last strings only.
 */
#include "graph/check_parts.h"

enum { MOST_COMPARED = 64 };

struct bucket {
  uint64_t index, count;
  uint64_t addresses[MOST_COMPARED]; /* the last ones, as a ring */
  uint32_t hashes[MOST_COMPARED];
};

static void check_duplicates(struct checked_vm *checked, struct bucket *bucket, uint64_t address,
                             uint32_t hash) {
  uint64_t known = bucket->count < MOST_COMPARED ? bucket->count : MOST_COMPARED;
  for (uint64_t i = 0; i < known; i++) {
    size_t size;
    if (bucket->hashes[i] != hash) continue;
    const char *bytes = string_bytes(checked->vm, bucket->addresses[i], &size);
    if (!bytes || !string_equals(checked->vm, address, bytes, size)) continue;
    violation_add_about(checked->violations, VIOLATION_STRING_DUPLICATE, address,
                        bucket->addresses[i], "the same %zu bytes as the string at 0x%llx", size,
                        (unsigned long long)bucket->addresses[i]);
    break;
  }
  bucket->addresses[bucket->count % MOST_COMPARED] = address;
  bucket->hashes[bucket->count++ % MOST_COMPARED] = hash;
}

/* Marks a string as interned; NULL if the chain cannot be followed through it. */
static const uint8_t *enter(struct checked_vm *checked, uint64_t address, uint64_t bucket) {
  const struct layout *layout = checked->layout;
  object_id object = checked_object(checked, address);
  const uint8_t *header =
      memory_view(&checked->vm->memory, address, layout->place[TString_contents].offset);
  const char *problem = NULL;
  if (object == NO_OBJECT || !header || !(checked->check->marks[object] & ON_LIST)) {
    if (header && checked_is_being_freed(checked, address, TAG_SHORT_STRING)) return header;
    if (!checked->lists_are_whole || checked_is_missing(checked, address)) return NULL;
    problem = "where no object is";
  } else if (load_field(layout, header, GCObject_tt) != TAG_SHORT_STRING) {
    problem = "which is no short string";
  } else if (checked->check->marks[object] & ON_STRING_TABLE) {
    problem = "which is in the table already";
  }
  if (problem) {
    violation_add_about(checked->violations, VIOLATION_STRING_TABLE, checked->vm->global_state,
                        address, "bucket %llu leads to 0x%llx, %s", (unsigned long long)bucket,
                        (unsigned long long)address, problem);
    return NULL;
  }
  checked->check->marks[object] |= ON_STRING_TABLE;
  return header;
}

/* Returns how many strings the bucket has. */
static uint64_t check_bucket(struct checked_vm *checked, uint64_t index, uint64_t size,
                             uint64_t address) {
  struct bucket bucket;
  bucket.index = index;
  bucket.count = 0;
  while (address) {
    const uint8_t *header = enter(checked, address, index);
    if (!header) {
      checked->strings_are_whole = false;
      break;
    }
    uint32_t hash = (uint32_t)load_field(checked->layout, header, TString_hash);
    if ((hash & (size - 1)) != index)
      violation_add(checked->violations, VIOLATION_STRING_INTERNED, address,
                    "in bucket %llu, but its hash 0x%08x belongs to bucket %llu",
                    (unsigned long long)index, hash, (unsigned long long)(hash & (size - 1)));
    check_duplicates(checked, &bucket, address, hash);
    address = load_field(checked->layout, header, TString_hnext);
  }
  return bucket.count;
}

void check_string_table(struct checked_vm *checked) {
  const struct layout *layout = checked->layout;
  const uint8_t *table = checked->global + layout->place[global_State_strt].offset;
  uint64_t hash = load_field(layout, table, stringtable_hash);
  uint64_t size = load_field(layout, table, stringtable_size);
  uint64_t expected = load_field(layout, table, stringtable_nuse);
  const uint8_t *buckets = memory_view(&checked->vm->memory, hash, size * layout->pointer_size);
  if (!buckets || !size || (size & (size - 1))) {
    checked->strings_are_whole = false;
    if (!checked_is_missing(checked, hash))
      violation_add_about(checked->violations, VIOLATION_STRING_TABLE, checked->vm->global_state,
                          hash, "%llu buckets at 0x%llx: %s", (unsigned long long)size,
                          (unsigned long long)hash,
                          buckets ? "no power of two" : "they lie nowhere");
    return;
  }
  uint64_t count = 0;
  for (uint64_t i = 0; i < size; i++) {
    if (checked_stops(checked, "checking strings", i)) return;
    count +=
        check_bucket(checked, i, size, load_pointer(layout, buckets + i * layout->pointer_size));
  }
  if (checked->strings_are_whole && count != expected)
    violation_add(checked->violations, VIOLATION_STRING_COUNT, checked->vm->global_state,
                  "%llu strings are in the table, which counts %llu", (unsigned long long)count,
                  (unsigned long long)expected);
}
