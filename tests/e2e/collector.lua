-- Brings its collector from one state to the next, and says what collectgarbage says of it. Runs on
-- Lua 5.4 and 5.5. Protocol: prints "STAGE name key=value ...", then waits for a line (dump now).
-- `zoo` holds objects of all kinds, so that a check of the heap has something to look at.
local is_55 = _VERSION == "Lua 5.5"

-- ---- What the program itself sees

local function setting(name)
  if is_55 then return collectgarbage("param", name) end
  local call = "set" .. name -- sets, and returns what was set before
  local value = collectgarbage(call, 100)
  collectgarbage(call, value)
  return value
end

local function announce(name, more)
  local said = {}
  if not (more and more.internal) then
    said[1] = "running=" .. tostring(collectgarbage("isrunning"))
    for _, key in ipairs(is_55 and {"pause", "stepmul", "stepsize", "minormul", "majorminor", "minormajor"}
                               or {"pause", "stepmul"}) do
      said[#said + 1] = key .. "=" .. setting(key)
    end
  end
  for key, value in pairs(more or {}) do said[#said + 1] = key .. "=" .. tostring(value) end
  local text = "STAGE " .. name .. " " .. table.concat(said, " ")
  said = nil
  io.write(text, "\n")
  io.flush()
  io.read()
end

local function incremental(pause, stepmul, stepsize)
  if is_55 then
    collectgarbage("incremental")
    collectgarbage("param", "pause", pause)
    collectgarbage("param", "stepmul", stepmul)
    collectgarbage("param", "stepsize", stepsize)
  else
    collectgarbage("incremental", pause, stepmul, stepsize)
  end
end

local function generational(minor, major)
  if is_55 then
    collectgarbage("generational")
    collectgarbage("param", "minormul", minor)
    collectgarbage("param", "minormajor", major)
  else
    collectgarbage("generational", minor, major)
  end
end

-- ---- Objects of all kinds

zoo = {}
local function build()
  zoo.text = "a short string of the zoo"
  zoo.long = string.rep("a long string of the zoo ", 10)
  zoo.array = {}
  for i = 1, 20 do zoo.array[i] = {i} end
  zoo.numbers = {}
  for i = 1, 60 do zoo.numbers[i * 7919] = i; zoo.numbers[-i * 104729] = i end
  for i = 0, 62, 3 do zoo.numbers[1 << i] = i; zoo.numbers[0.37 * i + 0.1] = i end
  zoo.numbers[1e300], zoo.numbers[-1e-300], zoo.numbers[math.huge] = 1, 2, 3
  zoo.mixed = {[true] = 1, [false] = 2, [print] = 3, [io.stdout] = 4, [zoo.long] = 5, [zoo.array] = 6}
  zoo.mixed[coroutine.create(print)], zoo.mixed[function() end] = 7, 8
  zoo.words = {}
  for i = 1, 200 do zoo.words["word " .. i] = i end
  for i = 1, 200, 3 do zoo.words["word " .. i] = nil end -- leaves dead keys behind
  for i = 1, 40 do zoo.words["late word " .. i] = i end
  zoo.weak_values = setmetatable({}, {__mode = "v"})
  zoo.weak_keys = setmetatable({}, {__mode = "k"})
  zoo.weak = setmetatable({}, {__mode = "kv"})
  for i = 1, 20 do
    zoo.weak_values[i] = zoo.array[i]
    zoo.weak_values["lost " .. i] = {}
    zoo.weak_keys[zoo.array[i]] = {i}
    zoo.weak_keys[{}] = {i}
    zoo.weak[zoo.array[i]] = zoo.array[21 - i]
    zoo.weak[{}] = {}
  end
  zoo.finalized = {}
  for i = 1, 10 do zoo.finalized[i] = setmetatable({}, {__gc = function() end, __name = "Finalized"}) end
  zoo.file = io.open("/dev/null")
  zoo.closures = {}
  for i = 1, 10 do
    local shared = {i}
    zoo.closures[i] = function(value) shared = value or shared; return shared, i end
  end
  zoo.chunk = load("local a, b = ... ; return function() return a, b, 'constant', 1.5 end")
  zoo.parked = coroutine.wrap(function() coroutine.yield() end)
  zoo.coroutine = coroutine.create(function(...)
    local first, second, third = {}, {}, {}
    zoo.captured = {function() return first end, function() return second end, function() return third end}
    coroutine.yield(select("#", ...))
    return first, second, third
  end)
  coroutine.resume(zoo.coroutine, 1, 2, 3)
  zoo.failed = coroutine.create(function() local kept = {}; error(kept) end)
  coroutine.resume(zoo.failed)
  zoo.tree = {}
  for i = 1, 300 do zoo.tree[i] = {left = {i}, right = {tostring(i)}} end
end
build()

local function churn(rounds)
  for i = 1, rounds do
    zoo.tree[i % 300 + 1].left = {i, {tostring(i)}}
    zoo.words["churn " .. i % 50] = {i}
    zoo.closures[i % 10 + 1]({i})
  end
end

-- ---- The states

announce("default")

generational(10, 300)
announce("generational", {minormul_set = 10, majormul_set = 300})
for _ = 1, 5 do
  churn(400)
  collectgarbage("step", 0)
end
churn(100)
announce("churned")

incremental(150, 200, 10)
collectgarbage("collect")
announce("pause", {stepsize_set = 10})
incremental(1000, 20, 16)
announce("long-pause", {stepsize_set = 16})

incremental(200, 100, 13)
collectgarbage("collect")
collectgarbage("stop")
for i = 1, 5000 do zoo.last = {i} end
local before = collectgarbage("count")
announce("stopped")
collectgarbage("collect")
collectgarbage("collect")
io.write(string.format("FREED %d\n", (before - collectgarbage("count")) * 1024))

-- A cycle in small steps, dumped at shares of the way; marks and sweeps.
incremental(200, is_55 and 100 or 4, is_55 and 800 or 5)
local function steps_of_cycle()
  local steps = 0
  repeat steps = steps + 1 until collectgarbage("step", 0) or steps > 1e6
  return steps
end
steps_of_cycle()
local steps = steps_of_cycle()
for _, share in ipairs {0.05, 0.3, 0.6, 0.75, 0.82, 0.9, 0.95, 0.98} do
  for i = 1, 300 do zoo.tree[i].right = {tostring(i)} end -- some garbage for the sweep
  for _ = 1, math.floor(steps * share) do collectgarbage("step", 0) end
  churn(100)
  announce("cycle-" .. share)
  steps_of_cycle()
end
collectgarbage("restart")
incremental(200, 100, 13)

-- Finalizers: the first that runs stops the program, the others wait.
local function wait_in_finalizer(name, count)
  local is_first = true
  local function finalizer()
    if not is_first then return end
    is_first = false
    announce(name, {internal = true})
  end
  for i = 1, count do setmetatable({i}, {__gc = finalizer}) end
end
wait_in_finalizer("finalizer", 500)
collectgarbage("collect")
generational(20, 100)
wait_in_finalizer("young-finalizer", 30)
collectgarbage("step", 0)
announce("end")
