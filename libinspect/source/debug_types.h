/* debug_types.h - types in DWARF: what they are, how large, and what lies where in them.
 *
 * An entry is a Dwarf_Die. Nothing in it is believed: chains are followed for a bounded number of
 * steps and counts are checked; what makes no sense has no size. */
#ifndef SOURCE_DEBUG_TYPES_H
#define SOURCE_DEBUG_TYPES_H

#include <elfutils/libdw.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What sizes and alignments depend on. */
struct debug_abi {
  bool is_64;
  unsigned machine; /* ELF e_machine */
};

/* Whether a tag is that of a structure, union or class. */
bool type_is_structure(int tag);

/* Moves on to the entry's next sibling; false after the last. Siblings lie behind each other: one
 * that does not is not followed, or a loop over them might not end. */
bool entry_next(Dwarf_Die *die);

/* The entry that attribute `name` refers to. */
bool type_follow(Dwarf_Die *die, unsigned name, Dwarf_Die *result);

/* The type of a member or typedef, without typedefs and qualifiers. False if it has none. */
bool type_of_member(Dwarf_Die *die, Dwarf_Die *type);

/* A structure that only names its definition is replaced by that. False: it is incomplete. */
bool type_complete(Dwarf_Die *structure);

/* The size of a type without typedefs and qualifiers; 0 if it has none that can be told. */
uint64_t type_size(const struct debug_abi *abi, const Dwarf_Die *type);

/* The largest alignment among the scalars in a type, as far as its first parts tell. A scalar is
 * aligned to its size, on i386 to 4 at most (System V ABI). */
uint64_t type_alignment(const struct debug_abi *abi, const Dwarf_Die *type);

/* Finds a member by name, `size` bytes; members of anonymous structures and unions count. */
bool type_find_member(Dwarf_Die *structure, const char *name, size_t size, Dwarf_Die *member,
                      uint64_t *offset);

bool member_is_bit_field(Dwarf_Die *member);

#endif
