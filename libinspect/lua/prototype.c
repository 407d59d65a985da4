/* prototype.c - what a prototype says about its source: names and lines.
 *
 * A line is stored as a signed difference to the line of the instruction before; where the
 * difference does not fit, and every hundred-odd instructions, a pair (pc, line) is stored besides
 * (ldebug.c: luaG_getfuncline). Every array is viewed as a whole before it is read. */
#include "lua/prototype.h"

#include "base/text.h"

/* ---- Lines -------------------------------------------------------------------------------------
 */

uint64_t prototype_pc(const struct layout *layout, const uint8_t *prototype, uint64_t saved_pc) {
  enum { INSTRUCTION = 4 };
  uint64_t code = load_field(layout, prototype, Proto_code);
  uint64_t length = load_field(layout, prototype, Proto_sizecode);
  uint64_t pc = saved_pc > code ? (saved_pc - code) / INSTRUCTION : 0;
  if (pc > length) pc = length;
  return pc ? pc - 1 : 0;
}

/* The last stored pair at or before `pc`, from which the differences are added up; false if there
 * is none. */
static bool stored_line(struct vm *vm, const uint8_t *prototype, uint64_t pc, uint64_t *at,
                        int64_t *line) {
  const struct layout *layout = vm->layout;
  uint64_t count = load_field(layout, prototype, Proto_sizeabslineinfo);
  uint64_t stride = layout->size[SIZE_AbsLineInfo];
  const uint8_t *pairs =
      memory_view(&vm->memory, load_field(layout, prototype, Proto_abslineinfo), count * stride);
  bool found = false;
  for (uint64_t i = 0; pairs && i < count; i++) {
    uint64_t start = load_field(layout, pairs + i * stride, AbsLineInfo_pc);
    if (start > pc) break;
    *at = start;
    *line = load_signed(layout, pairs + i * stride, AbsLineInfo_line);
    found = true;
  }
  return found;
}

uint32_t prototype_line(struct vm *vm, const uint8_t *prototype, uint64_t pc) {
  const struct layout *layout = vm->layout;
  uint64_t count = load_field(layout, prototype, Proto_sizelineinfo);
  const uint8_t *differences =
      memory_view(&vm->memory, load_field(layout, prototype, Proto_lineinfo), count);
  if (!differences || pc >= count) return 0;
  uint64_t at = UINT64_MAX; /* the pair before the first instruction */
  int64_t line = load_signed(layout, prototype, Proto_linedefined);
  stored_line(vm, prototype, pc, &at, &line);
  for (uint64_t i = at + 1; i <= pc; i++)
    line += (int8_t)differences[i];
  return line > 0 && line <= INT32_MAX ? (uint32_t)line : 0;
}

/* ---- Names -------------------------------------------------------------------------------------
 */

enum { MOST_LOCALS = 32767 }; /* lparser.c: registerlocalvar; more are damage */

/* lfunc.c: luaF_getlocalname */
const char *prototype_local_name(struct vm *vm, const uint8_t *prototype, uint64_t number,
                                 uint64_t pc, size_t *size) {
  const struct layout *layout = vm->layout;
  uint64_t count = load_field(layout, prototype, Proto_sizelocvars);
  uint64_t stride = layout->size[SIZE_LocVar];
  const uint8_t *locals =
      memory_view(&vm->memory, load_field(layout, prototype, Proto_locvars), count * stride);
  for (uint64_t i = 0; locals && i < count && i < MOST_LOCALS; i++) {
    const uint8_t *local = locals + i * stride;
    if (load_field(layout, local, LocVar_startpc) > pc) return NULL;
    if (pc < load_field(layout, local, LocVar_endpc) && --number == 0)
      return string_bytes(vm, load_field(layout, local, LocVar_varname), size);
  }
  return NULL;
}

const char *prototype_upvalue_name(struct vm *vm, uint64_t prototype, uint64_t index,
                                   size_t *size) {
  const struct layout *layout = vm->layout;
  const uint8_t *bytes = memory_view(&vm->memory, prototype, layout->size[SIZE_Proto]);
  if (!bytes || load_field(layout, bytes, GCObject_tt) != TAG_PROTOTYPE ||
      index >= load_field(layout, bytes, Proto_sizeupvalues))
    return NULL;
  uint64_t stride = layout->size[SIZE_Upvaldesc];
  const uint8_t *description =
      memory_view(&vm->memory, load_field(layout, bytes, Proto_upvalues) + index * stride, stride);
  if (!description) return NULL;
  return string_bytes(vm, load_field(layout, description, Upvaldesc_name), size);
}

static size_t base_name_start(const char *path, size_t size) {
  size_t start = 0;
  for (size_t i = 0; i < size; i++)
    if (path[i] == '/' || path[i] == '\\') start = i + 1;
  return start < size ? start : 0;
}

/* The base name of the source; of one that is no file the first words in brackets. */
static bool add_source(const char *source, size_t size, struct text *text) {
  enum { MOST_WORDS = 40 };
  if (*source == '@' || *source == '=') {
    size_t start = *source == '@' ? 1 + base_name_start(source + 1, size - 1) : 1;
    return text_escape(text, source + start, size - start, 0);
  }
  const char *end = memchr(source, '\n', size);
  size_t shown = end ? (size_t)(end - source) : size;
  if (shown > MOST_WORDS) shown = MOST_WORDS;
  return text_add_string(text, "[string \"") && text_escape(text, source, shown, '"') &&
         text_add_string(text, shown < size ? "...\"]" : "\"]");
}

const char *prototype_place(struct vm *vm, const uint8_t *prototype, uint64_t line,
                            struct arena *arena) {
  size_t size;
  const char *source = string_bytes(vm, load_field(vm->layout, prototype, Proto_source), &size);
  if (!source || !size) return NULL;
  struct text text = {0};
  const char *name = NULL;
  if (add_source(source, size, &text) && text_printf(&text, ":%llu", (unsigned long long)line))
    name = arena_copy(arena, text.items, text.count);
  vector_free(&text);
  return name;
}

const char *prototype_name(struct vm *vm, uint64_t prototype, struct arena *arena) {
  const struct layout *layout = vm->layout;
  const uint8_t *bytes = memory_view(&vm->memory, prototype, layout->size[SIZE_Proto]);
  if (!bytes || load_field(layout, bytes, GCObject_tt) != TAG_PROTOTYPE) return NULL;
  return prototype_place(vm, bytes, load_field(layout, bytes, Proto_linedefined), arena);
}
