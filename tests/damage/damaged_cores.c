/* damaged_cores.c - damages small cores, one after the other, and asks everything of each.
 *   damaged_cores [--seed N] [--count N] [--jobs N] [--keep FOLDER] [--verbose] CORE...
 *
 * Case N damages the core number N modulo their number, by N alone. What must hold of each:
 *   it ends: by no signal, with status 0, 1 or 2, in a second of CPU time (in sanitized builds
 *   five), with at most FACTOR times the core's size of memory and twice what it writes, and with
 *   none of that left over
 *   what comes out is UTF-8 without control characters, or valid JSON
 *   what is not damaged is told as before (oracle.h)
 * A case that fails is told with its number and what was damaged; its core goes into FOLDER.
 *
 * Cases run in child processes, whose parent sees a crash or a hang, tells it, and goes on behind
 * it. Exit status: 0 all is well, 1 cases failed, 2 unusable arguments. */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "commands.h"
#include "damage.h"
#include "meter.h"
#include "oracle.h"

#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
#define IS_SANITIZED 1
#elif defined __has_feature
#if __has_feature(address_sanitizer)
#define IS_SANITIZED 1
#endif
#endif
#ifndef IS_SANITIZED
#define IS_SANITIZED 0
#endif

enum {
  MOST_CORES = 32,
  MOST_JOBS = 16,
  COMMANDS = 3,                        /* of each case */
  MOST_SECONDS = IS_SANITIZED ? 5 : 1, /* of CPU time, for a case */
  HANGS = 30,                          /* seconds: it will not end */
  FACTOR = 4,                          /* memory over the core's size ... */
  FLOOR = VICTIM_MOST_BYTES,           /* ... of a core not smaller than that */
  MOST_TOLD = 20,                      /* failures told by one worker */
};

/* What a worker has done: shared with its parent. */
struct progress {
  volatile uint64_t seed; /* that it works on */
  volatile time_t since;
  uint64_t cases, statuses[3], agreed, silent, incomplete, lost, failures;
  struct oracle_counts counts;
  double slowest;
  uint64_t slowest_seed, most_memory, most_memory_seed;
};

struct options {
  uint64_t seed, count;
  unsigned jobs;
  const char *keep;
  bool verbose;
};

static struct victim victims[MOST_CORES];
static size_t victim_count;
static struct options options = {.seed = 1, .count = 1000, .jobs = 1};

static double cpu_seconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* ---- A case ------------------------------------------------------------------------------------
 */

static struct victim *victim_of(uint64_t seed) { return &victims[seed % victim_count]; }

static void keep_core(uint64_t seed, const struct damage *damage) {
  char path[4096];
  if (!options.keep) return;
  snprintf(path, sizeof path, "%s/%" PRIu64 ".core", options.keep, seed);
  FILE *file = fopen(path, "w");
  if (!file || fwrite(damage->bytes, 1, damage->size, file) != damage->size)
    fprintf(stderr, "%s: %s\n", path, strerror(errno));
  if (file) fclose(file);
}

static void tell(uint64_t seed, const struct damage *damage, const char *where, const char *what) {
  printf("case %" PRIu64 " (%s): %s: %s\n  damage: %s\n", seed, damage->victim->name, where, what,
         damage->words);
  fflush(stdout);
  keep_core(seed, damage);
}

/* Opens the core and asks; NULL, or what is wrong. `*where` is what was done then. */
static const char *ask(struct progress *progress, const struct damage *damage, uint64_t seed,
                       char *text, size_t size, const char **where) {
  struct inspect_session *session = NULL;
  const struct victim *victim = damage->victim;
  struct inspect_target target = {.core = victim->path, .sysroot = victim->folder};
  const char *wrong = NULL;
  int status = 2;
  *where = "opening";
  struct inspect_error *error = inspect_session_open(&target, &session);
  if (!error) error = session_collect(session, NULL);
  if (error) {
    if (error->code != INSPECT_ERROR_TARGET || !error->message || !error->hint)
      wrong = "another error than TARGET, or one without a hint";
    if (!damage->hits_state && damage->size == victim->size) progress->lost++;
    inspect_error_free(error);
  } else {
    *where = "verdicts";
    progress->incomplete += session->heap.graph.incomplete;
    enum oracle_answer answer = oracle_compare(damage, session, &progress->counts, text, size);
    progress->agreed += answer == ORACLE_AGREES;
    progress->silent += answer == ORACLE_SILENT;
    if (answer == ORACLE_DIFFERS) wrong = text;
  }
  uint64_t random = seed;
  size_t lines = 0;
  while (command_line(lines))
    lines++;
  for (unsigned i = 0; session && !wrong && i < COMMANDS; i++) {
    *where = command_line((size_t)(random_next(&random) % lines));
    wrong = command_run(session, *where, &status);
    progress->statuses[status >= 0 && status < 3 ? status : 2]++;
  }
  inspect_session_close(session);
  return wrong;
}

