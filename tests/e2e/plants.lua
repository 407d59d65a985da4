-- A game server and its gateway with a million live objects, and perhaps a leak among them; no
-- tracker anywhere. The program knows what it planted.
--   lua5.4 plants.lua KIND ENTRIES [FOLDER]     KIND: none, module, upvalue, registry, references,
--                                               coroutines, dead, cache, list, rooms
-- FOLDER is that of heapmodule.so, for `references`, which are made by luaL_ref itself.
-- The server is ten times as large, in objects, as the plant has entries; large tables, lists,
-- caches, coroutines, closures and strings that are meant to be there are part of it.
-- Protocol: prints "READY live=BYTES planted=BYTES objects=...", then waits for a line (dump now).

local kind, entries = arg[1], tonumber(arg[2])
local scale = entries / 100000
local function many(n) return math.max(1, math.floor(n * scale)) end

local seed = 20240229
local function random(n)
  seed = seed * 16807 % 2147483647
  return seed % n + 1
end

local function module(name)
  local m = {}
  package.loaded[name] = m
  return m
end

local function word(n)
  local letters = {}
  for i = 1, n do letters[i] = string.char(96 + random(26)) end
  return table.concat(letters)
end

collectgarbage("incremental", 150, 400)

-- ---- Data that is loaded at the start

local config = module "game.config"
config.items = {}
for id = 1, many(15000) do
  config.items[id] = {id = id, name = "item " .. id, price = id % 997,
                      stats = {attack = id % 7, defense = id % 11}, tags = {"tag" .. id % 40, "all"}}
end
config.monsters = {}
for id = 1, many(3000) do
  config.monsters["monster_" .. id] = {hp = id, loot = {id, id + 1, id + 2}, name = "Monster " .. id}
end

local i18n = module "game.i18n"
i18n.texts = {}
for _, language in ipairs {"en", "de", "fr"} do
  local texts = {}
  for id = 1, many(30000) do texts["text." .. id] = language .. ": sentence number " .. id .. " of them" end
  i18n.texts[language] = texts
end

local filter = module "chat.filter" -- a trie of words
filter.root = {}
for _ = 1, many(9000) do
  local node = filter.root
  for letter in word(6):gmatch "." do
    node[letter] = node[letter] or {}
    node = node[letter]
  end
  node.ends = true
end

local map = module "game.map"
map.cells = {}
local side = math.floor(250 * math.sqrt(scale))
for y = 1, side do
  local row = {}
  for x = 1, side do row[x] = {x = x, y = y, terrain = (x * y) % 9} end
  map.cells[y] = row
end

-- ---- The world

local world = module "game.world"
world.zones = {}
for id = 1, many(250) do
  local zone = {id = id, name = "zone " .. id, npcs = {}, players = {}}
  for n = 1, 150 do
    zone.npcs[n] = {id = n, hp = 100, pos = {x = n, y = id}, path = {1, 2, 3}, home = zone}
  end
  world.zones[id] = zone
end

