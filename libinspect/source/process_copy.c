/* process_copy.c - reads the memory of a process in large blocks, by two threads.
 *
 * process_vm_readv is the fast way (into memory that is there: 7 to 10 GB/s); where a sandbox
 * forbids it, /proc/PID/mem reads the same. Both stop at the first page that cannot be read: that
 * page becomes a gap, and reading goes on behind it. A gap is never read as zero. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/parallel.h"
#include "source/process.h"

struct copying {
  int64_t pid;
  const struct process_plan *plan;
  size_t threads;
  const struct work *work;
  struct process_watch *watch;
  uint64_t page;
  int memory;           /* /proc/PID/mem, or -1 */
  atomic_int failure;   /* errno that ends the whole, or 0 */
  pthread_mutex_t lock; /* for what follows */
  struct process_gaps *gaps;
  bool is_full; /* memory ran out */
};

/* How many bytes were read; 0 if the first one cannot be. */
static size_t read_some(struct copying *copying, uint64_t address, uint8_t *bytes, size_t size) {
  struct iovec local = {bytes, size}, remote = {(void *)(uintptr_t)address, size};
  ssize_t read = process_vm_readv((pid_t)copying->pid, &local, 1, &remote, 1, 0);
  if (read < 0 && (errno == EPERM || errno == ENOSYS) && copying->memory >= 0) {
    read = pread(copying->memory, bytes, size, (off_t)address);
    if (read < 0 && errno == EIO) errno = EFAULT;
    if (read == 0) errno = ESRCH; /* /proc/PID/mem of a process that has ended is empty */
  }
  if (read > 0) return (size_t)read;
  if (errno != EFAULT && errno != EIO && errno != EINTR) copying->failure = errno;
  return 0;
}

static void add_gap(struct copying *copying, uint64_t start, uint64_t end) {
  pthread_mutex_lock(&copying->lock);
  if (!vector_push(copying->gaps, ((struct source_gap){start, end}))) copying->is_full = true;
  pthread_mutex_unlock(&copying->lock);
}

static void copy_piece(struct copying *copying, uint64_t start, uint64_t end, uint8_t *bytes) {
  while (start < end && !copying->failure) {
    size_t read = read_some(copying, start, bytes, (size_t)(end - start));
    if (!read && !copying->failure) {
      uint64_t next = (start / copying->page + 1) * copying->page;
      if (next > end) next = end;
      add_gap(copying, start, next);
      memset(bytes, 0, (size_t)(next - start));
      read = (size_t)(next - start);
    }
    start += read;
    bytes += read;
  }
}

static const char COPYING[] = "copying memory";

/* Asked by each thread before each piece. */
static bool stops(struct copying *copying, size_t number, uint64_t done) {
  struct process_watch *watch = copying->watch;
  if (number) return watch->stops;
  watch->copied = done;
  if (work_stops(copying->work, COPYING, done, copying->plan->bytes)) watch->stops = true;
  return watch->stops;
}

static void copy_part(void *context, size_t number) {
  struct copying *copying = context;
  const uint64_t PIECE = UINT64_C(8) << 20;
  uint64_t done = 0;
  for (size_t i = 0; i < copying->plan->ranges.count; i++) {
    struct process_range range = copying->plan->ranges.items[i];
    while (range.start < range.end) {
      uint64_t left = PIECE - done % PIECE, size = range.end - range.start;
      if (size > left) size = left;
      if (done % PIECE == 0 && stops(copying, number, done)) return;
      if (done / PIECE % copying->threads == number)
        copy_piece(copying, range.start, range.start + size, range.bytes);
      range.start += size;
      range.bytes += size;
      done += size;
    }
  }
}

static int compare_gaps(const void *left, const void *right) {
  const struct source_gap *a = left, *b = right;
  return a->start < b->start ? -1 : a->start > b->start;
}

static void order_gaps(struct process_gaps *gaps) {
  size_t kept = 0;
  if (!gaps->count) return;
  qsort(gaps->items, gaps->count, sizeof *gaps->items, compare_gaps);
  for (size_t i = 1; i < gaps->count; i++) {
    if (gaps->items[kept].end == gaps->items[i].start)
      gaps->items[kept].end = gaps->items[i].end;
    else
      gaps->items[++kept] = gaps->items[i];
  }
  gaps->count = kept + 1;
}

struct inspect_error *process_copy(int64_t pid, const struct process_plan *plan,
                                   struct process_gaps *gaps, const struct work *work,
                                   struct process_watch *watch) {
  char path[64];
  snprintf(path, sizeof path, "/proc/%lld/mem", (long long)pid);
  struct copying copying = {.pid = pid,
                            .plan = plan,
                            .threads = parallel_processors() > 1 ? 2 : 1,
                            .page = (uint64_t)sysconf(_SC_PAGESIZE),
                            .memory = open(path, O_RDONLY | O_CLOEXEC),
                            .lock = PTHREAD_MUTEX_INITIALIZER,
                            .work = work,
                            .watch = watch,
                            .gaps = gaps};
  watch->total = plan->bytes;
  parallel_run(copying.threads, copy_part, &copying);
  if (copying.memory >= 0) close(copying.memory);
  pthread_mutex_destroy(&copying.lock);
  if (watch->stops) return error_interrupted();
  if (copying.is_full) return error_no_memory();
  if (copying.failure) return process_refused(pid, "read", copying.failure);
  order_gaps(gaps);
  return NULL;
}

size_t process_read(int64_t pid, uint64_t address, void *bytes, size_t size) {
  struct iovec local = {bytes, size}, remote = {(void *)(uintptr_t)address, size};
  ssize_t read = process_vm_readv((pid_t)pid, &local, 1, &remote, 1, 0);
  return read > 0 ? (size_t)read : 0;
}
