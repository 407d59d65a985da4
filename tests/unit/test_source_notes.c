/* test_source_notes.c - process, threads and mapped files from the notes of a core. */
#include <math.h>

#include "mock_core.h"

static struct mock_core core;

/* struct elf_prstatus with `count` registers: 100, 101, ... */
static void add_status(int32_t tid, int signal, unsigned user_ms, unsigned system_ms,
                       unsigned count) {
  uint8_t bytes[1024] = {0};
  unsigned word = mock_word(&core), pids = 16 + 2 * word, times = pids + 16;
  mock_number(&core, bytes + 12, (uint64_t)signal, 2);
  mock_number(&core, bytes + pids, (uint32_t)tid, 4);
  mock_number(&core, bytes + times, user_ms / 1000, word);
  mock_number(&core, bytes + times + word, user_ms % 1000 * 1000, word);
  mock_number(&core, bytes + times + 2 * word, system_ms / 1000, word);
  mock_number(&core, bytes + times + 3 * word, system_ms % 1000 * 1000, word);
  mock_number(&core, bytes + times + 4 * word, 77, word); /* pr_cutime */
  unsigned registers = times + 8 * word;
  for (unsigned i = 0; i < count; i++)
    mock_number(&core, bytes + registers + i * word, 100 + i, word);
  mock_note(&core, "CORE", NT_PRSTATUS, bytes, registers + (count + 1) * word);
}

static void add_process(int32_t pid, const char *name, size_t name_size, unsigned id_width) {
  uint8_t bytes[136] = {0};
  unsigned word = mock_word(&core), pids = 4 + (word == 8 ? 4u : 0u) + word + 2 * id_width;
  mock_number(&core, bytes + pids, (uint32_t)pid, 4);
  memcpy(bytes + pids + 16, name, name_size);
  memset(bytes + pids + 32, 'a', 80);
  mock_note(&core, "CORE", NT_PRPSINFO, bytes, pids + 112);
}

/* NT_FILE claiming `count` entries, of which `rows` are given as {start, end, page}. */
static void add_files(uint64_t count, uint64_t page, const uint64_t (*rows)[3], size_t row_count,
                      const char *names, size_t names_size) {
  uint8_t bytes[1024];
  unsigned word = mock_word(&core), used = 2 * word;
  mock_number(&core, bytes, count, word);
  mock_number(&core, bytes + word, page, word);
  for (size_t i = 0; i < row_count * 3; i++, used += word)
    mock_number(&core, bytes + used, rows[i / 3][i % 3], word);
  memcpy(bytes + used, names, names_size);
  mock_note(&core, "CORE", NT_FILE, bytes, used + names_size);
}

static struct source *finish(size_t start) {
  mock_notes_end(&core, start);
  mock_memory(&core, 0x10000, 0x100, PF_R);
  return mock_open(&core);
}

struct machine {
  bool is_64, big_endian;
  unsigned machine, registers, stack_pointer, program_counter, id_width;
};

static void test_machines(void **state) {
  (void)state;
  static const struct machine machines[] = {
      {true, false, EM_X86_64, 27, 19, 16, 4},  {false, false, EM_386, 17, 15, 12, 2},
      {true, false, EM_AARCH64, 34, 31, 32, 4}, {false, false, EM_ARM, 18, 13, 15, 2},
      {true, true, EM_S390, 27, 17, 1, 4},      {false, true, EM_PPC, 48, 1, 32, 4},
  };
  static const uint64_t rows[][3] = {{0x5000, 0x6000, 3}, {0x1000, 0x3000, 0}};
  for (size_t i = 0; i < sizeof machines / sizeof *machines; i++) {
    const struct machine *machine = &machines[i];
    mock_init(&core, machine->is_64, machine->big_endian);
    core.machine = machine->machine;
    size_t start = core.size;
    add_status(41, 11, 1500, 250, machine->registers);
    add_process(41, "lua\x1b", 4, machine->id_width);
    add_files(2, 0x1000, rows, 2, "/b\0/a", 6);
    add_status(42, 0, 30, 0, machine->registers);
    struct source *source = finish(start);
    assert_int_equal(source->pid, 41);
    assert_string_equal(source->command, "lua\\u{001B}");
    assert_int_equal(source->signal, 11);
    assert_true(fabs(source->cpu_time - 1.75) < 1e-9);
    assert_int_equal(source->thread_count, 2);
    const struct source_thread *thread = &source->threads[0];
    assert_int_equal(thread->tid, 41);
    assert_int_equal(thread->register_count, machine->registers);
    assert_int_equal(thread->registers[machine->registers - 1], 99 + machine->registers);
    assert_int_equal(thread->stack_pointer, 100 + machine->stack_pointer);
    assert_int_equal(thread->program_counter, 100 + machine->program_counter);
    assert_int_equal(source->threads[1].tid, 42);
    assert_int_equal(source->mapping_count, 2);
    assert_string_equal(source->mappings[0].path, "/a");
    assert_int_equal(source->mappings[0].start, 0x1000);
    assert_int_equal(source->mappings[1].file_offset, 0x3000);
    assert_ptr_equal(source_mapping_at(source, 0x2fff), &source->mappings[0]);
    assert_null(source_mapping_at(source, 0x3000));
    assert_ptr_equal(source_mapping_at(source, 0x5000), &source->mappings[1]);
    source_close(source);
  }
}

