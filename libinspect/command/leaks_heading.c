/* leaks_heading.c - the first line of a cause: how many of what, how much they hold, since when.
 *
 *   #1  1,187 × "session socket"   retained 38.2 MB (62 %)   age 4 min .. 6 h 12 min, 3.2 a minute
 *
 * What is said of the members is as short as what is common to their descriptions. */
#include <ctype.h>
#include <math.h>

#include "base/parallel.h"
#include "command/leaks.h"

/* How one description of a cause's own members goes: the text, how many have it, and the last of
 * them. */
struct described {
  const char *text;
  size_t size, count;
  const struct tracked *last;
};

static bool is_same_text(const struct described *described, struct tracked_text text) {
  return described->size == text.size && memcmp(described->text, text.bytes, text.size) == 0;
}

enum { MOST_DESCRIPTIONS = 3, MOST_SHARES = 16, WORTH_THREADS = 1 << 12 };

static size_t common_size(const struct described *common, struct tracked_text text) {
  size_t same = 0;
  while (same < common->size && same < text.size && common->text[same] == text.bytes[same])
    same++;
  return same;
}

/* The position of the entry's description in the list of *kinds, where it is added if there is
 * room. */
static size_t kind_of(struct described *list, size_t *kinds, struct tracked_text text) {
  size_t kind = 0;
  while (kind < *kinds && !is_same_text(&list[kind], text))
    kind++;
  if (kind == *kinds && kind < MOST_DESCRIPTIONS)
    list[(*kinds)++] = (struct described){text.bytes, text.size, 0, NULL};
  return kind;
}

/* The description of a member that no other survivor holds. */
static struct tracked_text own_text(const struct leaks *leaks, const struct tracked *tracked) {
  return tracked->held_by == NO_OBJECT ? tracked_description(&leaks->trackers, tracked)
                                       : (struct tracked_text){0};
}

/* A cause may have millions of entries; an interrupted answer says what is common to the first. */
static bool stops_at(struct command_context *context, size_t entry) {
  enum { AT_ONCE = 1 << 14 };
  return entry % AT_ONCE == 0 && document_stops(context->document, 0, 0);
}

static void find_last(struct command_context *context, const struct leaks *leaks,
                      const struct leak_cause *cause, struct described *described) {
  for (size_t i = 0; i < cause->entry_count && !stops_at(context, i); i++) {
    const struct tracked *tracked = leaks_entry(leaks, cause->entries[i]);
    struct tracked_text text = own_text(leaks, tracked);
    if (!text.bytes || !is_same_text(described, text)) continue;
    if (!described->last || trackers_compare(&leaks->trackers, tracked, described->last) > 0)
      described->last = tracked;
  }
}

/* Most frequent first; of equal ones that which became so frequent first. */
static void sort_described(struct command_context *context, const struct leaks *leaks,
                           const struct leak_cause *cause, struct described *list, size_t count) {
  for (size_t i = 1; i < count; i++)
    for (size_t at = i; at; at--) {
      struct described *more = &list[at - 1], *less = &list[at];
      if (more->count > less->count) break;
      if (more->count == less->count) {
        if (!more->last) find_last(context, leaks, cause, more);
        if (!less->last) find_last(context, leaks, cause, less);
        if (!more->last || !less->last) return; /* interrupted */
        if (trackers_compare(&leaks->trackers, more->last, less->last) < 0) break;
      }
      struct described swapped = *more;
      *more = *less;
      *less = swapped;
    }
}

/* What is said of some of a cause's entries, one after the other; a thread's share. */
struct share {
  size_t begin, end; /* in cause->entries */
  struct described list[MOST_DESCRIPTIONS];
  size_t kinds;            /* in the list, in the order in which they were met */
  bool too_many;           /* more than it has room for: it is not complete    */
  struct described common; /* how all begin; no text: there was none */
  size_t held;             /* entries that other survivors hold                */
};

struct summary {
  struct command_context *context;
  const struct leaks *leaks;
  const struct leak_cause *cause;
  struct share shares[MOST_SHARES];
  bool is_stopped; /* shared */
};

static void look_ahead(const struct summary *summary, size_t i, size_t end, size_t *hint) {
  enum { ENTRIES_AHEAD = 24, TEXTS_AHEAD = 12 };
  const struct leaks *leaks = summary->leaks;
  const uint32_t *entries = summary->cause->entries;
  if (i + ENTRIES_AHEAD < end) __builtin_prefetch(leaks_entry(leaks, entries[i + ENTRIES_AHEAD]));
  if (i + TEXTS_AHEAD < end)
    tracked_prefetch(&leaks->trackers, leaks_entry(leaks, entries[i + TEXTS_AHEAD]), hint);
}

