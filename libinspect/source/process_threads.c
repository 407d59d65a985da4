/* process_threads.c - stops all threads of a process, reads their registers, lets them go.
 *
 *   until a pass over /proc/PID/task finds no new thread:
 *     PTRACE_SEIZE and PTRACE_INTERRUPT each new one, then wait until all of them have stopped
 *
 * Only a thread that runs can start another one, so that after the last pass none can be missing.
 * PTRACE_SEIZE sends no SIGSTOP: nothing is left behind in the process, a thread that a shell has
 * stopped stays so, and a system call that was interrupted goes on by itself (a few, epoll_wait
 * among them, return EINTR, as they do whenever a process is stopped and continued). A thread that
 * was about to receive a signal receives it when it goes on.
 *
 * Whether a thread has stopped is asked of the thread (PTRACE_GETSIGINFO), not of waitpid alone: a
 * host that waits for all its children may have taken the event. */
#include <dirent.h>
#include <elf.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>

#include "source/process.h"

enum { MOST_PASSES = 1000, MOST_SECONDS = 5 };

/* ---- Threads of a process -------------------------------------------------------------------- */

struct thread_ids VECTOR(pid_t);

static int compare_ids(const void *left, const void *right) {
  const pid_t *a = left, *b = right;
  return *a < *b ? -1 : *a > *b;
}

/* In ascending order. False, with errno. */
static bool list_ids(int64_t pid, struct thread_ids *ids) {
  char path[64];
  snprintf(path, sizeof path, "/proc/%lld/task", (long long)pid);
  DIR *folder = opendir(path);
  if (!folder) return false;
  bool ok = true;
  for (struct dirent *entry; ok && (entry = readdir(folder));) {
    pid_t tid = (pid_t)strtol(entry->d_name, NULL, 10);
    if (tid > 0) ok = vector_push(ids, tid);
  }
  closedir(folder);
  if (!ok) {
    errno = ENOMEM;
    return false;
  }
  if (ids->count) qsort(ids->items, ids->count, sizeof *ids->items, compare_ids);
  return true;
}

/* R, S, D, Z, ... of a thread; 'X' if there is none. */
static char thread_state(int64_t pid, pid_t tid) {
  char name[64];
  struct text text = {0};
  snprintf(name, sizeof name, "task/%d/stat", (int)tid);
  if (!process_read_file(pid, name, &text)) return 'X';
  const char *end = strrchr(text.items, ')'); /* the name before it may hold anything */
  char state = end && end[1] == ' ' ? end[2] : 'X';
  vector_free(&text);
  return state;
}

/* ---- Stopping -------------------------------------------------------------------------------- */

static bool is_known(const struct tracees *tracees, pid_t tid) {
  for (size_t i = 0; i < tracees->count; i++)
    if (tracees->items[i].tid == tid) return true;
  return false;
}

/* Seizes one thread. One that has ended meanwhile, or waits as a zombie for the others, is none. */
static struct inspect_error *seize(int64_t pid, pid_t tid, struct tracees *tracees) {
  if (!vector_reserve(tracees, 1)) return error_no_memory();
  if (ptrace(PTRACE_SEIZE, tid, NULL, NULL)) {
    int number = errno;
    char state = thread_state(pid, tid);
    if (state == 'X' || state == 'Z') return NULL;
    return process_refused(pid, "stop", number);
  }
  vector_push(tracees, ((struct tracee){.tid = tid}));
  (void)ptrace(PTRACE_INTERRUPT, tid, NULL, NULL); /* fails only if it has ended */
  return NULL;
}

/* Whether the thread stands still, or has ended; asks once. */
static bool has_settled(int64_t pid, struct tracee *tracee) {
  int status;
  pid_t waited = waitpid(tracee->tid, &status, __WALL | __WNOTHREAD | WNOHANG);
  if (waited == tracee->tid && !WIFSTOPPED(status)) {
    tracee->has_ended = true;
    return true;
  }
  siginfo_t info = {0};
  if (ptrace(PTRACE_GETSIGINFO, tracee->tid, NULL, &info) == 0) {
    /* si_code of a stop that we asked for has PTRACE_EVENT_STOP above the signal */
    if (info.si_code >> 8 != PTRACE_EVENT_STOP) tracee->signal = info.si_signo;
    tracee->is_stopped = true;
  } else if (errno == EINVAL) {
    tracee->is_stopped = true; /* stopped by job control, and stays so */
  } else if (waited < 0) {
    char state = thread_state(pid, tracee->tid);
    tracee->has_ended = state == 'X' || state == 'Z';
  }
  return tracee->is_stopped || tracee->has_ended;
}

