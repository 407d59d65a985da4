/* command.h - what a command is: a row of the table, its options as data, and a function.
 *
 * To add a command: write `struct inspect_error *command_NAME(struct command_context *)`, declare
 * it at the end of this file, and give it a row in table.c. A new option is a row in options.c and
 * a field of struct command_options. Parsing, help, completion and suggestions follow from the
 * data.
 *
 * What a command function does not do: print, render, or know its host. */
#ifndef COMMAND_COMMAND_H
#define COMMAND_COMMAND_H

#include "base/arena.h"
#include "base/work.h"
#include "command/budget.h"
#include "command/path.h"
#include "inspect.h"
#include "report/document.h"

/* ---- Options, parsed ------------------------------------------------------------------------- */

struct path_list {
  struct path *items;
  size_t count, capacity;
};

enum color_mode { COLOR_AUTO, COLOR_ALWAYS, COLOR_NEVER };

/* --vm N|ADDRESS */
struct vm_choice {
  bool is_given;
  bool is_address; /* `value` is the address of its global_State or main thread; else its number,
                      from 1 in address order */
  uint64_t value;
};

/* --cause N|FINGERPRINT */
struct cause_choice {
  bool is_given;
  bool is_fingerprint; /* typed as 16 hexadecimal digits; else a number from 1, as listed */
  uint64_t value;
};

/* All options of all commands; what was not given has the value in brackets. Strings and paths live
 * as long as the invocation. */
struct command_options {
  /* Every command. */
  struct vm_choice vm;       /* [all VMs]                                               */
  bool json;                 /* [false]                                                 */
  bool wide;                 /* [false] no limit of 100 columns                         */
  bool no_progress;          /* [false]                                                 */
  bool verbose;              /* [false]                                                 */
  enum color_mode color;     /* [COLOR_AUTO]                                            */
  uint64_t threads;          /* [0: as many as there are processors] 1..1024            */
  uint64_t max_memory;       /* [0: what the machine has] bytes besides the core        */
  bool has_now;              /* [false: the dump's time]                                */
  double now;                /* seconds since 1970                                      */
  const char *exe;           /* [NULL]                                                  */
  const char *sysroot;       /* [NULL]                                                  */
  const char *layout;        /* [NULL]                                                  */
  bool redact;               /* [false]                                                 */
  const char *redact_key;    /* [NULL: a random one]                                    */
  uint64_t max_decompressed; /* [0: what the library thinks right] */
  uint64_t pid;              /* [0] the shell only                                      */
  unsigned snapshot;         /* [0: copy] enum inspect_snapshot; the shell only         */

  /* leaks */
  const struct path *tracker; /* [NULL: found by themselves]                        */
  bool has_min_age;           /* [false]                                            */
  double min_age;             /* [0] seconds                                        */
  const char *description;    /* [NULL] a glob as in fnmatch(3)                     */
  bool all_weak;              /* [false]                                            */
  bool all;                   /* [false] list every survivor                        */
  struct cause_choice cause;  /* [all causes]                                       */
  struct path_list cut;       /* [none] the last reference of each is taken away    */

  /* leaks and paths: the search */
  struct path_list from;  /* [empty: the roots]                                     */
  struct path_list avoid; /* [empty]                                                */
  uint32_t through;       /* [ALL_KINDS] bits (1 << enum reference_kind)            */
  uint64_t chains;        /* -k [0: the command's default] 1..1000                  */

  /* paths, bt, print, refs, retained */
  const struct path *object; /* NULL only where it need not be given: bt, retained */

  /* bt */
  bool locals;     /* [false]                        */
  bool native;     /* [false]                        */
  bool unfolded;   /* [false]                        */
  uint64_t frames; /* [0: as many as in Lua's words] */
  uint64_t tid;    /* [0]                            */

  /* find */
  unsigned type;         /* [0: any] position in find_types                             */
  const char *class;     /* [NULL] a glob (base/glob.h), as are string and source       */
  const char *shape;     /* [NULL] the name of a shape, or keys with commas             */
  const char *key;       /* [NULL]                                                      */
  const char *string;    /* [NULL]                                                      */
  const char *source;    /* [NULL]                                                      */
  uint64_t min_bytes;    /* [0]                                                         */
  uint64_t min_retained; /* [0]                                                         */

  /* refs */
  bool only_in, only_out; /* [false] */

  /* print, retained */
  uint64_t depth; /* [0: the command's default] levels that are looked at */

  /* states, leaks */
  bool brief; /* [false] */

  /* diff */
  const char *other; /* a core file; never NULL when command_diff runs */

  /* layout */
  const char *program; /* never NULL when command_layout runs */

  /* lists: heap, ... */
  uint64_t limit; /* [0: the command's default] entries shown                       */
  unsigned sort;  /* [0: the first choice of the command]                           */

  /* heap */
  unsigned by;       /* [0: class] position in heap_groupings                       */
  bool only_live;    /* [false]                                                     */
  bool only_garbage; /* [false]                                                     */

  /* strings */
  bool duplicates; /* [false] */

  /* tables */
  bool waste; /* [false] */

  /* help */
  const char *topic; /* [NULL] */
};

/* ---- Running --------------------------------------------------------------------------------- */

struct command_context {
  struct inspect_session *session; /* NULL only for commands without_session */
  const struct command_options *options;
  struct document *document; /* the command appends to its page ...                            */
  struct data *data;         /* ... and to its outermost object, which already has `schema` and
                                `command`; `partial` is added when the command has returned    */
  const struct inspect_io *io;
  const struct work *work; /* for analyses: reports progress, asks whether to stop             */
  struct arena *arena;     /* until the document is rendered                                   */
  bool is_debugger;        /* the command was typed into gdb or lldb                           */

