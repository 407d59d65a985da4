/* suggest.h - "did you mean": the known word nearest to a mistyped one.
 *
 * Distance is the number of bytes inserted, removed, replaced or swapped with their neighbour
 * (optimal string alignment). A word is near if that is at most a third of the longer one's length,
 * or if the mistyped word is how it begins. */
#ifndef COMMAND_SUGGEST_H
#define COMMAND_SUGGEST_H

#include <stddef.h>

struct suggestion {
  const char *typed; /* may be unterminated user input cut at `size` */
  size_t size;
  const char *best; /* NULL: nothing is near */
  size_t distance;
};

/* Offers a candidate; the first of several equally near ones is kept. */
void suggest_offer(struct suggestion *suggestion, const char *candidate);

#endif
