/* resize.c - the old parts of a table that was being resized (ltable.c: luaH_resize).
 *
 *   1 a new hash part is made
 *   2 if the array part shrinks: the table gets the new hash part and pretends to have the new
 * array size, while the vanishing values are put into the hash part; then both are as before again
 *   3 the array part is reallocated
 *   4 the table gets the new hash part, and the entries of the old one are put in one by one
 *   5 the old hash part is freed
 *
 * In 2 and 4 the old hash part, P, hangs on a local variable; in 2 the array part is longer than
 * the table says. Nothing of P is overwritten before 5. So P     a word that leads to a block of
 * 2^k nodes, in no object; the books miss its size, or more T     a word that leads to a table
 * whose hash part holds nothing but what is in P or vanishes from the array part: the one with the
 * most of it T is P then, but for what has gone into the array part, and what had vanished from
 * there before; with the array part as long as it was. */
#include "graph/resize.h"

#include <stdlib.h>

#include "graph/residual.h"
#include "graph/settle.h"
#include "graph/torn.h"
#include "lua/block.h"
#include "lua/stack.h"

/* ltable.c, luaH_newkey: one node is copied to another place, and then filled anew. */
enum { LARGEST_LOG2 = 30, MOST_HALVES = 2 };

/* What the bytes are that P does not account for. */
enum rest {
  REST_NONE,
  REST_SLICE, /* vanishing values                              */
  REST_OTHER, /* while a chunk is compiled: the compiler's buffers; else what the array part has
                 grown by */
};

struct key {
  uint64_t bits;
  uint8_t tag;
  bool is_value; /* the value of an entry; else its key */
  uint64_t node;
};

struct search {
  struct vm *vm;
  const struct layout *layout;
  const struct address_map *map;
  size_t hint;
  struct heap *heap;
  size_t index; /* of the VM */
  const struct discovery *discovery;
  const struct native_words *words;
  bool knows_blocks, compiles;
  uint64_t missing; /* bytes, by the books                        */
  uint64_t bytes;   /* of them, those of P and of vanishing values */
  /* P; its keys and values, sorted */
  uint64_t place;
  struct lua_table old;
  uint64_t used, unsound; /* nodes with a value; that are none: damaged */
  struct keys VECTOR(struct key) keys;
  /* T */
  uint64_t only; /* its address, if it is known; else 0 */
  bool is_found;
  struct lua_table table;
  uint64_t array_size; /* before it pretended                            */
  uint64_t common;     /* entries of its hash part                       */
  uint64_t proofs;     /* of them, those from P                          */
  bool keeps_hash;     /* it is what it says                             */
};

/* ---- The old hash part -------------------------------------------------------------------------
 */

static bool is_marked(struct search *search, uint64_t address) {
  uint32_t granule = address_map_number(search->map, address, &search->hint);
  return granule != NO_GRANULE && address_map_is_marked(search->map, granule);
}

static bool is_sound(struct search *search, struct lua_value value) {
  if (!value_is_sound(value) || !value_is_object(value)) return value_is_sound(value);
  const struct layout *layout = search->layout;
  const uint8_t *header = memory_view(&search->vm->memory, value.bits, 2 * layout->pointer_size);
  return header && is_marked(search, value.bits) &&
         load_field(layout, header, GCObject_tt) == (value.tag & ~TAG_COLLECTABLE);
}

static bool node_is_sound(struct search *search, const struct lua_table *table, uint64_t index) {
  enum { TAG_DEAD_KEY = 11 };
  struct lua_value key, value;
  table_entry(search->vm, table, index, &key, &value);
  const uint8_t *node = table->nodes + index * search->layout->size[SIZE_Node];
  int64_t next = (int64_t)index + load_signed(search->layout, node, Node_next);
  if (next < 0 || (uint64_t)next >= table->node_count || !value_is_sound(value)) return false;
  if (value_is_empty(value)) return key.tag == TAG_DEAD_KEY || value_is_sound(key);
  return !value_is_empty(key) && is_sound(search, key) && is_sound(search, value);
}