/* Without a record of the group's leader, the threads are summed up; zeros mean unknown. */
static void test_cpu_time(void **state) {
  (void)state;
  mock_init(&core, true, false);
  size_t start = core.size;
  add_process(40, "x", 1, 4);
  add_status(41, 0, 100, 20, 27);
  add_status(42, 0, 3, 0, 27);
  struct source *source = finish(start);
  assert_true(fabs(source->cpu_time - 0.123) < 1e-9);
  assert_int_equal(source->pid, 40);
  source_close(source);
  mock_init(&core, true, false);
  start = core.size;
  add_status(41, 0, 0, 0, 27);
  source = finish(start);
  assert_true(source->cpu_time < 0);
  assert_int_equal(source->pid, 41);
  source_close(source);
}

static int signal_of(int status, int information) {
  uint8_t bytes[128] = {0};
  mock_init(&core, true, false);
  size_t start = core.size;
  add_status(41, status, 0, 0, 27);
  mock_number(&core, bytes, (uint64_t)information, 4);
  mock_note(&core, "CORE", NT_SIGINFO, bytes, sizeof bytes);
  struct source *source = finish(start);
  int result = source->signal;
  source_close(source);
  return result;
}

static void test_signal(void **state) {
  (void)state;
  assert_int_equal(signal_of(6, 0), 6);
  assert_int_equal(signal_of(0, 11), 11);
  assert_int_equal(signal_of(6, 11), 6);
  assert_int_equal(signal_of(19, 0), 0); /* SIGSTOP */
  assert_int_equal(signal_of(0, 0), 0);
  assert_int_equal(signal_of(-3, 0), 0);
}

static void check_files(uint64_t count, uint64_t page, const uint64_t (*rows)[3], size_t row_count,
                        const char *names, size_t names_size, const char *expected) {
  mock_init(&core, true, false);
  size_t start = core.size;
  add_files(count, page, rows, row_count, names, names_size);
  mock_notes_end(&core, start);
  mock_memory(&core, 0x10000, 0x100, PF_R);
  struct source *source = mock_open(&core);
  char found[256] = "";
  for (size_t i = 0; i < source->mapping_count; i++) {
    strcat(found, source->mappings[i].path);
    strcat(found, ";");
  }
  assert_string_equal(found, expected);
  source_close(source);
}

static void test_hostile_files(void **state) {
  (void)state;
  static const uint64_t rows[][3] = {{0x1000, 0x2000, 0}, {0x2000, 0x3000, 1}, {0x4000, 0x5000, 2}};
  check_files(3, 4096, rows, 3, "a\0b\0c", 6, "a;b;c;");
  check_files(UINT64_C(1) << 60, 4096, rows, 3, "a\0b\0c", 6, "");
  check_files(UINT64_MAX, 4096, rows, 3, "a\0b\0c", 6, "");
  check_files(3, 4096, rows, 3, "a\0b\0c", 5, "a;b;"); /* the last lacks its zero */
  check_files(3, 4096, rows, 3, "a\0b", 4, "a;b;");
  check_files(0, 4096, rows, 0, "", 0, "");
  check_files(3, UINT64_C(1) << 63, rows, 3, "a\0b\0c", 6, "a;b;"); /* 2 * 2^63 overflows */
  static const uint64_t mixed[][3] = {
      {0x1000, 0x3000, 0}, {0x2000, 0x4000, 1}, {0x5000, 0x5000, 2}};
  check_files(3, 4096, mixed, 3, "a\0b\0c", 6, "a;");
  check_files(2, 0, rows, 2, "a\0b", 4, "a;b;");
}

