/* test_text_renderer.c - the page, byte for byte: lines, tables and chains at several widths. */
#include "rendering.h"

#include <stdio.h>

/* ---- Lines ----------------------------------------------------------------------------------- */

static void test_line(void **state) {
  (void)state;
  struct document *document = document_create();
  struct line *line = page_line(document, 0);
  line_words(line, STYLE_HEADING, "core.4711");
  line_tab(line, 12);
  line_printf(line, STYLE_PLAIN, "Lua %d.%d", 5, 4);
  line_tab(line, 3);
  line_cell(line, STYLE_PLAIN, cell_count(481223));
  line_words(line, STYLE_PLAIN, " objects, ");
  line_cell(line, STYLE_PLAIN, cell_bytes(61400000));
  page_blank(document);
  line = page_line(document, 4);
  line_cell(line, STYLE_PLAIN, cell_text("a\tb", 3));
  assert_page(document, 100, "core.4711   Lua 5.4 481,223 objects, 61.4 MB\n\n    \"a\\tb\"\n");
}

static void test_empty_page(void **state) {
  (void)state;
  assert_page(document_create(), 100, "");
}

static void test_colour(void **state) {
  (void)state;
  struct document *document = document_create();
  struct line *line = page_line(document, 2);
  line_words(line, STYLE_HEADING, "title ");
  line_words(line, STYLE_PLAIN, "plain ");
  line_words(line, STYLE_BAD, "leak");
  line_words(line, STYLE_BAD, "ed");
  check_rendered(rendered(document, render_text, 100, true),
                 "  \033[1mtitle \033[0mplain \033[31mleaked\033[0m\n");
}

static struct document *prose(void) {
  struct document *document = document_create();
  line_words(page_line(document, 4), STYLE_MUTED,
             "next: the quick brown fox jumps over the lazy dog and back");
  return document;
}

static void test_wrap(void **state) {
  (void)state;
  assert_page(prose(), 40,
              "    next: the quick brown fox jumps over\n"
              "      the lazy dog and back\n");
  assert_page(prose(), 39,
              "    next: the quick brown fox jumps\n"
              "      over the lazy dog and back\n");
  assert_page(prose(), 100, "    next: the quick brown fox jumps over the lazy dog and back\n");
  assert_page(prose(), 0, "    next: the quick brown fox jumps over the lazy dog and back\n");
  /* Colour is closed at the end of each row and opened again; it takes no columns. */
  check_rendered(rendered(prose(), render_text, 40, true),
                 "    \033[2mnext: the quick brown fox jumps over\033[0m\n"
                 "      \033[2mthe lazy dog and back\033[0m\n");
}

/* Values are kept whole: also "61.4 MB" and paths with blanks. */
static void test_wrap_values(void **state) {
  (void)state;
  struct document *document = document_create();
  struct line *line = page_line(document, 0);
  line_words(line, STYLE_PLAIN, "the retained size here is ");
  line_cell(line, STYLE_PLAIN, cell_bytes(61400000));
  line_words(line, STYLE_PLAIN, " below ");
  line_cell(line, STYLE_KEY, cell_words("package.loaded[\"game room\"]"));
  line_words(line, STYLE_PLAIN, " or ");
  line_cell(line, STYLE_KEY, cell_words("package.loaded[\"my game room\"]"));
  assert_page(document, 30,
              "the retained size here is\n"
              "  61.4 MB below\n"
              "  package.loaded[\"game room\"]\n"
              "  or package.loaded[\"my game\n"
              "  room\"]\n"); /* does not fit into any row: breaks at its blanks */
}

/* Blanks around a break and at the end of a line are not shown. */
static void test_wrap_trims(void **state) {
  (void)state;
  struct document *document = document_create();
  struct line *line = page_line(document, 0);
  line_words(line, STYLE_PLAIN, "0123456   0123456   x");
  line_tab(line, 50);
  assert_page(document, 12, "0123456\n  0123456\n  x\n");
}

static void test_wrap_without_blanks(void **state) {
  (void)state;
  struct document *document = document_create();
  line_words(page_line(document, 2), STYLE_PLAIN, "0123456789012345678901234567890123456789xyz");
  assert_page(document, 22,
              "  01234567890123456789\n"
              "    012345678901234567\n"
              "    89xyz\n");
}

