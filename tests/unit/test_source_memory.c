/* test_source_memory.c - opening cores: segments, gaps, damage, and files that are no cores. */
#include <math.h>
#include <sys/stat.h>

#include "mock_core.h"

static struct mock_core core;

static void check_segment(const struct source *source, size_t index, uint64_t start, uint64_t end) {
  assert_true(index < source->segment_count);
  assert_int_equal(source->segments[index].start, start);
  assert_int_equal(source->segments[index].end, end);
  mock_check_memory(source, start, end - start);
}

static void check_gap(const struct source *source, size_t index, uint64_t start, uint64_t end) {
  assert_true(index < source->gap_count);
  assert_int_equal(source->gaps[index].start, start);
  assert_int_equal(source->gaps[index].end, end);
}

static void test_all_kinds(void **state) {
  (void)state;
  for (int kind = 0; kind < 4; kind++) {
    mock_init(&core, kind & 1, kind & 2);
    core.machine = kind & 2 ? EM_S390 : EM_386;
    mock_memory(&core, 0x20000, 0x100, PF_R | PF_W);
    mock_memory(&core, 0x10000, 0x200, PF_R | PF_X);
    struct source *source = mock_open(&core);
    assert_int_equal(source->pointer_size, kind & 1 ? 8 : 4);
    assert_int_equal(source->big_endian, (kind & 2) != 0);
    assert_int_equal(source->machine, core.machine);
    assert_int_equal(source->kind, SOURCE_CORE);
    assert_int_equal(source->segment_count, 2);
    check_segment(source, 0, 0x10000, 0x10200);
    check_segment(source, 1, 0x20000, 0x20100);
    assert_true(source->segments[0].executable && !source->segments[0].writable);
    assert_true(!source->segments[1].executable && source->segments[1].writable);
    assert_int_equal(source->gap_count + source->missing_bytes, 0);
    source_close(source);
  }
}

static void test_identity(void **state) {
  (void)state;
  mock_init(&core, true, false);
  mock_memory(&core, 0x10000, 0x100, PF_R);
  mock_finish(&core);
  char path[512], link[512];
  snprintf(path, sizeof path, "%s", mock_path("c\x1b[m.core"));
  mock_write(path, core.bytes, core.size);
  snprintf(link, sizeof link, "%s", mock_path("link"));
  assert_int_equal(symlink(path, link), 0);
  struct source *source;
  assert_null(source_open_core(link, NULL, NULL, NULL, &source));
  struct stat status;
  assert_int_equal(stat(path, &status), 0);
  assert_true(fabs(source->time - (double)status.st_mtim.tv_sec) < 1.0);
  assert_string_equal(source->path, path);
  assert_string_equal(source->name, "c\\u{001B}[m.core");
  assert_true(source->pid == 0 && !source->command && source->cpu_time < 0);
  assert_true(source->thread_count == 0 && source->mapping_count == 0);
  source_close(source);
}

static void test_view(void **state) {
  (void)state;
  mock_init(&core, true, false);
  mock_memory(&core, 0x10000, 0x100, PF_R);
  mock_memory(&core, 0x10100, 0x100, PF_R | PF_W);
  struct source *source = mock_open(&core);
  assert_non_null(source_view(source, 0x100ff, 1));
  assert_null(source_view(source, 0x100ff, 2));
  assert_null(source_view(source, 0xffff, 1));
  assert_null(source_view(source, 0x10200, 1));
  assert_null(source_view(source, 0x10010, UINT64_MAX));
  assert_null(source_view(source, UINT64_MAX, 1));
  assert_ptr_equal(source_segment_at(source, 0x10100), &source->segments[1]);
  assert_null(source_segment_at(source, 0x10200));
  source_close(source);
}

