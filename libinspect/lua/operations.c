/* operations.c - opcodes as data: one table per family of releases, and which family a release is
 * of.
 *
 * The numbers of 0 .. 80 have not changed since 5.4.0; 5.5 put two new ones behind them. */
#include "lua/operations.h"
#include "lua/bytecode.h"

/* clang-format off */
#define PLAIN           {SETS_NOTHING, FROM_NOWHERE, CALLS_NOTHING}
#define SET             {SETS_A, FROM_NOWHERE, CALLS_NOTHING}
#define LOAD(from)      {SETS_A, FROM_##from, CALLS_NOTHING}
#define GET(from)       {SETS_A, FROM_##from, CALLS_EVENT + EVENT_INDEX}
#define PUT             {SETS_NOTHING, FROM_NOWHERE, CALLS_EVENT + EVENT_NEWINDEX}
#define UNARY(event)    {SETS_A, FROM_NOWHERE, CALLS_EVENT + EVENT_##event}
#define DOES(event)     {SETS_NOTHING, FROM_NOWHERE, CALLS_EVENT + EVENT_##event}
#define SWAPPED(event)  {SETS_NOTHING, FROM_NOWHERE, CALLS_SWAPPED + EVENT_##event}
#define EVENT_IN_C      {SETS_NOTHING, FROM_NOWHERE, CALLS_EVENT_C}
#define ANY(effect)     {effect, FROM_NOWHERE, CALLS_NOTHING}
#define CALL            {SETS_FROM, FROM_NOWHERE, CALLS_REGISTER}

/* Opcodes 0 .. 80: numbers are those of all releases; SELF alone is read in two ways. */
#define OPERATIONS(SELF)                                                                           \
  /*  0 MOVE LOADI LOADF LOADK LOADKX */        LOAD(REGISTER), SET, SET, LOAD(CONSTANT),          \
                                                LOAD(EXTRA),                                       \
  /*  5 LOADFALSE LFALSESKIP LOADTRUE LOADNIL */ SET, SET, SET, ANY(SETS_RANGE),                   \
  /*  9 GETUPVAL SETUPVAL */                    LOAD(UPVALUE), PLAIN,                              \
  /* 11 GETTABUP GETTABLE GETI GETFIELD */      GET(UPVALUE_FIELD), GET(KEY), GET(INDEX),          \
                                                GET(FIELD),                                        \
  /* 15 SETTABUP SETTABLE SETI SETFIELD */      PUT, PUT, PUT, PUT,                                \
  /* 19 NEWTABLE SELF ADDI */                   SET, GET(SELF), SET,                               \
  /* 22 ADDK SUBK MULK MODK POWK DIVK IDIVK */  SET, SET, SET, SET, SET, SET, SET,                 \
  /* 29 BANDK BORK BXORK SHRI SHLI */           SET, SET, SET, SET, SET,                           \
  /* 34 ADD SUB MUL MOD POW DIV IDIV */         SET, SET, SET, SET, SET, SET, SET,                 \
  /* 41 BAND BOR BXOR SHL SHR */                SET, SET, SET, SET, SET,                           \
  /* 46 MMBIN MMBINI MMBINK */                  EVENT_IN_C, EVENT_IN_C, EVENT_IN_C,                \
  /* 49 UNM BNOT NOT LEN CONCAT */              UNARY(UNM), UNARY(BNOT), SET, UNARY(LEN),          \
                                                UNARY(CONCAT),                                     \
  /* 54 CLOSE TBC JMP */                        DOES(CLOSE), PLAIN, ANY(SETS_BY_CHANCE),           \
  /* 57 EQ LT LE EQK EQI */                     DOES(EQ), DOES(LT), DOES(LE), PLAIN, PLAIN,        \
  /* 62 LTI LEI GTI GEI */                      DOES(LT), DOES(LE), SWAPPED(LT), SWAPPED(LE),      \
  /* 66 TEST TESTSET */                         PLAIN, SET,                                        \
  /* 68 CALL TAILCALL */                        CALL, CALL,                                        \
  /* 70 RETURN RETURN0 RETURN1 */               DOES(CLOSE), PLAIN, PLAIN,                         \
  /* 73 FORLOOP FORPREP TFORPREP */             SET, SET, PLAIN,                                   \
  /* 76 TFORCALL TFORLOOP */                    {SETS_LOOP, FROM_NOWHERE, CALLS_ITERATOR},         \
                                                SET,                                               \
  /* 78 SETLIST CLOSURE VARARG */               PLAIN, SET, SET

