-- A prosody on loopback for clients without accounts and certificates; the environment says where.
local folder = os.getenv("PROSODY_FOLDER")

interfaces = { "127.0.0.1" }
c2s_ports = { tonumber(os.getenv("PROSODY_PORT")) }
data_path = folder
pidfile = folder .. "/prosody.pid"
plugin_paths = { folder }
log = { warn = folder .. "/prosody.log" }
c2s_require_encryption = false
c2s_timeout = 10 -- as long does prosody itself keep a session that has ended

modules_enabled = { "disco", "roster", "saslauth", "ping", "time", "uptime", "version" }
modules_disabled = { "s2s", "tls", "offline" }

VirtualHost "localhost"
	authentication = "anonymous"
	storage = "memory"
	modules_enabled = { "delivery" }
