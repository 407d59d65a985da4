/* bt_fold.c - coroutines whose stacks are the same, to be shown once.
 *
 * Two stacks are the same if their threads are in the same state, their calls are of the same
 * functions at the same instructions, and they died by the same error. Closures of one piece of
 * source count as one function. Stacks are compared by two hashes of 64 bits of all that. */
#include <stdlib.h>
#include <string.h>

#include "command/bt.h"
#include "lua/function.h"

struct key {
  uint64_t first, second;
  size_t row;
};

static void add_word(struct key *key, uint64_t word) {
  key->first = (key->first ^ word) * UINT64_C(0x9e3779b97f4a7c15);
  key->first ^= key->first >> 29;
  key->second = (key->second + word) * UINT64_C(0xd6e8feb86659fd93);
  key->second ^= key->second >> 32;
}

static void add_call(struct key *key, struct traceback *traceback, size_t level) {
  struct vm *vm = traceback->vm;
  const struct lua_call *call = &traceback->calls.items[level];
  const uint8_t *prototype =
      call->is_lua ? thread_slot_prototype(vm, &traceback->thread, call->function) : NULL;
  struct lua_value function = thread_slot(vm, &traceback->thread, call->function);
  add_word(key, call->is_lua);
  add_word(key, call->status & traceback->family->tail_bit);
  if (prototype) {
    add_word(key, load_field(vm->layout, prototype, Proto_code));
    add_word(key, call->saved_pc);
  } else {
    add_word(key, c_function_code(vm, function));
  }
}

/* Texts are the same if their bytes are; of long ones the first are looked at. */
static void add_value(struct key *key, struct vm *vm, struct lua_value value) {
  enum { LONGEST = 1 << 12 };
  size_t size = 0;
  const char *bytes =
      value_is_object(value) && value_is_string(value) ? string_bytes(vm, value.bits, &size) : NULL;
  add_word(key, bytes ? size : value.bits);
  for (size_t i = 0; bytes && i < size && i < LONGEST; i++)
    add_word(key, (uint8_t)bytes[i]);
}

static struct key key_of(struct vm_threads *threads, size_t index) {
  const struct thread_row *row = &threads->list.items[index];
  struct key key = {.first = 1, .second = 2, .row = index};
  struct traceback traceback;
  struct lua_value value;
  const char *fault = vm_threads_open(threads, row, &traceback);
  add_word(&key, row->status);
  if (fault) add_word(&key, row->address); /* like no other */
  for (size_t i = 0; i < traceback.calls.count; i++)
    add_call(&key, &traceback, i);
  if (!fault && traceback_main(&traceback, &value) && !traceback.calls.count)
    add_word(&key, value.bits);
  if (!fault && traceback_error(&traceback, &value)) add_value(&key, traceback.vm, value);
  traceback_close(&traceback);
  return key;
}

static int compare_keys(const void *left, const void *right) {
  const struct key *a = left, *b = right;
  if (a->first != b->first) return a->first < b->first ? -1 : 1;
  if (a->second != b->second) return a->second < b->second ? -1 : 1;
  return a->row < b->row ? -1 : a->row > b->row;
}

/* Links the rows of equal keys: each to the next, the first of them to be shown. */
static void link_rows(const struct key *keys, size_t count, struct bt_folds *folds) {
  for (size_t i = 1; i < count; i++) {
    if (keys[i - 1].first != keys[i].first || keys[i - 1].second != keys[i].second) continue;
    folds->next[keys[i - 1].row] = keys[i].row;
    folds->is_folded[keys[i].row] = true;
  }
}

struct inspect_error *bt_fold(struct vm_threads *threads, const struct work *work,
                              struct bt_folds *folds) {
  enum { ASK_EVERY = 1 << 10 };
  size_t count = threads->list.count, used = 0;
  *folds = (struct bt_folds){.next = calloc(count + 1, sizeof *folds->next),
                             .is_folded = calloc(count + 1, sizeof *folds->is_folded)};
  struct key *keys = malloc((count + 1) * sizeof *keys);
  struct inspect_error *error = keys && folds->next && folds->is_folded ? NULL : error_no_memory();
  for (size_t i = 0; i < count && !error; i++) {
    if (i % ASK_EVERY == 0 && work_stops(work, "comparing stacks", i, count))
      error = error_interrupted();
    else if (!threads->list.items[i].in_chain)
      keys[used++] = key_of(threads, i);
  }
  if (!error && used) {
    qsort(keys, used, sizeof *keys, compare_keys);
    link_rows(keys, used, folds);
  }
  free(keys);
  return error;
}

void bt_folds_free(struct bt_folds *folds) {
  free(folds->next);
  free(folds->is_folded);
  *folds = (struct bt_folds){0};
}

void bt_show_alike(struct command_context *context, const struct vm_threads *threads,
                   const struct bt_folds *folds, size_t row, struct data *stack) {
  enum { SHOWN = 3 };
  struct data *list = data_array(stack, "alike");
  uint64_t count = 0;
  for (size_t i = row; folds && folds->next[i]; count++) {
    i = folds->next[i];
    data_cell(list, NULL, cell_address(threads->list.items[i].address));
  }
  if (!count) return;
  struct line *line = page_line(context->document, BT_TEXT_COLUMN);
  line_cell(line, STYLE_PLAIN, cell_count(count));
  line_words(line, STYLE_PLAIN, " more like this: ");
  uint64_t shown = 0;
  for (size_t i = folds->next[row]; i && shown < SHOWN; i = folds->next[i], shown++) {
    if (shown) line_words(line, STYLE_PLAIN, ", ");
    line_cell(line, STYLE_PLAIN, cell_address(threads->list.items[i].address));
  }
  if (count > SHOWN) line_words(line, STYLE_MUTED, ", ... --unfolded");
}
