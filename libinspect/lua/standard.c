/* standard.c - names of the standard library, see standard.h. */
#include "lua/standard.h"

#include <string.h>

/* Names between blanks; `lua` NULL: in all versions. */
static const struct names {
  const char *table, *lua;
  enum standard_kind kind;
  const char *names;
} NAMES[] = {
    {"_G", NULL, STANDARD_FUNCTION,
     " assert collectgarbage dofile error getmetatable ipairs load loadfile next pairs pcall print "
     "rawequal rawget rawlen rawset require select setmetatable tonumber tostring type warn "
     "xpcall "},
    {"_G", NULL, STANDARD_VALUE,
     " _G _VERSION arg coroutine debug io math os package string table utf8 "}, /* arg: lua.c */
    {"coroutine", NULL, STANDARD_FUNCTION,
     " close create isyieldable resume running status wrap yield "},
    {"debug", NULL, STANDARD_FUNCTION,
     " debug gethook getinfo getlocal getmetatable getregistry getupvalue getuservalue sethook "
     "setlocal setmetatable setupvalue setuservalue traceback upvalueid upvaluejoin "},
    {"debug", "5.4", STANDARD_FUNCTION, " setcstacklimit "},
    {"io", NULL, STANDARD_FUNCTION,
     " close flush input lines open output popen read tmpfile type write "},
    {"io", NULL, STANDARD_VALUE, " stderr stdin stdout "},
    {"math", NULL, STANDARD_FUNCTION,
     " abs acos asin atan atan2 ceil cos cosh deg exp floor fmod frexp ldexp log log10 max min "
     "modf "
     "pow rad random randomseed sin sinh sqrt tan tanh tointeger type ult "},
    {"math", NULL, STANDARD_VALUE, " huge maxinteger mininteger pi "},
    {"os", NULL, STANDARD_FUNCTION,
     " clock date difftime execute exit getenv remove rename setlocale time tmpname "},
    {"package", NULL, STANDARD_FUNCTION, " loadlib searchpath "},
    {"package", NULL, STANDARD_VALUE, " config cpath loaded path preload searchers "},
    {"string", NULL, STANDARD_FUNCTION,
     " byte char dump find format gmatch gsub len lower match pack packsize rep reverse sub unpack "
     "upper "},
    {"table", NULL, STANDARD_FUNCTION, " concat insert move pack remove sort unpack "},
    {"table", "5.5", STANDARD_FUNCTION, " create "},
    {"utf8", NULL, STANDARD_FUNCTION, " char codepoint codes len offset "},
    {"utf8", NULL, STANDARD_VALUE, " charpattern "},
};

static bool has_word(const char *words, const char *name, size_t size) {
  for (const char *at = words; (at = strchr(at, ' ')) && at[1];) {
    size_t length = strcspn(++at, " ");
    if (length == size && memcmp(at, name, size) == 0) return true;
    at += length;
  }
  return false;
}

enum standard_kind standard_kind(const char *lua, const char *table, const char *name,
                                 size_t size) {
  for (size_t i = 0; i < sizeof NAMES / sizeof *NAMES; i++)
    if (strcmp(NAMES[i].table, table) == 0 && (!NAMES[i].lua || strcmp(NAMES[i].lua, lua) == 0) &&
        has_word(NAMES[i].names, name, size))
      return NAMES[i].kind;
  return STANDARD_NOT;
}

const char *standard_library(size_t index) {
  static const char *const LIBRARIES[] = {"coroutine", "debug",  "io",    "math", "os",
                                          "package",   "string", "table", "utf8"};
  return index < sizeof LIBRARIES / sizeof *LIBRARIES ? LIBRARIES[index] : NULL;
}