static void test_merged(void **state) {
  (void)state;
  mock_init(&core, true, false);
  mock_memory(&core, 0x10000, 0x100, PF_R | PF_W);
  mock_memory(&core, 0x10100, 0x100, PF_R | PF_W); /* continues          */
  mock_memory(&core, 0x10200, 0x100, PF_R);        /* other flags        */
  mock_append(&core, "hole", 4);
  mock_memory(&core, 0x10300, 0x100, PF_R); /* elsewhere in file  */
  mock_memory(&core, 0x10500, 0x100, PF_R); /* elsewhere in memory */
  struct source *source = mock_open(&core);
  assert_int_equal(source->segment_count, 4);
  check_segment(source, 0, 0x10000, 0x10200);
  check_segment(source, 1, 0x10200, 0x10300);
  check_segment(source, 2, 0x10300, 0x10400);
  check_segment(source, 3, 0x10500, 0x10600);
  source_close(source);
}

/* Memory left out by coredump_filter is neither readable nor missing. */
static void test_filtered(void **state) {
  (void)state;
  mock_init(&core, true, false);
  mock_memory(&core, 0x10000, 0x100, PF_R)->memory_size = 0x1000;
  mock_memory(&core, 0x20000, 0, PF_R)->memory_size = 0x1000;
  struct source *source = mock_open(&core);
  assert_int_equal(source->segment_count, 1);
  check_segment(source, 0, 0x10000, 0x10100);
  assert_null(source_view(source, 0x10100, 1));
  assert_null(source_view(source, 0x20000, 1));
  assert_int_equal(source->gap_count + source->missing_bytes, 0);
  source_close(source);
}

static void test_truncated(void **state) {
  (void)state;
  mock_init(&core, true, false);
  mock_memory(&core, 0x10000, 0x100, PF_R);
  mock_memory(&core, 0x20000, 0x100, PF_R);
  mock_memory(&core, 0x30000, 0x100, PF_R);
  mock_memory(&core, 0x30100, 0x100, PF_R | PF_W);
  mock_finish(&core);
  struct source *source;
  assert_null(mock_open_cut(&core, MOCK_CONTENTS + 0x180, &source));
  assert_int_equal(source->segment_count, 2);
  check_segment(source, 0, 0x10000, 0x10100);
  check_segment(source, 1, 0x20000, 0x20080);
  assert_int_equal(source->gap_count, 2);
  check_gap(source, 0, 0x20080, 0x20100);
  check_gap(source, 1, 0x30000, 0x30200);
  assert_int_equal(source->missing_bytes, 0x280);
  assert_null(source_view(source, 0x20080, 1));
  source_close(source);
}

static void test_overlapping(void **state) {
  (void)state;
  mock_init(&core, true, false);
  mock_memory(&core, 0x10000, 0x200, PF_R);
  mock_memory(&core, 0x10180, 0x200, PF_R); /* its first half is cut         */
  mock_memory(&core, 0x10100, 0x40, PF_R);  /* inside the first: dropped     */
  mock_memory(&core, 0x10000, 0x80, PF_R);  /* the same start, later: dropped */
  struct source *source = mock_open(&core);
  assert_int_equal(source->segment_count, 2);
  check_segment(source, 0, 0x10000, 0x10200);
  check_segment(source, 1, 0x10200, 0x10380);
  source_close(source);
}

static void test_absurd(void **state) {
  (void)state;
  mock_init(&core, true, false);
  mock_memory(&core, 0x10000, 0x100, PF_R);
  mock_memory(&core, UINT64_C(0xffffffffffffff00), 0x100, PF_R)->memory_size = UINT64_MAX;
  core.headers[1].file_size = UINT64_MAX;
  mock_add(&core, (struct mock_header){PT_LOAD, PF_R, UINT64_MAX - 8, 0x20000, 0x100, 0x100});
  mock_add(&core, (struct mock_header){PT_LOAD, PF_R, UINT64_MAX - 8, 0x20080, 0x100, 0x100});
  mock_add(&core, (struct mock_header){PT_NOTE, 0, UINT64_MAX - 8, 0, UINT64_MAX, 0});
  mock_add(&core, (struct mock_header){PT_NOTE, 0, MOCK_CONTENTS, 0, UINT64_MAX, 0});
  struct source *source = mock_open(&core);
  assert_int_equal(source->segment_count, 2);
  check_segment(source, 0, 0x10000, 0x10100);
  check_segment(source, 1, UINT64_C(0xffffffffffffff00), UINT64_MAX);
  check_gap(source, 0, 0x20000, 0x20180);
  assert_int_equal(source->missing_bytes, 0x180);
  source_close(source);
  mock_init(&core, false, false);
  mock_memory(&core, 0xffffff00, 0x200, PF_R);
  source = mock_open(&core);
  check_segment(source, 0, 0xffffff00, UINT64_C(1) << 32);
  source_close(source);
}

