/* residual.c - explaining the residual.
 *
 * What is counted by the VM and is no object, or the reverse, for a moment or for good:
 *   the old parts of a table being resized, one of two stacks being moved      (torn.c found them)
 *   the object that is being made: linked, but its size is not filled in
 *   the buffers of the compiler, if a chunk is being compiled: 32 * 2^i for tokens, and lists of
 *     variables, gotos and labels of 24 bytes each that grow from 4 (llex.h, lparser.h)
 *   a table of strings that has grown or shrunk, but does not say so yet (lstring.c: luaS_resize)
 *   an object or block in flight: allocated and not yet linked, or unlinked and not yet freed. Its
 *     address is in a register or on the native stack, its size is that of the object there, or
 * that of the allocator's block there (as glibc keeps it, in the word before) (Another
 * LUA_EXTRASPACE is the layout's affair: extra_space.c.) Sizes that fit are tried in this order,
 * and the first that does is the explanation. */
#include "graph/residual.h"

#include "graph/settle.h"
#include "graph/torn.h"
#include "lua/block.h"
#include "lua/stack.h"

struct explaining {
  struct heap *heap;
  struct heap_vm *owner;
  struct vm *vm;
  const struct discovery *found;
  size_t index;
  int64_t rest; /* what is left to explain */
  const char *text;
};

static void explain(struct explaining *explaining, enum residual_state state, const char *format,
                    ...) PRINTF_LIKE(3, 4);

static void explain(struct explaining *explaining, enum residual_state state, const char *format,
                    ...) {
  va_list arguments;
  va_start(arguments, format);
  explaining->owner->residual_text = arena_vprintf(&explaining->vm->arena, format, arguments);
  va_end(arguments);
  if (!explaining->owner->residual_text) explaining->owner->residual_text = "not known";
  explaining->owner->residual_state = state;
}

static bool is_object(const struct explaining *explaining, uint64_t address) {
  size_t hint = 0;
  uint32_t granule = address_map_number(&explaining->heap->map, address, &hint);
  return granule != NO_GRANULE && address_map_is_marked(&explaining->heap->map, granule);
}

/* ---- Objects -----------------------------------------------------------------------------------
 */

/* Whether more is missing of a table than the old parts that were found, and it is not the
 * compiler's: then more of the table may be. */
static bool is_more_torn(struct explaining *explaining) {
  const struct torn *torn = &explaining->vm->torn;
  return torn->nodes && explaining->rest != (int64_t)torn->bytes &&
         !compiles(explaining->heap, explaining->index, explaining->found);
}

static bool explain_torn(struct explaining *explaining) {
  const struct torn *torn = &explaining->vm->torn;
  if (torn->table)
    explain(explaining, RESIDUAL_EXPLAINED, "parts of the table 0x%llx, which was being resized",
            (unsigned long long)torn->table);
  else if (torn->thread)
    explain(explaining, RESIDUAL_EXPLAINED,
            "one of two stacks: that of the thread 0x%llx was being moved",
            (unsigned long long)torn->thread);
  return torn->table || torn->thread;
}

/* Whether the missing bytes are the stack of a thread to which it does not belong yet. */
static bool is_new_stack(struct explaining *explaining, uint64_t address) {
  struct vm *vm = explaining->vm;
  struct lua_thread thread;
  const uint8_t *header = memory_view(&vm->memory, address, vm->layout->size[SIZE_lua_State]);
  return header && explaining->rest > 0 && !thread_load(vm, address, &thread) &&
         !thread.initialized &&
         block_fits(vm, load_field(vm->layout, header, lua_State_stack),
                    (uint64_t)explaining->rest);
}

static bool explain_newest(struct explaining *explaining) {
  object_id newest = newest_object(explaining->heap, explaining->index, explaining->found);
  if (newest == NO_OBJECT) return false;
  uint64_t address =
      address_map_address(&explaining->heap->map, explaining->found->granules.items[newest]);
  enum object_type type = explaining->found->types.items[newest];
  int64_t bytes = explaining->rest + (int64_t)discovered_bytes(explaining->found, newest);
  uint64_t before = type == OBJECT_THREAD ? explaining->vm->layout->block_extra : 0;
  bool is_size = bytes > 0 && block_fits(explaining->vm, address - before, (uint64_t)bytes);
  if (!is_size && (type != OBJECT_THREAD || !is_new_stack(explaining, address))) return false;
  explain(explaining, RESIDUAL_EXPLAINED, "the %s 0x%llx was being made", object_type_name(type),
          (unsigned long long)address);
  return true;
}

