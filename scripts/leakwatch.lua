-- leakwatch: says which objects are being watched, so that a core dump can tell which ones leaked.
--
-- Pure Lua 5.1 to 5.5 and LuaJIT, one file, no dependencies. Embed it in the target:
--
--   local leakwatch = require "leakwatch"
--   leakwatch.install()                        -- optional: TraceMem = leakwatch.track, as a global
--   local session = leakwatch.track({...}, "session " .. id)
--   ...
--   leakwatch.retire(session)                  -- optional: from here on it should be garbage
--
-- then dump the process and ask: lua-inspect CORE leaks (or lua-leaks in gdb). Nothing is computed
-- in the process; a tracked object is never kept alive by being tracked.
--
-- The layout, the contract with libinspect (version 1)
--
--   tracker    a table: tracked object -> record. Its metatable is {__mode = "k", leakwatch = 1};
--              the number is the layout's version. Whoever finds that metatable has the tracker.
--   record     a plain table of its own for each object, without a metatable:
--                description  string: what the object is
--                time         number: the clock when it was tracked; nil if there is no clock
--                retired      number: the clock when it was retired (true if there is no clock);
--                             nil if it never was
--                trace        string: traceback of the creation, for every Nth object; else nil
--   A record holds no reference to its object. Tracking an object again replaces its record. A
--   value that no weak table would ever drop (string, number, boolean, nil) is not tracked.
--
-- Cost of a call of track()
--
--   Constant: a type, a clock, a table of two fields, an insertion (amortised). Against creating
--   and keeping an empty table, both with the collector running, the same with track() takes 7
--   times as long in Lua 5.4 (0.25 us in all), 7 to 9 times in 5.1 to 5.3 (0.3 to 0.45 us), 16 to
--   19 times in LuaJIT (0.3 us), and adds 135 bytes in 5.4, 143 to 196 in the others, besides the
--   description if that is a new string. Measured by scripts/bench-leakwatch.lua, medians of 9
--   rounds in alternation; run it under your interpreter. Each collection also visits every entry.
--   A sampled traceback costs tens of microseconds and its text: sample sparingly.

local debug, os = debug, os
local type, setmetatable = type, setmetatable

local VERSION = 1

local tracker = setmetatable({}, {__mode = "k", leakwatch = VERSION})
local leakwatch = {version = VERSION, tracker = tracker}

local clock = os and os.time or function() end
local sample = 0 -- every how many objects a traceback is taken; 0 = never
local until_sample = 0 -- objects left until the next one

local never_dropped = {["nil"] = true, boolean = true, number = true, string = true}

-- Watches `object` and returns it. The description says what it is, in the words of whoever will
-- read the report; equal parts first ("session 10.0.3.7"), since reports group by them.
function leakwatch.track(object, description)
  if never_dropped[type(object)] then return object end
  local record = {description = description, time = clock()}
  tracker[object] = record
  if sample > 0 then
    until_sample = until_sample - 1
    if until_sample <= 0 then
      until_sample = sample
      record.trace = debug.traceback("", 2):sub(2) -- without the empty first line
    end
  end
  return object
end

-- From now on `object` should be garbage: if it survives, it has leaked for certain. Returns it.
-- An object that is not tracked is left alone; so is one that is retired already.
function leakwatch.retire(object)
  local record = object ~= nil and tracker[object]
  if record and not record.retired then record.retired = clock() or true end
  return object
end

-- Options: clock, a function that returns seconds (os.time unless set); sample, every how many
-- objects a creation traceback is taken (0, the default, is never).
function leakwatch.configure(options)
  if options.clock then clock = options.clock end
  if options.sample then
    sample = debug and debug.traceback and options.sample or 0
    until_sample = 0
  end
end

-- Makes track() a global, under the name that instrumented programs use.
function leakwatch.install(name) _G[name or "TraceMem"] = leakwatch.track end

-- What is still there, in this process: collects twice in full (finalizers delay by one
-- collection) and returns an array of {description =, count =, retired =}, most first. It stops the
-- process meanwhile and counts its own callers' locals too: prefer a dump.
function leakwatch.report()
  collectgarbage()
  collectgarbage()
  local groups, list = {}, {}
  for _, record in pairs(tracker) do
    local description = tostring(record.description)
    local group = groups[description]
    if not group then
      group = {description = description, count = 0, retired = 0}
      groups[description] = group
      list[#list + 1] = group
    end
    group.count = group.count + 1
    if record.retired then group.retired = group.retired + 1 end
  end
  table.sort(list, function(a, b)
    if a.count ~= b.count then return a.count > b.count end
    return a.description < b.description
  end)
  return list
end

return leakwatch
