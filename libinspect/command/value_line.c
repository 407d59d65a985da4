/* value_line.c - one value, not opened. Bytes of strings are escaped and limited. */
#include "command/value_line.h"

#include <inttypes.h>
#include <math.h>

#include "report/cell.h"

void value_lines_free(struct value_lines *lines) {
  number_map_free(&lines->described);
  vector_free(&lines->words);
}

const char *value_quote(struct arena *arena, const char *bytes, size_t shown, size_t size) {
  struct text text = {0};
  bool fits = text_add(&text, "\"", 1) && text_escape(&text, bytes, shown, '"') &&
              text_add_string(&text, shown < size ? "\"..." : "\"");
  const char *quoted = fits ? arena_copy(arena, text.items, text.count) : NULL;
  vector_free(&text);
  return quoted;
}

static const char *string_line(struct vm *vm, struct lua_value value, struct arena *arena) {
  size_t size;
  const char *bytes = string_bytes(vm, value.bits, &size);
  if (!bytes) return arena_printf(arena, "<string, not readable, 0x%" PRIx64 ">", value.bits);
  size_t shown = text_cut(bytes, size, VALUE_LINE_BYTES);
  const char *quoted = value_quote(arena, bytes, shown, size);
  return quoted && shown < size ? arena_printf(arena, "%s  -- %zu bytes", quoted, size) : quoted;
}

/* The shortest digits that read back (lobject.c: tostringbuff for the rest); what Lua has no
 * literal for is an expression. */
static const char *float_line(double number, struct arena *arena) {
  if (isnan(number)) return "0/0";
  if (isinf(number)) return number > 0 ? "math.huge" : "-math.huge";
  char digits[NUMBER_SIZE];
  number_shortest(digits, number);
  bool looks_integer = strspn(digits, "-0123456789") == strlen(digits);
  return arena_printf(arena, "%s%s", digits, looks_integer ? ".0" : "");
}

static const char *describe(struct value_lines *lines, object_id object) {
  uint32_t known = number_map_get(&lines->described, object);
  if (known != NO_NUMBER) return lines->words.items[known];
  const char *words = describe_object(lines->session, object, lines->arena);
  if (words && !(vector_push(&lines->words, words) &&
                 number_map_set(&lines->described, object, (uint32_t)lines->words.count - 1)))
    return NULL;
  return words;
}

static const char *object_line(struct value_lines *lines, struct lua_value value) {
  object_id object = heap_object_at(&lines->session->heap, value.bits);
  if (object == NO_OBJECT)
    return arena_printf(lines->arena, "<%s, not readable, 0x%" PRIx64 ">", value_type_name(value),
                        value.bits);
  const char *words = describe(lines, object);
  return words ? arena_printf(lines->arena, "<%s, 0x%" PRIx64 ">", words, value.bits) : NULL;
}

const char *value_line(struct value_lines *lines, struct heap_vm *owner, struct lua_value value) {
  struct arena *arena = lines->arena;
  if (!value_is_sound(value)) return arena_printf(arena, "<no value, tag 0x%02x>", value.tag);
  if (value_is_object(value))
    return value_is_string(value) ? string_line(&owner->vm, value, arena)
                                  : object_line(lines, value);
  switch (value.tag) {
  case TAG_FALSE:
    return "false";
  case TAG_TRUE:
    return "true";
  case TAG_INTEGER:
    return arena_printf(arena, "%" PRId64, value_integer(&owner->vm, value));
  case TAG_FLOAT:
    return float_line(value_number(&owner->vm, value), arena);
  case TAG_LIGHT_USERDATA:
    return arena_printf(arena, "<light userdata, 0x%" PRIx64 ">", value.bits);
  case TAG_LIGHT_FUNCTION: {
    const char *name = heap_c_function_name(&lines->session->heap, value.bits);
    return name ? arena_printf(arena, "<C function %s>", name)
                : arena_printf(arena, "<C function at 0x%" PRIx64 ">", value.bits);
  }
  default:
    return "nil";
  }
}

const char *value_type_name(struct lua_value value) {
  if (value_is_object(value)) {
    enum object_type type = lua54_type(value.tag);
    return type == OBJECT_TYPE_COUNT ? "damaged" : object_type_name(type);
  }
  switch (value.tag) {
  case TAG_FALSE:
  case TAG_TRUE:
    return "boolean";
  case TAG_INTEGER:
  case TAG_FLOAT:
    return "number";
  case TAG_LIGHT_USERDATA:
    return "lightuserdata";
  case TAG_LIGHT_FUNCTION:
    return "cfunction";
  default:
    return value_is_empty(value) ? "nil" : "damaged";
  }
}
