/* test_invocation.c - the command line: its grammar, the words of a debugger's line, random lines.
 */
#include "command_lines.h"

/* ---- Grammar --------------------------------------------------------------------------------- */

static void check_command(const char *line, const char *command, const char *core, int64_t pid) {
  struct inspect_invocation *invocation = shell(line);
  assert_string_equal(invocation->command->shown.name, command);
  const struct inspect_target *target = inspect_invocation_target(invocation);
  if (core || pid) {
    assert_non_null(target);
    assert_int_equal(target->pid, pid);
    if (core)
      assert_string_equal(target->core, core);
    else
      assert_null(target->core);
  } else {
    assert_null(target);
  }
  inspect_invocation_free(invocation);
}

static void test_grammar(void **state) {
  (void)state;
  check_command("core", "triage", "core", 0);
  check_command("core states", "states", "core", 0);
  check_command("core lua-states", "states", "core", 0);
  check_command("--vm 1 core leaks --json", "leaks", "core", 0);
  check_command("core --limit 3", "triage", "core", 0);
  check_command("core leaks --min-age 5m --no-progress", "leaks", "core", 0);
  check_command("--min-age 5m core leaks", "leaks", "core", 0);
  check_command("-p 12", "triage", NULL, 12);
  check_command("-p12 states --brief", "states", NULL, 12);
  check_command("--pid=12 states", "states", NULL, 12);
  check_command("states -p 12", "states", NULL, 12);
  check_command("-- -core states", "states", "-core", 0);
  check_command("--json -- -core", "triage", "-core", 0);
  check_command("help", "help", NULL, 0);
  check_command("help leaks", "help", NULL, 0);
  check_command("core help leaks", "help", NULL, 0);
  check_command("--version", "version", NULL, 0);
  check_command("--help", "help", NULL, 0);
}

static void check_topic(const char *line, const char *topic) {
  struct inspect_invocation *invocation = shell(line);
  assert_string_equal(invocation->command->shown.name, "help");
  assert_null(inspect_invocation_target(invocation));
  if (topic)
    assert_string_equal(invocation->options.topic, topic);
  else
    assert_null(invocation->options.topic);
  inspect_invocation_free(invocation);
}

static void test_help_is_found(void **state) {
  (void)state;
  check_topic("--help", NULL);
  check_topic("-h", NULL);
  check_topic("core --help", NULL);
  check_topic("core --help leaks", "leaks");
  check_topic("core leaks --help", "leaks");
  check_topic("leaks --help", "leaks");
  check_topic("paths -h", "paths");
  check_topic("core paths --help -k 3", "paths");
  check_topic("help leaks", "leaks");
  check_topic("help", NULL);
  check_topic("help states --help", "states");
  check_topic("--json help states", "states");
  refused("core leeks --help", "unknown command 'leeks'", "did you mean leaks?");
  struct inspect_invocation *invocation = debugger("leaks", "--help");
  assert_string_equal(invocation->options.topic, "leaks");
  inspect_invocation_free(invocation);
}

static void test_target_options(void **state) {
  (void)state;
  struct inspect_invocation *invocation =
      shell("core --exe ./server --sysroot=/srv/root --no-progress");
  const struct inspect_target *target = inspect_invocation_target(invocation);
  assert_string_equal(target->exe, "./server");
  assert_string_equal(target->sysroot, "/srv/root");
  assert_true(inspect_invocation_quiet(invocation));
  inspect_invocation_free(invocation);
  invocation = shell("core");
  assert_false(inspect_invocation_quiet(invocation));
  inspect_invocation_free(invocation);
}

/* argv may be freed right after parsing. */
static void test_words_are_copied(void **state) {
  (void)state;
  char name[] = "lua-inspect", core[] = "core", command[] = "leaks";
  char option[] = "--description=npc";
  char *argv[] = {name, core, command, option, NULL};
  struct inspect_invocation *invocation;
  assert_null(inspect_invocation_parse(4, argv, &invocation));
  memset(core, 'x', 4);
  memset(option, 'x', sizeof option - 1);
  assert_string_equal(invocation->target.core, "core");
  assert_string_equal(invocation->options.description, "npc");
  inspect_invocation_free(invocation);
}

/* ---- Words of a debugger's line -------------------------------------------------------------- */

