-- A game server that leaks on purpose and knows its own answer: the target of scripts/demo.
--   lua5.4 cores/game_server.lua [SCRIPTS]          SCRIPTS: folder of leakwatch.lua
--
-- Two hours of a server's life, played in a moment on a simulated clock that ends now: players log
-- in, join rooms, listen to events, trade, fight and leave. Every player, session, trade, ticket
-- and connection is tracked; what is over is retired. Five mistakes keep some of them alive:
--
--   1. room.leave() takes a session off the list of seats, but not out of `members`
--   2. whoever asks for a quest leaves a listener behind, a closure that holds the player
--   3. trade() forgot a `local`: the last trade sits in a global
--   4. matchmaking coroutines wait for ever for players who left
--   5. the scoreboard's closure keeps its best fights, and with them their connections
--
-- Protocol: prints READY and waits for a line (dump now). Then it collects in full, twice, and
-- prints after each how many of each kind are still there. The same on every run, times excepted.

local scripts = arg[1] or (arg[0]:match("^(.*)/") or ".") .. "/../scripts"
package.path = scripts .. "/?.lua;" .. package.path
local leakwatch = require "leakwatch"

local HOURS, LOGINS, ONLINE = 2, 1500, 40

collectgarbage("stop") -- until the dump, so that it holds the same garbage on every run

local start = os.time() - HOURS * 3600
local now = start
leakwatch.configure {clock = function() return now end}
leakwatch.install() -- the global TraceMem

local seed = 12345
local function random(n) -- the same numbers on every Lua
  seed = seed * 16807 % 2147483647
  return seed % n + 1
end

local function module(name)
  local m = {}
  package.loaded[name] = m
  return m
end

-- game.events: who wants to be told of what
local events = module "game.events"
events.listeners = {quest = {}, chat = {}}

function events.on(name, listener)
  local list = events.listeners[name]
  list[#list + 1] = listener
  return function() -- takes the listener off again
    for i = #list, 1, -1 do
      if list[i] == listener then table.remove(list, i) end
    end
  end
end

-- game.room: rooms have seats, and members
local room = module "game.room"
do
  local rooms = {lobby = {seats = {}, members = {}}, arena = {seats = {}, members = {}}}

  function room.join(name, session)
    local r = rooms[name]
    r.seats[session.player.id] = session
    if name == "lobby" then r.members[#r.members + 1] = session end
    session.room = name
  end

  function room.leave(session)
    rooms[session.room].seats[session.player.id] = nil -- mistake 1: and `members`?
  end
end

-- game.scoreboard
local scoreboard = module "game.scoreboard"
do
  local best = {}

  function scoreboard.record(fight)
    if fight.score > 97 then best[#best + 1] = fight end -- mistake 5: keeps fight.connection
  end
end

-- game.trade
local trades = module "game.trade"
function trades.trade(a, b)
  trade = TraceMem({from = a.name, to = b.name, items = {"sword", "shield"}}, "trade") -- mistake 3
  leakwatch.retire(trade)
end

-- game.match: a coroutine for each player who looks for an opponent of equal rank
local match = module "game.match"
match.waiting = {}

function match.seek(player)
  local rank = player.id % 7
  local search = coroutine.create(function()
    local ticket = TraceMem({player = player.name, rank = rank}, "match ticket")
    local opponent = coroutine.yield(ticket)
    return ticket, opponent
  end)
  coroutine.resume(search)
  local other = match.waiting[rank] -- mistake 4: who leaves meanwhile is never taken off
  if other then
    match.waiting[rank] = nil
    for _, found in ipairs {search, other} do
      local _, ticket = coroutine.resume(found, "an opponent")
      leakwatch.retire(ticket)
    end
  else
    match.waiting[rank] = search
  end
end

-- game.player
local Player = module "game.player"
Player.__index = Player
Player.__name = "Player"

local Connection = module "game.connection"
Connection.__index = Connection
Connection.__name = "Connection"
Connection.__gc = function(connection) connection.closed = true end

local Session = module "game.session"
Session.__index = Session
Session.__name = "Session"

local function login(id)
  local player = TraceMem(setmetatable({
    id = id, name = "player" .. id, hp = 100,
    position = {x = random(100), y = random(100)}, inventory = {"lamp", "rope", "map"},
  }, Player), "player")
  local connection = TraceMem(setmetatable({
    address = "10.0.3." .. id % 250, buffer = {},
  }, Connection), "connection")
  local session = TraceMem(setmetatable({
    player = player, connection = connection, since = now,
  }, Session), "session")

  room.join(random(8) == 1 and "lobby" or "arena", session)
  session.unsubscribe = events.on("chat", function(text)
    connection.buffer[#connection.buffer + 1] = text
  end)
  if random(10) == 1 then
    events.on("quest", function() return player.hp end) -- mistake 2: nobody ever takes it off
  end
  if random(20) == 1 then match.seek(player) end
  return session
end

local function logout(session)
  room.leave(session)
  session.unsubscribe()
  leakwatch.retire(session.connection)
  leakwatch.retire(session.player)
  leakwatch.retire(session)
  session.player.last_seen = now
end

-- Two hours, in which the collector runs as it would.
online = {}
for id = 1, LOGINS do
  now = start + math.floor(id / LOGINS * HOURS * 3600)
  local session = login(id)
  online[#online + 1] = session
  scoreboard.record {connection = session.connection, score = random(100)}
  if id % 50 == 0 then trades.trade(online[1].player, session.player) end
  if #online > ONLINE then logout(table.remove(online, 1)) end
end

local function count(label)
  local kinds = {}
  for _, record in pairs(leakwatch.tracker) do
    kinds[record.description] = (kinds[record.description] or 0) + 1
  end
  local names = {}
  for name in pairs(kinds) do names[#names + 1] = name end
  table.sort(names)
  for _, name in ipairs(names) do io.write(label, " ", kinds[name], " ", name, "\n") end
  io.flush()
end

io.write("READY\n")
io.flush()
io.read()
count("BEFORE")
collectgarbage()
count("AFTER1")
collectgarbage()
count("AFTER2")
