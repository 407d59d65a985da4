/* redaction.c - keyed hashes of strings: SipHash-2-4 (Aumasson, Bernstein 2012), 55 bits of it.
 *
 * Substitutes are kept by address and size of the bytes, so that a string is hashed once. */
#include "lua/redaction.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/arena.h"
#include "lua/standard.h"

enum { SHORTEST = 4, SHOWN = 12, SLOTS_AT_FIRST = 1024 };

struct kept {
  const char *bytes; /* in the mapped target; NULL: the slot is free */
  size_t size;
  const char *substitute;
};

struct redaction {
  uint64_t key[2];
  pthread_mutex_t lock;
  struct arena arena;
  struct kept *slots; /* open addressing, a power of two */
  size_t slot_count, used;
};

/* ---- SipHash --------------------------------------------------------------------------------- */

static uint64_t rotate(uint64_t word, unsigned bits) { return word << bits | word >> (64 - bits); }

static void sip_round(uint64_t v[4]) {
  v[0] += v[1], v[1] = rotate(v[1], 13) ^ v[0], v[0] = rotate(v[0], 32);
  v[2] += v[3], v[3] = rotate(v[3], 16) ^ v[2];
  v[0] += v[3], v[3] = rotate(v[3], 21) ^ v[0];
  v[2] += v[1], v[1] = rotate(v[1], 17) ^ v[2], v[2] = rotate(v[2], 32);
}

static void sip_word(uint64_t v[4], uint64_t word) {
  v[3] ^= word;
  sip_round(v);
  sip_round(v);
  v[0] ^= word;
}

static uint64_t sip_hash(const uint64_t key[2], const char *bytes, size_t size) {
  uint64_t v[4] = {key[0] ^ UINT64_C(0x736f6d6570736575), key[1] ^ UINT64_C(0x646f72616e646f6d),
                   key[0] ^ UINT64_C(0x6c7967656e657261), key[1] ^ UINT64_C(0x7465646279746573)};
  uint64_t word = 0;
  for (size_t i = 0; i < size; i++) {
    word |= (uint64_t)(uint8_t)bytes[i] << 8 * (i % 8);
    if (i % 8 < 7) continue;
    sip_word(v, word);
    word = 0;
  }
  sip_word(v, word | (uint64_t)size << 56);
  v[2] ^= 0xff;
  for (unsigned i = 0; i < 4; i++)
    sip_round(v);
  return v[0] ^ v[1] ^ v[2] ^ v[3];
}

/* ---- What stays ------------------------------------------------------------------------------ */

/* Between blanks. Names of variables that the compiler makes; chunks without a file; the keys that
 * Lua itself puts into the registry; what leakwatch is recognised by; what fields of trackers are
 * usually called (command/trackers_recognise.c). */
static const char WORDS[] =
    " __index __newindex __gc __mode __len __eq __add __sub __mul __mod __pow __div __idiv __band "
    "__bor __bxor __shl __shr __unm __bnot __lt __le __concat __call __close __name __metatable "
    "__tostring __pairs _ENV _LOADED _PRELOAD _CLIBS FILE* _IO_input _IO_output =stdin =[C] "
    "(temporary) (vararg) leakwatch tracker track retire self "
    "description desc what info name label text title msg time created birth since clock date "
    "stamp "
    "when born ";

static bool has_word(const char *bytes, size_t size) {
  for (const char *at = WORDS; (at = strchr(at, ' ')) && at[1];) {
    size_t length = strcspn(++at, " ");
    if (length == size && !memcmp(at, bytes, size)) return true;
    at += length;
  }
  return false;
}

static bool is_standard(const char *bytes, size_t size) {
  static const char *const VERSIONS[] = {"5.4", "5.5"};
  for (size_t i = 0; i < 2; i++) {
    if (standard_kind(VERSIONS[i], "_G", bytes, size) != STANDARD_NOT) return true;
    const char *library;
    for (size_t j = 0; (library = standard_library(j)); j++)
      if (standard_kind(VERSIONS[i], library, bytes, size) != STANDARD_NOT) return true;
  }
  return false;
}

static bool is_for_state(const char *bytes, size_t size) {
  static const char NAME[] = "(for state)";
  return size == sizeof NAME - 1 && !memcmp(bytes, NAME, size);
}

