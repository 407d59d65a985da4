/* evidence.c - lets integer keys vote on the release of their VM.
 *
 * A key votes if it can be found by one of two rules only. Damage may fake a few votes, so the
 * majority has to be large; counting stops as soon as it is. */
#include "graph/evidence.h"

#include "lua/hash_part.h"

enum { ENOUGH_VOTES = 64, LARGE_MAJORITY = 8 };

static enum integer_hash winner(const struct integer_votes *votes) {
  if (votes->power > LARGE_MAJORITY * votes->modulo) return INTEGER_HASH_POWER;
  if (votes->modulo > LARGE_MAJORITY * votes->power) return INTEGER_HASH_MODULO;
  return INTEGER_HASH_UNKNOWN;
}

static struct inspect_error *count_votes(struct heap *heap, struct heap_vm *owner,
                                         const struct work *work, struct hash_chains *chains,
                                         struct integer_votes *votes) {
  enum { REPORT_EVERY = 1 << 15 };
  uint64_t budget = heap->map.granule_count << heap->map.shift; /* no two tables share nodes */
  for (uint32_t i = 0; i < owner->count && votes->power + votes->modulo < ENOUGH_VOTES; i++) {
    object_id object = owner->first + i;
    struct lua_table table;
    if (i % REPORT_EVERY == 0 && work_stops(work, "comparing releases", i, owner->count))
      return error_interrupted();
    if (heap->graph.type[object] != OBJECT_TABLE || heap->graph.flags[object] & OBJECT_DEAD ||
        table_load(&owner->vm, heap_address(heap, object), &table))
      continue;
    if (table.node_count > budget) break;
    budget -= table.node_count;
    if (!hash_part_vote(&owner->vm, &table, chains, votes)) return error_no_memory();
  }
  return NULL;
}

struct inspect_error *evidence_integer_hash(struct heap *heap, size_t index,
                                            const struct work *work, enum integer_hash *result) {
  struct heap_vm *owner = &heap->vms[index];
  *result = owner->vm.layout->integer_hash;
  if (*result != INTEGER_HASH_UNKNOWN) return NULL;
  struct hash_chains chains = {0};
  struct integer_votes votes = {0};
  struct inspect_error *error = count_votes(heap, owner, work, &chains, &votes);
  hash_chains_free(&chains);
  if (!error) *result = winner(&votes);
  return error;
}

enum stop_form evidence_stop_form(const struct layout *layout, enum integer_hash integers) {
  if (layout->stop_form != STOP_UNKNOWN || integers == INTEGER_HASH_UNKNOWN)
    return layout->stop_form;
  return integers == INTEGER_HASH_POWER ? STOP_RUNNING : STOP_BITS;
}
