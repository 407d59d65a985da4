/* test_json_renderer.c - the data as JSON: exact bytes, hostile text, and random trees read back by
 * yajl's parser. */
#include "rendering.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include <yajl/yajl_tree.h>

static void test_shape(void **state) {
  (void)state;
  struct document *document = document_create();
  struct data *root = document_data(document);
  data_cell(root, "schema", cell_words("lua-inspect/1"));
  struct data *vms = data_array(root, "vms");
  struct data *vm = data_object(vms, NULL);
  data_cell(vm, "index", cell_plain(1));
  data_cell(vm, "lua", cell_words(NULL));
  data_object(vms, NULL);
  data_array(root, "faults");
  data_cell(root, "partial", cell_boolean(false));
  assert_json(document, "{\n"
                        "  \"schema\": \"lua-inspect/1\",\n"
                        "  \"vms\": [\n"
                        "    {\n"
                        "      \"index\": 1,\n"
                        "      \"lua\": null\n"
                        "    },\n"
                        "    {}\n"
                        "  ],\n"
                        "  \"faults\": [],\n"
                        "  \"partial\": false\n"
                        "}\n");
  assert_json(document_create(), "{}\n");
}

static void test_values(void **state) {
  (void)state;
  comma_locale();
  struct document *document = document_create();
  struct data *list = data_array(document_data(document), "v");
  data_cell(list, NULL, cell_null());
  data_cell(list, NULL, cell_boolean(true));
  data_cell(list, NULL, cell_count(UINT64_MAX));
  data_cell(list, NULL, cell_bytes(61400000));
  data_cell(list, NULL, cell_integer(INT64_MIN));
  data_cell(list, NULL, cell_address(UINT64_C(0x7f21a0c4e10)));
  data_cell(list, NULL, cell_duration(0.1));
  data_cell(list, NULL, cell_duration(-1));
  data_cell(list, NULL, cell_ratio(1.0 / 3));
  data_cell(list, NULL, cell_number(NAN));
  data_cell(list, NULL, cell_number(-INFINITY));
  data_cell(list, NULL, cell_number(5));
  data_cell(list, NULL, cell_number(1e300));
  data_cell(list, NULL, cell_time(1795362662.5));
  char *output = rendered(document, render_json, 100, false);
  setlocale(LC_ALL, "C");
  check_rendered(output, "{\n"
                         "  \"v\": [\n"
                         "    null,\n"
                         "    true,\n"
                         "    18446744073709551615,\n"
                         "    61400000,\n"
                         "    -9223372036854775808,\n"
                         "    \"0x7f21a0c4e10\",\n"
                         "    0.1,\n"
                         "    null,\n"
                         "    0.3333333333333333,\n"
                         "    null,\n"
                         "    null,\n"
                         "    5,\n"
                         "    1e+300,\n"
                         "    1795362662.5\n"
                         "  ]\n"
                         "}\n");
}

/* One string as it stands in the output, without the quotes around it. */
static void check_string(const char *bytes, size_t size, const char *expected) {
  struct document *document = document_create();
  data_cell(document_data(document), "s", cell_text(bytes, size));
  char *output = rendered(document, render_json, 100, false);
  size_t length = strlen(output), around = strlen("{\n  \"s\": \""), behind = strlen("\"\n}\n");
  assert_true(length >= around + behind);
  output[length - behind] = '\0';
  assert_string_equal(output + around, expected);
  free(output);
}

static void test_strings(void **state) {
  (void)state;
  check_string("", 0, "");
  check_string("plain / text", 12, "plain / text");
  check_string("\"\\\n\t\0\033[31m", 10, "\\\"\\\\\\n\\t\\u0000\\u001B[31m");
  check_string("\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80", 9, "ä€😀");
  check_string("\xff\xc3", 2, "\\\\xFF\\\\xC3");
  check_string("a\xe2\x82", 3, "a\\\\xE2\\\\x82");
  check_string("\xc0\x80", 2, "\\\\xC0\\\\x80");                       /* overlong      */
  check_string("\xe0\x82\x80", 3, "\\\\xE0\\\\x82\\\\x80");            /* overlong */
  check_string("\xed\xa0\x80", 3, "\\\\xED\\\\xA0\\\\x80");            /* surrogate     */
  check_string("\xf4\x90\x80\x80", 4, "\\\\xF4\\\\x90\\\\x80\\\\x80"); /* past U+10FFFF */
  /* Valid, but not to be sent to a terminal: DEL, C1, right-to-left override, line separator. */
  check_string("a\x7f|\xc2\x9b|\xe2\x80\xae|\xe2\x80\xa8z", 14,
               "a\\u007f|\\u009b|\\u202e|\\u2028z");
}

/* ---- Lazily made rows ------------------------------------------------------------------------ */

static size_t rows_made;

static void fill_row(void *context, size_t index, struct data *object) {
  rows_made++;
  data_cell(object, context, cell_plain(index));
}

static void fill_nested_row(void *context, size_t index, struct data *object) {
  if (index) data_rows(object, "inner", index, fill_row, context);
}

static void test_rows(void **state) {
  (void)state;
  struct document *document = document_create();
  data_rows(document_data(document), "none", 0, fill_row, "i");
  data_rows(document_data(document), "rows", 2, fill_nested_row, "i");
  rows_made = 0;
  assert_json(document, "{\n"
                        "  \"none\": [],\n"
                        "  \"rows\": [\n"
                        "    {},\n"
                        "    {\n"
                        "      \"inner\": [\n"
                        "        {\n"
                        "          \"i\": 0\n"
                        "        }\n"
                        "      ]\n"
                        "    }\n"
                        "  ]\n"
                        "}\n");
  assert_int_equal(rows_made, 1);
}

