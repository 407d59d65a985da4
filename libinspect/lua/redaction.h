/* redaction.h - strings of a target, withheld.
 *
 * What string_bytes yields is then not what the string holds, but a substitute of the same size:
 * "s", eleven letters and digits of a keyed hash, and underscores up to the length. So paths,
 * classes and descriptions stay apart and equal strings stay equal, and nothing above this floor
 * ever sees the contents. "@" and "=" stay where they come first: so names of chunks are known.
 * Kept are strings of less than four bytes and names that every Lua program has: those of the
 * standard library, metamethods, and words that trackers are recognised by.
 *
 * Shared by all threads that read VMs. */
#ifndef LUA_REDACTION_H
#define LUA_REDACTION_H

#include "base/error.h"

struct redaction;

/* `key` makes hashes that can be compared with those of other runs with the same key; NULL: a
 * random key. Free with redaction_close. */
MUST_CHECK struct inspect_error *redaction_open(const char *key, struct redaction **result);
void redaction_close(struct redaction *redaction);

/* Makes the hashes those of `other`, for two targets that are compared. Before anything was asked
 * for its substitute. */
void redaction_take_key(struct redaction *redaction, const struct redaction *other);

/* What stands for the bytes, `size` of them; valid until redaction_close. NULL: no memory. */
const char *redaction_substitute(struct redaction *redaction, const char *bytes, size_t size);

#endif
