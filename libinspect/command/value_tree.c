/* value_tree.c - reads values out of the target into a tree of bounded size.
 *
 * The first entries of a table are selected while all of them are looked at once, so that a table
 * of millions costs a pass over it and memory for what is shown. Recursion is bounded by the depth
 * that was asked for, never by the target. */
#include "command/value_tree.h"

#include <math.h>
#include <string.h>

#include "base/selection.h"
#include "lua/function.h"

enum { MOST_VALUES = 20000, WIDE_BYTES = 1 << 20, WORK_STEPS = 1 << 14 };
enum { MOST_BYTES = 16 << 20 };

/* Who asks for more entries than are good for a reader gets them, within reason. */
static uint64_t most_values(uint64_t limit) {
  enum { WITHIN_REASON = 2000000 };
  return limit < WITHIN_REASON / 2 ? 2 * limit : WITHIN_REASON;
}

void value_tree_init(struct value_tree *tree, struct command_context *context, uint64_t limit) {
  bool is_whole = context->options->wide || context->options->json;
  *tree = (struct value_tree){.lines = {.session = context->session, .arena = context->arena},
                              .work = context->work,
                              .document = context->document,
                              .limit = limit,
                              .longest = is_whole ? WIDE_BYTES : VALUE_LINE_BYTES,
                              .bytes_left = MOST_BYTES,
                              .left = limit > MOST_VALUES / 2 ? most_values(limit) : MOST_VALUES};
}

void value_tree_free(struct value_tree *tree) {
  number_map_free(&tree->opened);
  vector_free(&tree->tables);
  value_lines_free(&tree->lines);
}

/* ---- The order of keys -----------------------------------------------------------------------
 */

struct entry {
  struct lua_value key, value;
};

enum key_rank { KEY_NUMBER, KEY_STRING, KEY_BOOLEAN, KEY_LIGHT, KEY_OBJECT };

static enum key_rank rank_of(struct lua_value key) {
  if (value_is_object(key)) return value_is_string(key) ? KEY_STRING : KEY_OBJECT;
  switch (key.tag) {
  case TAG_INTEGER:
  case TAG_FLOAT:
    return KEY_NUMBER;
  case TAG_FALSE:
  case TAG_TRUE:
    return KEY_BOOLEAN;
  default:
    return KEY_LIGHT;
  }
}

static int compare_unsigned(uint64_t a, uint64_t b) { return (a > b) - (a < b); }

static int compare_doubles(double a, double b) {
  if (isnan(a) || isnan(b)) return (isnan(a) != 0) - (isnan(b) != 0);
  return (a > b) - (a < b);
}

/* An integer against a float, exactly. */
static int compare_mixed(int64_t a, double b) {
  if (isnan(b) || b >= 0x1p63) return -1;
  if (b < -0x1p63) return 1;
  int64_t whole = (int64_t)floor(b);
  if (a != whole) return a < whole ? -1 : 1;
  return b > (double)whole ? -1 : 0;
}

static int compare_numbers(const struct vm *vm, struct lua_value a, struct lua_value b) {
  bool a_is_integer = a.tag == TAG_INTEGER, b_is_integer = b.tag == TAG_INTEGER;
  if (a_is_integer && b_is_integer) {
    int64_t x = value_integer(vm, a), y = value_integer(vm, b);
    return (x > y) - (x < y);
  }
  if (a_is_integer) return compare_mixed(value_integer(vm, a), value_number(vm, b));
  if (b_is_integer) return -compare_mixed(value_integer(vm, b), value_number(vm, a));
  return compare_doubles(value_number(vm, a), value_number(vm, b));
}

static int compare_strings(struct vm *vm, uint64_t a, uint64_t b) {
  size_t a_size = 0, b_size = 0;
  const char *x = string_bytes(vm, a, &a_size), *y = string_bytes(vm, b, &b_size);
  if (!x || !y) return (x != NULL) - (y != NULL);
  size_t common = a_size < b_size ? a_size : b_size;
  int result = common ? memcmp(x, y, common) : 0;
  return result ? result : compare_unsigned(a_size, b_size);
}

static int compare_entries(const void *left, const void *right, void *context) {
  struct vm *vm = context;
  struct lua_value a = ((const struct entry *)left)->key, b = ((const struct entry *)right)->key;
  enum key_rank rank = rank_of(a);
  int result = (int)rank - (int)rank_of(b);
  if (result) return result;
  if (rank == KEY_NUMBER)
    result = compare_numbers(vm, a, b);
  else if (rank == KEY_STRING)
    result = compare_strings(vm, a.bits, b.bits);
  else if (a.tag != b.tag)
    result = a.tag < b.tag ? -1 : 1;
  return result ? result : compare_unsigned(a.bits, b.bits);
}

