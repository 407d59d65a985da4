/* graph.h - the immutable object graph: the contract between reading (F1-F3) and thinking (F5).
 *
 * Objects are numbered 0 .. object_count-1 in order of discovery; attributes are parallel arrays.
 * References are in compressed sparse rows: those of object v are the positions
 * graph_first(g, v) .. graph_first(g, v + 1) - 1 of target[] and kind[], in an order that the
 * reader fixes (so that a reference can be read again from the target for its label).
 *
 * Weak tables keep all their references in the graph; their meaning follows from the flags of the
 * object and the kind of the reference:
 *   strong table        everything is followed
 *   WEAK_KEYS           ephemerons. KEY is weak. A FIELD or KEYED reference belongs to the KEY
 *                       reference right before it and is followed once that key is reached
 *                       (string keys count as reached). INDEX is strong (its key is no object).
 *   WEAK_VALUES         KEY is strong; FIELD, KEYED and INDEX are weak
 *   both                only METATABLE is strong. LEFTOVER, the string key of an empty entry, is of
 *                       interest to the collector alone
 * In every table a FIELD or KEYED reference directly follows the KEY reference of its entry. A KEY
 * that is not followed by FIELD or KEYED belongs to an entry whose value is no object. */
#ifndef GRAPH_GRAPH_H
#define GRAPH_GRAPH_H

#include "base/arena.h"
#include "base/bitset.h"
#include "base/error.h"
#include "base/object.h"
#include "base/text.h"
#include "inspect.h"

typedef uint32_t object_id;    /* position in the arrays of a graph           */
typedef uint64_t reference_id; /* position in target[] and kind[]             */

#define NO_OBJECT    UINT32_MAX
#define NO_REFERENCE UINT64_MAX

/* Where reachability begins. */
enum root_kind {
  ROOT_MAIN_THREAD,
  ROOT_RUNNING_THREAD,
  ROOT_REGISTRY,
  ROOT_BASIC_METATABLE, /* `index` is the Lua type: 4 string, 0 nil, ...                       */
  ROOT_PENDING,         /* an object whose finalizer is due and that the collector marks        */
  ROOT_GLOBALS,         /* named entry points below the registry: they start chains, but do not */
  ROOT_LOADED,          /* by themselves keep anything alive (collect ignores them)             */
};

struct graph_root {
  object_id object;
  enum root_kind kind;
  uint32_t index;
  uint32_t vm;
};

/* What a reference is called. Texts live in the label's arena and are raw target bytes. */
enum label_form {
  LABEL_NONE,    /* the kind says it all: metatable                                       */
  LABEL_TEXT,    /* string key, upvalue name, local name                                  */
  LABEL_INTEGER, /* integer key, number of an upvalue, user value or stack slot (from 1)  */
  LABEL_NUMBER,  /* float key                                                             */
  LABEL_BOOLEAN, /* boolean key, in `integer`                                             */
  LABEL_POINTER, /* light userdata or light C function as key: address in `integer`       */
  LABEL_OBJECT,  /* object as key, in `object`                                            */
};

struct graph_label {
  enum reference_kind kind;
  enum label_form form;
  const char *text;
  size_t size;
  int64_t integer;
  double number;
  object_id object;
  uint32_t level;       /* STACK: level of the call that owns the slot, 0 = innermost             */
  const char *function; /* STACK: its function as "name:line", escaped, or NULL                   */
};

/* How labels are had: the walk reads them from the target again, hand-written graphs keep them. */
struct graph_label_source {
  void *context;
  /* Fills in the label of a reference of `from`. Never fails: at worst LABEL_NONE. */
  void (*label)(void *context, object_id from, reference_id reference, struct arena *arena,
                struct graph_label *label);
  /* What identifies a function across runs: "room.lua:41" ("C function NAME" for C), escaped; NULL
   * for other objects and unknown ones. Lives in the arena. */
  const char *(*function_name)(void *context, object_id object, struct arena *arena);
  /* The bytes of a string object (raw), NULL if unreadable. */
  const char *(*string)(void *context, object_id object, size_t *size);
  /* A number that orders objects by address, the last resort for ties. */
  uint64_t (*address)(void *context, object_id object);
  /* How many INDEX references of a table lead to elements of its array part: they come one after
   * the other, in the order of their keys, which are integers, and only METATABLE comes before
   * them. It spares reading their labels, so 0 is never wrong. NULL: always 0. */
  uint64_t (*elements)(void *context, object_id table);
};

/* References of an object that could not be read: they may have led to any object from `first` to
 * before `end` that is of one of these types (1 << enum object_type). NO_OBJECT: nobody knows whose
 * they were. Or, `is_unlisted`: the object itself hangs on the lost part of a broken list. */
struct graph_loss {
  object_id object, first, end;
  uint8_t types;
  bool is_unlisted;
};

enum { BIG_OBJECT = UINT16_MAX };

struct graph {
  uint32_t object_count;
  uint64_t reference_count;
  uint8_t *type;         /* enum object_type                                      */
  uint8_t *flags;        /* enum object_flag, or-ed                               */
  uint16_t *bytes;       /* shallow size as the VM counts it; BIG_OBJECT: see big */
  uint64_t *block_first; /* first reference of object 65536*i ...                 */
  uint32_t *first;       /* ... plus this: object_count + 1 entries               */
  object_id *target;     /* of each reference                                     */
  uint8_t *kind;         /* enum reference_kind                                   */
  struct graph_root *roots;
  size_t root_count;
  struct graph_big {
    object_id object;
    uint64_t bytes;
  } * big; /* objects of BIG_OBJECT bytes and more, sorted by id    */
  size_t big_count;
  bool incomplete;           /* references were lost (damage, missing memory): what is not
                                reached may still have been reachable: analysis/doubt.h */
  struct graph_loss *losses; /* which these are; none although incomplete: it is not known */
  size_t loss_count;
  struct graph_label_source labels;
};

