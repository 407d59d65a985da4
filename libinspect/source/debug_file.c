/* debug_file.c - opens ELF files for their DWARF, and finds the separate ones.
 *
 * Names of files come from the program, which may be anyone's: they are opened without blocking,
 * must be regular files, and prove by build-id or checksum that they belong. */
#include "source/debug_file.h"

#include <elfutils/libdwelf.h>
#include <errno.h>
#include <fcntl.h>
#include <gelf.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEBUG_FOLDER "/usr/lib/debug"

/* ---- Opening --------------------------------------------------------------------------------- */

static enum debug_file_state map_file(const char *path, struct debug_file *file) {
  struct stat status;
  int descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
  if (descriptor < 0) return DEBUG_FILE_MISSING;
  void *mapped = MAP_FAILED;
  if (fstat(descriptor, &status) == 0 && S_ISREG(status.st_mode) && status.st_size > 0 &&
      (uintmax_t)status.st_size <= SIZE_MAX) {
    file->size = (size_t)status.st_size;
    mapped = mmap(NULL, file->size, PROT_READ | PROT_WRITE, MAP_PRIVATE, descriptor, 0);
  }
  close(descriptor);
  file->bytes = mapped == MAP_FAILED ? NULL : mapped;
  return file->bytes ? DEBUG_FILE_FINE : DEBUG_FILE_FOREIGN;
}

enum debug_file_state debug_file_open(const char *path, struct debug_file *file) {
  *file = (struct debug_file){0};
  enum debug_file_state state = map_file(path, file);
  if (state != DEBUG_FILE_FINE) return state;
  elf_version(EV_CURRENT);
  file->path = strdup(path);
  file->elf = file->path ? elf_memory((char *)file->bytes, file->size) : NULL;
  if (file->elf && elf_kind(file->elf) == ELF_K_ELF) return DEBUG_FILE_FINE;
  debug_file_close(file);
  return DEBUG_FILE_FOREIGN;
}

void debug_file_close(struct debug_file *file) {
  if (file->dwarf) dwarf_end(file->dwarf);
  if (file->elf) elf_end(file->elf);
  if (file->bytes) munmap(file->bytes, file->size);
  free(file->path);
  *file = (struct debug_file){0};
}

/* ---- Sections -------------------------------------------------------------------------------- */

/* The section's header and name; NULL if it has none that can be read. */
static const char *section_name(const struct debug_file *file, Elf_Scn *section,
                                GElf_Shdr *header) {
  size_t names;
  if (elf_getshdrstrndx(file->elf, &names) != 0 || !gelf_getshdr(section, header)) return NULL;
  return elf_strptr(file->elf, names, header->sh_name);
}

bool debug_file_has_dwarf(const struct debug_file *file) {
  Elf_Scn *section = NULL;
  GElf_Shdr header;
  while ((section = elf_nextscn(file->elf, section))) {
    const char *name = section_name(file, section, &header);
    if (name && header.sh_type != SHT_NOBITS && header.sh_size &&
        (!strcmp(name, ".debug_info") || !strcmp(name, ".zdebug_info")))
      return true;
  }
  return false;
}

/* Makes sections without types look empty, in the private mapping only. */
static void hide_sections(const struct debug_file *file) {
  static const char *const USELESS[] = {".debug_line",  ".debug_loc",     ".debug_loclists",
                                        ".debug_frame", ".debug_macinfo", ".debug_macro",
                                        ".eh_frame"};
  Elf_Scn *section = NULL;
  GElf_Shdr header;
  while ((section = elf_nextscn(file->elf, section))) {
    const char *name = section_name(file, section, &header);
    for (size_t i = 0; name && i < sizeof USELESS / sizeof *USELESS; i++) {
      if (strcmp(name, USELESS[i]) != 0) continue;
      header.sh_type = SHT_NOBITS;
      gelf_update_shdr(section, &header);
    }
  }
}

