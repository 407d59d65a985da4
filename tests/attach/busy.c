/* busy.c - a process that notices if somebody tampers with it.
 *
 * Each thread does one thing over and over, and checks each time that it went as the manual says:
 * system calls that wait (a stop must neither shorten nor fail them), computing, a restartable
 * system call under a signal mask of its own, starting threads, waiting for children. Says READY,
 * and at the end of standard input how often each was done, and what went wrong:
 *
 *   sleep 31 0       name, times, errors
 *
 * Errors of `children` are a SIGCHLD, or a child that wait() sees. The last line, `left`, says
 * whether there is a child that only wait() with __WALL sees. */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static atomic_bool is_over;
static atomic_long signals;

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

/* Whether a wait for `wanted` seconds was not cut short. */
static bool waited(double began, double wanted) { return now() - began >= wanted - 0.001; }

static bool do_sleep(void) {
  double began = now();
  return nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL) == 0 && waited(began, 0.05);
}

static bool do_poll(void) {
  double began = now();
  return poll(NULL, 0, 50) == 0 && waited(began, 0.05);
}

static bool do_ppoll(void) {
  double began = now();
  struct timespec time = {.tv_nsec = 50000000};
  sigset_t mask;
  sigemptyset(&mask);
  sigaddset(&mask, SIGUSR2);
  return ppoll(NULL, 0, &time, &mask) == 0 && waited(began, 0.05);
}

static bool do_futex(void) {
  sem_t never;
  struct timespec end;
  double began = now();
  sem_init(&never, 0, 0);
  clock_gettime(CLOCK_REALTIME, &end);
  end.tv_nsec += 50000000;
  if (end.tv_nsec >= 1000000000) end.tv_sec++, end.tv_nsec -= 1000000000;
  return sem_timedwait(&never, &end) == -1 && errno == ETIMEDOUT && waited(began, 0.045);
}

/* A pipe that somebody writes to now and then; all of it arrives, in order. */
static int pipe_ends[2];

static bool do_read(void) {
  static uint32_t next;
  uint32_t got;
  return read(pipe_ends[0], &got, sizeof got) == sizeof got && got == next++;
}

static bool do_write(void) {
  static uint32_t next;
  nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
  return write(pipe_ends[1], &next, sizeof next) == sizeof next && ++next;
}

/* Floating point, vector and integer registers. */
static bool do_compute(void) {
  static uint64_t first;
  uint64_t hash = 14695981039346656037u;
  double sum = 0;
  for (uint32_t i = 1; i < 2000000; i++) {
    hash = (hash ^ i) * 1099511628211u;
    sum += 1.0 / i;
  }
  uint64_t bits;
  memcpy(&bits, &sum, sizeof bits);
  hash ^= bits;
  if (!first) first = hash;
  return hash == first;
}

/* A signal that only sigsuspend lets in: it arrives once for each time it was sent. */
static bool do_suspend(void) {
  sigset_t mask;
  long before = signals;
  pthread_sigmask(SIG_SETMASK, NULL, &mask);
  sigdelset(&mask, SIGUSR1);
  pthread_kill(pthread_self(), SIGUSR1);
  return sigsuspend(&mask) == -1 && errno == EINTR && signals == before + 1;
}

static void *nothing(void *argument) { return argument; }

static bool do_threads(void) {
  pthread_t thread;
  void *result;
  return pthread_create(&thread, NULL, nothing, &signals) == 0 &&
         pthread_join(thread, &result) == 0 && result == &signals;
}

static atomic_long child_signals;

static bool do_children(void) {
  nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
  errno = 0;
  return waitpid(-1, NULL, WNOHANG) == -1 && errno == ECHILD && child_signals == 0;
}

static struct job {
  const char *name;
  bool (*once)(void);
  long times, errors;
  pthread_t thread;
} jobs[] = {
    {"sleep", do_sleep},       {"poll", do_poll},       {"ppoll", do_ppoll},
    {"futex", do_futex},       {"read", do_read},       {"write", do_write},
    {"compute", do_compute},   {"suspend", do_suspend}, {"threads", do_threads},
    {"children", do_children},
};

enum { JOBS = sizeof jobs / sizeof *jobs };

static void *work(void *argument) {
  struct job *job = argument;
  while (!is_over) {
    job->errors += !job->once();
    job->times++;
  }
  return NULL;
}

static void on_signal(int number) {
  if (number == SIGUSR1) signals++;
  if (number == SIGCHLD) child_signals++;
}

/* --guarded: not dumpable; --filtered: under a seccomp filter that allows everything. */
static bool restrain(const char *how) {
  struct sock_filter allow = {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW};
  struct sock_fprog filter = {1, &allow};
  if (strcmp(how, "--guarded") == 0) return prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0;
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter, 0, 0) == 0;
}

int main(int argc, char **argv) {
  char byte;
  sigset_t blocked;
  if (argc > 1 && !restrain(argv[1])) return 2;
  signal(SIGUSR1, on_signal);
  signal(SIGCHLD, on_signal);
  sigemptyset(&blocked);
  sigaddset(&blocked, SIGUSR1);
  pthread_sigmask(SIG_BLOCK, &blocked, NULL);
  if (pipe(pipe_ends)) return 2;
  for (size_t i = 0; i < JOBS; i++)
    if (pthread_create(&jobs[i].thread, NULL, work, &jobs[i])) return 2;
  puts("READY");
  fflush(stdout);
  while (read(STDIN_FILENO, &byte, 1) > 0)
    ;
  is_over = true;
  for (size_t i = 0; i < JOBS; i++) {
    if (jobs[i].once == do_read) continue; /* waits for the pipe */
    pthread_join(jobs[i].thread, NULL);
  }
  for (size_t i = 0; i < JOBS; i++)
    printf("%s %ld %ld\n", jobs[i].name, jobs[i].times, jobs[i].errors);
  printf("left %d 0\n", waitpid(-1, NULL, __WALL | WNOHANG) == -1 ? 0 : 1);
  return 0;
}