/* ---- PN_XNUM --------------------------------------------------------------------------------- */

enum { MANY = 0x10010 };

/* A core of MANY program headers, all but the first (notes) and the last PT_NULL. */
static uint8_t *make_many(bool big_endian, size_t *size) {
  mock_init(&core, true, big_endian);
  mock_finish_with(&core, 64, 0, PN_XNUM);
  size_t table = (size_t)MANY * sizeof(Elf64_Phdr), end = 64 + table + 0x100;
  *size = end + sizeof(Elf64_Shdr);
  uint8_t *file = calloc(1, *size);
  assert_non_null(file);
  memcpy(file, core.bytes, 64);
  struct mock_header notes = {PT_NOTE, 0, 64 + table, 0, 0, 0};
  mock_write_header(&core, file + 64, &notes);
  struct mock_header memory = {PT_LOAD, PF_R, 64 + table, 0x10000, 0x100, 0x100};
  mock_write_header(&core, file + 64 + table - sizeof(Elf64_Phdr), &memory);
  for (size_t i = 0; i < 0x100; i++)
    file[64 + table + i] = (uint8_t)((0x10000 + i) >> 4);
  mock_number(&core, file + 40, end, 8);
  mock_number(&core, file + end + offsetof(Elf64_Shdr, sh_info), MANY, 4);
  return file;
}

static void test_many_headers(void **state) {
  (void)state;
  for (int kind = 0; kind < 4; kind++) {
    size_t size;
    uint8_t *file = make_many(kind & 1, &size);
    /* Without its last bytes, the section header with the count is not there. */
    mock_write(mock_path("many.core"), file, kind & 2 ? size - 0x20 : size);
    free(file);
    struct source *source;
    assert_null(source_open_core(mock_path("many.core"), NULL, NULL, NULL, &source));
    assert_int_equal(source->segment_count, 1);
    check_segment(source, 0, 0x10000, 0x10100);
    source_close(source);
  }
}

/* ---- Files that are no cores ----------------------------------------------------------------- */

static void check_error(struct inspect_error *error, enum inspect_error_code code,
                        const char *message, const char *hint) {
  assert_non_null(error);
  assert_int_equal(error->code, code);
  if (!strstr(error->message, message)) fail_msg("\"%s\" lacks \"%s\"", error->message, message);
  assert_non_null(error->hint);
  if (!strstr(error->hint, hint)) fail_msg("\"%s\" lacks \"%s\"", error->hint, hint);
  inspect_error_free(error);
}

static void check_contents(const void *bytes, size_t size, const char *message, const char *hint) {
  struct source *source;
  mock_write(mock_path("file"), bytes, size);
  check_error(source_open_core(mock_path("file"), NULL, NULL, NULL, &source), INSPECT_ERROR_TARGET,
              message, hint);
  assert_null(source);
}

static void test_no_files(void **state) {
  (void)state;
  struct source *source;
  check_error(source_open_core(mock_path("none"), NULL, NULL, NULL, &source), INSPECT_ERROR_SYSTEM,
              "none: No such file", "path");
  check_error(source_open_core(mock_folder(), NULL, NULL, NULL, &source), INSPECT_ERROR_SYSTEM,
              "is a directory", "core file");
  assert_int_equal(mkfifo(mock_path("pipe"), 0600), 0);
  check_error(source_open_core(mock_path("pipe"), NULL, NULL, NULL, &source), INSPECT_ERROR_SYSTEM,
              "is not a regular file", "file");
  if (geteuid() == 0) return; /* root may read everything */
  mock_write(mock_path("secret"), "x", 1);
  assert_int_equal(chmod(mock_path("secret"), 0), 0);
  check_error(source_open_core(mock_path("secret"), NULL, NULL, NULL, &source),
              INSPECT_ERROR_SYSTEM, "Permission denied", "owner");
}

