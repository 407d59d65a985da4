/* test_command_table.c - the table of commands and options, and the help that is made from it. */
#include "command_lines.h"

#include <stdio.h>

#include "command/options.h"

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

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(test_option_rows),
      TEST(test_table),
      TEST(test_help_texts),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
