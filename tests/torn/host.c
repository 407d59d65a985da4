/* host.c - runs a Lua script under an allocator of its own.
 *
 *   host pools|refusing SCRIPT [ARGS]
 *
 * pools      blocks of a power of two, out of one array, without any bookkeeping beside them:
 * nothing in memory says how long a block is refusing   malloc, but after the script has called
 * refuse(n), the nth request for memory fails once: Lua then collects everything in an emergency,
 * and asks again */
#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ARRAY = 8 << 20, SMALLEST = 16, CLASSES = 24 };

struct pools {
  _Alignas(16) unsigned char array[ARRAY];
  size_t used;
  void *free[CLASSES]; /* lists of blocks of SMALLEST << i bytes */
};

static struct pools pools;
static long refuse_after; /* requests; 0: never */

static unsigned class_of(size_t size) {
  unsigned result = 0;
  while ((size_t)SMALLEST << result < size)
    result++;
  return result;
}

static void *pools_take(size_t size) {
  unsigned class = class_of(size);
  void *block = pools.free[class];
  if (block) {
    memcpy(&pools.free[class], block, sizeof block);
    return block;
  }
  size_t length = (size_t)SMALLEST << class;
  if (class >= CLASSES || length > ARRAY - pools.used) return NULL;
  block = pools.array + pools.used;
  pools.used += length;
  return block;
}

static void pools_give(void *block, size_t size) {
  unsigned class = class_of(size);
  memcpy(block, &pools.free[class], sizeof block);
  pools.free[class] = block;
}

static void *allocate_from_pools(void *context, void *block, size_t old, size_t size) {
  (void)context;
  void *result = NULL;
  if (!block) return size ? pools_take(size) : NULL;
  if (size && class_of(size) == class_of(old)) return block;
  if (size) {
    result = pools_take(size);
    if (!result) return NULL;
    memcpy(result, block, old < size ? old : size);
  }
  pools_give(block, old);
  return result;
}

static void *allocate_or_refuse(void *context, void *block, size_t old, size_t size) {
  (void)context;
  if (!size) {
    free(block);
    return NULL;
  }
  bool grows = !block || size > old;
  if (grows && refuse_after && --refuse_after == 0) return NULL;
  return realloc(block, size);
}

static int refuse(lua_State *L) {
  refuse_after = (long)luaL_checkinteger(L, 1);
  return 0;
}

int main(int argc, char **argv) {
  if (argc < 3) return 2;
  bool refuses = strcmp(argv[1], "refusing") == 0;
  lua_State *L = lua_newstate(refuses ? allocate_or_refuse : allocate_from_pools, NULL);
  if (!L) return 2;
  luaL_openlibs(L);
  lua_register(L, "refuse", refuse);
  lua_createtable(L, argc, 0);
  for (int i = 2; i < argc; i++) {
    lua_pushstring(L, argv[i]);
    lua_rawseti(L, -2, i - 2);
  }
  lua_setglobal(L, "arg");
  if (luaL_dofile(L, argv[2])) {
    fprintf(stderr, "%s\n", lua_tostring(L, -1));
    return 1;
  }
  lua_close(L);
  return 0;
}
