/* kinship.h - what makes two objects alike: the signature by which siblings are told to be of one
 * sort, without reading a label.
 *
 *   table with a metatable    the metatable, if others share it
 *   record                    the set of its string keys that are names: one at least, MOST_FIELDS
 *                             at most, and no more other keys than these. A string is a name if a
 *                             prototype has it as a constant; else it is data, as user names are
 *   container                 any other table: arrays, maps. What a container is, its place says: a
 *                             *heavy* one is of a sort of its own where it has one holder
 *                             (players and rooms are not to be mixed), else it goes by the field of
 *                             the record that holds it ([*].members and [*].log are two sorts)
 *   Lua function              its prototype, if others share it
 *   thread                    the prototype of its main function
 *   userdata                  its metatable
 *   others                    their type
 *
 * Keys and prototypes are compared by identity, so signatures are those of one VM in one dump. */
#ifndef ANALYSIS_KINSHIP_H
#define ANALYSIS_KINSHIP_H

#include "analysis/dominators.h"

enum { MOST_FIELDS = 32, LONGEST_RECORD = 64 };

struct kinship {
  const struct graph *graph;
  const struct dominators *dominators;
  object_id first; /* the VM's objects */
  uint32_t count;
  struct bitset names; /* strings, minus first                              */
  uint64_t heavy;      /* retained bytes from which on a container is heavy */
};

/* Finds the names among the objects first .. first + count - 1. False: out of memory. Always
 * kinship_free. */
bool kinship_init(struct kinship *kinship, const struct graph *graph,
                  const struct dominators *dominators, object_id first, uint32_t count);
void kinship_free(struct kinship *kinship);

/* The signature of `object`, of which `holder` (NO_OBJECT: the roots) is the dominator; `is_lone`
 * says that the holder is the only one of its sort. Takes time linear in the object's row, and in
 * the holder's where that is short. */
uint64_t kinship_signature(const struct kinship *kinship, object_id holder, bool is_lone,
                           object_id object);

/* 64 bits made of two numbers, well mixed. */
static inline uint64_t kinship_mix(uint64_t a, uint64_t b) {
  uint64_t x = (a ^ 0x9e3779b97f4a7c15u) * 0xbf58476d1ce4e5b9u + b;
  x = (x ^ x >> 30) * 0x94d049bb133111ebu;
  return x ^ x >> 31;
}

#endif
