/* A stand-in for libinspect that answers at once or works for long, to test a host alone: Ctrl-C,
 * the pager, progress, sessions, ABI check. It knows one command, `work [slow|deaf] [lines]`, which
 * says how often this session was asked before; `deaf` work cannot be cancelled. Define STUB_ABI to
 * be a library of another release. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "inspect.h"

#ifndef STUB_ABI
#define STUB_ABI INSPECT_ABI
#endif

struct inspect_invocation {
  bool slow, deaf, lines;
  struct inspect_target target;
};

struct inspect_session {
  int runs;
};

uint32_t inspect_abi(void) { return STUB_ABI; }

static const struct inspect_command work = {"work", "[slow] [lines]", "Works", "help of work"};

const struct inspect_command *inspect_command_at(size_t index) { return index ? NULL : &work; }

const struct inspect_command_option *inspect_command_option_at(const char *command, size_t index) {
  (void)command, (void)index;
  return NULL;
}

char *inspect_command_help(const char *command) { return command ? strdup("Works.\n") : NULL; }

void inspect_free(void *memory) { free(memory); }

static struct inspect_invocation *create(const char *word) {
  struct inspect_invocation *invocation = calloc(1, sizeof *invocation);
  invocation->deaf = strstr(word, "deaf");
  invocation->slow = invocation->deaf || strstr(word, "slow");
  invocation->lines = strstr(word, "lines");
  return invocation;
}

struct inspect_error *inspect_invocation_parse(int argc, char *const *argv,
                                               struct inspect_invocation **result) {
  *result = create(argv[argc - 1]);
  return NULL;
}

struct inspect_error *inspect_invocation_parse_line(const char *command, const char *arguments,
                                                    struct inspect_invocation **result) {
  (void)command;
  *result = create(arguments);
  return NULL;
}

const struct inspect_target *
inspect_invocation_target(const struct inspect_invocation *invocation) {
  return &invocation->target;
}

bool inspect_invocation_quiet(const struct inspect_invocation *invocation) {
  (void)invocation;
  return false;
}

void inspect_invocation_free(struct inspect_invocation *invocation) { free(invocation); }

struct inspect_error *inspect_session_open(const struct inspect_target *target,
                                           struct inspect_session **result) {
  (void)target;
  *result = calloc(1, sizeof **result);
  return NULL;
}

bool inspect_session_is_current(const struct inspect_session *session) {
  (void)session;
  return true;
}

void inspect_session_close(struct inspect_session *session) { free(session); }

void inspect_session_resume(struct inspect_session *session) { (void)session; }

double inspect_session_stopped(const struct inspect_session *session) {
  (void)session;
  return -1;
}

int inspect_report_error(const struct inspect_invocation *invocation, struct inspect_error *error,
                         const struct inspect_io *io) {
  (void)invocation, (void)error, (void)io;
  return 2;
}

/* A minute of work in steps of a millisecond. */
static bool finished(const struct inspect_io *io, bool deaf) {
  struct timespec step = {.tv_nsec = 1000000};
  for (int i = 0; i < 60000; i++) {
    if (!deaf && io->cancelled(io->context)) return false;
    if (i % 100 == 0) io->progress(io->context, "stub works", i / 60000.0);
    nanosleep(&step, NULL);
  }
  return true;
}

int inspect_invocation_run(struct inspect_invocation *invocation, struct inspect_session *session,
                           const struct inspect_io *io) {
  bool whole = !invocation->slow || finished(io, invocation->deaf);
  char text[80];
  int size = snprintf(text, sizeof text, "answer %s run %d\n", whole ? "whole" : "partial",
                      ++session->runs);
  bool read = io->output(io->context, text, (size_t)size);
  for (int i = 0; read && invocation->lines && i < 1000; i++) {
    size = snprintf(text, sizeof text, "line %d\n", i);
    read = io->output(io->context, text, (size_t)size);
  }
  return whole ? 1 : 130;
}
