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
#define INSPECT_ABI 1

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

/* What to open. Strings belong to the invocation (or to the caller who fills it in). */
struct inspect_target {
  const char *core;    /* path of a core file, or NULL                                 */
  int64_t pid;         /* process to attach to, or 0                                   */
  const char *exe;     /* the program's file if it is not where the core says, or NULL */
  const char *sysroot; /* prefix for the files of the target, or NULL                  */
  const char *layout;  /* a file that tells how Lua's structures lie, or NULL          */
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

/* Opens a target read-only. No VM is looked for yet. */
INSPECT_API struct inspect_error *inspect_session_open(const struct inspect_target *target,
                                                       struct inspect_session **result);

INSPECT_API void inspect_session_close(struct inspect_session *session);

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

#ifdef __cplusplus
}
#endif
#endif
