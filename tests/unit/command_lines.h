/* command_lines.h - command lines as a shell and a debugger hand them over, accepted and refused.
 */
#ifndef COMMAND_LINES_H
#define COMMAND_LINES_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "command/invocation.h"

static struct arena arena; /* for words; emptied after each test */

static inline int tear_down(void **state) {
  (void)state;
  arena_free(&arena);
  unsetenv("NO_COLOR");
  return 0;
}

/* The words of a line as a shell would hand them over; here only blanks separate them. */
static inline struct inspect_error *parse_words(const char *line,
                                                struct inspect_invocation **result) {
  char *argv[64] = {(char *)(uintptr_t) "lua-inspect"};
  int argc = 1;
  for (char *word = strtok(arena_copy(&arena, line, strlen(line)), " "); word && argc < 63;
       word = strtok(NULL, " "))
    argv[argc++] = word;
  return inspect_invocation_parse(argc, argv, result);
}

static inline struct inspect_invocation *shell(const char *line) {
  struct inspect_invocation *invocation;
  struct inspect_error *error = parse_words(line, &invocation);
  if (error) fail_msg("%s: %s", line, error->message);
  return invocation;
}

static inline struct inspect_invocation *debugger(const char *command, const char *line) {
  struct inspect_invocation *invocation;
  struct inspect_error *error = inspect_invocation_parse_line(command, line, &invocation);
  if (error) fail_msg("%s %s: %s", command, line, error->message);
  return invocation;
}

static inline void check_complaint(struct inspect_error *error, const char *line,
                                   const char *message, const char *hint) {
  if (!error) fail_msg("%s was accepted", line);
  assert_int_equal(error->code, INSPECT_ERROR_USAGE);
  assert_string_equal(error->message, message);
  assert_non_null(error->hint);
  if (hint) assert_string_equal(error->hint, hint);
  inspect_error_free(error);
}

static inline void refused(const char *line, const char *message, const char *hint) {
  struct inspect_invocation *invocation = NULL;
  check_complaint(parse_words(line, &invocation), line, message, hint);
  inspect_invocation_free(invocation);
}

static inline void refused_line(const char *command, const char *line, const char *message,
                                const char *hint) {
  struct inspect_invocation *invocation = NULL;
  check_complaint(inspect_invocation_parse_line(command, line, &invocation), line, message, hint);
  inspect_invocation_free(invocation);
}

#define TEST(function) cmocka_unit_test_teardown(function, tear_down)

#endif
