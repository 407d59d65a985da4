/* chain.c - reference chains, root first, drawn as one trunk with a branch per line.
 *
 * A chain's line is one or more joined labels. It has a left side (the labels, on several rows if
 * they are longer than the page, and below a suspect label the underline) and a right side (the
 * note, wrapped in a column that all lines of the chain share). The sides are written row by row
 * next to each other; where the left side reaches into the notes' column, the note waits for the
 * first row that has room. */
#include <string.h>

#include "report/flow.h"
#include "report/page.h"

#define TRUNK "\xe2\x94\x82" /* │ */

enum {
  LEAF_INDENT = 3,
  NOTE_GAP = 3,     /* blanks between the longest label and the notes         */
  NOTE_COLUMN = 42, /* of the notes if all fit: chains of a page then line up */
  NOTE_LEAST = 20,  /* columns that notes may claim on the narrowest page     */
};

/* One line of a chain: steps [first, end) joined. */
struct branch {
  const struct chain_step *first, *end, *last;
  const char *glyph; /* with the blanks behind it */
  const char *trunk; /* on its further rows       */
  size_t offset;     /* columns of the glyph      */
};

static struct branch branch_of_steps(const struct chain_view *view,
                                     const struct chain_step *first) {
  bool root = first == view->first;
  struct branch branch = {.first = first, .last = first, .trunk = TRUNK};
  branch.glyph = root ? "\xe2\x94\xac " : "\xe2\x94\x9c\xe2\x94\x80 "; /* ┬, ├─ */
  branch.offset = root ? 2 : 3;
  while (branch.last->next && branch.last->next->joins && !branch.last->suspect)
    branch.last = branch.last->next;
  branch.end = branch.last->next;
  return branch;
}

static struct branch branch_of_leaf(const struct chain_step *leaf) {
  return (struct branch){.first = leaf,
                         .last = leaf,
                         .glyph = "\xe2\x95\xb0\xe2\x86\x92 ", /* ╰→ */
                         .trunk = " ",
                         .offset = 3};
}

/* The next branch of the chain: start with *step = view->first and *leaf = view->leaf. */
static bool branch_next(const struct chain_view *view, const struct chain_step **step,
                        const struct chain_step **leaf, struct branch *branch) {
  if (*step) {
    *branch = branch_of_steps(view, *step);
    *step = branch->end;
    return true;
  }
  if (!*leaf) return false;
  *branch = branch_of_leaf(*leaf);
  *leaf = NULL;
  return true;
}

static size_t string_columns(const char *text) { return text_columns(text, strlen(text)); }

static size_t branch_columns(const struct branch *branch) {
  size_t columns = branch->offset;
  for (const struct chain_step *step = branch->first; step != branch->end; step = step->next)
    columns += string_columns(step->label);
  return columns;
}

/* ---- The notes' column ----------------------------------------------------------------------- */

static size_t at_most(size_t value, size_t limit) { return value < limit ? value : limit; }
static size_t at_least(size_t value, size_t limit) { return value > limit ? value : limit; }

/* As far right as NOTE_COLUMN if all notes fit behind it, further left where they need the room,
 * and never closer than NOTE_GAP to the labels - unless those leave notes less than 2/5 of the
 * page. */
static size_t note_column(const struct page *page, const struct chain_view *view) {
  const struct chain_step *step = view->first, *leaf = view->leaf;
  size_t labels = 0, notes = 0, indent = view->item.indent;
  for (struct branch branch; branch_next(view, &step, &leaf, &branch);) {
    if (!branch.last->note) continue;
    labels = at_least(labels, branch_columns(&branch));
    notes = at_least(notes, string_columns(branch.last->note));
  }
  size_t tight = indent + labels + NOTE_GAP, column = at_least(tight, indent + NOTE_COLUMN);
  if (page->width == SIZE_MAX) return column;
  size_t room_left = page->width > notes ? page->width - notes : 0;
  column = at_most(column, at_least(tight, room_left));
  size_t claim = at_most(notes, at_least(NOTE_LEAST, page->width / 5 * 2));
  column = at_most(column, page->width > claim ? page->width - claim : 0);
  return at_least(column, indent + 2 * NOTE_GAP);
}

/* ---- Rows ------------------------------------------------------------------------------------ */

/* A branch being written. */
struct pen {
  struct page *page;
  const struct branch *branch;
  size_t indent, note_column;
  const char *note; /* what is still to be written of it */
};

