/* debug_info.h - the structures of a program, as its compiler described them (DWARF).
 *
 *   debug_info_open or source_debug_info   finds the files; cheap, reads no DWARF yet
 *   debug_info_find                        finds some structures by name, in one pass
 *   debug_info_size, debug_info_field      answer for the structures that were found
 *
 * A program may describe two structures of one name (two Luas linked together). So the search
 * begins in the compilation unit that defines a given function and goes outward, to the units
 * before and behind it: what was linked together is described together. It ends when all were
 * found.
 *
 * Nothing in the debug info is believed: chains of types are bounded and counts are checked. */
#ifndef SOURCE_DEBUG_INFO_H
#define SOURCE_DEBUG_INFO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "source/source.h"

struct debug_info;

/* Where a field lies in its structure. */
struct debug_place {
  uint64_t offset;
  uint64_t size;      /* in bytes; 0 for an array without length                        */
  uint64_t alignment; /* of its type, as the System V ABIs align it; 1 if not known      */
};

/* Opens a program, library or separate debug file, with what else holds its debug info; `sysroot`
 * may be NULL. The errors tell a missing file, a file that is no program and a program without
 * debug info apart. */
MUST_CHECK struct inspect_error *debug_info_open(const char *path, const char *sysroot,
                                                 struct debug_info **result);

void debug_info_close(struct debug_info *info);

/* The debug info of the file that is mapped at an address of the target; NULL if there is none.
 * Valid until source_close. */
struct debug_info *source_debug_info(struct source *source, uint64_t address);

/* The first address of the next file mapped in the target, in address order, 0 after the last.
 * Start with *position = 0. */
uint64_t source_next_file(const struct source *source, size_t *position);

/* Whether the program defines a function with this name (symbol tables only). */
bool debug_info_defines(const struct debug_info *info, const char *function);

/* Looks for `count` structures (or unions) by name, beginning at the unit that defines `function`;
 * if none is known to, at the first. Returns how many were found. May be called once. */
size_t debug_info_find(struct debug_info *info, const char *function, const char *const *names,
                       size_t count);

/* The size of structure `which` (an index into `names`); 0 if it was not found. */
uint64_t debug_info_size(struct debug_info *info, size_t which);

/* The place of a field: "u.l.savedpc" is l in u, savedpc in that. Members of anonymous structures
 * and unions count as members of what contains them. False if there is no such field, or if it is
 * a bit field. */
bool debug_info_field(struct debug_info *info, size_t which, const char *path,
                      struct debug_place *place);

/* The file that was asked for. Valid as long as `info`. */
const char *debug_info_path(const struct debug_info *info);

unsigned debug_info_pointer_size(const struct debug_info *info);
bool debug_info_big_endian(const struct debug_info *info);

/* The name of the alternate file (dwz) that the DWARF needs and that was not found; NULL if nothing
 * is missing. After debug_info_find. */
const char *debug_info_missing(const struct debug_info *info);

/* Frees what source_debug_info opened. */
void source_free_debug_info(struct source *source);

#endif
