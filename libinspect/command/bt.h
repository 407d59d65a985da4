/* bt.h - what `bt` shows: stacks, one after the other.
 *
 *   bt.c         which threads, and in which order; is the command
 *   bt_stack.c   one thread as page and data: its state, its frames, their variables */
#ifndef COMMAND_BT_H
#define COMMAND_BT_H

#include "command/threads.h"
#include "command/value_line.h"

/* Adds one thread to the page and to the array `stacks`. */
MUST_CHECK struct inspect_error *bt_stack(struct command_context *context,
                                          struct value_lines *lines, struct vm_threads *threads,
                                          const struct thread_row *row, struct data *stacks);

/* "main thread", or "coroutine 0x55d0c0ffee (server.lua:41)". In the context's arena. */
const char *bt_thread_words(struct command_context *context, struct vm_threads *threads,
                            const struct thread_row *row);

/* The error a thread died by: a text as it is, another value as Lua writes it. Escaped. */
const char *bt_error_words(struct value_lines *lines, struct heap_vm *owner,
                           struct lua_value error);

#endif
