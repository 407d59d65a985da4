/* unwind.h - the calls of native code on the stack of a thread, by the unwind tables of the files
 * that are mapped (.eh_frame, .debug_frame).
 *
 * No frame is guessed: where no table speaks for a program counter the stack ends, and says why.
 * x86-64 and i386. */
#ifndef SOURCE_UNWIND_H
#define SOURCE_UNWIND_H

#include "base/vector.h"
#include "base/work.h"
#include "source/source.h"

enum { SOURCE_SAVED = 6 };

struct source_frame {
  uint64_t pc;   /* the instruction that comes next: of all but exact frames, behind a call */
  bool is_exact; /* the code was stopped here: the innermost frame, or one that a signal hit */
  uint64_t stack_pointer; /* while that instruction comes next                               */
  uint64_t start;         /* of the function, as far as the tables tell; 0: not known        */
  /* The registers that a function leaves as they were, as they are in this frame. */
  uint64_t saved[SOURCE_SAVED];
  unsigned saved_count;
};

enum source_stack_end {
  STACK_END_OUTERMOST,   /* the first function of the thread             */
  STACK_END_LIMIT,       /* as many frames as were asked for             */
  STACK_END_NO_FILE,     /* the file with the code is not at hand        */
  STACK_END_NO_CODE,     /* the program counter leads to no code         */
  STACK_END_NO_TABLE,    /* the file says nothing about this code        */
  STACK_END_UNREADABLE,  /* the next frame is not in the dump, or damaged */
  STACK_END_UNSUPPORTED, /* not known how to unwind for this machine     */
  STACK_END_INTERRUPTED,
};

struct source_stack {
  struct VECTOR(struct source_frame) frames; /* from the innermost out; stack pointers rise, but
                                                from a signal handler to what it interrupted */
  enum source_stack_end end;
};

/* `thread` is one of source->threads. At most `most` frames. The stack is the caller's, to be freed
 * with vector_free(&stack.frames), also after an error (memory). */
MUST_CHECK struct inspect_error *source_unwind(struct source *source,
                                               const struct source_thread *thread, size_t most,
                                               const struct work *work, struct source_stack *stack);

/* Frees what source_unwind opened. */
void source_free_unwind(struct source *source);

#endif
