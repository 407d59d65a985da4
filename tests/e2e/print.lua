-- Writes what it holds in the form of `print` before it is dumped: the file "said" has, for each
-- path and depth, a header line and the text. Besides, values that have a form of their own, for
-- tests by hand; with "huge" as first argument, values that are too large to be shown whole.

if arg[1] == "huge" then
  huge, strings, wide = {}, {}, {}
  for i = 1, 200000 do huge[i] = i end
  for i = 1, 100000 do huge["k" .. i] = {i} end
  for i = 1, 40 do strings[i] = ("s"):rep(100000 + i) end
  for i = 1, 300 do
    wide[i] = {}
    for j = 1, 300 do wide[i][j] = {i, j, {}} end
  end
  long_text = ("line\n"):rep(2000)
  print "READY"
  io.flush()
  io.read()
  os.exit()
end

local LIMIT, LONGEST, WIDE = 50, 60, 60

-- ---- The form ----------------------------------------------------------------------------------

local HIDDEN = {
  {0x00, 0x1f}, {0x7f, 0x9f}, {0xad, 0xad}, {0x61c, 0x61c}, {0x180e, 0x180e}, {0x200b, 0x200f},
  {0x2028, 0x202e}, {0x2060, 0x206f}, {0xfeff, 0xfeff}, {0xfff9, 0xfffb}, {0xe0000, 0xe0fff},
}
local SHORT = {[9] = "\\t", [10] = "\\n", [13] = "\\r", [34] = '\\"', [92] = "\\\\"}

