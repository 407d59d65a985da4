/* test_layout.c - layouts as files, and the gate that keeps unusable ones out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "layout/check.h"
#include "layout/file.h"

static struct arena arena;

static int set_up(void **state) {
  (void)state;
  arena_init(&arena);
  return 0;
}

static int tear_down(void **state) {
  (void)state;
  arena_free(&arena);
  return 0;
}

/* The text of a canned layout, terminated; to be freed. */
static char *text_of(const struct layout *layout) {
  struct text text = {0};
  assert_true(layout_write(layout, &text) && text_finish(&text));
  return text.items;
}

static struct inspect_error *parse(const char *text, const struct layout **layout) {
  return layout_parse(text, strlen(text), "test.layout", &arena, layout);
}

/* ---- Files ----------------------------------------------------------------------------------- */

/* Every trait, size and field goes through a file: a new member of struct layout without a row in
 * traits.c fails here. */
static void test_round_trip(void **state) {
  (void)state;
  const struct layout *canned, *read;
  for (size_t i = 0; (canned = layout_canned(i)); i++) {
    char *text = text_of(canned);
    assert_null(parse(text, &read));
    assert_int_equal(read->provenance, LAYOUT_FILE);
    assert_true(layout_equal(canned, read));
    struct layout copy;
    memcpy(&copy, read, sizeof copy);
    copy.name = canned->name;
    copy.lua = canned->lua;
    copy.provenance = canned->provenance;
    copy.note = canned->note;
    assert_memory_equal(&copy, canned, sizeof copy);
    free(text);
  }
}

/* The text with line `number` (from 1) replaced; to be freed. NULL takes the line out. */
static char *with_line(const char *text, unsigned number, const char *line) {
  const char *start = text;
  for (unsigned i = 1; i < number; i++)
    start = strchr(start, '\n') + 1;
  const char *end = strchr(start, '\n') + 1;
  char *result = malloc(strlen(text) + (line ? strlen(line) : 0) + 2);
  assert_non_null(result);
  sprintf(result, "%.*s%s%s%s", (int)(start - text), text, line ? line : "", line ? "\n" : "", end);
  return result;
}

static void check_error(const char *text, const char *expected) {
  const struct layout *layout = NULL;
  struct inspect_error *error = parse(text, &layout);
  if (!error) fail_msg("taken, but expected: %s", expected);
  assert_non_null(error->hint);
  if (!strstr(error->message, expected)) fail_msg("%s, not %s", error->message, expected);
  inspect_error_free(error);
}

static void test_line_errors(void **state) {
  (void)state;
  static const struct {
    const char *line, *expected;
  } CASES[] = {
      {"nonsense 8", "test.layout, line 5: unknown word: nonsense"},
      {"Table.nonsense 8 8", "line 5: unknown field: Table.nonsense"},
      {"sizeof nonsense 8", "line 5: unknown structure: nonsense"},
      {"sizeof Table", "line 5: needs a structure and its size"},
      {"sizeof Table 0", "line 5: no size: 0"},
      {"sizeof Table 65536", "line 5: no size: 65536"},
      {"Table.node 8", "line 5: needs an offset and a size"},
      {"Table.node 8 8 8", "line 5: needs an offset and a size"},
      {"Table.node 8 8 8 8", "line 5: too many words"},
      {"Table.node -8 8", "line 5: no offset: -8"},
      {"Table.node 0x8 8", "line 5: no offset: 0x8"},
      {"Table.node 99999999999999999999 8", "line 5: no offset"},
      {"Table.node 8 9", "line 5: no size"},
      {"Table.node 8 0", "line 5: no size"},
      {"byte_order middle", "line 5: no value that it can have: middle"},
      {"pointer_size", "line 5: needs one value: pointer_size"},
      {"pointer_size 9", "line 5: no value that it can have: 9"},
      {"lua", "line 5: needs one word"},
      {"lua 5.4", "line 5: said twice: lua"},
      {"\x1b[31m", "line 5: unknown word: \\u{001B}[31m"},
      {"aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffgggggggggg", "line 5: no word"},
  };
  char *text = text_of(layout_canned(0));
  for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
    char *changed = with_line(text, 5, CASES[i].line);
    check_error(changed, CASES[i].expected);
    free(changed);
  }
  char *other = with_line(text, 4, "lua 5.1");
  check_error(other, "line 4: no version of Lua that can be read: 5.1");
  free(other);
  free(text);
}

