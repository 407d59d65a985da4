-- Hangs in one form, `lua hung.lua FORM [INSIDE]`: says READY, and stays where it is. INSIDE puts
-- calls around it: coroutines in coroutines, a pcall that a coroutine yielded across, a metamethod.

local forms, wrappers = {}, {}

local function ready()
  print("READY")
  io.flush()
end

function forms.loop()
  ready()
  local n = 0
  while true do n = n + 1 end -- loop: the line that hangs
end

function forms.find()
  ready()
  local found = (("a"):rep(30000) .. "b"):find(".-.-.-.-.-c") -- find: the line that hangs
  return found
end

function forms.read()
  ready()
  local line = io.read() -- read: the line that hangs
  return line
end

function forms.tail()
  ready()
  return io.read() -- tail: the line that hangs
end

function forms.execute()
  ready()
  local status = os.execute("read line") -- execute: the line that hangs
  return status
end

function forms.alloc()
  ready()
  local kept = {}
  while true do kept = {kept and 1, {}} end -- alloc: the line that hangs
end

function forms.gc()
  setmetatable({}, {
    __gc = function()
      ready()
      local n = 0
      while true do n = n + 1 end -- gc: the line that hangs
    end
  })
  while true do local garbage = {{}} end
end

function forms.sort()
  ready()
  table.sort({3, 1, 2}, function(a, b)
    local line = io.read() -- sort: the line that hangs
    return line and a < b
  end)
end

function forms.gsub()
  ready()
  local text = ("abc"):gsub("%w", function(c)
    local line = io.read() -- gsub: the line that hangs
    return line
  end)
  return text
end

function forms.handler()
  ready()
  local ok, x = xpcall(function() local a = nil + 1 return a end, function()
    local line = io.read() -- handler: the line that hangs
    return line
  end)
  return ok, x
end

function wrappers.plain(f) local x = f() return x end

function wrappers.nested(f)
  local outer = coroutine.wrap(function()
    local ok, x = pcall(function()
      local inner = coroutine.create(function()
        coroutine.yield()
        local x = f()
        return x
      end)
      coroutine.resume(inner)
      local ok, x = coroutine.resume(inner)
      return x
    end)
    return x
  end)
  local x = outer()
  return x
end

-- The C frame of pcall is gone when the coroutine goes on.
function wrappers.across(f)
  local thread = coroutine.wrap(function()
    local ok, x = pcall(function()
      coroutine.yield()
      local x = f()
      return x
    end)
    return x
  end)
  thread()
  local x = thread()
  return x
end

function wrappers.metamethod(f)
  local object = setmetatable({}, {__add = function() local x = f() return x end})
  local x = object + 1
  return x
end

function wrappers.all(f)
  local x = wrappers.nested(function()
    local x = wrappers.across(function() local x = wrappers.metamethod(f) return x end)
    return x
  end)
  return x
end

local x = wrappers[arg[2] or "plain"](forms[arg[1]])
print(x)
