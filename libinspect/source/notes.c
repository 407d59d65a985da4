/* notes.c - process, threads and mapped files from the notes of a Linux core.
 *
 *   NT_PRSTATUS   one per thread, the one that caused the dump first: registers, signal, CPU times
 *   NT_PRPSINFO   pid and name of the process
 *   NT_SIGINFO    the signal, if NT_PRSTATUS does not tell it
 *   NT_AUXV       the entry point of the main program
 *   NT_FILE       which file is mapped where
 *
 * The layouts are those of <linux/elfcore.h> and fs/binfmt_elf.c; offsets follow from the word
 * size, the number of registers from the size of the note. A note that is cut off gives what is
 * whole. Segments of notes that overlap are those of an attacker, who multiplies his notes: in all
 * no more is read than the file has bytes. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "source/core.h"

/* Where a machine keeps stack pointer and program counter in its general registers. */
static const struct register_layout {
  unsigned machine;
  bool is_64; /* the core's class */
  unsigned width, stack_pointer, program_counter;
} register_layouts[] = {
    {EM_X86_64, true, 8, 19, 16}, {EM_X86_64, false, 8, 19, 16} /* x32 */,
    {EM_386, false, 4, 15, 12},   {EM_AARCH64, true, 8, 31, 32},
    {EM_ARM, false, 4, 13, 15},   {EM_RISCV, true, 8, 2, 0},
    {EM_RISCV, false, 4, 2, 0},   {EM_S390, true, 8, 17, 1},
    {EM_S390, false, 4, 17, 1},   {EM_PPC64, true, 8, 1, 32},
    {EM_PPC, false, 4, 1, 32},    {EM_MIPS, true, 8, 29, 34},
    {EM_MIPS, false, 4, 35, 40},  {258 /* EM_LOONGARCH */, true, 8, 3, 33},
};

static const unsigned microseconds = 1000000;

struct reader {
  struct source *source;
  const struct image *image;
  struct VECTOR(struct source_thread) threads;
  struct VECTOR(struct source_mapping) mappings;
  struct VECTOR(double) thread_times; /* CPU seconds, parallel to threads */
  bool has_process, has_files;
  int status_signal, info_signal;
};

/* A field of a note; 0 if the note ends before it. */
static uint64_t field(const struct reader *reader, const struct note *note, size_t offset,
                      unsigned width) {
  if (offset > note->size || width > note->size - offset) return 0;
  return image_number(reader->image, note->bytes + offset, width);
}

static const struct register_layout *layout_of(unsigned machine, bool is_64) {
  for (size_t i = 0; i < sizeof register_layouts / sizeof *register_layouts; i++)
    if (register_layouts[i].machine == machine && register_layouts[i].is_64 == is_64)
      return &register_layouts[i];
  return NULL;
}

const char *source_untested_machine(const struct source *source) {
  static const struct {
    unsigned machine;
    const char *name; /* NULL: Lua's of this machine are tested */
  } machines[] = {{EM_X86_64, NULL},     {EM_386, NULL},
                  {EM_AARCH64, NULL},    {EM_ARM, NULL},
                  {EM_S390, NULL},       {EM_PPC64, NULL},
                  {EM_MIPS, NULL},       {EM_NONE, NULL},
                  {EM_RISCV, "RISC-V"},  {EM_PPC, "32-bit PowerPC"},
                  {EM_SPARCV9, "SPARC"}, {258, "LoongArch"}};
  for (size_t i = 0; i < sizeof machines / sizeof *machines; i++)
    if (machines[i].machine == source->machine) return machines[i].name;
  return "a processor not known to it";
}

void source_name_registers(const struct source *source, struct source_thread *thread) {
  const struct register_layout *layout = layout_of(source->machine, source->pointer_size == 8);
  if (layout && layout->stack_pointer < thread->register_count)
    thread->stack_pointer = thread->registers[layout->stack_pointer];
  if (layout && layout->program_counter < thread->register_count)
    thread->program_counter = thread->registers[layout->program_counter];
}