/* Bytes of the object's own block, and where that begins. */
static uint64_t own_block(struct explaining *explaining, const struct visit *visit,
                          uint64_t *address) {
  const struct layout *layout = explaining->vm->layout;
  switch (visit->type) {
  case OBJECT_TABLE:
    return layout->size[SIZE_Table];
  case OBJECT_PROTOTYPE:
    return layout->size[SIZE_Proto];
  case OBJECT_THREAD:
    *address -= layout->block_extra;
    return layout->block_extra + (uint64_t)layout->size[SIZE_lua_State];
  default:
    return visit->bytes;
  }
}

/* Whether the object, of which parts may have been freed already, can be all that is missing. A
 * thread loses its list of call infos before these are freed (lstate.c: luaE_freeCI). */
static bool is_freed_in_part(struct explaining *explaining, const struct visit *visit,
                             uint64_t address) {
  uint64_t rest = (uint64_t)explaining->rest, own = own_block(explaining, visit, &address);
  uint64_t call = explaining->vm->layout->size[SIZE_CallInfo];
  bool is_size =
      rest >= own &&
      (rest <= visit->bytes || (visit->type == OBJECT_THREAD && (rest - visit->bytes) % call == 0));
  return is_size && block_fits(explaining->vm, address, own);
}

/* An object on no list, whose size is what is missing (or what is left of it, if `in_part`). */
static bool explain_object(struct explaining *explaining, bool in_part) {
  if (explaining->rest <= 0) return false;
  struct visit visit = {0};
  bool is_found = false, no_memory = false;
  for (size_t i = 0; !is_found && i < explaining->found->words.count; i++) {
    uint64_t address = explaining->found->words.items[i];
    if (is_object(explaining, address) ||
        !lua54_visit(explaining->vm, address, TAG_ANY, &visit, &no_memory) ||
        (visit.next && !is_object(explaining, visit.next)) ||
        (in_part ? !is_freed_in_part(explaining, &visit, address)
                 : visit.bytes != (uint64_t)explaining->rest))
      continue;
    is_found = true;
    explain(explaining, RESIDUAL_EXPLAINED,
            in_part ? "the %s 0x%llx was being freed"
                    : "the %s 0x%llx was on its way into or out of the heap",
            object_type_name(visit.type), (unsigned long long)address);
  }
  vector_free(&visit.references);
  return is_found;
}

/* Whether a block of so many bytes, no object, has its owner's pointer in the word: to its
 * beginning, or in 5.5 to the nodes of a hash part, or to between the values and the tags of an
 * array part. */
static bool leads_to_block(struct explaining *explaining, uint64_t word, uint64_t bytes) {
  enum { EACH = 9, HEAD = 4 };
  struct vm *vm = explaining->vm;
  bool is_split = vm->layout->array_form == ARRAY_SPLIT;
  if (is_object(explaining, word)) return false;
  if (block_fits(vm, word, bytes)) return true;
  uint64_t values =
      is_split && bytes > HEAD && (bytes - HEAD) % EACH == 0 ? (bytes - HEAD) / EACH : 0;
  if (values && block_fits(vm, word - 8 * values, bytes)) return true;
  uint64_t head = bytes % vm->layout->size[SIZE_Node];
  return head && bytes == table_hash_bytes(vm->layout, bytes / vm->layout->size[SIZE_Node]) &&
         block_fits(vm, word - head, bytes);
}

static bool explain_block(struct explaining *explaining) {
  if (explaining->rest <= 0) return false;
  for (size_t i = 0; i < explaining->found->words.count; i++) {
    uint64_t address = explaining->found->words.items[i];
    if (!leads_to_block(explaining, address, (uint64_t)explaining->rest)) continue;
    explain(explaining, RESIDUAL_EXPLAINED, "the block at 0x%llx was being allocated or freed",
            (unsigned long long)address);
    return true;
  }
  return false;
}