/* A character or an escape is never divided, whatever the width. */
static void test_wrap_hostile(void **state) {
  (void)state;
  for (unsigned width = 12; width < 40; width++) {
    struct document *document = document_create();
    line_cell(page_line(document, 0), STYLE_PLAIN,
              cell_text("\033]0;\xe2\x82\xac\xe2\x82\xac\xff\xfe\x9b"
                        "2J\xe2\x80\xae\xe2\x82\xac\n\\",
                        23));
    char *output = rendered(document, render_text, width, false);
    size_t kept = 0;
    for (char *row = strtok(output, "\n"); row; row = strtok(NULL, "\n")) {
      assert_true(text_columns(row, strlen(row)) <= width);
      assert_true((*row & 0xc0) != 0x80);
      const char *escape = strrchr(row, '\\');
      if (escape && escape > row && escape[-1] != '\\') {
        if (escape[1] == 'u') assert_non_null(strchr(escape, '}'));
        if (escape[1] == 'x') assert_true(strlen(escape) >= 4);
        assert_true(escape[1] != '\0');
      }
      for (const char *c = row; *c; c++) {
        assert_true((unsigned char)*c >= 0x20 && *c != 0x7f);
        if (*c != ' ') kept++;
      }
    }
    assert_int_equal(kept, strlen("\"\\u{001B}]0;€€\\xFF\\xFE\\x9B2J\\u{202E}€\\n\\\\\""));
    free(output);
  }
}

static void test_wide_shows_whole_text(void **state) {
  (void)state;
  char bytes[300], expected[310];
  memset(bytes, 'y', sizeof bytes);
  snprintf(expected, sizeof expected, "\"%.300s\"\n", bytes);
  struct document *document = document_create();
  line_cell(page_line(document, 0), STYLE_PLAIN, cell_text(bytes, sizeof bytes));
  assert_page(document, 0, expected);
}

/* ---- Tables ---------------------------------------------------------------------------------- */

static struct document *census(void) {
  struct document *document = document_create();
  struct table *table = page_table(document, 2);
  table_column(table, "name");
  table_column(table, "count");
  table_column(table, "size");
  table_column(table, "description");
  table_row(table);
  table_cell(table, cell_words("Session"));
  table_cell(table, cell_count(1187));
  table_cell(table, cell_bytes(38200000));
  table_cell(table, cell_text("session socket 10.0.3.7", 23));
  table_row(table);
  table_cell(table, cell_bare("a rather long name of a class", 29));
  table_cell(table, cell_count(2));
  table_cell(table, cell_null());
  table_cell(table, cell_text("x\n", 2));
  table_row(table);
  table_cell(table, cell_words("short row"));
  return document;
}

static void test_table(void **state) {
  (void)state;
  assert_page(census(), 100,
              "  name                            count      size   description\n"
              "  Session                         1,187   38.2 MB   \"session socket 10.0.3.7\"\n"
              "  a rather long name of a class       2         -   \"x\\n\"\n"
              "  short row\n");
  assert_page(census(), 0,
              "  name                            count      size   description\n"
              "  Session                         1,187   38.2 MB   \"session socket 10.0.3.7\"\n"
              "  a rather long name of a class       2         -   \"x\\n\"\n"
              "  short row\n");
  check_rendered(rendered(census(), render_text, 70, true),
                 "  \033[1mname                            count      size   description\033[0m\n"
                 "  Session                         1,187   38.2 MB   \"session socket \"…\n"
                 "  a rather long name of a class       2         -   \"x\\n\"\n"
                 "  short row\n");
}

static void test_table_narrow(void **state) {
  (void)state;
  /* The last column is cut first, then the widest text column. */
  assert_page(census(), 66,
              "  name                            count      size   description\n"
              "  Session                         1,187   38.2 MB   \"session soc\"…\n"
              "  a rather long name of a class       2         -   \"x\\n\"\n"
              "  short row\n");
  assert_page(census(), 50,
              "  name              count      size   description\n"
              "  Session           1,187   38.2 MB   \"session s\"…\n"
              "  a rather long …       2         -   \"x\\n\"\n"
              "  short row\n");
  /* Where nothing more can be shortened the rows end at the edge. */
  char *output = rendered(census(), render_text, 24, false);
  for (char *row = strtok(output, "\n"); row; row = strtok(NULL, "\n"))
    assert_true(text_columns(row, strlen(row)) <= 24);
  free(output);
}

