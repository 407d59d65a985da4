/* stepper.c - runs a program, steps through a part of it and writes a core at chosen instructions.
 *
 *   stepper [--every N | --random SEED] [--gap N] [--most N] [--skip N] [--bare 1] FOLDER PROGRAM
 *           [ARGS]
 *
 * The program says where the part begins and ends by writing "BEGIN\n" and "END\n" to file
 * descriptor 2. In between it is single-stepped by the processor, so that every instruction is a
 * place where a core can be taken: each Nth one (--every), or after random gaps of up to --gap
 * instructions (--random). Cores are FOLDER/0000.core, ...; at most --most of them, the first after
 * --skip instructions. With --most reached, or after END, the program is killed.
 *
 * A core holds what inspection needs and no more: the registers, all writable private memory and,
 * unless it is to be --bare, the auxiliary vector and the list of mapped files. x86-64 only;
 * addresses are not randomized, so that runs are alike. */
#define _GNU_SOURCE
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/procfs.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MOST_MAPPINGS = 512, PAGE = 4096, NOTES = 1 << 17 };

struct mapping {
  uint64_t start, end, offset;
  char permissions[5], path[512];
};

struct options {
  uint64_t every, gap, most, skip, seed;
  bool is_random, is_bare;
  const char *folder;
};

static void fail(const char *what) {
  perror(what);
  exit(2);
}

/* ---- Cores -------------------------------------------------------------------------------------
 */

static size_t read_mappings(pid_t pid, struct mapping *mappings) {
  char path[64], line[1024];
  snprintf(path, sizeof path, "/proc/%d/maps", (int)pid);
  FILE *file = fopen(path, "r");
  if (!file) fail(path);
  size_t count = 0;
  while (count < MOST_MAPPINGS && fgets(line, sizeof line, file)) {
    struct mapping *mapping = &mappings[count];
    unsigned long start, end, offset;
    int name = 0;
    if (sscanf(line, "%lx-%lx %4s %lx %*s %*s %n", &start, &end, mapping->permissions, &offset,
               &name) < 4)
      continue;
    mapping->start = start;
    mapping->end = end;
    mapping->offset = offset;
    size_t length = strcspn(line + name, "\n");
    snprintf(mapping->path, sizeof mapping->path, "%.*s", (int)length, line + name);
    count++;
  }
  fclose(file);
  return count;
}

struct notes {
  uint8_t bytes[NOTES];
  size_t size;
};

static void add_note(struct notes *notes, uint32_t type, const void *bytes, size_t size) {
  Elf64_Nhdr header = {.n_namesz = 5, .n_descsz = (Elf64_Word)size, .n_type = type};
  size_t padded = (size + 3) & ~(size_t)3;
  if (notes->size + sizeof header + 8 + padded > NOTES) fail("notes");
  uint8_t *at = notes->bytes + notes->size;
  memset(at, 0, sizeof header + 8 + padded);
  memcpy(at, &header, sizeof header);
  memcpy(at + sizeof header, "CORE", 5);
  memcpy(at + sizeof header + 8, bytes, size);
  notes->size += sizeof header + 8 + padded;
}

static void note_registers(struct notes *notes, pid_t pid) {
  struct elf_prstatus status = {.pr_pid = pid};
  struct user_regs_struct registers;
  if (ptrace(PTRACE_GETREGS, pid, NULL, &registers)) fail("PTRACE_GETREGS");
  memcpy(&status.pr_reg, &registers, sizeof status.pr_reg);
  add_note(notes, NT_PRSTATUS, &status, sizeof status);
}

static void note_auxiliary(struct notes *notes, pid_t pid) {
  char path[64], bytes[4096];
  snprintf(path, sizeof path, "/proc/%d/auxv", (int)pid);
  int file = open(path, O_RDONLY | O_CLOEXEC);
  ssize_t size = file < 0 ? -1 : read(file, bytes, sizeof bytes);
  if (size > 0) add_note(notes, NT_AUXV, bytes, (size_t)size);
  if (file >= 0) close(file);
}

static void note_files(struct notes *notes, const struct mapping *mappings, size_t count) {
  static uint64_t words[2 + 3 * MOST_MAPPINGS];
  static char bytes[sizeof words + 65536];
  size_t files = 0, names = 0;
  static char text[65536];
  for (size_t i = 0; i < count; i++) {
    size_t length = strlen(mappings[i].path) + 1;
    if (mappings[i].path[0] != '/' || names + length > sizeof text) continue;
    words[2 + 3 * files] = mappings[i].start;
    words[3 + 3 * files] = mappings[i].end;
    words[4 + 3 * files++] = mappings[i].offset / PAGE;
    memcpy(text + names, mappings[i].path, length);
    names += length;
  }
  words[0] = files;
  words[1] = PAGE;
  size_t head = (2 + 3 * files) * sizeof *words;
  memcpy(bytes, words, head);
  memcpy(bytes + head, text, names);
  add_note(notes, NT_FILE, bytes, head + names);
}

