/* test_large_graph.c - ids up to 2^32 - 2 and offsets of references beyond 2^32, in arrays of which
 * only the pages that are looked at exist. */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "graph/append.h"
#include "graph/reader.h"
#include "mock_lua.h"

static const uint64_t MOST = UINT64_C(1) << 32;

/* Zeros that take no memory until they are touched; NULL if this machine has no addresses left. */
static void *sparse(uint64_t bytes) {
  void *block =
      mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  return block == MAP_FAILED ? NULL : block;
}

#define SPARSE(type, count) ((type *)sparse((count) * sizeof(type)))

/* In each block of 65536 objects the last one has all references. */
static void test_owners(void **state) {
  (void)state;
  enum { BLOCK = 1 << 16, OF_BLOCK = 1 << 18 };
  struct graph graph = {.object_count = UINT32_MAX - 1,
                        .first = SPARSE(uint32_t, MOST),
                        .block_first = SPARSE(uint64_t, MOST / BLOCK + 1)};
  if (!graph.first || !graph.block_first) skip();
  for (uint64_t i = 0; i <= MOST / BLOCK; i++)
    graph.block_first[i] = i * OF_BLOCK;
  /* the last block has an object less, whose references the last one has */
  graph.first[graph.object_count] = OF_BLOCK;
  graph.reference_count = MOST / BLOCK * OF_BLOCK;
  assert_true(graph.reference_count > 2 * MOST);
  static const uint64_t BLOCKS[] = {0, 1, 16383, 16384, 16385, 32768, 65534};
  for (size_t i = 0; i < sizeof BLOCKS / sizeof *BLOCKS; i++) {
    uint64_t first = BLOCKS[i] * OF_BLOCK;
    object_id owner = (object_id)(BLOCKS[i] * BLOCK + BLOCK - 1);
    assert_int_equal(graph_first(&graph, owner), first);
    assert_int_equal(graph_first(&graph, (uint64_t)owner + 1), first + OF_BLOCK);
    assert_int_equal(graph_owner(&graph, first), owner);
    assert_int_equal(graph_owner(&graph, first + OF_BLOCK - 1), owner);
  }
  assert_int_equal(graph_owner(&graph, graph.reference_count - 1), UINT32_MAX - 2);
  assert_int_equal(graph_owner(&graph, graph.reference_count), NO_OBJECT);
  assert_int_equal(graph_first(&graph, graph.object_count), graph.reference_count);
  munmap(graph.first, MOST * sizeof *graph.first);
  munmap(graph.block_first, (MOST / BLOCK + 1) * sizeof *graph.block_first);
}

/* Sizes of 2 bytes and more, of objects with large ids. */
static void test_sizes(void **state) {
  (void)state;
  struct graph_big big[] = {{.object = 7, .bytes = MOST + 1},
                            {.object = UINT32_MAX - 2, .bytes = 3 * MOST}};
  struct graph graph = {
      .object_count = UINT32_MAX - 1, .bytes = SPARSE(uint16_t, MOST), .big = big, .big_count = 2};
  if (!graph.bytes) skip();
  graph.bytes[7] = graph.bytes[UINT32_MAX - 2] = BIG_OBJECT;
  graph.bytes[UINT32_MAX - 3] = BIG_OBJECT - 1;
  assert_true(graph_bytes(&graph, 7) == MOST + 1);
  assert_true(graph_bytes(&graph, UINT32_MAX - 2) == 3 * MOST);
  assert_int_equal(graph_bytes(&graph, UINT32_MAX - 3), BIG_OBJECT - 1);
  munmap(graph.bytes, MOST * sizeof *graph.bytes);
}

#define LEND(found, array, type, number)                                                           \
  ((found).array.items = SPARSE(type, number), (found).array.capacity = (number),                  \
   assert_non_null((found).array.items))
#define TAKE_BACK(found, array)                                                                    \
  munmap((found).array.items, (found).array.capacity * sizeof *(found).array.items)

