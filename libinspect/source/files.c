/* files.c - the files behind the target's mappings.
 *
 * A file is looked for as --exe (for the main program), below the sysroot, and at its own path. It
 * is taken only if it is the file that was mapped, which the build-id tells: the dump holds the
 * first page of each ELF file unless coredump_filter excludes it. Where the dump holds none, --exe
 * and the sysroot are believed, and without a sysroot the path itself. Where it holds one, --exe
 * serves for any mapping with its build-id: a program started through ld.so is not what the kernel
 * calls the main program. Of a running process its own root folder counts, and what was deleted
 * since is still there under /proc.
 *
 * Paths come from the target: what they name is opened without blocking and must be a regular file.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "source/core.h"

struct build_id {
  uint8_t bytes[64];
  size_t size; /* 0: none */
};

const struct source_mapping *source_mapping_at(const struct source *source, uint64_t address) {
  size_t low = 0, high = source->mapping_count;
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    if (source->mappings[middle].end <= address)
      low = middle + 1;
    else
      high = middle;
  }
  if (low == source->mapping_count || address < source->mappings[low].start) return NULL;
  return &source->mappings[low];
}

static bool is_same_path(const struct source_mapping *a, const struct source_mapping *b) {
  return a->path == b->path || strcmp(a->path, b->path) == 0;
}

/* Whether a mapping of offset 0 begins a module. The data of a small library may be mapped from
 * offset 0 once more; then it follows another mapping of the library. */
static bool is_module_start(const struct source *source, size_t index) {
  const struct source_mapping *mapping = &source->mappings[index];
  if (mapping->file_offset) return false;
  return index == 0 || mapping[-1].end != mapping->start || !is_same_path(&mapping[-1], mapping);
}

uint64_t source_mapping_base(const struct source *source, const struct source_mapping *mapping) {
  const struct source_mapping *own = source_mapping_at(source, mapping->start);
  if (!own) return 0;
  for (size_t i = (size_t)(own - source->mappings) + 1; i-- > 0;) {
    const struct source_mapping *other = &source->mappings[i];
    if (is_same_path(other, mapping) && is_module_start(source, i)) return other->start;
  }
  return 0;
}

/* The build-id among the notes of one PT_NOTE. */
static bool find_build_id(const struct image *image, const uint8_t *bytes, uint64_t size,
                          uint64_t align, struct build_id *id) {
  struct note note;
  uint64_t position = 0;
  while (image_next_note(image, bytes, size, align, &position, &note)) {
    if (!note_is(&note, "GNU", NT_GNU_BUILD_ID)) continue;
    if (!note.size || note.size > sizeof id->bytes) continue;
    memcpy(id->bytes, note.bytes, note.size);
    id->size = note.size;
    return true;
  }
  return false;
}

static struct build_id build_id_of_file(const uint8_t *bytes, size_t size) {
  struct build_id id = {.size = 0};
  struct image image;
  if (image_load(bytes, size, &image) != IMAGE_FINE) return id;
  for (uint64_t i = 0; i < image.count; i++) {
    GElf_Phdr header = image_header(&image, i);
    if (header.p_type != PT_NOTE || header.p_offset >= size) continue;
    uint64_t left = size - header.p_offset;
    uint64_t note_size = header.p_filesz < left ? header.p_filesz : left;
    if (find_build_id(&image, bytes + header.p_offset, note_size, header.p_align, &id)) break;
  }
  return id;
}

/* The link-time address of the image's first byte. */
static uint64_t first_address(const struct image *image) {
  for (uint64_t i = 0; i < image->count; i++) {
    GElf_Phdr header = image_header(image, i);
    if (header.p_type == PT_LOAD) return header.p_vaddr - header.p_offset;
  }
  return 0;
}

/* The same from the target's memory, as far as the dump holds it. */
static struct build_id build_id_in_target(const struct source *source, uint64_t base) {
  struct build_id id = {.size = 0};
  struct image image;
  const struct source_segment *segment = base ? source_segment_at(source, base) : NULL;
  if (!segment) return id;
  if (image_load(segment->bytes + (base - segment->start), segment->end - base, &image) !=
      IMAGE_FINE)
    return id;
  uint64_t bias = base - first_address(&image);
  for (uint64_t i = 0; i < image.count; i++) {
    GElf_Phdr header = image_header(&image, i);
    if (header.p_type != PT_NOTE) continue;
    const uint8_t *notes = source_view(source, bias + header.p_vaddr, header.p_filesz);
    if (notes && find_build_id(&image, notes, header.p_filesz, header.p_align, &id)) break;
  }
  return id;
}

