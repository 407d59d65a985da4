/* process.c - a snapshot of a running process.
 *
 *   COPY  plan | warm the host's memory | stop, plan again, read, let go      | analyse
 *   STOP        plan                    | stop, plan again, read              | analyse | let go
 *   FORK        stop, make it fork, let go      | plan and read the child, end it | analyse
 *   NONE  plan | read, without stopping                                       | analyse
 *   HELD  the same of a process that a debugger holds
 *
 * Plans are made of the mappings, which may change until all threads have stopped: the plan that
 * counts is made then, and takes over what the first one has prepared.
 *
 * The tracer is a thread of its own, made for one snapshot. The kernel knows a tracer by its
 * thread, so that a session may be closed by another thread than the one that opened it; and when
 * the tracer ends, in whatever way, the kernel lets the process go on. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "source/process.h"

struct source_process {
  enum inspect_snapshot how;
  struct process_maps maps; /* as of the snapshot */
  struct process_plan plan; /* what was read      */
  struct process_gaps gaps;
  const struct work *work; /* while the source is being opened */
  struct process_watch watch;
  pthread_t tracer;
  bool has_tracer;    /* a thread that holds the process */
  sem_t taken, leave; /* the snapshot was taken; the tracer may let go */
  double began;       /* stopping, on the monotonic clock */
  struct inspect_error *error;
};

