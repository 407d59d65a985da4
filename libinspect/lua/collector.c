/* collector.c - reads the collector's fields of global_State and undoes how settings are stored.
 *
 * Invariant: numbers of the target only enter saturating arithmetic; what a version does not have
 * is NO_SETTING. */
#include "lua/collector.h"

enum { KIND_INCREMENTAL, KIND_GENERATIONAL, KIND_MAJOR }; /* lstate.h: KGC_* */

/* lua.h of 5.5: LUA_GCP* */
enum {
  PARAMETER_MINORMUL,
  PARAMETER_MAJORMINOR,
  PARAMETER_MINORMAJOR,
  PARAMETER_PAUSE,
  PARAMETER_STEPMUL,
  PARAMETER_STEPSIZE,
  PARAMETER_COUNT
};

struct reader {
  const struct vm *vm;
  const uint8_t *global;
};

static uint64_t number(const struct reader *reader, enum layout_field field) {
  return load_field(reader->vm->layout, reader->global, field);
}

static bool has(const struct reader *reader, enum layout_field field) {
  return layout_has(reader->vm->layout, field);
}

static uint64_t product(uint64_t a, uint64_t b) {
  uint64_t result;
  return __builtin_mul_overflow(a, b, &result) || result > INT64_MAX ? INT64_MAX : result;
}

/* a - b, or 0 if that is negative. */
static int64_t difference(uint64_t a, uint64_t b) {
  if (a <= b) return 0;
  return a - b > INT64_MAX ? INT64_MAX : (int64_t)(a - b);
}

/* `x` times the setting: eeeexxxx stands for (1xxxx) * 2^(eeee - 8), or xxxx * 2^-7 if eeee is 0.
 */
static uint64_t apply(uint8_t code, uint64_t x) {
  unsigned exponent = code >> 4, mantissa = code & 0xF;
  if (exponent) {
    mantissa |= 0x10;
    exponent--;
  }
  return exponent >= 7 ? product(x, (uint64_t)mantissa << (exponent - 7))
                       : product(x, mantissa) >> (7 - exponent);
}

static uint8_t coded(const struct reader *reader, unsigned parameter) {
  return reader->global[reader->vm->layout->place[global_State_gcparams].offset + parameter];
}

/* What lua_gc returns for a parameter: what it makes of 100. */
static int64_t coded_percent(const struct reader *reader, unsigned parameter) {
  return (int64_t)apply(coded(reader, parameter), 100);
}

/* ---- Settings ----------------------------------------------------------------------------------
 */

static void read_coded_settings(const struct reader *reader, struct collector *collector) {
  collector->minormul = coded_percent(reader, PARAMETER_MINORMUL);
  collector->majorminor = coded_percent(reader, PARAMETER_MAJORMINOR);
  collector->minormajor = coded_percent(reader, PARAMETER_MINORMAJOR);
  collector->pause = coded_percent(reader, PARAMETER_PAUSE);
  collector->stepmul = coded_percent(reader, PARAMETER_STEPMUL);
  collector->stepsize = collector->step_bytes = coded_percent(reader, PARAMETER_STEPSIZE);
}

/* 5.4 divides by four what has to fit into a byte (lgc.h: getgcparam). */
static void read_plain_settings(const struct reader *reader, struct collector *collector) {
  enum { LARGEST_LOG2 = 62 };
  collector->pause = 4 * (int64_t)number(reader, global_State_gcpause);
  collector->stepmul = 4 * (int64_t)number(reader, global_State_gcstepmul);
  uint64_t log2 = number(reader, global_State_gcstepsize);
  collector->stepsize = (int64_t)log2;
  collector->step_bytes = log2 <= LARGEST_LOG2 ? INT64_C(1) << log2 : INT64_MAX;
  collector->minormul = (int64_t)number(reader, global_State_genminormul);
  collector->majormul = 4 * (int64_t)number(reader, global_State_genmajormul);
}

/* ---- Growth ------------------------------------------------------------------------------------
 */

