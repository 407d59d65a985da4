/* leaks.h - the answer of `leaks` before it is written down: trackers, survivors, chains, causes.
 */
#ifndef COMMAND_LEAKS_H
#define COMMAND_LEAKS_H

#include "analysis/causes.h"
#include "command/trackers.h"

struct object_list VECTOR(object_id);

/* A cause of one VM. */
struct leak_cause {
  struct cause *cause;
  struct causes *causes; /* that it is one of                            */
  size_t number;         /* in there                                     */
  size_t vm;
  double youngest, oldest; /* ages of its entries; NaN: not known        */
  size_t retired;          /* entries that were said to be garbage       */
  bool can_retire;         /* a tracker of one of them knows of that     */
  size_t described;        /* an entry with the representative           */
  const uint32_t *entries; /* positions in trackers.entries, as in shown */
  size_t entry_count;
  size_t group; /* that it belongs to; what that has in all:             */
  uint64_t group_bytes, group_count;
};

/* The causes of several VMs that have one fingerprint: causes[first .. first + vms - 1]. */
struct leak_group {
  size_t first, vms;
  struct leak_cause all; /* the first one, with the entries and ages of all */
  struct cause cause;    /* the same of what they hold                      */
};

/* A reference that --cut takes away, and what that frees. */
struct leak_cut {
  const char *path; /* as typed, escaped */
  size_t frees;     /* survivors         */
};

struct leaks {
  struct trackers trackers;
  struct VECTOR(uint32_t) shown;      /* entries that pass the filters, in order if
                                         trackers.order is there                        */
  uint32_t *by_cause;                 /* those of each cause, one cause after the other */
  struct VECTOR(object_id) survivors; /* distinct, sorted by id                          */
  struct bitset survivor_set, avoid;
  struct graph_mask mask;
  struct object_list from;
  struct chains_options search;
  struct chains chains;
  struct causes *by_vm; /* one per VM                                      */
  size_t vm_count;
  struct VECTOR(struct leak_cause) causes; /* of all VMs, group by group                  */
  struct VECTOR(struct leak_group) groups; /* worst first                                 */
  struct VECTOR(struct leak_cut) cuts;
  const char **tracker_paths;     /* of each tracker, or NULL                        */
  size_t verdicts[VERDICT_COUNT]; /* of the shown entries                            */
  size_t unplaced;                /* survivors that the search does not reach ...    */
  size_t first_unplaced;          /* ... the entry of one                            */
  size_t cuts_checked;            /* causes whose suspect was cut                    */
  bool is_grouped;                /* chains and, in no order, causes are there       */
  bool searched;                  /* causes are judged                               */
  bool has_retained;              /* retained bytes and suspects are there           */
};

/* Works out everything, the cut checks of causes only if they are asked for: each is a collection.
 * An interruption leaves the rest out and sets context->partial. */
MUST_CHECK struct inspect_error *leaks_find(struct command_context *context, bool with_cut_checks,
                                            struct leaks *leaks);
void leaks_free(struct leaks *leaks);

/* Links the shown entries to causes, which are in order, and lists those of each. (leaks_link.c) */
MUST_CHECK struct inspect_error *leaks_link_entries(struct command_context *context,
                                                    struct leaks *leaks);

/* All that needs no dominators: trackers, entries, survivors, chains, causes. An interruption of
 * the last two sets context->partial. */
MUST_CHECK struct inspect_error *leaks_begin(struct command_context *context, struct leaks *leaks);

/* The same; with threads, the session is dominated meanwhile. (leaks_meanwhile.c) */
MUST_CHECK struct inspect_error *leaks_begin_meanwhile(struct command_context *context,
                                                       struct leaks *leaks);

/* The document (leaks_page.c, leaks_data.c). */
void leaks_to_data(struct command_context *context, struct leaks *leaks);
void leaks_to_page(struct command_context *context, struct leaks *leaks);

/* Parts of it: keys trackers and causes; how many trackers, entries and verdicts, on a line. */
void leaks_trackers_to_data(struct command_context *context, const struct leaks *leaks);
void leaks_causes_to_data(struct command_context *context, const struct leaks *leaks);
struct line *leaks_verdicts(struct command_context *context, const struct leaks *leaks);

/* The heading of a group of causes on the page; `number` counts from 0. (leaks_heading.c) */
void leaks_heading(struct command_context *context, const struct leaks *leaks, size_t number);

/* Puts causes into order and makes the groups; sums them up when entries are linked to causes.
 * False: out of memory. (leaks_groups.c) */
bool leaks_order_causes(struct leaks *leaks);
void leaks_sum_groups(struct leaks *leaks);

static inline const struct tracked *leaks_entry(const struct leaks *leaks, size_t entry) {
  return &leaks->trackers.entries.items[entry];
}

/* Whether --cause leaves this cause in: its groups are numbered from 1, as listed. */
bool leaks_selects(const struct command_options *options, const struct leak_cause *cause);

/* Sets the search's mask from --through and --avoid and its starts from --from; the bit set and the
 * vector that it points into are filled and owned by the caller. (search.c) */
MUST_CHECK struct inspect_error *search_options(struct inspect_session *session,
                                                const struct command_options *options,
                                                struct bitset *avoid, struct object_list *from,
                                                struct graph_mask *mask,
                                                struct chains_options *search);

#endif