static void test_options(void **state) {
  (void)state;
  struct source *source;
  mock_init(&core, true, false);
  mock_memory(&core, 0x10000, 0x100, PF_R);
  mock_finish(&core);
  char path[512];
  snprintf(path, sizeof path, "%s", mock_path("mock.core"));
  mock_write(path, core.bytes, core.size);
  check_error(source_open_core(path, "/no/such", NULL, NULL, &source), INSPECT_ERROR_SYSTEM,
              "/no/such: No such file", "--exe");
  check_error(source_open_core(path, mock_folder(), NULL, NULL, &source), INSPECT_ERROR_SYSTEM,
              "is not a regular file", "--exe");
  check_error(source_open_core(path, NULL, path, NULL, &source), INSPECT_ERROR_SYSTEM, "",
              "--sysroot");
}

static void test_other_contents(void **state) {
  (void)state;
  check_contents("", 0, "is an empty file", "ulimit -c");
  check_contents("hello\n", 6, "is a text file", "gcore");
  check_contents("\0\1\2\3\4", 5, "is not an ELF core", "gcore");
  check_contents("\xfd"
                 "7zXZ\0",
                 6, "(xz), but nothing of it can be read", "copy it again");
  check_contents("\x7f"
                 "ELF",
                 4, "is cut off", "truncated");
}

static void test_other_elf(void **state) {
  (void)state;
  mock_init(&core, true, false);
  core.type = ET_DYN;
  mock_finish(&core);
  check_contents(core.bytes, core.size, "is a program or library", "gcore");
  core.type = ET_REL;
  mock_finish(&core);
  check_contents(core.bytes, core.size, "is an object file", "gcore");
  core.type = ET_CORE;
  mock_finish(&core);
  check_contents(core.bytes, core.size, "without memory", "coredump_filter");
  check_contents(core.bytes, 63, "is cut off", "truncated");
  core.bytes[EI_CLASS] = 7;
  check_contents(core.bytes, core.size, "damaged", "gcore");
}

static void test_cut_early(void **state) {
  (void)state;
  mock_init(&core, true, false);
  mock_add(&core, (struct mock_header){.type = PT_NOTE});
  mock_memory(&core, 0x10000, 0x100, PF_R);
  mock_finish(&core);
  check_contents(core.bytes, 64, "is cut off before any memory", "truncated");
  check_contents(core.bytes, 64 + 56, "is cut off before any memory", "truncated");
  check_contents(core.bytes, 64 + 2 * 56, "is cut off before any memory", "truncated");
  core.bytes[54] = 7; /* e_phentsize */
  check_contents(core.bytes, core.size, "damaged", "gcore");
}

/* Headers at the end of the file: what is left of the table is used. */
static void test_cut_table(void **state) {
  (void)state;
  mock_init(&core, true, false);
  mock_memory(&core, 0x10000, 0x100, PF_R);
  mock_memory(&core, 0x20000, 0x100, PF_R);
  mock_finish_with(&core, core.size, 0, 2);
  struct source *source;
  assert_null(mock_open_cut(&core, core.size + 56 + 20, &source));
  assert_int_equal(source->segment_count, 1);
  check_segment(source, 0, 0x10000, 0x10100);
  source_close(source);
}

/* ---- Random damage --------------------------------------------------------------------------- */

