/* arguments.c - words made into an invocation, in two passes.
 *
 * Options may stand anywhere, so the first pass cuts the words into options (with their arguments)
 * and others by the names of all options of all commands; that needs no command, since a name takes
 * an argument everywhere or nowhere, even where it means something else. The second pass finds
 * target and command among the others, and sets the options, each of which must be one of the
 * command's. The first fault ends it. */
#include <string.h>
#include <unistd.h>

#include "command/invocation.h"
#include "command/options.h"
#include "command/suggest.h"

struct given {
  const struct option *option;
  const char *value; /* NULL for flags */
};

struct parse {
  struct inspect_invocation *invocation;
  struct arena *arena;
  const struct words *words;
  size_t next; /* word to be read                         */
  struct givens VECTOR(struct given) givens;
  struct words others; /* CORE, COMMAND, its arguments           */
  size_t used;         /* of `others`                            */
};

static size_t row_count(void) {
  size_t count = 0;
  while (command_table[count].shown.name)
    count++;
  return count;
}

/* ---- All options of all commands ------------------------------------------------------------- */

static const struct option *const options_none[] = {NULL};

/* Option lists by position: common, shell's, then each command's; NULL past the last. */
static const struct option *const *option_list(size_t index, bool is_debugger) {
  if (index == 0) return options_common;
  if (index == 1) return is_debugger ? options_none : options_shell;
  return index - 2 < row_count() ? command_table[index - 2].options : NULL;
}

static bool is_named(const struct option *option, const char *name, size_t size) {
  return strlen(option->shown.name) == size && memcmp(option->shown.name, name, size) == 0;
}

/* By letter, or by name if `letter` is 0. */
static const struct option *find_option(const struct parse *parse, char letter, const char *name,
                                        size_t size) {
  const struct option *const *list;
  for (size_t i = 0; (list = option_list(i, parse->invocation->is_debugger)); i++)
    for (; *list; list++)
      if (letter ? (*list)->shown.letter == letter : is_named(*list, name, size)) return *list;
  return NULL;
}

static const char *nearest_option(const struct parse *parse, const char *name, size_t size) {
  struct suggestion nearest = {.typed = name, .size = size};
  const struct option *const *list;
  for (size_t i = 0; (list = option_list(i, parse->invocation->is_debugger)); i++)
    for (; *list; list++)
      suggest_offer(&nearest, (*list)->shown.name);
  return nearest.best;
}

/* `word` with its dashes. */
static struct inspect_error *unknown_option(struct parse *parse, const char *word) {
  const char *name = word + strspn(word, "-");
  const char *near = nearest_option(parse, name, strcspn(name, "="));
  const char *hint =
      near ? arena_printf(parse->arena, "did you mean --%s?", near) : "--help lists the options";
  return error_create(INSPECT_ERROR_USAGE, hint, "unknown option %s",
                      quote_word(parse->arena, word, strcspn(word, "=")));
}

/* ---- First pass: options and others ---------------------------------------------------------- */

static struct inspect_error *give(struct parse *parse, const struct option *option,
                                  const char *value) {
  struct given given = {option, value};
  return vector_push(&parse->givens, given) ? NULL : error_no_memory();
}

/* The argument is the rest of the word, or the next word. */
static struct inspect_error *give_argument(struct parse *parse, const struct option *option,
                                           const char *rest, const char *typed) {
  if (!rest && parse->next < parse->words->count) rest = parse->words->items[parse->next++];
  if (rest) return give(parse, option, rest);
  return error_create(INSPECT_ERROR_USAGE, option_hint(parse->arena, option),
                      "%s needs an argument, %s", typed, option->shown.argument);
}

/* --name, --name=value, --name value */
static struct inspect_error *read_long(struct parse *parse, const char *word) {
  const char *name = word + 2;
  size_t size = strcspn(name, "=");
  const char *value = name[size] ? name + size + 1 : NULL;
  const struct option *option = find_option(parse, 0, name, size);
  if (!option) return unknown_option(parse, word);
  const char *typed = arena_printf(parse->arena, "--%s", option->shown.name);
  if (!typed) return error_no_memory();
  if (option_takes_argument(option)) return give_argument(parse, option, value, typed);
  if (!value) return give(parse, option, NULL);
  return error_create(INSPECT_ERROR_USAGE, option_hint(parse->arena, option),
                      "%s takes no argument", typed);
}

