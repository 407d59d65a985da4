/* chain_graph.h - graphs whose objects have letters, for tests of chains and causes.
 *
 * A graph is kept as lists, so that it can be built with its objects in any order (what is found
 * must not depend on ids) and so that models need not look at the graph under test. */
#ifndef CHAIN_GRAPH_H
#define CHAIN_GRAPH_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "analysis/chains.h"

enum { HAND_OBJECTS = 96, HAND_REFERENCES = 512, HAND_ROOTS = 8 };

struct hand_reference {
  uint32_t from, to; /* positions in objects; also the numbers that models use */
  enum reference_kind kind;
  const char *label;
  int64_t integer;
};

struct hand {
  struct {
    char letter;
    enum object_type type;
    uint8_t flags;
    const char *name;
  } objects[HAND_OBJECTS];
  uint32_t object_count;
  struct hand_reference references[HAND_REFERENCES];
  uint32_t reference_count;
  struct {
    enum root_kind kind;
    uint32_t object;
  } roots[HAND_ROOTS];
  uint32_t root_count;

  struct graph *graph;
  object_id id[HAND_OBJECTS];    /* position in objects -> id  */
  uint32_t number[HAND_OBJECTS]; /* id -> position in objects  */
  struct bitset barred, survivors, targets, avoid;
  struct graph_mask mask;
  struct chains_options options;
};

static inline uint32_t hand_number(const struct hand *hand, char letter) {
  for (uint32_t i = 0; i < hand->object_count; i++)
    if (hand->objects[i].letter == letter) return i;
  fail_msg("no object '%c'", letter);
  return 0;
}

static inline void hand_add(struct hand *hand, char letter, enum object_type type, uint8_t flags) {
  assert_true(hand->object_count < HAND_OBJECTS);
  hand->objects[hand->object_count].letter = letter;
  hand->objects[hand->object_count].type = type;
  hand->objects[hand->object_count++].flags = flags;
}

static inline void hand_name(struct hand *hand, char letter, const char *name) {
  hand->objects[hand_number(hand, letter)].name = name;
}

static inline void hand_refer(struct hand *hand, char from, enum reference_kind kind,
                              const char *label, int64_t integer, char to) {
  assert_true(hand->reference_count < HAND_REFERENCES);
  hand->references[hand->reference_count++] =
      (struct hand_reference){hand_number(hand, from), hand_number(hand, to), kind, label, integer};
}

static inline void hand_root(struct hand *hand, enum root_kind kind, char object) {
  assert_true(hand->root_count < HAND_ROOTS);
  hand->roots[hand->root_count].kind = kind;
  hand->roots[hand->root_count++].object = hand_number(hand, object);
}

/* Tables A B C ... and G, which is _G. */
static inline void hand_tables(struct hand *hand, const char *letters) {
  *hand = (struct hand){0};
  hand_add(hand, 'G', OBJECT_TABLE, 0);
  hand_root(hand, ROOT_GLOBALS, 'G');
  for (; *letters; letters++)
    hand_add(hand, *letters, OBJECT_TABLE, 0);
}

static inline void hand_field(struct hand *hand, char from, const char *name, char to) {
  hand_refer(hand, from, REFERENCE_FIELD, name, 0, to);
}

/* Builds the graph; object i gets the id order[i] (NULL: i). */
static inline void hand_build(struct hand *hand, const uint32_t *order) {
  struct graph_builder *builder = graph_builder_create();
  assert_non_null(builder);
  for (uint32_t i = 0; i < hand->object_count; i++) {
    hand->id[i] = order ? order[i] : i;
    hand->number[hand->id[i]] = i;
  }
  for (uint32_t id = 0; id < hand->object_count; id++) {
    uint32_t i = hand->number[id];
    assert_true(graph_builder_object(builder, hand->objects[i].type, hand->objects[i].flags, 10));
    if (hand->objects[i].name) assert_true(graph_builder_name(builder, id, hand->objects[i].name));
  }
  for (uint32_t i = 0; i < hand->reference_count; i++) {
    const struct hand_reference *reference = &hand->references[i];
    assert_true(graph_builder_reference(builder, hand->id[reference->from], reference->kind,
                                        hand->id[reference->to], reference->label,
                                        reference->integer));
  }
  for (uint32_t i = 0; i < hand->root_count; i++)
    assert_true(graph_builder_root(builder, hand->roots[i].kind, hand->id[hand->roots[i].object]));
  hand->graph = graph_builder_finish(builder);
  assert_non_null(hand->graph);
  assert_true(bitset_init(&hand->barred, hand->object_count));
  assert_true(bitset_init(&hand->survivors, hand->object_count));
  assert_true(bitset_init(&hand->targets, hand->object_count));
  assert_true(bitset_init(&hand->avoid, hand->object_count));
  hand->mask = (struct graph_mask){.avoid = &hand->avoid, .kinds = ALL_KINDS};
  hand->options = (struct chains_options){.barred = &hand->barred, .survivors = &hand->survivors};
}

