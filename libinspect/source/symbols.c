/* symbols.c - names of functions and variables, through libdwfl.
 *
 * Each module (a file mapped at one base address) is opened when an address in it is first asked
 * for: the file that files.c found and checked is reported to a Dwfl of its own, and its functions
 * and variables become a table sorted by address. libdwfl chooses .symtab, .dynsym, the compressed
 * table of .gnu_debugdata or a separate debug file; the latter is taken only from this machine and
 * by build-id, never from the network.
 *
 * A core without NT_FILE names no mappings; there libdwfl finds the modules through the dynamic
 * linker's list in the core (dwfl_core_file_report), and one table holds all their functions.
 *
 * Invariant: an address has a name only if it lies inside a function of known size or is the very
 * start of one of unknown size. In a stripped file most addresses have none, and the function below
 * would be a wrong answer. */
#include <elfutils/libdwfl.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"
#include "source/core.h"

struct function {
  uint64_t start, end;
  const char *raw;  /* libdwfl's, while the module's Dwfl lives */
  const char *name; /* escaped; NULL until asked for            */
  int preference;   /* among names of one address, lowest first */
};

struct module {
  const char *path; /* the target's name for it; NULL: the whole core */
  uint64_t base;
  Dwfl *dwfl; /* NULL if there is no file */
  Elf *core;  /* for the whole core       */
  struct VECTOR(struct function) functions;
};

struct source_symbols {
  struct VECTOR(struct module) modules;
};

/* ---- The functions of a module --------------------------------------------------------------- */

static int compare_functions(const void *left, const void *right) {
  const struct function *a = left, *b = right;
  if (a->start != b->start) return a->start < b->start ? -1 : 1;
  if (a->preference != b->preference) return a->preference < b->preference ? -1 : 1;
  size_t a_size = strlen(a->raw), b_size = strlen(b->raw);
  if (a_size != b_size) return a_size < b_size ? -1 : 1;
  return strcmp(a->raw, b->raw);
}

/* Adds symbol `index` if it is a function or variable that the module defines. False: out of
 * memory. */
static bool add_function(struct module *module, Dwfl_Module *dwfl_module, int index) {
  GElf_Sym symbol;
  GElf_Addr address;
  const char *name =
      dwfl_module_getsym_info(dwfl_module, index, &symbol, &address, NULL, NULL, NULL);
  unsigned type = GELF_ST_TYPE(symbol.st_info), binding = GELF_ST_BIND(symbol.st_info);
  if (!name || !*name || symbol.st_shndx == SHN_UNDEF) return true;
  if (type != STT_FUNC && type != STT_GNU_IFUNC && type != STT_OBJECT) return true;
  uint64_t size = symbol.st_size ? symbol.st_size : 1;
  if (size > UINT64_MAX - address) return true;
  struct function function = {.start = address, .end = address + size, .raw = name};
  function.preference = binding == STB_GLOBAL ? 0 : binding == STB_WEAK ? 1 : 2;
  return vector_push(&module->functions, function);
}

static int add_functions(Dwfl_Module *dwfl_module, void **userdata, const char *name,
                         Dwarf_Addr start, void *argument) {
  (void)userdata, (void)name, (void)start;
  int count = dwfl_module_getsymtab(dwfl_module);
  for (int i = 1; i < count; i++)
    if (!add_function(argument, dwfl_module, i)) return DWARF_CB_ABORT;
  return DWARF_CB_OK;
}

/* Sorts the functions and keeps one name for each address. */
static void order_functions(struct module *module) {
  struct function *items = module->functions.items;
  size_t kept = 0;
  if (!module->functions.count) return;
  qsort(items, module->functions.count, sizeof *items, compare_functions);
  for (size_t i = 0; i < module->functions.count; i++)
    if (!kept || items[kept - 1].start != items[i].start) items[kept++] = items[i];
  module->functions.count = kept;
}

static struct function *function_at(struct module *module, uint64_t address) {
  struct function *items = module->functions.items;
  size_t low = 0, high = module->functions.count;
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    if (items[middle].start <= address)
      low = middle + 1;
    else
      high = middle;
  }
  return low && address < items[low - 1].end ? &items[low - 1] : NULL;
}

/* ---- Modules --------------------------------------------------------------------------------- */

/* Separate debug files by build-id, below the usual folder: no search by name in the folders of the
 * target, which may be anyone's, and no debuginfod. */
static const Dwfl_Callbacks file_callbacks = {
    .find_elf = dwfl_build_id_find_elf,
    .find_debuginfo = dwfl_build_id_find_debuginfo,
    .section_address = dwfl_offline_section_address,
};

static void open_file_module(struct module *module, const struct source_disk_file *file) {
  module->dwfl = dwfl_begin(&file_callbacks);
  if (!module->dwfl) return;
  dwfl_report_begin(module->dwfl);
  Dwfl_Module *reported =
      dwfl_report_elf(module->dwfl, file->found, file->found, -1, file->base, false);
  dwfl_report_end(module->dwfl, NULL, NULL);
  if (reported) dwfl_getmodules(module->dwfl, add_functions, module, 0);
  order_functions(module);
}

