/* words.h - a debugger's command line cut into words. */
#ifndef COMMAND_WORDS_H
#define COMMAND_WORDS_H

#include "base/arena.h"
#include "base/vector.h"

struct words VECTOR(const char *);

/* Appends the words of `line` (in the arena). Blanks separate words unless they stand in quotes or
 * brackets. Quotes around a whole word, or around all that follows the = of --option=, are removed,
 * and there a backslash keeps the next quote or backslash; quotes inside a word are left in place:
 * package.loaded["a b"] is typed as it is printed. A bracket that is never closed ends with the
 * line, for the reader of the word to complain about. */
MUST_CHECK struct inspect_error *words_split(struct arena *arena, const char *line,
                                             struct words *words);

#endif
