/* table.c - the command table: one row per command, in the order in which help lists them.
 *
 * Texts name commands as lua-leaks, lua-paths, ...; help.c spells them for the shell. After the
 * line "Examples:" a line indented by two is a command to type, one indented by six explains it. */
#include "command/command.h"

#include <string.h>

#include "command/options.h"
#include "command/suggest.h"

static const char triage_help[] =
    "One page for a core that nobody has looked at: whose it is and how it ended, its VMs, what "
    "its "
    "memory is made of (live and garbage, by type, coroutines), a diagnosis of the collector, what "
    "trackers say in short form, and the suspects without any tracker.\n"
    "\n"
    "Suspects are accumulations: many like things that one holder keeps, such as a table of a "
    "module, an upvalue, the registry, a list of parked coroutines, a cache keyed by string, a "
    "linked list. They are found where the retained bytes spread in the dominator tree: the weight "
    "of a holder is its share of the live bytes, times the bits it takes to tell its like entries "
    "apart, over the bits of all live objects; from 5 % on it is shown. Entries are alike by "
    "class, "
    "set of keys, function or type. What others refer to as well counts "
    "half, and comes later, for what was forgotten is in nobody's use. A program's purpose cannot "
    "be seen in a "
    "heap: a suspect is where to look first, and a large table that is "
    "meant to be there looks like one that is not.\n"
    "\n"
    "Each suspect has what it retains, its share of the live bytes, how many entries, a sentence, "
    "and a chain from a root with the reference to the holder underlined. Exit status: 1 if there "
    "are leaks or suspects.\n"
    "\n"
    "Examples:\n"
    "  lua-triage\n"
    "      what is in this core, and where its memory has gone\n"
    "  lua-triage --vm 2 --limit 20\n"
    "      one VM, with up to 20 of its suspects\n"
    "  lua-triage --json\n"
    "      for scripts: keys process, memory, gc, coroutines, verdicts, trackers, causes, "
    "suspects\n";

static const char leaks_help[] =
    "Shows the objects that should be gone and are still here, since when, what holds them, and "
    "how "
    "much would go with them.\n"
    "\n"
    "A tracker is a weak table of the target that pairs each resource with a description and the "
    "time of its creation (scripts/leakwatch.lua, or your own). The full collection is computed, "
    "not run: the set that collectgarbage(\"collect\") would leave. Each entry of each tracker "
    "then "
    "has a verdict: leaked (it survives), garbage (the next collection frees it), finalizer (the "
    "one "
    "after, when its __gc has run), never (a string or another value that a weak table does not "
    "drop) or unknown (could not be decided, with the fault that says why).\n"
    "\n"
    "Survivors whose chains of references share a pattern form one cause, listed worst first with "
    "one chain from a root to an object. The suspect, the reference where the wanted part ends and "
    "the leak begins, is underlined with ~~~; the cut check tells how many survivors a collection "
    "without it would free. A cause keeps its fingerprint from run to run. What it retains would "
    "be "
    "freed if all its survivors were gone, also what only several of them hold together (of a VM's "
    "64 largest causes; of further ones what the survivors hold one by one).\n"
    "\n"
    "Trackers are found without being named. Weak-keyed tables whose values are strings without a "
    "time are candidates: they are counted in one line, and searched with --all-weak or when given "
    "as TRACKER, a path or an address. Exit status: 1 if something leaked, candidates apart.\n"
    "\n"
    "Examples:\n"
    "  lua-leaks --min-age 5m --description 'npc#*'\n"
    "      only survivors older than five minutes whose description begins with npc#\n"
    "  lua-leaks --cause 1 --all\n"
    "      every survivor of the worst cause\n"
    "  lua-leaks _G.watch --from package.loaded.game --through table,upvalue\n"
    "      one tracker, and only chains that begin at that module and run over such references\n"
    "  lua-leaks --cut 'package.loaded[\"game.arena\"].listeners'\n"
    "      how many survivors a collection would free if that field were nil\n";

static const char states_help[] =
    "Lists the VMs of the target: address, Lua version, the layout that was chosen for reading it, "
    "coroutines, heap size, objects, how much of the heap a full collection would leave, and the "
    "residual: the bytes that the VM says it has minus those that were accounted for, 0 in a "
    "healthy "
    "heap.\n"
    "\n"
    "VMs are numbered by their addresses, whatever --sort puts first: --vm takes the number.\n"
    "\n"
    "They are found by their structure; no symbols and no addresses are needed. With -v it says "
    "which "
    "layouts were tried, which one was chosen, and on what evidence.\n"
    "\n"
    "Examples:\n"
    "  lua-states\n"
    "      every VM, with its heap walked and checked\n"
    "  lua-states --sort bytes --limit 20\n"
    "      of thousands of VMs the twenty with the largest heaps\n"
    "  lua-states --brief -v\n"
    "      which VMs there are and why they are believed, without walking their heaps\n";