/* Counts a description `times` times. */
static void add_kind(struct share *share, struct tracked_text text, size_t times) {
  if (share->too_many) return;
  size_t kind = kind_of(share->list, &share->kinds, text);
  if (kind == MOST_DESCRIPTIONS)
    share->too_many = true;
  else
    share->list[kind].count += times;
}

static void add_common(struct described *common, struct tracked_text text) {
  if (!common->text) *common = (struct described){text.bytes, text.size, 0, NULL};
  common->size = common_size(common, text);
}

static void sum_share(void *context, size_t number) {
  struct summary *summary = context;
  struct share *share = &summary->shares[number];
  struct tracked_reader reader;
  size_t hint = 0;
  tracked_reader_init(&reader, &summary->leaks->trackers);
  for (size_t i = share->begin; i < share->end; i++) {
    if (!number && stops_at(summary->context, i))
      __atomic_store_n(&summary->is_stopped, true, __ATOMIC_RELAXED);
    if (__atomic_load_n(&summary->is_stopped, __ATOMIC_RELAXED)) return;
    look_ahead(summary, i, share->end, &hint);
    const struct tracked *tracked = leaks_entry(summary->leaks, summary->cause->entries[i]);
    bool is_held = tracked->held_by != NO_OBJECT;
    share->held += is_held;
    if (is_held) continue;
    struct tracked_text text = tracked_reader_text(&reader, tracked);
    if (!text.bytes) continue;
    add_common(&share->common, text);
    add_kind(share, text, 1);
  }
}

/* Puts all shares into the first one. */
static void merge_shares(struct share *all, size_t count) {
  for (size_t i = 1; i < count; i++) {
    const struct share *share = &all[i];
    all->held += share->held;
    all->too_many |= share->too_many;
    if (share->common.text)
      add_common(&all->common, (struct tracked_text){share->common.text, share->common.size});
    for (size_t j = 0; j < share->kinds; j++)
      add_kind(all, (struct tracked_text){share->list[j].text, share->list[j].size},
               share->list[j].count);
  }
}

/* The descriptions of the members that no other survivor holds, most frequent first. Returns how
 * many there are, 0 if they are more than MOST_DESCRIPTIONS; then `*common` is how all of them
 * begin, cut back to the end of a word. */
static size_t descriptions_of(struct command_context *context, const struct leaks *leaks,
                              const struct leak_cause *cause, struct described *list,
                              struct described *common, size_t *held) {
  struct summary summary = {.context = context, .leaks = leaks, .cause = cause};
  struct share *all = summary.shares;
  size_t shares = work_threads(context->work), count = cause->entry_count;
  /* what stands for withheld strings is made by one thread */
  if (count < WORTH_THREADS || context->session->redaction) shares = 1;
  if (shares > MOST_SHARES) shares = MOST_SHARES;
  for (size_t i = 0; i < shares; i++) {
    all[i].begin = i ? all[i - 1].end : 0;
    all[i].end = i + 1 < shares ? all[i].begin + count / shares : count;
  }
  parallel_run(shares, sum_share, &summary);
  merge_shares(all, shares);
  *common = all->common;
  *held = all->held;
  while (common->size && !isalpha((unsigned char)common->text[common->size - 1]) &&
         !ispunct((unsigned char)common->text[common->size - 1]))
    common->size--;
  if (all->too_many) return 0;
  memcpy(list, all->list, sizeof all->list);
  sort_described(context, leaks, cause, list, all->kinds);
  return all->kinds;
}

/* The heading of a cause: what it says, and the columns that takes. */
struct heading {
  struct arena *arena;
  struct line *line;
  size_t columns;
};

static void heading_words(struct heading *heading, const char *words) {
  line_words(heading->line, STYLE_HEADING, words);
  heading->columns += words ? text_columns(words, strlen(words)) : 0;
}

static void heading_cell(struct heading *heading, struct cell cell) {
  const char *shown = render_cell(heading->arena, cell);
  line_cell(heading->line, STYLE_HEADING, cell);
  heading->columns += shown ? text_columns(shown, strlen(shown)) : 0;
}