static void test_reader_goes_away(void **state) {
  (void)state;
  struct document *document = document_create();
  data_rows(document_data(document), "rows", 1000000, fill_row, "i");
  struct reader reader = {.refuse_at = 1};
  struct render_options options = {false, 100, reader_write, &reader};
  rows_made = 0;
  assert_false(render_json(document, &options));
  assert_int_equal(reader.calls, 1);
  assert_true(rows_made > 0 && rows_made < 1000);
  assert_false(document_failed(document));
  document_free(document);
}

static void test_too_deep(void **state) {
  (void)state;
  struct document *document = document_create();
  struct data *data = document_data(document);
  for (int i = 0; i < 1000; i++)
    data = data_array(data, "a");
  data_cell(data, NULL, cell_count(1));
  struct reader reader = {0};
  struct render_options options = {false, 100, reader_write, &reader};
  assert_false(render_json(document, &options));
  vector_free(&reader.text);
  document_free(document);
}

/* ---- Random trees ---------------------------------------------------------------------------- */

static uint64_t random_state;

static uint64_t random_below(uint64_t limit) {
  random_state ^= random_state << 13; /* xorshift64, Marsaglia 2003 */
  random_state ^= random_state >> 7;
  random_state ^= random_state << 17;
  return random_state % limit;
}

static const char *const keys[] = {"a", "b", "c", "d", "e"};

/* The same numbers make the same tree: once to build it, once to compare. */
static void build(struct data *parent, bool object, unsigned depth) {
  uint64_t count = random_below(5);
  for (uint64_t i = 0; i < count; i++) {
    const char *key = object ? keys[i] : NULL;
    uint64_t kind = random_below(depth < 6 ? 5 : 3);
    if (kind == 0) data_cell(parent, key, cell_count(random_below(UINT64_MAX)));
    if (kind == 1) data_cell(parent, key, cell_number((double)random_below(1u << 30) / 1e4));
    if (kind == 2) {
      char bytes[16];
      size_t size = (size_t)random_below(sizeof bytes);
      for (size_t b = 0; b < size; b++)
        bytes[b] = (char)random_below(128);
      data_cell(parent, key, cell_text(bytes, size));
    }
    if (kind == 3) build(data_object(parent, key), true, depth + 1);
    if (kind == 4) build(data_array(parent, key), false, depth + 1);
  }
}

static void compare(yajl_val parent, bool object, unsigned depth) {
  uint64_t count = random_below(5);
  assert_true(object ? YAJL_IS_OBJECT(parent) : YAJL_IS_ARRAY(parent));
  assert_int_equal(object ? parent->u.object.len : parent->u.array.len, count);
  for (uint64_t i = 0; i < count; i++) {
    if (object) assert_string_equal(parent->u.object.keys[i], keys[i]);
    yajl_val value = object ? parent->u.object.values[i] : parent->u.array.values[i];
    uint64_t kind = random_below(depth < 6 ? 5 : 3);
    if (kind == 0) {
      char number[32];
      snprintf(number, sizeof number, "%" PRIu64, random_below(UINT64_MAX));
      assert_string_equal(YAJL_GET_NUMBER(value), number);
    }
    if (kind == 1)
      assert_true(strtod(YAJL_GET_NUMBER(value), NULL) == (double)random_below(1u << 30) / 1e4);
    if (kind == 2) {
      size_t size = (size_t)random_below(16);
      const char *string = YAJL_GET_STRING(value);
      assert_non_null(string);
      for (size_t b = 0; b < size; b++)
        assert_int_equal(string[b], (char)random_below(128));
      assert_int_equal(string[size], '\0');
    }
    if (kind >= 3) compare(value, kind == 3, depth + 1);
  }
}

static void test_random_trees(void **state) {
  (void)state;
  for (uint64_t seed = 1; seed <= 300; seed++) {
    struct document *document = document_create();
    random_state = seed * UINT64_C(0x9e3779b97f4a7c15);
    build(document_data(document), true, 0);
    char *output = rendered(document, render_json, 100, false), message[200];
    yajl_val tree = yajl_tree_parse(output, message, sizeof message);
    assert_non_null(tree);
    random_state = seed * UINT64_C(0x9e3779b97f4a7c15);
    compare(tree, true, 0);
    yajl_tree_free(tree);
    free(output);
  }
}

/* Any bytes at all give JSON that parses (yajl checks the UTF-8) and shows no control character. */
static void test_random_bytes(void **state) {
  (void)state;
  random_state = 88172645463325252;
  for (int round = 0; round < 500; round++) {
    unsigned char bytes[64];
    for (size_t i = 0; i < sizeof bytes; i++)
      bytes[i] = (unsigned char)(random_below(3) ? 0x80 + random_below(0x80) : random_below(256));
    struct document *document = document_create();
    data_cell(document_data(document), "s", cell_text((const char *)bytes, sizeof bytes));
    char *output = rendered(document, render_json, 100, false), message[200];
    yajl_val tree = yajl_tree_parse(output, message, sizeof message);
    assert_non_null(tree);
    yajl_tree_free(tree);
    for (const unsigned char *c = (const unsigned char *)output; *c; c++) {
      assert_true(*c == '\n' || (*c >= ' ' && *c != 0x7f));
      assert_false(*c == 0xc2 && c[1] < 0xa0);
    }
    free(output);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_shape),        cmocka_unit_test(test_values),
      cmocka_unit_test(test_strings),      cmocka_unit_test(test_rows),
      cmocka_unit_test(test_too_deep),     cmocka_unit_test(test_reader_goes_away),
      cmocka_unit_test(test_random_trees), cmocka_unit_test(test_random_bytes),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
