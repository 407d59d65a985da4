/* shortage.h - whether memory has run out, anywhere.
 *
 * Most functions return an error then. Some go on without what they could not allocate: a label, a
 * name, a fault in a list. So that no answer lacks something without saying so, each allocation
 * that fails is noted here, for the thread that asked; whoever begins a piece of work forgets what
 * was noted before, and looks in the end. */
#ifndef BASE_SHORTAGE_H
#define BASE_SHORTAGE_H

#include <stdbool.h>

void shortage_note(void);
void shortage_forget(void);
bool shortage_seen(void);

#endif
