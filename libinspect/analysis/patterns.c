/* patterns.c - interned tokens and the trie of patterns.
 *
 * token_of_label is keyed by kind << 56 | position << 32 | object, where (position, object) is what
 * decides the token: the key string of a field, the type of a key object, the prototype of a Lua
 * function and the position in its row. Other labels (numbers, locals) are read each time. */
#include "analysis/patterns.h"

#include <string.h>

#include "analysis/label_order.h"

#define NOT_DECIDED UINT64_MAX

void patterns_init(struct patterns *patterns, const struct graph *graph) {
  *patterns = (struct patterns){.graph = graph};
  arena_init(&patterns->arena);
}

void patterns_free(struct patterns *patterns) {
  arena_free(&patterns->arena);
  vector_free(&patterns->scratch);
  vector_free(&patterns->tokens);
  vector_free(&patterns->nodes);
  number_map_free(&patterns->token_of_hash);
  number_map_free(&patterns->token_of_label);
  number_map_free(&patterns->roots);
  number_map_free(&patterns->children);
}

uint64_t patterns_hash(const char *text, size_t size) {
  uint64_t hash = UINT64_C(0xcbf29ce484222325);
  for (size_t i = 0; i < size; i++)
    hash = (hash ^ (unsigned char)text[i]) * UINT64_C(0x100000001b3);
  return hash;
}

/* ---- Tokens -----------------------------------------------------------------------------------
 */

/* The number of a text. */
static uint32_t intern(struct patterns *patterns, const char *text, size_t size) {
  uint64_t hash = patterns_hash(text, size);
  uint32_t first = number_map_get(&patterns->token_of_hash, hash);
  for (uint32_t i = first; i != NO_NUMBER; i = patterns->tokens.items[i].next) {
    const struct pattern_token *token = &patterns->tokens.items[i];
    if (token->size == size && (!size || !memcmp(token->text, text, size))) return i;
  }
  struct pattern_token token = {.text = arena_copy(&patterns->arena, text, size),
                                .size = size,
                                .next = first,
                                .repeated = NO_NUMBER};
  uint32_t number = (uint32_t)patterns->tokens.count;
  if (number >= NO_NUMBER - 1 || !token.text || !vector_push(&patterns->tokens, token) ||
      !number_map_set(&patterns->token_of_hash, hash, number))
    return NO_NUMBER;
  return number;
}

static uint32_t intern_string(struct patterns *patterns, const char *text) {
  return intern(patterns, text, strlen(text));
}

uint32_t patterns_word(struct patterns *patterns, const char *text) {
  return intern_string(patterns, text);
}

static uint32_t repeated_token(struct patterns *patterns, uint32_t token) {
  struct text *text = &patterns->scratch;
  text->count = 0;
  const struct pattern_token *once = &patterns->tokens.items[token];
  if (once->repeated != NO_NUMBER) return once->repeated;
  if (!text_add_string(text, "(") || !text_add(text, once->text, once->size) ||
      !text_add_string(text, ")+"))
    return NO_NUMBER;
  uint32_t repeated = intern(patterns, text->items, text->count);
  patterns->tokens.items[token].repeated = repeated;
  return repeated;
}

/* What decides the token of a reference, as a key of token_of_label. */
static uint64_t decisive(const struct graph *graph, object_id from, reference_id reference) {
  uint8_t kind = graph->kind[reference], type = graph->type[from];
  uint64_t key = (uint64_t)kind << 56;
  uint64_t position = reference - graph_first(graph, from);
  if (type == OBJECT_C_FUNCTION) return NOT_DECIDED;
  if (type == OBJECT_LUA_FUNCTION) {
    object_id prototype = label_prototype(graph, from);
    if (prototype == NO_OBJECT || position >= 1 << 24) return NOT_DECIDED;
    return key | position << 32 | prototype;
  }
  bool has_key = position > 0 && graph->kind[reference - 1] == REFERENCE_KEY;
  switch (kind) {
  case REFERENCE_FIELD:
    return has_key ? key | graph->target[reference - 1] : NOT_DECIDED;
  case REFERENCE_KEYED:
    return has_key ? key | graph->type[graph->target[reference - 1]] : NOT_DECIDED;
  case REFERENCE_INDEX:
  case REFERENCE_UPVALUE:
  case REFERENCE_STACK:
  case REFERENCE_MAYBE_STACK:
  case REFERENCE_OPEN_UPVALUE:
  case REFERENCE_USER_VALUE:
    return NOT_DECIDED;
  default:
    return key | UINT32_MAX;
  }
}

