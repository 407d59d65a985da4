/* remote.h - what the rest of this folder knows of a remote target. */
#ifndef SOURCE_REMOTE_H
#define SOURCE_REMOTE_H

#include "source/source.h"

/* Frees what was read. */
void source_free_remote(struct source *source);

#endif
