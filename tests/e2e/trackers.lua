-- Trackers of every form, each for objects that `keep` holds, and some that are none.

local function weak(mode) return setmetatable({}, {__mode = mode}) end

keep = {}
local function object()
  local o = {}
  keep[#keep + 1] = o
  return o
end
local now = os.time()

-- name = {mode, how many, record of number i}
local forms = {
  fields = {"k", 3, function(i) return {desc = "fields " .. i, time = now - 100 * i} end},
  odd = {"k", 3, function(i) return {zzz = "odd " .. i, qqq = now - 100 * i} end},
  array = {"k", 3, function(i) return {"array " .. i, now - 100 * i} end},
  swapped = {"k", 3, function(i) return {now - 100 * i, "swapped " .. i} end},
  hashed = {"k", 3, function(i)
    local record = {}
    record[2], record[1] = now - 100 * i, "hashed " .. i
    return record
  end},
  milliseconds = {"k", 3, function(i) return {desc = "milliseconds " .. i, time = now * 1000} end},
  negative = {"k", 1, function() return {desc = "negative", time = -5} end},
  nan = {"k", 1, function() return {desc = "nan", time = 0 / 0} end},
  future = {"k", 1, function() return {desc = "future", time = now + 36000} end},
  far = {"k", 1, function() return {desc = "far", time = now + 360000000} end},
  clock = {"k", 1, function() return {desc = "clock", time = os.clock()} end},
  both = {"kv", 3, function(i)
    keep["record" .. i] = {desc = "both " .. i, time = now}
    return keep["record" .. i]
  end},
  texts = {"k", 3, function(i) return "texts " .. i end},
  timeless = {"k", 3, function(i) return {desc = "timeless " .. i} end},
  unnamed = {"k", 3, function(i) return {foo = "unnamed " .. i, bar = now * 1000} end},
  nothing = {"k", 3, function() return {} end},
}
for name, form in pairs(forms) do
  local tracker = weak(form[1])
  for i = 1, form[2] do tracker[object()] = form[3](i) end
  _G["T_" .. name] = tracker
end

T_values = weak "v"
for i = 1, 3 do T_values["values " .. i] = object() end
T_empty = weak "k"

-- What a weak table never drops.
T_never = weak "k"
for key, name in pairs {text = "text", [1] = "first", [42] = "integer", [1.5] = "float",
                        [true] = "boolean", [print] = "C function"} do
  T_never[key] = {desc = "never " .. name, time = now}
end

-- One object, two trackers; and `two` is not all that holds it.
two = object()
T_two_a, T_two_b = weak "k", weak "k"
T_two_a[two] = {desc = "two a", time = now}
T_two_b[two] = {desc = "two b", time = now - 50}

-- Trackers that are no globals, and one that is garbage.
do
  local hidden, in_registry, garbage = weak "k", weak "k", weak "k"
  hidden[object()] = {desc = "hidden", time = now}
  in_registry[object()] = {desc = "in registry", time = now}
  garbage[object()] = {desc = "of a garbage tracker", time = now}
  debug.getregistry().my_tracker = in_registry
  function uses_hidden() return hidden end
end

-- A weak table that is its own metatable is no candidate; what it holds has a chain.
own = {}
own.__mode = "k"
setmetatable(own, own)
do
  local held = {}
  own[keep] = function() return held end
  T_fields[held] = {desc = "held by own", time = now}
end

-- An object that only the record of another one holds.
T_record = weak "k"
do
  local a, b = object(), {}
  T_record[a] = {desc = "with a record", time = now, other = b}
  T_record[b] = {desc = "held by a record", time = now}
end

-- Texts that must not reach a terminal as they are.
T_nasty = weak "k"
local number = 0
for text in pairs {["\27[31mred\27[0m"] = 1, ["\0\1\2\7\8\127"] = 1, ["\xff\xfe\xc3(\xed\xa0\x80"] = 1,
                   ["line\nline\r\ntab\t"] = 1, ["\u{202e}rtl\u{2028}\u{85}\u{9b}31m"] = 1,
                   ["\"quote\\ '"] = 1, [""] = 1, [" "] = 1, [("x"):rep(1 << 20)] = 1,
                   [("word "):rep(1000)] = 1, [("ä"):rep(1000)] = 1} do
  number = number + 1
  T_nasty[object()] = {desc = text, time = now - number}
end
T_nasty[object()] = {time = now}
T_nasty[object()] = {desc = 42, time = now}
T_nasty[object()] = true

collectgarbage "stop"
print "READY"
io.flush()
io.read()
