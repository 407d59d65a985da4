-- Long strings, many of them several times, and its own account of them: after READY and a line it
-- prints, of each text that was made twice or more, its length, how often, and a number.
collectgarbage("stop")
local seed = tonumber(os.getenv("SEED") or 1)
math.randomseed(seed)
kept = {}
local made, times = {}, {}
for i = 1, 2000 do
  -- equal beginnings, and ends: only the whole tells them apart
  local number = math.random(700)
  local parts = {"a text of some length, which is followed by number ", number, (" tail"):rep(number % 5)}
  kept[i] = table.concat(parts)
  local key = #kept[i] .. " " .. number
  times[key] = (times[key] or 0) + 1
end
short = {}
for i = 1, 50 do short[i] = "session " .. i end
hostile = {"\27[31m" .. ("red\n"):rep(20), "\27[31m" .. ("red\n"):rep(20)}
io.write("READY\n")
io.flush()
io.read()
for key, count in pairs(times) do
  if count > 1 then io.write(key, " ", count, "\n") end
end
