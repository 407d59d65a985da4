/* class_names.h - what a program calls the classes of its tables and userdata: names of metatables.
 *
 * The evidence is, in this order: the metatable's own `__name`; the path of the metatable, or else
 * of the table in its `__index`; its name in the registry.
 *
 * Paths lead from _G ("Npc") or package.loaded ("game.npc") over at most MOST_STEPS fields of plain
 * tables. The path with the fewest steps wins, then the first in text order. Names of fields are
 * those of the language ("Npc.State"); a table in a field that begins with two underscores, as
 * libraries for classes keep their metatables, has the path of its owner. _G itself lends its name
 * to nothing: a table that inherits from it is an environment, no object of a class. */
#ifndef GRAPH_CLASS_NAMES_H
#define GRAPH_CLASS_NAMES_H

#include "graph/classes.h"

struct class_name {
  const char *text; /* escaped; lives as long as the heap; NULL: the metatable has no name */
  enum class_evidence evidence;
};

/* What instances of this metatable are called. Paths are searched once per heap. */
struct class_name heap_class_name(struct heap *heap, object_id metatable);

/* The metatable of a table or userdata, NO_OBJECT if it has none. */
object_id graph_metatable(const struct graph *graph, object_id object);

void heap_class_names_close(struct heap *heap);

#endif
