/* process.h - what the files of this folder share about a running process.
 *
 *   process_status.c   who it is
 *   process_refusal.c  why it cannot be read
 *   process_maps.c     its mappings
 *   process_plan.c     which memory is read, and where it goes in the host
 *   process_copy.c     reading it
 *   process_threads.c  stopping its threads, their registers, letting them go
 *   process_fork.c     a child that holds still
 *   process.c          the ways to take a snapshot
 *
 * A process is never written to, no breakpoint is set, and nothing is called in it, but for the two
 * system calls of process_fork.c, which the user has to ask for. */
#ifndef SOURCE_PROCESS_H
#define SOURCE_PROCESS_H

#include <stdatomic.h>

#include <sys/types.h>

#include "base/text.h"
#include "source/core.h"

/* ---- process_status.c ------------------------------------------------------------------------ */

struct process_status {
  char name[64];    /* as the kernel writes it; not safe to print */
  char state;       /* R S D T t Z X                              */
  int64_t group;    /* the process that the thread belongs to     */
  int64_t parent;   /* the process that is to wait for it         */
  int64_t tracer;   /* who traces it, or 0                        */
  uint32_t user;    /* real user id                               */
  unsigned seccomp; /* 0: no filter                               */
  int64_t inner;    /* its id in its own pid namespace            */
  uint64_t capabilities;
  bool is_kernel_thread;
};

/* False, with errno, if the process does not exist or hides. */
bool process_read_status(int64_t pid, struct process_status *status);

/* Reads a file of /proc, /proc/PID/NAME, whole, with a zero behind it. False, with errno, if it
 * cannot be read; ENOMEM if memory is out. */
bool process_read_file(int64_t pid, const char *name, struct text *text);

/* ---- process_refusal.c ----------------------------------------------------------------------- */

/* What is wrong with a process before anything is tried; NULL: nothing that can be told. `traces`:
 * whether it is to be traced. */
MUST_CHECK struct inspect_error *process_check(int64_t pid, bool traces);

/* Why the kernel did not let us `what` ("stop", "read") the process. */
struct inspect_error *process_refused(int64_t pid, const char *what, int number);

/* "it ended while it was being read". */
struct inspect_error *process_ended(int64_t pid);

/* ---- process_maps.c -------------------------------------------------------------------------- */

struct process_mapping {
  uint64_t start, end, file_offset;
  const char *path; /* as in /proc/PID/maps, "" if there is none */
  bool readable, writable, executable, shared;
};

struct process_maps {
  struct VECTOR(struct process_mapping) list; /* sorted, disjoint */
  struct arena arena;                         /* owns the paths   */
};

MUST_CHECK struct inspect_error *process_read_maps(int64_t pid, struct process_maps *maps);
void process_free_maps(struct process_maps *maps);

/* Takes out the mappings that a child does not inherit as they were (MADV_WIPEONFORK). */
void process_drop_wiped(int64_t pid, struct process_maps *maps);

/* Whether the mapping shows a file of the file system. */
bool process_maps_file(const struct process_mapping *mapping);

/* ---- process_plan.c -------------------------------------------------------------------------- */

/* Memory of the target without holes and of one kind, and its place in the host. */
struct process_area {
  uint64_t start, end;
  bool writable, executable;
  uint8_t *bytes; /* of `start`, NULL: no place yet          */
  void *block;    /* what was mapped for it, to be unmapped  */
  size_t block_size;
};

/* A part of an area that has to be read; the rest of it was never touched and is zero. */
struct process_range {
  uint64_t start, end;
  uint8_t *bytes; /* in the host */
};

struct process_plan {
  struct VECTOR(struct process_area) areas;   /* sorted, disjoint */
  struct VECTOR(struct process_range) ranges; /* likewise         */
  uint64_t bytes;                             /* of the ranges    */
};

/* Says what is to be read. `page_map` is a descriptor of /proc/PID/pagemap, or -1: then all of it
 * is. */
