/* operations.h - what each opcode does, as far as names of functions depend on it.
 *
 * Sources: lopcodes.h, lopcodes.c and ldebug.c of each release; numbers are checked against real
 * builds by tests/e2e/test_bt.py. */
#ifndef LUA_OPERATIONS_H
#define LUA_OPERATIONS_H

#include <stdbool.h>
#include <stdint.h>

/* The registers an operation sets. */
enum effect {
  SETS_NOTHING,
  SETS_A,
  SETS_RANGE,     /* A .. A + B                                       */
  SETS_FROM,      /* A and all above                                  */
  SETS_LOOP,      /* A + 2 and all above                              */
  SETS_BY_CHANCE, /* a jump: what it skips may not have been executed */
};

/* Where the value it sets comes from. */
enum origin {
  FROM_NOWHERE,
  FROM_REGISTER,      /* B                                             */
  FROM_UPVALUE,       /* B                                             */
  FROM_CONSTANT,      /* Bx                                            */
  FROM_EXTRA,         /* the constant Ax of the next instruction       */
  FROM_UPVALUE_FIELD, /* B, key constant C                             */
  FROM_KEY,           /* register B, key register C                    */
  FROM_INDEX,         /* an integer as key                             */
  FROM_FIELD,         /* register B, key constant C                    */
  FROM_METHOD,        /* key constant or register C, by k              */
  FROM_METHOD_FIELD,  /* key constant C                                */
};

/* ltm.h: TMS */
enum event {
  EVENT_INDEX,
  EVENT_NEWINDEX,
  EVENT_LEN = 4,
  EVENT_EQ,
  EVENT_UNM = 18,
  EVENT_BNOT,
  EVENT_LT,
  EVENT_LE,
  EVENT_CONCAT,
  EVENT_CALL,
  EVENT_CLOSE,
  EVENT_COUNT
};

/* What it calls. */
enum call {
  CALLS_NOTHING,
  CALLS_REGISTER,                            /* A                                                */
  CALLS_ITERATOR,                            /* of a for loop                                    */
  CALLS_EVENT_C,                             /* the metamethod for event number C                */
  CALLS_EVENT,                               /* plus an event: its metamethod                    */
  CALLS_SWAPPED = CALLS_EVENT + EVENT_COUNT, /* the same with operands swapped */
};

struct operation {
  uint8_t effect, origin, call;
};

#endif