static void run_case(struct progress *progress, uint64_t seed) {
  static char text[4096];
  const struct victim *victim = victim_of(seed);
  struct damage damage;
  damage_apply(&damage, victim, victim->bytes, seed);
  if (options.verbose) printf("case %" PRIu64 " (%s): %s\n", seed, victim->name, damage.words);
  if (options.verbose) fflush(stdout);
  if (damage.size < victim->size && ftruncate(victim->descriptor, (off_t)damage.size))
    perror("ftruncate");
  progress->seed = seed;
  progress->since = time(NULL);
  const char *where;
  double begun = cpu_seconds();
  meter_reset();
  const char *wrong = ask(progress, &damage, seed, text, sizeof text, &where);
  double took = cpu_seconds() - begun;
  uint64_t memory = meter_most(), limit = FACTOR * (victim->size > FLOOR ? victim->size : FLOOR);
  limit += 2 * command_most_output();
  if (!wrong && took > MOST_SECONDS) wrong = "takes too long";
  if (!wrong && memory > limit) wrong = "takes too much memory";
  if (!wrong && meter_now()) wrong = "memory is left over";
  if (damage.size < victim->size) {
    if (ftruncate(victim->descriptor, (off_t)victim->size)) perror("ftruncate");
    memcpy(victim->bytes + damage.size, victim->original + damage.size, victim->size - damage.size);
  }
  if (wrong && progress->failures++ < MOST_TOLD) tell(seed, &damage, where, wrong);
  if (took > progress->slowest) {
    progress->slowest = took;
    progress->slowest_seed = seed;
  }
  if (memory > progress->most_memory) {
    progress->most_memory = memory;
    progress->most_memory_seed = seed;
  }
  progress->cases++;
  damage_undo(&damage);
}

/* ---- Workers -----------------------------------------------------------------------------------
 */

/* Worker `number` has every `jobs`th case. */
static pid_t start(struct progress *progress, uint64_t from) {
  fflush(stdout);
  pid_t child = fork();
  if (child) return child;
  for (uint64_t seed = from; seed < options.seed + options.count; seed += options.jobs)
    run_case(progress, seed);
  fflush(stdout);
  _exit(0);
}

/* Each worker has cores of its own, as they are changed in place. */
static void open_victims(char **paths, size_t count, char *folder) {
  victim_count = count;
  for (size_t i = 0; i < count; i++)
    victim_open(&victims[i], paths[i], folder);
}

/* Tells a case whose process ended; its core is made anew. */
static void tell_end(struct progress *progress, int status) {
  char words[80];
  uint64_t seed = progress->seed;
  struct damage damage;
  const struct victim *victim = victim_of(seed);
  if (WIFSIGNALED(status))
    snprintf(words, sizeof words, "ended by signal %d", WTERMSIG(status));
  else
    snprintf(words, sizeof words, "ended with status %d", WEXITSTATUS(status));
  uint8_t *copy = malloc(victim->size);
  if (!copy) return;
  memcpy(copy, victim->original, victim->size);
  damage_apply(&damage, victim, copy, seed);
  if (ftruncate(victim->descriptor, (off_t)victim->size)) perror("ftruncate");
  memcpy(victim->bytes, victim->original, victim->size);
  tell(seed, &damage, "the process", words);
  free(copy);
  progress->failures++;
  progress->cases++;
}

static void sleep_briefly(void) {
  struct timespec pause = {.tv_nsec = 20000000};
  nanosleep(&pause, NULL);
}

/* Runs one worker's share to its end, whatever ends its processes. */
static void watch(struct progress *progress, unsigned number) {
  uint64_t next = options.seed + number, end = options.seed + options.count;
  while (next < end) {
    int status = 0;
    progress->seed = next;
    progress->since = time(NULL);
    pid_t child = start(progress, next), done;
    if (child < 0) exit(2);
    while (!(done = waitpid(child, &status, WNOHANG))) {
      if (time(NULL) - progress->since > HANGS) kill(child, SIGKILL);
      sleep_briefly();
    }
    if (done == child && WIFEXITED(status) && !WEXITSTATUS(status)) return;
    tell_end(progress, status);
    next = progress->seed + options.jobs;
  }
}

/* ---- The whole ---------------------------------------------------------------------------------
 */

