/* victim.c - unpacking, cutting, and finding out whose each byte is. */
#include "victim.h"

#include <elf.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lua/stack.h"

static void fail(const char *name, const char *what) {
  fprintf(stderr, "%s: %s\n", name, what);
  exit(2);
}

static void fail_error(const char *name, struct inspect_error *error) {
  if (error) fail(name, error->message);
}

/* ---- Files ------------------------------------------------------------------------------------
 */

static uint8_t *read_packed(const char *path, size_t *size) {
  size_t length = strlen(path), room = 64 << 20;
  bool is_packed = length > 3 && !strcmp(path + length - 3, ".xz");
  char command[4096];
  snprintf(command, sizeof command, "%s -- '%s'", is_packed ? "xz -dc" : "cat", path);
  FILE *file = strchr(path, '\'') ? NULL : popen(command, "r");
  uint8_t *bytes = malloc(room);
  if (!file || !bytes) fail(path, "cannot be read");
  *size = fread(bytes, 1, room, file);
  if (pclose(file) || !*size || *size == room) fail(path, "cannot be unpacked");
  return bytes;
}

static int file_of(const char *name, const uint8_t *bytes, size_t size, char path[40]) {
  int descriptor = memfd_create("damaged.core", MFD_CLOEXEC);
  if (descriptor < 0 || write(descriptor, bytes, size) != (ssize_t)size)
    fail(name, "cannot be kept in memory");
  snprintf(path, 40, "/proc/self/fd/%d", descriptor);
  return descriptor;
}

static struct inspect_session *open_session(const struct victim *victim, const char *path) {
  struct inspect_session *session;
  struct inspect_target target = {.core = path, .sysroot = victim->folder};
  fail_error(victim->name, inspect_session_open(&target, &session));
  fail_error(victim->name, session_collect(session, NULL));
  if (session->heap.vm_count != 1) fail(victim->name, "holds not just one VM");
  return session;
}

/* ---- Cutting -----------------------------------------------------------------------------------
 */

struct part {
  uint64_t address, offset, size;
};

static struct part part_at(const struct source *source, const uint8_t *bytes, uint64_t address) {
  const struct source_segment *segment = source_segment_at(source, address);
  if (!segment) return (struct part){0};
  (void)bytes;
  return (struct part){.address = segment->start, .size = segment->end - segment->start};
}

/* Goes through the program headers of either class; `visit` may change each. */
static void each_header(uint8_t *bytes, void (*visit)(void *context, Elf64_Phdr *header),
                        void *context) {
  if (bytes[EI_CLASS] == ELFCLASS64) {
    Elf64_Ehdr *file = (Elf64_Ehdr *)bytes;
    for (unsigned i = 0; i < file->e_phnum; i++)
      visit(context, (Elf64_Phdr *)(bytes + file->e_phoff) + i);
    return;
  }
  Elf32_Ehdr *file = (Elf32_Ehdr *)bytes;
  for (unsigned i = 0; i < file->e_phnum; i++) {
    Elf32_Phdr *header = (Elf32_Phdr *)(bytes + file->e_phoff) + i;
    Elf64_Phdr wide = {.p_type = header->p_type,
                       .p_flags = header->p_flags,
                       .p_offset = header->p_offset,
                       .p_vaddr = header->p_vaddr,
                       .p_filesz = header->p_filesz,
                       .p_memsz = header->p_memsz};
    visit(context, &wide);
    header->p_offset = (Elf32_Off)wide.p_offset;
    header->p_vaddr = (Elf32_Addr)wide.p_vaddr;
    header->p_filesz = (Elf32_Word)wide.p_filesz;
    header->p_memsz = (Elf32_Word)wide.p_memsz;
  }
}

struct cutting {
  const uint8_t *whole;
  struct part heap, stack;
  uint8_t *result;
  size_t size;
};

/* Moves what is kept of a segment behind what is kept already. */
static void cut_header(void *context, Elf64_Phdr *header) {
  struct cutting *cutting = context;
  uint64_t kept = header->p_type == PT_NOTE ? header->p_filesz : 0, skipped = 0;
  uint64_t end = header->p_vaddr + header->p_filesz;
  const struct part *stack = &cutting->stack;
  if (header->p_type == PT_LOAD && header->p_vaddr == cutting->heap.address)
    kept = cutting->heap.size;
  if (header->p_type == PT_LOAD && stack->address >= header->p_vaddr && stack->address < end) {
    skipped = stack->address - header->p_vaddr;
    kept = stack->size < end - stack->address ? stack->size : end - stack->address;
  }
  cutting->size = (cutting->size + 15) & ~(size_t)15;
  if (cutting->size + kept > VICTIM_MOST_BYTES) fail("core", "cannot be cut down");
  memcpy(cutting->result + cutting->size, cutting->whole + header->p_offset + skipped, kept);
  header->p_offset = cutting->size;
  header->p_filesz = kept;
  header->p_vaddr += skipped;
  if (header->p_memsz > skipped) header->p_memsz -= skipped;
  cutting->size += kept;
}

