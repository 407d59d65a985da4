/* debug_info.c - finds structures in DWARF and answers for their sizes and fields.
 *
 * The search looks only at the children of unit entries: C declares structures at file scope. Types
 * that dwz moved into partial units are reached through DW_TAG_imported_unit, each partial unit
 * once. A structure that is only declared is not taken, unless it names its definition by
 * signature; type units (-fdebug-types-section) are searched last.
 *
 *   units of the file    ... 3 1 [unit with lua_newstate] 2 4 ...   order of the search
 *
 * Bound: MOST_ENTRIES per search. */
#include "source/debug_info.h"

#include <dwarf.h>
#include <elfutils/libdwelf.h>
#include <errno.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "base/vector.h"
#include "source/core.h"
#include "source/debug_file.h"
#include "source/debug_types.h"

enum { MOST_ENTRIES = 1 << 24 };

struct debug_info {
  struct debug_file main, separate, alternate; /* all zero where there is none */
  struct debug_file *dwarf;                    /* main or separate             */
  const char *sysroot;
  struct debug_abi abi;
  bool big_endian;
  const char *missing;
  uint64_t entries; /* looked at so far */
  size_t count;
  Dwarf_Die *structures; /* found: its address is not NULL */
};

struct dies VECTOR(Dwarf_Die);

uint64_t debug_info_size(struct debug_info *info, size_t which) {
  return info->structures[which].addr ? type_size(&info->abi, &info->structures[which]) : 0;
}

bool debug_info_field(struct debug_info *info, size_t which, const char *path,
                      struct debug_place *place) {
  Dwarf_Die type = info->structures[which], member;
  if (!type.addr) return false;
  *place = (struct debug_place){0};
  for (;;) {
    size_t size = strcspn(path, ".");
    uint64_t offset;
    if (!type_is_structure(dwarf_tag(&type)) || !type_complete(&type) ||
        !type_find_member(&type, path, size, &member, &offset) || member_is_bit_field(&member) ||
        !type_of_member(&member, &type))
      return false;
    place->offset += offset;
    if (!path[size]) break;
    path += size + 1;
  }
  place->size = type_size(&info->abi, &type);
  place->alignment = type_alignment(&info->abi, &type);
  return true;
}

/* ---- The search ------------------------------------------------------------------------------ */

struct finder {
  struct debug_info *info;
  const char *const *names;
  size_t left;         /* not yet found                            */
  struct dies imports; /* partial units still to be looked through */
  void *imported;      /* tsearch: all that were ever put there    */
};

static int compare_addresses(const void *left, const void *right) {
  return left < right ? -1 : left > right;
}

static void import(struct finder *finder, Dwarf_Die *die) {
  Dwarf_Die unit;
  if (!type_follow(die, DW_AT_import, &unit)) return;
  if (tfind(unit.addr, &finder->imported, compare_addresses)) return;
  if (tsearch(unit.addr, &finder->imported, compare_addresses)) vector_push(&finder->imports, unit);
}

/* Takes a structure if it is one of those wanted. A typedef of a nameless structure names it. */
static void take(struct finder *finder, Dwarf_Die *die, int tag) {
  const char *name = dwarf_diename(die);
  struct debug_info *info = finder->info;
  for (size_t i = 0; name && i < info->count; i++) {
    Dwarf_Die structure = *die;
    if (info->structures[i].addr || strcmp(finder->names[i], name) != 0) continue;
    if (tag == DW_TAG_typedef && (!type_of_member(die, &structure) || dwarf_diename(&structure)))
      return;
    if (!type_is_structure(dwarf_tag(&structure)) || !type_complete(&structure)) return;
    info->structures[i] = structure;
    finder->left--;
  }
}

static void search_entries(struct finder *finder, Dwarf_Die *unit) {
  Dwarf_Die die;
  if (dwarf_child(unit, &die) != 0) return;
  do {
    int tag = dwarf_tag(&die);
    if (type_is_structure(tag) || tag == DW_TAG_typedef)
      take(finder, &die, tag);
    else if (tag == DW_TAG_imported_unit)
      import(finder, &die);
  } while (finder->left && ++finder->info->entries < MOST_ENTRIES && entry_next(&die));
}