static void test_repeated_and_missing_lines(void **state) {
  (void)state;
  char *text = text_of(layout_canned(3));
  unsigned number = 1, optional = 0;
  for (const char *line = text; *line; line = strchr(line, '\n') + 1, number++) {
    char once[100], twice[220];
    sprintf(once, "%.*s", (int)strcspn(line, "\n"), line);
    if (*once == '#') continue;
    char *changed = with_line(text, number, NULL);
    const struct layout *layout;
    struct inspect_error *error = parse(changed, &layout);
    optional += !error;
    inspect_error_free(error);
    free(changed);
    sprintf(twice, "%s\n%s", once, once);
    changed = with_line(text, number, twice);
    check_error(changed, number == 1 ? "line 2" : "said twice");
    free(changed);
  }
  assert_in_range(optional, 1, number / 4); /* what other releases lack */
  free(text);
}

static void test_odd_but_fine(void **state) {
  (void)state;
  const struct layout *layout;
  char *text = text_of(layout_canned(0));
  char *crlf = malloc(2 * strlen(text)), *to = crlf;
  assert_non_null(crlf);
  to += sprintf(to, "\r\n   # first a comment\r\n");
  for (const char *from = text; *from; from++) {
    if (*from == '\n') *to++ = '\r';
    if (*from == ' ') *to++ = '\t';
    *to++ = *from;
  }
  strcpy(to, "  \n#");
  assert_null(parse(crlf, &layout));
  assert_true(layout_equal(layout, layout_canned(0)));
  free(crlf);
  text[strlen(text) - 1] = 0; /* the last line without its end */
  assert_null(parse(text, &layout));
  free(text);
}

static void test_no_layout_at_all(void **state) {
  (void)state;
  static const char *const TEXTS[] = {"",
                                      "\n\n",
                                      "# only a comment\n",
                                      "hello world\n",
                                      "\177ELF\2\1\1",
                                      "lua 5.4\n",
                                      "lua-inspect-layout\n"};
  for (size_t i = 0; i < sizeof TEXTS / sizeof *TEXTS; i++)
    check_error(TEXTS[i], "test.layout is no layout");
  check_error("lua-inspect-layout 2\n", "line 1: a format that this version does not know: 2");
  check_error("lua-inspect-layout 1\n", "does not say");
  const struct layout *layout;
  struct inspect_error *error = layout_parse("a\0b\n", 4, "test.layout", &arena, &layout);
  assert_non_null(error);
  inspect_error_free(error);
  error = layout_read_file("/dev/null", &arena, &layout);
  assert_non_null(error);
  assert_non_null(strstr(error->message, "regular file"));
  inspect_error_free(error);
}

/* ---- The gate -------------------------------------------------------------------------------- */

static void test_canned_layouts_pass(void **state) {
  (void)state;
  const struct layout *canned;
  for (size_t i = 0; (canned = layout_canned(i)); i++) {
    enum layout_field field;
    const char *fault = layout_check(canned, &field);
    if (fault) fail_msg("%s: %s %s", canned->name, layout_field_name(field), fault);
  }
}

/* A field at the very end of what may be read of its structure is one step too far. */
static void test_no_field_leaves_its_structure(void **state) {
  (void)state;
  const struct layout *canned;
  for (size_t i = 0; (canned = layout_canned(i)); i++) {
    for (unsigned j = 0; j < LAYOUT_FIELD_COUNT; j++) {
      struct layout changed = *canned;
      enum layout_field field;
      if (!changed.place[j].size) continue;
      changed.place[j].offset = 60000;
      if (!layout_check(&changed, &field)) fail_msg("%s", layout_field_name((enum layout_field)j));
      changed = *canned;
      changed.place[j].size = 3;
      assert_non_null(layout_check(&changed, &field));
    }
    for (unsigned j = 0; j < LAYOUT_STRUCT_COUNT; j++) {
      struct layout changed = *canned;
      enum layout_field field;
      changed.size[j] = 2;
      assert_non_null(layout_check(&changed, &field));
    }
  }
}

static void test_traits_that_do_not_fit(void **state) {
  (void)state;
  enum layout_field field;
  struct layout changed = *layout_canned(0);
  changed.pointer_size = 6;
  assert_non_null(layout_check(&changed, &field));
  changed = *layout_canned(0);
  changed.userdata_bare = 8;
  assert_non_null(layout_check(&changed, &field));
  changed = *layout_canned(0);
  changed.string_form = STRING_EXTERNAL;
  assert_non_null(layout_check(&changed, &field));
  changed = *layout_canned(0);
  changed.main_thread_embedded = true;
  changed.main_thread_offset = 60000;
  assert_non_null(layout_check(&changed, &field));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(test_round_trip, set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_line_errors, set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_repeated_and_missing_lines, set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_odd_but_fine, set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_no_layout_at_all, set_up, tear_down),
      cmocka_unit_test(test_canned_layouts_pass),
      cmocka_unit_test(test_no_field_leaves_its_structure),
      cmocka_unit_test(test_traits_that_do_not_fit),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
