/* collector.h - the garbage collector of one VM: mode, phase, settings, and what it has marked.
 *
 * Settings are given as collectgarbage reports them (lapi.c: lua_gc), not as they are stored: 5.4
 * divides some by four, 5.5 codes all of them as one-byte floating point numbers. The collector
 * owes work in bytes, its debt; a step comes when the debt is paid by allocation: when GCdebt rises
 * above 0 in 5.4, when it falls to 0 in 5.5. Here a debt has the sign of 5.4.
 *
 * Sources: lgc.h, lgc.c (setpause, setminordebt, genstep, youngcollection), lobject.c
 * (luaO_applyparam). */
#ifndef LUA_COLLECTOR_H
#define LUA_COLLECTOR_H

#include "lua/vm.h"

enum collector_mode {
  COLLECTOR_INCREMENTAL,
  COLLECTOR_GENERATIONAL,
  COLLECTOR_MAJOR, /* generational, in a major collection that runs in steps (5.5) */
};

enum collector_stop { /* lgc.h: GCSTP* */
                      STOPPED_BY_USER = 1,
                      STOPPED_BY_ITSELF =
                          2, /* while a finalizer runs, or the state is being built */
                      STOPPED_BY_CLOSING = 4,
};

enum { NO_SETTING = -1 };

struct collector {
  enum collector_mode mode;
  const char *phase;     /* "propagate", "sweep of all objects", ...; NULL: no phase of Lua     */
  bool running_is_known; /* false: see stop_form in layout.h                                    */
  bool is_running;
  uint8_t stopped_by;     /* enum collector_stop, or-ed; 0 if unknown who                        */
  bool is_in_step;        /* the dump was taken inside of a step, or of a change of a stack      */
  bool is_emergency;      /* collects because the allocator refused                              */
  bool last_was_bad;      /* 5.4, generational: the last major collection freed too little, so
                             that the next one is major again                                   */
  int64_t pause, stepmul; /* NO_SETTING: the version has no such setting. In percent, but for    */
  int64_t stepsize;       /* ... this: 5.4 the logarithm of bytes, 5.5 bytes                     */
  int64_t step_bytes;     /* the same in bytes                                                   */
  int64_t minormul, majormul, minormajor, majorminor;
  int64_t debt;        /* bytes allocated that the collector has not paid for                 */
  uint64_t until_step; /* bytes that can be allocated before the next step                    */
  int64_t estimate;    /* 5.4: bytes the last cycle left; NO_SETTING in 5.5                   */
  int64_t marked;      /* 5.5: bytes marked in this or the last cycle, or, generational, that
                          became old since the last major collection; NO_SETTING in 5.4       */
  int64_t until_major; /* generational: bytes of growth (5.5: that become old) before the next
                          major collection; NO_SETTING if there will be none                  */
};

/* Loads the collector's part of the global state; false if that cannot be read. `form` is the
 * layout's stop_form, or what is known better. */
bool collector_load(struct vm *vm, enum stop_form form, struct collector *collector);

/* ---- Marks ------------------------------------------------------------------------------------
 */

enum gc_color {
  GC_WHITE, /* not reached (yet) in this cycle           */
  GC_DEAD,  /* of the other white: found dead, not freed */
  GC_GRAY,  /* reached, its references still to be seen  */
  GC_BLACK, /* reached with all its references           */
  GC_COLOR_COUNT
};

enum gc_age {
  GC_NEW,
  GC_SURVIVAL,
  GC_OLD0,
  GC_OLD1,
  GC_OLD,
  GC_TOUCHED1,
  GC_TOUCHED2,
  GC_AGE_COUNT
};

enum { MARK_AGE = 0x07, MARK_WHITES = 0x18, MARK_BLACK = 0x20, MARK_FINALIZER = 0x40 };

/* What GCObject.marked says. An object with several colours counts as dead, white, black in that
 * order, as the macros of lgc.h would have it. */
static inline enum gc_color mark_color(const struct vm *vm, uint8_t marked) {
  if (marked & MARK_WHITES & ~vm->current_white) return GC_DEAD;
  if (marked & MARK_WHITES) return GC_WHITE;
  return marked & MARK_BLACK ? GC_BLACK : GC_GRAY;
}

/* GC_AGE_COUNT if it is none. */
static inline enum gc_age mark_age(uint8_t marked) { return (enum gc_age)(marked & MARK_AGE); }

static inline bool age_is_old(enum gc_age age) { return age > GC_SURVIVAL; }

/* Whether the collector is in generational mode proper, where ages mean something. */
static inline bool vm_is_generational(const struct vm *vm) { return vm->gc_kind == 1; }

static inline bool vm_is_sweeping(const struct vm *vm) {
  return vm->gc_state >= GC_SWEEP_ALL && vm->gc_state <= GC_SWEEP_END;
}

/* The mark of the object at an address; false if it is not in the dump. */
bool object_mark(struct vm *vm, uint64_t address, uint8_t *marked);

#endif
