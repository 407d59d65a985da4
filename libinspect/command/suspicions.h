/* suspicions.h - accumulations of a target as suspects: with a chain, and in words.
 *
 * What `leaks` calls a suspect is the reference where the wanted part ends and the leak begins.
 * Here it is the reference to the holder of an accumulation; to the entries themselves if the
 * holder is a root (the registry) or if the entries are a list or tree (the reference to its first
 * node). */
#ifndef COMMAND_SUSPICIONS_H
#define COMMAND_SUSPICIONS_H

#include "analysis/accumulation.h"
#include "command/leaks.h"

struct suspicion {
  size_t vm;
  struct accumulation pile;
  struct chain chain;   /* from a root over the holder to one entry                        */
  size_t suspect;       /* position in the chain of what the suspect reference leads to    */
  const char *path;     /* of the holder, escaped; NULL: no chain outside of trackers      */
  const char *entries;  /* what they are, in words: "{id, payload}", "coroutines", escaped */
  const char *sentence; /* the whole in words                                              */
  size_t cause;         /* of `leaks`, with the same suspect; SIZE_MAX: none               */
  size_t cause_number;  /* of its group, from 0                                            */
  size_t vms;           /* that have the like at the same path                             */
  bool is_first;        /* the worst of these: the one that the page shows                 */
};

struct suspicions {
  struct suspicion *items; /* worst first */
  size_t count, capacity;
  size_t different; /* if what many VMs have counts once */
};

/* Those of the selected VMs. `leaks` tells trackers, which are not suspected, and causes, which are
 * known already. The session is dominated. Texts live in the context's arena. On error free as
 * well. */
MUST_CHECK struct inspect_error *suspicions_find(struct command_context *context,
                                                 const struct leaks *leaks,
                                                 struct suspicions *result);
void suspicions_free(struct suspicions *suspicions);

/* Key suspects; the suspects of the page, and a listing of their holders for @N. */
void suspicions_to_data(struct command_context *context, const struct suspicions *suspicions);
void suspicions_to_page(struct command_context *context, const struct suspicions *suspicions);

#endif
