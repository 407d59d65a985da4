/* memory.c - the table of readable memory, made from the program headers of a core.
 *
 * Only the first p_filesz bytes of a PT_LOAD were dumped; what p_memsz says beyond was left out on
 * purpose (coredump_filter) and is absent: not zero, and no gap either; of writable memory it is
 * counted. What was dumped but lies past the end of the file is a gap: the file was truncated.
 *
 *   program headers -> parts, sorted by address -> overlaps cut (the lower part wins)
 *                   -> split at the end of the file -> segments | gaps, neighbours merged
 *
 * Invariant of the result: segments and gaps are sorted, disjoint and not empty, and every byte of
 * a segment is in the mapped file. */
#include <stdlib.h>

#include "source/core.h"

/* A dumped stretch of memory, as the program header claims it. */
struct part {
  uint64_t start, end, offset;
  uint64_t index; /* of the program header: keeps the order of equals stable */
  bool writable, executable;
};

struct table {
  struct VECTOR(struct part) parts;
  struct VECTOR(struct source_segment) segments;
  struct VECTOR(struct source_gap) gaps;
};

static bool add_part(struct table *table, const struct image *image, uint64_t index) {
  GElf_Phdr header = image_header(image, index);
  uint64_t size = header.p_filesz;
  if (header.p_memsz && header.p_memsz < size) size = header.p_memsz;
  if (header.p_type != PT_LOAD || !size) return true;
  uint64_t limit = image->is_64 ? UINT64_MAX : UINT64_C(1) << 32;
  if (size > limit - header.p_vaddr) size = limit - header.p_vaddr;
  if (!size) return true;
  return vector_push(&table->parts, ((struct part){.start = header.p_vaddr,
                                                   .end = header.p_vaddr + size,
                                                   .offset = header.p_offset,
                                                   .index = index,
                                                   .writable = (header.p_flags & PF_W) != 0,
                                                   .executable = (header.p_flags & PF_X) != 0}));
}

static int compare_parts(const void *left, const void *right) {
  const struct part *a = left, *b = right;
  if (a->start != b->start) return a->start < b->start ? -1 : 1;
  return a->index < b->index ? -1 : a->index > b->index;
}

/* Adds target memory at `bytes`, as part of the last segment if it continues that one. */
static bool add_segment(struct table *table, struct source_segment segment) {
  if (table->segments.count) {
    struct source_segment *last = &table->segments.items[table->segments.count - 1];
    if (last->end == segment.start && last->bytes + (last->end - last->start) == segment.bytes &&
        last->writable == segment.writable && last->executable == segment.executable) {
      last->end = segment.end;
      return true;
    }
  }
  return vector_push(&table->segments, segment);
}

static bool add_gap(struct table *table, uint64_t start, uint64_t end) {
  if (table->gaps.count && table->gaps.items[table->gaps.count - 1].end == start) {
    table->gaps.items[table->gaps.count - 1].end = end;
    return true;
  }
  return vector_push(&table->gaps, ((struct source_gap){start, end}));
}

/* Splits a part at the end of the file. */
static bool place_part(struct table *table, const struct image *image, const struct part *part) {
  uint64_t left = part->offset < image->size ? image->size - part->offset : 0;
  uint64_t size = part->end - part->start, present = size < left ? size : left;
  struct source_segment segment = {.start = part->start,
                                   .end = part->start + present,
                                   .writable = part->writable,
                                   .executable = part->executable};
  if (present) {
    segment.bytes = image->bytes + part->offset;
    if (!add_segment(table, segment)) return false;
  }
  return present == size || add_gap(table, segment.end, part->end);
}

/* Places the parts, each without what a lower one holds. */
static bool place_parts(struct table *table, const struct image *image) {
  uint64_t covered = 0;
  for (size_t i = 0; i < table->parts.count; i++) {
    struct part part = table->parts.items[i];
    if (part.end <= covered) continue;
    if (part.start < covered) {
      uint64_t cut = covered - part.start;
      part.offset = part.offset > UINT64_MAX - cut ? UINT64_MAX : part.offset + cut;
      part.start = covered;
    }
    covered = part.end;
    if (!place_part(table, image, &part)) return false;
  }
  return true;
}

static bool make_table(struct table *table, const struct image *image) {
  for (uint64_t i = 0; i < image->count; i++)
    if (!add_part(table, image, i)) return false;
  if (table->parts.count)
    qsort(table->parts.items, table->parts.count, sizeof *table->parts.items, compare_parts);
  return place_parts(table, image);
}

