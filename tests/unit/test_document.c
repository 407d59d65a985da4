/* test_document.c - building documents: copies, order, and memory that runs out at every point.
 *
 * Linked with --wrap=calloc and --wrap=realloc, through which the tests let allocations fail. */
#include "rendering.h"

#include <stdio.h>

void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *memory, size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *memory, size_t size);

static size_t allocations_left = SIZE_MAX; /* then one fails, those after it succeed */

static bool allocation_fails(void) {
  if (allocations_left == SIZE_MAX) return false;
  return allocations_left-- == 0;
}

void *__wrap_calloc(size_t count, size_t size) {
  return allocation_fails() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *memory, size_t size) {
  return allocation_fails() ? NULL : __real_realloc(memory, size);
}

static void fill_row(void *context, size_t index, struct data *object) {
  const char *name = context;
  data_cell(object, "index", cell_plain(index));
  data_cell(object, "name", cell_bare(name, strlen(name)));
  struct data *list = data_array(object, "list");
  for (size_t i = 0; i < index * 100; i++)
    data_cell(list, NULL, cell_count(i));
}

static void fill(struct document *document) {
  struct data *root = document_data(document);
  data_cell(root, "schema", cell_words("lua-inspect/1"));
  data_rows(data_object(root, "nested"), "rows", 3, fill_row, "\xff name");
  for (int i = 0; i < 50; i++)
    line_printf(page_line(document, 0), STYLE_PLAIN, "line %d of %s", i, "some");
  struct line *line = page_line(document, 2);
  line_words(line, STYLE_PLAIN, "words");
  line_tab(line, 20);
  line_cell(line, STYLE_PLAIN, cell_text("text", 4));
  struct table *table = page_table(document, 2);
  table_column(table, "a");
  table_column(table, "b");
  for (uint64_t i = 0; i < 50; i++) {
    table_row(table);
    table_cell(table, cell_count(i));
    table_cell(table, cell_text("0123456789012345678901234567890123456789", 40));
  }
  struct chain_view *view = page_chain(document, 2);
  chain_view_step(view, "_G", false, false, "note");
  chain_view_step(view, ".x", true, true, "the second note of this chain");
  chain_view_leaf(view, "table 0x10", "leaf");
  line_words(chain_view_leaf_line(view), STYLE_PLAIN, "below");
}

/* Fails allocation number `nth`; returns whether the document came out whole. */
static bool survives(size_t nth, bool (*render)(struct document *, const struct render_options *)) {
  static char sink[1 << 16];
  struct reader reader = {.text = {sink, 0, sizeof sink}};
  struct render_options options = {true, 40, reader_write, &reader};
  allocations_left = nth;
  struct document *document = document_create();
  bool whole = document != NULL;
  if (document) {
    fill(document);
    bool rendered = render(document, &options);
    whole = rendered && !document_failed(document);
    if (!rendered) assert_true(document_failed(document));
    document_free(document);
  }
  bool failed_one = allocations_left == SIZE_MAX;
  allocations_left = SIZE_MAX;
  assert_true(failed_one ? !whole : whole);
  return whole;
}

static void test_out_of_memory(void **state) {
  (void)state;
  size_t nth = 0;
  while (!survives(nth, render_text))
    nth++;
  assert_true(nth > 8);
  for (nth = 0; !survives(nth, render_json);)
    nth++;
  assert_true(nth > 5);
}

/* Texts too large for a block of the arena: each is an allocation of its own. */
static void fill_with_large_texts(struct document *document) {
  static char large[2 << 20];
  memset(large, 'x', sizeof large - 1);
  data_cell(document_data(document), "text", cell_text(large, sizeof large));
  line_words(page_line(document, 0), STYLE_PLAIN, large);
  line_printf(page_line(document, 0), STYLE_PLAIN, "%s", large);
  line_cell(page_line(document, 0), STYLE_PLAIN, cell_bare(large, sizeof large));
  struct table *table = page_table(document, 0);
  table_column(table, large);
  table_row(table);
  table_cell(table, cell_words(large));
  struct chain_view *view = page_chain(document, 0);
  chain_view_step(view, large, false, false, large);
  chain_view_leaf(view, large, large);
}

static void test_no_memory_for_texts(void **state) {
  (void)state;
  enum { TEXTS = 10 };
  size_t nth = 2; /* after the document and its first block */
  for (bool failed_one = true; failed_one; nth++) {
    allocations_left = nth;
    struct document *document = document_create();
    fill_with_large_texts(document);
    failed_one = allocations_left == SIZE_MAX;
    assert_int_equal(document_failed(document), failed_one);
    allocations_left = SIZE_MAX;
    document_free(document);
  }
  assert_true(nth > 2 + TEXTS);
}

static void test_strings_are_copied(void **state) {
  (void)state;
  char text[] = "abc";
  struct document *document = document_create();
  data_cell(document_data(document), "text", cell_text(text, 3));
  line_words(page_line(document, 0), STYLE_PLAIN, text);
  struct table *table = page_table(document, 0);
  table_column(table, text);
  table_row(table);
  table_cell(table, cell_bare(text, 3));
  struct chain_view *view = page_chain(document, 0);
  chain_view_step(view, text, false, false, text);
  chain_view_leaf(view, text, text);
  memset(text, '#', 3);
  struct reader reader = {0};
  struct render_options options = {false, 0, reader_write, &reader};
  assert_true(render_text(document, &options));
  assert_true(render_json(document, &options));
  assert_true(text_add(&reader.text, "", 1));
  assert_null(strchr(reader.text.items, '#'));
  vector_free(&reader.text);
  document_free(document);
}

/* What could not be allocated is NULL, and to add to it does nothing. */
static void test_null_is_ignored(void **state) {
  (void)state;
  data_cell(NULL, "a", cell_count(1));
  data_rows(NULL, "a", 1, fill_row, NULL);
  assert_null(data_object(NULL, "a"));
  assert_null(data_array(NULL, "a"));
  line_words(NULL, STYLE_PLAIN, "a");
  line_printf(NULL, STYLE_PLAIN, "%d", 1);
  line_cell(NULL, STYLE_PLAIN, cell_count(1));
  line_tab(NULL, 1);
  table_column(NULL, "a");
  table_row(NULL);
  table_cell(NULL, cell_count(1));
  chain_view_step(NULL, "a", false, false, NULL);
  chain_view_leaf(NULL, "a", NULL);
  assert_null(chain_view_leaf_line(NULL));
  document_free(NULL);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_out_of_memory),
      cmocka_unit_test(test_no_memory_for_texts),
      cmocka_unit_test(test_strings_are_copied),
      cmocka_unit_test(test_null_is_ignored),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