static void check_invariants(const struct source *source) {
  uint64_t last = 0, missing = 0;
  volatile uint8_t sum = 0;
  for (size_t i = 0; i < source->segment_count; i++) {
    const struct source_segment *segment = &source->segments[i];
    assert_true(segment->start >= last && segment->end > segment->start);
    last = segment->end;
    sum = (uint8_t)(sum + segment->bytes[0] + segment->bytes[segment->end - segment->start - 1]);
  }
  last = 0;
  for (size_t i = 0; i < source->gap_count; i++) {
    assert_true(source->gaps[i].start >= last && source->gaps[i].end > source->gaps[i].start);
    last = source->gaps[i].end;
    missing += source->gaps[i].end - source->gaps[i].start;
    assert_null(source_segment_at(source, source->gaps[i].start));
    assert_null(source_segment_at(source, source->gaps[i].end - 1));
  }
  assert_int_equal(missing, source->missing_bytes);
  last = 0;
  for (size_t i = 0; i < source->mapping_count; i++) {
    assert_true(source->mappings[i].start >= last);
    last = source->mappings[i].end;
    assert_true(strlen(source->mappings[i].path) < MOCK_SIZE);
  }
}

static uint32_t random_number(uint32_t limit) {
  static uint64_t seed = 7;
  seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407u;
  return (uint32_t)(seed >> 33) % limit;
}

static void make_victim(void) {
  static const uint8_t status[336] = {[12] = 6, [32] = 9};
  static const uint8_t files[] = {2, 0, 0, 0, 0, 0, 0, 0, 0, 0x10, 0, 0, 0, 0,   0, 0,   0,
                                  1, 0, 0, 0, 0, 0, 0, 0, 2, 0,    0, 0, 0, 0,   0, 0,   0,
                                  0, 0, 0, 0, 0, 0, 0, 2, 0, 0,    0, 0, 0, 0,   0, 4,   0,
                                  0, 0, 0, 0, 0, 1, 0, 0, 0, 0,    0, 0, 0, 'a', 0, 'b', 0};
  mock_init(&core, true, false);
  size_t start = core.size;
  mock_note(&core, "CORE", NT_PRSTATUS, status, sizeof status);
  mock_note(&core, "CORE", NT_PRPSINFO, status, 136);
  mock_note(&core, "CORE", NT_FILE, files, sizeof files);
  mock_note(&core, "CORE", NT_AUXV, status, 64);
  mock_notes_end(&core, start);
  for (uint64_t i = 0; i < 4; i++)
    mock_memory(&core, 0x10000 + i * 0x180, 0x100 + 0x80 * (i & 1), PF_R);
  mock_finish(&core);
}

static void test_random_damage(void **state) {
  (void)state;
  static const uint8_t favourites[] = {0, 1, 0x7f, 0x80, 0xff};
  static struct mock_core whole;
  make_victim();
  whole = core;
  size_t opened = 0;
  for (int round = 0; round < 4000; round++) {
    core = whole;
    for (uint32_t flips = 1 + random_number(6); flips > 0; flips--) {
      /* Mostly headers and notes. */
      uint32_t at =
          random_number(2) ? 16 + random_number(64 + 5 * 56) : MOCK_CONTENTS + random_number(0x2e0);
      core.bytes[at] =
          random_number(2) ? favourites[random_number(5)] : (uint8_t)random_number(256);
    }
    struct source *source;
    size_t size = random_number(3) ? core.size : random_number((uint32_t)core.size) + 1;
    struct inspect_error *error = mock_open_cut(&core, size, &source);
    inspect_error_free(error);
    if (error) continue;
    opened++;
    check_invariants(source);
    source_close(source);
  }
  assert_true(opened > 500);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_all_kinds),    cmocka_unit_test(test_identity),
      cmocka_unit_test(test_view),         cmocka_unit_test(test_merged),
      cmocka_unit_test(test_filtered),     cmocka_unit_test(test_truncated),
      cmocka_unit_test(test_overlapping),  cmocka_unit_test(test_absurd),
      cmocka_unit_test(test_many_headers), cmocka_unit_test(test_no_files),
      cmocka_unit_test(test_options),      cmocka_unit_test(test_other_contents),
      cmocka_unit_test(test_other_elf),    cmocka_unit_test(test_cut_early),
      cmocka_unit_test(test_cut_table),    cmocka_unit_test(test_random_damage),
  };
  return cmocka_run_group_tests(tests, NULL, mock_remove_folder);
}
