/* options.h - the rows of all options, and setting one from its word.
 *
 * Rows are shared: `-k` of leaks and of paths is one row. A name means the same kind of value
 * everywhere, so that a command line can be cut into options and arguments before its command is
 * known. */
#ifndef COMMAND_OPTIONS_H
#define COMMAND_OPTIONS_H

#include "command/command.h"

extern const struct option option_min_age, option_description, option_all_weak, option_from,
    option_through, option_avoid, option_chains, option_cause, option_all, option_cut, option_brief,
    option_leaks_brief, option_limit, option_by, option_heap_sort, option_live, option_garbage,
    option_all_stacks, option_locals, option_native, option_unfolded, option_frames, option_tid,
    option_coroutines_by, option_waste, option_duplicates, option_help, option_version, option_pid,
    option_snapshot;
extern const struct option option_depth, option_in, option_out, option_type, option_class,
    option_shape, option_min_bytes, option_retained, option_key, option_string, option_source,
    option_find_sort, option_state_sort;

/* Arguments that are no options; `name` is what the synopsis calls them. */
extern const struct option operand_other, operand_tracker, operand_object, operand_thread,
    operand_program, operand_topic;

static inline bool option_takes_argument(const struct option *option) {
  return option->shown.argument != NULL;
}

/* Sets the field; `word` is kept, not copied (NULL for flags). The error says what is wrong with
 * the word. */
MUST_CHECK struct inspect_error *option_set(struct arena *arena, const struct option *option,
                                            const char *word, struct command_options *options);

/* "--min-age T  only survivors that are at least this old": for hints. NULL: out of memory. */
const char *option_hint(struct arena *arena, const struct option *option);

/* A word of the user, quoted, escaped and not endless, for messages. Never NULL. */
const char *quote_word(struct arena *arena, const char *word, size_t size);

#endif