/* -v, -vk3, -k 3 */
static struct inspect_error *read_letters(struct parse *parse, const char *word) {
  for (const char *letter = word + 1; *letter; letter++) {
    const char typed[] = {'-', *letter, 0};
    const struct option *option = find_option(parse, *letter, NULL, 0);
    if (!option) return unknown_option(parse, word);
    if (option_takes_argument(option))
      return give_argument(parse, option, letter[1] ? letter + 1 : NULL, typed);
    TRY(give(parse, option, NULL));
  }
  return NULL;
}

static struct inspect_error *read_words(struct parse *parse) {
  bool options_ended = false;
  while (parse->next < parse->words->count) {
    const char *word = parse->words->items[parse->next++];
    bool is_option = !options_ended && word[0] == '-' && word[1];
    if (is_option && strcmp(word, "--") == 0)
      options_ended = true;
    else if (is_option && word[1] == '-')
      TRY(read_long(parse, word));
    else if (is_option)
      TRY(read_letters(parse, word));
    else if (!vector_push(&parse->others, word))
      return error_no_memory();
  }
  return NULL;
}

static bool was_given(const struct parse *parse, const struct option *option) {
  for (size_t i = 0; i < parse->givens.count; i++)
    if (parse->givens.items[i].option == option) return true;
  return false;
}

/* ---- Second pass: target and command --------------------------------------------------------- */

static const char *peek(const struct parse *parse, size_t ahead) {
  size_t index = parse->used + ahead;
  return index < parse->others.count ? parse->others.items[index] : NULL;
}

static const struct command *named(const char *word) {
  return word ? command_find(word, strlen(word)) : NULL;
}

/* CORE. A command's name in its place is a core that was forgotten, unless there is such a file. */
static struct inspect_error *read_core(struct parse *parse) {
  const char *word = peek(parse, 0);
  const struct command *command = named(word);
  if (command && access(word, F_OK) != 0)
    return error_create(INSPECT_ERROR_USAGE,
                        arena_printf(parse->arena, "the core comes first: lua-inspect CORE %s",
                                     command->shown.name),
                        "no core file before the command %s", command->shown.name);
  if (!word)
    return error_create(INSPECT_ERROR_USAGE, "lua-inspect CORE, or lua-inspect --help",
                        "no core file given");
  parse->invocation->target.core = word;
  parse->used++;
  return NULL;
}

/* A second file is what somebody types who comes from `gdb EXE CORE`. */
static struct inspect_error *no_command(struct parse *parse, const char *word) {
  if (!parse->invocation->target.core || access(word, F_OK) != 0) return command_unknown(word);
  return error_create(INSPECT_ERROR_USAGE, "lua-inspect --exe PROGRAM CORE",
                      "%s is a file, not a command", quote_word(parse->arena, word, strlen(word)));
}

static struct inspect_error *read_command(struct parse *parse) {
  struct inspect_invocation *invocation = parse->invocation;
  const char *first = peek(parse, 0);
  const struct command *command = named(first);
  if (!(command && command->without_session) && !was_given(parse, &option_pid))
    TRY(read_core(parse));
  const char *word = peek(parse, 0);
  if (!word) {
    invocation->command = command_default();
    return NULL;
  }
  invocation->command = named(word);
  if (!invocation->command) return no_command(parse, word);
  parse->used++;
  return NULL;
}

/* --help: of the command that the words name, in whatever place. */
static struct inspect_error *ask_help(struct parse *parse) {
  struct inspect_invocation *invocation = parse->invocation;
  const struct command *command = invocation->is_debugger ? invocation->command : NULL;
  for (size_t i = 0; !command && i < 3; i++) {
    command = named(peek(parse, i));
    if (command && command->without_session) command = NULL; /* help leaks --help */
  }
  const char *second = peek(parse, 1);
  if (!command && second && !named(second) && !was_given(parse, &option_pid))
    return no_command(parse, second);
  invocation->command = command_find("help", 4);
  invocation->options.topic = command ? command->shown.name : NULL;
  return NULL;
}

