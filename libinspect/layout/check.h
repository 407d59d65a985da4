/* check.h - whether a layout can be read with: the gate for all that is not canned. */
#ifndef LAYOUT_CHECK_H
#define LAYOUT_CHECK_H

#include "layout/layout.h"

/* NULL if the layout is complete and consistent: every read that the library does through it stays
 * within the bytes that it has checked. Else a static text that says what is wrong; `*field` is the
 * field it is about, LAYOUT_FIELD_COUNT if none. */
const char *layout_check(const struct layout *layout, enum layout_field *field);

#endif
