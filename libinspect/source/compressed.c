/* compressed.c - a compressed core becomes a mapped file without a name.
 *
 *   libarchive (one filter, chosen by the first bytes; format "raw") -> blocks
 *     -> pages of zeros are left out -> unlinked file in $TMPDIR, /var/tmp or /tmp -> mapped
 *
 * A file and not memory, since a core may be larger than memory: its pages can be written back, and
 * holes cost nothing. Only the filter that the first bytes ask for is enabled, so that nothing else
 * of libarchive sees the bytes, and one layer of compression is taken off, not several.
 *
 * Against decompression bombs: what is not zero may take MOST_RATIO times the compressed size and
 * most of the free room of the file system; all together, zeros included, `most_bytes`. The first
 * bytes must be those of an ELF file: what is no core is not unpacked. */
#include "source/compressed.h"

#include <archive.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define GIGABYTE UINT64_C(1000000000)

enum { PAGE = 4096, MOST_RATIO = 1000 };

static const uint64_t default_most = 64 * GIGABYTE;
static const uint64_t always_fine = GIGABYTE; /* below it the ratio is not looked at */

static const struct format {
  unsigned char magic[6];
  unsigned size;
  const char *name;
  int (*enable)(struct archive *);
} formats[] = {
    {{0x28, 0xb5, 0x2f, 0xfd}, 4, "zstd", archive_read_support_filter_zstd},
    {{0x04, 0x22, 0x4d, 0x18}, 4, "lz4", archive_read_support_filter_lz4},
    {{0xfd, '7', 'z', 'X', 'Z', 0}, 6, "xz", archive_read_support_filter_xz},
    {{0x1f, 0x8b}, 2, "gzip", archive_read_support_filter_gzip},
    {{'B', 'Z', 'h'}, 3, "bzip2", archive_read_support_filter_bzip2},
};

static const struct format *format_of(const uint8_t *bytes, uint64_t size) {
  for (size_t i = 0; i < sizeof formats / sizeof *formats; i++)
    if (size >= formats[i].size && !memcmp(bytes, formats[i].magic, formats[i].size))
      return &formats[i];
  return NULL;
}

const char *compressed_format(const uint8_t *bytes, uint64_t size) {
  const struct format *format = format_of(bytes, size);
  return format ? format->name : NULL;
}

/* ---- Where the contents go ------------------------------------------------------------------- */

struct unpacking {
  const char *name; /* of the compressed file, for messages */
  const struct format *format;
  struct archive *archive;
  int file;
  uint64_t packed;   /* bytes of the compressed file                         */
  uint64_t stored;   /* bytes written to the file                            */
  uint64_t room;     /* bytes that may be                                    */
  uint64_t size;     /* bytes of the contents so far, holes included         */
  uint64_t most;     /* bytes that they may have                             */
  bool is_permitted; /* the user gave `most`: the ratio is not looked at     */
  const struct work *work;
};

static int create_in(const char *folder) {
  int file = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  if (file >= 0 || (errno != EOPNOTSUPP && errno != EISDIR)) return file;
  struct text path = {0};
  if (text_printf(&path, "%s/lua-inspect-XXXXXX", folder) && text_finish(&path)) {
    file = mkostemp(path.items, O_CLOEXEC);
    if (file >= 0) unlink(path.items);
  }
  vector_free(&path);
  return file;
}

static struct inspect_error *create_file(struct unpacking *unpacking) {
  const char *chosen = secure_getenv("TMPDIR");
  const char *folders[] = {chosen && *chosen ? chosen : "/var/tmp", "/tmp"};
  for (size_t i = 0; i < 2 && unpacking->file < 0; i++)
    unpacking->file = create_in(folders[i]);
  struct statvfs room;
  if (unpacking->file < 0 || fstatvfs(unpacking->file, &room) != 0)
    return error_create(INSPECT_ERROR_SYSTEM,
                        "set TMPDIR to a folder that can be written to and has room for the core",
                        "%s is compressed, and there is no place to decompress it to: %s",
                        unpacking->name, strerror(errno));
  uint64_t free_bytes = (uint64_t)room.f_bavail * room.f_frsize;
  unpacking->room = free_bytes - free_bytes / 8; /* others need some, too */
  return NULL;
}

