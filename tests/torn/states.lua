-- states.lua SCENARIO - puts a heap through one kind of operation between BEGIN and END.
--
-- Every tracked object's description says what is true of it at every instruction in between:
--   keep ...   something always refers to it: it is leaked
--   drop ...   nothing refers to it any more: it is garbage, or already gone
--   due ...    only its finalizer is left: it is due, garbage or gone
--   loose ...  both may be true
local leakwatch = dofile((arg[0]:gsub("[^/]*$", "../../scripts/leakwatch.lua")))
local track = leakwatch.track

io.stderr:setvbuf("no")
local function begin() io.stderr:write("BEGIN\n") end
local function finish() io.stderr:write("END\n") end

-- Overwrites what earlier calls left above the top of the stack.
local function wipe(n)
  local a, b, c, d, e, f, g, h, i, j, k, l, m, o, p, q, r, s, t, u, v, w, x, y, z
  local A, B, C, D, E, F, G, H, I, J, K, L, M, N, O, P, Q, R, S, T, U, V, W, X, Y, Z
  if n > 0 then return (wipe(n - 1)) end
end

-- Objects of every kind that nothing refers to.
local function drop(count)
  for i = 1, count do
    local table = track({i, name = "n" .. i}, "drop table " .. i)
    local inner = function() return table end
    track(inner, "drop function " .. i)
    local thread = coroutine.create(function() coroutine.yield(table) end)
    coroutine.resume(thread)
    track(thread, "drop thread " .. i)
  end
end

local function due(count)
  local meta = {__gc = function() end}
  for i = 1, count do track(setmetatable({}, meta), "due " .. i) end
end

local scenarios = {}

-- The hash part grows, one key after the other.
function scenarios.hash()
  collectgarbage("stop") -- not now
  drop(2)
  held = {}
  local names = {}
  for i = 1, 40 do names[i] = "key" .. i end
  local objects = {}
  for i = 1, 40 do objects[i] = {i} end
  for i = 1, 3 do held[names[i]] = track({}, "keep field " .. i) end
  held[track({}, "keep key")] = true
  wipe(20)
  begin()
  for i = 5, 34 do held[names[i]] = objects[i] end
  finish()
end

-- The array part grows; then values move from the hash part into it.
function scenarios.array()
  collectgarbage("stop") -- not now
  drop(2)
  held = {}
  for i = 1, 7 do held[i] = track({}, "keep index " .. i) end
  held.field = track({}, "keep field")
  local moving = {}
  for i = 9, 2, -1 do moving[i] = track({}, "keep moving " .. i) end
  moved = moving
  small = {{track({}, "keep only 1")}, {track({}, "keep only 2")}, {track({}, "keep only 3")}}
  wipe(20)
  begin()
  for i = 1, 3 do small[i][2] = i end
  for i = 8, 40 do held[i] = i end
  moving[1] = 1
  moving[10] = 1
  moving[11] = 1
  finish()
end

-- An array part that is mostly empty becomes a hash part: the vanishing slice is reinserted.
function scenarios.shrink()
  collectgarbage("stop") -- not now
  drop(2)
  held = {}
  local marks = {}
  for i = 1, 64 do held[i] = i end
  held[60] = track({}, "keep slice 60")
  held[33] = track({}, "keep slice 33")
  held[2] = track({}, "keep index 2")
  held.field = track({}, "keep field")
  for i = 1, 64 do
    if type(held[i]) ~= "table" then held[i] = nil end
  end
  wipe(20)
  begin()
  held.a, held.b, held.c = 1, 2, 3
  held.d, held.e = 4, 5
  finish()
end

-- The stack of a coroutine grows, below many calls and open upvalues.
function scenarios.stack()
  collectgarbage("stop") -- not now
  drop(2)
  local numbers = {}
  for i = 1, 150 do numbers[i] = i end
  local function deep(n, object)
    local own = object
    local function open() return own end
    if n == 0 then
      coroutine.yield()
      local count = select("#", table.unpack(numbers))
      coroutine.yield()
      return count
    end
    return deep(n - 1, track({}, "keep local " .. n)) + (open() and 1 or 0)
  end
  parked = coroutine.create(function(object)
    local result = deep(30, object)
    coroutine.yield(result)
  end)
  local passed = track({}, "keep argument")
  coroutine.resume(parked, passed)
  wipe(20)
  begin()
  coroutine.resume(parked)
  finish()
  return passed
end

-- Coroutines are created, pass values, end, fail.
function scenarios.coroutines()
  collectgarbage("stop") -- not now
  drop(2)
  held = {}
  local body = function(a, b)
    local c = coroutine.yield(a)
    return b, c
  end
  local first = track({}, "keep first")
  held[1] = first
  local fails = function() error("on purpose") end
  wipe(20)
  begin()
  for i = 1, 3 do
    local thread = coroutine.create(body)
    coroutine.resume(thread, first, i)
    coroutine.resume(thread, i)
    coroutine.resume(coroutine.create(fails))
  end
  for value in coroutine.wrap(function() coroutine.yield(first) end) do held[2] = value end
  finish()
end

local function mixed()
  weak = setmetatable({}, {__mode = "v"})
  ephemeron = setmetatable({}, {__mode = "k"})
  held = {track({}, "keep index"), name = track({}, "keep field")}
  weak[1] = held[1]
  ephemeron[held[1]] = track({}, "keep by ephemeron")
  local inner = track({}, "keep by upvalue")
  held.call = function() return inner end
  held.meta = setmetatable({}, {__index = track({}, "keep by metatable"), __gc = function() end})
  held.thread = coroutine.create(function(a) local b = a coroutine.yield() return b end)
  coroutine.resume(held.thread, track({}, "keep by thread"))
  drop(4)
  due(3)
  weak[2] = track({}, "drop by weak value")
