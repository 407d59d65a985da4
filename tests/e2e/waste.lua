-- Tables that are bigger than what is in them, and what Lua gives back for each when it rehashes.
-- Prints READY, waits for a line, then forces a rehash of each table and prints its name and the
-- bytes it gave back. The collector is stopped, so that nothing else changes the count.
collectgarbage("stop")
cases = {}

local function case(name, make)
  local t = {}
  make(t)
  cases[name] = t
end
local function only(t, count) -- keeps the values 1 .. count
  for key, value in pairs(t) do
    if value > count then t[key] = nil end
  end
end

case("names", function(t)
  for i = 1, 1000 do t["name" .. i] = i end
  only(t, 300)
end)
case("emptied", function(t) -- full before, so that a key that collides finds no room
  for i = 1, 4096 do t["name" .. i] = i end
  only(t, 20)
end)
case("array", function(t)
  for i = 1, 1000 do t[i] = i end
  only(t, 10)
end)
case("holes", function(t)
  for i = 1, 2048 do t[i] = i end
  for i = 1, 2048 do
    if i % 3 > 0 then t[i] = nil end
  end
end)
case("both", function(t)
  for i = 1, 100 do t[i] = i end
  for i = 1, 50 do t["name" .. i] = i end
  only(t, 5)
end)
case("sparse", function(t)
  for i = 1, 600 do t[i * 1000] = i end
  only(t, 10)
end)
case("reversed", function(t)
  for i = 1000, 1, -1 do t[i] = i end
end)
case("negative", function(t)
  for i = -700, 0 do t[i] = i + 701 end
  only(t, 19)
end)
case("objects", function(t)
  for i = 1, 100 do t[{}] = i end
  only(t, 3)
end)
case("fits", function(t)
  for i = 1, 5 do t["name" .. i] = i end
  for i = 1, 7 do t[i] = i end
end)

local keys = {}
for i = 1, 20000 do keys[i] = "new key " .. i end
io.write("READY\n")
io.flush()
io.read()
for name, t in pairs(cases) do
  local before, given = collectgarbage("count"), nil
  for _, key in ipairs(keys) do -- until one finds no room
    t[key] = true
    given = before - collectgarbage("count")
    if given ~= 0 then break end
    t[key] = nil
  end
  io.write(name, " ", string.format("%.0f", given * 1024), "\n")
end
