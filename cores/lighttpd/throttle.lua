-- For magnet.attract-physical-path-to: too many requests are answered with 429.
local visitors = require "visitors"

if visitors.count(lighty.r) > 100 then return 429 end
return 0
