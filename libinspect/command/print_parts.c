/* print_parts.c - what functions, prototypes, upvalues and userdata consist of. */
#include <inttypes.h>

#include "command/print.h"
#include "lua/function.h"
#include "lua/prototype.h"
#include "report/render.h"

enum { FIRST_COLUMN = 2 };

/* ---- Prototypes -------------------------------------------------------------------------------
 */

static void page_source(struct printing *printing, const struct lua_prototype *prototype,
                        const char *source, size_t size) {
  enum { LONGEST = 200 };
  struct line *line = page_named(printing->context, "source");
  if (!source)
    line_words(line, STYLE_PLAIN, "not known (stripped)");
  else if (*source == '@' || *source == '=')
    line_cell(line, STYLE_PLAIN, cell_bare(source + 1, size - 1));
  else
    line_cell(line, STYLE_PLAIN, cell_text(source, size < LONGEST ? size : LONGEST));
  if (!prototype->first_line && !prototype->last_line)
    line_words(line, STYLE_PLAIN, ", main chunk");
  else if (prototype->first_line == prototype->last_line)
    line_printf(line, STYLE_PLAIN, ", line %" PRIu32, prototype->first_line);
  else
    line_printf(line, STYLE_PLAIN, ", lines %" PRIu32 " to %" PRIu32, prototype->first_line,
                prototype->last_line);
}

static void page_parameters(struct printing *printing, const struct lua_prototype *prototype) {
  struct vm *vm = &printing->place->owner->vm;
  struct line *line = page_named(printing->context, "parameters");
  struct data *names = data_array(printing->data, "parameters");
  for (uint32_t i = 0; i < prototype->parameters; i++) {
    size_t size = 0;
    const char *name = prototype_local_name(vm, prototype->bytes, (uint64_t)i + 1, 0, &size);
    data_cell(names, NULL, name ? cell_bare(name, size) : cell_null());
    if (i) line_words(line, STYLE_PLAIN, ", ");
    if (name)
      line_cell(line, STYLE_PLAIN, cell_bare(name, size));
    else
      line_printf(line, STYLE_PLAIN, "[%" PRIu32 "]", i + 1);
  }
  if (prototype->is_vararg) line_words(line, STYLE_PLAIN, prototype->parameters ? ", ..." : "...");
  if (!prototype->is_vararg && !prototype->parameters) line_words(line, STYLE_PLAIN, "none");
  data_cell(printing->data, "vararg", cell_boolean(prototype->is_vararg));
}

static bool print_prototype(struct printing *printing, uint64_t address,
                            struct lua_prototype *prototype) {
  struct vm *vm = &printing->place->owner->vm;
  if (prototype_load(vm, address, prototype)) return false;
  size_t size = 0;
  const char *source = prototype->source ? string_bytes(vm, prototype->source, &size) : NULL;
  if (!size) source = NULL;
  data_cell(printing->data, "source", source ? cell_bare(source, size) : cell_null());
  data_cell(printing->data, "first_line", cell_plain(prototype->first_line));
  data_cell(printing->data, "last_line", cell_plain(prototype->last_line));
  page_source(printing, prototype, source, size);
  page_parameters(printing, prototype);
  return true;
}

static void page_code(struct printing *printing, const struct lua_prototype *prototype) {
  struct line *line = page_named(printing->context, "code");
  line_cell(line, STYLE_PLAIN, cell_count(prototype->instructions));
  line_words(line, STYLE_PLAIN, " instructions, ");
  line_cell(line, STYLE_PLAIN, cell_count(prototype->constants));
  line_words(line, STYLE_PLAIN, " constants, ");
  line_cell(line, STYLE_PLAIN, cell_count(prototype->upvalues));
  line_words(line, STYLE_PLAIN, " upvalues, ");
  line_cell(line, STYLE_PLAIN, cell_count(prototype->prototypes));
  line_words(line, STYLE_PLAIN, " functions inside");
  data_cell(printing->data, "instructions", cell_count(prototype->instructions));
  data_cell(printing->data, "constants", cell_count(prototype->constants));
}

/* ---- Functions --------------------------------------------------------------------------------
 */

