/* evidence.h - telling releases apart that share a layout, by what their code left in the heap.
 *
 * 5.4.4 changed where integer keys go in the hash part of a table, and what the byte gcstp means
 * (layout.h: integer_hash, stop_form); no field moved. Any table with an integer key in its hash
 * part shows on which side of that change a VM is. */
#ifndef GRAPH_EVIDENCE_H
#define GRAPH_EVIDENCE_H

#include "base/work.h"
#include "graph/heap.h"

/* The layout's integer_hash or, if it leaves that open, what a clear majority of keys says; UNKNOWN
 * if there are too few. After heap_build. */
MUST_CHECK struct inspect_error *evidence_integer_hash(struct heap *heap, size_t index,
                                                       const struct work *work,
                                                       enum integer_hash *result);

/* The same for stop_form. */
enum stop_form evidence_stop_form(const struct layout *layout, enum integer_hash integers);

#endif
