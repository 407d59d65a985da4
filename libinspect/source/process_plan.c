/* process_plan.c - which memory of a process is read, and where it goes.
 *
 * Read is what gcore would write and a Lua heap can lie in: private memory that is writable or
 * anonymous (heap, stacks, data of modules), the vdso, and the first page of each mapped file, for
 * its build-id. Not read: what is shared, device memory, files mapped read-only (the files have
 * it), the kernel's clock pages (vvar), what is protected from reading, and large files that
 * somebody mapped to change them.
 *
 *   mappings -> spans -> ranges: the pages that exist (pagemap) | holes: never touched, all zero
 *                     -> areas: neighbouring spans of one kind; a process with very much reserved
 *                        memory (4 GiB: sanitizers, arenas) has them without the large holes
 *
 * Invariant: the host address of a byte differs from its target address by a multiple of the size
 * of a huge page, so that pages can be moved from one plan to the next as a whole (mremap). */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/large.h"
#include "base/parallel.h"
#include "source/process.h"

#define HUGE_PAGE  (UINT64_C(2) << 20)
#define MOST_FILE  (UINT64_C(64) << 20) /* of a private mapping of a file, to be read         */
#define MOST_SPACE (UINT64_C(4) << 30)  /* with more, large holes are left out                */
#define LARGE_HOLE (UINT64_C(1) << 20)

struct span {
  uint64_t start, end;
  bool writable, executable;
  bool is_anonymous; /* what was never touched is zero */
};

struct spans VECTOR(struct span);

/* ---- Spans ----------------------------------------------------------------------------------- */

static bool begins(const char *path, const char *with) {
  return strncmp(path, with, strlen(with)) == 0;
}

static bool is_anonymous(const struct process_mapping *mapping) {
  const char *path = mapping->path;
  return !*path || *path == '[' || begins(path, "/dev/zero") || begins(path, "/anon_hugepage");
}

/* Memory of a device or of the kernel: reading it may have effects, or never end. */
static bool is_special(const struct process_mapping *mapping) {
  const char *path = mapping->path;
  return begins(path, "[vvar") || begins(path, "[vsyscall") || begins(path, "[uprobes") ||
         begins(path, "anon_inode:") || begins(path, "/dmabuf") ||
         (begins(path, "/dev/") && !begins(path, "/dev/zero"));
}

/* How much of a mapping is read, from its start. */
static uint64_t wanted(const struct process_mapping *mapping, uint64_t page) {
  uint64_t size = mapping->end - mapping->start;
  if (!mapping->readable || mapping->shared || is_special(mapping)) return 0;
  if (is_anonymous(mapping)) return size;
  if (mapping->writable) return size <= MOST_FILE ? size : 0;
  return mapping->file_offset ? 0 : page < size ? page : size;
}

static bool choose_spans(const struct process_maps *maps, struct spans *spans) {
  uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
  for (size_t i = 0; i < maps->list.count; i++) {
    const struct process_mapping *mapping = &maps->list.items[i];
    uint64_t size = wanted(mapping, page);
    struct span span = {.start = mapping->start,
                        .end = mapping->start + size,
                        .writable = mapping->writable,
                        .executable = mapping->executable,
                        .is_anonymous = is_anonymous(mapping)};
    if (size && !vector_push(spans, span)) return false;
  }
  return true;
}

/* ---- Ranges: the pages that exist ------------------------------------------------------------ */

/* PAGEMAP_SCAN of <linux/fs.h>, since Linux 6.7. */
struct page_region {
  uint64_t start, end, categories;
};

struct page_scan {
  uint64_t size, flags, start, end, walk_end, regions, region_count, most_pages;
  uint64_t inverted, all_of, any_of, returned;
};

#define PAGE_SCAN _IOWR('f', 16, struct page_scan)
enum { IS_PRESENT = 1 << 3, IS_SWAPPED = 1 << 4, IS_ZERO_PAGE = 1 << 5 };

