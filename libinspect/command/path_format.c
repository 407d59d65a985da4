/* path_format.c - paths printed so that path_parse reads the same steps again.
 *
 * Invariant: text of the target passes through text_escape and nothing else reaches the output but
 * our own words, so a path is safe on a terminal. */
#include "command/path.h"

#include <inttypes.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>

static bool add_quoted(struct text *text, const char *bytes, size_t size) {
  return text_add(text, "\"", 1) && text_escape(text, bytes, size, '"') && text_add(text, "\"", 1);
}

/* The shortest digits that read back as the same number. %g would follow the host's locale. */
static bool add_number(struct text *text, double number) {
  if (isinf(number)) return text_add_string(text, number < 0 ? "-1e9999" : "1e9999");
  locale_t plain = newlocale(LC_ALL_MASK, "C", (locale_t)0);
  if (!plain) return false;
  locale_t before = uselocale(plain);
  char digits[40];
  for (int precision = 14; precision <= 17; precision++) {
    snprintf(digits, sizeof digits, "%.*g", precision, number);
    if (strtod(digits, NULL) == number) break;
  }
  uselocale(before);
  freelocale(plain);
  return text_add_string(text, digits);
}

static bool add_key(struct text *text, const struct path_step *step) {
  switch (step->form) {
  case LABEL_TEXT:
    return add_quoted(text, step->text, step->size);
  case LABEL_INTEGER:
    return text_printf(text, "%" PRId64, step->integer);
  case LABEL_NUMBER:
    return add_number(text, step->number);
  case LABEL_BOOLEAN:
    return text_add_string(text, step->integer ? "true" : "false");
  case LABEL_POINTER:
    return text_printf(text, "0x%" PRIx64, step->address);
  case LABEL_NONE:
  case LABEL_OBJECT:
    break;
  }
  return text_add_string(text, "?");
}

/* Names of locals can be anything in damaged or generated code: "(for state)". */
static bool add_name_or_count(struct text *text, const struct path_step *step) {
  if (step->form == LABEL_TEXT && text_is_name(step->text, step->size))
    return text_add(text, step->text, step->size);
  return add_key(text, step);
}

static bool add_accessor(struct text *text, const char *name, const struct path_step *step) {
  return text_printf(text, ":%s(", name) && add_name_or_count(text, step) && text_add(text, ")", 1);
}

static bool add_field(struct text *text, const struct path_step *step) {
  if (step->form == LABEL_TEXT && text_is_name(step->text, step->size))
    return text_add(text, ".", 1) && text_add(text, step->text, step->size);
  return text_add(text, "[", 1) && add_key(text, step) && text_add(text, "]", 1);
}

static bool add_local(struct text *text, const struct path_step *step) {
  if (step->level == PATH_ANY_LEVEL) return add_accessor(text, "local", step);
  return text_printf(text, ":local(%" PRId64 ",", step->level) && add_name_or_count(text, step) &&
         text_add(text, ")", 1);
}

bool path_format_step(const struct path_step *step, struct text *text) {
  switch (step->kind) {
  case PATH_GLOBALS:
    return text_add_string(text, "_G");
  case PATH_REGISTRY:
    return text_add_string(text, "registry");
  case PATH_LOADED:
    return text_add_string(text, "package.loaded");
  case PATH_ADDRESS:
    return text_printf(text, "0x%" PRIx64, step->address);
  case PATH_ENTRY:
    return text_printf(text, "@%" PRId64, step->integer);
  case PATH_FIELD:
    return add_field(text, step);
  case PATH_KEY:
    return text_add_string(text, ":key(") && add_key(text, step) && text_add(text, ")", 1);
  case PATH_METATABLE:
    return text_add_string(text, ":metatable");
  case PATH_ENV:
    return text_add_string(text, ":env");
  case PATH_VALUE:
    return text_add_string(text, ":value");
  case PATH_UPVALUE:
    return add_accessor(text, "upvalue", step);
  case PATH_LOCAL:
    return add_local(text, step);
  case PATH_USERVALUE:
    return add_accessor(text, "uservalue", step);
  case PATH_STACK:
    return add_accessor(text, "stack", step);
  case PATH_CONSTANT:
    return add_accessor(text, "constant", step);
  case PATH_DEBUG_NAME:
    return add_accessor(text, "debugname", step);
  case PATH_PROTOTYPE:
    return step->form == LABEL_NONE ? text_add_string(text, ":prototype")
                                    : add_accessor(text, "prototype", step);
  }
  return text_add_string(text, "?");
}

bool path_format(const struct path *path, struct text *text) {
  for (size_t i = 0; i < path->count; i++)
    if (!path_format_step(&path->steps[i], text)) return false;
  return true;
}