static void test_table_edges(void **state) {
  (void)state;
  struct document *document = document_create();
  page_table(document, 0); /* no columns: nothing */
  struct table *table = page_table(document, 0);
  table_cell(table, cell_count(1)); /* before any row: dropped */
  table_column(table, "a");
  table_column(table, "");
  table_row(table);
  table_cell(table, cell_address(16));
  table_cell(table, cell_bare("", 0));
  table_cell(table, cell_count(3)); /* more cells than columns: dropped */
  table = page_table(document, 0);
  table_column(table, "unknown");
  table_column(table, "x");
  table_row(table);
  table_cell(table, cell_null());
  table_cell(table, cell_boolean(true));
  assert_page(document, 100, "a\n0x10\nunknown   x\n-         yes\n");
}

/* ---- Chains ---------------------------------------------------------------------------------- */

static struct document *chain(unsigned indent, const char *leaf_note) {
  struct document *document = document_create();
  struct chain_view *view = page_chain(document, indent);
  chain_view_step(view, "package.loaded[\"game.room\"]", false, false, "not shown: step joined");
  chain_view_step(view, ".join", true, false, "function room.lua:41");
  chain_view_step(view, "upvalue rooms", false, false,
                  "table, 40 entries, likely built at room.lua:12");
  chain_view_step(view, "[\"lobby\"]", false, false, NULL);
  chain_view_step(view, ".members", true, true, "only holder of 1,184 of 1,187");
  chain_view_step(view, "[17]", true, false, NULL);
  chain_view_leaf(view, "Session 0x7f21a0c4e10", leaf_note);
  struct line *line = chain_view_leaf_line(view);
  line_cell(line, STYLE_PLAIN, cell_text("session socket 10.0.3.7:5123", 28));
  line_words(line, STYLE_PLAIN, ", created ");
  line_cell(line, STYLE_PLAIN, cell_duration(2 * 3600 + 3 * 60));
  line_words(line, STYLE_PLAIN, " before the dump");
  return document;
}

static void test_chain(void **state) {
  (void)state;
  static const char expected[] =
      "    ┬ package.loaded[\"game.room\"].join        function room.lua:41\n"
      "    ├─ upvalue rooms                          table, 40 entries, likely built at "
      "room.lua:12\n"
      "    ├─ [\"lobby\"].members                      only holder of 1,184 of 1,187\n"
      "    │           ~~~~~~~~\n"
      "    ├─ [17]\n"
      "    ╰→ Session 0x7f21a0c4e10                  table (31.9 KB retained)\n"
      "       \"session socket 10.0.3.7:5123\", created 2 h 3 min before the dump\n";
  assert_page(chain(4, "table (31.9 KB retained)"), 100, expected);
  assert_page(chain(4, "table (31.9 KB retained)"), 0, expected);
}

/* On a narrower page the notes move left, then wrap; the trunk goes on beside them. */
static void test_chain_narrow(void **state) {
  (void)state;
  assert_page(
      chain(0, "table"), 84,
      "┬ package.loaded[\"game.room\"].join    function room.lua:41\n"
      "├─ upvalue rooms                      table, 40 entries, likely built at room.lua:12\n"
      "├─ [\"lobby\"].members                  only holder of 1,184 of 1,187\n"
      "│           ~~~~~~~~\n"
      "├─ [17]\n"
      "╰→ Session 0x7f21a0c4e10              table\n"
      "   \"session socket 10.0.3.7:5123\", created 2 h 3 min before the dump\n");
  assert_page(chain(0, "table (31.9 KB retained) and more"), 64,
              "┬ package.loaded[\"game.room\"].join   function room.lua:41\n"
              "├─ upvalue rooms                     table, 40 entries, likely\n"
              "│                                    built at room.lua:12\n"
              "├─ [\"lobby\"].members                 only holder of 1,184 of\n"
              "│           ~~~~~~~~                 1,187\n"
              "├─ [17]\n"
              "╰→ Session 0x7f21a0c4e10             table (31.9 KB retained)\n"
              "                                     and more\n"
              "   \"session socket 10.0.3.7:5123\", created 2 h 3 min before the\n"
              "     dump\n");
}

