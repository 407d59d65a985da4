/* heap.c - from a source to the graph of all its VMs.
 *
 * Two passes over the heap: walk.c discovers objects and leaves references as granule numbers,
 * link.c turns these into ids. Here: which memory, which of two layouts that fit, which roots. */
#include "graph/heap.h"

#include "graph/class_names.h"
#include "graph/extra_space.h"
#include "graph/link.h"
#include "graph/residual.h"
#include "graph/settle.h"
#include "graph/torn.h"
#include "lua/stack.h"

/* ---- Memory and VMs -------------------------------------------------------------------------- */

struct inspect_error *heap_open(struct heap *heap, struct source *source) {
  *heap = (struct heap){.source = source};
  arena_init(&heap->layouts);
  struct address_range *ranges = calloc(source->segment_count + 1, sizeof *ranges);
  if (!ranges) return error_no_memory();
  size_t count = 0;
  for (size_t i = 0; i < source->segment_count; i++) {
    const struct source_segment *segment = &source->segments[i];
    if (!segment->writable) continue;
    ranges[count++] = (struct address_range){
        .start = segment->start, .end = segment->end, .bytes = segment->bytes};
  }
  const char *missing = count ? NULL : source_missing_hint(source);
  struct inspect_error *error =
      count ? address_map_init(&heap->map, source->pointer_size == 4 ? 2 : 3, ranges, count)
            : error_create(INSPECT_ERROR_TARGET,
                           missing ? missing
                                   : "dump the process again with `gcore PID`, or set "
                                     "/proc/PID/coredump_filter to 0x33 before it dies",
                           "the core holds no writable memory");
  free(ranges);
  return error;
}

/* ---- Choosing between layouts that fit equally ----------------------------------------------- */

static uint64_t magnitude(int64_t value) { return value < 0 ? -(uint64_t)value : (uint64_t)value; }

static bool change_layout(struct heap_vm *owner, const struct layout *layout) {
  const struct address_map *map = owner->vm.memory.map;
  const struct source *source = owner->vm.source;
  uint64_t global = owner->vm.global_state, thread = owner->vm.main_thread;
  bool short_modes_only = owner->vm.short_modes_only, may_be_torn = owner->vm.may_be_torn;
  vm_close(&owner->vm);
  bool is_open = vm_open(&owner->vm, layout, map, global, thread);
  owner->vm.source = source;
  owner->vm.short_modes_only = short_modes_only;
  owner->vm.may_be_torn = may_be_torn;
  return is_open;
}

/* Walks with the preferred layout, and with the alternate if the books do not balance. */
static struct inspect_error *walk_with_best_layout(struct heap *heap, size_t index,
                                                   struct discovery *discovery,
                                                   const struct work *work) {
  struct heap_vm *owner = &heap->vms[index];
  TRY(walk_vm(heap, index, discovery, work));
  const struct layout *first = owner->vm.layout, *second = owner->alternate;
  owner->alternate = NULL;
  if (!second || owner->residual == 0) return NULL;
  uint64_t first_residual = magnitude(owner->residual);
  walk_undo(heap, index, discovery);
  if (!change_layout(owner, second)) return NULL;
  TRY(walk_vm(heap, index, discovery, work));
  if (magnitude(owner->residual) < first_residual) return NULL;
  walk_undo(heap, index, discovery);
  if (!change_layout(owner, first)) return NULL;
  return walk_vm(heap, index, discovery, work);
}

/* The same, and once more if the books show another LUA_EXTRASPACE. */
static struct inspect_error *walk_exactly(struct heap *heap, size_t index,
                                          struct discovery *discovery, const struct work *work) {
  TRY(walk_with_best_layout(heap, index, discovery, work));
  const struct layout *adapted = extra_space_adapt(heap, index, discovery);
  if (!adapted) return NULL;
  walk_undo(heap, index, discovery);
  if (!change_layout(&heap->vms[index], adapted)) return NULL;
  return walk_vm(heap, index, discovery, work);
}

/* Whether the last walk shows a heap that was caught in the middle of something, or is damaged. */
static bool is_unsettled(const struct heap_vm *owner, const struct discovery *found) {
  return owner->residual || found->balance || found->problems.count || found->moving_thread ||
         found->moving_upvalue;
}

