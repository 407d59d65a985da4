/* test_invocation.c - the command line: grammar, values, complaints, help, and how a command's
 * result becomes text, JSON and an exit status. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "command/invocation.h"
#include "command/options.h"
#include "command/suggest.h"
#include "command/values.h"

/* ---- Helpers --------------------------------------------------------------------------------- */

static struct arena arena; /* for words; emptied after each test */

static int tear_down(void **state) {
  (void)state;
  arena_free(&arena);
  unsetenv("NO_COLOR");
  return 0;
}

/* The words of a line as a shell would hand them over; here only blanks separate them. */
static struct inspect_error *parse_words(const char *line, struct inspect_invocation **result) {
  char *argv[64] = {(char *)(uintptr_t) "lua-inspect"};
  int argc = 1;
  for (char *word = strtok(arena_copy(&arena, line, strlen(line)), " "); word && argc < 63;
       word = strtok(NULL, " "))
    argv[argc++] = word;
  return inspect_invocation_parse(argc, argv, result);
}

static struct inspect_invocation *shell(const char *line) {
  struct inspect_invocation *invocation;
  struct inspect_error *error = parse_words(line, &invocation);
  if (error) fail_msg("%s: %s", line, error->message);
  return invocation;
}

static struct inspect_invocation *debugger(const char *command, const char *line) {
  struct inspect_invocation *invocation;
  struct inspect_error *error = inspect_invocation_parse_line(command, line, &invocation);
  if (error) fail_msg("%s %s: %s", command, line, error->message);
  return invocation;
}

static void check_complaint(struct inspect_error *error, const char *line, const char *message,
                            const char *hint) {
  if (!error) fail_msg("%s was accepted", line);
  assert_int_equal(error->code, INSPECT_ERROR_USAGE);
  assert_string_equal(error->message, message);
  assert_non_null(error->hint);
  if (hint) assert_string_equal(error->hint, hint);
  inspect_error_free(error);
}

static void refused(const char *line, const char *message, const char *hint) {
  struct inspect_invocation *invocation = NULL;
  check_complaint(parse_words(line, &invocation), line, message, hint);
  inspect_invocation_free(invocation);
}

static void refused_line(const char *command, const char *line, const char *message,
                         const char *hint) {
  struct inspect_invocation *invocation = NULL;
  check_complaint(inspect_invocation_parse_line(command, line, &invocation), line, message, hint);
  inspect_invocation_free(invocation);
}

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

/* ---- Options --------------------------------------------------------------------------------- */

static void test_defaults(void **state) {
  (void)state;
  struct inspect_invocation *invocation = shell("core");
  static const struct command_options expected = {.through = ALL_KINDS};
  assert_memory_equal(&invocation->options, &expected, sizeof expected);
  inspect_invocation_free(invocation);
}

static void test_common_options(void **state) {
  (void)state;
  struct inspect_invocation *invocation =
      shell("core --vm 2 --json --color never --wide --threads 4 --now 1700000000.5 -v");
  const struct command_options *options = &invocation->options;
  assert_true(options->vm.is_given && !options->vm.is_address);
  assert_int_equal(options->vm.value, 2);
  assert_true(options->json && options->wide && options->verbose);
  assert_int_equal(options->color, COLOR_NEVER);
  assert_int_equal(options->threads, 4);
  assert_true(options->has_now && options->now == 1700000000.5);
  inspect_invocation_free(invocation);
  invocation = shell("core --vm 0x55d0c0ffee --color=always --color=auto");
  assert_true(invocation->options.vm.is_given && invocation->options.vm.is_address);
  assert_int_equal(invocation->options.vm.value, 0x55d0c0ffee);
  assert_int_equal(invocation->options.color, COLOR_AUTO);
  inspect_invocation_free(invocation);
}

static void check_path(const struct path *path, const char *expected) {
  struct text text = {0};
  assert_non_null(path);
  assert_true(path_format(path, &text) && text_add(&text, "", 1));
  assert_string_equal(text.items, expected);
  vector_free(&text);
}

