/* layout.c - names of fields. */
#include "layout/layout.h"

#include <stddef.h>

const char *layout_field_name(enum layout_field field) {
  static const char *const NAMES[] = {
#define FIELD(structure, field) #structure "." #field,
      LAYOUT_FIELDS(FIELD)
#undef FIELD
  };
  return (unsigned)field < LAYOUT_FIELD_COUNT ? NAMES[field] : NULL;
}
