/* check.h - the invariants that Lua keeps in its heap, checked from outside.
 *
 * What is checked is what Lua's own ltests.c asserts (lua_checkmemory: lists, marks, ages, no
 * reference against the barriers), and what the other modules rely on: strings and their table,
 * hash parts, open upvalues, calls. An invariant is only checked in the phases in which Lua keeps
 * it, and what a dump taken in the middle of an operation cannot show is left out and noted.
 *
 * Time is linear in the memory of the target: an object costs its own size, each object is taken
 * once, and when the sizes add up to more than the target has, the rest is left out and noted. */
#ifndef GRAPH_CHECK_H
#define GRAPH_CHECK_H

#include "base/work.h"
#include "graph/heap.h"
#include "lua/violations.h"

struct check_counts {
  uint64_t objects, references, strings, tables, threads, violations;
};

/* A part that was not checked, and why. */
struct check_note {
  uint32_t vm;
  const char *text; /* static */
};

struct check {
  struct heap *heap;
  const struct bitset *reachable; /* objects that a collection would leave; NULL: not known */
  struct violations violations;
  struct VECTOR(struct check_note) notes;
  uint8_t *marks; /* of each object: which lists it is on */
};

/* After heap_build. Free with check_free, also on error. */
MUST_CHECK struct inspect_error *check_init(struct check *check, struct heap *heap,
                                            const struct bitset *reachable);
void check_free(struct check *check);

/* Checks one VM; each once. */
MUST_CHECK struct inspect_error *check_vm(struct check *check, size_t index,
                                          const struct work *work, struct check_counts *counts);

#endif
