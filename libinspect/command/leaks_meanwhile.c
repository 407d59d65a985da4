/* leaks_meanwhile.c - two parts of `leaks` that do not need each other at the same time: the
 * entries of trackers are read while another thread works out the dominators, unless it turns out
 * that nothing survived. If that fails or is stopped it is done again, and told of, where the
 * dominators are used: so the answer is the same with any number of threads. */
#include <stdatomic.h>
#include <time.h>

#include "base/parallel.h"
#include "command/leaks.h"

struct meanwhile {
  struct command_context *context;
  struct leaks *leaks;
  struct inspect_error *error; /* of the entries */
  atomic_bool has_begun, has_ended, stops;
};

/* Entries are sorted if they are listed. */
static struct inspect_error *find_trackers(struct command_context *context, const struct work *work,
                                           struct trackers *trackers) {
  const struct command_options *options = context->options;
  TRY(trackers_find(context->session, options, work, trackers));
  if (!options->json && !options->all) return NULL;
  struct inspect_error *error = trackers_sort(work, trackers);
  if (error) trackers_free(trackers);
  return error;
}

static bool stops_meanwhile(void *context, const char *phase, double share) {
  (void)phase, (void)share;
  return atomic_load(&((struct meanwhile *)context)->stops);
}

static void dominate_meanwhile(struct meanwhile *meanwhile) {
  const struct work quiet = {.context = meanwhile, .report = stops_meanwhile, .threads = 1};
  atomic_store(&meanwhile->has_begun, true);
  inspect_error_free(session_dominate(meanwhile->context->session, &quiet));
  atomic_store(&meanwhile->has_ended, true);
}

/* Lets the user interrupt the other thread. If none was to be had it has not begun. */
static void wait_meanwhile(struct meanwhile *meanwhile) {
  const struct timespec moment = {.tv_nsec = 1000000};
  while (atomic_load(&meanwhile->has_begun) && !atomic_load(&meanwhile->has_ended)) {
    if (work_stops(meanwhile->context->work, "dominators", 0, 0))
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
  struct trackers *trackers = &meanwhile->leaks->trackers;
  struct work work = *meanwhile->context->work;
  work.threads--; /* the other one works on the dominators */
  meanwhile->error = find_trackers(meanwhile->context, &work, trackers);
  uint64_t leaked = 0;
  for (size_t i = 0; i < trackers->list.count; i++)
    leaked += trackers->list.items[i].verdicts[VERDICT_LEAKED];
  if (meanwhile->error || !leaked) atomic_store(&meanwhile->stops, true);
  wait_meanwhile(meanwhile);
}

struct inspect_error *leaks_find_trackers(struct command_context *context, struct leaks *leaks) {
  enum { WORTH_A_THREAD = 1 << 14 };
  struct meanwhile meanwhile = {.context = context, .leaks = leaks};
  bool pays =
      context->session->heap.graph.object_count >= WORTH_A_THREAD && !context->options->brief;
  if (work_threads(context->work) < 2 || !pays)
    return find_trackers(context, context->work, &leaks->trackers);
  parallel_run(2, run_meanwhile, &meanwhile);
  return meanwhile.error;
}
