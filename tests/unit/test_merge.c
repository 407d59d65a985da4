/* test_merge.c - C frames and Lua calls in one order, on frames written by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "lua/merge.h"

enum { STACK = 0x7000, FRAME = 0x40, MOST = 16, CODE = 0x5000, CODE_SIZE = 41, PC = CODE + 8 };
enum { A = 0x1000, B = 0x1040, C = 0x1080, D = 0x10c0 }; /* CallInfos */
enum { ENTRY = 0x9000, LUA_V_EXECUTE = 0x8000 };

struct mock {
  uint64_t words[MOST * FRAME / 8];
  struct source_segment segment;
  struct source source;
  struct source_frame frames[MOST];
  struct source_stack stack;
  struct merge_thread threads[3];
  size_t thread_count;
  struct merge_result result;
};

/* A stack of `count` frames; each is FRAME bytes of words that mean nothing. */
static void begin(struct mock *mock, size_t count) {
  *mock = (struct mock){.thread_count = 1};
  mock->segment = (struct source_segment){STACK, STACK + sizeof mock->words, (uint8_t *)mock->words,
                                          true, false};
  mock->source = (struct source){
      .pointer_size = 8, .machine = 62, .segments = &mock->segment, .segment_count = 1};
  for (size_t i = 0; i < count; i++)
    mock->frames[i] = (struct source_frame){
        .pc = 0x100 + i, .stack_pointer = STACK + i * FRAME, .saved_count = SOURCE_SAVED};
  mock->stack.frames.items = mock->frames;
  mock->stack.frames.count = count;
}

static void hold(struct mock *mock, size_t frame, uint64_t address, uint64_t pc) {
  mock->frames[frame].saved[0] = address;
  mock->frames[frame].saved[5] = pc;
}

static void call_lua(struct mock *mock, size_t thread, uint64_t address, bool is_fresh) {
  struct merge_call call = {address, CODE, CODE_SIZE, true, is_fresh};
  assert_true(vector_push(&mock->threads[thread].calls, call));
}

static void call_c(struct mock *mock, size_t thread, uint64_t address) {
  struct merge_call call = {.address = address, .code = ENTRY};
  assert_true(vector_push(&mock->threads[thread].calls, call));
}

/* The rows as text: "0 1=a ~b": frame 0, frame 1 that runs call a, call b without a frame. */
static void expect(struct mock *mock, const char *rows) {
  char text[400] = "";
  assert_true(
      merge_native(&mock->source, &mock->stack, mock->threads, mock->thread_count, &mock->result));
  for (size_t i = 0; i < mock->result.rows.count; i++) {
    const struct merge_row *row = &mock->result.rows.items[i];
    char *at = text + strlen(text);
    if (i) *at++ = ' ';
    if (row->is_continuation) *at++ = '~';
    if (row->is_beyond) *at++ = '>';
    if (row->frame != MERGE_NONE) at += sprintf(at, "%zu", row->frame);
    if (row->level != MERGE_NONE) {
      const struct merge_thread *thread = &mock->threads[row->thread];
      sprintf(at, "=%c", 'a' + (int)((thread->calls.items[row->level].address - A) / 0x40));
    }
  }
  if (mock->result.doubt) assert_int_equal(mock->result.rows.count, 0);
  assert_string_equal(mock->result.doubt ? "doubt" : text, rows);
  vector_free(&mock->result.rows);
  for (size_t i = 0; i < mock->thread_count; i++)
    vector_free(&mock->threads[i].calls);
}

static void without_lua(void **state) {
  (void)state;
  struct mock mock;
  begin(&mock, 3);
  mock.thread_count = 0;
  expect(&mock, "0 1 2");
}

/* Registers are as luaV_execute left them in all that it called. */
static void outermost_holder(void **state) {
  (void)state;
  struct mock mock;
  begin(&mock, 5);
  hold(&mock, 0, A, PC);
  hold(&mock, 1, A, PC);
  hold(&mock, 2, A, PC);
  hold(&mock, 3, A, 0); /* has not both */
  call_lua(&mock, 0, A, true);
  expect(&mock, "0 1 2=a 3 4");
}

static void words_of_frames(void **state) {
  (void)state;
  struct mock mock;
  begin(&mock, 4);
  mock.words[(2 * FRAME + 16) / 8] = A;
  mock.words[(2 * FRAME + 24) / 8] = PC;
  call_lua(&mock, 0, A, true);
  expect(&mock, "0 1 2=a 3");
}

static void one_luav_execute(void **state) {
  (void)state;
  struct mock mock;
  begin(&mock, 4);
  hold(&mock, 0, A, PC);
  hold(&mock, 2, C, PC);
  call_lua(&mock, 0, A, false);
  call_lua(&mock, 0, B, true);
  call_lua(&mock, 0, C, true);
  expect(&mock, "0=a =b 1 2=c 3");
}