/* Ends a row whose left side reaches to `column`; with the next piece of the note, if that has
 * room. */
static void end_row(struct pen *pen, size_t column) {
  if (*pen->note && column + 2 <= pen->note_column) {
    size_t room = page_room(pen->page, pen->note_column);
    struct flow_row row = flow_next_row(pen->note, NULL, strlen(pen->note), 0, room);
    put_blanks(pen->page, pen->note_column - column);
    put_text(pen->page, STYLE_PLAIN, pen->note, row.end);
    pen->note += row.next;
  }
  put_newline(pen->page);
}

/* Where the labels of the steps before `step` end. */
struct boundary {
  const struct chain_step *step;
  size_t at;
};

/* Where the row of joined labels from `from` on ends: between two steps, if not at the end. The
 * boundary moves on to there, so that all rows together pass each step once. */
static size_t label_row(const struct branch *branch, const struct text *labels, size_t from,
                        size_t room, struct boundary *boundary) {
  size_t end = from + flow_fit(labels->items + from, labels->count - from, room);
  if (end == labels->count) return end;
  size_t best = 0;
  while (boundary->step != branch->end && boundary->at + strlen(boundary->step->label) <= end) {
    boundary->at += strlen(boundary->step->label);
    boundary->step = boundary->step->next;
    if (boundary->at > from) best = boundary->at;
  }
  if (best) return best;
  return end > from ? end : from + flow_unit(labels->items + from, labels->count - from);
}

static void put_underline(struct pen *pen, size_t blanks, size_t count, bool note_may_follow) {
  put_blanks(pen->page, pen->indent);
  put_string(pen->page, STYLE_MUTED, TRUNK);
  put_blanks(pen->page, pen->branch->offset - 1 + blanks);
  put_repeated(pen->page, STYLE_MARK, '~', count);
  size_t column = pen->indent + pen->branch->offset + blanks + count;
  if (note_may_follow)
    end_row(pen, column);
  else
    put_newline(pen->page);
}

/* Writes the left side; `suspect` is where in the labels the suspect one starts. */
static void put_labels(struct pen *pen, const struct text *labels, size_t suspect) {
  size_t start = pen->indent + pen->branch->offset, from = 0;
  struct boundary boundary = {.step = pen->branch->first};
  do {
    size_t end = from;
    if (labels->count)
      end = label_row(pen->branch, labels, from, page_room(pen->page, start), &boundary);
    bool last = end == labels->count;
    size_t wide = end > from ? text_columns(labels->items + from, end - from) : 0;
    put_blanks(pen->page, pen->indent);
    put_string(pen->page, STYLE_MUTED, from ? pen->branch->trunk : pen->branch->glyph);
    if (from) put_blanks(pen->page, pen->branch->offset - 1);
    if (end > from) put_text(pen->page, STYLE_KEY, labels->items + from, end - from);
    if (last)
      end_row(pen, start + wide);
    else
      put_newline(pen->page);
    if (suspect < end) {
      size_t before = suspect > from ? text_columns(labels->items + from, suspect - from) : 0;
      put_underline(pen, before, wide - before, last);
    }
    from = end;
  } while (from < labels->count && !pen->page->output.closed);
}

static void put_branch(struct page *page, const struct branch *branch, size_t indent,
                       size_t column) {
  struct text labels = {0};
  size_t suspect = SIZE_MAX;
  for (const struct chain_step *step = branch->first; step != branch->end; step = step->next) {
    if (step->suspect) suspect = labels.count;
    if (!text_add_string(&labels, step->label)) page->failed = true;
  }
  const char *note = branch->last->note ? branch->last->note : "";
  struct pen pen = {page, branch, indent, column, note};
  if (!page->failed) put_labels(&pen, &labels, suspect);
  while (*pen.note && !page->failed && !page->output.closed) {
    put_blanks(page, indent);
    put_string(page, STYLE_MUTED, branch->trunk);
    end_row(&pen, indent + 1);
  }
  vector_free(&labels);
}

void render_chain(struct page *page, const struct chain_view *view) {
  size_t column = note_column(page, view);
  const struct chain_step *step = view->first, *leaf = view->leaf;
  for (struct branch branch; branch_next(view, &step, &leaf, &branch);) {
    if (page->failed || page->output.closed) return;
    put_branch(page, &branch, view->item.indent, column);
  }
  for (const struct item *item = view->first_line; item; item = item->next) {
    if (page->failed || page->output.closed) return;
    render_line(page, (const struct line *)item);
  }
}
