/* test_run.c - how a command's result becomes text, JSON and an exit status. */
#include "command_lines.h"

#include "command/session.h"

#include <stdio.h>
#include <time.h>
#include <unistd.h>

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
  bool is_writing = strcmp(phase, "writing") == 0;
  assert_true(is_writing || strcmp(phase, "walking") == 0);
  assert_true(share <= 1 && (is_writing || share >= 0));
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
  static struct source source = {.name = "core", .path = "/core", .time = 1700000000};
  struct inspect_session session = {.source = &source}; /* in which nothing was found yet */
  struct inspect_invocation *invocation = shell(line);
  struct command row = *invocation->command;
  if (function) row.run = function;
  invocation->command = &row;
  struct inspect_io io = io_of(host);
  io.terminal = terminal;
  int status = inspect_invocation_run(invocation, has_session ? &session : NULL, &io);
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

/* It is not told of an interruption: it is one that the monitor knows of. */
static struct inspect_error *run_stopped(struct command_context *context) {
  while (!work_stops(context->work, "walking", 1, 2))
    continue;
  assert_true(work_stops(context->work, "running", 1, 2)); /* of no interest any more */
  return error_interrupted();
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
}

/* What is left of a command that has no answer of its own. */
static void test_interrupted_before_an_answer(void **state) {
  (void)state;
  static const char begun[] =
      HEAD "\"target\": {\n    \"kind\": \"core\",\n    \"path\": \"/core\",\n    \"pid\": null,\n"
           "    \"time\": 1700000000,\n    \"unstopped\": false,\n    \"missing_bytes\": 0,\n    "
           "\"left_out_bytes\": 0,\n    \"ends_early\": null\n  },\n "
           " \"vms\": [],\n"
           "  \"faults\": [],\n  \"notes\": [],\n";
  static const char end[] = "    \"vms\": 0,\n    \"objects\": 0,\n    \"bytes\": 0,\n"
                            "    \"types\": []\n  },\n  \"partial\": true\n}\n";
  char expected[2000];
  check_run("core", run_interrupted, 130,
            "core\n\nseen so far   0 VMs\n\ninterrupted: this answer is partial\n", "");
  snprintf(expected, sizeof expected,
           "%s  \"interrupted\": {\n    \"phase\": null,\n    \"share\": null,\n%s", begun, end);
  check_run("core --json", run_interrupted, 130, expected, "");
  struct host host = {.open_writes = SIZE_MAX, .cancels = true};
  assert_int_equal(run("core", run_stopped, true, &host, false), 130);
  assert_string_equal(host.output.items, "core\n\nstopped at    walking, 50 %\n"
                                         "seen so far   0 VMs\n\n"
                                         "interrupted: this answer is partial\n");
  vector_free(&host.output);
  vector_free(&host.diagnostic);
  host = (struct host){.open_writes = SIZE_MAX, .cancels = true};
  assert_int_equal(run("core --json", run_stopped, true, &host, false), 130);
  snprintf(expected, sizeof expected,
           "%s  \"interrupted\": {\n    \"phase\": \"walking\",\n    \"share\": 0.5,\n%s", begun,
           end);
  assert_string_equal(host.output.items, expected);
  vector_free(&host.output);
  vector_free(&host.diagnostic);
}

/* ---- Interrupted while the answer is written */

static void endless_row(void *context, size_t index, struct data *object) {
  assert_int_equal(index, ++*(size_t *)context - 1);
  data_cell(object, "number", cell_count(index));
}

static struct inspect_error *run_endless_rows(struct command_context *context) {
  static size_t rows;
  rows = 0;
  data_rows(context->data, "rows", SIZE_MAX, endless_row, &rows);
  data_cell(context->data, "behind", cell_boolean(true));
  return NULL;
}

static struct inspect_error *run_endless_page(struct command_context *context) {
  struct table *table = page_table(context->document, 0);
  table_column(table, "number");
  for (size_t i = 0; !document_stops(context->document, i, SIZE_MAX); i++) {
    table_row(table);
    table_cell(table, cell_plain(i % 1000));
  }
  return NULL;
}

/* Each ends by itself, and well: the answer is marked as partial. */
static void test_interrupted_while_writing(void **state) {
  (void)state;
  struct host host = {.open_writes = SIZE_MAX, .cancels = true};
  assert_int_equal(run("core --json", run_endless_rows, true, &host, false), 130);
  size_t size = host.output.count - 1;
  static const char end[] = "  ],\n  \"behind\": true,\n  \"partial\": true\n}\n";
  assert_true(size > 1000); /* there was time for some of it */
  assert_string_equal(host.output.items + size - strlen(end), end);
  vector_free(&host.output);
  vector_free(&host.diagnostic);
  host = (struct host){.open_writes = SIZE_MAX, .cancels = true};
  assert_int_equal(run("core", run_endless_page, true, &host, false), 130);
  assert_non_null(strstr(host.output.items, "\ninterrupted: this answer is partial\n"));
  vector_free(&host.output);
  vector_free(&host.diagnostic);
}

/* An answer that could be finished in time is whole, and so is one that nobody interrupts. */
static void test_finished_in_time(void **state) {
  (void)state;
  struct host host = {.open_writes = SIZE_MAX, .cancels = true};
  assert_int_equal(run("core --json", run_found, true, &host, false), 1);
  assert_non_null(strstr(host.output.items, "\"partial\": false"));
  vector_free(&host.output);
  vector_free(&host.diagnostic);
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
  static struct source source = {.name = "core"};
  struct inspect_session session = {.source = &source};
  struct inspect_io io = {0};
  struct inspect_invocation *invocation = shell("core");
  struct command row = *invocation->command;
  invocation->command = &row;
  row.run = run_found;
  assert_int_equal(inspect_invocation_run(invocation, &session, &io), 1);
  row.run = run_failing;
  assert_int_equal(inspect_invocation_run(invocation, &session, &io), 2);
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

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(test_status_and_output),
      TEST(test_interrupted_before_an_answer),
      TEST(test_interrupted_while_writing),
      TEST(test_finished_in_time),
      TEST(test_color),
      TEST(test_wide),
      TEST(test_progress_and_cancelling),
      TEST(test_state_is_released_after_rendering),
      TEST(test_nobody_reads),
      TEST(test_callbacks_may_be_null),
      TEST(test_no_session),
      TEST(test_help_and_version_run),
      TEST(test_reporting_parse_errors),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
