/* hash_part.c - numbers the nodes of a table along its chains, once, and then answers "is b reached
 * from a?" by comparing two numbers.
 *
 * Invariant: `next` offsets are followed only inside the array and each node is numbered once, so
 * that a table of n nodes costs O(n) whatever its offsets are. */
#include "lua/hash_part.h"

#include <math.h>

enum { TAG_DEAD_KEY = 11, NODES_WITH_FREE_POINTER = 8, NO_NODE = -1 };

struct part {
  struct vm *vm;
  const struct lua_table *table;
  struct hash_chains *chains;
  struct violations *violations; /* NULL: nothing is reported */
};

void hash_chains_free(struct hash_chains *chains) {
  free(chains->chain);
  free(chains->order);
  *chains = (struct hash_chains){0};
}

static bool chains_reserve(struct hash_chains *chains, uint64_t count) {
  if (count <= chains->capacity) return true;
  hash_chains_free(chains);
  chains->chain = malloc((size_t)count * sizeof *chains->chain);
  chains->order = malloc((size_t)count * sizeof *chains->order);
  if (!chains->chain || !chains->order) {
    hash_chains_free(chains);
    return false;
  }
  chains->capacity = (size_t)count;
  return true;
}

/* ---- Main positions ----------------------------------------------------------------------------
 */

/* ltable.c: l_hashfloat. */
static uint32_t hash_float(double value) {
  int exponent = 0;
  value = frexp(value, &exponent) * 2147483648.0;
  if (!(value >= -9223372036854775808.0 && value < 9223372036854775808.0)) return 0;
  uint32_t hash = (uint32_t)exponent + (uint32_t)(int64_t)value;
  return hash <= INT32_MAX ? hash : ~hash;
}

/* The stored hash of a string key; false if it cannot be had, which is checked elsewhere. */
static bool hash_string(struct vm *vm, uint64_t address, bool is_long, uint32_t *hash) {
  const struct layout *layout = vm->layout;
  const uint8_t *header = memory_view(&vm->memory, address, layout->place[TString_contents].offset);
  if (!header ||
      load_field(layout, header, GCObject_tt) != (is_long ? TAG_LONG_STRING : TAG_SHORT_STRING))
    return false;
  *hash = (uint32_t)load_field(layout, header, TString_hash);
  return !is_long || load_field(layout, header, TString_extra) != 0;
}

/* The node where a key belongs, NO_NODE if that is not known. */
static int64_t main_position(struct part *part, struct lua_value key, enum integer_hash integers) {
  uint64_t count = part->table->node_count, low_bits = count - 1, odd = low_bits | 1;
  uint32_t hash;
  switch (key.tag) {
  case TAG_FALSE:
    return 0;
  case TAG_TRUE:
    return (int64_t)(1 & low_bits);
  case TAG_INTEGER:
    if (integers == INTEGER_HASH_UNKNOWN) return NO_NODE;
    return (int64_t)(integers == INTEGER_HASH_POWER ? key.bits & low_bits : key.bits % odd);
  case TAG_FLOAT:
    return (int64_t)(hash_float(value_number(part->vm, key)) % odd);
  case TAG_SHORT_STRING | TAG_COLLECTABLE:
  case TAG_LONG_STRING | TAG_COLLECTABLE:
    return hash_string(part->vm, key.bits, key.tag == (TAG_LONG_STRING | TAG_COLLECTABLE), &hash)
               ? (int64_t)(hash & low_bits)
               : NO_NODE;
  default: /* pointers */
    return (int64_t)((uint32_t)key.bits % odd);
  }
}

static bool is_key(uint8_t tag) {
  switch (tag) {
  case TAG_FALSE:
  case TAG_TRUE:
  case TAG_INTEGER:
  case TAG_FLOAT:
  case TAG_LIGHT_USERDATA:
  case TAG_LIGHT_FUNCTION:
    return true;
  default:
    return tag & TAG_COLLECTABLE && tag != (TAG_UPVALUE | TAG_COLLECTABLE) &&
           tag != (TAG_PROTOTYPE | TAG_COLLECTABLE) && lua54_type(tag) != OBJECT_TYPE_COUNT;
  }
}