/* Offers all entries of a table. False: out of memory. */
static bool select_entries(struct value_tree *tree, struct vm *vm, const struct lua_table *table,
                           struct selection *selection) {
  uint64_t size = table->array_size + table->node_count;
  for (uint64_t i = 0; i < size; i++) {
    struct entry entry;
    if (i < table->array_size) {
      entry.key = (struct lua_value){.tag = TAG_INTEGER, .bits = i + 1};
      entry.value = table_array_value(vm, table, i);
    } else {
      table_entry(vm, table, i - table->array_size, &entry.key, &entry.value);
    }
    if (i % WORK_STEPS == 0 && work_stops(tree->work, "reading", i, size)) {
      tree->is_interrupted = true;
      break;
    }
    if (!value_is_empty(entry.value) && !selection_offer(selection, &entry)) return false;
  }
  selection_sort(selection, tree->work);
  return true;
}

/* ---- Strings -----------------------------------------------------------------------------------
 */

static const char *string_text(struct value_tree *tree, struct value_node *node) {
  size_t size = 0;
  const char *bytes = string_bytes(&node->owner->vm, node->value.bits, &size);
  if (!bytes) return value_line(&tree->lines, node->owner, node->value);
  bool is_spent = tree->bytes_left < size && tree->longest > VALUE_LINE_BYTES;
  size_t shown = text_cut(bytes, size, is_spent ? VALUE_LINE_BYTES : tree->longest);
  tree->bytes_left -= shown < tree->bytes_left ? shown : tree->bytes_left;
  node->shown = shown;
  node->is_cut = shown < size;
  node->total = size;
  return value_quote(tree->lines.arena, bytes, shown, size);
}

/* ---- Tables -----------------------------------------------------------------------------------
 */

static struct value_node *read_node(struct value_tree *tree, struct heap_vm *owner,
                                    struct lua_value value, uint64_t depth);

static bool read_entries(struct value_tree *tree, struct value_node *node,
                         const struct selection *selection, uint64_t depth) {
  const struct entry *found = selection->items;
  node->entries = arena_alloc(tree->lines.arena, (selection->count + 1) * sizeof *node->entries);
  if (!node->entries) return false;
  for (size_t i = 0; i < selection->count && tree->left; i++) {
    if (document_stops(tree->document, 0, 0)) {
      tree->is_interrupted = true;
      return true;
    }
    struct value_entry *entry = &node->entries[i];
    entry->key = read_node(tree, node->owner, found[i].key, 0);
    entry->value = read_node(tree, node->owner, found[i].value, depth - 1);
    if (!entry->key || !entry->value) return false;
    node->entry_count++;
  }
  if (node->entry_count < selection->count) tree->is_full = true;
  return true;
}

/* False: out of memory. A table that cannot be loaded is not opened, nor is one after an
 * interruption. */
static bool open_table(struct value_tree *tree, struct value_node *node, uint64_t depth) {
  struct vm *vm = &node->owner->vm;
  struct lua_table table;
  if (tree->is_interrupted || table_load(vm, node->value.bits, &table)) return true;
  if (!vector_push(&tree->tables, node) ||
      !number_map_set(&tree->opened, node->object, (uint32_t)tree->tables.count - 1))
    return false;
  struct selection selection;
  selection_init(&selection, sizeof(struct entry), tree->limit, compare_entries, vm);
  bool fits = select_entries(tree, vm, &table, &selection);
  node->total = selection.offered;
  node->text = NULL;
  fits = fits && read_entries(tree, node, &selection, depth);
  selection_free(&selection);
  return fits;
}

/* ---- Nodes ------------------------------------------------------------------------------------
 */

static bool is_table(const struct value_tree *tree, const struct value_node *node) {
  return node->object != NO_OBJECT &&
         tree->lines.session->heap.graph.type[node->object] == OBJECT_TABLE;
}

static struct value_node *read_node(struct value_tree *tree, struct heap_vm *owner,
                                    struct lua_value value, uint64_t depth) {
  struct value_node *node = arena_alloc(tree->lines.arena, sizeof *node);
  if (!node) return NULL;
  *node = (struct value_node){.owner = owner, .value = value, .object = NO_OBJECT};
  if (tree->left) tree->left--;
  if (value_is_object(value)) {
    node->object = heap_object_at(&tree->lines.session->heap, value.bits);
    if (node->object != NO_OBJECT) node->class = object_class(tree->lines.session, node->object);
  }
  uint32_t before = is_table(tree, node) ? number_map_get(&tree->opened, node->object) : NO_NUMBER;
  if (before != NO_NUMBER) {
    tree->tables.items[before]->is_repeated = true;
    node->is_named_above = true;
  } else if (is_table(tree, node) && depth && tree->left) {
    node->text = ""; /* stays if the table cannot be loaded */
    if (!open_table(tree, node, depth)) return NULL;
    if (!node->text) return node;
  }
  node->is_string = value_is_sound(value) && value_is_object(value) && value_is_string(value);
  node->text = node->is_string ? string_text(tree, node) : value_line(&tree->lines, owner, value);
  return node->text ? node : NULL;
}

struct value_node *value_tree_read(struct value_tree *tree, struct heap_vm *owner,
                                   struct lua_value value, uint64_t depth) {
  return read_node(tree, owner, value, depth < DEEPEST_VALUE_TREE ? depth : DEEPEST_VALUE_TREE);
}