static void read_growth(const struct reader *reader, struct collector *collector) {
  const struct vm *vm = reader->vm;
  int64_t debt = load_signed(vm->layout, reader->global, global_State_GCdebt);
  if (vm->layout->debt_is_subtracted) debt = debt == INT64_MIN ? INT64_MAX : -debt;
  collector->debt = debt;
  collector->until_step = debt < 0 ? -(uint64_t)debt : 0;
  bool generational = collector->mode == COLLECTOR_GENERATIONAL;
  if (has(reader, global_State_GCestimate)) {
    uint64_t estimate = number(reader, global_State_GCestimate);
    collector->estimate = (int64_t)estimate;
    if (generational) {
      uint64_t growth = product(estimate / 100, (uint64_t)collector->majormul), limit;
      if (__builtin_add_overflow(estimate, growth, &limit)) limit = UINT64_MAX;
      collector->until_major = difference(limit, vm->heap_bytes);
    }
  }
  if (has(reader, global_State_GCmarked)) {
    uint64_t marked = number(reader, global_State_GCmarked);
    uint64_t base = number(reader, global_State_GCmajorminor);
    collector->marked = (int64_t)marked;
    uint64_t limit = apply(coded(reader, PARAMETER_MINORMAJOR), base);
    if (generational && limit) collector->until_major = difference(limit, marked);
  }
}

/* ---- Mode and phase ----------------------------------------------------------------------------
 */

/* 5.4 stays in generational mode by name while it collects incrementally after a bad collection. */
static void read_mode(const struct reader *reader, struct collector *collector) {
  uint8_t kind = reader->vm->gc_kind;
  collector->last_was_bad =
      has(reader, global_State_lastatomic) && number(reader, global_State_lastatomic) != 0;
  if (kind == KIND_MAJOR)
    collector->mode = COLLECTOR_MAJOR;
  else if (kind == KIND_GENERATIONAL || collector->last_was_bad)
    collector->mode = COLLECTOR_GENERATIONAL;
}

static const char *phase_name(uint8_t state) {
  static const char *const NAMES[] = {[GC_PROPAGATE] = "propagate",
                                      [GC_ENTER_ATOMIC] = "enter-atomic",
                                      [GC_ATOMIC] = "atomic",
                                      [GC_SWEEP_ALL] = "sweep-allgc",
                                      [GC_SWEEP_FINOBJ] = "sweep-finobj",
                                      [GC_SWEEP_TOBEFNZ] = "sweep-tobefnz",
                                      [GC_SWEEP_END] = "sweep-end",
                                      [GC_CALL_FINALIZERS] = "call-finalizers",
                                      [GC_PAUSE] = "pause"};
  return state <= GC_PAUSE ? NAMES[state] : NULL;
}

static void read_stop(const struct reader *reader, enum stop_form form,
                      struct collector *collector) {
  uint8_t stop = (uint8_t)number(reader, global_State_gcstp);
  if (form == STOP_UNKNOWN && stop > 1) form = STOP_BITS; /* a flag is 0 or 1 */
  collector->running_is_known = form != STOP_UNKNOWN;
  collector->is_running = form == STOP_RUNNING ? stop != 0 : form == STOP_BITS && stop == 0;
  if (form == STOP_BITS) collector->stopped_by = stop & 7;
}

bool collector_load(struct vm *vm, enum stop_form form, struct collector *collector) {
  *collector = (struct collector){.pause = NO_SETTING,
                                  .stepmul = NO_SETTING,
                                  .stepsize = NO_SETTING,
                                  .step_bytes = NO_SETTING,
                                  .minormul = NO_SETTING,
                                  .majormul = NO_SETTING,
                                  .minormajor = NO_SETTING,
                                  .majorminor = NO_SETTING,
                                  .estimate = NO_SETTING,
                                  .marked = NO_SETTING,
                                  .until_major = NO_SETTING};
  struct reader reader = {.vm = vm};
  reader.global = memory_view(&vm->memory, vm->global_state, vm->layout->size[SIZE_global_State]);
  if (!reader.global) return false;
  read_mode(&reader, collector);
  collector->phase = phase_name(vm->gc_state);
  read_stop(&reader, form, collector);
  collector->is_in_step = number(&reader, global_State_gcstopem) != 0;
  collector->is_emergency = number(&reader, global_State_gcemergency) != 0;
  if (has(&reader, global_State_gcparams))
    read_coded_settings(&reader, collector);
  else
    read_plain_settings(&reader, collector);
  read_growth(&reader, collector);
  return true;
}

bool object_mark(struct vm *vm, uint64_t address, uint8_t *marked) {
  const uint8_t *header = memory_view(&vm->memory, address, 2 * vm->layout->pointer_size);
  if (!header) return false;
  *marked = (uint8_t)load_field(vm->layout, header, GCObject_marked);
  return true;
}