static bool add_function_name(struct patterns *patterns, object_id from) {
  const struct graph *graph = patterns->graph;
  if (graph->type[from] != OBJECT_LUA_FUNCTION && graph->type[from] != OBJECT_C_FUNCTION)
    return true;
  struct arena arena;
  arena_init(&arena);
  const char *name = graph->labels.function_name(graph->labels.context, from, &arena);
  bool ok = !name ||
            (text_add_string(&patterns->scratch, "@") && text_add_string(&patterns->scratch, name));
  arena_free(&arena);
  return ok;
}

uint32_t patterns_token(struct patterns *patterns, object_id from, reference_id reference) {
  uint64_t key = decisive(patterns->graph, from, reference);
  uint32_t token = NO_NUMBER;
  if (key != NOT_DECIDED) token = number_map_get(&patterns->token_of_label, key);
  if (token != NO_NUMBER) return token;
  patterns->scratch.count = 0;
  if (!add_function_name(patterns, from) ||
      !graph_token(patterns->graph, from, reference, &patterns->scratch))
    return NO_NUMBER;
  token = intern(patterns, patterns->scratch.items, patterns->scratch.count);
  if (token == NO_NUMBER || key == NOT_DECIDED) return token;
  return number_map_set(&patterns->token_of_label, key, token) ? token : NO_NUMBER;
}

bool patterns_reads(const struct patterns *patterns, object_id from, reference_id reference) {
  return decisive(patterns->graph, from, reference) == NOT_DECIDED;
}

/* ---- The trie ---------------------------------------------------------------------------------
 */

static uint32_t node(struct patterns *patterns, struct number_map *map, uint64_t key,
                     struct pattern_node node) {
  uint32_t number = number_map_get(map, key);
  if (number != NO_NUMBER) return number;
  number = (uint32_t)patterns->nodes.count;
  if (number >= NO_NUMBER - 1 || !vector_push(&patterns->nodes, node) ||
      !number_map_set(map, key, number))
    return NO_NUMBER;
  return number;
}

static const char *root_text(const struct graph_root *root) {
  static const char *const metatables[] = {
      "metatable of nil",       "metatable of booleans", "metatable of light userdata",
      "metatable of numbers",   "metatable of strings",  "metatable of tables",
      "metatable of functions", "metatable of userdata", "metatable of threads",
  };
  if (!root) return "start";
  switch (root->kind) {
  case ROOT_MAIN_THREAD:
    return "main thread";
  case ROOT_RUNNING_THREAD:
    return "running thread";
  case ROOT_REGISTRY:
    return "registry";
  case ROOT_PENDING:
    return "pending finalizer";
  case ROOT_GLOBALS:
    return "_G";
  case ROOT_LOADED:
    return "package.loaded";
  case ROOT_BASIC_METATABLE:
    if (root->index < sizeof metatables / sizeof *metatables) return metatables[root->index];
  }
  return "metatable";
}

uint32_t patterns_start(struct patterns *patterns, const struct graph_root *root) {
  uint32_t token = intern_string(patterns, root_text(root));
  if (token == NO_NUMBER) return NO_NUMBER;
  uint64_t key = (uint64_t)(root ? root->vm : UINT32_MAX) << 32 | token;
  return node(patterns, &patterns->roots, key, (struct pattern_node){NO_NUMBER, token, 0});
}

uint32_t patterns_extend(struct patterns *patterns, uint32_t pattern, uint32_t token) {
  if (!patterns->tokens.items[token].size) return pattern; /* from an upvalue to its value */
  struct pattern_node last = patterns->nodes.items[pattern];
  uint32_t repeated = patterns->tokens.items[token].repeated;
  if (repeated != NO_NUMBER && last.token == repeated) return pattern;
  if (last.length > PATTERN_LENGTH) return pattern;
  if (last.length == PATTERN_LENGTH)
    token = intern_string(patterns, "...");
  else if (last.token == token && last.parent != NO_NUMBER &&
           patterns->nodes.items[last.parent].token == token)
    token = repeated_token(patterns, token);
  if (token == NO_NUMBER) return NO_NUMBER;
  uint64_t key = (uint64_t)pattern << 32 | token;
  return node(patterns, &patterns->children, key,
              (struct pattern_node){pattern, token, last.length + 1});
}

bool patterns_text(const struct patterns *patterns, uint32_t pattern, struct text *text) {
  uint32_t tokens[PATTERN_LENGTH + 2], count = 0;
  for (uint32_t i = pattern; i != NO_NUMBER && count < PATTERN_LENGTH + 2; count++) {
    tokens[count] = patterns->nodes.items[i].token;
    i = patterns->nodes.items[i].parent;
  }
  while (count-- > 0) {
    const struct pattern_token *token = &patterns->tokens.items[tokens[count]];
    if (!text_add(text, token->text, token->size)) return false;
  }
  return true;
}