local Player = {}
Player.__index = Player
Player.__name = "Player"
local players = module "game.players"
players.by_id, players.by_name, players.online = {}, {}, 0
for id = 1, many(7500) do
  local zone = world.zones[random(#world.zones)]
  local player = setmetatable({
    id = id, name = "player" .. id, pos = {x = id, y = id}, zone = zone, inventory = {}, quests = {},
    friends = {}, stats = {kills = 0, deaths = 0},
  }, Player)
  for slot = 1, 6 + id % 6 do
    player.inventory[slot] = {item = config.items[random(#config.items)], count = slot}
  end
  for n = 1, 4 do player.quests[n] = {quest = n, state = "open", note = "quest " .. n .. " of " .. id} end
  player.on_damage = function(amount) player.stats.deaths = player.stats.deaths + amount end
  players.by_id[id], players.by_name[player.name] = player, player
  zone.players[#zone.players + 1] = player
  players.online = players.online + 1
end

-- ---- The gateway: a session and a coroutine for each connection that is open

local gateway = module "gateway.sessions"
gateway.sessions = {}
local function serve(session)
  while true do
    local request = coroutine.yield()
    if not request then break end
    session.requests = session.requests + 1
  end
end
for id = 1, many(4000) do
  local session = {id = id, address = "10.0." .. id % 256 .. "." .. id % 199, requests = 0,
                   player = players.by_id[id], inbox = {}, outbox = {}}
  session.task = coroutine.create(serve)
  coroutine.resume(session.task, session)
  gateway.sessions[id] = session
end

local routes = module "gateway.routes"
routes.list = {}
for id = 1, many(25000) do
  local path, limit = "/api/v1/resource/" .. id, id % 100
  routes.list[path] = {method = id % 2 == 0 and "GET" or "POST", path = path,
                       handle = function(request) return request, limit end}
end

local cache = module "gateway.lru" -- bounded: a map and a list of the same entries
do
  local by_key, head = {}, nil
  for id = 1, many(10000) do
    local key = "page:" .. id
    local entry = {key = key, value = ("<p>%d</p>"):format(id):rep(10), next = head}
    if head then head.previous = entry end
    head = entry
    by_key[key] = entry
  end
  function cache.get(key) return by_key[key] end
  function cache.first() return head end
end

-- ---- What grows and shrinks in the life of a server

local chat = module "chat.channels"
for id = 1, 50 do
  local ring = {}
  for n = 1, many(900) do ring[n] = {from = "player" .. random(6000), text = "message " .. random(1e6), at = n} end
  chat["channel" .. id] = ring
end

local boards = module "game.leaderboards"
boards.all = {}
for id = 1, 20 do
  local board = {}
  for rank = 1, many(3000) do board[rank] = {name = "player" .. random(6000), score = 1e6 - rank} end
  boards.all["board " .. id] = board
end

local events = module "game.events"
events.listeners = {}
for _, name in ipairs {"tick", "login", "logout", "damage", "trade", "chat"} do
  local list = {}
  for id = 1, many(4000) do
    local count = 0
    list[id] = function() count = count + id end
  end
  events.listeners[name] = list
end

local timers = module "game.timers"
timers.heap = {}
for id = 1, many(25000) do timers.heap[id] = {at = random(1e6), call = function() return id end} end

-- ---- The plants

local plant = {}

function plant.none() end

local function entry(i) return {id = i, payload = ("payload of entry %d, %s"):format(i, word(40))} end

function plant.module() -- a table of a module that is only ever added to
  local audit = module "game.audit"
  audit.entries = {}
  for i = 1, entries do audit.entries[#audit.entries + 1] = entry(i) end
end

function plant.upvalue() -- a local of a module that its functions keep
  local metrics = module "game.metrics"
  local seen = {}
  function metrics.record(i) seen[#seen + 1] = entry(i) end
  for i = 1, entries do metrics.record(i) end
end

-- lauxlib.c, luaL_ref, of Lua 5.4.3 and later: a list of free references begins at 3
local function reference(value)
  local registry, free = debug.getregistry(), 3
  if registry[free] == nil then registry[free] = 0 end
  local number = registry[free]
  if number ~= 0 then
    registry[free] = registry[number]
  else
    number = rawlen(registry) + 1
  end
  registry[number] = value
  return number
end

function plant.registry() -- references that C code takes and never gives back
  for i = 1, entries do reference(entry(i)) end
end

function plant.references()
  package.cpath = arg[3] .. "/?.so"
  local heapmodule = require "heapmodule"
  for i = 1, entries do heapmodule.reference(debug.getregistry(), entry(i)) end
end

function plant.coroutines() -- coroutines that wait for what never comes
  local jobs = module "game.jobs"
  jobs.waiting = {}
  local function job(request)
    local answer = coroutine.yield(request.id)
    return request, answer
  end
  for i = 1, entries do
    local task = coroutine.create(job)
    coroutine.resume(task, {id = i})
    jobs.waiting[i] = task
  end
end

function plant.dead() -- coroutines that failed, whose stacks stay, known to the registry alone
  local function job(request)
    local copy = {id = request.id}
    error("job " .. copy.id .. " failed")
  end
  for i = 1, entries do
    local task = coroutine.create(job)
    coroutine.resume(task, {id = i})
    reference(task)
  end
end

function plant.cache() -- answers by request, and no request is like another
  local answers = {}
  module "gateway.answers".answers = answers
  for i = 1, entries do
    answers["/api/v1/user/" .. i .. "?token=" .. word(12)] = {status = 200, body = "hello, user " .. i}
  end
end

function plant.list() -- a linked list that nobody empties
  local log = module "game.log"
  for i = 1, entries do log.last = {line = "line " .. i, before = log.last} end
end

function plant.rooms() -- many small leaks: each zone remembers who ever came
  local each = entries // #world.zones
  for _, zone in ipairs(world.zones) do
    zone.visits = {}
    for i = 1, each do zone.visits[i] = {who = "player" .. random(6000), at = i, why = word(20)} end
  end
end

local function count()
  collectgarbage()
  collectgarbage()
  return collectgarbage("count") * 1024
end

local before = count()
plant[kind]()
plant = nil
local after = count()
print(("READY live=%d planted=%d"):format(after, after - before))
io.flush()
io.read()
