/* inspect.h - post-mortem inspection of Lua heaps: the public interface, read it as the manual.
 *
 * libinspect reads a core dump (or a stopped process), finds every Lua VM in it by structure,
 * rebuilds the object graph and answers questions about it. It runs no code in the target, writes
 * nothing to it, and never prints, exits or aborts: it lives inside the user's debugger.
 *
 *   1. Errors               every fallible function returns a struct inspect_error *, NULL =
 * success
 *   2. Input and output     how results, diagnostics and progress reach the caller
 *   3. Running a command    parse -> open -> run: all that gdb, lldb and the shell need
 *   4. The command table    names, synopses, help and options, for help and completion
 *   5. Objects and          cursors for scripts: all objects and references in rows, without a
 *      references           document between
 *
 * Threads: a session is used by one thread at a time; callbacks run on the calling thread only.
 * What this library does not do: format anything outside a command's document, keep global state.
 */
#ifndef INSPECT_H
#define INSPECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define INSPECT_API __attribute__((visibility("default")))

/* Raised whenever a structure or a function below changes in a way that old callers cannot stand.
 */
#define INSPECT_ABI 2

/* The INSPECT_ABI the library was built with. A caller compares it with its own before all else. */
INSPECT_API uint32_t inspect_abi(void);

/* "lua-inspect 0.1.0" without the name, static. */
INSPECT_API const char *inspect_version(void);

/* ---- 1. Errors ------------------------------------------------------------------------------- */

enum inspect_error_code {
  INSPECT_ERROR_NO_MEMORY = 1, /* the host ran out of memory                                   */
  INSPECT_ERROR_SYSTEM,        /* a file or process could not be opened or read                */
  INSPECT_ERROR_TARGET,        /* the target is no core, holds no Lua, or is of an unknown kind */
  INSPECT_ERROR_NOT_FOUND,     /* a path, address or entry names nothing in the target         */
  INSPECT_ERROR_USAGE,         /* the command line or an argument is not understood            */
  INSPECT_ERROR_UNREADABLE,    /* memory of the target is not in the dump                      */
  INSPECT_ERROR_UNSUPPORTED,   /* understood, but not handled by this version                  */
  INSPECT_ERROR_INTERRUPTED,   /* the cancel callback said so                                  */
};

struct inspect_error {
  enum inspect_error_code code;
  bool has_address;    /* whether `address` means something                         */
  uint64_t address;    /* the target address that the error is about                */
  const char *message; /* one sentence, no full stop; never NULL; safe to print     */
  const char *hint;    /* what to do next, or NULL; safe to print                   */
};

/* "no-memory", "system", "target", ...: stable, for JSON. Static. */
INSPECT_API const char *inspect_error_name(enum inspect_error_code code);

/* Frees an error. NULL is allowed. */
INSPECT_API void inspect_error_free(struct inspect_error *error);

/* ---- 2. Input and output --------------------------------------------------------------------- */

/* Where a command's results go and how it asks whether to go on. Callbacks may be NULL. */
struct inspect_io {
  void *context;
  /* A piece of the result (UTF-8, not terminated). Returns false if nobody reads any more: the
   * command then ends quietly. */
  bool (*output)(void *context, const char *text, size_t size);
  /* Diagnostics and elapsed times: whole lines, for standard error. */
  void (*diagnostic)(void *context, const char *text, size_t size);
  /* Called some 10 times a second during long work. `share` is 0..1, negative if not known;
   * `phase` is static. */
  void (*progress)(void *context, const char *phase, double share);
  /* Asked often during long work; true = stop and give the partial answer. */
  bool (*cancelled)(void *context);
  /* Whether `output` ends in a terminal that shows colour, for --color=auto. */
  bool terminal;
};

/* ---- 3. Running a command -------------------------------------------------------------------- */

struct inspect_invocation; /* a parsed command line              */
struct inspect_session;    /* an opened target and what is known of it */

/* How a running process is read. Nothing is written to it and nothing is called in it, but for
 * FORK.
 */