static bool stays(const char *bytes, size_t size) {
  return size < SHORTEST || is_for_state(bytes, size) || has_word(bytes, size) ||
         is_standard(bytes, size);
}

/* ---- Substitutes ----------------------------------------------------------------------------- */

static const char *make_substitute(struct redaction *redaction, const char *bytes, size_t size) {
  static const char DIGITS[] = "abcdefghijklmnopqrstuvwxyz234567";
  if (stays(bytes, size)) return bytes;
  char *substitute = arena_alloc(&redaction->arena, size + 1);
  if (!substitute) return NULL;
  uint64_t hash = sip_hash(redaction->key, bytes, size);
  size_t at = bytes[0] == '@' || bytes[0] == '='; /* chunks that come from a file, or have a name */
  memset(substitute, '_', size);
  substitute[0] = bytes[0];
  substitute[at] = 's';
  for (size_t i = at + 1; i < size && i < at + SHOWN; i++, hash >>= 5)
    substitute[i] = DIGITS[hash % 32];
  substitute[size] = '\0';
  return substitute;
}

static size_t slot_of(const struct kept *slots, size_t count, const char *bytes, size_t size) {
  size_t at = (((uintptr_t)bytes ^ size) * UINT64_C(0x9e3779b97f4a7c15) >> 20) & (count - 1);
  while (slots[at].bytes && (slots[at].bytes != bytes || slots[at].size != size))
    at = (at + 1) & (count - 1);
  return at;
}

static bool grow(struct redaction *redaction) {
  size_t count = redaction->slot_count ? 2 * redaction->slot_count : SLOTS_AT_FIRST;
  struct kept *slots = calloc(count, sizeof *slots);
  if (!slots) return false;
  for (size_t i = 0; i < redaction->slot_count; i++) {
    const struct kept *old = &redaction->slots[i];
    if (old->bytes) slots[slot_of(slots, count, old->bytes, old->size)] = *old;
  }
  free(redaction->slots);
  redaction->slots = slots;
  redaction->slot_count = count;
  return true;
}

static const char *look_up(struct redaction *redaction, const char *bytes, size_t size) {
  if (2 * (redaction->used + 1) > redaction->slot_count && !grow(redaction)) return NULL;
  struct kept *kept =
      &redaction->slots[slot_of(redaction->slots, redaction->slot_count, bytes, size)];
  if (kept->bytes) return kept->substitute;
  const char *substitute = make_substitute(redaction, bytes, size);
  if (!substitute) return NULL;
  *kept = (struct kept){bytes, size, substitute};
  redaction->used++;
  return substitute;
}

const char *redaction_substitute(struct redaction *redaction, const char *bytes, size_t size) {
  if (size < SHORTEST) return bytes;
  pthread_mutex_lock(&redaction->lock);
  const char *substitute = look_up(redaction, bytes, size);
  pthread_mutex_unlock(&redaction->lock);
  return substitute;
}

struct inspect_error *redaction_open(const char *key, struct redaction **result) {
  static const uint64_t DERIVING[2][2] = {{1, 2}, {3, 4}};
  struct redaction *redaction = calloc(1, sizeof *redaction);
  *result = redaction;
  if (!redaction) return error_no_memory();
  pthread_mutex_init(&redaction->lock, NULL);
  arena_init(&redaction->arena);
  for (size_t i = 0; key && i < 2; i++)
    redaction->key[i] = sip_hash(DERIVING[i], key, strlen(key));
  if (key || getrandom(redaction->key, sizeof redaction->key, 0) == sizeof redaction->key)
    return NULL;
  redaction_close(redaction);
  *result = NULL;
  return error_create(INSPECT_ERROR_SYSTEM, "give a key of your own: --redact-key KEY",
                      "the system yields no random numbers");
}

void redaction_take_key(struct redaction *redaction, const struct redaction *other) {
  memcpy(redaction->key, other->key, sizeof redaction->key);
}

void redaction_close(struct redaction *redaction) {
  if (!redaction) return;
  pthread_mutex_destroy(&redaction->lock);
  arena_free(&redaction->arena);
  free(redaction->slots);
  free(redaction);
}
