/* violations.c - collects broken invariants: a bounded list and complete counts.
 *
 * Invariant: counts and total are right whatever the memory; only what is shown can fall short. */
#include "lua/violations.h"

#include <stdarg.h>

void violations_init(struct violations *violations) {
  *violations = (struct violations){.vm = 0};
  arena_init(&violations->arena);
}

void violations_free(struct violations *violations) {
  vector_free(&violations->list);
  arena_free(&violations->arena);
}

static void add(struct violations *violations, struct violation violation, const char *format,
                va_list arguments) {
  violations->total++;
  if (violations->counts[violation.code]++ >= MOST_VIOLATIONS) return;
  violation.vm = violations->vm;
  violation.text = arena_vprintf(&violations->arena, format, arguments);
  if (!violation.text) violation.text = violation_sentence(violation.code);
  if (!vector_push(&violations->list, violation)) return; /* it stays counted */
}

void violation_add(struct violations *violations, enum violation_code code, uint64_t address,
                   const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  add(violations, (struct violation){.code = code, .address = address}, format, arguments);
  va_end(arguments);
}

void violation_add_about(struct violations *violations, enum violation_code code, uint64_t address,
                         uint64_t other, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  add(violations,
      (struct violation){.code = code, .address = address, .has_other = true, .other = other},
      format, arguments);
  va_end(arguments);
}

const char *violation_name(enum violation_code code) {
  static const char *const NAMES[] = {
#define VIOLATION(constant, name, sentence) name,
      VIOLATIONS(VIOLATION)
#undef VIOLATION
  };
  return (unsigned)code < VIOLATION_CODE_COUNT ? NAMES[code] : NULL;
}

const char *violation_sentence(enum violation_code code) {
  static const char *const SENTENCES[] = {
#define VIOLATION(constant, name, sentence) sentence,
      VIOLATIONS(VIOLATION)
#undef VIOLATION
  };
  return (unsigned)code < VIOLATION_CODE_COUNT ? SENTENCES[code] : NULL;
}
