/* process_fork.c - a copy-on-write child of a process, made by ptrace.
 *
 *   a thread that waits in a system call, stopped
 *     registers := `syscall` instruction of the vdso, clone(0)     all signals blocked
 *     PTRACE_SYSCALL until the call has returned; the child is born stopped
 *     registers, signals := what they were; PTRACE_INTERRUPT, so that it stops where it stood
 *
 * The last step is what keeps a call that was interrupted: the kernel restarts it only on the way
 * out of such a stop. The child has no exit signal: the process gets no SIGCHLD, and its wait()
 * does not see the child (unless with __WALL or __WCLONE). It is traced from its birth, runs not
 * one instruction, and is killed when its memory has been copied. Then a second call, wait4 with
 * WNOHANG, removes what is left of it from the process's table.
 *
 * The window: while a call runs, the thread has registers that are not its own. Should we be killed
 * then, the kernel kills the process as well (PTRACE_O_EXITKILL), as it must not go on with them.
 * Outside the window it is let go as always.
 *
 * Not done where it could harm: under seccomp, which may kill whoever calls clone; in a restartable
 * sequence (rseq), which must not be left by a jump; in 32-bit processes. x86-64 only. */
#include "source/process.h"

#include <elf.h>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>

#ifdef __x86_64__

static const char copy_hint[] = "take the default, --snapshot=copy";

/* A thread that makes a call for us. */
struct caller {
  struct tracee *tracee;
  struct user_regs_struct saved;
  uint64_t mask;
};

/* ---- Stops ----------------------------------------------------------------------------------- */

/* Waits until a thread stands still; `*code` says in which stop (si_code). False: it has ended. */
static bool await_stop(pid_t tid, int *code) {
  for (;;) {
    int status;
    siginfo_t info = {0};
    pid_t waited = waitpid(tid, &status, __WALL | __WNOTHREAD | WNOHANG);
    if (waited == tid && !WIFSTOPPED(status)) return false;
    if (waited < 0 && errno == ECHILD) return false;
    if (ptrace(PTRACE_GETSIGINFO, tid, NULL, &info) == 0) {
      *code = info.si_code;
      return true;
    }
    nanosleep(&(struct timespec){.tv_nsec = 5000}, NULL);
  }
}

static bool is_call_stop(int code) { return code == SIGTRAP || code == (SIGTRAP | 0x80); }

/* Lets the thread run to the next stop of its call, or to the birth of a child. A SIGSTOP, which
 * cannot be blocked, is kept for later. */
static bool run_on(struct caller *caller, int *code) {
  enum { MOST = 100 };
  for (int i = 0; i < MOST; i++) {
    siginfo_t info = {0};
    if (ptrace(PTRACE_SYSCALL, caller->tracee->tid, NULL, NULL) ||
        !await_stop(caller->tracee->tid, code))
      return false;
    if (is_call_stop(*code) || *code >> 8 == PTRACE_EVENT_CLONE) return true;
    if (*code >> 8 != PTRACE_EVENT_STOP &&
        ptrace(PTRACE_GETSIGINFO, caller->tracee->tid, NULL, &info) == 0)
      caller->tracee->signal = info.si_signo;
  }
  return false;
}

/* ---- One call -------------------------------------------------------------------------------- */

static bool set_registers(pid_t tid, struct user_regs_struct *registers) {
  struct iovec place = {registers, sizeof *registers};
  return ptrace(PTRACE_SETREGSET, tid, (void *)NT_PRSTATUS, &place) == 0;
}

static bool get_registers(pid_t tid, struct user_regs_struct *registers) {
  struct iovec place = {registers, sizeof *registers};
  return ptrace(PTRACE_GETREGSET, tid, (void *)NT_PRSTATUS, &place) == 0 &&
         place.iov_len == sizeof *registers;
}

