/* detect.c - finding VMs by structure.
 *
 * The scan asks one cheap question of every aligned word w at address x: is w - x one of the
 * distances at which l_G of a main thread points to its global state? Almost nothing passes; what
 * does is tested field by field. Sound: no test uses a number from the target as a size. */
#include "layout/detect.h"

enum { MOST_DISTANCES = 16, TAG_TABLE = 5, TAG_THREAD = 8, COLLECTABLE = 0x40 };

/* global_State minus lua_State in the state block. */
static uint64_t state_distance(const struct layout *layout) {
  uint64_t thread = layout->size[SIZE_lua_State], global = layout->size[SIZE_global_State];
  return layout->main_thread_embedded ? thread - global : thread;
}

struct probe {
  const struct address_map *map;
  size_t hint;
};

static const uint8_t *probe_view(struct probe *probe, uint64_t address, uint64_t size) {
  const struct address_range *range = address_map_find(probe->map, address, &probe->hint);
  if (!range || size > range->end - address) return NULL;
  return range->bytes + (address - range->start);
}

/* ---- Confirming ------------------------------------------------------------------------------ */

static bool is_string(struct probe *probe, const struct layout *layout, uint64_t address,
                      const char *text) {
  uint64_t offset = layout->place[TString_contents].offset, size = strlen(text);
  const uint8_t *string = probe_view(probe, address, offset + size + 1);
  return string && memcmp(string + offset, text, size + 1) == 0;
}

/* ltm.h: the first names of events. */
static bool names_metamethods(struct probe *probe, const struct layout *layout,
                              const uint8_t *global) {
  static const char *const NAMES[] = {"__index", "__newindex", "__gc", "__mode"};
  const uint8_t *names = global + layout->place[global_State_tmname].offset;
  for (unsigned i = 0; i < sizeof NAMES / sizeof *NAMES; i++)
    if (!is_string(probe, layout, load_pointer(layout, names + i * layout->pointer_size), NAMES[i]))
      return false;
  return true;
}

static bool registry_is_table(struct probe *probe, const struct layout *layout,
                              const uint8_t *global) {
  const uint8_t *registry = global + layout->place[global_State_l_registry].offset;
  if (registry[layout->place[TValue_tt_].offset] != (TAG_TABLE | COLLECTABLE)) return false;
  const uint8_t *table =
      probe_view(probe, load_pointer(layout, registry), layout->size[SIZE_Table]);
  return table && load_field(layout, table, GCObject_tt) == TAG_TABLE;
}

/* Whether the layout is one of those with lua_State.stacksize (it counts the extra slots), and the
 * thread agrees. A stack that is being reallocated may say anything: this only ranks layouts. */
static bool stack_agrees(const struct layout *layout, const uint8_t *thread, uint64_t address) {
  enum { EXTRA_STACK = 5 };
  uint64_t stack = load_field(layout, thread, lua_State_stack);
  uint64_t last = load_field(layout, thread, lua_State_stack_last);
  uint64_t size = layout->size[SIZE_TValue];
  if (last <= stack || (last - stack) % size) return false;
  uint64_t top = load_field(layout, thread, lua_State_top);
  if (top < stack || top > last + EXTRA_STACK * size) return false;
  /* the innermost previous call is the base level, in the thread itself */
  uint64_t call = load_field(layout, thread, lua_State_ci);
  if (call == 0 || address == 0) return false;
  if (!layout->stack_in_slots) return true;
  return load_field(layout, thread, lua_State_stacksize) == (last - stack) / size + EXTRA_STACK;
}

/* Every hard test: a VM of this layout or none. */
static bool confirm(struct probe *probe, const struct layout *layout, uint64_t address) {
  const uint8_t *thread = probe_view(probe, address, layout->size[SIZE_lua_State]);
  if (!thread || load_field(layout, thread, GCObject_tt) != TAG_THREAD) return false;
  uint64_t global_address = address + state_distance(layout);
  if (load_field(layout, thread, lua_State_l_G) != global_address) return false;
  const uint8_t *global = probe_view(probe, global_address, layout->size[SIZE_global_State]);
  if (!global) return false;
  if (layout_has(layout, global_State_mainthread) &&
      load_field(layout, global, global_State_mainthread) != address)
    return false;
  return registry_is_table(probe, layout, global) && names_metamethods(probe, layout, global);
}

/* ---- Scanning -------------------------------------------------------------------------------- */