static size_t bytes_of_headers(const uint8_t *bytes) {
  if (bytes[EI_CLASS] == ELFCLASS64) {
    const Elf64_Ehdr *file = (const Elf64_Ehdr *)bytes;
    return file->e_phoff + file->e_phnum * sizeof(Elf64_Phdr);
  }
  const Elf32_Ehdr *file = (const Elf32_Ehdr *)bytes;
  return file->e_phoff + file->e_phnum * sizeof(Elf32_Phdr);
}

static void cut(struct victim *victim, uint8_t *whole, const struct inspect_session *session) {
  enum { PAGE = 4096, STACK = 4 * PAGE };
  const struct source *source = session->source;
  struct cutting cutting = {.whole = whole, .result = calloc(1, VICTIM_MOST_BYTES)};
  cutting.heap = part_at(source, whole, session->heap.vms[0].vm.global_state);
  const uint8_t *heap = source_view(source, cutting.heap.address, cutting.heap.size);
  if (!cutting.result || !heap) fail(victim->name, "has no heap");
  while (cutting.heap.size && !heap[cutting.heap.size - 1])
    cutting.heap.size--;
  cutting.heap.size = (cutting.heap.size + PAGE - 1) & ~(uint64_t)(PAGE - 1);
  if (source->thread_count) {
    cutting.stack.address = source->threads[0].stack_pointer & ~(uint64_t)(PAGE - 1);
    cutting.stack.size = STACK;
  }
  cutting.size = bytes_of_headers(whole);
  memcpy(cutting.result, whole, cutting.size);
  each_header(cutting.result, cut_header, &cutting);
  victim->original = cutting.result;
  victim->size = cutting.size;
}

/* ---- Owners ------------------------------------------------------------------------------------
 */

static void own(struct victim *victim, uint32_t owner, uint64_t address, uint64_t size) {
  if (!size || !victim_has(victim, address, size)) return;
  for (uint64_t i = (address - victim->heap_start) / 4;
       i < (address - victim->heap_start + size + 3) / 4; i++)
    victim->owner[i] = owner;
}

static void own_table(struct victim *victim, object_id object, uint64_t address) {
  struct vm *vm = victim_vm(victim);
  struct lua_table table;
  uint64_t place, bytes;
  if (table_load(vm, address, &table)) return;
  uint64_t below = vm->layout->array_form == ARRAY_SPLIT ? 8 * table.array_size : 0;
  own(victim, object, table.array_place - below, table_array_bytes(vm->layout, table.array_size));
  if (table_hash_block(vm, address, &place, &bytes)) own(victim, object, place, bytes);
}

static void own_thread(struct victim *victim, object_id object, uint64_t address) {
  struct vm *vm = victim_vm(victim);
  const struct layout *layout = vm->layout;
  struct lua_thread thread;
  own(victim, object, address, layout->size[SIZE_lua_State]);
  if (thread_load(vm, address, &thread) || !thread.initialized) return;
  own(victim, object, thread.stack, thread.slot_count * layout->size[SIZE_TValue]);
  uint64_t call = thread.base_call;
  for (unsigned i = 0; call && i < 1000; i++) {
    const uint8_t *bytes = memory_view(&vm->memory, call, layout->size[SIZE_CallInfo]);
    if (!bytes) return;
    own(victim, object, call, layout->size[SIZE_CallInfo]);
    call = load_field(layout, bytes, CallInfo_next);
  }
}

static void own_prototype(struct victim *victim, object_id object, uint64_t address) {
  struct vm *vm = victim_vm(victim);
  const struct layout *layout = vm->layout;
  const uint16_t *size = layout->size;
  const struct array {
    enum layout_field pointer, count;
    uint64_t each;
  } arrays[] = {
      {Proto_k, Proto_sizek, size[SIZE_TValue]},
      {Proto_code, Proto_sizecode, 4},
      {Proto_p, Proto_sizep, layout->pointer_size},
      {Proto_upvalues, Proto_sizeupvalues, size[SIZE_Upvaldesc]},
      {Proto_lineinfo, Proto_sizelineinfo, 1},
      {Proto_abslineinfo, Proto_sizeabslineinfo, size[SIZE_AbsLineInfo]},
      {Proto_locvars, Proto_sizelocvars, size[SIZE_LocVar]},
  };
  const uint8_t *header = memory_view(&vm->memory, address, size[SIZE_Proto]);
  own(victim, object, address, size[SIZE_Proto]);
  for (size_t i = 0; header && i < sizeof arrays / sizeof *arrays; i++)
    own(victim, object, load_field(layout, header, arrays[i].pointer),
        load_field(layout, header, arrays[i].count) * arrays[i].each);
}