  /* Set by the command. */
  bool found;   /* leaks, suspects, violations or differences: exit status 1                   */
  bool partial; /* not everything was looked at: exit status 130. Also set when `work` stopped
                   an analysis, so a command that leaves out what error_interrupted() cost it
                   and returns NULL has done its part; of one that returns that error what is
                   known of the target is shown (describe_interrupted)                         */
  bool is_described; /* by describe_target                                                     */
  bool is_without_collection; /* none is told of, though one may have been computed before */
  /* Called with `state` after rendering: for what data_rows and the like still need. */
  void (*release)(void *state);
  void *state;
};

/* ---- The table ------------------------------------------------------------------------------- */

/* How a word of the command line becomes a field. */
enum option_value {
  VALUE_FLAG,     /* bool, takes no argument                                      */
  VALUE_TEXT,     /* const char *                                                 */
  VALUE_COUNT,    /* uint64_t, 1..most                                            */
  VALUE_DURATION, /* double, seconds: 90, 90s, 5m, 2h, 3d, 1h30m                  */
  VALUE_TIME,     /* double, seconds since 1970                                   */
  VALUE_COLOR,    /* enum color_mode                                              */
  VALUE_VM,       /* struct vm_choice                                             */
  VALUE_CAUSE,    /* struct cause_choice                                          */
  VALUE_KINDS,    /* uint32_t                                                     */
  VALUE_PATH,     /* const struct path *                                          */
  VALUE_PATHS,    /* struct path_list: each use adds one                          */
  VALUE_SIZE,     /* uint64_t, bytes: 4096, 10K, 1.5M, 2Gi                        */
  VALUE_CHOICE,   /* unsigned: the position of the word in `choices`              */
  VALUE_NONE,     /* no field: --help and --version, which the parser looks for   */
};

struct option {
  struct inspect_command_option shown;
  enum option_value value;
  size_t offset;              /* of the field in struct command_options                       */
  size_t flag_offset;         /* DURATION, TIME: of the bool that says that it was given      */
  uint64_t most;              /* COUNT                                                        */
  const char *const *choices; /* CHOICE: the words, NULL-terminated                   */
};

struct command {
  struct inspect_command shown;
  struct inspect_error *(*run)(struct command_context *context);
  bool without_session;         /* help: needs no target                            */
  const struct option *operand; /* the one argument that is no option, or NULL      */
  bool needs_operand;
  enum memory_stage memory;         /* what it needs in the end, without --brief   */
  const struct option *options[16]; /* its own, NULL-terminated                      */
};

extern const struct command command_table[]; /* ends with a row without a name */
extern const struct command command_version_row;

/* By name, "leaks" or "lua-leaks" of `size` bytes; NULL if there is none. */
const struct command *command_find(const char *name, size_t size);

/* What the program runs if it is given a target only. */
const struct command *command_default(void);

/* USAGE: there is no such command, did you mean ... */
struct inspect_error *command_unknown(const char *name);

/* Options of every command, and those of the shell alone; NULL-terminated. */
extern const struct option *const options_common[];
extern const struct option *const options_shell[];

/* Whether the option may be given with the command. */
bool command_takes(const struct command *command, const struct option *option);

/* The text of help: `command` NULL lists the commands. False: out of memory. */
bool help_text(const struct command *command, bool is_debugger, struct text *text);

/* ---- The commands ---------------------------------------------------------------------------- */

struct inspect_error *command_bt(struct command_context *context);         /* bt.c */
struct inspect_error *command_check(struct command_context *context);      /* check.c */
struct inspect_error *command_coroutines(struct command_context *context); /* coroutines.c */
struct inspect_error *command_diff(struct command_context *context);       /* diff.c */
struct inspect_error *command_gc(struct command_context *context);         /* gc.c */
struct inspect_error *command_globals(struct command_context *context);    /* globals.c */
struct inspect_error *command_heap(struct command_context *context);       /* heap.c */
struct inspect_error *command_help(struct command_context *context);       /* help.c */
struct inspect_error *command_version(struct command_context *context);    /* help.c */
struct inspect_error *command_layout(struct command_context *context);     /* layout.c */
struct inspect_error *command_leaks(struct command_context *context);      /* leaks.c */
struct inspect_error *command_paths(struct command_context *context);      /* paths.c */
struct inspect_error *command_registry(struct command_context *context);   /* registry.c */
struct inspect_error *command_states(struct command_context *context);     /* states.c */
struct inspect_error *command_strings(struct command_context *context);    /* strings.c */
struct inspect_error *command_tables(struct command_context *context);     /* tables.c */
struct inspect_error *command_triage(struct command_context *context);     /* triage.c */

/* About single objects. */
struct inspect_error *command_print(struct command_context *context);        /* print.c */
struct inspect_error *command_refs(struct command_context *context);         /* refs.c */
struct inspect_error *command_find_objects(struct command_context *context); /* find_view.c */
struct inspect_error *command_retained(struct command_context *context);     /* retained.c */

/* Help of those that keep it beside the command, and the words that their options take. */
extern const char bt_help[], coroutines_help[], diff_help[], globals_help[], heap_help[],
    registry_help[], strings_help[], tables_help[];
extern const char *const coroutine_groupings[], *const heap_groupings[], *const heap_orders[];
extern const char print_help[], refs_help[], find_help[], retained_help[];
extern const char *const find_types[], *const find_orders[], *const state_orders[];

#endif
