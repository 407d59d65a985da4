/* unwind.c - native stacks, through libdwfl.
 *
 * libdwfl is given all it works with: the mapped files that files.c found and checked (and the
 * kernel's vdso as it lies in the target), the words of the target (source_view), and the registers
 * of a thread. So cores, copies of live processes and snapshots are all the same to it. It is asked
 * for one frame after the other, and stopped at the first whose code no table describes: beyond
 * that it would go on by the frame pointer, which most code does not keep.
 *
 * Invariant: a frame is taken only if its stack pointer lies above that of the frame before, unless
 * that one was called by the kernel (a signal may run on a stack of its own); with the limit on
 * frames this bounds what hostile tables can do.
 *
 * An image of the target's memory is handed to libelf only if it is a program or library: libdwfl
 * would write into an object file to relocate it. */
#include "source/unwind.h"

#include <dwarf.h>
#include <elfutils/libdwfl.h>
#include <stdlib.h>
#include <string.h>

#include "source/core.h"

/* Where the registers of DWARF are among those of user_regs_struct. */
static const struct machine {
  unsigned machine, pointer_size;
  unsigned count; /* of DWARF's registers, the program counter last */
  uint8_t places[17];
  unsigned stack_pointer; /* by DWARF's numbers, and so are these: */
  unsigned saved_count;
  uint8_t saved[SOURCE_SAVED];
} machines[] = {
    {EM_X86_64,
     8,
     17,
     {10, 12, 11, 5, 13, 14, 4, 19, 9, 8, 7, 6, 3, 2, 1, 0, 16},
     7,
     6,
     {3, 6, 12, 13, 14, 15}},
    {EM_386, 4, 9, {6, 1, 2, 0, 15, 5, 3, 4, 12}, 4, 4, {3, 5, 6, 7}},
};

/* An image that lies in memory: a file, or a part of the target. */
struct unwind_module {
  const uint8_t *bytes; /* NULL: its file is not at hand */
  size_t size;
};

struct source_unwind {
  Dwfl *dwfl;
  Elf *header; /* says the machine */
  Elf64_Ehdr header_bytes;
  struct VECTOR(struct unwind_module *) modules;
  const struct machine *machine;
  const struct source_thread *thread; /* that is being unwound */
};

static const struct machine *machine_of(const struct source *source) {
  for (size_t i = 0; i < sizeof machines / sizeof *machines; i++)
    if (machines[i].machine == source->machine && machines[i].pointer_size == source->pointer_size)
      return &machines[i];
  return NULL;
}

/* ---- What libdwfl asks for ------------------------------------------------------------------- */

static int find_elf(Dwfl_Module *dwfl_module, void **userdata, const char *name, Dwarf_Addr base,
                    char **file_name, Elf **elf) {
  (void)dwfl_module, (void)name, (void)base, (void)file_name;
  const struct unwind_module *module = *userdata;
  /* elf_memory does not write to an image that is only read. */
  if (module && module->bytes) *elf = elf_memory((char *)(uintptr_t)module->bytes, module->size);
  return -1;
}

static const Dwfl_Callbacks file_callbacks = {
    .find_elf = find_elf,
    .find_debuginfo = dwfl_build_id_find_debuginfo,
    .section_address = dwfl_offline_section_address,
};

/* libdwfl is always asked about the one thread that is being unwound. */
static bool get_thread(Dwfl *dwfl, pid_t number, void *context, void **thread) {
  (void)dwfl, (void)number;
  const struct source *source = context;
  *thread = source->elf->unwind;
  return true;
}

static pid_t next_thread(Dwfl *dwfl, void *context, void **thread) {
  (void)dwfl, (void)context, (void)thread;
  return 0;
}

static bool read_word(Dwfl *dwfl, Dwarf_Addr address, Dwarf_Word *result, void *context) {
  (void)dwfl;
  const struct source *source = context;
  const uint8_t *bytes = source_view(source, address, source->pointer_size);
  if (bytes) *result = source_word(source, bytes);
  return bytes != NULL;
}

static bool set_registers(Dwfl_Thread *dwfl_thread, void *context) {
  const struct source_unwind *unwind = context;
  const struct machine *machine = unwind->machine;
  Dwarf_Word registers[sizeof machine->places];
  for (unsigned i = 0; i < machine->count; i++) {
    if (machine->places[i] >= unwind->thread->register_count) return false;
    registers[i] = unwind->thread->registers[machine->places[i]];
  }
  dwfl_thread_state_register_pc(dwfl_thread, registers[machine->count - 1]);
  return dwfl_thread_state_registers(dwfl_thread, 0, machine->count, registers);
}

