/* trackers_parts.h - what the files about trackers have in common.
 *
 *   trackers_recognise.c   is a weak table a tracker, and which fields do its records have?
 *   trackers_read.c        its entries, and the verdict on what they watch
 *   trackers_text.c        what of an entry is read again when it is shown
 *   trackers_order.c       their order
 *   trackers.c             which weak tables there are */
#ifndef COMMAND_TRACKERS_PARTS_H
#define COMMAND_TRACKERS_PARTS_H

#include <math.h>

#include "command/trackers.h"

static inline bool is_number(struct lua_value value) {
  return value.tag == TAG_INTEGER || value.tag == TAG_FLOAT;
}

/* NaN if it is none. */
static inline double number_of(const struct vm *vm, struct lua_value value) {
  if (value.tag == TAG_INTEGER) return (double)value_integer(vm, value);
  return value.tag == TAG_FLOAT ? value_number(vm, value) : NAN;
}

static inline bool is_text(struct lua_value value) {
  return value_is_object(value) && value_is_string(value);
}

/* Fills in `kind` and the keys of the records of a weak-keyed table. */
void tracker_recognise(struct vm *vm, const struct lua_table *table, struct tracker *tracker,
                       bool *is_candidate, bool *is_tracker);

/* Appends the tracker and its entries; nothing if its table cannot be read. */
MUST_CHECK struct inspect_error *tracker_read(struct inspect_session *session,
                                              const struct work *work, struct trackers *trackers,
                                              struct tracker *tracker);

#endif
