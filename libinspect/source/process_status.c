/* process_status.c - who a process is, and why it cannot be read.
 *
 * The kernel says EPERM for many reasons. Which one it was is found in /proc: each has its own
 * sentence, and its own hint what to do instead. */
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
  status->seccomp = (unsigned)strtoul(field(&text, "Seccomp"), NULL, 10);
  /* Linux 6.8 says "Kthread: 1"; before, a process that is no zombie and has no memory is one. */
  status->is_kernel_thread =
      *field(&text, "Kthread") == '1' ||
      (!*field(&text, "VmSize") && status->state != 'Z' && status->state != 'X');
  vector_free(&text);
  return true;
}

/* ---- What is wrong with a process ------------------------------------------------------------ */

/* The name of the process, safe to print; static in `room`. */
static const char *shown_name(const struct process_status *status, char *room, size_t size) {
  struct text text = {0};
  bool ok = text_escape(&text, status->name, strlen(status->name), 0) && text_finish(&text);
  snprintf(room, size, "%s", ok && text.count ? text.items : "?");
  vector_free(&text);
  return room;
}

struct inspect_error *process_ended(int64_t pid) {
  return error_create(INSPECT_ERROR_TARGET, "look for a core that it left behind",
                      "process %lld ended while it was being read", (long long)pid);
}

static struct inspect_error *no_process(int64_t pid) {
  return error_create(INSPECT_ERROR_NOT_FOUND, "`ps -ef` or `pgrep -a NAME` lists processes",
                      "there is no process %lld", (long long)pid);
}

struct inspect_error *process_check(int64_t pid, bool traces) {
  struct process_status status, tracer;
  char name[128], hint[200];
  if (!process_read_status(pid, &status)) {
    if (errno == ENOENT || errno == ESRCH) return no_process(pid);
    return process_refused(pid, "read", errno);
  }
  if (status.group != pid) {
    snprintf(hint, sizeof hint, "give the process: -p %lld", (long long)status.group);
    return error_create(INSPECT_ERROR_USAGE, hint, "%lld is a thread of process %lld (%s)",
                        (long long)pid, (long long)status.group,
                        shown_name(&status, name, sizeof name));
  }
  if (pid == getpid() && traces)
    return error_create(INSPECT_ERROR_USAGE, "give the process that runs Lua",
                        "process %lld is this one: it cannot stop itself", (long long)pid);
  if (status.state == 'Z' || status.state == 'X') {
    snprintf(hint, sizeof hint,
             "its memory is gone: look for a core; its parent %lld has not waited for it",
             (long long)status.parent);
    return error_create(INSPECT_ERROR_TARGET, hint, "process %lld (%s) has ended: it is a zombie",
                        (long long)pid, shown_name(&status, name, sizeof name));
  }
  if (status.is_kernel_thread)
    return error_create(INSPECT_ERROR_TARGET, "give the process that runs Lua",
                        "process %lld (%s) is a thread of the kernel", (long long)pid,
                        shown_name(&status, name, sizeof name));
  if (!traces || !status.tracer) return NULL;
  if (!process_read_status(status.tracer, &tracer)) snprintf(tracer.name, sizeof tracer.name, "?");
  return error_create(INSPECT_ERROR_TARGET,
                      "use the commands in that debugger, end it, or read without stopping: "
                      "--snapshot=none",
                      "process %lld is already traced by process %lld (%s)", (long long)pid,
                      (long long)status.tracer, shown_name(&tracer, name, sizeof name));
}

struct inspect_error *process_refused(int64_t pid, const char *what, int number) {
  if (number == ENOMEM) return error_no_memory();
  if (number == ESRCH || number == ENOENT) return process_ended(pid);
  return error_create(INSPECT_ERROR_SYSTEM, "run as the owner of the process, or with sudo",
                      "the kernel does not let us %s process %lld: %s", what, (long long)pid,
                      strerror(number));
}
