/* check_parts.h - the inside of the heap check: one VM under check, and its parts in order.
 *
 *   check_lists.c       the collector's lists of all objects, the pointers into them, marks and
 * ages check_gray.c        lists of gray objects, the sweep, the threads with open upvalues
 *   check_strings.c     the table of short strings
 *   check_objects.c     each object by itself, and its references
 *   check_threads.c     stacks, calls and open upvalues of one thread */
#ifndef GRAPH_CHECK_PARTS_H
#define GRAPH_CHECK_PARTS_H

#include "graph/check.h"
#include "lua/collector.h"
#include "lua/hash_part.h"

/* check->marks */
enum check_mark {
  ON_ALLGC = 1,
  ON_FINOBJ = 2,
  ON_TOBEFNZ = 3,
  ON_FIXEDGC = 4,
  ON_LIST = 7, /* mask: 0 is none */
  ON_GRAY_LIST = 8,
  ON_STRING_TABLE = 16,
  ON_OPEN_LIST = 32, /* of a thread's open upvalues */
  ON_TWUPS = 64,
};

struct checked_vm {
  struct check *check;
  struct heap *heap;
  struct heap_vm *owner;
  struct vm *vm;
  const struct layout *layout;
  const uint8_t *global;
  struct violations *violations;
  struct check_counts *counts;
  const struct work *work;
  bool is_stopped; /* by it */
  size_t hint;

  enum integer_hash integers;
  uint32_t seed;
  bool lists_are_whole;   /* all lists were walked to their ends               */
  bool twups_are_whole;   /* the list of threads with open upvalues, too       */
  bool strings_are_whole; /* the string table was walked whole                 */
  bool marks_hold;        /* no step was under way: colours and ages mean what they say */
  bool is_asked;          /* the running function is collectgarbage            */
  uint64_t running;       /* the thread that runs a Lua function, or 0 ...     */
  uint64_t running_slot;  /* ... and the first slot of that function           */
  bool has_freed;         /* checked_is_being_freed has said yes               */
  uint64_t newest;        /* the first object of allgc: it may still be under construction */
  bool keeps_invariant;   /* ... and marking has not ended: no black object may refer to a white */
  bool is_generational;   /* ... and ages count                                */

  struct visit visit;
  struct hash_chains chains;
};

/* Whether the check is to stop before element `index` of what is long. */
static inline bool checked_stops(struct checked_vm *checked, const char *phase, uint64_t index) {
  enum { AT_ONCE = 1 << 14 };
  uint64_t count = checked->owner->count;
  if (index % AT_ONCE == 0 &&
      work_stops(checked->work, phase, index < count ? index : count, count))
    checked->is_stopped = true;
  return checked->is_stopped;
}

/* The object at an address, NO_OBJECT if none was found there. */
object_id checked_object(struct checked_vm *checked, uint64_t address);

/* The object's header, NULL if it is not in the dump. */
const uint8_t *checked_header(struct checked_vm *checked, uint64_t address);

/* Whether the address lies in memory that is missing at the end of a truncated core. */
bool checked_is_missing(const struct checked_vm *checked, uint64_t address);

/* A field of the global state. */
uint64_t checked_global(const struct checked_vm *checked, enum layout_field field);

void checked_note(struct checked_vm *checked, const char *text);

/* Whether what is at the address was an object of this kind a moment ago: unlinked from its list by
 * the sweep, and being freed. There is one such object at most: true is said once. */
bool checked_is_being_freed(struct checked_vm *checked, uint64_t address, uint8_t tag);

/* Whether an upvalue object is open: its value lies on a stack. `header` has SIZE_UpVal bytes. */
bool checked_is_open(const struct checked_vm *checked, uint64_t address, const uint8_t *header);

void check_lists(struct checked_vm *checked);
void check_gray_lists(struct checked_vm *checked);
void check_sweep(struct checked_vm *checked);
void check_twups(struct checked_vm *checked);
void check_string_table(struct checked_vm *checked);
MUST_CHECK struct inspect_error *check_objects(struct checked_vm *checked);
MUST_CHECK struct inspect_error *check_thread(struct checked_vm *checked, uint64_t address,
                                              bool is_dead);

#endif