static double seconds(clockid_t clock) {
  struct timespec time;
  clock_gettime(clock, &time);
  return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

/* ---- Planning and reading -------------------------------------------------------------------- */

static struct inspect_error *make_plan(int64_t pid, bool is_child, struct process_maps *maps,
                                       struct process_plan *plan) {
  char path[64];
  TRY(process_read_maps(pid, maps));
  if (is_child) process_drop_wiped(pid, maps);
  snprintf(path, sizeof path, "/proc/%lld/pagemap", (long long)pid);
  int page_map = open(path, O_RDONLY | O_CLOEXEC);
  struct inspect_error *error = process_make_plan(maps, page_map, plan);
  if (page_map >= 0) close(page_map);
  return error;
}

struct inspect_error *process_check_room(const char *name, uint64_t bytes) {
  unsigned long long available = 0; /* kilobytes */
  char line[128];
  FILE *file = fopen("/proc/meminfo", "re");
  while (file && !available && fgets(line, sizeof line, file))
    if (sscanf(line, "MemAvailable: %llu", &available) == 1) break;
  if (file) fclose(file);
  if (!available || bytes / 1024 < available / 10 * 9) return NULL;
  return error_create(INSPECT_ERROR_SYSTEM,
                      "dump it to a disk with `gcore -o FILE PID`, and read the core",
                      "%s has %llu MB to be copied, but only %llu MB of memory are free", name,
                      (unsigned long long)(bytes / 1000000), available / 1000);
}

/* Plans again, and reads; `pid` is the process or its child, `old` what was prepared, or NULL. */
static struct inspect_error *read_now(struct source *source, int64_t pid,
                                      struct process_plan *old) {
  struct source_process *process = source->process;
  TRY(make_plan(pid, pid != source->pid, &process->maps, &process->plan));
  TRY(process_check_room(source->name, process->plan.bytes));
  source->copied_bytes = process->plan.bytes;
  TRY(process_place_plan(&process->plan, old));
  bool is_tracer = process->how != INSPECT_SNAPSHOT_NONE && process->how != INSPECT_SNAPSHOT_HELD;
  return process_copy(pid, &process->plan, &process->gaps, is_tracer ? NULL : process->work,
                      &process->watch);
}

/* utime and stime of /proc/PID/stat, fields 14 and 15, in clock ticks. */
static void read_cpu_time(struct source *source) {
  struct text text = {0};
  if (!process_read_file(source->pid, "stat", &text)) return;
  const char *end = strrchr(text.items, ')');
  unsigned long long user, system;
  if (end && sscanf(end + 1, " %*c %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %llu %llu", &user,
                    &system) == 2)
    source->cpu_time = (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
  vector_free(&text);
}

/* ---- The tracer ------------------------------------------------------------------------------ */

struct taking {
  struct source *source;
  struct process_plan *old;
};

/* Stops the process, and reads what only stands still now. */
static struct inspect_error *stop(struct source *source, struct tracees *tracees) {
  source->process->began = seconds(CLOCK_MONOTONIC);
  TRY(process_stop(source->pid, tracees));
  source->time = seconds(CLOCK_REALTIME);
  read_cpu_time(source);
  return process_registers(source, tracees);
}

static void let_go(struct source *source, struct tracees *tracees) {
  process_let_go(tracees);
  source->stopped_seconds = seconds(CLOCK_MONOTONIC) - source->process->began;
}

static struct inspect_error *fork_stopped(struct source *source, struct tracees *tracees,
                                          struct process_child *child) {
  struct process_maps maps;
  TRY(stop(source, tracees));
  struct inspect_error *error = process_read_maps(source->pid, &maps);
  if (!error) error = process_fork(source->pid, &maps, tracees, child);
  process_free_maps(&maps);
  return error;
}

/* The second time that the process stops, to forget its child, counts as well. */
static struct inspect_error *take_fork(struct source *source) {
  struct tracees tracees = {0};
  struct process_child child = {0};
  struct inspect_error *error = fork_stopped(source, &tracees, &child);
  let_go(source, &tracees);
  if (!error) error = read_now(source, child.pid, NULL);
  process_end_child(&child);
  double began = seconds(CLOCK_MONOTONIC);
  process_forget_child(source->pid, &child);
  source->stopped_seconds += seconds(CLOCK_MONOTONIC) - began;
  return error;
}

static void *trace(void *argument) {
  struct taking taking = *(struct taking *)argument;
  struct source *source = taking.source;
  struct source_process *process = source->process;
  struct tracees tracees = {0};
  if (process->how == INSPECT_SNAPSHOT_FORK) {
    process->error = take_fork(source);
    sem_post(&process->taken);
    return NULL;
  }
  process->error = stop(source, &tracees);
  if (!process->error) process->error = read_now(source, source->pid, taking.old);
  bool holds = process->how == INSPECT_SNAPSHOT_STOP && !process->error;
  if (holds) {
    sem_post(&process->taken);
    while (sem_wait(&process->leave) != 0) /* EINTR */
      ;
  }
  let_go(source, &tracees);
  if (!holds) sem_post(&process->taken);
  return NULL;
}

/* Whether a Ctrl-C waits for signals to be let through: the work cannot know of it. */
static bool is_waiting(void) {
  sigset_t waiting;
  return sigpending(&waiting) == 0 && sigismember(&waiting, SIGINT) == 1;
}

/* Meanwhile this thread tells how far it is, and may be told to stop. */
static void wait_for_tracer(struct source_process *process) {
  const long MOMENT = 10000000; /* nanoseconds */
  struct process_watch *watch = &process->watch;
  for (;;) {
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += MOMENT;
    if (until.tv_nsec >= 1000000000) until.tv_sec++, until.tv_nsec -= 1000000000;
    if (sem_timedwait(&process->taken, &until) == 0) return;
    if (work_stops(process->work, "copying memory", watch->copied, watch->total) || is_waiting())
      watch->stops = true;
  }
}

/* Signals wait while a fork is being made: who ends us in the wrong moment ends the process. */
static struct inspect_error *run_tracer(struct source *source, struct process_plan *old) {
  struct source_process *process = source->process;
  struct taking taking = {source, old};
  sigset_t all, before;
  sigfillset(&all);
  bool is_masked = pthread_sigmask(SIG_SETMASK, &all, &before) == 0;
  process->has_tracer = pthread_create(&process->tracer, NULL, trace, &taking) == 0;
  bool protects = process->how == INSPECT_SNAPSHOT_FORK && process->has_tracer;
  if (is_masked && !protects) pthread_sigmask(SIG_SETMASK, &before, NULL);
  if (!process->has_tracer)
    return error_create(INSPECT_ERROR_SYSTEM, "see `ulimit -u`",
                        "no thread can be started to stop process %lld with",
                        (long long)source->pid);
  wait_for_tracer(process);
  if (is_masked && protects) pthread_sigmask(SIG_SETMASK, &before, NULL);
  if (process->how != INSPECT_SNAPSHOT_STOP || process->error) source_resume(source);
  struct inspect_error *error = process->error;
  process->error = NULL;
  return error;
}

void source_resume(struct source *source) {
  struct source_process *process = source->process;
  if (!process || !process->has_tracer) return;
  sem_post(&process->leave);
  pthread_join(process->tracer, NULL);
  process->has_tracer = false;
}

double source_stopped_seconds(const struct source *source) {
  const struct source_process *process = source->process;
  if (process && process->has_tracer) return seconds(CLOCK_MONOTONIC) - process->began;
  return source->stopped_seconds;
}

/* ---- The ways -------------------------------------------------------------------------------- */

static struct inspect_error *take_stopped(struct source *source, bool warms) {
  struct process_maps maps = {0};
  struct process_plan plan = {0};
  struct inspect_error *error = make_plan(source->pid, false, &maps, &plan);
  if (!error) error = process_check_room(source->name, plan.bytes);
  if (!error) error = process_place_plan(&plan, NULL);
  if (!error && warms) error = process_warm_plan(&plan, source->process->work);
  if (!error) error = run_tracer(source, &plan);
  process_free_plan(&plan);
  process_free_maps(&maps);
  return error;
}

static struct inspect_error *take_running(struct source *source) {
  TRY(process_list_threads(source));
  read_cpu_time(source);
  source->time = seconds(CLOCK_REALTIME);
  return read_now(source, source->pid, NULL);
}

/* ---- What the process is --------------------------------------------------------------------- */

/* Word size, byte order and machine, from the program. */
static struct inspect_error *read_machine(struct source *source) {
  uint8_t header[4096];
  struct image image;
  char path[64];
  snprintf(path, sizeof path, "/proc/%lld/exe", (long long)source->pid);
  source->elf->program = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
  if (source->elf->program < 0) return process_refused(source->pid, "read", errno);
  ssize_t size = pread(source->elf->program, header, sizeof header, 0);
  if (size <= 0 || image_load(header, (uint64_t)size, &image) != IMAGE_FINE)
    return error_create(INSPECT_ERROR_UNSUPPORTED, "dump it with `gcore PID`, and read the core",
                        "the program of process %lld is no ELF file", (long long)source->pid);
  source->pointer_size = image.is_64 ? 8 : 4;
  source->big_endian = image.big_endian;
  source->machine = image.machine;
  return NULL;
}

/* AT_ENTRY of /proc/PID/auxv; without it the main program is not known. */
static void read_entry(struct source *source) {
  enum { AT_ENTRY_KEY = 9 };
  struct text text = {0};
  unsigned word = source->pointer_size;
  if (!process_read_file(source->pid, "auxv", &text)) return;
  for (size_t at = 0; at + 2 * (size_t)word <= text.count; at += 2 * (size_t)word) {
    uint64_t key = 0, value = 0;
    memcpy(&key, text.items + at, word);
    memcpy(&value, text.items + at + word, word);
    if (key == AT_ENTRY_KEY) source->elf->entry = value;
  }
  vector_free(&text);
}

/* Where the process finds its files, if it is not where we do: a container, a chroot. */
static bool find_root(struct source *source) {
  char path[64];
  struct stat own, other;
  snprintf(path, sizeof path, "/proc/%lld/root", (long long)source->pid);
  source->elf->root = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (source->elf->root < 0) return true;
  if (fstat(source->elf->root, &other) == 0 && stat("/", &own) == 0 && own.st_dev == other.st_dev &&
      own.st_ino == other.st_ino)
    return true;
  source->elf->prefix = arena_printf(&source->arena, "/proc/self/fd/%d", source->elf->root);
  return source->elf->prefix != NULL;
}

static struct inspect_error *read_identity(struct source *source) {
  struct text text = {0}, escaped = {0};
  if (process_read_file(source->pid, "comm", &text) && text.count > 1 &&
      text_escape(&escaped, text.items, text.count - 1, 0))
    source->command = arena_copy(&source->arena, escaped.items, escaped.count);
  vector_free(&text);
  vector_free(&escaped);
  source->name = arena_printf(&source->arena, "process %lld%s", (long long)source->pid,
                              source->is_unstopped ? " (unstopped)" : "");
  if (!source->name || !find_root(source)) return error_no_memory();
  TRY(read_machine(source));
  read_entry(source);
  return NULL;
}

/* ---- The result ------------------------------------------------------------------------------ */

/* The parts of an area between the gaps; `*gap` is the first gap that may lie in it. */
static size_t cut_area(const struct process_area *area, const struct process_gaps *gaps,
                       size_t *gap, struct source_segment *segments) {
  size_t count = 0;
  for (uint64_t start = area->start; start < area->end;) {
    bool is_cut = *gap < gaps->count && gaps->items[*gap].start < area->end;
    uint64_t end = is_cut ? gaps->items[*gap].start : area->end;
    if (end > start) {
      if (segments)
        segments[count] = (struct source_segment){.start = start,
                                                  .end = end,
                                                  .bytes = area->bytes + (start - area->start),
                                                  .writable = area->writable,
                                                  .executable = area->executable};
      count++;
    }
    start = is_cut ? gaps->items[*gap].end : area->end;
    if (is_cut && start <= area->end) ++*gap;
  }
  return count;
}

bool source_keep_segments(struct source *source, const struct process_plan *plan,
                          const struct process_gaps *gaps) {
  size_t count = 0, gap = 0;
  for (size_t i = 0; i < plan->areas.count; i++)
    count += cut_area(&plan->areas.items[i], gaps, &gap, NULL);
  source->segments = arena_alloc(&source->arena, (count + 1) * sizeof *source->segments);
  if (!source->segments) return false;
  gap = 0;
  for (size_t i = 0; i < plan->areas.count; i++)
    source->segment_count +=
        cut_area(&plan->areas.items[i], gaps, &gap, source->segments + source->segment_count);
  source->gaps = gaps->items;
  source->gap_count = gaps->count;
  for (size_t i = 0; i < gaps->count; i++)
    source->missing_bytes += gaps->items[i].end - gaps->items[i].start;
  return true;
}

bool source_keep_mappings(struct source *source, const struct process_maps *maps) {
  source->mappings = arena_alloc(&source->arena, (maps->list.count + 1) * sizeof *source->mappings);
  for (size_t i = 0; source->mappings && i < maps->list.count; i++) {
    const struct process_mapping *mapping = &maps->list.items[i];
    if (!process_maps_file(mapping)) continue;
    source->mappings[source->mapping_count++] =
        (struct source_mapping){.start = mapping->start,
                                .end = mapping->end,
                                .file_offset = mapping->file_offset,
                                .path = mapping->path};
  }
  return source->mappings != NULL;
}

static struct inspect_error *open_process(struct source *source, const char *exe,
                                          const char *sysroot) {
  enum inspect_snapshot how = source->process->how;
  bool traces = how != INSPECT_SNAPSHOT_NONE && how != INSPECT_SNAPSHOT_HELD;
  TRY(source_keep_options(source, exe, sysroot));
  TRY(process_check(source->pid, traces));
  TRY(read_identity(source));
  if (how == INSPECT_SNAPSHOT_FORK) {
    TRY(process_may_fork(source));
    TRY(run_tracer(source, NULL));
  } else if (traces)
    TRY(take_stopped(source, how == INSPECT_SNAPSHOT_COPY));
  else
    TRY(take_running(source));
  struct source_process *process = source->process;
  bool is_kept = source_keep_segments(source, &process->plan, &process->gaps) &&
                 source_keep_mappings(source, &process->maps);
  return is_kept ? NULL : error_no_memory();
}

struct inspect_error *source_open_process(int64_t pid, enum inspect_snapshot how, const char *exe,
                                          const char *sysroot, const struct work *work,
                                          struct source **result) {
  struct inspect_error *error = source_create(SOURCE_PROCESS, result);
  if (error) return error;
  struct source *source = *result;
  source->pid = pid;
  source->is_unstopped = how == INSPECT_SNAPSHOT_NONE;
  source->stopped_seconds = -1;
  source->process = arena_alloc(&source->arena, sizeof *source->process);
  if (source->process) {
    *source->process = (struct source_process){.how = how, .work = work};
    sem_init(&source->process->taken, 0, 0);
    sem_init(&source->process->leave, 0, 0);
    error = open_process(source, exe, sysroot);
    source->process->work = NULL;
  } else {
    error = error_no_memory();
  }
  if (error) {
    source_close(source);
    *result = NULL;
  }
  return error;
}

/* ---- Later ----------------------------------------------------------------------------------- */

static bool is_same_plan(const struct process_plan *a, const struct process_plan *b) {
  if (a->areas.count != b->areas.count || a->ranges.count != b->ranges.count) return false;
  for (size_t i = 0; i < a->areas.count; i++)
    if (a->areas.items[i].start != b->areas.items[i].start ||
        a->areas.items[i].end != b->areas.items[i].end)
      return false;
  for (size_t i = 0; i < a->ranges.count; i++)
    if (a->ranges.items[i].start != b->ranges.items[i].start ||
        a->ranges.items[i].end != b->ranges.items[i].end)
      return false;
  return true;
}

/* A page that could not be read then is no segment; it must not be readable now. */
static bool is_same_memory(const struct source *source, uint8_t *buffer, size_t size) {
  const struct process_plan *plan = &source->process->plan;
  uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
  for (size_t i = 0; i < plan->ranges.count; i++) {
    const struct process_range *range = &plan->ranges.items[i];
    for (uint64_t at = range->start; at < range->end;) {
      size_t wanted = range->end - at < size ? (size_t)(range->end - at) : size;
      size_t read = process_read(source->pid, at, buffer, wanted);
      bool was_read = source_segment_at(source, at) != NULL;
      if (was_read != (read > 0)) return false;
      if (was_read && memcmp(buffer, range->bytes + (at - range->start), read) != 0) return false;
      at += was_read ? read : page - at % page;
    }
  }
  return true;
}

bool source_is_current(const struct source *source) {
  enum { BUFFER = 1 << 20 };
  if (!source->process || source->process->how != INSPECT_SNAPSHOT_HELD) return true;
  struct process_maps maps = {0};
  struct process_plan plan = {0};
  uint8_t *buffer = malloc(BUFFER);
  struct inspect_error *error = make_plan(source->pid, false, &maps, &plan);
  bool is_current = buffer && !error && is_same_plan(&plan, &source->process->plan) &&
                    is_same_memory(source, buffer, BUFFER);
  inspect_error_free(error);
  process_free_plan(&plan);
  process_free_maps(&maps);
  free(buffer);
  return is_current;
}

void source_free_process(struct source *source) {
  struct source_process *process = source->process;
  if (!process) return;
  source_resume(source);
  process_free_plan(&process->plan);
  process_free_maps(&process->maps);
  vector_free(&process->gaps);
  sem_destroy(&process->taken);
  sem_destroy(&process->leave);
}
