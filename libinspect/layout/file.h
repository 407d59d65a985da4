/* file.h - layouts as text: what `lua-inspect layout EXE` writes and `--layout FILE` reads.
 *
 *   lua-inspect-layout 1            the first line: what this is, and the version of the format
 *   # comment
 *   lua 5.4                         what _VERSION says
 *   pointer_size 8                  a trait (traits.c), a number or a word
 *   sizeof lua_State 208            the size of a structure
 *   lua_State.l_G 24 8              a field: offset and size in bytes
 *   global_State.strt 48 *          a field that is an aggregate
 *
 * Words are parted by blanks, # starts a comment. Nothing may be said twice. What every build of
 * the version has must be there (layout_check). */
#ifndef LAYOUT_FILE_H
#define LAYOUT_FILE_H

#include "base/arena.h"
#include "base/error.h"
#include "base/text.h"
#include "layout/layout.h"

/* Appends the layout as text; false when out of memory. */
bool layout_write(const struct layout *layout, struct text *text);

/* Reads a layout from text. `name` is what errors call the file, and the layout's name: escaped,
 * valid as long as the arena. */
MUST_CHECK struct inspect_error *layout_parse(const char *bytes, size_t size, const char *name,
                                              struct arena *arena, const struct layout **result);

/* The same from a file. */
MUST_CHECK struct inspect_error *layout_read_file(const char *path, struct arena *arena,
                                                  const struct layout **result);

#endif
