/* parallel.c - threads for the time of one call.
 *
 * A thread takes some 20 us to start, so none are kept. They block all signals: a host's handlers
 * run on its own threads. */
#include "base/parallel.h"

#include "base/shortage.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>

enum { MOST_THREADS = 64 };

struct part {
  void (*run)(void *context, size_t number);
  void *context;
  size_t number;
  pthread_t thread;
  bool is_started, is_short;
};

static void *start(void *argument) {
  struct part *part = argument;
  part->run(part->context, part->number);
  part->is_short = shortage_seen();
  return NULL;
}

void parallel_run(size_t count, void (*run)(void *context, size_t number), void *context) {
  struct part parts[MOST_THREADS];
  sigset_t all, before;
  sigfillset(&all);
  bool is_masked = count > 1 && pthread_sigmask(SIG_SETMASK, &all, &before) == 0;
  for (size_t i = 1; i < count && i < MOST_THREADS; i++) {
    parts[i] = (struct part){.run = run, .context = context, .number = i};
    parts[i].is_started = pthread_create(&parts[i].thread, NULL, start, &parts[i]) == 0;
  }
  if (is_masked) pthread_sigmask(SIG_SETMASK, &before, NULL);
  run(context, 0);
  for (size_t i = 1; i < count; i++) {
    if (i >= MOST_THREADS || !parts[i].is_started) {
      run(context, i);
      continue;
    }
    pthread_join(parts[i].thread, NULL);
    if (parts[i].is_short) shortage_note();
  }
}

unsigned parallel_processors(void) {
  cpu_set_t set;
  int count = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
  return count > 0 ? (unsigned)count : 1;
}
