/* test_source_compressed.c - compressed cores: all formats, cut off anywhere, too big, and what is
 * no core at all. */
#include <archive.h>
#include <archive_entry.h>

#include "base/work.h"
#include "mock_core.h"

static struct mock_core core;

enum { MOST_PACKED = 1 << 20, ZEROS = 0x20000 };
static uint8_t packed[MOST_PACKED], again[MOST_PACKED];

static const struct format {
  const char *name;
  int (*add)(struct archive *);
} formats[] = {
    {"zstd", archive_write_add_filter_zstd},   {"lz4", archive_write_add_filter_lz4},
    {"xz", archive_write_add_filter_xz},       {"gzip", archive_write_add_filter_gzip},
    {"bzip2", archive_write_add_filter_bzip2},
};
enum { FORMATS = sizeof formats / sizeof *formats };

/* Compresses into `result`; returns the size. */
static size_t compress(const struct format *format, const uint8_t *bytes, size_t size,
                       uint8_t *result) {
  size_t used = 0;
  struct archive *archive = archive_write_new();
  struct archive_entry *entry = archive_entry_new();
  assert_non_null(archive);
  assert_int_equal(format->add(archive), ARCHIVE_OK);
  assert_int_equal(archive_write_set_format_raw(archive), ARCHIVE_OK);
  archive_write_set_bytes_in_last_block(archive, 1);
  assert_int_equal(archive_write_open_memory(archive, result, MOST_PACKED, &used), ARCHIVE_OK);
  archive_entry_set_pathname(entry, "core");
  archive_entry_set_filetype(entry, AE_IFREG);
  assert_int_equal(archive_write_header(archive, entry), ARCHIVE_OK);
  assert_int_equal(archive_write_data(archive, bytes, size), size);
  archive_entry_free(entry);
  assert_int_equal(archive_write_close(archive), ARCHIVE_OK);
  archive_write_free(archive);
  return used;
}

/* Two parts of memory with zeros between. */
static void make_core(void) {
  mock_init(&core, true, false);
  mock_memory(&core, 0x10000, 0x3000, PF_R | PF_W);
  memset(core.bytes + core.size - 0x800, 0, 0x800); /* a page that is half zeros */
  mock_add(&core, (struct mock_header){PT_LOAD, PF_R, core.size, 0x20000, ZEROS, ZEROS});
  core.size += ZEROS;
  mock_memory(&core, 0x80000, 0x1777, PF_R | PF_W);
  mock_finish(&core);
}

static struct inspect_error *open_packed(const uint8_t *bytes, size_t size,
                                         const struct source_unpacking *unpacking,
                                         struct source **result) {
  mock_write(mock_path("core.packed"), bytes, size);
  return source_open_core(mock_path("core.packed"), NULL, NULL, unpacking, result);
}

/* Every byte that the source has is the core's. */
static void check_segments(const struct source *source) {
  for (size_t i = 0; i < source->segment_count; i++) {
    const struct source_segment *segment = &source->segments[i];
    bool is_known = false;
    for (size_t j = 0; j < core.header_count; j++) {
      const struct mock_header *header = &core.headers[j];
      if (header->address != segment->start) continue;
      is_known = true;
      assert_memory_equal(segment->bytes, core.bytes + header->offset,
                          segment->end - segment->start);
    }
    assert_true(is_known);
  }
}

static void test_every_format(void **state) {
  (void)state;
  make_core();
  for (size_t i = 0; i < FORMATS; i++) {
    struct source *source;
    size_t size = compress(&formats[i], core.bytes, core.size, packed);
    assert_null(open_packed(packed, size, NULL, &source));
    assert_string_equal(source->compression, formats[i].name);
    assert_null(source->ends_early);
    assert_string_equal(source->name, "core.packed");
    assert_int_equal(source->segment_count, 3);
    assert_int_equal(source->missing_bytes, 0);
    check_segments(source);
    source_close(source);
  }
}

/* What is there is right, what is not there is said to be missing, and why. */
static void test_cut_anywhere(void **state) {
  (void)state;
  make_core();
  size_t opened = 0;
  for (size_t i = 0; i < FORMATS; i++) {
    size_t size = compress(&formats[i], core.bytes, core.size, packed);
    for (size_t cut = 0; cut < size; cut += 1 + size / 100) {
      struct source *source;
      struct inspect_error *error = open_packed(packed, cut, NULL, &source);
      if (error) {
        assert_non_null(error->hint);
        inspect_error_free(error);
        continue;
      }
      check_segments(source);
      if (source->missing_bytes) assert_non_null(source->ends_early);
      opened += source->missing_bytes > 0;
      source_close(source);
    }
  }
  assert_true(opened > 0);
}