enum inspect_snapshot {
  INSPECT_SNAPSHOT_COPY, /* stop it, copy what heaps can lie in, let it go on, analyse the copy */
  INSPECT_SNAPSHOT_STOP, /* the same, but it stands still until the session is closed           */
  INSPECT_SNAPSHOT_FORK, /* make it fork by one system call, and copy the memory of the child   */
  INSPECT_SNAPSHOT_NONE, /* do not stop it: what is read need not be of one moment              */
  INSPECT_SNAPSHOT_HELD, /* do not stop it, as the debugger that calls us holds it stopped      */
};

/* A thread of a process, as the debugger that holds it knows it. */
struct inspect_thread {
  int64_t tid;
  uint64_t stack_pointer, program_counter;
  const uint64_t *registers; /* in the order of the ABI's user_regs_struct, or NULL */
  size_t register_count;
};

/* A mapping of a remote process; sorted by address. */
struct inspect_region {
  uint64_t start, end, file_offset;
  const char *path; /* as the target names it, "[heap]" and the like, or NULL */
  bool readable, writable, executable, shared;
};

enum inspect_read { INSPECT_READ_GONE = -1, INSPECT_READ_INTERRUPTED = -2 };

/* A process that only the caller can read. The library reads everything that Lua's heaps can lie in
 * before it looks at it, in blocks, when a command first needs it; the command's progress and
 * cancelling are those of the reading, too. */
struct inspect_remote {
  void *context;
  /* Reads `size` bytes at `address`, or the first of them; returns how many. 0: the first one
   * cannot be read, or not all of them at once: a smaller size is tried. INSPECT_READ_GONE: nothing
   * can be read any more; the command fails. INSPECT_READ_INTERRUPTED: the user does not want to
   * wait. Called only by the thread that is in inspect_session_open or runs a command. */
  int64_t (*read)(void *context, uint64_t address, void *buffer, size_t size);
  int64_t pid;    /* or 0                                             */
  uint64_t entry; /* AT_ENTRY: an address in the main program, or 0   */
  const struct inspect_region *regions;
  size_t region_count;
};

/* What to open. Strings belong to the invocation (or to the caller who fills it in). What `remote`
 * and `threads` point to is copied; its callback must be there as long as the session. */
struct inspect_target {
  const char *core;               /* path of a core file, or NULL                                 */
  int64_t pid;                    /* process to attach to, or 0                                   */
  const char *exe;                /* the program's file if it is not where the core says, or NULL */
  const char *sysroot;            /* prefix for the files of the target, or NULL                  */
  const char *layout;             /* a file that tells how Lua's structures lie, or NULL          */
  enum inspect_snapshot snapshot; /* how to read `pid`                                 */
  const struct inspect_remote *remote;  /* a process to read through the caller, or NULL */
  const struct inspect_thread *threads; /* of `remote`, or of a `pid` that is HELD, or NULL */
  size_t thread_count;
  bool redact; /* withhold the strings of the target: hashes stand for them, with a random key; or
                  with this one: */
  const char *redact_key;      /* or NULL */
  uint64_t max_decompressed;   /* bytes that a compressed core may hold; 0: 64 GB, and no more than
                                  1000 times its size */
  const struct inspect_io *io; /* for progress and cancelling while a compressed core is
                                  decompressed or a process is copied, or NULL */
};

/* Parses the shell's command line, `lua-inspect [OPTIONS] CORE [COMMAND [ARGS]]`. argv[0] is the
 * program's name; argv is not kept. Free the result with inspect_invocation_free. */
INSPECT_API struct inspect_error *inspect_invocation_parse(int argc, char *const *argv,
                                                           struct inspect_invocation **result);

/* Parses a debugger's command: `command` is "leaks", `arguments` the rest of the line. Words are
 * separated by blanks outside quotes and brackets; quotes around a whole word are removed, quotes
 * inside a word are kept, so that paths are typed as they are printed. */
INSPECT_API struct inspect_error *inspect_invocation_parse_line(const char *command,
                                                                const char *arguments,
                                                                struct inspect_invocation **result);

/* What the invocation wants opened; NULL if it needs no session (help, version). Debuggers, which
 * know the target already, ignore `core` and `pid` in it. Valid as long as the invocation. */
INSPECT_API const struct inspect_target *
inspect_invocation_target(const struct inspect_invocation *invocation);