static const Dwfl_Thread_Callbacks thread_callbacks = {
    .next_thread = next_thread,
    .get_thread = get_thread,
    .memory_read = read_word,
    .set_initial_registers = set_registers,
};

/* ---- Modules --------------------------------------------------------------------------------- */

static bool is_program(const uint8_t *bytes, uint64_t size) {
  struct image image;
  return image_load(bytes, size, &image) == IMAGE_FINE &&
         (image.type == ET_DYN || image.type == ET_EXEC);
}

/* Tells libdwfl of an image at start .. end - 1 of the target. False: out of memory. */
static bool report(struct source_unwind *unwind, const char *name, uint64_t start, uint64_t end,
                   const uint8_t *bytes, size_t size) {
  struct unwind_module *module = calloc(1, sizeof *module);
  if (!module) return false;
  if (!vector_push(&unwind->modules, module)) {
    free(module);
    return false;
  }
  if (bytes && is_program(bytes, size)) *module = (struct unwind_module){bytes, size};
  Dwfl_Module *reported = dwfl_report_module(unwind->dwfl, name, start, end);
  void **userdata;
  if (!reported) return true; /* overlaps another: then that one answers */
  dwfl_module_info(reported, &userdata, NULL, NULL, NULL, NULL, NULL, NULL);
  *userdata = module;
  return true;
}

/* The mappings of one file, from `first` on, which is the one of its beginning. */
static bool report_file(struct source *source, size_t first, size_t *next) {
  const struct source_mapping *mapping = &source->mappings[first];
  uint64_t end = mapping->end;
  for (*next = first + 1; *next < source->mapping_count; ++*next) {
    const struct source_mapping *other = &source->mappings[*next];
    if (strcmp(other->path, mapping->path) != 0 || other->file_offset < mapping[0].file_offset)
      break;
    end = other->end;
  }
  const struct source_disk_file *file = source_disk_file(source, mapping);
  if (!file || !file->base) return true;
  return report(source->elf->unwind, file->wanted, file->base, end, file->bytes, file->size);
}

static bool report_files(struct source *source) {
  enum { MOST = 1 << 13 };
  size_t next;
  for (size_t i = 0, count = 0; i < source->mapping_count && count < MOST; i = next, count++)
    if (!report_file(source, i, &next)) return false;
  return true;
}

/* The vdso: code of the kernel that no file holds. */
static bool report_vdso(struct source *source) {
  enum { MOST = 64, MOST_SIZE = 1 << 16 };
  for (size_t i = 0, count = 0; i < source->segment_count && count < MOST; i++) {
    const struct source_segment *segment = &source->segments[i];
    uint64_t size = segment->end - segment->start;
    if (!segment->executable || segment->writable || size > MOST_SIZE ||
        source_mapping_at(source, segment->start) || !is_program(segment->bytes, size))
      continue;
    count++;
    if (!report(source->elf->unwind, "[vdso]", segment->start, segment->end, segment->bytes,
                (size_t)size))
      return false;
  }
  return true;
}

/* An ELF header that says nothing but the machine. */
static Elf *machine_header(const struct source *source, Elf64_Ehdr *bytes) {
  Elf32_Ehdr narrow = {.e_type = ET_CORE, .e_version = EV_CURRENT, .e_ehsize = sizeof narrow};
  *bytes = (Elf64_Ehdr){.e_type = ET_CORE, .e_version = EV_CURRENT, .e_ehsize = sizeof *bytes};
  bytes->e_machine = narrow.e_machine = (Elf64_Half)source->machine;
  bool is_64 = source->pointer_size == 8;
  if (!is_64) memcpy(bytes, &narrow, sizeof narrow);
  memcpy(bytes->e_ident, ELFMAG, SELFMAG);
  bytes->e_ident[EI_CLASS] = is_64 ? ELFCLASS64 : ELFCLASS32;
  bytes->e_ident[EI_DATA] = ELFDATA2LSB;
  bytes->e_ident[EI_VERSION] = EV_CURRENT;
  elf_version(EV_CURRENT);
  return elf_memory((char *)bytes, is_64 ? sizeof *bytes : sizeof narrow);
}

static struct inspect_error *open_modules(struct source *source) {
  struct source_unwind *unwind = source->elf->unwind = calloc(1, sizeof *unwind);
  if (!unwind) return error_no_memory();
  unwind->header = machine_header(source, &unwind->header_bytes);
  unwind->dwfl = unwind->header ? dwfl_begin(&file_callbacks) : NULL;
  if (!unwind->dwfl) return error_no_memory();
  dwfl_report_begin(unwind->dwfl);
  bool fits = report_files(source) && report_vdso(source);
  dwfl_report_end(unwind->dwfl, NULL, NULL);
  if (!fits) return error_no_memory();
  pid_t some_process = 1; /* the number means nothing to libdwfl */
  if (!dwfl_attach_state(unwind->dwfl, unwind->header, some_process, &thread_callbacks, source))
    return error_no_memory();
  return NULL;
}

