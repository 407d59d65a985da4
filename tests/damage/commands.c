/* commands.c - the command lines, and what is checked of their output. */
#include "commands.h"

#include <stdlib.h>
#include <string.h>

#include <yajl/yajl_parse.h>

static const char *const lines[] = {
    "leaks --all --json",
    "leaks",
    "leaks --all-weak --all",
    "triage",
    "triage --json",
    "heap",
    "heap --by shape --garbage",
    "heap --by source --json",
    "heap --live --sort retained",
    "retained",
    "retained _G --depth 4 --json",
    "check",
    "check --json",
    "bt --all --locals",
    "bt --locals --json",
    "coroutines",
    "coroutines --by status --json",
    "gc",
    "gc --json",
    "states -v",
    "states --brief --json",
    "strings --duplicates",
    "strings --json",
    "tables --waste --json",
    "tables",
    "globals --json",
    "globals",
    "registry",
    "registry --json",
    "find --shape id,hp",
    "find --garbage --json",
    "print _G --depth 3",
    "print _G.parked --json",
    "paths _G.numbers -k 4",
    "paths long_list.next.next --json",
    "refs _G.numbers",
    "refs _G --in --json",
    "paths registry[1]",
    "print registry[2]:metatable",
    "print package.loaded[\"game.arena\"].listeners[3]:upvalue(npc)",
};

const char *command_line(size_t number) {
  return number < sizeof lines / sizeof *lines ? lines[number] : NULL;
}

/* ---- What comes out ----------------------------------------------------------------------------
 */

struct output {
  yajl_handle parser; /* of --json, else NULL */
  const char *wrong;
  size_t bytes;
};

static const char *text_fault(const char *text, size_t size) {
  for (size_t i = 0; i < size; i++) {
    unsigned char byte = (unsigned char)text[i];
    if ((byte < ' ' && byte != '\n') || byte == 0x7f) return "a control character was written";
  }
  return NULL;
}

static bool take_output(void *context, const char *text, size_t size) {
  enum { MOST_OUTPUT = 64 << 20 };
  struct output *output = context;
  output->bytes += size;
  if (output->bytes > MOST_OUTPUT) output->wrong = "more than 64 MB were written";
  if (!output->wrong) output->wrong = text_fault(text, size);
  if (output->parser &&
      yajl_parse(output->parser, (const unsigned char *)text, size) != yajl_status_ok)
    output->wrong = "the JSON is not valid";
  return true;
}

static void take_diagnostic(void *context, const char *text, size_t size) {
  struct output *output = context;
  if (!output->wrong) output->wrong = text_fault(text, size);
}

static size_t most_output;

size_t command_most_output(void) {
  size_t most = most_output;
  most_output = 0;
  return most;
}

const char *command_run(struct inspect_session *session, const char *line, int *status) {
  struct inspect_invocation *invocation = NULL;
  struct output output = {0};
  char command[32];
  size_t length = strcspn(line, " ");
  if (length >= sizeof command) return "a command of that length is none";
  memcpy(command, line, length);
  command[length] = 0;
  struct inspect_error *error = inspect_invocation_parse_line(command, line + length, &invocation);
  if (error) {
    bool is_memory = error->code == INSPECT_ERROR_NO_MEMORY;
    inspect_error_free(error);
    inspect_invocation_free(invocation);
    *status = 2;
    return is_memory ? NULL : "the command line is not understood";
  }
  if (strstr(line, "--json")) output.parser = yajl_alloc(NULL, NULL, NULL);
  struct inspect_io io = {.context = &output, .output = take_output, .diagnostic = take_diagnostic};
  *status = inspect_invocation_run(invocation, session, &io);
  if (output.bytes > most_output) most_output = output.bytes;
  if (output.parser) {
    if (!output.wrong && output.bytes && yajl_complete_parse(output.parser) != yajl_status_ok)
      output.wrong = "the JSON is not valid";
    yajl_free(output.parser);
  }
  inspect_invocation_free(invocation);
  if (!output.wrong && *status != 0 && *status != 1 && *status != 2)
    output.wrong = "the exit status is none of 0, 1 and 2";
  return output.wrong;
}