MUST_CHECK struct inspect_error *process_make_plan(const struct process_maps *maps, int page_map,
                                                   struct process_plan *plan);

/* Finds places in the host for all areas. What `old` (may be NULL) has for the same addresses is
 * taken over, with the pages that are there already. */
MUST_CHECK struct inspect_error *process_place_plan(struct process_plan *plan,
                                                    struct process_plan *old);

/* Has the host provide the memory now, so that reading is fast later. */
MUST_CHECK struct inspect_error *process_warm_plan(const struct process_plan *plan,
                                                   const struct work *work);

void process_free_plan(struct process_plan *plan);

/* ---- process_copy.c -------------------------------------------------------------------------- */

struct process_gaps VECTOR(struct source_gap);

/* How far the copying is, and whether it is to stop: for another thread. */
struct process_watch {
  atomic_uint_least64_t copied, total; /* bytes */
  atomic_bool stops;
};

/* Reads all ranges. Pages that cannot be read become gaps (sorted, merged). `work` is that of the
 * calling thread, or NULL. */
MUST_CHECK struct inspect_error *process_copy(int64_t pid, const struct process_plan *plan,
                                              struct process_gaps *gaps, const struct work *work,
                                              struct process_watch *watch);

/* Reads some bytes; returns how many could be read. */
size_t process_read(int64_t pid, uint64_t address, void *bytes, size_t size);

/* ---- process_threads.c ----------------------------------------------------------------------- */

struct tracee {
  pid_t tid;
  bool is_stopped, has_ended;
  int signal; /* that the thread was about to receive: it gets it when it goes on */
};

struct tracees VECTOR(struct tracee);

/* Stops all threads of the process. Those stopped so far are in `tracees` also after an error; the
 * same thread of ours calls process_let_go afterwards. If that thread ends without, the kernel lets
 * them go. */
MUST_CHECK struct inspect_error *process_stop(int64_t pid, struct tracees *tracees);

void process_let_go(struct tracees *tracees);

/* The threads with all their registers. */
MUST_CHECK struct inspect_error *process_registers(struct source *source,
                                                   const struct tracees *tracees);

/* The threads of a process that we do not trace, with stack pointer and program counter as far as
 * the kernel tells them. */
MUST_CHECK struct inspect_error *process_list_threads(struct source *source);

/* ---- process_fork.c -------------------------------------------------------------------------- */

struct process_child {
  pid_t pid;      /* 0: there is none              */
  int64_t own_id; /* its id where the process lives */
  uint64_t call;  /* where it was born              */
};

/* UNSUPPORTED where a fork could harm the process, or is not possible. */
MUST_CHECK struct inspect_error *process_may_fork(const struct source *source);

/* Makes a stopped process fork. The threads stand as they stood, also after an error. The child
 * stands still until process_end_child, and dies with the calling thread. */
MUST_CHECK struct inspect_error *process_fork(int64_t pid, const struct process_maps *maps,
                                              struct tracees *tracees, struct process_child *child);

/* Kills the child. */
void process_end_child(const struct process_child *child);

/* Makes the process forget its dead child, for which it is stopped once more. */
void process_forget_child(int64_t pid, const struct process_child *child);

/* ---- process.c ------------------------------------------------------------------------------- */

/* What was read, without the gaps, as the segments of the source. Plan and gaps must live as long
 * as it. False: out of memory. */
bool source_keep_segments(struct source *source, const struct process_plan *plan,
                          const struct process_gaps *gaps);

/* The files among the mappings as those of the source; the paths must live as long as it. */
bool source_keep_mappings(struct source *source, const struct process_maps *maps);

/* Whether so many bytes of a target can be copied: that must not bring the machine, and a process
 * on it, to the end of its memory. */
MUST_CHECK struct inspect_error *process_check_room(const char *name, uint64_t bytes);

#endif
