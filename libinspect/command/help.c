/* help.c - help composed from the table: what a command answers, its options, its examples.
 *
 * One text serves gdb, lldb and the shell; only how a command is typed differs: lua-leaks in a
 * debugger, `lua-inspect CORE leaks` in the shell. Every line fits 100 columns. */
#include <string.h>

#include "command/command.h"

enum { WIDTH = 100, OPTION_COLUMN = 26 };

/* ---- Spelling -------------------------------------------------------------------------------- */

/* The command whose name stands at `at` behind "lua-", NULL if none does. */
static const struct command *command_at(const char *at) {
  if (strncmp(at, "lua-", 4) != 0) return NULL;
  return command_find(at + 4, strspn(at + 4, "abcdefghijklmnopqrstuvwxyz"));
}

/* A command where an example begins. */
static const char *typed_prefix(const struct command *command) {
  return command->without_session ? "lua-inspect " : "lua-inspect CORE ";
}

/* Appends one line of help as it is spelled in the shell or, unchanged, in a debugger. */
static bool add_spelled(struct text *text, const char *line, size_t size, bool is_debugger) {
  for (const char *at = line, *end = line + size; at < end;) {
    const struct command *command = is_debugger ? NULL : command_at(at);
    bool is_example = size > 2 && at == line + 2 && memcmp(line, "  ", 2) == 0;
    if (command) {
      if (is_example && !text_add_string(text, typed_prefix(command))) return false;
      at += 4;
    } else if (!text_add(text, at++, 1)) {
      return false;
    }
  }
  return true;
}

/* ---- Layout ---------------------------------------------------------------------------------- */

static bool add_blanks(struct text *text, size_t count) {
  for (; count; count--)
    if (!text_add(text, " ", 1)) return false;
  return true;
}

/* Blanks and the word behind them; what stands in square brackets is not parted. */
static size_t piece_size(const char *line, size_t size) {
  size_t piece = 0, depth = 0;
  while (piece < size && line[piece] == ' ')
    piece++;
  for (; piece < size && (depth || line[piece] != ' '); piece++) {
    if (line[piece] == '[') depth++;
    if (line[piece] == ']' && depth) depth--;
  }
  return piece;
}

/* Appends a line broken at blanks, continued at column `indent`; `column` says where it starts. */
static bool add_wrapped(struct text *text, const char *line, size_t size, size_t column,
                        size_t indent) {
  while (size) {
    size_t piece = piece_size(line, size);
    if (column + piece > WIDTH && column > indent) {
      if (!text_add(text, "\n", 1) || !add_blanks(text, indent)) return false;
      column = indent;
      size_t blanks = strspn(line, " ");
      line += blanks;
      size -= blanks;
      piece -= blanks;
    }
    if (!text_add(text, line, piece)) return false;
    column += piece;
    line += piece;
    size -= piece;
  }
  return text_add(text, "\n", 1);
}

/* Paragraphs or examples: one line of the source after the other. */
static bool add_lines(struct text *text, const char *lines, const char *end, bool is_debugger) {
  bool ok = true;
  while (ok && lines < end) {
    const char *newline = memchr(lines, '\n', (size_t)(end - lines));
    size_t size = (size_t)((newline ? newline : end) - lines);
    struct text spelled = {0};
    ok = add_spelled(&spelled, lines, size, is_debugger) &&
         add_wrapped(text, spelled.items, spelled.count, 0, strspn(lines, " "));
    vector_free(&spelled);
    lines += size + 1;
  }
  return ok;
}

