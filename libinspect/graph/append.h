/* append.h - one log of a walk behind another. */
#ifndef GRAPH_APPEND_H
#define GRAPH_APPEND_H

#include "graph/walk.h"

/* Puts `log` behind `found`; what it held is gone then. `found->problems` gets none: what is wrong
 * is counted, and looked at in a careful walk. */
MUST_CHECK struct inspect_error *discovery_append(struct discovery *found, struct discovery *log,
                                                  const struct work *work);

#endif
