/* parts.h - the inside of a document, for document.c that builds it and the renderers that read it.
 *
 * Everything is a singly linked list in the order of addition. A builder function that finds no
 * memory marks the pool as failed and returns NULL; every builder function takes NULL as "nothing
 * to add to", so a command may go on without looking. */
#ifndef REPORT_PARTS_H
#define REPORT_PARTS_H

#include "report/document.h"

/* Where the parts live: the document's memory, or that of one lazily made row. */
struct pool {
  struct arena arena;
  bool failed; /* memory ran out: something is missing */
};

enum data_kind { DATA_CELL, DATA_OBJECT, DATA_ARRAY, DATA_ROWS, DATA_PARTIAL };

struct data {
  enum data_kind kind;
  const char *key; /* NULL inside arrays */
  struct data *next;
  struct pool *pool;
  union {
    struct cell cell;
    struct {
      struct data *first, *last;
    } members; /* OBJECT, ARRAY */
    struct {
      size_t count;
      void (*row)(void *context, size_t index, struct data *object);
      void *context;
    } rows;
    const struct document *partial;
  };
};

/* An empty object whose members go into `pool`. */
void data_init(struct data *object, struct pool *pool);

enum item_kind { ITEM_LINE, ITEM_TABLE, ITEM_CHAIN };

/* One element of the page: the first member of a line, a table or a chain. */
struct item {
  enum item_kind kind;
  unsigned indent;
  struct item *next;
  struct pool *pool;
};

enum span_kind {
  SPAN_PROSE, /* words: wrapped at blanks     */
  SPAN_CELL,  /* a value: kept on one row     */
  SPAN_TAB,   /* blanks up to `column`        */
};

struct span {
  struct span *next;
  enum span_kind kind;
  enum style style;
  struct cell cell;
  unsigned column;
};

struct line {
  struct item item;
  struct span *first, *last;
};

struct table_column {
  struct table_column *next;
  const char *heading;
};

struct table_cell {
  struct table_cell *next;
  struct cell cell;
};

struct table_row {
  struct table_row *next;
  struct table_cell *first, *last;
};

struct table {
  struct item item;
  size_t column_count;
  struct table_column *first_column, *last_column;
  struct table_row *first_row, *last_row;
};

struct chain_step {
  struct chain_step *next;
  const char *label, *note; /* note: NULL if there is none */
  bool joins, suspect;
};

struct chain_view {
  struct item item;
  struct chain_step *first, *last;
  struct chain_step *leaf;
  struct item *first_line, *last_line; /* below the leaf */
};

struct document {
  struct pool pool;
  struct data *data;
  struct item *first, *last;
  struct line *closing; /* NULL: none */
  const struct work *work;
  size_t done, total; /* of the rows under way */
  bool is_partial, is_stopped;
};

#endif