/* "  -k N, --chains N     help" */
static bool add_option(struct text *text, const struct inspect_command_option *option) {
  size_t start = text->count;
  const char *blank = option->argument ? " " : "",
             *argument = option->argument ? option->argument : "";
  bool ok = text_add(text, "  ", 2);
  if (option->letter) ok = ok && text_printf(text, "-%c%s%s, ", option->letter, blank, argument);
  ok = ok && text_printf(text, "--%s%s%s", option->name, blank, argument);
  size_t column = text->count - start;
  if (column + 2 > OPTION_COLUMN) {
    ok = ok && text_add(text, "\n", 1);
    column = 0;
  }
  return ok && add_blanks(text, OPTION_COLUMN - column) &&
         add_wrapped(text, option->help, strlen(option->help), OPTION_COLUMN, OPTION_COLUMN);
}

static bool add_options(struct text *text, const char *heading, const struct option *const *list) {
  if (!*list) return true;
  bool ok = text_printf(text, "\n%s\n", heading);
  for (; ok && *list; list++)
    ok = add_option(text, &(*list)->shown);
  return ok;
}

/* ---- Texts ----------------------------------------------------------------------------------- */

static bool command_text(const struct command *command, bool is_debugger, struct text *text) {
  const struct inspect_command *shown = &command->shown;
  const char *examples = strstr(shown->help, "Examples:\n"), *end = strchr(shown->help, 0);
  if (!examples) examples = end;
  const char *prefix = is_debugger                ? "lua-"
                       : command->without_session ? "lua-inspect "
                                                  : "lua-inspect [OPTIONS] CORE ";
  struct text usage = {0};
  bool ok =
      text_printf(&usage, "usage: %s%s%s%s", prefix, shown->name, *shown->synopsis ? " " : "",
                  shown->synopsis) &&
      text_printf(text, "%s%s - %s\n\n", is_debugger ? "lua-" : "", shown->name, shown->summary) &&
      add_wrapped(text, usage.items, usage.count, 0, 7) && text_add(text, "\n", 1) &&
      add_lines(text, shown->help, examples > shown->help ? examples - 1 : examples, is_debugger) &&
      add_options(text, "Options:", command->options) &&
      add_options(text, "Options of every command:", options_common) && text_add(text, "\n", 1) &&
      add_lines(text, examples, end, is_debugger);
  vector_free(&usage);
  return ok;
}

/* What --snapshot chooses; the shell only. */
static const char snapshots[] =
    "\nHow a process is read (-p PID):\n"
    "  --snapshot=copy         stop it, copy its memory, let it go on, and analyse the copy\n"
    "  --snapshot=stop         the same, but it goes on only when the answer is there\n"
    "  --snapshot=fork         stop it for the time of a fork, which it is made to do, and copy "
    "the\n"
    "                          child: two system calls run in it (clone, wait4), without a signal\n"
    "                          to it. Killing lua-inspect with SIGKILL while one of them runs "
    "(some\n"
    "                          20 ms for each GB of memory) would end the process\n"
    "  --snapshot=none         do not stop it: what is read may be torn, and is labelled so\n";

static bool overview_text(bool is_debugger, struct text *text) {
  bool ok =
      text_printf(text, "lua-inspect %s - post-mortem heap analysis of Lua\n\n", inspect_version());
  if (!is_debugger)
    ok = ok && text_add_string(text, "usage: lua-inspect [OPTIONS] CORE [COMMAND [ARGS]]\n"
                                     "       lua-inspect [OPTIONS] -p PID [COMMAND [ARGS]]\n"
                                     "       lua-inspect --help | --version | help [COMMAND]\n\n");
  ok = ok && text_printf(text, "Commands%s:\n", is_debugger ? "" : " (triage if none is given)");
  for (const struct command *row = command_table; ok && row->shown.name; row++)
    ok = text_printf(text, "  %s%-12s %s\n", is_debugger ? "lua-" : "", row->shown.name,
                     row->shown.summary);
  ok = ok && add_options(text, "Options of every command:", options_common);
  if (!is_debugger)
    ok = ok && add_options(text, "Options of the program:", options_shell) &&
         text_add_string(text, snapshots);
  ok = ok && text_add_string(
                 text, "\n--redact withholds keys, values, descriptions, names of variables, "
                       "chunks, classes and\nmodules, messages of errors, and what the process "
                       "and the core are called. Shown are strings\nof less than four bytes, "
                       "names of Lua's own libraries, numbers, types, sizes, lines,\naddresses, "
                       "times, ids, and names of C functions and libraries.\n");
  const char *more = is_debugger ? "\nlua-help COMMAND tells more about one of them.\n"
                                 : "\nOptions may stand before or after the command; -- ends them. "
                                   "lua-inspect help COMMAND tells more.\n"
                                   "Exit status: 0 nothing found, 1 found, 2 not understood or "
                                   "unusable, 130 interrupted.\n";
  return ok && text_add_string(text, more);
}