/* The words joined by '|'. */
static void check_words(const char *line, const char *expected) {
  struct words words = {0};
  struct inspect_error *error = words_split(&arena, line, &words);
  if (error) fail_msg("%s: %s", line, error->message);
  struct text joined = {0};
  for (size_t i = 0; i < words.count; i++)
    assert_true((i == 0 || text_add(&joined, "|", 1)) && text_add_string(&joined, words.items[i]));
  assert_true(text_add(&joined, "", 1));
  assert_string_equal(joined.items, expected);
  vector_free(&joined);
  vector_free(&words);
}

static void test_splitting(void **state) {
  (void)state;
  check_words("", "");
  check_words("  \t ", "");
  check_words(" a  b\tc ", "a|b|c");
  check_words("package.loaded[\"a b\"].c d", "package.loaded[\"a b\"].c|d");
  check_words("npcs[ 42 ] x", "npcs[ 42 ]|x");
  check_words("co:local(2, x) y", "co:local(2, x)|y");
  check_words("t[\"]\"] y", "t[\"]\"]|y");
  check_words("t[\"a\\\" ]\"] y", "t[\"a\\\" ]\"]|y");
  check_words("t['a\"b '] y", "t['a\"b ']|y");
  check_words("\"a b\" c", "a b|c");
  check_words("'a b' c", "a b|c");
  check_words("'package.loaded[\"a b\"].c' d", "package.loaded[\"a b\"].c|d");
  check_words("\"say \\\"hi\\\" \\\\ \\n\"", "say \"hi\" \\ \\n");
  check_words("'a'b c", "'a'b|c");
  check_words("--description='a b' c", "--description=a b|c");
  check_words("--description 'a b'", "--description|a b");
  check_words("--from=t[\"a b\"] c", "--from=t[\"a b\"]|c");
  check_words("don't stop", "don't|stop");
  check_words("a\"b c\"", "a\"b|c\"");
  check_words("''", "");
  check_words("t[ unclosed", "t[ unclosed");
  check_words("] x", "]|x");
}

static void check_open(const char *line, const char *message) {
  struct words words = {0};
  check_complaint(words_split(&arena, line, &words), line, message, NULL);
  vector_free(&words);
}

static void test_open_quotes(void **state) {
  (void)state;
  check_open("\"abc", "a \" is not closed");
  check_open("x 'abc\\'", "a ' is not closed");
  check_open("t[\"abc]", "a \" is not closed");
  check_open("--description='abc", "a ' is not closed");
}

/* ---- Random lines ---------------------------------------------------------------------------- */

static uint64_t seed = 88172645463325252u;

static size_t roll(size_t below) {
  seed ^= seed << 13;
  seed ^= seed >> 7;
  seed ^= seed << 17;
  return (size_t)(seed % below);
}

static void test_random_lines(void **state) {
  (void)state;
  static const char *pieces[] = {
      "core",   "leaks",  "paths", "states", "help", "--json",    "--",   "-",     "--min-age",
      "--vm",   "=",      "5m",    "-k",     "-vk3", "-p",        "12",   "--now", "2026-11-22",
      "--from", "_G[1]",  "\"",    "'",      "[",    "(",         ")",    "\\",    "--through",
      "field,", "--help", "-h",    "\xff",   "\x1b", "--version", "--=x", "--k",   "--cause"};
  for (int round = 0; round < 20000; round++) {
    char line[512] = "";
    for (size_t i = roll(12); i > 0; i--) {
      strcat(line, pieces[roll(sizeof pieces / sizeof *pieces)]);
      if (roll(3)) strcat(line, " ");
    }
    struct inspect_invocation *invocation = NULL;
    struct inspect_error *error = roll(2)
                                      ? inspect_invocation_parse_line("leaks", line, &invocation)
                                      : parse_words(line, &invocation);
    if (error) {
      assert_int_equal(error->code, INSPECT_ERROR_USAGE);
      assert_null(strpbrk(error->message, "\x1b\n\xff"));
      inspect_error_free(error);
    } else {
      assert_non_null(invocation->command);
    }
    inspect_invocation_free(invocation);
    if (round % 100 == 0) arena_free(&arena);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(test_grammar),          TEST(test_help_is_found), TEST(test_target_options),
      TEST(test_words_are_copied), TEST(test_splitting),     TEST(test_open_quotes),
      TEST(test_random_lines),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
