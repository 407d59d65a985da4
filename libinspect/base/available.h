/* available.h - how much memory this process can still have without swapping. */
#ifndef BASE_AVAILABLE_H
#define BASE_AVAILABLE_H

#include <stdint.h>

/* Bytes: the least of what the kernel calls available and what is left below the limits of this
 * process's control groups (both versions), where page cache counts as free. UINT64_MAX if nothing
 * is known. `root` is put before the names of the files in /proc and /sys: "", in tests a folder.
 */
uint64_t memory_available(const char *root);

#endif
