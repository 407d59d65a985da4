/* torn.c - recovery of what was being moved: stacks and array parts by their doubles, the parts of
 * a table that was being resized by their soundness and size. resize.c does the latter. */
#include "graph/torn.h"

#include "graph/resize.h"
#include "graph/settle.h"
#include "lua/stack.h"

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

bool torn_words(struct heap *heap, struct native_words *result) {
  size_t hint = 0, kept = 0;
  if (!native_words(heap->source, 1, UINT64_MAX, result)) return false;
  for (size_t i = 0; i < result->count; i++)
    if (address_map_number(&heap->map, result->items[i], &hint) != NO_GRANULE &&
        !is_on_stack(heap->source, result->items[i]))
      result->items[kept++] = result->items[i];
  result->count = kept;
  return keep_first(result);
}

/* ---- Doubles -----------------------------------------------------------------------------------
 */

/* Among the words the one that leads to the same bytes as `address`, apart from the first ones:
 * where a block was that has been given back, the allocator writes into its beginning. 0: none. */
static uint64_t find_double(struct vm *vm, const struct native_words *words, uint64_t address,
                            uint64_t size) {
  enum { WRITTEN = 32 };
  const uint8_t *old = size > WRITTEN ? memory_view(&vm->memory, address, size) : NULL;
  for (size_t i = 0; old && i < words->count; i++) {
    const uint8_t *bytes =
        words->items[i] == address ? NULL : memory_view(&vm->memory, words->items[i], size);
    if (bytes && memcmp(bytes + WRITTEN, old + WRITTEN, size - WRITTEN) == 0)
      return words->items[i];
  }
  return 0;
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
        found->types.items[problem->object] == OBJECT_THREAD)
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
  if (stack_fits(vm, address, stack)) place = stack;
  struct lua_thread thread;
  if (!place && !thread_load(vm, address, &thread) && thread.slots)
    place = find_double(vm, words, stack, thread.slot_count * vm->layout->size[SIZE_TValue]);
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

/* The table with a problem in its array part, if the part has a double: it was being moved. */
static bool find_array(struct vm *vm, const struct heap *heap, const struct discovery *found,
                       const struct native_words *words) {
  bool is_split = vm->layout->array_form == ARRAY_SPLIT;
  for (size_t i = 0; i < found->problems.count; i++) {
    const struct problem *problem = &found->problems.items[i];
    if (problem->object == NO_OBJECT || problem->kind == PROBLEM_KIND ||
        found->types.items[problem->object] != OBJECT_TABLE)
      continue;
    uint64_t address = address_map_address(&heap->map, found->granules.items[problem->object]);
    struct lua_table table;
    if (table_load(vm, address, &table) || !table.array) continue;
    uint64_t below = is_split ? 8 * table.array_size : 0;
    uint64_t size = table_array_bytes(vm->layout, table.array_size);
    uint64_t place = find_double(vm, words, table.array_place - below, size);
    if (!place && is_split) { /* or the word leads to between values and tags */
      struct native_words shifted = {0};
      bool fits = true;
      for (size_t j = 0; fits && j < words->count; j++)
        fits = vector_push(&shifted, words->items[j] - below);
      place = fits ? find_double(vm, &shifted, table.array_place - below, size) : 0;
      vector_free(&shifted);
    }
    if (!place) continue;
    vm->torn.table = address;
    vm->torn.array = place + below;
    vm->torn.array_size = table.array_size;
    notes_add(vm, address,
              "dumped while table 0x%llx was being resized; its array part was recovered from the "
              "native stack",
              (unsigned long long)address);
    return true;
  }
  return false;
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

struct inspect_error *torn_find(struct heap *heap, size_t index, const struct discovery *discovery,
                                bool *found) {
  struct heap_vm *owner = &heap->vms[index];
  struct native_words words = {0};
  *found = false;
  if (!torn_words(heap, &words)) {
    vector_free(&words);
    return error_no_memory();
  }
  if (find_stack(&owner->vm, heap, discovery, &words)) *found = true;
  if (discovery->problems.count && !owner->vm.torn.table &&
      find_array(&owner->vm, heap, discovery, &words))
    *found = true;
  if (owner->residual < 0 && find_newborn(heap, index, discovery)) *found = true;
  struct inspect_error *error = NULL;
  if (!owner->vm.torn.nodes && owner->residual > 0)
    error = resize_find(heap, index, discovery, &words, found);
  vector_free(&words);
  return error;
}
