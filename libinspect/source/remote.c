/* remote.c - a target that only the host can read: a debugger that is connected to another machine.
 *
 * Everything Lua's heaps can lie in (process_plan.c) is fetched before anything looks at it, in the
 * order of addresses, in blocks, by the thread that runs the command. It is all or nothing because
 * the search for VMs, the walk and the check of the heap read nearly all of it anyway, from several
 * threads and through plain pointers; a page cache that is filled on demand would ask for a lock
 * and a callback at every word, and for single pages, which such connections are slowest at (a read
 * of 4 KB by gdbserver takes 30 us or more, one of 1 MB comes at 20 MB/s and faster).
 *
 *   regions -> plan -> ranges -> blocks: read | too large? a smaller one | one page: a gap
 *
 * Of a thread's stack only the part in use is fetched: threads have 8 MB each, of which they have
 * touched a few pages, but which pages exist is not known from afar.
 *
 * Invariants: segments exist only when all ranges are fetched; what was fetched before an
 * interruption stays, and the next fetch goes on behind it. */
#include "source/remote.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "source/process.h"

enum { MOST_GUARD = 1 << 16, RED_ZONE = 128 };
enum { PAGE = 4096, BLOCK = 1 << 20, PHASE = 96 };

struct source_remote {
  struct inspect_remote host;
  struct process_maps maps;
  struct process_plan plan;
  struct process_gaps gaps;
  size_t range;  /* the first one that is not fetched       */
  uint64_t at;   /* in it, from its start                   */
  uint64_t done; /* bytes fetched                           */
  bool is_fetched;
  char phase[PHASE];
};

