/* options.c - the rows of all options as data, and one setter per kind of value. */
#include "command/options.h"

#include <inttypes.h>
#include <string.h>

#include "command/values.h"

#define FIELD(name) offsetof(struct command_options, name)

/* ---- Rows ------------------------------------------------------------------------------------ */

const struct option option_min_age = {
    {"min-age", 0, "T", "only survivors that are at least this old: 90 or 90s, 5m, 2h, 3d, 1h30m"},
    .value = VALUE_DURATION,
    .offset = FIELD(min_age),
    .flag_offset = FIELD(has_min_age)};
const struct option option_description = {
    {"description", 0, "GLOB", "only entries whose description matches, as in 'npc#*'"},
    .value = VALUE_TEXT,
    .offset = FIELD(description)};
const struct option option_all_weak = {
    {"all-weak", 0, NULL, "treat every weak-keyed table with strings as values as a tracker"},
    .value = VALUE_FLAG,
    .offset = FIELD(all_weak)};
const struct option option_from = {
    {"from", 0, "PATH", "search from this object instead of the roots; may be repeated"},
    .value = VALUE_PATHS,
    .offset = FIELD(from)};
const struct option option_through = {
    {"through", 0, "KIND,...", "follow only these kinds of references: field, index, key, ..."},
    .value = VALUE_KINDS,
    .offset = FIELD(through)};
const struct option option_avoid = {
    {"avoid", 0, "OBJECT", "find chains that do not pass through it; may be repeated"},
    .value = VALUE_PATHS,
    .offset = FIELD(avoid)};
const struct option option_chains = {
    {"chains", 'k', "N", "show up to N different chains to an object"},
    .value = VALUE_COUNT,
    .offset = FIELD(chains),
    .most = 1000};
const struct option option_cause = {
    {"cause", 0, "N|FINGERPRINT", "only one cause, by its number in the list or its fingerprint"},
    .value = VALUE_CAUSE,
    .offset = FIELD(cause)};
const struct option option_all = {
    {"all", 0, NULL, "list every survivor of the causes shown, not only the first"},
    .value = VALUE_FLAG,
    .offset = FIELD(all)};
const struct option option_cut = {
    {"cut", 0, "PATH", "what would be freed without this path's last reference; may be repeated"},
    .value = VALUE_PATHS,
    .offset = FIELD(cut)};
const struct option option_brief = {
    {"brief", 0, NULL, "do not walk the heaps: quick, and without counts of objects and bytes"},
    .value = VALUE_FLAG,
    .offset = FIELD(brief)};

const struct option option_state_sort = {
    {"sort", 0, "ORDER", "address (as numbered), bytes, objects, coroutines or residual"},
    .value = VALUE_CHOICE,
    .offset = FIELD(sort),
    .choices = state_orders};
const struct option option_leaks_brief = {
    {"brief", 0, NULL, "without retained bytes and suspects: sooner, with less memory"},
    .value = VALUE_FLAG,
    .offset = FIELD(brief)};

const struct option option_limit = {{"limit", 0, "N", "show up to N entries of the list"},
                                    .value = VALUE_COUNT,
                                    .offset = FIELD(limit),
                                    .most = UINT32_MAX};
const struct option option_by = {
    {"by", 0, "WHAT", "what makes a group: class, type, shape or source"},
    .value = VALUE_CHOICE,
    .offset = FIELD(by),
    .choices = heap_groupings};
const struct option option_heap_sort = {
    {"sort", 0, "KEY", "biggest first by bytes, count or retained; or by name"},
    .value = VALUE_CHOICE,
    .offset = FIELD(sort),
    .choices = heap_orders};
const struct option option_live = {{"live", 0, NULL, "only what a full collection leaves"},
                                   .value = VALUE_FLAG,
                                   .offset = FIELD(only_live)};
const struct option option_garbage = {{"garbage", 0, NULL, "only what a full collection frees"},
                                      .value = VALUE_FLAG,
                                      .offset = FIELD(only_garbage)};
const struct option option_all_stacks = {
    {"all", 0, NULL, "show every coroutine that has a stack, not only those that run"},
    .value = VALUE_FLAG,
    .offset = FIELD(all)};
const struct option option_unfolded = {
    {"unfolded", 0, NULL, "with --all: each coroutine, also those with the stack of another"},
    .value = VALUE_FLAG,
    .offset = FIELD(unfolded)};
