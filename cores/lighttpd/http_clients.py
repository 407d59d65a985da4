"""Browsers at a web server on loopback: each looks at some pages, and comes again.

http_clients.py PORT: five hundred, one after the other, over a connection each; each asks for ten
pages of its own, for some of them twice, and for one that has moved.
"""

from __future__ import annotations

import http.client
import sys
from http import HTTPStatus

BROWSERS, PAGES = 500, 10


def browse(port: int, browser: int) -> int:
    """Returns how many requests were answered."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    paths = [f"/index.html?visitor={browser}&page={page}" for page in range(PAGES)]
    answered = 0
    for path in ["/home", *paths, *paths[::3]]:
        referer = f"http://localhost/from/{browser}"
        headers = {"User-Agent": f"Browser/{browser % 7}.0", "Referer": referer}
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        answer.read()
        if answer.status not in (HTTPStatus.OK, HTTPStatus.MOVED_PERMANENTLY):
            raise SystemExit(f"{path}: {answer.status} {answer.reason}")
        answered += 1
    connection.close()
    return answered


def main(port: int) -> None:
    answered = sum(browse(port, browser) for browser in range(BROWSERS))
    print(f"{BROWSERS} browsers came and went, with {answered} requests")


if __name__ == "__main__":
    main(int(sys.argv[1]))
