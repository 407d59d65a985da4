/* heap.h - the heap of a target: its VMs, the object graph of all of them, and the way back from
 * object ids to addresses.
 *
 *   heap_open      lays the address map over the target's writable memory
 *   heap_detect    finds the VMs
 *   heap_build     discovers all objects and references (one touch of each object)
 *
 * The objects of one VM have consecutive ids: vms[i].first .. first + count - 1. */
#ifndef GRAPH_HEAP_H
#define GRAPH_HEAP_H

#include "base/address_map.h"
#include "base/work.h"
#include "graph/graph.h"
#include "layout/detect.h"
#include "lua/lua54.h"
#include "source/source.h"

/* How well the residual is understood. */
enum residual_state {
  RESIDUAL_NONE,        /* it is 0                                                       */
  RESIDUAL_EXPLAINED,   /* what the bytes are was found in the dump                      */
  RESIDUAL_LIKELY,      /* they fit what the VM was doing                                */
  RESIDUAL_UNEXPLAINED, /* the layout may not fit                                        */
};

struct heap_vm {
  struct vm vm;
  const struct layout *alternate; /* see detect.h; NULL once decided                     */
  const char *evidence;
  object_id first;
  uint32_t count;
  uint64_t object_bytes;    /* sum of the shallow sizes                                 */
  uint64_t accounted_bytes; /* objects, state block and string table                    */
  int64_t residual;         /* what the VM says it has minus what was found; 0 is exact */
  enum residual_state residual_state;
  const char *residual_text; /* what the residual is: NULL if it is 0                    */
  uint64_t missing_bytes;    /* of the residual, in memory that the dump lacks            */
  uint32_t coroutines;
  object_id main_thread, running_thread, registry, globals, loaded; /* NO_OBJECT: none   */
};

/* Where heap_detect looked: what an error says was tried. */
struct heap_search {
  size_t canned;        /* canned layouts of the target's word size and byte order       */
  size_t files;         /* files that define lua_newstate and have debug info            */
  size_t described;     /* of these, with a usable layout: tried if nothing else fits    */
  const char *obstacle; /* why one of them has none, or NULL                             */
  bool is_brief;        /* only where the native threads and modules lead to             */
};

struct heap {
  struct source *source;
  struct address_map map;
  struct arena layouts; /* owns the layouts made for this target                         */
  struct heap_search search;
  struct redaction *redaction; /* of all VMs; NULL: strings are shown */
  struct heap_vm *vms;
  size_t vm_count;
  struct graph graph;
  uint32_t *granule;  /* of each object                                   */
  object_id *by_rank; /* objects by address                               */
  struct label_cache *labels;
  struct c_names *c_names;
  struct class_names *class_names; /* class_names.h; made when first asked for */
};

MUST_CHECK struct inspect_error *heap_open(struct heap *heap, struct source *source);
/* `given` is a layout from the user, or NULL; it must live as long as the heap. With `is_brief` VMs
 * that the native threads or data of modules lead to are enough; heap->search.is_brief then says
 * whether others were not looked for. VMs that were found before are forgotten. When interrupted it
 * leaves those that are found so far. */
MUST_CHECK struct inspect_error *heap_detect(struct heap *heap, const struct layout *given,
                                             bool is_brief, const struct work *work);
MUST_CHECK struct inspect_error *heap_build(struct heap *heap, const struct work *work);
void heap_close(struct heap *heap);

static inline uint64_t heap_address(const struct heap *heap, object_id object) {
  return address_map_address(&heap->map, heap->granule[object]);
}

/* The object that starts at an address, NO_OBJECT if there is none. After heap_build. */
object_id heap_object_at(const struct heap *heap, uint64_t address);

/* Rank of the object by address among all objects: the number a user sees. */
uint32_t heap_rank(const struct heap *heap, object_id object);

/* Addresses of code that belongs to the VM's Lua or to its host: the allocator, then the C
 * functions in _G. Returns how many, `most` at most. */
size_t heap_vm_code(struct heap_vm *owner, uint64_t *addresses, size_t most);

/* The VM an object belongs to. */
struct heap_vm *heap_vm_of(const struct heap *heap, object_id object);

/* "string.format" or a symbol for the code of a C function, NULL if neither is known. Escaped,
 * lives as long as the heap. */
const char *heap_c_function_name(struct heap *heap, uint64_t code);

/* Sets graph.labels to labels read from the target. (labels.c) */
MUST_CHECK struct inspect_error *heap_labels_open(struct heap *heap);
void heap_labels_close(struct heap *heap);
void heap_c_names_close(struct heap *heap);

#endif