/* Opens a module's file by the path in the dynamic linker's list. libdwfl compares build-ids. The
 * source comes through the userdata that report_core_module set. */
static int find_core_elf(Dwfl_Module *dwfl_module, void **userdata, const char *name,
                         Dwarf_Addr base, char **file_name, Elf **elf) {
  (void)dwfl_module, (void)base, (void)elf;
  const struct source *source = *userdata;
  if (!source || name[0] != '/') return -1;
  const char *root = source->elf->sysroot ? source->elf->sysroot : "";
  char *path = NULL;
  if (asprintf(&path, "%s%s", root, name) < 0) return -1;
  int descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
  if (descriptor >= 0)
    *file_name = path;
  else
    free(path);
  return descriptor;
}

static const Dwfl_Callbacks core_callbacks = {
    .find_elf = find_core_elf,
    .find_debuginfo = dwfl_build_id_find_debuginfo,
    .section_address = dwfl_offline_section_address,
};

static int set_userdata(Dwfl_Module *dwfl_module, void **userdata, const char *name,
                        Dwarf_Addr start, void *argument) {
  (void)dwfl_module, (void)name, (void)start;
  *userdata = argument;
  return DWARF_CB_OK;
}

static void open_core_modules(struct source *source, struct module *module) {
  const struct image *image = &source->elf->image;
  if (!image->bytes) return;
  elf_version(EV_CURRENT);
  /* elf_memory does not write to an image that is only read. */
  module->core = elf_memory((char *)(uintptr_t)image->bytes, (size_t)image->size);
  module->dwfl = module->core ? dwfl_begin(&core_callbacks) : NULL;
  if (!module->dwfl) return;
  dwfl_report_begin(module->dwfl);
  int count = dwfl_core_file_report(module->dwfl, module->core, source->elf->exe);
  dwfl_report_end(module->dwfl, NULL, NULL);
  if (count <= 0) return;
  dwfl_getmodules(module->dwfl, set_userdata, source, 0);
  dwfl_getmodules(module->dwfl, add_functions, module, 0);
  order_functions(module);
}

/* The mapping of an address or, for variables that begin as zeros, which have no place in the file,
 * the one before it. */
static const struct source_mapping *mapping_of(const struct source *source, uint64_t address) {
  enum { MOST_ZEROS = 1 << 26 };
  const struct source_mapping *mapping = source_mapping_at(source, address);
  if (mapping) return mapping;
  size_t low = 0, high = source->mapping_count;
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    if (source->mappings[middle].end <= address)
      low = middle + 1;
    else
      high = middle;
  }
  const struct source_mapping *before = low ? &source->mappings[low - 1] : NULL;
  return before && address - before->end < MOST_ZEROS ? before : NULL;
}

/* The module of an address, opened if it is new; NULL if there is none. */
static struct module *module_at(struct source *source, uint64_t address) {
  struct source_symbols *symbols = source->elf->symbols;
  const struct source_mapping *mapping = mapping_of(source, address);
  if (!mapping && source->mapping_count) return NULL;
  const struct source_disk_file *file = mapping ? source_disk_file(source, mapping) : NULL;
  if (mapping && (!file || !file->base)) return NULL;
  for (size_t i = 0; i < symbols->modules.count; i++) {
    struct module *known = &symbols->modules.items[i];
    if (!file || (known->path == file->wanted && known->base == file->base)) return known;
  }
  struct module fresh = {.path = file ? file->wanted : NULL, .base = file ? file->base : 0};
  if (!vector_push(&symbols->modules, fresh)) return NULL;
  struct module *module = &symbols->modules.items[symbols->modules.count - 1];
  if (file)
    open_file_module(module, file);
  else
    open_core_modules(source, module);
  return module;
}

static const char *escaped_name(struct source *source, struct function *function) {
  if (function->name) return function->name;
  struct text text = {0};
  if (text_escape(&text, function->raw, strlen(function->raw), 0))
    function->name = arena_copy(&source->arena, text.items, text.count);
  vector_free(&text);
  return function->name;
}

bool source_symbol(struct source *source, uint64_t address, const char **name) {
  if (!source->elf) return false;
  if (!source->elf->symbols) source->elf->symbols = calloc(1, sizeof *source->elf->symbols);
  if (!source->elf->symbols) return false;
  struct module *module = module_at(source, address);
  if (!module) return false;
  struct function *function = function_at(module, address);
  /* A function pointer of 32-bit ARM is odd for Thumb code, and so is its symbol. */
  if (!function && source->machine == EM_ARM) function = function_at(module, address ^ 1);
  const char *result = function ? escaped_name(source, function) : NULL;
  if (result) *name = result;
  return result != NULL;
}

void source_free_symbols(struct source *source) {
  struct source_symbols *symbols = source->elf->symbols;
  if (!symbols) return;
  for (size_t i = 0; i < symbols->modules.count; i++) {
    struct module *module = &symbols->modules.items[i];
    if (module->dwfl) dwfl_end(module->dwfl);
    if (module->core) elf_end(module->core);
    vector_free(&module->functions);
  }
  vector_free(&symbols->modules);
  free(symbols);
  source->elf->symbols = NULL;
}
