/* vm.h - one Lua VM in the target: its global state, its vital addresses, its faults.
 *
 * Reading the target is done through a struct memory: the writable segments with one address map
 * for the session. A view is a pointer into mapped memory or NULL; nothing is copied. */
#ifndef LUA_VM_H
#define LUA_VM_H

#include "base/address_map.h"
#include "base/arena.h"
#include "base/vector.h"
#include "layout/layout.h"
#include "lua/redaction.h"
#include "source/source.h"

/* A reader's place in the target's memory; each thread has its own. */
struct memory {
  const struct address_map *map;
  size_t hint;
};

static inline const uint8_t *memory_view(struct memory *memory, uint64_t address, uint64_t size) {
  const struct address_range *range = address_map_find(memory->map, address, &memory->hint);
  if (!range || size > range->end - address) return NULL;
  return range->bytes + (address - range->start);
}

/* Something in the target that could not be read or made no sense. Reported, never fatal. */
struct fault {
  uint64_t address;
  const char *text; /* static: "array part is not in the dump" */
};

enum { MOST_FAULTS = 1000 }; /* kept; the rest is counted */

struct faults {
  struct VECTOR(struct fault) list;
  uint64_t more; /* that are not in the list */
};

/* Notes a fault; silently counts when the list is full or memory is out. */
void faults_add(struct faults *faults, uint64_t address, const char *text);

/* Something that the dump caught halfway and that was set right, or does no harm. */
struct note {
  uint64_t address;
  const char *text; /* a whole sentence; lives as long as the VM */
};

struct notes VECTOR(struct note);

/* What the dump caught out of its place, and where it was found again (graph/torn.c). The loads of
 * tables and threads look here first, so that every reader sees the whole. */
struct torn {
  uint64_t table;       /* whose parts were being exchanged; 0: none                           */
  const uint8_t *nodes; /* its entries: of the new hash part and what is left of the old one    */
  uint64_t node_count;
  uint64_t array, array_size; /* its array part, as long as before; 0: as the table says        */
  uint64_t thread;            /* whose stack was being moved; 0: none                           */
  uint64_t stack;             /* where the contents of its stack are                            */
  uint64_t newborn;           /* a thread that holds what its memory was before; 0: none         */
  uint64_t bytes;             /* of old parts: counted by the VM, but not by the walk           */
  uint64_t lost_entries;      /* of the table, that could not be read                           */
  bool is_lost;               /* its old part is not known for sure, and left out               */
};

enum gc_state { /* lgc.h, equal in 5.4.0 .. 5.5.1 */
                GC_PROPAGATE,
                GC_ENTER_ATOMIC,
                GC_ATOMIC,
                GC_SWEEP_ALL,
                GC_SWEEP_FINOBJ,
                GC_SWEEP_TOBEFNZ,
                GC_SWEEP_END,
                GC_CALL_FINALIZERS,
                GC_PAUSE,
};

/* A table that holds __mode, and what it says. */
struct mode_cache_entry {
  uint64_t metatable;
  uint8_t flags;
};

enum { MODE_CACHE_SIZE = 256 };

struct vm {
  const struct layout *layout;
  struct memory memory;
  const struct source *source; /* for what the native threads hold; NULL: not known */
  struct redaction *redaction; /* strings are withheld; NULL: shown */
  struct faults faults;
  struct notes notes;
  struct torn torn;
  struct arena arena; /* of the notes and of torn.nodes */
  uint64_t global_state, main_thread;
  uint64_t heap_bytes;        /* what collectgarbage("count") would say                        */
  uint64_t registry;          /* table, 0 if the registry is none                              */
  uint64_t string_table_size; /* buckets                                                       */
  uint64_t mode_name;         /* the string "__mode"                                           */
  uint8_t current_white, gc_state, gc_kind;
  bool short_modes_only; /* 5.4.7 .. 5.4.9 overlook a __mode of more than 40 bytes            */
  bool may_be_torn; /* a native thread was at work, and may have been inside the VM               */
  bool exact_sweep; /* objects of the other white are dead: the dump shows a sweep             */
  struct mode_cache_entry mode_cache[MODE_CACHE_SIZE];
};

/* Loads the global state of a detected VM; false if it cannot be read. Free with vm_close. */
bool vm_open(struct vm *vm, const struct layout *layout, const struct address_map *map,
             uint64_t global_state, uint64_t main_thread);
void vm_close(struct vm *vm);

/* Adds a note, once per address and text; silently nothing when memory is out or there are many. */
void notes_add(struct vm *vm, uint64_t address, const char *format, ...) PRINTF_LIKE(3, 4);

/* Bytes of the block that holds the main thread and the global state. */
uint64_t vm_block_bytes(const struct vm *vm);

/* The objects of a VM list, from its head: 0 if the list is empty. */
uint64_t vm_list(struct vm *vm, enum layout_field list);

/* Pending finalizers are roots of a full collection unless it would first finish the current cycle
 * and call them (lgc.c: fullinc). A generational collector starts anew in 5.4 (enterinc), but
 * in 5.5 it goes on as an incremental one from its sweep (minor2inc). */
bool vm_pending_are_roots(const struct vm *vm);

#endif
