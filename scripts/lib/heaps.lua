-- The heaps that scripts/bench measures, in a process that waits to be dumped:
--   lua5.4 scripts/lib/heaps.lua HEAP SIZE [FOLDER OF heapmodule.so]
-- SIZE is about the number of objects. Everything stays live, and collections of the whole heap free
-- nothing. Every heap has a tracker as users write it (a weak-keyed table, object -> {desc, time})
-- and a small leak, a list that nobody remembers, so that `leaks` has causes to find.
--
-- The process prints READY, then serves one command a line on standard input:
--   mode MODE      makes the collector generational or incremental, and answers with what it was
--   collect        runs collectgarbage() and answers with the seconds of CPU time it took
--   search FILE    runs the Lua program FILE and answers with what it returns
--   quit           ends, as end of file does, without freeing the heap
--
-- The heap grows and ages under the interpreter's own setting: lua5.4 turns the generational mode on,
-- while a program that embeds Lua is incremental unless it says otherwise. A full collection costs
-- more in the first. The random numbers are always the same.

math.randomseed(1, 2)

local tracker = setmetatable({}, {__mode = "k"})
watch = tracker                    -- trackers are found without a name; this one helps when reading
forgotten = {}                     -- the leak
local START = os.time() - 7200

local function track(object, desc)
  tracker[object] = {desc = desc, time = START + math.random(0, 7199)}
  return object
end

-- Each heap leaves what it makes in this global.
world = {}

-- A game: entities with a position, an inventory, a name and callbacks. Every fourth belongs to
-- another entity and has a list of effects; the others belong to one of some players. 9.25 objects
-- for each entity, its record in the tracker included.
local function game_spawner(count)
  local players = {}
  for i = 1, math.max(1, count // 100) do players[i] = {name = "player " .. i, slot = i} end
  world.players = players
  local entities, id = {}, 0
  world.entities = entities

  local function spawn()
    id = id + 1
    local entity = {
      id = id, name = "npc number " .. id, hp = 100,
      pos = {x = id, y = -id}, inventory = {id % 7, id % 11, id % 13},
    }
    function entity.on_hit(damage) entity.hp = entity.hp - damage end
    function entity.on_tick() return entity.pos, players end
    if id % 4 == 0 then
      entity.owner, entity.effects = entities[math.random(math.max(1, #entities))], {}
    else
      entity.owner = players[math.random(#players)]
    end
    return track(entity, "entity " .. id)
  end

  for i = 1, count do entities[i] = spawn() end
  for i = 1, math.max(1, count // 100) do forgotten[i] = spawn() end
  return spawn
end

local heaps = {}

function heaps.game(size) game_spawner(size // 10) end

-- The game after a while: three times as many entities have come and gone at random places as there
-- are, the collector running. Memory is no longer in the order of the lists, and of the dead some
-- are still owners.
function heaps.churn(size)
  local count = size // 10
  local spawn, entities = game_spawner(count), world.entities
  for _ = 1, 3 * count do entities[math.random(count)] = spawn() end
end

-- What the other heaps leak: small tables; of the heap itself, up to three objects are watched.
local function leak_some(size, first, middle, last)
  for i = 1, math.max(1, size // 10000) do
    forgotten[i] = track({number = i}, "session " .. i)
  end
  for desc, object in pairs({first = first, middle = middle, last = last}) do
    track(object, desc)
  end
end

function heaps.list(size)
  local last = {value = 0}
  local head, middle = last, last
  for i = 1, size - 1 do
    head = {next = head, value = i}
    if i == size // 2 then middle = head end
  end
  world.head = head
  leak_some(size, head, middle, last)
end

-- For 6 million objects: an array of 10 million, every tenth a table, and a hash of 5 million.
function heaps.table(size)
  local array, hash = {}, {}
  for i = 1, size * 10 // 6 do array[i] = i % 10 == 0 and {x = i, y = i} or i end
  for i = 1, size * 5 // 6 do hash["key " .. i] = i end
  world.array, world.hash = array, hash
  leak_some(size, array, array[#array // 20 * 10], hash)
end

-- For 4.3 million objects: a million closures with two upvalues of their own, one of them a table,
-- and 100 thousand suspended coroutines.
function heaps.closures(size)
  local closures, coroutines = {}, {}
  local function counter(start)
    local count, log = start, {}
    return function() count = count + 1 return count, log end
  end
  local function waiter(name)
    return coroutine.create(function() while true do coroutine.yield(name) end end)
  end
  for i = 1, size * 10 // 43 do closures[i] = counter(i) end
  for i = 1, math.max(1, size // 43) do
    coroutines[i] = waiter(closures[i])
    coroutine.resume(coroutines[i])
  end
  world.closures, world.coroutines = closures, coroutines
  leak_some(size, closures[1], closures[#closures // 2], coroutines[#coroutines])
end

function heaps.strings(size)
  local strings = {}
  for i = 1, size do
    strings[i] = i % 8 == 0 and ("a longer text, for a log or for a wire, with the number " .. i)
      or "string " .. i
  end
  world.strings = strings
  leak_some(size, strings)
end

-- Userdata as a binding makes them: a metatable for each class with methods, and two user values, a
-- table of their own and the object before. Every fourth class has a finalizer.
function heaps.userdata(size, folder)
  assert(folder, "the heap userdata needs the folder of heapmodule.so")
  package.cpath = folder .. "/?.so"
  local make = require("heapmodule").userdata
  local classes, objects = {}, {}
  for i = 1, 8 do
    local class = {__name = "Class" .. i, __gc = i % 4 == 0 and function() end or nil}
    class.__index = class
    function class.method() return class end
    classes[i] = class
  end
  for i = 1, size // 2 do
    local object = make(24, 2, classes[i % 8 + 1])
    debug.setuservalue(object, {i}, 1)
    debug.setuservalue(object, objects[i - 1], 2)
    objects[i] = object
  end
  world.classes, world.objects = classes, objects
  leak_some(size, objects[1], objects[#objects // 2], objects[#objects])
end

local name, size, folder = arg[1], math.tointeger(tonumber(arg[2])), arg[3]
if not (heaps[name] and size) then
  io.stderr:write("usage: lua5.4 heaps.lua HEAP SIZE [FOLDER]; heaps:")
  for known in pairs(heaps) do io.stderr:write(" ", known) end
  io.stderr:write("\n")
  os.exit(2)
end
heaps[name](size, folder)
collectgarbage()
collectgarbage()
print("READY")
io.flush()

for line in io.lines() do
  local command, argument = line:match("^(%a+) ?(.*)$")
  if command == "mode" then
    print(collectgarbage(argument))
  elseif command == "collect" then
    local start = os.clock()
    collectgarbage()
    print(string.format("%.6f", os.clock() - start))
  elseif command == "search" then
    print(assert(loadfile(argument))())
  else
    break
  end
  io.flush()
end
os.exit(0, false)