static bool is_kept(const struct mapping *mapping) {
  return mapping->permissions[0] == 'r' && mapping->permissions[1] == 'w' &&
         mapping->permissions[3] == 'p';
}

static void write_all(int file, const void *bytes, size_t size) {
  for (size_t done = 0; done < size;) {
    ssize_t part = write(file, (const char *)bytes + done, size - done);
    if (part <= 0) fail("write");
    done += (size_t)part;
  }
}

/* Copies target memory; what cannot be read becomes zeros. */
static void write_memory(int file, pid_t pid, uint64_t start, uint64_t size) {
  enum { PIECE = 1 << 20 };
  static char bytes[PIECE];
  while (size) {
    size_t piece = size < PIECE ? (size_t)size : PIECE;
    struct iovec here = {bytes, piece}, there = {(void *)(uintptr_t)start, piece};
    ssize_t got = process_vm_readv(pid, &here, 1, &there, 1, 0);
    if (got < 0) got = 0;
    memset(bytes + got, 0, piece - (size_t)got);
    write_all(file, bytes, piece);
    start += piece;
    size -= piece;
  }
}

static void write_core(pid_t pid, const char *name, bool is_bare) {
  static struct mapping mappings[MOST_MAPPINGS];
  static struct notes notes;
  static Elf64_Phdr headers[MOST_MAPPINGS + 1];
  size_t count = read_mappings(pid, mappings), kept = 1;
  notes.size = 0;
  note_registers(&notes, pid);
  if (!is_bare) {
    note_auxiliary(&notes, pid);
    note_files(&notes, mappings, count);
  }
  for (size_t i = 0; i < count; i++)
    kept += is_kept(&mappings[i]);
  uint64_t offset = sizeof(Elf64_Ehdr) + kept * sizeof *headers;
  headers[0] =
      (Elf64_Phdr){.p_type = PT_NOTE, .p_offset = offset, .p_filesz = notes.size, .p_align = 4};
  offset += notes.size;
  kept = 1;
  for (size_t i = 0; i < count; i++) {
    if (!is_kept(&mappings[i])) continue;
    uint64_t size = mappings[i].end - mappings[i].start;
    headers[kept++] = (Elf64_Phdr){.p_type = PT_LOAD,
                                   .p_flags = PF_R | PF_W,
                                   .p_offset = offset,
                                   .p_vaddr = mappings[i].start,
                                   .p_filesz = size,
                                   .p_memsz = size,
                                   .p_align = 1};
    offset += size;
  }
  Elf64_Ehdr header = {
      .e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
      .e_type = ET_CORE,
      .e_machine = EM_X86_64,
      .e_version = EV_CURRENT,
      .e_phoff = sizeof header,
      .e_ehsize = sizeof header,
      .e_phentsize = sizeof *headers,
      .e_phnum = (Elf64_Half)kept};
  int file = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (file < 0) fail(name);
  write_all(file, &header, sizeof header);
  write_all(file, headers, kept * sizeof *headers);
  write_all(file, notes.bytes, notes.size);
  for (size_t i = 1; i < kept; i++)
    write_memory(file, pid, headers[i].p_vaddr, headers[i].p_filesz);
  close(file);
}

/* ---- Stepping ----------------------------------------------------------------------------------
 */

/* Waits for a stop; false if the program has ended. Signals but SIGTRAP are passed on. */
static bool wait_stop(pid_t pid, int *pass) {
  int status;
  *pass = 0;
  if (waitpid(pid, &status, 0) != pid) fail("waitpid");
  if (WIFEXITED(status) || WIFSIGNALED(status)) return false;
  int number = WSTOPSIG(status);
  if (number != SIGTRAP && number != (SIGTRAP | 0x80)) *pass = number;
  return true;
}

/* Whether the system call that is about to be made writes `text` to descriptor 2. */
static bool says(pid_t pid, const struct user_regs_struct *registers, uint64_t number,
                 const char *text) {
  char bytes[8] = "";
  size_t size = strlen(text);
  if (number != SYS_write || registers->rdi != 2 || registers->rdx != size) return false;
  struct iovec here = {bytes, size}, there = {(void *)(uintptr_t)registers->rsi, size};
  return process_vm_readv(pid, &here, 1, &there, 1, 0) == (ssize_t)size &&
         memcmp(bytes, text, size) == 0;
}

