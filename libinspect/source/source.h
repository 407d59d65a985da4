/* source.h - where the target's bytes come from.
 *
 * A source is a set of readable segments in host memory plus what is known about the process:
 * word size, threads, mapped files, symbols. Readers never copy: source_view returns a pointer
 * into a mapped core, or into the copy of a process's memory. Tests build a struct source by hand
 * over arrays ("mock memory").
 *
 * What this floor does not do: know anything about Lua. Only this folder includes elfutils. */
#ifndef SOURCE_SOURCE_H
#define SOURCE_SOURCE_H

#include "base/arena.h"
#include "base/work.h"
#include "inspect.h"

enum source_kind { SOURCE_CORE, SOURCE_PROCESS, SOURCE_REMOTE };

/* Memory that can be read: target addresses start .. end-1 are at `bytes` in the host. */
struct source_segment {
  uint64_t start, end;
  const uint8_t *bytes;
  bool writable, executable;
};

/* Memory that the process had and the dump should hold but does not (truncated file). */
struct source_gap {
  uint64_t start, end;
};

/* A part of a file mapped into the target (NT_FILE, /proc/PID/maps). */
struct source_mapping {
  uint64_t start, end, file_offset;
  const char *path; /* as the target names it */
};

struct source_thread {
  int64_t tid;
  uint64_t stack_pointer, program_counter;
  const uint64_t *registers; /* general registers in the order of the ABI's user_regs_struct */
  size_t register_count;
};

struct source {
  enum source_kind kind;
  const char *path;    /* absolute path of the core, or NULL                     */
  const char *name;    /* what text output shows: the core's base name, "process 4711" */
  int64_t pid;         /* of the process that was dumped; 0 if not known         */
  const char *command; /* the process's name (NT_PRPSINFO), escaped, or NULL  */
  int signal;          /* that killed it, or 0                                   */
  double time;         /* when the dump was taken, seconds since 1970: the core file's
                          modification time, or when a process was read          */
  double cpu_time;     /* CPU seconds the process had used (NT_PRSTATUS), negative if not known */

  const char *compression; /* "zstd", ... if the core is compressed, or NULL. Static */
  const char *ends_early;  /* why the contents of a compressed file end before their end: "the zstd
                              stream ends early: ...", escaped; NULL if they do not */

  bool is_unstopped;      /* read while it ran: what was read need not be of one moment */
  double stopped_seconds; /* see source_stopped_seconds                                 */

  unsigned pointer_size; /* 4 or 8                                            */
  bool big_endian;
  unsigned machine; /* ELF e_machine                                          */

  struct source_segment *segments; /* sorted, disjoint; neighbours in address and file merged */
  size_t segment_count;
  struct source_gap *gaps; /* sorted */
  size_t gap_count;
  uint64_t missing_bytes;          /* sum of the gaps */
  uint64_t left_out_bytes;         /* of writable memory of no file that the dump does not hold, as
                                      the process's coredump_filter or its own wish left it out */
  uint64_t copied_bytes;           /* of the machine's memory that a copy of the target takes: of a
                                      process, or of a compressed core if temporary files lie in
                                      memory */
  struct source_mapping *mappings; /* sorted */
  size_t mapping_count;
  struct source_thread *threads;
  size_t thread_count;

  struct arena arena;             /* owns the arrays above                                   */
  struct source_elf *elf;         /* core.c's and symbols.c's own data; NULL for mock memory */
  struct source_process *process; /* process.c's own data; NULL for cores */
  struct source_remote *remote;   /* remote.c's own data, or NULL */
};

/* How a compressed core is decompressed. */
struct source_unpacking {
  const struct work *work; /* progress and interruption, or NULL                              */
  uint64_t most_bytes;     /* what may come out; 0: the limit that no core is expected to need */
};

