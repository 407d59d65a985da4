/* parallel.h - the same function on several threads at once.
 *
 * Only the calling thread may report progress, ask whether to stop, or call back into the host. */
#ifndef BASE_PARALLEL_H
#define BASE_PARALLEL_H

#include <stddef.h>

/* Calls part(context, 0) .. part(context, count - 1), number 0 on the calling thread, and returns
 * when all have returned. Parts may run one after the other, in any order (when the system has no
 * thread to give), so none may wait for another. */
void parallel_run(size_t count, void (*part)(void *context, size_t number), void *context);

/* Processors that this process may use, at least 1. */
unsigned parallel_processors(void);

#endif
