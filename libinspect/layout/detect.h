/* detect.h - finding the Lua VMs of a target with no symbols, no address and no help.
 *
 * A main thread gives itself away by structure: it points to its global state, which lies at a fixed
 * distance from it and points back; its type tag says thread; the registry in the global state is a
 * table. Each known layout is one such pattern; the scan tests every aligned address of writable
 * memory against all of them. Then the candidates are confirmed by what any VM must hold: the names
 * of the metamethods and the main thread in the registry. */
#ifndef LAYOUT_DETECT_H
#define LAYOUT_DETECT_H

#include "base/address_map.h"
#include "base/vector.h"
#include "base/work.h"
#include "layout/layout.h"

struct detected_vm {
  const struct layout *layout;    /* the best fit                                               */
  const struct layout *alternate; /* another that fits as well as far as can be seen here, or NULL:
                                     the residual of the walk decides                           */
  uint64_t main_thread, global_state;
  const char *evidence;           /* why, for `states -v`: static                               */
};

struct detected_vms VECTOR(struct detected_vm);

/* Appends the VMs in address order. `map` holds the memory to search; `pointer_size` and
 * `big_endian` limit the layouts. */
MUST_CHECK struct inspect_error *detect_vms(const struct address_map *map, unsigned pointer_size,
                                            bool big_endian, const struct work *work,
                                            struct detected_vms *result);

#endif
