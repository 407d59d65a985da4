-- leakwatch under the interpreter that runs this: lua leakwatch_test.lua SCRIPTS
package.path = arg[1] .. "/?.lua;" .. package.path
local leakwatch = require "leakwatch"
local tracker = leakwatch.tracker

local function records()
  collectgarbage()
  collectgarbage()
  local n = 0
  for _ in pairs(tracker) do n = n + 1 end
  return n
end

-- The layout of the contract.
local meta = getmetatable(tracker)
assert(meta.__mode == "k" and meta.leakwatch == 1 and leakwatch.version == 1)
local kept = {}
assert(leakwatch.track(kept, "kept") == kept)
local record = tracker[kept]
assert(type(record) == "table" and getmetatable(record) == nil)
assert(record.description == "kept" and math.abs(record.time - os.time()) <= 2)
assert(record.retired == nil and record.trace == nil)

-- Tracking keeps nothing alive; every kind that can be collected is tracked, nothing else.
local function abandon()
  leakwatch.track({}, "table")
  leakwatch.track(function() return kept end, "closure")
  leakwatch.track(coroutine.create(function() end), "thread")
  leakwatch.track(io.tmpfile(), "userdata")
end
abandon()
assert(records() == 1)
for _, value in ipairs {"string", 1, 1.5, true, false, 0 / 0} do
  local same = leakwatch.track(value, "no object")
  assert(same == value or same ~= same)
end
assert(leakwatch.track(nil, "nothing") == nil)
assert(records() == 1)

-- Retiring: once, for what is tracked; a fresh record after tracking again.
assert(leakwatch.retire(kept) == kept)
local when = record.retired
assert(type(when) == "number")
leakwatch.configure {clock = function() return 42 end}
leakwatch.retire(kept)
assert(record.retired == when)
local stranger = {}
assert(leakwatch.retire(stranger) == stranger and tracker[stranger] == nil)
assert(leakwatch.retire(nil) == nil and leakwatch.retire("string") == "string")
leakwatch.track(kept, "again")
assert(tracker[kept].description == "again" and tracker[kept].retired == nil)
assert(tracker[kept].time == 42)

-- A process without a clock.
leakwatch.configure {clock = function() end}
leakwatch.track(kept, "timeless")
leakwatch.retire(kept)
assert(tracker[kept].time == nil and tracker[kept].retired == true)

-- Every third object has a trace, and it leads here.
leakwatch.configure {sample = 3}
local objects, traces = {}, 0
for i = 1, 9 do
  objects[i] = leakwatch.track({}, "sampled")
  local trace = tracker[objects[i]].trace
  if trace then
    traces = traces + 1
    assert(trace:find("leakwatch_test.lua", 1, true) and not trace:find("leakwatch.lua", 1, true))
  end
end
assert(traces == 3)
leakwatch.configure {sample = 0}
assert(tracker[leakwatch.track({}, "not sampled")].trace == nil)

-- As a global, on request only.
assert(TraceMem == nil)
leakwatch.install()
assert(TraceMem == leakwatch.track)
leakwatch.install("Watch")
assert(Watch == leakwatch.track)

local report = leakwatch.report()
assert(report[1].description == "sampled" and report[1].count == 9 and report[1].retired == 0)
assert(report[2].description == "timeless" and report[2].count == 1 and report[2].retired == 1)
assert(#report == 2)
assert(#objects == 9)
print("leakwatch works")
