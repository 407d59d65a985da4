/* swarm.c - a host with very many Lua states, as an application server has them: every tenth has a
 * thread of its own, the others belong to a pool of eight threads, each of which has used many. All
 * run one program and leak in the same way, but for two that are kept clean; every hundredth is
 * ten times as large. Prints READY, then waits for a line.
 *
 *   swarm COUNT */
#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { POOL = 8, OWN_THREAD = 10, LARGE = 100 };

static const char program[] =
    "local number, clean, large = ...\n"
    "watch = setmetatable({}, {__mode = 'k'})\n"
    "local function track(object, what) watch[object] = {desc = what, time = os.time()} end\n"
    "local app = {cache = {}, sessions = {}, number = number}\n"
    "package.loaded['app'] = app\n"
    "for i = 1, large and 2000 or 200 do\n"
    "  app.cache['key ' .. i] = {id = i, name = 'entry ' .. i}\n"
    "end\n"
    "function app.open(id)\n"
    "  local session = {id = id, log = {}}\n"
    "  track(session, 'session')\n"
    "  return session\n"
    "end\n"
    "for i = 1, 20 do app.open(i) end\n"
    "for i = 1, clean and 0 or 5 do app.sessions[i] = app.open(i) end\n"
    "app.worker = coroutine.create(function() local session = app.open(0) coroutine.yield() end)\n"
    "if not clean then coroutine.resume(app.worker) end\n";

static int count;
static int next_number; /* of the pool's states; guarded by `lock` */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_barrier_t all_are_there;

static lua_State *create(int number) {
  lua_State *L = luaL_newstate();
  if (!L) exit(1);
  luaL_openlibs(L);
  if (luaL_loadbuffer(L, program, sizeof program - 1, "=app.lua")) exit(1);
  lua_pushinteger(L, number);
  lua_pushboolean(L, number == 3 || number == 13); /* clean */
  lua_pushboolean(L, number % LARGE == 7);
  lua_call(L, 3, 0);
  return L;
}

static int wait_for_ever(lua_State *L) {
  (void)L;
  pthread_barrier_wait(&all_are_there);
  while (pause())
    ;
  return 0;
}

static void *run_own(void *number) {
  lua_State *L = create((int)(size_t)number);
  lua_pushcfunction(L, wait_for_ever);
  lua_call(L, 0, 0);
  return NULL;
}

static void *run_pool(void *unused) {
  (void)unused;
  for (;;) {
    pthread_mutex_lock(&lock);
    do
      next_number++;
    while (next_number % OWN_THREAD == 0);
    int number = next_number;
    pthread_mutex_unlock(&lock);
    if (number > count) break;
    create(number);
  }
  pthread_barrier_wait(&all_are_there);
  while (pause())
    ;
  return NULL;
}

static void start(void *(*run)(void *), int number) {
  pthread_t thread;
  if (pthread_create(&thread, NULL, run, (void *)(size_t)number)) exit(1);
}

int main(int argc, char **argv) {
  count = argc > 1 ? atoi(argv[1]) : 0;
  int own = count / OWN_THREAD;
  pthread_barrier_init(&all_are_there, NULL, (unsigned)(POOL + own + 1));
  for (int i = 0; i < POOL; i++)
    start(run_pool, 0);
  for (int i = 1; i <= own; i++)
    start(run_own, i * OWN_THREAD);
  pthread_barrier_wait(&all_are_there);
  puts("READY");
  fflush(stdout);
  return getchar() == EOF;
}