static bool map_file(const char *path, const uint8_t **bytes, size_t *size) {
  int descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
  if (descriptor < 0) return false;
  struct stat status;
  void *mapped = MAP_FAILED;
  if (fstat(descriptor, &status) == 0 && S_ISREG(status.st_mode) && status.st_size > 0 &&
      (uintmax_t)status.st_size <= SIZE_MAX) {
    *size = (size_t)status.st_size;
    mapped = mmap(NULL, *size, PROT_READ, MAP_PRIVATE, descriptor, 0);
  }
  close(descriptor);
  *bytes = mapped;
  return mapped != MAP_FAILED;
}

/* What is looked for. */
struct search {
  struct source *source;
  const struct source_mapping *mapping;
  struct build_id id; /* as the dump has it */
  struct source_disk_file *file;
};

/* Takes the file at `path` if it is the right one. Without a build-id in the dump that is believed
 * where `is_trusted`, if the file is long enough to have been mapped so. */
static bool try_path(const struct search *search, const char *path, bool is_trusted) {
  const uint8_t *bytes;
  size_t size;
  if (!path || (!search->id.size && !is_trusted) || !map_file(path, &bytes, &size)) return false;
  bool is_same = search->mapping->file_offset < size;
  if (search->id.size) {
    struct build_id id = build_id_of_file(bytes, size);
    is_same = id.size == search->id.size && !memcmp(id.bytes, search->id.bytes, id.size);
  }
  if (!is_same) {
    munmap((void *)(uintptr_t)bytes, size);
    return false;
  }
  search->file->found = path;
  search->file->bytes = bytes;
  search->file->size = size;
  return true;
}

static bool is_main_program(const struct source *source, const struct source_mapping *mapping) {
  const struct source_mapping *entry = source_mapping_at(source, source->elf->entry);
  return entry && is_same_path(entry, mapping);
}

/* A file that a running process has mapped and that has no name any more, or another one. */
static void find_deleted(const struct search *search) {
  struct source *source = search->source;
  const struct source_mapping *mapping = search->mapping;
  int program = source->elf->program;
  if (source->kind != SOURCE_PROCESS) return;
  if (program >= 0 && is_main_program(source, mapping) &&
      try_path(search, arena_printf(&source->arena, "/proc/self/fd/%d", program), true))
    return;
  try_path(search,
           arena_printf(&source->arena, "/proc/%lld/map_files/%llx-%llx", (long long)source->pid,
                        (unsigned long long)mapping->start, (unsigned long long)mapping->end),
           true);
}

static void find_file(const struct search *search) {
  struct source *source = search->source;
  const struct source_elf *elf = source->elf;
  const char *path = search->mapping->path;
  if (try_path(search, elf->exe, is_main_program(source, search->mapping))) return;
  if (path[0] != '/') return;
  if (elf->sysroot &&
      try_path(search, arena_printf(&source->arena, "%s%s", elf->sysroot, path), true))
    return;
  const char *own = elf->prefix ? arena_printf(&source->arena, "%s%s", elf->prefix, path) : path;
  if (!try_path(search, own, !elf->sysroot)) find_deleted(search);
}

const struct source_disk_file *source_disk_file(struct source *source,
                                                const struct source_mapping *mapping) {
  struct source_elf *elf = source->elf;
  if (!elf) return NULL;
  uint64_t base = source_mapping_base(source, mapping);
  struct source_disk_file *file = NULL;
  for (size_t i = 0; i < elf->files.count && !file; i++) {
    struct source_disk_file *known = &elf->files.items[i];
    if (known->base == base && strcmp(known->wanted, mapping->path) == 0) file = known;
  }
  if (!file) {
    struct source_disk_file fresh = {.wanted = mapping->path, .base = base};
    if (!vector_push(&elf->files, fresh)) return NULL;
    file = &elf->files.items[elf->files.count - 1];
    find_file(&(struct search){source, mapping, build_id_in_target(source, base), file});
  }
  return file->found ? file : NULL;
}

bool source_file(struct source *source, const struct source_mapping *mapping, const uint8_t **bytes,
                 size_t *size) {
  const struct source_disk_file *file = source_disk_file(source, mapping);
  if (!file || mapping->file_offset >= file->size) return false;
  *bytes = file->bytes;
  *size = file->size;
  return true;
}

void source_free_files(struct source *source) {
  struct source_elf *elf = source->elf;
  for (size_t i = 0; i < elf->files.count; i++)
    if (elf->files.items[i].found)
      munmap((void *)(uintptr_t)elf->files.items[i].bytes, elf->files.items[i].size);
  vector_free(&elf->files);
}
