/* string_groups.c - strings by hash of contents or pattern; equal hashes are compared. */
#include "graph/string_groups.h"

#include <string.h>

#include "base/number_map.h"

enum { PATTERN_BYTES = 40, LEAST_HEX = 6, CHECK_EVERY = 1 << 12 };

bool string_is_long(struct heap *heap, object_id object) {
  struct vm *vm = &heap_vm_of(heap, object)->vm;
  const uint8_t *header =
      memory_view(&vm->memory, heap_address(heap, object), 2 * vm->layout->pointer_size);
  return header && load_field(vm->layout, header, GCObject_tt) == TAG_LONG_STRING;
}

/* ---- Patterns -------------------------------------------------------------------------------- */

static bool is_digit(char c) { return c >= '0' && c <= '9'; }

static bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

static bool is_hex(char c) {
  return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

/* Letters and digits from the beginning on; whether they are a number in hexadecimal. */
static size_t word_size(const char *bytes, size_t size, bool *is_number) {
  size_t length = 0, digits = 0, hex = 0;
  for (; length < size && (is_digit(bytes[length]) || is_letter(bytes[length])); length++) {
    digits += is_digit(bytes[length]);
    hex += is_hex(bytes[length]);
  }
  *is_number = length >= LEAST_HEX && hex == length && digits > 0;
  return length;
}

static bool add_word(struct text *text, const char *word, size_t size) {
  for (size_t i = 0; i < size;) {
    size_t run = i;
    while (run < size && is_digit(word[run]) == is_digit(word[i]))
      run++;
    if (!(is_digit(word[i]) ? text_add(text, "*", 1) : text_add(text, word + i, run - i)))
      return false;
    i = run;
  }
  return true;
}

bool string_pattern(const char *bytes, size_t size, struct text *text) {
  size_t shown = size;
  if (size > PATTERN_BYTES) {
    shown = PATTERN_BYTES;
    while (shown && ((unsigned char)bytes[shown] & 0xC0) == 0x80) /* within a character */
      shown--;
  }
  bool fits = true;
  for (size_t i = 0; fits && i < shown;) {
    bool is_number;
    size_t length = word_size(bytes + i, shown - i, &is_number);
    if (is_number)
      fits = text_add(text, "*", 1);
    else if (length)
      fits = add_word(text, bytes + i, length);
    else
      fits = text_add(text, bytes + i, length = 1);
    i += length;
  }
  return fits && (shown == size || text_add_string(text, "..."));
}

/* ---- Groups ---------------------------------------------------------------------------------- */

struct grouping {
  struct heap *heap;
  const struct bitset *chosen;
  const struct work *work;
  struct string_groups *groups;
  struct number_map by_hash; /* -> position in groups */
  struct text text, other;   /* patterns              */
  bool by_contents, no_memory;
};

/* Eight bytes at a time. */
static uint64_t hash_bytes(const char *bytes, size_t size) {
  uint64_t hash = size * UINT64_C(0x9e3779b97f4a7c15);
  for (; size;) {
    uint64_t word = 0;
    size_t taken = size < 8 ? size : 8;
    memcpy(&word, bytes, taken);
    hash = (hash ^ word) * UINT64_C(0xff51afd7ed558ccd);
    hash ^= hash >> 32;
    bytes += taken;
    size -= taken;
  }
  return hash;
}

static const char *contents(struct heap *heap, object_id object, size_t *size) {
  const struct graph_label_source *labels = &heap->graph.labels;
  return labels->string(labels->context, object, size);
}

/* What decides: the contents or, in `text`, the pattern. NULL: cannot be read, or no memory. */
static const char *key_of(struct grouping *grouping, object_id object, struct text *text,
                          size_t *size) {
  const char *bytes = contents(grouping->heap, object, size);
  if (!bytes || grouping->by_contents) return bytes;
  text->count = 0;
  if (!string_pattern(bytes, *size, text) || !text_finish(text)) {
    grouping->no_memory = true;
    return NULL;
  }
  *size = text->count;
  return text->items;
}

static bool is_key_of(struct grouping *grouping, object_id object, const char *key, size_t size) {
  size_t other_size;
  const char *other = key_of(grouping, object, &grouping->other, &other_size);
  return other && other_size == size && memcmp(other, key, size) == 0;
}

static void add(struct grouping *grouping, struct string_group *group, object_id object) {
  const struct heap *heap = grouping->heap;
  group->count++;
  group->bytes += graph_bytes(&heap->graph, object);
  if (heap->granule[object] < heap->granule[group->example]) group->example = object;
}

static bool put(struct grouping *grouping, object_id object) {
  size_t size;
  const char *key = key_of(grouping, object, &grouping->text, &size);
  if (!key) return !grouping->no_memory;
  uint64_t hash = hash_bytes(key, size);
  for (;; hash++) {
    uint32_t number = number_map_get(&grouping->by_hash, hash);
    if (number == NO_NUMBER) break;
    struct string_group *group = &grouping->groups->items[number];
    if (!is_key_of(grouping, group->example, key, size)) continue;
    add(grouping, group, object);
    return !grouping->no_memory;
  }
  struct string_group group = {.example = object};
  if (!vector_push(grouping->groups, group)) return false;
  uint32_t number = (uint32_t)grouping->groups->count - 1;
  add(grouping, &grouping->groups->items[number], object);
  return number_map_set(&grouping->by_hash, hash, number) && !grouping->no_memory;
}

static struct inspect_error *put_all(struct grouping *grouping) {
  const struct graph *graph = &grouping->heap->graph;
  for (object_id object = 0; object < graph->object_count; object++) {
    if (object % CHECK_EVERY == 0 &&
        work_stops(grouping->work, "comparing strings", object, graph->object_count))
      return error_interrupted();
    if (graph->type[object] != OBJECT_STRING || !bitset_has(grouping->chosen, object)) continue;
    if (grouping->by_contents && !string_is_long(grouping->heap, object)) continue;
    if (!put(grouping, object)) return error_no_memory();
  }
  return NULL;
}

static struct inspect_error *group(struct heap *heap, const struct bitset *chosen,
                                   const struct work *work, bool by_contents,
                                   struct string_groups *groups) {
  struct grouping grouping = {
      .heap = heap, .chosen = chosen, .work = work, .groups = groups, .by_contents = by_contents};
  *groups = (struct string_groups){0};
  struct inspect_error *error = put_all(&grouping);
  size_t kept = 0;
  for (size_t i = 0; i < groups->count; i++)
    if (groups->items[i].count > 1) groups->items[kept++] = groups->items[i];
  groups->count = kept;
  number_map_free(&grouping.by_hash);
  vector_free(&grouping.text);
  vector_free(&grouping.other);
  return error;
}

struct inspect_error *string_groups_alike(struct heap *heap, const struct bitset *chosen,
                                          const struct work *work, struct string_groups *groups) {
  return group(heap, chosen, work, false, groups);
}

struct inspect_error *string_groups_equal(struct heap *heap, const struct bitset *chosen,
                                          const struct work *work, struct string_groups *groups) {
  return group(heap, chosen, work, true, groups);
}