/* Everything as it was, and stopped where it stood. */
static bool restore(struct caller *caller) {
  pid_t tid = caller->tracee->tid;
  int code;
  return set_registers(tid, &caller->saved) &&
         ptrace(PTRACE_SETSIGMASK, tid, (void *)sizeof caller->mask, &caller->mask) == 0 &&
         ptrace(PTRACE_SETOPTIONS, tid, NULL, NULL) == 0 &&
         ptrace(PTRACE_INTERRUPT, tid, NULL, NULL) == 0 &&
         ptrace(PTRACE_CONT, tid, NULL, NULL) == 0 && await_stop(tid, &code);
}

/* Makes the thread call `number` with up to four arguments, at a `syscall` instruction. `*child`
 * (may be NULL): who was born in it. False if the thread has ended. */
static bool call(struct caller *caller, uint64_t instruction, long number,
                 const uint64_t arguments[4], int64_t *result, pid_t *child) {
  pid_t tid = caller->tracee->tid;
  uint64_t all = ~UINT64_C(0);
  uintptr_t options = PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL | PTRACE_O_TRACECLONE;
  int code;
  if (!get_registers(tid, &caller->saved) ||
      ptrace(PTRACE_GETSIGMASK, tid, (void *)sizeof caller->mask, &caller->mask))
    return false;
  struct user_regs_struct registers = caller->saved;
  registers.rip = instruction;
  registers.rax = (uint64_t)number;
  registers.orig_rax = all; /* no call of before is to be restarted now */
  registers.rdi = arguments[0];
  registers.rsi = arguments[1];
  registers.rdx = arguments[2];
  registers.r10 = arguments[3];
  registers.r8 = 0;
  registers.eflags &= ~UINT64_C(0x100); /* no single step */
  bool ok = ptrace(PTRACE_SETOPTIONS, tid, NULL, (void *)options) == 0 &&
            ptrace(PTRACE_SETSIGMASK, tid, (void *)sizeof all, &all) == 0 &&
            set_registers(tid, &registers) && run_on(caller, &code); /* into the call */
  ok = ok && run_on(caller, &code);
  if (ok && code >> 8 == PTRACE_EVENT_CLONE) {
    unsigned long message = 0;
    (void)ptrace(PTRACE_GETEVENTMSG, tid, NULL, &message);
    if (child) *child = (pid_t)message;
    ok = run_on(caller, &code);
  }
  struct user_regs_struct after = {0};
  ok = ok && get_registers(tid, &after);
  *result = (int64_t)after.rax;
  return restore(caller) && ok;
}

/* ---- Who calls, and where -------------------------------------------------------------------- */

struct rseq_configuration {
  uint64_t address;
  uint32_t size, signature, flags, padding;
};

/* Whether the thread may be in a restartable sequence. */
static bool may_be_in_sequence(int64_t pid, pid_t tid) {
  struct rseq_configuration configuration = {0};
  uint64_t sequence = 0;
  if (ptrace(PTRACE_GET_RSEQ_CONFIGURATION, tid, (void *)sizeof configuration, &configuration) <=
          0 ||
      !configuration.address)
    return false;
  return process_read(pid, configuration.address + 8, &sequence, sizeof sequence) !=
             sizeof sequence ||
         sequence != 0;
}

/* One that waits in a system call, if there is one; else one that computes. */
static struct tracee *choose_caller(int64_t pid, struct tracees *tracees) {
  struct tracee *second = NULL;
  for (size_t i = 0; i < tracees->count; i++) {
    struct tracee *tracee = &tracees->items[i];
    struct user_regs_struct registers;
    if (!tracee->is_stopped || tracee->signal || !get_registers(tracee->tid, &registers)) continue;
    if ((int64_t)registers.orig_rax >= 0) return tracee;
    if (!second && !may_be_in_sequence(pid, tracee->tid)) second = tracee;
  }
  return second;
}

