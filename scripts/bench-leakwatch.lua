-- What leakwatch.track() costs under the interpreter that runs this file:
--   lua5.4 scripts/bench-leakwatch.lua
-- Time: medians of rounds in alternation, of creating and keeping an empty table, and of the same
-- with track(); the collector runs as it would in the target. Memory: the heap after a full
-- collection, per object.

local here = arg[0]:match("^(.*)/") or "."
package.path = here .. "/?.lua;" .. package.path
local leakwatch = require "leakwatch"

local OBJECTS, ROUNDS = 100000, 9

local function heap_bytes()
  collectgarbage()
  collectgarbage()
  return collectgarbage("count") * 1024
end

local function bytes_kept(create)
  local kept = {}
  for i = 1, OBJECTS do kept[i] = false end
  local before = heap_bytes()
  for i = 1, OBJECTS do kept[i] = create() end
  local bytes = (heap_bytes() - before) / OBJECTS
  return kept[1] and bytes -- kept until here
end

local function seconds(create)
  collectgarbage()
  local kept, start = {}, os.clock()
  for i = 1, OBJECTS do kept[i] = create() end
  return os.clock() - start
end

local function median(list)
  table.sort(list)
  return list[math.floor(#list / 2) + 1]
end

local function plain() return {} end
local function tracked() return leakwatch.track({}, "object") end

local plain_bytes = bytes_kept(plain)
local tracked_bytes = bytes_kept(tracked)

local plain_seconds, tracked_seconds = {}, {}
for round = 1, ROUNDS do
  plain_seconds[round] = seconds(plain)
  tracked_seconds[round] = seconds(tracked)
end
local base, whole = median(plain_seconds), median(tracked_seconds)
print(string.format(
  "%-24s empty table %3.0f ns, tracked %3.0f ns, ratio %.1f; track() adds %.0f bytes",
  jit and jit.version or _VERSION, base / OBJECTS * 1e9, whole / OBJECTS * 1e9, whole / base,
  tracked_bytes - plain_bytes))
