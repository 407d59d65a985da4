/* targets.c - the table of targets, and the limits of each run. */
#include "targets.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "commands.h"
#include "meter.h"

enum { MOST_SECONDS = 1, FACTOR = 4, FLOOR = 256 << 10 };

static const struct fuzz_target *const targets[] = {&fuzz_elf,  &fuzz_detect,   &fuzz_load,
                                                    &fuzz_walk, &fuzz_analyses, &fuzz_records,
                                                    &fuzz_path, &fuzz_layout,   &fuzz_line};

const struct fuzz_target *fuzz_target_at(size_t index) {
  return index < sizeof targets / sizeof *targets ? targets[index] : NULL;
}

static double cpu_seconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

void fuzz_run(const struct fuzz_target *target, const uint8_t *bytes, size_t size) {
  double begun = cpu_seconds();
  meter_reset();
  target->run(bytes, size);
  double took = cpu_seconds() - begun;
  size_t core = target->memory > size ? target->memory : size;
  size_t most = FACTOR * (core > FLOOR ? core : FLOOR) + 2 * command_most_output();
  if (took > MOST_SECONDS) fprintf(stderr, "%s: it took %.1f s\n", target->name, took);
  if (target->memory && meter_most() > most)
    fprintf(stderr, "%s: it took %zu bytes of memory\n", target->name, meter_most());
  if (target->memory && meter_now())
    fprintf(stderr, "%s: %zd bytes are left over\n", target->name, (ssize_t)meter_now());
  if (took > MOST_SECONDS || (target->memory && (meter_most() > most || meter_now()))) abort();
}
