/* threads.h - the threads of a VM: which one runs, who resumed whom, and in what state the others
 * are. */
#ifndef COMMAND_THREADS_H
#define COMMAND_THREADS_H

#include "command/session.h"
#include "lua/traceback.h"

/* In the order in which they are listed. */
enum thread_status {
  THREAD_STATUS_RUNNING,
  THREAD_STATUS_NORMAL, /* inside a call: it has resumed another, or a host called into it   */
  THREAD_STATUS_SUSPENDED,
  THREAD_STATUS_ERROR, /* dead by an error                                                   */
  THREAD_STATUS_NOT_STARTED,
  THREAD_STATUS_FINISHED,
  THREAD_STATUS_IDLE,    /* the main thread, without a call                                  */
  THREAD_STATUS_DAMAGED, /* cannot be read, or is being created                              */
  THREAD_STATUS_COUNT
};

struct thread_row {
  object_id object;
  enum thread_status status;
  uint64_t address, error_jump;
  bool in_chain;
};

/* An error that nothing caught ends in the panic function and then in abort. */
enum vm_failure {
  VM_FAILURE_NONE,
  VM_FAILURE_LIKELY, /* the process was aborted, and the main thread holds a text and nothing else,
                        as Lua leaves it (ldo.c: luaD_throw, since 5.4.3)                     */
  VM_FAILURE_KNOWN,  /* the main thread says so */
};

struct vm_threads {
  size_t vm; /* from 0 */
  struct heap_vm *owner;
  const struct bytecode_family *family;
  uint64_t loaded;             /* address of package.loaded, or 0   */
  struct function_names names; /* from the first vm_threads_open on */
  bool has_names;
  struct VECTOR(struct thread_row) list; /* by status, then address; with the main thread */
  struct VECTOR(size_t) chain;           /* places in the list: the running thread, the one that
                                            resumed it, ...; empty if nothing runs */
  int64_t tid;                           /* of the native thread that runs it; 0: not known */
  enum vm_failure failure;
  struct lua_value error;               /* of the failure */
  uint64_t counts[THREAD_STATUS_COUNT]; /* of coroutines  */
};

/* The session must be built. Free also after an error. */
MUST_CHECK struct inspect_error *vm_threads_find(struct inspect_session *session, size_t vm,
                                                 const struct work *work,
                                                 struct vm_threads *threads);
void vm_threads_free(struct vm_threads *threads);

/* "running", "normal", "suspended", "error", "not-started", ...: for JSON. Static. */
const char *thread_status_name(enum thread_status status);

/* The same in words: "has resumed another", "dead by error". Static. */
const char *thread_status_words(enum thread_status status);

/* Opens the calls of one of the threads. NULL, or a fault. */
const char *vm_threads_open(struct vm_threads *threads, const struct thread_row *row,
                            struct traceback *traceback);

/* The function that a thread began with: "server.lua:41", "C function NAME"; NULL if it is not
 * known any more. Escaped, in the arena. */
const char *thread_main_name(struct inspect_session *session, struct traceback *traceback,
                             struct arena *arena);

#endif