/* The walk, what it missed found again, and what it could not make sense of settled. */
static struct inspect_error *read_vm(struct heap *heap, size_t index, struct discovery *found,
                                     const struct work *work) {
  enum { MOST_ROUNDS = 3 };
  struct heap_vm *owner = &heap->vms[index];
  bool may_be_torn = owner->vm.may_be_torn = native_works(heap->source);
  TRY(walk_exactly(heap, index, found, work));
  if (!found->is_careful) {
    found->is_suspicious = is_unsettled(owner, found);
    if (!found->is_suspicious && may_be_torn)
      TRY(torn_find(heap, index, found, &found->is_suspicious));
    if (found->is_suspicious) return NULL;
  }
  for (int round = 0; found->is_careful && round < MOST_ROUNDS; round++) {
    bool is_torn = may_be_torn || is_unsettled(owner, found);
    if (is_torn) TRY(torn_find(heap, index, found, &is_torn));
    if (!is_torn) break;
    walk_undo(heap, index, found);
    TRY(walk_vm(heap, index, found, work));
  }
  TRY(settle(heap, index, found));
  TRY(residual_explain(heap, index, found));
  for (size_t i = found->losses_before; i < found->losses.count; i++) {
    found->losses.items[i].first = owner->first;
    found->losses.items[i].end = owner->first + owner->count;
  }
  return NULL;
}

/* ---- From discovery to the graph ------------------------------------------------------------- */

/* Hands the arrays over to the graph. */
static void adopt(struct heap *heap, struct discovery *found) {
  struct graph *graph = &heap->graph;
  heap->granule = found->granules.items;
  graph->type = found->types.items;
  graph->flags = found->flags.items;
  graph->bytes = found->bytes.items;
  graph->target = found->targets.items;
  graph->kind = found->kinds.items;
  graph->big = found->bigs.items;
  graph->big_count = found->bigs.count;
  graph->incomplete = found->incomplete;
  if (found->forgets_losses) vector_free(&found->losses);
  graph->losses = found->losses.items;
  graph->loss_count = found->losses.count;
  graph->first = found->first.items;
  graph->block_first = found->block_first.items;
  vector_free(&found->problems);
  vector_free(&found->words);
}

/* ---- Roots ----------------------------------------------------------------------------------- */

struct roots VECTOR(struct graph_root);

static bool add_root(struct roots *roots, uint32_t vm, enum root_kind kind, uint32_t index,
                     object_id object) {
  struct graph_root root = {.object = object, .kind = kind, .index = index, .vm = vm};
  return object == NO_OBJECT || vector_push(roots, root);
}

static object_id table_value(struct heap *heap, struct heap_vm *owner, uint64_t table_address,
                             const char *name, int64_t index) {
  struct lua_table table;
  struct lua_value value;
  if (!table_address || table_load(&owner->vm, table_address, &table)) return NO_OBJECT;
  bool found = name ? table_find(&owner->vm, &table, name, strlen(name), &value)
                    : table_find_integer(&owner->vm, &table, index, &value);
  if (!found || !value_is_object(value)) return NO_OBJECT;
  object_id object = heap_object_at(heap, value.bits);
  return object != NO_OBJECT && heap->graph.type[object] == OBJECT_TABLE ? object : NO_OBJECT;
}

/* The running coroutine: of those inside a call, the one whose error handler lies deepest on the
 * native stack; the main thread if there is none. */
static object_id running_thread(struct heap *heap, struct heap_vm *owner) {
  object_id running = owner->main_thread;
  uint64_t lowest = UINT64_MAX;
  for (uint32_t i = 0; owner->coroutines && i < owner->count; i++) {
    object_id object = owner->first + i;
    struct lua_thread thread;
    if (heap->graph.type[object] != OBJECT_THREAD || object == owner->main_thread) continue;
    if (thread_load(&owner->vm, heap_address(heap, object), &thread) || !thread.initialized ||
        thread_state(&thread) != THREAD_RUNNING || !thread.error_jump)
      continue;
    if (thread.error_jump < lowest) {
      lowest = thread.error_jump;
      running = object;
    }
  }
  return running;
}