static inline object_id hand_id(const struct hand *hand, char letter) {
  return hand->id[hand_number(hand, letter)];
}

static inline void hand_mark(const struct hand *hand, struct bitset *set, const char *letters) {
  for (; *letters; letters++)
    bitset_add(set, hand_id(hand, *letters));
}

static inline void hand_free(struct hand *hand) {
  graph_builder_free_graph(hand->graph);
  bitset_free(&hand->barred);
  bitset_free(&hand->survivors);
  bitset_free(&hand->targets);
  bitset_free(&hand->avoid);
}

/* The objects of a chain by letter. */
static inline const char *hand_letters(const struct hand *hand, const struct chain *chain) {
  static char text[HAND_OBJECTS + 1];
  assert_in_range(chain->count, 1, HAND_OBJECTS);
  for (size_t i = 0; i < chain->count; i++) {
    text[i] = hand->objects[hand->number[chain->items[i].object]].letter;
    reference_id reference = chain->items[i].reference;
    if (i == 0) {
      assert_true(reference == NO_REFERENCE);
    } else {
      assert_int_equal(hand->graph->target[reference], chain->items[i].object);
      assert_int_equal(graph_owner(hand->graph, reference), chain->items[i - 1].object);
    }
  }
  text[chain->count] = 0;
  return text;
}

/* The tokens of a chain, numbers and all, to compare graphs that differ in ids only. */
static inline void hand_spell(const struct hand *hand, const struct chain *chain,
                              struct text *text) {
  assert_true(text_printf(text, "root %u", chain->root));
  for (size_t i = 1; i < chain->count; i++) {
    object_id from = chain->items[i - 1].object;
    reference_id reference = chain->items[i].reference;
    assert_true(graph_token(hand->graph, from, reference, text));
    assert_true(text_printf(text, "#%u ", (unsigned)(reference - graph_first(hand->graph, from))));
  }
}

/* xorshift */
static inline uint32_t hand_random(uint64_t *state, uint32_t below) {
  *state ^= *state << 13;
  *state ^= *state >> 7;
  *state ^= *state << 17;
  return (uint32_t)((*state >> 20) % below);
}

/* A permutation of the objects. */
static inline void hand_shuffle(const struct hand *hand, uint64_t *state, uint32_t *order) {
  for (uint32_t i = 0; i < hand->object_count; i++)
    order[i] = i;
  for (uint32_t i = hand->object_count; i > 1; i--) {
    uint32_t j = hand_random(state, i), moved = order[i - 1];
    order[i - 1] = order[j];
    order[j] = moved;
  }
}

static inline uint32_t hand_row_size(const struct hand *hand, uint32_t object) {
  uint32_t size = 0;
  for (uint32_t i = 0; i < hand->reference_count; i++)
    size += hand->references[i].from == object;
  return size;
}

/* A random graph of tables (some weak), functions, upvalues, threads, prototypes, userdata and
 * strings, with labels from a small set so that ties are frequent. */