/* The address of a `syscall` instruction in the vdso, 0 if there is none. */
static uint64_t find_instruction(int64_t pid, const struct process_maps *maps) {
  uint8_t bytes[16384];
  for (size_t i = 0; i < maps->list.count; i++) {
    const struct process_mapping *mapping = &maps->list.items[i];
    if (strcmp(mapping->path, "[vdso]") != 0 || !mapping->executable) continue;
    size_t size = process_read(pid, mapping->start, bytes, sizeof bytes);
    if (size > mapping->end - mapping->start) size = mapping->end - mapping->start;
    const uint8_t *found = memmem(bytes, size, "\x0f\x05", 2);
    if (found) return mapping->start + (uint64_t)(found - bytes);
  }
  return 0;
}

struct inspect_error *process_may_fork(const struct source *source) {
  struct process_status status;
  if (source->machine != EM_X86_64 || source->pointer_size != 8)
    return error_create(INSPECT_ERROR_UNSUPPORTED, copy_hint,
                        "process %lld is not a 64-bit program: it cannot be made to fork",
                        (long long)source->pid);
  if (process_read_status(source->pid, &status) && status.seccomp)
    return error_create(INSPECT_ERROR_UNSUPPORTED, copy_hint,
                        "process %lld runs under seccomp, which might kill it if it were made to "
                        "fork",
                        (long long)source->pid);
  return NULL;
}

/* ---- Birth and death ------------------------------------------------------------------------- */

struct inspect_error *process_fork(int64_t pid, const struct process_maps *maps,
                                   struct tracees *tracees, struct process_child *child) {
  struct caller caller = {.tracee = choose_caller(pid, tracees)};
  int64_t result = 0;
  int code;
  *child = (struct process_child){.call = find_instruction(pid, maps)};
  if (!caller.tracee || !child->call)
    return error_create(INSPECT_ERROR_UNSUPPORTED, copy_hint,
                        "no thread of process %lld can be made to fork now", (long long)pid);
  bool ok = call(&caller, child->call, SYS_clone, (uint64_t[4]){0}, &result, &child->pid);
  if (child->pid && !await_stop(child->pid, &code)) child->pid = 0;
  if (ok && result < 0)
    return error_create(INSPECT_ERROR_SYSTEM, copy_hint, "process %lld cannot fork: %s",
                        (long long)pid, strerror((int)-result));
  if (!ok || !child->pid) return process_ended(pid);
  child->own_id = result;
  return NULL;
}

void process_forget_child(int64_t pid, const struct process_child *child) {
  if (!child->pid) return;
  struct tracees tracees = {0};
  int64_t result;
  inspect_error_free(process_stop(pid, &tracees)); /* those that have stopped will do */
  struct caller caller = {.tracee = choose_caller(pid, &tracees)};
  const uint64_t arguments[4] = {(uint64_t)child->own_id, 0, __WALL | WNOHANG, 0};
  if (caller.tracee) (void)call(&caller, child->call, SYS_wait4, arguments, &result, NULL);
  process_let_go(&tracees);
}

void process_end_child(const struct process_child *child) {
  int status;
  if (!child->pid) return;
  kill(child->pid, SIGKILL);
  for (pid_t waited = 0; waited >= 0;) {
    waited = waitpid(child->pid, &status, __WALL | __WNOTHREAD);
    if (waited == child->pid && !WIFSTOPPED(status)) break;
  }
}

#else

struct inspect_error *process_may_fork(const struct source *source) {
  return error_create(INSPECT_ERROR_UNSUPPORTED, "take the default, --snapshot=copy",
                      "process %lld cannot be made to fork on this kind of machine",
                      (long long)source->pid);
}

struct inspect_error *process_fork(int64_t pid, const struct process_maps *maps,
                                   struct tracees *tracees, struct process_child *child) {
  (void)maps, (void)tracees, (void)child;
  return process_ended(pid);
}

void process_end_child(const struct process_child *child) { (void)child; }

void process_forget_child(int64_t pid, const struct process_child *child) {
  (void)pid, (void)child;
}

#endif
