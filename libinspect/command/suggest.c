/* suggest.c - edit distance with the usual three rows; words longer than LONGEST are near nothing,
 * which bounds time and needs no allocation. */
#include "command/suggest.h"

#include <string.h>

enum { LONGEST = 40 };

static size_t least(size_t a, size_t b) { return a < b ? a : b; }

/* Both at most LONGEST bytes long. */
static size_t distance(const char *a, size_t a_size, const char *b, size_t b_size) {
  size_t rows[3][LONGEST + 1]; /* distances for the prefixes of a that end at i - 2, i - 1 and i */
  for (size_t j = 0; j <= b_size; j++)
    rows[0][j] = j;
  for (size_t i = 1; i <= a_size; i++) {
    size_t *now = rows[i % 3], *before = rows[(i + 2) % 3], *earlier = rows[(i + 1) % 3];
    now[0] = i;
    for (size_t j = 1; j <= b_size; j++) {
      now[j] = least(least(before[j], now[j - 1]) + 1, before[j - 1] + (a[i - 1] != b[j - 1]));
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        now[j] = least(now[j], earlier[j - 2] + 1);
    }
  }
  return rows[a_size % 3][b_size];
}

void suggest_offer(struct suggestion *suggestion, const char *candidate) {
  size_t size = suggestion->size, candidate_size = strlen(candidate);
  if (size == 0 || size > LONGEST || candidate_size > LONGEST) return;
  size_t far = distance(suggestion->typed, size, candidate, candidate_size);
  size_t longer = size > candidate_size ? size : candidate_size;
  if (size >= 3 && size < candidate_size && memcmp(suggestion->typed, candidate, size) == 0)
    far = 1; /* an abbreviation is as good as a slip */
  if (far > (longer + 1) / 3 || (suggestion->best && suggestion->distance <= far)) return;
  suggestion->best = candidate;
  suggestion->distance = far;
}
