/* monitor.h - between analyses and the host: progress, interruption, and where the time went. */
#ifndef COMMAND_MONITOR_H
#define COMMAND_MONITOR_H

#include "inspect.h"

enum { MOST_PHASES = 24 };

/* Analyses report far more often than a host wants to hear. */
struct monitor {
  const struct inspect_io *io;
  bool is_quiet;
  bool is_cancelled;                          /* stays: whatever runs afterwards stops at once */
  int64_t next_question, next_progress, last; /* nanoseconds */
  struct phase_time {
    const char *name;
    int64_t nanoseconds;
  } phases[MOST_PHASES]; /* in order of first report */
  size_t phase_count;
};

void monitor_start(struct monitor *monitor, const struct inspect_io *io, bool is_quiet);

/* A struct work's report function; `context` is the monitor. The time since the report before it
 * counts for the phase that reports. */
bool monitor_report(void *context, const char *phase, double share);

/* Writes the phases with their times as one diagnostic line. */
void monitor_tell_times(struct monitor *monitor);

#endif
