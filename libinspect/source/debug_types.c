/* debug_types.c - types in DWARF: what they are, how large, and what lies where in them.
 *
 * Bounds: LARGEST for sizes, MOST_DEPTH for chains of typedefs, dimensions and nesting. */
#include "source/debug_types.h"

#include <dwarf.h>
#include <string.h>

#include "base/vector.h"
#include "source/image.h"

enum { MOST_DEPTH = 32, MOST_ALIGNMENT = 16 };

#define LARGEST (UINT64_C(1) << 32) /* no structure of interest is larger */

/* ---- Types ----------------------------------------------------------------------------------- */

bool entry_next(Dwarf_Die *die) {
  const void *before = die->addr;
  return dwarf_siblingof(die, die) == 0 && die->addr > before;
}

bool type_is_structure(int tag) {
  return tag == DW_TAG_structure_type || tag == DW_TAG_union_type || tag == DW_TAG_class_type;
}

bool type_follow(Dwarf_Die *die, unsigned name, Dwarf_Die *result) {
  Dwarf_Attribute attribute;
  return dwarf_attr_integrate(die, name, &attribute) && dwarf_formref_die(&attribute, result);
}

/* The type behind typedefs and qualifiers; false if it makes no sense. */
static bool strip(Dwarf_Die *type) {
  for (int depth = 0; depth < MOST_DEPTH; depth++) {
    Dwarf_Die next;
    switch (dwarf_tag(type)) {
    case DW_TAG_typedef:
    case DW_TAG_const_type:
    case DW_TAG_volatile_type:
    case DW_TAG_restrict_type:
    case DW_TAG_atomic_type:
      if (!type_follow(type, DW_AT_type, &next)) return false;
      *type = next;
      break;
    default:
      return true;
    }
  }
  return false;
}

bool type_of_member(Dwarf_Die *die, Dwarf_Die *type) {
  return type_follow(die, DW_AT_type, type) && strip(type);
}

bool type_complete(Dwarf_Die *structure) {
  Dwarf_Die definition;
  if (!dwarf_hasattr(structure, DW_AT_declaration))
    return dwarf_hasattr(structure, DW_AT_byte_size);
  if (!type_follow(structure, DW_AT_signature, &definition)) return false;
  *structure = definition;
  return dwarf_hasattr(structure, DW_AT_byte_size);
}

static bool number_of(Dwarf_Die *die, unsigned name, uint64_t *number) {
  Dwarf_Attribute attribute;
  Dwarf_Word word;
  if (!dwarf_attr_integrate(die, name, &attribute) || dwarf_formudata(&attribute, &word) != 0)
    return false;
  *number = word;
  return true;
}

/* The number of elements of one dimension, 0 if it is not told. */
static uint64_t dimension(Dwarf_Die *range) {
  uint64_t number;
  if (number_of(range, DW_AT_count, &number)) return number;
  if (number_of(range, DW_AT_upper_bound, &number) && number < LARGEST) return number + 1;
  return 0;
}

/* Takes the type of an array's elements, and how many there are. */
static bool open_array(Dwarf_Die *type, uint64_t *count) {
  Dwarf_Die range, element;
  uint64_t ranges = 0;
  *count = 1;
  if (dwarf_child(type, &range) != 0) return false;
  do {
    if (dwarf_tag(&range) != DW_TAG_subrange_type) continue;
    uint64_t number = dimension(&range);
    if (number > LARGEST || ++ranges > MOST_DEPTH) return false;
    *count *= number;
    if (*count > LARGEST) return false;
  } while (entry_next(&range));
  if (!type_of_member(type, &element)) return false;
  *type = element;
  return true;
}

uint64_t type_size(const struct debug_abi *abi, const Dwarf_Die *type) {
  Dwarf_Die die = *type;
  uint64_t count = 1, size;
  for (int depth = 0; dwarf_tag(&die) == DW_TAG_array_type; depth++) {
    uint64_t part;
    if (depth == MOST_DEPTH || !open_array(&die, &part)) return 0;
    count *= part;
    if (count > LARGEST) return 0;
  }
  if (type_is_structure(dwarf_tag(&die)) && !type_complete(&die)) return 0;
  if (!number_of(&die, DW_AT_byte_size, &size)) {
    bool is_pointer = dwarf_tag(&die) == DW_TAG_pointer_type;
    size = is_pointer ? (abi->is_64 ? 8 : 4) : 0;
  }
  return size <= LARGEST ? count * size : 0;
}