static const char paths_help[] =
    "Shows why an object is still here: the best chain of references from a root to it, or with -k "
    "the N best that differ. Chains through named globals and modules come before those through "
    "upvalues, the registry, coroutine stacks and the main chunk's locals; shorter ones come "
    "first.\n"
    "\n"
    "A search can be narrowed: --from starts at an object instead of the roots, --through follows "
    "only some kinds of references, --avoid leaves an object out. Kinds are field, index, key, "
    "metatable, upvalue, env, local, stack, uservalue, constant, prototype and other; table stands "
    "for field, index, key and metatable, function for upvalue, env, constant and prototype.\n"
    "\n"
    "A path begins at _G, a global's name, registry, package.loaded, an address or @N (entry N of "
    "the last listing) and goes on with .name, [\"any text\"], [42], [1.5], [true], [0x55...] (an "
    "object as key), :metatable, :upvalue(name or n), :env, :uservalue(n), :local(name or n), "
    ":local(level,name), :key(...) for the key itself, :value of an upvalue object, :stack(n), "
    ":constant(n), :prototype(n). What is printed as a path can be typed as one.\n"
    "\n"
    "Examples:\n"
    "  lua-paths 0x55d0c0ffee -k 4\n"
    "      the four best chains to the object at that address\n"
    "  lua-paths 'package.loaded[\"game.arena\"].listeners[17]:upvalue(npc)'\n"
    "      what else holds the object that this listener captured\n"
    "  lua-paths @3 --avoid _G.cache --through field,index\n"
    "      chains to entry 3 of the last listing, over table fields, not through the cache\n";

static const char gc_help[] =
    "Tells how the garbage collector of each VM is doing: its mode, phase and settings as "
    "collectgarbage reports them, whether it runs and who stopped it, how many bytes can be "
    "allocated before its next step, the objects by colour and age, and a diagnosis in "
    "words: a stopped collector, garbage that was found and not yet freed, what a full "
    "collection would free now, garbage that a generational collector keeps among old "
    "objects, finalizers that are due.\n"
    "\n"
    "Colours: white objects have not been reached in this cycle (or are new), gray ones "
    "have, black ones with all their references, dead ones were found garbage and wait to be "
    "freed. The debt is the bytes the collector has not paid for; a step comes when it is "
    "above 0. stepsize is given as collectgarbage takes it: 5.4 the logarithm of bytes, 5.5 "
    "bytes.\n"
    "\n"
    "Examples:\n"
    "  lua-gc\n"
    "      the collector of every VM\n"
    "  lua-gc --vm 2 --json\n"
    "      one VM, for scripts: key gc, a list\n";

static const char check_help[] =
    "Checks the invariants that Lua keeps in its heap, as Lua's own test suite does: every "
    "object is on one list and on the right one, every reference leads to an object of the "
    "kind it says, no live object refers to a dead one, no black object to a white one while "
    "the collector marks (a C module without a write barrier), hashes of strings are those "
    "of their bytes and each short string exists once, every key of a table is found from "
    "where its hash puts it, open upvalues are ordered and inside of their stack, calls are "
    "linked.\n"
    "\n"
    "Each violation has the address of an object, a stable name and a sentence. Of each kind "
    "the first 25 are shown, the rest are counted. What a dump taken in the middle of an "
    "operation cannot tell is not checked, and is said. A dump taken at a random instruction "
    "may show one object that is being changed as a violation. Exit status: 1 if there are "
    "violations; a healthy heap has none.\n"
    "\n"
    "Examples:\n"
    "  lua-check\n"
    "      every VM of the target\n"
    "  lua-check --json --vm 0x55d0c0ffee\n"
    "      one VM, for scripts: keys checks, kinds, violations, unchecked\n";