static bool add_range(struct process_plan *plan, uint64_t start, uint64_t end) {
  plan->bytes += end - start;
  if (plan->ranges.count) {
    struct process_range *last = &plan->ranges.items[plan->ranges.count - 1];
    if (last->end == start) {
      last->end = end;
      return true;
    }
  }
  return vector_push(&plan->ranges, ((struct process_range){.start = start, .end = end}));
}

enum scan_result { SCANNED, NOT_SCANNED, NO_MEMORY };

static enum scan_result scan_regions(struct process_plan *plan, int page_map,
                                     const struct span *span) {
  enum { REGIONS = 512 };
  struct page_region regions[REGIONS];
  for (uint64_t at = span->start; at < span->end;) {
    struct page_scan scan = {.size = sizeof scan,
                             .start = at,
                             .end = span->end,
                             .regions = (uintptr_t)regions,
                             .region_count = REGIONS,
                             .inverted = IS_ZERO_PAGE,
                             .all_of = IS_ZERO_PAGE,
                             .any_of = IS_PRESENT | IS_SWAPPED,
                             .returned = IS_PRESENT};
    int count = ioctl(page_map, PAGE_SCAN, &scan);
    if (count < 0 || count > REGIONS) return NOT_SCANNED;
    for (int i = 0; i < count; i++)
      if (!add_range(plan, regions[i].start, regions[i].end)) return NO_MEMORY;
    if (scan.walk_end <= at) return NOT_SCANNED;
    at = scan.walk_end;
  }
  return SCANNED;
}

/* The same on older kernels, entry by entry: bit 63 present, bit 62 swapped. Of what is too large
 * for that nothing is read. */
static enum scan_result scan_entries(struct process_plan *plan, int page_map,
                                     const struct span *span) {
  enum { ENTRIES = 4096 };
  const uint64_t MOST = UINT64_C(64) << 30;
  uint64_t entries[ENTRIES], page = (uint64_t)sysconf(_SC_PAGESIZE);
  if (span->end - span->start > MOST) return SCANNED;
  for (uint64_t at = span->start; at < span->end;) {
    uint64_t pages = (span->end - at) / page;
    if (pages > ENTRIES) pages = ENTRIES;
    ssize_t size =
        pread(page_map, entries, pages * sizeof *entries, (off_t)(at / page * sizeof *entries));
    if (size < (ssize_t)sizeof *entries) return NOT_SCANNED;
    for (size_t i = 0; i < (size_t)size / sizeof *entries; i++, at += page)
      if (entries[i] >> 62 && !add_range(plan, at, at + page)) return NO_MEMORY;
  }
  return SCANNED;
}

/* Forgets what a scan that failed in the middle has added. */
static void forget_ranges(struct process_plan *plan, size_t count, uint64_t end, uint64_t bytes) {
  plan->ranges.count = count;
  if (count) plan->ranges.items[count - 1].end = end;
  plan->bytes = bytes;
}

static bool find_ranges(struct process_plan *plan, int page_map, const struct span *span) {
  size_t count = plan->ranges.count;
  uint64_t end = count ? plan->ranges.items[count - 1].end : 0, bytes = plan->bytes;
  enum scan_result result = NOT_SCANNED;
  if (span->is_anonymous && page_map >= 0) {
    result = scan_regions(plan, page_map, span);
    if (result == NOT_SCANNED) {
      forget_ranges(plan, count, end, bytes);
      result = scan_entries(plan, page_map, span);
    }
  }
  if (result != NOT_SCANNED) return result == SCANNED;
  forget_ranges(plan, count, end, bytes);
  return add_range(plan, span->start, span->end);
}

/* ---- Areas ----------------------------------------------------------------------------------- */

