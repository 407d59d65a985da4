/* mock_core.h - builds small ELF cores, of either class and byte order, and writes them to files.
 *
 *   ELF header | room for program headers | contents at MOCK_CONTENTS in order of addition
 *
 * Nothing is checked: the tests build damaged cores as well. */
#ifndef MOCK_CORE_H
#define MOCK_CORE_H

#include <elf.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "source/source.h"

enum { MOCK_CONTENTS = 0x1000, MOCK_SIZE = 0x40000, MOCK_HEADERS = 32 };

struct mock_header {
  uint32_t type, flags;
  uint64_t offset, address, file_size, memory_size;
};

struct mock_core {
  bool is_64, big_endian;
  unsigned type, machine;
  struct mock_header headers[MOCK_HEADERS];
  size_t header_count;
  uint8_t bytes[MOCK_SIZE];
  size_t size; /* bytes used */
};

static inline void mock_init(struct mock_core *core, bool is_64, bool big_endian) {
  memset(core, 0, sizeof *core);
  core->is_64 = is_64;
  core->big_endian = big_endian;
  core->type = ET_CORE;
  core->machine = is_64 ? EM_X86_64 : EM_386;
  core->size = MOCK_CONTENTS;
}

static inline unsigned mock_word(const struct mock_core *core) { return core->is_64 ? 8 : 4; }

static inline void mock_number(const struct mock_core *core, uint8_t *bytes, uint64_t value,
                               unsigned width) {
  for (unsigned i = 0; i < width; i++)
    bytes[core->big_endian ? width - 1 - i : i] = (uint8_t)(value >> 8 * i);
}

static inline struct mock_header *mock_add(struct mock_core *core, struct mock_header header) {
  assert_true(core->header_count < MOCK_HEADERS);
  core->headers[core->header_count] = header;
  return &core->headers[core->header_count++];
}

/* Memory at `address`: `size` bytes, each the low byte of its address >> 4. */
static inline struct mock_header *mock_memory(struct mock_core *core, uint64_t address,
                                              uint64_t size, uint32_t flags) {
  struct mock_header header = {PT_LOAD, flags, core->size, address, size, size};
  assert_true(core->size + size <= MOCK_SIZE);
  for (uint64_t i = 0; i < size; i++)
    core->bytes[core->size++] = (uint8_t)((address + i) >> 4);
  return mock_add(core, header);
}

static inline void mock_append(struct mock_core *core, const void *bytes, size_t size) {
  assert_true(core->size + size <= MOCK_SIZE);
  if (size) memcpy(core->bytes + core->size, bytes, size);
  core->size += size;
}

/* A note whose header says `claimed` bytes; the header of the segment is mock_notes_end's. */
static inline void mock_note_claiming(struct mock_core *core, const char *name, uint32_t type,
                                      const void *bytes, size_t size, uint32_t claimed) {
  static const uint8_t zeros[4];
  uint8_t header[12];
  size_t name_size = strlen(name) + 1;
  mock_number(core, header, name_size, 4);
  mock_number(core, header + 4, claimed, 4);
  mock_number(core, header + 8, type, 4);
  mock_append(core, header, sizeof header);
  mock_append(core, name, name_size);
  mock_append(core, zeros, -name_size & 3);
  mock_append(core, bytes, size);
  mock_append(core, zeros, -size & 3);
}

static inline void mock_note(struct mock_core *core, const char *name, uint32_t type,
                             const void *bytes, size_t size) {
  mock_note_claiming(core, name, type, bytes, size, (uint32_t)size);
}

/* Makes everything since `start` (an earlier core->size) a PT_NOTE. */
static inline struct mock_header *mock_notes_end(struct mock_core *core, size_t start) {
  return mock_add(core, (struct mock_header){PT_NOTE, 0, start, 0, core->size - start, 0});
}

