/* layout.c - names of fields, structures and kinds of layouts, and comparing layouts. */
#include "layout/layout.h"

#include <stddef.h>

#include "layout/traits.h"

const char *layout_field_name(enum layout_field field) {
  static const char *const NAMES[] = {
#define FIELD(structure, field) #structure "." #field,
      LAYOUT_FIELDS(FIELD)
#undef FIELD
  };
  return (unsigned)field < LAYOUT_FIELD_COUNT ? NAMES[field] : NULL;
}

const char *layout_struct_name(enum layout_struct structure) {
  static const char *const NAMES[] = {
#define STRUCT(name) #name,
      LAYOUT_STRUCTS(STRUCT)
#undef STRUCT
  };
  return (unsigned)structure < LAYOUT_STRUCT_COUNT ? NAMES[structure] : NULL;
}

const char *layout_provenance_name(enum layout_provenance provenance) {
  switch (provenance) {
  case LAYOUT_DWARF:
    return "dwarf";
  case LAYOUT_PROBED:
  case LAYOUT_FILE:
    return "probed";
  case LAYOUT_CANNED:
    break;
  }
  return "canned";
}

bool layout_equal(const struct layout *a, const struct layout *b) {
  for (unsigned i = 0; i < LAYOUT_FIELD_COUNT; i++)
    if (a->place[i].offset != b->place[i].offset || a->place[i].size != b->place[i].size)
      return false;
  for (unsigned i = 0; i < LAYOUT_STRUCT_COUNT; i++)
    if (a->size[i] != b->size[i]) return false;
  return strcmp(a->lua, b->lua) == 0 && layout_traits_equal(a, b);
}
