/* torn.c - recovery of what was being moved: stacks and array parts by their doubles, the parts of
 * a table that was being resized by their soundness and size. resize.c does the latter. */
#include "graph/torn.h"

#include "graph/resize.h"
#include "graph/settle.h"
#include "lua/block.h"
#include "lua/stack.h"
#include "lua/visit.h"

static int by_word(const void *left, const void *right) {
  const uint64_t *a = *(const uint64_t *const *)left, *b = *(const uint64_t *const *)right;
  if (*a != *b) return *a < *b ? -1 : 1;
  return a < b ? -1 : a > b;
}

/* Keeps the first of equal words, in place. */
static bool keep_first(struct native_words *words) {
  if (!words->count) return true;
  const uint64_t **order = malloc(words->count * sizeof *order);
  bool *is_kept = calloc(words->count, sizeof *is_kept);
  for (size_t i = 0; order && i < words->count; i++)
    order[i] = &words->items[i];
  if (order && is_kept) {
    qsort(order, words->count, sizeof *order, by_word);
    for (size_t i = 0; i < words->count; i++)
      is_kept[order[i] - words->items] = !i || *order[i] != *order[i - 1];
    size_t kept = 0;
    for (size_t i = 0; i < words->count; i++)
      if (is_kept[i]) words->items[kept++] = words->items[i];
    words->count = kept;
  }
  bool fits = order && is_kept;
  free(order);
  free(is_kept);
  return fits;
}

/* Whether the address is on the part of a native stack that words are taken from: no block is. */
static bool is_on_stack(const struct source *source, uint64_t address) {
  enum { NEAR = 1 << 16 };
  for (size_t i = 0; i < source->thread_count; i++) {
    uint64_t top = source->threads[i].stack_pointer;
    if (address + NEAR >= top && address < top + NEAR) return true;
  }
  return false;
}

struct inspect_error *torn_words(struct heap *heap, struct discovery *found) {
  struct native_words *words = &found->words;
  if (found->has_words) return NULL;
  size_t hint = 0, kept = 0;
  if (!native_words(heap->source, 1, UINT64_MAX, words)) return error_no_memory();
  for (size_t i = 0; i < words->count; i++)
    if (address_map_number(&heap->map, words->items[i], &hint) != NO_GRANULE &&
        !is_on_stack(heap->source, words->items[i]))
      words->items[kept++] = words->items[i];
  words->count = kept;
  found->has_words = true;
  return keep_first(words) ? NULL : error_no_memory();
}

/* ---- Doubles -----------------------------------------------------------------------------------
 */

/* Whether the same bytes are at both addresses, apart from the first ones: where a block was that
 * has been given back, the allocator writes into its beginning. */
static bool is_double(struct vm *vm, uint64_t address, uint64_t old, uint64_t size) {
  enum { WRITTEN = 16, LARGE = 1024, WRITTEN_IF_LARGE = 32 }; /* malloc.c: malloc_chunk */
  uint64_t written = size > LARGE ? WRITTEN_IF_LARGE : WRITTEN;
  if (size <= written) return false;
  const uint8_t *here = memory_view(&vm->memory, address, size);
  const uint8_t *there = memory_view(&vm->memory, old, size);
  return here && there && memcmp(here, there, written) != 0 &&
         memcmp(here + written, there + written, size - written) == 0;
}

/* ---- Stacks ------------------------------------------------------------------------------------
 */

static bool is_function(struct lua_value value) {
  return value.tag == TAG_LIGHT_FUNCTION || value.tag == (TAG_LUA_FUNCTION | TAG_COLLECTABLE) ||
         value.tag == (TAG_C_FUNCTION | TAG_COLLECTABLE);
}

/* Whether the stack of the thread may lie at `place`: every call has a function there. */
static bool stack_fits(struct vm *vm, uint64_t address, uint64_t place) {
  struct torn before = vm->torn;
  struct lua_thread thread;
  struct lua_calls calls = {0};
  vm->torn.thread = address;
  vm->torn.stack = place;
  bool fits = !thread_load(vm, address, &thread) && thread.initialized && thread.slots &&
              thread_calls(vm, &thread, &calls);
  for (size_t i = 0; fits && i < calls.count; i++)
    fits = is_function(thread_slot(vm, &thread, calls.items[i].function));
  for (uint64_t slot = 1; fits && slot < thread.top; slot++)
    fits = value_is_sound(thread_slot(vm, &thread, slot));
  vector_free(&calls);
  vm->torn = before;
  return fits;
}

