/* traits.h - the traits of a layout as data: what layout files and comparisons go through.
 *
 * A new member of struct layout that says something about a build needs a row in traits.c. */
#ifndef LAYOUT_TRAITS_H
#define LAYOUT_TRAITS_H

#include <stddef.h>

#include "layout/layout.h"

struct layout_trait {
  const char *name;
  size_t offset, width;     /* of the member in struct layout */
  const char *const *words; /* its values in words, NULL-terminated; NULL: a number */
  uint64_t most;            /* the largest number */
};

/* Ends with a row without a name. */
extern const struct layout_trait layout_traits[];

uint64_t layout_trait_get(const struct layout *layout, const struct layout_trait *trait);
void layout_trait_set(struct layout *layout, const struct layout_trait *trait, uint64_t value);

bool layout_traits_equal(const struct layout *a, const struct layout *b);

#endif
