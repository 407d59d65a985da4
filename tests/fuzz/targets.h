/* targets.h - what is fuzzed, one target for each kind of input that comes from outside.
 *
 * An input of a target is any bytes; whatever they are, the target must come back: no crash, no
 * sanitizer report, a second of CPU time and four times the input (or the core that it patches) in
 * memory at most. The same targets are run by libFuzzer (libfuzzer.c), where they grow a corpus,
 * and over kept inputs by the unit tests and for the coverage (replay.c). */
#ifndef FUZZ_TARGETS_H
#define FUZZ_TARGETS_H

#include <stddef.h>
#include <stdint.h>

struct fuzz_target {
  const char *name;
  void (*run)(const uint8_t *bytes, size_t size);
  /* Changes an input in its own way; returns its new size, at most `room`. NULL: there is none. */
  size_t (*mutate)(uint8_t *bytes, size_t size, size_t room, uint64_t seed);
  size_t memory; /* of the core that it reads; 0: what it allocates is not limited */
};

extern const struct fuzz_target fuzz_elf, fuzz_detect, fuzz_load, fuzz_walk, fuzz_analyses,
    fuzz_records, fuzz_path, fuzz_layout, fuzz_line;

/* By position, NULL past the last. */
const struct fuzz_target *fuzz_target_at(size_t index);

/* Runs an input and checks time and memory; ends the process with a sentence if they are more than
 * allowed. */
void fuzz_run(const struct fuzz_target *target, const uint8_t *bytes, size_t size);

/* Opens the cores that targets patch, before anything is run. Ends the process if that cannot be
 * done. `names` ends with NULL, and stays. */
void fuzz_open_cores(char **names);

#endif
