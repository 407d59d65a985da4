/* test_options.c - options and their values: what is accepted, and what is said of the rest. */
#include "command_lines.h"

#include <time.h>

#include "command/options.h"
#include "command/suggest.h"
#include "command/values.h"

static void test_defaults(void **state) {
  (void)state;
  struct inspect_invocation *invocation = shell("core");
  static const struct command_options expected = {.through = ALL_KINDS};
  assert_memory_equal(&invocation->options, &expected, sizeof expected);
  inspect_invocation_free(invocation);
}

static void test_common_options(void **state) {
  (void)state;
  struct inspect_invocation *invocation = shell("core --vm 2 --json --color never --wide --threads "
                                                "4 --max-memory 1.5G --now 1700000000.5 -v");
  const struct command_options *options = &invocation->options;
  assert_true(options->vm.is_given && !options->vm.is_address);
  assert_int_equal(options->vm.value, 2);
  assert_true(options->json && options->wide && options->verbose);
  assert_int_equal(options->color, COLOR_NEVER);
  assert_int_equal(options->threads, 4);
  assert_int_equal(options->max_memory, 1500000000);
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
            "_G.d -k 3 --cause 2 --all --brief --cut npcs.list");
  const struct command_options *options = &invocation->options;
  check_path(options->tracker, "_G.watch");
  assert_true(options->has_min_age && options->min_age == 300);
  assert_string_equal(options->description, "npc#*");
  assert_true(options->all_weak && options->all && options->brief);
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
  refused("--brief core", "triage has no option --brief", "it is an option of leaks");
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

int main(void) {
  const struct CMUnitTest tests[] = {
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
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
