-- A program that leaks on purpose in every way that Lua offers, and knows its own answer; the
-- program of the packed cores beside it (scripts/make-cores). Runs on Lua 5.4 and 5.5.
--
-- Every object of interest is tracked under a description that says where it is and what becomes of
-- it. All kinds of objects, all weak modes, coroutines in every state, finalizers, and the
-- collector in the middle of a cycle.
--
-- Protocol: prints READY and its size, and waits for a line (dump now). Then it prints what is
-- tracked, and again after one and after two full collections; of NEVER it says beforehand that no
-- collection takes them, because a weak table drops neither strings nor numbers.
collectgarbage("stop") -- or it would decide what is there to be dumped
local created = 0
local tracked = setmetatable({}, {__mode = "k"})
function TraceMem(object, description)
  created = created + 1
  tracked[object] = {description = description, time = 1700000000 + created}
  return object
end
registry_tracker = tracked
local track = TraceMem

-- 1. Listeners keep closures that keep npcs: one cause of many leaks.
local Npc = {}
Npc.__index = Npc
Npc.__name = "Npc"
local function new_npc(id)
  return track(setmetatable({id = id, hp = 100, pos = {x = id, y = -id}}, Npc), "npc#" .. id)
end
package.loaded["game.arena"] = {listeners = {}, members = {}}
local arena = package.loaded["game.arena"]
for id = 1, 20 do
  local npc = new_npc(id)
  arena.listeners[#arena.listeners + 1] = function() return npc.hp end
end

-- 2. Globals and other plain tables.
local function test()
  test_table = track({}, "forgotten global")
  return setmetatable(test_table, {})
end
test()
do
  local as_key = track({}, "held as key")
  by_key = {[as_key] = true}
  by_keys_value = {[{}] = track({}, "held as value of an object key")}
  by_meta = setmetatable({}, {hidden = track({}, "held by metatable")})
  numbers = {[1.5] = track({}, "held under a float"), [true] = track({}, "held under a boolean"),
    [print] = track({}, "held under a light function"), track({}, "held in an array")}
  debug.getregistry()["leaky.registered"] = track({}, "held by the registry")
  debug.setmetatable(print, {held = track({}, "held by a basic type's metatable")})
end
do
  local link = track({}, "end of a long list")
  for _ = 1, 300 do link = {next = link} end
  long_list = link
end

-- 3. Functions.
do
  local deep = track({}, "held by nested upvalue")
  local function inner() return deep end
  outer = function() return inner() end
  local first, second = track({}, "shared upvalue, first"), track({}, "shared upvalue, second")
  getter, setter = function() return first, second end, function(value) first = value end
  chunk = load("local held = ...; local function f() return held end return f", "=generated")
  generated = chunk(track({}, "held by a generated function"))
  local binary = string.dump(function(held) return function() return held end end, true)
  stripped = load(binary, "=stripped")(track({}, "held by a stripped function"))
  local iterator = string.gmatch("a b c", "%a")
  debug.setupvalue(iterator, 1, track({}, "held by an upvalue of a C function"))
  words = iterator
  track(function() return track end, "dead closure")
end
do
  local function recursive() return recursive end
  track(recursive, "dead recursive closure")
end

-- 4. Coroutines in every state.
parked = coroutine.create(function()
  local session = track({}, "coroutine local")
  coroutine.yield(session)
end)
coroutine.resume(parked)
crashed = coroutine.create(function()
  local buffer = track({}, "errored coroutine local")
  error("boom " .. tostring(buffer))
end)
coroutine.resume(crashed)
do
  local argument = track({}, "upvalue of a coroutine not started")
  waiting = coroutine.create(function() return argument end)
  thrown = coroutine.create(function() error(track({}, "error object of a coroutine")) end)
  coroutine.resume(thrown)
  finished = coroutine.create(function()
    local gone = track({}, "local of a finished coroutine")
  end)
  coroutine.resume(finished)
  closed = coroutine.create(function()
    local gone <close> =
      setmetatable(track({}, "local of a closed coroutine"), {__close = function() end})
    coroutine.yield()
  end)
  coroutine.resume(closed)
  coroutine.close(closed)
  wrapped = coroutine.wrap(function(...)
    local name = "vararg"
    coroutine.yield(...)
    return name
  end)
  wrapped(track({}, "vararg of a wrapped coroutine"))
  protected = coroutine.create(function()
    local outside = track({}, "local outside of pcall")
    pcall(function() local inside = track({}, "local inside of pcall"); coroutine.yield(inside) end)
    return outside
  end)
  coroutine.resume(protected)
  local function descend(depth)
    local mine = track({}, "local at depth " .. depth)
    if depth < 5 then return descend(depth + 1), mine end
    coroutine.yield()
  end
  recursing = coroutine.create(descend)
  coroutine.resume(recursing, 1)
end
do -- the closure holds the open upvalue and its value, not the coroutine
  local dead = coroutine.create(function()
    local open = track({}, "open upvalue of a dead coroutine")
    local other = track({}, "other local of a dead coroutine")
    holds_open = function() return open end
    coroutine.yield(other)
  end)
  coroutine.resume(track(dead, "dead coroutine"))
  local lonely
  lonely = coroutine.create(function()
    local me, mine = coroutine.running(), track({}, "local of a coroutine that holds itself")
    coroutine.yield(me, mine)
  end)
  coroutine.resume(track(lonely, "coroutine that holds itself"))
end

-- 5. Userdata.
do
  local file = track(io.open("/dev/null"), "open file")
  held_file = {file}
  local tagged = io.open("/dev/null") -- a metatable of its own
  local held = track({}, "held by the metatable of userdata")
  debug.setmetatable(tagged, {__name = "Tagged", held = held})
  held_tagged = {tagged}
  track(io.open("/dev/null"), "dropped file: finalizer")
end

-- 6. Garbage that no collection has seen yet, and cycles.
for id = 1, 5 do track({}, "garbage#" .. id) end
do
  local a, b = track({}, "dead cycle a"), track({}, "dead cycle b")
  a.b, b.a = b, a
  local c, d = track({}, "live cycle c"), track({}, "live cycle d")
  c.d, d.c = d, c
  cycle = c
end

-- 7. Finalizers: what they wait for goes one collection later.
do
  local mt = {__gc = function() end}
  for id = 1, 3 do track(setmetatable({}, mt), "finalizer#" .. id) end
  local held = track({}, "held by an object with a finalizer")
  track(setmetatable({held}, mt), "finalizer with a field")
  local also = track(setmetatable({}, mt), "finalizer, but held")
  finalized_alive = also
  local upvalue = track({}, "upvalue of a finalizer")
  track(setmetatable({}, {__gc = function() return upvalue end}), "finalizer, a closure")
  track(setmetatable({}, {__gc = false}), "finalizer field that is false")
end

-- 8. Ephemerons.
ephemeron = setmetatable({}, {__mode = "k"})
do
  local live = track({}, "ephemeron: live key")
  by_live = live
  local second = track({}, "ephemeron: value of live key, itself a key")
  ephemeron[live] = second
  ephemeron[second] = {track({}, "ephemeron: end of live chain")}
  local dead = track({}, "ephemeron: dead key")
  ephemeron[dead] = {dead, track({}, "ephemeron: value of dead key")}
  ephemeron.name = track({}, "ephemeron: under a string key")
  ephemeron[1] = track({}, "ephemeron: in the array")
  -- a chain across two tables, and one in a circle
  local other = setmetatable({}, {__mode = "k"})
  ephemeron_other = other
  local link = live
  for id = 1, 6 do
    local following = track({}, "ephemeron: link " .. id)
    local holder = id % 2 == 0 and ephemeron or other
    holder[link] = id % 2 == 0 and following or {following}
    link = following
  end
  local first = track({}, "ephemeron: circle, first")
  local last = track({}, "ephemeron: circle, last")
  ephemeron[first], ephemeron[last] = last, first
  local due = setmetatable(track({}, "ephemeron: key with finalizer"), {__gc = function() end})
  ephemeron[due] = track({}, "ephemeron: value of a key with finalizer")
end

-- 9. Weak values, and both.
cache = setmetatable({}, {__mode = "v"})
do
  cache.kept = track({}, "weak value, also strong")
  strong_ref = cache.kept
  cache.lost = track({}, "weak value only")
  cache[1] = "a string is never dropped " .. created
  cache[2] = track({}, "weak value in the array")
  -- the key is marked by the collection that drops its entry; the next one takes it
  local key = track({}, "key of a dropped weak value: one later")
  cache[key] = track({}, "weak value under an object")
  cache[track({}, "key of a kept weak value")] = strong_ref
  cache.due = setmetatable(track({}, "weak value with finalizer"), {__gc = function() end})
  both = setmetatable({}, {__mode = "kv"})
  local value
  key, value = track({}, "both weak: live key"), track({}, "both weak: live value")
  both_strong = {key, value}
  both[key] = value
  both[value] = track({}, "both weak: dead value of a live key")
  both[track({}, "both weak: dead key of a live value")] = value
end

-- 10. What no weak table drops.
local NEVER = {}
do
  for index, object in ipairs {"a string", ("a long string "):rep(5), 42, 1.5, true, print} do
    NEVER[index] = "never dropped#" .. index
    track(object, NEVER[index])
  end
end

local function list(title)
  local descriptions = {}
  for _, record in pairs(tracked) do descriptions[#descriptions + 1] = record.description end
  table.sort(descriptions)
  io.write(title, "\n")
  for _, description in ipairs(descriptions) do io.write("  ", description, "\n") end
end

-- The wait itself lies below a coroutine that has resumed another, with the collector in a cycle.
local function wait()
  if _VERSION == "Lua 5.4" then
    collectgarbage("incremental", 100, 20, 4)
  else
    collectgarbage("param", "stepsize", 100)
    collectgarbage("param", "stepmul", 20)
  end
  for _ = 1, 50 do collectgarbage("step", 0) end
  io.write("READY ", string.format("%.0f", collectgarbage("count") * 1024), "\n")
  io.flush()
  io.read()
  io.write("NEVER\n")
  for _, description in ipairs(NEVER) do io.write("  ", description, "\n") end
  list("BEFORE")
  collectgarbage()
  list("AFTER1")
  collectgarbage()
  list("AFTER2")
end
local resumer = coroutine.create(function()
  local normal = track({}, "local of a coroutine that has resumed another")
  local inner = coroutine.wrap(function()
    local running = track({}, "local of the running coroutine")
    wait()
    return running
  end)
  inner()
  return normal
end)
assert(coroutine.resume(resumer))
