/* failing_memory.c - runs commands in which one allocation fails: the first, the second, and so on.
 *   failing_memory [--every K] [--threads] CORE
 *   failing_memory --only N COMMAND CORE           one case again, in this process, for a debugger
 *
 * Every allocation of opening a session and of each command (commands.c) fails once, or every K-th:
 * alone, and together with all that come after it. What must hold:
 *   the command ends with the error "no-memory" and its hint, status 2; or, if it could do without,
 *   with the status and the very output that it has otherwise
 *   all memory is freed; no crash (and no sanitizer report, where there is one)
 *   the same session answers right afterwards, when there is memory again
 * With --threads no thread can be started either: the output stays the same.
 *
 * Exit status: 0 all is well, 1 not, 2 unusable arguments. */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "commands.h"
#include "meter.h"
#include "victim.h"

enum { MOST_TOLD = 4000 };

struct answer {
  int status;
  size_t size;
  uint64_t hash; /* of the output: FNV-1a */
  bool is_no_memory, has_hint;
};

/* Of the process that works: shared with its parent. */
struct progress {
  size_t number, count; /* the allocation that fails, and how many there are */
  bool and_after;
  unsigned told;
};

static struct victim victim;
static struct progress *progress;

/* ---- Threads -----------------------------------------------------------------------------------
 */

static bool threads_fail;

int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *),
                          void *argument);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *),
                          void *argument);

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *),
                          void *argument) {
  if (threads_fail) return EAGAIN;
  return __real_pthread_create(thread, attributes, run, argument);
}

/* ---- One command -------------------------------------------------------------------------------
 */

static bool take_output(void *context, const char *text, size_t size) {
  struct answer *answer = context;
  for (size_t i = 0; i < size; i++)
    answer->hash = (answer->hash ^ (unsigned char)text[i]) * UINT64_C(0x100000001b3);
  answer->size += size;
  if (memmem(text, size, "\"no-memory\"", 11)) answer->is_no_memory = true;
  if (memmem(text, size, "larger machine", 14)) answer->has_hint = true;
  return true;
}

static void take_diagnostic(void *context, const char *text, size_t size) {
  struct answer *answer = context;
  if (memmem(text, size, "out of memory", 13)) answer->is_no_memory = true;
  if (memmem(text, size, "larger machine", 14)) answer->has_hint = true;
}

static void take_error(struct answer *answer, struct inspect_error *error) {
  answer->status = 2;
  answer->is_no_memory = error->code == INSPECT_ERROR_NO_MEMORY;
  answer->has_hint = error->hint != NULL;
  inspect_error_free(error);
}

static struct answer run(struct inspect_session *session, const char *line) {
  struct answer answer = {.hash = UINT64_C(0xcbf29ce484222325)};
  struct inspect_invocation *invocation = NULL;
  char command[32];
  size_t length = strcspn(line, " ");
  snprintf(command, sizeof command, "%.*s", (int)length, line);
  struct inspect_io io = {.context = &answer, .output = take_output, .diagnostic = take_diagnostic};
  struct inspect_error *error = inspect_invocation_parse_line(command, line + length, &invocation);
  if (error)
    take_error(&answer, error);
  else
    answer.status = inspect_invocation_run(invocation, session, &io);
  inspect_invocation_free(invocation);
  return answer;
}

/* A session of its own for one command. */
static struct answer run_once(const char *line) {
  struct answer answer = {0};
  struct inspect_session *session = NULL;
  struct inspect_target target = {.core = victim.sound_path, .sysroot = victim.folder};
  struct inspect_error *error = inspect_session_open(&target, &session);
  if (error) {
    take_error(&answer, error);
    return answer;
  }
  answer = run(session, line);
  inspect_session_close(session);
  return answer;
}

/* ---- Judging -----------------------------------------------------------------------------------
 */

static bool same(const struct answer *a, const struct answer *b) {
  return a->status == b->status && a->size == b->size && a->hash == b->hash;
}

static void tell(const char *line, size_t number, bool and_after, const char *what) {
  if (progress->told++ >= MOST_TOLD) return;
  printf("%s, allocation %zu%s: %s\n", line, number, and_after ? " and all after it" : "", what);
  fflush(stdout);
}

