/* process_status.c - files of /proc, and who a process is. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "source/process.h"

/* ---- Files of /proc -------------------------------------------------------------------------- */

static bool read_descriptor(int descriptor, struct text *text) {
  enum { STEP = 1 << 16, MOST = 1 << 28 };
  for (;;) {
    if (text->count > MOST || !vector_reserve(text, STEP)) {
      errno = ENOMEM;
      return false;
    }
    ssize_t size = read(descriptor, text->items + text->count, STEP - 1);
    if (size < 0 && errno == EINTR) continue;
    if (size < 0) return false;
    text->count += (size_t)size;
    text->items[text->count] = 0;
    if (!size) return true;
  }
}

static bool read_path(const char *path, struct text *text) {
  int descriptor = open(path, O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) return false;
  bool is_read = read_descriptor(descriptor, text);
  int number = errno;
  close(descriptor);
  if (!is_read) vector_free(text);
  errno = number;
  return is_read;
}

bool process_read_file(int64_t pid, const char *name, struct text *text) {
  char path[64];
  snprintf(path, sizeof path, "/proc/%lld/%s", (long long)pid, name);
  return read_path(path, text);
}

/* What follows "KEY:" and blanks at the beginning of a line; "" if there is no such line. */
static const char *field(const struct text *text, const char *key) {
  size_t size = strlen(key);
  for (const char *line = text->items; line; line = strchr(line, '\n')) {
    line += *line == '\n';
    if (!strncmp(line, key, size) && line[size] == ':')
      return line + size + 1 + strspn(line + size + 1, "\t ");
  }
  return "";
}

bool process_read_status(int64_t pid, struct process_status *status) {
  struct text text = {0};
  *status = (struct process_status){0};
  if (!process_read_file(pid, "status", &text)) return false;
  const char *name = field(&text, "Name");
  snprintf(status->name, sizeof status->name, "%.*s", (int)strcspn(name, "\n"), name);
  status->state = *field(&text, "State");
  status->group = strtoll(field(&text, "Tgid"), NULL, 10);
  status->parent = strtoll(field(&text, "PPid"), NULL, 10);
  status->tracer = strtoll(field(&text, "TracerPid"), NULL, 10);
  status->user = (uint32_t)strtoul(field(&text, "Uid"), NULL, 10);
  status->capabilities = strtoull(field(&text, "CapEff"), NULL, 16);
  const char *ids = field(&text, "NSpid"); /* from the outermost namespace to its own */
  for (char *end; *ids && *ids != '\n'; ids = end) {
    int64_t id = strtoll(ids, &end, 10);
    if (end == ids) break;
    status->inner = id;
    end += strspn(end, "\t ");
  }
  status->seccomp = (unsigned)strtoul(field(&text, "Seccomp"), NULL, 10);
  /* Linux 6.8 says "Kthread: 1"; before, a process that is no zombie and has no memory is one. */
  status->is_kernel_thread =
      *field(&text, "Kthread") == '1' ||
      (!*field(&text, "VmSize") && status->state != 'Z' && status->state != 'X');
  vector_free(&text);
  return true;
}
