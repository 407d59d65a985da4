/* process_maps.c - the mappings of a process, from /proc/PID/maps.
 *
 *   7f5c1a000000-7f5c1a021000 rw-p 00000000 00:00 0          [heap]
 *   start        end          mode offset   device inode     path
 *
 * The kernel gives it page by page, so of a running process it need not be of one moment; of a
 * stopped one it is. What does not continue the list in order of addresses is left out. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "source/process.h"

/* A path has its line ends written as \012. */
static const char *keep_path(struct process_maps *maps, const char *path, size_t size) {
  if (maps->list.count) {
    const char *last = maps->list.items[maps->list.count - 1].path;
    if (strlen(last) == size && !memcmp(last, path, size)) return last;
  }
  char *copy = arena_copy(&maps->arena, path, size);
  for (char *at = copy; at && (at = strstr(at, "\\012")); at++) {
    *at = '\n';
    memmove(at + 1, at + 4, strlen(at + 4) + 1);
  }
  return copy;
}

/* The line's numbers; false if it is no line of the list. `*path` is what follows. */
static bool read_line(const char *line, struct process_mapping *mapping, const char **path) {
  char *end;
  mapping->start = strtoull(line, &end, 16);
  if (*end != '-') return false;
  mapping->end = strtoull(end + 1, &end, 16);
  if (*end != ' ' || strcspn(end + 1, "\n") < 4) return false;
  mapping->readable = end[1] == 'r';
  mapping->writable = end[2] == 'w';
  mapping->executable = end[3] == 'x';
  mapping->shared = end[4] == 's';
  mapping->file_offset = strtoull(end + 5, &end, 16);
  for (int field = 0; field < 2; field++) { /* device, inode */
    end += strspn(end, " ");
    end += strcspn(end, " \n");
  }
  *path = end + strspn(end, " ");
  return mapping->start < mapping->end;
}

static bool read_lines(struct process_maps *maps, const char *text) {
  uint64_t last = 0;
  for (const char *line = text; *line;) {
    size_t size = strcspn(line, "\n");
    struct process_mapping mapping = {0};
    const char *path;
    if (read_line(line, &mapping, &path) && mapping.start >= last) {
      size_t used = (size_t)(path - line);
      mapping.path = keep_path(maps, path, used < size ? size - used : 0);
      if (!mapping.path || !vector_push(&maps->list, mapping)) return false;
      last = mapping.end;
    }
    line += size + (line[size] == '\n');
  }
  return true;
}

struct inspect_error *process_read_maps(int64_t pid, struct process_maps *maps) {
  struct text text = {0};
  *maps = (struct process_maps){0};
  arena_init(&maps->arena);
  if (!process_read_file(pid, "maps", &text)) return process_refused(pid, "read", errno);
  bool is_read = read_lines(maps, text.items);
  vector_free(&text);
  if (!is_read) return error_no_memory();
  return maps->list.count ? NULL : process_ended(pid);
}

/* Below its line, /proc/PID/smaps has "VmFlags: rd wr mr mw me ac wf" for each mapping. */
void process_drop_wiped(int64_t pid, struct process_maps *maps) {
  struct text text = {0};
  struct process_mapping mapping = {0};
  size_t at = 0;
  if (!process_read_file(pid, "smaps", &text)) return;
  for (char *line = text.items; *line;) {
    size_t size = strcspn(line, "\n");
    char *next = line + size + (line[size] == '\n');
    const char *path;
    line[size] = 0;
    if (!strncmp(line, "VmFlags:", 8)) {
      while (at < maps->list.count && maps->list.items[at].start < mapping.start)
        at++;
      if (strstr(line, " wf") && at < maps->list.count &&
          maps->list.items[at].start == mapping.start)
        maps->list.items[at].readable = false;
    } else if (line[0] < 'A' || line[0] > 'Z') { /* keys begin with capitals */
      (void)read_line(line, &mapping, &path);
    }
    line = next;
  }
  vector_free(&text);
}

void process_free_maps(struct process_maps *maps) {
  vector_free(&maps->list);
  arena_free(&maps->arena);
}

bool process_maps_file(const struct process_mapping *mapping) { return mapping->path[0] == '/'; }