const struct option option_locals = {
    {"locals", 0, NULL, "show the variables of each frame: locals, extra arguments, temporaries"},
    .value = VALUE_FLAG,
    .offset = FIELD(locals)};
const struct option option_native = {
    {"native", 0, NULL,
     "show each thread of the operating system: its C frames among the Lua calls"},
    VALUE_FLAG,
    .offset = FIELD(native)};
const struct option option_frames = {
    {"frames", 0, "N", "show N frames of a stack at most, the innermost and the outermost"},
    .value = VALUE_COUNT,
    .offset = FIELD(frames),
    .most = 1000000000};
const struct option option_tid = {
    {"tid", 0, "TID", "begin with the VM that this thread of the operating system runs"},
    .value = VALUE_COUNT,
    .offset = FIELD(tid),
    .most = INT32_MAX};
const struct option option_coroutines_by = {
    {"by", 0, "WHAT", "what makes a group: status, main (the function it began with) or both"},
    .value = VALUE_CHOICE,
    .offset = FIELD(by),
    .choices = coroutine_groupings};
const struct option option_waste = {
    {"waste", 0, NULL, "only tables that are bigger than what is in them needs, most first"},
    .value = VALUE_FLAG,
    .offset = FIELD(waste)};
const struct option option_duplicates = {
    {"duplicates", 0, NULL, "only long strings that are there more than once"},
    .value = VALUE_FLAG,
    .offset = FIELD(duplicates)};

const struct option option_depth = {{"depth", 0, "N", "how many levels deep to look"},
                                    .value = VALUE_COUNT,
                                    .offset = FIELD(depth),
                                    .most = 30};

const struct option option_in = {{"in", 0, NULL, "only references to the object"},
                                 .value = VALUE_FLAG,
                                 .offset = FIELD(only_in)};
const struct option option_out = {{"out", 0, NULL, "only references of the object"},
                                  .value = VALUE_FLAG,
                                  .offset = FIELD(only_out)};

const struct option option_type = {
    {"type", 0, "TYPE", "string, table, function, cfunction, userdata, thread, upvalue, prototype"},
    .value = VALUE_CHOICE,
    .offset = FIELD(type),
    .choices = find_types};
const struct option option_class = {{"class", 0, "GLOB", "objects whose class matches, as Npc"},
                                    .value = VALUE_TEXT,
                                    .offset = FIELD(class)};
const struct option option_shape = {
    {"shape", 0, "KEYS", "tables of this shape, as '{x, y}', or with all these keys, as x,y"},
    .value = VALUE_TEXT,
    .offset = FIELD(shape)};
const struct option option_key = {{"key", 0, "NAME", "tables that have this string as a key"},
                                  .value = VALUE_TEXT,
                                  .offset = FIELD(key)};
const struct option option_string = {{"string", 0, "GLOB", "strings whose text matches"},
                                     .value = VALUE_TEXT,
                                     .offset = FIELD(string)};
const struct option option_source = {
    {"source", 0, "GLOB", "functions, prototypes and coroutines from there, as room.lua:41"},
    .value = VALUE_TEXT,
    .offset = FIELD(source)};
const struct option option_min_bytes = {{"min-bytes", 0, "N", "at least so big: 4096, 10K, 1.5M"},
                                        .value = VALUE_SIZE,
                                        .offset = FIELD(min_bytes)};
const struct option option_retained = {
    {"retained", 0, "N", "retaining at least so many bytes: 4096, 10K, 1.5M"},
    .value = VALUE_SIZE,
    .offset = FIELD(min_retained)};
const struct option option_find_sort = {
    {"sort", 0, "KEY", "by biggest, bytes, retained, address or class"},
    .value = VALUE_CHOICE,
    .offset = FIELD(sort),
    .choices = find_orders};

static const struct option option_vm = {
    {"vm", 0, "N|ADDRESS", "only one VM, by number (from 1, in address order) or address"},
    .value = VALUE_VM,
    .offset = FIELD(vm)};
static const struct option option_json = {
    {"json", 0, NULL, "print one JSON document instead of text"},
    .value = VALUE_FLAG,
    .offset = FIELD(json)};
