/* budget.h - whether there is enough memory for what a command needs, asked before it starts.
 *
 * What counts is the memory of this process besides the core, which is mapped and costs page cache
 * only. With --max-memory the need is compared with that, else with what the machine has to give;
 * a small need is always met. */
#ifndef COMMAND_BUDGET_H
#define COMMAND_BUDGET_H

#include "base/error.h"
#include "inspect.h"

/* What is made in memory, each with what stands before it. */
enum memory_stage {
  MEMORY_GRAPH,      /* objects, references, the computed full collection */
  MEMORY_CHAINS,     /* best chains, causes                               */
  MEMORY_DOMINATORS, /* dominator tree, retained bytes, suspects          */
  MEMORY_STAGES,
};

struct budget {
  uint64_t limit;          /* --max-memory; 0: not given                                       */
  enum memory_stage stage; /* that the command needs in the end                                */
  const char *command;     /* its name, or NULL                                                */
  bool is_checked[MEMORY_STAGES]; /* the stage fits */
};

/* NO_MEMORY, with a hint that says what would do with less, if there is not enough for the stage,
 * or for what the command needs in the end. VMs must be known. */
MUST_CHECK struct inspect_error *budget_check(struct inspect_session *session,
                                              enum memory_stage stage);

#endif