static inline void hand_randomise(struct hand *hand, uint64_t *state, uint32_t objects,
                                  uint32_t references) {
  static const enum object_type types[] = {
      OBJECT_TABLE,   OBJECT_TABLE,  OBJECT_TABLE,     OBJECT_TABLE,  OBJECT_LUA_FUNCTION,
      OBJECT_UPVALUE, OBJECT_THREAD, OBJECT_PROTOTYPE, OBJECT_STRING, OBJECT_USERDATA};
  static const char *const names[] = {"a", "b", "c", "a b"};
  *hand = (struct hand){0};
  for (uint32_t i = 0; i < objects; i++) {
    enum object_type type = i ? types[hand_random(state, 10)] : OBJECT_TABLE;
    uint8_t flags = 0;
    if (type == OBJECT_TABLE && i && !hand_random(state, 3)) flags = (uint8_t)hand_random(state, 4);
    hand_add(hand, (char)('0' + i), type, flags);
  }
  for (uint32_t n = 0; n < references; n++) {
    uint32_t from = hand_random(state, objects), to = hand_random(state, objects);
    const char *name = names[hand_random(state, 4)];
    char f = (char)('0' + from), t = (char)('0' + to);
    int64_t integer = 1 + hand_random(state, 3);
    switch (hand->objects[from].type) {
    case OBJECT_TABLE:
      switch (hand_random(state, 5)) {
      case 0:
        hand_refer(hand, f, REFERENCE_INDEX, NULL, integer, t);
        break;
      case 1:
        hand_refer(hand, f, REFERENCE_METATABLE, NULL, 0, t);
        break;
      case 2: {
        uint32_t key = hand_random(state, objects);
        hand_refer(hand, f, REFERENCE_KEY, NULL, 0, (char)('0' + key));
        if (hand->objects[key].type != OBJECT_STRING)
          hand_refer(hand, f, REFERENCE_KEYED, NULL, 0, t);
        else
          hand_refer(hand, f, REFERENCE_FIELD, name, 0, t);
        break;
      }
      default:
        if (!hand->objects[from].flags) hand_field(hand, f, name, t);
      }
      break;
    case OBJECT_LUA_FUNCTION:
      /* closures of one prototype have the same names in the same order */
      if (hand_random(state, 3))
        hand_refer(hand, f, REFERENCE_UPVALUE, names[hand_row_size(hand, from) % 4], 0, t);
      else
        hand_refer(hand, f, REFERENCE_PROTOTYPE, NULL, 0, t);
      break;
    case OBJECT_UPVALUE:
      hand_refer(hand, f, REFERENCE_UPVALUE_VALUE, NULL, 0, t);
      break;
    case OBJECT_THREAD: {
      static const enum reference_kind kinds[] = {REFERENCE_STACK, REFERENCE_MAYBE_STACK,
                                                  REFERENCE_OPEN_UPVALUE, REFERENCE_ENVIRONMENT};
      enum reference_kind kind = kinds[hand_random(state, 4)];
      hand_refer(hand, f, kind, kind == REFERENCE_ENVIRONMENT ? NULL : name, 0, t);
      break;
    }
    case OBJECT_PROTOTYPE:
      hand_refer(hand, f, REFERENCE_CONSTANT, NULL, 0, t);
      break;
    case OBJECT_USERDATA:
      hand_refer(hand, f, REFERENCE_USER_VALUE, NULL, integer, t);
      break;
    default:
      break;
    }
  }
  static const enum root_kind kinds[] = {ROOT_GLOBALS, ROOT_LOADED,         ROOT_REGISTRY,
                                         ROOT_PENDING, ROOT_RUNNING_THREAD, ROOT_MAIN_THREAD};
  uint32_t roots = 1 + hand_random(state, 4);
  for (uint32_t i = 0; i < roots; i++)
    hand_root(hand, kinds[hand_random(state, 6)],
              (char)('0' + (i ? hand_random(state, objects) : 0)));
}

/* Random barred objects, survivors, avoided ones. */
static inline void hand_restrict(struct hand *hand, uint64_t *state) {
  uint32_t survivors = hand_random(state, 3) ? hand_random(state, 5) : 0;
  for (uint32_t i = 0; i < hand->object_count; i++) {
    bool is_table = hand->objects[i].type == OBJECT_TABLE;
    if (is_table && hand_random(state, 10) < survivors) bitset_add(&hand->survivors, hand->id[i]);
    if (!hand_random(state, 20)) bitset_add(&hand->barred, hand->id[i]);
    if (!hand_random(state, 20)) bitset_add(&hand->avoid, hand->id[i]);
  }
  if (hand_random(state, 2)) hand->options.mask = &hand->mask;
  if (!hand_random(state, 4)) hand->mask.kinds &= ~(UINT32_C(1) << hand_random(state, 16));
}

static inline void hand_search(struct hand *hand, struct chains *chains) {
  assert_null(chains_search(hand->graph, &hand->options, NULL, chains));
}

/* How many labels were read since: of one graph at a time. */
static size_t hand_labels_read;
static void (*hand_label)(void *, object_id, reference_id, struct arena *, struct graph_label *);

static inline void hand_read_label(void *context, object_id from, reference_id reference,
                                   struct arena *arena, struct graph_label *label) {
  hand_labels_read++;
  hand_label(context, from, reference, arena, label);
}

static inline void hand_count_labels(struct graph *graph) {
  hand_label = graph->labels.label;
  graph->labels.label = hand_read_label;
  hand_labels_read = 0;
}

#endif