/* Whether progress was switched off, and whether JSON was asked for (errors then go out as JSON).
 */
INSPECT_API bool inspect_invocation_quiet(const struct inspect_invocation *invocation);

INSPECT_API void inspect_invocation_free(struct inspect_invocation *invocation);

/* Opens a target read-only. No VM is looked for yet. A compressed core (zstd, lz4, xz, gzip, bzip2)
 * is decompressed to a temporary file without a name, which closing the session removes. */
INSPECT_API struct inspect_error *inspect_session_open(const struct inspect_target *target,
                                                       struct inspect_session **result);

INSPECT_API void inspect_session_close(struct inspect_session *session);

/* Whether the memory of a HELD process still is what the session has read: all of it is compared.
 * True for every other target. */
INSPECT_API bool inspect_session_is_current(const struct inspect_session *session);

/* Lets a process go on that INSPECT_SNAPSHOT_STOP holds. What was read of it stays. */
INSPECT_API void inspect_session_resume(struct inspect_session *session);

/* For how many seconds this session has stopped the process, so far; negative if it has not. */
INSPECT_API double inspect_session_stopped(const struct inspect_session *session);

/* Runs the command and writes its document. `session` may be NULL if inspect_invocation_target
 * returned NULL. Returns the exit status of the shell contract: 0 nothing found, 1 found (leaks,
 * differences), 2 unusable (the error is written by io: as text to `diagnostic`, with --json as a
 * document to `output`), 130 interrupted (the partial answer was written). */
INSPECT_API int inspect_invocation_run(struct inspect_invocation *invocation,
                                       struct inspect_session *session,
                                       const struct inspect_io *io);

/* Writes an error as the command would have: text to `diagnostic`, with --json a document to
 * `output`. `invocation` may be NULL. Returns the exit status, 2 or 130. Frees the error. */
INSPECT_API int inspect_report_error(const struct inspect_invocation *invocation,
                                     struct inspect_error *error, const struct inspect_io *io);

/* ---- 4. The command table -------------------------------------------------------------------- */

struct inspect_command_option {
  const char *name;     /* "min-age", without dashes            */
  char letter;          /* 'k', or 0                            */
  const char *argument; /* "T", or NULL if it takes none        */
  const char *help;     /* one line                             */
};

struct inspect_command {
  const char *name;     /* "leaks"; in a debugger "lua-leaks"   */
  const char *synopsis; /* "[TRACKER] [--min-age T] ..."        */
  const char *summary;  /* one line                             */
  const char *help;     /* paragraphs and at least two examples */
};

/* Commands by position, NULL past the last. Static. */
INSPECT_API const struct inspect_command *inspect_command_at(size_t index);

/* Options of a command, its own first, then the common ones; NULL past the last. Static. */
INSPECT_API const struct inspect_command_option *inspect_command_option_at(const char *command,
                                                                           size_t index);

/* The text of `help COMMAND` for a debugger (names with the "lua-" prefix), or NULL if there is no
 * such command or no memory. Free it with inspect_free. */
INSPECT_API char *inspect_command_help(const char *command);

INSPECT_API void inspect_free(void *memory);

/* ---- 5. Objects and references: cursors ------------------------------------------------------ */

/* For scripts and exporters, which ask what no command answers: rows are written into the caller's
 * memory, as many as fit.
 *
 * Objects are numbered from 0 by address, over all VMs. Numbers stay what they are as long as the
 * session is open, and are the same in every session of the same target. Types, kinds, strengths
 * and classes are numbers, too; what they mean is told by name, since another version of this
 * library may number them otherwise.
 *
 * Nothing is there before inspect_session_prepare: counts are 0, and nothing is written. Apart from
 * the functions that return an error, nothing here fails, whatever numbers it is given: what
 * does not exist is left out. */

#define INSPECT_NO_OBJECT UINT32_MAX

/* What a session can be asked to find out; bits. */
enum inspect_stage {
  INSPECT_GRAPH = 1,    /* VMs, objects with address, type and bytes, references            */
  INSPECT_LIVE = 2,     /* the computed full collection: INSPECT_LEFT_*                     */
  INSPECT_RETAINED = 4, /* retained bytes and dominators; of what is live, so that is found */
  INSPECT_CLASSES = 8,  /* classes                                                          */
};