static struct inspect_error *no_room(const struct unpacking *unpacking, const char *why) {
  return error_create(INSPECT_ERROR_SYSTEM,
                      "set TMPDIR to a folder with room for the decompressed core",
                      "%s is compressed, and its contents do not fit where temporary files go: %s",
                      unpacking->name, why);
}

static struct inspect_error *write_all(struct unpacking *unpacking, const uint8_t *bytes,
                                       size_t size, uint64_t offset) {
  unpacking->stored += size;
  if (unpacking->stored > unpacking->room)
    return no_room(unpacking, "the file system would be nearly full");
  while (size) {
    ssize_t written = pwrite(unpacking->file, bytes, size, (off_t)offset);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return no_room(unpacking, strerror(written < 0 ? errno : ENOSPC));
    bytes += written;
    size -= (size_t)written;
    offset += (uint64_t)written;
  }
  return NULL;
}

static bool is_zero(const uint8_t *bytes, size_t size) {
  return !size || (!bytes[0] && !memcmp(bytes, bytes + 1, size - 1));
}

/* Writes a block but for its pages of zeros; runs of other pages in one go. */
static struct inspect_error *store(struct unpacking *unpacking, const uint8_t *bytes, size_t size,
                                   uint64_t offset) {
  size_t start = 0, at = 0; /* bytes[start .. at) wait to be written */
  while (at < size) {
    size_t piece = PAGE - (size_t)((offset + at) % PAGE);
    if (piece > size - at) piece = size - at;
    if (is_zero(bytes + at, piece)) {
      if (at > start) TRY(write_all(unpacking, bytes + start, at - start, offset + start));
      start = at + piece;
    }
    at += piece;
  }
  return at > start ? write_all(unpacking, bytes + start, at - start, offset + start) : NULL;
}

/* ---- What comes out -------------------------------------------------------------------------- */

/* Before anything is stored of it. */
static struct inspect_error *check_beginning(const struct unpacking *unpacking,
                                             const uint8_t *bytes, size_t size) {
  if (size >= SELFMAG && !memcmp(bytes, ELFMAG, SELFMAG)) return NULL;
  bool is_compressed = format_of(bytes, size) != NULL;
  return error_create(INSPECT_ERROR_TARGET,
                      is_compressed ? "decompress it once by hand"
                                    : "give a core file, compressed or not; an archive of several "
                                      "files must be unpacked first",
                      is_compressed ? "%s is compressed (%s) more than once"
                                    : "%s is compressed (%s), but what is in it is no ELF core",
                      unpacking->name, unpacking->format->name);
}

static struct inspect_error *check_limits(const struct unpacking *unpacking) {
  static const char hint[] = "--max-decompressed N (as in 200G) allows more: see that there is "
                             "room, as TMPDIR says where";
  if (unpacking->size > unpacking->most)
    return error_create(INSPECT_ERROR_TARGET, hint,
                        "%s is compressed, and holds more than %llu MB, which is the limit",
                        unpacking->name, (unsigned long long)(unpacking->most / 1000000));
  uint64_t read = (uint64_t)archive_filter_bytes(unpacking->archive, -1);
  if (!unpacking->is_permitted && unpacking->stored > always_fine &&
      unpacking->stored / MOST_RATIO > read)
    return error_create(INSPECT_ERROR_TARGET, hint,
                        "%s is compressed to less than a thousandth of its contents, as no core is",
                        unpacking->name);
  return NULL;
}

static struct inspect_error *take_block(struct unpacking *unpacking, const uint8_t *bytes,
                                        size_t size, uint64_t offset) {
  if (offset == 0 && size) TRY(check_beginning(unpacking, bytes, size));
  if (offset < unpacking->size || size > UINT64_MAX - offset) return NULL; /* never seen */
  unpacking->size = offset + size;
  TRY(check_limits(unpacking));
  return store(unpacking, bytes, size, offset);
}

/* libarchive's words on why the stream does not go on. */
static bool tell_fault(struct unpacking *unpacking, struct text *fault) {
  const char *said = archive_error_string(unpacking->archive);
  if (!said) said = "it is damaged";
  return text_printf(fault, "the %s stream ends early: ", unpacking->format->name) &&
         text_escape(fault, said, strlen(said), 0) && text_finish(fault);
}