/* The thread whose stack cannot be read or was being moved, 0 if there is none. */
static uint64_t moving_thread(const struct heap *heap, const struct discovery *found) {
  if (found->moving_thread) return found->moving_thread;
  for (size_t i = 0; i < found->problems.count; i++) {
    const struct problem *problem = &found->problems.items[i];
    if (problem->kind == PROBLEM_PART && problem->object != NO_OBJECT &&
        problem->text != BROKEN_OPEN_UPVALUES &&
        found->types.items[problem->object] == OBJECT_THREAD &&
        !source_is_missing(heap->source, problem->address))
      return address_map_address(&heap->map, found->granules.items[problem->object]);
  }
  return 0;
}

static bool find_stack(struct vm *vm, const struct heap *heap, const struct discovery *found,
                       const struct native_words *words) {
  uint64_t address = moving_thread(heap, found);
  const uint8_t *header =
      address ? memory_view(&vm->memory, address, vm->layout->size[SIZE_lua_State]) : NULL;
  if (!header || vm->torn.thread) return false;
  uint64_t stack = load_field(vm->layout, header, lua_State_stack), place = 0;
  if (source_is_missing(heap->source, stack)) return false;
  if (stack_fits(vm, address, stack)) place = stack;
  struct lua_thread thread;
  if (!place && !thread_load(vm, address, &thread) && thread.slots)
    for (size_t i = 0; !place && i < words->count; i++)
      if (is_double(vm, words->items[i], stack, thread.slot_count * vm->layout->size[SIZE_TValue]))
        place = words->items[i];
  for (size_t i = 0; !place && i < words->count; i++)
    if (stack_fits(vm, address, words->items[i])) place = words->items[i];
  if (!place) return false;
  vm->torn.thread = address;
  vm->torn.stack = place;
  notes_add(vm, address, "dumped while the stack of the thread 0x%llx was being moved%s",
            (unsigned long long)address,
            place == stack ? "" : "; its new place was recovered from the native stack");
  return true;
}

/* ---- Array parts -------------------------------------------------------------------------------
 */

bool torn_is_in_part(struct heap *heap, size_t index, const struct discovery *found,
                     uint64_t place) {
  struct heap_vm *owner = &heap->vms[index];
  struct vm *vm = &owner->vm;
  uint64_t value_size = vm->layout->size[SIZE_TValue];
  for (object_id object = owner->first; object < found->granules.count; object++) {
    uint64_t address = address_map_address(&heap->map, found->granules.items[object]);
    struct lua_table table;
    struct lua_thread thread;
    uint64_t start = 0, size = 0;
    if (found->types.items[object] == OBJECT_TABLE && !table_load(vm, address, &table)) {
      bool is_split = vm->layout->array_form == ARRAY_SPLIT;
      start = table.array_place - (is_split ? 8 * table.array_size : 0);
      size = table_array_bytes(vm->layout, table.array_size);
      if (place >= start && place - start < size) return true;
      start = table.node_place;
      size = table.node_count * vm->layout->size[SIZE_Node];
    } else if (found->types.items[object] == OBJECT_THREAD && !thread_load(vm, address, &thread) &&
               thread.initialized) {
      start = thread.stack;
      size = thread.slot_count * value_size;
    }
    if (place >= start && place - start < size) return true;
  }
  return false;
}

/* Whether value `index` of the table's array part is a reference to an object. */
static bool holds_object(struct heap *heap, struct vm *vm, const struct lua_table *table,
                         uint64_t index) {
  struct lua_value value = table_array_value(vm, table, index);
  size_t hint = 0;
  if (!value_is_object(value) || !value_is_sound(value)) return false;
  uint32_t granule = address_map_number(&heap->map, value.bits, &hint);
  const uint8_t *header = memory_view(&vm->memory, value.bits, 2 * vm->layout->pointer_size);
  return granule != NO_GRANULE && address_map_is_marked(&heap->map, granule) && header &&
         load_field(vm->layout, header, GCObject_tt) == (value.tag & ~TAG_COLLECTABLE);
}

/* Whether the array part of a table lies in a block that has been given back, with something lost
 * of it. The words that are overwritten then are a value and its tag; in 5.5 the last two values,
 * without their tags if there are two. */
