/* gc.h - what `gc` says of one VM: the collector, objects by mark, and a diagnosis.
 *
 *   gc.c             counts, and is the command
 *   gc_diagnosis.c   the sentences
 *   gc_view.c        page and data */
#ifndef COMMAND_GC_H
#define COMMAND_GC_H

#include "command/session.h"
#include "lua/collector.h"

struct gc_tally {
  uint64_t objects, bytes;
};

enum { MOST_SENTENCES = 16 };

struct gc_report {
  size_t index; /* of the VM */
  const struct heap_vm *owner;
  struct collector collector;
  struct gc_tally all;
  struct gc_tally colors[GC_COLOR_COUNT]; /* with what is fixed, which is gray for ever */
  struct gc_tally ages[GC_AGE_COUNT];
  struct gc_tally fixed, pending;
  struct gc_tally marked;    /* gray or black in this cycle, fixed ones apart     */
  struct gc_tally frees;     /* what a full collection would free                 */
  struct gc_tally old_frees; /* the old ones of them                           */
  bool is_incomplete;        /* references were lost: more or less may be in use     */
  const char *sentences[MOST_SENTENCES];
  size_t sentence_count;
};

/* Everything of one VM, sentences included. With `diagnosis_only` the objects' marks are read only
 * if a sentence is about them: it takes a look at every object in the target. */
MUST_CHECK struct inspect_error *gc_report_vm(struct command_context *context, size_t index,
                                              bool diagnosis_only, struct gc_report *report);

/* Fills in the sentences. Texts live in the arena. */
void gc_diagnose(struct gc_report *report, struct arena *arena);

void gc_to_page(struct command_context *context, const struct gc_report *report, bool is_only);
void gc_to_data(struct data *list, const struct gc_report *report);

#endif
