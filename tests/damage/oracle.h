/* oracle.h - what must still be said of a heap when an object in it is garbled.
 *
 * From the sound graph two collections are computed: as it is, and without the references of what
 * is damaged. Objects of which both say the same keep their verdict:
 *   live in both        live, in spite of the damage
 *   dead in both        never live, unless a damaged object now refers to something that holds it;
 *                       `unknown` is allowed (analysis/doubt.h): what a damaged object referred to
 *                       is not known, and two cores that differ in just that look the same now.
 *                       How often it is said is counted
 *   live in one only    live, or `unknown`: it is not said to be garbage. (Damage that leaves no
 *                       trace, one sound value in the place of another, is not known to anybody.)
 * A table whose mode was changed by the damage of something else (its metatable, a string) counts
 * as damaged. */
#ifndef DAMAGE_ORACLE_H
#define DAMAGE_ORACLE_H

#include "damage.h"

enum oracle_answer {
  ORACLE_AGREES,
  ORACLE_SILENT, /* the damage cannot be judged: it hits the VM's state or the file */
  ORACLE_DIFFERS,
};

/* Objects of all comparisons so far that were dead and are; of these, the ones that are `unknown`.
 */
struct oracle_counts {
  uint64_t dead, undecided;
};

/* `session` is the damaged core, collected. A sentence for each difference, some at most, goes to
 * `text`. */
enum oracle_answer oracle_compare(const struct damage *damage, struct inspect_session *session,
                                  struct oracle_counts *counts, char *text, size_t size);

#endif
