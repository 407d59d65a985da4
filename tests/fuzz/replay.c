/* replay.c - runs kept inputs once: as a unit test, and to measure what of the library they reach.
 *   replay CORPUS CORE...      CORPUS holds a folder for each target, with its inputs
 * Prints how many there were of each. Exit status: 0, 2 for a corpus that is none. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "targets.h"

static void run_file(const struct fuzz_target *target, const char *path) {
  enum { MOST_BYTES = 1 << 20 };
  static uint8_t room[MOST_BYTES];
  FILE *file = fopen(path, "r");
  size_t size = file ? fread(room, 1, MOST_BYTES, file) : 0;
  uint8_t *bytes = malloc(size + 1); /* just as large: for the address sanitizer */
  if (!file || !bytes) exit(2);
  fclose(file);
  memcpy(bytes, room, size);
  fuzz_run(target, bytes, size);
  free(bytes);
}

/* Returns the number of inputs. */
static unsigned run_folder(const struct fuzz_target *target, const char *corpus) {
  char path[4096];
  unsigned count = 0;
  snprintf(path, sizeof path, "%s/%s", corpus, target->name);
  struct dirent **names;
  int found = scandir(path, &names, NULL, alphasort);
  for (int i = 0; i < found; i++) {
    if (names[i]->d_name[0] != '.') {
      snprintf(path, sizeof path, "%s/%s/%s", corpus, target->name, names[i]->d_name);
      run_file(target, path);
      count++;
    }
    free(names[i]);
  }
  if (found >= 0) free(names);
  return count;
}

int main(int argc, char **argv) {
  if (argc < 3) return 2;
  fuzz_open_cores(argv + 2);
  unsigned total = 0;
  for (size_t i = 0; fuzz_target_at(i); i++) {
    unsigned count = run_folder(fuzz_target_at(i), argv[1]);
    printf("%-10s %u inputs\n", fuzz_target_at(i)->name, count);
    total += count;
  }
  return total ? 0 : 2;
}
