-- Tells senders that their messages have reached a client. A module of prosody that leaks on purpose:
-- each session leaves a listener, nothing takes it away when the session ends, and the listener keeps
-- the session and what was sent to it.
local st = require "util.stanza";

local listeners = {};

local function listen(session)
	local delivered = {};
	listeners[#listeners + 1] = function (stanza)
		if stanza.attr.to ~= session.full_jid then return; end
		delivered[#delivered + 1] = { from = stanza.attr.from, id = stanza.attr.id, body = stanza:get_child_text("body") };
		return true;
	end
end

module:hook("resource-bind", function (event) listen(event.session); end);

module:hook("pre-message/full", function (event)
	local message = event.stanza;
	if not message:get_child("body") then return; end
	for _, listener in ipairs(listeners) do
		if listener(message) then
			local receipt = st.message({ to = message.attr.from, from = message.attr.to, type = "headline" })
				:tag("received", { xmlns = "urn:xmpp:receipts", id = message.attr.id });
			module:send(receipt);
			return;
		end
	end
end);
