-- Counts the requests of each visitor, to slow down those that ask too often. Leaks on purpose: what
-- is asked for is part of the key, and nothing is ever forgotten.
local visitors = {}

local visits = {}

function visitors.count(request)
  local address = request.req_attr["request.remote-addr"]
  local key = address .. " " .. request.req_attr["request.uri"]
  local visit = visits[key]
  if not visit then
    local header = request.req_header
    visit = {count = 0, first = os.time(), agent = header["User-Agent"], referer = header["Referer"]}
    visits[key] = visit
  end
  visit.count, visit.last = visit.count + 1, os.time()
  return visit.count
end

return visitors
