/* find_vms.c - which layouts are tried on a target, and in which order.
 *
 *   1. The scan (layout/detect.c) looks for what the user gave and for what is canned: in all
 *      memory, or, if VMs need not all be found, first where the native threads lead to.
 *   2. A VM that was found that way leads to the file with its code: the allocator in its
 *      global_State, else the C functions in _G. If that file has debug info for Lua, and the
 *      layout it yields fits the VM, it is taken: offsets come from debug info and override the
 *      canned ones, whatever the books say. So a Lua with inserted fields is read right even
 *      where a canned layout seems to fit. Only what the user gave is not overridden.
 *   3. If nothing was found, the layouts of all mapped files that define lua_newstate and have
 *      debug info are tried in a second scan.
 *
 * Debug info is opened for no other file, and DWARF is read only of files that define
 * lua_newstate: 0.7 ms for an ordinary build of Lua, 4 ms for Debian's, which is compressed. */
#include "graph/heap.h"
#include "layout/dwarf.h"
#include "lua/native.h"
#include "source/debug_info.h"

/* ---- Layouts from debug info ----------------------------------------------------------------- */

/* What became of the debug info of one file. */
struct described {
  const struct debug_info *info;
  const struct layout *layout; /* or NULL */
};

struct finder {
  struct heap *heap;
  const struct layout *given; /* or NULL */
  struct VECTOR(struct described) described;
};

/* Whether the layout is for the word size and byte order of the target. */
static bool is_usable(const struct heap *heap, const struct layout *layout) {
  return layout->pointer_size == heap->source->pointer_size &&
         layout->big_endian == heap->source->big_endian;
}

/* The layout in debug info that was not looked at before; NULL if there is none. */
static const struct layout *describe(struct heap *heap, struct debug_info *info) {
  const struct layout *layout = NULL;
  if (!debug_info_defines(info, LUA_FUNCTION)) return NULL;
  heap->search.files++;
  struct inspect_error *error = layout_from_debug_info(info, &heap->layouts, &layout);
  if (error && !heap->search.obstacle)
    heap->search.obstacle = arena_copy(&heap->layouts, error->message, strlen(error->message));
  inspect_error_free(error);
  return layout && is_usable(heap, layout) ? layout : NULL;
}

/* The layout that the file mapped at a code address is described with, NULL if with none. */
static const struct layout *layout_at(struct finder *finder, uint64_t code) {
  struct debug_info *info = source_debug_info(finder->heap->source, code);
  if (!info) return NULL;
  for (size_t i = 0; i < finder->described.count; i++)
    if (finder->described.items[i].info == info) return finder->described.items[i].layout;
  struct described fresh = {info, describe(finder->heap, info)};
  return vector_push(&finder->described, fresh) ? fresh.layout : NULL;
}

/* ---- Code of a VM ---------------------------------------------------------------------------- */

/* The functions of _G that are plain C functions, behind the first `count` addresses. */
static size_t add_globals(struct vm *vm, uint64_t *addresses, size_t count, size_t most) {
  struct lua_table registry, globals;
  struct lua_value key, value;
  if (!vm->registry || table_load(vm, vm->registry, &registry) ||
      !table_find_integer(vm, &registry, vm->layout->globals_index, &value) ||
      !value_is_object(value) || table_load(vm, value.bits, &globals))
    return count;
  for (uint64_t i = 0; i < globals.node_count && count < most; i++) {
    table_entry(vm, &globals, i, &key, &value);
    if (value.tag == TAG_LIGHT_FUNCTION) addresses[count++] = value.bits;
  }
  return count;
}

size_t heap_vm_code(struct heap_vm *owner, uint64_t *addresses, size_t most) {
  struct vm *vm = &owner->vm;
  const struct layout *layout = vm->layout;
  const uint8_t *global =
      memory_view(&vm->memory, vm->global_state, layout->size[SIZE_global_State]);
  if (!global || !most) return 0;
  addresses[0] = load_field(layout, global, global_State_frealloc);
  return add_globals(vm, addresses, 1, most);
}

/* ---- Finding --------------------------------------------------------------------------------- */

static bool open_vm(struct heap *heap, struct heap_vm *owner, const struct detected_vm *found) {
  owner->alternate = found->alternate;
  owner->evidence = found->evidence;
  if (!vm_open(&owner->vm, found->layout, &heap->map, found->global_state, found->main_thread))
    return false;
  owner->vm.source = heap->source;
  owner->vm.redaction = heap->redaction;
  return true;
}

/* Looks where words of the native threads and of the data of modules lead to. */
static struct inspect_error *follow_words(struct heap *heap, const struct layouts *layouts,
                                          struct detected_vms *detected) {
  const struct address_map *map = &heap->map;
  struct native_words words = {0};
  uint64_t first = map->range_count ? map->ranges[0].start : 0;
  uint64_t last = map->range_count ? map->ranges[map->range_count - 1].end : 0;
  bool fits = native_words(heap->source, first, last, &words) &&
              native_data_words(heap->source, first, last, &words);
  struct inspect_error *error =
      fits ? detect_vms_at(map, layouts, &heap->layouts, words.items, words.count, detected)
           : error_no_memory();
  vector_free(&words);
  return error;
}

