/* core.c - opens an ELF core: maps it, tells what it is, and has its parts read.
 *
 * The file is mapped privately and read-only for as long as the source lives; all segments point
 * into the mapping, so the holes of a sparse core cost nothing. A compressed file is decompressed
 * first (compressed.c). A file that is no core is told by its first bytes, so that the hint fits.
 * (A core that another process shortens while it is mapped takes the reader down with SIGBUS, as
 * with any mapped file.) */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/parallel.h"
#include "base/text.h"
#include "source/compressed.h"
#include "source/core.h"
#include "source/debug_info.h"
#include "source/remote.h"
#include "source/unwind.h"

static const char make_core_hint[] =
    "give the core of a process, e.g. one made with `gcore PID` or left behind by a crash";
static const char cut_hint[] =
    "the file was truncated: copy it again, and check the free disk space "
    "and `ulimit -c` where it was written";

void *source_keep(struct source *source, const void *items, size_t count, size_t item_size) {
  if (count > SIZE_MAX / item_size) return NULL;
  void *copy = arena_alloc(&source->arena, count ? count * item_size : 1);
  if (copy && count) memcpy(copy, items, count * item_size);
  return copy;
}

/* An error "PATH WHAT", or "cannot open PATH: REASON" if `number` is an errno. */
static struct inspect_error *refuse(enum inspect_error_code code, const char *path,
                                    const char *what, int number, const char *hint) {
  struct text text = {0};
  struct inspect_error *error;
  if (!text_escape(&text, path, strlen(path), 0) || !text_finish(&text))
    error = error_no_memory();
  else if (number)
    error = error_create(code, hint, "cannot open %s: %s", text.items, strerror(number));
  else
    error = error_create(code, hint, "%s %s", text.items, what);
  vector_free(&text);
  return error;
}

static const char *open_hint(int number) {
  switch (number) {
  case ENOENT:
  case ENOTDIR:
    return "check the path; `coredumpctl dump -o FILE PID` writes a core that systemd-coredump "
           "keeps";
  case EACCES:
  case EPERM:
    return "run as the owner of the file, or have it made readable";
  default:
    return NULL;
  }
}

static struct inspect_error *map_descriptor(int descriptor, const char *path, struct stat *status,
                                            const uint8_t **bytes) {
  if (fstat(descriptor, status) != 0)
    return refuse(INSPECT_ERROR_SYSTEM, path, NULL, errno, open_hint(errno));
  if (S_ISDIR(status->st_mode))
    return refuse(INSPECT_ERROR_SYSTEM, path, "is a directory", 0, "give the core file in it");
  if (!S_ISREG(status->st_mode))
    return refuse(INSPECT_ERROR_SYSTEM, path, "is not a regular file", 0,
                  "a core is mapped, not streamed: write it to a file first");
  if (!status->st_size)
    return refuse(INSPECT_ERROR_TARGET, path, "is an empty file", 0,
                  "check the free disk space and `ulimit -c` where the core was written");
  if ((uintmax_t)status->st_size > SIZE_MAX)
    return refuse(INSPECT_ERROR_UNSUPPORTED, path, "does not fit the address space", 0,
                  "analyse it on a 64-bit machine");
  void *mapped =
      mmap(NULL, (size_t)status->st_size, PROT_READ, MAP_PRIVATE | MAP_NORESERVE, descriptor, 0);
  if (mapped == MAP_FAILED) return refuse(INSPECT_ERROR_SYSTEM, path, NULL, errno, NULL);
  *bytes = mapped;
  return NULL;
}

static struct inspect_error *map_core(const char *path, struct stat *status,
                                      const uint8_t **bytes) {
  /* Not blocking, as the path may name a pipe. */
  int descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
  if (descriptor < 0) return refuse(INSPECT_ERROR_SYSTEM, path, NULL, errno, open_hint(errno));
  struct inspect_error *error = map_descriptor(descriptor, path, status, bytes);
  close(descriptor);
  return error;
}

static bool is_text(const struct image *image) {
  uint64_t size = image->size < 512 ? image->size : 512;
  for (uint64_t i = 0; i < size; i++) {
    uint8_t byte = image->bytes[i];
    if ((byte < ' ' && !strchr("\t\n\v\f\r", byte)) || byte == 0 || byte == 0x7f) return false;
  }
  return true;
}

