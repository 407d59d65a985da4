"""Sessions: a target as Python sees it, in a script of its own or in a debugger.

    import lua_inspect

    with lua_inspect.open("core.4711") as session:
        for cause in session.run("leaks")["causes"]:
            print(cause["count"], cause["pattern"])
        for table in session.objects.where(type="table", min_bytes=1 << 20):
            print(hex(table.address), table.cls, table.retained, table.paths())

In gdb, after `source plugin/gdb/lua_leaks.py`, what is loaded is there already, as it is in lldb:

    (gdb) python import lua_inspect
    (gdb) python print(len(lua_inspect.current().objects))
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Dict, List, Optional, Tuple, Type, Union

from . import commands, library
from .host import HostError, Target
from .library import Cursors, Error, Io
from .objects import CLASSES, GRAPH, NO_OBJECT, Object, Objects
from .worker import Patience

Word = Union[str, int, Object]  # of a command's arguments

_library: Optional[library.Library] = None


def _loaded() -> library.Library:
    """The library; in a debugger the one that its commands use."""
    global _library
    if commands.plugin:
        return commands.plugin.library
    if _library is None:
        _library = library.load(Path(__file__).resolve().parent.parent)
    return _library


def open(
    core: Union[str, Path],
    exe: Union[None, str, Path] = None,
    sysroot: Union[None, str, Path] = None,
    layout: Union[None, str, Path] = None,
    redact: Union[bool, str] = False,
) -> Session:
    """Opens a core file. Nothing is read from it before it is asked for.

    core     the core file, compressed or not
    exe      the program's file, if it is not where the core says
    sysroot  a folder that stands for / in the paths of the target's files
    layout   a file that tells how Lua's structures lie, from `lua-inspect layout EXE`
    redact   withhold strings, as --redact does; a string is a key, as for --redact-key

    Raises Error if the file cannot be opened or is no core.

    >>> with lua_inspect.open("core.4711") as session:
    ...     print(len(session.objects))
    27491
    """
    files = [None if file is None else str(file) for file in (exe, sysroot, layout)]
    place = library.Place(
        Target(str(core)),
        exe=files[0],
        sysroot=files[1],
        layout=files[2],
        redact=bool(redact),
        redact_key=redact if isinstance(redact, str) else None,
    )
    loaded, patience = _loaded(), Patience()
    opened = patience.wait(lambda: loaded.open(place, patience.cancelled))
    return Session(opened, str(core), is_owner=True)


def current() -> Session:
    """The session of the core or process that the debugger has loaded: the one that its commands
    use, so that what they found out is known. Ends when another core is loaded, the file changes or
    the process runs; ask again.

    Raises Error outside a debugger, or if nothing is loaded.

    >>> lua_inspect.current().run("states")["vms"][0]["release"]
    '5.4.4'
    """
    plugin = commands.plugin
    if plugin is None:
        raise Error(
            "usage",
            "this Python does not run in a debugger that has the plugin loaded",
            "lua_inspect.open(core) opens a core file; "
            "in gdb: source plugin/gdb/lua_leaks.py; "
            "in lldb: command script import plugin/lldb/lua_leaks.py",
        )
    try:
        session, target = plugin.current()
        core = target.core or f"process {target.pid}"
        return Session(session, core, is_owner=False)
    except HostError as error:
        raise Error("target", error.message, error.hint) from None


@dataclass(frozen=True)
class Vm:
    """One Lua VM of the target."""

    index: int  # from 1, in the order of addresses: what `--vm` and Object.vm mean
    address: int  # of the main thread
    lua: str  # "5.4"
    release: Optional[str]  # "5.4.4", if it is known
    heap_bytes: int  # what the VM says that it has allocated
    accounted_bytes: int  # what was found: objects, state and string table
    residual_bytes: int  # the difference, 0 in a healthy heap
    object_bytes: int  # of the objects alone
    object_count: int
    coroutines: int
    session: Session = field(repr=False, compare=False)

    @property
    def objects(self) -> Objects:
        """The objects of this VM."""
        return self.session.objects.where(vm=self.index)


class Session:
    """An opened core file. From open() or current(); used by one thread at a time.

    Everything is computed when it is first asked for, and kept. Ctrl-C ends what takes long, and
    the session can be used as before.
    """

    def __init__(self, session: library.Session, core: str, is_owner: bool) -> None:
        self.core = core
        self._cursors = Cursors(session)
        self._is_owner = is_owner
        self._vms: Optional[List[Vm]] = None
        self._class_names: Tuple[str, ...] = ()
        self.type_names = self._cursors.type_names()
        self.kind_names = self._cursors.kind_names()
        self.strength_names = self._cursors.strength_names()

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends the session; whatever came from it raises Error from then on. A debugger's own
        session stays open. May be called twice."""
        if self._is_owner:
            self._is_owner = False
            self._cursors.session.close()

    def __del__(self) -> None:
        try:
            self.close()
        except Exception:  # a session that was never whole, or Python is ending
            pass

    def __repr__(self) -> str:
        return f"<session of {self.core}>"

    # ---- Commands

    def run(self, command: str, *arguments: Word) -> Dict[str, Any]:
        """Runs a command; returns its document, what `--json` prints, as Python data.

        Arguments are words as in the shell; an Object stands for its address.

            session.run("leaks", "--min-age", "1h")["causes"]
            session.run("paths", "_G.npcs[42]", "-k", 4)["paths"]

        Raises Error if the command refuses. Finding nothing is no error. KeyboardInterrupt on
        Ctrl-C.
        """
        answer, _ = self._run(command, "--json", *arguments)
        document: Dict[str, Any] = json.loads(answer)
        if "error" in document:
            error = document["error"]
            address = error["address"]
            raise Error(
                error["code"],
                error["message"],
                error["hint"],
                int(address, 16) if address else None,
            )
        return document

    def text(self, command: str, *arguments: Word) -> str:
        """Runs a command; returns what it prints. Raises as run() does."""
        answer, status = self._run(command, *arguments)
        if status >= commands.FAILED:
            self.run(command, *arguments)  # says why
        return answer

    def _run(self, command: str, *arguments: Word) -> Tuple[str, int]:
        session = self._cursors.session
        pieces: List[bytes] = []
        patience = Patience()

        def take(piece: bytes) -> bool:
            pieces.append(piece)
            return True

        io = Io(
            output=take,
            diagnostic=lambda _: None,
            progress=lambda _, __: None,
            cancelled=patience.cancelled,
            terminal=False,
        )
        words = ["lua-inspect", self.core, command]
        words += [
            hex(word.address) if isinstance(word, Object) else str(word)
            for word in arguments
        ]
        invocation = session.library.parse_words(words)
        try:
            status = patience.wait(lambda: invocation.run(session, io))
        finally:
            invocation.free()
        return b"".join(pieces).decode("utf-8", "backslashreplace"), status

    # ---- VMs and objects

    @property
    def vms(self) -> List[Vm]:
        """The VMs of the target, in the order of their addresses.

        >>> [(vm.release, vm.object_count) for vm in session.vms]
        [('5.4.4', 27491)]
        """
        if self._vms is None:
            self._need(GRAPH)
            self._vms = []
            for fields in self._cursors.vms():
                fields["object_count"] = fields.pop("objects")
                self._vms.append(Vm(index=len(self._vms) + 1, session=self, **fields))
        return self._vms

    @property
    def objects(self) -> Objects:
        """All objects of the target: see Objects."""
        return Objects(self)

    def object(self, what: Union[int, str], vm: Optional[int] = None) -> Object:
        """The object at an address, or the one that a path names, as commands take it.

            session.object(0x55d0c0ffee)
            session.object('package.loaded["game.room"].join:upvalue(rooms)')

        `vm`: a path is followed in this VM, from 1 on; without it, in the first that has it.
        Raises Error if there is none.
        """
        self._need(GRAPH)
        if isinstance(what, str):
            return self.objects[self._cursors.object_named(what, vm or 0)]
        in_range = 0 <= what < 1 << 64
        number = self._cursors.object_at(what) if in_range else NO_OBJECT
        if number == NO_OBJECT:
            raise Error(
                "not-found",
                f"no Lua object starts at {what:#x}",
                "one in the middle of an object does not count",
                what if in_range else None,
            )
        return self.objects[number]

    @property
    def class_names(self) -> Tuple[str, ...]:
        """The names of all classes, types first; Objects.columns("cls") are positions in it."""
        if not self._class_names:
            self._need(CLASSES)
            self._class_names = self._cursors.class_names()
        return self._class_names

    def prepare(self) -> None:
        """Finds out at once what is otherwise found out when it is first asked for."""
        self._need(15)

    def is_read(self) -> bool:
        """Whether the heaps have been read: then most commands answer at once."""
        return bool(self._cursors.prepared() & GRAPH)

    def _need(self, stages: int) -> None:
        if stages & ~self._cursors.prepared():
            patience = Patience()
            patience.wait(lambda: self._cursors.prepare(stages, patience.cancelled))

    def _referrers(self, number: int) -> bytes:
        patience = Patience()
        return patience.wait(
            lambda: self._cursors.referrers(number, patience.cancelled)
        )

    def _key(self) -> library.Session:
        """What tells sessions apart: two of the debugger's for one core are one."""
        return self._cursors.session
