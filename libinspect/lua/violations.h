/* violations.h - broken invariants of a heap: what the checks report.
 *
 * Each kind has a name that stays the same from version to version, and a sentence. Of each kind
 * the first few are kept, the rest are counted: one stray write can break thousands of references.
 */
#ifndef LUA_VIOLATIONS_H
#define LUA_VIOLATIONS_H

#include "base/arena.h"
#include "base/vector.h"

/* VIOLATION(constant, name, sentence), in the order in which they are shown. */
#define VIOLATIONS(VIOLATION)                                                                      \
  VIOLATION(LIST_BROKEN, "list-broken", "a list of objects leads to no object")                    \
  VIOLATION(LIST_CYCLE, "list-cycle", "a list of objects comes back to itself")                    \
  VIOLATION(LIST_SHARED, "list-shared", "an object is on two lists")                               \
  VIOLATION(LIST_WRONG, "list-wrong", "an object is on the wrong list for its mark")               \
  VIOLATION(LIST_KIND, "list-kind", "a list holds an object of a kind that it must not hold")      \
  VIOLATION(LIST_POINTER, "list-pointer", "a pointer into a list points elsewhere")                \
  VIOLATION(LIST_MISSING, "list-missing", "an object is on no list")                               \
  VIOLATION(OBJECT_KIND, "object-kind", "an object is of no kind that Lua has")                    \
  VIOLATION(OBJECT_UNREADABLE, "object-unreadable", "a part of an object lies nowhere")            \
  VIOLATION(REFERENCE_NOWHERE, "reference-nowhere", "a reference leads to no object")              \
  VIOLATION(REFERENCE_TAG, "reference-kind", "a reference leads to an object of another kind")     \
  VIOLATION(REFERENCE_DEAD, "reference-dead", "an object refers to one that was found dead")       \
  VIOLATION(REACHABLE_DEAD, "reachable-dead", "an object was found dead, but a root reaches it")   \
  VIOLATION(BARRIER, "barrier",                                                                    \
            "a black object refers to a white one: a write barrier is missing")                    \
  VIOLATION(BARRIER_AGE, "barrier-age",                                                            \
            "an old object refers to a young one: a write barrier is missing")                     \
  VIOLATION(COLOR_BITS, "color-bits", "an object has several colours, or no age that Lua has")     \
  VIOLATION(COLOR_PHASE, "color-phase", "an object has a colour that this phase does not allow")   \
  VIOLATION(COLOR_AGE, "color-age", "an object has a colour that its age does not allow")          \
  VIOLATION(AGE_LIST, "age-list", "an object is too young for its place in its list")              \
  VIOLATION(GRAY_LIST, "gray-list", "the lists of gray objects and the marks disagree")            \
  VIOLATION(SWEEP_POINTER, "sweep-pointer", "the sweep goes on at a place outside of its list")    \
  VIOLATION(STRING_HASH, "string-hash", "the hash of a string is not that of its bytes")           \
  VIOLATION(STRING_END, "string-end", "a string does not end in a zero")                           \
  VIOLATION(STRING_TABLE, "string-table", "the table of short strings is broken")                  \
  VIOLATION(STRING_INTERNED, "string-interned", "a short string is not where its hash puts it")    \
  VIOLATION(STRING_DUPLICATE, "string-duplicate", "two short strings are equal")                   \
  VIOLATION(STRING_COUNT, "string-count", "the number of short strings is wrong")                  \
  VIOLATION(NODE_NEXT, "node-next", "a chain in the hash part of a table is broken")               \
  VIOLATION(NODE_KEY, "node-key", "an entry of a table has no valid key")                          \
  VIOLATION(NODE_PLACE, "node-place", "a key cannot be found from where its hash puts it")         \
  VIOLATION(NODE_FREE, "node-free", "a table's pointer to its free nodes is wrong")                \
  VIOLATION(UPVALUE_LIST, "upvalue-list", "a thread's list of open upvalues is broken")            \
  VIOLATION(UPVALUE_PLACE, "upvalue-place", "an open upvalue lies outside of its thread's stack")  \
  VIOLATION(UPVALUE_ORDER, "upvalue-order", "open upvalues are not ordered by stack level")        \
  VIOLATION(UPVALUE_CLOSED, "upvalue-closed", "a closed upvalue is on a list of open ones")        \
  VIOLATION(UPVALUE_LOST, "upvalue-lost", "an open upvalue is on no thread's list")                \
  VIOLATION(THREAD_STACK, "thread-stack", "a thread's stack pointers are wrong")                   \
  VIOLATION(THREAD_CALL, "thread-call", "a thread's chain of calls is broken")                     \
  VIOLATION(THREAD_TWUPS, "thread-twups", "the list of threads with open upvalues is wrong")

enum violation_code {
#define VIOLATION(constant, name, sentence) VIOLATION_##constant,
  VIOLATIONS(VIOLATION)
#undef VIOLATION
      VIOLATION_CODE_COUNT
};

enum { MOST_VIOLATIONS = 25 }; /* kept of each kind */

struct violation {
  enum violation_code code;
  uint32_t vm;      /* index                                                  */
  uint64_t address; /* the object that is wrong, or holds what is wrong       */
  bool has_other;
  uint64_t other;   /* the object or place that it is wrong about, if there is */
  const char *text; /* what is wrong; safe to print                            */
};

struct violations {
  struct VECTOR(struct violation) list;
  uint64_t counts[VIOLATION_CODE_COUNT];
  uint64_t total;
  uint32_t vm;        /* of those added now */
  struct arena arena; /* owns the texts     */
};

void violations_init(struct violations *violations);
void violations_free(struct violations *violations);

/* Counts a violation, and keeps it if it is among the first of its kind and there is memory. */
void violation_add(struct violations *violations, enum violation_code code, uint64_t address,
                   const char *format, ...) __attribute__((format(printf, 4, 5)));

/* The same about a second address. */
void violation_add_about(struct violations *violations, enum violation_code code, uint64_t address,
                         uint64_t other, const char *format, ...)
    __attribute__((format(printf, 5, 6)));

/* "list-broken": stable, for scripts. Static, as is the sentence. */
const char *violation_name(enum violation_code code);
const char *violation_sentence(enum violation_code code);

#endif
