/* json.c - the data for programs: a document's tree streamed through yajl.
 *
 * yajl keeps the syntax (commas, nesting, indentation, escapes of quotes and ASCII controls). It is
 * given valid UTF-8 only: bytes that are none become the text \xNN before. What a terminal could
 * act upon although it is valid (DEL, C1 controls, bidirectional marks, line separators) leaves as
 * a \u escape: outside of strings JSON is ASCII, so the finished text can be searched for it.
 *
 * Depth is bounded by yajl (YAJL_MAX_DEPTH), and with it the recursion here. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include <yajl/yajl_gen.h>

#include "base/text.h"
#include "report/cell.h"
#include "report/output.h"
#include "report/parts.h"

struct json {
  yajl_gen generator;
  struct document *document;
  struct output output;
  struct text valid; /* a string made valid, while it is handed over */
  bool failed;       /* out of memory, or nested too deeply          */
  size_t slab_used;
  _Alignas(16) unsigned char slab[8192];
};

/* ---- What yajl needs ------------------------------------------------------------------------- */

/* yajl_gen_alloc does not look whether its second allocation, a buffer that a print callback makes
 * superfluous, succeeds. Its two small requests are therefore served from a slab; it makes no
 * others when it prints through a callback. */
static void *slab_malloc(void *context, size_t size) {
  struct json *json = context;
  size = (size + 15) & ~(size_t)15;
  if (size > sizeof json->slab - json->slab_used) return NULL;
  void *memory = json->slab + json->slab_used;
  json->slab_used += size;
  return memory;
}

static void *slab_realloc(void *context, void *memory, size_t size) {
  return memory ? NULL : slab_malloc(context, size);
}

static void slab_free(void *context, void *memory) {
  (void)context;
  (void)memory;
}

/* ---- Strings --------------------------------------------------------------------------------- */

/* The bytes of the UTF-8 character (RFC 3629: shortest form, no surrogates) that starts here and
 * its code point; 0 if there is none. */
static size_t utf8_decode(const unsigned char *bytes, size_t size, uint32_t *code) {
  static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
  if (!size) return 0;
  *code = bytes[0];
  if (bytes[0] < 0x80) return 1;
  size_t length = bytes[0] >= 0xf0 ? 4 : bytes[0] >= 0xe0 ? 3 : 2;
  if (bytes[0] < 0xc2 || bytes[0] > 0xf4 || length > size) return 0;
  *code = bytes[0] & (0xffu >> (length + 1));
  for (size_t i = 1; i < length; i++) {
    if ((bytes[i] & 0xc0) != 0x80) return 0;
    *code = *code << 6 | (bytes[i] & 0x3fu);
  }
  bool surrogate = *code >= 0xd800 && *code <= 0xdfff;
  return *code < least[length] || *code > 0x10ffff || surrogate ? 0 : length;
}

/* Whether a terminal may take the character for more than a glyph. ASCII controls are yajl's. */
static bool is_unsafe(uint32_t code) {
  return (code >= 0x7f && code <= 0x9f) || code == 0x61c || (code >= 0x200b && code <= 0x200f) ||
         (code >= 0x2028 && code <= 0x202e) || (code >= 0x2060 && code <= 0x206f) || code == 0xfeff;
}

/* yajl's print callback: everything goes through here, characters never divided. */
static void print(void *context, const char *text, size_t size) {
  struct json *json = context;
  const unsigned char *bytes = (const unsigned char *)text;
  size_t done = 0, length = 0;
  for (size_t at = 0; at < size; at += length) {
    uint32_t code = 0;
    length = utf8_decode(bytes + at, size - at, &code);
    if (!length) length = 1;
    if (code < 0x7f || !is_unsafe(code)) continue;
    char escape[8];
    snprintf(escape, sizeof escape, "\\u%04x", (unsigned)(code & 0xffff));
    output_write(&json->output, text + done, at - done);
    output_write(&json->output, escape, 6);
    done = at + length;
  }
  output_write(&json->output, text + done, size - done);
}

/* Puts a copy of the bytes into json->valid, with those that are no UTF-8 as \xNN. */
static bool make_valid(struct json *json, const char *bytes, size_t size) {
  json->valid.count = 0;
  for (size_t at = 0, length; at < size; at += length) {
    uint32_t code = 0;
    length = utf8_decode((const unsigned char *)bytes + at, size - at, &code);
    bool added = length ? text_add(&json->valid, bytes + at, length)
                        : text_printf(&json->valid, "\\x%02X", (unsigned)(unsigned char)bytes[at]);
    if (!added) return false;
    if (!length) length = 1;
  }
  return true;
}

static bool is_valid(const char *bytes, size_t size) {
  uint32_t code = 0;
  for (size_t at = 0, length; at < size; at += length) {
    length = utf8_decode((const unsigned char *)bytes + at, size - at, &code);
    if (!length) return false;
  }
  return true;
}

/* ---- Values ---------------------------------------------------------------------------------- */