static const struct operation OPERATIONS_54[] = {
  OPERATIONS(METHOD),
  /* 81 VARARGPREP EXTRAARG */                  SET, PLAIN
};
static const struct operation OPERATIONS_550[] = {
  OPERATIONS(METHOD_FIELD),
  /* 81 GETVARG ERRNNIL VARARGPREP EXTRAARG */  SET, PLAIN, SET, PLAIN
};
static const struct operation OPERATIONS_551[] = {
  OPERATIONS(METHOD_FIELD),
  /* 81 GETVARG ERRNNIL VARARGPREP EXTRAARG */  LOAD(KEY), PLAIN, PLAIN, PLAIN
};
/* clang-format on */

#define TABLE(rows) .operations = (rows), .operation_count = sizeof(rows) / sizeof *(rows)
/* lstate.h: CIST_TAIL, CIST_HOOKED, CIST_FIN */
#define BITS(tail, hook, finalizer, fresh)                                                         \
  .tail_bit = UINT32_C(1) << (tail), .hook_bit = UINT32_C(1) << (hook),                            \
  .finalizer_bit = UINT32_C(1) << (finalizer), .fresh_bit = (fresh)

#define BITS_540 BITS(4, 2, 6, 0)
#define BITS_54  BITS(5, 3, 7, UINT32_C(1) << 2)
#define BITS_55  BITS(22, 20, 24, UINT32_C(1) << 16)

static const struct bytecode_family FAMILIES[] = {
    {50400, TABLE(OPERATIONS_54), BITS_540, .marks_finalizer = true, .order_names = true},
    {50402, TABLE(OPERATIONS_54), BITS_54, .marks_finalizer = true, .order_names = true},
    {50403, TABLE(OPERATIONS_54), BITS_54, .marks_finalizer = true},
    {50404, TABLE(OPERATIONS_54), BITS_54},
    {50407, TABLE(OPERATIONS_54), BITS_54, .environment = ENVIRONMENT_BY_SOURCE},
    {50408, TABLE(OPERATIONS_54), BITS_54, .environment = ENVIRONMENT_BY_VARIABLE},
    {50500, TABLE(OPERATIONS_550), BITS_55, .environment = ENVIRONMENT_BY_VARIABLE,
     .code_first = true},
    {50501, TABLE(OPERATIONS_551), BITS_55, .environment = ENVIRONMENT_BY_VARIABLE,
     .code_first = true},
};

/* ---- Families -------------------------------------------------------------------------------- */

/* The newest release that a layout is known from. */
static unsigned newest_release(const struct layout *layout) {
  enum { HEADER_550 = 40 }; /* bytes before the user values */
  if (layout->main_thread_embedded) {
    bool is_550 = layout->pointer_size == 8 && !layout->big_endian && /* s390x: 40 in 5.5.1, too */
                  layout->userdata_header == HEADER_550;
    return is_550 ? 50500 : 50599;
  }
  if (layout->stack_in_slots) return 50401;
  return layout_has(layout, lua_State_tbclist) ? 50499 : 50402;
}

/* "5.4.4" as 50404; 0 if it is none. */
static unsigned release_number(const char *release) {
  unsigned parts[3] = {0}, count = 0;
  for (; release && count < 3; release++) {
    if (*release == '.' || !*release) {
      count++;
      if (!*release) break;
    } else if (*release >= '0' && *release <= '9' && parts[count] < 100) {
      parts[count] = parts[count] * 10 + (unsigned)(*release - '0');
    } else {
      return 0;
    }
  }
  return count == 3 ? (parts[0] * 100 + parts[1]) * 100 + parts[2] : 0;
}

const struct bytecode_family *bytecode_family(const struct layout *layout, const char *release) {
  unsigned number = release_number(release), newest = newest_release(layout);
  if (number / 100 != newest / 100) number = newest; /* the file at hand is of another Lua */
  const struct bytecode_family *family = FAMILIES;
  for (size_t i = 0; i < sizeof FAMILIES / sizeof *FAMILIES; i++)
    if (FAMILIES[i].release <= number) family = &FAMILIES[i];
  return family;
}
