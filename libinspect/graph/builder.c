/* builder.c - graphs written by hand, for tests and synthetic heaps.
 *
 * References are gathered in the order they are given and sorted into rows by counting, which keeps
 * the order within a row. Labels stay in the builder's arena and are the graph's label source. */
#include <stdlib.h>
#include <string.h>

#include "base/vector.h"
#include "graph/graph.h"

struct hand_object {
  enum object_type type;
  uint8_t flags;
  uint64_t bytes;
  const char *name; /* NULL: none */
};

struct hand_reference {
  object_id from, to;
  enum reference_kind kind;
  const char *label; /* NULL: none */
  int64_t integer;
};

struct graph_builder {
  struct hand_objects VECTOR(struct hand_object) objects;
  struct hand_references VECTOR(struct hand_reference) references;
  struct hand_roots VECTOR(struct graph_root) roots;
  struct arena arena;
};

/* The graph and what its label source needs: the references again, in row order. */
struct hand_graph {
  struct graph graph; /* first, so that a pointer to it is a pointer to the whole */
  struct hand_object *objects;
  struct hand_reference *references;
  struct arena arena;
};

struct graph_builder *graph_builder_create(void) {
  struct graph_builder *builder = calloc(1, sizeof *builder);
  if (builder) arena_init(&builder->arena);
  return builder;
}

bool graph_builder_object(struct graph_builder *builder, enum object_type type, uint8_t flags,
                          uint64_t bytes) {
  struct hand_object object = {.type = type, .flags = flags, .bytes = bytes};
  return builder->objects.count < NO_OBJECT - 1 && vector_push(&builder->objects, object);
}

bool graph_builder_reference(struct graph_builder *builder, object_id from,
                             enum reference_kind kind, object_id to, const char *label,
                             int64_t integer) {
  struct hand_reference reference = {.from = from, .to = to, .kind = kind, .integer = integer};
  if (label && !(reference.label = arena_copy(&builder->arena, label, strlen(label)))) return false;
  return vector_push(&builder->references, reference);
}

bool graph_builder_root(struct graph_builder *builder, enum root_kind kind, object_id object) {
  struct graph_root root = {.object = object, .kind = kind};
  return vector_push(&builder->roots, root);
}

bool graph_builder_name(struct graph_builder *builder, object_id object, const char *text) {
  if (object >= builder->objects.count) return false;
  const char *copy = arena_copy(&builder->arena, text, strlen(text));
  if (!copy) return false;
  builder->objects.items[object].name = copy;
  return true;
}

static const char *string_text(void *context, object_id object, size_t *size) {
  const struct hand_object *hand = &((const struct hand_graph *)context)->objects[object];
  if (hand->type != OBJECT_STRING || !hand->name) return NULL;
  *size = strlen(hand->name);
  return hand->name;
}

static const char *function_name(void *context, object_id object, struct arena *arena) {
  (void)arena; /* the builder's own lives as long as the graph */
  const struct hand_object *hand = &((const struct hand_graph *)context)->objects[object];
  bool is_function = hand->type == OBJECT_LUA_FUNCTION || hand->type == OBJECT_C_FUNCTION;
  return is_function ? hand->name : NULL;
}

static uint64_t address(void *context, object_id object) {
  (void)context;
  return 16 * ((uint64_t)object + 1);
}

static void label_with_text(struct graph_label *label, const char *text, size_t size) {
  label->form = LABEL_TEXT;
  label->text = text;
  label->size = size;
}

static void label_of(void *context, object_id from, reference_id reference, struct arena *arena,
                     struct graph_label *label) {
  (void)arena;
  const struct hand_graph *hand = context;
  const struct hand_reference *written = &hand->references[reference];
  *label = (struct graph_label){.kind = written->kind, .object = NO_OBJECT};
  bool has_key = reference > graph_first(&hand->graph, from) &&
                 hand->graph.kind[reference - 1] == REFERENCE_KEY;
  object_id key = has_key ? hand->graph.target[reference - 1] : NO_OBJECT;
  size_t size;
  const char *text;
  if (written->label) {
    label_with_text(label, written->label, strlen(written->label));
  } else if (written->kind == REFERENCE_KEYED) {
    label->form = LABEL_OBJECT;
    label->object = key;
  } else if (written->kind == REFERENCE_FIELD) {
    if (has_key && (text = string_text(context, key, &size))) label_with_text(label, text, size);
  } else if (written->integer || written->kind == REFERENCE_INDEX) {
    label->form = LABEL_INTEGER;
    label->integer = written->integer;
  }
}

/* What has an integer, in order, may as well lie in the array part. */
static uint64_t elements(void *context, object_id table) {
  const struct hand_graph *hand = context;
  const struct graph *graph = &hand->graph;
  reference_id first = graph_first(graph, table), end = graph_first(graph, (uint64_t)table + 1);
  if (first < end && graph->kind[first] == REFERENCE_METATABLE) first++;
  reference_id next = first;
  for (int64_t last = 0; next < end && graph->kind[next] == REFERENCE_INDEX; next++) {
    const struct hand_reference *written = &hand->references[next];
    if (written->label || written->integer <= last) break;
    last = written->integer;
  }
  return next - first;
}

