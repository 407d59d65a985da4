/* available.c - how much memory this process can still have without swapping.
 *
 * Control groups form a tree, and each one's limit holds: they are looked at from the group of this
 * process up to the top of the tree. In a container the names in /proc/self/cgroup may be those of
 * the host: groups that cannot be found are passed over, and the top of the tree that is mounted is
 * the container's own. */
#include "base/available.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LONGEST = 4096 };

static FILE *open_below(const char *root, const char *folder, const char *group, const char *file) {
  char path[LONGEST + 512];
  int size = snprintf(path, sizeof path, "%s%s%s/%s", root, folder, group, file);
  return size > 0 && (size_t)size < sizeof path ? fopen(path, "re") : NULL;
}

/* The only number in a file. False: no file, or no number ("max"). */
static bool read_number(const char *root, const char *folder, const char *group, const char *file,
                        uint64_t *number) {
  FILE *stream = open_below(root, folder, group, file);
  if (!stream) return false;
  bool is_number = fscanf(stream, "%" SCNu64, number) == 1;
  fclose(stream);
  return is_number;
}

/* The number behind a word at the begin of a line; 0 if it is not there. */
static uint64_t read_line(FILE *stream, const char *word) {
  char line[256];
  size_t size = strlen(word);
  uint64_t number = 0;
  while (stream && fgets(line, sizeof line, stream))
    if (strncmp(line, word, size) == 0 && (line[size] == ' ' || line[size] == ':')) {
      number = strtoull(line + size + 1, NULL, 10);
      break;
    }
  if (stream) fclose(stream);
  return number;
}

/* The names of files in the two versions of control groups. */
struct version {
  const char *folder, *limit, *usage, *cache;
};

static const struct version FIRST = {"/sys/fs/cgroup/memory", "memory.limit_in_bytes",
                                     "memory.usage_in_bytes", "total_cache"};
static const struct version SECOND = {"/sys/fs/cgroup", "memory.max", "memory.current", "file"};

/* What is left in one group. */
static uint64_t left_in(const char *root, const struct version *version, const char *group) {
  uint64_t limit, usage;
  if (!read_number(root, version->folder, group, version->limit, &limit) ||
      !read_number(root, version->folder, group, version->usage, &usage))
    return UINT64_MAX;
  uint64_t cache =
      read_line(open_below(root, version->folder, group, "memory.stat"), version->cache);
  usage -= cache < usage ? cache : usage;
  return usage < limit ? limit - usage : 0;
}

/* ... and in those around it. */
static uint64_t left_around(const char *root, const struct version *version, char *group) {
  uint64_t least = UINT64_MAX;
  for (;;) {
    char *last = strrchr(group, '/');
    if (last && !last[1]) *last = 0; /* the top is the empty name */
    uint64_t left = left_in(root, version, group);
    if (left < least) least = left;
    last = strrchr(group, '/');
    if (!last) return least;
    *last = 0;
  }
}

/* Lines of /proc/self/cgroup: "4:memory:/group", in the second version "0::/group". */
static uint64_t left_in_groups(const char *root) {
  char line[LONGEST];
  uint64_t least = UINT64_MAX;
  FILE *stream = open_below(root, "/proc/self", "", "cgroup");
  while (stream && fgets(line, sizeof line, stream)) {
    line[strcspn(line, "\n")] = 0;
    char *list = strchr(line, ':'), *group = list ? strchr(list + 1, ':') : NULL;
    if (!group) continue;
    *group++ = 0;
    const struct version *version = list[1] == 0                      ? &SECOND
                                    : strcmp(list + 1, "memory") == 0 ? &FIRST
                                                                      : NULL;
    uint64_t left = version ? left_around(root, version, group) : UINT64_MAX;
    if (left < least) least = left;
  }
  if (stream) fclose(stream);
  return least;
}

uint64_t memory_available(const char *root) {
  uint64_t machine = read_line(open_below(root, "/proc", "", "meminfo"), "MemAvailable");
  uint64_t groups = left_in_groups(root);
  machine = machine && machine < UINT64_MAX / 1024 ? machine * 1024 : UINT64_MAX;
  return machine < groups ? machine : groups;
}
