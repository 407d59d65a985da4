/* traits.c - the traits of a layout as data. */
#include "layout/traits.h"

static const char *const YES_NO[] = {"no", "yes", NULL};
static const char *const BYTE_ORDERS[] = {"little", "big", NULL};
static const char *const ARRAY_FORMS[] = {"alimit-marked", "alimit-flags", "split", NULL};
static const char *const STRING_FORMS[] = {"inline", "external", NULL};
static const char *const STOP_FORMS[] = {"unknown", "running", "bits", NULL};
static const char *const INTEGER_HASHES[] = {"unknown", "power", "modulo", NULL};

#define MEMBER(member) offsetof(struct layout, member), sizeof(((struct layout *)0)->member)

const struct layout_trait layout_traits[] = {
    {"pointer_size", MEMBER(pointer_size), NULL, 8},
    {"byte_order", MEMBER(big_endian), BYTE_ORDERS, 0},
    {"array_form", MEMBER(array_form), ARRAY_FORMS, 0},
    {"string_form", MEMBER(string_form), STRING_FORMS, 0},
    {"stop_form", MEMBER(stop_form), STOP_FORMS, 0},
    {"integer_hash", MEMBER(integer_hash), INTEGER_HASHES, 0},
    {"long_hash_skips", MEMBER(long_hash_skips), YES_NO, 0},
    {"main_thread_embedded", MEMBER(main_thread_embedded), YES_NO, 0},
    {"debt_is_subtracted", MEMBER(debt_is_subtracted), YES_NO, 0},
    {"stack_in_slots", MEMBER(stack_in_slots), YES_NO, 0},
    {"main_thread_index", MEMBER(main_thread_index), NULL, UINT8_MAX},
    {"globals_index", MEMBER(globals_index), NULL, UINT8_MAX},
    {"c_call_bit", MEMBER(c_call_bit), NULL, UINT16_MAX},
    {"userdata_header", MEMBER(userdata_header), NULL, UINT8_MAX},
    {"userdata_bare", MEMBER(userdata_bare), NULL, UINT8_MAX},
    {"block_extra", MEMBER(block_extra), NULL, UINT16_MAX},
    {"main_thread_offset", MEMBER(main_thread_offset), NULL, UINT16_MAX},
    {.name = NULL},
};

uint64_t layout_trait_get(const struct layout *layout, const struct layout_trait *trait) {
  const uint8_t *member = (const uint8_t *)layout + trait->offset;
  uint8_t byte;
  uint16_t half;
  uint32_t word;
  switch (trait->width) {
  case 1:
    memcpy(&byte, member, 1);
    return byte;
  case 2:
    memcpy(&half, member, 2);
    return half;
  case 4:
    memcpy(&word, member, 4);
    return word;
  default:
    return 0;
  }
}

void layout_trait_set(struct layout *layout, const struct layout_trait *trait, uint64_t value) {
  uint8_t *member = (uint8_t *)layout + trait->offset;
  uint8_t byte = (uint8_t)value;
  uint16_t half = (uint16_t)value;
  uint32_t word = (uint32_t)value;
  memcpy(member,
         trait->width == 1   ? (const void *)&byte
         : trait->width == 2 ? (const void *)&half
                             : (const void *)&word,
         trait->width);
}

bool layout_traits_equal(const struct layout *a, const struct layout *b) {
  for (const struct layout_trait *trait = layout_traits; trait->name; trait++)
    if (layout_trait_get(a, trait) != layout_trait_get(b, trait)) return false;
  return true;
}