static inline reference_id graph_first(const struct graph *graph, uint64_t object) {
  return graph->block_first[object >> 16] + graph->first[object];
}

uint64_t graph_bytes(const struct graph *graph, object_id object);

/* What a list of big objects, sorted by id, says of one. */
uint64_t graph_big_bytes(const struct graph_big *big, size_t count, object_id object);

/* The object whose row holds the reference: binary search. */
object_id graph_owner(const struct graph *graph, reference_id reference);

/* Frees the arrays, not the label source's context. */
void graph_free(struct graph *graph);

/* "table", "function", "cfunction", ...: the words of the JSON contract. */
const char *object_type_name(enum object_type type);

/* "field", "index", "key", ...: the words of the JSON contract ("KEYED" is "index"). */
const char *reference_kind_name(enum reference_kind kind);

/* ---- What a walk may follow ------------------------------------------------------------------ */

/* A restriction of the graph: one mechanism for "avoid this object", "only these kinds of
 * references" and "without this reference". A null pointer to a mask means no restriction. */
struct graph_mask {
  const struct bitset *avoid; /* objects that are not entered, or NULL      */
  uint32_t kinds;             /* bit (1 << kind) = may be followed          */
  const reference_id *cut;    /* references that are not there, sorted      */
  size_t cut_count;
};

static inline bool mask_enters(const struct graph_mask *mask, object_id object) {
  return !mask || !mask->avoid || !bitset_has(mask->avoid, object);
}

bool mask_is_cut(const struct graph_mask *mask, reference_id reference);

static inline bool mask_follows(const struct graph_mask *mask, uint8_t kind,
                                reference_id reference) {
  return !mask ||
         ((mask->kinds >> kind & 1) && (!mask->cut_count || !mask_is_cut(mask, reference)));
}

/* Whether a collection follows the reference without looking at anything else: true for all of a
 * strong object, false for weak references and for values of ephemerons (see above). `follows_key`
 * says that the reference before it in the row is the KEY of the same entry. */
static inline bool graph_is_strong(uint8_t flags, uint8_t kind) {
  switch (flags & (OBJECT_WEAK_KEYS | OBJECT_WEAK_VALUES)) {
  case 0:
    return true;
  case OBJECT_WEAK_KEYS:
    return kind == REFERENCE_INDEX || kind == REFERENCE_METATABLE;
  case OBJECT_WEAK_VALUES:
    return kind == REFERENCE_KEY || kind == REFERENCE_METATABLE;
  default:
    return kind == REFERENCE_METATABLE;
  }
}

/* Whether the reference is the value of an ephemeron entry; its key is target[reference - 1]. */
static inline bool graph_is_ephemeron_value(uint8_t flags, uint8_t kind) {
  return (flags & (OBJECT_WEAK_KEYS | OBJECT_WEAK_VALUES)) == OBJECT_WEAK_KEYS &&
         (kind == REFERENCE_FIELD || kind == REFERENCE_KEYED);
}

/* ---- Tokens: labels made comparable across runs ---------------------------------------------- */

/* Appends the canonical token of a reference of `from`, escaped:
 *   FIELD                  .name if the key is an identifier, else ["any text"]; [?] if unreadable
 *   INDEX                  [*] for numbers, [true], [false], [pointer] for light values
 *   KEYED                  the key's type: [table], [function], [userdata], ...
 *   KEY                    :key
 *   METATABLE              :metatable
 *   UPVALUE                :upvalue(name); :upvalue(1) for nameless ones (C functions)
 *   UPVALUE_VALUE          nothing: the value is one step with the upvalue before it
 *   OPEN_UPVALUE           :upvalue(name), :upvalue if nameless (slot numbers are no identity)
 *   ENVIRONMENT            :env
 *   STACK, MAYBE_STACK     :local(name), :stack if nameless
 *   USER_VALUE             :uservalue(1)
 *   CONSTANT, PROTOTYPE, DEBUG   :constant, :prototype, :debug
 * A name that is no identifier, such as (for state), is quoted: :local("(for state)"). False: out
 * of memory. */
bool graph_token(const struct graph *graph, object_id from, reference_id reference,
                 struct text *text);

/* ---- Building by hand ------------------------------------------------------------------------ */

/* For tests and small synthetic graphs: objects first, then references row by row in any order of
 * rows; builder_finish sorts them into CSR. All return false when memory is out. */
struct graph_builder;
struct graph_builder *graph_builder_create(void);
bool graph_builder_object(struct graph_builder *builder, enum object_type type, uint8_t flags,
                          uint64_t bytes);
/* `label` is the name (FIELD, UPVALUE, STACK ...) or NULL; `integer` the index (INDEX) or the
 * number of a nameless upvalue, user value or slot (from 1; 0: none). The order within a row is
 * kept. */
bool graph_builder_reference(struct graph_builder *builder, object_id from,
                             enum reference_kind kind, object_id to, const char *label,
                             int64_t integer);
bool graph_builder_root(struct graph_builder *builder, enum root_kind kind, object_id object);
/* Names an object: what function_name says of a function ("room.lua:41"), the text of a string. A
 * FIELD without a label takes the text of the string object that its KEY leads to. Both texts are
 * copied. The label source's address() of object v is 16 * (v + 1). */
bool graph_builder_name(struct graph_builder *builder, object_id object, const char *text);
/* NULL when out of memory or if an object that was not made is named. The builder is consumed; free
 * the graph with graph_builder_free_graph. */
struct graph *graph_builder_finish(struct graph_builder *builder);
void graph_builder_free_graph(struct graph *graph);

#endif