/* The error for a file that is not ELF at all. */
static struct inspect_error *refuse_foreign(const char *path, const struct image *image) {
  const char *what = is_text(image) ? "is a text file, not a core" : "is not an ELF core";
  return refuse(INSPECT_ERROR_TARGET, path, what, 0, make_core_hint);
}

/* Whether the mapped file is an ELF core at all. */
static struct inspect_error *check_image(const char *path, enum image_state state,
                                         const struct image *image) {
  if (state == IMAGE_FOREIGN) return refuse_foreign(path, image);
  if (state == IMAGE_CUT)
    return refuse(INSPECT_ERROR_TARGET, path, "is cut off inside its ELF header", 0, cut_hint);
  if (state == IMAGE_DAMAGED)
    return refuse(INSPECT_ERROR_TARGET, path, "has a damaged ELF header", 0, make_core_hint);
  switch (image->type) {
  case ET_CORE:
    return NULL;
  case ET_EXEC:
  case ET_DYN:
    return refuse(INSPECT_ERROR_TARGET, path, "is a program or library, not a core", 0,
                  make_core_hint);
  case ET_REL:
    return refuse(INSPECT_ERROR_TARGET, path, "is an object file, not a core", 0, make_core_hint);
  default:
    return refuse(INSPECT_ERROR_TARGET, path, "is an ELF file, but no core", 0, make_core_hint);
  }
}

static struct inspect_error *check_memory(const char *path, struct source *source) {
  const char *hint = source->segment_count ? NULL : source_missing_hint(source);
  if (source->segment_count) return NULL;
  if (source->gap_count || source->elf->image.is_cut)
    return refuse(INSPECT_ERROR_TARGET, path, "is cut off before any memory of the process", 0,
                  hint ? hint : cut_hint);
  return refuse(INSPECT_ERROR_TARGET, path, "is a core without memory of the process", 0,
                "dump it again with anonymous memory: see coredump_filter in core(5)");
}

/* Absolute path and escaped base name. */
static struct inspect_error *name_source(struct source *source, const char *path) {
  char *resolved = realpath(path, NULL);
  const char *whole = resolved ? resolved : path, *slash = strrchr(whole, '/');
  const char *base = slash ? slash + 1 : whole;
  struct text text = {0};
  source->path = arena_copy(&source->arena, whole, strlen(whole));
  if (text_escape(&text, base, strlen(base), 0))
    source->name = arena_copy(&source->arena, text.items, text.count);
  vector_free(&text);
  free(resolved);
  return source->path && source->name ? NULL : error_no_memory();
}

static struct inspect_error *keep_option(struct source *source, const char *path,
                                         const char **result) {
  if (!path) return NULL;
  *result = arena_copy(&source->arena, path, strlen(path));
  return *result ? NULL : error_no_memory();
}

/* --exe and --sysroot are the user's words: a typing error in them is told, not passed over. */
static struct inspect_error *check_option(const char *path, bool is_folder, const char *hint) {
  struct stat status;
  if (!path) return NULL;
  if (stat(path, &status) != 0 || access(path, is_folder ? X_OK : R_OK) != 0)
    return refuse(INSPECT_ERROR_SYSTEM, path, NULL, errno, hint);
  if (is_folder && !S_ISDIR(status.st_mode))
    return refuse(INSPECT_ERROR_SYSTEM, path, "is not a directory", 0, hint);
  if (!is_folder && !S_ISREG(status.st_mode))
    return refuse(INSPECT_ERROR_SYSTEM, path, "is not a regular file", 0, hint);
  return NULL;
}

struct inspect_error *source_keep_options(struct source *source, const char *exe,
                                          const char *sysroot) {
  TRY(check_option(exe, false, "--exe names the program that was dumped"));
  TRY(check_option(sysroot, true, "--sysroot names a folder that holds the target's files"));
  TRY(keep_option(source, exe, &source->elf->exe));
  return keep_option(source, sysroot, &source->elf->sysroot);
}