/* Whether the nodes belong to a table that is no object any more: they are being freed with it. */
static bool is_being_freed(struct search *search, uint64_t nodes) {
  const struct layout *layout = search->layout;
  for (size_t i = 0; i < search->words->count; i++) {
    uint64_t address = search->words->items[i];
    const uint8_t *header = memory_view(&search->vm->memory, address, layout->size[SIZE_Table]);
    if (header && !is_marked(search, address) &&
        load_field(layout, header, GCObject_tt) == TAG_TABLE &&
        load_field(layout, header, Table_node) == nodes)
      return true;
  }
  return false;
}

/* Takes the nodes at `place` for P, if they lie in a block of their own, and all but a few are
 * sound. (A few may have been damaged by what made the process crash.) */
static bool load_old(struct search *search, uint64_t place, uint64_t count) {
  uint64_t size = count * search->layout->size[SIZE_Node];
  uint64_t before = table_hash_bytes(search->layout, count) - size, used = 0;
  struct lua_table table = {.node_count = count};
  table.nodes = memory_view(&search->vm->memory, place, size);
  if (!table.nodes || is_marked(search, place) ||
      (search->knows_blocks && (!block_fits(search->vm, place - before, before + size) ||
                                block_is_given_back(search->vm, place - before))))
    return false;
  search->unsound = 0;
  for (uint64_t i = 0; i < count; i++) {
    struct lua_value key, value;
    table_entry(search->vm, &table, i, &key, &value);
    if (node_is_sound(search, &table, i))
      used += !value_is_empty(value);
    else if (++search->unsound > (search->knows_blocks ? count / 4 : 0))
      return false;
  }
  search->place = place;
  search->old = table;
  search->used = used;
  return used && !is_being_freed(search, place);
}

static int by_bits(const void *left, const void *right) {
  const struct key *a = left, *b = right;
  if (a->bits != b->bits) return a->bits < b->bits ? -1 : 1;
  if (a->tag != b->tag) return a->tag < b->tag ? -1 : 1;
  return (a->is_value > b->is_value) - (a->is_value < b->is_value);
}

static bool index_old(struct search *search) {
  search->keys.count = 0;
  for (uint64_t i = 0; i < search->old.node_count; i++) {
    struct lua_value key, value;
    table_entry(search->vm, &search->old, i, &key, &value);
    if (value_is_empty(value)) continue;
    struct key first = {.bits = key.bits, .tag = key.tag, .node = i};
    struct key second = {.bits = value.bits, .tag = value.tag, .is_value = true, .node = i};
    if (!vector_push(&search->keys, first) || !vector_push(&search->keys, second)) return false;
  }
  if (search->keys.count)
    qsort(search->keys.items, search->keys.count, sizeof *search->keys.items, by_bits);
  return true;
}

static const struct key *old_find(const struct search *search, struct lua_value value,
                                  bool is_value) {
  struct key wanted = {.bits = value.bits, .tag = value.tag, .is_value = is_value};
  return search->keys.count
             ? bsearch(&wanted, search->keys.items, search->keys.count, sizeof wanted, by_bits)
             : NULL;
}

static bool old_has(const struct search *search, struct lua_value value, bool is_value) {
  return old_find(search, value, is_value) != NULL;
}

/* Whether P has the same entry. */
static bool old_has_entry(const struct search *search, struct lua_value key,
                          struct lua_value value) {
  const struct key *found = old_find(search, key, false);
  if (!found) return false;
  struct lua_value other_key, other;
  table_entry(search->vm, &search->old, found->node, &other_key, &other);
  return other.tag == value.tag && other.bits == value.bits;
}

/* ---- The table ---------------------------------------------------------------------------------
 */

/* Whether the key is an index from `first` + 1 to `last`. */
static bool is_index(struct vm *vm, struct lua_value key, uint64_t first, uint64_t last) {
  return key.tag == TAG_INTEGER && value_integer(vm, key) >= 1 &&
         (uint64_t)value_integer(vm, key) > first && (uint64_t)value_integer(vm, key) <= last;
}