void source_free_unwind(struct source *source) {
  struct source_unwind *unwind = source->elf->unwind;
  if (!unwind) return;
  if (unwind->dwfl) dwfl_end(unwind->dwfl);
  if (unwind->header) elf_end(unwind->header);
  for (size_t i = 0; i < unwind->modules.count; i++)
    free(unwind->modules.items[i]);
  vector_free(&unwind->modules);
  free(unwind);
  source->elf->unwind = NULL;
}

/* ---- Functions ------------------------------------------------------------------------------- */

/* The index of .eh_frame (.eh_frame_hdr, "Linux Standard Base, Core", 10.6.2): version 1, encodings
 * of three things that follow, a pointer, the number of rows, and rows sorted by function. Linkers
 * write one form only: rows of two 32-bit distances from the index itself. */
static uint64_t start_in_index(const struct image *image, const GElf_Phdr *header, uint64_t code) {
  enum { HEAD = 12, ROW = 8, POINTER = 0x1b, COUNT = 0x03, TABLE = 0x3b };
  if (header->p_offset > image->size || header->p_filesz > image->size - header->p_offset ||
      header->p_filesz < HEAD)
    return 0;
  const uint8_t *index = image->bytes + header->p_offset;
  if (index[0] != 1 || index[1] != POINTER || index[2] != COUNT || index[3] != TABLE) return 0;
  uint64_t low = 0, high = image_number(image, index + 8, 4), start = 0;
  if (high > (header->p_filesz - HEAD) / ROW) return 0;
  while (low < high) {
    uint64_t middle = low + (high - low) / 2;
    int32_t distance = (int32_t)image_number(image, index + HEAD + middle * ROW, 4);
    uint64_t function = header->p_vaddr + (uint64_t)(int64_t)distance;
    if (function > code) {
      high = middle;
    } else {
      start = function;
      low = middle + 1;
    }
  }
  return start;
}

/* The start of the function, or of the part of one that the compiler moved away, that holds the
 * code; 0 if the file does not tell. */
static uint64_t function_start(Dwfl_Module *dwfl_module, uint64_t code) {
  void **userdata;
  GElf_Addr bias;
  struct image image;
  dwfl_module_info(dwfl_module, &userdata, NULL, NULL, NULL, NULL, NULL, NULL);
  const struct unwind_module *module = *userdata;
  if (!dwfl_module_getelf(dwfl_module, &bias) || !module || !module->bytes ||
      image_load(module->bytes, module->size, &image) != IMAGE_FINE)
    return 0;
  for (uint64_t i = 0; i < image.count; i++) {
    GElf_Phdr header = image_header(&image, i);
    if (header.p_type != PT_GNU_EH_FRAME) continue;
    uint64_t start = start_in_index(&image, &header, code - bias);
    return start ? start + bias : 0;
  }
  return 0;
}

/* ---- Frames ---------------------------------------------------------------------------------- */

struct unwinding {
  struct source *source;
  const struct machine *machine;
  const struct work *work;
  size_t most;
  struct source_stack *stack;
  bool has_no_memory;
  bool is_cut;         /* the end is known already                            */
  bool lacks_a_caller; /* of the last frame: its return address is in no memory */
};

static int stop(struct unwinding *unwinding, enum source_stack_end end) {
  unwinding->stack->end = end;
  unwinding->is_cut = true;
  return DWARF_CB_ABORT;
}

/* What a table says of the code, to be freed; NULL if none describes it. */
static Dwarf_Frame *table_of(Dwfl_Module *module, uint64_t code) {
  Dwarf_Addr bias;
  for (unsigned i = 0; i < 2; i++) {
    Dwarf_CFI *table = (i ? dwfl_module_dwarf_cfi : dwfl_module_eh_cfi)(module, &bias);
    Dwarf_Frame *frame = NULL;
    if (table && dwarf_cfi_addrframe(table, code - bias, &frame) == 0) return frame;
  }
  return NULL;
}

/* Whether the frame's return address should lie in memory and that memory is missing. libdwfl takes
 * such a frame for the outermost. Tables of compilers place the address at a distance from the
 * frame's own (CFA), which is at a distance from a register. */