static void test_leaks_options(void **state) {
  (void)state;
  struct inspect_invocation *invocation =
      shell("core leaks _G.watch --min-age 5m --description npc#* --all-weak --from registry "
            "--through field,upvalue --avoid 0x10 --avoid=_G.a --avoid _G.b --avoid _G.c --avoid "
            "_G.d -k 3 --cause 2 --all --cut npcs.list");
  const struct command_options *options = &invocation->options;
  check_path(options->tracker, "_G.watch");
  assert_true(options->has_min_age && options->min_age == 300);
  assert_string_equal(options->description, "npc#*");
  assert_true(options->all_weak && options->all);
  assert_int_equal(options->from.count, 1);
  check_path(&options->from.items[0], "registry");
  assert_int_equal(options->through,
                   1u << REFERENCE_FIELD | 1u << REFERENCE_UPVALUE | 1u << REFERENCE_UPVALUE_VALUE);
  assert_int_equal(options->avoid.count, 5);
  check_path(&options->avoid.items[0], "0x10");
  assert_string_equal(options->avoid.items[1].source, "_G.a");
  check_path(&options->avoid.items[4], "_G.d");
  assert_int_equal(options->chains, 3);
  assert_true(options->cause.is_given && !options->cause.is_fingerprint);
  assert_int_equal(options->cause.value, 2);
  assert_int_equal(options->cut.count, 1);
  check_path(&options->cut.items[0], "_G.npcs.list");
  inspect_invocation_free(invocation);
}

static void test_other_options(void **state) {
  (void)state;
  struct inspect_invocation *invocation = shell("core leaks --cause 00ff00ff00ff00ff");
  assert_true(invocation->options.cause.is_fingerprint);
  assert_true(invocation->options.cause.value == 0x00ff00ff00ff00ff);
  inspect_invocation_free(invocation);
  invocation = shell("core leaks --cause #3");
  assert_int_equal(invocation->options.cause.value, 3);
  inspect_invocation_free(invocation);
  invocation = shell("core paths @2 -vk4 --through table,all");
  check_path(invocation->options.object, "@2");
  assert_true(invocation->options.verbose);
  assert_int_equal(invocation->options.chains, 4);
  assert_int_equal(invocation->options.through, ALL_KINDS);
  inspect_invocation_free(invocation);
  invocation = shell("core paths --chains=7 -k 5 _G");
  assert_int_equal(invocation->options.chains, 5);
  inspect_invocation_free(invocation);
  invocation = debugger("states", "--brief --vm 1");
  assert_true(invocation->options.brief);
  inspect_invocation_free(invocation);
}

static void test_complaints(void **state) {
  (void)state;
  refused("", "no core file given", "lua-inspect CORE, or lua-inspect --help");
  refused("--json", "no core file given", NULL);
  refused("leaks", "no core file before the command leaks",
          "the core comes first: lua-inspect CORE leaks");
  refused("core leeks", "unknown command 'leeks'", "did you mean leaks?");
  refused("core path 0x1", "unknown command 'path'", "did you mean paths?");
  refused("core frobnicate", "unknown command 'frobnicate'", "help lists the commands");
  refused("core \x1b[31m", "unknown command '\\u{001B}[31m'", NULL);
  refused("core /dev/null", "'/dev/null' is a file, not a command",
          "lua-inspect --exe PROGRAM CORE");
  refused("core --foo", "unknown option '--foo'", "--help lists the options");
  refused("core --min-aeg 5m", "unknown option '--min-aeg'", "did you mean --min-age?");
  refused("core --min-aeg=5m", "unknown option '--min-aeg'", "did you mean --min-age?");
  refused("core --colour always", "unknown option '--colour'", "did you mean --color?");
  refused("core --desc x", "unknown option '--desc'", "did you mean --description?");
  refused("core -json", "unknown option '-json'", "did you mean --json?");
  refused("core -vx", "unknown option '-vx'", NULL);
  refused("core states --min-age 5m", "states has no option --min-age", "it is an option of leaks");
  refused("--brief core", "triage has no option --brief", "it is an option of states");
  refused("core --min-age", "--min-age needs an argument, T", NULL);
  refused("core paths _G -k", "-k needs an argument, N",
          "--chains N: show up to N different chains to an object");
  refused("core --json=yes", "--json takes no argument", NULL);
  refused("core leaks --min-age soon", "--min-age: 'soon' is no length of time", NULL);
  refused("core --now yesterday", "--now: 'yesterday' is no time", NULL);
  refused("core leaks -k many", "--chains: 'many' is no number", NULL);
  refused("core leaks -k 0", "--chains: 0 is not from 1 to 1000", NULL);
  refused("core leaks -k 1001", "--chains: 1001 is not from 1 to 1000", NULL);
  refused("core leaks -k 99999999999999999999", "--chains: '99999999999999999999' is no number",
          NULL);
  refused("core --color blue", "--color: 'blue' is neither auto nor always nor never", NULL);
  refused("core --vm 0", "--vm: '0' is no VM: neither a number from 1 nor an address", NULL);
  refused("core --vm 0xg", "--vm: '0xg' is no VM: neither a number from 1 nor an address", NULL);
  refused("core leaks --cause first",
          "--cause: 'first' is no cause: neither a number from 1 nor 16 hexadecimal digits", NULL);
  refused("core leaks --through field,feild", "--through: 'feild' is no kind of reference", NULL);
  refused("core leaks --through registry", "--through: 'registry' is no kind of reference", NULL);
  refused("core leaks --through field,", "--through: '' is no kind of reference", NULL);
  refused("core leaks --from npcs[",
          "expected a key (\"text\", 42, 1.5, true, 0x55...) at column 6 of npcs[", NULL);
  refused("core paths", "paths needs an argument, OBJECT", NULL);
  refused("core paths _G _G", "paths takes one argument, '_G' is too many",
          "a path with blanks in it needs quotes around it");
  refused("core states x", "states takes no argument, 'x' is too many", NULL);
  refused("-p self", "--pid: 'self' is no number", NULL);
  refused("-p 5 core", "unknown command 'core'", NULL);
  refused_line("leeks", "", "unknown command 'leeks'", "did you mean leaks?");
  refused_line("leaks", "-p 5", "unknown option '-p'", NULL);
  refused_line("leaks", "--description 'npc", "a ' is not closed", NULL);
}