/* ---- Chains ------------------------------------------------------------------------------------
 */

static const uint8_t *node_at(const struct part *part, uint64_t index) {
  return part->table->nodes + index * part->vm->layout->size[SIZE_Node];
}

/* The node after this one, NO_NODE if there is none. `*is_valid`: the offset stays in the array. */
static int64_t node_next(const struct part *part, uint64_t index, bool *is_valid) {
  int64_t offset = load_signed(part->vm->layout, node_at(part, index), Node_next);
  int64_t next = (int64_t)index + offset;
  *is_valid = next >= 0 && next < (int64_t)part->table->node_count;
  return offset && *is_valid ? next : NO_NODE;
}

static void report_next(const struct part *part, uint64_t index, const char *problem) {
  if (part->violations)
    violation_add(part->violations, VIOLATION_NODE_NEXT, part->table->address,
                  "node %llu of %llu in the hash part %s", (unsigned long long)index,
                  (unsigned long long)part->table->node_count, problem);
}

/* A table may have millions of nodes. */
static inline bool stops(const struct part *part, uint64_t node) {
  enum { AT_ONCE = 1 << 14 };
  struct hash_chains *chains = part->chains;
  if (node % AT_ONCE == AT_ONCE - 1 && work_stops(chains->work, "checking objects", 0, 0))
    chains->is_stopped = true;
  return chains->is_stopped;
}

/* First pass: chain[i] = 1 if a node leads to node i. */
static void find_successors(const struct part *part) {
  uint32_t *has_previous = part->chains->chain;
  for (uint64_t i = 0; i < part->table->node_count; i++)
    has_previous[i] = part->chains->order[i] = 0;
  for (uint64_t i = 0; i < part->table->node_count && !stops(part, i); i++) {
    bool is_valid;
    int64_t next = node_next(part, i, &is_valid);
    if (!is_valid) report_next(part, i, "leads out of it");
    if (next == NO_NODE) continue;
    if (has_previous[next]) report_next(part, (uint64_t)next, "follows two nodes");
    has_previous[next] = 1;
  }
}

/* Numbers the nodes from one on, until the chain ends or meets a numbered node. */
static void number_chain(const struct part *part, uint64_t first, uint32_t *counter) {
  for (int64_t i = (int64_t)first; i != NO_NODE && !part->chains->order[i];) {
    bool is_valid;
    part->chains->chain[i] = (uint32_t)first + 1;
    part->chains->order[i] = ++*counter;
    i = node_next(part, (uint64_t)i, &is_valid);
  }
}

/* Second pass: chains that begin somewhere, then what is left: rings. */
static bool number_chains(const struct part *part) {
  if (!chains_reserve(part->chains, part->table->node_count)) return false;
  find_successors(part);
  uint32_t counter = 0;
  for (uint64_t i = 0; i < part->table->node_count && !stops(part, i); i++)
    if (!part->chains->order[i] && !part->chains->chain[i]) number_chain(part, i, &counter);
  for (uint64_t i = 0; i < part->table->node_count && !stops(part, i); i++) {
    if (part->chains->order[i]) continue;
    report_next(part, i, "is in a ring");
    number_chain(part, i, &counter);
  }
  return true;
}

static bool is_reached(const struct part *part, int64_t from, uint64_t node) {
  const struct hash_chains *chains = part->chains;
  return chains->chain[from] == chains->chain[node] && chains->order[from] <= chains->order[node];
}

/* ---- The checks --------------------------------------------------------------------------------
 */

static void check_entries(struct part *part, enum integer_hash integers) {
  for (uint64_t i = 0; i < part->table->node_count && !stops(part, i); i++) {
    struct lua_value key, value;
    table_entry(part->vm, part->table, i, &key, &value);
    if (value_is_empty(value)) continue;
    if (!is_key(key.tag)) {
      violation_add(part->violations, VIOLATION_NODE_KEY, part->table->address,
                    "node %llu has a value, but its key is %s (tag 0x%02x)", (unsigned long long)i,
                    key.tag == TAG_DEAD_KEY ? "dead"
                    : key.tag == TAG_NIL    ? "nil"
                                            : "of no kind that Lua has",
                    key.tag);
      continue;
    }
    int64_t position = main_position(part, key, integers);
    if (position == NO_NODE || is_reached(part, position, i)) continue;
    violation_add(part->violations, VIOLATION_NODE_PLACE, part->table->address,
                  "the key in node %llu belongs to node %lld, and no chain leads from there to it",
                  (unsigned long long)i, (long long)position);
  }
}