struct scan {
  struct probe probe;
  const struct layout *layouts[64];
  size_t layout_count;
  uint64_t distance[MOST_DISTANCES]; /* of the word l_G holds, from the word's own address */
  size_t distance_count;
  unsigned pointer_size;
};

static void scan_add_layout(struct scan *scan, const struct layout *layout) {
  if (scan->layout_count == sizeof scan->layouts / sizeof *scan->layouts) return;
  scan->layouts[scan->layout_count++] = layout;
  uint64_t distance = state_distance(layout) - layout->place[lua_State_l_G].offset;
  for (size_t i = 0; i < scan->distance_count; i++)
    if (scan->distance[i] == distance) return;
  if (scan->distance_count < MOST_DISTANCES) scan->distance[scan->distance_count++] = distance;
}

/* Tests an address with all layouts; true if it is a main thread. Among the layouts that fit, those
 * whose soft tests pass come first, and those that know more fields (stacksize) before the rest. */
static bool scan_test(struct scan *scan, uint64_t address, struct detected_vm *found) {
  *found = (struct detected_vm){.main_thread = address};
  int best = -1;
  for (size_t i = 0; i < scan->layout_count; i++) {
    const struct layout *layout = scan->layouts[i];
    if (!confirm(&scan->probe, layout, address)) continue;
    const uint8_t *thread = probe_view(&scan->probe, address, layout->size[SIZE_lua_State]);
    int rank = stack_agrees(layout, thread, address) ? 1 + layout->stack_in_slots : 0;
    if (rank > best) {
      best = rank;
      found->alternate = NULL;
      found->layout = layout;
    } else if (rank == best) {
      found->alternate = layout;
    }
  }
  if (!found->layout) return false;
  found->global_state = address + state_distance(found->layout);
  found->evidence =
      best > 0 ? "state block, back pointer, registry, metamethod names and main stack fit"
               : "state block, back pointer, registry and metamethod names fit; the main stack was "
                 "being moved";
  return true;
}

static struct inspect_error *scan_range(struct scan *scan, const struct address_range *range,
                                        const struct work *work, uint64_t *done, uint64_t total,
                                        struct detected_vms *result) {
  enum { PIECE = 1 << 22 };
  unsigned step = scan->pointer_size;
  const struct layout *any = scan->layouts[0];
  uint64_t l_G = any->place[lua_State_l_G].offset; /* equal in all layouts of one word size */
  uint64_t size = range->end - range->start;
  for (uint64_t start = 0; start + step <= size; start += PIECE) {
    uint64_t end = size - start > PIECE ? start + PIECE : size / step * step;
    for (uint64_t offset = start; offset < end; offset += step) {
      uint64_t x = range->start + offset;
      uint64_t difference = load_pointer(any, range->bytes + offset) - x;
      if (step == 4) difference = (uint64_t)(int64_t)(int32_t)(uint32_t)difference;
      bool hit = false;
      for (size_t i = 0; i < scan->distance_count; i++)
        hit |= difference == scan->distance[i];
      if (!hit) continue;
      struct detected_vm found;
      if (scan_test(scan, x - l_G, &found) && !vector_push(result, found))
        return error_no_memory();
    }
    *done += end - start;
    if (work_stops(work, "searching for Lua", *done, total)) return error_interrupted();
  }
  return NULL;
}

struct inspect_error *detect_vms(const struct address_map *map, unsigned pointer_size,
                                 bool big_endian, const struct work *work,
                                 struct detected_vms *result) {
  struct scan scan = {.probe = {.map = map}, .pointer_size = pointer_size};
  const struct layout *layout;
  for (size_t i = 0; (layout = layout_canned(i)); i++)
    if (layout->pointer_size == pointer_size && layout->big_endian == big_endian)
      scan_add_layout(&scan, layout);
  if (!scan.layout_count)
    return error_create(INSPECT_ERROR_UNSUPPORTED,
                        "lua-inspect reads 32- and 64-bit little-endian targets",
                        "no layout of Lua is known for %u-bit %s-endian targets", 8 * pointer_size,
                        big_endian ? "big" : "little");
  uint64_t total = 0, done = 0;
  for (size_t i = 0; i < map->range_count; i++)
    total += map->ranges[i].end - map->ranges[i].start;
  for (size_t i = 0; i < map->range_count; i++)
    TRY(scan_range(&scan, &map->ranges[i], work, &done, total, result));
  return NULL;
}
