/* native.c - words of registers and native stacks.
 *
 * The part of a stack that is read is bounded: the frames between an interrupted function of Lua
 * and the place where the thread was stopped are few, even with a signal handler among them, whose
 * frame holds the registers of the code it interrupted. */
#include "lua/native.h"

enum { MOST_THREADS = 64, DEPTH = 1 << 16, RED_ZONE = 128 };

static bool take(uint64_t word, uint64_t first, uint64_t last, struct native_words *result) {
  return word < first || word >= last || vector_push(result, word);
}

static bool take_registers(const struct source_thread *thread, uint64_t first, uint64_t last,
                           struct native_words *result) {
  for (size_t i = 0; i < thread->register_count; i++)
    if (!take(thread->registers[i], first, last, result)) return false;
  return true;
}

/* The words in start .. end - 1 of a segment. */
static bool take_words(const struct source *source, const struct source_segment *segment,
                       uint64_t start, uint64_t end, uint64_t first, uint64_t last,
                       struct native_words *result) {
  for (uint64_t at = start, word = source->pointer_size; at < end && end - at >= word; at += word)
    if (!take(source_word(source, segment->bytes + (at - segment->start)), first, last, result))
      return false;
  return true;
}

static bool take_stack(const struct source *source, const struct source_thread *thread,
                       uint64_t first, uint64_t last, struct native_words *result) {
  const struct source_segment *segment = source_segment_at(source, thread->stack_pointer);
  if (!segment) return true;
  uint64_t word = source->pointer_size, top = thread->stack_pointer & ~(word - 1);
  uint64_t start = top - segment->start > RED_ZONE ? top - RED_ZONE : segment->start;
  uint64_t end = segment->end - top > DEPTH ? top + DEPTH : segment->end;
  return take_words(source, segment, start, end, first, last, result);
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

bool native_data_words(const struct source *source, uint64_t first, uint64_t last,
                       struct native_words *result) {
  enum { MOST_MAPPINGS = 4096, MOST_DATA = 1 << 18, BSS = 1 << 16 };
  uint64_t end = 0; /* of what was taken */
  for (size_t i = 0; i < source->mapping_count && i < MOST_MAPPINGS; i++) {
    const struct source_mapping *mapping = &source->mappings[i];
    const struct source_segment *segment = source_segment_at(source, mapping->start);
    if (!segment || !segment->writable) continue;
    /* what follows the mapped data without a gap is the module's .bss */
    uint64_t start = mapping->start > end ? mapping->start : end;
    uint64_t size = mapping->end - mapping->start;
    end = mapping->start + (size < MOST_DATA ? size : MOST_DATA) + BSS;
    if (end > segment->end) end = segment->end;
    start = (start + source->pointer_size - 1) / source->pointer_size * source->pointer_size;
    if (!take_words(source, segment, start, end, first, last, result)) return false;
  }
  return true;
}

const struct source_thread *native_thread_at(const struct source *source, uint64_t address) {
  const struct source_segment *segment =
      source && address ? source_segment_at(source, address) : NULL;
  const struct source_thread *nearest = NULL;
  for (size_t i = 0; segment && i < source->thread_count; i++) {
    const struct source_thread *thread = &source->threads[i];
    if (thread->stack_pointer >= segment->start && thread->stack_pointer <= address &&
        (!nearest || thread->stack_pointer > nearest->stack_pointer))
      nearest = thread;
  }
  return nearest;
}

static bool has_word(const struct source *source, const struct source_thread *thread,
                     uint64_t word) {
  struct native_words words = {0};
  bool has = take_registers(thread, word, word + 1, &words) &&
             take_stack(source, thread, word, word + 1, &words) && words.count;
  vector_free(&words);
  return has;
}

const struct source_thread *native_thread_with(const struct source *source, uint64_t word) {
  const struct source_thread *only = NULL;
  for (size_t i = 0; source && i < source->thread_count && i < MOST_THREADS; i++) {
    if (!has_word(source, &source->threads[i], word)) continue;
    if (only) return NULL;
    only = &source->threads[i];
  }
  return only;
}

bool native_works(const struct source *source) {
  enum { X86_64 = 62, ORIG_RAX = 15 };
  static const uint64_t ALLOCATING[] = {9, 11, 12, 25, 28}; /* mmap munmap brk mremap madvise */
  if (!source || !source->thread_count || source->machine != X86_64) return true;
  for (size_t i = 0; i < source->thread_count; i++) {
    const struct source_thread *thread = &source->threads[i];
    if (thread->register_count <= ORIG_RAX) return true;
    uint64_t call = thread->registers[ORIG_RAX];
    if ((int64_t)call < 0) return true;
    for (size_t j = 0; j < sizeof ALLOCATING / sizeof *ALLOCATING; j++)
      if (call == ALLOCATING[j]) return true;
  }
  return false;
}