static void check_error(struct inspect_error *error, enum inspect_error_code code,
                        const char *message, const char *hint) {
  assert_non_null(error);
  assert_int_equal(error->code, code);
  if (!strstr(error->message, message)) fail_msg("\"%s\" lacks \"%s\"", error->message, message);
  if (!strstr(error->hint ? error->hint : "", hint))
    fail_msg("\"%s\" lacks \"%s\"", error->hint, hint);
  inspect_error_free(error);
}

static void test_no_core_in_it(void **state) {
  (void)state;
  make_core();
  for (size_t i = 0; i < FORMATS; i++) {
    struct source *source;
    size_t size = compress(&formats[i], (const uint8_t *)"hello, world\n", 13, packed);
    check_error(open_packed(packed, size, NULL, &source), INSPECT_ERROR_TARGET,
                "what is in it is no ELF core", "archive");
    for (size_t j = 0; j < FORMATS; j++) {
      size = compress(&formats[i], core.bytes, core.size, again);
      size = compress(&formats[j], again, size, packed);
      struct inspect_error *error = open_packed(packed, size, NULL, &source);
      if (i == j && error && !strstr(error->message, "more than once")) {
        inspect_error_free(
            error); /* libarchive takes off all layers of one kind: any word will do */
        continue;
      }
      if (i == j && !error) {
        source_close(source);
        continue;
      }
      check_error(error, INSPECT_ERROR_TARGET, "more than once", "once by hand");
    }
  }
}

static void test_limit(void **state) {
  (void)state;
  make_core();
  for (size_t i = 0; i < FORMATS; i++) {
    struct source *source;
    size_t size = compress(&formats[i], core.bytes, core.size, packed);
    struct source_unpacking unpacking = {.most_bytes = core.size - 1};
    check_error(open_packed(packed, size, &unpacking, &source), INSPECT_ERROR_TARGET,
                "holds more than 0 MB", "--max-decompressed");
    assert_null(source);
    unpacking.most_bytes = core.size;
    assert_null(open_packed(packed, size, &unpacking, &source));
    source_close(source);
  }
}

static bool stop(void *context, const char *phase, double share) {
  (void)share;
  assert_string_equal(phase, "decompressing");
  return --*(int *)context < 0;
}

static void test_interruption(void **state) {
  (void)state;
  make_core();
  struct source *source;
  size_t size = compress(&formats[2], core.bytes, core.size, packed);
  int calls = 1;
  struct work work = {.context = &calls, .report = stop};
  struct source_unpacking unpacking = {.work = &work};
  check_error(open_packed(packed, size, &unpacking, &source), INSPECT_ERROR_INTERRUPTED, "", "");
  assert_null(source);
}

/* Neither $TMPDIR nor the folders after it would be of use to a reader without any rights to them;
 * that $TMPDIR is taken where it can be used shows in that it is asked. */
static void test_where_it_goes(void **state) {
  (void)state;
  make_core();
  struct source *source;
  size_t size = compress(&formats[0], core.bytes, core.size, packed);
  assert_int_equal(setenv("TMPDIR", "/no/such/folder", 1), 0);
  assert_null(open_packed(packed, size, NULL, &source)); /* /tmp is there */
  source_close(source);
  unsetenv("TMPDIR");
}

static void test_damage(void **state) {
  (void)state;
  make_core();
  srand(1);
  for (size_t i = 0; i < FORMATS; i++) {
    size_t size = compress(&formats[i], core.bytes, core.size, again);
    for (unsigned round = 0; round < 100; round++) {
      struct source *source;
      memcpy(packed, again, size);
      for (unsigned j = 0; j < 3; j++)
        packed[(size_t)rand() % size] = (uint8_t)rand();
      struct source_unpacking unpacking = {.most_bytes = 64 << 20};
      struct inspect_error *error = open_packed(packed, size, &unpacking, &source);
      if (!error) source_close(source);
      inspect_error_free(error);
    }
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_every_format),  cmocka_unit_test(test_cut_anywhere),
      cmocka_unit_test(test_no_core_in_it), cmocka_unit_test(test_limit),
      cmocka_unit_test(test_interruption),  cmocka_unit_test(test_where_it_goes),
      cmocka_unit_test(test_damage),
  };
  return cmocka_run_group_tests(tests, NULL, mock_remove_folder);
}
