/* native.c - words of registers and native stacks.
 *
 * The part of a stack that is read is bounded: the frames between an interrupted function of Lua
 * and the place where the thread was stopped are few, even with a signal handler among them, whose
 * frame holds the registers of the code it interrupted. */
#include "lua/native.h"

enum { MOST_THREADS = 64, DEPTH = 1 << 16, RED_ZONE = 128 };

static uint64_t word_at(const struct source *source, const uint8_t *bytes) {
  uint64_t word = 0;
  for (unsigned i = 0; i < source->pointer_size; i++) {
    unsigned at = source->big_endian ? source->pointer_size - 1 - i : i;
    word |= (uint64_t)bytes[at] << 8 * i;
  }
  return word;
}

static bool take(uint64_t word, uint64_t first, uint64_t last, struct native_words *result) {
  return word < first || word >= last || vector_push(result, word);
}

static bool take_registers(const struct source_thread *thread, uint64_t first, uint64_t last,
                           struct native_words *result) {
  for (size_t i = 0; i < thread->register_count; i++)
    if (!take(thread->registers[i], first, last, result)) return false;
  return true;
}

static bool take_stack(const struct source *source, const struct source_thread *thread,
                       uint64_t first, uint64_t last, struct native_words *result) {
  const struct source_segment *segment = source_segment_at(source, thread->stack_pointer);
  if (!segment) return true;
  uint64_t word = source->pointer_size, top = thread->stack_pointer & ~(word - 1);
  uint64_t start = top - segment->start > RED_ZONE ? top - RED_ZONE : segment->start;
  uint64_t end = segment->end - top > DEPTH ? top + DEPTH : segment->end;
  for (uint64_t at = start; end - at >= word; at += word)
    if (!take(word_at(source, segment->bytes + (at - segment->start)), first, last, result))
      return false;
  return true;
}

bool native_registers(const struct source *source, uint64_t first, uint64_t last,
                      struct native_words *result) {
  for (size_t i = 0; i < source->thread_count && i < MOST_THREADS; i++)
    if (!take_registers(&source->threads[i], first, last, result)) return false;
  return true;
}

bool native_words(const struct source *source, uint64_t first, uint64_t last,
                  struct native_words *result) {
  for (size_t i = 0; i < source->thread_count && i < MOST_THREADS; i++)
    if (!take_registers(&source->threads[i], first, last, result) ||
        !take_stack(source, &source->threads[i], first, last, result))
      return false;
  return true;
}
