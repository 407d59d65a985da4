/* native.h - what the native threads of the target hold in their hands: registers and the innermost
 * part of their stacks.
 *
 * A C function of Lua that was interrupted keeps what it is working on in its local variables: the
 * old hash part of a table, the new place of a stack, the program counter of the interpreter. These
 * are words here, the likeliest first: of each thread the registers, then the stack from its inner
 * end outwards. They are evidence, never roots: stale words are everywhere among them. */
#ifndef LUA_NATIVE_H
#define LUA_NATIVE_H

#include "lua/vm.h"

struct native_words VECTOR(uint64_t);

/* Appends the words from first to last - 1, aligned or not. False: out of memory. */
bool native_words(const struct source *source, uint64_t first, uint64_t last,
                  struct native_words *result);

/* The same with registers only. */
bool native_registers(const struct source *source, uint64_t first, uint64_t last,
                      struct native_words *result);

/* Words of the data of modules, from first to last - 1: a program often keeps its lua_State in a
 * variable. Of each module a bounded part. */
bool native_data_words(const struct source *source, uint64_t first, uint64_t last,
                       struct native_words *result);

/* The native thread whose stack holds the address, NULL if it is that of none: stacks grow down, so
 * of the threads whose stack pointer lies below it in the same piece of memory, the nearest. */
const struct source_thread *native_thread_at(const struct source *source, uint64_t address);

/* The only native thread that has the word in its hands; NULL if none has, or several. */
const struct source_thread *native_thread_with(const struct source *source, uint64_t word);

/* Whether a thread may be at work: it was not stopped inside a system call, or in one that
 * allocates. Known on x86-64 only. */
bool native_works(const struct source *source);

#endif