/* pr_reg fills the note from `offset` up to pr_fpvalid, an int padded to the register's width. */
static bool read_registers(struct reader *reader, const struct note *note, size_t offset,
                           struct source_thread *thread) {
  const struct register_layout *layout = layout_of(reader->image->machine, reader->image->is_64);
  unsigned width = layout ? layout->width : reader->source->pointer_size;
  if (note->size < offset + 2 * width) return true;
  size_t count = (note->size - offset - width) / width;
  uint64_t *registers = arena_alloc(&reader->source->arena, count * sizeof *registers);
  if (!registers) return false;
  for (size_t i = 0; i < count; i++)
    registers[i] = image_number(reader->image, note->bytes + offset + i * width, width);
  thread->registers = registers;
  thread->register_count = count;
  source_name_registers(reader->source, thread);
  return true;
}

/* A struct timeval at `offset`, in seconds. */
static double read_time(const struct reader *reader, const struct note *note, size_t offset) {
  unsigned word = reader->source->pointer_size;
  return (double)field(reader, note, offset, word) +
         (double)field(reader, note, offset + word, word) / microseconds;
}

/* struct elf_prstatus: siginfo (3 ints), cursig (short), two words of signal sets, four pids, four
 * timevals (user, system, and both of waited-for children), the registers. */
static bool read_status(struct reader *reader, const struct note *note) {
  unsigned word = reader->source->pointer_size;
  size_t pids = 16 + 2 * (size_t)word, times = pids + 16, registers = times + 8 * (size_t)word;
  if (note->size < registers) return true;
  struct source_thread thread = {.tid = (int32_t)field(reader, note, pids, 4)};
  double seconds =
      read_time(reader, note, times) + read_time(reader, note, times + 2 * (size_t)word);
  if (!reader->threads.count) reader->status_signal = (int16_t)field(reader, note, 12, 2);
  return read_registers(reader, note, registers, &thread) &&
         vector_push(&reader->thread_times, seconds) && vector_push(&reader->threads, thread);
}

/* struct elf_prpsinfo ends in pr_fname[16] and pr_psargs[80], with four pids before these: counted
 * from the end, it does not matter how wide a machine's user ids are. */
static bool read_process(struct reader *reader, const struct note *note) {
  enum { NAME = 16, ARGUMENTS = 80, PIDS = 16 };
  if (reader->has_process || note->size < PIDS + NAME + ARGUMENTS) return true;
  size_t name = note->size - ARGUMENTS - NAME;
  reader->has_process = true;
  reader->source->pid = (int32_t)field(reader, note, name - PIDS, 4);
  const char *bytes = (const char *)note->bytes + name;
  struct text text = {0};
  bool is_read = text_escape(&text, bytes, strnlen(bytes, NAME), 0);
  if (is_read && text.count) {
    reader->source->command = arena_copy(&reader->source->arena, text.items, text.count);
    is_read = reader->source->command != NULL;
  }
  vector_free(&text);
  return is_read;
}

static void read_auxiliary(struct reader *reader, const struct note *note) {
  enum { AT_ENTRY_KEY = 9 }; /* AT_ENTRY of <elf.h> */
  unsigned word = reader->source->pointer_size;
  for (size_t i = 0; note->size - i >= 2 * (size_t)word; i += 2 * (size_t)word)
    if (field(reader, note, i, word) == AT_ENTRY_KEY)
      reader->source->elf->entry = field(reader, note, i + word, word);
}

/* The path, shared with the mapping before it where that has the same. */
static const char *keep_path(struct reader *reader, const char *path, size_t size) {
  if (reader->mappings.count) {
    const char *last = reader->mappings.items[reader->mappings.count - 1].path;
    if (strlen(last) == size && !memcmp(last, path, size)) return last;
  }
  return arena_copy(&reader->source->arena, path, size);
}

/* NT_FILE: count, page size, {start, end, offset in pages} each, then as many terminated paths. */
static bool read_files(struct reader *reader, const struct note *note) {
  size_t word = reader->source->pointer_size, row = 3 * word;
  if (reader->has_files || note->size < 2 * word) return true;
  reader->has_files = true;
  uint64_t count = field(reader, note, 0, (unsigned)word);
  uint64_t page = field(reader, note, word, (unsigned)word);
  if (count > (note->size - 2 * word) / row) return true;
  const char *path = (const char *)note->bytes + 2 * word + (size_t)count * row;
  const char *end = (const char *)note->bytes + note->size;
  for (size_t i = 0; i < count && path < end; i++) {
    const char *stop = memchr(path, '\0', (size_t)(end - path));
    if (!stop) break;
    struct source_mapping mapping = {
        .start = field(reader, note, 2 * word + i * row, (unsigned)word),
        .end = field(reader, note, 3 * word + i * row, (unsigned)word)};
    uint64_t pages = field(reader, note, 4 * word + i * row, (unsigned)word);
    bool is_sane =
        mapping.start < mapping.end && !__builtin_mul_overflow(pages, page, &mapping.file_offset);
    if (is_sane) {
      mapping.path = keep_path(reader, path, (size_t)(stop - path));
      if (!mapping.path || !vector_push(&reader->mappings, mapping)) return false;
    }
    path = stop + 1;
  }
  return true;
}

