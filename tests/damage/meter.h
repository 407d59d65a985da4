/* meter.h - how much memory the library has allocated: its malloc and the like are wrapped
 * (--wrap), and counted while it runs. */
#ifndef DAMAGE_METER_H
#define DAMAGE_METER_H

#include <stdbool.h>
#include <stddef.h>

/* Begins to count at 0. */
void meter_reset(void);

/* Bytes that are allocated now and were not at the reset, and the most that ever were. */
size_t meter_now(void);
size_t meter_most(void);

/* Lets the number-th allocation from now on fail (1 is the next one), or all from there on; 0:
 * none. A mapping of a file counts as an allocation, as does a thread, if that is wrapped. */
void meter_fail(size_t number, bool and_after);

/* Allocations since meter_fail. */
size_t meter_count(void);

#endif