static void own_all(struct victim *victim) {
  struct vm *vm = victim_vm(victim);
  const struct heap *heap = victim_heap(victim);
  const struct graph *graph = &heap->graph;
  const struct layout *layout = vm->layout;
  uint64_t places = (victim->heap_end - victim->heap_start + 3) / 4;
  victim->owner = malloc((size_t)places * sizeof *victim->owner);
  for (unsigned type = 0; type < OBJECT_TYPE_COUNT; type++)
    victim->by_type[type] = malloc(graph->object_count * sizeof(object_id));
  if (!victim->owner) fail(victim->name, "is too large");
  memset(victim->owner, 0xff, (size_t)places * sizeof *victim->owner);
  own(victim, OWNER_STATE, vm->global_state, layout->size[SIZE_global_State]);
  const uint8_t *global =
      memory_view(&vm->memory, vm->global_state, layout->size[SIZE_global_State]);
  uint64_t strings = load_pointer(layout, global + layout->place[global_State_strt].offset +
                                              layout->place[stringtable_hash].offset);
  own(victim, OWNER_STATE, strings, vm->string_table_size * layout->pointer_size);
  for (object_id object = 0; object < graph->object_count; object++) {
    uint64_t address = heap_address(heap, object);
    uint8_t type = graph->type[object];
    victim->by_type[type][victim->type_count[type]++] = object;
    if (type == OBJECT_THREAD)
      own_thread(victim, object, address);
    else if (type == OBJECT_PROTOTYPE)
      own_prototype(victim, object, address);
    else
      own(victim, object, address,
          type == OBJECT_TABLE ? layout->size[SIZE_Table] : graph_bytes(graph, object));
    if (type == OBJECT_TABLE) own_table(victim, object, address);
  }
}

uint32_t victim_owner(const struct victim *victim, size_t offset) {
  if (offset < victim->heap_offset) return OWNER_STATE;
  uint64_t place = offset - victim->heap_offset;
  return place < victim->heap_end - victim->heap_start ? victim->owner[place / 4] : OWNER_STATE;
}

/* ---- The whole ---------------------------------------------------------------------------------
 */

/* Where the heap's segment and the stack's are in the cut core. */
static void find_heap(void *context, Elf64_Phdr *header) {
  struct victim *victim = context;
  if (header->p_type != PT_LOAD || !header->p_filesz) return;
  uint64_t end = header->p_vaddr + header->p_filesz;
  if (header->p_vaddr == victim->heap_start) {
    victim->heap_end = end;
    victim->heap_offset = header->p_offset;
  } else {
    victim->stack_start = header->p_vaddr;
    victim->stack_end = end;
  }
}

void victim_open(struct victim *victim, const char *packed, char *folder) {
  size_t size;
  uint8_t *whole = read_packed(packed, &size);
  *victim = (struct victim){.name = packed, .folder = folder};
  const char *slash = strrchr(packed, '/');
  if (slash) victim->name = slash + 1;
  char path[40];
  int descriptor = file_of(victim->name, whole, size, path);
  struct inspect_session *session = open_session(victim, path);
  victim->heap_start =
      part_at(session->source, whole, session->heap.vms[0].vm.global_state).address;
  cut(victim, whole, session);
  uint32_t objects = session->heap.graph.object_count;
  inspect_session_close(session);
  close(descriptor);
  free(whole);
  victim->descriptor = file_of(victim->name, victim->original, victim->size, victim->path);
  victim->sound_descriptor =
      file_of(victim->name, victim->original, victim->size, victim->sound_path);
  victim->bytes =
      mmap(NULL, victim->size, PROT_READ | PROT_WRITE, MAP_SHARED, victim->descriptor, 0);
  if (victim->bytes == MAP_FAILED) fail(victim->name, "cannot be mapped");
  each_header(victim->original, find_heap, victim);
  victim->session = open_session(victim, victim->sound_path);
  if (victim->session->heap.graph.object_count != objects ||
      victim->session->heap.graph.incomplete || victim->session->heap.vms[0].residual)
    fail(victim->name, "is not the same when cut");
  own_all(victim);
}

void victim_close(struct victim *victim) {
  inspect_session_close(victim->session);
  munmap(victim->bytes, victim->size);
  close(victim->descriptor);
  close(victim->sound_descriptor);
  free(victim->original);
  free(victim->owner);
  for (unsigned type = 0; type < OBJECT_TYPE_COUNT; type++)
    free(victim->by_type[type]);
}
