/* glob.h - shell patterns over bytes that may be anything, zeros included. */
#ifndef BASE_GLOB_H
#define BASE_GLOB_H

#include <stdbool.h>
#include <stddef.h>

/* Whether the pattern matches all of the text: `*` stands for any bytes, `?` for one, a backslash
 * takes the next byte as it is. Brackets are plain: names of classes are full of them. */
bool glob_matches(const char *pattern, const char *text, size_t size);

#endif