/* Finds out what is not known yet; all of it needs the graph. Progress and cancelling through `io`
 * (may be NULL). Errors: whatever a command says of a target without VMs; INTERRUPTED when
 * cancelled: what was finished stays, and the next call goes on from there. */
INSPECT_API struct inspect_error *inspect_session_prepare(struct inspect_session *session,
                                                          unsigned stages,
                                                          const struct inspect_io *io);

/* The stages that are known, by prepare or since a command needed them. */
INSPECT_API unsigned inspect_session_prepared(const struct inspect_session *session);

/* ---- VMs */

struct inspect_vm {
  const char *lua;          /* "5.4"                                                           */
  const char *release;      /* "5.4.4", or NULL if it is not known. Both as long as the session */
  uint64_t address;         /* of the main thread                                              */
  uint64_t heap_bytes;      /* what the VM says that it has allocated                          */
  uint64_t accounted_bytes; /* what was found: objects, state and string table                 */
  int64_t residual_bytes;   /* the difference                                                  */
  uint64_t object_bytes;    /* of the objects alone                                            */
  uint64_t objects;
  uint64_t coroutines;
};

INSPECT_API uint32_t inspect_vm_count(const struct inspect_session *session);

/* `vm` counts from 1, as --vm does. False, and nothing written, if there is no such VM. */
INSPECT_API bool inspect_vm_at(const struct inspect_session *session, uint32_t vm,
                               struct inspect_vm *result);

/* ---- Objects */

enum inspect_object_flag {
  INSPECT_LEFT_LIVE = 1,      /* LIVE: left by every full collection                          */
  INSPECT_LEFT_FINALIZER = 2, /* LIVE: left by the next one only, for a finalizer to run      */
  INSPECT_HAS_FINALIZER = 4,  /* a finalizer is to be called when it dies                     */
  INSPECT_PENDING = 8,        /* waits for its finalizer to be called                         */
  INSPECT_FIXED = 16,         /* never collected                                              */
  INSPECT_WEAK_KEYS = 32,     /* a table whose metatable says so, likewise:                   */
  INSPECT_WEAK_VALUES = 64,
  INSPECT_DEAD = 128,    /* found dead by the VM and not freed yet                       */
  INSPECT_DAMAGED = 256, /* could not be read whole: references may be missing           */
};

struct inspect_object {
  uint64_t address;
  uint64_t bytes;        /* of itself, as the VM counts them                                  */
  uint64_t retained;     /* RETAINED: freed if it were freed; 0 if it is not live             */
  uint32_t number;       /* INSPECT_NO_OBJECT: there is no such object, the row is empty      */
  uint32_t class_number; /* CLASSES: see inspect_class_name; else the type's                  */
  uint32_t vm;           /* from 1                                                            */
  uint32_t dominator;    /* RETAINED: the object that alone holds it, or INSPECT_NO_OBJECT    */
  uint32_t type;         /* see inspect_type_name                                             */
  uint32_t flags;        /* enum inspect_object_flag                                          */
};

INSPECT_API uint32_t inspect_object_count(const struct inspect_session *session);

/* Writes one row for each of `count` objects: numbers[0 .. count), or, if `numbers` is NULL, those
 * from number `first` on. Returns how many rows were written: all for `numbers` (a number of no
 * object has an empty row), else those up to the last object. */
INSPECT_API size_t inspect_objects(const struct inspect_session *session, const uint32_t *numbers,
                                   uint32_t first, size_t count, struct inspect_object *result);

/* What an object must be to be selected. All zero selects every object. */
struct inspect_filter {
  uint64_t least_bytes;
  uint64_t least_retained; /* RETAINED                                                          */
  uint32_t types;          /* bits (1 << type); 0: any                                          */
  uint32_t flags;          /* all of these ...                                                  */
  uint32_t without_flags;  /* ... and none of these                                             */
  uint32_t vm;             /* from 1; 0: any                                                    */
  const uint8_t *classes;  /* classes[class number] is not 0: wanted; NULL: any                 */
  uint32_t class_count;    /* of `classes`; a class past it is not wanted                       */
};