/* `20 × "npc#"...`, `3 × "session", 2 × "player"`, `12 survivors`. */
static void heading_members(struct command_context *context, struct heading *heading,
                            const struct leaks *leaks, const struct leak_cause *cause) {
  struct described list[MOST_DESCRIPTIONS], common;
  size_t held, members = cause->cause->count;
  size_t kinds = descriptions_of(context, leaks, cause, list, &common, &held);
  for (size_t i = 0; i < kinds; i++) {
    if (i) heading_words(heading, ", ");
    heading_cell(heading, cell_count(list[i].count));
    heading_words(heading, " × ");
    heading_cell(heading, cell_text(list[i].text, list[i].size));
  }
  if (!kinds) {
    heading_cell(heading, cell_count(members - held));
    heading_words(heading, common.size ? " × " : members - held == 1 ? " survivor" : " survivors");
    if (common.size) {
      heading_cell(heading, cell_text(common.text, common.size));
      heading_words(heading, "...");
    }
  }
  if (!held) return;
  heading_words(heading, " and ");
  heading_cell(heading, cell_count(held));
  heading_words(heading, " held by these");
}

static const char *as_shown(struct command_context *context, struct cell cell) {
  const char *text = render_cell(context->arena, cell);
  return text ? text : "?";
}

/* "4 min .. 6 h 12 min, 3.2 a minute" */
static const char *ages(struct command_context *context, const struct leak_cause *cause) {
  enum { ENOUGH = 10, EVEN = 100 };
  const char *youngest = as_shown(context, cell_duration(cause->youngest));
  const char *oldest = as_shown(context, cell_duration(cause->oldest));
  const char *result = youngest;
  double span = cause->oldest - cause->youngest;
  double rate = (double)(cause->cause->count - 1) / span * 60;
  if (strcmp(youngest, oldest) != 0)
    result = arena_printf(context->arena, "%s .. %s", youngest, oldest);
  if (!result || cause->cause->count < ENOUGH || !(span >= 60)) return result;
  return rate < EVEN ? arena_printf(context->arena, "%s, %.3g a minute", result, rate)
                     : arena_printf(context->arena, "%s, %s a minute", result,
                                    as_shown(context, cell_count((uint64_t)rate)));
}

/* What the VMs of a group have. */
static uint64_t heap_of(const struct inspect_session *session, const struct leaks *leaks,
                        const struct leak_group *group) {
  uint64_t bytes = 0;
  for (size_t i = 0; i < group->vms; i++)
    bytes += session->heap.vms[leaks->causes.items[group->first + i].vm].vm.heap_bytes;
  return bytes;
}

/* "retained 38.2 MB (62 %)   age 4 min .. 6 h 12 min   VM 2": what is known of a cause in all. */
static bool cause_facts(struct command_context *context, const struct leaks *leaks,
                        const struct leak_group *group, const struct leak_cause *mine,
                        struct text *text) {
  struct inspect_session *session = context->session;
  bool fits = true;
  if (leaks->has_retained) {
    uint64_t bytes = mine->cause->retained_bytes;
    uint64_t heap = heap_of(session, leaks, group);
    fits = text_printf(text, "   retained %s (%s)", as_shown(context, cell_bytes(bytes)),
                       as_shown(context, cell_ratio(heap ? (double)bytes / (double)heap : 0)));
  }
  if (!isnan(mine->youngest)) {
    const char *age = ages(context, mine);
    fits = fits && text_printf(text, "   age %s", age ? age : "?");
  }
  if (group->vms > 1)
    fits = fits && text_printf(text, "   in %s VMs, as in VM %zu",
                               as_shown(context, cell_count(group->vms)), mine->vm + 1);
  else if (session->heap.vm_count > 1)
    fits = fits && text_printf(text, "   VM %zu", mine->vm + 1);
  return fits && text_finish(text);
}

/* One line, or two if they do not fit into one. */
void leaks_heading(struct command_context *context, const struct leaks *leaks, size_t number) {
  enum { GAP = 3, INDENT = 4, PAGE_WIDTH = 100 };
  const struct leak_group *group = &leaks->groups.items[number];
  struct leak_cause all = group->all;
  struct cause cause = group->cause;
  all.cause = &cause;
  const struct leak_cause *mine = &all;
  struct heading heading = {.arena = context->arena, .line = page_line(context->document, 0)};
  struct text facts = {0};
  heading_words(&heading, arena_printf(context->arena, "#%zu  ", number + 1));
  heading_members(context, &heading, leaks, mine);
  if (cause_facts(context, leaks, group, mine, &facts) && facts.count > GAP) {
    size_t columns = heading.columns + text_columns(facts.items, facts.count);
    bool fits = context->options->wide || columns <= PAGE_WIDTH;
    struct line *line = fits ? heading.line : page_line(context->document, INDENT);
    line_words(line, STYLE_PLAIN, facts.items + (fits ? 0 : GAP));
  }
  vector_free(&facts);
}