static bool add_vm_roots(struct heap *heap, uint32_t index, struct roots *roots) {
  struct heap_vm *owner = &heap->vms[index];
  struct vm *vm = &owner->vm;
  const struct layout *layout = vm->layout;
  owner->main_thread = heap_object_at(heap, vm->main_thread);
  owner->registry = vm->registry ? heap_object_at(heap, vm->registry) : NO_OBJECT;
  owner->globals = table_value(heap, owner, vm->registry, NULL, layout->globals_index);
  owner->loaded = table_value(heap, owner, vm->registry, "_LOADED", 0);
  owner->running_thread = running_thread(heap, owner);
  if (!add_root(roots, index, ROOT_GLOBALS, 0, owner->globals) ||
      !add_root(roots, index, ROOT_LOADED, 0, owner->loaded) ||
      !add_root(roots, index, ROOT_REGISTRY, 0, owner->registry) ||
      !add_root(roots, index, ROOT_MAIN_THREAD, 0, owner->main_thread))
    return false;
  if (owner->running_thread != owner->main_thread &&
      !add_root(roots, index, ROOT_RUNNING_THREAD, 0, owner->running_thread))
    return false;
  const uint8_t *global =
      memory_view(&vm->memory, vm->global_state, layout->size[SIZE_global_State]);
  for (uint32_t i = 0; global && i < 9; i++) {
    uint64_t metatable = load_pointer(layout, global + layout->place[global_State_mt].offset +
                                                  i * layout->pointer_size);
    if (metatable &&
        !add_root(roots, index, ROOT_BASIC_METATABLE, i, heap_object_at(heap, metatable)))
      return false;
  }
  if (!vm_pending_are_roots(vm)) return true;
  for (uint32_t i = 0; i < owner->count; i++)
    if (heap->graph.flags[owner->first + i] & OBJECT_PENDING &&
        !add_root(roots, index, ROOT_PENDING, 0, owner->first + i))
      return false;
  return true;
}

static struct inspect_error *add_roots(struct heap *heap) {
  struct roots roots = {0};
  for (uint32_t i = 0; i < heap->vm_count; i++) {
    if (add_vm_roots(heap, i, &roots)) continue;
    vector_free(&roots);
    return error_no_memory();
  }
  heap->graph.roots = roots.items;
  heap->graph.root_count = roots.count;
  return NULL;
}

/* ---- The whole ------------------------------------------------------------------------------- */

/* What all VMs say that they have. */
static uint64_t bytes_in_use(const struct heap *heap) {
  uint64_t bytes = 0, most = heap->map.granule_count << heap->map.shift;
  for (size_t i = 0; i < heap->vm_count && bytes < most; i++)
    bytes += heap->vms[i].vm.heap_bytes < most ? heap->vms[i].vm.heap_bytes : most;
  return bytes;
}

/* Reads all VMs and links their objects, unless something is found to be wrong on the way. */
static struct inspect_error *read_vms(struct heap *heap, struct discovery *found,
                                      const struct work *work) {
  discovery_prepare(found, heap, bytes_in_use(heap));
  for (size_t i = 0; !found->is_suspicious && i < heap->vm_count; i++)
    TRY(read_vm(heap, i, found, work));
  if (found->is_suspicious) return NULL;
  if (!discovery_trim(found)) return error_no_memory();
  return link_objects(heap, found, work);
}

/* Back to what was known before read_vms. */
static void forget_objects(struct heap *heap, struct discovery *found) {
  for (size_t i = heap->vm_count; i-- > 0;)
    walk_undo(heap, i, found);
  discovery_free(found);
  *found = (struct discovery){0};
  free(heap->by_rank);
  heap->by_rank = NULL;
}

struct inspect_error *heap_build(struct heap *heap, const struct work *work) {
  struct discovery found = {0};
  struct inspect_error *error = read_vms(heap, &found, work);
  if (!error && found.is_suspicious) {
    forget_objects(heap, &found);
    found.is_careful = true;
    error = read_vms(heap, &found, work);
  }
  if (error) {
    discovery_free(&found);
    return error;
  }
  adopt(heap, &found);
  TRY(add_roots(heap));
  return heap_labels_open(heap);
}

void heap_close(struct heap *heap) {
  heap_labels_close(heap);
  heap_c_names_close(heap);
  heap_class_names_close(heap);
  for (size_t i = 0; i < heap->vm_count; i++)
    vm_close(&heap->vms[i].vm);
  free(heap->vms);
  arena_free(&heap->layouts);
  graph_free(&heap->graph);
  free(heap->granule);
  free(heap->by_rank);
  address_map_free(&heap->map);
  *heap = (struct heap){0};
}

object_id heap_object_at(const struct heap *heap, uint64_t address) {
  size_t hint = 0;
  uint32_t granule = address_map_number(&heap->map, address, &hint);
  if (granule == NO_GRANULE || !address_map_is_marked(&heap->map, granule)) return NO_OBJECT;
  return heap->by_rank[address_map_rank(&heap->map, granule)];
}

uint32_t heap_rank(const struct heap *heap, object_id object) {
  return address_map_rank(&heap->map, heap->granule[object]);
}

struct heap_vm *heap_vm_of(const struct heap *heap, object_id object) {
  size_t low = 0, high = heap->vm_count;
  while (high - low > 1) {
    size_t middle = low + (high - low) / 2;
    if (heap->vms[middle].first <= object)
      low = middle;
    else
      high = middle;
  }
  return &heap->vms[low];
}
