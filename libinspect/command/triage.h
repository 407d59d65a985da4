/* triage.h - the first look at a core: one page, before it is written down.
 *
 *   triage.c         memory, collectors, leaks; and is the command
 *   triage_counts.c  coroutines, globals, repeated strings
 *   triage_view.c    page and data
 *   suspicions.h     the suspects */
#ifndef COMMAND_TRIAGE_H
#define COMMAND_TRIAGE_H

#include "command/gc.h"
#include "command/suspicions.h"
#include "lua/stack.h"

enum { THREAD_STATES = THREAD_DEAD_BY_ERROR + 1 };

struct triage_vm {
  size_t index;
  bool has_gc;
  struct gc_report gc;
};

/* An entry of _G that is not of the standard library. */
struct triage_global {
  const char *name; /* raw; as long as the session                  */
  size_t size;
  object_id object; /* its value; NO_OBJECT: a number or the like   */
  uint64_t retained;
};

struct triage {
  struct leaks leaks;
  struct suspicions suspicions;
  struct VECTOR(struct triage_vm) vms; /* the selected ones, largest heap first               */
  struct gc_tally live[OBJECT_TYPE_COUNT], garbage[OBJECT_TYPE_COUNT];
  struct gc_tally all_live, all_garbage; /* objects that a full collection leaves, or frees   */
  size_t coroutines[THREAD_STATES];      /* live ones, main threads apart                     */
  size_t coroutine_count;
  uint64_t coroutine_bytes; /* that they retain, overlaps counted once                        */
  struct VECTOR(struct triage_global) globals; /* most retained first                       */
  uint64_t global_bytes;     /* that they retain, overlaps counted once           */
  struct gc_tally repeated;  /* long strings, all but one of those that are equal */
  bool are_strings_compared; /* they were looked at, being a quarter of the bytes */
  bool has_trackers;         /* they were looked for                              */
  bool is_searched;          /* leaks and suspects were looked for to the end                  */
};

/* Fills in what is about coroutines, globals and strings. The session is dominated. */
MUST_CHECK struct inspect_error *triage_count(struct command_context *context,
                                              struct triage *triage);

void triage_to_data(struct command_context *context, const struct triage *triage);
void triage_to_page(struct command_context *context, const struct triage *triage);

#endif
