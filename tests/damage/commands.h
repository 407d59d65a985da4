/* commands.h - runs commands on a damaged core as a host would, and looks at what comes out.
 *
 * What must hold of every command: status 0, 1 or 2; nothing but UTF-8 without control characters,
 * and with --json a valid document. */
#ifndef DAMAGE_COMMANDS_H
#define DAMAGE_COMMANDS_H

#include "inspect.h"

/* Runs the command line `line` ("heap --by shape") in the session. Returns NULL, or what is wrong
 * (static). `*status` is the exit status. */
const char *command_run(struct inspect_session *session, const char *line, int *status);

/* The most bytes that a command has written since the last call: an answer is as long as what it
 * tells, and takes memory until it is written. */
size_t command_most_output(void);

/* Command lines by number, NULL past the last; `other_core` is put in where a line has %s. */
const char *command_line(size_t number);

#endif