bool debug_file_read(struct debug_file *file) {
  if (file->dwarf) return true;
  hide_sections(file);
  file->dwarf = dwarf_begin_elf(file->elf, DWARF_C_READ, NULL);
  return file->dwarf != NULL;
}

/* ---- Identity -------------------------------------------------------------------------------- */

static size_t build_id(const struct debug_file *file, const void **id) {
  ssize_t size = dwelf_elf_gnu_build_id(file->elf, id);
  return size > 0 ? (size_t)size : 0;
}

static bool has_build_id(const struct debug_file *file, const void *id, size_t size) {
  const void *own;
  return size && build_id(file, &own) == size && memcmp(own, id, size) == 0;
}

/* The checksum of .gnu_debuglink: CRC-32 as in ISO 3309, reflected. */
static uint32_t checksum(const uint8_t *bytes, size_t size) {
  uint32_t table[256], value = UINT32_MAX;
  for (uint32_t i = 0; i < 256; i++) {
    table[i] = i;
    for (int bit = 0; bit < 8; bit++)
      table[i] = table[i] >> 1 ^ (table[i] & 1 ? 0xEDB88320u : 0);
  }
  for (size_t i = 0; i < size; i++)
    value = value >> 8 ^ table[(value ^ bytes[i]) & 0xFF];
  return ~value;
}

/* What a file must show to be taken. */
struct proof {
  const void *id;
  size_t id_size;
  const uint32_t *checksum; /* serves if either side has no build-id; NULL: it does not */
  bool needs_dwarf;
};

static bool is_proved(const struct debug_file *file, const struct proof *proof) {
  const void *own;
  if (proof->needs_dwarf && !debug_file_has_dwarf(file)) return false;
  if (has_build_id(file, proof->id, proof->id_size)) return true;
  if (!proof->checksum || (proof->id_size && build_id(file, &own))) return false;
  return checksum(file->bytes, file->size) == *proof->checksum;
}

/* ---- Searching ------------------------------------------------------------------------------- */

struct search {
  const char *sysroot; /* or NULL */
  struct proof proof;
  struct debug_file *result;
};

static bool try_path(const struct search *search, const char *path) {
  if (debug_file_open(path, search->result) != DEBUG_FILE_FINE) return false;
  if (is_proved(search->result, &search->proof)) return true;
  debug_file_close(search->result);
  return false;
}

/* Tries folder/name, below the sysroot first. `path` is freed. */
static bool try_rooted(const struct search *search, char *path) {
  char *below = NULL;
  bool found = false;
  if (path && search->sysroot && asprintf(&below, "%s%s", search->sysroot, path) >= 0) {
    found = try_path(search, below);
    free(below);
  }
  found = found || (path && try_path(search, path));
  free(path);
  return found;
}

__attribute__((format(printf, 1, 2))) static char *joined(const char *format, ...) {
  char *path = NULL;
  va_list arguments;
  va_start(arguments, format);
  if (vasprintf(&path, format, arguments) < 0) path = NULL;
  va_end(arguments);
  return path;
}

static bool try_build_id(const struct search *search) {
  enum { MOST = 64 };
  char digits[2 * MOST + 1];
  const uint8_t *id = search->proof.id;
  size_t size = search->proof.id_size;
  if (size < 2 || size > MOST) return false;
  for (size_t i = 0; i < size; i++)
    snprintf(digits + 2 * i, 3, "%02x", id[i]);
  return try_rooted(search, joined(DEBUG_FOLDER "/.build-id/%.2s/%s.debug", digits, digits + 2));
}

/* Length of the folder of a path, with the slash; 0 for a bare name. */
static int folder_size(const char *path) {
  const char *slash = strrchr(path, '/');
  return slash ? (int)(slash + 1 - path) : 0;
}