/* ---- Members --------------------------------------------------------------------------------- */

bool member_is_bit_field(Dwarf_Die *member) {
  return dwarf_hasattr(member, DW_AT_bit_size) || dwarf_hasattr(member, DW_AT_data_bit_offset);
}

/* The offset of a member: a constant, or since DWARF 2 an expression that adds one. */
static bool offset_of(Dwarf_Die *member, uint64_t *offset) {
  Dwarf_Attribute attribute;
  Dwarf_Word word;
  Dwarf_Op *operations;
  size_t count;
  *offset = 0;
  if (!dwarf_attr_integrate(member, DW_AT_data_member_location, &attribute)) return true;
  if (dwarf_formudata(&attribute, &word) == 0) {
    *offset = word;
  } else {
    if (dwarf_getlocation(&attribute, &operations, &count) != 0 || count != 1 ||
        operations->atom != DW_OP_plus_uconst)
      return false;
    *offset = operations->number;
  }
  return *offset < LARGEST;
}

/* What is left to be looked through: a structure, and where it lies in the outermost one. */
struct inner {
  Dwarf_Die structure;
  uint64_t offset;
};

struct inners VECTOR(struct inner);

/* Looks for a member among those of the structure at the end of `stack`, which is taken off; its
 * anonymous members are put on. */
static bool search_members(struct inners *stack, const char *name, size_t size, Dwarf_Die *member,
                           uint64_t *offset) {
  struct inner inner = stack->items[--stack->count];
  Dwarf_Die die;
  if (dwarf_child(&inner.structure, &die) != 0) return false;
  do {
    uint64_t own;
    if (dwarf_tag(&die) != DW_TAG_member || !offset_of(&die, &own)) continue;
    const char *known = dwarf_diename(&die);
    if (known && strlen(known) == size && memcmp(known, name, size) == 0) {
      *member = die;
      *offset = inner.offset + own;
      return true;
    }
    struct inner anonymous = {.offset = inner.offset + own};
    if (known || stack->count >= MOST_DEPTH || !type_of_member(&die, &anonymous.structure))
      continue;
    if (type_is_structure(dwarf_tag(&anonymous.structure)) && !vector_push(stack, anonymous))
      return false;
  } while (entry_next(&die));
  return false;
}

/* Finds a member by name. The number of structures looked through is bounded: an anonymous member
 * could contain its container. */
bool type_find_member(Dwarf_Die *structure, const char *name, size_t size, Dwarf_Die *member,
                      uint64_t *offset) {
  struct inners stack = {0};
  bool found = vector_push(&stack, ((struct inner){*structure, 0}));
  if (found) {
    found = false;
    for (int seen = 0; !found && stack.count && seen < MOST_DEPTH; seen++)
      found = search_members(&stack, name, size, member, offset);
  }
  vector_free(&stack);
  return found;
}

/* The largest alignment among the scalars in a type, as far as its first MOST_DEPTH parts tell. A
 * scalar is aligned to its size, on i386 to 4 at most (System V ABI). */
uint64_t type_alignment(const struct debug_abi *abi, const Dwarf_Die *type) {
  Dwarf_Die stack[MOST_DEPTH] = {*type};
  uint64_t most = abi->machine == EM_386 ? 4 : MOST_ALIGNMENT, alignment = 1;
  size_t count = 1;
  for (int seen = 0; count && seen < MOST_DEPTH; seen++) {
    Dwarf_Die die = stack[--count], member;
    uint64_t elements;
    for (int depth = 0; dwarf_tag(&die) == DW_TAG_array_type && depth < MOST_DEPTH; depth++)
      if (!open_array(&die, &elements)) return alignment;
    if (!type_is_structure(dwarf_tag(&die))) {
      uint64_t size = type_size(abi, &die);
      if (size > most) size = most;
      if (size > alignment && !(size & (size - 1))) alignment = size;
    } else if (type_complete(&die) && dwarf_child(&die, &member) == 0) {
      do {
        if (dwarf_tag(&member) == DW_TAG_member && count < MOST_DEPTH &&
            type_of_member(&member, &stack[count]))
          count++;
      } while (entry_next(&member));
    }
  }
  return alignment;
}
