"""Lua calls in gdb's own traceback: a frame filter, `disable frame-filter global lua` switches it off.

    #4  0x... in g_read [io.read] ()
    #5  0x... in luaD_precall ()
    #6  0x... in luaV_execute ()
            upvalue 'f' () at hung.lua:25
            metamethod 'add' () at hung.lua:119

A C function that Lua has called shows Lua's name for it, and below a frame of the interpreter stand
the Lua functions that it runs, innermost first; `bt -hide` leaves them out. Where a session of the
target is open, or a frame has a name of Lua's; elsewhere nothing is looked for. The traceback never
fails by it: what cannot be found out is not shown.
"""

from __future__ import annotations

import re
from typing import Any, Callable, Iterator, List, Optional

import gdb
from gdb.FrameDecorator import FrameDecorator
from lua_inspect.frames import Call, Row, lua_frames

FIRST = 50  # frames whose names are looked at
NAME_OF_LUA = re.compile(r"lua[A-Z]?_\w+")  # of a function of its implementation


class LuaCall(FrameDecorator):  # type: ignore[misc]
    """A Lua function; it has no frame of its own and stands below the interpreter's."""

    def __init__(self, below: Any, call: Call) -> None:
        super().__init__(below)
        self._call = call

    def function(self) -> str:
        return self._call.name

    def filename(self) -> Optional[str]:
        return self._call.source

    def line(self) -> Optional[int]:
        return self._call.line

    def address(self) -> None:
        return None

    def frame_args(self) -> None:
        return None

    def frame_locals(self) -> None:
        return None

    def elided(self) -> None:
        return None


class LuaFrame(FrameDecorator):  # type: ignore[misc]
    """A C frame in which Lua calls run, or the C function of one."""

    def __init__(self, base: Any, row: Row) -> None:
        super().__init__(base)
        self._base = base
        self._row = row
        first = row.calls[0]
        self._own = first if first.is_c else None
        self._below = row.calls[1:] if first.is_c else row.calls

    def function(self) -> Any:
        name = self._base.function()
        if self._own is None:
            return name
        if not isinstance(name, str):
            name = self._row.symbol or "??"
        called = re.sub(r"^\w+ '(.*)'$", r"\1", self._own.name)
        return name if called == "?" else f"{name} [{called}]"

    def elided(self) -> Any:
        others = self._base.elided() or []
        return [*others, *(LuaCall(self._base, call) for call in self._below)]


def has_names_of_lua() -> bool:
    frame, left = gdb.newest_frame(), FIRST
    while frame is not None and left:
        if NAME_OF_LUA.match(frame.name() or ""):
            return True
        frame, left = frame.older(), left - 1
    return False


class Frames:
    """The frame filter."""

    name, priority, enabled = "lua", 100, True

    def __init__(self, is_asked_for: Callable[[], bool]) -> None:
        self._is_asked_for = is_asked_for
        gdb.frame_filters[self.name] = self

    def filter(self, frames: Iterator[Any]) -> Iterator[Any]:
        rows = self._rows()
        return decorated(frames, rows) if rows else frames

    def _rows(self) -> List[Row]:
        try:
            thread = gdb.selected_thread()
            tid = thread.ptid[1] or thread.ptid[2]
            wanted = self._is_asked_for() or has_names_of_lua()
            return lua_frames(tid) if wanted else []
        except (Exception, KeyboardInterrupt):  # then it is a traceback without Lua
            return []


def decorated(frames: Iterator[Any], rows: List[Row]) -> Iterator[Any]:
    """Both go from the innermost frame outwards; gdb may show frames that are none of the stack's,
    inlined functions, or leave some out."""
    at = 0
    for decorator in frames:
        frame = decorator.inferior_frame()
        is_real = frame.type() not in (gdb.INLINE_FRAME, gdb.TAILCALL_FRAME)
        pc = frame.pc()
        same = (i for i in range(at, len(rows)) if is_real and rows[i].pc == pc)
        found = next(same, None)
        if found is not None:
            at = found + 1
        if found is None or not rows[found].calls:
            yield decorator
        else:
            yield LuaFrame(decorator, rows[found])