/* Opens an ELF core and maps it; a compressed one is decompressed to a temporary file without a
 * name. `exe` and `sysroot` as in struct inspect_target; `unpacking` may be NULL. The errors tell a
 * missing file, a file that is no core (a program, a text, an empty file), one that would not fit
 * and an unsupported machine apart, each with a hint. A truncated core opens; its gaps say what is
 * lost. */
MUST_CHECK struct inspect_error *source_open_core(const char *path, const char *exe,
                                                  const char *sysroot,
                                                  const struct source_unpacking *unpacking,
                                                  struct source **result);

/* Takes a snapshot of a running process, as `how` says (see inspect.h), and reads it: what is
 * analysed later is a copy. The errors tell apart who cannot be read, and why, each with a hint.
 * `work` may be NULL; when it stops the copying, the process goes on as it does after an error. */
MUST_CHECK struct inspect_error *source_open_process(int64_t pid, enum inspect_snapshot how,
                                                     const char *exe, const char *sysroot,
                                                     const struct work *work,
                                                     struct source **result);

/* Lets a process go on that is held until the source is closed (INSPECT_SNAPSHOT_STOP). */
void source_resume(struct source *source);

/* For how long the process was stopped by us, so far; negative if it was not. */
double source_stopped_seconds(const struct source *source);

/* Opens a target that is read through the host. No memory is readable before source_fetch. */
MUST_CHECK struct inspect_error *source_open_remote(const struct inspect_target *target,
                                                    struct source **result);

/* Reads all memory of a remote target, once; nothing for others. INTERRUPTED: what was read stays,
 * and the next call goes on from there. */
MUST_CHECK struct inspect_error *source_fetch(struct source *source, const struct work *work);

/* Whether a process that a debugger holds is as it was when it was read; true for others. */
bool source_is_current(const struct source *source);

/* Replaces the threads by those that a debugger knows, if there are any; copies them. */
MUST_CHECK struct inspect_error *
source_set_threads(struct source *source, const struct inspect_thread *threads, size_t count);

void source_close(struct source *source);

/* The host address of target bytes [address, address + size), or NULL unless all are readable.
 * Valid until source_close. */
const uint8_t *source_view(const struct source *source, uint64_t address, uint64_t size);

/* The pointer-sized word at `bytes`, which a view has given. */
uint64_t source_word(const struct source *source, const uint8_t *bytes);

/* The segment that holds the address, or NULL. */
const struct source_segment *source_segment_at(const struct source *source, uint64_t address);

/* Whether the address is in memory that the dump should hold but does not; `source` may be NULL. */
bool source_is_missing(const struct source *source, uint64_t address);

/* Why a core typically is cut off, in words: static. */
const char *source_cut_causes(const struct source *source);

/* What to do about memory that a core lacks, with the typical cause; NULL if there is no such (or
 * no memory for words). In the source's arena. */
const char *source_missing_hint(struct source *source);

/* What processor the target ran on, if Lua was never read from one such; else NULL. Static. */
const char *source_untested_machine(const struct source *source);

/* The mapped file that covers the address, or NULL. */
const struct source_mapping *source_mapping_at(const struct source *source, uint64_t address);

/* Where the first byte of the mapping's file is mapped; 0 if it is not. */
uint64_t source_mapping_base(const struct source *source, const struct source_mapping *mapping);

/* The name of the function or variable that starts at or contains an address, with the files found
 * through libdwfl (main program, shared libraries; symbol table or dynamic symbols). False if there
 * is no file or no symbol. `*name` is escaped and lives in the source's arena. Slow the first time
 * (opens all modules), then fast. */
bool source_symbol(struct source *source, uint64_t address, const char **name);

/* Maps the file behind a mapping, found under the sysroot, as --exe, or at its own path, and only
 * if it is the same file (build-id, where the dump holds one). False if it cannot be had. Valid
 * until source_close. */
bool source_file(struct source *source, const struct source_mapping *mapping, const uint8_t **bytes,
                 size_t *size);

#endif