static bool add_area(struct process_plan *plan, const struct span *span, uint64_t start,
                     uint64_t end) {
  if (start >= end) return true;
  if (plan->areas.count) {
    struct process_area *last = &plan->areas.items[plan->areas.count - 1];
    if (last->end == start && last->writable == span->writable &&
        last->executable == span->executable) {
      last->end = end;
      return true;
    }
  }
  return vector_push(
      &plan->areas,
      ((struct process_area){
          .start = start, .end = end, .writable = span->writable, .executable = span->executable}));
}

/* Adds a span without its large holes; `*next` is the first range that may lie in it. */
static bool add_pieces(struct process_plan *plan, const struct span *span, size_t *next) {
  uint64_t start = span->start, end = span->start;
  while (*next < plan->ranges.count && plan->ranges.items[*next].end <= span->start)
    ++*next;
  for (size_t i = *next; i < plan->ranges.count; i++) {
    const struct process_range *range = &plan->ranges.items[i];
    if (range->start >= span->end) break;
    uint64_t first = range->start > span->start ? range->start : span->start;
    if (first - end >= LARGE_HOLE) {
      if (!add_area(plan, span, start, end)) return false;
      start = first;
    }
    end = range->end < span->end ? range->end : span->end;
  }
  if (span->end - end < LARGE_HOLE) end = span->end;
  return add_area(plan, span, start, end);
}

static bool make_areas(struct process_plan *plan, const struct spans *spans) {
  uint64_t space = 0;
  size_t next = 0;
  for (size_t i = 0; i < spans->count; i++)
    space += spans->items[i].end - spans->items[i].start;
  for (size_t i = 0; i < spans->count; i++) {
    const struct span *span = &spans->items[i];
    bool is_added = space > MOST_SPACE ? add_pieces(plan, span, &next)
                                       : add_area(plan, span, span->start, span->end);
    if (!is_added) return false;
  }
  return true;
}

/* Ranges that go on from one area into the next are divided. */
static bool divide_ranges(struct process_plan *plan) {
  struct process_plan divided = {0};
  size_t area = 0;
  bool ok = true;
  for (size_t i = 0; ok && i < plan->ranges.count; i++) {
    struct process_range range = plan->ranges.items[i];
    while (ok && range.start < range.end) {
      while (plan->areas.items[area].end <= range.start)
        area++;
      uint64_t end =
          plan->areas.items[area].end < range.end ? plan->areas.items[area].end : range.end;
      ok = vector_push(&divided.ranges, ((struct process_range){.start = range.start, .end = end}));
      range.start = end;
    }
  }
  vector_free(&plan->ranges);
  plan->ranges = divided.ranges;
  return ok;
}

struct inspect_error *process_make_plan(const struct process_maps *maps, int page_map,
                                        struct process_plan *plan) {
  struct spans spans = {0};
  *plan = (struct process_plan){0};
  bool ok = choose_spans(maps, &spans);
  for (size_t i = 0; ok && i < spans.count; i++)
    ok = find_ranges(plan, page_map, &spans.items[i]);
  ok = ok && make_areas(plan, &spans) && divide_ranges(plan);
  vector_free(&spans);
  return ok ? NULL : error_no_memory();
}

/* ---- Places in the host ---------------------------------------------------------------------- */