static uint64_t report(const struct progress *all, double seconds) {
  struct progress sum = {0};
  for (unsigned i = 0; i < options.jobs; i++) {
    const struct progress *each = &all[i];
    sum.cases += each->cases;
    for (unsigned s = 0; s < 3; s++)
      sum.statuses[s] += each->statuses[s];
    sum.agreed += each->agreed;
    sum.silent += each->silent;
    sum.incomplete += each->incomplete;
    sum.lost += each->lost;
    sum.counts.dead += each->counts.dead;
    sum.counts.undecided += each->counts.undecided;
    sum.failures += each->failures;
    if (each->slowest > sum.slowest) {
      sum.slowest = each->slowest;
      sum.slowest_seed = each->slowest_seed;
    }
    if (each->most_memory > sum.most_memory) {
      sum.most_memory = each->most_memory;
      sum.most_memory_seed = each->most_memory_seed;
    }
  }
  printf("%" PRIu64 " damaged cores in %.1f s, %" PRIu64 " failed\n", sum.cases, seconds,
         sum.failures);
  printf("  commands: %" PRIu64 " status 0, %" PRIu64 " status 1, %" PRIu64 " status 2\n",
         sum.statuses[0], sum.statuses[1], sum.statuses[2]);
  printf("  verdicts compared in %" PRIu64 ", %" PRIu64 " incomplete; no VM found in %" PRIu64
         " of the others, though only objects were hit\n",
         sum.agreed, sum.incomplete, sum.lost);
  printf("  %.1f %% of what was garbage is unknown\n",
         sum.counts.dead ? 100.0 * (double)sum.counts.undecided / (double)sum.counts.dead : 0.0);
  printf("  slowest: case %" PRIu64 ", %.0f ms; most memory: case %" PRIu64 ", %" PRIu64 " KB\n",
         sum.slowest_seed, 1000 * sum.slowest, sum.most_memory_seed, sum.most_memory / 1024);
  return sum.failures;
}

static void usage(void) {
  fprintf(stderr, "usage: damaged_cores [--seed N] [--count N] [--jobs N] [--keep FOLDER] "
                  "[--verbose] CORE...\n");
  exit(2);
}

static uint64_t number(const char *text) {
  char *end;
  uint64_t value = text ? strtoull(text, &end, 10) : 0;
  if (!text || !*text || *end) usage();
  return value;
}

static int parse(int argc, char **argv) {
  int i = 1;
  for (; i < argc && argv[i][0] == '-'; i++) {
    if (!strcmp(argv[i], "--seed"))
      options.seed = number(argv[++i]);
    else if (!strcmp(argv[i], "--count"))
      options.count = number(argv[++i]);
    else if (!strcmp(argv[i], "--jobs"))
      options.jobs = (unsigned)number(argv[++i]);
    else if (!strcmp(argv[i], "--keep"))
      options.keep = argv[++i];
    else if (!strcmp(argv[i], "--verbose"))
      options.verbose = true;
    else
      usage();
  }
  if (i >= argc || argc - i > MOST_CORES || !options.jobs || options.jobs > MOST_JOBS) usage();
  return i;
}

int main(int argc, char **argv) {
  char folder[] = "/tmp/damaged_cores.XXXXXX";
  int first = parse(argc, argv);
  struct progress *all = mmap(NULL, MOST_JOBS * sizeof *all, PROT_READ | PROT_WRITE,
                              MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (all == MAP_FAILED || !mkdtemp(folder)) return 2;
  struct timespec begun, ended;
  clock_gettime(CLOCK_MONOTONIC, &begun);
  pid_t watchers[MOST_JOBS];
  for (unsigned i = 0; i < options.jobs; i++) {
    fflush(stdout);
    watchers[i] = fork();
    if (watchers[i]) continue;
    open_victims(argv + first, (size_t)(argc - first), folder);
    watch(&all[i], i);
    for (size_t v = 0; v < victim_count; v++)
      victim_close(&victims[v]);
    fflush(stdout);
    _exit(0);
  }
  bool is_well = true;
  for (unsigned i = 0; i < options.jobs; i++) {
    int status = 0;
    if (watchers[i] < 0 || waitpid(watchers[i], &status, 0) < 0 || status) is_well = false;
  }
  clock_gettime(CLOCK_MONOTONIC, &ended);
  rmdir(folder);
  uint64_t failures = report(all, (double)(ended.tv_sec - begun.tv_sec) +
                                      (double)(ended.tv_nsec - begun.tv_nsec) / 1e9);
  return !is_well ? 2 : failures ? 1 : 0;
}
