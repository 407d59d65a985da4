/* lua-inspect: the shell front end.
 *
 * Parse, open, run; all that is said comes from the library. What is decided here is how text
 * reaches a terminal: the result goes to standard output through one large buffer, everything else
 * to standard error. A reader that went away (EPIPE) ends the program quietly. A progress line is
 * shown only on a terminal and only after a second; it is wiped before anything else is written, so
 * that nothing of it stays on the screen.
 *
 * The first Ctrl-C asks the library to stop, which yields the partial answer; the second kills. */
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "inspect.h"

enum { STATUS_UNUSABLE = 2, OUTPUT_BUFFER = 1 << 18, PROGRESS_COLUMNS = 78 };

static const double PROGRESS_AFTER = 1.0; /* seconds */

static const char usage[] = "usage: lua-inspect [OPTIONS] CORE [COMMAND [ARGS]]\n"
                            "       lua-inspect [OPTIONS] -p PID [COMMAND [ARGS]]\n"
                            "       lua-inspect help [COMMAND]\n"
                            "try `lua-inspect --help`\n";

static volatile sig_atomic_t interrupted;

struct terminal {
  bool shows_progress;
  double started;
  const char *phase; /* of the last progress report: names of phases are static */
  double phase_started;
  int progress_width; /* columns of the progress line now on the screen */
  int write_error;    /* errno of the first failed write of the result  */
};

static void on_interrupt(int signal_number) {
  (void)signal_number;
  interrupted = 1;
}

/* SA_RESETHAND: the second Ctrl-C finds the default action. SA_RESTART: what is being written to a
 * slow reader arrives whole. A SIGINT that the shell told us to ignore (a background job) stays
 * ignored. */
static void catch_interrupt(void) {
  struct sigaction old;
  if (sigaction(SIGINT, NULL, &old) == 0 && old.sa_handler == SIG_IGN) return;
  struct sigaction action = {.sa_handler = on_interrupt,
                             .sa_flags = (int)(SA_RESETHAND | SA_RESTART)};
  sigemptyset(&action.sa_mask);
  sigaction(SIGINT, &action, NULL);
}

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void wipe_progress(struct terminal *terminal) {
  if (terminal->progress_width == 0) return;
  fprintf(stderr, "\r%*s\r", terminal->progress_width, "");
  fflush(stderr);
  terminal->progress_width = 0;
}

static bool write_result(struct terminal *terminal, const char *text, size_t size) {
  if (terminal->write_error != 0) return false;
  errno = 0;
  bool written = text ? fwrite(text, 1, size, stdout) == size : fflush(stdout) == 0;
  if (!written) terminal->write_error = errno ? errno : EIO;
  return written;
}

/* A result that comes out on the same terminal is a sign of progress itself. */
static bool on_output(void *context, const char *text, size_t size) {
  struct terminal *terminal = context;
  wipe_progress(terminal);
  if (terminal->shows_progress) terminal->shows_progress = !isatty(STDOUT_FILENO);
  return size == 0 || write_result(terminal, text, size);
}

static void on_diagnostic(void *context, const char *text, size_t size) {
  struct terminal *terminal = context;
  wipe_progress(terminal);
  write_result(terminal, NULL, 0); /* keeps the order where both streams meet */
  fwrite(text, 1, size, stderr);
}

/* "marking 45 %, 3 s left" */
static int write_progress(struct terminal *terminal, double share, char *line, size_t size) {
  const double LITTLE = 0.02; /* of the phase: too little to tell the time */
  double elapsed = now() - terminal->phase_started;
  if (share < 0) return snprintf(line, size, "%s", terminal->phase);
  if (share < LITTLE) return snprintf(line, size, "%s %3.0f %%", terminal->phase, 100 * share);
  return snprintf(line, size, "%s %3.0f %%, %.0f s left", terminal->phase, 100 * share,
                  share < 1 ? elapsed * (1 - share) / share : 0.0);
}