static struct inspect_error *print_upvalues(struct printing *printing,
                                            const struct lua_function *function) {
  struct command_context *context = printing->context;
  struct vm *vm = &printing->place->owner->vm;
  struct data *list = data_array(printing->data, "upvalues");
  uint64_t shown = function->upvalue_count;
  if (shown > printing->tree.limit) shown = printing->tree.limit;
  struct line *line = page_named(context, "upvalues");
  if (!shown) line_words(line, STYLE_PLAIN, "none");
  if (shown) line_cell(line, STYLE_PLAIN, cell_count(function->upvalue_count));
  for (uint64_t i = 0; i < shown; i++) {
    size_t size = 0;
    const char *name =
        function->is_lua ? prototype_upvalue_name(vm, function->prototype, i, &size) : NULL;
    struct lua_value value = {.tag = TAG_ANY};
    bool is_read = function_upvalue(vm, function, i, &value);
    struct data *row = data_object(list, NULL);
    data_cell(row, "index", cell_plain(i + 1));
    data_cell(row, "name", name && size ? cell_bare(name, size) : cell_null());
    const char *before = print_name(printing, name, size, i + 1);
    if (is_read)
      TRY(print_value(printing, value, FIRST_COLUMN, before, row, "value"));
    else
      line_printf(page_line(context->document, FIRST_COLUMN), STYLE_BAD, "%s is not readable",
                  before);
  }
  if (shown == function->upvalue_count) return NULL;
  line = page_line(context->document, FIRST_COLUMN);
  line_cell(line, STYLE_MUTED, cell_count(function->upvalue_count - shown));
  line_words(line, STYLE_MUTED, " more");
  return NULL;
}

static struct inspect_error *print_function(struct printing *printing) {
  struct lua_function function;
  struct lua_prototype prototype;
  if (function_load(&printing->place->owner->vm, printing->place->value.bits, &function))
    return NULL;
  if (function.is_lua) {
    print_prototype(printing, function.prototype, &prototype);
  } else {
    const char *name = heap_c_function_name(&printing->context->session->heap, function.code);
    struct line *line = page_named(printing->context, "code");
    line_cell(line, STYLE_PLAIN, cell_address(function.code));
    line_printf(line, STYLE_PLAIN, ", %s", name ? name : "no symbol is known");
    data_cell(printing->data, "code", cell_address(function.code));
    data_cell(printing->data, "symbol", cell_words(name));
  }
  return print_upvalues(printing, &function);
}

/* ---- Upvalues and userdata --------------------------------------------------------------------
 */

static struct inspect_error *print_upvalue(struct printing *printing) {
  struct lua_upvalue upvalue;
  if (upvalue_load(&printing->place->owner->vm, printing->place->value.bits, &upvalue)) return NULL;
  line_words(page_named(printing->context, "state"), STYLE_PLAIN,
             upvalue.is_open ? "open: its value is in the stack of a thread" : "closed");
  data_cell(printing->data, "open", cell_boolean(upvalue.is_open));
  return print_value(printing, upvalue.value, 0, "value", printing->data, "holds");
}

static struct inspect_error *print_userdata(struct printing *printing) {
  struct command_context *context = printing->context;
  struct lua_userdata userdata;
  if (userdata_load(&printing->place->owner->vm, printing->place->value.bits, &userdata))
    return NULL;
  struct line *line = page_named(context, "block");
  line_cell(line, STYLE_PLAIN, cell_bytes(userdata.size));
  data_cell(printing->data, "size", cell_bytes(userdata.size));
  struct data *list = data_array(printing->data, "user_values");
  line = page_named(context, "user values");
  if (!userdata.user_value_count) line_words(line, STYLE_PLAIN, "none");
  if (userdata.user_value_count)
    line_cell(line, STYLE_PLAIN, cell_count(userdata.user_value_count));
  uint64_t i = 0;
  for (; i < userdata.user_value_count && i < printing->tree.limit; i++)
    TRY(print_value(printing, userdata_value(&printing->place->owner->vm, &userdata, i),
                    FIRST_COLUMN, print_name(printing, NULL, 0, i + 1), list, NULL));
  if (i == userdata.user_value_count) return NULL;
  line = page_line(context->document, FIRST_COLUMN);
  line_cell(line, STYLE_MUTED, cell_count(userdata.user_value_count - i));
  line_words(line, STYLE_MUTED, " more");
  return NULL;
}

struct inspect_error *print_parts(struct printing *printing) {
  struct lua_prototype prototype;
  switch (printing->context->session->heap.graph.type[printing->place->object]) {
  case OBJECT_LUA_FUNCTION:
  case OBJECT_C_FUNCTION:
    return print_function(printing);
  case OBJECT_PROTOTYPE:
    if (print_prototype(printing, printing->place->value.bits, &prototype))
      page_code(printing, &prototype);
    return NULL;
  case OBJECT_UPVALUE:
    return print_upvalue(printing);
  case OBJECT_USERDATA:
    return print_userdata(printing);
  case OBJECT_THREAD:
    return print_thread(printing);
  default:
    return NULL;
  }
}