static void search_unit(struct finder *finder, Dwarf_Die *unit) {
  search_entries(finder, unit);
  while (finder->left && finder->imports.count) {
    Dwarf_Die partial = finder->imports.items[--finder->imports.count];
    search_entries(finder, &partial);
  }
}

/* The compilation units in the order of the file; for split DWARF, the halves with the types. Apart
 * from them the units of -fdebug-types-section, which hold one type each. */
static bool list_units(Dwarf *dwarf, struct dies *units, struct dies *types) {
  Dwarf_CU *unit = NULL;
  Dwarf_Die die, split;
  Dwarf_Half version;
  uint8_t type;
  while (units->count < MOST_ENTRIES &&
         dwarf_get_units(dwarf, unit, &unit, &version, &type, &die, &split) == 0) {
    Dwarf_Die *whole = type == DW_UT_skeleton && split.addr ? &split : &die;
    if ((dwarf_tag(whole) == DW_TAG_compile_unit && !vector_push(units, *whole)) ||
        (dwarf_tag(whole) == DW_TAG_type_unit && !vector_push(types, *whole)))
      return false;
  }
  return true;
}

/* The unit with the code of the function, 0 if it is not known. */
static size_t unit_of(const struct debug_info *info, const char *function,
                      const struct dies *units) {
  uint64_t address;
  if (!debug_file_function(&info->main, function, &address) &&
      !(info->separate.elf && debug_file_function(&info->separate, function, &address)))
    return 0;
  for (size_t i = 0; i < units->count; i++)
    if (dwarf_haspc(&units->items[i], address) > 0) return i;
  return 0;
}

static void search_outward(struct finder *finder, const struct dies *units, size_t first) {
  for (size_t step = 0; finder->left && step < units->count; step++) {
    if (first + step < units->count) search_unit(finder, &units->items[first + step]);
    if (step && step <= first && finder->left) search_unit(finder, &units->items[first - step]);
  }
}

static void keep_nothing(void *node) { (void)node; }

size_t debug_info_find(struct debug_info *info, const char *function, const char *const *names,
                       size_t count) {
  struct finder finder = {.info = info, .names = names, .left = count};
  struct dies units = {0}, types = {0};
  const void *id;
  info->structures = calloc(count, sizeof *info->structures);
  if (!info->structures || !debug_file_read(info->dwarf)) return 0;
  info->count = count;
  if (!debug_file_find_alternate(info->dwarf, info->sysroot, &info->alternate))
    dwelf_dwarf_gnu_debugaltlink(info->dwarf->dwarf, &info->missing, &id);
  if (list_units(info->dwarf->dwarf, &units, &types)) {
    search_outward(&finder, &units, unit_of(info, function, &units));
    search_outward(&finder, &types, 0);
  }
  vector_free(&units);
  vector_free(&types);
  vector_free(&finder.imports);
  tdestroy(finder.imported, keep_nothing);
  return count - finder.left;
}

bool debug_info_defines(const struct debug_info *info, const char *function) {
  uint64_t address;
  return debug_file_function(&info->main, function, &address) ||
         (info->separate.elf && debug_file_function(&info->separate, function, &address));
}

const char *debug_info_path(const struct debug_info *info) { return info->main.path; }

unsigned debug_info_pointer_size(const struct debug_info *info) { return info->abi.is_64 ? 8 : 4; }

bool debug_info_big_endian(const struct debug_info *info) { return info->big_endian; }

const char *debug_info_missing(const struct debug_info *info) { return info->missing; }

/* ---- Opening --------------------------------------------------------------------------------- */

static const char give_program[] = "give the program or library that Lua was built into";

/* An error "PATH WHAT", or "cannot open PATH: REASON" if `number` is an errno. */
static struct inspect_error *refuse(const char *path, const char *what, int number,
                                    const char *hint) {
  struct text text = {0};
  struct inspect_error *error;
  if (!text_escape(&text, path, strlen(path), 0) || !text_finish(&text))
    error = error_no_memory();
  else if (number)
    error = error_create(INSPECT_ERROR_SYSTEM, hint, "cannot open %s: %s", text.items,
                         strerror(number));
  else
    error = error_create(INSPECT_ERROR_TARGET, hint, "%s %s", text.items, what);
  vector_free(&text);
  return error;
}

