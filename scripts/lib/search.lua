-- What a user would write into the process itself: a recursive search for references from the
-- registry and _G, with a set of visited objects, for everything that the heap's tracker watches.
-- scripts/bench compares with it. Answers: seconds, objects visited, objects found; or an error, as
-- heaps that are too deep for a recursion give one.

local visited, trail, paths = {}, {}, {}
local objects, found = 0, 0

local function visit(object, depth, key)
  local kind = type(object)
  if kind ~= "table" and kind ~= "function" and kind ~= "thread" and kind ~= "userdata"
    or visited[object] then
    return
  end
  visited[object] = true
  objects = objects + 1
  trail[depth] = tostring(key)
  if watch[object] then
    found = found + 1
    paths[object] = table.concat(trail, ".", 1, depth)
  end

  local metatable = debug.getmetatable(object)
  if metatable then visit(metatable, depth + 1, "(metatable)") end
  if kind == "table" then
    local mode = metatable and rawget(metatable, "__mode")
    local weak_keys = type(mode) == "string" and mode:find("k", 1, true)
    local weak_values = type(mode) == "string" and mode:find("v", 1, true)
    for k, v in next, object do
      if not weak_keys then visit(k, depth + 1, "(key)") end
      if not weak_values then visit(v, depth + 1, k) end
    end
  elseif kind == "function" then
    for i = 1, math.huge do
      local name, value = debug.getupvalue(object, i)
      if not name then break end
      visit(value, depth + 1, name)
    end
  elseif kind == "userdata" then
    for i = 1, math.huge do
      local value, exists = debug.getuservalue(object, i)
      if not exists then break end
      visit(value, depth + 1, i)
    end
  elseif object ~= coroutine.running() then
    for level = 0, math.huge do
      local info = debug.getinfo(object, level, "f")
      if not info then break end
      visit(info.func, depth + 1, "(function)")
      for i = 1, math.huge do
        local name, value = debug.getlocal(object, level, i)
        if not name then break end
        visit(value, depth + 1, name)
      end
    end
  end
end

for _, own in ipairs({visited, trail, paths, watch}) do visited[own] = true end
local start = os.clock()
local fine, problem = pcall(function()
  visit(debug.getregistry(), 1, "registry")
end)
if not fine then return "error: " .. tostring(problem):gsub("\n.*", "") end
return string.format("%.3f %d %d", os.clock() - start, objects, found)