/* The array size that the table had if `bytes` of the books are vanishing values; 0: it cannot be.
 */
static uint64_t size_before(struct search *search, const struct lua_table *table, uint64_t bytes) {
  const struct layout *layout = search->layout;
  bool is_split = layout->array_form == ARRAY_SPLIT;
  uint64_t each = is_split ? 9 : layout->size[SIZE_TValue];
  uint64_t head = is_split && !table->array_size ? 4 : 0;
  if (!table->array_place || bytes <= head || (bytes - head) % each) return 0;
  uint64_t size = table->array_size + (bytes - head) / each;
  struct lua_table whole = {.array_size = size};
  whole.array = table_array_view(search->vm, table->array_place, size);
  uint64_t below = is_split ? 8 * size : 0;
  if (!whole.array || (search->knows_blocks && !block_fits(search->vm, table->array_place - below,
                                                           table_array_bytes(layout, size))))
    return 0;
  for (uint64_t i = table->array_size; i < size; i++)
    if (!is_sound(search, table_array_value(search->vm, &whole, i))) return 0;
  return size;
}

/* The array part as it was before the table pretended; none if it did not. */
static struct lua_table whole_array(struct search *search, const struct lua_table *table,
                                    uint64_t size) {
  struct lua_table whole = {.array_size = size};
  if (size > table->array_size)
    whole.array = table_array_view(search->vm, table->array_place, size);
  if (!whole.array) whole.array_size = 0;
  return whole;
}

static bool is_equal(struct lua_value left, struct lua_value right) {
  return left.bits == right.bits && left.tag == right.tag;
}

static bool vanishes(struct search *search, const struct lua_table *table, uint64_t size,
                     struct lua_value value) {
  struct lua_table whole = whole_array(search, table, size);
  for (uint64_t i = table->array_size; i < whole.array_size; i++)
    if (is_equal(table_array_value(search->vm, &whole, i), value)) return true;
  return false;
}

/* Whether an entry from beyond the array part may be in T: a vanishing value is still in its place.
 */
static bool is_from_array(struct search *search, const struct lua_table *table, uint64_t size,
                          struct lua_value key, struct lua_value value) {
  struct lua_table whole = whole_array(search, table, size);
  uint64_t index = (uint64_t)value_integer(search->vm, key) - 1;
  return index >= whole.array_size || is_equal(table_array_value(search->vm, &whole, index), value);
}

/* What a node of the table is, if the table is T. */
enum node_state {
  NODE_FRESH,
  NODE_COMMON, /* filled from P                                            */
  NODE_ARRAY,  /* filled from the array part                               */
  NODE_HALF,   /* in the middle of that: its key or its value is there     */
  NODE_FOREIGN,
};

static enum node_state node_state(struct search *search, const struct lua_table *table,
                                  uint64_t size, uint64_t index) {
  struct lua_value key, value;
  table_entry(search->vm, table, index, &key, &value);
  bool is_empty = value_is_empty(value);
  if (is_empty && key.tag == TAG_NIL) return NODE_FRESH;
  if (old_has_entry(search, key, value)) return NODE_COMMON;
  if (is_index(search->vm, key, 0, table->array_size)) { /* the array part is as before again */
    uint64_t place = (uint64_t)value_integer(search->vm, key) - 1;
    return value_is_empty(table_array_value(search->vm, table, place)) ? NODE_FOREIGN : NODE_ARRAY;
  }
  if (is_index(search->vm, key, table->array_size, INT64_MAX)) {
    if (is_empty) return NODE_HALF;
    return is_from_array(search, table, size, key, value) ? NODE_ARRAY : NODE_FOREIGN;
  }
  bool is_half = is_empty ? old_has(search, key, false)
                          : old_has(search, key, false) || old_has(search, value, true) ||
                                vanishes(search, table, size, value);
  return is_half ? NODE_HALF : NODE_FOREIGN;
}

