/* victim.h - a small sound core that is there to be damaged, and all that is known of it.
 *
 * One of cores/ is unpacked and cut: of its memory the segment with the heap is kept, without zeros
 * at its end, and the pages of native stack that a thread's frames are in; all notes stay. It lies
 * in a file without a name, which is mapped as well: what is changed in `bytes` is changed in the
 * core at `path`. A sound copy of it is open in `session`, collected.
 *
 * owner[] says of every 4 bytes of the heap's segment whose they are: of an object (its header, and
 * the arrays, nodes, stacks, call infos and code that it points to), of the VM's state, or
 * nobody's.
 */
#ifndef DAMAGE_VICTIM_H
#define DAMAGE_VICTIM_H

#include "command/session.h"

enum { VICTIM_MOST_BYTES = 256 << 10 };

#define OWNER_NOBODY UINT32_MAX
#define OWNER_STATE  (UINT32_MAX - 1)

struct victim {
  const char *name;
  char *folder; /* an empty one, the --sysroot: no file of this machine takes part */
  uint8_t *original, *bytes;
  size_t size;
  int descriptor, sound_descriptor;
  char path[40], sound_path[40]; /* /proc/self/fd/N */
  struct inspect_session *session;
  uint64_t heap_start, heap_end; /* target addresses of the segment */
  size_t heap_offset;            /* its place in the file */
  uint64_t stack_start, stack_end;
  uint32_t *owner;
  object_id *by_type[OBJECT_TYPE_COUNT]; /* the objects of each type */
  uint32_t type_count[OBJECT_TYPE_COUNT];
};

/* Ends the program with a sentence if that cannot be done. `packed` names a core, or one packed by
 * xz; `folder` an empty one. */
void victim_open(struct victim *victim, const char *packed, char *folder);
void victim_close(struct victim *victim);

/* From the segment's addresses to places in the file. */
static inline size_t victim_offset(const struct victim *victim, uint64_t address) {
  return victim->heap_offset + (size_t)(address - victim->heap_start);
}

static inline bool victim_has(const struct victim *victim, uint64_t address, uint64_t size) {
  return address >= victim->heap_start && address < victim->heap_end &&
         size <= victim->heap_end - address;
}

static inline const struct heap *victim_heap(const struct victim *victim) {
  return &victim->session->heap;
}

static inline struct vm *victim_vm(const struct victim *victim) {
  return &victim->session->heap.vms[0].vm;
}

/* Whom a place in the file belongs to; OWNER_STATE if it is not in the heap's segment. */
uint32_t victim_owner(const struct victim *victim, size_t offset);

#endif
