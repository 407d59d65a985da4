/* chain_ties.h - chains that are equally good but for their labels, noted while chains are searched
 * and decided afterwards.
 *
 * When a search settles an object it may meet several chains of one tier and length. Which is the
 * best depends on labels, and reading these is dear; so all are noted, and compared only for the
 * objects on which the answer depends: those on the chains to the targets. Labels are compared
 * walking up both chains to the holder they share, at most TIE_STEPS references (beyond that the
 * address decides).
 *
 * Invariant: ties are noted in the order of levels, and a comparison looks at earlier levels only;
 * so one pass over the list decides all of them. */
#ifndef ANALYSIS_CHAIN_TIES_H
#define ANALYSIS_CHAIN_TIES_H

#include "analysis/label_order.h"
#include "analysis/tiers.h"

struct chain_ties {
  const struct graph *graph;
  const struct tiers *tiers;
  struct chains *chains; /* while an object is tied, via[] is the position of its last tie */
  struct label_order order;
  struct chain_tie {
    object_id object, parent;
    uint32_t via;
    uint32_t next; /* position of the object's tie before, NO_NUMBER: its first chain */
  } * items;
  size_t count, capacity;
};

/* The arguments must outlive it. */
void chain_ties_init(struct chain_ties *ties, const struct tiers *tiers, struct chains *chains);
void chain_ties_free(struct chain_ties *ties);

/* Notes that a settled object has this chain as well. False: out of memory. */
bool chain_ties_note(struct chain_ties *ties, object_id object, object_id parent, uint32_t via);

/* Decides those noted so far, and forgets them. */
void chain_ties_decide(struct chain_ties *ties);

/* The same where the chains to `targets` (NULL: to all objects) or to the keys of ephemeron entries
 * on these depend on it; elsewhere any of the chains is taken. False: out of memory. */
bool chain_ties_decide_for(struct chain_ties *ties, const struct bitset *targets);

#endif