static struct inspect_error *take_blocks(struct unpacking *unpacking, struct text *fault) {
  for (;;) {
    const void *bytes;
    size_t size;
    la_int64_t offset;
    uint64_t read = (uint64_t)archive_filter_bytes(unpacking->archive, -1);
    if (work_stops(unpacking->work, "decompressing", read, unpacking->packed))
      return error_interrupted();
    int state = archive_read_data_block(unpacking->archive, &bytes, &size, &offset);
    if (state == ARCHIVE_EOF) return NULL;
    if (state != ARCHIVE_OK && state != ARCHIVE_WARN)
      return tell_fault(unpacking, fault) ? NULL : error_no_memory();
    TRY(take_block(unpacking, bytes, size, (uint64_t)offset));
  }
}

static struct inspect_error *open_stream(struct unpacking *unpacking, const uint8_t *bytes,
                                         struct text *fault) {
  struct archive_entry *entry;
  struct archive *archive = unpacking->archive;
  /* ARCHIVE_WARN: it would run another program for this format. */
  if (unpacking->format->enable(archive) != ARCHIVE_OK ||
      archive_read_support_format_raw(archive) != ARCHIVE_OK)
    return error_create(INSPECT_ERROR_UNSUPPORTED, "decompress it first",
                        "%s is compressed (%s), which libarchive was built without here",
                        unpacking->name, unpacking->format->name);
  if (archive_read_open_memory(archive, bytes, (size_t)unpacking->packed) != ARCHIVE_OK ||
      archive_read_next_header(archive, &entry) != ARCHIVE_OK)
    return tell_fault(unpacking, fault) ? NULL : error_no_memory();
  return take_blocks(unpacking, fault);
}

/* Maps what was stored. Contents of no bytes at all: not even a beginning could be read. */
static struct inspect_error *map_contents(const struct unpacking *unpacking,
                                          struct decompressed *result) {
  if (!unpacking->size)
    return error_create(INSPECT_ERROR_TARGET, "copy it again, and check its size where it was made",
                        "%s is compressed (%s), but nothing of it can be read%s%s", unpacking->name,
                        unpacking->format->name, result->fault.count ? ": " : "",
                        result->fault.count ? result->fault.items : "");
  if (unpacking->size > SIZE_MAX || ftruncate(unpacking->file, (off_t)unpacking->size) != 0)
    return no_room(unpacking, strerror(unpacking->size > SIZE_MAX ? EFBIG : errno));
  void *mapped = mmap(NULL, (size_t)unpacking->size, PROT_READ, MAP_PRIVATE | MAP_NORESERVE,
                      unpacking->file, 0);
  if (mapped == MAP_FAILED) return no_room(unpacking, strerror(errno));
  struct statfs system;
  if (fstatfs(unpacking->file, &system) == 0 &&
      (system.f_type == TMPFS_MAGIC || system.f_type == RAMFS_MAGIC))
    result->in_memory = unpacking->stored;
  result->bytes = mapped;
  result->size = unpacking->size;
  return NULL;
}

struct inspect_error *decompress(const uint8_t *bytes, uint64_t size, const char *name,
                                 const struct source_unpacking *limits,
                                 struct decompressed *result) {
  *result = (struct decompressed){.size = 0};
  struct unpacking unpacking = {.name = name,
                                .format = format_of(bytes, size),
                                .archive = archive_read_new(),
                                .file = -1,
                                .packed = size,
                                .most = default_most};
  if (limits) unpacking.work = limits->work;
  if (limits && limits->most_bytes) {
    unpacking.most = limits->most_bytes;
    unpacking.is_permitted = true;
  }
  struct inspect_error *error = unpacking.archive ? create_file(&unpacking) : error_no_memory();
  if (!error) error = open_stream(&unpacking, bytes, &result->fault);
  if (!error) error = map_contents(&unpacking, result);
  if (error) vector_free(&result->fault);
  if (unpacking.archive) archive_read_free(unpacking.archive);
  if (unpacking.file >= 0) close(unpacking.file);
  return error;
}
