/* test_debug_info.c - structures found by name in the debug info of this very program. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "source/debug_info.h"

#define SELF "/proc/self/exe"

/* ---- What is looked for ---------------------------------------------------------------------- */

typedef unsigned char small_number;

struct layout_test_inner {
  char a;
  union {
    long deep_number;
    const volatile small_number deep_byte;
  };
};

struct layout_test_outer {
  small_number first;
  unsigned flag : 3; /* a bit field has no place */
  union {
    struct {
      int x;
      void *y;
    } l;
    double d;
  } u;
  struct {
    short in_anonymous;
    union {
      char in_both;
      long long in_two;
    };
  };
  struct layout_test_inner inner;
  struct layout_test_outer *next;
  int matrix[3][4];
  struct layout_test_inner array[5];
  char flexible[];
};

typedef struct {
  long only;
} layout_test_nameless;

union layout_test_union {
  int number;
  char text[24];
};

/* The compiler describes what is used. */
struct layout_test_outer *layout_test_use(const layout_test_nameless *nameless,
                                          const union layout_test_union *either);
struct layout_test_outer *layout_test_use(const layout_test_nameless *nameless,
                                          const union layout_test_union *either) {
  static struct layout_test_outer outer;
  outer.matrix[0][0] = (int)nameless->only + either->number;
  return &outer;
}

enum { OUTER, NAMELESS, UNION, INNER, UNKNOWN, COUNT };
static const char *const NAMES[] = {"layout_test_outer", "layout_test_nameless",
                                    "layout_test_union", "layout_test_inner",
                                    "layout_test_unknown"};

/* ---- Tests ----------------------------------------------------------------------------------- */

static struct debug_info *info;

static int open_self(void **state) {
  (void)state;
  struct inspect_error *error = debug_info_open(SELF, NULL, &info);
  if (error) { /* a build without -g */
    print_message("skipped: %s\n", error->message);
    inspect_error_free(error);
    return 0;
  }
  const layout_test_nameless nameless = {0};
  const union layout_test_union either = {0};
  assert_non_null(layout_test_use(&nameless, &either));
  assert_int_equal(debug_info_find(info, "layout_test_use", NAMES, COUNT), COUNT - 1);
  return 0;
}

static int close_self(void **state) {
  (void)state;
  debug_info_close(info);
  info = NULL;
  return 0;
}

static void check_place(size_t which, const char *path, size_t offset, size_t size) {
  struct debug_place place;
  if (!debug_info_field(info, which, path, &place)) fail_msg("%s was not found", path);
  if (place.offset != offset || place.size != size)
    fail_msg("%s: %llu %llu, not %zu %zu", path, (unsigned long long)place.offset,
             (unsigned long long)place.size, offset, size);
}

#define CHECK(which, type, path)                                                                   \
  check_place(which, #path, offsetof(type, path), sizeof(((type *)0)->path))
#define OUTER_FIELD(path) CHECK(OUTER, struct layout_test_outer, path)

static void test_fields(void **state) {
  (void)state;
  if (!info) skip();
  OUTER_FIELD(first);
  OUTER_FIELD(u);
  OUTER_FIELD(u.l);
  OUTER_FIELD(u.l.x);
  OUTER_FIELD(u.l.y);
  OUTER_FIELD(u.d);
  OUTER_FIELD(in_anonymous);
  OUTER_FIELD(in_both);
  OUTER_FIELD(in_two);
  OUTER_FIELD(inner.a);
  OUTER_FIELD(inner.deep_number);
  OUTER_FIELD(inner.deep_byte);
  OUTER_FIELD(next);
  OUTER_FIELD(matrix);
  OUTER_FIELD(array);
  CHECK(NAMELESS, layout_test_nameless, only);
  CHECK(UNION, union layout_test_union, number);
  CHECK(UNION, union layout_test_union, text);
}

static void test_what_is_not_there(void **state) {
  (void)state;
  if (!info) skip();
  static const char *const PATHS[] = {
      "",   "nothing", "u.nothing", "u.l.x.more",  "first.x", "next.next", "flag",
      "u.", ".u",      "u..l",      "deep_number", "array.a", "in_both.x"};
  struct debug_place place;
  for (size_t i = 0; i < sizeof PATHS / sizeof *PATHS; i++)
    if (debug_info_field(info, OUTER, PATHS[i], &place)) fail_msg("%s was found", PATHS[i]);
  assert_false(debug_info_field(info, UNKNOWN, "first", &place));
  assert_int_equal(debug_info_size(info, UNKNOWN), 0);
}

static void test_sizes(void **state) {
  (void)state;
  if (!info) skip();
  struct debug_place place;
  assert_int_equal(debug_info_size(info, OUTER), sizeof(struct layout_test_outer));
  assert_int_equal(debug_info_size(info, NAMELESS), sizeof(layout_test_nameless));
  assert_int_equal(debug_info_size(info, UNION), sizeof(union layout_test_union));
  assert_int_equal(debug_info_size(info, INNER), sizeof(struct layout_test_inner));
  assert_true(debug_info_field(info, OUTER, "flexible", &place));
  assert_int_equal(place.size, 0);
  assert_int_equal(debug_info_pointer_size(info), sizeof(void *));
}

static void test_alignments(void **state) {
  (void)state;
  if (!info) skip();
  static const struct {
    const char *path;
    size_t alignment;
  } CASES[] = {{"first", 1},
               {"in_anonymous", sizeof(short)},
               {"matrix", sizeof(int)},
               {"array", _Alignof(struct layout_test_inner)},
               {"next", sizeof(void *)}};
  for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
    struct debug_place place;
    assert_true(debug_info_field(info, OUTER, CASES[i].path, &place));
    assert_int_equal(place.alignment, CASES[i].alignment);
  }
}

static void test_functions(void **state) {
  (void)state;
  if (!info) skip();
  assert_true(debug_info_defines(info, "layout_test_use"));
  assert_false(debug_info_defines(info, "layout_test_us"));
  assert_false(debug_info_defines(info, "lua_newstate"));
}

static void check_refused(const char *path, const char *message) {
  struct debug_info *none;
  struct inspect_error *error = debug_info_open(path, NULL, &none);
  assert_non_null(error);
  assert_null(none);
  assert_non_null(error->hint);
  if (!strstr(error->message, message)) fail_msg("%s: %s", path, error->message);
  inspect_error_free(error);
}

static void test_refused(void **state) {
  (void)state;
  check_refused("/nonexistent/program", "No such file");
  check_refused("/etc/passwd", "is no ELF program");
  check_refused("/dev/null", "is no ELF program");
  check_refused("/", "is no ELF program");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_fields),    cmocka_unit_test(test_what_is_not_there),
      cmocka_unit_test(test_sizes),     cmocka_unit_test(test_alignments),
      cmocka_unit_test(test_functions), cmocka_unit_test(test_refused),
  };
  return cmocka_run_group_tests(tests, open_self, close_self);
}