/* 5.4 keeps the free pointer in the table, 5.5 before the nodes of tables that are not small. */
static bool load_free_pointer(struct part *part, uint64_t nodes, const uint8_t *header,
                              uint64_t *pointer) {
  const struct layout *layout = part->vm->layout;
  if (layout_has(layout, Table_lastfree)) {
    *pointer = load_field(layout, header, Table_lastfree);
    return true;
  }
  if (part->table->node_count < NODES_WITH_FREE_POINTER) return false;
  uint64_t box = nodes - layout_wide_alignment(layout); /* ltable.c: Limbox */
  const uint8_t *bytes = memory_view(&part->vm->memory, box, layout->pointer_size);
  if (bytes) *pointer = load_pointer(layout, bytes);
  return bytes != NULL;
}

static void check_free_pointer(struct part *part) {
  const struct layout *layout = part->vm->layout;
  uint64_t address = part->table->address, pointer;
  const uint8_t *header = memory_view(&part->vm->memory, address, layout->size[SIZE_Table]);
  uint64_t nodes = load_field(layout, header, Table_node), size = layout->size[SIZE_Node];
  if (!load_free_pointer(part, nodes, header, &pointer)) return;
  uint64_t first = (pointer - nodes) / size;
  if (pointer < nodes || (pointer - nodes) % size || first > part->table->node_count) {
    violation_add_about(part->violations, VIOLATION_NODE_FREE, address, pointer,
                        "the free pointer 0x%llx points to none of the nodes at 0x%llx",
                        (unsigned long long)pointer, (unsigned long long)nodes);
    return;
  }
  /* the node at the pointer may just have been found free, and be about to be used */
  for (uint64_t i = first + 1; i < part->table->node_count; i++) {
    if (node_at(part, i)[layout->place[Node_key_tt].offset] != TAG_NIL) continue;
    violation_add(part->violations, VIOLATION_NODE_FREE, address,
                  "node %llu is free, but lies behind the free pointer (node %llu)",
                  (unsigned long long)i, (unsigned long long)first);
    return;
  }
}

bool hash_part_check(struct vm *vm, const struct lua_table *table, enum integer_hash integers,
                     struct hash_chains *chains, struct violations *violations) {
  struct part part = {.vm = vm, .table = table, .chains = chains, .violations = violations};
  if (!table->node_count) return true;
  if (!number_chains(&part)) return false;
  if (chains->is_stopped) return true;
  check_entries(&part, integers);
  check_free_pointer(&part);
  return true;
}

/* ---- Votes -------------------------------------------------------------------------------------
 */

static bool has_integer_key(const struct part *part) {
  uint64_t offset = part->vm->layout->place[Node_key_tt].offset;
  for (uint64_t i = 0; i < part->table->node_count; i++)
    if (node_at(part, i)[offset] == TAG_INTEGER) return true;
  return false;
}

bool hash_part_vote(struct vm *vm, const struct lua_table *table, struct hash_chains *chains,
                    struct integer_votes *votes) {
  struct part part = {.vm = vm, .table = table, .chains = chains};
  if (table->node_count < 2 || !has_integer_key(&part)) return true;
  if (!number_chains(&part)) return false;
  for (uint64_t i = 0; i < table->node_count; i++) {
    struct lua_value key, value;
    table_entry(vm, table, i, &key, &value);
    if (key.tag != TAG_INTEGER || value_is_empty(value)) continue;
    bool power = is_reached(&part, main_position(&part, key, INTEGER_HASH_POWER), i);
    bool modulo = is_reached(&part, main_position(&part, key, INTEGER_HASH_MODULO), i);
    if (power != modulo) (*(power ? &votes->power : &votes->modulo))++;
  }
  return true;
}