static struct user_regs_struct registers_of(pid_t pid) {
  struct user_regs_struct registers;
  if (ptrace(PTRACE_GETREGS, pid, NULL, &registers)) fail("PTRACE_GETREGS");
  return registers;
}

/* Runs to the return from the system call that says BEGIN. */
static bool run_to_begin(pid_t pid) {
  int pass = 0;
  for (bool entering = true, begun = false;; entering = !entering) {
    if (ptrace(PTRACE_SYSCALL, pid, NULL, pass) || !wait_stop(pid, &pass)) return false;
    if (pass) {
      entering = !entering;
      continue;
    }
    if (!entering && begun) return true;
    struct user_regs_struct registers = registers_of(pid);
    if (entering) begun = says(pid, &registers, registers.orig_rax, "BEGIN\n");
  }
}

/* Whether the next instruction is the system call that says END. */
static bool at_end(pid_t pid) {
  enum { SYSCALL_INSTRUCTION = 0x050f };
  long at = ptrace(PTRACE_PEEKUSER, pid, offsetof(struct user_regs_struct, rip), NULL);
  errno = 0;
  long code = ptrace(PTRACE_PEEKTEXT, pid, at, NULL);
  if (errno || (code & 0xffff) != SYSCALL_INSTRUCTION) return false;
  struct user_regs_struct registers = registers_of(pid);
  return says(pid, &registers, registers.rax, "END\n");
}

static uint64_t next_random(uint64_t *state) { /* xorshift64* */
  *state ^= *state >> 12;
  *state ^= *state << 25;
  *state ^= *state >> 27;
  return *state * UINT64_C(2685821657736338717) >> 16;
}

static uint64_t step_all(pid_t pid, const struct options *options) {
  uint64_t state = options->seed * 2 + 1, written = 0;
  uint64_t next = options->skip + (options->is_random ? 1 + next_random(&state) % options->gap : 0);
  int pass = 0;
  for (uint64_t step = 0; written < options->most; step++) {
    if (step == next) {
      char name[600];
      snprintf(name, sizeof name, "%s/%04llu.core", options->folder, (unsigned long long)written);
      write_core(pid, name, options->is_bare);
      printf("%04llu %llu 0x%llx\n", (unsigned long long)written++, (unsigned long long)step,
             (unsigned long long)registers_of(pid).rip);
      next += options->is_random ? 1 + next_random(&state) % options->gap : options->every;
    }
    if (at_end(pid)) {
      printf("END %llu\n", (unsigned long long)step);
      return written;
    }
    if (ptrace(PTRACE_SINGLESTEP, pid, NULL, pass) || !wait_stop(pid, &pass)) return written;
  }
  return written;
}

static uint64_t number(const char *text) {
  char *end;
  uint64_t value = text ? strtoull(text, &end, 10) : 0;
  if (!text || *end) fail("a number is expected");
  return value;
}

int main(int argc, char **argv) {
  struct options options = {.every = 1, .gap = 5000, .most = UINT64_MAX};
  int at = 1;
  for (; at < argc && strncmp(argv[at], "--", 2) == 0; at += 2) {
    uint64_t value = number(argv[at + 1]);
    if (strcmp(argv[at], "--every") == 0)
      options.every = value ? value : 1;
    else if (strcmp(argv[at], "--gap") == 0)
      options.gap = value ? value : 1;
    else if (strcmp(argv[at], "--most") == 0)
      options.most = value;
    else if (strcmp(argv[at], "--skip") == 0)
      options.skip = value;
    else if (strcmp(argv[at], "--bare") == 0)
      options.is_bare = value != 0;
    else if (strcmp(argv[at], "--random") == 0)
      options.is_random = true, options.seed = value;
    else
      break;
  }
  if (argc - at < 2) {
    fprintf(stderr, "usage: stepper [OPTIONS] FOLDER PROGRAM [ARGS]\n");
    return 2;
  }
  options.folder = argv[at];
  pid_t pid = fork();
  if (pid < 0) fail("fork");
  if (pid == 0) {
    personality(ADDR_NO_RANDOMIZE);
    if (ptrace(PTRACE_TRACEME, 0, NULL, NULL)) fail("PTRACE_TRACEME");
    execvp(argv[at + 1], argv + at + 1);
    fail(argv[at + 1]);
  }
  int pass;
  if (!wait_stop(pid, &pass)) return 2;
  ptrace(PTRACE_SETOPTIONS, pid, NULL, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL);
  if (!run_to_begin(pid)) {
    fprintf(stderr, "%s never said BEGIN\n", argv[at + 1]);
    return 2;
  }
  uint64_t written = step_all(pid, &options);
  kill(pid, SIGKILL);
  waitpid(pid, NULL, 0);
  return written ? 0 : 1;
}
