/* string_groups.h - strings taken together: those with the same contents, those that look alike.
 *
 * Lua keeps one object for each short string, so only long ones can be there twice. What looks
 * alike has the same *pattern*: runs of digits, and words of hexadecimal digits with a digit among
 * them, are written as '*': "npc#*", "*.*.*.*:*"; of what is longer, the beginning. */
#ifndef GRAPH_STRING_GROUPS_H
#define GRAPH_STRING_GROUPS_H

#include "graph/heap.h"

struct string_group {
  uint64_t count, bytes; /* objects, and their shallow sizes        */
  object_id example;     /* the first by address                    */
};

struct string_groups VECTOR(struct string_group);

/* Groups of equal long strings, with two members or more. Only members of `chosen` count. Linear in
 * the bytes of all long strings. Order is that of first discovery. vector_free the result, also
 * after an error. */
MUST_CHECK struct inspect_error *string_groups_equal(struct heap *heap, const struct bitset *chosen,
                                                     const struct work *work,
                                                     struct string_groups *groups);

/* Groups of strings with the same pattern, likewise. */
MUST_CHECK struct inspect_error *string_groups_alike(struct heap *heap, const struct bitset *chosen,
                                                     const struct work *work,
                                                     struct string_groups *groups);

/* Appends the pattern of a string, raw; true also if it was cut. False: out of memory. */
bool string_pattern(const char *bytes, size_t size, struct text *text);

/* Whether a string object is of Lua's long kind. */
bool string_is_long(struct heap *heap, object_id object);

#endif