static void test_same_path_is_shared(void **state) {
  (void)state;
  static const uint64_t rows[][3] = {{0x1000, 0x2000, 0}, {0x2000, 0x3000, 1}, {0x4000, 0x5000, 2}};
  mock_init(&core, true, false);
  size_t start = core.size;
  add_files(3, 4096, rows, 3, "/x\0/x\0/xy", 10);
  struct source *source = finish(start);
  assert_ptr_equal(source->mappings[0].path, source->mappings[1].path);
  assert_string_equal(source->mappings[2].path, "/xy");
  source_close(source);
}

/* Notes of other owners and unknown types are passed over, whatever their numbers. */
static void test_foreign_notes(void **state) {
  (void)state;
  mock_init(&core, true, false);
  size_t start = core.size;
  uint8_t bytes[336] = {[32] = 9};
  mock_note(&core, "LINUX", NT_PRSTATUS, bytes, sizeof bytes);
  mock_note(&core, "CORE", 0x12345, bytes, 3);
  mock_note(&core, "", NT_PRSTATUS, bytes, 0);
  add_status(41, 6, 0, 0, 27);
  struct source *source = finish(start);
  assert_int_equal(source->thread_count, 1);
  assert_int_equal(source->pid, 41);
  source_close(source);
}

static void test_short_notes(void **state) {
  (void)state;
  mock_init(&core, true, false);
  size_t start = core.size;
  uint8_t bytes[64] = {1};
  mock_note(&core, "CORE", NT_PRSTATUS, bytes, 40);
  mock_note(&core, "CORE", NT_PRPSINFO, bytes, 20);
  mock_note(&core, "CORE", NT_FILE, bytes, 8);
  mock_note(&core, "CORE", NT_AUXV, bytes, 9);
  mock_note(&core, "CORE", NT_SIGINFO, bytes, 0);
  mock_note_claiming(&core, "CORE", NT_FILE, bytes, 40, UINT32_MAX);
  struct source *source = finish(start);
  assert_int_equal(source->thread_count, 0);
  assert_int_equal(source->mapping_count, 0);
  source_close(source);
}

/* A note that claims more than its segment has ends with the segment. */
static void test_claiming_note(void **state) {
  (void)state;
  uint8_t bytes[48] = {0};
  const uint64_t words[] = {1, 4096, 0x1000, 0x2000, 0};
  mock_init(&core, true, false);
  size_t start = core.size;
  for (size_t i = 0; i < 5; i++)
    mock_number(&core, bytes + i * 8, words[i], 8);
  memcpy(bytes + 40, "/endless", 8);
  mock_note_claiming(&core, "CORE", NT_FILE, bytes, 48, UINT32_MAX);
  struct source *source = finish(start);
  assert_int_equal(source->mapping_count, 0);
  source_close(source);
}

/* Notes behind the memory, as gcore writes them, and cut off: what is whole counts. */
static void test_cut_notes(void **state) {
  (void)state;
  mock_init(&core, true, false);
  mock_memory(&core, 0x10000, 0x100, PF_R);
  size_t start = core.size;
  add_process(40, "x", 1, 4);
  add_status(41, 6, 0, 0, 27);
  size_t middle = core.size;
  add_status(42, 6, 0, 0, 27);
  mock_notes_end(&core, start);
  mock_finish(&core);
  for (size_t size = start; size <= core.size; size += 4) {
    struct source *source;
    assert_null(mock_open_cut(&core, size, &source));
    if (size >= middle) assert_true(source->thread_count >= 1);
    if (size >= middle) assert_int_equal(source->threads[0].register_count, 27);
    if (size >= middle) assert_int_equal(source->pid, 40);
    assert_int_equal(source->gap_count, 0);
    source_close(source);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_machines),
      cmocka_unit_test(test_cpu_time),
      cmocka_unit_test(test_signal),
      cmocka_unit_test(test_hostile_files),
      cmocka_unit_test(test_same_path_is_shared),
      cmocka_unit_test(test_foreign_notes),
      cmocka_unit_test(test_short_notes),
      cmocka_unit_test(test_claiming_note),
      cmocka_unit_test(test_cut_notes),
  };
  return cmocka_run_group_tests(tests, NULL, mock_remove_folder);
}
