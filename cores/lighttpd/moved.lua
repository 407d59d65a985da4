-- For magnet.attract-raw-url-to, which lighttpd runs in a Lua state of its own: pages that have moved.
moved = {["/home"] = "/index.html", ["/start"] = "/index.html"}

local to = moved[lighty.r.req_attr["uri.path"]]
if not to then return 0 end
lighty.r.resp_header["Location"] = to
return 301
