/* target_elf.c - files as they are: the ELF header, program headers, segments and notes of a core,
 * the symbols of files, and what is asked of a source. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "source/source.h"
#include "targets.h"

static void read_source(struct source *source) {
  const char *name;
  const uint8_t *bytes;
  size_t size;
  for (size_t i = 0; i < source->mapping_count && i < 8; i++) {
    (void)source_symbol(source, source->mappings[i].start, &name);
    (void)source_file(source, &source->mappings[i], &bytes, &size);
  }
  for (size_t i = 0; i < source->segment_count; i++) {
    const struct source_segment *segment = &source->segments[i];
    const uint8_t *first = source_view(source, segment->start, 1);
    const uint8_t *last = source_view(source, segment->end - 1, 1);
    if (!first || !last || source_view(source, segment->start, UINT64_MAX)) abort();
    volatile uint8_t seen = (uint8_t)(*first ^ *last);
    (void)seen;
  }
}

static void run(const uint8_t *bytes, size_t size) {
  char path[40];
  int descriptor = memfd_create("input", MFD_CLOEXEC);
  struct source *source;
  if (descriptor < 0 || write(descriptor, bytes, size) != (ssize_t)size) exit(2);
  snprintf(path, sizeof path, "/proc/self/fd/%d", descriptor);
  /* a folder without files: the machine's own take no part */
  const struct source_unpacking unpacking = {.most_bytes = 1 << 24};
  struct inspect_error *error =
      source_open_core(path, NULL, "/proc/self/fdinfo", &unpacking, &source);
  if (error)
    inspect_error_free(error);
  else
    read_source(source);
  if (!error) source_close(source);
  close(descriptor);
}

const struct fuzz_target fuzz_elf = {.name = "elf", .run = run, .memory = 1};