static inline void mock_write_header(struct mock_core *core, uint8_t *at,
                                     const struct mock_header *header) {
  unsigned word = mock_word(core);
  uint64_t narrow[] = {header->type,      header->offset,      header->address, 0,
                       header->file_size, header->memory_size, header->flags,   4};
  uint64_t wide[] = {header->offset, header->address, 0, header->file_size, header->memory_size, 4};
  if (!core->is_64) {
    for (unsigned i = 0; i < 8; i++)
      mock_number(core, at + i * 4, narrow[i], 4);
    return;
  }
  mock_number(core, at, header->type, 4);
  mock_number(core, at + 4, header->flags, 4);
  for (unsigned i = 0; i < 6; i++)
    mock_number(core, at + 8 + i * word, wide[i], word);
}

static inline unsigned mock_header_size(const struct mock_core *core) {
  return core->is_64 ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr);
}

/* Fills in ELF header and program headers. `section_header` and `e_phnum` are for PN_XNUM. */
static inline void mock_finish_with(struct mock_core *core, uint64_t program_headers,
                                    uint64_t section_header, unsigned e_phnum) {
  unsigned word = mock_word(core), file_header = core->is_64 ? 64 : 52;
  uint8_t *at = core->bytes;
  memcpy(at, ELFMAG, SELFMAG);
  at[EI_CLASS] = core->is_64 ? ELFCLASS64 : ELFCLASS32;
  at[EI_DATA] = core->big_endian ? ELFDATA2MSB : ELFDATA2LSB;
  at[EI_VERSION] = EV_CURRENT;
  mock_number(core, at + 16, core->type, 2);
  mock_number(core, at + 18, core->machine, 2);
  mock_number(core, at + 20, EV_CURRENT, 4);
  mock_number(core, at + 24 + word, program_headers, word);
  mock_number(core, at + 24 + 2 * word, section_header, word);
  at += 24 + 3 * word + 4;
  mock_number(core, at, file_header, 2);
  mock_number(core, at + 2, mock_header_size(core), 2);
  mock_number(core, at + 4, e_phnum, 2);
  mock_number(core, at + 6, core->is_64 ? 64 : 40, 2);
  mock_number(core, at + 8, section_header ? 1 : 0, 2);
  for (size_t i = 0; i < core->header_count; i++)
    mock_write_header(core, core->bytes + program_headers + i * mock_header_size(core),
                      &core->headers[i]);
}

static inline void mock_finish(struct mock_core *core) {
  mock_finish_with(core, core->is_64 ? 64 : 52, 0, (unsigned)core->header_count);
}

/* A folder of the test's own, for all its files; removed by mock_remove_folder. */
static inline const char *mock_folder(void) {
  static char folder[] = "/tmp/test_source.XXXXXX";
  static bool is_made;
  if (!is_made) assert_non_null(mkdtemp(folder));
  is_made = true;
  return folder;
}

static inline const char *mock_path(const char *name) {
  static char path[512];
  snprintf(path, sizeof path, "%s/%s", mock_folder(), name);
  return path;
}

static inline void mock_write(const char *path, const void *bytes, size_t size) {
  int descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  assert_true(descriptor >= 0);
  assert_int_equal(write(descriptor, bytes, size), size);
  close(descriptor);
}

static inline int mock_remove_folder(void **state) {
  (void)state;
  char command[600];
  snprintf(command, sizeof command, "rm -rf '%s'", mock_folder());
  return system(command) == 0 ? 0 : -1;
}

/* Writes the first `size` bytes of the core and opens the file. */
static inline struct inspect_error *mock_open_cut(struct mock_core *core, size_t size,
                                                  struct source **result) {
  mock_write(mock_path("mock.core"), core->bytes, size);
  return source_open_core(mock_path("mock.core"), NULL, NULL, NULL, result);
}

static inline struct source *mock_open(struct mock_core *core) {
  struct source *source;
  mock_finish(core);
  struct inspect_error *error = mock_open_cut(core, core->size, &source);
  if (error) print_message("%s\n", error->message);
  assert_null(error);
  return source;
}

/* Checks that all of the memory is there and has mock_memory's contents. */
static inline void mock_check_memory(const struct source *source, uint64_t address, uint64_t size) {
  const uint8_t *bytes = source_view(source, address, size);
  assert_non_null(bytes);
  for (uint64_t i = 0; i < size; i++)
    assert_int_equal(bytes[i], (uint8_t)((address + i) >> 4));
}

#endif
