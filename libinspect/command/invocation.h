/* invocation.h - a parsed command line: what to open, which command, with which options. */
#ifndef COMMAND_INVOCATION_H
#define COMMAND_INVOCATION_H

#include "command/command.h"
#include "command/words.h"

struct inspect_invocation {
  struct arena arena;            /* owns all strings and paths                              */
  const struct command *command; /* NULL only if parsing failed before it was known; what is left
                                    of a failed parsing serves inspect_report_error          */
  struct command_options options;
  struct inspect_target target;
  bool is_debugger;
};

/* Reads the words (which live in the invocation's arena) into the invocation. In a debugger the
 * command is there already; from the shell it is found among the words. */
MUST_CHECK struct inspect_error *arguments_parse(struct inspect_invocation *invocation,
                                                 const struct words *words);

#endif