static bool array_is_lost(struct heap *heap, struct vm *vm, const struct lua_table *table) {
  bool is_split = vm->layout->array_form == ARRAY_SPLIT, is_lost = false;
  uint64_t below = is_split ? 8 * table->array_size : 0, size = table->array_size;
  if (!size || !table->array_place || !block_sizes_are_kept(vm)) return false;
  if (!is_split || size < 2) is_lost = !holds_object(heap, vm, table, 0);
  for (uint64_t i = size - 2; is_split && size > 1 && i < size; i++)
    is_lost |=
        value_is_object(table_array_value(vm, table, i)) && !holds_object(heap, vm, table, i);
  return is_lost && (block_is_given_back(vm, table->array_place - below) ||
                     block_has_key(vm, table->array_place - below));
}

/* Whether something in the object made no sense, apart from what it is. */
static bool has_problem(const struct discovery *found, uint32_t granule) {
  for (size_t i = 0; i < found->problems.count; i++) {
    const struct problem *problem = &found->problems.items[i];
    if (problem->object != NO_OBJECT && problem->kind != PROBLEM_KIND &&
        found->granules.items[problem->object] == granule)
      return true;
  }
  return false;
}

/* The other place of a table's array part, if it was being moved; 0 if not. It is moved to where
 * more fits. The pass over all objects, for a candidate, is made `*passes` times at most. */
static uint64_t other_array(struct heap *heap, size_t index, const struct discovery *found,
                            const struct lua_table *table, unsigned *passes) {
  enum { MOST_WORDS = 1 << 12 };
  struct vm *vm = &heap->vms[index].vm;
  bool is_split = vm->layout->array_form == ARRAY_SPLIT;
  uint64_t below = is_split ? 8 * table->array_size : 0, old = table->array_place - below;
  uint64_t size = table_array_bytes(vm->layout, table->array_size);
  for (size_t i = 0; i < found->words.count && i < MOST_WORDS && *passes; i++) {
    uint64_t place = found->words.items[i] - below;
    if (place == old || !is_double(vm, place, old, size) ||
        (!is_split && block_sizes_are_kept(vm) && block_fits(vm, place, size)))
      continue;
    --*passes;
    if (!torn_is_in_part(heap, index, found, place)) return place + below;
  }
  return 0;
}

/* Whether an array at `place` lies in a block of its own, for a few more than `size` values. */
static bool is_larger_array(struct vm *vm, uint64_t place, uint64_t size) {
  enum { MOST_MORE = 8 };
  uint64_t each = vm->layout->array_form == ARRAY_SPLIT ? 8 : 0; /* below the pointer */
  for (uint64_t more = size + 1; more <= size + MOST_MORE; more++)
    if (block_fits(vm, place - each * more, table_array_bytes(vm->layout, more)) &&
        !block_is_given_back(vm, place - each * more))
      return true;
  return false;
}

/* The other place of an array part of one value, of which nothing is left in the old one: the only
 * block among the words that may be it. 0: none, or several. */
static uint64_t other_single(struct heap *heap, size_t index, const struct discovery *found,
                             const struct lua_table *table, unsigned *passes) {
  struct vm *vm = &heap->vms[index].vm;
  size_t hint = 0;
  uint64_t result = 0;
  if (table->array_size != 1 || !block_sizes_are_kept(vm)) return 0;
  for (size_t i = 0; i < found->words.count && *passes; i++) {
    uint64_t place = found->words.items[i];
    uint32_t granule = address_map_number(&heap->map, place, &hint);
    struct lua_table other = {.array_size = 1, .array = table_array_view(vm, place, 1)};
    if (address_map_is_marked(&heap->map, granule) || place == table->array_place ||
        !is_larger_array(vm, place, 1) || !other.array || !holds_object(heap, vm, &other, 0))
      continue;
    --*passes;
    if (torn_is_in_part(heap, index, found, place)) continue;
    if (result) return 0;
    result = place;
  }
  return *passes ? result : 0;
}

/* The table that is worked on whose array part was being moved. What it still points to was given
 * back, and may look sound. */
