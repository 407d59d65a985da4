-- Calls itself in every form that Lua's tracebacks tell apart, prints debug.traceback, and waits to
-- be dumped: `lua traceback.lua FORM`. Without FORM it lists the forms.
--
-- Each form ends in stop(), which prints the traceback and the variables of the running thread and of
-- the coroutines in `threads`, and then reads a line, so that the dump shows the very same calls;
-- only the line of the innermost Lua function differs.

local forms, names = {}, {}
local threads = {} -- name -> coroutine, for the reader to find
_G.threads = threads

local function form(name, body)
  names[#names + 1] = name
  forms[name] = body
end

local function report(thread, message)
  print("BEGIN " .. tostring(thread or coroutine.running()))
  if message then print("ERROR " .. message) end
  print(thread and debug.traceback(thread) or debug.traceback())
  print("END")
end

local getlocal = debug.getlocal

local function print_local(level, number, name, value)
  local kind = math.type(value) or type(value)
  local text = kind -- of an object its address says all, and its __tostring may be what is tested
  if kind == "string" then
    text = ("%q"):format(value):gsub("\\\n", "\\n")
  elseif math.type(value) or kind == "boolean" or kind == "nil" then
    text = tostring(value)
  end
  local place = ("%p"):format(value)
  print(("LOCAL\t%d\t%d\t%s\t%s\t%s\t%s"):format(level, number, name, kind, text, place))
end

-- Of the thread that runs, beginning with what called stop; `level` is the one in the dump, where the
-- read takes the place of this function.
local function report_running()
  for level = 2, 13 do
    if not debug.getinfo(level + 1, "l") then return end
    for _, step in ipairs {-1, 1} do
      local number = step
      local name, value = getlocal(level + 1, number)
      while name do
        print_local(level, number, name, value)
        number = number + step
        name, value = getlocal(level + 1, number)
      end
    end
  end
end

local function report_locals(thread)
  for level = 0, 12 do
    if not debug.getinfo(thread, level, "l") then return end
    for _, step in ipairs {-1, 1} do
      local number = step
      local name, value = getlocal(thread, level, number)
      while name do
        print_local(level, number, name, value)
        number = number + step
        name, value = getlocal(thread, level, number)
      end
    end
  end
end

-- The innermost Lua function: found by no name, called by an upvalue's name.
local function stop(...)
  report()
  report_running()
  for name, thread in pairs(threads) do
    if thread ~= coroutine.running() then
      report(thread, _G.messages[name])
      report_locals(thread)
    end
  end
  print("READY")
  io.stdout:flush()
  io.read("l")
  return ...
end
_G.messages = {}
function _G.global_stop(...) return (stop(...)) end

-- ---- Names --------------------------------------------------------------------------------------

form("local", function()
  local function inner(a, b) local c = stop(a, b) return c end
  local x = inner(1, 2)
  return x
end)

form("upvalue", function() local x = stop(1) return x end)

form("global", function()
  function _G.by_global(x) local y = global_stop(x) return y end
  local z = by_global(3)
  return z
end)

form("field", function()
  local t = {inner = {}}
  t.inner.leaf = function(...) local x = stop(...) return x end
  function t.root(x) local y = t.inner.leaf(x, 2) return y end
  local z = t.root(1)
  return z
end)

form("method", function()
  local Class = {}
  Class.__index = Class
  function Class:one(x) local y = self:two(x) return y end
  function Class:two(x) local y = stop(x) return y end
  local object = setmetatable({}, Class)
  local z = object:one(7)
  return z
end)

form("loaded", function()
  package.loaded["my.module"] = {entry = function(x) local y = stop(x) return y end}
  local module = require "my.module"
  local z = module.entry(1)
  return z
end)

form("loaded-function", function()
  package.loaded["my.function"] = function(x) local y = stop(x) return y end
  local f = require "my.function"
  local z = f(1)
  return z
end)

form("many-names", function()
  local function f(x) local y = stop(x) return y end
  for i = 1, 20 do package.loaded["module" .. i] = {["a" .. i] = f, ["b" .. i] = f, print = print, rep = string.rep} end
  _G.by_name = f
  local z = _G.by_name(pcall(f, 1))
  return z
end)

form("index", function()
  local t = {function(x) local y = stop(x) return y end, [2.5] = 1}
  local key = "computed"
  t[key] = function(x) local y = t[1](x) return y end
  local constant <const> = "constant"
  t[constant] = function(x) local y = t[key](x) return y end
  t[("dyn"):rep(2)] = function(x) local y = t[constant](x) return y end
  local z = t[("dyn"):rep(2)](1)
  return z
end)

form("environment", function()
  local function run()
    local _ENV = {stop = stop, inner = {}}
    function f(x) local y = stop(x) return y end
    inner._ENV = {g = function(x) local y = f(x) return y end}
    local z = inner._ENV.g(1)
    return z
  end
  local z = run()
  return z
end)

form("temporary", function()
  local z = (function(x) local y = stop(x) return y end)(1)
  local function make() return stop end
  return z, make
end)

form("returned", function()
  local function make() return function(x) local y = stop(x) return y end end
  local z = make()(1)
  return z
end)

form("conditional", function(flag)
  local a, b = {f = stop}, {g = stop}
  local z = (flag and a.f or b.g)(1)
  return z
end)

form("many-locals", function()
  local source = {}
  for i = 1, 180 do source[#source + 1] = ("local v%d = %d"):format(i, i) end
  source[#source + 1] = "local last = function(x) local y = global_stop(x) return y end"
  source[#source + 1] = "local z = last(v180) return z"
  local z = load(table.concat(source, "\n"), "=many")()
  return z
end)

form("many-constants", function()
  local source = {"local t = {}"}
  for i = 1, 400 do source[#source + 1] = ("t.k%d = 'c%d'"):format(i, i) end
  source[#source + 1] = "t.far = function(self, x) local y = global_stop(x) return y end"
  source[#source + 1] = "t.long_name_" .. ("x"):rep(50) .. " = function(self, x) local y = self:far(x) return y end"
  source[#source + 1] = "local z = t:long_name_" .. ("x"):rep(50) .. "(1) return z"
  local z = load(table.concat(source, "\n"), "=constants")()
  return z
end)

-- ---- Chunks -------------------------------------------------------------------------------------

form("chunks", function()
  local a = assert(load("local x = global_stop(...) return x", "@short.lua"))
  local b = assert(load("local x = ...; local y = x() return y", "=name"))
  local c = assert(load("local x, y = ...; local z = x(y) return z"))
  local d = assert(load("local x, y, z = ...\nlocal r = x(y, z)\nreturn r", "@" .. ("long/"):rep(30) .. "file.lua"))
  local e = assert(load("local f = ...\nlocal r = f()\nreturn r", "=" .. ("long"):rep(30)))
  local f = assert(load("-- " .. ("comment "):rep(20) .. "\nlocal f = ...\nlocal r = f()\nreturn r"))
  local z = f(function() local r = e(function() local r = d(c, b, a) return r end) return r end)
  return z
end)

form("stripped", function()
  local source = "local t = ... t.f = function(x) local y = t.stop(x) return y end local z = t.f(1) return z"
  local f = load(string.dump(load(source), true), "=stripped", "b")
  local z = f({stop = stop})
  return z
end)

form("empty-lines", function()
  local source = "local function far()" .. ("\n"):rep(300) .. "local x = global_stop() return x end" .. ("\n"):rep(200)
    .. "local y = far() return y"
  local z = load(source, "=empty")()
  return z
end)

form("long-function", function()
  local lines = {"local n = 0"}
  for i = 1, 700 do lines[#lines + 1] = "n = n + #('x') .. ''" .. ("\n"):rep(i % 3) end
  lines[#lines + 1] = "local x = global_stop(n) return x"
  local z = load(table.concat(lines, "\n"), "=long")()
  return z
end)

-- ---- Metamethods --------------------------------------------------------------------------------

local function metamethod(event, use, ...)
  local operands = table.pack(...)
  form("metamethod " .. event, function()
    local object = setmetatable({}, {["__" .. event] = function(...) local x = stop(...) return x end})
    local z = use(object, table.unpack(operands))
    return z
  end)
end

metamethod("index", function(o) local x = o.field return x end)
metamethod("newindex", function(o) o.field = 1 end)
metamethod("call", function(o) local x = o(1, 2) return x end)
metamethod("add", function(o) local x = o + 1 return x end)
metamethod("sub", function(o) local x = 1 - o return x end)
metamethod("mul", function(o) local x = o * o return x end)
metamethod("div", function(o) local x = o / 2.5 return x end)
metamethod("mod", function(o) local x = o % 3 return x end)
metamethod("pow", function(o) local x = o ^ 2 return x end)
metamethod("idiv", function(o) local x = o // 2 return x end)
metamethod("unm", function(o) local x = -o return x end)
metamethod("band", function(o) local x = o & 1 return x end)
metamethod("bor", function(o) local x = o | o return x end)
metamethod("bxor", function(o) local x = 1 ~ o return x end)
metamethod("bnot", function(o) local x = ~o return x end)
metamethod("shl", function(o) local x = o << 1 return x end)
metamethod("shr", function(o) local x = 1 >> o return x end)
metamethod("concat", function(o) local x = "a" .. o .. "b" return x end)
metamethod("len", function(o) local x = #o return x end)
metamethod("eq", function(o) local x = o == setmetatable({}, getmetatable(o)) return x end)
metamethod("lt", function(o) local x = o < setmetatable({}, getmetatable(o)) return x end)
metamethod("le", function(o) local x = o <= 5 return x end)
metamethod("close", function(o) do local x <close> = o end end)
metamethod("tostring", function(o) local x = tostring(o) return x end)
metamethod("pairs", function(o) for k in pairs(o) do return k end end)
form("metamethod gt", function()
  local object = setmetatable({}, {__lt = function(...) local x = stop(...) return x end})
  local z = object > 5
  return z
end)
form("metamethod close-return", function()
  local function f()
    local x <close> = setmetatable({}, {__close = function(...) local y = stop(...) return y end})
    return 1, 2
  end
  local z = f()
  return z
end)
form("metamethod gc", function()
  setmetatable({}, {__gc = function(...) local y = stop(...) return y end})
  collectgarbage()
end)

-- ---- Calls by C ---------------------------------------------------------------------------------

form("pcall", function() local ok, x = pcall(function(a) local b = stop(a) return b end, 1) return x end)
form("xpcall", function()
  local ok, x = xpcall(function() local b = nil + 1 return b end, function(m) local x = stop(m) return x end)
  return x
end)
form("error-handler", function()
  local ok, x = xpcall(error, function(m) local y = stop(m) return y end, "thrown")
  return x
end)
form("sort", function()
  local done = false
  table.sort({3, 1, 2}, function(a, b)
    if not done then done = true; stop(a, b) end
    return a < b
  end)
end)
form("gsub", function()
  local x = ("a-b"):gsub("%w", function(c) local y = c == "b" and stop(c) return y end)
  return x
end)
form("string-method", function()
  local x = ("%s"):format(setmetatable({}, {__tostring = function() stop() return "x" end}))
  return x
end)
form("require", function()
  package.preload["made.up"] = function(name) local x = stop(name) return x or true end
  local x = require "made.up"
  return x
end)
form("load-reader", function()
  local once
  local f = load(function() if once then return nil end once = true; stop() return "return 1" end)
  return f
end)
form("dofile", function()
  local name = os.tmpname()
  local file = io.open(name, "w")
  file:write("local x = global_stop(...)\nreturn x\n")
  file:close()
  local x = dofile(name)
  os.remove(name)
  return x
end)
form("hook", function()
  local done
  debug.sethook(function(event, line)
    if not done then done = true; debug.sethook(); stop(event, line) end
  end, "l")
  local x = 1
  x = x + 1
  return x
end)
form("hook-call", function()
  local done
  local function called() return 1 end
  debug.sethook(function(event)
    if not done and event == "call" then done = true; debug.sethook(); stop(event) end
  end, "c")
  local x = called()
  return x
end)

-- ---- Loops and tails ----------------------------------------------------------------------------

form("iterator", function()
  local function each(t, i) if i == 0 then stop(t, i) return 1 end end
  for i in each, {}, 0 do print(i) end
end)
form("closure-iterator", function()
  local function make() local n = 0 return function() n = n + 1 if n == 1 then stop(n) return n end end end
  for i in make() do print(i) end
end)
form("tail", function()
  local function last(x) local y = stop(x) return y end
  local function middle(x) return last(x) end
  local function first(x) return middle(x) end
  local z = first(1)
  return z
end)
form("tail-c", function()
  local function f(x) return pcall(stop, x) end
  local z = f(1)
  return z
end)
form("tail-method", function()
  local t = {}
  function t:f(x) return self:g(x) end
  function t:g(x) local y = stop(x) return y end
  local z = t:f(1)
  return z
end)
form("varargs", function(...)
  local function take(a, ...) local x = stop(...) return x end
  local function pass(...) local x = take(...) return x end
  local z = pass(1, nil, "three", 4.5, {}, false)
  return z
end)
form("recursion", function()
  local function down(n) if n == 0 then stop(n) return 0 end local x = down(n - 1) return x + 1 end
  local z = down(15)
  return z
end)
form("deep", function()
  local function down(n) if n == 0 then stop(n) return 0 end local x = down(n - 1) return x + 1 end
  local z = down(1000)
  return z
end)
form("goto", function()
  local t = {f = stop}
  for i = 1, 3 do
    if i < 2 then goto continue end
    while true do
      local f = i > 1 and t.f or print
      local x = f(i)
      if x then break end
      goto continue
    end
    ::continue::
  end
end)

-- ---- Coroutines ---------------------------------------------------------------------------------

local function suspended(name, body, ...)
  local thread = coroutine.create(body)
  threads[name] = thread
  local ok, message = coroutine.resume(thread, ...)
  if not ok then _G.messages[name] = tostring(message) end
end

form("coroutines", function()
  suspended("plain", function(a) local b = coroutine.yield(a) return b end, 1)
  suspended("in-pcall", function(a) local ok, b = pcall(coroutine.yield, a) return b end, 1)
  suspended("in-loop", function(a) for i = a, 10 do coroutine.yield(i) end end, 1)
  suspended("in-metamethod", function()
    local o = setmetatable({}, {__add = function(x, y) local z = coroutine.yield(x) return z end})
    local x = o + 1
    return x
  end)
  suspended("in-iterator", function()
    for i in function(_, i) coroutine.yield(i) return 1 end do return i end
  end)
  suspended("tail-yield", function() return coroutine.yield() end)
  suspended("wrapped", function() local f = coroutine.wrap(function() error("inside") end) f() end)
  suspended("failed", function(a) local b = a.x.y return b end, {})
  suspended("failed-deep", function()
    local function f(n) if n == 0 then error("deep " .. n) end local x = f(n - 1) return x end
    local y = f(4)
    return y
  end)
  suspended("failed-table", function() error({code = 1}) end)
  suspended("finished", function() return 1 end)
  threads["not-started"] = coroutine.create(function(a, b) return a end)
  threads["not-started-c"] = coroutine.create(print)
  stop()
end)

form("nested", function()
  local function level(n)
    local thread
    thread = coroutine.create(function(m)
      if m == 0 then local x = stop(m) return x end
      local y = level(m)
      return y
    end)
    threads["level" .. n] = thread
    local ok, x = coroutine.resume(thread, n - 1)
    return x
  end
  local z = level(3)
  return z
end)

form("wrap", function()
  local f = coroutine.wrap(function(a)
    local g = coroutine.wrap(function(b) local x = stop(b) return x end)
    local y = g(a)
    return y
  end)
  local z = f(1)
  return z
end)

form("yield-across", function()
  local thread = coroutine.wrap(function()
    local ok, x = pcall(function() local y = coroutine.yield(1) stop(y) return y end)
    return x
  end)
  thread()
  thread(2)
end)

-- ---- The choice ---------------------------------------------------------------------------------

if _VERSION == "Lua 5.5" then
  form("vararg-table", load([[
    local function take(a, ...t) local x = t[2](a) return x end
    local z = take(1, 2, global_stop)
    return z
  ]], "=vararg"))
  form("global-declared", load([[
    global global_stop
    global function by_declaration(x) local y = global_stop(x) return y end
    local z = by_declaration(1)
    return z
  ]], "=declared"))
end

if not arg[1] then
  for _, name in ipairs(names) do print(name) end
else
  local z = forms[arg[1]](arg[2])
  print(z)
end
