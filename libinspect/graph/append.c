/* append.c - one log of a walk behind another.
 *
 * Half of a heap lies in the second log: it is moved in pieces, on all processors, and the memory
 * it leaves is given back at once, so that no more is in use than before. */
#include "graph/append.h"

#include "base/large.h"
#include "base/parallel.h"
#include "graph/reader.h"

enum {
  ARRAYS = 6,
  PIECE = 16 << 20, /* whole huge pages, so that all of them are given back */
  MOST_PARTS = 16,
  ROWS_AT_ONCE = 1 << 16,
};

struct appending {
  struct discovery *found, *log;
  struct {
    char *target, *source;
    size_t bytes;
  } arrays[ARRAYS];
  size_t objects; /* of `found` before   */
  uint64_t references;
  size_t next;     /* shared: piece of work that no part has taken; 0: the rows */
  bool is_dense;   /* ... of which one begins too far from the first of its block */
  bool is_stopped; /* shared */
  const struct work *work;
};

static bool stops(struct appending *it, size_t part) {
  if (part == 0 && work_stops(it->work, "reading objects", 1, 1))
    __atomic_store_n(&it->is_stopped, true, __ATOMIC_RELAXED);
  return __atomic_load_n(&it->is_stopped, __ATOMIC_RELAXED);
}

/* The rows of `log` are not needed any more then. */
static void append_rows(struct appending *it, size_t part) {
  for (size_t i = 0; i < it->log->granules.count; i++) {
    if (i % ROWS_AT_ONCE == 0 && stops(it, part)) return;
    uint64_t row = it->references + discovery_row(it->log, i);
    discovery_set_row(it->found, it->objects + i, row);
    it->is_dense |= discovery_row(it->found, it->objects + i) != row;
  }
  vector_free(&it->log->first);
}

/* Moves a piece; false if there are not so many. Pieces end at multiples of PIECE in memory. */
static bool move_piece(const struct appending *it, size_t piece) {
  for (size_t i = 0; i < ARRAYS; i++) {
    size_t skew = (uintptr_t)it->arrays[i].source % PIECE, bytes = it->arrays[i].bytes;
    size_t pieces = bytes ? (skew + bytes + PIECE - 1) / PIECE : 0;
    if (piece >= pieces) {
      piece -= pieces;
      continue;
    }
    size_t start = piece ? piece * PIECE - skew : 0;
    size_t end = (piece + 1) * PIECE - skew;
    if (end > bytes) end = bytes;
    large_move(it->arrays[i].target + start, it->arrays[i].source + start, end - start);
    return true;
  }
  return false;
}

static void append_part(void *context, size_t part) {
  struct appending *it = context;
  while (!stops(it, part)) {
    size_t next = __atomic_fetch_add(&it->next, 1, __ATOMIC_RELAXED);
    if (!next)
      append_rows(it, part);
    else if (!move_piece(it, next - 1))
      return;
  }
}

static bool reserve(struct discovery *found, const struct discovery *log) {
  size_t objects = log->granules.count, references = log->targets.count;
  return vector_reserve(&found->granules, objects) && vector_reserve(&found->types, objects) &&
         vector_reserve(&found->flags, objects) && vector_reserve(&found->bytes, objects) &&
         vector_reserve(&found->first, objects) &&
         vector_reserve(&found->block_first, objects / ROW_BLOCK + 1) &&
         vector_reserve(&found->targets, references) && vector_reserve(&found->kinds, references);
}

#define MOVE(array)                                                                                \
  {                                                                                                \
    (char *)(found->array.items + found->array.count), (char *)log->array.items,                   \
        log->array.count * sizeof *log->array.items                                                \
  }

struct inspect_error *discovery_append(struct discovery *found, struct discovery *log,
                                       const struct work *work) {
  size_t objects = found->granules.count + log->granules.count;
  size_t references = found->targets.count + log->targets.count;
  if (!reserve(found, log)) return error_no_memory();
  struct appending it = {
      .found = found,
      .log = log,
      .work = work,
      .arrays = {MOVE(granules), MOVE(types), MOVE(flags), MOVE(bytes), MOVE(targets), MOVE(kinds)},
      .objects = found->granules.count,
      .references = found->targets.count};
  unsigned threads = work_threads(work);
  parallel_run(threads < MOST_PARTS ? threads : MOST_PARTS, append_part, &it);
  if (it.is_stopped) return error_interrupted();
  if (it.is_dense) return reader_too_dense();
  for (size_t i = 0; i < log->bigs.count; i++) {
    struct graph_big big = log->bigs.items[i];
    big.object += (object_id)it.objects;
    if (!vector_push(&found->bigs, big)) return error_no_memory();
  }
  found->granules.count = found->types.count = found->flags.count = objects;
  found->bytes.count = found->first.count = objects;
  found->block_first.count = (objects + ROW_BLOCK - 1) / ROW_BLOCK;
  found->targets.count = found->kinds.count = references;
  found->balance += log->balance;
  found->more_problems += log->problems.count + log->more_problems;
  if (log->moving_thread) found->moving_thread = log->moving_thread;
  found->moving_upvalue |= log->moving_upvalue;
  return NULL;
}
