/* test_remote.c - a target that is read through its host: what is asked for, gaps, interruption,
 * and hosts that lie. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <elf.h>

#include "source/remote.h"

enum { PAGE = 4096, MEGABYTE = 1 << 20 };

/* The host: memory that is made of its addresses, with a program at its start. */
struct host {
  uint64_t hole, hole_end;  /* cannot be read                                  */
  uint64_t most;            /* bytes of one read                               */
  bool whole;               /* a read that meets the hole fails as a whole     */
  uint64_t reads, bytes;    /* how many there were                             */
  uint64_t lowest, highest; /* addresses asked for, but for the program header */
  uint64_t stop_at;         /* the read that is refused, counted from 1        */
  int64_t refusal;
};

static const uint64_t PROGRAM = 0x400000, HEAP = 0x10000000;

static uint8_t byte_at(uint64_t address) {
  static const uint8_t header[64] = {0x7f,
                                     'E',
                                     'L',
                                     'F',
                                     ELFCLASS64,
                                     ELFDATA2LSB,
                                     EV_CURRENT,
                                     [16] = ET_DYN,
                                     [18] = EM_X86_64,
                                     [20] = EV_CURRENT,
                                     [52] = 64,
                                     [54] = 56};
  if (address - PROGRAM < PAGE) return address - PROGRAM < 64 ? header[address - PROGRAM] : 0;
  return (uint8_t)(address * 31 + (address >> 12));
}

static int64_t read_host(void *context, uint64_t address, void *buffer, size_t size) {
  struct host *host = context;
  if (host->stop_at && ++host->reads == host->stop_at) return host->refusal;
  if (host->most && size > host->most) size = (size_t)host->most;
  if (address >= host->hole && address < host->hole_end) return 0;
  if (address < host->hole && size > host->hole - address) {
    if (host->whole) return 0;
    size = (size_t)(host->hole - address);
  }
  for (size_t i = 0; i < size; i++)
    ((uint8_t *)buffer)[i] = byte_at(address + i);
  if (address >= PROGRAM + PAGE) {
    host->bytes += size;
    if (!host->lowest || address < host->lowest) host->lowest = address;
    if (address + size > host->highest) host->highest = address + size;
  }
  return (int64_t)size;
}

static struct inspect_region regions[8];

static struct inspect_region region(uint64_t start, uint64_t size, const char *mode) {
  return (struct inspect_region){.start = start,
                                 .end = start + size,
                                 .readable = mode[0] == 'r',
                                 .writable = mode[1] == 'w',
                                 .executable = mode[2] == 'x',
                                 .shared = mode[3] == 's'};
}

static struct inspect_error *open_with(struct host *host, size_t count,
                                       const struct inspect_thread *threads, size_t thread_count,
                                       struct source **source) {
  regions[0] = region(PROGRAM, 2 * PAGE, "r-xp");
  regions[0].path = "/nowhere/program";
  struct inspect_remote remote = {
      .context = host, .read = read_host, .pid = 77, .regions = regions, .region_count = count};
  struct inspect_target target = {
      .remote = &remote, .threads = threads, .thread_count = thread_count};
  return source_open_remote(&target, source);
}

static struct source *opened(struct host *host, size_t count) {
  struct source *source;
  assert_null(open_with(host, count, NULL, 0, &source));
  return source;
}

static void check_memory(const struct source *source, uint64_t start, uint64_t size) {
  const uint8_t *bytes = source_view(source, start, size);
  assert_non_null(bytes);
  for (uint64_t i = 0; i < size; i++)
    assert_int_equal(bytes[i], byte_at(start + i));
}