/* Whether the table can be T, with `size` values in its array part before, and so many bytes that
 * neither it nor P accounts for (its array part may have grown without saying so yet). */
static bool matches(struct search *search, const struct lua_table *table, uint64_t size,
                    uint64_t *common, uint64_t *proofs) {
  uint64_t outside = 0, rest = search->missing - search->bytes;
  uint64_t largest = table->array_size + rest / search->layout->size[SIZE_TValue];
  *common = *proofs = 0;
  for (size_t i = 0; i < search->keys.count; i++) {
    const struct key *key = &search->keys.items[i];
    struct lua_value value = {.tag = key->tag, .bits = key->bits};
    outside += !key->is_value && !is_index(search->vm, value, 0, largest);
  }
  if (outside > table->node_count) return false;
  for (uint64_t i = 0, halves = 0; i < table->node_count; i++) {
    enum node_state state = node_state(search, table, size, i);
    *common += state == NODE_COMMON || state == NODE_ARRAY;
    *proofs += state == NODE_COMMON;
    halves += state == NODE_HALF;
    if (state == NODE_FOREIGN || halves > MOST_HALVES) return false;
  }
  return true;
}

/* Whether so many bytes are what the table's array part has grown by, without saying so yet. */
static bool has_grown(struct search *search, const struct lua_table *table, uint64_t rest) {
  bool is_split = search->layout->array_form == ARRAY_SPLIT;
  uint64_t before = table_array_bytes(search->layout, table->array_size);
  uint64_t each = is_split ? 9 : search->layout->size[SIZE_TValue];
  uint64_t head = is_split && !table->array_size ? 4 : 0;
  if (rest <= head || (rest - head) % each) return false;
  if (!search->knows_blocks) return search->only == table->address;
  uint64_t below = is_split ? 8 * (table->array_size + (rest - head) / each) : 0;
  if (block_fits(search->vm, table->array_place - below, before + rest)) return true;
  for (size_t i = 0; i < search->words->count; i++) /* or is elsewhere */
    if (!is_marked(search, search->words->items[i]) &&
        block_fits(search->vm, search->words->items[i], before + rest))
      return true;
  return false;
}

/* Whether what P and T do not account for can be what it should. */
static bool rest_fits(struct search *search, const struct lua_table *table, enum rest rest) {
  uint64_t bytes = search->missing - search->bytes;
  if (rest != REST_OTHER) return true;
  return search->compiles ? compiler_fits((int64_t)bytes) : has_grown(search, table, bytes);
}

/* Chooses T for the P that is loaded. */
static void choose_table(struct search *search, enum rest rest, uint64_t slice_bytes) {
  search->is_found = false;
  for (size_t i = 0; i < search->words->count; i++) {
    uint64_t address = search->words->items[i], common, proofs;
    struct lua_table table;
    if ((search->only && address != search->only) || !is_marked(search, address) ||
        table_load(search->vm, address, &table) || table.fault)
      continue;
    uint64_t size = slice_bytes ? size_before(search, &table, slice_bytes) : table.array_size;
    if ((slice_bytes && !size) || !matches(search, &table, size, &common, &proofs) ||
        !rest_fits(search, &table, rest) || (search->is_found && common <= search->common))
      continue;
    search->is_found = true;
    search->table = table;
    search->array_size = size;
    search->common = common;
    search->proofs = proofs;
  }
}

static bool is_better(const struct search *left, const struct search *right) {
  if (!right->is_found || left->common != right->common)
    return !right->is_found || left->common > right->common;
  if (left->unsound != right->unsound) return left->unsound < right->unsound; /* not given back */
  return left->used > right->used;
}

