"""Lua heap analysis in gdb: `source plugin/gdb/lua_leaks.py`, then `lua-leaks`.

Works on the core or the process that is loaded, however it was loaded, and follows the user to
another one. A process of this machine is read from /proc; one behind `target remote` through gdb.
This file is the adapter; the commands are in ../lua_inspect/. Beside it lua_printers.py shows Lua's own
structures in gdb's `print`, and lua_frames.py Lua's calls in its `bt`. Nothing outside this folder
knows gdb.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Any, List, Optional

import gdb

sys.path[:0] = map(str, Path(__file__).resolve().parents[:2])
try:
    import lua_frames
    import lua_printers
    from lua_inspect import commands
    from lua_inspect.cores import core_argument
    from lua_inspect.host import (
        REGISTERS,
        Command,
        Gone,
        HostError,
        Process,
        Region,
        Target,
        Thread,
    )
finally:
    del sys.path[:2]


def core_path(description: str) -> str:
    """The file of the core that is loaded; `description` is what gdb calls its kind of target.

    gdb tells the path only in the text of `info target`, in the section headed by the description:
    a tab, a back quote, the path, a quote and a comma. The path may hold quotes and commas itself,
    so the longest one that names a file is taken.
    """
    text: str = gdb.execute("info target", to_string=True)
    start = text.find(description + ":\n\t`") + len(description + ":\n\t`")
    ends = [match.start() for match in re.finditer(r"', (?=[^\n]*\.\n)", text)]
    paths = [text[start:end] for end in reversed(ends) if end > start]
    for path in paths:
        if os.path.isfile(path):
            return path
    raise HostError(
        f"the core file {paths[-1] if paths else 'that gdb has loaded'} is no longer there",
        "load the core again with `core-file FILE`",
    )


def sysroot() -> Optional[str]:
    """The folder the user set as sysroot; gdb's default, `target:`, is none."""
    value = gdb.parameter("sysroot")
    return value if value and os.path.isdir(value) and value != "/" else None


class Changes:
    """Counts what may have changed the memory or the threads of a process."""

    def __init__(self) -> None:
        self.count = 0
        for name in (
            "cont",
            "stop",
            "exited",
            "inferior_call",
            "memory_changed",
            "register_changed",
        ):
            getattr(gdb.events, name).connect(self._changed)

    def _changed(self, event: Any) -> None:
        del event
        self.count += 1


def program() -> Optional[str]:
    """The program's file, if it is one of this machine, and still there."""
    path = gdb.current_progspace().filename
    return path if path and os.path.isfile(path) else None


def check_stands_still(inferior: Any) -> None:
    for thread in inferior.threads():
        if thread.is_running():
            raise HostError(
                f"thread {thread.num} of process {inferior.pid} is running",
                "stop all threads: `interrupt -a`",
            )


REGION = re.compile(
    r"^\s*0x([0-9a-f]+)\s+0x([0-9a-f]+)\s+0x[0-9a-f]+\s+0x([0-9a-f]+)"
    r"\s+([r-][w-][x-][ps-]) *(.*)$",
    re.MULTILINE,
)


def regions() -> List[Region]:
    """The mappings of a remote process, which gdb reads from /proc there."""
    try:
        text: str = gdb.execute("info proc mappings", to_string=True)
    except gdb.error:
        return []
    found = []
    for start, end, offset, permissions, path in REGION.findall(text):
        places = int(start, 16), int(end, 16)
        found.append(Region(*places, int(offset, 16), permissions, path))
    return found


def entry() -> int:
    try:
        text: str = gdb.execute("info auxv", to_string=True)
    except gdb.error:
        return 0
    match = re.search(r"^9 +AT_ENTRY .* 0x([0-9a-f]+)$", text, re.MULTILINE)
    return int(match[1], 16) if match else 0


def register(frame: Any, name: str) -> int:
    try:
        return int(frame.read_register(name)) & 0xFFFFFFFFFFFFFFFF
    except (ValueError, gdb.error):
        return 0


