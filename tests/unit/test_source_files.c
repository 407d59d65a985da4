/* test_source_files.c - files behind mappings (build-id, --exe, sysroot) and names of functions. */
#include <sys/stat.h>

#include "mock_core.h"

enum { BASE = 0x400000, FILE_SIZE = 0x2000 };

extern char __executable_start[];

static struct mock_core core;

/* A library of two pages whose build-id is `id` repeated; no build-id if 0. */
static const uint8_t *make_library(char id) {
  static struct mock_core library;
  mock_init(&library, true, false);
  library.type = ET_DYN;
  library.size = 0x200;
  char bytes[20];
  memset(bytes, id, sizeof bytes);
  if (id) {
    mock_note(&library, "GNU", 5, "property, no id", 16); /* NT_GNU_PROPERTY_TYPE_0 */
    mock_note(&library, "GNU", NT_GNU_BUILD_ID, bytes, sizeof bytes);
  }
  mock_add(&library, (struct mock_header){PT_LOAD, PF_R, 0, 0x10000, FILE_SIZE, FILE_SIZE});
  mock_notes_end(&library, 0x200)->address = 0x10200;
  mock_finish(&library);
  return library.bytes;
}

static void write_library(const char *name, char id) {
  mock_write(mock_path(name), make_library(id), FILE_SIZE);
}

/* NT_FILE with two mappings of `path`: page 0 at BASE, page 1 behind it; and the entry point. */
static void add_notes(const char *path) {
  uint8_t bytes[700];
  size_t used = 0, size = strlen(path) + 1, start = core.size;
  const uint64_t words[] = {2, 0x1000, BASE, BASE + 0x1000, 0, BASE + 0x1000, BASE + 0x2000, 1};
  for (size_t i = 0; i < sizeof words / sizeof *words; i++, used += 8)
    mock_number(&core, bytes + used, words[i], 8);
  memcpy(bytes + used, path, size);
  memcpy(bytes + used + size, path, size);
  mock_note(&core, "CORE", NT_FILE, bytes, used + 2 * size);
  const uint64_t vector[] = {9 /* AT_ENTRY */, BASE + 0x1800, 0, 0};
  for (size_t i = 0; i < 4; i++)
    mock_number(&core, bytes + i * 8, vector[i], 8);
  mock_note(&core, "CORE", NT_AUXV, bytes, 32);
  mock_notes_end(&core, start);
}

/* A core that maps the file `name`; its first page is dumped with build-id `dumped` unless 0. */
static struct source *open_core(const char *path, char dumped, const char *exe,
                                const char *sysroot) {
  mock_init(&core, true, false);
  add_notes(path);
  mock_memory(&core, 0x10000, 0x100, PF_R);
  if (dumped) {
    mock_memory(&core, BASE, 0x1000, PF_R);
    memcpy(core.bytes + core.size - 0x1000, make_library(dumped), 0x1000);
  }
  mock_finish(&core);
  mock_write(mock_path("mock.core"), core.bytes, core.size);
  struct source *source;
  assert_null(source_open_core(mock_path("mock.core"), exe, sysroot, NULL, &source));
  assert_int_equal(source->mapping_count, 2);
  return source;
}

/* The build-id letter of the file found for the second mapping: '-' not found, '0' no build-id. */
static char found(const char *path, char dumped, const char *exe, const char *sysroot) {
  struct source *source = open_core(path, dumped, exe, sysroot);
  const uint8_t *bytes, *again;
  size_t size;
  char result = '-';
  if (source_file(source, &source->mappings[1], &bytes, &size)) {
    assert_int_equal(size, FILE_SIZE);
    result = bytes[0x230] ? (char)bytes[0x230] : '0';
    assert_true(source_file(source, &source->mappings[0], &again, &size));
    assert_ptr_equal(again, bytes);
  }
  source_close(source);
  return result;
}

static char *keep(const char *path) {
  char *copy = strdup(path);
  assert_non_null(copy);
  return copy;
}

static void test_build_id(void **state) {
  (void)state;
  write_library("liba.so", 'a');
  char *path = keep(mock_path("liba.so"));
  assert_int_equal(found(path, 'a', NULL, NULL), 'a');
  assert_int_equal(found(path, 'b', NULL, NULL), '-');
  assert_int_equal(found(path, 0, NULL, NULL), 'a'); /* nothing to compare with */
  write_library("liba.so", 0);
  assert_int_equal(found(path, 'a', NULL, NULL), '-');
  assert_int_equal(found(path, 0, NULL, NULL), '0');
  free(path);
}

static void test_exe(void **state) {
  (void)state;
  write_library("exe", 'a');
  write_library("other", 'b');
  char *exe = keep(mock_path("exe")), *other = keep(mock_path("other"));
  assert_int_equal(found("/gone/exe", 'a', exe, NULL), 'a');
  assert_int_equal(found("/gone/exe", 0, exe, NULL), 'a');
  assert_int_equal(found("/gone/exe", 'b', exe, NULL), '-');
  assert_int_equal(found(other, 0, exe, NULL), 'a');
  assert_int_equal(found(other, 'b', exe, NULL), 'b'); /* --exe is another program */
  free(exe);
  free(other);
}

