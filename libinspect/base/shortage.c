/* shortage.c - one flag for each thread; parallel.c hands it from workers to whom they work for. */
#include "base/shortage.h"

static _Thread_local bool is_short;

void shortage_note(void) { is_short = true; }

void shortage_forget(void) { is_short = false; }

bool shortage_seen(void) { return is_short; }
