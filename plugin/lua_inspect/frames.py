"""Which Lua calls run in which C frames of a native thread, for a debugger's own traceback.

`bt --native` knows; here its rows are matched with the debugger's frames, from the innermost on, by
program counter. Asked at every traceback, so it is quick or silent: heaps that no command has read
yet are read only if they are small.
"""

from __future__ import annotations

from typing import Any, Dict, List, NamedTuple, Optional, Tuple

from .api import Session, current
from .library import Error

SMALL = 64 << 20  # bytes of all heaps together: they take some 0.2 s to read


class Call(NamedTuple):
    """A Lua call, or one of a C function by Lua."""

    name: str  # "field 'join'", "main chunk"; printable
    is_c: bool
    source: Optional[str]
    line: Optional[int]


class Row(NamedTuple):
    """A C frame and what runs in it, the innermost call first."""

    pc: int
    symbol: Optional[str]
    calls: Tuple[Call, ...]


def printable(text: str) -> str:
    return "".join(
        letter if letter.isprintable() else f"\\{ord(letter):03d}" for letter in text
    )


def call(row: Dict[str, Any]) -> Call:
    is_c = row["what"] == "C"
    name = printable(row["text"].partition(": in ")[2])
    return Call(name, is_c, None if is_c else printable(row["source"]), row["line"])


def rows_of(thread: Dict[str, Any]) -> List[Row]:
    """A call without a frame of its own runs in the frame before it, as a Lua function that a Lua
    function has called does."""
    rows: List[Row] = []
    for row in thread["rows"]:
        frame, calls = row["frame"], [call(row["call"])] if row["call"] else []
        if frame:
            rows.append(Row(int(frame["pc"], 16), frame["symbol"], tuple(calls)))
        elif rows:
            rows[-1] = rows[-1]._replace(calls=rows[-1].calls + tuple(calls))
    return rows


def is_quick(session: Session) -> bool:
    if session.is_read():
        return True
    vms = session.run("states", "--brief")["vms"]
    return bool(vms) and sum(vm["heap_bytes"] or 0 for vm in vms) <= SMALL


def lua_frames(tid: int) -> List[Row]:
    """The C frames of a thread of what is loaded; none if it runs no Lua, if that is not known, or
    would take long to find out."""
    try:
        session = current()
        if not is_quick(session):
            return []
        threads = session.run("bt", "--native", "--tid", tid)["native"]
    except Error:
        return []
    found = [thread for thread in threads if thread["tid"] == tid]
    return rows_of(found[0]) if found and not found[0]["doubt"] else []
