-- A small key-value server for tests/e2e/test_attach_safety.py: one request a line, one answer a line.
--   SET key value -> OK count      GET key -> value      COUNT -> requests so far
-- Every request makes garbage, and a coroutine serves each client.
local socket = require "socket"

local store, count = {}, 0
local words = setmetatable({}, {__mode = "v"})

local function answer(line)
  local verb, key, value = line:match "^(%u+) ?(%S*) ?(.*)$"
  count = count + 1
  words[#words + 1] = {line = line, reversed = line:reverse()}
  if verb == "SET" then
    store[key] = {value = value, at = count, parts = {key, value, key .. value}}
    return "OK " .. count
  elseif verb == "GET" then
    return store[key] and store[key].value or "none"
  end
  return tostring(count)
end

local listener = assert(socket.bind("127.0.0.1", 0))
local clients, sockets = {}, {listener}

local function serve(client)
  while true do
    local line, reason = client:receive "*l"
    if not line then return reason end
    assert(client:send(answer(line) .. "\n"))
    coroutine.yield()
  end
end

print("READY " .. select(2, listener:getsockname()))
io.stdout:flush()
while true do
  for _, ready in ipairs((socket.select(sockets))) do
    if ready == listener then
      local client = listener:accept()
      clients[client] = coroutine.wrap(serve)
      sockets[#sockets + 1] = client
    elseif clients[ready](ready) then
      clients[ready] = nil
      for i, each in ipairs(sockets) do
        if each == ready then table.remove(sockets, i) break end
      end
    end
  end
end