static double seconds(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

/* Waits until all have stopped. A thread in an uninterruptible sleep does not. */
static struct inspect_error *settle(int64_t pid, struct tracees *tracees, double deadline) {
  long pause = 5000; /* nanoseconds */
  for (size_t i = 0; i < tracees->count;) {
    struct tracee *tracee = &tracees->items[i];
    if (tracee->is_stopped || tracee->has_ended || has_settled(pid, tracee)) {
      i++;
      continue;
    }
    if (seconds() > deadline) {
      char state = thread_state(pid, tracee->tid);
      return error_create(
          INSPECT_ERROR_SYSTEM, "try again later, or read without stopping: --snapshot=none",
          "thread %d of process %lld does not stop within %d s%s", (int)tracee->tid, (long long)pid,
          MOST_SECONDS, state == 'D' ? ": it is in an uninterruptible sleep" : "");
    }
    nanosleep(&(struct timespec){.tv_nsec = pause}, NULL);
    if (pause < 1000000) pause *= 2;
  }
  return NULL;
}

/* Seizes the threads that are new; `*more`: whether there were any. */
static struct inspect_error *seize_new(int64_t pid, struct tracees *tracees, bool *more) {
  struct thread_ids ids = {0};
  struct inspect_error *error = NULL;
  size_t before = tracees->count;
  if (!list_ids(pid, &ids)) error = process_refused(pid, "stop", errno);
  for (size_t i = 0; !error && i < ids.count; i++)
    if (!is_known(tracees, ids.items[i])) error = seize(pid, ids.items[i], tracees);
  vector_free(&ids);
  *more = tracees->count > before;
  return error;
}

static bool all_have_ended(const struct tracees *tracees) {
  for (size_t i = 0; i < tracees->count; i++)
    if (!tracees->items[i].has_ended) return false;
  return true;
}

struct inspect_error *process_stop(int64_t pid, struct tracees *tracees) {
  double deadline = seconds() + MOST_SECONDS;
  bool more = true;
  for (int pass = 0; more; pass++) {
    if (pass == MOST_PASSES)
      return error_create(INSPECT_ERROR_SYSTEM, "try again, or dump it with `gcore PID`",
                          "process %lld starts threads faster than they can be stopped",
                          (long long)pid);
    TRY(seize_new(pid, tracees, &more));
    TRY(settle(pid, tracees, deadline));
  }
  return all_have_ended(tracees) ? process_ended(pid) : NULL;
}

void process_let_go(struct tracees *tracees) {
  for (size_t i = 0; i < tracees->count; i++) {
    struct tracee *tracee = &tracees->items[i];
    if (tracee->is_stopped)
      (void)ptrace(PTRACE_DETACH, tracee->tid, NULL, (void *)(uintptr_t)tracee->signal);
  }
  vector_free(tracees);
}

/* ---- Registers ------------------------------------------------------------------------------- */

static bool keep_thread(struct source *source, struct source_thread *threads, pid_t tid,
                        const uint8_t *bytes, size_t size) {
  unsigned width = source->pointer_size;
  size_t count = size / width;
  struct source_thread *thread = &threads[source->thread_count];
  uint64_t *registers = arena_alloc(&source->arena, count * sizeof *registers + 1);
  if (!registers) return false;
  for (size_t i = 0; i < count; i++)
    memcpy(&registers[i], bytes + i * width, width); /* of this machine: in its byte order */
  *thread = (struct source_thread){.tid = tid, .registers = registers, .register_count = count};
  source_name_registers(source, thread);
  source->thread_count++;
  return true;
}

struct inspect_error *process_registers(struct source *source, const struct tracees *tracees) {
  struct source_thread *threads =
      arena_alloc(&source->arena, (tracees->count + 1) * sizeof *threads);
  if (!threads) return error_no_memory();
  source->threads = threads;
  source->thread_count = 0;
  for (size_t i = 0; i < tracees->count; i++) {
    uint8_t bytes[1024];
    struct iovec place = {bytes, sizeof bytes};
    if (!tracees->items[i].is_stopped) continue;
    if (ptrace(PTRACE_GETREGSET, tracees->items[i].tid, (void *)NT_PRSTATUS, &place))
      place.iov_len = 0;
    if (!keep_thread(source, threads, tracees->items[i].tid, bytes, place.iov_len))
      return error_no_memory();
  }
  return NULL;
}

/* "7 0x.. 0x.. ... 0xSP 0xPC" in a system call, "-1 0xSP 0xPC" outside, "running". */
static void read_syscall(const struct text *text, struct source_thread *thread) {
  uint64_t numbers[16];
  size_t count = 0;
  const char *at = text->items;
  for (char *end; count < sizeof numbers / sizeof *numbers; at = end) {
    numbers[count] = strtoull(at, &end, 0);
    if (end == at) break;
    count++;
  }
  if (count < 3) return;
  thread->stack_pointer = numbers[count - 2];
  thread->program_counter = numbers[count - 1];
}

struct inspect_error *process_list_threads(struct source *source) {
  struct thread_ids ids = {0};
  if (!list_ids(source->pid, &ids)) {
    vector_free(&ids);
    return process_refused(source->pid, "read", errno);
  }
  struct source_thread *threads = arena_alloc(&source->arena, (ids.count + 1) * sizeof *threads);
  for (size_t i = 0; threads && i < ids.count; i++) {
    char name[64];
    struct text text = {0};
    threads[i].tid = ids.items[i];
    snprintf(name, sizeof name, "task/%d/syscall", (int)ids.items[i]);
    if (process_read_file(source->pid, name, &text)) read_syscall(&text, &threads[i]);
    vector_free(&text);
  }
  source->threads = threads;
  source->thread_count = threads ? ids.count : 0;
  vector_free(&ids);
  return threads ? NULL : error_no_memory();
}
