-- Coroutines of several kinds in known numbers: prints how many of each state began with each line
-- and which was created first, and waits to be dumped.

local kept, counts, oldest = {}, {}, {}

local function keep(thread, line)
  local state = coroutine.status(thread)
  local name = state .. " " .. line
  kept[#kept + 1] = thread
  counts[name] = (counts[name] or 0) + 1
  oldest[name] = oldest[name] or ("%p"):format(thread)
end

local function line() return debug.getinfo(2, "l").currentline end

local function wait(size) local held = ("x"):rep(size) coroutine.yield(held) return held end

for i = 1, 50 do
  local here, thread = line(), coroutine.create(function(n) wait(n) end)
  coroutine.resume(thread, 10)
  keep(thread, here)
end
for i = 1, 20 do
  local here, thread = line(), coroutine.create(function(n) wait(n) return n end)
  coroutine.resume(thread, 1000 * i)
  keep(thread, here)
end
for i = 1, 7 do
  local here, thread = line(), coroutine.create(function() error("boom " .. i) end)
  coroutine.resume(thread)
  keep(thread, here)
end
for i = 1, 5 do keep(coroutine.create(wait), debug.getinfo(wait, "S").linedefined) end
for i = 1, 3 do
  local thread = coroutine.create(function() return i end)
  coroutine.resume(thread)
  keep(thread, 0)
end
collectgarbage()

for name, count in pairs(counts) do print("COUNT", name, count, oldest[name]) end
print("READY")
io.stdout:flush()
io.read("l")
print(#kept)
