/* glob.c - matches from left to right and comes back to the last `*` only: what an earlier one has
 * matched need never change, since it took as little as it could. Time is at most pattern * text.
 */
#include "base/glob.h"

#include <string.h>

/* One byte of the text against what the pattern has at `*at`, which is moved on. */
static bool matches_one(const char **at, char byte) {
  if (**at == '?') {
    ++*at;
    return true;
  }
  const char *literal = **at == '\\' && (*at)[1] ? *at + 1 : *at;
  if (!*literal || *literal != byte) return false;
  *at = literal + 1;
  return true;
}

bool glob_matches(const char *pattern, const char *text, size_t size) {
  const char *star = NULL; /* behind the last one */
  size_t at = 0, star_at = 0;
  for (;;) {
    if (*pattern == '*') {
      star = ++pattern;
      star_at = at;
    } else if (at < size && matches_one(&pattern, text[at])) {
      at++;
    } else if (at == size && !*pattern) {
      return true;
    } else if (star && star_at < size) {
      pattern = star;
      at = ++star_at;
    } else {
      return false;
    }
  }
}
