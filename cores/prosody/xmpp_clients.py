"""Clients of an XMPP server on loopback: they come, send each other messages, and go.

xmpp_clients.py PORT: a thousand log in without an account, ten at a time; each sends three messages
to the one before it, and leaves. A hundred more come first and stay until standard input ends.
"""

from __future__ import annotations

import re
import socket
import sys
from typing import List

VISITORS, AT_ONCE, STAYING, MESSAGES = 1000, 10, 100, 3
OPEN = (
    "<stream:stream to='localhost' version='1.0' xmlns='jabber:client'"
    " xmlns:stream='http://etherx.jabber.org/streams'>"
)
SASL = "urn:ietf:params:xml:ns:xmpp-sasl"
BIND = "urn:ietf:params:xml:ns:xmpp-bind"


class Client:
    """One connection, logged in."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        self.received = ""
        self.ask(OPEN, r"</stream:features>")
        self.ask(f"<auth xmlns='{SASL}' mechanism='ANONYMOUS'/>", r"<success\b")
        self.ask(OPEN, r"</stream:features>")
        bind = f"<iq type='set' id='bind'><bind xmlns='{BIND}'/></iq>"
        self.address = self.ask(bind, r"<jid>([^<]*)</jid>")
        self.ask("<presence/>", r"<presence\b")

    def ask(self, text: str, answer: str) -> str:
        """Sends, and waits for what matches; returns its last group, or all of it."""
        self.socket.sendall(text.encode())
        while not (found := re.search(answer, self.received)):
            data = self.socket.recv(65536)
            if not data:
                raise EOFError(f"the server has hung up: {self.received}")
            self.received += data.decode()
        self.received = self.received[found.end() :]
        return found[found.re.groups]

    def send(self, to: str, number: int) -> None:
        """Waits until the message is said to be delivered."""
        body = f"<body>message {number} to {to}</body>"
        text = f"<message to='{to}' type='chat' id='{number}'>{body}</message>"
        self.ask(text, f"<received\\b[^>]*id='{number}'")

    def leave(self) -> None:
        self.ask("</stream:stream>", "</stream:stream>")
        self.socket.close()


def meet(port: int, count: int) -> List[Client]:
    clients = [Client(port) for _ in range(count)]
    for i, client in enumerate(clients):
        for number in range(MESSAGES):
            client.send(clients[i - 1].address, number)
    return clients


def main(port: int) -> None:
    staying = meet(port, STAYING)
    for _ in range(VISITORS // AT_ONCE):
        for client in meet(port, AT_ONCE):
            client.leave()
    messages = (VISITORS + STAYING) * MESSAGES
    print(
        f"{VISITORS} clients came and went, {len(staying)} are still there;"
        f" {messages} messages were delivered",
        flush=True,
    )
    sys.stdin.read()


if __name__ == "__main__":
    main(int(sys.argv[1]))
