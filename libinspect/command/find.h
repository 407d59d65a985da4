/* find.h - which objects `find` looks for, and what it found.
 *
 *   find.c          the conditions and the pass over all objects
 *   find_view.c     page and data, and the command */
#ifndef COMMAND_FIND_H
#define COMMAND_FIND_H

#include "base/number_map.h"
#include "base/selection.h"
#include "command/object_view.h"

enum find_order { FIND_BIGGEST, FIND_BYTES, FIND_RETAINED, FIND_ADDRESS, FIND_CLASS };

struct found_object {
  uint64_t size; /* what the order goes by, if by size */
  object_id object;
};

struct finding {
  struct command_context *context;
  bool has_retained; /* asked for: retained bytes are known            */
  /* Conditions on classes, decided once for each class; NULL: none. */
  bool type_fits[OBJECT_TYPE_COUNT]; /* of objects without a class, whose type stands for it */
  bool *class_fits, *source_fits, *shape_fits;
  struct classes shapes; /* zeroed unless a shape is asked for                */
  /* Keys that a table must have: bit `number` for each. */
  struct number_map keys; /* string object -> number                           */
  uint64_t all_keys;
  enum find_order order;
  struct selection found; /* of struct found_object                            */
  uint64_t bytes;         /* of all that match                                 */
};

/* Fills in a zeroed finding; on interruption what was found until then. Free it in any case. */
MUST_CHECK struct inspect_error *find_objects(struct command_context *context,
                                              struct finding *finding);
void find_free(struct finding *finding);

#endif