static void test_sysroot(void **state) {
  (void)state;
  char *root = keep(mock_path("root"));
  assert_int_equal(mkdir(root, 0700), 0);
  write_library("root/lib.so", 'a');
  assert_int_equal(found("/lib.so", 'a', NULL, root), 'a');
  assert_int_equal(found("/lib.so", 0, NULL, root), 'a');
  assert_int_equal(found("/lib.so", 'b', NULL, root), '-');
  /* Outside the sysroot only what has the right build-id. */
  write_library("out.so", 'c');
  char *out = keep(mock_path("out.so"));
  assert_int_equal(found(out, 'c', NULL, root), 'c');
  assert_int_equal(found(out, 0, NULL, root), '-');
  free(out);
  free(root);
}

static void test_odd_paths(void **state) {
  (void)state;
  assert_int_equal(chdir(mock_folder()), 0);
  write_library("relative", 'a');
  assert_int_equal(found("relative", 'a', NULL, NULL), '-');
  assert_int_equal(found("", 0, NULL, NULL), '-');
  assert_int_equal(found("/dev/zero", 0, NULL, NULL), '-');
  assert_int_equal(found("/gone (deleted)", 0, NULL, NULL), '-');
  assert_int_equal(found(mock_folder(), 0, NULL, NULL), '-');
  assert_int_equal(mkfifo(mock_path("pipe"), 0600), 0);
  char *pipe_path = keep(mock_path("pipe"));
  assert_int_equal(found(pipe_path, 0, NULL, NULL), '-'); /* and does not wait for a writer */
  free(pipe_path);
  mock_write(mock_path("short"), "x", 1);
  char *short_path = keep(mock_path("short"));
  assert_int_equal(found(short_path, 0, NULL, NULL), '-'); /* too short to be mapped so */
  write_library("long", 'b');
  char *long_path = keep(mock_path("long"));
  assert_int_equal(found(long_path, 0, short_path, NULL), 'b');
  free(long_path);
  free(short_path);
}

/* This test's own program, as a core would have it mapped: its functions have names. */
static struct source *open_self(void) {
  char path[512];
  ssize_t size = readlink("/proc/self/exe", path, sizeof path - 1);
  assert_true(size > 0);
  path[size] = '\0';
  uint8_t bytes[700];
  uint64_t base = (uintptr_t)__executable_start;
  const uint64_t words[] = {1, 0x1000, base, base + 0x4000000, 0};
  for (size_t i = 0; i < 5; i++)
    mock_number(&core, bytes + i * 8, words[i], 8);
  memcpy(bytes + 40, path, (size_t)size + 1);
  mock_init(&core, true, false);
  size_t start = core.size;
  mock_note(&core, "CORE", NT_FILE, bytes, 40 + (size_t)size + 1);
  mock_notes_end(&core, start);
  mock_memory(&core, 0x10000, 0x100, PF_R);
  return mock_open(&core);
}

static void test_symbols(void **state) {
  (void)state;
  struct source *source = open_self();
  uint64_t address = (uintptr_t)&source_symbol;
  const char *name = NULL, *again = NULL;
  assert_true(source_symbol(source, address, &name));
  assert_string_equal(name, "source_symbol");
  assert_true(source_symbol(source, address + 3, &again));
  assert_ptr_equal(again, name);
  assert_true(source_symbol(source, (uintptr_t)&source_close, &name));
  assert_string_equal(name, "source_close");
  assert_false(source_symbol(source, (uintptr_t)__executable_start, &name)); /* the ELF header */
  assert_false(source_symbol(source, (uintptr_t)__executable_start + 0x3ffffff, &name));
  assert_false(source_symbol(source, 0x10000, &name));
  assert_false(source_symbol(source, UINT64_MAX, &name));
  source_close(source);
}

static void test_no_symbols(void **state) {
  (void)state;
  const char *name = NULL;
  struct source *source = open_core("/gone/exe", 0, NULL, NULL);
  assert_false(source_symbol(source, BASE + 0x1800, &name));
  assert_false(source_symbol(source, BASE + 0x1800, &name));
  source_close(source);
  /* A core without NT_FILE, and with nothing the dynamic linker left. */
  mock_init(&core, true, false);
  mock_memory(&core, 0x10000, 0x100, PF_R);
  source = mock_open(&core);
  assert_false(source_symbol(source, 0x10000, &name));
  assert_false(source_symbol(source, 0x10000, &name));
  source_close(source);
  /* Memory made by hand has neither files nor symbols. */
  struct source mock = {.pointer_size = 8};
  const uint8_t *bytes;
  size_t size;
  assert_false(source_symbol(&mock, 0x10000, &name));
  assert_false(
      source_file(&mock, &(struct source_mapping){.end = 1, .path = "/bin/sh"}, &bytes, &size));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_build_id), cmocka_unit_test(test_exe),
      cmocka_unit_test(test_sysroot),  cmocka_unit_test(test_odd_paths),
      cmocka_unit_test(test_symbols),  cmocka_unit_test(test_no_symbols),
  };
  return cmocka_run_group_tests(tests, NULL, mock_remove_folder);
}
