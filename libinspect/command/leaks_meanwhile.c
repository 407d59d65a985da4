/* leaks_meanwhile.c - two parts of `leaks` that do not need each other at the same time: trackers
 * are read and chains and causes found while another thread works out the dominators, unless it
 * turns out that nothing survived. If that fails or is stopped it is done again, and told of, where
 * the dominators are used: so the answer is the same with any number of threads. */
#include <stdatomic.h>
#include <time.h>

#include "base/parallel.h"
#include "command/leaks.h"

struct meanwhile {
  struct command_context *context;
  struct leaks *leaks;
  struct work quiet;           /* of the other thread          */
  struct inspect_error *error; /* of the calling thread's part */
  atomic_bool has_begun, has_ended, stops;
  _Atomic(const char *) phase; /* of the other thread, for the one that reports, ... */
  _Atomic double share;        /* ... and its share, negative if that is not known   */
};

static bool stops_meanwhile(void *context, const char *phase, double share) {
  struct meanwhile *meanwhile = context;
  atomic_store(&meanwhile->phase, phase);
  atomic_store(&meanwhile->share, share);
  return atomic_load(&meanwhile->stops);
}

static void dominate_meanwhile(struct meanwhile *meanwhile) {
  atomic_store(&meanwhile->has_begun, true);
  inspect_error_free(session_dominate(meanwhile->context->session, &meanwhile->quiet));
  atomic_store(&meanwhile->has_ended, true);
}

/* Lets the user interrupt the other thread. If none was to be had it has not begun. */
static void wait_meanwhile(struct meanwhile *meanwhile) {
  const struct work *work = meanwhile->context->work;
  const struct timespec moment = {.tv_nsec = 1000000};
  while (atomic_load(&meanwhile->has_begun) && !atomic_load(&meanwhile->has_ended)) {
    const char *phase = atomic_load(&meanwhile->phase);
    if (work->report &&
        work->report(work->context, phase ? phase : "dominators", atomic_load(&meanwhile->share)))
      atomic_store(&meanwhile->stops, true);
    nanosleep(&moment, NULL);
  }
}

static void run_meanwhile(void *context, size_t number) {
  struct meanwhile *meanwhile = context;
  if (number) {
    dominate_meanwhile(meanwhile);
    return;
  }
  struct leaks *leaks = meanwhile->leaks;
  const struct work *whole = meanwhile->context->work;
  struct work work = *whole;
  work.threads--; /* the other one works on the dominators */
  meanwhile->context->work = &work;
  meanwhile->error = leaks_begin(meanwhile->context, leaks);
  meanwhile->context->work = whole;
  if (meanwhile->error || !leaks->is_grouped || !leaks->survivors.count)
    atomic_store(&meanwhile->stops, true);
  /* From now on the other thread has the processors for itself. */
  __atomic_store_n(&meanwhile->quiet.threads, work_threads(meanwhile->context->work),
                   __ATOMIC_RELAXED);
  wait_meanwhile(meanwhile);
}

struct inspect_error *leaks_begin_meanwhile(struct command_context *context, struct leaks *leaks) {
  enum { WORTH_A_THREAD = 1 << 14 };
  struct meanwhile meanwhile = {.context = context, .leaks = leaks, .share = -1};
  meanwhile.quiet = (struct work){.context = &meanwhile, .report = stops_meanwhile, .threads = 1};
  bool pays =
      context->session->heap.graph.object_count >= WORTH_A_THREAD && !context->options->brief;
  if (work_threads(context->work) < 2 || !pays) return leaks_begin(context, leaks);
  parallel_run(2, run_meanwhile, &meanwhile);
  return meanwhile.error;
}
