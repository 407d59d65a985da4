/* triage.h - the first look at a core: one page, before it is written down.
 *
 *   triage.c         counts, and is the command
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

struct triage {
  struct leaks leaks;
  struct suspicions suspicions;
  struct VECTOR(struct triage_vm) vms; /* the selected ones, largest heap first               */
  struct gc_tally live[OBJECT_TYPE_COUNT], garbage[OBJECT_TYPE_COUNT];
  struct gc_tally all_live, all_garbage; /* objects that a full collection leaves, or frees   */
  size_t coroutines[THREAD_STATES];      /* live ones, main threads apart                     */
  size_t coroutine_count;
  uint64_t coroutine_bytes; /* that they retain, overlaps counted once                        */
  bool is_searched;         /* leaks and suspects were looked for to the end                  */
};

void triage_to_data(struct command_context *context, const struct triage *triage);
void triage_to_page(struct command_context *context, const struct triage *triage);

#endif
