/* walk.h - discovery of one VM's objects: the first of the two passes over a heap. */
#ifndef GRAPH_WALK_H
#define GRAPH_WALK_H

#include "graph/heap.h"
#include "lua/native.h"

/* Something that made no sense. Which of these are faults, and which belong to what the VM was just
 * doing, is settled after the walk (settle.h). */
enum problem_kind {
  PROBLEM_PART,    /* a part of an object cannot be read                              */
  PROBLEM_VALUES,  /* values that Lua does not have                                   */
  PROBLEM_NOWHERE, /* a reference leads to where no object can be                     */
  PROBLEM_KIND,    /* a reference leads to an object of another kind, or to none      */
  PROBLEM_LIST,    /* a list leads to where no object is                              */
  PROBLEM_ROOTS,   /* the same of a list of roots                                     */
};

struct problem {
  enum problem_kind kind;
  object_id object;  /* that has the problem; PROBLEM_KIND: that is not what it should be */
  uint64_t address;  /* what it is about                                               */
  uint64_t detail;   /* PROBLEM_NOWHERE: as in struct raw_reference                    */
  uint8_t reference; /* PROBLEM_NOWHERE: enum reference_kind                       */
  bool in_hash;      /* PROBLEM_NOWHERE: the same                                  */
  const char *text;  /* static                                                         */
};

/* What discovery fills, all VMs one after the other. References are granules until heap_build
 * converts them to ids. */
struct discovery {
  bool is_careful;                  /* set before the first walk: see walk.c                    */
  bool is_suspicious;               /* something is wrong: a careful walk is needed             */
  struct VECTOR(uint32_t) granules; /* of each object, in order of discovery: also the queue    */
  struct VECTOR(uint8_t) types;     /* before the visit: the expected tag                       */
  struct VECTOR(uint8_t) flags;
  struct VECTOR(uint16_t) bytes;
  struct VECTOR(uint32_t) first; /* first reference of each object, see discovery_row         */
  struct VECTOR(uint64_t) block_first; /* ... of each ROW_BLOCK objects                         */
  struct VECTOR(uint32_t) targets;
  struct VECTOR(uint8_t) kinds; /* unless is_careful with the type of the target, see KIND_BITS */
  struct VECTOR(struct graph_big) bigs;
  /* Of the last VM: */
  struct VECTOR(struct problem) problems;
  uint64_t more_problems; /* that are not in the list                                          */
  uint64_t moving_thread; /* whose stack was being moved, or 0                                 */
  bool moving_upvalue;    /* the place of an open upvalue was given as an offset               */
  uint64_t balance;       /* 0 if every object is on a list, once: sum over objects minus sum over
                             the places that lists lead to                                     */
  bool is_freed;          /* settled: objects were freed, as the VM was being closed           */
  /* Of all: */
  struct native_words words; /* see torn.h; after the first torn_words                         */
  bool has_words;
  bool incomplete;        /* references were lost ...                                          */
  bool incomplete_before; /* ... and already were when the walk of the last VM began           */
  struct VECTOR(struct graph_loss) losses; /* which: see discovery_lose ...                    */
  size_t losses_before;                    /* ... as many when the walk of the last VM began   */
  bool forgets_losses;                     /* there was no room for them                       */
  /* Of the last VM, its list of all objects: where it leads to what is none, and whether that is
   * all that is wrong with lists. */
  uint64_t broken_at;
  bool is_list_broken;
};

enum {
  ROW_BLOCK = 1 << 16,
  KIND_BITS = 5, /* of an element of kinds; above it the object_type that the reference says */
};

/* Where the references of an object begin in targets and kinds. */
static inline uint64_t discovery_row(const struct discovery *found, size_t object) {
  return found->block_first.items[object / ROW_BLOCK] + found->first.items[object];
}

/* Sets it, for an object not before the last one of which it was set. */
static inline void discovery_set_row(struct discovery *found, size_t object, uint64_t row) {
  uint64_t *block = &found->block_first.items[object / ROW_BLOCK];
  if (object % ROW_BLOCK == 0) *block = row;
  found->first.items[object] = (uint32_t)(row - *block);
}

/* Discovers the objects of heap->vms[index] from its lists, roots and their references. */
MUST_CHECK struct inspect_error *walk_vm(struct heap *heap, size_t index,
                                         struct discovery *discovery, const struct work *work);

/* Takes back what walk_vm found, so that another layout can be tried. */
void walk_undo(struct heap *heap, size_t index, struct discovery *discovery);

/* Makes room for what a VM says that it has, in bytes; costs nothing until it is used. */
void discovery_prepare(struct discovery *discovery, const struct heap *heap, uint64_t bytes);

enum { ALL_TYPES = (1 << OBJECT_TYPE_COUNT) - 1 };

/* Says that an object of the last VM (NO_OBJECT: nobody knows which) lost references to objects of
 * these types. */
void discovery_lose(struct discovery *discovery, object_id object, uint8_t types);

/* Gives back memory that was reserved and not used, except for the end of the last row. */
MUST_CHECK bool discovery_trim(struct discovery *discovery);

void discovery_free(struct discovery *discovery);

#endif
