/* classes.h - what kind of thing each object is, in the words of the program that made it.
 *
 * A class is named by evidence, the first of:
 *   tables, userdata   `__name` of the metatable: Npc, FILE*
 *                      the path of the metatable, or of the table in its `__index`, from _G or
 *                      package.loaded: game.npc.Npc (class_names.h)
 *                      the name of the metatable in the registry (luaL_newmetatable)
 *   tables             their shape (shapes.h): {desc, time}, [string], {[string] = Npc}
 *   functions          where they are defined: function room.lua:41; C functions by symbol or
 *                      library name: C function string.format; else by their place in the file
 *                      of the program or library: C function lua5.4+0x1a2b
 *   prototypes         prototype room.lua:41
 *   threads            the function they began with: coroutine room.lua:41
 * Strings, upvalues and all for which there is no evidence have class 0: their type says all.
 *
 * Two objects are of one class if type and name are equal, in whatever VM they are. */
#ifndef GRAPH_CLASSES_H
#define GRAPH_CLASSES_H

#include "graph/heap.h"

enum class_evidence {
  CLASS_BY_TYPE,     /* none but the type                        */
  CLASS_BY_NAME,     /* __name of the metatable                  */
  CLASS_BY_PATH,     /* path of the metatable or of its __index  */
  CLASS_BY_REGISTRY, /* name of the metatable in the registry    */
  CLASS_BY_SOURCE,   /* source and line                          */
  CLASS_BY_SYMBOL,   /* symbol or library name of a C function   */
  CLASS_BY_SHAPE,    /* keys and elements                        */
};

struct class_info {
  const char *name; /* escaped, owned by the classes           */
  enum class_evidence evidence;
  enum object_type type;
  object_id example; /* the first one                           */
};

struct classes {
  uint32_t *of;             /* class of each object, by id; 0: the plain type, no evidence */
  struct class_info *items; /* items[0] stands for no class                                */
  uint32_t count;
  size_t capacity;
  struct arena arena; /* owns the names                                              */
};

/* Two passes over the references and one over the entries of arrays and maps; linear. The heap is
 * built; names and places are cached in it. Free with classes_free; on error the result is empty.
 */
MUST_CHECK struct inspect_error *classes_build(struct classes *classes, struct heap *heap,
                                               const struct work *work);

/* Other ways to make groups of objects, with the same structure. What they do not speak of has
 * class 0. */
enum classes_by {
  CLASSES_BY_EVIDENCE, /* as above                                                            */
  CLASSES_BY_SHAPE,    /* tables by their shape alone, whatever their metatables say          */
  CLASSES_BY_SOURCE,   /* functions, prototypes and threads by source file: room.lua          */
};

MUST_CHECK struct inspect_error *classes_build_by(struct classes *classes, struct heap *heap,
                                                  enum classes_by by, const struct work *work);

/* A zeroed structure may be freed. */
void classes_free(struct classes *classes);

/* The name of the object's class or, if it has none, of its type: "Npc", "string". Never NULL. */
static inline const char *classes_name(const struct classes *classes, const struct graph *graph,
                                       object_id object) {
  uint32_t class = classes->of[object];
  return class ? classes->items[class].name
               : object_type_name((enum object_type)graph->type[object]);
}

/* "by-name", "by-path", ...: for JSON. Static. */
const char *class_evidence_name(enum class_evidence evidence);

#endif
