/* monitor.c - progress, interruption, and where the time went. */
#include "command/monitor.h"

#include <string.h>
#include <time.h>

#include "base/text.h"

static const int64_t MILLISECOND = 1000000;

/* An interrupted answer is complete 0.2 s after Ctrl-C: an analysis stops within a few hundredths,
 * and the end of a session takes a few more. */
enum { CANCEL_MILLISECONDS = 10, PROGRESS_MILLISECONDS = 100, WRITING_MILLISECONDS = 60 };

static int64_t nanoseconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000 * MILLISECOND + now.tv_nsec;
}

void monitor_start(struct monitor *monitor, const struct inspect_io *io, bool is_quiet) {
  *monitor = (struct monitor){.io = io, .is_quiet = is_quiet, .last = nanoseconds()};
}

static void count_time(struct monitor *monitor, const char *phase, int64_t now) {
  size_t i = 0;
  while (i < monitor->phase_count && strcmp(monitor->phases[i].name, phase) != 0)
    i++;
  if (i == MOST_PHASES) return;
  if (i == monitor->phase_count) monitor->phases[monitor->phase_count++].name = phase;
  monitor->phases[i].nanoseconds += now - monitor->last;
  monitor->last = now;
}

/* What both have in common: true if the host has cancelled. */
static bool report(struct monitor *monitor, const char *phase, double share, int64_t now) {
  const struct inspect_io *io = monitor->io;
  count_time(monitor, phase, now);
  if (monitor->is_cancelled) return true;
  if (share >= 0 || !monitor->phase || strcmp(monitor->phase, phase) != 0) {
    monitor->phase = phase;
    monitor->share = share;
  }
  if (io->cancelled && now >= monitor->next_question) {
    monitor->next_question = now + CANCEL_MILLISECONDS * MILLISECOND;
    monitor->is_cancelled = io->cancelled(io->context);
    monitor->cancelled = now;
  }
  if (io->progress && !monitor->is_quiet && now >= monitor->next_progress) {
    monitor->next_progress = now + PROGRESS_MILLISECONDS * MILLISECOND;
    io->progress(io->context, phase, monitor->share);
  }
  return monitor->is_cancelled;
}

bool monitor_report(void *context, const char *phase, double share) {
  struct monitor *monitor = context;
  if (!report(monitor, phase, share, nanoseconds())) return false;
  if (!monitor->is_stopped) {
    monitor->stopped_phase = phase;
    monitor->stopped_share = monitor->share;
  }
  return monitor->is_stopped = true;
}

bool monitor_report_writing(void *context, const char *phase, double share) {
  struct monitor *monitor = context;
  int64_t now = nanoseconds();
  return report(monitor, phase, share, now) &&
         now >= monitor->cancelled + WRITING_MILLISECONDS * MILLISECOND;
}

void monitor_tell_times(struct monitor *monitor) {
  if (!monitor->io->diagnostic) return;
  count_time(monitor, "answering", nanoseconds());
  struct text text = {0};
  int64_t total = 0;
  bool fits = text_add_string(&text, "lua-inspect: ");
  for (size_t i = 0; fits && i < monitor->phase_count; i++) {
    total += monitor->phases[i].nanoseconds;
    fits = text_printf(&text, "%s %.3f s, ", monitor->phases[i].name,
                       (double)monitor->phases[i].nanoseconds / 1e9);
  }
  if (fits && text_printf(&text, "in all %.3f s\n", (double)total / 1e9))
    monitor->io->diagnostic(monitor->io->context, text.items, text.count);
  vector_free(&text);
}