static struct inspect_error *open_main(const char *path, struct debug_info *info) {
  GElf_Ehdr header;
  switch (debug_file_open(path, &info->main)) {
  case DEBUG_FILE_MISSING:
    return refuse(path, NULL, errno, give_program);
  case DEBUG_FILE_FOREIGN:
    return refuse(path, "is no ELF program", 0, give_program);
  case DEBUG_FILE_FINE:
    break;
  }
  if (!gelf_getehdr(info->main.elf, &header))
    return refuse(path, "has a damaged ELF header", 0, give_program);
  if (header.e_type == ET_CORE) return refuse(path, "is a core, no program", 0, give_program);
  if (header.e_type != ET_EXEC && header.e_type != ET_DYN)
    return refuse(path, "is an object file, not yet linked", 0, give_program);
  info->abi.is_64 = header.e_ident[EI_CLASS] == ELFCLASS64;
  info->big_endian = header.e_ident[EI_DATA] == ELFDATA2MSB;
  info->abi.machine = header.e_machine;
  return NULL;
}

static struct inspect_error *open_files(const char *path, struct debug_info *info) {
  TRY(open_main(path, info));
  if (debug_file_has_dwarf(&info->main))
    info->dwarf = &info->main;
  else if (debug_file_find_separate(&info->main, info->sysroot, &info->separate))
    info->dwarf = &info->separate;
  if (info->dwarf) return NULL;
  return refuse(path, "has no debug info, and no separate debug file belongs to it", 0,
                "install its debug package (Debian: liblua5.4-0-dbg), or build it with -g and do "
                "not strip it");
}

struct inspect_error *debug_info_open(const char *path, const char *sysroot,
                                      struct debug_info **result) {
  *result = NULL;
  struct debug_info *info = calloc(1, sizeof *info);
  if (!info) return error_no_memory();
  info->sysroot = sysroot;
  struct inspect_error *error = open_files(path, info);
  if (error)
    debug_info_close(info);
  else
    *result = info;
  return error;
}

void debug_info_close(struct debug_info *info) {
  if (!info) return;
  free(info->structures);
  debug_file_close(&info->main); /* its DWARF refers to that of the alternate file */
  debug_file_close(&info->separate);
  debug_file_close(&info->alternate);
  free(info);
}

/* ---- Files of a target ----------------------------------------------------------------------- */

struct debug_info *source_debug_info(struct source *source, uint64_t address) {
  struct source_elf *elf = source->elf;
  const struct source_mapping *mapping = elf ? source_mapping_at(source, address) : NULL;
  const struct source_disk_file *file = mapping ? source_disk_file(source, mapping) : NULL;
  if (!file) return NULL;
  for (size_t i = 0; i < elf->debug_infos.count; i++)
    if (elf->debug_infos.items[i].path == file->found) return elf->debug_infos.items[i].info;
  struct source_module_info fresh = {.path = file->found};
  struct inspect_error *error = debug_info_open(file->found, elf->sysroot, &fresh.info);
  inspect_error_free(error); /* without debug info there is none: no fault */
  if (vector_push(&elf->debug_infos, fresh)) return fresh.info;
  debug_info_close(fresh.info);
  return NULL;
}

uint64_t source_next_file(const struct source *source, size_t *position) {
  while (*position < source->mapping_count) {
    const struct source_mapping *mapping = &source->mappings[(*position)++];
    if (*position < 2 || strcmp(mapping->path, mapping[-1].path) != 0) return mapping->start;
  }
  return 0;
}

void source_free_debug_info(struct source *source) {
  struct source_elf *elf = source->elf;
  for (size_t i = 0; i < elf->debug_infos.count; i++)
    debug_info_close(elf->debug_infos.items[i].info);
  vector_free(&elf->debug_infos);
}
