/* budget.c - whether there is enough memory for what a command needs, asked before it starts.
 *
 * The sizes per object were measured as the peak of whole commands, on heaps of scripts/bench; they
 * are rounded up. A copy of the target that is in memory counts against --max-memory; what the
 * machine has left is counted without it. Whether there is enough is decided first by a bound that
 * costs nothing. */
#include "command/budget.h"

#include "base/available.h"
#include "command/session.h"
#include "graph/estimate.h"
#include "report/cell.h"

enum { SMALL = 64 << 20, BASE = 16 << 20 };

/* Bytes beyond the graph. */
static const struct {
  uint64_t per_object, per_reference;
} BEYOND[MEMORY_STAGES] = {
    [MEMORY_GRAPH] = {1, 0}, [MEMORY_CHAINS] = {20, 0}, [MEMORY_DOMINATORS] = {40, 2}};

static uint64_t need_of(const struct heap *heap, const struct heap_estimate *estimate,
                        enum memory_stage stage) {
  return BASE + heap_memory(heap, estimate) + estimate->objects * BEYOND[stage].per_object +
         estimate->references * BEYOND[stage].per_reference;
}

/* What is in use already, of which the machine has less. */
static uint64_t used_by(const struct inspect_session *session,
                        const struct heap_estimate *estimate) {
  return session->is_built ? need_of(&session->heap, estimate, MEMORY_GRAPH) : 0;
}

static const char *shown(struct arena *arena, uint64_t bytes) {
  const char *text = render_cell(arena, cell_bytes(bytes));
  return text ? text : "?";
}

/* What takes less and may do: with `room` bytes besides what is there. */
static const char *offer(struct inspect_session *session, const struct heap_estimate *estimate,
                         enum memory_stage stage, uint64_t room, struct arena *arena) {
  const struct heap *heap = &session->heap;
  uint64_t graph = need_of(heap, estimate, MEMORY_GRAPH);
  uint64_t chains = need_of(heap, estimate, MEMORY_CHAINS);
  if (stage == MEMORY_DOMINATORS && chains <= room)
    return arena_printf(arena,
                        "lua-leaks --brief, without retained bytes and suspects, takes %s; lua-gc, "
                        "lua-paths and lua-bt no more; --max-memory SIZE sets what may be used",
                        shown(arena, chains));
  if (stage != MEMORY_GRAPH && graph <= room)
    return arena_printf(arena,
                        "lua-states, lua-gc and lua-bt take %s; --max-memory SIZE sets what may be "
                        "used",
                        shown(arena, graph));
  return "lua-states --brief takes next to nothing; --max-memory SIZE sets what may be used, and "
         "a larger machine can read the same core";
}

struct inspect_error *budget_check(struct inspect_session *session, enum memory_stage stage) {
  struct budget *budget = &session->budget;
  struct heap *heap = &session->heap;
  struct heap_estimate estimate;
  if (stage < budget->stage) stage = budget->stage;
  if (budget->is_checked[stage]) return NULL;
  heap_bound(heap, &estimate);
  uint64_t copied = budget->limit ? session->source->copied_bytes : 0;
  uint64_t limit = budget->limit ? budget->limit : memory_available("");
  if (!budget->limit && limit < SMALL) limit = SMALL;
  if (need_of(heap, &estimate, stage) > limit - (copied < limit ? copied : limit)) {
    heap_estimate(heap, &estimate);
    uint64_t room = limit - (copied < limit ? copied : limit);
    if (!budget->limit) room += used_by(session, &estimate);
    uint64_t need = need_of(heap, &estimate, stage);
    if (need > room) {
      struct arena arena;
      arena_init(&arena);
      struct inspect_error *error = error_create(
          INSPECT_ERROR_NO_MEMORY, offer(session, &estimate, stage, room, &arena),
          "%s takes about %s of memory besides the core%s, and %s",
          budget->command ? budget->command : "this", shown(&arena, need),
          copied ? arena_printf(&arena, " and %s for the copy of it that is in memory",
                                shown(&arena, copied))
                 : "",
          arena_printf(&arena, budget->limit ? "--max-memory allows %s" : "%s can be had",
                       shown(&arena, room + copied)));
      arena_free(&arena);
      return error;
    }
  }
  budget->is_checked[stage] = true;
  return NULL;
}
