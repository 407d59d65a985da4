-- A random heap that knows what real full collections leave of it. Runs on Lua 5.4 and 5.5.
--   lua random_heap.lua SEED [FOLDER]      FOLDER: where heapmodule.so lies, if it was built
--
-- Builds objects of every kind, links and unlinks them at random while the collector works in
-- random modes and steps, keeps a random part alive in random places, leaves the collector in the
-- middle of a cycle, and stops at READY inside a random nest of calls. A sample of the objects is
-- tracked.
--
-- Protocol: each READY line is followed by a wait for a number on standard input. The first wait is
-- the heap in question; the second comes right after one full collection, the third after two.
-- Before each wait the descriptions of all tracked objects that are still there are printed.
--
-- Invariant: from the first wait to the third the program itself creates no object and causes no
-- step of the collector. So it only calls functions, reads a number (read("n") makes no string),
-- and writes strings that exist; the objects in the second dump are those, and only those, that the
-- collection left.

local seed = assert(tonumber(arg[1]), "a seed is needed")
local module
if arg[2] then
  local open = package.loadlib(arg[2] .. "/heapmodule.so", "luaopen_heapmodule")
  module = open and open()
end
math.randomseed(seed)
local random = math.random
local function chance(percent) return random(100) <= percent end

io.stdout:setvbuf("full")
local registry = debug.getregistry()

-- Whether a finalizer may collect (up to 5.4.3).
local may_collect
setmetatable({}, {__gc = function() may_collect = collectgarbage("count") end})
collectgarbage()

local tracked = setmetatable({}, {__mode = "k"})
registry_tracker = tracked
local made = 0

local function track(object, kind)
  made = made + 1
  if tracked[object] == nil then
    if type(object) == "string" then kind = "string" end -- never dropped, whatever it was made for
    tracked[object] = {description = kind .. "#" .. made, time = 1700000000 + made}
  end
  return object
end

-- ---- The pool: what can still be linked; dropped before the dump --------------------------------