/* The best P of so many nodes, with its T. */
static bool find_size(struct search *search, uint64_t count, enum rest rest) {
  uint64_t bytes = table_hash_bytes(search->layout, count);
  uint64_t slice = rest == REST_SLICE ? search->missing - bytes : 0;
  search->bytes = bytes + slice;
  struct search best = *search;
  best.is_found = false;
  for (size_t i = 0; i < search->words->count; i++) {
    if (!load_old(search, search->words->items[i], count)) continue;
    if (!index_old(search)) return false;
    choose_table(search, rest, slice);
    if (rest == REST_OTHER && search->unsound) continue;
    if (search->is_found && is_better(search, &best) &&
        !torn_is_in_part(search->heap, search->index, search->discovery, search->place))
      best = *search;
  }
  best.keys = search->keys; /* of the last P: of the best one again */
  *search = best;
  return search->is_found && index_old(search);
}

/* Looks for P and T. Larger ones first: the beginning of an array of nodes is one as well. */
static bool find_both(struct search *search, enum rest rest) {
  for (unsigned log2 = LARGEST_LOG2 + 1; log2-- > 0;) {
    uint64_t count = UINT64_C(1) << log2, bytes = table_hash_bytes(search->layout, count);
    if (rest == REST_NONE ? bytes != search->missing : bytes >= search->missing) continue;
    if (find_size(search, count, rest)) return true;
  }
  return false;
}

/* An array part that shrinks into the hash part of a table that had none. */
static bool find_slice(struct search *search) {
  search->old = (struct lua_table){0};
  search->place = search->used = search->unsound = search->keys.count = 0;
  search->bytes = search->missing;
  choose_table(search, REST_SLICE, search->missing);
  return search->is_found;
}

/* An array part that is longer than its table says, while the hash part is not exchanged: the new
 * one, if any, is the rest. Only where the array's block proves its length. */
static bool find_pretender(struct search *search) {
  for (unsigned log2 = 0; search->knows_blocks && log2 <= LARGEST_LOG2 + 1; log2++) {
    uint64_t bytes = log2 ? table_hash_bytes(search->layout, UINT64_C(1) << (log2 - 1)) : 0;
    for (size_t i = 0; bytes < search->missing && i < search->words->count; i++) {
      uint64_t address = search->words->items[i];
      if (!is_marked(search, address) || table_load(search->vm, address, &search->table)) continue;
      search->array_size = size_before(search, &search->table, search->missing - bytes);
      if (!search->array_size) continue;
      search->old = (struct lua_table){0};
      search->used = search->unsound = 0;
      search->bytes = search->missing;
      return search->keeps_hash = true;
    }
  }
  return false;
}

/* ---- Giving back -------------------------------------------------------------------------------
 */

/* Whether the entry has gone into the array part. */
static bool is_in_array(const struct search *search, struct lua_value key, struct lua_value value) {
  if (!is_index(search->vm, key, 0, search->table.array_size)) return false;
  uint64_t index = (uint64_t)value_integer(search->vm, key) - 1;
  struct lua_value other = table_array_value(search->vm, &search->table, index);
  return other.tag == value.tag && other.bits == value.bits;
}

/* Copies P without what has gone into the array part; returns the number of nodes. */
static uint64_t take_old(struct search *search, uint8_t *nodes) {
  uint64_t stride = search->layout->size[SIZE_Node], count = 0;
  for (uint64_t i = 0; i < search->old.node_count; i++) {
    struct lua_value key, value;
    table_entry(search->vm, &search->old, i, &key, &value);
    if (!value_is_empty(value) && node_is_sound(search, &search->old, i) &&
        !is_in_array(search, key, value))
      memcpy(nodes + count++ * stride, search->old.nodes + i * stride, stride);
  }
  return count;
}

/* Copies what T has from beyond its array part. */
static uint64_t take_vanished(struct search *search, uint8_t *nodes) {
  const struct lua_table *table = &search->table;
  uint64_t stride = search->layout->size[SIZE_Node], count = 0;
  for (uint64_t i = 0; i < table->node_count; i++) {
    struct lua_value key, value;
    table_entry(search->vm, table, i, &key, &value);
    if (!value_is_empty(value) && is_index(search->vm, key, search->array_size, INT64_MAX) &&
        !old_has(search, key, false) && node_is_sound(search, table, i))
      memcpy(nodes + count++ * stride, table->nodes + i * stride, stride);
  }
  return count;
}

