/* many_vms.c - a host with several Lua states: three of the main thread, one of another, and one
 * that is closed. Prints READY, then waits for a line. With a number: two states of so many tracked
 * tables each, and nothing else; with "threads": two threads that run a state each. */
#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char tracker[] =
    "T = setmetatable({}, {__mode = 'k'})\n"
    "function track(object, description) T[object] = {desc = description, time = os.time()} end\n";

static char light_key;

int many_vms_closure(lua_State *L);

int many_vms_closure(lua_State *L) {
  lua_pushvalue(L, lua_upvalueindex(1));
  return 1;
}

static int plain_function(lua_State *L) {
  (void)L;
  return 0;
}

static int wait_forever(lua_State *L) {
  (void)L;
  while (pause())
    ;
  return 0;
}

/* Leaves a new tracked table on the stack. */
static void push_tracked(lua_State *L, const char *description) {
  lua_newtable(L);
  lua_getglobal(L, "track");
  lua_pushvalue(L, -2);
  lua_pushstring(L, description);
  lua_call(L, 2, 0);
}

static lua_State *create(void) {
  lua_State *L = luaL_newstate();
  if (!L) exit(1);
  luaL_openlibs(L);
  if (luaL_dostring(L, tracker)) exit(1);
  return L;
}

static void hold_in_userdata(lua_State *L) {
  lua_newuserdatauv(L, 100, 3);
  luaL_newmetatable(L, "many.Type");
  lua_setmetatable(L, -2);
  push_tracked(L, "user value");
  lua_setiuservalue(L, -2, 2);
  lua_setglobal(L, "userdata");
}

static void hold_in_closures(lua_State *L) {
  lua_pushnil(L); /* upvalue 1 is no object */
  push_tracked(L, "second upvalue");
  lua_pushcclosure(L, many_vms_closure, 2);
  luaL_ref(L, LUA_REGISTRYINDEX);
}

static void hold_under_light_keys(lua_State *L) {
  push_tracked(L, "under light userdata");
  lua_rawsetp(L, LUA_REGISTRYINDEX, &light_key);
  lua_newtable(L);
  lua_pushcfunction(L, plain_function);
  push_tracked(L, "under a C function");
  lua_rawset(L, -3);
  lua_setglobal(L, "by_function");
}

static lua_State *fill(void) {
  lua_State *L = create();
  for (int i = 0; i < 10; i++) {
    push_tracked(L, "reference");
    luaL_ref(L, LUA_REGISTRYINDEX);
  }
  hold_in_userdata(L);
  hold_in_closures(L);
  hold_under_light_keys(L);
  lua_pushinteger(L, 1); /* the metatable of numbers */
  lua_newtable(L);
  push_tracked(L, "metatable of numbers");
  lua_setfield(L, -2, "held");
  lua_setmetatable(L, -2);
  lua_pop(L, 1);
  lua_State *thread = lua_newthread(L);
  lua_setglobal(L, "thread");
  push_tracked(thread, "stack of a coroutine");
  lua_gc(L, LUA_GCCOLLECT);
  return L;
}

static void *run_thread(void *ready) {
  lua_State *L = fill();
  lua_pushcfunction(L, wait_forever);
  pthread_barrier_wait(ready);
  lua_call(L, 0, 0);
  return NULL;
}

static void fill_large(const char *count) {
  for (int i = 0; i < 2; i++) {
    lua_State *L = create();
    lua_pushinteger(L, atoi(count));
    lua_setglobal(L, "count");
    if (luaL_dostring(L, "keep = {} for i = 1, count do keep[i] = {} track(keep[i], 'x') end"))
      exit(1);
  }
}

int main(int argc, char **argv) {
  pthread_t thread;
  pthread_barrier_t ready;
  if (argc > 1 && strcmp(argv[1], "threads") == 0) {
    pthread_barrier_init(&ready, NULL, 3);
    for (int i = 0; i < 2; i++)
      if (pthread_create(&thread, NULL, run_thread, &ready)) return 1;
    pthread_barrier_wait(&ready);
    usleep(100000);
  } else if (argc > 1) {
    fill_large(argv[1]);
  } else {
    for (int i = 0; i < 3; i++)
      fill();
    lua_close(fill());
    pthread_barrier_init(&ready, NULL, 2);
    if (pthread_create(&thread, NULL, run_thread, &ready)) return 1;
    pthread_barrier_wait(&ready);
  }
  puts("READY");
  fflush(stdout);
  return getchar() == EOF;
}