static const struct option option_color = {
    {"color", 0, "WHEN", "auto, always or never; auto heeds NO_COLOR"},
    .value = VALUE_COLOR,
    .offset = FIELD(color)};
static const struct option option_wide = {{"wide", 0, NULL, "do not keep lines within 100 columns"},
                                          .value = VALUE_FLAG,
                                          .offset = FIELD(wide)};
static const struct option option_threads = {{"threads", 0, "N", "use N processors at most"},
                                             .value = VALUE_COUNT,
                                             .offset = FIELD(threads),
                                             .most = 1024};
static const struct option option_max_memory = {
    {"max-memory", 0, "SIZE", "take no more memory than this besides the core: 500M, 2G"},
    .value = VALUE_SIZE,
    .offset = FIELD(max_memory)};
static const struct option option_no_progress = {
    {"no-progress", 0, NULL, "say nothing while working"},
    .value = VALUE_FLAG,
    .offset = FIELD(no_progress)};
static const struct option option_now = {
    {"now", 0, "TIME", "ages at this time: 2026-11-22 15:51:02 (UTC), seconds since 1970, or now"},
    .value = VALUE_TIME,
    .offset = FIELD(now),
    .flag_offset = FIELD(has_now)};
static const struct option option_exe = {
    {"exe", 0, "FILE", "the program, if it is not where the core says"},
    .value = VALUE_TEXT,
    .offset = FIELD(exe)};
static const struct option option_sysroot = {
    {"sysroot", 0, "DIR", "where the target's files are found, if not below /"},
    .value = VALUE_TEXT,
    .offset = FIELD(sysroot)};
static const struct option option_layout = {
    {"layout", 0, "FILE", "how Lua's structures lie, as written by the command layout"},
    .value = VALUE_TEXT,
    .offset = FIELD(layout)};
static const struct option option_redact = {
    {"redact", 0, NULL, "withhold the target's strings: keyed hashes of the same length instead"},
    .value = VALUE_FLAG,
    .offset = FIELD(redact)};
static const struct option option_redact_key = {
    {"redact-key", 0, "KEY", "the same, with hashes that other runs with this key have, too"},
    .value = VALUE_TEXT,
    .offset = FIELD(redact_key)};
static const struct option option_max_decompressed = {
    {"max-decompressed", 0, "N", "how big a compressed core may become: 200G; 64G if not given"},
    .value = VALUE_SIZE,
    .offset = FIELD(max_decompressed)};
static const struct option option_verbose = {
    {"verbose", 'v', NULL, "say more about how the answer was found"},
    .value = VALUE_FLAG,
    .offset = FIELD(verbose)};

const struct option option_help = {{"help", 'h', NULL, "show this help"}, .value = VALUE_NONE};
const struct option option_version = {{"version", 0, NULL, "show the version"},
                                      .value = VALUE_NONE};
const struct option option_pid = {
    {"pid", 'p', "PID", "read a running process instead of a core: it stops for a moment"},
    .value = VALUE_COUNT,
    .offset = FIELD(pid),
    .most = INT32_MAX};

/* In the order of enum inspect_snapshot. */
static const char *const snapshots[] = {"copy", "stop", "fork", "none", NULL};
const struct option option_snapshot = {
    {"snapshot", 0, "HOW", "how to read a process: copy (the default), stop, fork or none"},
    .value = VALUE_CHOICE,
    .offset = FIELD(snapshot),
    .choices = snapshots};

const struct option operand_tracker = {
    {"TRACKER", 0, "TRACKER", "a path or address of the weak table that tracks"},
    .value = VALUE_PATH,
    .offset = FIELD(tracker)};
const struct option operand_object = {
    {"OBJECT", 0, "OBJECT", "a path, as _G.npcs[42], an address, as 0x55d0c0ffee, or @N"},
    .value = VALUE_PATH,
    .offset = FIELD(object)};
const struct option operand_thread = {
    {"THREAD", 0, "THREAD", "one coroutine, as _G.parked[3], 0x55d0c0ffee or @N"},
    .value = VALUE_PATH,
    .offset = FIELD(object)};
const struct option operand_other = {
    {"OTHER", 0, "OTHER", "the core file to compare with: an older dump of the program"},
    .value = VALUE_TEXT,
    .offset = FIELD(other)};
