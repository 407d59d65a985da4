/* debug_file.h - an ELF file opened for its DWARF, and the other files that hold parts of it.
 *
 * Debug info of a program is in the program, or in a separate file that is found by build-id
 * (/usr/lib/debug/.build-id/XX/YYYY.debug) or by the name in .gnu_debuglink (beside the program, in
 * .debug/ there, below /usr/lib/debug). What dwz moved out because several files share it is in an
 * alternate file (.gnu_debugaltlink), found by build-id or by its name. Every folder is tried below
 * the sysroot first.
 *
 * A file is taken only if it says itself that it belongs: same build-id, or, for .gnu_debuglink
 * without build-ids, the checksum. Only files of this machine are read, never the network. */
#ifndef SOURCE_DEBUG_FILE_H
#define SOURCE_DEBUG_FILE_H

#include <elfutils/libdw.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct debug_file {
  char *path;
  uint8_t *bytes; /* a private, writable mapping */
  size_t size;
  Elf *elf;
  Dwarf *dwarf; /* NULL until debug_file_read */
};

enum debug_file_state {
  DEBUG_FILE_FINE,
  DEBUG_FILE_MISSING, /* cannot be opened: errno says why       */
  DEBUG_FILE_FOREIGN, /* no regular file, or no ELF file        */
};

/* All zero unless FINE. */
enum debug_file_state debug_file_open(const char *path, struct debug_file *file);

/* Allowed on an all-zero file. */
void debug_file_close(struct debug_file *file);

/* Whether the file has DWARF sections with contents. */
bool debug_file_has_dwarf(const struct debug_file *file);

/* Sets file->dwarf; false if libdw cannot read it. Sections that say nothing of types (lines,
 * locations) are left out, as libdw would decompress them all. */
bool debug_file_read(struct debug_file *file);

/* The separate file with the DWARF of `file`. `sysroot` may be NULL. */
bool debug_file_find_separate(const struct debug_file *file, const char *sysroot,
                              struct debug_file *result);

/* If the DWARF of `file` needs an alternate file, finds and attaches it: `result` must live as long
 * as `file`. True also if none is needed (`result` is then all zero). */
bool debug_file_find_alternate(const struct debug_file *file, const char *sysroot,
                               struct debug_file *result);

/* The link-time address of the function with this name; false if no symbol table has it. */
bool debug_file_function(const struct debug_file *file, const char *name, uint64_t *address);

#endif