end

function scenarios.collect()
  mixed()
  wipe(20)
  begin()
  collectgarbage()
  finish()
end

function scenarios.generational()
  collectgarbage("generational")
  mixed()
  wipe(20)
  begin()
  collectgarbage("step", 0)
  held.more = {}
  collectgarbage("step", 0)
  finish()
end

function scenarios.steps()
  mixed()
  collectgarbage("incremental", 100, 100, 8)
  wipe(20)
  begin()
  for i = 1, 60 do
    collectgarbage("step", 0)
    held.last = {held.last and i}
  end
  finish()
end

-- Finalizers are called; some bring objects back.
function scenarios.finalizers()
  held = {}
  local meta = {__gc = function(object) held[#held + 1] = object.name and {} end}
  for i = 1, 4 do setmetatable({name = track({}, "loose finalized " .. i)}, meta) end
  held.own = track({}, "keep own")
  wipe(20)
  begin()
  collectgarbage()
  setmetatable({}, meta)
  finish()
end

-- A chunk is compiled from a reader function.
function scenarios.parser()
  collectgarbage("stop") -- not now
  drop(2)
  held = track({}, "keep global")
  local local_object = track({}, "keep local")
  local parts = {"local a, b, c = 1, 'two', {3, four = 5}\n", "local function f(x, y) return x",
                 " + y end\n", "for i = 1, 10 do print(i, f(i, a)) end ::label:: ",
                 "return f, a, b, c, 'a long string that is longer than forty characters'"}
  local at = 0
  wipe(20)
  begin()
  local chunk = load(function() at = at + 1 return parts[at] end)
  local text = string.dump(chunk)
  local again = load(text, "binary", "b")
  finish()
  return local_object, again
end

-- Strings, closures, userdata, concatenations, metatables set on new objects: whatever allocates.
function scenarios.objects()
  held = {track({}, "keep index")}
  drop(2)
  local upvalue = track({}, "keep upvalue")
  local call = function() return upvalue end
  local meta = {__gc = function() end, __close = function() end}
  wipe(20)
  begin()
  for i = 1, 4 do
    local text = ("x"):rep(30 + 20 * i) .. i
    local f = function() return text, upvalue end
    local t = setmetatable({f, text, i}, meta)
    local packed = table.pack(table.unpack(t))
    table.insert(held, i, packed)
    table.sort({3, 1, 2})
    local ok, message = pcall(error, {text})
    held[#held + 1] = string.format("%s %d %q", text, i, text)
    held.file = io.tmpfile and nil
    select(2, f())
    table.remove(held)
    string.gsub(text, "x", {x = "y"}, 3)
    do local c <close> = setmetatable({}, meta) end
  end
  finish()
  return call
end

-- A running function holds an object in a register only, above the top of the stack as it was last
-- set; and is on a line that its saved program counter does not say.
function scenarios.frame()
  drop(2)
  local function run(holder, a, b, c)
    begin()
    local object = holder[1]
    holder[1] = nil
    while a < 1000000 do a = a + 1; b = c - a; c = b end -- the line that runs
    return object
  end
  wipe(20)
  run({track({}, "keep register")}, 1, 2, 3)
  finish()
end

-- The allocator refuses (host.c): everything is collected in the middle of an allocation.
function scenarios.emergency()
  mixed()
  local names = {}
  for i = 1, 12 do names[i] = "name" .. i end
  local part = {track({}, "keep part")}
  held.part = part
  wipe(20)
  begin()
  refuse(1)
  for i = 1, 9 do part[names[i]] = i end
  refuse(2)
  part[2], part[3], part[4] = {}, {}, {}
  refuse(1)
  coroutine.wrap(function() wipe(30) end)()
  finish()
end

-- The VM is closed.
function scenarios.close()
  mixed()
  wipe(20)
  local sentinel = setmetatable({}, {__gc = function() begin() end})
  os.exit(true, true)
end

-- Everything at once, for random instructions.
function scenarios.random()
  mixed()
  local rounds = 0
  local function deep(n, object) return n > 0 and deep(n - 1, object) or object end
  wipe(20)
  begin()
  while true do
    rounds = rounds + 1
    local t = {}
    for i = 1, 9 + rounds % 23 do t[i] = {i} end
    for i = 1, 5 + rounds % 29 do t["k" .. (i * rounds) % 97] = i end
    held.part = t
    held["f" .. rounds % 41] = deep(rounds % 37, t)
    local thread = coroutine.wrap(function(a) for i = 1, 3 do a = coroutine.yield({a}) end end)
    thread(t)
    thread(rounds)
    local f = load("local a = ... return function() return a, " .. rounds .. " end")
    held.made = f(t)
    setmetatable(t, {__gc = function() end, __mode = rounds % 2 == 0 and "k" or nil})
    if rounds % 50 == 0 then collectgarbage(rounds % 100 == 0 and "generational" or "incremental") end
    for k in pairs(held) do if type(k) == "string" and k:sub(1, 1) == "f" then held[k] = nil break end end
  end
end

local scenario = assert(scenarios[arg[1]], "no such scenario")
scenario()
