/* trackers.h - weak tables that watch resources, and the verdict on what they watch.
 *
 * A tracker's entries pair an object with its description and creation time. Found without being
 * named are: tables made by leakwatch (their metatable carries `leakwatch`, a version), and
 * weak-keyed tables whose values are records with a description (a string) and a time. Weak-keyed
 * tables with plain strings as values are candidates; all others are merely counted. */
#ifndef COMMAND_TRACKERS_H
#define COMMAND_TRACKERS_H

#include "command/session.h"

enum tracker_kind { TRACKER_LEAKWATCH, TRACKER_FOUND, TRACKER_NAMED, TRACKER_CANDIDATE };

enum verdict {
  VERDICT_LEAKED,
  VERDICT_GARBAGE,
  VERDICT_FINALIZER,
  VERDICT_NEVER,
  VERDICT_UNKNOWN,
  VERDICT_COUNT
};

struct tracker {
  object_id table;
  size_t vm;
  enum tracker_kind kind;
  uint64_t description_key, time_key; /* string objects, the keys in records; 0: none         */
  uint64_t retired_key, trace_key;    /* of leakwatch                                            */
  int64_t description_index, time_index; /* of records that are arrays; 0: none               */
  uint64_t entries, verdicts[VERDICT_COUNT];
  size_t first, first_extra; /* in trackers.entries and, if it has any, in trackers.extras       */
};

static inline bool tracker_has_extras(const struct tracker *tracker) {
  return tracker->retired_key || tracker->trace_key;
}

/* One watched value: 32 bytes, as there may be millions. What else is known of it is asked for. */
struct tracked {
  object_id object;  /* NO_OBJECT: a value that is no object                   */
  object_id held_by; /* another survivor, or NO_OBJECT                         */
  uint32_t cause;    /* position in the list of causes, UINT32_MAX: none       */
  uint32_t text;     /* granule of the string that is its description, or NO_GRANULE */
  double created;    /* as recorded; NaN: not recorded                         */
  uint32_t tracker;  /* position in the list of trackers                       */
  uint8_t verdict;   /* enum verdict                                           */
  bool is_retired;   /* it was said to be garbage                              */
};

/* What leakwatch records besides. */
struct tracked_extra {
  double retired; /* when; NaN: not known or never                                     */
  uint32_t trace; /* granule of the traceback of the creation, or NO_GRANULE           */
};

struct trackers {
  struct VECTOR(struct tracker) list;         /* those that count                                */
  struct VECTOR(struct tracked) entries;      /* grouped by tracker, as they lie in the target   */
  struct VECTOR(struct tracked_extra) extras; /* of the trackers that have them                */
  uint32_t *order;                            /* their positions, sorted; NULL until they are    */
  struct VECTOR(struct tracker) candidates;
  uint64_t other_weak;  /* weak tables that are neither                                      */
  struct bitset tables; /* all trackers and candidates: chains do not pass through them     */
  bool tables_only;     /* nothing else is wanted                                           */
  struct heap *heap;
  double now, cpu_time; /* what ages count from                                             */
};

/* A text of the target: raw; NULL if there is none. Valid as long as the session. */
struct tracked_text {
  const char *bytes;
  size_t size;
};

const char *tracker_kind_name(enum tracker_kind kind);
const char *verdict_name(enum verdict verdict);

/* Finds the trackers in the selected VMs (or takes the one that --tracker names) and judges their
 * entries. The session must be collected. */
MUST_CHECK struct inspect_error *trackers_find(struct inspect_session *session,
                                               const struct command_options *options,
                                               const struct work *work, struct trackers *trackers);
void trackers_free(struct trackers *trackers);

/* Only the tables of all VMs, trackers and candidates: a set for the caller to free. */
MUST_CHECK struct inspect_error *trackers_find_tables(struct inspect_session *session,
                                                      const struct work *work,
                                                      struct bitset *tables);

/* Fills in `order`: by tracker, then creation time, then description, then address. Worth it only
 * for entries that are listed. (trackers_order.c) */
MUST_CHECK struct inspect_error *trackers_sort(const struct work *work, struct trackers *trackers);

/* Negative, 0 or positive: two entries by that order. */
int trackers_compare(const struct trackers *trackers, const struct tracked *a,
                     const struct tracked *b);

/* ---- Of an entry (trackers_text.c) ------------------------------------------------------------
 */

struct tracked_text tracked_description(const struct trackers *trackers,
                                        const struct tracked *tracked);

/* Asks for what tracked_description reads. `*hint` is kept by the caller, 0 at first. */
void tracked_prefetch(const struct trackers *trackers, const struct tracked *tracked, size_t *hint);

/* Reads descriptions while other threads do so, too: each has its own. */
struct tracked_reader {
  const struct trackers *trackers;
  struct vm vm;  /* a copy, for its caches: of the VM ... */
  size_t number; /* ... that the last entry belonged to   */
};
void tracked_reader_init(struct tracked_reader *reader, const struct trackers *trackers);
struct tracked_text tracked_reader_text(struct tracked_reader *reader,
                                        const struct tracked *tracked);

/* Traceback of the creation. */
struct tracked_text tracked_trace(const struct trackers *trackers, const struct tracked *tracked);

/* When it was said to be garbage; NaN: not known or never. */
double tracked_retired(const struct trackers *trackers, const struct tracked *tracked);

/* Seconds; NaN: not known. What was created at a number of seconds since 1970 counts against the
 * dump's time, at a small number against the CPU time used (it looks like os.clock); anything else
 * is not guessed. */
double tracked_age(const struct trackers *trackers, const struct tracked *tracked);

#endif
