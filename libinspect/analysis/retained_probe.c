/* retained_probe.c - first what the members dominate is listed: from the outermost of them down,
 * over references that stay within the interval of their preorder numbers. References that do not
 * lead to objects on the border. Then the roots are followed, last found first, whole rows at a
 * time (so that a large table that holds the border is read at once), until the border is seen.
 *
 * Why that is enough: a path that reaches an object which no member dominates, over members, leaves
 * what they dominate for the last time to an object on the border. From there on it needs none. */
#include "analysis/retained_probe.h"

#include <string.h>

#include "base/large.h"
#include "base/radix.h"
#include "base/vector.h"

enum {
  CHECK_EVERY = 1 << 14,
  OBJECTS_PER_STEP = 128,
  MOST_PASSES = 4,
  MOST_PAIRS = 1 << 16,
  FILTER_WORDS = 1 << 9
};

struct found VECTOR(object_id);

/* An object that holds something wanted. */
struct pair {
  object_id holder, held;
};

struct pairs VECTOR(struct pair);

struct probing {
  struct retained_probe *probe;
  struct bitset inside;    /* what the members dominate          */
  struct bitset border;    /* what that refers to, but for that  */
  struct bitset reached;   /* from the roots                     */
  struct found found;      /* objects whose rows are to be read  */
  struct radix_item *tops; /* members by preorder number         */
  size_t top_count;
  struct bitset wanted; /* whose holders are looked for      */
  struct pairs pairs;   /* found, but not reached so far      */
  uint64_t filter[FILTER_WORDS];
  uint64_t bytes, left, steps;
};

static bool takes_part(const struct probing *it, object_id object) {
  const struct dominators *dominators = it->probe->dominators;
  return (!dominators->live || bitset_has(dominators->live, object)) &&
         mask_enters(dominators->mask, object);
}

/* INTERRUPTED, or NULL; *goes_on is false if it takes too long. */
static struct inspect_error *spend(struct probing *it, object_id object, bool *goes_on) {
  struct retained_probe *probe = it->probe;
  const struct graph *graph = probe->holding->graph;
  uint64_t row = graph_first(graph, (uint64_t)object + 1) - graph_first(graph, object) + 1;
  *goes_on = row <= probe->budget;
  if (*goes_on) probe->budget -= row;
  if (++it->steps % CHECK_EVERY == 0 && work_stops(probe->work, "retained sizes", 0, 0))
    return error_interrupted();
  return NULL;
}

/* Members by preorder number; false if they dominate much. */
static struct inspect_error *sort_members(struct probing *it, const struct retained_set *set,
                                          bool *is_little) {
  enum { SHARE = 8 };
  const struct dominators *dominators = it->probe->dominators;
  uint64_t size = 0;
  uint32_t covered = 0;
  *is_little = set->count <= dominators->object_count / SHARE;
  if (!*is_little) return NULL;
  it->tops = large_alloc(set->count + 1, sizeof *it->tops);
  if (!it->tops) return error_no_memory();
  for (size_t i = 0; i < set->count; i++) {
    object_id object = set->objects[i];
    if (dominators->enter[object])
      it->tops[it->top_count++] =
          (struct radix_item){.low = dominators->enter[object], .value = object};
  }
  TRY(radix_sort_watched(it->tops, it->top_count, it->probe->work, "retained sizes"));
  for (size_t i = 0; i < it->top_count; i++) {
    if (it->tops[i].low <= covered) continue;
    covered = dominators->leave[it->tops[i].value];
    size += covered - it->tops[i].low + UINT64_C(1);
  }
  *is_little = size <= dominators->object_count / SHARE;
  return NULL;
}

/* Lists what one of the outermost members dominates, and the border of that. */
static struct inspect_error *list_inside(struct probing *it, object_id member, bool *goes_on) {
  const struct holding *holding = it->probe->holding;
  const struct dominators *dominators = it->probe->dominators;
  uint32_t from = dominators->enter[member], to = dominators->leave[member];
  if (!bitset_insert(&it->inside, member)) return NULL;
  if (!vector_push(&it->found, member)) return error_no_memory();
  while (it->found.count && *goes_on) {
    object_id object = it->found.items[--it->found.count];
    it->bytes += graph_bytes(holding->graph, object);
    TRY(spend(it, object, goes_on));
    struct held held = held_begin(holding, object);
    for (object_id target; held_next(holding, &held, &target);) {
      if (!takes_part(it, target) || !dominators->enter[target]) continue;
      if (dominators->enter[target] < from || dominators->enter[target] > to)
        bitset_add(&it->border, target);
      else if (bitset_insert(&it->inside, target) && !vector_push(&it->found, target))
        return error_no_memory();
    }
  }
  return NULL;
}

static bool reach(struct probing *it, object_id object) {
  if (bitset_has(&it->reached, object) || bitset_has(&it->inside, object) ||
      !takes_part(it, object))
    return true;
  bitset_add(&it->reached, object);
  it->left -= bitset_has(&it->border, object);
  return vector_push(&it->found, object);
}

static bool reach_roots(struct probing *it) {
  const struct graph *graph = it->probe->holding->graph;
  bool fits = true;
  for (size_t i = 0; fits && i < graph->root_count; i++)
    if (root_keeps(graph->roots[i].kind) && graph->roots[i].object < graph->object_count)
      fits = reach(it, graph->roots[i].object);
  for (uint32_t object = next_with_flags(graph, 0, OBJECT_FIXED);
       fits && object < graph->object_count;
       object = next_with_flags(graph, object + 1, OBJECT_FIXED))
    fits = reach(it, object);
  return fits;
}

