/* path.h - path expressions: how a user names an object, and how chains are printed.
 *
 *   path  = root step*
 *   root  = "_G" | "registry" | "package.loaded" | NAME (a global) | 0xADDRESS | "@" N
 *   step  = "." NAME | "[" key "]" | ":metatable" | ":env" | ":value"
 *         | ":upvalue(" NAME or N ")" | ":uservalue(" N ")" | ":key(" key ")"
 *         | ":local(" [LEVEL ","] NAME or N ")" | ":stack(" N ")" | ":constant(" N ")"
 *         | ":prototype" [ "(" N ")" ] | ":debugname(" N ")"
 *   key   = "string" | 'string' | INTEGER | FLOAT | true | false | 0xADDRESS
 *
 * Strings have Lua's escapes. A name inside parentheses may be quoted too: :local("(for state)").
 * The result is a flat list of steps; nothing is looked up here. What path_format prints parses
 * back to the same steps. */
#ifndef COMMAND_PATH_H
#define COMMAND_PATH_H

#include "base/arena.h"
#include "base/text.h"
#include "graph/graph.h"

enum path_step_kind {
  /* Roots: always and only the first step. A bare global is PATH_GLOBALS and a PATH_FIELD. */
  PATH_GLOBALS,  /* _G                                                                        */
  PATH_REGISTRY, /* registry                                                                  */
  PATH_LOADED,   /* package.loaded: the registry's _LOADED                                    */
  PATH_ADDRESS,  /* the object at `address`                                                   */
  PATH_ENTRY,    /* @N: entry `integer` (from 1) of the last listing                          */
  /* Steps. */
  PATH_FIELD,      /* [key]: the value; form TEXT, INTEGER, NUMBER, BOOLEAN or POINTER         */
  PATH_KEY,        /* :key(key): the key object itself; same forms                             */
  PATH_METATABLE,  /* :metatable                                                               */
  PATH_ENV,        /* :env                                                                     */
  PATH_VALUE,      /* :value: what an upvalue object holds                                     */
  PATH_UPVALUE,    /* :upvalue(name|n), from 1; form TEXT or INTEGER; of a thread: n-th open one */
  PATH_LOCAL,      /* :local(name|n), from 1; form TEXT or INTEGER, `level` if one was given   */
  PATH_USERVALUE,  /* :uservalue(n), from 1                                                    */
  PATH_STACK,      /* :stack(n), from 1: a slot of a thread's stack                            */
  PATH_CONSTANT,   /* :constant(n), from 1: of a prototype                                     */
  PATH_PROTOTYPE,  /* :prototype, form NONE: of a function; :prototype(n), from 1: of a prototype */
  PATH_DEBUG_NAME, /* :debugname(n), from 1: of a prototype, its source and names of variables */
};

#define PATH_ANY_LEVEL (-1)

struct path_step {
  enum path_step_kind kind;
  enum label_form form; /* which member says more: LABEL_NONE, TEXT, INTEGER, NUMBER, BOOLEAN (in
                           `integer`) or POINTER (an object or light userdata, in `address`). A
                           number with an integer value is INTEGER, also when typed as 42.0 */
  const char *text;     /* not terminated: may hold any byte */
  size_t size;
  int64_t integer;
  double number;
  uint64_t address;
  int64_t level; /* PATH_LOCAL: level of the call, 0 = innermost, or PATH_ANY_LEVEL */
};

struct path {
  const struct path_step *steps; /* at least one */
  size_t count;
  const char *source; /* as it was typed, escaped: for messages */
};

/* Parses a path into the arena. The error (USAGE) names what was expected and the column. */
MUST_CHECK struct inspect_error *path_parse(struct arena *arena, const char *text,
                                            struct path *result);

/* Appends the path, escaped, so that it parses back. False: out of memory. */
bool path_format(const struct path *path, struct text *text);

/* The same for one step, for chains that are printed step by step. */
bool path_format_step(const struct path_step *step, struct text *text);

#endif