static void judge(const char *line, size_t number, bool and_after, const struct answer *got,
                  const struct answer *wanted) {
  if (meter_now()) tell(line, number, and_after, "memory is left over");
  if (same(got, wanted)) return;
  if (got->status != 2)
    tell(line, number, and_after, "the answer is another one, and does not say so");
  else if (!got->is_no_memory || !got->has_hint)
    tell(line, number, and_after, "it does not say that memory is out, or gives no hint");
}

/* The answer of a session in which a command has failed, when there is memory again. */
static void try_again(const char *line, size_t number, const struct answer *wanted) {
  struct inspect_session *session = NULL;
  struct inspect_target target = {.core = victim.sound_path, .sysroot = victim.folder};
  struct inspect_error *error = inspect_session_open(&target, &session);
  if (error) exit(2);
  meter_fail(number, true);
  (void)run(session, line);
  meter_fail(0, false);
  struct answer answer = run(session, line);
  inspect_session_close(session);
  if (!same(&answer, wanted)) tell(line, number, true, "the next answer is another one");
}

static void check_from(const char *line, size_t every, size_t first) {
  meter_fail(0, false);
  struct answer wanted = run_once(line);
  progress->count = meter_count();
  for (size_t number = first; number <= progress->count; number += every)
    for (unsigned and_after = 0; and_after < 2; and_after++) {
      progress->number = number;
      progress->and_after = and_after;
      meter_reset();
      meter_fail(number, and_after);
      struct answer answer = run_once(line);
      meter_fail(0, false);
      judge(line, number, and_after, &answer, &wanted);
      if (and_after && number / every % 8 == 0) try_again(line, number, &wanted);
    }
}

/* Of the leak sanitizer, where there is one: whether it found leaks, which it prints. It looks on
 * its own only when a program ends by exit(). */
int __lsan_do_recoverable_leak_check(void) __attribute__((weak));

/* In processes of their own: one that crashes is told, and the next goes on behind. */
static size_t check_line(const char *line, size_t every, size_t first) {
  for (size_t number = 1 + first % every;; number = progress->number + every) {
    int status = 0;
    fflush(stdout);
    pid_t child = fork();
    if (!child) {
      check_from(line, every, number);
      if (__lsan_do_recoverable_leak_check && __lsan_do_recoverable_leak_check())
        tell(line, progress->number, false, "the leak sanitizer has found leaks");
      fflush(stdout);
      _exit(0);
    }
    if (child < 0 || waitpid(child, &status, 0) < 0) exit(2);
    if (WIFEXITED(status) && !WEXITSTATUS(status)) return progress->count;
    tell(line, progress->number, progress->and_after, "the process crashed");
  }
}

static void check_threads(const char *line) {
  struct answer wanted = run_once(line);
  threads_fail = true;
  meter_reset();
  struct answer answer = run_once(line);
  threads_fail = false;
  if (!same(&answer, &wanted)) tell(line, 0, false, "another answer without threads");
}

int main(int argc, char **argv) {
  char folder[] = "/tmp/failing_memory.XXXXXX";
  size_t every = 1, only = 0, total = 0, lines = 0;
  bool threads = false;
  const char *line = NULL;
  int i = 1;
  for (; i < argc && argv[i][0] == '-'; i++)
    if (!strcmp(argv[i], "--every") && i + 1 < argc)
      every = (size_t)strtoul(argv[++i], NULL, 10);
    else if (!strcmp(argv[i], "--only") && i + 2 < argc) {
      only = (size_t)strtoul(argv[++i], NULL, 10);
      line = argv[++i];
    } else if (!strcmp(argv[i], "--threads"))
      threads = true;
  progress =
      mmap(NULL, sizeof *progress, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (i + 1 != argc || !every || progress == MAP_FAILED || !mkdtemp(folder)) return 2;
  victim_open(&victim, argv[i], folder);
  if (line) check_from(line, SIZE_MAX / 2, only);
  for (; !line && command_line(lines); lines++) {
    if (threads) check_threads(command_line(lines));
    total += check_line(command_line(lines), every, lines);
  }
  victim_close(&victim);
  rmdir(folder);
  printf("%zu commands with %zu allocations in all, every %zu failed: %u complaints\n", lines,
         total, every, progress->told);
  return progress->told ? 1 : 0;
}
