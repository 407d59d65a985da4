/* detect.c - finding VMs by structure.
 *
 * The scan asks one cheap question of every aligned word w at address x: is w - x one of the
 * distances at which l_G of a main thread points to its global state? Almost nothing passes; what
 * does is tested field by field. Sound: no test uses a number from the target as a size. */
#include "layout/detect.h"

#include "base/parallel.h"

enum { MOST_PATTERNS = 64, TAG_TABLE = 5, TAG_THREAD = 8, COLLECTABLE = 0x40 };

/* global_State minus lua_State in the state block. */
static uint64_t state_distance(const struct layout *layout) {
  return layout->main_thread_embedded ? -layout_main_thread_offset(layout)
                                      : layout_state_distance(layout);
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

/* Every hard test: a VM of this layout with its global state at this distance, or none. */
static bool confirm(struct probe *probe, const struct layout *layout, uint64_t address,
                    uint64_t distance) {
  const uint8_t *thread = probe_view(probe, address, layout->size[SIZE_lua_State]);
  if (!thread || load_field(layout, thread, GCObject_tt) != TAG_THREAD) return false;
  uint64_t global_address = address + distance;
  if (layout->pointer_size == 4) global_address &= UINT32_MAX;
  if (load_field(layout, thread, lua_State_l_G) != global_address) return false;
  const uint8_t *global = probe_view(probe, global_address, layout->size[SIZE_global_State]);
  if (!global) return false;
  if (layout_has(layout, global_State_mainthread) &&
      load_field(layout, global, global_State_mainthread) != address)
    return false;
  return registry_is_table(probe, layout, global) && names_metamethods(probe, layout, global);
}

/* How well a confirmed layout fits the stack: 0 poorly; those that know more fields rank higher. */
static unsigned soft_rank(struct probe *probe, const struct layout *layout, uint64_t address) {
  const uint8_t *thread = probe_view(probe, address, layout->size[SIZE_lua_State]);
  return stack_agrees(layout, thread, address) ? 1u + layout->stack_in_slots : 0;
}

static const char *evidence_of(unsigned soft) {
  return soft ? "state block, back pointer, registry, metamethod names and main stack fit"
              : "state block, back pointer, registry and metamethod names fit; the main stack was "
                "being moved";
}

bool detect_fits(const struct address_map *map, const struct layout *layout, uint64_t main_thread,
                 struct detected_vm *result) {
  struct probe probe = {.map = map};
  uint64_t distance = state_distance(layout);
  if (!confirm(&probe, layout, main_thread, distance)) return false;
  *result = (struct detected_vm){.layout = layout, .main_thread = main_thread};
  result->global_state = main_thread + distance;
  result->evidence = evidence_of(soft_rank(&probe, layout, main_thread));
  return true;
}

/* ---- LUA_EXTRASPACE of Lua 5.5 --------------------------------------------------------------- */

/* The distances of a layout: from `low`, `span` upwards. */
struct pattern {
  const struct layout *layout;
  uint64_t low, span; /* of the word l_G holds minus the word's own address */
};

static struct pattern pattern_of(const struct layout *layout) {
  uint64_t distance = state_distance(layout) - layout->place[lua_State_l_G].offset;
  if (layout->provenance != LAYOUT_CANNED || !layout->main_thread_embedded)
    return (struct pattern){layout, distance, 0};
  uint64_t none = distance + layout->block_extra; /* without any space */
  return (struct pattern){layout, none - MOST_EXTRA_SPACE, MOST_EXTRA_SPACE};
}

struct scan {
  struct probe probe;
  struct arena *arena;
  struct pattern patterns[MOST_PATTERNS];
  size_t pattern_count;
  struct {
    uint64_t low, span;
    unsigned shift;           /* 2^shift > span */
  } distances[MOST_PATTERNS]; /* of the patterns, each once */
  size_t distance_count;
  uint64_t lowest, spread; /* all distances lie in lowest .. lowest + spread */
  bool (*test)(const struct scan *scan, const uint8_t *bytes, uint64_t x); /* piece_test */
  bool (*tag_test)(const uint8_t *bytes);                                  /* piece_has_tag */
  uint64_t tag_distance; /* from the word with the type tag of a main thread to its l_G, in all
                            layouts; 0: they differ                                         */
  struct layouts adapted;
  bool no_memory;
};

/* The layout with another LUA_EXTRASPACE; one for all VMs that need it. */
static const struct layout *adapt(struct scan *scan, const struct layout *layout, uint64_t extra) {
  if (extra == layout->block_extra) return layout;
  for (size_t i = 0; i < scan->adapted.count; i++) {
    const struct layout *known = scan->adapted.items[i];
    if (known->name == layout->name && known->block_extra == extra) return known;
  }
  struct layout *copy = arena_alloc(scan->arena, sizeof *copy);
  if (!copy || !vector_push(&scan->adapted, copy)) {
    scan->no_memory = true;
    return layout;
  }
  *copy = *layout;
  copy->provenance = LAYOUT_PROBED;
  copy->note = "the distance of the main thread from its global_State shows it";
  copy->block_extra = (uint16_t)extra;
  copy->size[SIZE_global_State] =
      (uint16_t)(layout->size[SIZE_global_State] + extra - layout->block_extra);
  return copy;
}

/* ---- Scanning -------------------------------------------------------------------------------- */

static void scan_add_layout(struct scan *scan, const struct layout *layout) {
  if (scan->pattern_count == MOST_PATTERNS) return;
  struct pattern pattern = pattern_of(layout);
  scan->patterns[scan->pattern_count++] = pattern;
  for (size_t i = 0; i < scan->distance_count; i++)
    if (scan->distances[i].low == pattern.low && scan->distances[i].span == pattern.span) return;
  scan->distances[scan->distance_count].low = pattern.low;
  scan->distances[scan->distance_count].shift =
      pattern.span ? 64u - (unsigned)__builtin_clzll(pattern.span) : 0u;
  scan->distances[scan->distance_count++].span = pattern.span;
}

static unsigned preference(const struct layout *layout) {
  switch (layout->provenance) {
  case LAYOUT_FILE:
    return 3;
  case LAYOUT_DWARF:
    return 2;
  case LAYOUT_CANNED:
    return 1;
  case LAYOUT_PROBED:
    break;
  }
  return 0;
}

/* Where all layouts have the type tag: in the lowest byte of one word before l_G. */
static void scan_place_tag(struct scan *scan) {
  for (size_t i = 0; i < scan->pattern_count; i++) {
    const struct layout *layout = scan->patterns[i].layout;
    uint64_t l_G = layout->place[lua_State_l_G].offset, tag = layout->place[GCObject_tt].offset;
    bool fits = layout->pointer_size == 8 && !layout->big_endian && tag % 8 == 0 && l_G > tag &&
                l_G % 8 == 0 && (i == 0 || l_G - tag == scan->tag_distance);
    scan->tag_distance = fits ? l_G - tag : 0;
    if (!fits) return;
  }
}

/* Tests a word at x that lies `difference` below what it holds; true if it is l_G of a main thread.
 * Among the layouts that fit, provenance decides, then the soft tests; of two that are equal in
 * both one becomes the alternate. */
static bool scan_test(struct scan *scan, uint64_t x, uint64_t difference,
                      struct detected_vm *found) {
  enum { SOFT_RANKS = 3 };
  *found = (struct detected_vm){.layout = NULL};
  unsigned best = 0;
  for (size_t i = 0; i < scan->pattern_count; i++) {
    const struct pattern *pattern = &scan->patterns[i];
    const struct layout *layout = pattern->layout;
    uint64_t l_G = layout->place[lua_State_l_G].offset, address = x - l_G;
    uint64_t distance = difference + l_G;
    if (difference - pattern->low > pattern->span ||
        (difference - pattern->low) % layout->pointer_size ||
        !confirm(&scan->probe, layout, address, distance))
      continue;
    if (pattern->span) layout = adapt(scan, layout, pattern->low + pattern->span - difference);
    unsigned soft = soft_rank(&scan->probe, layout, address);
    unsigned rank = 1 + preference(layout) * SOFT_RANKS + soft;
    if (rank > best) {
      best = rank;
      *found = (struct detected_vm){.layout = layout, .main_thread = address};
      found->global_state = address + distance;
      found->evidence = evidence_of(soft);
    } else if (rank == best && !layout_equal(layout, found->layout)) {
      found->alternate = layout;
    }
  }
  return found->layout != NULL;
}

/* The bounds of all distances. They are small, some of them negative: they are compared as offsets
 * from the middle of the number circle. */
static void scan_bound(struct scan *scan) {
  const uint64_t middle = UINT64_C(1) << 63;
  uint64_t lowest = UINT64_MAX, highest = 0;
  for (size_t i = 0; i < scan->distance_count; i++) {
    uint64_t low = scan->distances[i].low + middle, high = low + scan->distances[i].span;
    if (low < lowest) lowest = low;
    if (high > highest) highest = high;
  }
  scan->lowest = lowest - middle;
  scan->spread = highest - lowest;
}

/* Tests one word. Inline, as most of the time of the search is spent here. */
static inline bool scan_word(struct scan *scan, const uint8_t *bytes, uint64_t x,
                             struct detected_vm *found) {
  const struct layout *any = scan->patterns[0].layout;
  uint64_t difference = load_pointer(any, bytes) - x;
  if (any->pointer_size == 4) difference = (uint64_t)(int64_t)(int32_t)(uint32_t)difference;
  if (difference - scan->lowest > scan->spread) return false;
  bool hit = false;
  for (size_t i = 0; i < scan->distance_count; i++)
    hit |= difference - scan->distances[i].low <= scan->distances[i].span;
  return hit && scan_test(scan, x, difference, found);
}

/* ---- Whole pieces ------------------------------------------------------------------------------
 *
 * Nearly every word fails the first test of scan_word. For 64-bit words it is made of many at once,
 * a little too generously: spans are rounded up to powers of two. Even before that nearly every
 * piece of memory fails a cheaper test: it has no word that ends in the type tag of a thread. That
 * is as fast as memory can be read. */

enum { PIECE_WORDS = 32 };

typedef uint64_t word_vector __attribute__((vector_size(32), aligned(8)));

/* Whether a piece of the target, which begins at `x` there, has a word worth a look. */
static inline __attribute__((always_inline)) bool piece_test(const struct scan *scan,
                                                             const uint8_t *bytes, uint64_t x) {
  word_vector any = {0};
  for (size_t j = 0; j < scan->distance_count; j++) {
    uint64_t least = x + scan->distances[j].low;
    unsigned shift = scan->distances[j].shift;
    word_vector base = {least, least + 8, least + 16, least + 24};
    for (unsigned i = 0; i < PIECE_WORDS / 4; i++) {
      word_vector word;
      memcpy(&word, bytes + i * sizeof word, sizeof word);
      any |= (word_vector)(((word - base) >> shift) == 0);
      base += 32;
    }
  }
  return any[0] | any[1] | any[2] | any[3];
}

/* Whether any of a piece's words has the type tag of a thread in its lowest byte. */
static inline __attribute__((always_inline)) bool piece_has_tag(const uint8_t *bytes) {
  const word_vector low = {0xFF, 0xFF, 0xFF, 0xFF};
  const word_vector tag = {TAG_THREAD, TAG_THREAD, TAG_THREAD, TAG_THREAD};
  word_vector any = {0};
  for (unsigned i = 0; i < PIECE_WORDS / 4; i++) {
    word_vector word;
    memcpy(&word, bytes + i * sizeof word, sizeof word);
    any |= (word_vector)((word & low) == tag);
  }
  return any[0] | any[1] | any[2] | any[3];
}

static bool piece_has_tag_plain(const uint8_t *bytes) { return piece_has_tag(bytes); }

static bool piece_test_plain(const struct scan *scan, const uint8_t *bytes, uint64_t x) {
  return piece_test(scan, bytes, x);
}

#if defined __x86_64__
__attribute__((target("avx2"))) static bool piece_test_avx2(const struct scan *scan,
                                                            const uint8_t *bytes, uint64_t x) {
  return piece_test(scan, bytes, x);
}

__attribute__((target("avx2"))) static bool piece_has_tag_avx2(const uint8_t *bytes) {
  return piece_has_tag(bytes);
}
#endif

static void choose_tests(struct scan *scan) {
  scan->test = piece_test_plain;
  scan->tag_test = piece_has_tag_plain;
#if defined __x86_64__
  if (!__builtin_cpu_supports("avx2")) return;
  scan->test = piece_test_avx2;
  scan->tag_test = piece_has_tag_avx2;
#endif
}

/* A stretch of the memory to search. */
struct stretch {
  const struct address_range *range;
  uint64_t start, end; /* offsets in the range, multiples of the word */
};

/* Tests every word. */
static bool scan_words(struct scan *scan, struct stretch stretch, struct detected_vms *result) {
  unsigned step = scan->patterns[0].layout->pointer_size;
  for (uint64_t at = stretch.start; at < stretch.end; at += step) {
    struct detected_vm found;
    if (scan_word(scan, stretch.range->bytes + at, stretch.range->start + at, &found) &&
        !vector_push(result, found))
      return false;
  }
  return true;
}

enum { MOST_PARTS = 16, CHUNK = 1 << 22, PIECE = PIECE_WORDS * 8 };

/* Memory is cut into chunks, which all processors search for words that are worth a look; these are
 * then looked at one after the other. */
struct search {
  struct scan *scan;
  const struct work *work;
  struct VECTOR(struct stretch) chunks;
  size_t next;     /* shared: chunk that no part has taken */
  bool is_stopped; /* shared */
  struct VECTOR(struct stretch) pieces[MOST_PARTS];
  bool no_memory[MOST_PARTS];
};

/* Whether the word at an offset could be l_G of a main thread: by its distance, and by the type tag
 * of the thread around it. */
static bool is_candidate(const struct scan *scan, const struct address_range *range, uint64_t at) {
  uint64_t x = range->start + at;
  uint64_t difference = load_pointer(scan->patterns[0].layout, range->bytes + at) - x;
  if (difference - scan->lowest > scan->spread) return false;
  for (size_t i = 0; i < scan->pattern_count; i++) {
    const struct pattern *pattern = &scan->patterns[i];
    const struct layout *layout = pattern->layout;
    uint64_t l_G = layout->place[lua_State_l_G].offset;
    if (difference - pattern->low <= pattern->span && at >= l_G &&
        range->bytes[at - l_G + layout->place[GCObject_tt].offset] == TAG_THREAD)
      return true;
  }
  return false;
}

static bool search_piece(struct search *search, size_t part, const struct address_range *range,
                         uint64_t at) {
  for (uint64_t end = at + PIECE; at < end; at += 8)
    if (is_candidate(search->scan, range, at) &&
        !vector_push(&search->pieces[part], ((struct stretch){range, at, at + 8})))
      return false;
  return true;
}

static bool search_chunk(struct search *search, size_t part, struct stretch chunk) {
  const struct scan *scan = search->scan;
  const struct layout *any = scan->patterns[0].layout;
  const struct address_range *range = chunk.range;
  uint64_t at = chunk.start, tag = scan->tag_distance;
  if (any->pointer_size == 8 && !any->big_endian)
    for (; chunk.end - at >= PIECE; at += PIECE)
      if ((!tag || at < tag || scan->tag_test(range->bytes + at - tag)) &&
          scan->test(scan, range->bytes + at, range->start + at) &&
          !search_piece(search, part, range, at))
        return false;
  return at == chunk.end ||
         vector_push(&search->pieces[part], ((struct stretch){range, at, chunk.end}));
}

static void search_part(void *context, size_t part) {
  struct search *search = context;
  while (!__atomic_load_n(&search->is_stopped, __ATOMIC_RELAXED)) {
    size_t chunk = __atomic_fetch_add(&search->next, 1, __ATOMIC_RELAXED);
    if (chunk >= search->chunks.count) return;
    search->no_memory[part] |= !search_chunk(search, part, search->chunks.items[chunk]);
    if (search->no_memory[part] ||
        (!part && work_stops(search->work, "searching for Lua", chunk, search->chunks.count)))
      __atomic_store_n(&search->is_stopped, true, __ATOMIC_RELAXED);
  }
}

static bool cut_into_chunks(const struct address_map *map, unsigned word, struct search *search) {
  for (size_t i = 0; i < map->range_count; i++) {
    const struct address_range *range = &map->ranges[i];
    uint64_t size = (range->end - range->start) / word * word;
    for (uint64_t start = 0; start < size; start += CHUNK) {
      struct stretch chunk = {range, start, size - start > CHUNK ? start + CHUNK : size};
      if (!vector_push(&search->chunks, chunk)) return false;
    }
  }
  return true;
}

/* What was not searched yet is left out after an interruption. */
static bool test_words(struct search *search, struct stretch words, struct detected_vms *result) {
  if (words.end - words.start > 8) {
    if (!search->is_stopped)
      search->is_stopped = work_stops(search->work, "searching for Lua", 0, 0);
    if (search->is_stopped) return true;
  }
  return scan_words(search->scan, words, result);
}

static struct inspect_error *run_search(struct search *search, struct detected_vms *result) {
  size_t parts = work_threads(search->work);
  if (parts > MOST_PARTS) parts = MOST_PARTS;
  if (parts > search->chunks.count) parts = search->chunks.count;
  if (parts) parallel_run(parts, search_part, search);
  for (size_t part = 0; part < parts; part++)
    if (search->no_memory[part]) return error_no_memory();
  for (size_t part = 0; part < parts; part++)
    for (size_t i = 0; i < search->pieces[part].count; i++)
      if (!test_words(search, search->pieces[part].items[i], result)) return error_no_memory();
  return search->is_stopped ? error_interrupted() : NULL;
}

static int by_address(const void *left, const void *right) {
  const struct detected_vm *a = left, *b = right;
  return a->main_thread < b->main_thread ? -1 : a->main_thread > b->main_thread;
}

static bool begin_scan(struct scan *scan, const struct address_map *map,
                       const struct layouts *layouts, struct arena *arena) {
  *scan = (struct scan){.probe = {.map = map}, .arena = arena};
  choose_tests(scan);
  for (size_t i = 0; i < layouts->count; i++)
    scan_add_layout(scan, layouts->items[i]);
  if (scan->pattern_count) scan_bound(scan);
  scan_place_tag(scan);
  return scan->pattern_count > 0;
}

static void end_scan(struct scan *scan, struct detected_vms *result) {
  vector_free(&scan->adapted);
  if (result->count) qsort(result->items, result->count, sizeof *result->items, by_address);
}

struct inspect_error *detect_vms(const struct address_map *map, const struct layouts *layouts,
                                 struct arena *arena, const struct work *work,
                                 struct detected_vms *result) {
  struct scan scan;
  if (!begin_scan(&scan, map, layouts, arena)) return NULL;
  struct search search = {.scan = &scan, .work = work};
  struct inspect_error *error = cut_into_chunks(map, scan.patterns[0].layout->pointer_size, &search)
                                    ? run_search(&search, result)
                                    : error_no_memory();
  if (!error && scan.no_memory) error = error_no_memory();
  vector_free(&search.chunks);
  for (size_t part = 0; part < MOST_PARTS; part++)
    vector_free(&search.pieces[part]);
  end_scan(&scan, result);
  return error;
}

/* ---- Where words lead to --------------------------------------------------------------------- */

/* If a thread lies at the address by this layout, the main thread of its VM; else 0. */
static uint64_t main_thread_of(struct probe *probe, const struct layout *layout, uint64_t address) {
  const uint8_t *thread = probe_view(probe, address, layout->size[SIZE_lua_State]);
  if (!thread || load_field(layout, thread, GCObject_tt) != TAG_THREAD) return 0;
  uint64_t global_address = load_field(layout, thread, lua_State_l_G);
  const uint8_t *global = probe_view(probe, global_address, layout->size[SIZE_global_State]);
  if (!global) return 0;
  return layout->main_thread_embedded ? global_address + layout_main_thread_offset(layout)
                                      : load_field(layout, global, global_State_mainthread);
}

/* Adds the VM of the thread that may lie at the address. False: out of memory. */
static bool test_address(struct scan *scan, uint64_t address, struct detected_vms *result) {
  for (size_t i = 0; i < scan->pattern_count; i++) {
    const struct layout *layout = scan->patterns[i].layout;
    uint64_t main_thread = main_thread_of(&scan->probe, layout, address);
    struct detected_vm found;
    bool is_known = !main_thread;
    for (size_t j = 0; !is_known && j < result->count; j++)
      is_known = result->items[j].main_thread == main_thread;
    if (!is_known &&
        scan_test(scan, main_thread + layout->place[lua_State_l_G].offset,
                  state_distance(layout) - layout->place[lua_State_l_G].offset, &found) &&
        !vector_push(result, found))
      return false;
  }
  return true;
}

struct inspect_error *detect_vms_at(const struct address_map *map, const struct layouts *layouts,
                                    struct arena *arena, const uint64_t *words, size_t count,
                                    struct detected_vms *result) {
  struct scan scan;
  bool fits = true;
  if (!begin_scan(&scan, map, layouts, arena)) return NULL;
  for (size_t i = 0; fits && i < count; i++)
    fits = test_address(&scan, words[i], result);
  fits = fits && !scan.no_memory;
  end_scan(&scan, result);
  return fits ? NULL : error_no_memory();
}
