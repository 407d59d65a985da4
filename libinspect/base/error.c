/* error.c - error objects: one allocation holds the object and its texts. */
#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct inspect_error *error_no_memory(void) {
  static struct inspect_error error = {
      .code = INSPECT_ERROR_NO_MEMORY,
      .message = "out of memory",
      .hint = ERROR_NO_MEMORY_HINT,
  };
  return &error;
}

struct inspect_error *error_interrupted(void) {
  static struct inspect_error error = {.code = INSPECT_ERROR_INTERRUPTED, .message = "interrupted"};
  return &error;
}

static struct inspect_error *create(enum inspect_error_code code, const uint64_t *address,
                                    const char *hint, const char *format, va_list arguments) {
  va_list again;
  va_copy(again, arguments);
  int length = vsnprintf(NULL, 0, format, again);
  va_end(again);
  if (length < 0) return error_no_memory();
  size_t message_size = (size_t)length + 1;
  size_t hint_size = hint ? strlen(hint) + 1 : 0;
  struct inspect_error *error = malloc(sizeof *error + message_size + hint_size);
  if (!error) return error_no_memory();
  char *text = (char *)(error + 1);
  vsnprintf(text, message_size, format, arguments);
  *error = (struct inspect_error){.code = code, .message = text};
  if (hint) error->hint = memcpy(text + message_size, hint, hint_size);
  if (address) {
    error->has_address = true;
    error->address = *address;
  }
  return error;
}

struct inspect_error *error_create(enum inspect_error_code code, const char *hint,
                                   const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  struct inspect_error *error = create(code, NULL, hint, format, arguments);
  va_end(arguments);
  return error;
}

struct inspect_error *error_at(enum inspect_error_code code, uint64_t address, const char *hint,
                               const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  struct inspect_error *error = create(code, &address, hint, format, arguments);
  va_end(arguments);
  return error;
}

void inspect_error_free(struct inspect_error *error) {
  if (error && error != error_no_memory() && error != error_interrupted()) free(error);
}

const char *inspect_error_name(enum inspect_error_code code) {
  switch (code) {
  case INSPECT_ERROR_NO_MEMORY:
    return "no-memory";
  case INSPECT_ERROR_SYSTEM:
    return "system";
  case INSPECT_ERROR_TARGET:
    return "target";
  case INSPECT_ERROR_NOT_FOUND:
    return "not-found";
  case INSPECT_ERROR_USAGE:
    return "usage";
  case INSPECT_ERROR_UNREADABLE:
    return "unreadable";
  case INSPECT_ERROR_UNSUPPORTED:
    return "unsupported";
  case INSPECT_ERROR_INTERRUPTED:
    return "interrupted";
  }
  return "unknown";
}
