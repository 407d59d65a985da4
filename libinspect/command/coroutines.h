/* coroutines.h - what `coroutines` shows: the coroutines of all chosen VMs in groups.
 *
 *   coroutines.c        groups them; is the command
 *   coroutines_view.c   page and data */
#ifndef COMMAND_COROUTINES_H
#define COMMAND_COROUTINES_H

#include "command/threads.h"

enum { MOST_PLACES = 5 };

struct coroutine {
  const char *main;  /* "server.lua:41"; NULL: not known                     */
  const char *place; /* of the innermost Lua function; NULL: none or unknown */
  enum thread_status status;
  bool is_garbage;
  object_id object;
  uint64_t address, bytes, retained, age; /* age: objects made later */
};

struct group {
  size_t first, count; /* rows */
  uint64_t bytes, retained, garbage;
  const struct coroutine *biggest, *oldest;
  struct place_count {
    const char *place;
    uint64_t count;
  } places[MOST_PLACES];
  size_t place_count;
  uint64_t other_places; /* kinds of places that are not in the list */
};

struct census {
  struct command_context *context;
  bool by_status, by_main;
  struct VECTOR(struct coroutine) rows;
  struct VECTOR(struct group) groups;
  uint64_t bytes, retained;
};

/* Adds the groups, as many as --limit lets, to page and data. */
void coroutines_show(struct census *census);

#endif