local function escape(text)
  local out, at = {}, 1
  while at <= #text do
    local length = utf8.len(text, at, at)
    if not length then
      out[#out + 1] = ("\\x%02X"):format(text:byte(at))
      at = at + 1
    else
      local code = utf8.codepoint(text, at)
      local shown = SHORT[code]
      for _, range in ipairs(HIDDEN) do
        if not shown and code >= range[1] and code <= range[2] then
          shown = ("\\u{%04X}"):format(code)
        end
      end
      out[#out + 1] = shown or utf8.char(code)
      at = utf8.offset(text, 2, at)
    end
  end
  return table.concat(out)
end

-- Returns the text and the length if it was cut.
local function quote(text)
  if #text <= LONGEST then return '"' .. escape(text) .. '"' end
  local size = LONGEST
  for back = 0, 3 do
    local byte = text:byte(LONGEST + 1 - back)
    if byte < 0x80 or byte >= 0xc0 then size = LONGEST - back; break end
  end
  return '"' .. escape(text:sub(1, size)) .. '"...', #text
end

local function number(value)
  if math.type(value) == "integer" then return ("%d"):format(value) end
  if value ~= value then return "0/0" end
  if value == math.huge then return "math.huge" end
  if value == -math.huge then return "-math.huge" end
  for digits = 15, 17 do
    local text = ("%." .. digits .. "g"):format(value)
    if tonumber(text) == value then return text .. (text:find "[^%d-]" and "" or ".0") end
  end
end

local function count(value)
  local entries = 0
  for _ in pairs(value) do entries = entries + 1 end
  return entries
end

local function named(value)
  local words = type(value)
  if words == "table" then
    local entries = count(value)
    words = ("table, %d %s"):format(entries, entries == 1 and "entry" or "entries")
  elseif words == "function" then
    local info = debug.getinfo(value, "S")
    words = ("function %s:%d"):format(info.source:match "[^/]*$", info.linedefined)
  end
  return ("<%s, %p>"):format(words, value)
end

-- Numbers, strings, booleans, objects by type and address.
local RANK = {number = 1, string = 2, boolean = 3, table = 4, ["function"] = 5}

local function before(a, b)
  local x, y = RANK[type(a)], RANK[type(b)]
  if x ~= y then return x < y end
  if x == 1 then return a < b end
  if x == 2 then return a < b end -- the C locale: by bytes
  if x == 3 then return b and not a end
  return tonumber(("%p"):format(a)) < tonumber(("%p"):format(b))
end

local read

-- A node: text, or entries; comment parts.
local function open(value, depth, opened)
  local node = {value = value, entries = {}, total = 0}
  opened[value] = node
  local keys = {}
  for key in pairs(value) do keys[#keys + 1] = key end
  table.sort(keys, before)
  node.total = #keys
  for i = 1, math.min(#keys, LIMIT) do
    local key = read(keys[i], 0, opened)
    node.entries[i] = {key = key, value = read(value[keys[i]], depth - 1, opened)}
  end
  return node
end

function read(value, depth, opened)
  local kind, node = type(value), {value = value, entries = {}, total = 0}
  if kind == "table" then
    local known, class = opened[value], getmetatable(value)
    class = class and class.__name
    if known then
      known.repeated = true
      node.above = true
      node.text = named(value)
    elseif depth > 0 then
      node = open(value, depth, opened)
    else
      node.text = named(value)
    end
    node.class = class
  elseif kind == "string" then
    node.text, node.cut = quote(value)
  elseif kind == "number" then
    node.text = number(value)
  elseif kind == "boolean" then
    node.text = tostring(value)
  else
    node.text = named(value)
  end
  return node
end

local KEYWORDS = {}
for word in ([[and break do else elseif end false for function goto if in local nil not or repeat
  return then true until while]]):gmatch "%a+" do KEYWORDS[word] = true end

local function key_text(key)
  local text = key.value
  if type(text) == "string" and not key.cut and text:find "^[%a_][%w_]*$" and not KEYWORDS[text] then
    return text
  end
  return "[" .. key.text .. "]"
end

local function flat(node)
  if node.text then return node.text end
  local parts, next_index = {}, 1
  for i, entry in ipairs(node.entries) do
    if math.type(entry.key.value) == "integer" and entry.key.value == next_index then
      parts[i] = flat(entry.value)
      next_index = next_index + 1
    else
      parts[i] = key_text(entry.key) .. " = " .. flat(entry.value)
    end
  end
  return "{" .. table.concat(parts, ", ") .. "}"
end

local function measure(node)
  local is_flat = node.total == #node.entries
  for _, entry in ipairs(node.entries) do
    measure(entry.value)
    local value = entry.value
    if not value.flat or value.cut or value.class or value.repeated or value.above
      or entry.key.cut then
      is_flat = false
    end
  end
  node.flat = node.text ~= nil or is_flat and utf8.len(flat(node)) <= WIDE
end

local function commas(value)
  local text = ("%d"):format(value)
  repeat
    local changed
    text, changed = text:gsub("^(%d+)(%d%d%d)", "%1,%2")
  until changed == 0
  return text
end

local function comment(node, nested)
  local parts = {}
  if not node.text and nested then parts[1] = ("%p"):format(node.value) end
  if node.class then parts[#parts + 1] = escape(node.class) end
  if node.above then parts[#parts + 1] = "shown above" end
  if node.cut then parts[#parts + 1] = commas(node.cut) .. " bytes" end
  return #parts > 0 and "  -- " .. table.concat(parts, " ") or ""
end

local function write(out, node, indent, name, after, nested)
  local head = (" "):rep(indent) .. (name and name .. " = " or "")
  if node.flat then
    out[#out + 1] = head .. flat(node) .. after .. comment(node, nested)
    return
  end
  out[#out + 1] = head .. "{" .. comment(node, nested)
  for _, entry in ipairs(node.entries) do
    write(out, entry.value, indent + 2, key_text(entry.key), ",", true)
  end
  local more = node.total - #node.entries
  if more > 0 then out[#out + 1] = (" "):rep(indent + 2) .. "-- " .. commas(more) .. " more" end
  out[#out + 1] = (" "):rep(indent) .. "}" .. after
end

local function say(file, path, value, depth)
  local node, out = read(value, depth, {}), {}
  measure(node)
  write(out, node, 0, nil, "", false)
  file:write("@", path, "\t", depth, "\t", #out, "\n", table.concat(out, "\n"), "\n")
end

-- ---- Values ------------------------------------------------------------------------------------

local seed = tonumber(arg[1])
math.randomseed(seed)

local function random_text()
  local pieces, parts = {
    "a", "b c", "end", "\n", "\t\r", '"', "\\", "\0", "\27[31m", "\xff", "\xc3", "ä", "€", "𝄞",
    "\u{202e}", "\u{85}", "\xed\xa0\x80", "x1", "_", "'",
  }, {}
  for i = 1, math.random(0, 4) do parts[i] = pieces[math.random(#pieces)] end
  local text = table.concat(parts)
  return math.random(12) == 1 and text:rep(math.random(1, 60)) or text
end

local NUMBERS = {
  0, 1, -1, 1.5, -0.0, 0.1, 1 / 3, 1e15, 1e14, 1e16, 1e100, -1e300, 5e-324, 2^53, 2^63, math.huge,
  -math.huge, math.mininteger, math.maxinteger, 123456789012345.0, 3.0, 100000.0,
}

local all, functions = {}, {print, function() end, function() return seed end}
table.remove(functions, 1)
local Class, Other = {__name = "Class"}, {__name = "An other\nclass"}

local function random_value(depth)
  local kind = math.random(10)
  if kind <= 2 then return math.random(-5, 40) end
  if kind == 3 then return NUMBERS[math.random(#NUMBERS)] end
  if kind <= 5 then return random_text() end
  if kind == 6 then return math.random(2) == 1 end
  if kind == 7 and #all > 0 then return all[math.random(#all)] end
  if kind == 8 and math.random(4) == 1 then return functions[math.random(#functions)] end
  if depth == 0 then return math.random(100) end
  local value = {}
  all[#all + 1] = value
  for i = 1, math.random(0, 4) do value[i] = random_value(depth - 1) end
  for _ = 1, math.random(0, 4) do
    local key = random_value(depth - 1)
    if key == key then value[key] = random_value(depth - 1) end
  end
  if math.random(25) == 1 then
    for i = 1, math.random(1, 200) do value[i * 3] = random_value(0) end
  end
  if math.random(8) == 1 then setmetatable(value, math.random(2) == 1 and Class or Other) end
  return value
end

roots = {}
for i = 1, 25 do
  local value
  repeat value = random_value(5) until type(value) == "table"
  all = {}
  roots[i] = value
end
roots[#roots + 1] = {
  [-2] = 1, [-1.5] = 2, [-1] = 3, [0.5] = 4, [2^63] = 5, [math.maxinteger] = 6, [-2^63] = 7,
  [-2^64] = 8, [2^53] = 9, [2^53 + 1] = 10, [-math.huge] = 11, [math.huge] = 12, [true] = 13,
  [false] = 14, [""] = 15, a = 16, aa = 17, ["a\0"] = 18, ["\xff"] = 19, [{}] = 20, [print] = 21,
}
roots[#roots][print] = nil -- has no name in plain Lua

plain = {
  integer = 42, float = 1.5, zero = -0.0, yes = true, no = false, huge = math.huge, nan = 0 / 0,
  c = print, text = "a\nb", [1] = 7, [2.5] = "two and a half", [true] = "key true",
}
holder = setmetatable({}, Class)
function closure(a, b, ...)
  return plain, seed, holder, a, b, ...
end
parked = coroutine.create(function(first, ...)
  local second, unset = {x = 1}, nil
  local number = 17
  coroutine.yield(first, number)
  return first, second, unset, number
end)
coroutine.resume(parked, "argument", "vararg")
fresh = coroutine.create(function() end)
dead = coroutine.create(function() error {code = 5} end)
coroutine.resume(dead)
done = coroutine.create(function() end)
coroutine.resume(done)
local file = io.open("said", "w")
for i, value in ipairs(roots) do
  for _, depth in ipairs {1, 3, 6} do say(file, "roots[" .. i .. "]", value, depth) end
end
file:close()
print "READY"
io.flush()
io.read()