/* Puts the contents of a compressed file in its place. */
static struct inspect_error *unpack(struct source *source, const char *path, const uint8_t *packed,
                                    uint64_t packed_size,
                                    const struct source_unpacking *unpacking) {
  struct text name = {0};
  struct decompressed contents = {.size = 0};
  struct inspect_error *error = NULL;
  if (!text_escape(&name, path, strlen(path), 0) || !text_finish(&name)) error = error_no_memory();
  if (!error) error = decompress(packed, packed_size, name.items, unpacking, &contents);
  munmap((void *)(uintptr_t)packed, (size_t)packed_size);
  source->elf->image = (struct image){.bytes = contents.bytes, .size = contents.size};
  source->copied_bytes = contents.in_memory;
  if (!error && contents.fault.count) {
    source->ends_early = arena_copy(&source->arena, contents.fault.items, contents.fault.count);
    if (!source->ends_early) error = error_no_memory();
  }
  vector_free(&contents.fault);
  vector_free(&name);
  return error;
}

static struct inspect_error *read_core(struct source *source, const char *path, const char *exe,
                                       const char *sysroot,
                                       const struct source_unpacking *unpacking) {
  struct stat status;
  const uint8_t *bytes = NULL;
  struct image *image = &source->elf->image;
  TRY(map_core(path, &status, &bytes));
  uint64_t size = (uint64_t)status.st_size;
  source->compression = compressed_format(bytes, size);
  if (source->compression) {
    TRY(unpack(source, path, bytes, size, unpacking));
    bytes = image->bytes;
    size = image->size;
  }
  enum image_state state = image_load(bytes, size, image);
  TRY(check_image(path, state, image));
  TRY(source_keep_options(source, exe, sysroot));
  source->time = (double)status.st_mtim.tv_sec + (double)status.st_mtim.tv_nsec / 1e9;
  source->pointer_size = image->is_64 ? 8 : 4;
  source->big_endian = image->big_endian;
  source->machine = image->machine;
  TRY(name_source(source, path));
  TRY(source_read_memory(source));
  TRY(check_memory(path, source));
  TRY(source_read_notes(source));
  source_read_left_out(source);
  return NULL;
}

struct inspect_error *source_create(enum source_kind kind, struct source **result) {
  *result = NULL;
  struct source *source = calloc(1, sizeof *source);
  if (!source) return error_no_memory();
  arena_init(&source->arena);
  source->kind = kind;
  source->cpu_time = source->stopped_seconds = -1;
  source->elf = arena_alloc(&source->arena, sizeof *source->elf);
  if (!source->elf) {
    source_close(source);
    return error_no_memory();
  }
  source->elf->program = source->elf->root = -1;
  *result = source;
  return NULL;
}

struct inspect_error *source_open_core(const char *path, const char *exe, const char *sysroot,
                                       const struct source_unpacking *unpacking,
                                       struct source **result) {
  TRY(source_create(SOURCE_CORE, result));
  struct inspect_error *error = read_core(*result, path, exe, sysroot, unpacking);
  if (error) {
    source_close(*result);
    *result = NULL;
  }
  return error;
}

/* Half of what it costs to unmap gigabytes is done by each of two threads. */
struct unmapping {
  uint8_t *bytes;
  size_t size;
};

static void drop_part(void *context, size_t part) {
  enum { HUGE_PAGE = 2 << 20 };
  const struct unmapping *it = context;
  size_t half = it->size / 2 & ~(size_t)(HUGE_PAGE - 1);
  (void)madvise(it->bytes + (part ? half : 0), part ? it->size - half : half, MADV_DONTNEED);
}

static void unmap(const struct image *image) {
  enum { WORTH_A_THREAD = 1 << 28 };
  struct unmapping it = {(uint8_t *)(uintptr_t)image->bytes, (size_t)image->size};
  if (it.size >= WORTH_A_THREAD && parallel_processors() > 1) parallel_run(2, drop_part, &it);
  munmap(it.bytes, it.size);
}

void source_close(struct source *source) {
  if (!source) return;
  source_free_process(source);
  source_free_remote(source);
  if (source->elf) {
    source_free_unwind(source);
    source_free_symbols(source);
    source_free_debug_info(source);
    source_free_files(source);
    if (source->elf->image.bytes) unmap(&source->elf->image);
    if (source->elf->program >= 0) close(source->elf->program);
    if (source->elf->root >= 0) close(source->elf->root);
  }
  arena_free(&source->arena);
  free(source);
}