/* Copies what T has in place of damaged nodes of P: where all has been put in, P may have been
 * given back, and its beginning overwritten. */
static uint64_t take_rescued(struct search *search, uint8_t *nodes) {
  const struct lua_table *table = &search->table;
  uint64_t stride = search->layout->size[SIZE_Node], count = 0;
  for (uint64_t i = 0; search->unsound && i < table->node_count; i++) {
    struct lua_value key, value;
    table_entry(search->vm, table, i, &key, &value);
    if (value_is_empty(value) || is_index(search->vm, key, 0, INT64_MAX)) continue;
    const struct key *old = old_find(search, key, false);
    bool is_lost =
        old ? !node_is_sound(search, &search->old, old->node) : search->common >= search->used;
    if (is_lost && node_is_sound(search, table, i))
      memcpy(nodes + count++ * stride, table->nodes + i * stride, stride);
  }
  return count;
}

/* Takes back what is not proven. Nodes that are sound may lie anywhere in memory that was used
 * before: P is proven by the size of its block or by entries of it that are in T, and T by whatever
 * is in it. Returns whether something is lost by that. */
static bool drop_unproven(struct search *search) {
  if (search->knows_blocks || (search->proofs && search->common)) return false;
  bool is_slice = search->common && !search->old.node_count;
  search->old = (struct lua_table){0};
  search->used = search->unsound = search->keys.count = 0;
  if (!search->common) search->array_size = search->table.array_size;
  return !is_slice;
}

/* Makes the hash part of T. */
static bool give_back(struct search *search) {
  bool is_lost = drop_unproven(search);
  struct vm *vm = search->vm;
  uint64_t stride = search->layout->size[SIZE_Node], count = 0, rescued = 0;
  uint64_t most = search->old.node_count + search->table.node_count + 1;
  uint8_t *nodes = search->keeps_hash ? NULL : arena_alloc(&vm->arena, most * stride);
  if (nodes) {
    count = take_old(search, nodes);
    count += take_vanished(search, nodes + count * stride);
    rescued = take_rescued(search, nodes + count * stride);
    count += rescued;
  } else if (!search->keeps_hash) {
    return false;
  }
  vm->torn.table = search->table.address;
  vm->torn.bytes = search->bytes;
  vm->torn.nodes = nodes;
  vm->torn.node_count = count;
  bool has_all = search->common >= search->used || rescued >= search->unsound;
  vm->torn.lost_entries = has_all ? 0 : search->unsound - rescued;
  vm->torn.is_lost = is_lost;
  if (search->array_size > search->table.array_size) {
    vm->torn.array = search->table.array_place;
    vm->torn.array_size = search->array_size;
  }
  if (!is_lost)
    notes_add(vm, vm->torn.table,
              "dumped while table 0x%llx was being resized; its old part was recovered from the "
              "native stack",
              (unsigned long long)vm->torn.table);
  return true;
}

struct inspect_error *resize_find(struct heap *heap, size_t index,
                                  const struct discovery *discovery, bool *found) {
  struct heap_vm *owner = &heap->vms[index];
  struct search search = {.vm = &owner->vm,
                          .layout = owner->vm.layout,
                          .map = &heap->map,
                          .heap = heap,
                          .index = index,
                          .discovery = discovery,
                          .words = &discovery->words,
                          .knows_blocks = block_sizes_are_kept(&owner->vm),
                          .compiles = compiles(heap, index, discovery),
                          .only = owner->vm.torn.table,
                          .missing = (uint64_t)owner->residual};
  bool fits = true;
  if (find_both(&search, REST_NONE) || find_both(&search, REST_SLICE) ||
      (!search.only && find_slice(&search)) ||
      ((search.knows_blocks || search.only) && find_both(&search, REST_OTHER)) ||
      (!search.only && find_pretender(&search))) {
    fits = give_back(&search);
    *found = true;
  }
  vector_free(&search.keys);
  return fits ? NULL : error_no_memory();
}
