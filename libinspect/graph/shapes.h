/* shapes.h - what a table looks like: the evidence for its class where nobody named it.
 *
 *   {desc, time}       a record: the field names it has, sorted; {a, b, +7} after some of them,
 *                      {a, b, ...} if it has string keys besides that are no field names
 *   [string]           an array, or what has number keys only: what its elements are
 *   {[string] = Npc}   a map: what keys and values are
 *   {}                 nothing in it
 *
 * A string is a *field name* if it is an identifier that a prototype has as a constant, or that
 * MANY_USES tables or more have as a key; other string keys are data. A table whose keys are data
 * or objects for the most part, or that has more than MOST_FIELDS names, is a map. Elements are
 * named by class where all have one, else by type where all have one, else "mixed"; arrays and maps
 * as elements are "array" and "map", so that the depth is bounded. */
#ifndef GRAPH_SHAPES_H
#define GRAPH_SHAPES_H

#include "base/work.h"
#include "graph/heap.h"

enum shape_form { SHAPE_EMPTY, SHAPE_RECORD, SHAPE_ARRAY, SHAPE_MAP };

struct shapes {
  struct heap *heap;
  const struct work *work;
  uint8_t *uses; /* of strings: as keys of tables, up to MANY_USES            */
};

/* Finds the field names: one pass over the references. Always shapes_close afterwards. */
MUST_CHECK struct inspect_error *shapes_open(struct shapes *shapes, struct heap *heap,
                                             const struct work *work);
void shapes_close(struct shapes *shapes);

/* The form of a table from its references; of records the hash of their set of field names,
 * whatever the order, in `*fields`. Arrays and maps are told apart for good by shapes_elements. */
enum shape_form shapes_form(const struct shapes *shapes, struct vm *vm, object_id table,
                            uint64_t *fields);

/* Appends the name of a record. False: out of memory. */
bool shapes_record(const struct shapes *shapes, object_id table, struct text *text);

/* What all elements have in common. */
enum element_kind {
  ELEMENT_NONE, /* there are none */
  ELEMENT_STRING,
  ELEMENT_NUMBER,
  ELEMENT_BOOLEAN,
  ELEMENT_FUNCTION,
  ELEMENT_USERDATA,
  ELEMENT_LIGHT_USERDATA,
  ELEMENT_THREAD,
  ELEMENT_ARRAY,
  ELEMENT_MAP,
  ELEMENT_TABLE,
  ELEMENT_MIXED,
};

struct elements {
  enum element_kind kind;
  uint32_t class; /* 0: of several, or none */
};

/* Classes as they are known so far, with ELEMENT_ARRAY or ELEMENT_MAP for arrays and maps. */
struct element_classes {
  void *context;
  struct elements (*of)(void *context, object_id object);
};

/* Looks at the entries of an array or map: references first, then what is no object. */
void shapes_elements(const struct shapes *shapes, const struct element_classes *classes,
                     struct vm *vm, object_id table, struct elements *keys,
                     struct elements *values);

/* "string", "number", "table", "mixed", ...: static. */
const char *element_kind_name(enum element_kind kind);

#endif
