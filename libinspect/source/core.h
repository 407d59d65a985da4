/* core.h - what the files of this folder share about an opened ELF core. */
#ifndef SOURCE_CORE_H
#define SOURCE_CORE_H

#include "base/vector.h"
#include "source/image.h"
#include "source/source.h"

/* A file of the target that was asked for, found or not. */
struct source_disk_file {
  const char *wanted; /* the target's name for it                            */
  uint64_t base;      /* where its first byte is mapped in the target, or 0  */
  const char *found;  /* the name under which it was opened; NULL: not found */
  const uint8_t *bytes;
  size_t size;
};

/* The debug info of such a file, found or not. */
struct source_module_info {
  const char *path; /* as in source_disk_file.found */
  struct debug_info *info;
};

struct source_elf {
  struct image image;  /* the mapped core */
  const char *exe;     /* as in struct inspect_target, or NULL */
  const char *sysroot; /* the same */
  uint64_t entry;      /* AT_ENTRY: an address in the main program, 0 if not known */
  /* Of a running process: */
  int program;        /* its program, opened, or -1                          */
  int root;           /* its root folder, opened, or -1                      */
  const char *prefix; /* a path to `root`, or NULL if it is our root as well */
  struct VECTOR(struct source_disk_file) files;
  struct VECTOR(struct source_module_info) debug_infos;
  struct source_symbols *symbols; /* NULL until the first source_symbol */
  struct source_unwind *unwind;   /* NULL until the first source_unwind */
};

/* memory.c: segments, gaps and missing bytes from the program headers. */
MUST_CHECK struct inspect_error *source_read_memory(struct source *source);

/* memory.c: what was left out, once the mapped files are known. */
void source_read_left_out(struct source *source);

/* notes.c: process, threads and mapped files from the notes. */
MUST_CHECK struct inspect_error *source_read_notes(struct source *source);

/* notes.c: sets stack pointer and program counter of a thread from its registers. */
void source_name_registers(const struct source *source, struct source_thread *thread);

/* files.c: the file behind a mapping, NULL if it cannot be had; valid until the next call. */
const struct source_disk_file *source_disk_file(struct source *source,
                                                const struct source_mapping *mapping);
void source_free_files(struct source *source);

/* symbols.c */
void source_free_symbols(struct source *source);

/* process.c: lets the process go and frees what was read. */
void source_free_process(struct source *source);

/* core.c: an empty source; its --exe and --sysroot, checked and kept. */
MUST_CHECK struct inspect_error *source_create(enum source_kind kind, struct source **result);
MUST_CHECK struct inspect_error *source_keep_options(struct source *source, const char *exe,
                                                     const char *sysroot);

/* core.c: a copy of an array in the source's arena; NULL when out of memory. Never NULL else. */
void *source_keep(struct source *source, const void *items, size_t count, size_t item_size);

#endif
