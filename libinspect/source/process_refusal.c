/* process_refusal.c - why a process cannot be read.
 *
 * The kernel says EPERM for many reasons. Which one it was is found in /proc: each has its own
 * sentence, and its own hint what to do instead. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "source/process.h"

static const char sudo_hint[] = "run it with sudo";

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

/* The process that goes by this id in a container (a pid namespace below ours): the id by which we
 * know it, 0 if there is none. */
static int64_t find_inside(int64_t pid) {
  DIR *folder = opendir("/proc");
  int64_t found = 0;
  for (struct dirent *entry; folder && !found && (entry = readdir(folder));) {
    struct process_status status;
    int64_t other = strtoll(entry->d_name, NULL, 10);
    if (other > 0 && process_read_status(other, &status) && status.inner != other &&
        status.inner == pid)
      found = other;
  }
  if (folder) closedir(folder);
  return found;
}

static struct inspect_error *no_process(int64_t pid) {
  char hint[160] = "`ps -ef` or `pgrep -a NAME` lists processes";
  if (kill((pid_t)pid, 0) != 0 && errno == EPERM)
    return error_create(INSPECT_ERROR_SYSTEM, sudo_hint,
                        "process %lld is hidden from us: /proc shows only our own (hidepid)",
                        (long long)pid);
  int64_t outside = find_inside(pid);
  if (outside)
    snprintf(hint, sizeof hint,
             "that is its id inside a container; here it is another: lua-inspect -p %lld",
             (long long)outside);
  return error_create(INSPECT_ERROR_NOT_FOUND, hint, "there is no process %lld", (long long)pid);
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

/* ---- Why the kernel refused ------------------------------------------------------------------ */

enum { MAY_TRACE = 19, YAMA_RELATIVES = 1, YAMA_ADMINISTRATOR = 2, YAMA_NOBODY = 3 };

/* kernel.yama.ptrace_scope; 0 where there is no such thing. */
static int yama_scope(void) {
  char digit = '0';
  int file = open("/proc/sys/kernel/yama/ptrace_scope", O_RDONLY | O_CLOEXEC);
  if (file >= 0) {
    if (read(file, &digit, 1) != 1) digit = '0';
    close(file);
  }
  return digit - '0';
}

/* "redis", or the number of a user without a name. */
static const char *user_name(uint32_t user, char *room, size_t size) {
  struct passwd entry, *found = NULL;
  char strings[1024];
  if (getpwuid_r(user, &entry, strings, sizeof strings, &found) || !found ||
      strlen(entry.pw_name) >= size)
    snprintf(room, size, "%u", user);
  else
    snprintf(room, size, "%s", entry.pw_name);
  return room;
}

/* A process that has dropped rights belongs to root in /proc: it is not dumpable. */
static bool is_guarded(int64_t pid, const struct process_status *status) {
  char path[64];
  struct stat file;
  snprintf(path, sizeof path, "/proc/%lld/maps", (long long)pid); /* the folder is always its own */
  return stat(path, &file) == 0 && file.st_uid != status->user;
}

/* Without the right to trace everybody's processes. */
static struct inspect_error *refused_to_user(int64_t pid, const char *what,
                                             const struct process_status *status) {
  char name[64];
  int scope = yama_scope();
  if (status->user != geteuid())
    return error_create(INSPECT_ERROR_SYSTEM, "run it with sudo, or as that user",
                        "process %lld belongs to user %s: we may not %s it", (long long)pid,
                        user_name(status->user, name, sizeof name), what);
  if (is_guarded(pid, status))
    return error_create(INSPECT_ERROR_SYSTEM, sudo_hint,
                        "process %lld is guarded (not dumpable): only root may %s it",
                        (long long)pid, what);
  if (scope == YAMA_RELATIVES)
    return error_create(INSPECT_ERROR_SYSTEM,
                        "run it with sudo, or allow it until the next boot: `sudo sysctl "
                        "kernel.yama.ptrace_scope=0`",
                        "process %lld: this system lets a program %s only processes that it has "
                        "started (kernel.yama.ptrace_scope is 1)",
                        (long long)pid, what);
  if (scope == YAMA_ADMINISTRATOR)
    return error_create(INSPECT_ERROR_SYSTEM, sudo_hint,
                        "process %lld: on this system only root may %s processes "
                        "(kernel.yama.ptrace_scope is 2)",
                        (long long)pid, what);
  return NULL;
}

struct inspect_error *process_refused(int64_t pid, const char *what, int number) {
  struct process_status status, own;
  if (number == ENOMEM) return error_no_memory();
  if (number == ESRCH || number == ENOENT) return process_ended(pid);
  bool is_known = process_read_status(pid, &status) && process_read_status(getpid(), &own);
  struct inspect_error *error = NULL;
  if (is_known && yama_scope() >= YAMA_NOBODY)
    return error_create(INSPECT_ERROR_SYSTEM,
                        "make it dump core (`kill -ABRT PID` ends it), and read the core",
                        "process %lld: this system lets nobody %s processes, until it is started "
                        "anew (kernel.yama.ptrace_scope is 3)",
                        (long long)pid, what);
  if (is_known && !(own.capabilities >> MAY_TRACE & 1)) error = refused_to_user(pid, what, &status);
  if (error) return error;
  return error_create(
      INSPECT_ERROR_SYSTEM,
      "in a container: run it on the host with the id that the process has there, start the "
      "container with --cap-add=SYS_PTRACE, or use `kubectl debug POD --target=CONTAINER "
      "--profile=sysadmin`; or dump it with `gcore PID`, and read the core",
      "the kernel does not let us %s process %lld: %s%s", what, (long long)pid, strerror(number),
      is_known && own.seccomp ? " (we run under seccomp)" : "");
}
