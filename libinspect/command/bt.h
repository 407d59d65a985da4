/* bt.h - what `bt` shows: stacks, one after the other.
 *
 *   bt.c         which threads, and in which order; is the command
 *   bt_stack.c   one thread as page and data: its state, its frames, their variables
 *   bt_fold.c    coroutines with the same stack
 *   bt_native.c  one thread of the operating system: its C frames and the Lua calls on it */
#ifndef COMMAND_BT_H
#define COMMAND_BT_H

#include "command/threads.h"
#include "command/value_line.h"

enum { BT_TEXT_COLUMN = 7, BT_C_COLUMN = 60 };

/* A thread whose calls are read. */
struct bt_stack {
  struct command_context *context;
  struct vm_threads *threads;
  const struct thread_row *row;
  struct value_lines *lines;
  struct traceback traceback;
  const char *fault; /* why there are no calls, or NULL */
  struct data *data, *frames;
};

/* Close also after a fault. */
void bt_open(struct bt_stack *stack, struct command_context *context, struct value_lines *lines,
             struct vm_threads *threads, const struct thread_row *row);
void bt_close(struct bt_stack *stack);

/* The line about the thread, and its data. */
void bt_heading(struct bt_stack *stack, struct data *data);

/* One call, with its variables if they are asked for. `native` says where a C function is, NULL:
 * nothing is said. False: out of memory. */
MUST_CHECK bool bt_frame(struct bt_stack *stack, size_t level, const char *native,
                         struct data *row);

/* Stacks that are the same, by rows of vm_threads.list: each leads to the next of its kind. */
struct bt_folds {
  size_t *next;    /* 0: there is none; row 0 is never folded behind another */
  bool *is_folded; /* another row stands for it */
};

/* Of what is not in the chain. The folds are the caller's, to be freed also after an error. */
MUST_CHECK struct inspect_error *bt_fold(struct vm_threads *threads, const struct work *work,
                                         struct bt_folds *folds);
void bt_folds_free(struct bt_folds *folds);

/* Who else has the stack that was just shown. `folds` NULL: nobody was looked for. */
void bt_show_alike(struct command_context *context, const struct vm_threads *threads,
                   const struct bt_folds *folds, size_t row, struct data *stack);

/* Adds one thread to the page and to the array `stacks`. */
MUST_CHECK struct inspect_error *bt_show(struct command_context *context, struct value_lines *lines,
                                         struct vm_threads *threads, const struct thread_row *row,
                                         const struct bt_folds *folds, struct data *stacks);

/* The threads of the operating system with all that runs on them: --native. `only`: the one that
 * this thread runs on, NULL: all. */
MUST_CHECK struct inspect_error *bt_native(struct command_context *context,
                                           struct value_lines *lines, struct vm_threads *vms,
                                           size_t vm_count, const struct thread_row *only);

/* Whether bt_native shows the thread: it runs, and it is known where. */
bool bt_is_native(struct command_context *context, const struct vm_threads *threads,
                  const struct thread_row *row);

/* "main thread", or "coroutine 0x55d0c0ffee (server.lua:41)". In the context's arena. */
const char *bt_thread_words(struct command_context *context, struct vm_threads *threads,
                            const struct thread_row *row);

/* The error a thread died by: a text as it is, another value as Lua writes it. Escaped. */
const char *bt_error_words(struct value_lines *lines, struct heap_vm *owner,
                           struct lua_value error);

#endif