static void test_sizes(void **state) {
  (void)state;
  static const struct {
    const char *word;
    uint64_t bytes;
  } sizes[] = {{"0", 0},
               {"4096", 4096},
               {"18446744073709551615", UINT64_MAX},
               {"10K", 10000},
               {"10k", 10000},
               {"10KB", 10000},
               {"12B", 12},
               {"1.5M", 1500000},
               {"2G", 2000000000},
               {"1T", 1000000000000},
               {"10Ki", 10240},
               {"1.5MiB", 1572864},
               {"0.1K", 100}};
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    uint64_t bytes = 1;
    assert_true(value_size(sizes[i].word, &bytes));
    assert_int_equal(bytes, sizes[i].bytes);
  }
  static const char *bad_sizes[] = {
      "", "K", "-1", "10X", "10 K", "1KK", "1Kb", "10iB", "1e6", "99999999999999T", "0x10"};
  for (size_t i = 0; i < sizeof bad_sizes / sizeof *bad_sizes; i++)
    if (value_size(bad_sizes[i], &(uint64_t){0})) fail_msg("%s", bad_sizes[i]);
}

/* One name may take other words with another command. */
static void test_same_name_other_words(void **state) {
  (void)state;
  struct inspect_invocation *invocation = shell("core find --sort class --limit 3");
  assert_int_equal(invocation->options.sort, 4);
  assert_int_equal(invocation->options.limit, 3);
  inspect_invocation_free(invocation);
  invocation = shell("core --sort name heap");
  assert_int_equal(invocation->options.sort, 3);
  inspect_invocation_free(invocation);
  refused("core heap --sort class", "--sort: 'class' is none of bytes, count, retained, name",
          NULL);
  refused("core find --by type", "find has no option --by", "it is an option of heap");
}

static void test_values(void **state) {
  (void)state;
  static const struct {
    const char *word;
    double seconds;
  } durations[] = {{"90", 90},     {"1.5", 1.5},   {"90s", 90},     {"5m", 300},    {"2h", 7200},
                   {"3d", 259200}, {"1w", 604800}, {"1h30m", 5400}, {"0.5h", 1800}, {"0", 0}};
  for (size_t i = 0; i < sizeof durations / sizeof *durations; i++) {
    double seconds = -1;
    assert_true(value_duration(durations[i].word, &seconds));
    assert_true(seconds == durations[i].seconds);
  }
  static const char *bad_durations[] = {"",    "m",   "-5",  "5x", "5m3",
                                        "1e3", "5 m", "5mm", ".5", "inf"};
  for (size_t i = 0; i < sizeof bad_durations / sizeof *bad_durations; i++)
    assert_false(value_duration(bad_durations[i], &(double){0}));
  static const struct {
    const char *word;
    double seconds;
  } times[] = {{"0", 0},
               {"1795362662", 1795362662},
               {"2026-11-22 15:51:02", 1795362662},
               {"2026-11-22 15:51:02 UTC", 1795362662},
               {"2026-11-22T15:51:02Z", 1795362662},
               {"2026-11-22T15:51:02.25Z", 1795362662.25},
               {"2026-11-22T16:51:02+01:00", 1795362662},
               {"2026-11-22 10:21:02 -0530", 1795362662},
               {"2026-11-22T16:51:02+01", 1795362662},
               {"2026-11-22 15:51", 1795362660},
               {"2026-11-22", 1795305600},
               {"1970-01-01", 0},
               {"2024-02-29", 1709164800}};
  for (size_t i = 0; i < sizeof times / sizeof *times; i++) {
    double seconds = -1;
    if (!value_time(times[i].word, &seconds)) fail_msg("%s", times[i].word);
    if (seconds != times[i].seconds) fail_msg("%s is %.3f", times[i].word, seconds);
  }
  static const char *bad_times[] = {"",
                                    "-1",
                                    "2026-13-01",
                                    "2026-00-10",
                                    "2026-02-29",
                                    "2026-04-31",
                                    "2026-11-00",
                                    "1969-12-31",
                                    "2026-11-22 24:00",
                                    "2026-11-22 10:60",
                                    "2026-11-22 1:00",
                                    "2026-11-22T",
                                    "2026-11-22 10:00 CET",
                                    "2026-11-22 10:00+1",
                                    "2026-11-22 10:00:00Zx",
                                    "26-11-22"};
  for (size_t i = 0; i < sizeof bad_times / sizeof *bad_times; i++)
    if (value_time(bad_times[i], &(double){0})) fail_msg("%s was accepted", bad_times[i]);
  double now = 0;
  assert_true(value_time("now", &now));
  assert_true(now - (double)time(NULL) < 2 && (double)time(NULL) - now < 2);
  uint64_t number;
  assert_true(value_count("18446744073709551615", &number) && number == UINT64_MAX);
  assert_false(value_count("18446744073709551616", &number));
  assert_true(value_address("0xFFFFFFFFFFFFFFFF", &number) && number == UINT64_MAX);
  assert_false(value_address("0x10000000000000000", &number));
  assert_false(value_address("0x", &number));
}

