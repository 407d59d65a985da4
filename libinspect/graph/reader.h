/* reader.h - one worker of a walk: visits objects and takes their references (see walk.c).
 *
 * A reader has a log of its own (struct discovery) and the target's memory in common with the
 * others. What it discovers goes behind the last entry of its log, to be visited in turn, or, in a
 * sweep, nowhere: that it is marked is enough. */
#ifndef GRAPH_READER_H
#define GRAPH_READER_H

#include "graph/walk.h"

enum {
  READER_BATCH = 16, /* objects visited before the marks of what they refer to are looked at */
  READER_HEADERS_AHEAD = 32, /* of the visit: headers that are asked for */
  READER_RING = 64,          /* a power of 2, more than READER_HEADERS_AHEAD */
};

struct reader {
  struct heap *heap;
  struct vm vm; /* a copy, for its caches; owns nothing */
  struct discovery *found;
  bool is_plain;    /* see visit.h */
  bool is_sweeping; /* what is discovered is marked, and not put into the queue */
  bool is_shared;   /* others mark at the same time */
  /* Sums over the objects that were visited and marked, for whoever merges. */
  uint64_t object_bytes, marked;
  uint32_t coroutines;
  struct VECTOR(uint32_t) later; /* objects that lists lead to and that were not marked when seen */

  /* Its own. */
  struct visit visit;
  size_t hint;
  /* References that were read but whose targets were not looked at: from `taken` to the end of
   * found->targets (found->kinds.count is not up to date meanwhile). */
  size_t taken, room;          /* room: how many more may be read before they are looked at */
  struct VECTOR(uint8_t) tags; /* is_careful: the kinds of objects that they say they lead to */
  bool lost_key;               /* the last reference was a key that leads nowhere */
  bool no_memory;
  bool is_stopped; /* found out while a large object was visited, as is no_memory          */
  const struct work *work; /* of the thread that may report; NULL: of none */
  const bool *stops; /* what is shared: others have stopped; or NULL                         */
  uint32_t nexts[READER_BATCH]; /* where the `next` pointers of the batch lead */
  size_t next_count;
  struct ahead { /* an object that will be visited soon */
    uint64_t address;
    const uint8_t *header;           /* in the host          */
    uint64_t available;              /* bytes from there on  */
  } ring[READER_RING];               /* of the queue's places, modulo READER_RING */
  size_t headers_asked, parts_asked; /* places in the queue */
};

/* `found` outlives the reader. */
MUST_CHECK struct inspect_error *reader_init(struct reader *reader, struct heap *heap, size_t index,
                                             struct discovery *found);
void reader_free(struct reader *reader);

/* Puts an object into the queue unless it is marked. `*granule` is its number, NO_GRANULE if the
 * address is none where an object can be. */
MUST_CHECK struct inspect_error *reader_discover(struct reader *reader, uint64_t address,
                                                 uint8_t tag, uint8_t flags, uint32_t *granule);

/* Notes that the list of objects goes on at an address; at most READER_BATCH times before
 * reader_mark. 0: it ends. */
void reader_take_next(struct reader *reader, uint64_t address);

/* Notes something that makes no sense. */
void reader_add_problem(struct reader *reader, const struct problem *problem);

/* Looks at the marks of all that was taken. */
MUST_CHECK struct inspect_error *reader_mark(struct reader *reader);

/* Visits the queue from `*next` to `end`. */
MUST_CHECK struct inspect_error *reader_read(struct reader *reader, size_t *next, size_t end);

/* Drops what is in the queue from `next` on. */
void reader_cut(struct reader *reader, size_t next);

/* A share of discovery.balance: murmur3's finalizer, so that shares do not cancel out. */
static inline uint64_t reader_share(uint32_t granule) {
  uint64_t hash = (granule + UINT64_C(1)) * UINT64_C(0xff51afd7ed558ccd);
  hash = (hash ^ hash >> 33) * UINT64_C(0xc4ceb9fe1a85ec53);
  return hash ^ hash >> 33;
}

/* The kind of a reference whose entry has lost its key: a value without a key. Where keys are weak
 * nobody knows whether the key still holds it; so it is as weak as a key. */
static inline enum reference_kind reference_without_key(enum reference_kind kind, uint8_t flags) {
  if (kind != REFERENCE_FIELD && kind != REFERENCE_KEYED) return kind;
  return (flags & (OBJECT_WEAK_KEYS | OBJECT_WEAK_VALUES)) == OBJECT_WEAK_KEYS ? REFERENCE_KEY
                                                                               : REFERENCE_INDEX;
}

/* UNSUPPORTED: 2^32 objects, or as many references of ROW_BLOCK neighbours. */
struct inspect_error *reader_too_many(void);
struct inspect_error *reader_too_dense(void);

#endif
