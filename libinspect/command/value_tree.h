/* value_tree.h - a Lua value and what is in it, read down to a depth: what `print` shows.
 *
 * A node is a value. Tables are opened down to the depth, each once and where it is met first;
 * everything else that is an object, and a table that was opened before, is named with its address.
 * The tree is bounded three ways: by depth, by entries of one table, and by values altogether;
 * strings are cut. What is left out is counted.
 *
 * The written form is Lua's own syntax, with `<table, 3 entries, 0x55d0c0ffee>` where Lua has none.
 * Entries come in a fixed order: number keys by value, then strings byte by byte, booleans, light
 * userdata and C functions, and objects by type and address. */
#ifndef COMMAND_VALUE_TREE_H
#define COMMAND_VALUE_TREE_H

#include "command/value_line.h"

enum { DEEPEST_VALUE_TREE = 30 }; /* the functions on trees are recursive */

struct value_node {
  struct heap_vm *owner;
  struct lua_value value;
  object_id object;    /* NO_OBJECT: no object, or one that is not known          */
  const char *text;    /* the value written out; NULL: a table that is opened     */
  const char *class;   /* of an object: the name of its class, escaped; or NULL   */
  bool is_repeated;    /* opened here, and named elsewhere                        */
  bool is_named_above; /* a table that is opened elsewhere                        */
  bool is_string;
  bool is_cut; /* one that is not shown whole, but so many bytes:    */
  size_t shown;
  struct value_entry {
    struct value_node *key, *value;
  } * entries;
  size_t entry_count; /* that are shown                                          */
  uint64_t total;     /* entries of a table, length of a string                  */
  uint32_t columns;   /* of the value on one line; 0: it takes several           */
};

struct value_tree {
  struct value_lines lines;
  const struct work *work;
  struct document *document;
  uint64_t limit;           /* entries of one table                                   */
  size_t longest;           /* bytes of a string                                      */
  uint64_t bytes_left;      /* of all strings together, for those longer than a line  */
  uint64_t left;            /* values that may still be read                          */
  struct number_map opened; /* object -> position in `tables`                       */
  struct VECTOR(struct value_node *) tables;
  bool is_interrupted; /* `work` stopped it: entries are missing                 */
  bool is_full;        /* `left` ran out                                         */
};

void value_tree_init(struct value_tree *tree, struct command_context *context, uint64_t limit);
void value_tree_free(struct value_tree *tree);

/* Reads a value; tables are opened `depth` levels down (at most DEEPEST_VALUE_TREE), 0: none. The
 * node lives in the arena; NULL when memory is out. */
struct value_node *value_tree_read(struct value_tree *tree, struct heap_vm *owner,
                                   struct lua_value value, uint64_t depth);

/* Adds a node to the page at `indent`, as `before` = value `after`; `before` may be empty. Measures
 * the tree: call it when all of it was read. (value_page.c) */
void value_to_page(struct command_context *context, struct value_node *node, unsigned indent,
                   const char *before, const char *after);

/* Adds a node as an object: type, and as it applies value, text, address, class, length, count,
 * entries. (value_data.c) */
void value_to_data(struct value_tree *tree, struct data *parent, const char *key,
                   const struct value_node *node);

#endif
