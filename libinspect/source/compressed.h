/* compressed.h - cores that are kept compressed, as systemd-coredump does. */
#ifndef SOURCE_COMPRESSED_H
#define SOURCE_COMPRESSED_H

#include "base/error.h"
#include "base/text.h"
#include "base/work.h"
#include "source/source.h"

/* A compressed file's contents, mapped; munmap(bytes, size) when done. */
struct decompressed {
  const uint8_t *bytes;
  uint64_t size;
  uint64_t in_memory; /* bytes of them that take memory, as temporary files lie there (tmpfs) */
  struct text fault;  /* why nothing follows, escaped: the stream is cut off or damaged; empty if it
                         was read to its end. Free it with vector_free. */
};

/* "zstd", "xz", ...: how the file is compressed, by its first bytes; NULL: in no known way. */
const char *compressed_format(const uint8_t *bytes, uint64_t size);

/* Decompresses a file of a known format. What could be read of a damaged stream is a result, with
 * `fault`. `name` is the file's, escaped, for messages. Errors: UNSUPPORTED if this build cannot
 * read the format; TARGET if the contents are no ELF file, or more than allowed; SYSTEM if they
 * cannot be stored; INTERRUPTED. */
MUST_CHECK struct inspect_error *decompress(const uint8_t *bytes, uint64_t size, const char *name,
                                            const struct source_unpacking *unpacking,
                                            struct decompressed *result);

#endif