static void check(struct json *json, yajl_gen_status status) {
  if (status != yajl_gen_status_ok) json->failed = true;
}

static void put_string(struct json *json, const char *bytes, size_t size) {
  if (!is_valid(bytes, size)) {
    if (!make_valid(json, bytes, size)) {
      json->failed = true;
      return;
    }
    bytes = json->valid.items;
    size = json->valid.count;
  }
  check(json, yajl_gen_string(json->generator, (const unsigned char *)bytes, size));
}

/* Text that is JSON already. */
static void put_raw(struct json *json, const char *text) {
  check(json, yajl_gen_number(json->generator, text, strlen(text)));
}

static void put_real(struct json *json, double value) {
  char buffer[NUMBER_SIZE] = "null";
  if (isfinite(value)) number_shortest(buffer, value);
  put_raw(json, buffer);
}

static void put_cell(struct json *json, struct cell cell) {
  char buffer[NUMBER_SIZE];
  switch (cell.type) {
  case CELL_NULL:
    check(json, yajl_gen_null(json->generator));
    return;
  case CELL_WORDS:
  case CELL_PATH:
  case CELL_TEXT:
  case CELL_BARE:
    put_string(json, cell.text.bytes, cell.text.size);
    return;
  case CELL_BOOLEAN:
    check(json, yajl_gen_bool(json->generator, cell.number != 0));
    return;
  case CELL_COUNT:
  case CELL_PLAIN:
  case CELL_BYTES:
    snprintf(buffer, sizeof buffer, "%" PRIu64, cell.number);
    put_raw(json, buffer);
    return;
  case CELL_INTEGER:
    snprintf(buffer, sizeof buffer, "%" PRId64, cell.integer);
    put_raw(json, buffer);
    return;
  case CELL_ADDRESS:
    snprintf(buffer, sizeof buffer, "0x%" PRIx64, cell.number);
    put_string(json, buffer, strlen(buffer));
    return;
  case CELL_DURATION:
  case CELL_RATIO:
  case CELL_NUMBER:
  case CELL_TIME:
    put_real(json, cell.real);
    return;
  }
}

/* ---- The tree -------------------------------------------------------------------------------- */

static void put_data(struct json *json, const struct data *data);

static bool stopped(const struct json *json) { return json->failed || json->output.closed; }

/* An object or an array with members. yajl would spread empty ones over three lines. */
static void put_members(struct json *json, const struct data *data) {
  bool object = data->kind == DATA_OBJECT;
  if (!data->members.first) {
    put_raw(json, object ? "{}" : "[]");
    return;
  }
  check(json, object ? yajl_gen_map_open(json->generator) : yajl_gen_array_open(json->generator));
  for (const struct data *member = data->members.first; member && !stopped(json);
       member = member->next) {
    if (!object && document_stops(json->document, 0, 0)) break;
    if (object)
      put_string(json, member->key ? member->key : "", strlen(member->key ? member->key : ""));
    put_data(json, member);
  }
  if (stopped(json)) return;
  check(json, object ? yajl_gen_map_close(json->generator) : yajl_gen_array_close(json->generator));
}

static void put_rows(struct json *json, const struct data *data) {
  if (!data->rows.count) {
    put_raw(json, "[]");
    return;
  }
  check(json, yajl_gen_array_open(json->generator));
  for (size_t i = 0; i < data->rows.count && !stopped(json); i++) {
    if (document_stops(json->document, i, data->rows.count)) break;
    struct pool pool = {0};
    struct data row;
    data_init(&row, &pool);
    data->rows.row(data->rows.context, i, &row);
    if (pool.failed)
      json->failed = true;
    else
      put_members(json, &row);
    arena_free(&pool.arena);
  }
  if (!stopped(json)) check(json, yajl_gen_array_close(json->generator));
}

static void put_data(struct json *json, const struct data *data) {
  if (stopped(json)) return;
  switch (data->kind) {
  case DATA_CELL:
    put_cell(json, data->cell);
    return;
  case DATA_OBJECT:
  case DATA_ARRAY:
    put_members(json, data);
    return;
  case DATA_ROWS:
    put_rows(json, data);
    return;
  case DATA_PARTIAL:
    put_cell(json, cell_boolean(document_is_partial(data->partial)));
    return;
  }
}

bool render_json(struct document *document, const struct render_options *options) {
  struct json json = {.document = document};
  yajl_alloc_funcs allocation = {slab_malloc, slab_realloc, slab_free, &json};
  output_init(&json.output, options);
  json.generator = yajl_gen_alloc(&allocation);
  if (json.generator) {
    yajl_gen_config(json.generator, yajl_gen_beautify, 1);
    yajl_gen_config(json.generator, yajl_gen_indent_string, "  ");
    yajl_gen_config(json.generator, yajl_gen_print_callback, print, (void *)&json);
    put_data(&json, document->data);
    yajl_gen_free(json.generator);
  } else {
    json.failed = true;
  }
  vector_free(&json.valid);
  if (json.failed) document->pool.failed = true;
  return output_flush(&json.output) && !json.failed;
}