/* Labels that reach into the notes' column get their note below; longer ones are wrapped. */
static void test_chain_very_narrow(void **state) {
  (void)state;
  assert_page(chain(2, "table"), 40,
              "  ┬ package.loaded[\"game.room\"].join\n"
              "  │                 function room.lua:41\n"
              "  ├─ upvalue rooms  table, 40 entries,\n"
              "  │                 likely built at\n"
              "  │                 room.lua:12\n"
              "  ├─ [\"lobby\"].members\n"
              "  │           ~~~~~~~~\n"
              "  │                 only holder of 1,184\n"
              "  │                 of 1,187\n"
              "  ├─ [17]\n"
              "  ╰→ Session 0x7f21a0c4e10\n"
              "                    table\n"
              "     \"session socket 10.0.3.7:5123\",\n"
              "       created 2 h 3 min before the dump\n");
  struct document *document = document_create();
  struct chain_view *view = page_chain(document, 0);
  chain_view_step(view, "_G", false, false, NULL);
  chain_view_step(view, ".first_part_of_a_path", true, false, NULL);
  chain_view_step(view, ".suspect_with_a_name_that_does_not_fit_into_40_columns", true, true,
                  "note");
  assert_page(document, 40,
              "┬ _G.first_part_of_a_path\n"
              "│ .suspect_with_a_name_that_does_not_fit\n"
              "│ ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~\n"
              "│ _into_40_columns                  note\n"
              "│ ~~~~~~~~~~~~~~~~\n");
}

static void test_chain_small(void **state) {
  (void)state;
  struct document *document = document_create();
  struct chain_view *view = page_chain(document, 0);
  chain_view_leaf(view, "table 0x10", NULL);
  page_chain(document, 0); /* empty: nothing */
  view = page_chain(document, 0);
  chain_view_step(view, "npcs", true, true, ""); /* nothing to join */
  chain_view_leaf(view, "table 0x20", NULL);
  assert_page(document, 100, "╰→ table 0x10\n┬ npcs\n│ ~~~~\n╰→ table 0x20\n");
}

static void test_chain_colour(void **state) {
  (void)state;
  struct document *document = document_create();
  struct chain_view *view = page_chain(document, 0);
  chain_view_step(view, "_G", false, false, NULL);
  chain_view_step(view, ".a", true, true, NULL);
  check_rendered(rendered(document, render_text, 100, true),
                 "\033[2m┬ \033[0m\033[36m_G.a\033[0m\n"
                 "\033[2m│\033[0m   \033[1;31m~~\033[0m\n");
}

/* No row of any page is wider than the page. */
static void test_width_is_kept(void **state) {
  (void)state;
  for (unsigned width = 30; width <= 110; width++) {
    char *pages[] = {rendered(chain(4, "table"), render_text, width, false),
                     rendered(census(), render_text, width, false),
                     rendered(prose(), render_text, width, false)};
    for (size_t i = 0; i < sizeof pages / sizeof *pages; i++) {
      for (char *row = strtok(pages[i], "\n"); row; row = strtok(NULL, "\n")) {
        assert_true(text_columns(row, strlen(row)) <= width);
        assert_true(row[strlen(row) - 1] != ' ');
      }
      free(pages[i]);
    }
  }
}

/* ---- The reader ------------------------------------------------------------------------------ */

static void test_reader_goes_away(void **state) {
  (void)state;
  struct document *document = document_create();
  for (int i = 0; i < 10000; i++)
    line_printf(page_line(document, 0), STYLE_PLAIN, "line %d", i);
  struct reader reader = {.refuse_at = 2};
  struct render_options options = {false, 100, reader_write, &reader};
  assert_false(render_text(document, &options));
  assert_int_equal(reader.calls, 2);
  assert_false(document_failed(document));
  vector_free(&reader.text);
  document_free(document);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_line),
      cmocka_unit_test(test_empty_page),
      cmocka_unit_test(test_colour),
      cmocka_unit_test(test_wrap),
      cmocka_unit_test(test_wrap_values),
      cmocka_unit_test(test_wrap_trims),
      cmocka_unit_test(test_wrap_without_blanks),
      cmocka_unit_test(test_wrap_hostile),
      cmocka_unit_test(test_wide_shows_whole_text),
      cmocka_unit_test(test_table),
      cmocka_unit_test(test_table_narrow),
      cmocka_unit_test(test_table_edges),
      cmocka_unit_test(test_chain),
      cmocka_unit_test(test_chain_narrow),
      cmocka_unit_test(test_chain_very_narrow),
      cmocka_unit_test(test_chain_small),
      cmocka_unit_test(test_chain_colour),
      cmocka_unit_test(test_width_is_kept),
      cmocka_unit_test(test_reader_goes_away),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
