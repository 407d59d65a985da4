/* heaviest.h - the top of a dominator tree: of each object the children that retain most.
 *
 * Children of one object are disjoint: what they retain, together with the object's own bytes, is
 * what the object retains. So what is left out is known without being looked at. */
#ifndef ANALYSIS_HEAVIEST_H
#define ANALYSIS_HEAVIEST_H

#include "analysis/dominators.h"
#include "base/vector.h"

/* Children that are not listed, and what would be freed with them. */
struct heavy_rest {
  uint64_t count, bytes, objects;
};

struct heavy {
  object_id object;
  uint32_t parent;        /* position in the list; NO_HEAVY: none                         */
  uint32_t depth;         /* from 1                                                       */
  uint32_t first, count;  /* its children: positions first .. first + count - 1           */
  struct heavy_rest rest; /* zero at the last level, which nobody looked below            */
};

#define NO_HEAVY UINT32_MAX

struct heaviest {
  struct VECTOR(struct heavy) list; /* level by level; children largest first, then by address */
  uint32_t first_count;             /* of the first level: positions 0 .. first_count - 1      */
  struct heavy_rest rest;           /* of the first level, not listed                          */
};

/* How many objects would be freed with this one, itself included. */
static inline uint64_t dominators_objects(const struct dominators *dominators, object_id object) {
  if (!dominators->enter[object]) return 0;
  return (uint64_t)dominators->leave[object] - dominators->enter[object] + 1;
}

struct heaviest_options {
  object_id top;              /* whose children to list; NO_OBJECT: what nothing dominates */
  const struct bitset *among; /* the first level is limited to these, or NULL              */
  uint32_t depth, limit;      /* levels, children of one object                            */
  uint64_t least;             /* from the second level on, what retains less is left out   */
};

/* One pass over the objects for each level. At most MOST_HEAVY objects are listed. Free the result
 * with heaviest_free; on error it is empty. */
enum { MOST_HEAVY = 20000 };
MUST_CHECK struct inspect_error *heaviest_find(const struct graph *graph,
                                               const struct dominators *dominators,
                                               const struct heaviest_options *options,
                                               const struct work *work, struct heaviest *result);
void heaviest_free(struct heaviest *heaviest);

#endif