def describe(thread: Any) -> Thread:
    thread.switch()
    frame = gdb.newest_frame()
    architecture = frame.architecture().name()
    family = {"i386:x86-64": "x86_64", "i386": "i386"}.get(architecture, "")
    registers = [register(frame, name) for name in REGISTERS.get(family, ())]
    return Thread(
        tid=thread.ptid[1] or thread.ptid[2],
        stack_pointer=register(frame, "sp"),
        program_counter=register(frame, "pc"),
        registers=tuple(registers),
    )


def threads(inferior: Any) -> List[Thread]:
    """All threads; what the user has selected stays selected."""
    selected = gdb.selected_thread()
    frame = gdb.selected_frame() if selected else None
    try:
        found = [describe(thread) for thread in inferior.threads() if thread.is_valid()]
    finally:
        if selected and selected.is_valid():
            selected.switch()
            frame.select()
    return sorted(found, key=lambda thread: thread.tid)


class GdbHost:
    def __init__(self) -> None:
        self._changes = Changes()

    def target(self) -> Target:
        inferior = gdb.selected_inferior()
        connection = inferior.connection
        if connection is not None and connection.type == "core":
            path = core_path(connection.description)
            return Target(path, exe=program(), sysroot=sysroot())
        if connection is not None and inferior.pid:
            return self._process(inferior, connection)
        core = None if gdb.current_progspace().filename else core_argument()
        if core is not None:
            return Target(core, sysroot=sysroot())
        raise HostError(
            "no core file is loaded",
            "load one with `core-file FILE`, or `attach PID` to a process",
        )

    def _process(self, inferior: Any, connection: Any) -> Target:
        check_stands_still(inferior)
        remote = ""
        if connection.type != "native":
            remote = f"{connection.type} {connection.details} {connection.num} "
        return Target(
            None, inferior.pid, remote, self._changes.count, program(), sysroot()
        )

    def process(self) -> Process:
        inferior = gdb.selected_inferior()
        if inferior.connection.type == "native":
            return Process(threads(inferior))

        def read(address: int, size: int) -> bytes:
            if not inferior.is_valid() or not inferior.pid:
                raise Gone
            try:
                return bytes(inferior.read_memory(address, size))
            except gdb.MemoryError:
                return b""
            except gdb.error:
                raise Gone from None

        return Process(threads(inferior), regions(), entry(), read)

    def thread(self) -> Optional[int]:
        thread = gdb.selected_thread()
        return thread.ptid[1] or None if thread is not None else None

    def write(self, text: str) -> None:
        gdb.write(text)

    def diagnose(self, text: str) -> None:
        gdb.write(text, gdb.STDERR)
        gdb.flush(gdb.STDERR)

    def interrupted(self) -> bool:
        return False  # gdb makes a KeyboardInterrupt of it

    def colour(self) -> bool:
        return (
            os.isatty(1)
            and bool(gdb.parameter("style enabled"))
            and not os.environ.get("NO_COLOR")
        )

    def interactive(self) -> bool:
        return os.isatty(2)

    def register(self, command: Command) -> None:
        GdbCommand(command)


class GdbCommand(gdb.Command):  # type: ignore[misc]
    def __init__(self, command: Command) -> None:
        self.__doc__ = command.help
        self._command = command
        super().__init__(command.name, gdb.COMMAND_DATA)

    def invoke(self, arguments: str, from_tty: bool) -> None:
        del from_tty
        try:
            self._command.run(arguments)
        except HostError as error:
            raise gdb.GdbError(error.message) from None

    def complete(self, text: str, word: Optional[str]) -> List[str]:
        try:
            names = self._command.complete(text)
        except Exception:  # a traceback is no completion
            return []
        # gdb breaks words at dashes and dots too, and wants only what replaces its `word`.
        last = text.split(" ")[-1]
        known = len(last) - len(last if word is None else word)
        return [name[known:] for name in names]


def load() -> None:
    lua_printers.register()
    try:
        commands.register(GdbHost())
    except HostError as error:
        gdb.write(error.message + "\n", gdb.STDERR)
        return
    lua_frames.Frames(commands.has_session)


load()
