/* detect.h - finding the Lua VMs of a target with no symbols, no address and no help.
 *
 * A main thread gives itself away by structure: it points to its global state, which lies at a
 * fixed distance from it and points back; its type tag says thread; the registry in the global
 * state is a table. Each layout is one such pattern; the scan tests every aligned address of
 * writable memory against all of them. Then the candidates are confirmed by what any VM must hold:
 * the names of the metamethods in the global state.
 *
 * Where several layouts fit a VM, their provenance decides: what the user gave, then what debug
 * info says, then what is canned. LUA_EXTRASPACE moves the main thread of Lua 5.5 within its block:
 * canned layouts of 5.5 are tried with any space up to MOST_EXTRA_SPACE, and adapted. */
#ifndef LAYOUT_DETECT_H
#define LAYOUT_DETECT_H

#include "base/address_map.h"
#include "base/arena.h"
#include "base/vector.h"
#include "base/work.h"
#include "layout/layout.h"

enum { MOST_EXTRA_SPACE = 256 };

struct layouts VECTOR(const struct layout *);

struct detected_vm {
  const struct layout *layout;    /* the best fit                                               */
  const struct layout *alternate; /* another that fits as well as far as can be seen here, or NULL:
                                     the residual of the walk decides                           */
  uint64_t main_thread, global_state;
  const char *evidence; /* why, for `states -v`: static                               */
};

struct detected_vms VECTOR(struct detected_vm);

/* Appends the VMs in address order, when interrupted those that are found by then. `map` holds the
 * memory to search; all `layouts` are for its word size and byte order. Adapted layouts are made in
 * the arena. */
MUST_CHECK struct inspect_error *detect_vms(const struct address_map *map,
                                            const struct layouts *layouts, struct arena *arena,
                                            const struct work *work, struct detected_vms *result);

/* The same, but looks only where words lead to that may be addresses of a lua_State: those of the
 * native threads and of the data of modules. Finds the VMs that are led to, and reads little. */
MUST_CHECK struct inspect_error *detect_vms_at(const struct address_map *map,
                                               const struct layouts *layouts, struct arena *arena,
                                               const uint64_t *words, size_t count,
                                               struct detected_vms *result);

/* Whether a VM of exactly this layout has its main thread at an address. On success
 * `result->alternate` is NULL. */
bool detect_fits(const struct address_map *map, const struct layout *layout, uint64_t main_thread,
                 struct detected_vm *result);

#endif