const struct option operand_program = {
    {"EXE", 0, "EXE", "a program or library with Lua in it and debug info, or its debug file"},
    .value = VALUE_TEXT,
    .offset = FIELD(program)};
const struct option operand_topic = {{"COMMAND", 0, "COMMAND", "the command to explain"},
                                     .value = VALUE_TEXT,
                                     .offset = FIELD(topic)};

const struct option *const options_common[] = {&option_vm,
                                               &option_json,
                                               &option_color,
                                               &option_wide,
                                               &option_threads,
                                               &option_max_memory,
                                               &option_no_progress,
                                               &option_now,
                                               &option_exe,
                                               &option_sysroot,
                                               &option_layout,
                                               &option_max_decompressed,
                                               &option_redact,
                                               &option_redact_key,
                                               &option_verbose,
                                               &option_help,
                                               NULL};

const struct option *const options_shell[] = {&option_pid, &option_snapshot, &option_version, NULL};

/* ---- Words for messages ---------------------------------------------------------------------- */

const char *quote_word(struct arena *arena, const char *word, size_t size) {
  enum { LONGEST = 60 };
  bool is_cut = size > LONGEST;
  struct text text = {0};
  bool ok = text_add(&text, "'", 1) && text_escape(&text, word, is_cut ? LONGEST : size, 0) &&
            text_add_string(&text, is_cut ? "...'" : "'");
  const char *result = ok ? arena_copy(arena, text.items, text.count) : NULL;
  vector_free(&text);
  return result ? result : "what was typed";
}

const char *option_hint(struct arena *arena, const struct option *option) {
  const struct inspect_command_option *shown = &option->shown;
  if (strcmp(shown->name, shown->argument ? shown->argument : "") == 0) /* an operand */
    return arena_printf(arena, "%s: %s", shown->name, shown->help);
  return arena_printf(arena, "--%s%s%s: %s", shown->name, shown->argument ? " " : "",
                      shown->argument ? shown->argument : "", shown->help);
}

static struct inspect_error *is_no(struct arena *arena, const struct option *option,
                                   const char *word, const char *what) {
  return error_create(INSPECT_ERROR_USAGE, option_hint(arena, option), "--%s: %s is no %s",
                      option->shown.name, quote_word(arena, word, strlen(word)), what);
}

/* ---- Setters --------------------------------------------------------------------------------- */

static struct inspect_error *set_count(struct arena *arena, const struct option *option,
                                       const char *word, uint64_t *field) {
  uint64_t value;
  if (!value_count(word, &value)) return is_no(arena, option, word, "number");
  if (value < 1 || value > option->most)
    return error_create(INSPECT_ERROR_USAGE, option_hint(arena, option),
                        "--%s: %" PRIu64 " is not from 1 to %" PRIu64, option->shown.name, value,
                        option->most);
  *field = value;
  return NULL;
}

static struct inspect_error *set_color(struct arena *arena, const struct option *option,
                                       const char *word, enum color_mode *field) {
  static const char *const names[] = {"auto", "always", "never"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    if (strcmp(names[i], word) != 0) continue;
    *field = (enum color_mode)i;
    return NULL;
  }
  return error_create(INSPECT_ERROR_USAGE, option_hint(arena, option),
                      "--%s: %s is neither auto nor always nor never", option->shown.name,
                      quote_word(arena, word, strlen(word)));
}

static struct inspect_error *set_choice(struct arena *arena, const struct option *option,
                                        const char *word, unsigned *field) {
  struct text known = {0};
  bool ok = true;
  for (unsigned i = 0; ok && option->choices[i]; i++) {
    if (strcmp(option->choices[i], word) == 0) {
      *field = i;
      vector_free(&known);
      return NULL;
    }
    ok = text_printf(&known, "%s%s", i ? ", " : "", option->choices[i]);
  }
  ok = ok && text_finish(&known);
  struct inspect_error *error =
      !ok ? error_no_memory()
          : error_create(INSPECT_ERROR_USAGE, option_hint(arena, option), "--%s: %s is none of %s",
                         option->shown.name, quote_word(arena, word, strlen(word)), known.items);
  vector_free(&known);
  return error;
}

