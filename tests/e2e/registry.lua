-- References by luaL_ref, taken and given back at random; and the program's own account of them.
--   lua registry.lua SEED FOLDER      FOLDER: where heapmodule.so lies
-- Prints READY and waits; then a line for each group of references in use, with their number, and
-- one with the number of free ones.
local open = assert(package.loadlib(arg[2] .. "/heapmodule.so", "luaopen_heapmodule"))
local module = open()
math.randomseed(tonumber(arg[1]))
local registry = debug.getregistry()
-- the interpreter may have taken some itself
local Session = {__name = "Session"}
local makers = {
  Session = function() return setmetatable({}, Session) end,
  ["{first, second}"] = function() return {first = 1, second = 2} end,
  callback = function() return function() return module end end,
  number = function() return math.random(1000) end,
  boolean = function() return true end,
  ["light"] = function() return print end,
  string = function() return "text " .. math.random(5) end,
}
local names = {}
for name in pairs(makers) do names[#names + 1] = name end
table.sort(names)
local held, free = {}, 0
local function take(name)
  local number = module.reference(registry, makers[name]())
  held[#held + 1] = {name = name, number = number}
  if free > 0 then free = free - 1 end
end
local function give(index)
  local last = table.remove(held)
  local chosen = held[index] or last
  if held[index] then held[index] = last end
  module.unreference(registry, chosen.number)
  free = free + 1
end
for _ = 1, math.random(0, 60) do
  for _ = 1, math.random(10) do take(names[math.random(#names)]) end
  for _ = 1, math.random(0, 9) do
    if #held > 0 then give(math.random(#held)) end
  end
end
if tonumber(arg[1]) % 2 == 0 then -- a leak
  for _ = 1, 300 do take("Session") end
end
module.light(registry, 3, {under_address = true})
registry["My.Type"] = {__name = "My.Type"}
objects = {}
for i = 1, 7 do objects[i] = module.userdata(8, 0, registry["My.Type"]) end
registry[true], registry[1.5] = {}, {}
collectgarbage()
io.write("READY\n")
io.flush()
io.read()
local counts = {}
for _, one in ipairs(held) do counts[one.name] = (counts[one.name] or 0) + 1 end
for name, count in pairs(counts) do io.write(name, "=", count, "\n") end
io.write("free=", free, "\n")