local pool, sample = {}, random(30, 100)
local function any() return pool[random(#pool)] end
local function put(object, kind)
  pool[#pool + 1] = object
  if chance(sample) then track(object, kind) end
  return object
end

-- Of one type, or nil.
local function any_of(kind)
  for _ = 1, 8 do
    local object = any()
    if type(object) == kind then return object end
  end
end

local function text(length)
  local bytes = {}
  for i = 1, length do bytes[i] = string.char(random(32, 126)) end
  return table.concat(bytes)
end

local MODES = {"k", "v", "kv", "k", "v", "vk", "k", "v", "", "x", "v\0k"}
local long_mode = "k" .. ("-"):rep(60)
local function mode() return chance(3) and long_mode or MODES[random(#MODES)] end

local function key()
  local which = random(8)
  if which == 1 then return random(-5, 20) end
  if which == 2 then return random() end
  if which == 3 then return chance(50) end
  if which == 4 then return text(random(1, 6)) end
  if which == 5 then return text(random(41, 80)) end
  if which == 6 then return print end
  return any()
end

-- ---- Functions ----------------------------------------------------------------------------------

local function closures()
  local first, second = any(), any()
  local function inner() return first, second end
  local function outer(value)
    first = value
    local own = value
    return function() return own, inner end
  end
  put(inner, "inner")
  put(outer, "outer")
  if chance(50) then put(outer(any()), "closure") end
  if chance(30) then
    local function recursive() return recursive, second end
    put(recursive, "recursive")
  end
end

local function loaded()
  local form = "local a, b = ...; local t = {%q, %q}; return function(c) return a, b, c, t, %d end"
  local source = form:format(text(4), text(random(1, 90)), random(1000000))
  local chunk = load(source, "=" .. text(5))
  if chance(30) then chunk = load(string.dump(chunk, chance(50)), "binary") end
  put(chunk, "chunk")
  if chance(50) then put(chunk(any(), any()), "nested") end
end

local harmless = {} -- C functions that may be called whatever their upvalues are

local function c_closures()
  local which = random(3)
  if which == 1 then
    put(string.gmatch(text(random(1, 60)), text(3):gsub("%p", ".")), "gmatch")
  elseif which == 2 then
    local captured = any()
    put(coroutine.wrap(function(...) coroutine.yield(captured, ...) end), "wrap")
  elseif module then
    harmless[put(module.closure(any(), any(), any()), "cclosure")] = true
  end
end

-- ---- Coroutines ---------------------------------------------------------------------------------

local function descend(depth, ...)
  local mine, varargs = any(), select("#", ...)
  if depth > 0 then
    local result = {descend(depth - 1, mine, ...)}
    return result, mine, varargs
  end
  local answer = coroutine.yield(mine, ...)
  return answer, mine
end

local BODIES = {
  plain = function(...)
    local a, b = any(), ...
    local c = coroutine.yield(a)
    coroutine.yield(c, b)
    return a
  end,
  deep = function(...) return descend(random(1, 30), ...) end,
  protected = function(...)
    local a = any()
    return pcall(function(...)
      local b = any()
      coroutine.yield(a, b)
      error({b})
    end, ...)
  end,
  handled = function(...)
    local handler = any()
    return xpcall(descend, function(message) return message, handler end, 2, ...)
  end,
  captured = function(...)
    local a, b, c = any(), any(), ...
    if pool then
      put(function() return a end, "open getter")
      put(function(value) a, b = value, c end, "open setter")
    end
    coroutine.yield(b)
    do
      local d = a
      if pool then put(function() return d, b end, "open inner") end
      coroutine.yield(d)
    end
    return c
  end,
  metamethod = function()
    local a = any()
    local proxy = setmetatable({}, {__index = function(_, k) coroutine.yield(a, k) return a end,
      __add = function(x, y) local z = any(); coroutine.yield(z) return y end})
    return proxy.field, proxy + a
  end,
  iterator = function()
    local function step(state, control) return coroutine.yield(state) or control, any() end
    for a, b in step, any() do
      if chance(20) then return a, b end
    end
  end,
  closing = function()
    local a <close> = setmetatable({any()}, {__close = function() end})
    local b <close> = setmetatable({any()}, {__close = function(_, e) local keep = e end})
    coroutine.yield(a)
    return b
  end,
  itself = function()
    local me, a = coroutine.running(), any()
    if pool then put(function() return me, a end, "open self") end
    coroutine.yield(me)
  end,
  nesting = function()
    local inner = coroutine.create(descend)
    local a = any()
    coroutine.resume(inner, 3, a)
    coroutine.yield(inner)
    coroutine.resume(inner, a)
  end,
  failing = function(...)
    local a, b = any(), ...
    if pool and chance(50) then put(function() return a, b end, "open of failed") end
    if chance(50) then coroutine.yield(a) end
    error(chance(50) and any() or "failed " .. random(1000))
  end,
}
local NAMES = {}
for name in pairs(BODIES) do NAMES[#NAMES + 1] = name end
table.sort(NAMES)

local function coroutines()
  if module and chance(5) then
    put(module.thread(any(), any(), any()), "thread")
    return
  end
  local name = NAMES[random(#NAMES)]
  local body = BODIES[name]
  if chance(50) then
    local captured, inner = any(), body
    body = function(...) local a = captured; return a, inner(...) end
  end
  local thread = coroutine.create(body)
  put(thread, name)
  for _ = 1, random(0, 4) do
    if coroutine.status(thread) ~= "suspended" then break end
    coroutine.resume(thread, any(), any())
  end
  if chance(10) then pcall(coroutine.close, thread) end
end

local function resume()
  local thread = any_of("thread")
  if thread and coroutine.status(thread) == "suspended" then
    coroutine.resume(thread, any())
  elseif thread and chance(30) then
    pcall(coroutine.close, thread)
  end
end

-- ---- Tables, finalizers, userdata ---------------------------------------------------------------

local function tables()
  local object = {}
  if chance(40) then
    for i = 1, random(1, 12) do object[i] = chance(50) and any() or random() end
  end
  for _ = 1, random(0, 6) do
    local k = key()
    object[k] = chance(60) and any() or text(random(1, 50))
  end
  put(object, "table")
end

local function weak_tables()
  local object = setmetatable({}, {__mode = mode(), __name = "Weak"})
  for _ = 1, random(0, 8) do
    local k, v = key(), any()
    object[k] = v
  end
  if chance(30) then object[1] = {any()} end
  put(object, "weak table")
end

local function ephemerons()
  local object = setmetatable({}, {__mode = "k"})
  local other = chance(50) and setmetatable({}, {__mode = "k"}) or object
  local first = put({}, "ephemeron key")
  local link = first
  for _ = 1, random(1, 12) do
    local following = chance(80) and {} or any()
    if chance(50) then put(following, "ephemeron link") end
    local holder = chance(50) and object or other
    holder[link] = chance(70) and following or {following, text(3)}
    link = following
  end
  if chance(40) then object[link] = first end -- a cycle
  put(object, "ephemerons")
  if other ~= object then put(other, "more ephemerons") end
end

local function nothing() end
local shared = {__gc = nothing, __name = "Finalized"}
local function finalizers()
  if chance(3) then -- many at once: the collector calls some in each step
    for _ = 1, random(10, 60) do track(setmetatable({any()}, shared), "finalized, many") end
  end
  local object = chance(70) and {any(), any()} or nil
  local metatable = shared
  if chance(60) then
    local captured = any()
    metatable = {__gc = chance(50) and function() return captured end or assert, held = any()}
    if chance(20) then metatable.__mode = mode() end
  end
  if not object and module then
    object = module.userdata(random(0, 100), random(0, 3), metatable)
    debug.setuservalue(object, any(), 1)
  else
    object = setmetatable(object or {}, metatable)
  end
  if chance(20) then metatable.__gc = nil end -- it stays marked for finalization
  put(object, "finalized")
  if chance(30) then put(metatable, "metatable") end
end

local files = 0
local function userdata()
  if module and chance(80) then
    local values = random(0, 4)
    local object = module.userdata(random(0, 300), values, chance(50) and {__index = any()} or nil)
    for i = 1, values do debug.setuservalue(object, any(), i) end
    put(object, "userdata")
  elseif files < 12 then
    files = files + 1
    local file = io.open("/dev/null")
    if chance(20) then io.close(file) end
    if chance(30) then -- its own finalizer would complain, which makes a string
      debug.setmetatable(file, {__gc = assert, held = any()})
    end
    put(file, "file")
  end
end

local function strings()
  local long = chance(50)
  put(text(long and random(41, 200) or random(1, 40)), "string")
  if module and module.external then
    put(module.external(text(random(41, 90)), chance(50)), "string")
  end
  if chance(20) then track(random(1000), "number") end
end

local function chain()
  local link = any()
  for _ = 1, random(100, 2000) do link = {link} end
  put(link, "end of a long chain")
end

local MAKERS = {
  tables, tables, tables, weak_tables, weak_tables, ephemerons, finalizers, finalizers, closures,
  closures, loaded, c_closures, coroutines, coroutines, coroutines, userdata, strings,
}

-- ---- References ---------------------------------------------------------------------------------

local function link_table(from, to)
  local which = random(10)
  if which <= 2 then
    rawset(from, rawlen(from) + 1, to)
  elseif which <= 4 then
    rawset(from, key(), to)
  elseif which == 5 then
    rawset(from, to, true)
  elseif which == 6 then
    rawset(from, to, any())
  elseif which == 7 then
    local metatable = debug.getmetatable(from)
    if metatable then rawset(metatable, text(3), to) end
  elseif which == 8 and not debug.getmetatable(from) then
    debug.setmetatable(from, chance(50) and type(to) == "table" and to or {held = to})
  elseif which == 9 then
    local metatable = debug.getmetatable(from)
    if metatable and from ~= tracked then metatable.__mode = chance(60) and mode() or nil end
  elseif module then
    module.light(from, random(5), to)
  end
end

local function link_function(from, to)
  local index = random(4)
  local name = debug.getupvalue(from, index)
  local is_lua = debug.getinfo(from, "S").what == "Lua"
  if not name or name == "_ENV" or not is_lua and not harmless[from] then return end
  local other = any_of("function")
  if chance(30) and other and is_lua and debug.getinfo(other, "S").what == "Lua" then
    local theirs = debug.getupvalue(other, index)
    if theirs and theirs ~= "_ENV" then debug.upvaluejoin(from, index, other, index) end
  else
    debug.setupvalue(from, index, to)
  end
end

local function link_thread(from, to)
  if coroutine.status(from) ~= "suspended" then return end
  local level = random(0, 3)
  if debug.getinfo(from, level, "l") and debug.getlocal(from, level, 1) then
    debug.setlocal(from, level, random(3), to)
  end
end

local function link()
  local from, to = any(), any()
  local kind = type(from)
  if kind == "table" then link_table(from, to)
  elseif kind == "function" then link_function(from, to)
  elseif kind == "thread" then link_thread(from, to)
  elseif kind == "userdata" then debug.setuservalue(from, to, random(4))
  end
end

local function unlink()
  local from = any_of("table")
  if not from then return end
  local k = next(from)
  for _ = 1, random(0, 5) do if k ~= nil then k = next(from, k) end end
  if k ~= nil then rawset(from, k, nil) end
end

-- ---- The collector ------------------------------------------------------------------------------

local is_old = _VERSION == "Lua 5.4"

-- So small that a step does one thing.
local function small_steps()
  if is_old then
    collectgarbage("incremental", random(100, 300), random(1, 100), random(0, 8))
  else
    collectgarbage("incremental")
    collectgarbage("param", "stepmul", random(1, 100))
    collectgarbage("param", "stepsize", random(1, 100))
  end
end

-- A full collection for want of memory (no machine has as much address space): finalizers stay due.
local function emergency()
  if module then pcall(module.userdata, 1 << 50, 0) end
end

local function tune()
  local which = random(10)
  if which == 1 then
    collectgarbage("generational")
  elseif which == 2 and is_old then
    collectgarbage("generational", random(5, 60), random(50, 200))
  elseif which <= 4 then
    collectgarbage("incremental")
  elseif which <= 6 then
    small_steps()
  elseif which == 7 then
    collectgarbage("stop")
  elseif which == 8 then
    collectgarbage("restart")
  elseif which == 9 then
    collectgarbage("step", random(0, 20))
  elseif chance(20) then
    collectgarbage()
  elseif chance(20) then
    emergency()
  end
end

local function litter()
  for _ = 1, random(20) do
    local garbage = {text(random(30)), {}}
    garbage[1] = garbage
  end
end

-- ---- Building and keeping -----------------------------------------------------------------------

local function build()
  for _ = 1, 5 do put({}, "table") end
  for _ = 1, random(20, 400) do
    local which = random(100)
    if which <= 45 then MAKERS[random(#MAKERS)]()
    elseif which <= 75 then link()
    elseif which <= 83 then unlink()
    elseif which <= 88 then resume()
    elseif which <= 93 then tune()
    elseif which <= 96 then litter()
    elseif which == 97 and chance(20) then chain()
    else -- what is not in the pool is garbage, or linked
      local last = #pool
      if last > 10 then
        local place = random(last)
        pool[place], pool[last] = pool[last], nil
      end
    end
  end
end

local BASIC = {0, true, print, coroutine.running()}
local kept_in_upvalue
function keep_in_upvalue(value) kept_in_upvalue = value end

local function keep(object)
  local which = random(9)
  if which == 1 then _G["kept_" .. text(4)] = object
  elseif which == 2 then registry[chance(50) and text(5) or {}] = object
  elseif which == 3 then package.loaded["random." .. random(5)] = object
  elseif which == 4 then keep_in_upvalue(object)
  elseif which == 5 then
    -- "__close" and the like must not be found there
    local basic = BASIC[random(#BASIC)]
    debug.setmetatable(basic, {held = object})
  elseif which == 6 and type(object) ~= "string" then getmetatable("").held = object
  elseif which == 7 and module then
    local reference = module.reference(registry, object)
    if chance(20) then module.unreference(registry, reference) end
  elseif which == 8 and module then module.light(registry, random(5), object)
  else _G.list_of_kept = {object, list_of_kept}
  end
end

build()
for _ = 1, random(0, #pool // random(2, 30)) do keep(any()) end
local held = chance(50) and any() or nil
if chance(30) then
  local hooked = any_of("thread")
  local hook = chance(50) and nothing or function() return held end
  if hooked then debug.sethook(hooked, hook, "", 1000000) end
end

-- ---- Where it stops -----------------------------------------------------------------------------

local collectgarbage, write, read, next = collectgarbage, io.write, io.read, next
local output = io.stdout

local function list(title)
  write(title, "\n")
  for _, record in next, tracked do write("  ", record.description, "\n") end
end

-- All strings it needs are constants of prototypes that live on.
local function checkpoint()
  list("BEFORE")
  write("READY\n")
  output:flush()
  read("n")
  collectgarbage()
  list("AFTER1")
  write("READY\n")
  output:flush()
  read("n")
  collectgarbage()
  list("AFTER2")
  write("READY\n")
  output:flush()
  read("n")
  os.exit(0, false)
end

-- Each calls the next level with objects of its own on its stack.
local CONTEXTS
local function nest(depth)
  if depth == 0 then checkpoint() end
  local context = CONTEXTS[random(#CONTEXTS)]
  context(depth - 1, {depth})
  checkpoint() -- a context that does not come to it: a hook in a hook
end

CONTEXTS = {
  function(depth, mine) nest(depth) return mine end,
  function(depth, mine) return pcall(nest, depth, mine) end,
  function(depth, mine)
    local thread = coroutine.create(function(...) local a = {...}; nest(depth) return a end)
    coroutine.resume(thread, mine)
    return thread
  end,
  function(depth, mine)
    local next_value = coroutine.wrap(function() nest(depth); coroutine.yield(mine) end)
    for value in next_value do mine = value end
  end,
  function(depth, mine)
    return ("abc"):gsub("b", function(found) nest(depth) return mine, found end)
  end,
  function(depth, mine)
    local proxy = setmetatable({}, {__index = function(_, k) nest(depth) return mine, k end})
    return proxy[mine]
  end,
  function(depth, mine)
    local list = {mine, {}, {}}
    table.sort(list, function(a, b) nest(depth) return false end)
  end,
  function(depth, mine)
    do local closing <close> = setmetatable({}, {__close = function() nest(depth) end}) end
    return mine
  end,
  function(depth, mine)
    local done = false
    local function hook()
      debug.sethook()
      if not done then done = true; nest(depth) end
    end
    debug.sethook(hook, "", 3)
    for i = 1, 100 do mine[i] = {i} end
  end,
  function(depth, mine) return select(2, mine, {}, nest(depth)) end,
  function(depth, mine)
    return xpcall(error, function(message) nest(depth) return message end, mine)
  end,
  function(depth, mine)
    if not may_collect then return nest(depth) end
    local function finalizer() if mine then mine = nil; nest(depth) end end
    for _ = 1, 5 do setmetatable({{}, setmetatable({}, shared)}, {__gc = finalizer}) end
    collectgarbage()
  end,
  function(depth, mine)
    if not module then return nest(depth) end
    return module.call(function(...) nest(depth) return ... end, mine, {}, {})
  end,
  function(depth, mine)
    if not module then return nest(depth) end
    return module.buffer(function() nest(depth) return mine end)
  end,
}

-- The collector somewhere in a cycle: one cycle to see how long it is, and a part of the next.
local length = 0
for _ = 1, random(0, 10) do tune() end
if chance(70) then
  small_steps()
  repeat length = length + 1 until collectgarbage("step", 0) or length == 20000
end
pool, harmless = nil, nil
if chance(25) then
  collectgarbage("generational")
  if chance(50) then collectgarbage("step", 0) end
elseif length > 0 and chance(50) then
  for _ = 1, random(length) do collectgarbage("step", 0) end
elseif length > 0 then -- when the heap begins to shrink it is being swept
  local count = collectgarbage("count")
  repeat length = length - 1 until collectgarbage("step", 0) or length < 0 or
    collectgarbage("count") < count
  for _ = 1, random(0, 30) do collectgarbage("step", 0) end
elseif chance(30) then
  emergency()
end
if chance(50) then collectgarbage("stop") end
nest(random(0, 4))
