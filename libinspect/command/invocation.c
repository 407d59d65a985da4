/* invocation.c - from a command line to a written answer: parse, run, report.
 *
 * Invariants: the command fills a document and returns; only here is it rendered, and only through
 * the host's callbacks. Every error takes one way out, inspect_report_error, in the format that was
 * asked for. The exit status follows from the command's result and never from rendering. */
#include "command/invocation.h"

#include <stdlib.h>
#include <string.h>

#include "base/parallel.h"
#include "base/shortage.h"
#include "command/monitor.h"
#include "command/session.h"
#include "report/render.h"

enum { STATUS_NOTHING = 0, STATUS_FOUND = 1, STATUS_UNUSABLE = 2, STATUS_INTERRUPTED = 130 };
enum { PAGE_WIDTH = 100 };

/* ---- Parsing --------------------------------------------------------------------------------- */

static struct inspect_invocation *create(bool is_debugger) {
  struct inspect_invocation *invocation = calloc(1, sizeof *invocation);
  if (!invocation) return NULL;
  arena_init(&invocation->arena);
  invocation->is_debugger = is_debugger;
  invocation->options.through = ALL_KINDS;
  return invocation;
}

void inspect_invocation_free(struct inspect_invocation *invocation) {
  if (!invocation) return;
  arena_free(&invocation->arena);
  free(invocation);
}

/* An answer that memory ran out for may lack something, an error may be about what is not so. */
static struct inspect_error *without_shortage(struct inspect_error *error) {
  if (!shortage_seen() || (error && error->code == INSPECT_ERROR_INTERRUPTED)) return error;
  inspect_error_free(error);
  return error_no_memory();
}

/* An error of the command line is told as JSON, too, if the line asks for JSON anywhere. */
static bool wants_json(const struct words *words) {
  for (size_t i = 0; i < words->count && strcmp(words->items[i], "--") != 0; i++)
    if (strcmp(words->items[i], "--json") == 0) return true;
  return false;
}

static struct inspect_error *finish(struct inspect_invocation *invocation, struct words *words) {
  struct inspect_error *error = without_shortage(arguments_parse(invocation, words));
  if (error) invocation->options.json = wants_json(words);
  vector_free(words);
  return error;
}

/* The words outlive the caller's strings. */
static struct inspect_error *copy_words(struct arena *arena, int argc, char *const *argv,
                                        struct words *words) {
  for (int i = 1; i < argc && argv[i]; i++) {
    const char *word = arena_copy(arena, argv[i], strlen(argv[i]));
    if (!word || !vector_push(words, word)) return error_no_memory();
  }
  return NULL;
}

struct inspect_error *inspect_invocation_parse(int argc, char *const *argv,
                                               struct inspect_invocation **result) {
  struct words words = {0};
  shortage_forget();
  *result = create(false);
  if (!*result) return error_no_memory();
  struct inspect_error *error = copy_words(&(*result)->arena, argc, argv, &words);
  if (!error) return finish(*result, &words);
  vector_free(&words);
  return error;
}

struct inspect_error *inspect_invocation_parse_line(const char *command, const char *arguments,
                                                    struct inspect_invocation **result) {
  struct words words = {0};
  shortage_forget();
  *result = create(true);
  if (!*result) return error_no_memory();
  (*result)->command = command_find(command, strlen(command));
  if (!(*result)->command) return command_unknown(command);
  struct inspect_error *error = words_split(&(*result)->arena, arguments ? arguments : "", &words);
  if (!error) return finish(*result, &words);
  vector_free(&words);
  return error;
}

const struct inspect_target *
inspect_invocation_target(const struct inspect_invocation *invocation) {
  bool has_target = invocation->command && !invocation->command->without_session;
  return has_target ? &invocation->target : NULL;
}

bool inspect_invocation_quiet(const struct inspect_invocation *invocation) {
  return invocation->options.no_progress;
}

/* ---- Writing --------------------------------------------------------------------------------- */

static bool discard(void *context, const char *text, size_t size) {
  (void)context, (void)text, (void)size;
  return true;
}

static bool is_coloured(const struct command_options *options, const struct inspect_io *io) {
  if (options->color != COLOR_AUTO) return options->color == COLOR_ALWAYS;
  const char *refused = getenv("NO_COLOR"); /* no-color.org: any value but the empty one */
  return io->terminal && !(refused && *refused);
}

/* False only if memory ran out; that nobody reads any more is no fault. */
static bool write_document(struct document *document, const struct command_options *options,
                           const struct inspect_io *io) {
  struct render_options render = {.colour = is_coloured(options, io),
                                  .width = options->wide ? 0 : PAGE_WIDTH,
                                  .write = io->output ? io->output : discard,
                                  .context = io->context};
  if (document_failed(document)) return false;
  if (options->json)
    render_json(document, &render);
  else
    render_text(document, &render);
  return !document_failed(document);
}

static void begin_data(struct document *document, const struct command *command) {
  data_cell(document_data(document), "schema", cell_words("lua-inspect/1"));
  data_cell(document_data(document), "command", cell_words(command ? command->shown.name : NULL));
}

/* ---- Errors ---------------------------------------------------------------------------------- */

static bool write_error_json(const struct inspect_invocation *invocation,
                             const struct inspect_error *error, const struct inspect_io *io) {
  struct document *document = document_create();
  if (!document) return false;
  begin_data(document, invocation->command);
  struct data *data = data_object(document_data(document), "error");
  data_cell(data, "code", cell_words(inspect_error_name(error->code)));
  data_cell(data, "message", cell_words(error->message));
  data_cell(data, "address", error->has_address ? cell_address(error->address) : cell_null());
  data_cell(data, "hint", cell_words(error->hint));
  bool ok = write_document(document, &invocation->options, io);
  document_free(document);
  return ok;
}

