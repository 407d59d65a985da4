/* value_data.c - a tree of values for programs. Every node has the text that a page shows, so that
 * a reader need not know how Lua writes a value. */
#include "command/value_tree.h"

static const char *type_word(const struct value_tree *tree, const struct value_node *node) {
  if (node->object != NO_OBJECT)
    return object_type_name((enum object_type)tree->lines.session->heap.graph.type[node->object]);
  if (value_is_object(node->value) || !value_is_sound(node->value)) return "unreadable";
  return value_type_name(node->value);
}

static void plain_to_data(struct data *data, const struct value_node *node) {
  const struct vm *vm = &node->owner->vm;
  switch (node->value.tag) {
  case TAG_FALSE:
  case TAG_TRUE:
    data_cell(data, "value", cell_boolean(node->value.tag == TAG_TRUE));
    break;
  case TAG_INTEGER:
    data_cell(data, "value", cell_integer(value_integer(vm, node->value)));
    break;
  case TAG_FLOAT:
    data_cell(data, "value", cell_number(value_number(vm, node->value)));
    break;
  case TAG_LIGHT_USERDATA:
  case TAG_LIGHT_FUNCTION:
    data_cell(data, "value", cell_address(node->value.bits));
    break;
  default:
    break;
  }
}

static void string_to_data(struct data *data, const struct value_node *node) {
  size_t size = 0;
  const char *bytes = string_bytes(&node->owner->vm, node->value.bits, &size);
  data_cell(data, "value", cell_bare(bytes, node->shown));
  data_cell(data, "length", cell_count(node->total));
  data_cell(data, "cut", cell_boolean(node->is_cut));
}

void value_to_data(struct value_tree *tree, struct data *parent, const char *key,
                   const struct value_node *node) {
  struct data *data = data_object(parent, key);
  data_cell(data, "type", cell_words(type_word(tree, node)));
  if (node->text && !node->is_string) data_cell(data, "text", cell_words(node->text));
  if (!value_is_object(node->value)) {
    plain_to_data(data, node);
    return;
  }
  if (node->is_string) string_to_data(data, node);
  data_cell(data, "address", cell_address(node->value.bits));
  if (node->class) data_cell(data, "class", cell_words(node->class));
  if (node->text) return;
  data_cell(data, "count", cell_count(node->total));
  struct data *entries = data_array(data, "entries");
  for (size_t i = 0; i < node->entry_count && !document_stops(tree->document, 0, 0); i++) {
    struct data *entry = data_object(entries, NULL);
    value_to_data(tree, entry, "key", node->entries[i].key);
    value_to_data(tree, entry, "value", node->entries[i].value);
  }
}