static struct inspect_error *scan(struct heap *heap, const struct layouts *layouts, bool is_brief,
                                  const struct work *work) {
  struct detected_vms detected = {0};
  struct inspect_error *error = NULL;
  if (is_brief) error = follow_words(heap, layouts, &detected);
  heap->search.is_brief = detected.count > 0;
  if (!error && !detected.count && layouts->count)
    error = detect_vms(&heap->map, layouts, &heap->layouts, work, &detected);
  if (detected.count) {
    heap->vms = calloc(detected.count, sizeof *heap->vms);
    if (!heap->vms && !error) error = error_no_memory();
  }
  for (size_t i = 0; heap->vms && i < detected.count; i++)
    heap->vm_count += open_vm(heap, &heap->vms[heap->vm_count], &detected.items[i]);
  vector_free(&detected);
  return error;
}

/* The canned layout in the byte order of the target: where fields lie does not depend on it. NULL:
 * for another word size, or no memory. */
static const struct layout *in_byte_order(struct heap *heap, const struct layout *canned) {
  if (canned->pointer_size != heap->source->pointer_size || !heap->source->big_endian)
    return is_usable(heap, canned) ? canned : NULL;
  struct layout *copy = arena_alloc(&heap->layouts, sizeof *copy);
  if (copy) {
    *copy = *canned;
    copy->big_endian = true;
  }
  return copy;
}

/* Step 1. */
static struct inspect_error *scan_with_known(struct finder *finder, bool is_brief,
                                             const struct work *work) {
  struct heap *heap = finder->heap;
  struct layouts layouts = {0};
  const struct layout *canned;
  bool ok = !finder->given || vector_push(&layouts, finder->given);
  for (size_t i = 0; ok && (canned = layout_canned(i)); i++) {
    const struct layout *usable = in_byte_order(heap, canned);
    if (!usable) continue;
    heap->search.canned++;
    ok = vector_push(&layouts, usable);
  }
  struct inspect_error *error = ok ? scan(heap, &layouts, is_brief, work) : error_no_memory();
  vector_free(&layouts);
  return error;
}

/* Step 2, for one VM. */
static void prefer_debug_info(struct finder *finder, struct heap_vm *owner) {
  enum { MOST_ADDRESSES = 32 };
  uint64_t addresses[MOST_ADDRESSES];
  if (owner->vm.layout->provenance == LAYOUT_FILE) return;
  size_t count = heap_vm_code(owner, addresses, MOST_ADDRESSES);
  for (size_t i = 0; i < count; i++) {
    struct detected_vm found;
    const struct layout *layout = layout_at(finder, addresses[i]);
    if (!layout || !detect_fits(&finder->heap->map, layout, owner->vm.main_thread, &found))
      continue;
    vm_close(&owner->vm);
    open_vm(finder->heap, owner, &found);
    return;
  }
}

/* Step 3. */
static struct inspect_error *scan_with_described(struct finder *finder, const struct work *work) {
  struct heap *heap = finder->heap;
  struct layouts layouts = {0};
  size_t position = 0;
  bool ok = true;
  for (uint64_t file; ok && (file = source_next_file(heap->source, &position));) {
    const struct layout *layout = layout_at(finder, file);
    ok = !layout || vector_push(&layouts, layout);
  }
  heap->search.described = layouts.count;
  struct inspect_error *error = ok ? scan(heap, &layouts, false, work) : error_no_memory();
  vector_free(&layouts);
  return error;
}

static void forget_vms(struct heap *heap) {
  for (size_t i = 0; i < heap->vm_count; i++)
    vm_close(&heap->vms[i].vm);
  free(heap->vms);
  heap->vms = NULL;
  heap->vm_count = 0;
}

struct inspect_error *heap_detect(struct heap *heap, const struct layout *given, bool is_brief,
                                  const struct work *work) {
  struct finder finder = {.heap = heap, .given = given};
  if (given && !is_usable(heap, given))
    return error_create(INSPECT_ERROR_TARGET, "give the layout of the Lua in this target",
                        "the layout %s is for %u-bit %s-endian targets, this one is %u-bit %s",
                        given->name, 8u * given->pointer_size, given->big_endian ? "big" : "little",
                        8u * heap->source->pointer_size,
                        heap->source->big_endian ? "big-endian" : "little-endian");
  forget_vms(heap);
  heap->search = (struct heap_search){0};
  struct inspect_error *error = scan_with_known(&finder, is_brief, work);
  for (size_t i = 0; !error && i < heap->vm_count; i++) {
    if (work_stops(work, "reading debug info", i, heap->vm_count)) error = error_interrupted();
    prefer_debug_info(&finder, &heap->vms[i]);
  }
  if (!error && !heap->vm_count) error = scan_with_described(&finder, work);
  vector_free(&finder.described);
  if (error && error->code != INSPECT_ERROR_INTERRUPTED) forget_vms(heap);
  return error;
}
