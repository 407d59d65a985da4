-- Never rests: makes, links and drops objects of all kinds, to be dumped at any moment. Its argument is
-- the collector's mode.
collectgarbage(arg[1])
local keep, threads = {}, {}
local weak = setmetatable({}, {__mode = "k"})

local function coroutine_with_upvalues(i)
  local first, second = {i}, tostring(i)
  local function outer() return first, second end
  return coroutine.create(function(value)
    local inner = {value}
    local function both() return inner, outer end
    coroutine.yield(both)
    return inner
  end)
end

local i = 0
while true do
  i = i + 1
  local k = i % 997
  keep[k] = {i, tostring(i), {x = i, ["k" .. i % 50] = i * 1.5}}
  keep["s" .. (i * 7) % 301] = {i}
  if i % 3 == 0 then
    threads[i % 101] = coroutine_with_upvalues(i)
    coroutine.resume(threads[i % 101], i)
  end
  if i % 5 == 0 then weak[keep[k]] = {keep[(k + 3) % 997]} end
  if i % 7 == 0 then setmetatable({i}, {__gc = function(object) keep[1] = object end}) end
  if i % 11 == 0 then keep.chunk = load("local a = " .. i % 100 .. " return function() return a end")() end
  if i % 13 == 0 then
    local sparse = {}
    for j = 1, 40 do sparse[j * 3] = j end
    keep.sparse = sparse
  end
end