/* The file's folder as the target knows it, absolute and without the sysroot; to be freed. */
static char *folder_in_target(const struct debug_file *file, const char *sysroot) {
  size_t root = sysroot ? strlen(sysroot) : 0;
  const char *path = file->path;
  if (root && strncmp(path, sysroot, root) == 0 && path[root] == '/')
    return joined("%.*s", folder_size(path + root), path + root);
  char *real = realpath(path, NULL);
  char *folder = real ? joined("%.*s", folder_size(real), real) : NULL;
  free(real);
  return folder;
}

static bool try_link(const struct search *search, const struct debug_file *file, const char *name) {
  if (!*name || strchr(name, '/')) return false;
  int size = folder_size(file->path);
  char *beside = joined("%.*s%s", size, file->path, name);
  char *below = joined("%.*s.debug/%s", size, file->path, name);
  char *folder = folder_in_target(file, search->sysroot);
  bool found = (beside && try_path(search, beside)) || (below && try_path(search, below)) ||
               (folder && try_rooted(search, joined(DEBUG_FOLDER "%s%s", folder, name)));
  free(beside);
  free(below);
  free(folder);
  return found;
}

bool debug_file_find_separate(const struct debug_file *file, const char *sysroot,
                              struct debug_file *result) {
  *result = (struct debug_file){0};
  struct search search = {.sysroot = sysroot, .result = result, .proof.needs_dwarf = true};
  search.proof.id_size = build_id(file, &search.proof.id);
  if (try_build_id(&search)) return true;
  GElf_Word linked;
  uint32_t expected;
  const char *name = dwelf_elf_gnu_debuglink(file->elf, &linked);
  if (!name) return false;
  expected = linked;
  search.proof.checksum = &expected;
  return try_link(&search, file, name);
}

bool debug_file_find_alternate(const struct debug_file *file, const char *sysroot,
                               struct debug_file *result) {
  *result = (struct debug_file){0};
  const char *name;
  struct search search = {.sysroot = sysroot, .result = result, .proof.needs_dwarf = true};
  ssize_t size = dwelf_dwarf_gnu_debugaltlink(file->dwarf, &name, &search.proof.id);
  if (size == 0) return true;
  if (size < 0) return false;
  search.proof.id_size = (size_t)size;
  bool found = try_build_id(&search);
  if (!found && name[0] == '/') {
    found = try_rooted(&search, strdup(name));
  } else if (!found && name[0]) {
    char *path = joined("%.*s%s", folder_size(file->path), file->path, name);
    found = path && try_path(&search, path);
    free(path);
  }
  if (!found) return false;
  if (debug_file_read(result)) {
    dwarf_setalt(file->dwarf, result->dwarf);
    return true;
  }
  debug_file_close(result);
  return false;
}

/* ---- Symbols --------------------------------------------------------------------------------- */

static bool find_symbol(const struct debug_file *file, Elf_Scn *section, const GElf_Shdr *header,
                        const char *name, uint64_t *address) {
  Elf_Data *data = elf_getdata(section, NULL);
  size_t count = data && header->sh_entsize ? data->d_size / header->sh_entsize : 0;
  for (size_t i = 1; i < count && i <= INT32_MAX; i++) {
    GElf_Sym symbol;
    if (!gelf_getsym(data, (int)i, &symbol)) return false;
    if (symbol.st_shndx == SHN_UNDEF || GELF_ST_TYPE(symbol.st_info) != STT_FUNC) continue;
    const char *own = elf_strptr(file->elf, header->sh_link, symbol.st_name);
    if (!own || strcmp(own, name) != 0) continue;
    *address = symbol.st_value;
    return true;
  }
  return false;
}

bool debug_file_function(const struct debug_file *file, const char *name, uint64_t *address) {
  Elf_Scn *section = NULL;
  GElf_Shdr header;
  while ((section = elf_nextscn(file->elf, section)))
    if (gelf_getshdr(section, &header) &&
        (header.sh_type == SHT_SYMTAB || header.sh_type == SHT_DYNSYM) &&
        find_symbol(file, section, &header, name, address))
      return true;
  return false;
}
