/* image.h - the headers and notes of an ELF image, wherever its bytes are: a core, a program on
 * disk, or the first page of a program inside a core.
 *
 * Conversion of word size and byte order is libelf's (elf32_xlatetom, elf64_xlatetom); finding the
 * structures is done here, as libelf refuses an image whose section table lies past its end, and
 * that is what a truncated core is. Nothing in the image is believed: every offset is checked
 * against the bytes that are there. */
#ifndef SOURCE_IMAGE_H
#define SOURCE_IMAGE_H

#include <gelf.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct image {
  const uint8_t *bytes;
  uint64_t size;
  bool is_64, big_endian;
  unsigned type, machine; /* e_type, e_machine                                       */
  uint64_t headers;       /* file offset of the program headers                      */
  uint64_t stride;        /* bytes from one to the next                              */
  uint64_t count;         /* program headers that lie in the image                   */
  bool is_cut;            /* there were more                                         */
};

enum image_state {
  IMAGE_FINE,
  IMAGE_FOREIGN, /* no ELF file                                             */
  IMAGE_CUT,     /* ends inside the ELF header                              */
  IMAGE_DAMAGED, /* class, byte order or size of program headers is unknown */
};

enum image_state image_load(const uint8_t *bytes, uint64_t size, struct image *image);

/* Program header `index` < image->count. */
GElf_Phdr image_header(const struct image *image, uint64_t index);

/* An unsigned number of 2, 4 or 8 bytes in the byte order of the image. */
uint64_t image_number(const struct image *image, const uint8_t *bytes, unsigned width);

struct note {
  uint32_t type;
  const char *name; /* not terminated */
  size_t name_size; /* without the terminating zero, if it has one */
  const uint8_t *bytes;
  size_t size; /* of what is there: a note that is cut off is shorter than it says */
};

/* The note at `*position` in the bytes of a PT_NOTE segment, aligned as that segment's p_align
 * says. Moves on to the next note; false after the last. Start with *position = 0. */
bool image_next_note(const struct image *image, const uint8_t *bytes, uint64_t size,
                     uint64_t p_align, uint64_t *position, struct note *note);

bool note_is(const struct note *note, const char *name, uint32_t type);

#endif
