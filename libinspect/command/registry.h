/* registry.h - what `registry` says of each VM.
 *
 *   registry.c        reads and groups, and is the command
 *   registry_view.c   data and page */
#ifndef COMMAND_REGISTRY_H
#define COMMAND_REGISTRY_H

#include "base/number_map.h"
#include "command/listing.h"
#include "lua/references.h"

struct registry_entry {
  const char *path;
  struct lua_value key, value;
  object_id object; /* NO_OBJECT: the value is none */
  uint64_t retained;
  uint64_t instances; /* of a metatable */
};

struct registry_entries VECTOR(struct registry_entry);

struct reference_group {
  const char *name; /* class or type of what is held */
  const char *type;
  uint64_t count, retained;
  size_t first; /* its first member in `references`, which are sorted by group */
  bool is_suspect;
};

struct registry {
  size_t vm;
  struct references list;
  struct registry_entries named, pointers, references, others;
  struct VECTOR(struct reference_group) groups;
  struct number_map instances; /* metatable -> how many objects have it */
};

struct registries {
  struct registry *items;
  size_t count;
};

void registry_to_data(struct command_context *context, const struct registries *registries);
void registry_to_page(struct command_context *context, const struct registries *registries);

#endif
