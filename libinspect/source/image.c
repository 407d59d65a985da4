/* image.c - the headers and notes of an ELF image.
 *
 * A file with 0xffff or more program headers says PN_XNUM in e_phnum and has the real count in
 * sh_info of section header 0. Linux writes that section header at the very end of a core, so a
 * truncated core lacks it; there the first header whose contents lie behind the table bounds it
 * (Linux puts the notes right after the table: fs/binfmt_elf.c, elf_core_dump). */
#include "source/image.h"

#include <string.h>

/* More mappings than any kernel allows by default by a factor of 250; a sparse file could claim
 * 4 billion. */
#define MOST_HEADERS (UINT64_C(1) << 24)

static bool has(const struct image *image, uint64_t offset, uint64_t size) {
  return offset <= image->size && size <= image->size - offset;
}

/* Copies a structure out of the image and brings it into the order of the host. */
static bool read_structure(const struct image *image, uint64_t offset, Elf_Type type, void *result,
                           size_t size) {
  if (!has(image, offset, size)) return false;
  memcpy(result, image->bytes + offset, size);
  Elf_Data data = {.d_buf = result, .d_type = type, .d_version = EV_CURRENT, .d_size = size};
  unsigned encoding = image->big_endian ? ELFDATA2MSB : ELFDATA2LSB;
  return (image->is_64 ? elf64_xlatetom : elf32_xlatetom)(&data, &data, encoding) != NULL;
}

/* The parts of an ELF header that are used, of either class. */
struct file_header {
  unsigned type, machine, phentsize, phnum;
  uint64_t phoff, shoff;
};

static bool read_file_header(const struct image *image, struct file_header *header) {
  if (image->is_64) {
    Elf64_Ehdr raw;
    if (!read_structure(image, 0, ELF_T_EHDR, &raw, sizeof raw)) return false;
    *header = (struct file_header){raw.e_type,  raw.e_machine, raw.e_phentsize,
                                   raw.e_phnum, raw.e_phoff,   raw.e_shoff};
  } else {
    Elf32_Ehdr raw;
    if (!read_structure(image, 0, ELF_T_EHDR, &raw, sizeof raw)) return false;
    *header = (struct file_header){raw.e_type,  raw.e_machine, raw.e_phentsize,
                                   raw.e_phnum, raw.e_phoff,   raw.e_shoff};
  }
  return true;
}

/* sh_info of section header 0, 0 if it is not there. */
static uint64_t section_info(const struct image *image, uint64_t offset) {
  Elf64_Shdr wide;
  Elf32_Shdr narrow;
  if (!offset) return 0;
  if (image->is_64)
    return read_structure(image, offset, ELF_T_SHDR, &wide, sizeof wide) ? wide.sh_info : 0;
  return read_structure(image, offset, ELF_T_SHDR, &narrow, sizeof narrow) ? narrow.sh_info : 0;
}

/* How many program headers fit before the contents of the first one. */
static uint64_t headers_before_contents(const struct image *image) {
  if (!image->count) return 0;
  GElf_Phdr first = image_header(image, 0);
  return first.p_offset > image->headers ? (first.p_offset - image->headers) / image->stride : 0;
}

static void count_headers(struct image *image, const struct file_header *header) {
  uint64_t left = image->size > image->headers ? image->size - image->headers : 0;
  uint64_t most = left / image->stride, claimed = header->phnum;
  image->count = claimed < most ? claimed : most;
  if (claimed == PN_XNUM) {
    claimed = section_info(image, header->shoff);
    if (!claimed) claimed = headers_before_contents(image);
    if (claimed < PN_XNUM) claimed = PN_XNUM;
    if (claimed > MOST_HEADERS) claimed = MOST_HEADERS;
    image->count = claimed < most ? claimed : most;
  }
  image->is_cut = image->count < claimed;
}

enum image_state image_load(const uint8_t *bytes, uint64_t size, struct image *image) {
  *image = (struct image){.bytes = bytes, .size = size};
  if (size < SELFMAG || memcmp(bytes, ELFMAG, SELFMAG) != 0) return IMAGE_FOREIGN;
  if (size < EI_NIDENT) return IMAGE_CUT;
  unsigned class = bytes[EI_CLASS], order = bytes[EI_DATA];
  if ((class != ELFCLASS32 && class != ELFCLASS64) ||
      (order != ELFDATA2LSB && order != ELFDATA2MSB))
    return IMAGE_DAMAGED;
  image->is_64 = class == ELFCLASS64;
  image->big_endian = order == ELFDATA2MSB;
  struct file_header header;
  if (!read_file_header(image, &header)) return IMAGE_CUT;
  image->type = header.type;
  image->machine = header.machine;
  image->headers = header.phoff;
  image->stride = image->is_64 ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr);
  if (header.phnum && header.phentsize != image->stride) return IMAGE_DAMAGED;
  count_headers(image, &header);
  return IMAGE_FINE;
}

GElf_Phdr image_header(const struct image *image, uint64_t index) {
  uint64_t offset = image->headers + index * image->stride;
  GElf_Phdr header = {.p_type = PT_NULL};
  if (image->is_64) {
    if (!read_structure(image, offset, ELF_T_PHDR, &header, sizeof header))
      header = (GElf_Phdr){.p_type = PT_NULL};
    return header;
  }
  Elf32_Phdr raw;
  if (!read_structure(image, offset, ELF_T_PHDR, &raw, sizeof raw)) return header;
  return (GElf_Phdr){.p_type = raw.p_type,
                     .p_flags = raw.p_flags,
                     .p_offset = raw.p_offset,
                     .p_vaddr = raw.p_vaddr,
                     .p_paddr = raw.p_paddr,
                     .p_filesz = raw.p_filesz,
                     .p_memsz = raw.p_memsz,
                     .p_align = raw.p_align};
}

uint64_t image_number(const struct image *image, const uint8_t *bytes, unsigned width) {
  uint64_t number = 0;
  for (unsigned i = 0; i < width; i++)
    number = number << 8 | bytes[image->big_endian ? i : width - 1 - i];
  return number;
}

/* Rounds up; the numbers here are below 2^34. */
static uint64_t padded(uint64_t size, uint64_t align) { return (size + align - 1) & ~(align - 1); }

bool image_next_note(const struct image *image, const uint8_t *bytes, uint64_t size,
                     uint64_t p_align, uint64_t *position, struct note *note) {
  enum { HEADER = 12 };
  if (*position > size || size - *position < HEADER) return false;
  const uint8_t *start = bytes + *position;
  uint64_t left = size - *position, align = p_align == 8 ? 8 : 4;
  uint64_t name_size = image_number(image, start, 4), note_size = image_number(image, start + 4, 4);
  uint64_t contents = padded(HEADER + name_size, align);
  if (contents > left) return false;
  note->type = (uint32_t)image_number(image, start + 8, 4);
  note->name = (const char *)start + HEADER;
  note->name_size = strnlen(note->name, (size_t)name_size);
  note->bytes = start + contents;
  note->size = (size_t)(note_size < left - contents ? note_size : left - contents);
  uint64_t whole = contents + padded(note_size, align);
  *position = whole < left ? *position + whole : size;
  return true;
}

bool note_is(const struct note *note, const char *name, uint32_t type) {
  return note->type == type && strlen(name) == note->name_size &&
         memcmp(name, note->name, note->name_size) == 0;
}
