/* glob.h - shell patterns over bytes that may be anything, zeros included.
 *
 * Not fnmatch(3), which matches descriptions of leaks: it ends at a zero,
 * depends on the locale, and takes brackets for sets, of which such a pattern may have use
 * (npc#[0-9]*), while the names of classes and shapes, [string] or {desc, time}, could not be typed
 * as they are printed. */
#ifndef BASE_GLOB_H
#define BASE_GLOB_H

#include <stdbool.h>
#include <stddef.h>

/* Whether the pattern matches all of the text: `*` stands for any bytes, `?` for one, a backslash
 * takes the next byte as it is. Brackets are plain: names of classes are full of them. */
bool glob_matches(const char *pattern, const char *text, size_t size);

#endif