static const char layout_help[] =
    "Writes to standard output how the structures of Lua lie in memory in a program, read from its "
    "debug info: for --layout, to read targets whose Lua was changed and has no debug info of its "
    "own.\n"
    "\n"
    "EXE is a program or library that Lua 5.4 or 5.5 was built into with -g, or its separate debug "
    "file; one that belongs to a stripped EXE is found by itself (build-id, .gnu_debuglink). It "
    "must "
    "be built from the same sources with the same configuration as the Lua in the target. Where "
    "the target's own files have debug info nothing of this is needed: offsets come from there and "
    "override the known ones.\n"
    "\n"
    "The file is text, one field in a line with its offset and size in bytes, and may be changed "
    "by "
    "hand.\n"
    "\n"
    "Examples:\n"
    "  lua-layout build/debug/game-server\n"
    "      how Lua lies in that build; redirect it into a file, game.layout\n"
    "  lua-leaks --layout game.layout\n"
    "      the leaks of a target that runs the stripped build\n";

static const char help_help[] = "Lists the commands, or explains one of them.\n"
                                "\n"
                                "Examples:\n"
                                "  lua-help\n"
                                "      the commands and the options that all of them take\n"
                                "  lua-help leaks\n"
                                "      what leaks answers, its options and examples\n";

const struct command command_table[] = {
    {.shown = {"triage", "[--limit N]",
               "the first look: what is in the target, and where its memory has gone", triage_help},
     .run = command_triage,
     .memory = MEMORY_DOMINATORS,
     .options = {&option_limit}},
    {.shown = {"leaks",
               "[TRACKER] [--min-age T] [--description GLOB] [--all-weak] [--cause N|FINGERPRINT] "
               "[--all] [--brief] [-k N] [--from PATH] [--through KIND,...] [--avoid OBJECT] "
               "[--cut PATH]",
               "objects that should be gone and are still here, and what holds them", leaks_help},
     .run = command_leaks,
     .memory = MEMORY_DOMINATORS,
     .operand = &operand_tracker,
     .options = {&option_min_age, &option_description, &option_all_weak, &option_cause, &option_all,
                 &option_leaks_brief, &option_chains, &option_from, &option_through, &option_avoid,
                 &option_cut}},
    {.shown = {"paths", "OBJECT [-k N] [--from PATH] [--through KIND,...] [--avoid OBJECT]",
               "why one object is still here: the chains of references to it", paths_help},
     .run = command_paths,
     .memory = MEMORY_CHAINS,
     .operand = &operand_object,
     .needs_operand = true,
     .options = {&option_chains, &option_from, &option_through, &option_avoid}},
    {.shown = {"diff", "OTHER [--limit N]",
               "what grew since an older dump of the program, by path, class and cause", diff_help},
     .run = command_diff,
     .memory = MEMORY_DOMINATORS,
     .operand = &operand_other,
     .needs_operand = true,
     .options = {&option_limit}},
    {.shown = {"heap", "[--by WHAT] [--live] [--garbage] [--sort KEY] [--limit N]",
               "what the heap is made of: objects by class, type, shape or source", heap_help},
     .run = command_heap,
     .memory = MEMORY_DOMINATORS,
     .options = {&option_by, &option_live, &option_garbage, &option_heap_sort, &option_limit}},
    {.shown = {"print", "OBJECT [--depth N] [--limit N]",
               "a value in Lua's syntax, what it consists of and what holds it", print_help},
     .run = command_print,
     .memory = MEMORY_DOMINATORS,
     .operand = &operand_object,
     .needs_operand = true,
     .options = {&option_depth, &option_limit}},
    {.shown = {"refs", "OBJECT [--in] [--out] [--limit N]",
               "the references to an object and from it, one step each way", refs_help},
     .run = command_refs,
     .memory = MEMORY_DOMINATORS,
     .operand = &operand_object,
     .needs_operand = true,
     .options = {&option_in, &option_out, &option_limit}},
    {.shown = {"find",
               "[--type TYPE] [--class GLOB] [--shape KEYS] [--key NAME] [--string GLOB] "
               "[--source GLOB] [--min-bytes N] [--retained N] [--live] [--garbage] [--sort KEY] "
               "[--limit N]",
               "objects by type, class, shape, size, key, text or source", find_help},
     .run = command_find_objects,
     .options = {&option_type, &option_class, &option_shape, &option_key, &option_string,
                 &option_source, &option_min_bytes, &option_retained, &option_live, &option_garbage,
                 &option_find_sort, &option_limit}},
    {.shown = {"retained", "[OBJECT] [--depth N] [--limit N]",
               "what holds the memory: the biggest holders, and what is below them", retained_help},
     .run = command_retained,
     .memory = MEMORY_DOMINATORS,
     .operand = &operand_object,
     .options = {&option_depth, &option_limit}},
    {.shown = {"tables", "[--waste] [--limit N]",
               "room and use of tables: what a rehash would give back", tables_help},
     .run = command_tables,
     .options = {&option_waste, &option_limit}},
    {.shown = {"globals", "[--limit N]", "what the program has put into _G and the standard tables",
               globals_help},
     .run = command_globals,
     .memory = MEMORY_DOMINATORS,
     .options = {&option_limit}},
    {.shown = {"registry", "[--limit N]",
               "what C code keeps in the registry: references, names, addresses", registry_help},
     .run = command_registry,
     .memory = MEMORY_DOMINATORS,
     .options = {&option_limit}},
    {.shown = {"strings", "[--duplicates] [--limit N]",
               "strings: the biggest, those that look alike, those that are there twice",
               strings_help},
     .run = command_strings,
     .options = {&option_duplicates, &option_limit}},
    {.shown = {"states", "[--brief] [--sort ORDER] [--limit N]",
               "the Lua VMs of the target, their heaps and how they were read", states_help},
     .run = command_states,
     .options = {&option_brief, &option_state_sort, &option_limit}},
    {.shown = {"bt",
               "[THREAD] [--all [--unfolded]] [--native] [--locals] [--limit N] [--frames N] "
               "[--tid TID]",
               "the Lua stacks: what runs, who resumed it, and where coroutines wait", bt_help},
     .run = command_bt,
     .operand = &operand_thread,
     .options = {&option_all_stacks, &option_unfolded, &option_native, &option_locals,
                 &option_limit, &option_frames, &option_tid}},
    {.shown = {"coroutines", "[--by WHAT] [--limit N]",
               "coroutines by state and function, and what they retain", coroutines_help},
     .run = command_coroutines,
     .memory = MEMORY_DOMINATORS,
     .options = {&option_coroutines_by, &option_limit}},
    {.shown = {"gc", "", "how the garbage collector is doing: mode, phase, settings, a diagnosis",
               gc_help},
     .run = command_gc},
    {.shown = {"check", "", "whether the heap is as Lua keeps it: lists, references, marks, hashes",
               check_help},
     .run = command_check},
    {.shown = {"layout", "EXE",
               "how Lua's structures lie in a program with debug info, for --layout", layout_help},
     .run = command_layout,
     .without_session = true,
     .operand = &operand_program,
     .needs_operand = true},
    {.shown = {"help", "[COMMAND]", "the commands, or one of them explained", help_help},
     .run = command_help,
     .without_session = true,
     .operand = &operand_topic},
    {.run = NULL},
};

