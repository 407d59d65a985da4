/* document.h - what a command answers, before anybody decides how it looks.
 *
 * A document has two sides that are filled through one interface: *data*, a tree of keyed, typed
 * cells (the JSON contract), and a *page*, a sequence of lines, tables and chains made of the same
 * typed cells (what a person reads). Formatting - thousands separators, units, escapes, colours,
 * widths - happens only in the renderers (render.h).
 *
 * Memory: everything lives in the document's arena until document_free. When memory is out the
 * functions go on with what they have and set document->failed; check it once at the end. Strings
 * that are handed in are copied; bytes of the target are handed in raw as CELL_TEXT. */
#ifndef REPORT_DOCUMENT_H
#define REPORT_DOCUMENT_H

#include "base/arena.h"
#include "base/work.h"
#include "inspect.h"

enum cell_type {
  CELL_NULL,     /* not known                        JSON null     text "-"                     */
  CELL_WORDS,    /* our own words, safe as they are  JSON string   text as it is                */
  CELL_PATH,     /* the same; if it must be cut, then not at its end                            */
  CELL_TEXT,     /* bytes of the target              JSON escaped  text "quoted" as Lua would   */
  CELL_BARE,     /* the same, without quotes         JSON escaped  text escaped                 */
  CELL_BOOLEAN,  /*                                  JSON true     text yes/no                  */
  CELL_COUNT,    /* 1234567                          JSON number   text 1,234,567               */
  CELL_INTEGER,  /* signed                           JSON number   text -1,234                  */
  CELL_PLAIN,    /* a number that is a name: pid, index  JSON number   text 4711                */
  CELL_BYTES,    /* 1234567                          JSON number   text 1.2 MB (1000-based)     */
  CELL_ADDRESS,  /*                                  JSON "0x..."  text 0x55d0c0ffee            */
  CELL_DURATION, /* seconds                          JSON number   text 2 h 3 min               */
  CELL_RATIO,    /* 0..1                             JSON number   text 62 %                    */
  CELL_NUMBER,   /* double                           JSON number   text %.14g                   */
  CELL_TIME,     /* seconds since 1970               JSON number   text 2026-11-22 15:51:02 UTC */
};

struct cell {
  enum cell_type type;
  union {
    uint64_t number; /* BOOLEAN, COUNT, PLAIN, BYTES, ADDRESS */
    int64_t integer; /* INTEGER                        */
    double real;     /* DURATION, RATIO, NUMBER, TIME  */
    struct {
      const char *bytes;
      size_t size;
    } text; /* WORDS, PATH, TEXT, BARE */
  };
};

struct cell cell_null(void);
struct cell cell_words(const char *words);             /* NULL gives CELL_NULL, */
struct cell cell_path(const char *path);               /* here, too             */
struct cell cell_text(const char *bytes, size_t size); /* likewise, and cell_bare */
struct cell cell_bare(const char *bytes, size_t size);
struct cell cell_boolean(bool value);
struct cell cell_count(uint64_t value);
struct cell cell_integer(int64_t value);
struct cell cell_plain(uint64_t value);
struct cell cell_bytes(uint64_t value);
struct cell cell_address(uint64_t value);
struct cell cell_duration(double seconds); /* negative or NaN: CELL_NULL */
struct cell cell_ratio(double value);
struct cell cell_number(double value);
struct cell cell_time(double seconds);

/* ---- Data ------------------------------------------------------------------------------------ */

struct document;
struct data; /* an object or array under construction */

struct document *document_create(void); /* NULL: out of memory */
void document_free(struct document *document);
bool document_failed(const struct document *document);

/* ---- Partial answers ---------------------------------------------------------------------------
 *
 * Rows may be millions. While they are added, by loops that ask document_stops, and while the
 * document is rendered, `work` is asked whether to go on. If not, lists end where they are, and the
 * document is partial: it stays well-formed and says so. */

