/* values.h - words of a command line made into numbers, times and sets.
 *
 * Each function reads the whole word and returns false if it is not understood; nothing depends on
 * the host's locale or time zone. */
#ifndef COMMAND_VALUES_H
#define COMMAND_VALUES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Decimal digits; false also when they do not fit. */
bool value_count(const char *word, uint64_t *result);

/* Bytes: 4096, 10K or 10KB, 1.5M, 2G (thousands, as sizes are printed); 10Ki, 1.5MiB (1024). */
bool value_size(const char *word, uint64_t *result);

/* 0x and hexadecimal digits. */
bool value_address(const char *word, uint64_t *result);

/* Exactly 16 hexadecimal digits. */
bool value_fingerprint(const char *word, uint64_t *result);

/* Seconds: 90, 1.5, or numbers with units, 90s, 5m, 2h, 3d, 1w, 1h30m. */
bool value_duration(const char *word, double *seconds);

/* Seconds since 1970: as a number, as `now`, as 2026-11-22 (midnight), 2026-11-22 15:51,
 * 2026-11-22 15:51:02.5, with T in place of the blank, and with Z, UTC, +01:00 or +0100 behind it.
 * Without a zone it is UTC, as times are printed. */
bool value_time(const char *word, double *seconds);

/* The bits (1 << enum reference_kind) of a word of `size` bytes: a kind of the JSON contract, or
 * one of the groups table, function, stack, all. */
bool value_kind(const char *word, size_t size, uint32_t *kinds);

/* Those words by position, NULL past the last. */
const char *value_kind_name(size_t index);

#endif
