/* work.h - how long work reports and is interrupted. Passed to every analysis; may be NULL. */
#ifndef BASE_WORK_H
#define BASE_WORK_H

#include <stdbool.h>
#include <stdint.h>

struct work {
  void *context;
  /* Called every few thousand steps; `share` of `phase` done, negative if unknown. Returns true if
   * the work is to stop: the analysis then returns error_interrupted(). */
  bool (*report)(void *context, const char *phase, double share);
  /* Threads that an analysis may use, the caller's included; 0 and 1: only that. It may change
   * while the work goes on: results do not depend on it. */
  unsigned threads;
};

static inline bool work_stops(const struct work *work, const char *phase, uint64_t done,
                              uint64_t total) {
  return work && work->report &&
         work->report(work->context, phase, total ? (double)done / (double)total : -1.0);
}

static inline unsigned work_threads(const struct work *work) {
  unsigned threads = work ? __atomic_load_n(&work->threads, __ATOMIC_RELAXED) : 0;
  return threads ? threads : 1;
}

#endif