static double seconds(clockid_t clock) {
  struct timespec time;
  clock_gettime(clock, &time);
  return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static struct inspect_error *lost(const struct source *source) {
  return error_create(INSPECT_ERROR_UNREADABLE, "connect again; then give the command again",
                      "the debugger can no longer read %s", source->name);
}

/* ---- Opening --------------------------------------------------------------------------------- */

static bool has_no_file(const struct inspect_region *region) {
  return !region->path || !*region->path;
}

/* Where the part of a region begins that may hold anything. A stack made by pthread_create lies
 * above a small region that nobody may touch; nothing lives below its stack pointer. */
static uint64_t used_start(const struct inspect_target *target, size_t index) {
  const struct inspect_region *region = &target->remote->regions[index], *below = region - 1;
  if (!index || !has_no_file(region) || region->shared || !region->writable) return region->start;
  if (below->end != region->start || below->end - below->start > MOST_GUARD || below->readable ||
      below->writable || below->executable)
    return region->start;
  uint64_t lowest = UINT64_MAX;
  for (size_t i = 0; i < target->thread_count; i++) {
    uint64_t pointer = target->threads[i].stack_pointer;
    if (pointer >= region->start && pointer < region->end && pointer < lowest) lowest = pointer;
  }
  if (lowest == UINT64_MAX || lowest - region->start < RED_ZONE) return region->start;
  uint64_t start = (lowest - RED_ZONE) / PAGE * PAGE;
  return start > region->start ? start : region->start;
}

/* Regions as the kernel would list them; what is not in order is left out. */
static struct inspect_error *keep_regions(struct source_remote *remote,
                                          const struct inspect_target *target) {
  uint64_t last = 0;
  arena_init(&remote->maps.arena);
  for (size_t i = 0; i < remote->host.region_count; i++) {
    const struct inspect_region *region = &remote->host.regions[i];
    const char *path = region->path ? region->path : "";
    struct process_mapping mapping = {.start = used_start(target, i),
                                      .end = region->end,
                                      .file_offset = region->file_offset,
                                      .readable = region->readable,
                                      .writable = region->writable,
                                      .executable = region->executable,
                                      .shared = region->shared};
    if (region->start < last || region->start >= region->end) continue;
    mapping.path = arena_copy(&remote->maps.arena, path, strlen(path));
    if (!mapping.path || !vector_push(&remote->maps.list, mapping)) return error_no_memory();
    last = region->end;
  }
  if (remote->maps.list.count) return NULL;
  return error_create(
      INSPECT_ERROR_TARGET,
      "use a server that tells them (gdbserver, lldb-server), or dump it there with "
      "`gcore PID` and read the core",
      "the remote target does not tell which memory it has");
}

/* Word size, byte order and machine, from the header of a file that is mapped: those of one process
 * agree. */
static struct inspect_error *read_machine(struct source *source) {
  const struct source_remote *remote = source->remote;
  for (size_t i = 0; i < remote->maps.list.count; i++) {
    const struct process_mapping *mapping = &remote->maps.list.items[i];
    uint8_t header[64];
    struct image image;
    if (mapping->file_offset || !process_maps_file(mapping) || !mapping->readable) continue;
    int64_t size = remote->host.read(remote->host.context, mapping->start, header, sizeof header);
    if (size < 0) return lost(source);
    if (size > (int64_t)sizeof header || image_load(header, (uint64_t)size, &image) != IMAGE_FINE)
      continue;
    source->pointer_size = image.is_64 ? 8 : 4;
    source->big_endian = image.big_endian;
    source->machine = image.machine;
    return NULL;
  }
  return error_create(INSPECT_ERROR_TARGET, "dump it there with `gcore PID`, and read the core",
                      "no program was found in the memory of %s", source->name);
}

static struct inspect_error *open_remote(struct source *source,
                                         const struct inspect_target *target) {
  struct source_remote *remote = source->remote;
  source->pid = remote->host.pid;
  source->elf->entry = remote->host.entry;
  source->name = source->pid
                     ? arena_printf(&source->arena, "remote process %lld", (long long)source->pid)
                     : "remote process";
  if (!source->name) return error_no_memory();
  TRY(source_keep_options(source, target->exe, target->sysroot));
  TRY(keep_regions(remote, target));
  TRY(read_machine(source));
  TRY(process_make_plan(&remote->maps, -1, &remote->plan));
  TRY(process_check_room(source->name, remote->plan.bytes));
  source->copied_bytes = remote->plan.bytes;
  TRY(process_place_plan(&remote->plan, NULL));
  remote->host.regions = NULL; /* the caller's, and not needed any more */
  return source_keep_mappings(source, &remote->maps) ? NULL : error_no_memory();
}

struct inspect_error *source_open_remote(const struct inspect_target *target,
                                         struct source **result) {
  struct inspect_error *error = source_create(SOURCE_REMOTE, result);
  if (error) return error;
  struct source *source = *result;
  source->remote = arena_alloc(&source->arena, sizeof *source->remote);
  if (source->remote) {
    source->remote->host = *target->remote;
    error = open_remote(source, target);
  } else {
    error = error_no_memory();
  }
  if (error) {
    source_close(source);
    *result = NULL;
  }
  return error;
}

void source_free_remote(struct source *source) {
  if (!source->remote) return;
  process_free_plan(&source->remote->plan);
  process_free_maps(&source->remote->maps);
  vector_free(&source->remote->gaps);
}

struct inspect_error *source_set_threads(struct source *source,
                                         const struct inspect_thread *threads, size_t count) {
  if (!count) return NULL;
  source->threads = arena_alloc(&source->arena, count * sizeof *source->threads);
  source->thread_count = 0;
  for (size_t i = 0; source->threads && i < count; i++) {
    const struct inspect_thread *given = &threads[i];
    struct source_thread thread = {.tid = given->tid,
                                   .stack_pointer = given->stack_pointer,
                                   .program_counter = given->program_counter,
                                   .register_count = given->register_count};
    thread.registers =
        source_keep(source, given->registers, given->register_count, sizeof *given->registers);
    if (!thread.registers) return error_no_memory();
    source->threads[source->thread_count++] = thread;
  }
  return source->threads ? NULL : error_no_memory();
}

/* ---- Fetching -------------------------------------------------------------------------------- */

static bool add_gap(struct source_remote *remote, uint64_t start, uint64_t end) {
  struct process_gaps *gaps = &remote->gaps;
  if (gaps->count && gaps->items[gaps->count - 1].end == start) {
    gaps->items[gaps->count - 1].end = end;
    return true;
  }
  return vector_push(gaps, ((struct source_gap){start, end}));
}

/* Says how much there is to read, and, as soon as it can be told, how fast it comes. */
static bool stops(struct source_remote *remote, double began, uint64_t before,
                  const struct work *work) {
  double elapsed = seconds(CLOCK_MONOTONIC) - began, read = (double)(remote->done - before);
  int size = snprintf(remote->phase, sizeof remote->phase, "reading %.0f MB from the remote target",
                      (double)remote->plan.bytes / 1e6);
  if (elapsed > 0.5 && size > 0 && size < PHASE)
    snprintf(remote->phase + size, sizeof remote->phase - (size_t)size, ", %.1f MB/s",
             read / 1e6 / elapsed);
  return work_stops(work, remote->phase, remote->done, remote->plan.bytes);
}

/* Fetches one block or, where that cannot be read, finds out that it is smaller or a gap. */
static struct inspect_error *fetch_block(struct source *source, uint64_t *most) {
  struct source_remote *remote = source->remote;
  const struct process_range *range = &remote->plan.ranges.items[remote->range];
  uint64_t address = range->start + remote->at, left = range->end - address;
  uint64_t page = PAGE - address % PAGE, size = *most < left ? *most : left;
  int64_t read =
      remote->host.read(remote->host.context, address, range->bytes + remote->at, (size_t)size);
  if (read == INSPECT_READ_INTERRUPTED) return error_interrupted();
  if (read < 0 || (uint64_t)read > size) return lost(source);
  if (!read && size > page) {
    *most = size / 2 > PAGE ? size / 2 / PAGE * PAGE : page;
    return NULL;
  }
  if (!read && !add_gap(remote, address, address + size)) return error_no_memory();
  if (!read) {
    memset(range->bytes + remote->at, 0, (size_t)size);
    read = (int64_t)size;
  } else if (*most < BLOCK) {
    *most *= 2;
  }
  remote->at += (uint64_t)read;
  remote->done += (uint64_t)read;
  if (remote->at == range->end - range->start) {
    remote->range++;
    remote->at = 0;
  }
  return NULL;
}

struct inspect_error *source_fetch(struct source *source, const struct work *work) {
  struct source_remote *remote = source->remote;
  if (!remote || remote->is_fetched) return NULL;
  double began = seconds(CLOCK_MONOTONIC);
  uint64_t before = remote->done, most = BLOCK;
  source->time = seconds(CLOCK_REALTIME);
  while (remote->range < remote->plan.ranges.count) {
    if (stops(remote, began, before, work)) return error_interrupted();
    TRY(fetch_block(source, &most));
  }
  if (!source_keep_segments(source, &remote->plan, &remote->gaps)) return error_no_memory();
  remote->is_fetched = true;
  return NULL;
}