/* `work` outlives the rendering; without it nothing stops. */
void document_watch(struct document *document, const struct work *work);

/* Asked before each of `total` rows with how many were added: true if no more are to be. With 0 for
 * `total` the share of the work that is told to the host stays as it is. */
bool document_stops(struct document *document, size_t done, size_t total);

void document_set_partial(struct document *document);
bool document_is_partial(const struct document *document);

/* The outermost object. */
struct data *document_data(struct document *document);

/* `key` is a static string; NULL inside arrays. Each returns the new member. Members come out in
 * the order in which they were added. */
struct data *data_object(struct data *parent, const char *key);
struct data *data_array(struct data *parent, const char *key);
void data_cell(struct data *parent, const char *key, struct cell cell);

/* A boolean that says when it is rendered whether the document is partial: it comes last. */
void data_partial(struct data *parent, const char *key, const struct document *document);

/* An array of objects that are made only when they are rendered: `row` fills in number `index`. For
 * long lists; `context` must outlive the rendering. A row's memory is freed after it is written. */
void data_rows(struct data *parent, const char *key, size_t count,
               void (*row)(void *context, size_t index, struct data *object), void *context);

/* ---- Page ------------------------------------------------------------------------------------ */

enum style {
  STYLE_PLAIN,
  STYLE_HEADING, /* bold               */
  STYLE_MUTED,   /* side information   */
  STYLE_KEY,     /* names and paths    */
  STYLE_BAD,     /* leaked, violations */
  STYLE_GOOD,
  STYLE_MARK, /* the suspect underline */
};

struct line; /* a line of the page under construction */

/* Starts a line. `indent` columns; wrapped continuation lines get `indent` + 2. Lines that are
 * longer than the page are wrapped at blanks of words (at any column if there are none); a cell
 * that fits into one row is not divided. */
struct line *page_line(struct document *document, unsigned indent);
void page_blank(struct document *document);

/* The line that ends the page if the document is partial, whatever else was left out. */
struct line *page_closing(struct document *document);

/* Appends to a line. `words` and printf results are ours and shown as they are. */
void line_words(struct line *line, enum style style, const char *words);
void line_printf(struct line *line, enum style style, const char *format, ...) PRINTF_LIKE(3, 4);
void line_cell(struct line *line, enum style style, struct cell cell);
/* Blanks up to a column counted from 0; at least one blank. */
void line_tab(struct line *line, unsigned column);

/* A table: columns first, then rows of cells. Numbers align right; the last column is cut with an
 * ellipsis where the page ends. With `indent` as for lines. */
struct table;
struct table *page_table(struct document *document, unsigned indent);
void table_column(struct table *table, const char *heading);
void table_row(struct table *table);                    /* starts a row             */
void table_cell(struct table *table, struct cell cell); /* next column of that row */

/* A reference chain, root first:
 *
 *     ┬ package.loaded["game.room"].join      function room.lua:41
 *     ├─ upvalue rooms                         table, 40 entries
 *     ├─ ["lobby"].members                     only holder of 1,184 of 1,187
 *     │           ~~~~~~~~
 *     ├─ [17]
 *     ╰→ Session 0x7f21a0c4e10                 table
 *        "session socket 10.0.3.7:5123", created 2 h 3 min before the dump
 *
 * A step's label is Lua syntax, already escaped. Steps with `joins` are written directly behind the
 * step before them, on its line; the note of the last step of a line is shown at its right (in a
 * column that all lines of the chain share). A suspect step is underlined and ends its line. The
 * leaf is the last line, with its own lines below it. */
struct chain_view;
struct chain_view *page_chain(struct document *document, unsigned indent);
void chain_view_step(struct chain_view *view, const char *label, bool joins, bool suspect,
                     const char *note); /* note: escaped, or NULL */
void chain_view_leaf(struct chain_view *view, const char *what, const char *note);
struct line *chain_view_leaf_line(struct chain_view *view); /* one more line below the leaf */

#endif
