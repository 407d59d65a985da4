/* gc_diagnosis.c - what a person should know about a collector, in sentences with numbers.
 *
 * The order is that of urgency: what lets memory grow without bound, what is under way, what could
 * be had now, and settings that explain it. */
#include "command/gc.h"

enum {
  LONG_PAUSE = 400,   /* defaults: 200 in 5.4, 250 in 5.5                    */
  SMALL_STEPMUL = 25, /* the manual's limit for a collector that keeps up    */
  MANY_FINALIZERS = 100,
};

struct writer {
  struct gc_report *report;
  struct arena *arena;
};

static void say(const struct writer *writer, const char *format, ...) PRINTF_LIKE(2, 3);

static void say(const struct writer *writer, const char *format, ...) {
  struct gc_report *report = writer->report;
  va_list arguments;
  if (report->sentence_count == MOST_SENTENCES) return;
  va_start(arguments, format);
  const char *sentence = arena_vprintf(writer->arena, format, arguments);
  va_end(arguments);
  if (sentence) report->sentences[report->sentence_count++] = sentence;
}

static const char *shown(const struct writer *writer, struct cell cell) {
  const char *text = render_cell(writer->arena, cell);
  return text ? text : "?";
}

static const char *bytes(const struct writer *writer, uint64_t value) {
  return shown(writer, cell_bytes(value));
}

static const char *objects(const struct writer *writer, uint64_t value) {
  const char *count = shown(writer, cell_count(value));
  const char *text = arena_printf(writer->arena, "%s %s", count, value == 1 ? "object" : "objects");
  return text ? text : count;
}

/* Of the bytes in use. */
static const char *share(const struct writer *writer, uint64_t part) {
  uint64_t whole = writer->report->owner->vm.heap_bytes;
  return shown(writer, cell_ratio(whole ? (double)part / (double)whole : 0));
}

/* ---- Stopped -----------------------------------------------------------------------------------
 */

static void say_stopped(const struct writer *writer) {
  const struct collector *collector = &writer->report->collector;
  if (!collector->running_is_known)
    say(writer, "whether the collector runs is not known: Lua 5.4.3 and 5.4.4 differ in this, and "
                "the release is not known (--exe, --sysroot)");
  else if (collector->stopped_by & STOPPED_BY_CLOSING)
    say(writer, "collector is stopped because the state is being closed");
  else if (collector->stopped_by & STOPPED_BY_USER)
    say(writer, "collector is stopped: memory grows without bound until the program calls "
                "collectgarbage(\"restart\")");
  else if (collector->stopped_by & STOPPED_BY_ITSELF)
    say(writer, "collector waits until a finalizer returns, or until the new state is built");
  else if (!collector->is_running)
    say(writer, "collector is stopped, by the program or while a finalizer runs: memory grows "
                "without bound");
  if (collector->is_emergency)
    say(writer, "emergency collection under way: the allocator has refused a request");
  if (collector->is_in_step) say(writer, "the dump was taken in the middle of a collector's step");
}

/* ---- Under way ---------------------------------------------------------------------------------
 */

static void say_phase(const struct writer *writer) {
  const struct gc_report *report = writer->report;
  const struct vm *vm = &report->owner->vm;
  const struct gc_tally *dead = &report->colors[GC_DEAD];
  if (vm_is_sweeping(vm))
    say(writer, "cycle in sweep: %s of found garbage (%s) not yet freed",
        bytes(writer, dead->bytes), objects(writer, dead->objects));
  else if (vm->gc_state <= GC_ATOMIC && !vm_is_generational(vm))
    say(writer, "cycle in mark: %s of %s marked so far", objects(writer, report->marked.objects),
        shown(writer, cell_count(report->all.objects - report->fixed.objects)));
  else if (vm->gc_state == GC_PAUSE && report->collector.is_running &&
           report->collector.mode != COLLECTOR_GENERATIONAL)
    say(writer, "between two cycles: the next one begins after %s more",
        bytes(writer, report->collector.until_step));
  if (report->pending.objects >= MANY_FINALIZERS ||
      (report->pending.objects && vm->gc_state == GC_CALL_FINALIZERS))
    say(writer, "%s wait for their finalizers: they, and what they hold, stay until those have run",
        objects(writer, report->pending.objects));
}

/* ---- To be had ---------------------------------------------------------------------------------
 */

static void say_full(const struct writer *writer) {
  const struct gc_tally *frees = &writer->report->frees;
  if (writer->report->is_incomplete)
    say(writer,
        "what a full collection now would free is not known: a part of the heap could not be "
        "read");
  else if (frees->objects)
    say(writer, "full collection now would free %s (%s, %s)", share(writer, frees->bytes),
        bytes(writer, frees->bytes), objects(writer, frees->objects));
  else
    say(writer, "full collection now would free nothing: every object is in use");
}

static void say_generational(const struct writer *writer) {
  const struct gc_report *report = writer->report;
  const struct collector *collector = &report->collector;
  uint64_t old = 0;
  for (enum gc_age age = GC_OLD0; age < GC_AGE_COUNT; age++)
    old += report->ages[age].bytes;
  old -= report->fixed.bytes;
  if (collector->mode == COLLECTOR_MAJOR)
    say(writer,
        "generational mode: minor collections free too little, so major ones run, in steps");
  if (collector->mode != COLLECTOR_GENERATIONAL) return;
  if (collector->last_was_bad) {
    say(writer,
        "generational mode: the last major collection freed too little, so the next one "
        "will be major again, after %s more",
        bytes(writer, collector->until_step));
    return;
  }
  say(writer,
      "generational mode: %s of the bytes are old (%s), and %s of garbage among them stay "
      "until a major collection",
      share(writer, old), bytes(writer, old), bytes(writer, report->old_frees.bytes));
  if (collector->until_major == NO_SETTING)
    say(writer, "major collections are switched off: minormajor is 0");
  else if (collector->marked != NO_SETTING)
    say(writer, "the next major collection comes after %s more have become old",
        bytes(writer, (uint64_t)collector->until_major));
  else
    say(writer, "the next major collection comes after %s more",
        bytes(writer, (uint64_t)collector->until_major));
}

/* ---- Settings ----------------------------------------------------------------------------------
 */

static void say_settings(const struct writer *writer) {
  const struct collector *collector = &writer->report->collector;
  if (collector->mode != COLLECTOR_INCREMENTAL) return;
  if (collector->pause >= LONG_PAUSE)
    say(writer,
        "long pause: a cycle begins only when memory is %.4g times what the last one left "
        "(pause %lld)",
        (double)collector->pause / 100, (long long)collector->pause);
  if (collector->stepmul > 0 && collector->stepmul < SMALL_STEPMUL)
    say(writer, "small steps: with stepmul %lld a cycle may never end",
        (long long)collector->stepmul);
}

void gc_diagnose(struct gc_report *report, struct arena *arena) {
  struct writer writer = {.report = report, .arena = arena};
  say_stopped(&writer);
  say_phase(&writer);
  say_full(&writer);
  say_generational(&writer);
  say_settings(&writer);
}
