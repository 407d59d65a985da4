/* prototype.h - what a prototype says about its source: names and lines.
 *
 * Where a prototype is given by its bytes, these were viewed for the size of the structure. */
#ifndef LUA_PROTOTYPE_H
#define LUA_PROTOTYPE_H

#include "base/arena.h"
#include "lua/lua54.h"

/* The instruction (from 0) that a saved program counter speaks of: it leads behind the one that
 * runs. Always one of the prototype, or 0. */
uint64_t prototype_pc(const struct layout *layout, const uint8_t *prototype, uint64_t saved_pc);

/* The line of an instruction, 0 if it is not known: stripped, or not in the dump. */
uint32_t prototype_line(struct vm *vm, const uint8_t *prototype, uint64_t pc);

/* Name of the `number`th (from 1) local variable that is active at `pc`, or NULL. Raw bytes. */
const char *prototype_local_name(struct vm *vm, const uint8_t *prototype, uint64_t number,
                                 uint64_t pc, size_t *size);

/* Name of upvalue `index` (from 0) of a prototype, or NULL. Raw bytes. */
const char *prototype_upvalue_name(struct vm *vm, uint64_t prototype, uint64_t index, size_t *size);

/* "room.lua:52": base name of the source and a line, escaped; NULL if it was stripped or cannot be
 * read. A source that is no file gives its first words in brackets. */
const char *prototype_place(struct vm *vm, const uint8_t *prototype, uint64_t line,
                            struct arena *arena);

/* The same with the line of definition: what identifies the function across runs. */
const char *prototype_name(struct vm *vm, uint64_t prototype, struct arena *arena);

#endif