static bool allocate(struct hand_graph *hand, const struct graph_builder *builder) {
  struct graph *graph = &hand->graph;
  size_t objects = builder->objects.count, references = builder->references.count;
  graph->object_count = (uint32_t)objects;
  graph->reference_count = references;
  graph->root_count = builder->roots.count;
  graph->type = calloc(objects + 1, sizeof *graph->type);
  graph->flags = calloc(objects + 1, sizeof *graph->flags);
  graph->bytes = calloc(objects + 1, sizeof *graph->bytes);
  graph->block_first = calloc((objects >> 16) + 1, sizeof *graph->block_first);
  graph->first = calloc(objects + 1, sizeof *graph->first);
  graph->target = calloc(references + 1, sizeof *graph->target);
  graph->kind = calloc(references + 1, sizeof *graph->kind);
  graph->roots = calloc(graph->root_count + 1, sizeof *graph->roots);
  hand->references = calloc(references + 1, sizeof *hand->references);
  return graph->type && graph->flags && graph->bytes && graph->block_first && graph->first &&
         graph->target && graph->kind && graph->roots && hand->references;
}

static bool fill_objects(struct hand_graph *hand, const struct graph_builder *builder) {
  struct graph *graph = &hand->graph;
  for (object_id object = 0; object < graph->object_count; object++) {
    const struct hand_object *written = &builder->objects.items[object];
    graph->type[object] = (uint8_t)written->type;
    graph->flags[object] = written->flags;
    bool is_big = written->bytes >= BIG_OBJECT;
    graph->bytes[object] = is_big ? (uint16_t)BIG_OBJECT : (uint16_t)written->bytes;
    if (!is_big) continue;
    struct graph_big *big = realloc(graph->big, (graph->big_count + 1) * sizeof *big);
    if (!big) return false;
    big[graph->big_count++] = (struct graph_big){object, written->bytes};
    graph->big = big;
  }
  return true;
}

/* Counting sort. `next` has room for object_count + 1 numbers, all 0. */
static bool fill_rows(struct hand_graph *hand, const struct graph_builder *builder,
                      uint64_t *next) {
  struct graph *graph = &hand->graph;
  for (size_t i = 0; i < graph->reference_count; i++) {
    const struct hand_reference *written = &builder->references.items[i];
    if (written->from >= graph->object_count || written->to >= graph->object_count) return false;
    next[written->from + 1]++;
  }
  for (uint64_t object = 0; object <= graph->object_count; object++) {
    if (object) next[object] += next[object - 1];
    if (!(object & 0xffff)) graph->block_first[object >> 16] = next[object];
    uint64_t rest = next[object] - graph->block_first[object >> 16];
    if (rest > UINT32_MAX) return false;
    graph->first[object] = (uint32_t)rest;
  }
  for (size_t i = 0; i < graph->reference_count; i++) {
    const struct hand_reference *written = &builder->references.items[i];
    uint64_t position = next[written->from]++;
    graph->target[position] = written->to;
    graph->kind[position] = (uint8_t)written->kind;
    hand->references[position] = *written;
  }
  return true;
}

static bool fill_roots(struct graph *graph, const struct graph_builder *builder) {
  for (size_t i = 0; i < graph->root_count; i++) {
    graph->roots[i] = builder->roots.items[i];
    if (graph->roots[i].object >= graph->object_count) return false;
  }
  return true;
}

static bool fill(struct hand_graph *hand, const struct graph_builder *builder) {
  uint64_t *next = calloc(builder->objects.count + 2, sizeof *next);
  bool done = next && allocate(hand, builder) && fill_objects(hand, builder) &&
              fill_rows(hand, builder, next) && fill_roots(&hand->graph, builder);
  free(next);
  return done;
}

struct graph *graph_builder_finish(struct graph_builder *builder) {
  struct hand_graph *hand = calloc(1, sizeof *hand);
  bool done = hand && fill(hand, builder);
  if (hand) { /* the graph takes over what its labels need */
    hand->objects = builder->objects.items;
    hand->arena = builder->arena;
    hand->graph.labels = (struct graph_label_source){
        .context = hand,
        .label = label_of,
        .function_name = function_name,
        .string = string_text,
        .address = address,
        .elements = elements,
    };
  } else {
    vector_free(&builder->objects);
    arena_free(&builder->arena);
  }
  vector_free(&builder->references);
  vector_free(&builder->roots);
  free(builder);
  if (done) return &hand->graph;
  if (hand) graph_builder_free_graph(&hand->graph);
  return NULL;
}

void graph_builder_free_graph(struct graph *graph) {
  if (!graph) return;
  struct hand_graph *hand = (struct hand_graph *)graph;
  graph_free(graph);
  free(hand->objects);
  free(hand->references);
  arena_free(&hand->arena);
  free(hand);
}