/* A log behind one that has more than 2^32 references: rows of both, before and after. */
static void test_append(void **state) {
  (void)state;
  enum { OBJECTS = 3 * ROW_BLOCK + 5, MORE = 2 * ROW_BLOCK + 9 };
  const uint64_t references = 2 * MOST + 12345, room = references + 8 * MORE;
  struct discovery found = {0}, log = {0};
  for (unsigned threads = 1; threads <= 3; threads++) {
    if (!(found.kinds.items = sparse(1))) skip();
    munmap(found.kinds.items, 1);
    LEND(found, granules, uint32_t, OBJECTS + MORE);
    LEND(found, types, uint8_t, OBJECTS + MORE);
    LEND(found, flags, uint8_t, OBJECTS + MORE);
    LEND(found, bytes, uint16_t, OBJECTS + MORE);
    LEND(found, first, uint32_t, OBJECTS + MORE);
    LEND(found, block_first, uint64_t, 16);
    LEND(found, targets, uint32_t, room);
    LEND(found, kinds, uint8_t, room);
    for (uint64_t i = 0; i < OBJECTS; i++)
      discovery_set_row(&found, i, i < 3 * ROW_BLOCK ? i : references - OBJECTS + i);
    found.granules.count = found.types.count = found.flags.count = OBJECTS;
    found.bytes.count = found.first.count = OBJECTS;
    found.block_first.count = 4;
    found.targets.count = found.kinds.count = references;
    for (uint64_t i = 0; i < MORE; i++) {
      assert_true(vector_push(&log.granules, (uint32_t)i) && vector_push(&log.types, (uint8_t)i) &&
                  vector_push(&log.flags, (uint8_t)(i * 3)) &&
                  vector_push(&log.bytes, (uint16_t)(i * 7)) && vector_push(&log.first, 0u));
      if (i % ROW_BLOCK == 0) assert_true(vector_push(&log.block_first, UINT64_C(0)));
      discovery_set_row(&log, i, log.targets.count);
      for (uint64_t j = 0; j < i % 4; j++)
        assert_true(vector_push(&log.targets, (uint32_t)(i + j)) &&
                    vector_push(&log.kinds, (uint8_t)(i ^ j)));
    }
    assert_true(vector_push(&log.bigs, ((struct graph_big){.object = 3, .bytes = MOST})));
    struct work work = {.threads = threads};
    assert_null(discovery_append(&found, &log, &work));
    assert_int_equal(found.granules.count, OBJECTS + MORE);
    assert_int_equal(found.first.count, OBJECTS + MORE);
    assert_int_equal(found.block_first.count, (OBJECTS + MORE + ROW_BLOCK - 1) / ROW_BLOCK);
    assert_int_equal(found.bigs.items[0].object, OBJECTS + 3);
    uint64_t row = references;
    for (uint64_t i = 0; i < MORE; i++) {
      uint64_t object = OBJECTS + i;
      assert_int_equal(discovery_row(&found, object), row);
      assert_int_equal(found.granules.items[object], i);
      assert_int_equal(found.types.items[object], (uint8_t)i);
      assert_int_equal(found.flags.items[object], (uint8_t)(i * 3));
      assert_int_equal(found.bytes.items[object], (uint16_t)(i * 7));
      for (uint64_t j = 0; j < i % 4; j++, row++) {
        assert_int_equal(found.targets.items[row], i + j);
        assert_int_equal(found.kinds.items[row], (uint8_t)(i ^ j));
      }
    }
    assert_int_equal(found.targets.count, row);
    assert_int_equal(found.kinds.count, row);
    TAKE_BACK(found, granules);
    TAKE_BACK(found, types);
    TAKE_BACK(found, flags);
    TAKE_BACK(found, bytes);
    TAKE_BACK(found, first);
    TAKE_BACK(found, block_first);
    TAKE_BACK(found, targets);
    TAKE_BACK(found, kinds);
    free(found.bigs.items);
    found = (struct discovery){0};
    discovery_free(&log);
    log = (struct discovery){0};
  }
}

static void expect_refusal(struct inspect_error *error, const char *message) {
  assert_non_null(error);
  assert_int_equal(error->code, INSPECT_ERROR_UNSUPPORTED);
  assert_string_equal(error->message, message);
  assert_non_null(error->hint);
  inspect_error_free(error);
}

/* Ids end at 2^32 - 2: NO_OBJECT is none. */
static void test_too_many(void **state) {
  (void)state;
  struct mock_lua *mock = mock_open(mock_layout("5.4.3", 8));
  struct heap_vm owner = {.vm = mock->vm};
  struct heap heap = {.map = mock->map, .vms = &owner, .vm_count = 1};
  struct discovery found = {0};
  struct reader reader;
  uint32_t granule;
  assert_null(reader_init(&reader, &heap, 0, &found));
  assert_null(reader_discover(&reader, mock_table(mock), TAG_TABLE, 0, &granule));
  assert_int_equal(found.granules.count, 1);
  found.granules.count = NO_OBJECT - 1;
  expect_refusal(reader_discover(&reader, mock_table(mock), TAG_TABLE, 0, &granule),
                 "the heap has 2^32 objects or more");
  found.granules.count = 1;
  reader_free(&reader);
  discovery_free(&found);
  mock_close(mock);
}

/* 65536 neighbours may have 2^32 - 1 references. */
static void test_too_dense(void **state) {
  (void)state;
  struct mock_lua *mock = mock_open(mock_layout("5.4.3", 8));
  struct heap_vm owner = {.vm = mock->vm};
  struct heap heap = {.map = mock->map, .vms = &owner, .vm_count = 1};
  for (unsigned over = 0; over < 2; over++) {
    struct discovery found = {0};
    struct reader reader;
    uint32_t granule;
    LEND(found, targets, uint32_t, 2 * MOST);
    LEND(found, kinds, uint8_t, 2 * MOST);
    assert_true(vector_push(&found.block_first, UINT64_C(10)) && vector_push(&found.first, 0u) &&
                vector_push(&found.bytes, 0u) && vector_push(&found.granules, 0u) &&
                vector_push(&found.types, TAG_TABLE) && vector_push(&found.flags, 0));
    assert_null(reader_init(&reader, &heap, 0, &found));
    assert_null(reader_discover(&reader, mock_table(mock), TAG_TABLE, 0, &granule));
    found.targets.count = found.kinds.count = reader.taken = UINT64_C(10) + UINT32_MAX + over;
    size_t next = 1;
    struct inspect_error *error = reader_read(&reader, &next, 2);
    if (over) {
      expect_refusal(error, "too many references in one place");
    } else {
      if (error) fail_msg("%s", error->message);
      assert_int_equal(discovery_row(&found, 1), 10 + (uint64_t)UINT32_MAX);
    }
    TAKE_BACK(found, targets);
    TAKE_BACK(found, kinds);
    memset(&found.targets, 0, sizeof found.targets);
    memset(&found.kinds, 0, sizeof found.kinds);
    reader_free(&reader);
    discovery_free(&found);
  }
  mock_close(mock);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_owners), cmocka_unit_test(test_sizes),
                                     cmocka_unit_test(test_append), cmocka_unit_test(test_too_many),
                                     cmocka_unit_test(test_too_dense)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