static bool read_note(struct reader *reader, const struct note *note) {
  if (note_is(note, "CORE", NT_PRSTATUS)) return read_status(reader, note);
  if (note_is(note, "CORE", NT_PRPSINFO)) return read_process(reader, note);
  if (note_is(note, "CORE", NT_FILE)) return read_files(reader, note);
  if (note_is(note, "CORE", NT_AUXV)) read_auxiliary(reader, note);
  if (note_is(note, "CORE", NT_SIGINFO) && !reader->info_signal)
    reader->info_signal = (int32_t)field(reader, note, 0, 4);
  return true;
}

static bool read_all(struct reader *reader) {
  const struct image *image = reader->image;
  uint64_t left = image->size;
  for (uint64_t i = 0; i < image->count; i++) {
    GElf_Phdr header = image_header(image, i);
    if (header.p_type != PT_NOTE || header.p_offset >= image->size) continue;
    uint64_t size = image->size - header.p_offset, position = 0;
    if (header.p_filesz < size) size = header.p_filesz;
    if (size > left) size = left;
    left -= size;
    const uint8_t *bytes = image->bytes + header.p_offset;
    struct note note;
    while (image_next_note(image, bytes, size, header.p_align, &position, &note))
      if (!read_note(reader, &note)) return false;
  }
  return true;
}

static int compare_mappings(const void *left, const void *right) {
  const struct source_mapping *a = left, *b = right;
  if (a->start != b->start) return a->start < b->start ? -1 : 1;
  return a->end < b->end ? -1 : a->end > b->end;
}

/* Sorts the mappings and drops those that overlap the one before: no kernel writes such. */
static void order_mappings(struct reader *reader) {
  struct source_mapping *items = reader->mappings.items;
  size_t kept = 0;
  if (reader->mappings.count) qsort(items, reader->mappings.count, sizeof *items, compare_mappings);
  for (size_t i = 0; i < reader->mappings.count; i++)
    if (!kept || items[i].start >= items[kept - 1].end) items[kept++] = items[i];
  reader->mappings.count = kept;
}

/* CPU seconds of the process. Linux puts the times of the whole thread group into the record of the
 * group's leader (fill_prstatus), those of the thread alone into all others: so the leader's is the
 * answer, and without it the sum is a lower bound. gdb's gcore writes zeros: not known. pr_cutime
 * is not in it: that is what waited-for children used. */
static double cpu_time(const struct reader *reader) {
  double sum = 0;
  for (size_t i = 0; i < reader->threads.count; i++) {
    double time = reader->thread_times.items[i];
    if (time > 0 && reader->threads.items[i].tid == reader->source->pid) return time;
    sum += time;
  }
  return sum > 0 ? sum : -1;
}

/* SIGSTOP is how gcore holds a process: it kills nothing. */
static int signal_of(const struct reader *reader) {
  int number = reader->status_signal ? reader->status_signal : reader->info_signal;
  return number > 0 && number < 128 && number != SIGSTOP ? number : 0;
}

static bool keep_all(struct reader *reader) {
  struct source *source = reader->source;
  order_mappings(reader);
  if (!source->pid && reader->threads.count) source->pid = reader->threads.items[0].tid;
  source->signal = signal_of(reader);
  source->cpu_time = cpu_time(reader);
  source->threads = source_keep(source, reader->threads.items, reader->threads.count,
                                sizeof *reader->threads.items);
  source->thread_count = reader->threads.count;
  source->mappings = source_keep(source, reader->mappings.items, reader->mappings.count,
                                 sizeof *reader->mappings.items);
  source->mapping_count = reader->mappings.count;
  return source->threads && source->mappings;
}

struct inspect_error *source_read_notes(struct source *source) {
  struct reader reader = {.source = source, .image = &source->elf->image};
  bool is_read = read_all(&reader) && keep_all(&reader);
  vector_free(&reader.threads);
  vector_free(&reader.mappings);
  vector_free(&reader.thread_times);
  return is_read ? NULL : error_no_memory();
}