static struct inspect_error *set_vm(struct arena *arena, const struct option *option,
                                    const char *word, struct vm_choice *field) {
  *field = (struct vm_choice){.is_given = true};
  field->is_address = value_address(word, &field->value);
  if (field->is_address || (value_count(word, &field->value) && field->value > 0)) return NULL;
  return is_no(arena, option, word, "VM: neither a number from 1 nor an address");
}

/* "#1" is how causes are listed. */
static struct inspect_error *set_cause(struct arena *arena, const struct option *option,
                                       const char *word, struct cause_choice *field) {
  *field = (struct cause_choice){.is_given = true};
  field->is_fingerprint = value_fingerprint(word, &field->value);
  if (field->is_fingerprint ||
      (value_count(word + (*word == '#'), &field->value) && field->value > 0))
    return NULL;
  return is_no(arena, option, word, "cause: neither a number from 1 nor 16 hexadecimal digits");
}

static struct inspect_error *unknown_kind(struct arena *arena, const struct option *option,
                                          const char *word, size_t size) {
  struct text known = {0};
  bool ok = text_add_string(&known, "kinds are");
  const char *name;
  for (size_t i = 0; ok && (name = value_kind_name(i)); i++)
    ok = text_printf(&known, "%s %s", i ? "," : "", name);
  ok = ok && text_add_string(&known, " (table, function and all stand for several); where a search "
                                     "starts is told with --from");
  const char *hint = ok ? arena_copy(arena, known.items, known.count) : NULL;
  vector_free(&known);
  return error_create(INSPECT_ERROR_USAGE, hint, "--%s: %s is no kind of reference",
                      option->shown.name, quote_word(arena, word, size));
}

static struct inspect_error *set_kinds(struct arena *arena, const struct option *option,
                                       const char *word, uint32_t *field) {
  uint32_t kinds = 0;
  for (;;) {
    size_t size = strcspn(word, ",");
    if (!value_kind(word, size, &kinds)) return unknown_kind(arena, option, word, size);
    if (!word[size]) break;
    word += size + 1;
  }
  *field = kinds;
  return NULL;
}

static struct inspect_error *set_path(struct arena *arena, const char *word,
                                      const struct path **field) {
  struct path *path = arena_alloc(arena, sizeof *path);
  if (!path) return error_no_memory();
  TRY(path_parse(arena, word, path));
  *field = path;
  return NULL;
}

/* The list moves within the arena as it doubles. */
static struct inspect_error *add_path(struct arena *arena, const char *word,
                                      struct path_list *list) {
  struct path path;
  TRY(path_parse(arena, word, &path));
  if (list->count == list->capacity) {
    size_t capacity = list->capacity ? list->capacity * 2 : 4;
    struct path *items = arena_alloc(arena, capacity * sizeof *items);
    if (!items) return error_no_memory();
    if (list->count) memcpy(items, list->items, list->count * sizeof *items);
    list->items = items;
    list->capacity = capacity;
  }
  list->items[list->count++] = path;
  return NULL;
}

struct inspect_error *option_set(struct arena *arena, const struct option *option, const char *word,
                                 struct command_options *options) {
  void *field = (char *)options + option->offset;
  bool *flag = (bool *)((char *)options + option->flag_offset);
  switch (option->value) {
  case VALUE_FLAG:
    *(bool *)field = true;
    return NULL;
  case VALUE_TEXT:
    *(const char **)field = word;
    return NULL;
  case VALUE_COUNT:
    return set_count(arena, option, word, field);
  case VALUE_DURATION:
    *flag = value_duration(word, field);
    return *flag ? NULL : is_no(arena, option, word, "length of time");
  case VALUE_TIME:
    *flag = value_time(word, field);
    return *flag ? NULL : is_no(arena, option, word, "time");
  case VALUE_COLOR:
    return set_color(arena, option, word, field);
  case VALUE_SIZE:
    return value_size(word, field) ? NULL : is_no(arena, option, word, "size");
  case VALUE_CHOICE:
    return set_choice(arena, option, word, field);
  case VALUE_VM:
    return set_vm(arena, option, word, field);
  case VALUE_CAUSE:
    return set_cause(arena, option, word, field);
  case VALUE_KINDS:
    return set_kinds(arena, option, word, field);
  case VALUE_PATH:
    return set_path(arena, word, field);
  case VALUE_PATHS:
    return add_path(arena, word, field);
  case VALUE_NONE:
    break;
  }
  return NULL;
}
