/* patterns.h - generalised chains, as numbers.
 *
 * A pattern is the text of a root followed by one token per reference (graph_token). A reference
 * out of a function has the function's name in front of its token, so that a pattern reads
 *
 *   package.loaded["game.room"].join@room.lua:41:upvalue(rooms)["lobby"].members[*]
 *
 * Roots are "_G", "package.loaded", "registry", "main thread", "running thread", "metatable of
 * strings" (nil, booleans, numbers, functions, ...), "pending finalizer", and "start" for objects
 * given by hand. So that lists and trees do not make a pattern of every length, the third of equal
 * tokens in a row and all that follow are written once, as in _G.head.next.next(.next)+.value; what
 * lies beyond PATTERN_LENGTH tokens is written as "...".
 *
 * Patterns are the nodes of a trie over interned tokens: two chains have the same pattern if and
 * only if they have the same number (and VM). Labels are read once per key string, and once per
 * prototype and position for upvalues. */
#ifndef ANALYSIS_PATTERNS_H
#define ANALYSIS_PATTERNS_H

#include "base/number_map.h"
#include "base/vector.h"
#include "graph/graph.h"

enum { PATTERN_LENGTH = 64 };

struct patterns {
  const struct graph *graph;
  struct arena arena;  /* texts of tokens */
  struct text scratch; /* the token being made */
  struct pattern_tokens VECTOR(struct pattern_token {
    const char *text; /* terminated */
    size_t size;
    uint32_t next;     /* token whose text has the same hash, or NO_NUMBER       */
    uint32_t repeated; /* "(text)+", or NO_NUMBER                                */
  }) tokens;
  struct pattern_nodes VECTOR(struct pattern_node {
    uint32_t parent; /* NO_NUMBER: a root */
    uint32_t token;
    uint32_t length;
  }) nodes;
  struct number_map token_of_hash;  /* first token with that hash */
  struct number_map token_of_label; /* kind and what decides the token, see patterns.c */
  struct number_map roots;          /* VM << 32 | token -> node     */
  struct number_map children;       /* parent << 32 | token -> node */
};

void patterns_init(struct patterns *patterns, const struct graph *graph);
void patterns_free(struct patterns *patterns);

/* All return NO_NUMBER when memory is out. */

/* The pattern of a chain without references. `root` NULL: a start given by hand. */
uint32_t patterns_start(struct patterns *patterns, const struct graph_root *root);

/* A token made of a text. */
uint32_t patterns_word(struct patterns *patterns, const char *text);

/* The token of a reference of `from`. */
uint32_t patterns_token(struct patterns *patterns, object_id from, reference_id reference);

/* Whether it may have to be read from the target: then ask for those of one object in row order. */
bool patterns_reads(const struct patterns *patterns, object_id from, reference_id reference);

/* The pattern one token longer. */
uint32_t patterns_extend(struct patterns *patterns, uint32_t pattern, uint32_t token);

/* Appends the text; false: out of memory. */
bool patterns_text(const struct patterns *patterns, uint32_t pattern, struct text *text);

/* FNV-1a, 64 bits. */
uint64_t patterns_hash(const char *text, size_t size);

#endif
