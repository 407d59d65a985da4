-- Plants words that must not be seen with --redact, each with bytes around it that must never reach a
-- terminal. Says READY and waits.

local NASTY = "\27[31m\7\n\r\0\127\194\155\226\128\174\226\129\166\226\128\139\226\128\168\239\187\191\255\192\128"
local count = 0
local function nasty(word)
  count = count + 1
  return NASTY .. "planted" .. word .. NASTY
end

plantedtracker = setmetatable({}, {__mode = "k"})
plantedpile = {}
local function plantedtrack(object, word)
  plantedtracker[object] = {description = nasty(word), created = os.time() - count}
  plantedpile[#plantedpile + 1] = object
  return object
end

for i = 1, 30 do
  plantedtrack({plantedfield = nasty("value" .. i), [nasty("key" .. i)] = {nasty("inner")}}, "description" .. i)
end
_G[nasty("global")] = {[nasty("nested")] = plantedtrack({}, "held by a nasty key")}
package.loaded[nasty("module")] = {[nasty("function")] = function() return plantedpile end}
debug.getregistry()[nasty("registry")] = {nasty("in registry")}

local class = setmetatable({}, {__name = nasty("class")})
class.__index = class
class.__name = nasty("class")
plantedobjects = {}
for i = 1, 20 do
  plantedobjects[i] = setmetatable({plantedname = nasty("object" .. i)}, class)
end

-- Names of chunks, of functions in them, and errors.
plantedfunctions = {
  load("local plantedupvalue = {} return function(plantedargument) return plantedupvalue end",
       "@" .. nasty("file") .. "/plantedpath.lua")(),
  load("return function() return 'plantedconstant' end", "=" .. nasty("chunk"))(),
  load("return function() --[[plantedsource]] return 1 end")(),
}
plantederror = coroutine.create(function() error(nasty("error"), 0) end)
coroutine.resume(plantederror)
plantedasleep = coroutine.create(load(
  "local plantedlocal, other = ... ; local plantedtable = {[plantedlocal] = other} ; coroutine.yield(plantedlocal)",
  "@" .. nasty("sleeper")))
coroutine.resume(plantedasleep, nasty("local"), {plantedtrack({}, "local of a coroutine")})
plantedgarbage = nil
for i = 1, 5 do plantedtrack({}, "garbage"); plantedpile[#plantedpile] = nil end
local plantedlong = {}
for i = 1, 3 do plantedlong[i] = nasty("long") .. string.rep("plantedrepetition ", 20) end

io.write("READY\n")
io.flush()
io.read()