/* What was just called is not in the hands of luaV_execute yet. */
static void just_called(void **state) {
  (void)state;
  struct mock mock;
  begin(&mock, 3);
  hold(&mock, 1, B, PC);
  call_lua(&mock, 0, A, false);
  call_lua(&mock, 0, B, true);
  expect(&mock, "0 1=a =b 2");
}

/* The frame before the one that holds the CallInfo, or a frame of the very function. */
static void c_functions(void **state) {
  (void)state;
  struct mock mock;
  begin(&mock, 8);
  hold(&mock, 2, A, 0); /* 1 is a function that A ended in by a tail call */
  hold(&mock, 3, B, PC);
  hold(&mock, 6, C, 0);
  mock.frames[4].start = ENTRY;
  call_c(&mock, 0, A);
  call_lua(&mock, 0, B, true);
  call_c(&mock, 0, C);
  expect(&mock, "0 1=a 2 3=b 4=c 5 6 7");
}

static void not_entered_yet(void **state) {
  (void)state;
  struct mock mock;
  begin(&mock, 3);
  hold(&mock, 0, A, 0);
  hold(&mock, 1, B, PC);
  call_c(&mock, 0, A);
  call_lua(&mock, 0, B, true);
  expect(&mock, "=a 0 1=b 2");
}

/* Behind a C function in a tail call the program counter is not needed, but only there. */
static void tail_call(void **state) {
  (void)state;
  struct mock mock;
  begin(&mock, 6);
  hold(&mock, 1, A, 0);
  hold(&mock, 2, B, 0);
  call_c(&mock, 0, A);
  call_lua(&mock, 0, B, true);
  expect(&mock, "0=a 1 2=b 3 4 5");
  begin(&mock, 6);
  hold(&mock, 1, A, 0);
  hold(&mock, 5, B, 0);
  call_c(&mock, 0, A);
  call_lua(&mock, 0, B, true);
  expect(&mock, "doubt");
}

/* What a coroutine was called by before it yielded has no frame any more. */
static void continuation(void **state) {
  (void)state;
  struct mock mock;
  begin(&mock, 6);
  hold(&mock, 1, A, PC);
  hold(&mock, 4, D, PC);
  call_lua(&mock, 0, A, true);
  call_c(&mock, 0, B);
  call_lua(&mock, 0, C, true);
  mock.threads[0].boundary = STACK + 2 * FRAME + 8;
  call_lua(&mock, 1, D, true);
  mock.thread_count = 2;
  expect(&mock, "0 1=a ~=b ~=c 2 3 4=d 5");
}

/* A coroutine has no frames outside the part of the stack that it runs on. */
static void boundary(void **state) {
  (void)state;
  struct mock mock;
  begin(&mock, 6);
  hold(&mock, 1, A, PC);
  hold(&mock, 4, B, PC);
  call_lua(&mock, 0, A, true);
  call_lua(&mock, 0, B, true);
  mock.threads[0].boundary = STACK + 2 * FRAME + 8;
  expect(&mock, "0 1=a ~=b 2 3 4 5");
}

static void cut_off(void **state) {
  (void)state;
  struct mock mock;
  begin(&mock, 4);
  mock.stack.end = STACK_END_LIMIT;
  hold(&mock, 1, A, PC);
  call_lua(&mock, 0, A, true);
  call_c(&mock, 0, B);
  call_lua(&mock, 1, C, true);
  mock.thread_count = 2;
  expect(&mock, "0 1=a 2 3 >=b >=c");
}

static void doubts(void **state) {
  (void)state;
  struct mock mock;
  begin(&mock, 4); /* the stack is whole, and nobody has B */
  hold(&mock, 1, A, PC);
  call_lua(&mock, 0, A, true);
  call_lua(&mock, 0, B, true);
  expect(&mock, "doubt");
  begin(&mock, 6); /* B between calls that have frames */
  mock.threads[0].boundary = STACK + 5 * FRAME - 8;
  hold(&mock, 1, A, PC);
  hold(&mock, 3, C, PC);
  call_lua(&mock, 0, A, true);
  call_lua(&mock, 0, B, true);
  call_lua(&mock, 0, C, true);
  expect(&mock, "doubt");
  begin(&mock, 6); /* frames in another order than the calls */
  hold(&mock, 3, A, PC);
  hold(&mock, 1, B, PC);
  call_lua(&mock, 0, A, true);
  call_lua(&mock, 0, B, true);
  expect(&mock, "doubt");
  begin(&mock, 2); /* nothing is known of the innermost call */
  mock.stack.end = STACK_END_NO_FILE;
  call_lua(&mock, 0, A, true);
  expect(&mock, "doubt");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(without_lua),     cmocka_unit_test(outermost_holder),
      cmocka_unit_test(words_of_frames), cmocka_unit_test(one_luav_execute),
      cmocka_unit_test(just_called),     cmocka_unit_test(c_functions),
      cmocka_unit_test(not_entered_yet), cmocka_unit_test(tail_call),
      cmocka_unit_test(continuation),    cmocka_unit_test(boundary),
      cmocka_unit_test(cut_off),         cmocka_unit_test(doubts),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
