/* accumulation.h - what has piled up in a heap, without anybody having said what should be gone.
 *
 * An accumulation is many like things that one holder keeps: a table with 100,000 sessions, the
 * registry with references nobody released, a list of parked coroutines. It is found where the mass
 * spreads in the dominator tree (spread.h), and weighs what the sets below its holder weigh
 * together (a cache keyed by string: keys and values). Nothing is known of its purpose: what a
 * program means to keep looks the same, so what is reported is where to look first.
 *
 * The holder is the dominator itself, if it refers to most of the entries. Entries that are
 * reached from several places have a dominator far above, _G or the roots; then the holder is the
 * object that refers to most of them, and the accumulation is `shared`. Entries without any such
 * holder are no accumulation.
 *
 * What has been forgotten is in nobody's use. So entries that something else refers to, neither
 * their holder nor what they hold themselves, weigh half, and a fifth in the order of the list.
 *
 * Of accumulations inside of each other the heavier one is listed; the outer one only if it is one
 * without the inner, too. */
#ifndef ANALYSIS_ACCUMULATION_H
#define ANALYSIS_ACCUMULATION_H

#include "analysis/spread.h"

struct accumulation {
  object_id holder;
  size_t holders;  /* objects of one sort that hold the entries, `holder` holds most         */
  object_id entry; /* the one of those below that retains most                              */
  reference_id reference; /* from holder to entry */
  uint64_t entries;       /* references of `holder` to entries, over all holders if there are more;
                             nodes of a list or tree                                                */
  uint64_t like;     /* of these, of the sort of `entry`                                       */
  uint64_t retained; /* bytes of the holder, if the entries are most of what it retains; else
                        of the entries and the holders themselves                              */
  double share;      /* of the live bytes, stacks included                                     */
  double weight;     /* 0..1                                                                   */
  double used;       /* 0..1: share of the entries that something else refers to               */
  bool is_shared;    /* most of them: the holder is not what alone keeps them                  */
  bool is_nested;    /* a list or tree: entries lie in each other                              */
};

/* The order of the list: largest first. */
static inline double accumulation_rank(const struct accumulation *accumulation) {
  return accumulation->weight * (1 - 0.6 * accumulation->used);
}

struct accumulations {
  struct accumulation *items;
  size_t count, capacity;
  uint64_t live_bytes, live_objects; /* what shares are of */
};

/* What is worth a person's time, and below which size nothing is. */
#define LEAST_WEIGHT 0.05
enum { LEAST_BYTES = 1 << 16, LEAST_ENTRIES = 16 };

/* The accumulations of one VM, objects first .. first + count - 1. `barred` objects (trackers) are
 * no holders; may be NULL. On error `*result` is empty. */
MUST_CHECK struct inspect_error *
accumulations_find(const struct graph *graph, const struct dominators *dominators, object_id first,
                   uint32_t count, const struct bitset *barred, const struct work *work,
                   struct accumulations *result);
void accumulations_free(struct accumulations *accumulations);

#endif