static bool place(struct process_area *area) {
  uint64_t size = area->end - area->start;
  if (size > SIZE_MAX - HUGE_PAGE) return false;
  area->block_size = (size_t)(size + HUGE_PAGE);
  area->block = mmap(NULL, area->block_size, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (area->block == MAP_FAILED) {
    area->block = NULL;
    return false;
  }
  uintptr_t base = (uintptr_t)area->block;
  area->bytes = (uint8_t *)area->block + (size_t)((area->start - base) & (HUGE_PAGE - 1));
  return true;
}

/* Moves the pages that `old` has for addresses of `area`. Where that fails, there are fresh ones.
 */
static void move_pages(struct process_area *area, const struct process_area *old) {
  uint64_t start = area->start > old->start ? area->start : old->start;
  uint64_t end = area->end < old->end ? area->end : old->end;
  if (start >= end || !old->bytes) return;
  (void)mremap(old->bytes + (start - old->start), (size_t)(end - start), (size_t)(end - start),
               MREMAP_MAYMOVE | MREMAP_FIXED, area->bytes + (start - area->start));
}

static bool take_over(struct process_area *area, struct process_area *old) {
  if (old->start != area->start || old->end != area->end || !old->bytes) return false;
  area->bytes = old->bytes;
  area->block = old->block;
  area->block_size = old->block_size;
  old->bytes = NULL;
  old->block = NULL;
  return true;
}

struct inspect_error *process_place_plan(struct process_plan *plan, struct process_plan *old) {
  size_t first = 0, area = 0, count = old ? old->areas.count : 0;
  for (size_t i = 0; i < plan->areas.count; i++) {
    struct process_area *fresh = &plan->areas.items[i];
    while (first < count && old->areas.items[first].end <= fresh->start)
      first++;
    if (first < count && take_over(fresh, &old->areas.items[first])) continue;
    if (!place(fresh)) return error_no_memory();
    for (size_t j = first; j < count && old->areas.items[j].start < fresh->end; j++)
      move_pages(fresh, &old->areas.items[j]);
  }
  for (size_t i = 0; i < plan->ranges.count; i++) {
    struct process_range *range = &plan->ranges.items[i];
    while (plan->areas.items[area].end <= range->start)
      area++;
    range->bytes = plan->areas.items[area].bytes + (range->start - plan->areas.items[area].start);
  }
  return NULL;
}

static void warm(const struct process_range *range) {
  size_t size = (size_t)(range->end - range->start), page = (size_t)sysconf(_SC_PAGESIZE);
  if (madvise(range->bytes, size, MADV_POPULATE_WRITE) == 0 || errno != EINVAL) return;
  for (size_t at = 0; at < size; at += page) /* Linux before 5.14 */
    ((volatile uint8_t *)range->bytes)[at] = 0;
}

/* Two threads share the ranges, cut into pieces. */
struct warming {
  const struct process_plan *plan;
  size_t threads;
  const struct work *work;
  atomic_bool stops;
};

static void warm_part(void *context, size_t number) {
  struct warming *warming = context;
  const uint64_t PIECE = 16 * HUGE_PAGE;
  uint64_t done = 0;
  for (size_t i = 0; i < warming->plan->ranges.count; i++) {
    struct process_range range = warming->plan->ranges.items[i];
    while (range.start < range.end) {
      uint64_t size = range.end - range.start < PIECE ? range.end - range.start : PIECE;
      struct process_range piece = {range.start, range.start + size, range.bytes};
      if (done % PIECE == 0 && number == 0 &&
          work_stops(warming->work, "making room for a copy", done, warming->plan->bytes))
        warming->stops = true;
      if (warming->stops) return;
      if (done / PIECE % warming->threads == number) warm(&piece);
      range.start += size;
      range.bytes += size;
      done += size;
    }
  }
}

struct inspect_error *process_warm_plan(const struct process_plan *plan, const struct work *work) {
  for (size_t i = 0; i < plan->ranges.count; i++)
    large_advise(plan->ranges.items[i].bytes,
                 (size_t)(plan->ranges.items[i].end - plan->ranges.items[i].start));
  struct warming warming = {
      .plan = plan, .threads = parallel_processors() > 1 ? 2 : 1, .work = work};
  parallel_run(warming.threads, warm_part, &warming);
  return warming.stops ? error_interrupted() : NULL;
}

void process_free_plan(struct process_plan *plan) {
  for (size_t i = 0; i < plan->areas.count; i++)
    if (plan->areas.items[i].block)
      munmap(plan->areas.items[i].block, plan->areas.items[i].block_size);
  vector_free(&plan->areas);
  vector_free(&plan->ranges);
}