static void test_all_is_fetched(void **state) {
  (void)state;
  struct host host = {.most = 100000};
  regions[1] = region(HEAP, 3 * MEGABYTE, "rw-p");
  regions[2] = region(HEAP + 4 * MEGABYTE, PAGE, "---p");
  regions[3] = region(HEAP + 5 * MEGABYTE, PAGE, "rw-s");
  struct source *source = opened(&host, 4);
  assert_int_equal(source->kind, SOURCE_REMOTE);
  assert_int_equal(source->pointer_size, 8);
  assert_int_equal(source->machine, EM_X86_64);
  assert_string_equal(source->name, "remote process 77");
  assert_null(source_view(source, HEAP, 1)); /* not yet */
  assert_int_equal(host.bytes, 0);
  assert_null(source_fetch(source, NULL));
  check_memory(source, HEAP, 3 * MEGABYTE);
  check_memory(source, PROGRAM, PAGE);
  assert_null(source_view(source, PROGRAM + PAGE, 1));
  assert_null(source_view(source, HEAP + 5 * MEGABYTE, 1));
  assert_int_equal(host.bytes, 3 * MEGABYTE);
  assert_int_equal(source->gap_count, 0);
  assert_int_equal(source->mapping_count, 1);
  size_t count = source->segment_count;
  assert_null(source_fetch(source, NULL));
  assert_int_equal(host.bytes, 3 * MEGABYTE); /* once */
  assert_int_equal(source->segment_count, count);
  source_close(source);
}

static void check_gap(struct host *host) {
  host->hole = HEAP + 5 * PAGE;
  host->hole_end = HEAP + 8 * PAGE;
  regions[1] = region(HEAP, 2 * MEGABYTE, "rw-p");
  struct source *source = opened(host, 2);
  assert_null(source_fetch(source, NULL));
  check_memory(source, HEAP, 5 * PAGE);
  check_memory(source, HEAP + 8 * PAGE, 2 * MEGABYTE - 8 * PAGE);
  assert_null(source_view(source, HEAP + 5 * PAGE, 1));
  assert_null(source_view(source, HEAP + 8 * PAGE - 1, 1));
  assert_int_equal(source->gap_count, 1);
  assert_int_equal(source->missing_bytes, 3 * PAGE);
  assert_int_equal(host->bytes, 2 * MEGABYTE - 3 * PAGE);
  source_close(source);
}

static void test_pages_that_cannot_be_read(void **state) {
  (void)state;
  check_gap(&(struct host){.whole = false});
  check_gap(&(struct host){.whole = true});
  check_gap(&(struct host){.whole = true, .most = 1000});
}

static bool stop_now(void *context, const char *phase, double share) {
  double *last = context;
  assert_non_null(strstr(phase, "from the remote target"));
  bool stops = share > 0.3 && *last <= 0.3;
  *last = share;
  return stops;
}

static void test_interrupted_and_gone_on_with(void **state) {
  (void)state;
  struct host host = {.most = 65536};
  double share = 0;
  struct work work = {.context = &share, .report = stop_now};
  regions[1] = region(HEAP, 4 * MEGABYTE, "rw-p");
  struct source *source = opened(&host, 2);
  struct inspect_error *error = source_fetch(source, &work);
  assert_int_equal(error->code, INSPECT_ERROR_INTERRUPTED);
  inspect_error_free(error);
  assert_null(source_view(source, HEAP, 1));
  assert_true(host.bytes > MEGABYTE && host.bytes < 2 * MEGABYTE);
  assert_null(source_fetch(source, &work));
  assert_int_equal(host.bytes, 4 * MEGABYTE);
  check_memory(source, HEAP, 4 * MEGABYTE);
  source_close(source);
}

static void check_refused(int64_t refusal, enum inspect_error_code code) {
  struct host host = {.stop_at = 4, .refusal = refusal, .most = 65536};
  regions[1] = region(HEAP, MEGABYTE, "rw-p");
  struct source *source = opened(&host, 2);
  struct inspect_error *error = source_fetch(source, NULL);
  assert_non_null(error);
  assert_int_equal(error->code, code);
  inspect_error_free(error);
  assert_null(source_view(source, HEAP, 1));
  assert_null(source_fetch(source, NULL)); /* it is there again */
  check_memory(source, HEAP, MEGABYTE);
  source_close(source);
}

static void test_host_that_refuses(void **state) {
  (void)state;
  check_refused(INSPECT_READ_GONE, INSPECT_ERROR_UNREADABLE);
  check_refused(INSPECT_READ_INTERRUPTED, INSPECT_ERROR_INTERRUPTED);
  check_refused(1 << 30, INSPECT_ERROR_UNREADABLE); /* more than was asked for */
}