static struct inspect_error *read_operand(struct parse *parse) {
  const struct command *command = parse->invocation->command;
  const struct option *operand = command->operand;
  const char *word = peek(parse, 0);
  if (word && operand) {
    TRY(option_set(parse->arena, operand, word, &parse->invocation->options));
    parse->used++;
  } else if (command->needs_operand) {
    return error_create(INSPECT_ERROR_USAGE, option_hint(parse->arena, operand),
                        "%s needs an argument, %s", command->shown.name, operand->shown.name);
  }
  const char *more = peek(parse, 0);
  if (!more) return NULL;
  return error_create(
      INSPECT_ERROR_USAGE,
      operand ? "a path with blanks in it needs quotes around it" : "--help shows how it is used",
      "%s takes %s, %s is too many", command->shown.name, operand ? "one argument" : "no argument",
      quote_word(parse->arena, more, strlen(more)));
}

static struct inspect_error *not_taken(struct parse *parse, const struct option *option) {
  const char *owner = "another command";
  for (const struct command *row = command_table; row->shown.name; row++) {
    if (!command_takes(row, option)) continue;
    owner = row->shown.name;
    break;
  }
  return error_create(
      INSPECT_ERROR_USAGE, arena_printf(parse->arena, "it is an option of %s", owner),
      "%s has no option --%s", parse->invocation->command->shown.name, option->shown.name);
}

/* The command's own row of that name: `--sort` takes other words for heap than for find. */
static const struct option *own_option(const struct command *command, const struct option *given) {
  const struct option *const *list = command->options;
  while (*list && strcmp((*list)->shown.name, given->shown.name) != 0)
    list++;
  return *list ? *list : given;
}

/* Help ignores what belongs to the command that it explains. */
static struct inspect_error *set_options(struct parse *parse, bool is_help) {
  struct inspect_invocation *invocation = parse->invocation;
  for (size_t i = 0; i < parse->givens.count; i++) {
    const struct given *given = &parse->givens.items[i];
    const struct option *option = own_option(invocation->command, given->option);
    bool is_taken = command_takes(invocation->command, option);
    if (is_taken)
      TRY(option_set(parse->arena, option, given->value, &invocation->options));
    else if (!is_help)
      return not_taken(parse, option);
  }
  return NULL;
}

static struct inspect_error *parse_all(struct parse *parse) {
  struct inspect_invocation *invocation = parse->invocation;
  TRY(read_words(parse));
  bool is_help = was_given(parse, &option_help), is_version = was_given(parse, &option_version);
  if (is_help)
    TRY(ask_help(parse));
  else if (is_version)
    invocation->command = &command_version_row;
  else if (!invocation->is_debugger)
    TRY(read_command(parse));
  TRY(set_options(parse, is_help || is_version));
  if (!is_help && !is_version) TRY(read_operand(parse));
  if (was_given(parse, &option_snapshot) && !invocation->options.pid && !is_help && !is_version)
    return error_create(INSPECT_ERROR_USAGE, option_hint(parse->arena, &option_pid),
                        "--snapshot is for processes: there is no -p");
  invocation->target.pid = (int64_t)invocation->options.pid;
  invocation->target.snapshot = (enum inspect_snapshot)invocation->options.snapshot;
  invocation->target.exe = invocation->options.exe;
  invocation->target.sysroot = invocation->options.sysroot;
  invocation->target.layout = invocation->options.layout;
  invocation->target.redact = invocation->options.redact;
  invocation->target.redact_key = invocation->options.redact_key;
  invocation->target.max_decompressed = invocation->options.max_decompressed;
  return NULL;
}

struct inspect_error *arguments_parse(struct inspect_invocation *invocation,
                                      const struct words *words) {
  struct parse parse = {.invocation = invocation, .arena = &invocation->arena, .words = words};
  struct inspect_error *error = parse_all(&parse);
  vector_free(&parse.givens);
  vector_free(&parse.others);
  return error;
}