struct inspect_error *source_read_memory(struct source *source) {
  struct table table = {0};
  bool is_made = make_table(&table, &source->elf->image);
  if (is_made) {
    source->segments = source_keep(source, table.segments.items, table.segments.count,
                                   sizeof *table.segments.items);
    source->segment_count = table.segments.count;
    source->gaps =
        source_keep(source, table.gaps.items, table.gaps.count, sizeof *table.gaps.items);
    source->gap_count = table.gaps.count;
    is_made = source->segments && source->gaps;
    for (size_t i = 0; i < table.gaps.count; i++)
      source->missing_bytes += table.gaps.items[i].end - table.gaps.items[i].start;
  }
  vector_free(&table.parts);
  vector_free(&table.segments);
  vector_free(&table.gaps);
  return is_made ? NULL : error_no_memory();
}

void source_read_left_out(struct source *source) {
  const struct image *image = &source->elf->image;
  source->left_out_bytes = 0;
  for (uint64_t i = 0; i < image->count; i++) {
    GElf_Phdr header = image_header(image, i);
    bool is_whole = header.p_type != PT_LOAD || header.p_memsz <= header.p_filesz;
    if (is_whole || !(header.p_flags & PF_W)) continue;
    uint64_t size = header.p_memsz - header.p_filesz;
    if (source_mapping_at(source, header.p_vaddr + header.p_filesz)) continue;
    source->left_out_bytes =
        size > UINT64_MAX - source->left_out_bytes ? UINT64_MAX : source->left_out_bytes + size;
  }
}

/* A compressed core that is whole as a file was cut before it was compressed. */
const char *source_cut_causes(const struct source *source) {
  if (source->ends_early)
    return "a full disk, a copy that ended early, or a core that is still being written";
  if (source->compression)
    return "ProcessSizeMax= or ExternalSizeMax= of systemd-coredump, or `ulimit -c`";
  return "`ulimit -c`, a full disk, systemd-coredump's ProcessSizeMax=, a copy that ended early, "
         "or "
         "a core that is still being written";
}

const char *source_missing_hint(struct source *source) {
  enum { MOSTLY = 4 }; /* times what is there */
  uint64_t writable = 0;
  if (source->kind != SOURCE_CORE) return NULL;
  if (source->missing_bytes || (source->elf && source->elf->image.is_cut))
    return arena_printf(
        &source->arena,
        "%s%sthe core is truncated: %llu KB of its memory are missing; typical "
        "causes: %s; `gcore PID` writes a whole one",
        source->ends_early ? source->ends_early : "", source->ends_early ? "; " : "",
        (unsigned long long)(source->missing_bytes / 1000), source_cut_causes(source));
  for (size_t i = 0; i < source->segment_count; i++)
    if (source->segments[i].writable)
      writable += source->segments[i].end - source->segments[i].start;
  if (source->left_out_bytes / MOSTLY < writable || !source->left_out_bytes) return NULL;
  return arena_printf(
      &source->arena,
      "%llu KB of writable memory were left out of the dump; typical cause: a "
      "coredump_filter without bit 0 (`echo 0x33 >/proc/PID/coredump_filter` before "
      "the dump)",
      (unsigned long long)(source->left_out_bytes / 1000));
}

const struct source_segment *source_segment_at(const struct source *source, uint64_t address) {
  size_t low = 0, high = source->segment_count;
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    if (source->segments[middle].end <= address)
      low = middle + 1;
    else
      high = middle;
  }
  if (low == source->segment_count || address < source->segments[low].start) return NULL;
  return &source->segments[low];
}

bool source_is_missing(const struct source *source, uint64_t address) {
  size_t low = 0, high = source ? source->gap_count : 0;
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    if (source->gaps[middle].end <= address)
      low = middle + 1;
    else
      high = middle;
  }
  return source && low < source->gap_count && address >= source->gaps[low].start;
}

const uint8_t *source_view(const struct source *source, uint64_t address, uint64_t size) {
  const struct source_segment *segment = source_segment_at(source, address);
  if (!segment || size > segment->end - address) return NULL;
  return segment->bytes + (address - segment->start);
}

uint64_t source_word(const struct source *source, const uint8_t *bytes) {
  uint64_t word = 0;
  for (unsigned i = 0; i < source->pointer_size; i++) {
    unsigned at = source->big_endian ? source->pointer_size - 1 - i : i;
    word |= (uint64_t)bytes[at] << 8 * i;
  }
  return word;
}