static bool lacks_return_address(const struct source *source, Dwfl_Frame *state,
                                 Dwarf_Frame *frame) {
  Dwarf_Op memory[3], *place, *base;
  size_t place_count, base_count;
  Dwarf_Word origin;
  int number = dwarf_frame_info(frame, NULL, NULL, NULL);
  if (dwarf_frame_register(frame, number, memory, &place, &place_count) != 0 || !place_count ||
      dwarf_frame_cfa(frame, &base, &base_count) != 0 || base_count != 1 ||
      place[0].atom != DW_OP_call_frame_cfa || base[0].atom != DW_OP_bregx ||
      dwfl_frame_reg(state, (unsigned)base[0].number, &origin) != 0)
    return false;
  uint64_t address = origin + base[0].number2;
  if (place_count > 1 && place[1].atom == DW_OP_plus_uconst) address += place[1].number;
  return !source_view(source, address, source->pointer_size);
}

/* Why no table speaks for the code. */
static enum source_stack_end end_at(const struct source *source, Dwfl_Module *module,
                                    uint64_t code) {
  if (module) return STACK_END_NO_TABLE;
  return source_mapping_at(source, code) ? STACK_END_NO_FILE : STACK_END_NO_CODE;
}

static bool load_frame(const struct unwinding *unwinding, Dwfl_Frame *state,
                       struct source_frame *frame) {
  const struct machine *machine = unwinding->machine;
  const struct source_stack *stack = unwinding->stack;
  const struct source_frame *callee =
      stack->frames.count ? &stack->frames.items[stack->frames.count - 1] : NULL;
  *frame = (struct source_frame){0};
  if (!dwfl_frame_pc(state, &frame->pc, &frame->is_exact) ||
      dwfl_frame_reg(state, machine->stack_pointer, &frame->stack_pointer) != 0)
    return false;
  frame->saved_count = machine->saved_count;
  for (unsigned i = 0; i < machine->saved_count; i++) {
    Dwarf_Word word;
    if (dwfl_frame_reg(state, machine->saved[i], &word) == 0)
      frame->saved[i] = word;
    else if (callee) /* elfutils takes another register for rbx where a function leaves it alone */
      frame->saved[i] = callee->saved[i];
  }
  return true;
}

/* Whether the frame can be the caller of the one before. */
static bool follows(const struct source_stack *stack, const struct source_frame *frame) {
  if (!stack->frames.count || frame->is_exact) return true;
  return frame->stack_pointer > stack->frames.items[stack->frames.count - 1].stack_pointer;
}

static int take_frame(Dwfl_Frame *state, void *context) {
  enum { ASK_EVERY = 1 << 6 };
  struct unwinding *unwinding = context;
  struct source_stack *stack = unwinding->stack;
  struct source_frame frame;
  if (stack->frames.count == unwinding->most) return stop(unwinding, STACK_END_LIMIT);
  if (stack->frames.count % ASK_EVERY == 0 &&
      work_stops(unwinding->work, "unwinding native stacks", 0, 0))
    return stop(unwinding, STACK_END_INTERRUPTED);
  if (!load_frame(unwinding, state, &frame) || !follows(stack, &frame))
    return stop(unwinding, STACK_END_UNREADABLE);
  uint64_t code = frame.is_exact ? frame.pc : frame.pc - 1;
  Dwfl_Module *module = dwfl_addrmodule(unwinding->source->elf->unwind->dwfl, code);
  Dwarf_Frame *table = module ? table_of(module, code) : NULL;
  bool is_described = table != NULL;
  if (is_described) frame.start = function_start(module, code);
  unwinding->lacks_a_caller = is_described && lacks_return_address(unwinding->source, state, table);
  free(table);
  if (!vector_push(&stack->frames, frame)) {
    unwinding->has_no_memory = true;
    return DWARF_CB_ABORT;
  }
  return is_described ? DWARF_CB_OK : stop(unwinding, end_at(unwinding->source, module, code));
}

struct inspect_error *source_unwind(struct source *source, const struct source_thread *thread,
                                    size_t most, const struct work *work,
                                    struct source_stack *stack) {
  *stack = (struct source_stack){.end = STACK_END_UNSUPPORTED};
  struct unwinding unwinding = {
      .source = source, .machine = machine_of(source), .work = work, .most = most, .stack = stack};
  if (!unwinding.machine || !source->elf || source->big_endian) return NULL;
  if (!source->elf->unwind) {
    struct inspect_error *error = open_modules(source);
    if (error) source_free_unwind(source);
    if (error) return error;
  }
  source->elf->unwind->machine = unwinding.machine;
  source->elf->unwind->thread = thread;
  int status = dwfl_getthread_frames(source->elf->unwind->dwfl, 1, take_frame, &unwinding);
  if (unwinding.has_no_memory) return error_no_memory();
  bool is_torn = status || unwinding.lacks_a_caller;
  if (!unwinding.is_cut) stack->end = is_torn ? STACK_END_UNREADABLE : STACK_END_OUTERMOST;
  return NULL;
}