static bool has_block(struct explaining *explaining, uint64_t bytes, uint64_t other) {
  for (size_t i = 0; i < explaining->found->words.count; i++) {
    uint64_t address = explaining->found->words.items[i];
    if (address != other && leads_to_block(explaining, address, bytes)) return true;
  }
  return false;
}

/* A new hash part and a new array part, of a table that is worked on and has neither yet. */
static bool explain_parts(struct explaining *explaining) {
  enum { LARGEST_LOG2 = 30 };
  for (unsigned log2 = 0; explaining->rest > 0 && log2 <= LARGEST_LOG2; log2++) {
    uint64_t bytes = table_hash_bytes(explaining->vm->layout, UINT64_C(1) << log2);
    if (bytes >= (uint64_t)explaining->rest) break;
    for (size_t i = 0; i < explaining->found->words.count; i++) {
      uint64_t address = explaining->found->words.items[i];
      if (!leads_to_block(explaining, address, bytes) ||
          !has_block(explaining, (uint64_t)explaining->rest - bytes, address))
        continue;
      explain(explaining, RESIDUAL_EXPLAINED,
              "new parts of a table that was being resized: two blocks, one at 0x%llx",
              (unsigned long long)address);
      return true;
    }
  }
  return false;
}

/* An array that has been reallocated to its bytes and what is missing, in its place or in another
 * that its owner does not know yet: the array part of a table, or the stack of a thread. */
static bool has_grown(struct explaining *explaining, uint64_t place, uint64_t bytes) {
  bytes += (uint64_t)explaining->rest;
  return place && (block_fits(explaining->vm, place, bytes) || has_block(explaining, bytes, place));
}

static bool explain_grown(struct explaining *explaining) {
  struct vm *vm = explaining->vm;
  for (size_t i = 0; explaining->rest > 0 && i < explaining->found->words.count; i++) {
    uint64_t address = explaining->found->words.items[i];
    struct lua_table table;
    struct lua_thread thread;
    if (!is_object(explaining, address)) continue;
    if (!table_load(vm, address, &table) &&
        has_grown(explaining, vm->layout->array_form == ARRAY_SPLIT ? 0 : table.array_place,
                  table_array_bytes(vm->layout, table.array_size))) {
      explain(explaining, RESIDUAL_EXPLAINED, "the array part of the table 0x%llx was growing",
              (unsigned long long)address);
      return true;
    }
    if (!thread_load(vm, address, &thread) && thread.initialized &&
        has_grown(explaining, thread.stack, thread.slot_count * vm->layout->size[SIZE_TValue])) {
      explain(explaining, RESIDUAL_EXPLAINED, "the stack of the thread 0x%llx was growing",
              (unsigned long long)address);
      return true;
    }
  }
  return false;
}

/* ---- Parts of the VM ---------------------------------------------------------------------------
 */

/* 32 * 2^i + 24 * 4 * j */
bool compiler_fits(int64_t bytes) {
  enum { TOKENS = 32, FOUR_ITEMS = 96 };
  for (int64_t tokens = TOKENS; tokens <= bytes; tokens *= 2)
    if ((bytes - tokens) % FOUR_ITEMS == 0) return true;
  return false;
}

/* The same with a block in flight besides. */
static bool fits_compiler_and_block(struct explaining *explaining) {
  enum { SLACK = 16 };
  for (size_t i = 0; i < explaining->found->words.count; i++) {
    uint64_t address = explaining->found->words.items[i],
             word = explaining->vm->layout->pointer_size;
    const uint8_t *before = memory_view(&explaining->vm->memory, address - word, word);
    if (is_object(explaining, address) || !before) continue;
    uint64_t most = (load_pointer(explaining->vm->layout, before) & ~UINT64_C(7)) - word;
    for (uint64_t bytes = most; bytes + SLACK > most && bytes < (uint64_t)explaining->rest; bytes--)
      if (block_fits(explaining->vm, address, bytes) &&
          compiler_fits(explaining->rest - (int64_t)bytes))
        return true;
  }
  return false;
}

