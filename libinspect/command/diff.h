/* diff.h - what grew between two dumps, before it is written down.
 *
 *   diff.c         both targets, classes, causes; and is the command
 *   diff_paths.c   growth by retaining path
 *   diff_view.c    page and data
 *
 * What is compared is what a full collection leaves. *Before* is the other, older dump, *after* the
 * target itself. */
#ifndef COMMAND_DIFF_H
#define COMMAND_DIFF_H

#include "analysis/places.h"
#include "command/leaks.h"

struct diff_tally {
  uint64_t objects, bytes;
};

/* A class of objects, by type and name, in all selected VMs. */
struct diff_class {
  enum object_type type;
  const char *name;
  struct diff_tally before, after;
  uint64_t kept; /* objects that are in both; after - kept are new, before - kept are gone */
};

/* A retaining path: a place (places.h) where the growth lies, with the objects there, and the bytes
 * of all that is reached through it. */
struct diff_path {
  const char *name, *class;
  struct diff_tally before, after;
  object_id example; /* of the target; NO_OBJECT: all are gone */
};

/* A cause of survivors, by fingerprint. */
struct diff_cause {
  uint64_t fingerprint;
  const char *pattern;
  struct diff_tally before, after; /* survivors and what they retain */
};

struct diff_side {
  struct command_context context; /* with the side's own session */
  struct leaks leaks;
  struct places places;
  struct diff_tally live;
};

struct diff {
  struct inspect_session *other;
  struct diff_side before, after;
  struct VECTOR(struct diff_class) classes; /* by growth of bytes, largest first               */
  struct VECTOR(struct diff_path) paths;    /* likewise                                        */
  struct VECTOR(struct diff_cause) causes;  /* likewise                                        */
  bool is_same_process;                     /* addresses mean the same in both                 */
  uint64_t kept;                            /* objects that are in both; 0 for two processes   */
  double seconds;                           /* from before to after                            */
};

/* Fills in diff->paths from both sides, whose sessions are collected and classified. */
MUST_CHECK struct inspect_error *diff_find_paths(struct command_context *context,
                                                 struct diff *diff);

void diff_to_data(struct command_context *context, const struct diff *diff);
void diff_to_page(struct command_context *context, const struct diff *diff);

/* after - before. */
static inline int64_t diff_growth(uint64_t before, uint64_t after) {
  return (int64_t)(after - before);
}

#endif
