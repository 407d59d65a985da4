/* patches.h - inputs that are small cores, written down as what is different from a sound one.
 *
 *   byte 0       which core
 *   then         patches: a byte with the size (1 to 8, in the low bits), three bytes with the
 * place in the file (little-endian), and so many bytes with bit 7 of the first byte: the file ends
 * there
 *
 * So the inputs stay small, and a mutation of one is another damage of the same core. */
#ifndef FUZZ_PATCHES_H
#define FUZZ_PATCHES_H

#include "victim.h"

/* The core with the patches in it, until the next call; sound again after patches_undo. */
struct victim *patches_apply(const uint8_t *bytes, size_t size);
size_t patches_size(void); /* of the core now */
void patches_undo(void);

/* Adds damage of tests/damage to an input. */
size_t patches_mutate(uint8_t *bytes, size_t size, size_t room, uint64_t seed);

/* Appends the bytes of a core from `offset` on as patches; returns the new size of the input. */
size_t patches_add(uint8_t *input, size_t size, size_t room, size_t offset, const uint8_t *bytes,
                   size_t count);

/* The core with that number, modulo theirs. */
struct victim *patches_victim(size_t number);

#endif