static struct inspect_error *look_for_border(struct probing *it, bool *goes_on) {
  const struct holding *holding = it->probe->holding;
  if (!reach_roots(it)) return error_no_memory();
  uint64_t most_steps = holding->graph->object_count / OBJECTS_PER_STEP + 2;
  it->steps = 0;
  while (it->left && it->found.count && *goes_on && it->steps < most_steps) {
    object_id object = it->found.items[--it->found.count];
    TRY(spend(it, object, goes_on));
    struct held held = held_begin(holding, object);
    for (object_id target; held_next(holding, &held, &target);)
      if (!reach(it, target)) return error_no_memory();
  }
  return NULL;
}

/* Something that was wanted turns out to be reached. */
static void settle(struct probing *it, object_id object) {
  bitset_remove(&it->wanted, object);
  if (bitset_insert(&it->reached, object)) it->left -= bitset_has(&it->border, object);
}

/* What is wanted is little: a filter of its low bits stays in the nearest cache. */
static void fill_filter(struct probing *it) {
  memset(it->filter, 0, sizeof it->filter);
  for (uint64_t word = 0; word < it->wanted.size / 64 + 1; word++)
    it->filter[word % FILTER_WORDS] |= it->wanted.words[word];
}

static inline bool is_wanted(const struct probing *it, object_id object) {
  return (it->filter[(object >> 6) % FILTER_WORDS] >> (object & 63) & 1) &&
         bitset_has(&it->wanted, object);
}

/* Looks at who holds what is wanted. */
static struct inspect_error *pass(struct probing *it, bool *goes_on) {
  const struct holding *holding = it->probe->holding;
  uint32_t count = holding->graph->object_count;
  for (object_id object = 0; object < count && it->left; object++) {
    if (object % CHECK_EVERY == 0 && work_stops(it->probe->work, "retained sizes", object, count))
      return error_interrupted();
    struct held held = held_begin(holding, object);
    for (object_id target; held_next(holding, &held, &target);) {
      if (!is_wanted(it, target)) continue;
      if (!takes_part(it, object) || bitset_has(&it->inside, object)) break;
      if (bitset_has(&it->reached, object)) {
        settle(it, target);
        continue;
      }
      *goes_on = it->pairs.count < MOST_PAIRS;
      if (!*goes_on) return NULL;
      if (!vector_push(&it->pairs, ((struct pair){.holder = object, .held = target})))
        return error_no_memory();
    }
  }
  return NULL;
}

/* Settles what is held by what was reached since; wants the other holders. Whether there are any.
 */
static bool go_up(struct probing *it) {
  for (bool changes = true; changes;) {
    changes = false;
    for (size_t i = 0; i < it->pairs.count; i++) {
      const struct pair *pair = &it->pairs.items[i];
      if (!bitset_has(&it->reached, pair->holder) || bitset_has(&it->reached, pair->held)) continue;
      settle(it, pair->held);
      changes = true;
    }
  }
  bool found = false;
  for (uint64_t i = 0; i < it->wanted.size / 64 + 1; i++)
    it->wanted.words[i] = 0;
  for (size_t i = 0; i < it->pairs.count; i++) {
    object_id holder = it->pairs.items[i].holder;
    if (bitset_has(&it->reached, holder) || bitset_has(&it->reached, it->pairs.items[i].held))
      continue;
    bitset_add(&it->wanted, holder);
    found = true;
  }
  return found;
}

static struct inspect_error *look_for_holders(struct probing *it) {
  bool goes_on = true;
  if (!bitset_init(&it->wanted, it->border.size)) return error_no_memory();
  for (uint64_t i = 0; i < it->border.size / 64 + 1; i++)
    it->wanted.words[i] = it->border.words[i] & ~it->reached.words[i];
  for (unsigned passes = 0; goes_on && it->left && passes < MOST_PASSES; passes++) {
    uint64_t price = it->probe->holding->graph->reference_count;
    if (price > it->probe->budget) return NULL;
    it->probe->budget -= price;
    fill_filter(it);
    TRY(pass(it, &goes_on));
    if (goes_on) goes_on = go_up(it);
  }
  return NULL;
}

static struct inspect_error *run(struct probing *it, struct retained_set *set, bool *is_decided) {
  bool goes_on = true;
  uint32_t count = it->probe->holding->graph->object_count;
  TRY(sort_members(it, set, &goes_on));
  if (!goes_on) return NULL;
  if (!bitset_init(&it->inside, count) || !bitset_init(&it->border, count) ||
      !bitset_init(&it->reached, count))
    return error_no_memory();
  for (size_t i = 0; goes_on && i < it->top_count; i++)
    TRY(list_inside(it, it->tops[i].value, &goes_on));
  if (!goes_on) return NULL;
  it->found.count = 0;
  for (uint64_t i = 0; i < it->border.size / 64 + 1; i++)
    it->border.words[i] &= ~it->inside.words[i];
  it->left = bitset_count(&it->border);
  TRY(look_for_border(it, &goes_on));
  if (it->left && it->found.count) TRY(look_for_holders(it));
  *is_decided = !it->left;
  if (*is_decided) set->retained = it->bytes;
  return NULL;
}

struct inspect_error *retained_probe(struct retained_probe *probe, struct retained_set *set,
                                     bool *is_decided) {
  struct probing it = {.probe = probe};
  *is_decided = false;
  struct inspect_error *error = run(&it, set, is_decided);
  bitset_free(&it.inside);
  bitset_free(&it.border);
  bitset_free(&it.reached);
  bitset_free(&it.wanted);
  vector_free(&it.pairs);
  vector_free(&it.found);
  free(it.tops);
  return error;
}
