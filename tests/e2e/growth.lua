-- Grows by known numbers between two dumps.
--   lua5.4 growth.lua [reuse]     prints "READY", waits for a line; grows; prints "READY", waits
-- The collector is stopped: what is dropped leaves no room that something new could take; unless
-- reuse is asked for, and then it says how many addresses were used again.
collectgarbage("stop")

local function module(name)
  local m = {}
  package.loaded[name] = m
  return m
end

local Session = {__name = "Session"}
Session.__index = Session
local tracked = setmetatable({}, {__mode = "k"}) -- a tracker of the program's own
tracker = tracked
local now = 1700000000

local shop = module "shop"
shop.orders, shop.sessions, shop.by_token, shop.events = {}, {}, {}, {done = {}, other = {}}
shop.rooms = {}
for i = 1, 10 do shop.rooms[i] = {id = i, visits = {}} end

local function order(i) shop.orders[#shop.orders + 1] = {id = i, text = "text of order number " .. i} end
local function session(i)
  local new = setmetatable({number = i, inbox = {}}, Session)
  shop.sessions[i] = new
  now = now + 1
  tracked[new] = {description = "session", time = now}
end
local function token(i) shop.by_token["token " .. i] = {value = i, used = false} end
local function listen(i) shop.events.done[#shop.events.done + 1] = function() return i end end
local function visit(room) room.visits[#room.visits + 1] = {who = "somebody", at = #room.visits} end
local function push(i) shop.log = {line = i, before = shop.log} end

for i = 1, 1000 do order(i) end
for i = 1, 300 do session(i) end
for i = 1, 200 do token(i) end
for i = 1, 50 do listen(i) end
for _, room in ipairs(shop.rooms) do for _ = 1, 20 do visit(room) end end
for i = 1, 100 do push(i) end
shop.gone = {}
local was = {}
for i = 1, 80 do
  shop.gone[i] = {a = i, b = i}
  was[string.format("%p", shop.gone[i])] = true
end

local reused
local function wait()
  print(reused and "READY " .. reused or "READY")
  io.flush()
  io.read()
end
wait()

for i = 1001, 1500 do order(i) end -- 500 more
for i = 1, 100 do shop.sessions[i] = nil end -- 100 less ...
for i = 301, 340 do session(i) end -- ... and 40 more
for i = 201, 500 do token(i) end -- 300 more
for i = 51, 120 do listen(i) end -- 70 more
for _, room in ipairs(shop.rooms) do for _ = 1, 30 do visit(room) end end -- 300 more, 30 in each
for i = 101, 350 do push(i) end -- 250 more
shop.gone = nil -- 80 less
if arg[1] == "reuse" then
  collectgarbage()
  reused, shop.reused = 0, {}
  for i = 1, 60 do
    shop.reused[i] = {c = i, d = i}
    if was[string.format("%p", shop.reused[i])] then reused = reused + 1 end
  end
end
shop.fresh = {}
for i = 1, 60 do shop.fresh[i] = {x = i, y = i, z = i} end
wait()
