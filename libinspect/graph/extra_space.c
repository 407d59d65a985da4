/* extra_space.c - finding LUA_EXTRASPACE from books that do not balance.
 *
 * lua_State lies LUA_EXTRASPACE bytes into its block (lstate.c: LX), and the block is counted
 * whole. If the build has `d` bytes more than the layout says, each of the n threads, the main
 * thread too, is larger by d than was accounted for, and nothing else is wrong:
 *
 *   residual = n * d,   d a multiple of the pointer size
 *
 * That is necessary, not sufficient: an unfinished operation may leave a residual that n divides.
 * So the memory is asked as well. An allocator like glibc's keeps the size of a block in the word
 * before it: at the start that the layout says, or at the one that d says. What more threads show
 * wins; one is enough. With another allocator neither is there, and the division has to come out
 * even over MANY_THREADS. Lua 5.5 shows the space by where its main thread lies (layout/detect.c),
 * so that a residual there means something else. */
#include "graph/extra_space.h"

enum { MOST_SPACE = 1024, MANY_THREADS = 8, MOST_ASKED = 1000, MALLOC_ALIGNMENT = 16 };

static const char SHOWN_BY_BLOCKS[] = "the residual, divided by the number of threads, and the "
                                      "sizes of their blocks show it";
static const char SHOWN_BY_RESIDUAL[] = "the residual is that many times the number of threads";

/* Whether the word before `start` is the size that malloc gives a block for `bytes` bytes; the last
 * three bits are flags, and what is too small to be split off stays. */
static bool is_block(struct vm *vm, uint64_t start, uint64_t bytes) {
  uint64_t pointer = vm->layout->pointer_size;
  const uint8_t *word = memory_view(&vm->memory, start - pointer, pointer);
  if (!word || start % MALLOC_ALIGNMENT) return false;
  uint64_t size = load_pointer(vm->layout, word) & ~UINT64_C(7);
  uint64_t need = (bytes + pointer + MALLOC_ALIGNMENT - 1) / MALLOC_ALIGNMENT * MALLOC_ALIGNMENT;
  return size == need || size == need + MALLOC_ALIGNMENT;
}

/* How many threads lie in blocks that fit the layout, and that fit another space. */
struct votes {
  uint64_t old, new;
};

static struct votes ask_blocks(struct heap *heap, struct heap_vm *owner,
                               const struct discovery *found, uint64_t extra) {
  struct vm *vm = &owner->vm;
  uint64_t own = vm->layout->block_extra, asked = 0;
  struct votes votes = {0};
  for (size_t i = owner->first; i < owner->first + owner->count && asked < MOST_ASKED; i++) {
    if (found->types.items[i] != OBJECT_THREAD) continue;
    uint64_t address = address_map_address(&heap->map, found->granules.items[i]);
    uint64_t rest =
        address == vm->main_thread ? vm_block_bytes(vm) - own : vm->layout->size[SIZE_lua_State];
    votes.old += is_block(vm, address - own, own + rest);
    votes.new += is_block(vm, address - extra, extra + rest);
    asked++;
  }
  return votes;
}

const struct layout *extra_space_adapt(struct heap *heap, size_t index,
                                       const struct discovery *found) {
  struct heap_vm *owner = &heap->vms[index];
  const struct layout *layout = owner->vm.layout;
  int64_t threads = (int64_t)owner->coroutines + 1, residual = owner->residual;
  if (!residual || residual % threads || layout->main_thread_embedded ||
      layout->provenance == LAYOUT_FILE)
    return NULL;
  int64_t extra = layout->block_extra + residual / threads;
  if (extra < 0 || extra > MOST_SPACE || extra % layout->pointer_size) return NULL;
  struct votes votes = ask_blocks(heap, owner, found, (uint64_t)extra);
  bool is_shown = votes.new > votes.old;
  if (!is_shown && (votes.old || threads < MANY_THREADS)) return NULL;
  struct layout *adapted = arena_alloc(&heap->layouts, sizeof *adapted);
  if (!adapted) return NULL;
  *adapted = *layout;
  adapted->block_extra = (uint16_t)extra;
  adapted->note = is_shown ? SHOWN_BY_BLOCKS : SHOWN_BY_RESIDUAL;
  if (layout->provenance == LAYOUT_CANNED) adapted->provenance = LAYOUT_PROBED;
  return adapted;
}