static bool explain_compiler(struct explaining *explaining) {
  if (!compiles(explaining->heap, explaining->index, explaining->found)) return false;
  if (compiler_fits(explaining->rest))
    explain(explaining, RESIDUAL_EXPLAINED,
            "the buffers of the compiler: a chunk was being compiled");
  else if (fits_compiler_and_block(explaining))
    explain(explaining, RESIDUAL_EXPLAINED,
            "the buffers of the compiler, as a chunk was being compiled, and a block in flight");
  else
    return false;
  return true;
}

/* Whatever else it is that is missing then: the compiler's own parts hold constants only. */
static bool explain_compiling(struct explaining *explaining) {
  if (!compiles(explaining->heap, explaining->index, explaining->found)) return false;
  explain(explaining, RESIDUAL_LIKELY,
          "the buffers of the compiler, or what it was just moving: a chunk was being compiled");
  return true;
}

static bool explain_strings(struct explaining *explaining) {
  const struct vm *vm = explaining->vm;
  int64_t size = (int64_t)(vm->string_table_size * vm->layout->pointer_size);
  if (!size || (explaining->rest != size && explaining->rest != -size / 2)) return false;
  explain(explaining, RESIDUAL_EXPLAINED, "the table of strings was being resized");
  return true;
}

/* Whether objects were freed that still look like some, or the reverse. */
static bool explain_freed(struct explaining *explaining) {
  if (!explaining->found->is_freed) return false;
  explain(explaining, RESIDUAL_LIKELY, "objects that had been freed: the VM was being closed");
  return true;
}

static bool was_left_out(const struct source *source, uint64_t address) {
  return source && source->left_out_bytes && !source_view(source, address, 1);
}

/* Whether the VM goes on in memory that the dump lacks: then no other explanation holds. */
static bool explain_missing(struct explaining *explaining) {
  const struct faults *faults = &explaining->vm->faults;
  const struct source *source = explaining->heap->source;
  bool is_missing = false;
  for (size_t i = 0; i < faults->list.count && !is_missing; i++) {
    uint64_t address = faults->list.items[i].address;
    is_missing = source_is_missing(source, address) || was_left_out(source, address);
  }
  if (explaining->rest < 0 || !is_missing) return false;
  explaining->owner->missing_bytes = (uint64_t)explaining->rest;
  explain(explaining, RESIDUAL_EXPLAINED, "what lies in memory that is missing in the dump");
  return true;
}

/* What is missing and was not found may hold references, if the VM was at work. */
static void explain_rest(struct explaining *explaining, struct discovery *found) {
  enum { LARGEST_GUESS = 1 << 20 };
  int64_t bytes = explaining->rest < 0 ? -explaining->rest : explaining->rest;
  if (bytes > LARGEST_GUESS || !native_works(explaining->vm->source)) {
    explain(explaining, RESIDUAL_UNEXPLAINED,
            "not explained: the layout may not fit this Lua; if so, give one with --layout FILE");
    return;
  }
  explain(explaining, RESIDUAL_LIKELY,
          "not found; the process was running, so it may be a block in flight");
  if (explaining->rest < 0) return;
  discovery_lose(found, NO_OBJECT, ALL_TYPES);
  faults_add(&explaining->vm->faults, explaining->vm->global_state,
             "bytes that the VM counts were not found; they may hold references");
}

struct inspect_error *residual_explain(struct heap *heap, size_t index, struct discovery *found) {
  struct heap_vm *owner = &heap->vms[index];
  owner->residual_state = RESIDUAL_NONE;
  owner->residual_text = NULL;
  owner->missing_bytes = 0;
  if (!owner->residual) return NULL;
  struct explaining explaining = {.heap = heap,
                                  .owner = owner,
                                  .vm = &owner->vm,
                                  .found = found,
                                  .index = index,
                                  .rest = owner->residual};
  TRY(torn_words(heap, found));
  bool is_explained = is_more_torn(&explaining)
                          ? false
                          : explain_missing(&explaining) || explain_freed(&explaining) ||
                                explain_torn(&explaining) || explain_newest(&explaining) ||
                                explain_strings(&explaining) || explain_compiler(&explaining) ||
                                explain_object(&explaining, false) || explain_block(&explaining) ||
                                explain_object(&explaining, true) || explain_grown(&explaining) ||
                                explain_parts(&explaining) || explain_compiling(&explaining);
  if (!is_explained) explain_rest(&explaining, found);
  return NULL;
}
