/* monitor.h - between analyses and the host: progress, interruption, and where the time went. */
#ifndef COMMAND_MONITOR_H
#define COMMAND_MONITOR_H

#include "inspect.h"

enum { MOST_PHASES = 24 };

/* Analyses report far more often than a host wants to hear. */
struct monitor {
  const struct inspect_io *io;
  bool is_quiet;
  bool is_cancelled;         /* by the host; stays                                       */
  bool is_stopped;           /* an analysis was told: whatever runs afterwards stops too */
  int64_t cancelled;         /* when, in nanoseconds, as all of these                    */
  const char *stopped_phase; /* what was under way, and how far ...                    */
  double stopped_share;      /* ... it was: negative if that is not known              */
  int64_t next_question, next_progress, last;
  const char
      *phase; /* of the last report, and its share: one that is not known does not change it */
  double share;
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

/* The same for what writes the answer down: there is time left, after an interruption, to write
 * what was found, or a part of it. */
bool monitor_report_writing(void *context, const char *phase, double share);

/* Writes the phases with their times as one diagnostic line. */
void monitor_tell_times(struct monitor *monitor);

#endif
