/* spread.h - where in the dominator tree the mass spreads: sets of like siblings, and how much each
 * tells.
 *
 * Imagine a byte of the VM's live bytes drawn at random, and the way to it down the dominator tree.
 * At each object one has to be told which child comes next; that takes as many bits, on average, as
 * the children's shares have entropy. Where one child holds nearly all, nothing has to be told;
 * where the mass spreads evenly over n children, log2(n) bits. Told apart are only children that
 * are alike (kinship.h): a module with a hundred different functions is no heap of things.
 *
 *   weight of a set = its share of the live bytes * bits to tell its members apart
 *                     / log2(live objects)
 *
 * is the share of all that could be told: 1 if the whole heap is one flat table of equal things.
 * No absolute size is in it, and where nothing nests the weights of all sets add up to 1 at most.
 *
 * Like children of like parents are one set: _G.rooms[*].members[*] is, over all rooms. The bits
 * that tell the rooms apart are the rooms', not the members'. A child that is like its parent, or
 * like one of the next LONGEST_CYCLE above, joins that one's set: the nodes of a list or a tree are
 * one set, as the members of a table are.
 *
 * Linear in objects and references: a set is looked into only while what lies below may still weigh
 * enough, and each object is a child once. No recursion. */
#ifndef ANALYSIS_SPREAD_H
#define ANALYSIS_SPREAD_H

#include "analysis/kinship.h"
#include "base/number_map.h"
#include "base/vector.h"
#include "base/work.h"

enum { LONGEST_CYCLE = 8, NO_SET = UINT32_MAX };

struct spread_set {
  uint32_t parent; /* the set whose members dominate these; NO_SET: the roots     */
  uint64_t signature;
  struct members VECTOR(object_id) members; /* nested ones too */
  size_t tops;                              /* members that lie in no other member           */
  uint64_t bytes;                           /* retained by the tops                         */
  size_t holders;                           /* members of the parent set that have a top       */
  object_id holder;                         /* the one with most bytes; NO_OBJECT: the roots */
  uint64_t holder_bytes;                    /* ... how many                                 */
  size_t holder_tops;                       /* ... and tops                                 */
  uint64_t holders_bytes;                   /* of all holders themselves                     */
  double weight;

  /* While it is being filled. */
  size_t looked_into; /* members whose children have been handed out      */
  double sum;         /* of x log2 x over the tops                        */
  double holder_sum;  /* the same over holders, the open one apart        */
  double promise;     /* bytes * bits that what lies below can have at most */
  object_id open;     /* the holder that is being handed out              */
  uint64_t open_bytes, open_tops;
  bool is_queued;
};

struct spread {
  const struct graph *graph;
  const struct dominators *dominators;
  object_id first; /* the VM's objects */
  uint32_t count;
  uint64_t live_bytes; /* of the objects that are reached, stacks included */
  uint64_t live_objects;
  struct spread_sets VECTOR(struct spread_set) items; /* 0: the roots, without members */
  struct number_map by_signature;                     /* parent set and signature -> set */
  uint32_t *child_first; /* children of first + i: children[child_first[i] .. child_first[i + 1]) */
  uint32_t *children;    /* minus `first`; at i == count: those that nothing dominates */
};

/* The sets of one VM, objects first .. first + count - 1, that weigh `least` or may be part of
 * something that does. On error `*result` is empty. */
MUST_CHECK struct inspect_error *spread_find(const struct graph *graph,
                                             const struct dominators *dominators, object_id first,
                                             uint32_t count, double least, const struct work *work,
                                             struct spread *result);
void spread_free(struct spread *spread);

/* Whether the members of a set lie inside of those of another, or it is that one. */
bool spread_is_inside(const struct spread *spread, uint32_t set, uint32_t other);

#endif
