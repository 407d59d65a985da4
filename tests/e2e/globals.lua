-- What programs do to _G and to the standard library; waits at READY.
collectgarbage("stop")
local big = {}
for i = 1, 1000 do big[i] = "entry " .. i end
a_table = big
a_number, a_float, a_boolean, a_string = 42, 1.5, false, "some\27text"
_G["not a name"] = {1}
_G[7] = 7
function a_function() return a_table end
c_function = string.format
string.trim = function(s) return s end
math.tau = 2 * math.pi
table.insert = function(t, v) t[#t + 1] = v end -- replaced
print = function() end
warn = nil
os.date = os.time -- one C function for another cannot be seen
io.write("READY\n")
io.flush()
io.read()