const struct command command_version_row = {
    .shown = {"version", "", "the version", ""}, .run = command_version, .without_session = true};

const struct command *command_default(void) { return &command_table[0]; }

const struct command *command_find(const char *name, size_t size) {
  if (size > 4 && memcmp(name, "lua-", 4) == 0) {
    name += 4;
    size -= 4;
  }
  for (const struct command *row = command_table; row->shown.name; row++)
    if (strlen(row->shown.name) == size && memcmp(row->shown.name, name, size) == 0) return row;
  return NULL;
}

struct inspect_error *command_unknown(const char *name) {
  struct arena arena;
  arena_init(&arena);
  struct suggestion nearest = {.typed = name, .size = strlen(name)};
  for (const struct command *row = command_table; row->shown.name; row++)
    suggest_offer(&nearest, row->shown.name);
  const char *hint = nearest.best ? arena_printf(&arena, "did you mean %s?", nearest.best)
                                  : "help lists the commands";
  struct inspect_error *error = error_create(INSPECT_ERROR_USAGE, hint, "unknown command %s",
                                             quote_word(&arena, name, strlen(name)));
  arena_free(&arena);
  return error;
}

static bool holds(const struct option *const *list, const struct option *option) {
  for (; *list; list++)
    if (*list == option) return true;
  return false;
}

bool command_takes(const struct command *command, const struct option *option) {
  return holds(command->options, option) || holds(options_common, option) ||
         holds(options_shell, option);
}

/* ---- inspect.h, part 4 ----------------------------------------------------------------------- */

const struct inspect_command *inspect_command_at(size_t index) {
  size_t count = 0;
  while (command_table[count].shown.name)
    count++;
  return index < count ? &command_table[index].shown : NULL;
}

static const struct inspect_command_option *option_at(const struct option *const *list,
                                                      size_t *index) {
  for (; *list; list++)
    if ((*index)-- == 0) return &(*list)->shown;
  return NULL;
}

const struct inspect_command_option *inspect_command_option_at(const char *command, size_t index) {
  const struct command *row = command ? command_find(command, strlen(command)) : NULL;
  if (!row) return NULL;
  const struct inspect_command_option *own = option_at(row->options, &index);
  return own ? own : option_at(options_common, &index);
}
