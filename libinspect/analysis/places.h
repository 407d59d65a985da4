/* places.h - where in the heap objects are: the patterns of the best chains of all of them, with
 * counts.
 *
 * A place is a pattern (patterns.h), such as package.loaded["game.audit"].entries[*].payload. Two
 * runs of one program have the same places, so their hashes match. Besides what patterns
 * generalise, the string keys of a map (a table with more than MOST_FIELDS of them) are [*]; _G,
 * package.loaded and the registry are no maps.
 *
 * Places form a forest. A place has objects of its own, and the bytes of all places below it: of
 * what a full collection leaves each object is in one place, so bytes of places side by side add
 * up. */
#ifndef ANALYSIS_PLACES_H
#define ANALYSIS_PLACES_H

#include "analysis/chains.h"
#include "analysis/patterns.h"

struct place {
  uint32_t parent; /* its position is lower; NO_NUMBER: a root */
  uint64_t hash;   /* of the tokens: the same in all VMs and targets */
  uint64_t objects, bytes;
  uint32_t class;    /* of most of the objects, as in class_of */
  object_id example; /* the one with the lowest address        */

  uint32_t votes; /* while counting */
};

struct places {
  struct patterns patterns;
  struct VECTOR(struct place) items; /* by number of the pattern */
  uint64_t unplaced;                 /* objects that no chain leads to */
};

/* `class_of` tells the class of each object. `named` are tables whose keys are names however many
 * they are. Counted are the objects of `live` among first .. first + count - 1, one VM; may be
 * called for one after the other. `chains` came from a search for all objects. */
MUST_CHECK struct inspect_error *places_add(struct places *places, const struct graph *graph,
                                            const struct chains *chains, const struct bitset *live,
                                            const uint32_t *class_of, const struct bitset *named,
                                            object_id first, uint32_t count,
                                            const struct work *work);

/* After the last places_add: bytes of places with those below them. */
void places_sum(struct places *places);

void places_init(struct places *places, const struct graph *graph);
void places_free(struct places *places);

#endif
