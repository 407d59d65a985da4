/* chain_view.h - chains as a person and as a program read them.
 *
 * Both show the step through an upvalue object as one: function -> "upvalue rooms" -> value. */
#ifndef COMMAND_CHAIN_VIEW_H
#define COMMAND_CHAIN_VIEW_H

#include "analysis/chains.h"
#include "command/session.h"

struct chain_view_options {
  const object_id *from; /* the starts that a search was limited to, or NULL: the roots  */
  size_t suspect;        /* position in the chain, 0: none                               */
  const char *suspect_note;
  const char *leaf_note; /* behind the leaf's description, or NULL                       */
};

/* Adds the chain to an array; returns the index there of the step for chain position `position`. */
size_t chain_to_data(struct command_context *context, struct data *array, const struct chain *chain,
                     const object_id *from, size_t position);

/* Adds the chain to the page. Further lines below the leaf go into the result. */
struct chain_view *chain_to_page(struct command_context *context, const struct chain *chain,
                                 const struct chain_view_options *options, unsigned indent);

/* The chain as a path that parses back: package.loaded["game.arena"].listeners[3]. */
bool chain_to_path(struct inspect_session *session, const struct chain *chain,
                   const object_id *from, struct text *text);

/* The same from the step at position `start` on: .listeners[3]. */
bool chain_to_path_after(struct inspect_session *session, const struct chain *chain, size_t start,
                         const object_id *from, struct text *text);

/* A path as a page shows it: cut if it is very long, unless --wide is set. Arena memory or `path`;
 * NULL if there is none. */
const char *path_to_page(struct command_context *context, const char *path);

/* Name of a suspect reference for a sentence: ".members". */
bool chain_step_text(struct inspect_session *session, const struct chain *chain, size_t position,
                     const object_id *from, struct text *text);

/* "registry", "main thread", "_G": static. */
const char *chain_root_words(enum root_kind kind);

#endif
