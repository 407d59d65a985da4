/* error.h - error objects. Every fallible function returns a struct inspect_error *, NULL =
 * success.
 *
 * Two errors are static and need no memory: error_no_memory() and error_interrupted(). The text in
 * an error is ours: bytes of the target are put in only after text_escape (base/text.h). */
#ifndef BASE_ERROR_H
#define BASE_ERROR_H

#include "inspect.h"

#define PRINTF_LIKE(text, first) __attribute__((format(printf, text, first)))
#define MUST_CHECK               __attribute__((warn_unused_result))

/* An error with a message and, unless NULL, a hint (a constant string that says what to do next).
 */
struct inspect_error *error_create(enum inspect_error_code code, const char *hint,
                                   const char *format, ...) PRINTF_LIKE(3, 4);

/* The same about a target address. */
struct inspect_error *error_at(enum inspect_error_code code, uint64_t address, const char *hint,
                               const char *format, ...) PRINTF_LIKE(4, 5);

struct inspect_error *error_no_memory(void);
#define ERROR_NO_MEMORY_HINT                                                                       \
  "close other programs, raise ulimit -v, or analyse the core on a larger machine"
struct inspect_error *error_interrupted(void);

/* Returns from the calling function if the expression yields an error. */
#define TRY(expression)                                                                            \
  do {                                                                                             \
    struct inspect_error *try_error = (expression);                                                \
    if (try_error) return try_error;                                                               \
  } while (0)

#endif