static bool find_array(struct heap *heap, size_t index, const struct discovery *found) {
  enum { MOST_TABLES = 256, MOST_PASSES = 4 };
  struct vm *vm = &heap->vms[index].vm;
  size_t hint = 0;
  unsigned tables = 0, passes = MOST_PASSES;
  for (size_t i = 0; i < found->words.count && tables < MOST_TABLES; i++) {
    uint64_t address = found->words.items[i];
    uint32_t granule = address_map_number(&heap->map, address, &hint);
    struct lua_table table;
    if (!address_map_is_marked(&heap->map, granule) || table_load(vm, address, &table) ||
        !table.array_size || (!array_is_lost(heap, vm, &table) && !has_problem(found, granule)))
      continue;
    tables++;
    uint64_t place = other_array(heap, index, found, &table, &passes);
    if (!place) place = other_single(heap, index, found, &table, &passes);
    if (!place) continue;
    vm->torn.table = address;
    vm->torn.array = place;
    vm->torn.array_size = table.array_size;
    notes_add(vm, address,
              "dumped while table 0x%llx was being resized; its array part was recovered from the "
              "native stack",
              (unsigned long long)address);
    return true;
  }
  return false;
}

/* Whether the block of a table's hash part has another size than the table says. */
static bool header_is_torn(struct vm *vm, uint64_t address) {
  uint64_t place, bytes;
  return block_sizes_are_kept(vm) && table_hash_block(vm, address, &place, &bytes) &&
         !block_fits(vm, place, bytes);
}

uint64_t torn_lost(struct heap *heap, size_t index, const struct discovery *found) {
  struct vm *vm = &heap->vms[index].vm;
  size_t hint = 0;
  for (size_t i = 0; i < found->words.count; i++) {
    uint64_t address = found->words.items[i];
    uint32_t granule = address_map_number(&heap->map, address, &hint);
    struct lua_table table;
    if (address_map_is_marked(&heap->map, granule) && !table_load(vm, address, &table) &&
        (header_is_torn(vm, address) || array_is_lost(heap, vm, &table)))
      return address;
  }
  return 0;
}

/* ---- Threads that are being made ---------------------------------------------------------------
 */

/* A thread whose memory held another one looks complete before it is filled in; but its stack,
 * which was freed, is not among the bytes that the VM counts. */
static bool find_newborn(struct heap *heap, size_t index, const struct discovery *found) {
  struct heap_vm *owner = &heap->vms[index];
  struct vm *vm = &owner->vm;
  object_id newest = newest_object(heap, index, found);
  if (newest == NO_OBJECT || found->types.items[newest] != OBJECT_THREAD || vm->torn.newborn)
    return false;
  uint64_t address = address_map_address(&heap->map, found->granules.items[newest]);
  struct lua_thread thread;
  if (address == vm->main_thread || thread_load(vm, address, &thread) || !thread.initialized ||
      owner->residual + (int64_t)thread_stack_bytes(vm, &thread) != 0)
    return false;
  vm->torn.newborn = address;
  notes_add(vm, address, "dumped while the thread 0x%llx was being made",
            (unsigned long long)address);
  return true;
}

/* Whether a native thread has the VM in its hands: its global state, or one of its threads. */
static bool is_held(struct heap *heap, const struct vm *vm, const struct native_words *words) {
  size_t hint = 0;
  for (size_t i = 0; i < words->count; i++) {
    uint64_t address = words->items[i];
    if (address == vm->global_state || address == vm->main_thread) return true;
    uint32_t granule = address_map_number(&heap->map, address, &hint);
    const struct address_range *range = address_map_find(&heap->map, address, &hint);
    if (!address_map_is_marked(&heap->map, granule) ||
        range->end - address < vm->layout->size[SIZE_lua_State])
      continue;
    const uint8_t *header = range->bytes + (address - range->start);
    if (load_field(vm->layout, header, GCObject_tt) == TAG_THREAD &&
        load_field(vm->layout, header, lua_State_l_G) == vm->global_state)
      return true;
  }
  return false;
}

struct inspect_error *torn_find(struct heap *heap, size_t index, struct discovery *discovery,
                                bool *found) {
  struct heap_vm *owner = &heap->vms[index];
  struct vm *vm = &owner->vm;
  *found = false;
  TRY(torn_words(heap, discovery));
  const struct native_words *words = &discovery->words;
  if (find_stack(vm, heap, discovery, words)) *found = true;
  if (!vm->torn.table && is_held(heap, vm, words) && find_array(heap, index, discovery))
    *found = true;
  if (owner->residual < 0 && find_newborn(heap, index, discovery)) *found = true;
  if (vm->torn.nodes || owner->residual <= 0) return NULL;
  return resize_find(heap, index, discovery, found);
}
