/* causes.h - survivors grouped by why they are still here.
 *
 * The pattern of a chain is the sequence of its tokens (graph_token) from the root on, with the
 * name of every function passed ("@room.lua:41"; notation and generalisation in patterns.h);
 * survivors of one VM with one pattern belong to one cause. The fingerprint is the 64-bit FNV-1a
 * hash of the pattern's text: no addresses, no counts, so it is equal in two runs of one program. A
 * survivor that is only reachable through another survivor (or as value of an ephemeron entry whose
 * key is one) joins that one's cause and remembers it (held_by).
 *
 * Suspect: the reference on the representative's chain into the deepest object that dominates every
 * survivor of the cause and is not a survivor itself; if none lies on the chain, the one into the
 * object that dominates most; if nothing but the start holds the representative and it holds all
 * others, the one into the representative. If that object is an upvalue, which is one step with its
 * value, the reference to the value is the suspect, and only_holder_of is about the upvalue. */
#ifndef ANALYSIS_CAUSES_H
#define ANALYSIS_CAUSES_H

#include "analysis/chains.h"
#include "analysis/dominators.h"

/* Causes of which it is worked out what their members hold only together. */
enum { CAUSES_EXACT = 64 };

struct cause {
  uint64_t fingerprint;
  const char *pattern;     /* "package.loaded[\"game.arena\"].listeners[*]:upvalue(npc)", escaped */
  struct chain chain;      /* of the representative: the directly held member with the
                              shortest chain, then the least label, numbers by value         */
  size_t count, direct;    /* members; of these held directly                               */
  size_t first;            /* members are causes.members[first .. first + count - 1]         */
  uint64_t retained_bytes; /* of all members together: of those CAUSES_EXACT causes of a VM
                              whose members hold most one by one also what only several of
                              them hold, so that it is exact                                */
  size_t suspect;          /* position in chain of the object the suspect reference leads to;
                              0: none (even the start is no common holder)                  */
  size_t only_holder_of;   /* members dominated by the object at `suspect`                  */
  size_t cut_frees;        /* members that are no longer reachable without the suspect
                              reference (cuts.h), for the caller to fill in; SIZE_MAX: not
                              computed                                                      */
};

struct causes {
  struct cause *items; /* by retained bytes, then count, both descending, then fingerprint      */
  size_t count, capacity;
  object_id *members; /* survivors, grouped by cause, those held directly first, in the order
                         in which they were given                                              */
  size_t member_count, survivor_count;
  uint32_t *cause_of; /* by position in `survivors`: index into items, UINT32_MAX: no chain    */
  object_id *held_by; /* by position in `survivors`: the survivor nearest on the chain, or
                         NO_OBJECT                                                             */
  struct arena arena;
};

/* On error `*result` is empty. `survivors` lists distinct objects; `chains` came from a search with
 * the same options (survivors in options->survivors). `dominators` may be NULL: then no suspects,
 * no retained bytes. */
MUST_CHECK struct inspect_error *causes_group(const struct graph *graph,
                                              const struct chains *chains,
                                              const struct chains_options *options,
                                              const struct dominators *dominators,
                                              const object_id *survivors, size_t survivor_count,
                                              const struct work *work, struct causes *result);

/* The same in two steps: causes_find, for the survivors of each of a process's VMs, needs no
 * dominators yet and leaves the causes in no order; then, once for all of them, causes_judge finds
 * suspects and retained bytes (without dominators it only sorts). On error of that they are still
 * to be freed. `survivors` are those of the options, or NULL. */
MUST_CHECK struct inspect_error *causes_find(const struct graph *graph, const struct chains *chains,
                                             const struct chains_options *options,
                                             const object_id *survivors, size_t survivor_count,
                                             const struct work *work, struct causes *result);
MUST_CHECK struct inspect_error *causes_judge(const struct graph *graph,
                                              const struct dominators *dominators,
                                              const struct bitset *survivors, struct causes *causes,
                                              size_t count, const struct work *work);

void causes_free(struct causes *causes);

#endif
