/* damage.h - structure-aware damage to a core, decided by a number alone.
 *
 * Bits, words, fields, links, tags, sizes, whole objects, the VM's state, and the file's own
 * headers and notes: see damage.c for the kinds. Each change is attributed to the object whose
 * bytes it hits, by the victim's map of owners. */
#ifndef DAMAGE_DAMAGE_H
#define DAMAGE_DAMAGE_H

#include "victim.h"

enum { MOST_CHANGES = 64, MOST_DAMAGED = 16 };

struct damage {
  const struct victim *victim;
  uint8_t *bytes; /* of the core that is damaged: as many as the victim has */
  uint64_t random;
  struct change {
    size_t offset, size;
  } changes[MOST_CHANGES];
  size_t change_count;
  object_id objects[MOST_DAMAGED]; /* whose bytes were changed, in no order */
  size_t object_count;
  bool hits_state; /* the VM's state, the file's headers, or more objects than have room above */
  bool hits_list;  /* a link from object to object */
  size_t size;     /* of the core now: less if it was truncated */
  char words[400]; /* what was done, for a person */
};

/* Damages the victim's core by the number `seed`. */
void damage_apply(struct damage *damage, const struct victim *victim, uint8_t *bytes,
                  uint64_t seed);

/* Makes the bytes sound again. */
void damage_undo(struct damage *damage);

/* The next number of a sequence (splitmix64). */
uint64_t random_next(uint64_t *state);

#endif