static void diagnose(const struct inspect_io *io, const char *text) {
  if (io->diagnostic) io->diagnostic(io->context, text, strlen(text));
}

/* What needs no memory to be said: error_no_memory as text. */
#define NO_MEMORY_TEXT                                                                             \
  "lua-inspect: out of memory\n"                                                                   \
  "  hint: " ERROR_NO_MEMORY_HINT "\n"

static void write_error_text(const struct inspect_error *error, const struct inspect_io *io) {
  struct text text = {0};
  bool ok = text_add_string(&text, "lua-inspect: ") && text_add_string(&text, error->message) &&
            text_add(&text, "\n", 1);
  if (error->hint)
    ok = ok && text_add_string(&text, "  hint: ") && text_add_string(&text, error->hint) &&
         text_add(&text, "\n", 1);
  ok = ok && text_add(&text, "", 1);
  diagnose(io, ok ? text.items : NO_MEMORY_TEXT);
  vector_free(&text);
}

int inspect_report_error(const struct inspect_invocation *invocation, struct inspect_error *error,
                         const struct inspect_io *io) {
  int status = error->code == INSPECT_ERROR_INTERRUPTED ? STATUS_INTERRUPTED : STATUS_UNUSABLE;
  bool is_json = invocation && invocation->options.json;
  if (!is_json || !write_error_json(invocation, error, io)) write_error_text(error, io);
  inspect_error_free(error);
  return status;
}

/* ---- Running --------------------------------------------------------------------------------- */

/* The end of every answer that was got from a target. */
static void end_document(struct command_context *context) {
  if (context->partial) document_set_partial(context->document);
  if (context->session) data_partial(context->data, "partial", context->document);
  line_words(page_closing(context->document), STYLE_BAD, "interrupted: this answer is partial");
}

static int finish_run(const struct inspect_invocation *invocation, struct command_context *context,
                      struct inspect_error *error) {
  error = without_shortage(error);
  if (!error) {
    end_document(context);
    if (!write_document(context->document, &invocation->options, context->io) || shortage_seen())
      error = error_no_memory();
  }
  if (context->release) context->release(context->state);
  if (error && error->code == INSPECT_ERROR_NO_MEMORY && context->session)
    session_forget(context->session);
  if (error) return inspect_report_error(invocation, error, context->io);
  if (document_is_partial(context->document)) return STATUS_INTERRUPTED;
  return context->found ? STATUS_FOUND : STATUS_NOTHING;
}

/* Runs the command. What is left of one that was stopped before it had an answer of its own is
 * what is known of the target. */
static struct inspect_error *run_command(const struct command *command,
                                         struct command_context *context,
                                         const struct monitor *monitor) {
  struct inspect_error *error = command->run(context);
  context->partial = context->partial || monitor->is_stopped;
  if (!error || error->code != INSPECT_ERROR_INTERRUPTED || !context->session) return error;
  context->partial = true;
  describe_interrupted(context, monitor->stopped_phase, monitor->stopped_share);
  return NULL;
}

/* What the command will need. */
static struct budget budget_of(const struct command *command,
                               const struct command_options *options) {
  struct budget budget = {
      .limit = options->max_memory, .stage = command->memory, .command = command->shown.name};
  if (options->brief && budget.stage > MEMORY_CHAINS) budget.stage = MEMORY_CHAINS;
  return budget;
}

int inspect_invocation_run(struct inspect_invocation *invocation, struct inspect_session *session,
                           const struct inspect_io *io) {
  const struct command *command = invocation->command;
  if (!command || (!session && !command->without_session))
    return inspect_report_error(
        invocation,
        error_create(INSPECT_ERROR_USAGE, "open a core first", "there is no target to look at"),
        io);
  shortage_forget();
  bool is_redacted = invocation->options.redact || invocation->options.redact_key;
  if (session && is_redacted && !session->redaction)
    return inspect_report_error(
        invocation,
        error_create(INSPECT_ERROR_USAGE,
                     "open the target with it: lua_inspect.open(..., redact=True)",
                     "this session was opened without --redact, and shows strings"),
        io);
  struct document *document = document_create();
  if (!document) return inspect_report_error(invocation, error_no_memory(), io);
  struct arena arena;
  arena_init(&arena);
  struct monitor monitor;
  monitor_start(&monitor, io, invocation->options.no_progress);
  uint64_t threads = invocation->options.threads;
  struct work work = {.context = &monitor,
                      .report = monitor_report,
                      .threads = threads ? (unsigned)threads : parallel_processors()};
  struct work writing = {.context = &monitor, .report = monitor_report_writing};
  document_watch(document, &writing);
  struct command_context context = {.session = session,
                                    .options = &invocation->options,
                                    .document = document,
                                    .data = document_data(document),
                                    .io = io,
                                    .work = &work,
                                    .arena = &arena,
                                    .is_debugger = invocation->is_debugger};
  begin_data(document, command);
  if (session) session->budget = budget_of(command, &invocation->options);
  int status = finish_run(invocation, &context, run_command(command, &context, &monitor));
  if (invocation->options.verbose) monitor_tell_times(&monitor);
  arena_free(&arena);
  document_free(document);
  return status;
}

/* ---- The library itself ---------------------------------------------------------------------- */

uint32_t inspect_abi(void) { return INSPECT_ABI; }

const char *inspect_version(void) { return "0.1.0"; }

void inspect_free(void *memory) { free(memory); }
