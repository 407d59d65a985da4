/* heapmodule.c - what random heaps cannot make from Lua alone: userdata with user values, C
 * functions with upvalues, light userdata as keys, references in the registry, external strings,
 * and C calls that hold values or a growing buffer while something waits below them.
 *
 * One binary serves 5.4.0 to 5.5: it uses no macro whose value differs between them (the registry
 * is passed in, not addressed by index), and does not ask whether the version is the one of its
 * header.
 */
#include <lauxlib.h>
#include <lua.h>
#include <stdlib.h>
#include <string.h>

int luaopen_heapmodule(lua_State *L);

/* Since 5.5. */
__attribute__((weak)) const char *lua_pushexternalstring(lua_State *L, const char *text,
                                                         size_t length, lua_Alloc free_text,
                                                         void *context);

static char places[16]; /* light userdata point here */

/* userdata(SIZE, USER_VALUES, METATABLE or nil) */
static int make_userdata(lua_State *L) {
  size_t size = (size_t)luaL_checkinteger(L, 1);
  memset(lua_newuserdatauv(L, size, (int)luaL_checkinteger(L, 2)), 'u', size);
  if (lua_istable(L, 3)) {
    lua_pushvalue(L, 3);
    lua_setmetatable(L, -2);
  }
  return 1;
}

static int nothing(lua_State *L) {
  (void)L;
  return 0;
}

/* closure(UPVALUES...) */
static int make_closure(lua_State *L) {
  lua_pushcclosure(L, nothing, lua_gettop(L));
  return 1;
}

/* thread(VALUES...): a coroutine without a function, values on its stack */
static int make_thread(lua_State *L) {
  int count = lua_gettop(L);
  lua_State *thread = lua_newthread(L);
  lua_insert(L, 1);
  luaL_checkstack(thread, count, NULL);
  lua_xmove(L, thread, count);
  return 1;
}

/* light(TABLE, N, VALUE): TABLE[light userdata N] = VALUE */
static int set_light(lua_State *L) {
  lua_settop(L, 3);
  lua_rawsetp(L, 1, &places[luaL_checkinteger(L, 2) % (lua_Integer)sizeof places]);
  return 0;
}

/* reference(REGISTRY, VALUE): its number */
static int reference(lua_State *L) {
  lua_settop(L, 2);
  lua_pushinteger(L, luaL_ref(L, 1));
  return 1;
}

/* unreference(REGISTRY, NUMBER) */
static int unreference(lua_State *L) {
  luaL_unref(L, 1, (int)luaL_checkinteger(L, 2));
  return 0;
}

static void *free_external(void *context, void *text, size_t old_size, size_t new_size) {
  (void)context;
  (void)old_size;
  (void)new_size;
  free(text);
  return NULL;
}

/* external(TEXT, FIXED): the same string with its bytes outside of the object */
static int make_external(lua_State *L) {
  size_t length;
  const char *text = luaL_checklstring(L, 1, &length);
  char *copy = malloc(length + 1);
  if (!copy) return luaL_error(L, "out of memory");
  memcpy(copy, text, length + 1);
  lua_pushexternalstring(L, copy, length, lua_toboolean(L, 2) ? NULL : free_external, NULL);
  return 1;
}

/* call(FUNCTION, VALUES...): calls it with the values, which stay on this stack, too */
static int call_holding(lua_State *L) {
  int count = lua_gettop(L);
  luaL_checkstack(L, count, NULL);
  for (int i = 1; i <= count; i++)
    lua_pushvalue(L, i);
  lua_call(L, count - 1, 1);
  return 1;
}

/* buffer(FUNCTION): calls it while a buffer too large for the C stack is being filled */
static int call_with_buffer(lua_State *L) {
  luaL_Buffer buffer;
  luaL_buffinit(L, &buffer);
  memset(luaL_prepbuffsize(&buffer, 10000), 'b', 10000);
  luaL_addsize(&buffer, 10000);
  lua_pushvalue(L, 1);
  lua_call(L, 0, 0);
  luaL_pushresult(&buffer);
  return 1;
}

int luaopen_heapmodule(lua_State *L) {
  static const luaL_Reg functions[] = {
      {"userdata", make_userdata}, {"closure", make_closure},    {"thread", make_thread},
      {"light", set_light},        {"reference", reference},     {"unreference", unreference},
      {"call", call_holding},      {"buffer", call_with_buffer}, {NULL, NULL}};
  lua_newtable(L);
  luaL_setfuncs(L, functions, 0);
  if (lua_pushexternalstring) {
    lua_pushcfunction(L, make_external);
    lua_setfield(L, -2, "external");
  }
  return 1;
}