static void test_stacks_are_fetched_as_far_as_used(void **state) {
  (void)state;
  const uint64_t stack = HEAP + PAGE, size = 8 * MEGABYTE;
  struct inspect_thread threads[] = {{.tid = 1, .stack_pointer = stack + size - 3 * PAGE + 8}};
  struct host host = {0};
  struct source *source;
  regions[1] = region(HEAP, PAGE, "---p");
  regions[2] = region(stack, size, "rw-p");
  assert_null(open_with(&host, 3, threads, 1, &source));
  assert_null(source_fetch(source, NULL));
  assert_int_equal(host.bytes, 4 * PAGE); /* the red zone reaches into one more */
  check_memory(source, stack + size - 4 * PAGE, 4 * PAGE);
  assert_null(source_view(source, stack, 1));
  source_close(source);
  /* without the page below it may be a heap that a coroutine's stack lies in */
  host = (struct host){0};
  regions[1] = region(HEAP, PAGE, "r--p");
  assert_null(open_with(&host, 3, threads, 1, &source));
  assert_null(source_fetch(source, NULL));
  assert_true(host.bytes >= size);
  source_close(source);
}

static void check_no_target(struct host *host, size_t count, const char *words) {
  struct source *source;
  struct inspect_error *error = open_with(host, count, NULL, 0, &source);
  assert_non_null(error);
  assert_null(source);
  assert_non_null(strstr(error->message, words));
  assert_non_null(error->hint);
  inspect_error_free(error);
}

static void test_hosts_that_tell_nothing_or_nonsense(void **state) {
  (void)state;
  struct host host = {0};
  check_no_target(&host, 0, "does not tell which memory it has");
  host = (struct host){.hole = PROGRAM, .hole_end = PROGRAM + PAGE};
  check_no_target(&host, 1, "no program was found");
  host = (struct host){.stop_at = 1, .refusal = INSPECT_READ_GONE};
  check_no_target(&host, 1, "can no longer read");
  host = (struct host){0};
  regions[1] = region(HEAP, UINT64_C(1) << 46, "rw-p");
  check_no_target(&host, 2, "to be copied, but only");
  /* upside down, empty, overlapping: left out */
  regions[1] = region(HEAP + PAGE, -(uint64_t)PAGE, "rw-p");
  regions[2] = region(HEAP, 0, "rw-p");
  regions[3] = region(HEAP, 2 * PAGE, "rw-p");
  regions[4] = region(HEAP + PAGE, 2 * PAGE, "rw-p");
  struct source *source = opened(&host, 5);
  assert_null(source_fetch(source, NULL));
  check_memory(source, HEAP, 2 * PAGE);
  assert_null(source_view(source, HEAP + 2 * PAGE, 1));
  source_close(source);
}

static void test_threads_are_copied(void **state) {
  (void)state;
  struct host host = {0};
  uint64_t registers[] = {1, 2, 3};
  struct inspect_thread thread = {5, HEAP, PROGRAM, registers, 3};
  regions[1] = region(HEAP, PAGE, "rw-p");
  struct source *source = opened(&host, 2);
  assert_null(source_set_threads(source, &thread, 1));
  registers[2] = 9;
  assert_int_equal(source->thread_count, 1);
  assert_int_equal(source->threads[0].tid, 5);
  assert_int_equal(source->threads[0].stack_pointer, HEAP);
  assert_int_equal(source->threads[0].register_count, 3);
  assert_int_equal(source->threads[0].registers[2], 3);
  assert_null(source_set_threads(source, NULL, 0)); /* none are known: those stay */
  assert_int_equal(source->thread_count, 1);
  source_close(source);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_all_is_fetched),
      cmocka_unit_test(test_pages_that_cannot_be_read),
      cmocka_unit_test(test_interrupted_and_gone_on_with),
      cmocka_unit_test(test_host_that_refuses),
      cmocka_unit_test(test_stacks_are_fetched_as_far_as_used),
      cmocka_unit_test(test_hosts_that_tell_nothing_or_nonsense),
      cmocka_unit_test(test_threads_are_copied),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