/* The words of the JSON contract that name references, each with some kind. */
static void test_kinds(void **state) {
  (void)state;
  for (enum reference_kind kind = REFERENCE_FIELD; kind < REFERENCE_KIND_COUNT; kind++) {
    uint32_t kinds = 0, all = 0;
    const char *name;
    for (size_t i = 0; (name = value_kind_name(i)); i++) {
      assert_true(value_kind(name, strlen(name), &all));
      if (strcmp(name, "all") == 0) continue;
      assert_true(value_kind(name, strlen(name), &kinds));
    }
    assert_true(kinds >> kind & 1); /* each kind can be asked for without "all" */
  }
}

static void test_suggestions(void **state) {
  (void)state;
  static const struct {
    const char *typed, *nearest;
  } cases[] = {{"leeks", "leaks"},  {"laeks", "leaks"},       {"leak", "leaks"}, {"sta", "states"},
               {"pathes", "paths"}, {"hlep", "help"},         {"xyzzy", NULL},   {"", NULL},
               {"l", NULL},         {"leaksleaksleaks", NULL}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct suggestion nearest = {.typed = cases[i].typed, .size = strlen(cases[i].typed)};
    const struct inspect_command *command;
    for (size_t j = 0; (command = inspect_command_at(j)); j++)
      suggest_offer(&nearest, command->name);
    if (!cases[i].nearest)
      assert_null(nearest.best);
    else
      assert_string_equal(nearest.best, cases[i].nearest);
  }
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

/* ---- The table ------------------------------------------------------------------------------- */

/* Calls `check` for each pair of option rows that can meet in one command line. */
static void for_each_option(void (*check)(const struct option *option, const void *context),
                            const void *context) {
  for (const struct option *const *list = options_common; *list; list++)
    check(*list, context);
  for (const struct option *const *list = options_shell; *list; list++)
    check(*list, context);
  for (const struct command *row = command_table; row->shown.name; row++)
    for (const struct option *const *list = row->options; *list; list++)
      check(*list, context);
}

static void check_same_meaning(const struct option *option, const void *context) {
  const struct option *other = context;
  if (option == other) return;
  if (strcmp(option->shown.name, other->shown.name) == 0)
    assert_int_equal(option_takes_argument(option), option_takes_argument(other));
  if (option->shown.letter) assert_int_not_equal(option->shown.letter, other->shown.letter);
}

static void check_option(const struct option *option, const void *context) {
  (void)context;
  bool is_flag = option->value == VALUE_FLAG || option->value == VALUE_NONE;
  assert_int_equal(option_takes_argument(option), !is_flag);
  assert_true(strlen(option->shown.help) > 0 && strlen(option->shown.help) <= 74);
  for_each_option(check_same_meaning, option);
}

static void test_option_rows(void **state) {
  (void)state;
  for_each_option(check_option, NULL);
}

static void test_table(void **state) {
  (void)state;
  static const char *expected[] = {"triage", "leaks", "states", "paths", "help"};
  for (size_t i = 0; i < sizeof expected / sizeof *expected; i++)
    assert_non_null(command_find(expected[i], strlen(expected[i])));
  assert_null(command_find("", 0));
  assert_null(command_find("lua-", 4));
  const struct inspect_command *command;
  size_t count = 0;
  for (; (command = inspect_command_at(count)); count++) {
    assert_true(strlen(command->summary) > 0);
    const struct command *row = command_find(command->name, strlen(command->name));
    assert_non_null(row->run);
    assert_null(row->options[sizeof row->options / sizeof *row->options - 1]);
    /* The synopsis names every option, the list begins with the command's own. */
    size_t index = 0;
    for (; row->options[index]; index++) {
      const struct inspect_command_option *option = &row->options[index]->shown;
      char name[40];
      if (option->letter)
        snprintf(name, sizeof name, "[-%c ", option->letter);
      else
        snprintf(name, sizeof name, "[--%s", option->name);
      if (!strstr(command->synopsis, name)) fail_msg("%s: %s", command->name, name);
      assert_ptr_equal(inspect_command_option_at(command->name, index), option);
    }
    for (size_t i = 0; options_common[i]; i++)
      assert_ptr_equal(inspect_command_option_at(command->name, index + i),
                       &options_common[i]->shown);
  }
  assert_null(inspect_command_at(count + 1));
  assert_null(inspect_command_option_at("leaks", 1000));
  assert_null(inspect_command_option_at("leeks", 0));
}

/* What help shows can be typed: the words behind "  lua-NAME" are parsed. */
static size_t check_examples(const char *help, bool is_debugger) {
  size_t count = 0;
  for (const char *at = strstr(help, "\nExamples:\n"); at && (at = strstr(at, "\n  lua-")); at++) {
    const char *line = at + 3 + strlen("lua-"), *end = strchr(at + 1, '\n');
    size_t name_size = strcspn(line, " \n");
    if (is_debugger) {
      char *name = arena_copy(&arena, line, name_size);
      inspect_invocation_free(
          debugger(name, arena_copy(&arena, line + name_size, (size_t)(end - line) - name_size)));
    } else {
      assert_memory_equal(line, "inspect ", 8);
    }
    count++;
  }
  return count;
}

static void check_help_text(const char *text) {
  for (const char *line = text; *line; line = strchr(line, '\n') + 1) {
    size_t size = strcspn(line, "\n");
    if (size > 100) fail_msg("%zu columns: %.*s", size, (int)size, line);
    assert_true(line[size] == '\n');
    if (size) assert_true(line[size - 1] != ' ');
  }
}

static void test_help_texts(void **state) {
  (void)state;
  const struct inspect_command *command;
  for (size_t i = 0; (command = inspect_command_at(i)); i++) {
    char *help = inspect_command_help(command->name);
    assert_non_null(help);
    assert_memory_equal(help, "lua-", 4);
    check_help_text(help);
    assert_true(check_examples(help, true) >= 2);
    inspect_free(help);
    struct text text = {0};
    assert_true(help_text(command_find(command->name, strlen(command->name)), false, &text));
    assert_true(text_add(&text, "", 1));
    assert_memory_equal(text.items, command->name, strlen(command->name));
    check_help_text(text.items);
    assert_true(check_examples(text.items, false) >= 2);
    assert_null(strstr(text.items, "lua-leaks"));
    assert_null(strstr(text.items, "lua-help"));
    vector_free(&text);
  }
  assert_null(inspect_command_help("leeks"));
  char *help = inspect_command_help("lua-leaks");
  assert_non_null(strstr(help, "\n  --min-age T             only survivors"));
  assert_non_null(strstr(help, "\n  -k N, --chains N  "));
  assert_non_null(strstr(help, "\n  lua-leaks --cause 1 --all\n"));
  inspect_free(help);
  for (int is_debugger = 0; is_debugger < 2; is_debugger++) {
    struct text text = {0};
    assert_true(help_text(NULL, is_debugger, &text) && text_add(&text, "", 1));
    check_help_text(text.items);
    vector_free(&text);
  }
}

/* ---- Running --------------------------------------------------------------------------------- */

/* What a host would have seen. */
struct host {
  struct text output, diagnostic;
  size_t open_writes; /* writes until nobody reads any more */
  bool cancels;
  size_t progress_calls, cancel_calls;
  bool released;
  size_t output_when_released;
};

static bool host_output(void *context, const char *text, size_t size) {
  struct host *host = context;
  if (host->open_writes == 0) return false;
  host->open_writes--;
  assert_true(text_add(&host->output, text, size));
  return true;
}

static void host_diagnostic(void *context, const char *text, size_t size) {
  struct host *host = context;
  assert_true(text_add(&host->diagnostic, text, size));
}

static void host_progress(void *context, const char *phase, double share) {
  struct host *host = context;
  assert_string_equal(phase, "walking");
  assert_true(share >= 0 && share <= 1);
  host->progress_calls++;
}

static bool host_cancelled(void *context) {
  struct host *host = context;
  host->cancel_calls++;
  return host->cancels;
}

static struct host *host_of;

static struct inspect_io io_of(struct host *host) {
  host_of = host;
  return (struct inspect_io){.context = host,
                             .output = host_output,
                             .diagnostic = host_diagnostic,
                             .progress = host_progress,
                             .cancelled = host_cancelled};
}

/* Runs a row that is not in the table, in place of the command that the line names. */
static int run(const char *line, struct inspect_error *(*function)(struct command_context *),
               bool has_session, struct host *host, bool terminal) {
  static int session; /* never looked into */
  struct inspect_invocation *invocation = shell(line);
  struct command row = *invocation->command;
  if (function) row.run = function;
  invocation->command = &row;
  struct inspect_io io = io_of(host);
  io.terminal = terminal;
  int status = inspect_invocation_run(invocation,
                                      has_session ? (struct inspect_session *)&session : NULL, &io);
  assert_true(text_add(&host->output, "", 1) && text_add(&host->diagnostic, "", 1));
  inspect_invocation_free(invocation);
  return status;
}

static void check_run(const char *line, struct inspect_error *(*function)(struct command_context *),
                      int status, const char *output, const char *diagnostic) {
  struct host host = {.open_writes = SIZE_MAX};
  assert_int_equal(run(line, function, true, &host, false), status);
  assert_string_equal(host.output.items, output);
  assert_string_equal(host.diagnostic.items, diagnostic);
  vector_free(&host.output);
  vector_free(&host.diagnostic);
}

static struct inspect_error *run_nothing(struct command_context *context) {
  line_words(page_line(context->document, 0), STYLE_BAD, "all is well");
  data_cell(context->data, "leaks", cell_count(0));
  return NULL;
}

static struct inspect_error *run_found(struct command_context *context) {
  context->found = true;
  return run_nothing(context);
}

static struct inspect_error *run_partial(struct command_context *context) {
  context->partial = true;
  return run_found(context);
}

static struct inspect_error *run_failing(struct command_context *context) {
  run_found(context);
  return error_at(INSPECT_ERROR_NOT_FOUND, 0x1234, "try _G", "there is no %s", "such object");
}

static struct inspect_error *run_without_hint(struct command_context *context) {
  (void)context;
  return error_create(INSPECT_ERROR_TARGET, NULL, "the core is empty");
}

static struct inspect_error *run_interrupted(struct command_context *context) {
  (void)context;
  return error_interrupted();
}

#define HEAD "{\n  \"schema\": \"lua-inspect/1\",\n  \"command\": \"triage\",\n  "

static void test_status_and_output(void **state) {
  (void)state;
  check_run("core", run_nothing, 0, "all is well\n", "");
  check_run("core", run_found, 1, "all is well\n", "");
  check_run("core --json", run_found, 1, HEAD "\"leaks\": 0,\n  \"partial\": false\n}\n", "");
  check_run("core", run_partial, 130, "all is well\ninterrupted: this answer is partial\n", "");
  check_run("core --json", run_partial, 130, HEAD "\"leaks\": 0,\n  \"partial\": true\n}\n", "");
  check_run("core", run_failing, 2, "", "lua-inspect: there is no such object\n  hint: try _G\n");
  check_run("core --json", run_failing, 2,
            HEAD "\"error\": {\n    \"code\": \"not-found\",\n    \"message\": \"there is no such "
                 "object\",\n    \"address\": \"0x1234\",\n    \"hint\": \"try _G\"\n  }\n}\n",
            "");
  check_run("core", run_without_hint, 2, "", "lua-inspect: the core is empty\n");
  check_run("core --json", run_without_hint, 2,
            HEAD
            "\"error\": {\n    \"code\": \"target\",\n    \"message\": \"the core is empty\",\n"
            "    \"address\": null,\n    \"hint\": null\n  }\n}\n",
            "");
  check_run("core", run_interrupted, 130, "", "lua-inspect: interrupted\n");
}

static void test_color(void **state) {
  (void)state;
  static const struct {
    const char *line, *no_color;
    bool terminal, is_coloured;
  } cases[] = {{"core", NULL, true, true},
               {"core", NULL, false, false},
               {"core", "1", true, false},
               {"core", "", true, true},
               {"core --color never", NULL, true, false},
               {"core --color always", NULL, false, true},
               {"core --color always", "1", false, true},
               {"core --color auto", "1", true, false}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    if (cases[i].no_color)
      setenv("NO_COLOR", cases[i].no_color, 1);
    else
      unsetenv("NO_COLOR");
    struct host host = {.open_writes = SIZE_MAX};
    assert_int_equal(run(cases[i].line, run_found, true, &host, cases[i].terminal), 1);
    assert_int_equal(strchr(host.output.items, '\033') != NULL, cases[i].is_coloured);
    vector_free(&host.output);
    vector_free(&host.diagnostic);
  }
}

static struct inspect_error *run_long_line(struct command_context *context) {
  struct line *line = page_line(context->document, 0);
  for (int i = 0; i < 40; i++)
    line_words(line, STYLE_PLAIN, "word ");
  return NULL;
}

static void test_wide(void **state) {
  (void)state;
  for (int is_wide = 0; is_wide < 2; is_wide++) {
    struct host host = {.open_writes = SIZE_MAX};
    assert_int_equal(run(is_wide ? "core --wide" : "core", run_long_line, true, &host, false), 0);
    size_t first = strcspn(host.output.items, "\n");
    assert_true(is_wide ? first > 190 : first <= 100);
    vector_free(&host.output);
    vector_free(&host.diagnostic);
  }
}

/* An analysis that would go on for ever: the monitor has to stop it. */
static struct inspect_error *run_for_ever(struct command_context *context) {
  while (!work_stops(context->work, "walking", 1, 2))
    continue;
  assert_true(work_stops(context->work, "walking", 1, 2)); /* and whatever follows it */
  return run_found(context);
}

static struct inspect_error *run_for_a_while(struct command_context *context) {
  struct timespec start, now;
  clock_gettime(CLOCK_MONOTONIC, &start);
  do {
    assert_false(work_stops(context->work, "walking", 1, 2));
    clock_gettime(CLOCK_MONOTONIC, &now);
  } while ((now.tv_sec - start.tv_sec) * 1000 + (now.tv_nsec - start.tv_nsec) / 1000000 < 350);
  return NULL;
}

static void test_progress_and_cancelling(void **state) {
  (void)state;
  struct host host = {.open_writes = SIZE_MAX, .cancels = true};
  assert_int_equal(run("core", run_for_ever, true, &host, false), 130);
  assert_string_equal(host.output.items, "all is well\ninterrupted: this answer is partial\n");
  assert_int_equal(host.cancel_calls, 1);
  vector_free(&host.output);
  vector_free(&host.diagnostic);
  host = (struct host){.open_writes = SIZE_MAX};
  assert_int_equal(run("core", run_for_a_while, true, &host, false), 0);
  assert_in_range(host.progress_calls, 1, 5);
  assert_in_range(host.cancel_calls, 2, 40);
  vector_free(&host.output);
  vector_free(&host.diagnostic);
  host = (struct host){.open_writes = SIZE_MAX};
  assert_int_equal(run("core --no-progress", run_for_a_while, true, &host, false), 0);
  assert_int_equal(host.progress_calls, 0);
  vector_free(&host.output);
  vector_free(&host.diagnostic);
}

static void release(void *state) {
  struct host *host = state;
  host->released = true;
  host->output_when_released = host->output.count;
}

static struct inspect_error *run_with_state(struct command_context *context) {
  context->release = release;
  context->state = host_of;
  return run_found(context);
}

static struct inspect_error *run_with_state_failing(struct command_context *context) {
  run_with_state(context);
  return error_no_memory();
}

static void test_state_is_released_after_rendering(void **state) {
  (void)state;
  struct host host = {.open_writes = SIZE_MAX};
  assert_int_equal(run("core", run_with_state, true, &host, false), 1);
  assert_true(host.released);
  assert_int_equal(host.output_when_released, strlen("all is well\n"));
  vector_free(&host.output);
  vector_free(&host.diagnostic);
  host = (struct host){.open_writes = SIZE_MAX};
  assert_int_equal(run("core", run_with_state_failing, true, &host, false), 2);
  assert_true(host.released);
  vector_free(&host.output);
  vector_free(&host.diagnostic);
}

/* A closed pipe ends quietly: no diagnostic, and the status is the answer's. */
static void test_nobody_reads(void **state) {
  (void)state;
  static const char *lines[] = {"core", "core --json"};
  for (size_t i = 0; i < 2; i++) {
    struct host host = {.open_writes = 0};
    assert_int_equal(run(lines[i], run_found, true, &host, false), 1);
    assert_string_equal(host.diagnostic.items, "");
    vector_free(&host.output);
    vector_free(&host.diagnostic);
  }
}

static void test_callbacks_may_be_null(void **state) {
  (void)state;
  static int session;
  struct inspect_io io = {0};
  struct inspect_invocation *invocation = shell("core");
  struct command row = *invocation->command;
  invocation->command = &row;
  row.run = run_found;
  assert_int_equal(inspect_invocation_run(invocation, (struct inspect_session *)&session, &io), 1);
  row.run = run_failing;
  assert_int_equal(inspect_invocation_run(invocation, (struct inspect_session *)&session, &io), 2);
  inspect_invocation_free(invocation);
}

static void test_no_session(void **state) {
  (void)state;
  struct host host = {.open_writes = SIZE_MAX};
  assert_int_equal(run("core", run_found, false, &host, false), 2);
  assert_string_equal(host.output.items, "");
  vector_free(&host.output);
  vector_free(&host.diagnostic);
}

static void test_help_and_version_run(void **state) {
  (void)state;
  struct host host = {.open_writes = SIZE_MAX};
  struct text text = {0};
  assert_true(help_text(command_find("leaks", 5), false, &text) && text_add(&text, "", 1));
  assert_int_equal(run("help leaks", NULL, false, &host, false), 0);
  assert_string_equal(host.output.items, text.items); /* the page changes nothing */
  vector_free(&text);
  vector_free(&host.output);
  vector_free(&host.diagnostic);
  host = (struct host){.open_writes = SIZE_MAX};
  assert_int_equal(run("help leaks --json", NULL, false, &host, false), 0);
  assert_non_null(strstr(host.output.items, "\"topic\": {\n    \"name\": \"leaks\","));
  assert_null(strstr(host.output.items, "\"partial\""));
  vector_free(&host.output);
  vector_free(&host.diagnostic);
  host = (struct host){.open_writes = SIZE_MAX};
  assert_int_equal(run("--help", NULL, false, &host, false), 0);
  assert_non_null(strstr(host.output.items, "usage: lua-inspect [OPTIONS] CORE"));
  vector_free(&host.output);
  vector_free(&host.diagnostic);
  host = (struct host){.open_writes = SIZE_MAX};
  assert_int_equal(run("help leeks", NULL, false, &host, false), 2);
  assert_string_equal(host.diagnostic.items,
                      "lua-inspect: unknown command 'leeks'\n  hint: did you mean leaks?\n");
  vector_free(&host.output);
  vector_free(&host.diagnostic);
  host = (struct host){.open_writes = SIZE_MAX};
  assert_int_equal(run("--version", NULL, false, &host, false), 0);
  assert_memory_equal(host.output.items, "lua-inspect ", 12);
  vector_free(&host.output);
  vector_free(&host.diagnostic);
}

/* An error of parsing is JSON, too, if the line asks for it. */
static void test_reporting_parse_errors(void **state) {
  (void)state;
  static const char *lines[] = {"core leeks", "core leeks --json", "--json core --nope"};
  for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
    struct host host = {.open_writes = SIZE_MAX};
    struct inspect_io io = io_of(&host);
    struct inspect_invocation *invocation = NULL;
    struct inspect_error *error = parse_words(lines[i], &invocation);
    assert_non_null(error);
    assert_int_equal(inspect_report_error(invocation, error, &io), 2);
    assert_true((host.output.count > 0) == (i > 0));
    assert_true((host.diagnostic.count > 0) == (i == 0));
    inspect_invocation_free(invocation);
    vector_free(&host.output);
    vector_free(&host.diagnostic);
  }
  struct host host = {.open_writes = SIZE_MAX};
  struct inspect_io io = io_of(&host);
  assert_int_equal(inspect_report_error(NULL, error_no_memory(), &io), 2);
  assert_int_equal(inspect_report_error(NULL, error_interrupted(), &io), 130);
  assert_true(host.diagnostic.count > 0);
  vector_free(&host.diagnostic);
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

#define TEST(function) cmocka_unit_test_teardown(function, tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(test_grammar),
      TEST(test_help_is_found),
      TEST(test_target_options),
      TEST(test_words_are_copied),
      TEST(test_defaults),
      TEST(test_common_options),
      TEST(test_leaks_options),
      TEST(test_other_options),
      TEST(test_complaints),
      TEST(test_sizes),
      TEST(test_same_name_other_words),
      TEST(test_values),
      TEST(test_kinds),
      TEST(test_suggestions),
      TEST(test_splitting),
      TEST(test_open_quotes),
      TEST(test_option_rows),
      TEST(test_table),
      TEST(test_help_texts),
      TEST(test_status_and_output),
      TEST(test_color),
      TEST(test_wide),
      TEST(test_progress_and_cancelling),
      TEST(test_state_is_released_after_rendering),
      TEST(test_nobody_reads),
      TEST(test_callbacks_may_be_null),
      TEST(test_no_session),
      TEST(test_help_and_version_run),
      TEST(test_reporting_parse_errors),
      TEST(test_random_lines),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
