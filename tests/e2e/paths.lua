-- Objects held over every kind of step that a path has, each tracked with what holds it.
-- With a number as argument: one object at the end of a chain so long, one under a long key.

T = setmetatable({}, {__mode = "k"})

local function new(description)
  local object = {}
  T[object] = {desc = description, time = os.time()}
  return object
end

if arg[1] then
  local last = {}
  chain = last
  for _ = 1, tonumber(arg[1]) do
    last.next = {}
    last = last.next
  end
  last.leaf = new "at the end"
  long_key = {[("k"):rep(100000)] = new "long key"}
  print "READY"
  io.flush()
  io.read()
  os.exit()
end

-- Keys. What a number or a text is as a path is the test.
root = {}
for _, key in ipairs {
  0, 1, -1, 1.5, -1.5, 0.1, 1 / 3, 1e15, 1e300, -1e300, 5e-324, 1.7976931348623157e308, math.huge,
  -math.huge, math.mininteger, math.maxinteger, 2^53, 2^63, 2^70, true, false, "", "name",
  "end", "a b", "1", "-1", "0x10", "true", "x.y", ":metatable", "a\nb", "a\0b", "a\"b", "a'b",
  "a\\", "\\", "a]b", "a)b", "[", "@1", "?", "\27[31m", "\xff\xfe", "\xc2", "\xed\xa0\x80", "ä",
  "\u{202e}", "\u{85}", "\u{7fffffff}", "\127", "tab\tx", "\r", ("k"):rep(300),
} do
  root[key] = new(type(key) .. " " .. tostring(key))
end
-- Objects as keys, and keys that are held themselves.
by_object = {}
a_table, a_thread = {}, coroutine.create(function() end)
local function a_function() end
keep_function = a_function
by_object[a_table] = new "under a table"
by_object[a_thread] = new "under a thread"
by_object[a_function] = new "under a function"
by_object[io.stdout] = new "under a userdata"
by_object[print] = new "under a C function"
by_object[new "a key"] = true

-- One table under three names, and in an upvalue.
do
  local shared = {deep = {leaf = new "under several names"}}
  by_name, by_another = shared, {inner = {again = shared}}
  package.loaded.by_module = {shared = shared}
  function by_upvalue() return shared end
end

-- Metatables.
with_metatable = setmetatable({}, new "a metatable")
two_up = setmetatable({}, setmetatable({}, {__index = new "a metatable's metatable"}))
getmetatable("").held = new "metatable of strings"

-- Upvalues.
do
  local first, second = new "first upvalue", new "second upvalue"
  function upvalues() return first, second end
end
do
  local same = new "outer same"
  local function inner() return same end
  do
    local same = new "inner same"
    function shadowing() return inner, same end
  end
end
-- Locals of coroutines, at several levels.
local function level3(argument)
  local deep, same = new "deep", new "same at 3"
  for i = 1, 3 do
    local in_loop = new("in loop")
    coroutine.yield(deep, same, in_loop, argument)
  end
end
local function level2()
  local same = new "same at 2"
  local ok = pcall(level3, new "argument of pcall")
  return same, ok
end
levels = coroutine.create(function(...)
  local same = new "same at 1"
  level2()
  return same, ...
end)
coroutine.resume(levels, new "first vararg", new "second vararg")

shadowed = coroutine.create(function()
  local x = new "outer x"
  do
    local x = new "inner x"
    coroutine.yield()
    return x
  end
end)
coroutine.resume(shadowed)

loop = coroutine.create(function()
  for key, value in next, {[new "key in a loop"] = new "value in a loop"}, nil do
    coroutine.yield(key, value)
  end
end)
coroutine.resume(loop)

closing = coroutine.create(function()
  local c <close> = setmetatable(new "to be closed", {__close = function() end})
  local k <const> = new "constant local"
  coroutine.yield()
  return k
end)
coroutine.resume(closing)

open = coroutine.create(function()
  local captured = new "open upvalue"
  local function get() return captured end
  coroutine.yield(get)
  return captured
end)
coroutine.resume(open)

died = coroutine.create(function()
  local buffer = new "of a dead coroutine"
  error(new "error object")
  return buffer
end)
coroutine.resume(died)

wrapped = coroutine.wrap(function()
  local w = new "of a wrapped coroutine"
  coroutine.yield()
  return w
end)
wrapped()

unfinished = coroutine.create(function() return {new "temporary", coroutine.yield()} end)
coroutine.resume(unfinished)

nested = coroutine.create(function()
  local inner = coroutine.create(function()
    local i = new "of a nested coroutine"
    coroutine.yield()
    return i
  end)
  coroutine.resume(inner)
  coroutine.yield()
  return inner
end)
coroutine.resume(nested)

-- Code without names.
do
  local source = "local a, b = ...; local u = a; return function() return u, b end"
  stripped = load(string.dump(load(source), true))(new "stripped u", new "stripped b")
  source = "local new, yield = ...; local a = new 'stripped a'; yield(); return a"
  stripped_thread = coroutine.create(load(string.dump(load(source), true)))
  coroutine.resume(stripped_thread, new, coroutine.yield)
end

-- The registry, and modules.
main_chunk = debug.getinfo(1, "f").func
debug.getregistry()["a b"] = new "registry"
debug.getregistry()[-5] = new "registry at -5"
package.loaded["a.module"] = {held = new "module"}
package.loaded["bad\27module"] = {held = new "bad module"}
package.held = new "package"
registry = new "global registry"
_G["package.loaded"] = new "global package.loaded"
_G["end"] = new "global end"

local in_main = new "local of the main chunk"
arg.held = new "arg"
print "READY"
io.flush()
io.read()
return in_main
