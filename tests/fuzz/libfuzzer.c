/* libfuzzer.c - one target under libFuzzer; FUZZ_TARGET is its name in targets.h. $FUZZ_CORES names
 * the cores that are patched, parted by blanks. */
#include <stdlib.h>
#include <string.h>

#include "targets.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);
size_t LLVMFuzzerMutate(uint8_t *bytes, size_t size, size_t room);
size_t LLVMFuzzerCustomMutator(uint8_t *bytes, size_t size, size_t room, unsigned seed);

int LLVMFuzzerInitialize(int *argc, char ***argv) {
  enum { MOST_CORES = 16 };
  static char *cores[MOST_CORES + 1];
  const char *names = getenv("FUZZ_CORES");
  char *rest = NULL, *copy = strdup(names ? names : "");
  size_t count = 0;
  (void)argc, (void)argv;
  for (char *name = strtok_r(copy, " ", &rest); name && count < MOST_CORES;
       name = strtok_r(NULL, " ", &rest))
    cores[count++] = name;
  fuzz_open_cores(cores);
  return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
  fuzz_run(&FUZZ_TARGET, bytes, size);
  return 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *bytes, size_t size, size_t room, unsigned seed) {
  if (!FUZZ_TARGET.mutate || seed % 2) return LLVMFuzzerMutate(bytes, size, room);
  return FUZZ_TARGET.mutate(bytes, size, room, seed);
}