bool help_text(const struct command *command, bool is_debugger, struct text *text) {
  return command ? command_text(command, is_debugger, text) : overview_text(is_debugger, text);
}

char *inspect_command_help(const char *command) {
  const struct command *row = command ? command_find(command, strlen(command)) : NULL;
  if (!row) return NULL;
  struct text text = {0};
  bool ok = help_text(row, true, &text) && text_add(&text, "", 1);
  if (!ok) vector_free(&text);
  return text.items;
}

/* ---- The commands help and version ----------------------------------------------------------- */

/* Preformatted lines: the page's own wrapping finds nothing to do. */
static void page_add(struct document *document, const struct text *text) {
  for (size_t at = 0; at < text->count;) {
    const char *line = text->items + at, *newline = memchr(line, '\n', text->count - at);
    size_t size = newline ? (size_t)(newline - line) : text->count - at;
    size_t indent = strspn(line, " ");
    if (size == 0)
      page_blank(document);
    else
      line_printf(page_line(document, (unsigned)indent), STYLE_PLAIN, "%.*s", (int)(size - indent),
                  line + indent);
    at += size + 1;
  }
}

static void data_command(struct data *data, const struct inspect_command *shown) {
  data_cell(data, "name", cell_words(shown->name));
  data_cell(data, "synopsis", cell_words(shown->synopsis));
  data_cell(data, "summary", cell_words(shown->summary));
}

static void data_options(struct data *array, const struct option *const *list) {
  for (; *list; list++) {
    const struct inspect_command_option *shown = &(*list)->shown;
    const char letter[] = {shown->letter, 0};
    struct data *option = data_object(array, NULL);
    data_cell(option, "name", cell_words(shown->name));
    data_cell(option, "letter", cell_words(shown->letter ? letter : NULL));
    data_cell(option, "argument", cell_words(shown->argument));
    data_cell(option, "help", cell_words(shown->help));
  }
}

static void data_topic(struct data *data, const struct command *command) {
  struct data *topic = data_object(data, "topic");
  data_command(topic, &command->shown);
  data_cell(topic, "help", cell_words(command->shown.help));
  struct data *options = data_array(topic, "options");
  data_options(options, command->options);
  data_options(options, options_common);
}

static void data_overview(struct data *data) {
  struct data *commands = data_array(data, "commands");
  for (const struct command *row = command_table; row->shown.name; row++)
    data_command(data_object(commands, NULL), &row->shown);
  data_options(data_array(data, "options"), options_common);
}

struct inspect_error *command_help(struct command_context *context) {
  const char *name = context->options->topic;
  const struct command *topic = name ? command_find(name, strlen(name)) : NULL;
  if (name && !topic) return command_unknown(name);
  struct text text = {0};
  bool ok = help_text(topic, context->is_debugger, &text);
  if (ok) page_add(context->document, &text);
  vector_free(&text);
  if (topic)
    data_topic(context->data, topic);
  else
    data_overview(context->data);
  return ok ? NULL : error_no_memory();
}

struct inspect_error *command_version(struct command_context *context) {
  line_printf(page_line(context->document, 0), STYLE_PLAIN, "lua-inspect %s", inspect_version());
  data_cell(context->data, "version", cell_words(inspect_version()));
  return NULL;
}