static void on_progress(void *context, const char *phase, double share) {
  struct terminal *terminal = context;
  if (!terminal->phase || strcmp(terminal->phase, phase) != 0) {
    terminal->phase = phase;
    terminal->phase_started = now();
  }
  if (!terminal->shows_progress || now() - terminal->started < PROGRESS_AFTER) return;
  char line[PROGRESS_COLUMNS + 1];
  int width = write_progress(terminal, share, line, sizeof line);
  if (width < 0) return;
  if (width > PROGRESS_COLUMNS) width = PROGRESS_COLUMNS;
  fprintf(stderr, "\r%-*s", terminal->progress_width, line);
  fflush(stderr);
  terminal->progress_width = width;
}

static bool on_cancelled(void *context) {
  (void)context;
  return interrupted != 0;
}

/* NO_COLOR is the library's matter. */
static bool shows_colour(void) {
  const char *term = getenv("TERM");
  return isatty(STDOUT_FILENO) && term && strcmp(term, "dumb") != 0;
}

/* Whoever stops a process in production wants to know for how long. */
static void tell_stopped(const struct inspect_session *session) {
  double seconds = inspect_session_stopped(session);
  if (seconds >= 0) fprintf(stderr, "stopped for %.3f s\n", seconds);
}

static int open_and_run(struct inspect_invocation *invocation, const struct inspect_io *io) {
  const struct inspect_target *wanted = inspect_invocation_target(invocation);
  struct inspect_session *session = NULL;
  if (wanted) {
    struct inspect_target target = *wanted;
    target.io = io;
    struct inspect_error *error = inspect_session_open(&target, &session);
    if (error) return inspect_report_error(invocation, error, io);
  }
  bool holds = wanted && wanted->pid && wanted->snapshot == INSPECT_SNAPSHOT_STOP;
  if (session && !holds) tell_stopped(session);
  int status = inspect_invocation_run(invocation, session, io);
  if (session && holds) {
    inspect_session_resume(session);
    wipe_progress(io->context);
    tell_stopped(session);
  }
  write_result(io->context, NULL, 0); /* before gigabytes are given back */
  inspect_session_close(session);
  return status;
}

/* A command line that was refused may leave an invocation: it knows whether JSON was asked for. */
static int run(int argc, char **argv, struct terminal *terminal, const struct inspect_io *io) {
  struct inspect_invocation *invocation = NULL;
  struct inspect_error *error = inspect_invocation_parse(argc, argv, &invocation);
  int status;
  if (error) {
    status = inspect_report_error(invocation, error, io);
  } else {
    terminal->shows_progress = isatty(STDERR_FILENO) && !inspect_invocation_quiet(invocation);
    status = open_and_run(invocation, io);
  }
  inspect_invocation_free(invocation);
  return status;
}

/* The result is lost if its last bytes are: a full disk is an error, a closed pipe is not. */
static int finish(struct terminal *terminal, int status) {
  wipe_progress(terminal);
  write_result(terminal, NULL, 0);
  if (terminal->write_error == 0 || terminal->write_error == EPIPE) return status;
  fprintf(stderr, "lua-inspect: the result cannot be written: %s\n",
          strerror(terminal->write_error));
  return STATUS_UNUSABLE;
}

int main(int argc, char **argv) {
  if (inspect_abi() != INSPECT_ABI) {
    fprintf(stderr, "lua-inspect: libinspect has interface %u, this program needs %u\n",
            (unsigned)inspect_abi(), (unsigned)INSPECT_ABI);
    return STATUS_UNUSABLE;
  }
  if (argc < 2) {
    fputs(usage, stderr);
    return STATUS_UNUSABLE;
  }
  signal(SIGPIPE, SIG_IGN);
  catch_interrupt();
  setvbuf(stdout, NULL, _IOFBF, OUTPUT_BUFFER);

  struct terminal terminal = {.started = now()};
  struct inspect_io io = {
      .context = &terminal,
      .output = on_output,
      .diagnostic = on_diagnostic,
      .progress = on_progress,
      .cancelled = on_cancelled,
      .terminal = shows_colour(),
  };
  int status = run(argc, argv, &terminal, &io);
  return finish(&terminal, status);
}