/* Of the objects that inspect_objects would write with the same arguments, writes the numbers of
 * those that pass, in the same order; `result` has room for `count` and may be `numbers` itself.
 * Returns how many. */
INSPECT_API size_t inspect_select(const struct inspect_session *session,
                                  const struct inspect_filter *filter, const uint32_t *numbers,
                                  uint32_t first, size_t count, uint32_t *result);

/* The object that starts at an address, INSPECT_NO_OBJECT if none does. */
INSPECT_API uint32_t inspect_object_at(const struct inspect_session *session, uint64_t address);

/* The object that a path names, as commands take it: "_G.npcs[42].owner", "0x55d0c0ffee", "@3".
 * `vm` chooses a VM from 1 on; 0: the first that has it. Errors: USAGE for a path that cannot be
 * read, NOT_FOUND, and those of preparing the graph, which must be there. */
INSPECT_API struct inspect_error *inspect_object_named(struct inspect_session *session,
                                                       const char *path, uint32_t vm,
                                                       uint32_t *number);

/* The bytes of a string, unescaped: anything may be in them. As long as the session; NULL if the
 * object is no string or cannot be read. */
INSPECT_API const char *inspect_object_string(const struct inspect_session *session,
                                              uint32_t object, size_t *size);

/* "table, 3 entries", "function room.lua:41": safe to print. NULL if there is no such object or no
 * memory. Free it with inspect_free. */
INSPECT_API char *inspect_object_words(struct inspect_session *session, uint32_t object);

/* "string", "table", "function", "cfunction", ...: NULL past the last. Static. */
INSPECT_API const char *inspect_type_name(uint32_t type);

/* What the program calls the objects of a class: "Npc", "{desc, time}", "function room.lua:41", or
 * the name of the type for those without evidence. Escaped. Two classes of different types may have
 * one name. NULL past the last one; before CLASSES there are only the types. As long as the
 * session. */
INSPECT_API const char *inspect_class_name(const struct inspect_session *session,
                                           uint32_t class_number);

/* ---- References, of one object to others */

struct inspect_reference {
  uint64_t address; /* of the target                                                     */
  uint32_t target;  /* its number                                                        */
  uint16_t kind;    /* see inspect_kind_name                                             */
  uint8_t strength; /* see inspect_strength_name                                         */
  bool is_maybe;    /* lies in a part of a stack that may be stale                       */
};

INSPECT_API size_t inspect_reference_count(const struct inspect_session *session, uint32_t object);

/* Writes the references of an object from position `first` on, at most `count`; their order is
 * fixed. Returns how many were written. */
INSPECT_API size_t inspect_references(const struct inspect_session *session, uint32_t object,
                                      size_t first, size_t count, struct inspect_reference *result);

/* What the reference at a position is called, in the syntax of paths: ".members", "[17]",
 * ":upvalue(rooms)"; behind the path of the object it is a path to the target. Empty for the value
 * of an upvalue object, which goes by the name of the upvalue. NULL if there is no such reference
 * or no memory. Free it with inspect_free. */
INSPECT_API char *inspect_reference_label(struct inspect_session *session, uint32_t object,
                                          size_t position);

/* A reference seen from its target: the reference of object `source` at `position`. */
struct inspect_referrer {
  uint64_t source;
  uint64_t position;
};

/* All references to an object, by source, then position: one pass over the references of all VMs,
 * with progress and cancelling through `io` (may be NULL). `*result` has `*count` elements; free it
 * with inspect_free. Errors: NO_MEMORY, INTERRUPTED, NOT_FOUND if there is no such object; the
 * result is then empty. */
INSPECT_API struct inspect_error *inspect_referrers(const struct inspect_session *session,
                                                    uint32_t object, const struct inspect_io *io,
                                                    struct inspect_referrer **result,
                                                    size_t *count);

/* "field", "index", "key", "metatable", ...: NULL past the last. Static. */
INSPECT_API const char *inspect_kind_name(uint32_t kind);

/* "strong": holds its target. "ephemeron": holds it as long as the weak key of its entry is held.
 * "weak". Strings are held by weak tables, too. NULL past the last. Static. */
INSPECT_API const char *inspect_strength_name(uint32_t strength);

#ifdef __cplusplus
}
#endif
#endif
