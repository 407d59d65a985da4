-- Objects whose class is known in advance, of every kind of evidence; waits at READY.
-- Each is counted by the test: see test_heap.py.
local keep = {}
local function many(count, make)
  for _ = 1, count do keep[#keep + 1] = make() end
end

-- by __name, which comes before a path
Named = {__name = "given\27name"}
Named.__index = Named
many(11, function() return setmetatable({}, Named) end)

-- by path: a global class, one in a module, one in a table of a module, one by its __index only
Global = {}
Global.__index = Global
many(12, function() return setmetatable({}, Global) end)
package.loaded["game.npc"] = {Npc = {}, deep = {State = {}}}
local Npc = package.loaded["game.npc"].Npc
local State = package.loaded["game.npc"].deep.State
Npc.__index, State.__index = Npc, State
alias = {also = {here = Npc}} -- a longer path to the same
many(13, function() return setmetatable({}, Npc) end)
many(14, function() return setmetatable({}, State) end)
OnlyIndex = {}
many(15, function() return setmetatable({}, {__index = OnlyIndex}) end)
-- a library for classes that keeps the metatable in a field of the class
Middle = {name = "Middle", __instanceDict = {}}
many(16, function() return setmetatable({}, Middle.__instanceDict) end)
-- of two names the first in the order of text
for _, name in ipairs {"Twin3", "Twin1", "Twin2"} do _G[name] = Twin3 or {} end
many(36, function() return setmetatable({}, Twin3) end)
-- a class that is only inherited from has no name of its own
do
  local Hidden = {only_hidden = true}
  Inherits = {__index = Hidden}
  many(38, function() return setmetatable({in_hidden = 1}, {__index = Hidden}) end)
end
-- an environment is no object of a class
many(17, function() return setmetatable({only_here = 1, in_environment = 2}, {__index = _G}) end)

-- userdata by the name of its metatable in the registry
do
  local metatable = {}
  debug.getregistry()["My.Userdata"] = metatable
  many(18, function() return debug.setmetatable(io.tmpfile(), metatable) end)
end

-- functions and coroutines, by the line after the next
many(19, function()
  return function() return keep end
end)
many(20, function()
  return coroutine.create(function() coroutine.yield() end)
end)
many(21, function()
  local started = coroutine.create(function() coroutine.yield() end)
  coroutine.resume(started)
  return started
end)

-- tables by shape
many(22, function() return {desc = "x", time = 1} end)
many(23, function() return {1, 2, 3} end)
many(24, function() return {"a", "b"} end)
many(25, function() return {{desc = 1, time = 2}, {desc = 3, time = 4}} end) -- 50 more of {desc, time}
many(26, function() return {1, "a"} end)
many(27, function() return {[1.5] = true, [7] = false} end)
many(28, function() return {[io.stdout] = 1} end)
many(29, function() return {["not an identifier " .. #keep] = "x"} end)
many(30, function() return {{{}}} end) -- and 30 of [{}]
many(31, function() return {{1}, {a_field = 1}} end) -- arrays and others; 31 more of [number]
many(32, function()
  return {f01 = 1, f02 = 1, f03 = 1, f04 = 1, f05 = 1, f06 = 1, f07 = 1, f08 = 1, f09 = 1, f10 = 1}
end)
many(33, function() return {[true] = 1} end)
many(34, function() return {print, function() end} end)
many(35, function() return {constant = 1, ["data" .. #keep] = 2} end)
many(37, function() return {{b_field = 1}, {c_field = 2}} end) -- 37 more of [table]

io.write("READY\n")
io.flush()
io.read()
