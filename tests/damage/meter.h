/* meter.h - how much memory the library has allocated: its malloc and the like are wrapped
 * (--wrap), and counted while it runs. */
#ifndef DAMAGE_METER_H
#define DAMAGE_METER_H

#include <stddef.h>

/* Begins to count at 0. */
void meter_reset(void);

/* Bytes that are allocated now and were not at the reset, and the most that ever were. */
size_t meter_now(void);
size_t meter_most(void);

#endif
